"""What runs now, for commands of another terminal.

`ledgerwire up` notes in DATA_DIR/runtime.json where its embedded servers listen. `connect` reads it, so that
`ledgerwire simulate` or `doctor` finds the same database without being told.
"""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

import psutil

from config import envfile, keys, settings
from config.settings import Settings


class NotRunning(Exception):
    """A command needs the embedded servers, and they are not running."""


class AlreadyRunning(Exception):
    """Another `ledgerwire up` holds this data folder."""

    def __init__(self, runtime: Runtime | None) -> None:
        self.runtime = runtime
        super().__init__(
            f"Ledgerwire is already running at {runtime.url} (pid {runtime.pid})"
            if runtime and runtime.url
            else "Ledgerwire is already starting or stopping on this data folder"
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Runtime:
    """A running installation. The addresses are those of embedded servers; None means the user's own."""

    pid: int
    url: str
    database_url: str | None = None
    redis_url: str | None = None


def environment() -> dict[str, str]:
    """The environment with what `.env` in the working folder adds to it."""
    given = {name: value for name, value in os.environ.items() if value.strip()}
    return {**os.environ, **envfile.read(Path(".env")), **given}


def note(data_dir: Path, runtime: Runtime) -> None:
    """Write what runs. Only the owner may read it."""
    path = data_dir / "runtime.json"
    new = path.with_suffix(".new")
    new.unlink(missing_ok=True)
    descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        json.dump(asdict(runtime), file)
    new.replace(path)


def noted(data_dir: Path) -> Runtime | None:
    """What runs on this data folder, or None when nothing does (a dead process's note does not count)."""
    try:
        runtime = Runtime(**json.loads((data_dir / "runtime.json").read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return None
    return runtime if psutil.pid_exists(runtime.pid) else None


def forget(data_dir: Path) -> None:
    """Remove the note."""
    (data_dir / "runtime.json").unlink(missing_ok=True)


@contextmanager
def locked(data_dir: Path) -> Iterator[None]:
    """Hold the data folder for this process. Raises AlreadyRunning when another one holds it.

    The kernel gives the lock back when the process ends, however it ends.
    """
    data_dir.mkdir(mode=0o711 if os.geteuid() == 0 else 0o700, parents=True, exist_ok=True)
    descriptor = os.open(data_dir / "up.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise AlreadyRunning(noted(data_dir)) from None
        yield
    finally:
        os.close(descriptor)


def apply(values: Mapping[str, str]) -> Settings:
    """Make `values` the environment's, and return the settings read from it."""
    os.environ.update(values)
    settings.load.cache_clear()
    return settings.load()


def connect() -> Settings:
    """The settings of the running installation, its embedded servers and keys included.

    Raises:
        NotRunning: DATABASE_URL or REDIS_URL is not set and no embedded server runs.
        InvalidSettings: A variable cannot be used.
        BrokenKeys: A key file is damaged.
    """
    found = environment()
    given = settings.from_environment(found)
    data_dir = given.data_dir.resolve()
    if given.database_url is None or given.redis_url is None:
        runtime = noted(data_dir)
        if runtime is None:
            raise NotRunning(
                f"Ledgerwire is not running on {given.data_dir}. Start it with `make run`, or set "
                "DATABASE_URL and REDIS_URL."
            )
        if given.database_url is None and runtime.database_url is not None:
            found["DATABASE_URL"] = runtime.database_url
        if given.redis_url is None and runtime.redis_url is not None:
            found["REDIS_URL"] = runtime.redis_url
        if not (found.get("DATABASE_URL") and found.get("REDIS_URL")):
            raise NotRunning(f"Ledgerwire is still starting (pid {runtime.pid}). Try again in a moment.")
    missing = {name: key for name, key in keys.stored_keys(data_dir).items() if not found.get(name, "").strip()}
    return apply({**found, **missing, "DATA_DIR": str(data_dir)})


@contextmanager
def running() -> Iterator[Settings]:
    """Like `connect`, and where nothing runs, start the embedded servers for as long as the block lasts."""
    from config import embedded  # noqa: PLC0415 - most commands find the servers running and need no launcher

    try:
        found = connect()
    except NotRunning:
        pass
    else:
        yield found
        return
    values = environment()
    given = settings.from_environment(values)
    data_dir = given.data_dir.resolve()
    started: list[embedded.Server] = []
    with locked(data_dir):
        try:
            if given.redis_url is None:
                started.append(embedded.start_valkey(data_dir))
                values["REDIS_URL"] = started[-1].url
            if given.database_url is None:
                started.append(embedded.start_postgres(data_dir, given.database_name))
                values["DATABASE_URL"] = started[-1].url
            yield apply({**values, **keys.ensure_keys(data_dir, values), "DATA_DIR": str(data_dir)})
        finally:
            for server in reversed(started):
                server.stop()
