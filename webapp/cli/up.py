"""Start everything: servers, database, demo data and all processes, until Ctrl-C.

What is not given by DATABASE_URL and REDIS_URL is started here, under DATA_DIR. What dies is started again.
"""

from __future__ import annotations

import contextlib
import socket
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import click
import psutil

from config import keys, runtime, settings, supervisor
from config.embedded import EmbeddedServerError, Server, start_postgres, start_valkey
from config.settings import InvalidSettings, Settings

# Ctrl-C to the prompt within 10 s: the processes get what they need, the servers the rest.
_PROCESS_GRACE_SECONDS = 7.0
_SERVER_GRACE_SECONDS = 2.0
_PATIENCE_SECONDS = 30.0


class CannotStart(Exception):
    """Something of the machine stands in the way; the message says what and how to mend it."""


class StopRequested(Exception):
    """Ctrl-C or SIGTERM came while starting."""


@click.command("up", help=__doc__)
@click.option("--ingress", default=0, show_default=True, type=click.IntRange(0, 64), help="Webhook-only processes.")
@click.option("--workers", default=1, show_default=True, type=click.IntRange(1, 64), help="Celery workers.")
def command(ingress: int, workers: int) -> None:
    """Start everything and stay until Ctrl-C."""
    for stream in (sys.stdout, sys.stderr):
        # A terminal that cannot show a character must not stop the start.
        stream.reconfigure(errors="replace")  # type: ignore[union-attr]
    environment = runtime.environment()
    try:
        given = settings.from_environment(environment)
    except InvalidSettings as error:
        click.echo(f"These settings cannot be used (see .env.example):\n{error}", err=True)
        sys.exit(2)
    data_dir = given.data_dir.resolve()
    try:
        with runtime.locked(data_dir):
            Start(given, environment, data_dir, {"ingress": ingress, "worker": workers}).run()
    except runtime.AlreadyRunning as error:
        click.echo(str(error))
    except StopRequested:
        click.echo("Stopped.")
    except (EmbeddedServerError, CannotStart, keys.BrokenKeys) as error:
        click.echo(f"Ledgerwire cannot start: {error}", err=True)
        sys.exit(1)
    except PermissionError as error:
        click.echo(f"Ledgerwire cannot start: DATA_DIR: no right to write {error.filename}", err=True)
        sys.exit(1)


