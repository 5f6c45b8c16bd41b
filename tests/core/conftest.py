"""A database session source for tests of the domain, and a worker with a seller where a file asks for them."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from sqlalchemy.orm import Session

from core.database import Database
from core.identity import Actor
from tests.builders import Clockwork, add_seller, worker


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    made = Database("postgresql+psycopg://" + database_url.split("://", 1)[1], pool_size=16)
    yield made
    made.dispose()


@pytest.fixture(scope="module")
def context(file_database_url: str) -> Iterator[Clockwork]:
    with worker(file_database_url) as parts:
        yield parts


@pytest.fixture
def seller(context: Clockwork) -> Actor:
    return add_seller(context)


@pytest.fixture
def session(context: Clockwork) -> Iterator[Session]:
    with context.database.session() as opened:
        yield opened
