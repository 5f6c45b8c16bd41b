"""Say what is wrong with this installation, and how to mend it.

Exits with 1 when something must be mended. Nothing is changed.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

import click
import psutil

from config import assets, embedded, keys, runtime, settings, supervisor
from config.settings import InvalidSettings, Settings

_GIGABYTE = 1_000_000_000


class Level(Enum):
    """How bad a finding is."""

    OK = "ok"
    WARN = "warn"
    FAIL = "fail"


_COLOURS = {Level.OK: "green", Level.WARN: "yellow", Level.FAIL: "red"}


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of the report. `mend` says what to do about it."""

    level: Level
    subject: str
    text: str
    mend: str = ""


def fine(subject: str, text: str) -> Finding:
    """Nothing to do."""
    return Finding(Level.OK, subject, text)


def warn(subject: str, text: str, mend: str) -> Finding:
    """It works, and could be better."""
    return Finding(Level.WARN, subject, text, mend)


def fail(subject: str, text: str, mend: str) -> Finding:
    """It cannot work so."""
    return Finding(Level.FAIL, subject, text, mend)


@click.command("doctor", help=__doc__)
def command() -> None:
    """Check everything and print a line for each check."""
    failed = False
    for finding in examine():
        level = click.style(finding.level.value.ljust(4), _COLOURS[finding.level])
        click.echo(f"{level}  {finding.subject}: {finding.text}")
        if finding.mend:
            click.echo(f"      {finding.mend}")
        failed = failed or finding.level is Level.FAIL
    sys.exit(1 if failed else 0)


def examine() -> Iterator[Finding]:
    """Every finding, the most basic first. Later checks are left out when they cannot mean anything."""
    yield check_python()
    found = runtime.environment()
    try:
        given = settings.from_environment(found)
    except InvalidSettings as error:
        for line in str(error).splitlines():
            yield fail("settings", line, "See .env.example.")
        return
    yield fine("settings", "every variable can be used")
    data_dir = given.data_dir.resolve()
    yield from check_wheels(given)
    yield from check_data_dir(data_dir)
    yield from check_keys(data_dir, found)
    yield check_mail(given)
    yield check_assets()
    running = runtime.noted(data_dir)
    yield check_port(given, running)
    if running is not None:
        yield from check_processes(running)
    try:
        connected = runtime.connect()
    except runtime.NotRunning as error:
        yield warn("servers", "the embedded PostgreSQL and Valkey are not running", str(error))
        return
    except keys.BrokenKeys:
        return
    yield from guarded("database", check_database, connected)
    yield from guarded("redis", check_redis, connected)


def check_python() -> Finding:
    """Python is new enough."""
    version = ".".join(str(part) for part in sys.version_info[:3])
    if sys.version_info >= (3, 11):  # noqa: UP036 - a report says what it looked at
        return fine("python", version)
    return fail("python", version, "Install Python 3.11 or newer and run `make run` again.")


def check_wheels(given: Settings) -> Iterator[Finding]:
    """The embedded servers that are needed are there."""
    for address, title, find in (
        (given.database_url, "built-in PostgreSQL", embedded.postgres_binaries),
        (given.redis_url, "built-in Valkey", embedded.valkey_binary),
    ):
        if address is not None:
            yield fine(title, "not needed, a server of your own is set")
            continue
        try:
            find()
        except embedded.EmbeddedServerError as error:
            yield fail(title, "missing", str(error))
        else:
            yield fine(title, "there")


def check_data_dir(data_dir: Path) -> Iterator[Finding]:
    """The data folder can be written, is private where it must be, and has room."""
    if not data_dir.is_dir():
        yield warn("data folder", f"{data_dir} does not exist yet", "`make run` makes it.")
        return
    if not os.access(data_dir, os.W_OK | os.X_OK):
        yield fail("data folder", f"{data_dir} cannot be written", "Run as its owner, or set DATA_DIR.")
        return
    secrets = data_dir / "secrets"
    exposed = [path for path in (secrets, *secrets.glob("*")) if path.exists() and path.stat().st_mode & 0o077]
    if exposed:
        yield fail("data folder", f"{exposed[0]} can be read by others", f"chmod -R go= {secrets}")
    else:
        yield fine("data folder", str(data_dir))
    free = shutil.disk_usage(data_dir).free
    text = f"{free / _GIGABYTE:.1f} GB free"
    if free < 0.2 * _GIGABYTE:
        yield fail("disk", text, "Make room: PostgreSQL stops when it cannot write.")
    elif free < 2 * _GIGABYTE:
        yield warn("disk", text, "Make room soon.")
    else:
        yield fine("disk", text)


def check_keys(data_dir: Path, environment: dict[str, str]) -> Iterator[Finding]:
    """Both keys are set or on disk, and whole."""
    try:
        stored = keys.stored_keys(data_dir)
    except keys.BrokenKeys as error:
        yield fail("keys", str(error), "Put the file back from a backup.")
        return
    for variable in ("SECRET_KEY", "MASTER_KEYS"):
        if environment.get(variable, "").strip():
            yield fine("keys", f"{variable} is set by the environment")
        elif variable in stored:
            yield fine("keys", f"{variable} is on disk")
        else:
            yield warn("keys", f"{variable} is not made yet", "`make run` makes it at the first start.")


