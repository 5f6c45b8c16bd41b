"""The papers of a KYC: handed in by the person, seen by the person and by operators, and by nobody else."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.orm import Session

from core import files
from core.errors import Forbidden, Invalid, NotFound
from core.identity import Actor
from core.ids import new_id
from core.kyc.checks import DOCUMENTS
from core.kyc.states import State, change, lock


def check_kind(kind: str) -> str:
    """The kind itself. Raises Invalid."""
    if kind not in DOCUMENTS:
        raise Invalid("kind", f"must be one of {', '.join(DOCUMENTS)}")
    return kind


def require_person(actor: Actor) -> Actor:
    """The actor, when it is a person. Raises Forbidden for a service."""
    if actor.is_service:
        raise Forbidden("a service token has no KYC")
    return actor


def add(session: Session, actor: Actor, kind: str, kept: files.Kept, now: datetime) -> dict[str, Any]:
    """Hand in a paper that `Cabinet.keep` wrote. A newer one of its kind takes the place of the older, which stays.

    Raises Invalid, Forbidden for a service, or FileQuotaReached.
    """
    check_kind(kind)
    require_person(actor)
    row = lock(session, actor.id, now)
    stored = files.record(session, actor.id, kept, now)
    session.execute(
        text(
            "UPDATE kyc_documents SET replaced_at = :now WHERE user_id = :user AND kind = :kind AND replaced_at IS NULL"
        ),
        {"now": now, "user": actor.id, "kind": kind},
    )
    identity = new_id()
    session.execute(
        text(
            "INSERT INTO kyc_documents (id, user_id, kind, file_id, created_at) VALUES (:id, :user, :kind, :file, :now)"
        ),
        {"id": identity, "user": actor.id, "kind": kind, "file": stored.id, "now": now},
    )
    change(
        session, row, State(row.state), now, actor=actor, reason=f"handed in: {DOCUMENTS[kind]}", data={"kind": kind}
    )
    return {
        "id": str(identity),
        "kind": kind,
        "name": stored.name,
        "media_type": stored.media_type,
        "size": stored.size,
        "created_at": now,
    }


def listed(session: Session, user_id: UUID) -> list[dict[str, Any]]:
    """The papers that count, in the order of their kinds."""
    rows = session.execute(
        text(
            "SELECT kyc_documents.id, kind, name, media_type, size, kyc_documents.created_at "
            "FROM kyc_documents JOIN files ON files.id = file_id WHERE user_id = :user AND replaced_at IS NULL"
        ),
        {"user": user_id},
    ).all()
    order = list(DOCUMENTS)
    found = [{**row._asdict(), "id": str(row.id)} for row in rows]
    return sorted(found, key=lambda document: order.index(document["kind"]))


def file_of(session: Session, actor: Actor, document_id: UUID) -> files.StoredFile:
    """Which file a paper is, for its owner and for operators. Raises NotFound for everybody else."""
    row = session.execute(
        text("SELECT file_id, user_id FROM kyc_documents WHERE id = :id"), {"id": document_id}
    ).one_or_none()
    if row is None or not (actor.is_operator or row.user_id == actor.id):
        raise NotFound("document", document_id)
    return files.describe(session, row.file_id)
