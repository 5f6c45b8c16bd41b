"""Statements sent straight to the driver, several in one trip.

A posting is a handful of small statements. SQLAlchemy's work around each costs more than PostgreSQL's, and each trip of
its own costs a wait while accounts are locked; so here the driver is given prepared statements, and they share trips.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import psycopg
from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError, InvalidRequestError

_NAME = re.compile(r"(?<!:):(\w+)")


class Statement:
    """SQL with :names, as the driver wants it."""

    def __init__(self, sql: str) -> None:
        self.sql = sql
        self.query = _NAME.sub(r"%(\1)s", sql.replace("%", "%%")).encode()


class Trip:
    """What is sent together. Reading an answer ends the wait for it, and for all that was sent before it."""

    def __init__(self, driver: psycopg.Connection[Any]) -> None:
        self._driver = driver

    def send(self, statement: Statement, values: Mapping[str, Any]) -> psycopg.Cursor[Any]:
        """Send a statement; the cursor's rows are the answer."""
        return self._driver.cursor().execute(statement.query, values, prepare=True)


@contextmanager
def trip(connection: Connection) -> Iterator[Trip]:
    """One trip inside the connection's transaction, which begins with it where none has begun.

    What the database refuses is raised as SQLAlchemy would raise it.
    """
    if not connection.in_transaction():
        # Nobody else would: a commit of a transaction that SQLAlchemy does not know of does nothing.
        connection.begin()
    driver = connection.connection.driver_connection
    if driver is None:
        raise InvalidRequestError("the connection is closed")
    try:
        with driver.pipeline():
            yield Trip(driver)
    except psycopg.Error as error:
        raise DBAPIError.instance(None, None, error, psycopg.Error) from error
