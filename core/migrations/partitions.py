"""Partitions of the big tables: by month through their UUIDv7 key, or by hash for key tables."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from uuid import UUID

from sqlalchemy import Connection, text

from core.ids import lowest_id_at

TIMED = (
    "audit_log",
    "deliveries",
    "events",
    "event_results",
    "event_effects",
    "transactions",
    "payments",
    "payment_adjustments",
    "payouts",
    "mirrored_invoices",
    "allocations",
    "feed",
)
_BY_EVENT = frozenset({"event_results", "event_effects"})


def create_hash_partitions(execute: Callable[[str], object], table: str, count: int) -> None:
    """Split a key table into `count` parts."""
    for part in range(count):
        execute(f"CREATE TABLE {table}_{part} PARTITION OF {table} FOR VALUES WITH (MODULUS {count}, REMAINDER {part})")


def _month(year: int, month: int) -> datetime:
    return datetime(year + (month - 1) // 12, (month - 1) % 12 + 1, 1, tzinfo=UTC)


def ensure(connection: Connection, now: datetime, months_ahead: int = 2) -> list[str]:
    """Create the partitions of this month and the next ones; return the names of the new ones.

    Repeating it changes nothing. Every table also has a default partition, so that a clock that is far
    off costs speed and never a row.
    """
    made = []
    # Two processes may start at once: the second waits, then finds everything there.
    connection.execute(text("SELECT pg_advisory_xact_lock(hashtext('ledgerwire.partitions'))"))
    existing = set(
        connection.scalars(
            text(
                "SELECT child.relname FROM pg_inherits JOIN pg_class child ON child.oid = inhrelid "
                "JOIN pg_class parent ON parent.oid = inhparent WHERE parent.relname = ANY(:tables)"
            ),
            {"tables": list(TIMED)},
        )
    )
    # A schema of an earlier release, on its way to this one, has fewer tables.
    present = "SELECT relname FROM pg_class WHERE relkind = 'p' AND relname = ANY(:tables)"
    there = set(connection.scalars(text(present), {"tables": list(TIMED)}))
    for table in (name for name in TIMED if name in there):
        if f"{table}_default" not in existing:
            connection.exec_driver_sql(f"CREATE TABLE {table}_default PARTITION OF {table} DEFAULT")
        for ahead in range(months_ahead + 1):
            start = _month(now.year, now.month + ahead)
            end = _month(now.year, now.month + ahead + 1)
            name = f"{table}_{start:%Y_%m}"
            if name not in existing:
                _create(connection, table, name, lowest_id_at(start), lowest_id_at(end))
                made.append(name)
    return made


def _create(connection: Connection, table: str, name: str, start: UUID, end: UUID) -> None:
    """Create a partition, and move to it what came before it did."""
    key = "event_id" if table in _BY_EVENT else "id"
    create = f"CREATE TABLE {name} PARTITION OF {table} FOR VALUES FROM ('{start}') TO ('{end}')"
    early = f"SELECT EXISTS (SELECT FROM {table}_default WHERE {key} >= '{start}' AND {key} < '{end}')"
    if not connection.exec_driver_sql(early).scalar():
        connection.exec_driver_sql(create)
        return
    # PostgreSQL refuses a partition while the default holds rows of it. The default is taken out and its rows
    # are inserted anew, because from an append-only table nothing can be deleted.
    columns = ", ".join(
        connection.scalars(
            text(
                "SELECT quote_ident(attname) FROM pg_attribute WHERE attrelid = CAST(:table AS regclass) "
                "AND attnum > 0 AND NOT attisdropped AND attgenerated = '' ORDER BY attnum"
            ),
            {"table": table},
        )
    )
    for statement in (
        f"ALTER TABLE {table} DETACH PARTITION {table}_default",
        f"ALTER TABLE {table}_default RENAME TO {table}_early",
        create,
        f"CREATE TABLE {table}_default PARTITION OF {table} DEFAULT",
        f"INSERT INTO {table} ({columns}) SELECT {columns} FROM {table}_early",
        # A table with deferred checks still to come cannot be altered, and the next month may have to.
        "SET CONSTRAINTS ALL IMMEDIATE",
        f"DROP TABLE {table}_early",
    ):
        connection.exec_driver_sql(statement)
