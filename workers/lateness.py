"""How late webhooks arrive: the provider's own time of each statement against the moment it reached us.

Both are in what is stored, so nothing is measured while a webhook is on its way.
"""

from __future__ import annotations

import math
from datetime import datetime, timedelta
from statistics import median
from uuid import UUID

from sqlalchemy import text

from connectors.base import Connector
from connectors.payload import micros
from core.errors import PlatformError
from workers.context import Context

DAYS = 7
MOST = 500
_MAX_BODY = 200_000
# Further away than this from its arrival a version is a sequence number, or news of long ago told anew.
_OLDEST = timedelta(days=30)
_CLOCKS_DIFFER = timedelta(minutes=5)

_RECENT = text(
    """
    SELECT events.name, events.item_index, events.received_at, deliveries.body
    FROM events JOIN deliveries ON deliveries.id = events.delivery_id
    WHERE events.connection_id = :connection AND deliveries.sync_id IS NULL AND events.trust = 'signed'
        AND events.received_at > :since AND octet_length(deliveries.body) <= :most_bytes
    ORDER BY events.delivery_id DESC LIMIT :most
    """
)


def measure(context: Context, connection_id: UUID, connector: Connector, now: datetime) -> dict[str, object] | None:
    """Median and p95 of the lateness in seconds over recent webhooks; None when none of them tells its time.

    Webhooks that only point are not counted: the time of what they point at is not theirs.
    """
    with context.database.connect() as connection:
        rows = connection.execute(
            _RECENT,
            {
                "connection": connection_id,
                "since": now - timedelta(days=DAYS),
                "most_bytes": _MAX_BODY,
                "most": MOST,
            },
        ).all()
    late = [
        seconds
        for row in rows
        if (seconds := _lateness(connector, row.name, row.item_index, row.body, row.received_at)) is not None
    ]
    return summary(late)


def _lateness(connector: Connector, name: str, place: int, body: bytes, received_at: datetime) -> float | None:
    try:
        reading = connector.read(name, connector.items(body)[place])
    except (PlatformError, LookupError, ValueError):
        # What cannot be read is somebody else's business.
        return None
    if not isinstance(reading, list | tuple):
        return None
    earliest, latest = micros(received_at - _OLDEST), micros(received_at + _CLOCKS_DIFFER)
    told = [record.version for record in reading if earliest <= record.version <= latest]
    return max(0.0, (micros(received_at) - max(told)) / 1_000_000) if told else None


def summary(late: list[float]) -> dict[str, object] | None:
    """Median and 95th percentile (nearest rank) of seconds."""
    if not late:
        return None
    ordered = sorted(late)
    rank = max(0, math.ceil(0.95 * len(ordered)) - 1)
    return {
        "median_seconds": round(median(ordered), 3),
        "p95_seconds": round(ordered[rank], 3),
        "webhooks": len(ordered),
        "days": DAYS,
    }
