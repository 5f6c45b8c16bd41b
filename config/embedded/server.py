"""What the embedded servers have in common: their folders, their sockets and their life."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import subprocess
import tempfile
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from pathlib import Path

import psutil

from config.embedded import account as accounts
from config.embedded.errors import EmbeddedServerError

Progress = Callable[[str], None]

# A socket's address has 108 bytes on Linux and 104 on macOS, the file's own name included.
_LONGEST_SOCKET_FOLDER = 80
# Other characters would need quoting, differently, in PostgreSQL's list and in three kinds of URL.
_PLAIN_PATH = re.compile(r"[A-Za-z0-9/._+-]+")
_LARGEST_LOG_BYTES = 5_000_000
_SILENT_SECONDS = 5.0


def silence(_message: str) -> None:
    """Progress that nobody wants to see."""


class Server(ABC):
    """One embedded server: a child of ours, or one that was found running on our data.

    `launch` returns at once and `wait_ready` waits, so that a supervisor can start a server that died
    without standing still; `start` is both.
    """

    title: str

    def __init__(self, home: Path, *, die_with_parent: bool, progress: Progress) -> None:
        self.home = home
        self.started_here = False
        self.url = ""
        self.pid = 0
        self._die_with_parent = die_with_parent
        self._progress = progress
        self._process: subprocess.Popen[bytes] | None = None
        self._temporary: Path | None = None

    # What each server must say.

    @abstractmethod
    def adopt(self) -> bool:
        """Take over a server that already runs on our data. False when there is none."""

    @abstractmethod
    def launch(self) -> None:
        """Start the process and return without waiting for it."""

    @abstractmethod
    def answers(self) -> bool:
        """Whether the server takes requests now."""

    @property
    @abstractmethod
    def socket(self) -> Path:
        """The socket file."""

    @property
    @abstractmethod
    def _gentle(self) -> signal.Signals: ...

    @property
    @abstractmethod
    def _firm(self) -> signal.Signals: ...

    # Life.

    def start(self) -> None:
        """Adopt the running server, or start one, and wait until it answers."""
        if self.adopt() and not self._reachable():
            # Somebody cleaned the temporary folder; the process cannot be talked to any more.
            self._end(30.0)
            self._temporary = None
        try:
            if not self.alive():
                self.launch()
            self.wait_ready()
        except BaseException:
            # Interrupted (Ctrl-C) or failed: nobody else knows of the process.
            self.stop(2.0)
            raise

    def alive(self) -> bool:
        """Whether the process runs."""
        if self._process is not None:
            return self._process.poll() is None
        return self.pid != 0 and is_running(self.pid)

    def wait_ready(self) -> None:
        """Wait until the server answers, however long it takes to recover; raise when it dies instead."""
        began = said = time.monotonic()
        while not self.answers():
            if not self.alive():
                raise EmbeddedServerError(f"{self.title} stopped while starting. Its log ends with:\n{self.log_tail()}")
            now = time.monotonic()
            if now - said >= _SILENT_SECONDS:
                said = now
                self._progress(f"{self.title} is still starting (recovering), {now - began:.0f} s")
            time.sleep(0.03)

    def stop(self, timeout_seconds: float = 30.0) -> None:
        """Stop the server: gently, then firmly, and in the end by force. Does nothing when it is stopped."""
        self._end(timeout_seconds)
        if self._temporary is not None:
            shutil.rmtree(self._temporary, ignore_errors=True)
            self._temporary = None

    def _end(self, timeout_seconds: float) -> None:
        for number, patience in ((self._gentle, timeout_seconds), (self._firm, 5.0)):
            if not self.alive():
                break
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, number)
            self._wait_gone(patience)
        if self.alive():
            self.kill()
        self._process = None
        self.pid = 0

    def kill(self) -> None:
        """End the server and all its children at once, as a crash of the machine would."""
        try:
            main = psutil.Process(self.pid)
            family = [main, *main.children(recursive=True)]
        except psutil.NoSuchProcess:
            family = []
        for process in family:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        if self._process is not None:
            self._process.wait()
        deadline = time.monotonic() + 10
        while any(is_running(process.pid) for process in family) and time.monotonic() < deadline:
            time.sleep(0.01)

    def restart(self) -> None:
        """Stop the server if it runs, start it on the same data and address, and wait until it answers."""
        self._end(30.0)
        self.start()

    def _wait_gone(self, patience: float) -> None:
        deadline = time.monotonic() + patience
        while self.alive() and time.monotonic() < deadline:
            time.sleep(0.02)

    def _reachable(self) -> bool:
        deadline = time.monotonic() + 3
        while not self.socket.exists():
            if not self.alive() or time.monotonic() > deadline:
                return False
            time.sleep(0.05)
        return True

    def _found_socket_folder(self, folder: Path) -> None:
        """Note the folder of an adopted server's socket, so that a temporary one is removed in the end."""
        if self.home not in folder.parents:
            self._temporary = folder

    # Folders and processes.

    def _spawn(self, command: Sequence[str], account: accounts.Account | None, death: signal.Signals) -> None:
        parent_death = death if self._die_with_parent else None
        log = self._open_log()
        try:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd="/",
                env=clean_environment(),
                # A session of its own: Ctrl-C in the terminal must reach our processes first.
                start_new_session=True,
                # Safe beside threads: it takes no lock and imports nothing.
                preexec_fn=_preparation(account, parent_death),  # noqa: PLW1509
            )
        finally:
            os.close(log)
        self.pid = self._process.pid
        self.started_here = True

    @property
    def log_path(self) -> Path:
        """The server's log."""
        return self.home / "server.log"

    def log_tail(self, lines: int = 15) -> str:
        """The last lines of the log."""
        with contextlib.suppress(OSError):
            text = self.log_path.read_bytes()[-8192:].decode(errors="replace")
            return "\n".join(f"  {line}" for line in text.splitlines()[-lines:])
        return "  (no log)"

    def _open_log(self) -> int:
        with contextlib.suppress(FileNotFoundError):
            if self.log_path.stat().st_size > _LARGEST_LOG_BYTES:
                self.log_path.replace(self.log_path.with_suffix(".log.1"))
        return os.open(self.log_path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)

    def _socket_folder(self, owner: tuple[int, int] | None) -> Path:
        """A private folder for the socket: below `home`, or a short one of our own where that is too long."""
        folder = self.home / "run"
        if len(os.fsencode(folder)) <= _LONGEST_SOCKET_FOLDER and _PLAIN_PATH.fullmatch(str(folder)):
            own_folder(folder, owner)
            return folder
        base = tempfile.gettempdir()
        if len(base) > 40 or not _PLAIN_PATH.fullmatch(base):
            base = "/tmp"  # noqa: S108 - mkdtemp below makes the name unguessable and the folder private
        self._temporary = Path(tempfile.mkdtemp(prefix="lw-", dir=base))
        if owner is not None:
            os.chown(self._temporary, *owner)
        return self._temporary


