"""A whole installation of its own, made to be hurt: real servers, real processes, and the product's supervisor.

Everything is started by one thread that lives as long as the installation, because the kernel ends what it
started when that thread ends: whatever becomes of the test run, nothing is left behind.
"""

from __future__ import annotations

import contextlib
import os
import queue
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from pathlib import Path
from typing import TypeVar

import psutil
import psycopg
import requests
from psycopg import sql

from config import embedded, supervisor
from config.embedded.account import die_with_parent
from core import migrations
from tests.builders import MASTER_KEYS, SECRET_KEY, Clockwork, make_context

ROOT = Path(__file__).resolve().parents[2]
LEASE_SECONDS = 3
# Generous: two busy cores, and others on them. Nothing here measures speed.
PATIENCE_SECONDS = 60.0

_Result = TypeVar("_Result")


def note(message: str) -> None:
    """Say something that is shown with a failure."""
    sys.stderr.write(f"{message}\n")


def wait_for(what: str, missing: Callable[[], object], seconds: float = PATIENCE_SECONDS) -> None:
    """Poll until `missing` returns nothing; fail with what it returned last."""
    ends = time.monotonic() + seconds
    while left := missing():
        assert time.monotonic() < ends, f"{what}: still missing after {seconds:g} s: {left}"
        time.sleep(0.05)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Guarded:
    """A server as the supervisor watches it, which can be told to stay down for a while."""

    def __init__(self, server: embedded.Server) -> None:
        self.title = server.title
        self.server = server
        self.held = False

    def alive(self) -> bool:
        return self.held or self.server.alive()

    def launch(self) -> None:
        self.server.launch()


