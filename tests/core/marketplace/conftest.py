"""One database a file, with a pool large enough for races."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from core.database import Database


@pytest.fixture(scope="module")
def market(file_database_url: str) -> Iterator[Database]:
    made = Database("postgresql+psycopg://" + file_database_url.split("://", 1)[1], pool_size=24)
    yield made
    made.dispose()
