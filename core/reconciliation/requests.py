"""Whose lines and payments are to be looked at; whoever looks is rung for once this is committed."""

from __future__ import annotations

from collections.abc import Iterable
from uuid import UUID

from sqlalchemy import Connection, text

from core.bulk import array


def ask(connection: Connection, users: Iterable[UUID]) -> None:
    """Have the engine look at what is open of these users."""
    if wanted := sorted(set(users)):
        connection.execute(
            text("INSERT INTO reconcile_requests (user_id) SELECT * FROM unnest(CAST(:users AS uuid[]))"),
            {"users": array(wanted, "uuid")},
        )
