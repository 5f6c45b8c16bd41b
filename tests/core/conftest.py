"""A database session source for tests of the domain."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from core.database import Database


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    made = Database("postgresql+psycopg://" + database_url.split("://", 1)[1], pool_size=16)
    yield made
    made.dispose()
