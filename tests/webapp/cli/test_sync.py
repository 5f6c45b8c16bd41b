"""`ledgerwire sync`: what it says of a run's end, and of what cannot be pulled."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from uuid import uuid4

import pytest
from click.testing import CliRunner, Result

from tests.builders import MASTER_KEYS, SECRET_KEY, payment
from tests.workers.acme import Acme, Place, connect, installed, make_connector, make_place
from webapp.cli import main
from workers import pull


@pytest.fixture(scope="module")
def place(file_database_url: str) -> Iterator[Place]:
    with installed(make_connector()):
        made = make_place(file_database_url)
        yield made
        made.database.dispose()


@pytest.fixture
def acme() -> Iterator[Acme]:
    made = Acme()
    yield made
    made.stop()


@pytest.fixture(autouse=True)
def running(place: Place, redis_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name, value in {
        "DATABASE_URL": place.settings.database_url or "",
        "REDIS_URL": redis_url,
        "DATA_DIR": str(tmp_path / "data"),
        "SECRET_KEY": SECRET_KEY,
        "MASTER_KEYS": MASTER_KEYS,
    }.items():
        monkeypatch.setenv(name, value)


def sync(*arguments: str) -> Result:
    return CliRunner().invoke(main, ["sync", *arguments])


def test_it_says_what_a_run_brought_and_why_one_failed(
    place: Place, acme: Acme, monkeypatch: pytest.MonkeyPatch
) -> None:
    acme.items = [payment(at=60, id="pmt_1"), payment(at=120, id="pmt_2"), payment(at=180, id="pmt_3")]
    shop = connect(place, acme)
    pull.plan(place)
    # A worker takes it up while the command waits.
    watch = SimpleNamespace(monotonic=time.monotonic, sleep=lambda _seconds: pull.drain(place))
    monkeypatch.setattr("webapp.cli.sync.time", watch)
    done = sync(str(shop.connection_id))
    assert (done.exit_code, done.output.splitlines()[0]) == (0, "done: 3 listed on 2 pages, 3 were new")
    assert done.output.splitlines()[1].startswith("  payment: 3 listed, 0 by webhook, ")
    acme.always = lambda path, _query: (404, {}, {}) if path == "/events" else None
    place.wait(1e9)
    failed = sync(str(shop.connection_id))
    assert failed.exit_code == 1
    assert "failed: 0 listed on 0 pages" in failed.output
    assert "acme: GET /events answered 404" in failed.output


def test_what_is_not_there_is_said() -> None:
    done = sync(str(uuid4()))
    assert (done.exit_code, "does not exist" in done.output) == (1, True)
