"""How complete webhooks were, counted while a page is applied. The words are defined in docs/completeness.md."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from uuid import UUID

from sqlalchemy import Connection, text

from core.events import BankTransaction, Dispute, MirroredInvoice, Payment, Payout, Record, Refund
from core.mirroring import apply as mirroring
from core.syncing.pages import brought
from core.syncing.runs import Counts, Run

COUNTED = ("listed", "webhook", "before", "fresh", "missed", "gap")
# What is younger may still be on its way to us by webhook.
SETTLES_WITHIN = timedelta(minutes=15)

Key = tuple[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Listed:
    """Objects of a page by (kind, provider's id), with the provider's time of each where it has one."""

    moments: dict[Key, datetime | None]
    # Our ids of those that existed before the page, and whether a webhook had spoken of them.
    known: dict[Key, bool]


def _key_of(record: Record) -> tuple[Key, datetime | None] | None:
    """What is counted: things that happened, and so not accounts, their snapshots or the connection's state."""
    match record:
        case BankTransaction():
            return ("transaction", record.object_id), record.occurred_at
        case Payment():
            return ("payment", record.object_id), record.occurred_at
        case Refund():
            return ("refund", record.object_id), record.occurred_at
        case Dispute():
            return ("dispute", record.object_id), record.occurred_at
        case Payout():
            return ("payout", record.object_id), record.occurred_at
        case MirroredInvoice():
            issued = record.issued_on
            return (mirroring.KIND, record.object_id), None if issued is None else datetime.combine(
                issued, time.min, UTC
            )
        case _:
            return None


def look(connection: Connection, run: Run, records: Iterable[Record]) -> Listed:
    """What a page lists and which of it was known. To be called before the page is applied."""
    moments = dict(found for record in records if (found := _key_of(record)) is not None)
    ids = _ids(connection, run.connection_id, list(moments))
    spoken = brought(connection, list(ids.values()))
    return Listed(moments=moments, known={key: spoken[identity] for key, identity in ids.items() if identity in spoken})


def count(connection: Connection, run: Run, page: Listed, asked_at: datetime) -> Counts:
    """The run's counts with this page's. To be called after the page is applied.

    An object that stands on several pages of a run is counted once.
    """
    counts: Counts = {kind: dict(values) for kind, values in run.counts.items()}
    ids = _ids(connection, run.connection_id, list(page.moments))
    first = set(
        connection.scalars(
            text(
                "INSERT INTO sync_listed (sync_id, object_id) SELECT :sync, unnest(CAST(:ids AS uuid[])) "
                "ON CONFLICT DO NOTHING RETURNING object_id"
            ),
            {"sync": run.id, "ids": list(ids.values())},
        )
    )
    for key, moment in page.moments.items():
        if ids.get(key) not in first:
            continue
        kind = counts.setdefault(key[0], dict.fromkeys(COUNTED, 0))
        kind["listed"] += 1
        kind["gap"] += key not in page.known
        kind[_sort(page.known.get(key, False), moment, run.connected_at, asked_at)] += 1
    return counts


def _sort(by_webhook: bool, moment: datetime | None, connected_at: datetime, asked_at: datetime) -> str:  # noqa: FBT001
    if by_webhook:
        return "webhook"
    if moment is None or moment < connected_at:
        return "before"
    return "fresh" if moment > asked_at - SETTLES_WITHIN else "missed"


def _ids(connection: Connection, connection_id: UUID, keys: Sequence[Key]) -> dict[Key, UUID]:
    if not keys:
        return {}
    rows = connection.execute(
        text(
            "SELECT kind, object_id, id FROM object_keys "
            "JOIN unnest(CAST(:kinds AS text[]), CAST(:objects AS text[])) AS asked (kind, object_id) "
            "USING (kind, object_id) WHERE connection_id = :connection"
        ),
        {"connection": connection_id, "kinds": [key[0] for key in keys], "objects": [key[1] for key in keys]},
    )
    return {(row.kind, row.object_id): row.id for row in rows}
