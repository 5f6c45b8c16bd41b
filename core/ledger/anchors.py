"""Anchors: the head of the chain, once a day, kept outside the database as well.

Who can change the database can change the chain with it. They cannot change what a file elsewhere (a backup, a printed
page, another machine) says the chain was: each line of it names a position and the hash it must have for ever.
"""

from __future__ import annotations

import json
import os
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path

from sqlalchemy import Connection, text


@dataclass(frozen=True, slots=True, kw_only=True)
class Anchor:
    """The head of the chain on a day (UTC). Position 0 is a chain without links."""

    day: date
    position: int
    hash: bytes

    def line(self) -> str:
        """As it stands in the file."""
        return json.dumps({"day": self.day.isoformat(), "position": self.position, "hash": self.hash.hex()}) + "\n"


_TODAY = text("SELECT 1 FROM ledger_anchors WHERE day = :day")
# The head is locked, so that two workers do not anchor one day twice.
_HEAD = text("SELECT position, hash FROM ledger_chain_head FOR UPDATE")
_INSERT = text("INSERT INTO ledger_anchors (day, position, hash, anchored_at) VALUES (:day, :position, :hash, :now)")


def anchor(connection: Connection, path: Path, now: datetime) -> Anchor | None:
    """Write today's head to the table and, flushed to the disk, to the end of the file at `path`.

    None when today has one. The caller commits. The file comes first: a crash in between leaves a line more in it,
    which is as true as the next one.
    """
    day = now.astimezone(UTC).date()
    if connection.execute(_TODAY, {"day": day}).first() is not None:
        return None
    head = connection.execute(_HEAD).one()
    if connection.execute(_TODAY, {"day": day}).first() is not None:
        return None
    made = Anchor(day=day, position=head.position, hash=bytes(head.hash))
    _append(path, made.line())
    connection.execute(_INSERT, {"day": day, "position": made.position, "hash": made.hash, "now": now})
    return made


def read(path: Path) -> list[Anchor]:
    """The anchors of a file. A line that a crash cut short says nothing."""
    found = []
    for line in path.read_text("ascii", errors="replace").splitlines() if path.exists() else []:
        with suppress(ValueError, KeyError, TypeError):
            said = json.loads(line)
            found.append(
                Anchor(
                    day=date.fromisoformat(said["day"]),
                    position=int(said["position"]),
                    hash=bytes.fromhex(said["hash"]),
                )
            )
    return found


def _append(path: Path, line: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
    try:
        # What a crash cut short is ended, so that this line stands by itself.
        size = os.fstat(descriptor).st_size
        torn = size > 0 and os.pread(descriptor, 1, size - 1) != b"\n"
        os.write(descriptor, (("\n" if torn else "") + line).encode("ascii"))
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