def own_folder(folder: Path, owner: tuple[int, int] | None) -> None:
    """Make a private folder below ours, belonging to the account the server runs as."""
    folder.mkdir(mode=0o700, exist_ok=True)
    state = folder.lstat()
    if owner is not None and (state.st_uid, state.st_gid) != owner:
        os.chown(folder, *owner, follow_symlinks=False)


def make_home(data_dir: Path, name: str) -> Path:
    """The folder of one server below the data folder, made when absent. An existing one keeps its mode."""
    data_dir = data_dir.resolve()
    # As root the server runs as another account, which must be able to pass through (not to list).
    mode = 0o711 if os.geteuid() == 0 else 0o700
    home = data_dir / name
    try:
        data_dir.mkdir(mode=mode, parents=True, exist_ok=True)
        home.mkdir(mode=mode, exist_ok=True)
    except OSError as error:
        raise EmbeddedServerError(f"DATA_DIR: cannot make {home} ({error.strerror})") from error
    if not os.access(home, os.W_OK | os.X_OK):
        raise EmbeddedServerError(f"DATA_DIR: {home} belongs to another account and cannot be written")
    return home


def is_running(pid: int) -> bool:
    """Whether a process runs (a zombie does not)."""
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def clean_environment() -> dict[str, str]:
    """An environment in which nothing of the user's changes how a server behaves."""
    return {"PATH": os.defpath, "LC_ALL": "C", "TZ": "UTC"}


def _preparation(account: accounts.Account | None, parent_death: signal.Signals | None) -> Callable[[], None] | None:
    if account is not None:
        return accounts.preparation(account, parent_death=parent_death)
    if parent_death is not None:
        return lambda: accounts.die_with_parent(parent_death)
    return None