class Installation:
    """Servers, processes, and the ways to hurt them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.port = free_port()
        self._orders: queue.Queue[Callable[[], None]] = queue.Queue()
        self._stopping = threading.Event()
        self._ready: Future[None] = Future()
        self._out = (folder / "processes.log").open("a", encoding="utf-8")
        self._thread = threading.Thread(target=self._live, name="installation", daemon=True)
        self._thread.start()
        self._ready.result(120)
        self.context: Clockwork = make_context(self.database_url, self.redis_url, lease_seconds=str(LEASE_SECONDS))

    # The thread that starts everything ---------------------------------------------------------------------------

    def _live(self) -> None:
        servers: list[embedded.Server] = []
        try:
            self.postgres = Guarded(embedded.start_postgres(self.folder, "faults", die_with_parent=True, sync=False))
            servers.append(self.postgres.server)
            self.valkey = Guarded(embedded.start_valkey(self.folder, die_with_parent=True))
            servers.append(self.valkey.server)
            migrations.upgrade("postgresql+psycopg://" + self.database_url.split("://", 1)[1])
            entries = supervisor.parse_procfile((ROOT / "Procfile").read_text(encoding="utf-8"))
            self._supervisor = supervisor.Supervisor(
                {name: entries[name] for name in ("web", "worker", "relay", "beat")},
                self.environment(),
                watched={"postgres": self.postgres, "valkey": self.valkey},
                out=self._out,
            )
            self._supervisor.start()
            self._ready.set_result(None)
        except BaseException as error:  # noqa: BLE001 - it belongs to the thread that waits for us
            self._ready.set_exception(error)
        try:
            while not self._stopping.is_set():
                self._supervisor.step(0.02)
                with contextlib.suppress(queue.Empty):
                    while True:
                        self._orders.get_nowait()()
            self._supervisor.stop()
        finally:
            for server in servers:
                server.stop(10)

    def order(self, work: Callable[[], _Result]) -> _Result:
        """Have something done by the thread that starts everything."""
        future: Future[_Result] = Future()

        def run() -> None:
            try:
                future.set_result(work())
            except BaseException as error:  # noqa: BLE001 - it belongs to the thread that waits for us
                future.set_exception(error)

        self._orders.put(run)
        return future.result(60)

    def stop(self) -> None:
        """End everything."""
        self.context.database.dispose()
        self._stopping.set()
        self._thread.join(60)
        self._out.close()

    # What it is --------------------------------------------------------------------------------------------------

    @property
    def database_url(self) -> str:
        return self.postgres.server.url

    @property
    def redis_url(self) -> str:
        return self.valkey.server.url

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def environment(self) -> dict[str, str]:
        """The variables of every process."""
        return {
            "PATH": os.environ.get("PATH", os.defpath),
            "HOME": os.environ.get("HOME", "/"),
            "PYTHONPATH": str(ROOT),
            "DATABASE_URL": self.database_url,
            "REDIS_URL": self.redis_url,
            "DATA_DIR": str(self.folder),
            "SECRET_KEY": SECRET_KEY,
            "MASTER_KEYS": MASTER_KEYS,
            "HOST": "127.0.0.1",
            "PORT": str(self.port),
            "LEASE_SECONDS": str(LEASE_SECONDS),
            "ASYNC_MODE": os.environ.get("FAULTS_ASYNC_MODE", "eventlet"),
            "LOG_LEVEL": "INFO",
        }

    def said(self, lines: int = 60) -> str:
        """The last that the processes printed."""
        text = (self.folder / "processes.log").read_text(encoding="utf-8", errors="replace")
        return "\n".join(text.splitlines()[-lines:])

    @contextlib.contextmanager
    def another_database(self) -> Iterator[str]:
        """A second, migrated database on the same server."""
        name = "reference"
        with psycopg.connect(self.database_url, autocommit=True) as connection:
            connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
        url = self.database_url.replace("/faults?", f"/{name}?")
        try:
            migrations.upgrade("postgresql+psycopg://" + url.split("://", 1)[1])
            yield url
        finally:
            with psycopg.connect(self.database_url, autocommit=True) as connection:
                connection.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))

    # How it is ---------------------------------------------------------------------------------------------------

    def pid(self, name: str) -> int:
        """The process of that name, once it runs."""
        found: dict[str, int] = {}

        def missing() -> str:
            found.update(self.order(self._supervisor.pids))
            return "" if name in found else f"{name} does not run: {self.said(20)}"

        wait_for(f"process {name}", missing)
        return found[name]

    def well(self) -> str:
        """Nothing when every process and server runs and web says that all is well, else what is not."""
        try:
            answer = requests.get(f"{self.url}/api/health", timeout=5)
            health = answer.json()
        except (requests.RequestException, ValueError) as error:
            return f"web: {type(error).__name__}"
        if health["status"] != "ok":
            return f"health: {health}"
        absent = {"web", "worker", "relay", "beat"} - set(self.order(self._supervisor.pids))
        if absent:
            return f"not running: {sorted(absent)}"
        with psycopg.connect(self.database_url, connect_timeout=5) as connection:
            held = connection.execute(
                "SELECT count(*) FROM pg_locks JOIN pg_database ON pg_database.oid = database "
                "WHERE locktype = 'advisory' AND datname = 'faults'"
            ).fetchone()
        return "" if held and held[0] else "no relay is active"

    def wait_well(self) -> None:
        """Wait until all is well."""
        try:
            wait_for("a healthy installation", self.well)
        except AssertionError as error:
            raise AssertionError(f"{error}\n{self.said()}") from None

    # How it is hurt ----------------------------------------------------------------------------------------------

    def kill(self, name: str, how: str = "family") -> None:
        """kill -9. `how` is family (with its children), main (alone), or child (one of them, not the main one)."""
        if name in {"postgres", "valkey"}:
            (self.postgres if name == "postgres" else self.valkey).server.kill()
            return
        main = psutil.Process(self.pid(name))
        with contextlib.suppress(psutil.NoSuchProcess):
            children = main.children(recursive=True)
            victims = {"family": [main, *children], "main": [main], "child": children[:1] or [main]}[how]
            for victim in victims:
                with contextlib.suppress(psutil.NoSuchProcess):
                    victim.kill()

    @contextlib.contextmanager
    def down(self, name: str) -> Iterator[None]:
        """A server killed and kept down."""
        guarded = self.postgres if name == "postgres" else self.valkey
        guarded.held = True
        guarded.server.kill()
        try:
            yield
        finally:
            guarded.held = False

    @contextlib.contextmanager
    def frozen(self, *pids: int) -> Iterator[None]:
        """Processes stopped in the middle of whatever they do, and let go on afterwards."""
        for pid in pids:
            os.kill(pid, signal.SIGSTOP)
        try:
            yield
        finally:
            for pid in pids:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGCONT)

    @contextlib.contextmanager
    def beside(self, name: str, module: str) -> Iterator[subprocess.Popen[bytes]]:
        """One more process, which nobody starts again."""
        log = self.folder / f"{name}.log"

        def start() -> subprocess.Popen[bytes]:
            with log.open("ab") as out:
                return subprocess.Popen(
                    [sys.executable, "-m", module],
                    cwd=ROOT,
                    env=self.environment(),
                    stdin=subprocess.DEVNULL,
                    stdout=out,
                    stderr=out,
                    start_new_session=True,
                    # Safe beside threads: it takes no lock and imports nothing.
                    preexec_fn=lambda: die_with_parent(signal.SIGKILL),  # noqa: PLW1509
                )

        process = self.order(start)
        try:
            yield process
        finally:
            family = []
            with contextlib.suppress(psutil.NoSuchProcess):
                family = psutil.Process(process.pid).children(recursive=True)
            process.kill()
            process.wait(10)
            for child in family:
                with contextlib.suppress(psutil.NoSuchProcess):
                    child.kill()