def check_mail(given: Settings) -> Finding:
    """Mails are sent, or kept on purpose."""
    if given.smtp_url is not None:
        return fine("mail", f"sent as {given.mail_from}")
    if given.demo_mode:
        return fine("mail", "kept, and shown on the page Mailbox: SMTP_URL is not set")
    return warn("mail", "nothing is sent: buyers without an account cannot be asked", "Set SMTP_URL and MAIL_FROM.")


def check_assets() -> Finding:
    """The browser libraries are there."""
    missing = [name for name in (*assets.FILES, "icons.svg") if not (assets.VENDOR / name).is_file()]
    if missing:
        return fail("browser libraries", f"missing: {', '.join(missing)}", "Run `make assets`.")
    return fine("browser libraries", "there")


def check_port(given: Settings, running: runtime.Runtime | None) -> Finding:
    """The port is ours when Ledgerwire runs, and free when it does not."""
    if running is not None:
        try:
            opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
            with opener.open(f"{running.url}/api/health/ready", timeout=3):
                return fine("web", f"ready at {running.url}")
        except OSError as error:
            return fail("web", f"not ready at {running.url} ({error})", "Look at the output of `make run`.")
    family = socket.AF_INET6 if ":" in given.host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((given.host, given.port))
        except OSError as error:
            text = f"port {given.port} of {given.host} cannot be used ({error.strerror})"
            return fail("port", text, "Free it, or set PORT.")
    return fine("port", f"{given.port} is free")


def check_processes(running: runtime.Runtime) -> Iterator[Finding]:
    """Every process of the Procfile that `up` starts is there."""
    wanted = supervisor.parse_procfile(supervisor.find_procfile().read_text(encoding="utf-8"))
    commands = []
    with contextlib.suppress(psutil.Error):
        for child in psutil.Process(running.pid).children():
            with contextlib.suppress(psutil.Error):
                commands.append(child.cmdline())
    for name, words in wanted.items():
        if name == "ingress":
            continue
        if any(words[-1] in found for found in commands):
            yield fine("process", f"{name} runs")
        else:
            yield fail("process", f"{name} does not run", "Look at the output of `make run`: it says why it stopped.")


def guarded(subject: str, check: Callable[[Settings], Iterator[Finding]], connected: Settings) -> Iterator[Finding]:
    """A check that talks to a server; whatever goes wrong there is a finding too."""
    try:
        yield from check(connected)
    except Exception as error:  # noqa: BLE001 - a report must name the failure instead of ending in it
        # The type only: a driver's message may hold the address with its password.
        yield fail(subject, f"cannot be used ({type(error).__name__})", f"Check that it runs: {subject.upper()}_URL.")


def check_database(connected: Settings) -> Iterator[Finding]:
    """PostgreSQL is new enough, durable, migrated, and agrees with us about the time."""
    from sqlalchemy import create_engine, text  # noqa: PLC0415 - `--help` and a failing start need no SQLAlchemy

    from core import migrations  # noqa: PLC0415

    engine = create_engine(connected.sqlalchemy_url, connect_args={"connect_timeout": 5})
    with engine.connect() as connection:

        def show(name: str) -> str:
            return str(connection.execute(text("SELECT current_setting(:name)"), {"name": name}).scalar_one())

        version = show("server_version")
        if int(show("server_version_num")) < 150_000:
            yield fail("database", f"PostgreSQL {version}", "Use PostgreSQL 15 or newer.")
        else:
            yield fine("database", f"PostgreSQL {version}")
        for name, good in (
            ("fsync", ("on",)),
            ("synchronous_commit", ("on", "remote_apply", "remote_write")),
        ):
            if show(name) in good:
                yield fine("database", f"{name} is {show(name)}")
            else:
                mend = "Set it to on: an acknowledged webhook must survive a crash."
                yield fail("database", f"{name} is {show(name)}", mend)
        if migrations.at_head(connection):
            yield fine("database", "its tables are those of this version")
        else:
            yield fail(
                "database",
                "its tables are not those of this version",
                "Restart with `make run`: it migrates.",
            )
        before = time.time()
        theirs = float(connection.execute(text("SELECT extract(epoch FROM clock_timestamp())")).scalar_one())
        skew = theirs - (before + time.time()) / 2
        if abs(skew) > 5:
            yield warn("clock", f"the database's differs by {skew:.1f} s", "Run NTP on both machines.")
        else:
            yield fine("clock", "agrees with the database's")
    engine.dispose()


def check_redis(connected: Settings) -> Iterator[Finding]:
    """Redis answers, keeps its data on disk and throws nothing away."""
    import redis  # noqa: PLC0415

    with redis.Redis.from_url(connected.required_redis_url, socket_timeout=5, decode_responses=True) as client:
        server = client.info("server")
        yield fine("redis", f"{'Valkey' if 'valkey_version' in server else 'Redis'} {_version(server)}")
        try:
            policy = client.config_get("maxmemory-policy")["maxmemory-policy"]
            appends = client.config_get("appendonly")["appendonly"]
        except redis.ResponseError:
            yield warn("redis", "does not show its configuration", "Make sure that maxmemory-policy is noeviction.")
            return
    if policy == "noeviction":
        yield fine("redis", "throws nothing away (noeviction)")
    else:
        yield fail("redis", f"maxmemory-policy is {policy}", "Set it to noeviction: queued work would vanish.")
    if appends == "yes":
        yield fine("redis", "keeps its data on disk (appendonly)")
    else:
        yield warn(
            "redis",
            "appendonly is off",
            "Rings of the doorbell are lost at a restart; the sweep finds the work.",
        )


def _version(server: dict[str, object]) -> object:
    return server.get("valkey_version") or server.get("redis_version")
