"""What replaying stored events would change: applied, compared, and rolled back."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, text
from sqlalchemy.exc import DBAPIError

from core import intake
from core.bulk import array
from core.database import Database
from core.errors import PlatformError
from core.events import Trust
from core.inbox import replay
from workers.normalize import read_all, statements_of

# Where an object of a kind is kept. What changes with every write says nothing about its content.
_TABLES = {
    "payment": "payments",
    "transaction": "transactions",
    "refund": "payment_adjustments",
    "dispute": "payment_adjustments",
    "payout": "payouts",
    "payout_item": "payout_items",
    "mirrored_invoice": "mirrored_invoices",
    "account": "bank_accounts",
    "connection": "connections",
    "invoice": "invoices",
    "repayment": "repayments",
}
_UNTOLD = frozenset({"updated_at", "version", "health_version"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """An object that a replay would change: each field's value before and after. Before is None for a new one."""

    kind: str
    id: UUID
    fields: dict[str, tuple[Any, Any]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Preview:
    """What a replay would do."""

    changes: list[Change]
    fetches: int
    failures: list[tuple[UUID, str]]
    ignored: int


def preview(database: Database, event_ids: Sequence[UUID], now: datetime) -> Preview:
    """Apply events, see what that changes, and take it back. Nothing is announced and nothing is kept.

    Events that are only pointers are counted, not fetched.
    """
    with database.engine.connect() as connection:
        events = replay.bodies(connection, event_ids, now)
        read = read_all(events)
        failures = [(event.event_id, error) for event, error, _ in read.failures]
        savepoint = connection.begin_nested()
        effects = []
        for event, records in read.records.items():
            # One by one, so that an event that the books refuse is told and hides no other.
            attempt = connection.begin_nested()
            try:
                outcome = intake.apply(connection, statements_of(event, records, Trust(event.trust)), now=now)
            except (DBAPIError, PlatformError) as error:
                attempt.rollback()
                failures.append((event.event_id, f"{type(error).__name__}: the books refuse it"))
            else:
                attempt.commit()
                effects += outcome.effects
        touched = {(effect.object_kind, effect.object_id) for effect in effects}
        touched |= _invoices(connection, touched)
        after = _rows(connection, touched)
        savepoint.rollback()
        before = _rows(connection, touched)
        connection.rollback()
    return Preview(
        changes=[change for key in sorted(after, key=str) if (change := _compare(key, before.get(key), after[key]))],
        fetches=len(read.pointers),
        failures=failures,
        ignored=len(read.notes),
    )


_Key = tuple[str, UUID]


def _invoices(connection: Connection, touched: set[_Key]) -> set[_Key]:
    """The invoices that the touched payments pay or paid."""
    payments = [identity for kind, identity in touched if kind == "payment"]
    rows = connection.scalars(
        text("SELECT DISTINCT invoice_id FROM allocations WHERE payment_id = ANY(CAST(:ids AS uuid[]))"),
        {"ids": array(payments, "uuid")},
    )
    return {("invoice", identity) for identity in rows}


def _rows(connection: Connection, touched: set[_Key]) -> dict[_Key, dict[str, Any]]:
    found = {}
    for kind in sorted({kind for kind, _ in touched}):
        ids = [identity for one, identity in touched if one == kind]
        rows = connection.execute(
            text(
                f"SELECT id, to_jsonb(held) AS content FROM {_TABLES[kind]} AS held "
                "WHERE id = ANY(CAST(:ids AS uuid[]))"
            ),
            {"ids": array(ids, "uuid")},
        )
        for row in rows:
            found[kind, row.id] = row.content
    return found


def _compare(key: _Key, before: dict[str, Any] | None, after: dict[str, Any]) -> Change | None:
    fields = {
        name: (None if before is None else before[name], value)
        for name, value in after.items()
        if name not in _UNTOLD and (before is None or before[name] != value)
    }
    return Change(kind=key[0], id=key[1], fields=fields) if fields else None
