"""Writing mails, and reading them back where no server sends them."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, text
from sqlalchemy.orm import Session

from core import paging
from core.errors import NotFound
from core.identity import Actor
from core.identity.users import clean_email
from core.ids import new_id

_MAX_SUBJECT = 200
_MAX_TEXT = 20_000
_MAX_HTML = 60_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Mail:
    """A mail to one address. `html` is the same words for readers that show it.

    `key` makes a repeat harmless: a second mail with the same one is not written. The words may hold a link that
    acts for its reader, so they stay out of a repr.
    """

    to: str
    subject: str
    text: str = field(repr=False)
    html: str | None = field(default=None, repr=False)
    subject_kind: str | None = None
    subject_id: UUID | None = None
    key: str | None = None


def write(session: Session | Connection, mail: Mail, now: datetime) -> UUID | None:
    """Queue a mail in the caller's transaction: it is sent when that commits, and never when it does not.

    Returns its id, or None when one with its key is there already. Raises Invalid for what is no address.
    """
    made: UUID | None = session.scalar(
        text(
            "INSERT INTO mails (id, key, to_address, subject, text, html, state, due_at, subject_kind, subject_id, "
            "created_at) VALUES (:id, :key, :to, :subject, :text, :html, 'queued', :now, :subject_kind, :subject_id, "
            ":now) ON CONFLICT (key) DO NOTHING RETURNING id"
        ),
        {
            "id": new_id(),
            "key": mail.key,
            "to": clean_email(mail.to, "to"),
            # One line: a name that somebody chose must not begin a header of its own.
            "subject": " ".join(mail.subject.split())[:_MAX_SUBJECT] or "(no subject)",
            "text": mail.text[:_MAX_TEXT],
            "html": mail.html if mail.html is None or len(mail.html) <= _MAX_HTML else None,
            "subject_kind": mail.subject_kind,
            "subject_id": mail.subject_id,
            "now": now,
        },
    )
    return made


_SHOWN = "id, to_address, subject, text, state, attempts, error, subject_kind, subject_id, created_at, sent_at"


def _shape(row: Any) -> dict[str, Any]:
    return {
        "id": str(row.id),
        "to": row.to_address,
        "subject": row.subject,
        "text": row.text,
        "state": row.state,
        "attempts": row.attempts,
        "error": row.error,
        "about": {"kind": row.subject_kind, "id": str(row.subject_id)} if row.subject_id else None,
        "created_at": row.created_at,
        "sent_at": row.sent_at,
    }


def _visible(actor: Actor) -> str:
    return "true" if actor.is_operator else "to_address = :email"


def list_mails(session: Session, actor: Actor, *, limit: int = 25, cursor: str | None = None) -> dict[str, Any]:
    """Mails to the actor's own address, newest first; for operators all. Raises Invalid."""
    values: dict[str, Any] = {"email": actor.email, "limit": paging.check_limit(limit) + 1}
    conditions = [_visible(actor)]
    if (after := paging.after_id(cursor)) is not None:
        conditions.append("id < :after")
        values["after"] = after
    rows = session.execute(
        text(f"SELECT {_SHOWN} FROM mails WHERE {' AND '.join(conditions)} ORDER BY id DESC LIMIT :limit"), values
    ).all()
    return paging.page(rows, limit, _shape)


def mail_for(session: Session, actor: Actor, mail_id: UUID) -> dict[str, Any]:
    """One of those mails. Raises NotFound."""
    row = session.execute(
        text(f"SELECT {_SHOWN} FROM mails WHERE id = :id AND {_visible(actor)}"),
        {"id": mail_id, "email": actor.email},
    ).one_or_none()
    if row is None:
        raise NotFound("mail", mail_id)
    return _shape(row)
