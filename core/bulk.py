"""Many rows in one statement: arrays go in, `unnest` makes rows of them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any


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
        """An UPDATE of every column but the key, by the key. `suffix` goes into SET."""
        changes = ", ".join(f"{name} = given.{name}" for name in self.columns if name != key)
        return f"UPDATE {table} SET {changes}{suffix} FROM {self.source('given')} WHERE {table}.{key} = given.{key}"

    def parameters(self, rows: Iterable[Mapping[str, Any]]) -> dict[str, list[Any]]:
        """The arrays of the rows, a column each."""
        listed: Sequence[Mapping[str, Any]] = list(rows)
        return {name: [row[name] for row in listed] for name in self.columns}
