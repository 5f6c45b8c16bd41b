"""Databases for the tests: made as copies of a migrated one, and emptied between the tests that share one."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING
from urllib.parse import urlsplit, urlunsplit

import psycopg
from psycopg import sql

from core.database import Database

if TYPE_CHECKING:
    from tests.conftest import Servers

_EMPTIED = (
    "deliveries", "event_keys", "events", "event_queue", "event_results", "event_effects", "quarantine", "object_keys",
    "allocations", "payment_targets", "manual_refunds", "payments", "payment_adjustments", "payout_lines",
    "payout_items",
    "matches", "transaction_payments", "judgements", "reconcile_requests", "transactions", "pending_snapshots",
    "mirror_due", "mirror_differences", "mirror_links", "mirror_apart", "mirror_pushes", "mirror_payments",
    "mirror_numbers", "mirrored_invoices", "mirrored_invoices_gone", "outbox", "rooms", "feed",
)  # fmt: skip


@contextmanager
def standing_database(servers: Servers, template: str | None) -> Iterator[str]:
    """Address of a copy of the template, dropped at the end; without one, of a database with nothing in it."""
    name = f"test_{uuid.uuid4().hex[:12]}"
    create(servers.database_url, name, template or "template1")
    try:
        yield other_path(servers.database_url, name)
    finally:
        drop(servers.database_url, name)


def create(server_url: str, name: str, template: str = "template1") -> None:
    # Measured: copying the files, checkpoint included, takes a third of the time of writing them to the log.
    statement = sql.SQL("CREATE DATABASE {} TEMPLATE {} STRATEGY file_copy")
    with psycopg.connect(server_url, autocommit=True) as connection:
        connection.execute(statement.format(sql.Identifier(name), sql.Identifier(template)))


def drop(server_url: str, name: str) -> None:
    with psycopg.connect(server_url, autocommit=True) as connection:
        connection.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))


def other_path(url: str, path: str) -> str:
    """A server's address with another database. For Redis on a unix socket the number is a parameter."""
    parts = urlsplit(url)
    if parts.scheme == "unix":
        return f"unix://{parts.path}?db={path}"
    # urlunsplit drops an empty host, which PostgreSQL's socket addresses have.
    return urlunsplit(parts._replace(path=f"/{path}"))


def empty(database: Database) -> None:
    """Forget what happened; people, connections and invoices stay."""
    with database.connect() as connection:
        # They are append-only while their triggers run.
        kept = ("allocations", "manual_refunds")
        for table in kept:
            connection.exec_driver_sql(f"ALTER TABLE {table} DISABLE TRIGGER USER")
        connection.exec_driver_sql("; ".join(f"DELETE FROM {table}" for table in _EMPTIED))
        for table in kept:
            connection.exec_driver_sql(f"ALTER TABLE {table} ENABLE TRIGGER USER")
        connection.exec_driver_sql("UPDATE relay_state SET emitted_position = 0")
