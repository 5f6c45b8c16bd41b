"""Finding what runs, from another terminal."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from config import keys, runtime, settings
from config.runtime import AlreadyRunning, NotRunning, Runtime

HERE = Runtime(pid=os.getpid(), url="http://127.0.0.1:5000", database_url="postgresql://r@/d", redis_url="unix:///s")


@pytest.fixture
def data_dir(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The data folder of a working folder without a .env."""
    monkeypatch.chdir(tmp_path)
    # `connect` writes to the environment; monkeypatch puts back what it finds now.
    for name in ("DATABASE_URL", "REDIS_URL", "SECRET_KEY", "MASTER_KEYS"):
        monkeypatch.setenv(name, "")
    folder = tmp_path / "data"
    folder.mkdir()
    monkeypatch.setenv("DATA_DIR", str(folder))
    return folder


def test_connect_finds_the_embedded_servers_and_the_keys(data_dir: Path) -> None:
    runtime.note(data_dir, HERE)
    made = keys.ensure_keys(data_dir, {})
    found = runtime.connect()
    assert (found.database_url, found.redis_url) == (HERE.database_url, HERE.redis_url)
    assert found.secret_key is not None
    assert found.secret_key.get_secret_value() == made["SECRET_KEY"]
    assert settings.load() == found


def test_servers_of_the_environment_come_first(data_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgresql://mine/x")
    runtime.note(data_dir, HERE)
    found = runtime.connect()
    assert (found.database_url, found.redis_url) == ("postgresql://mine/x", HERE.redis_url)


def test_with_both_addresses_set_nothing_has_to_run(data_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgresql://mine/x")
    monkeypatch.setenv("REDIS_URL", "redis://mine")
    assert runtime.connect().redis_url == "redis://mine"


def test_when_nothing_runs_the_message_says_how_to_start_it(data_dir: Path) -> None:
    with pytest.raises(NotRunning, match="make run"):
        runtime.connect()


@pytest.mark.parametrize(
    "content",
    [
        pytest.param('{"pid": 2147483647, "url": "x"}', id="of a process that died"),
        pytest.param("{", id="cut short"),
        pytest.param('{"pid": 1, "url": "x", "more": 1}', id="of another version"),
    ],
)
def test_a_note_that_means_nothing_is_no_note(data_dir: Path, content: str) -> None:
    (data_dir / "runtime.json").write_text(content, encoding="utf-8")
    assert runtime.noted(data_dir) is None


def test_only_the_owner_may_read_the_note(data_dir: Path) -> None:
    runtime.note(data_dir, HERE)
    runtime.note(data_dir, HERE)
    assert oct((data_dir / "runtime.json").stat().st_mode & 0o777) == "0o600"


def test_a_second_start_on_the_same_folder_is_told_where_the_first_one_is(data_dir: Path) -> None:
    with runtime.locked(data_dir):
        runtime.note(data_dir, HERE)
        told = rf"already running at {HERE.url} \(pid {os.getpid()}\)"
        with pytest.raises(AlreadyRunning, match=told), runtime.locked(data_dir):
            pass
    with runtime.locked(data_dir):
        pass


def test_variables_of_the_shell_come_before_those_of_env(data_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Path(".env").write_text("PORT=1\nHOST=file\n", encoding="utf-8")
    monkeypatch.setenv("PORT", "2")
    monkeypatch.setenv("HOST", "")
    found = runtime.environment()
    assert (found["PORT"], found["HOST"]) == ("2", "file")


def test_a_command_that_needs_servers_gets_them_for_as_long_as_it_lasts(data_dir: Path) -> None:
    with runtime.running() as found:
        assert found.database_url is not None
        assert found.redis_url is not None
        pid = int((data_dir / "postgres" / "data" / "postmaster.pid").read_text(encoding="utf-8").split()[0])
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)
