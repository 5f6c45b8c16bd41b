"""Notifications: told once a trouble, read by a person, cleared by the thing itself."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, text
from sqlalchemy.orm import Session

from core import paging
from core.bulk import Rows
from core.errors import NotFound
from core.events import DomainEvent
from core.identity import Actor
from core.ids import new_id

# Where the thing that a notification speaks of is shown.
_PLACES = {
    "connection": "/connections/{}",
    "comment": "/comments/{}",
    "invoice": "/invoices/{}",
    "transaction": "/transactions/{}",
    "recurring": "/recurring/{}",
    "mail": "/mailbox/{}",
    "kyc": "/kyc",
    "kyc_review": "/kyc-reviews/{}",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Notice:
    """Something a person must know. `kind` and subject say which trouble it is; `body` says what to do."""

    user_id: UUID
    kind: str
    subject_kind: str
    subject_id: UUID
    title: str
    body: str
    event_id: UUID | None = None


def tell(session: Session | Connection, notice: Notice, now: datetime | None = None) -> list[DomainEvent]:
    """Write a notification, unless the same trouble is open already; return what to announce.

    The caller owns the transaction and announces. Without `now` it is the transaction's own moment.
    """
    row = session.execute(
        text(
            "INSERT INTO notifications (id, user_id, kind, subject_kind, subject_id, title, body, event_id, "
            "created_at) VALUES (:id, :user, :kind, :subject_kind, :subject, :title, :body, :event, "
            "coalesce(CAST(:now AS timestamptz), now())) "
            "ON CONFLICT (subject_id, kind, user_id) WHERE cleared_at IS NULL DO NOTHING RETURNING id"
        ),
        {
            "id": new_id(),
            "user": notice.user_id,
            "kind": notice.kind,
            "subject_kind": notice.subject_kind,
            "subject": notice.subject_id,
            "title": notice.title[:200],
            "body": notice.body[:1000],
            "event": notice.event_id,
            "now": now,
        },
    ).one_or_none()
    if row is None:
        return []
    return [_created(row.id, notice)]


def _created(identity: UUID, notice: Notice) -> DomainEvent:
    data: dict[str, object] = {
        "notification_id": str(identity),
        "kind": notice.kind,
        "title": notice.title[:200],
        "body": notice.body[:1000],
        "url": _PLACES.get(notice.subject_kind, "").format(notice.subject_id) or None,
    }
    return DomainEvent(room=f"user:{notice.user_id}", name="notification.created", data=data)


_NOTICES = Rows(
    id="uuid",
    user_id="uuid",
    kind="text",
    subject_kind="text",
    subject_id="uuid",
    title="text",
    body="text",
    event_id="uuid",
    created_at="timestamptz",
)
_TELL_ALL = text(
    _NOTICES.insert(
        "notifications", "ON CONFLICT (subject_id, kind, user_id) WHERE cleared_at IS NULL DO NOTHING RETURNING id"
    )
)


def tell_all(session: Session | Connection, notices: Sequence[Notice], now: datetime) -> list[DomainEvent]:
    """`tell` for many, in one statement."""
    if not notices:
        return []
    # In one order everywhere: two transactions that tell the same people wait for each other once, not both ways.
    ordered = sorted(notices, key=lambda notice: (notice.subject_id, notice.kind, notice.user_id))
    given = {new_id(): notice for notice in ordered}
    rows = session.execute(
        _TELL_ALL,
        _NOTICES.parameters(
            {
                "id": identity,
                "user_id": notice.user_id,
                "kind": notice.kind,
                "subject_kind": notice.subject_kind,
                "subject_id": notice.subject_id,
                "title": notice.title[:200],
                "body": notice.body[:1000],
                "event_id": notice.event_id,
                "created_at": now,
            }
            for identity, notice in given.items()
        ),
    )
    return [_created(row.id, given[row.id]) for row in rows]


def clear(
    session: Session | Connection, subject_id: UUID, kinds: Sequence[str], now: datetime | None = None
) -> list[DomainEvent]:
    """End the open notifications of a subject, because it is well again; return what to announce."""
    return clear_all(session, [subject_id], kinds, now)


def clear_all(
    session: Session | Connection, subject_ids: Sequence[UUID], kinds: Sequence[str], now: datetime | None = None
) -> list[DomainEvent]:
    """`clear` for many subjects, in one statement."""
    rows = session.execute(
        text(
            "UPDATE notifications SET cleared_at = coalesce(CAST(:now AS timestamptz), now()) "
            "WHERE subject_id = ANY(CAST(:subjects AS uuid[])) AND kind = ANY(CAST(:kinds AS text[])) "
            "AND cleared_at IS NULL RETURNING id, user_id, kind"
        ),
        {"subjects": list(subject_ids), "kinds": list(kinds), "now": now},
    ).all()
    return [
        DomainEvent(
            room=f"user:{row.user_id}",
            name="notification.cleared",
            data={"notification_id": str(row.id), "kind": row.kind},
        )
        for row in rows
    ]


def _shape(row: Any) -> dict[str, Any]:
    return {
        "id": str(row.id),
        "kind": row.kind,
        "subject": {"kind": row.subject_kind, "id": str(row.subject_id)},
        "title": row.title,
        "body": row.body,
        "url": _PLACES.get(row.subject_kind, "").format(row.subject_id) or None,
        "created_at": row.created_at,
        "read_at": row.read_at,
        "cleared_at": row.cleared_at,
    }


def list_notifications(
    session: Session, actor: Actor, *, limit: int = 25, cursor: str | None = None, open_only: bool = False
) -> dict[str, Any]:
    """The actor's notifications, newest first; `unread` counts those that are open and not read."""
    values: dict[str, Any] = {"actor": actor.id, "limit": paging.check_limit(limit) + 1}
    conditions = ["user_id = :actor"]
    if open_only:
        conditions.append("cleared_at IS NULL")
    if (after := paging.after_id(cursor)) is not None:
        conditions.append("id < :after")
        values["after"] = after
    rows = session.execute(
        text(
            "SELECT id, kind, subject_kind, subject_id, title, body, created_at, read_at, cleared_at "
            f"FROM notifications WHERE {' AND '.join(conditions)} ORDER BY id DESC LIMIT :limit"
        ),
        values,
    ).all()
    return {**paging.page(rows, limit, _shape), "unread": unread(session, actor)}


def unread(session: Session, actor: Actor) -> int:
    """How many open notifications the actor has not read: the number on the bell."""
    found = session.scalar(
        text("SELECT count(*) FROM notifications WHERE user_id = :actor AND read_at IS NULL AND cleared_at IS NULL"),
        {"actor": actor.id},
    )
    return int(found or 0)


def mark_all_read(session: Session, actor: Actor, now: datetime) -> None:
    """Mark all of the actor's own notifications as read; doing it again changes nothing."""
    session.execute(
        text("UPDATE notifications SET read_at = :now WHERE user_id = :actor AND read_at IS NULL"),
        {"actor": actor.id, "now": now},
    )


def mark_read(session: Session, actor: Actor, notification_id: UUID, now: datetime) -> dict[str, Any]:
    """Mark one of the actor's own notifications as read; reading it again changes nothing. Raises NotFound."""
    row = session.execute(
        text(
            "UPDATE notifications SET read_at = coalesce(read_at, :now) WHERE id = :id AND user_id = :actor "
            "RETURNING id, kind, subject_kind, subject_id, title, body, created_at, read_at, cleared_at"
        ),
        {"id": notification_id, "actor": actor.id, "now": now},
    ).one_or_none()
    if row is None:
        raise NotFound("notification", notification_id)
    return _shape(row)