class Start:
    """One start of the whole installation, from the servers to the last process."""

    def __init__(self, given: Settings, environment: dict[str, str], data_dir: Path, scale: dict[str, int]) -> None:
        self.given = given
        self.environment = {**environment, "DATA_DIR": str(data_dir)}
        self.data_dir = data_dir
        self.scale = scale
        self.servers: dict[str, Server] = {}
        self.began = time.monotonic()
        self.url = f"http://{_bracketed(given.host)}:{given.port}"
        self._supervisor: supervisor.Supervisor | None = None
        self._leaving = False

    def run(self) -> None:
        """Start, stay, stop. Nothing of ours runs afterwards, whatever happened."""
        self._check_port()
        runtime.note(self.data_dir, runtime.Runtime(pid=psutil.Process().pid, url=self.url))
        with supervisor.signals(self._stop_requested):
            try:
                self._start_servers()
                self._prepare_database()
                self._run_processes()
            finally:
                self._leaving = True
                self._stop_servers()
                runtime.forget(self.data_dir)

    def _stop_requested(self) -> None:
        if self._leaving:
            return
        if self._supervisor is None:
            raise StopRequested
        if not self._supervisor.stopping:
            self._supervisor.say("stopping")
        self._supervisor.request_stop()

    def _check_port(self) -> None:
        family = socket.AF_INET6 if ":" in self.given.host else socket.AF_INET
        with socket.socket(family, socket.SOCK_STREAM) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((self.given.host, self.given.port))
            except OSError as error:
                raise CannotStart(
                    f"port {self.given.port} of {self.given.host} cannot be used ({error.strerror})"
                    f"{_holder(self.given.port)}. Free it, or choose another: PORT={self.given.port + 1}"
                ) from error

    def _start_servers(self) -> None:
        with _step("Keys"):
            self.environment |= keys.ensure_keys(self.data_dir, self.environment)
        if self.given.redis_url is None:
            with _step("Valkey"):
                self.servers["valkey"] = start_valkey(self.data_dir, progress=_remark)
                self.environment["REDIS_URL"] = self.servers["valkey"].url
        if self.given.database_url is None:
            with _step("PostgreSQL"):
                self.servers["postgres"] = start_postgres(self.data_dir, self.given.database_name, progress=_remark)
                self.environment["DATABASE_URL"] = self.servers["postgres"].url
        urls = {f"{kind}_url": self.servers[name].url for kind, name in _KINDS.items() if name in self.servers}
        runtime.note(self.data_dir, runtime.Runtime(pid=psutil.Process().pid, url=self.url, **urls))

    def _prepare_database(self) -> None:
        # Imported here: a wrong setting or a busy port is told at once, without waiting for SQLAlchemy.
        from core import migrations  # noqa: PLC0415
        from workers import demo  # noqa: PLC0415

        found = runtime.apply(self.environment)
        with _step("Database tables"):
            migrations.upgrade(found.sqlalchemy_url)
        if found.demo_mode:
            with _step("Demo data"):
                demo.load(found)

    def _run_processes(self) -> None:
        entries = supervisor.parse_procfile(supervisor.find_procfile().read_text(encoding="utf-8"))
        self._supervisor = keeper = supervisor.Supervisor(
            supervisor.instances(entries, self.scale),
            self.environment,
            watched=self.servers,
            grace_seconds=_PROCESS_GRACE_SECONDS,
        )
        try:
            keeper.start()
            if self._wait_until_ready(keeper):
                self._greet()
            while not keeper.stopping:
                keeper.step()
        finally:
            keeper.stop()

    def _wait_until_ready(self, keeper: supervisor.Supervisor) -> bool:
        began = said = time.monotonic()
        while not keeper.stopping:
            keeper.step(0.1)
            verdict = _ready(self.given)
            if verdict is None:
                return True
            if time.monotonic() - said > _PATIENCE_SECONDS:
                said = time.monotonic()
                keeper.say(f"not ready after {said - began:.0f} s: {verdict}. `ledgerwire doctor` may tell more.")
        return False

    def _greet(self) -> None:
        program = Path(sys.argv[0])
        with contextlib.suppress(ValueError):
            program = program.resolve().relative_to(Path.cwd())
        lines = ["", f"Ledgerwire is ready at {self.url}  ({time.monotonic() - self.began:.1f} s)"]
        if self.given.public_url:
            lines.append(f"Outside it is {self.given.base_url}")
        if self.given.demo_mode:
            lines += [
                "",
                "Sign in, with password password123, as",
                "  seller@demo.com    buyer@demo.com    investor@demo.com    operator@demo.com",
                "",
                "Then, in another terminal, let a payment arrive and watch it on the page:",
                f"  {program} simulate razorpay payment.captured --invoice <number>",
            ]
        lines += ["", "Ctrl-C stops everything.", ""]
        click.echo("\n".join(lines))

    def _stop_servers(self) -> None:
        if self._supervisor is not None and self.servers:
            self._supervisor.say("stopping PostgreSQL and Valkey")
        for server in self.servers.values():
            server.stop(_SERVER_GRACE_SECONDS)


_KINDS = {"database": "postgres", "redis": "valkey"}


@contextlib.contextmanager
def _step(title: str) -> Iterator[None]:
    """Say what is being done, and how long it took."""
    began = time.monotonic()
    click.echo(f"  {title} … ", nl=False)
    try:
        yield
    except BaseException:
        click.echo("")
        raise
    click.echo(f"ready ({time.monotonic() - began:.1f} s)")


def _remark(message: str) -> None:
    click.echo(f"\n    {message} … ", nl=False)


def _ready(given: Settings) -> str | None:
    """Why web is not ready yet, or None when it is."""
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(given.host, given.host)  # noqa: S104 - compared, not bound
    url = f"http://{_bracketed(host)}:{given.port}/api/health/ready"
    # Not through a proxy of the environment: this is our own machine.
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(url, timeout=1.0) as answer:
            return None if answer.status == 200 else f"health says {answer.status}"
    except urllib.error.HTTPError as error:
        return f"health says {error.code}"
    except (OSError, urllib.error.URLError) as error:
        return f"web does not answer yet ({getattr(error, 'reason', error)})"


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host


def _holder(port: int) -> str:
    """Which process listens on a port, as far as we may know."""
    with contextlib.suppress(psutil.Error, OSError):
        for connection in psutil.net_connections("tcp"):
            if (
                connection.status == psutil.CONN_LISTEN
                and connection.pid
                and connection.laddr
                and connection.laddr.port == port
            ):
                return f"; process {connection.pid} ({psutil.Process(connection.pid).name()}) listens there"
    return ""
