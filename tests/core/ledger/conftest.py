"""Desks over ledgers that the tests of a file share; each test brings accounts of its own."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from core.database import Database
from tests.conftest import Servers
from tests.core.ledger.desk import UNGUARD, Desk
from tests.standing import standing_database

# Above the number of those who come at once, or a race waits at the pool and shows nothing.
POOL = 64


def _open(address: str) -> Database:
    return Database("postgresql+psycopg://" + address.split("://", 1)[1], pool_size=POOL)


@pytest.fixture(scope="module")
def guarded(servers: Servers, template_database: str) -> Iterator[Desk]:
    """A ledger as it is installed."""
    with standing_database(servers, template_database) as address:
        database = _open(address)
        yield Desk(database)
        database.dispose()


@pytest.fixture(scope="module")
def unguarded(servers: Servers, template_database: str) -> Iterator[Desk]:
    """A ledger whose database believes everything: what is right there, the code alone keeps right."""
    with standing_database(servers, template_database) as address:
        database = _open(address)
        with database.connect() as connection:
            connection.exec_driver_sql(UNGUARD.replace("%", "%%"))
        yield Desk(database, guarded=False)
        database.dispose()


@pytest.fixture(params=["guarded", "unguarded"])
def desk(request: pytest.FixtureRequest) -> Desk:
    """Both, one after the other: an invariant is kept by the code, with and without the database's help."""
    found: Desk = request.getfixturevalue(request.param)
    return found
