"""Writing mails, and reading them back where no server sends them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal
from uuid import UUID

from sqlalchemy import Connection, text
from sqlalchemy.orm import Session

from core import paging
from core.errors import Invalid, NotFound
from core.identity import Actor
from core.identity.users import clean_email
from core.ids import new_id

_MAX_SUBJECT = 200
_MAX_TEXT = 20_000
_MAX_HTML = 60_000
_MAX_NAME = 200
_MAX_ATTACHED = 5
# Controls, and what turns the direction of writing: a name would spell another address beside it.
_UNSPELLED = dict.fromkeys([*range(0x20), *range(0x7F, 0xA0), *range(0x202A, 0x202F), *range(0x2066, 0x206A)])


@dataclass(frozen=True, slots=True, kw_only=True)
class Attached:
    """What hangs on a mail: made when it is sent, so that it is as it is then. `id` says of which thing."""

    kind: Literal["invoice_pdf", "receipt_pdf", "credit_note_pdf"]
    id: UUID


@dataclass(frozen=True, slots=True, kw_only=True)
class Sender:
    """In whose name a mail goes out: they read what became of it, and the answers to it."""

    id: UUID
    name: str
    reply_to: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Mail:
    """A mail to one address. `html` is the same words for readers that show it.

    `key` makes a repeat harmless: a second mail with the same one is not written. The words may hold a link that
    acts for its reader, so they stay out of a repr. Without a `sender` the platform itself writes.
    """

    to: str
    subject: str
    text: str = field(repr=False)
    html: str | None = field(default=None, repr=False)
    subject_kind: str | None = None
    subject_id: UUID | None = None
    key: str | None = None
    sender: Sender | None = None
    attached: Sequence[Attached] = ()
    # Whose address `to` is: while the mail waits it follows a correction of it (`readdress`).
    contact_id: UUID | None = None


def _one_line(words: str) -> str:
    """A name that somebody chose, as a header may hold it: it must not begin one of its own."""
    return " ".join(words.split()).translate(_UNSPELLED)


def write(session: Session | Connection, mail: Mail, now: datetime) -> UUID | None:
    """Queue a mail in the caller's transaction: it is sent when that commits, and never when it does not.

    Returns its id, or None when one with its key is there already. Raises Invalid for what is no address, and
    for more than 5 things that hang on it.
    """
    if len(mail.attached) > _MAX_ATTACHED:
        raise Invalid("attachments", f"must be at most {_MAX_ATTACHED}")
    sender = mail.sender
    made: UUID | None = session.scalar(
        text(
            "INSERT INTO mails (id, key, to_address, subject, text, html, state, due_at, subject_kind, subject_id, "
            "created_at, sender_id, sender_name, reply_to, attachments, contact_id) "
            "VALUES (:id, :key, :to, :subject, :text, :html, 'queued', :now, :subject_kind, :subject_id, "
            ":now, :sender, :sender_name, :reply_to, CAST(:attachments AS jsonb), :contact) "
            "ON CONFLICT (key) DO NOTHING RETURNING id"
        ),
        {
            "id": new_id(),
            "key": mail.key,
            "to": clean_email(mail.to, "to"),
            "subject": _one_line(mail.subject)[:_MAX_SUBJECT] or "(no subject)",
            "text": mail.text[:_MAX_TEXT],
            "html": mail.html if mail.html is None or len(mail.html) <= _MAX_HTML else None,
            "subject_kind": mail.subject_kind,
            "subject_id": mail.subject_id,
            "now": now,
            "sender": sender.id if sender else None,
            "sender_name": (_one_line(sender.name)[:_MAX_NAME] or None) if sender else None,
            "reply_to": clean_email(sender.reply_to, "reply_to") if sender else None,
            "attachments": json.dumps([{"kind": each.kind, "id": str(each.id)} for each in mail.attached]),
            "contact": mail.contact_id,
        },
    )
    return made


def readdress(session: Session, contact_id: UUID, email: str) -> None:
    """Send what waits for a contact to their new address. One that is being handed over goes where it went."""
    session.execute(
        text("UPDATE mails SET to_address = :email WHERE contact_id = :contact AND state = 'queued'"),
        {"email": email, "contact": contact_id},
    )


_SHOWN = (
    "id, to_address, subject, text, state, attempts, error, subject_kind, subject_id, created_at, sent_at, sender_id, "
    "sender_name, attachments, bounced_at, bounce_reason"
)


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
        "sender_id": str(row.sender_id) if row.sender_id else None,
        "from_name": row.sender_name,
        "attachments": row.attachments,
        "bounced_at": row.bounced_at,
        "bounce_reason": row.bounce_reason,
    }


def _visible(actor: Actor) -> str:
    # Whoever had it sent sees what became of it. In a demo there is no other way to see what a customer gets.
    return "true" if actor.is_operator else "(to_address = :email OR sender_id = :actor)"


def list_mails(session: Session, actor: Actor, *, limit: int = 25, cursor: str | None = None) -> dict[str, Any]:
    """Mails to the actor's own address and in their name, newest first; for operators all. Raises Invalid."""
    values: dict[str, Any] = {"email": actor.email, "actor": actor.id, "limit": paging.check_limit(limit) + 1}
    conditions = [_visible(actor)]
    if (after := paging.after_id(cursor)) is not None:
        conditions.append("id < :after")
        values["after"] = after
    rows = session.execute(
        text(f"SELECT {_SHOWN} FROM mails WHERE {' AND '.join(conditions)} ORDER BY id DESC LIMIT :limit"), values
    ).all()
    return paging.page(rows, limit, _shape)


def about(session: Session, actor: Actor, subject_id: UUID, *, limit: int = 20) -> list[dict[str, Any]]:
    """The mails in the actor's name about one thing, newest first; for operators all. Without their words."""
    rows = session.execute(
        text(
            f"SELECT {_SHOWN} FROM mails WHERE subject_id = :subject AND (sender_id = :actor OR :all) "
            "ORDER BY id DESC LIMIT :limit"
        ),
        {"subject": subject_id, "actor": actor.id, "all": actor.is_operator, "limit": limit},
    )
    return [{**_shape(row), "text": ""} for row in rows]


def mail_for(session: Session, actor: Actor, mail_id: UUID) -> dict[str, Any]:
    """One of those mails. Raises NotFound."""
    row = session.execute(
        text(f"SELECT {_SHOWN} FROM mails WHERE id = :id AND {_visible(actor)}"),
        {"id": mail_id, "email": actor.email, "actor": actor.id},
    ).one_or_none()
    if row is None:
        raise NotFound("mail", mail_id)
    return _shape(row)
