"""A page that was pulled: kept like a delivery, with one event, so that what it brought can be walked back to it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from sqlalchemy import Connection, text

from core.events import Trust
from core.ids import new_id
from core.syncing.runs import Run

# The name of the event that a page is. No provider's event has it: theirs are names of their own choosing, and a
# delivery that was pulled is known by its `sync_id`.
PULLED = "sync.page"

_DELIVERY = text(
    "INSERT INTO deliveries (id, connector, connection_id, sync_id, received_at, path, remote_addr, headers, body, "
    "secret_index, verify_micros) VALUES (:delivery, :connector, :connection, :sync, :answered_at, :path, :host, "
    "CAST(:headers AS jsonb), :body, 0, 0)"
)
_EVENT = text(
    "INSERT INTO events (id, delivery_id, item_index, connector, connection_id, provider_event_id, name, trust, "
    "received_at) VALUES (:event, :delivery, 0, :connector, :connection, :key, :name, :trust, :answered_at)"
)
_RESULT = text(
    "INSERT INTO event_results (event_id, outcome, attempts, claimed_at, read_micros) "
    "VALUES (:event, 'processed', :attempts, :asked_at, :micros)"
)


def keep(
    connection: Connection,
    run: Run,
    *,
    event_id: UUID,
    body: bytes,
    host: str,
    asked_at: datetime,
    answered_at: datetime,
    micros: int,
) -> UUID:
    """Store a page as a delivery with one finished event; return the delivery's id.

    `asked_at` is when the page was asked for and `answered_at` when its last answer was there; `micros` is what
    reading it took.
    """
    delivery_id = new_id()
    values = {
        "delivery": delivery_id,
        "event": event_id,
        "connector": run.connector,
        "connection": run.connection_id,
        "sync": run.id,
        "asked_at": asked_at,
        "answered_at": answered_at,
        "path": f"/api/connections/{run.connection_id}/syncs",
        "host": host,
        "headers": json.dumps([["content-type", "application/json"]]),
        "body": body,
        "key": f"{run.id}:{run.pages + 1}",
        "name": PULLED,
        "trust": Trust.FETCHED.value,
        "attempts": run.attempts,
        "micros": micros,
    }
    for statement in (_DELIVERY, _EVENT, _RESULT):
        connection.execute(statement, values)
    return delivery_id


def forget(connection: Connection, event_id: UUID) -> None:
    """A page that changed nothing leaves nothing behind but its counts."""
    connection.execute(text("DELETE FROM event_effects WHERE event_id = :id"), {"id": event_id})


def brought(connection: Connection, identities: Sequence[UUID]) -> dict[UUID, bool]:
    """Of these objects, those that were known: by a webhook (True), or by pulls alone (False)."""
    rows = connection.execute(
        text(
            "SELECT event_effects.object_id, bool_or(deliveries.sync_id IS NULL) AS by_webhook FROM event_effects "
            "JOIN events ON events.id = event_effects.event_id JOIN deliveries ON deliveries.id = events.delivery_id "
            "WHERE event_effects.object_id = ANY(CAST(:ids AS uuid[])) GROUP BY event_effects.object_id"
        ),
        {"ids": list(identities)},
    )
    return {row.object_id: row.by_webhook for row in rows}
