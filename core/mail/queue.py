"""The queue of mails: claimed one by one under a lease, finished with fencing, as events are (core.inbox.claim).

A mail that was handed to the server and whose end was not written (the worker was killed in between) is sent
again: at least once, not exactly once. Its Message-ID is made from the row's id and its bytes are the same both
times, so that whoever gets it twice can tell.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Literal
from uuid import UUID

from sqlalchemy import Connection, text

from core.events import DomainEvent
from core.identity import Role
from core.inbox.claim import delay_seconds
from core.notifications.store import Notice, tell

_KEPT_FOR = timedelta(days=90)


@dataclass(frozen=True, slots=True, kw_only=True)
class Claimed:
    """A mail in hand until its lease ends."""

    id: UUID
    attempts: int
    claimed_at: datetime
    to_address: str
    subject: str
    text: str = field(repr=False)
    html: str | None = field(repr=False)
    created_at: datetime
    sender_id: UUID | None = None
    sender_name: str | None = None
    reply_to: str | None = None
    # What is to be made and hung on: [{"kind": ..., "id": ...}].
    attachments: Sequence[Mapping[str, str]] = ()
    subject_id: UUID | None = None


_CLAIM = text(
    "UPDATE mails SET attempts = attempts + 1, due_at = :now + :lease, claimed_at = :now WHERE id = ("
    "SELECT id FROM mails WHERE state = 'queued' AND due_at <= :now ORDER BY due_at, id LIMIT 1 "
    "FOR UPDATE SKIP LOCKED) "
    "RETURNING id, attempts, claimed_at, to_address, subject, text, html, created_at, sender_id, sender_name, "
    "reply_to, attachments, subject_id"
)


def claim(connection: Connection, *, lease_seconds: float, now: datetime) -> Claimed | None:
    """Take the mail that is due longest for `lease_seconds`; None when none is. The caller commits before it sends."""
    row = connection.execute(_CLAIM, {"now": now, "lease": timedelta(seconds=lease_seconds)}).one_or_none()
    return None if row is None else Claimed(**row._asdict())


# Who no longer holds the attempt it claimed changes nothing.
_OURS = "WHERE id = :id AND attempts = :attempts AND claimed_at = :claimed_at AND state = 'queued' RETURNING id"


def _holding(mail: Claimed) -> dict[str, object]:
    return {"id": mail.id, "attempts": mail.attempts, "claimed_at": mail.claimed_at}


def sent(connection: Connection, mail: Claimed, now: datetime) -> bool:
    """The server took it; its words are forgotten. False when somebody else holds it by now."""
    done = connection.execute(
        text(f"UPDATE mails SET state = 'sent', sent_at = :now, text = '', html = NULL, error = NULL {_OURS}"),
        {**_holding(mail), "now": now},
    )
    return bool(done.all())


def told_sender(mail: Claimed) -> list[DomainEvent]:
    """What whoever had a mail sent hears when it went."""
    if mail.sender_id is None:
        return []
    data: dict[str, object] = {"mail_id": str(mail.id), "invoice_id": str(mail.subject_id) if mail.subject_id else None}
    return [DomainEvent(room=f"user:{mail.sender_id}", name="mail.sent", data=data)]


def failed(
    connection: Connection, mail: Claimed, *, error: str, now: datetime, max_attempts: int, permanent: bool = False
) -> Literal["retry", "failed", "lost"]:
    """Put a mail back for later; or give it up, after `max_attempts` or when trying is no use."""
    over = permanent or mail.attempts >= max_attempts
    changed = connection.execute(
        text(f"UPDATE mails SET state = :state, due_at = :due, error = :error {_OURS}"),
        {
            **_holding(mail),
            "state": "failed" if over else "queued",
            "due": now + timedelta(seconds=delay_seconds(mail.attempts)),
            "error": error.replace("\x00", "")[:1000],
        },
    ).all()
    if not changed:
        return "lost"
    return "failed" if over else "retry"


def tell_operators(connection: Connection, mail: Claimed, error: str, now: datetime) -> list[DomainEvent]:
    """Notify the operators of a mail that was given up; returns what to announce."""
    operators = connection.scalars(
        text("SELECT id FROM users WHERE role = :role AND is_active ORDER BY id"), {"role": Role.OPERATOR.value}
    ).all()
    events: list[DomainEvent] = []
    for operator in operators:
        notice = Notice(
            user_id=operator,
            kind="mail.failed",
            subject_kind="mail",
            subject_id=mail.id,
            title=f"A mail to {mail.to_address} was not sent",
            body=f"{mail.subject}: {error}",
        )
        events += tell(connection, notice, now)
    return events


def keep_due(connection: Connection, now: datetime) -> list[DomainEvent]:
    """Without a server to send by: put what is due into the mailboxes of this installation.

    Returns what to announce: each addressee who is a person here hears of it, and whoever it is from.
    """
    rows = connection.execute(
        text(
            "WITH kept AS (UPDATE mails SET state = 'kept', sent_at = :now WHERE id IN ("
            "SELECT id FROM mails WHERE state = 'queued' AND due_at <= :now ORDER BY due_at, id LIMIT 100 "
            "FOR UPDATE SKIP LOCKED) RETURNING id, to_address, subject, sender_id) "
            "SELECT kept.id, subject, sender_id, users.id AS user_id FROM kept "
            "LEFT JOIN users ON users.email = kept.to_address ORDER BY kept.id"
        ),
        {"now": now},
    ).all()
    events = []
    for row in rows:
        people = sorted({str(person) for person in (row.user_id, row.sender_id) if person})
        rooms = ["operators", *(f"user:{person}" for person in people)]
        data: dict[str, object] = {"mail_id": str(row.id), "subject": row.subject}
        events += [DomainEvent(room=room, name="mail.kept", data=data) for room in rooms]
    return events


def forget(connection: Connection, now: datetime) -> None:
    """Drop what was sent, kept or given up long ago."""
    connection.execute(
        text("DELETE FROM mails WHERE state <> 'queued' AND created_at < :limit"), {"limit": now - _KEPT_FOR}
    )
