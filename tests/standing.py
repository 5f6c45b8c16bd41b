"""A database that the tests of one file share, emptied between them: making one for each is most of their time."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit, urlunsplit
from uuid import uuid4

import psycopg
from psycopg import sql
from sqlalchemy import text

from core.database import Database
from tests.conftest import Servers

INBOX = ("event_queue", "event_keys", "events", "deliveries", "quarantine", "outbox")


@contextmanager
def standing_database(servers: Servers, template: str | None) -> Iterator[str]:
    """Address of a copy of the template; without one, of a database with nothing in it."""
    name = f"test_{uuid4().hex[:12]}"
    parts = {"name": sql.Identifier(name), "template": sql.Identifier(template or "template1")}
    with psycopg.connect(servers.database_url, autocommit=True) as connection:
        connection.execute(sql.SQL("CREATE DATABASE {name} TEMPLATE {template} STRATEGY file_copy").format(**parts))
        try:
            yield urlunsplit(urlsplit(servers.database_url)._replace(path=f"/{name}"))
        finally:
            connection.execute(sql.SQL("DROP DATABASE {name} WITH (FORCE)").format(**parts))


def empty_inbox(database: Database) -> None:
    """Forget every delivery."""
    with database.connect() as connection:
        for table in INBOX:
            connection.execute(text(f"DELETE FROM {table}"))
