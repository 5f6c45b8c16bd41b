"""One database for a whole file of tests, emptied between them: making one costs more than most tests."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from contextlib import contextmanager

from core.database import Database
from tests.conftest import Servers, _create, _drop, _other_path

_EMPTIED = (
    "deliveries", "event_keys", "events", "event_queue", "event_results", "event_effects", "quarantine", "object_keys",
    "payments", "payment_adjustments", "allocations", "matches", "transactions", "pending_snapshots",
    "mirrored_invoices", "mirrored_invoices_gone", "outbox", "rooms", "feed",
)  # fmt: skip


@contextmanager
def own_database(servers: Servers, template: str) -> Iterator[str]:
    """Address of a migrated database that is dropped at the end."""
    name = f"test_{uuid.uuid4().hex[:12]}"
    _create(servers.database_url, name, template)
    try:
        yield _other_path(servers.database_url, name)
    finally:
        _drop(servers.database_url, name)


def empty(database: Database) -> None:
    """Forget what happened; people, connections and invoices stay."""
    with database.connect() as connection:
        # Allocations are append-only while their triggers run.
        connection.exec_driver_sql("ALTER TABLE allocations DISABLE TRIGGER USER")
        connection.exec_driver_sql("; ".join(f"DELETE FROM {table}" for table in _EMPTIED))
        connection.exec_driver_sql("ALTER TABLE allocations ENABLE TRIGGER USER")
        connection.exec_driver_sql("UPDATE relay_state SET emitted_position = 0")
