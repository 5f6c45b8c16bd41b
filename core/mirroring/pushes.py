"""What is to be written to other people's books: wanted when ours alone moved, sent by a worker, once for each state.

One wish an invoice and connection is open at a time. A wish is of one kind, in the order create, void, update, payment;
what it leaves over is wanted by the look that follows it.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final, Literal
from uuid import UUID

from sqlalchemy import Connection, text
from sqlalchemy.orm import Session

from core.ids import new_id

Kind = Literal["create", "update", "void", "payment"]
# Tries that meet no answer; and times a day that the same is written, or found to have moved meanwhile.
MAX_TRIES: Final = 8
MAX_TURNS: Final = 5
_MOST_PAUSE: Final = 3600.0

_MAY_WRITE = (
    "connections.write_since IS NOT NULL AND connections.deleted_at IS NULL AND connections.paused_at IS NULL "
    "AND connections.connector = ANY(CAST(:able AS text[]))"
)


def kind_of(fields: Collection[str]) -> Kind | None:
    """What is written first of these fields; None: nothing."""
    if "void" in fields:
        return "void"
    if {"total", "issue_date", "due_date"} & set(fields):
        return "update"
    return "payment" if "paid" in fields else None


def want(
    session: Session,
    link: Any,
    state: str,
    behind: Collection[str],
    able: Collection[str],
    now: datetime,
    *,
    by: UUID | None = None,
) -> None:
    """Want written what is behind at the other end of a link, if its connection may; nothing behind: nothing wanted.

    `state` names our side. What was written of it and is not there, or was given up, is not wanted again unless a
    person asks (`by`).
    """
    kind = kind_of(behind)
    if kind is None:
        _unwant(session, link.invoice_id, link.connection_id, now)
        return
    if not session.scalar(
        text(f"SELECT 1 FROM connections WHERE id = :id AND {_MAY_WRITE}"),
        {"id": link.connection_id, "able": list(able)},
    ):
        return
    wanted = f"{kind}:{state}"
    if by is None and (link.written == wanted or _given_up(session, link.invoice_id, link.connection_id, wanted, now)):
        return
    _insert(session, link.invoice_id, link.connection_id, link.user_id, kind, wanted, now, by)


def _given_up(session: Session, invoice_id: UUID, connection_id: UUID, wanted: str, now: datetime) -> bool:
    """Whether this was refused since a person last asked, or was tried too often today: both sides keep moving."""
    row: Any = session.execute(
        text(
            "SELECT (array_agg(state ORDER BY id DESC))[1] AS newest, "
            "count(*) FILTER (WHERE updated_at > :since) AS today FROM mirror_pushes WHERE invoice_id = :invoice "
            "AND connection_id = :connection AND wanted = :wanted AND state <> 'wanted'"
        ),
        {
            "invoice": invoice_id,
            "connection": connection_id,
            "wanted": wanted,
            "since": now - timedelta(days=1),
        },
    ).one()
    return bool(row.newest == "failed" or row.today >= MAX_TURNS)


def want_new(session: Session, ours: Any, able: Collection[str], now: datetime) -> None:
    """Want an invoice made in the books that are written to and do not have it, if it was issued since that began."""
    if ours.status not in ("open", "partial", "paid") or ours.issued_at is None:
        return
    rows = session.execute(
        text(
            f"SELECT id FROM connections WHERE user_id = :seller AND {_MAY_WRITE} AND write_since <= :issued "
            "AND NOT EXISTS (SELECT FROM mirror_links WHERE invoice_id = :invoice AND connection_id = connections.id) "
            "AND NOT EXISTS (SELECT FROM mirror_apart JOIN mirrored_invoices ON mirrored_invoices.id = mirrored_id "
            "WHERE invoice_id = :invoice AND mirrored_invoices.connection_id = connections.id) "
            "AND NOT EXISTS (SELECT FROM mirror_pushes WHERE invoice_id = :invoice "
            "AND connection_id = connections.id AND kind = 'create' AND state IN ('wanted', 'failed'))"
        ),
        {"seller": ours.seller_id, "able": list(able), "issued": ours.issued_at, "invoice": ours.id},
    )
    for connection_id in rows.scalars().all():
        _insert(session, ours.id, connection_id, ours.seller_id, "create", "create", now, None)


def want_create(session: Session, invoice_id: UUID, connection_id: UUID, user_id: UUID, now: datetime) -> None:
    """Want an invoice made there because its seller asks."""
    _insert(session, invoice_id, connection_id, user_id, "create", "create", now, user_id)


def _insert(
    session: Session,
    invoice_id: UUID,
    connection_id: UUID,
    user_id: UUID,
    kind: Kind,
    wanted: str,
    now: datetime,
    by: UUID | None,
) -> None:
    session.execute(
        text(
            "INSERT INTO mirror_pushes AS known (id, invoice_id, connection_id, user_id, kind, asked_by, wanted, "
            "due_at, created_at, updated_at) VALUES (:id, :invoice, :connection, :user, :kind, :by, :wanted, :now, "
            ":now, :now) ON CONFLICT (invoice_id, connection_id) WHERE state = 'wanted' DO UPDATE SET "
            "kind = excluded.kind, wanted = excluded.wanted, asked_by = coalesce(excluded.asked_by, known.asked_by), "
            "attempts = 0, error = NULL, due_at = excluded.due_at, updated_at = excluded.updated_at "
            # Whoever has it in hand looks again when they are done.
            "WHERE known.claimed_at IS NULL "
            "AND (known.wanted <> excluded.wanted OR excluded.asked_by IS NOT NULL)"
        ),
        {
            "id": new_id(),
            "invoice": invoice_id,
            "connection": connection_id,
            "user": user_id,
            "kind": kind,
            "by": by,
            "wanted": wanted,
            "now": now,
        },
    )


def _unwant(session: Session, invoice_id: UUID, connection_id: UUID, now: datetime) -> None:
    """What nobody sends yet is not sent any more. What is on its way finds out for itself."""
    session.execute(
        text(
            "UPDATE mirror_pushes SET state = 'stopped', updated_at = :now WHERE invoice_id = :invoice "
            "AND connection_id = :connection AND state = 'wanted' AND claimed_at IS NULL"
        ),
        {"invoice": invoice_id, "connection": connection_id, "now": now},
    )


# The worker's side ----------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Claimed:
    """A wish in hand until its lease ends."""

    id: UUID
    kind: Kind
    attempts: int
    claimed_at: datetime
    invoice_id: UUID
    connection_id: UUID
    connector: str
    user_id: UUID
    wanted: str
    number: str


_CLAIM = text(
    "WITH taken AS (UPDATE mirror_pushes SET attempts = attempts + 1, due_at = :now + :lease, claimed_at = :now "
    "WHERE id = (SELECT id FROM mirror_pushes WHERE state = 'wanted' AND due_at <= :now "
    "ORDER BY due_at, id LIMIT 1 FOR UPDATE SKIP LOCKED) RETURNING *) "
    "SELECT taken.id, taken.kind, taken.attempts, taken.claimed_at, taken.invoice_id, taken.connection_id, "
    "connections.connector, taken.user_id, taken.wanted, coalesce(invoices.number, '') AS number FROM taken "
    "JOIN connections ON connections.id = taken.connection_id JOIN invoices ON invoices.id = taken.invoice_id"
)
# Who no longer holds the attempt it claimed changes nothing.
_HELD = "WHERE id = :id AND claimed_at = :claimed_at AND state = 'wanted' RETURNING id"


def claim(connection: Connection, *, lease_seconds: float, now: datetime) -> Claimed | None:
    """Take the wish that is due longest; None when none is. The caller commits before it asks a provider."""
    row = connection.execute(_CLAIM, {"now": now, "lease": timedelta(seconds=lease_seconds)}).one_or_none()
    return None if row is None else Claimed(**row._asdict())


def hold(session: Session, push: Claimed) -> bool:
    """Whether a wish is still in this worker's hand; locked then."""
    return bool(
        session.scalar(
            text("SELECT 1 FROM mirror_pushes WHERE id = :id AND claimed_at = :at AND state = 'wanted' FOR UPDATE"),
            {"id": push.id, "at": push.claimed_at},
        )
    )


