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


def prefixed(prefix: str, sql: str) -> str:
    """The same SQL with its :names prefixed, to stand beside other SQL that has them too."""
    return _NAME.sub(rf":{prefix}\1", sql)


@contextmanager
def trip(connection: Connection) -> Iterator[Trip]:
    """One trip inside the connection's transaction, which begins with it where none has begun.

    What the database refuses is raised as SQLAlchemy would raise it.
    """
    driver = _driver(connection)
    with _as_sqlalchemy_says(), driver.pipeline():
        yield Trip(driver)


def alone(connection: Connection, statement: Statement, values: Mapping[str, Any]) -> None:
    """A trip of one statement whose answer nobody reads."""
    driver = _driver(connection)
    with _as_sqlalchemy_says():
        driver.cursor().execute(statement.query, values, prepare=True)


@contextmanager
def _as_sqlalchemy_says() -> Iterator[None]:
    try:
        yield
    except psycopg.Error as error:
        raise DBAPIError.instance(None, None, error, psycopg.Error) from error


def _driver(connection: Connection) -> psycopg.Connection[Any]:
    if not connection.in_transaction():
        # Nobody else would: a commit of a transaction that SQLAlchemy does not know of does nothing.
        connection.begin()
    driver: psycopg.Connection[Any] | None = connection.connection.driver_connection
    if driver is None:
        raise InvalidRequestError("the connection is closed")
    if driver.autocommit:
        # Each statement would be a transaction: half of a posting could stay, and no lock would outlive its statement.
        raise InvalidRequestError("the ledger posts inside a transaction")
    return driver
