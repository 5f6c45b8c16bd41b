"""Runs the processes of the Procfile and starts again what dies.

Each process has a session of its own, so that Ctrl-C in a terminal reaches the supervisor alone, which then
asks each process once to stop. One thread does everything: read output, notice deaths, wait, start again.
"""

from __future__ import annotations

import contextlib
import os
import selectors
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol, TextIO

import psutil

from config.embedded.account import die_with_parent
from config.embedded.server import is_running

GRACE_SECONDS = 8.0
_FIRST_DELAY = 0.5
_LONGEST_DELAY = 30.0
_STEADY_SECONDS = 30.0
_COLOURS = (36, 33, 35, 32, 34, 31)
# One line longer than this is passed on in pieces, so that a process cannot fill our memory.
_LONGEST_LINE = 65_536


class BadProcfile(Exception):
    """A line of the Procfile cannot be read."""


class Watched(Protocol):
    """A server beside the processes that must be started again when it dies."""

    title: str

    def alive(self) -> bool:
        """Whether it runs."""

    def launch(self) -> None:
        """Start it and return at once."""


def parse_procfile(text: str) -> dict[str, list[str]]:
    """Read `name: command` lines. Raises BadProcfile naming the line."""
    entries: dict[str, list[str]] = {}
    for number, line in enumerate(text.splitlines(), start=1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        name, colon, command = line.partition(":")
        words = shlex.split(command)
        if not colon or not name.strip().isidentifier() or not words:
            raise BadProcfile(f"Procfile line {number}: expected `name: command`")
        if name.strip() in entries:
            raise BadProcfile(f"Procfile line {number}: {name.strip()} is there twice")
        entries[name.strip()] = words
    return entries


def find_procfile() -> Path:
    """The Procfile of the checkout, or the one a built wheel carries."""
    here = Path(__file__).resolve().parent
    return next((path for path in (here.parent / "Procfile", here / "Procfile") if path.is_file()), here / "Procfile")


def instances(entries: Mapping[str, list[str]], scale: Mapping[str, int]) -> dict[str, list[str]]:
    """The processes to run: `scale` of each entry (one where it says nothing), numbered past the first."""
    return {
        (name if number == 1 else f"{name}.{number}"): command
        for name, command in entries.items()
        for number in range(1, scale.get(name, 1) + 1)
    }


@dataclass(slots=True)
class Backoff:
    """How long to wait before the next start."""

    delay: float = _FIRST_DELAY

    def after(self, lived_seconds: float) -> float:
        """The wait after a life of that length; doubles until a life was a long one."""
        if lived_seconds >= _STEADY_SECONDS:
            self.delay = _FIRST_DELAY
        wait = self.delay
        self.delay = min(self.delay * 2, _LONGEST_DELAY)
        return wait


@dataclass(slots=True)
class _Entry:
    name: str
    start: Callable[[], None]
    alive: Callable[[], bool]
    ended: Callable[[], str]
    backoff: Backoff = field(default_factory=Backoff)
    started_at: float = 0.0
    due_at: float | None = None


@dataclass(slots=True)
class _Child:
    name: str
    command: list[str]
    prefix: str
    process: subprocess.Popen[bytes] | None = None
    rest: bytes = b""


class Supervisor:
    """Keeps processes running until `stop`. Call `step` again and again from one thread."""

    def __init__(
        self,
        processes: Mapping[str, list[str]],
        environment: Mapping[str, str],
        *,
        watched: Mapping[str, Watched] | None = None,
        out: TextIO = sys.stdout,
        grace_seconds: float = GRACE_SECONDS,
    ) -> None:
        # `python` in the Procfile is the one that runs us.
        path = os.pathsep.join((str(Path(sys.executable).parent), environment.get("PATH", os.defpath)))
        self._environment = {**environment, "PATH": path, "PYTHONUNBUFFERED": "1"}
        self._out = out
        self._grace = grace_seconds
        self._selector = selectors.DefaultSelector()
        self._width = max((len(name) for name in processes), default=0)
        self._colourful = out.isatty() and not environment.get("NO_COLOR")
        self._children: dict[str, _Child] = {}
        self._entries: list[_Entry] = []
        self.stopping = False
        for number, (name, command) in enumerate(processes.items()):
            self._add_child(name, command, number)
        for name, server in (watched or {}).items():
            self._add_server(name, server)

    def _add_child(self, name: str, command: list[str], number: int) -> None:
        child = _Child(name=name, command=command, prefix=self._prefix(name, _COLOURS[number % len(_COLOURS)]))
        self._children[name] = child
        self._entries.append(
            _Entry(
                name=name,
                start=lambda: self._spawn(child),
                alive=lambda: child.process is not None and child.process.poll() is None,
                ended=lambda: self._bury(child),
            )
        )

    def _add_server(self, name: str, server: Watched) -> None:
        self._entries.append(
            _Entry(
                name=name,
                start=server.launch,
                alive=server.alive,
                ended=lambda: "ended",
                started_at=time.monotonic(),
            )
        )

    # The loop.

    def start(self) -> None:
        """Start every process. Watched servers run already."""
        for child in self._children.values():
            self._entry(child.name).started_at = time.monotonic()
            self._spawn(child)

    def step(self, timeout_seconds: float = 0.2) -> None:
        """Pass on what was printed, and start again what died and is due."""
        self._pump(timeout_seconds)
        if not self.stopping:
            for entry in self._entries:
                self._look_after(entry)

    def run(self) -> None:
        """Step until `request_stop` was called, then stop everything."""
        while not self.stopping:
            self.step()
        self.stop()

    def request_stop(self) -> None:
        """Make `run` end. Safe in a signal handler."""
        self.stopping = True

    def stop(self) -> None:
        """Ask every process to stop, wait a while, then end by force whatever is left of their families."""
        self.stopping = True
        roots = set(self.pids().values())
        families = self._families(roots)
        for pid in roots:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGTERM)
        deadline = time.monotonic() + self._grace
        while self.pids() and time.monotonic() < deadline:
            self._pump(0.05)
        for name in self.pids():
            self.say(f"{name} did not stop within {self._grace:g} s and is ended by force")
        families |= self._families(roots)
        self._end(families)
        deadline = time.monotonic() + 2
        while any(is_running(process.pid) for process in families) and time.monotonic() < deadline:
            self._pump(0.02)
        self._pump(0)
        for child in self._children.values():
            if child.process:
                child.process.wait()
                self._close(child)

    def pids(self) -> dict[str, int]:
        """The running processes by name."""
        return {
            child.name: child.process.pid
            for child in self._children.values()
            if child.process and child.process.poll() is None
        }

    def restarts_waiting(self) -> list[str]:
        """Names of what died and waits for its next start."""
        return [entry.name for entry in self._entries if entry.due_at is not None]

    def say(self, message: str) -> None:
        """Print a line of our own."""
        self._write(self._prefix("ledgerwire", 1), message)

    def _entry(self, name: str) -> _Entry:
        return next(entry for entry in self._entries if entry.name == name)

    def _look_after(self, entry: _Entry) -> None:
        now = time.monotonic()
        if entry.due_at is None:
            if entry.alive():
                return
            wait = entry.backoff.after(now - entry.started_at)
            entry.due_at = now + wait
            self.say(f"{entry.name} {entry.ended()}; starting it again in {wait:g} s")
        elif now >= entry.due_at:
            entry.due_at = None
            entry.started_at = now
            try:
                entry.start()
            except Exception as error:  # noqa: BLE001 - whatever it is, the others go on and this one is tried again
                self.say(f"{entry.name} could not be started: {error}")
            else:
                self.say(f"{entry.name} was started again")

    # Processes.

    def _spawn(self, child: _Child) -> None:
        child.process = subprocess.Popen(
            child.command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env=self._environment,
            start_new_session=True,
            # Should the supervisor be killed, nobody would look after them.
            preexec_fn=lambda: die_with_parent(signal.SIGTERM),  # noqa: PLW1509 - one thread
        )
        if child.process.stdout is not None:
            os.set_blocking(child.process.stdout.fileno(), False)
            self._selector.register(child.process.stdout, selectors.EVENT_READ, child)

    def _bury(self, child: _Child) -> str:
        """End what a dead process left behind (it may hold a port), and say how the process ended."""
        if child.process is None:
            return "is not there"
        self._end(_session_members({child.process.pid}))
        self._pump(0)
        self._close(child)
        return _ending(child.process.returncode)

    def _families(self, roots: set[int]) -> set[psutil.Process]:
        found = _session_members(roots)
        for pid in roots:
            with contextlib.suppress(psutil.NoSuchProcess):
                main = psutil.Process(pid)
                found |= {main, *main.children(recursive=True)}
        return found

    def _end(self, family: set[psutil.Process]) -> None:
        for process in family:
            # psutil compares the time of birth, so that a pid given to somebody else is left alone.
            with contextlib.suppress(psutil.NoSuchProcess, psutil.AccessDenied):
                process.kill()

    # Output.

    def _pump(self, timeout_seconds: float) -> None:
        if not self._selector.get_map():
            time.sleep(timeout_seconds)
            return
        for key, _ in self._selector.select(timeout_seconds):
            child: _Child = key.data
            try:
                data = os.read(key.fd, 65_536)
            except BlockingIOError:
                continue
            if not data:
                self._close(child)
                continue
            *lines, child.rest = (child.rest + data).split(b"\n")
            if len(child.rest) > _LONGEST_LINE:
                lines.append(child.rest)
                child.rest = b""
            for line in lines:
                self._write(child.prefix, line.decode(errors="replace"))

    def _close(self, child: _Child) -> None:
        stream = child.process.stdout if child.process else None
        if stream is None or stream.closed:
            return
        if child.rest:
            self._write(child.prefix, child.rest.decode(errors="replace"))
            child.rest = b""
        self._selector.unregister(stream)
        stream.close()

    def _prefix(self, name: str, colour: int) -> str:
        padded = name.ljust(self._width)
        return f"\033[{colour}m{padded}\033[0m │ " if self._colourful else f"{padded} | "

    def _write(self, prefix: str, line: str) -> None:
        # A terminal that went away must not take the processes with it.
        with contextlib.suppress(OSError, ValueError):
            self._out.write(f"{prefix}{line}\n")
            self._out.flush()


@contextlib.contextmanager
def signals(handler: Callable[[], None]) -> Iterator[None]:
    """Call `handler` on Ctrl-C, SIGTERM and a closed terminal for as long as the block lasts."""
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = {number: signal.signal(number, lambda *_: handler()) for number in numbers}
    try:
        yield
    finally:
        for number, previous in before.items():
            signal.signal(number, previous)


def _session_members(sessions: set[int]) -> set[psutil.Process]:
    found = set()
    for pid in psutil.pids():
        with contextlib.suppress(OSError, psutil.Error):
            if os.getsid(pid) in sessions:
                found.add(psutil.Process(pid))
    return found


def _ending(code: int | None) -> str:
    if code is None:
        return "ended"
    if code < 0:
        with contextlib.suppress(ValueError):
            return f"was killed by {signal.Signals(-code).name}"
    return f"ended with exit code {code}"