def aim(session: Session, push: Claimed, kind: Kind, wanted: str) -> None:
    """Write down what a wish in hand is about now: our side may have moved since it was wanted."""
    session.execute(
        text("UPDATE mirror_pushes SET kind = :kind, wanted = :wanted WHERE id = :id"),
        {"id": push.id, "kind": kind, "wanted": wanted},
    )


def end(
    session: Session, push: Claimed, state: Literal["done", "stopped"], now: datetime, words: str | None = None
) -> None:
    """A wish was fulfilled, or is not to be."""
    session.execute(
        text(f"UPDATE mirror_pushes SET state = :state, error = :words, updated_at = :now {_HELD}"),
        {"id": push.id, "claimed_at": push.claimed_at, "state": state, "words": words, "now": now},
    )


def failed(
    session: Session, push: Claimed, error: str, now: datetime, *, permanent: bool, wait_seconds: float | None
) -> Literal["retry", "failed", "lost"]:
    """Put a wish back for a little later, or give it up."""
    over = permanent or push.attempts >= MAX_TRIES
    pause = min(max(wait_seconds or 0.0, 5.0 * 4.0 ** min(push.attempts, 6)), _MOST_PAUSE)
    rows = session.execute(
        text(
            "UPDATE mirror_pushes SET state = :state, due_at = :due, claimed_at = NULL, error = :error, "
            f"updated_at = :now {_HELD}"
        ),
        {
            "id": push.id,
            "claimed_at": push.claimed_at,
            "state": "failed" if over else "wanted",
            "due": now + timedelta(seconds=pause),
            "error": error.replace("\x00", "")[:1000],
            "now": now,
        },
    ).all()
    if not rows:
        return "lost"
    return "failed" if over else "retry"
