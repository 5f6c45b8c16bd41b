"""One database for a file, and people in it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from core.database import Database


@pytest.fixture(scope="module")
def books(file_database_url: str) -> Iterator[Database]:
    """A database that the tests of one file share; each brings its own people."""
    made = Database("postgresql+psycopg://" + file_database_url.split("://", 1)[1], pool_size=4)
    yield made
    made.dispose()
