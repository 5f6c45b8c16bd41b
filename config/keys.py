"""Keys made at the first start and kept under DATA_DIR/secrets, readable by their owner only.

A key once made is never replaced: what it sealed would be lost. Rotation puts a new key in front.
"""

from __future__ import annotations

import base64
import binascii
import os
import secrets
import tempfile
from collections.abc import Mapping
from pathlib import Path

_KEY_BYTES = 32
_FILES = {"SECRET_KEY": "secret_key", "MASTER_KEYS": "master_keys"}


class BrokenKeys(Exception):
    """A key file cannot be used; the message names the file, never its content."""


def ensure_keys(data_dir: Path, environment: Mapping[str, str] = os.environ) -> dict[str, str]:
    """The key variables that `environment` does not set, read from disk or made now.

    Raises:
        BrokenKeys: A file is there but unreadable or damaged. Nothing is replaced then.
    """
    made = {"SECRET_KEY": _new_secret(), "MASTER_KEYS": _new_master_key("k1")}
    return {
        variable: _read_or_make(data_dir / "secrets" / name, variable, made[variable])
        for variable, name in _FILES.items()
        if not environment.get(variable, "").strip()
    }


def stored_keys(data_dir: Path) -> dict[str, str]:
    """The key variables that are on disk; nothing is made."""
    folder = data_dir / "secrets"
    return {variable: _read(folder / name, variable) for variable, name in _FILES.items() if (folder / name).exists()}


def add_master_key(data_dir: Path) -> str:
    """Put a new master key in front of the ring on disk and return the whole ring.

    Raises:
        BrokenKeys: There is no ring on disk, as when MASTER_KEYS comes from the environment.
    """
    path = data_dir / "secrets" / _FILES["MASTER_KEYS"]
    ring = _read(path, "MASTER_KEYS")
    used = {entry.split(":", 1)[0] for entry in ring.split(",")}
    number = 1
    while f"k{number}" in used:
        number += 1
    ring = f"{_new_master_key(f'k{number}')},{ring}"
    _write(path, ring, replace=True)
    return ring


def _new_secret() -> str:
    return secrets.token_urlsafe(48)


def _new_master_key(name: str) -> str:
    return f"{name}:{base64.b64encode(secrets.token_bytes(_KEY_BYTES)).decode('ascii')}"


def _read_or_make(path: Path, variable: str, new: str) -> str:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    if not path.exists():
        _write(path, new, replace=False)
    # Read back even after writing: when two processes start at once, the first one's key holds for both.
    return _read(path, variable)


def _read(path: Path, variable: str) -> str:
    try:
        text = path.read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise BrokenKeys(f"{variable}: {path} cannot be read ({type(error).__name__})") from None
    if not _usable(variable, text):
        raise BrokenKeys(f"{variable}: {path} is damaged. Put it back from a backup: what it sealed needs it.")
    return text


def _usable(variable: str, text: str) -> bool:
    if variable == "SECRET_KEY":
        return len(text) >= 32
    try:
        return all(
            name and len(base64.b64decode(key, validate=True)) == _KEY_BYTES
            for name, _, key in (entry.strip().partition(":") for entry in text.split(","))
        )
    except binascii.Error:
        return False


def _write(path: Path, text: str, *, replace: bool) -> None:
    # Written beside and moved, so that a crash leaves the old file or the new one, whole.
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=".new-")
    try:
        with os.fdopen(descriptor, "w", encoding="ascii") as file:
            file.write(text + "\n")
            file.flush()
            os.fsync(file.fileno())
        if replace:
            Path(name).replace(path)
        else:
            try:
                os.link(name, path)
            except FileExistsError:
                return
    finally:
        Path(name).unlink(missing_ok=True)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
