"""Many rows in one statement: arrays go in, `unnest` makes rows of them.

Arrays travel as PostgreSQL array literals that are put together here: the driver's own way costs several
times as much for each element, and on the hot path that is most of the time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import date, datetime
from typing import Any
from uuid import UUID

import psycopg
from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError, InvalidRequestError


def _quoted(value: str) -> str:
    if "\\" in value or '"' in value:
        value = value.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{value}"'


def _uuid(value: UUID) -> str:
    # 32 digits without dashes: PostgreSQL reads them as well, and they cost half.
    return f"{value.int:032x}"


def _time(value: date | datetime) -> str:
    return '"' + value.isoformat() + '"'


# How an element of a type is spelled inside an array literal.
_SPELLED: dict[str, Callable[[Any], str]] = {
    "uuid": _uuid,
    "bigint": str,
    "integer": str,
    "smallint": str,
    "numeric": str,
    "boolean": lambda value: "t" if value else "f",
    "text": _quoted,
    "jsonb": _quoted,
    "timestamptz": _time,
    "date": _time,
    "bytea": lambda value: '"\\\\x' + value.hex() + '"',
}


def array(values: Iterable[Any], kind: str) -> str:
    r"""The array literal of values of a PostgreSQL type; None is NULL.

    >>> array(["a", None, 'say "b"'], "text")
    '{"a",NULL,"say \\"b\\""}'
    """
    spell = _SPELLED[kind]
    return "{" + ",".join(["NULL" if value is None else spell(value) for value in values]) + "}"


@contextmanager
def pipelined(connection: Connection) -> Iterator[None]:
    """Send the statements of the block without waiting for each one's answer.

    Only for statements whose results nobody reads. What the database refuses is raised at the end of the
    block, as SQLAlchemy would raise it.
    """
    driver = connection.connection.driver_connection
    if driver is None:
        raise InvalidRequestError("the connection is closed")
    try:
        with driver.pipeline():
            yield
    except psycopg.Error as error:
        raise DBAPIError.instance(None, None, error, psycopg.Error) from error


class Rows:
    """A list of columns with their PostgreSQL types, as a row source for INSERT, UPDATE and JOIN.

    >>> Rows(id="uuid", amount="bigint").source("given")
    'unnest(CAST(:id AS uuid[]), CAST(:amount AS bigint[])) AS given (id, amount)'
    """

    def __init__(self, **columns: str) -> None:
        """Name each column with its type."""
        self.columns = columns

    @property
    def names(self) -> str:
        """The columns, comma-separated."""
        return ", ".join(self.columns)

    def source(self, alias: str) -> str:
        """The FROM item that yields the rows."""
        arrays = ", ".join(f"CAST(:{name} AS {kind}[])" for name, kind in self.columns.items())
        return f"unnest({arrays}) AS {alias} ({self.names})"

    def insert(self, table: str, suffix: str = "") -> str:
        """An INSERT of all rows in their order."""
        return f"INSERT INTO {table} ({self.names}) SELECT * FROM {self.source('given')} {suffix}"

    def update(self, table: str, key: str = "id", suffix: str = "") -> str:
        """An UPDATE of every column but the key, by the key. `suffix` goes into SET.

        The keys stand in the WHERE clause as well: partitions are pruned by them, and by a join they are not.
        """
        changes = ", ".join(f"{name} = given.{name}" for name in self.columns if name != key)
        return (
            f"UPDATE {table} SET {changes}{suffix} FROM {self.source('given')} "
            f"WHERE {table}.{key} = given.{key} AND {table}.{key} = ANY(CAST(:{key} AS {self.columns[key]}[]))"
        )

    def parameters(self, rows: Iterable[Mapping[str, Any]]) -> dict[str, str]:
        """The arrays of the rows, a column each."""
        listed: Sequence[Mapping[str, Any]] = list(rows)
        return {name: array([row[name] for row in listed], kind) for name, kind in self.columns.items()}

    def arrays(self, **columns: Iterable[Any]) -> dict[str, str]:
        """The same from columns."""
        return {name: array(columns[name], kind) for name, kind in self.columns.items()}
