"""What every test may ask for: real servers, an empty migrated database, a clean environment."""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
import redis

from config import embedded, settings
from tests import budget
from tests.scratch import scratch
from tests.standing import create, drop, other_path, standing_database

# Read before any test cleans the environment: a developer may bring servers of their own.
_GIVEN_DATABASE = os.environ.get("DATABASE_URL", "")
_GIVEN_REDIS = os.environ.get("REDIS_URL", "")
# Which of several test processes this is, counted from 0.
_PROCESS = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))


@dataclass(frozen=True, slots=True)
class Servers:
    """The servers of this test run. `postgres` and `valkey` are None where the developer's own are used."""

    database_url: str
    redis_url: str
    postgres: embedded.Server | None
    valkey: embedded.Server | None


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """With `--dist loadscope`, what belongs together is what distribution.py says."""
    if config.getvalue("dist") != "loadscope":
        return None
    from tests.distribution import Deal

    return Deal(config, log)


def pytest_configure(config: pytest.Config) -> None:
    """Before any test file is imported."""
    budget.configure(whole=config.option.markexpr != "not long")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Several processes begin with the longest files; one alone keeps the order of the folders."""
    if hasattr(config, "workerinput"):
        from tests.distribution import place_of

        items.sort(key=lambda item: place_of(item.nodeid))


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Take our variables out of the environment, so that a test sees what it sets and nothing else."""
    ours = {field.upper() for field in settings.Settings.model_fields}
    for name in list(os.environ):
        if name.upper() in ours or name.upper().endswith(("_WEBHOOK_SECRET", "_API_BASE")):
            monkeypatch.delenv(name)
    settings.load.cache_clear()
    yield
    settings.load.cache_clear()


@pytest.fixture(scope="session")
def servers() -> Iterator[Servers]:
    """One PostgreSQL and one Valkey for the whole run. They die with the test runner, however it ends."""
    with scratch("lw-tests-") as folder:
        started: list[embedded.Server] = []
        try:
            postgres = valkey = None
            if not _GIVEN_DATABASE:
                postgres = embedded.start_postgres(folder, "ledgerwire", die_with_parent=True, sync=False)
                started.append(postgres)
            if not _GIVEN_REDIS:
                valkey = embedded.start_valkey(folder, die_with_parent=True)
                started.append(valkey)
            yield Servers(
                database_url=postgres.url if postgres else _GIVEN_DATABASE,
                # A developer's own data is in database 0 and stays there.
                redis_url=valkey.url if valkey else other_path(_GIVEN_REDIS, str(15 - _PROCESS)),
                postgres=postgres,
                valkey=valkey,
            )
        finally:
            for server in started:
                server.stop(5.0)


@pytest.fixture(scope="session")
def template_database(servers: Servers) -> Iterator[str]:
    """Name of a migrated database that others are copied from."""
    from core import migrations

    name = f"template_{uuid.uuid4().hex[:12]}"
    create(servers.database_url, name)
    url = other_path(servers.database_url, name)
    migrations.upgrade("postgresql+psycopg://" + url.split("://", 1)[1])
    yield name
    drop(servers.database_url, name)


@pytest.fixture
def database_url(servers: Servers, template_database: str) -> Iterator[str]:
    """Address (postgresql://…) of a migrated database of this test's own."""
    with standing_database(servers, template_database) as address:
        yield address


@pytest.fixture(scope="module")
def file_database_url(servers: Servers, template_database: str) -> Iterator[str]:
    """The same, shared by the tests of one file: making a database costs more than most tests."""
    with standing_database(servers, template_database) as address:
        yield address


@pytest.fixture
def redis_url(servers: Servers) -> str:
    """Address of an empty Redis."""
    with redis.Redis.from_url(servers.redis_url) as client:
        client.flushdb()
    return servers.redis_url
