"""Saying something about an invoice, and reading what was said."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.orm import Session

from core import notifications, paging
from core.bulk import array
from core.errors import Conflict, Invalid, NotFound
from core.events import DomainEvent
from core.identity import Actor, Role
from core.ids import new_id
from core.live import announce
from core.notifications import Notice
from core.talk.parties import Party, all_parties, require_party

MAX_BODY = 4000
MAX_ATTACHMENTS = 5
MAX_MENTIONS = 20
_EXCERPT = 300


@dataclass(frozen=True, slots=True, kw_only=True)
class NewComment:
    """What somebody says: plain text, whom it is for, and files that they brought (`bring`)."""

    body: str
    mentions: Sequence[UUID] = ()
    attachments: Sequence[UUID] = ()


def _check(new: NewComment, parties: dict[UUID, Party]) -> str:
    """The body as it is stored. Raises Invalid, naming the field."""
    body = new.body.replace("\r\n", "\n").replace("\r", "\n").strip()
    if not 0 < len(body) <= MAX_BODY:
        raise Invalid("body", f"must have 1 to {MAX_BODY} characters")
    if len(new.mentions) > MAX_MENTIONS:
        raise Invalid("mentions", f"must be at most {MAX_MENTIONS} people")
    for place, person in enumerate(new.mentions):
        if person not in parties:
            raise Invalid(f"mentions.{place}", "has no part in this invoice")
    if len(new.attachments) > MAX_ATTACHMENTS:
        raise Invalid("attachments", f"must be at most {MAX_ATTACHMENTS} files")
    if len(set(new.attachments)) != len(new.attachments):
        raise Invalid("attachments", "names a file twice")
    return body


def say(session: Session, actor: Actor, invoice_id: UUID, new: NewComment, now: datetime) -> dict[str, Any]:
    """Add a comment, tell the parties and notify whom it mentions; return it as the thread shows it.

    Saying it again says it twice: the edge has Idempotency-Key for that. Raises NotFound, Forbidden, Invalid, or
    Conflict for a file that hangs on a comment already.
    """
    require_party(session, actor, invoice_id)
    parties = {party.id: party for party in all_parties(session, invoice_id)}
    body = _check(new, parties)
    identity = new_id()
    session.execute(
        text(
            "INSERT INTO comments (id, invoice_id, author_id, body, created_at) "
            "VALUES (:id, :invoice, :author, :body, :now)"
        ),
        {"id": identity, "invoice": invoice_id, "author": actor.id, "body": body, "now": now},
    )
    _attach(session, actor, invoice_id, identity, new.attachments)
    mentioned = list(dict.fromkeys(new.mentions))
    session.execute(
        text(
            "INSERT INTO comment_mentions (comment_id, user_id) SELECT :comment, * FROM unnest(CAST(:users AS uuid[]))"
        ),
        {"comment": identity, "users": array(mentioned, "uuid")},
    )
    number = session.scalar(text("SELECT number FROM invoices WHERE id = :id"), {"id": invoice_id})
    _announce(session, actor, invoice_id, number, identity, parties)
    for person in mentioned:
        if person != actor.id:
            notice = Notice(
                user_id=person,
                kind="comment.mentioned",
                subject_kind="comment",
                subject_id=identity,
                title=f"{actor.name} mentioned you on {number or 'a draft'}"[:200],
                body=body[:_EXCERPT],
            )
            announce(session, notifications.tell(session, notice, now))
    return _read(session, "comments.id = :id", {"id": identity}, 1)[0]


def _attach(session: Session, actor: Actor, invoice_id: UUID, comment_id: UUID, attached: Sequence[UUID]) -> None:
    if not attached:
        return
    mine = set(
        session.scalars(
            text(
                "SELECT file_id FROM invoice_files WHERE file_id = ANY(CAST(:files AS uuid[])) "
                "AND invoice_id = :invoice AND owner_id = :owner"
            ),
            {"files": array(attached, "uuid"), "invoice": invoice_id, "owner": actor.id},
        )
    )
    for place, file_id in enumerate(attached):
        if file_id not in mine:
            raise Invalid(f"attachments.{place}", "is no file that you brought to this invoice")
    written = session.execute(
        text(
            "INSERT INTO comment_files (file_id, comment_id, position) "
            "SELECT file_id, :comment, place - 1 FROM unnest(CAST(:files AS uuid[])) WITH ORDINALITY "
            "AS given (file_id, place) ON CONFLICT (file_id) DO NOTHING RETURNING file_id"
        ),
        {"files": array(attached, "uuid"), "comment": comment_id},
    ).all()
    if len(written) != len(attached):
        raise Conflict("a file hangs on another comment already")


def _announce(
    session: Session, actor: Actor, invoice_id: UUID, number: str | None, comment_id: UUID, parties: dict[UUID, Party]
) -> None:
    # Whoever looks at a listed invoice hears its room, and need not be a party: there only that something was said.
    seen: dict[str, object] = {"invoice_id": str(invoice_id), "comment_id": str(comment_id)}
    told: dict[str, object] = {**seen, "number": number, "author_id": str(actor.id), "author": actor.name}
    people = [f"user:{party.id}" for party in parties.values() if party.role is not Role.OPERATOR]
    announce(
        session,
        [
            DomainEvent(room=f"invoice:{invoice_id}", name="comment.created", data=seen),
            *(DomainEvent(room=room, name="comment.created", data=told) for room in (*people, "operators")),
        ],
    )


def thread(
    session: Session, actor: Actor, invoice_id: UUID, *, limit: int = 25, cursor: str | None = None
) -> dict[str, Any]:
    """What was said about an invoice, newest first. Raises NotFound, Forbidden or Invalid."""
    require_party(session, actor, invoice_id)
    values: dict[str, Any] = {"invoice": invoice_id}
    condition = "comments.invoice_id = :invoice"
    if (after := paging.after_id(cursor)) is not None:
        condition += " AND comments.id < :after"
        values["after"] = after
    found = _read(session, condition, values, paging.check_limit(limit) + 1)
    rows = [_Row(UUID(each["id"]), each) for each in found]
    return paging.page(rows, limit, lambda row: row.shown)


@dataclass(frozen=True, slots=True)
class _Row:
    id: UUID
    shown: dict[str, Any]


_FILES = (
    "coalesce((SELECT jsonb_agg(jsonb_build_object('id', files.id, 'name', files.name, 'media_type', files.media_type, "
    "'size', files.size) ORDER BY comment_files.position) FROM comment_files JOIN files ON files.id = file_id "
    "WHERE comment_files.comment_id = comments.id), '[]')"
)
_MENTIONS = (
    "coalesce((SELECT jsonb_agg(jsonb_build_object('id', users.id, 'name', users.name) ORDER BY users.name, users.id) "
    "FROM comment_mentions JOIN users ON users.id = user_id WHERE comment_mentions.comment_id = comments.id), '[]')"
)


def _read(session: Session, condition: str, values: dict[str, Any], limit: int) -> list[dict[str, Any]]:
    rows = session.execute(
        text(
            "SELECT comments.id, comments.invoice_id, body, comments.created_at, author_id, users.name, "
            f"users.organisation, users.role, {_FILES} AS attachments, {_MENTIONS} AS mentions "
            f"FROM comments JOIN users ON users.id = author_id WHERE {condition} ORDER BY comments.id DESC LIMIT :limit"
        ),
        {**values, "limit": limit},
    )
    return [
        {
            "id": str(row.id),
            "invoice_id": str(row.invoice_id),
            "author": {
                "id": str(row.author_id),
                "name": row.name,
                "organisation": row.organisation,
                "role": row.role,
            },
            "body": row.body,
            "mentions": row.mentions,
            "attachments": row.attachments,
            "created_at": row.created_at,
        }
        for row in rows
    ]


def comment_place(session: Session, actor: Actor, comment_id: UUID) -> UUID:
    """The invoice that a comment speaks of. Raises NotFound or Forbidden."""
    invoice_id: UUID | None = session.scalar(text("SELECT invoice_id FROM comments WHERE id = :id"), {"id": comment_id})
    if invoice_id is None:
        raise NotFound("comment", comment_id)
    try:
        require_party(session, actor, invoice_id)
    except NotFound:
        # Whoever may not know of the invoice is not told its id either.
        raise NotFound("comment", comment_id) from None
    return invoice_id
