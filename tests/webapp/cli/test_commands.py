"""The command line: help, and how a start that cannot succeed ends."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from config import runtime
from webapp.cli import main


@pytest.fixture
def data_dir(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A data folder of this test's own."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DATA_DIR", str(tmp_path / "data"))
    return tmp_path / "data"


def test_help_lists_every_command_without_loading_any() -> None:
    code = (
        "import sys; from webapp.cli import main\n"
        "try: main(['--help'])\n"
        "finally: print(sorted(m for m in sys.modules if m in ('sqlalchemy', 'flask', 'psycopg', 'webapp.cli.up')))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "Start everything" in done.stdout
    assert "Say what is wrong" in done.stdout
    assert done.stdout.endswith("[]\n")


def test_a_bad_setting_ends_the_start_with_its_name(data_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PORT", "99999")
    result = CliRunner().invoke(main, ["up"])
    assert result.exit_code == 2
    assert "PORT: " in result.output
    assert not data_dir.exists()


def test_a_busy_port_is_said_before_anything_starts(data_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        monkeypatch.setenv("PORT", str(port))
        result = CliRunner().invoke(main, ["up"])
    assert result.exit_code == 1
    assert f"port {port} of 127.0.0.1 cannot be used" in result.output
    assert f"process {os.getpid()}" in result.output
    assert not (data_dir / "postgres").exists()


def test_a_second_start_says_where_the_first_one_is(data_dir: Path) -> None:
    with runtime.locked(data_dir):
        runtime.note(data_dir, runtime.Runtime(pid=os.getpid(), url="http://127.0.0.1:5000"))
        result = CliRunner().invoke(main, ["up"])
    assert result.output == f"Ledgerwire is already running at http://127.0.0.1:5000 (pid {os.getpid()})\n"
    assert result.exit_code == 0


def test_doctor_tells_of_an_exposed_key_and_how_to_hide_it(data_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PORT", "1")
    secrets = data_dir / "secrets"
    secrets.mkdir(parents=True)
    (secrets / "secret_key").write_text("s" * 40, encoding="utf-8")
    (secrets / "secret_key").chmod(0o644)
    result = CliRunner().invoke(main, ["doctor"])
    assert result.exit_code == 1
    assert "can be read by others" in result.output
    assert "chmod -R go=" in result.output
    assert "Start it with `make run`" in result.output


def test_doctor_reads_the_bad_setting_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ASYNC_MODE", "twisted")
    result = CliRunner().invoke(main, ["doctor"])
    assert result.exit_code == 1
    assert "ASYNC_MODE" in result.output


def test_doctor_examines_the_servers(
    data_dir: Path, database_url: str, redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATABASE_URL", database_url)
    monkeypatch.setenv("REDIS_URL", redis_url)
    result = CliRunner().invoke(main, ["doctor"])
    for line in (
        "ok    database: fsync is on",
        "ok    database: synchronous_commit is on",
        "ok    database: its tables are those of this version",
        "ok    clock: agrees",
        "ok    redis: throws nothing away",
        "ok    redis: keeps its data on disk",
    ):
        assert line in result.output
