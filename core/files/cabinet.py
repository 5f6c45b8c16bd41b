"""The cabinet: file contents on disk, sealed, each under the hash of what it says; rows tell whose they are.

A content is written beside, flushed to disk and renamed before its row is written, so a row never points at half
a file. A crash between the two leaves a content that no row names: harmless, and reused when the file comes again.
With several machines the folder must be one that all of them see.
"""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.orm import Session

from core.connections.sealing import KeyRing, SealBroken
from core.errors import Conflict, NotFound, Transient
from core.files.kinds import DOCUMENTS, clean_name, media_type_of
from core.ids import new_id

# What one person may keep here, all files together.
MAX_OWNER_BYTES = 200 * 1024 * 1024


class FileQuotaReached(Conflict):
    """The owner's files together have as many bytes as one person may keep."""

    code = "file_quota_reached"


class FileUnavailable(Transient):
    """The row is there and its content cannot be read: the folder is away, or somebody changed it."""

    code = "file_unavailable"


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """A content that is on disk. `sha256` is of the content itself, in hexadecimal."""

    name: str
    media_type: str
    size: int
    sha256: str


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredFile:
    """A file of somebody's, without its content."""

    id: UUID
    owner_id: UUID
    name: str
    media_type: str
    size: int
    sha256: str
    created_at: datetime

    def shape(self) -> dict[str, Any]:
        """What the API shows of it."""
        return {
            "id": str(self.id),
            "name": self.name,
            "media_type": self.media_type,
            "size": self.size,
            "sha256": self.sha256,
            "created_at": self.created_at,
        }


def require_room(session: Session, owner_id: UUID, size: int) -> None:
    """Raises FileQuotaReached when so many bytes more would be too many. To be asked before a content is written."""
    used = session.scalar(text("SELECT coalesce(sum(size), 0) FROM files WHERE owner_id = :owner"), {"owner": owner_id})
    if int(used or 0) + size > MAX_OWNER_BYTES:
        raise FileQuotaReached(f"your files may have {MAX_OWNER_BYTES // (1024 * 1024)} MB together")


def record(session: Session, owner_id: UUID, kept: Kept, now: datetime) -> StoredFile:
    """Write the row of a content that `Cabinet.keep` wrote. Raises FileQuotaReached."""
    require_room(session, owner_id, kept.size)
    made = StoredFile(
        id=new_id(),
        owner_id=owner_id,
        name=kept.name,
        media_type=kept.media_type,
        size=kept.size,
        sha256=kept.sha256,
        created_at=now,
    )
    session.execute(
        text(
            "INSERT INTO files (id, owner_id, name, media_type, size, sha256, created_at) "
            "VALUES (:id, :owner, :name, :media_type, :size, :sha256, :now)"
        ),
        {
            "id": made.id,
            "owner": owner_id,
            "name": made.name,
            "media_type": made.media_type,
            "size": made.size,
            "sha256": bytes.fromhex(made.sha256),
            "now": now,
        },
    )
    return made


def describe(session: Session, file_id: UUID) -> StoredFile:
    """A file without its content. Raises NotFound. Whether the asker may know of it is the caller's business."""
    row = session.execute(
        text("SELECT id, owner_id, name, media_type, size, sha256, created_at FROM files WHERE id = :id"),
        {"id": file_id},
    ).one_or_none()
    if row is None:
        raise NotFound("file", file_id)
    return StoredFile(**{**row._asdict(), "sha256": bytes(row.sha256).hex()})


@dataclass(frozen=True, slots=True)
class Cabinet:
    """Contents in a folder, sealed with the installation's key ring."""

    folder: Path
    ring: KeyRing = field(repr=False)

    def put(
        self,
        session: Session,
        owner_id: UUID,
        name: str,
        content: bytes,
        now: datetime,
        *,
        allowed: frozenset[str] = DOCUMENTS,
    ) -> StoredFile:
        """Keep a file. The same content again is another row and no second content.

        Raises FileTooLarge, FileTypeRefused or FileQuotaReached.
        """
        return record(session, owner_id, self.keep(name, content, allowed), now)

    def keep(self, name: str, content: bytes, allowed: frozenset[str] = DOCUMENTS) -> Kept:
        """Judge a content and write it to disk; touches no database, so that web may do it in a native thread.

        Raises FileTooLarge or FileTypeRefused.
        """
        media_type = media_type_of(content, name, allowed)
        digest = hashlib.sha256(content).hexdigest()
        path = self._path(digest)
        if not path.exists():
            self._write(path, self.ring.seal_bytes(content, _identity(digest)))
        # Also for a content that somebody else has just put there: their rename need not be on disk yet. The
        # folder's own entry lies in the one above.
        for folder in (path.parent, self.folder):
            _sync(folder)
        return Kept(name=clean_name(name, media_type), media_type=media_type, size=len(content), sha256=digest)

    def open(self, session: Session, file_id: UUID) -> tuple[StoredFile, bytes]:
        """A file and its content. Raises NotFound or FileUnavailable."""
        stored = describe(session, file_id)
        return stored, self.read(stored.sha256)

    def read(self, sha256: str) -> bytes:
        """The content that has this hash. Raises FileUnavailable."""
        try:
            content = self.ring.open_bytes(self._path(sha256).read_bytes(), _identity(sha256))
        except (OSError, SealBroken) as error:
            raise FileUnavailable("the content of this file cannot be read right now") from error
        if hashlib.sha256(content).hexdigest() != sha256:
            raise FileUnavailable("the content of this file is not what was stored")
        return content

    def reseal(self) -> int:
        """Seal again, under the newest key, every content that is not; returns how many were.

        Part of `ledgerwire keys rotate`. A repeat changes nothing.
        """
        changed = 0
        for path in sorted(self.folder.glob("??/" + "?" * 64)):
            sealed = path.read_bytes()
            if not self.ring.is_newest(sealed):
                identity = _identity(path.name)
                self._write(path, self.ring.seal_bytes(self.ring.open_bytes(sealed, identity), identity))
                changed += 1
        return changed

    def _path(self, sha256: str) -> Path:
        return self.folder / sha256[:2] / sha256

    def _write(self, path: Path, sealed: bytes) -> None:
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        path.parent.mkdir(mode=0o700, exist_ok=True)
        beside = path.with_name(f".new-{new_id()}")
        try:
            # Path.open, not os.fdopen: web's runtime replaces that one, and this may run in a native thread.
            with beside.open("xb") as file:
                file.write(sealed)
                file.flush()
                os.fsync(file.fileno())
            beside.replace(path)
        finally:
            beside.unlink(missing_ok=True)


def _sync(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _identity(sha256: str) -> str:
    return f"files:{sha256}"
