"""Which account a server child runs as, and how it gets there.

PostgreSQL refuses to run as root. Started by root it therefore runs as an existing unprivileged account.
Nothing is created and nobody's folder is opened for that: where the account cannot walk down to our files
(a clone below a home folder of mode 0700), the child keeps one Linux capability that lets it read and search, and
nothing else. Where even switching accounts is not allowed (a container without capabilities) the child
gets a user namespace in which we appear under another number.
"""

from __future__ import annotations

import ctypes
import os
import pwd
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from config.embedded.errors import EmbeddedServerError

# Linux constants; the standard library does not name them.
_PR_SET_PDEATHSIG = 1
_PR_SET_SECUREBITS = 28
_SECBIT_NO_SETUID_FIXUP = 1 << 2
_PR_CAP_AMBIENT = 47
_PR_CAP_AMBIENT_RAISE = 2
_CAPABILITY_VERSION_3 = 0x20080522
_CLONE_NEWUSER = 0x10000000

# Loaded before any fork: a child between fork and exec must not take the loader's locks.
_libc = ctypes.CDLL(None, use_errno=True) if sys.platform == "linux" else None

PREFERRED_ACCOUNTS = ("postgres", "nobody", "daemon")


class Way(Enum):
    """How a child of root becomes somebody else. Tried in this order; the first that works is used."""

    SWITCH = "switch"
    READ_SEARCH = "switch, keeping the right to read and search"
    OVERRIDE = "switch, keeping the right to pass file modes"
    NAMESPACE = "user namespace"


_AMBIENT = {Way.READ_SEARCH: 2, Way.OVERRIDE: 1}  # CAP_DAC_READ_SEARCH, CAP_DAC_OVERRIDE


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """The account of a child. `way` is None when it is simply the account we run as."""

    name: str
    uid: int
    gid: int
    way: Way | None = None

    @property
    def owner(self) -> tuple[int, int] | None:
        """Who must own the child's folders, or None when they stay ours."""
        return (self.uid, self.gid) if self.way not in (None, Way.NAMESPACE) else None


def preparation(
    account: Account, *, parent_death: signal.Signals | None = None, probe: Sequence[Path] = ()
) -> Callable[[], None]:
    """A `preexec_fn` that turns the child into the account.

    `parent_death` is the signal the child gets when the thread that started it ends (Linux only).
    `probe` names programs and folders the child must reach, so that a refusal is seen before the real start.
    """

    def prepare() -> None:
        if account.way is Way.NAMESPACE:
            _enter_namespace(account)
        elif account.way is not None:
            _switch(account, _AMBIENT.get(account.way))
        # Last, because changing the account clears it.
        if parent_death is not None:
            die_with_parent(parent_death)
        for path in probe:
            if not os.access(path, os.X_OK):
                raise PermissionError(path)

    return prepare


def die_with_parent(number: signal.Signals) -> None:
    """In a child: ask the kernel for a signal when the parent dies. Nothing happens off Linux."""
    if _libc is not None:
        _call("prctl", _PR_SET_PDEATHSIG, int(number), 0, 0, 0)


def choose(binary: Path, folder: Path, data: Path) -> Account:
    """The account the server can run as: it can start `binary` and pass through `folder`.

    `data` is the server's data folder; when it exists already, its owner is the account.
    """
    mine = _mine()
    if mine.uid != 0:
        if data.exists() and data.stat().st_uid != mine.uid:
            raise EmbeddedServerError(
                f"{data} belongs to account {name_of(data.stat().st_uid)}, and this is {mine.name}. "
                "Run Ledgerwire as the account that made it, or point DATA_DIR to another folder."
            )
        return mine
    refusals = []
    for candidate in _candidates(data):
        refusal = _refusal(candidate, binary, folder)
        if refusal is None:
            return candidate
        refusals.append(f"  as {candidate.name} ({candidate.way.value if candidate.way else ''}): {refusal}")
    raise EmbeddedServerError(
        "PostgreSQL cannot run as root, and no other account of this machine could be used:\n"
        + "\n".join(refusals)
        + "\nRun Ledgerwire as an ordinary user, or set DATABASE_URL to a PostgreSQL of your own."
    )


def _mine() -> Account:
    uid = os.geteuid()
    try:
        entry = pwd.getpwuid(uid)
    except KeyError:
        raise EmbeddedServerError(
            f"PostgreSQL needs a name for the account it runs as, and user id {uid} has none in /etc/passwd. "
            "Run Ledgerwire as a named user, or set DATABASE_URL to a PostgreSQL of your own."
        ) from None
    return Account(name=entry.pw_name, uid=uid, gid=os.getegid())


def name_of(uid: int) -> str:
    """The name of an account, or its number when it has none."""
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


def _candidates(data: Path) -> list[Account]:
    entries = []
    # Data made by an ordinary user stays that user's, also when root starts it the next time.
    names = [name_of(data.stat().st_uid)] if data.exists() and data.stat().st_uid != 0 else PREFERRED_ACCOUNTS
    for name in names:
        try:
            entry = pwd.getpwnam(name)
        except KeyError:
            continue
        if entry.pw_uid != 0:
            entries.append(entry)
    return [
        Account(name=entry.pw_name, uid=entry.pw_uid, gid=entry.pw_gid, way=way)
        for way in (Way if _libc is not None else (Way.SWITCH,))
        for entry in entries
    ]


def _refusal(account: Account, binary: Path, folder: Path) -> str | None:
    """Why the account cannot be used, or None when it can. Tried for real: modes do not tell everything."""
    try:
        subprocess.run(
            [str(binary), "--version"],
            preexec_fn=preparation(account, probe=(binary, folder)),
            cwd="/",
            check=True,
            capture_output=True,
            timeout=30,
        )
    except subprocess.SubprocessError as error:
        return "switching is not allowed, or the files cannot be reached" if "preexec" in str(error) else str(error)
    except OSError as error:
        return f"it cannot run the server program ({error.strerror})"
    return None


def _call(name: str, *arguments: object) -> None:
    function = getattr(_libc, name)
    if function(*arguments) != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{name}: {os.strerror(number)}")


def _switch(account: Account, capability: int | None) -> None:
    if capability is not None:
        # Keeps capabilities through setuid, and lets access(2), by which PostgreSQL finds itself, count them.
        _call("prctl", _PR_SET_SECUREBITS, _SECBIT_NO_SETUID_FIXUP, 0, 0, 0)
    os.setgroups([])
    os.setgid(account.gid)
    os.setuid(account.uid)
    if capability is not None:
        mask = 1 << capability
        header = (ctypes.c_uint32 * 2)(_CAPABILITY_VERSION_3, 0)
        # Effective, permitted, inheritable: low words, then high words.
        sets = (ctypes.c_uint32 * 6)(mask, mask, mask, 0, 0, 0)
        _call("capset", header, sets)
        _call("prctl", _PR_CAP_AMBIENT, _PR_CAP_AMBIENT_RAISE, capability, 0, 0)


def _enter_namespace(account: Account) -> None:
    _call("unshare", _CLONE_NEWUSER)
    Path("/proc/self/setgroups").write_text("deny", encoding="ascii")
    Path("/proc/self/uid_map").write_text(f"{account.uid} 0 1", encoding="ascii")
    Path("/proc/self/gid_map").write_text(f"{account.gid} 0 1", encoding="ascii")
