"""Files brought to an invoice. Until one hangs on a comment, it is known to who brought it alone."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.orm import Session

from core import files
from core.errors import NotFound
from core.files import Kept, StoredFile
from core.identity import Actor
from core.talk.parties import require_party


def bring(session: Session, actor: Actor, invoice_id: UUID, kept: Kept, now: datetime) -> StoredFile:
    """Lay a file that is on disk beside an invoice, to hang on a comment later.

    Raises NotFound, Forbidden or FileQuotaReached.
    """
    require_party(session, actor, invoice_id)
    stored = files.record(session, actor.id, kept, now)
    session.execute(
        text(
            "INSERT INTO invoice_files (file_id, invoice_id, owner_id, created_at) "
            "VALUES (:file, :invoice, :owner, :now)"
        ),
        {"file": stored.id, "invoice": invoice_id, "owner": actor.id, "now": now},
    )
    return stored


def find(session: Session, actor: Actor, invoice_id: UUID, file_id: UUID) -> StoredFile:
    """A file of this invoice's talk that the actor may open. Raises NotFound or Forbidden."""
    require_party(session, actor, invoice_id)
    known = session.scalar(
        text(
            "SELECT EXISTS (SELECT FROM invoice_files LEFT JOIN comment_files USING (file_id) "
            "WHERE invoice_files.file_id = :file AND invoice_id = :invoice "
            "AND (owner_id = :actor OR comment_id IS NOT NULL))"
        ),
        {"file": file_id, "invoice": invoice_id, "actor": actor.id},
    )
    if not known:
        raise NotFound("attachment", file_id)
    return files.describe(session, file_id)
