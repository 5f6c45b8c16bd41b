"""Recurring invoices are made: what is due, each occurrence once, whoever looks and however late.

Each occurrence is a transaction of its own: its row in recurring_runs, its invoice and the step to the next are there
together or not at all. Two workers share the work; one that dies leaves everything due. A plan that cannot be carried
out (its contact's GSTIN was taken away, a code is missing) pauses itself and says why.

Locks: the plan first, then what making an invoice locks.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Any, Final
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.orm import Session

from core import audit, notifications
from core.database import Database
from core.errors import Conflict, PlatformError, Transient
from core.identity import Actor, Role
from core.invoicing import invoices, recurring
from core.live import announce
from core.notifications import Notice

# How many occurrences one look makes of one plan, and how many plans it looks at.
CATCH_UP: Final = 12
BATCH: Final = 50
_DUE = text(
    "SELECT recurring.id FROM recurring_invoices AS recurring JOIN users ON users.id = recurring.seller_id "
    "WHERE recurring.next_on <= :today AND recurring.paused_at IS NULL AND users.is_active "
    "AND recurring.id <> ALL(:passed) ORDER BY recurring.next_on, recurring.id LIMIT :limit"
)
_CLAIM = text(
    "SELECT * FROM recurring_invoices WHERE id = :id AND next_on <= :today AND paused_at IS NULL FOR UPDATE SKIP LOCKED"
)


@dataclass(slots=True)
class Ran:
    """What a look did: the invoices it made, and the plans that paused themselves, with the reason."""

    made: list[UUID] = field(default_factory=list)
    paused: list[tuple[UUID, str]] = field(default_factory=list)
    looked: int = 0


def run_due(database: Database, now: datetime, *, limit: int = BATCH, passed: list[UUID] | None = None) -> Ran:
    """Make what is due of up to `limit` plans, the longest due first, and up to CATCH_UP of each.

    `passed` are plans to leave out; those that were looked at are added to it, so that a caller who looks again comes
    to the others. Doing it again makes what is still due, and nothing twice.
    """
    ran, passed = Ran(), [] if passed is None else passed
    with database.connect() as connection:
        due = connection.scalars(_DUE, {"today": now.date(), "limit": limit, "passed": passed}).all()
    ran.looked = len(due)
    for recurring_id in due:
        passed.append(recurring_id)
        for _ in range(CATCH_UP):
            try:
                with database.session() as session:
                    made = _next(session, recurring_id, now)
            except Transient:
                break
            except PlatformError as error:
                if _give_up(database, recurring_id, str(error), now):
                    ran.paused.append((recurring_id, str(error)))
                break
            if made is None:
                break
            ran.made.append(made)
    return ran


def _next(session: Session, recurring_id: UUID, now: datetime) -> UUID | None:
    """Make the occurrence that is due, if nobody else has it; None where there is none."""
    row = session.execute(_CLAIM, {"id": recurring_id, "today": now.date()}).one_or_none()
    if row is None:
        return None
    return make(session, _seller(session, row.seller_id), row, row.next_on, now)


def _seller(session: Session, seller_id: UUID) -> Actor:
    row = session.execute(text("SELECT id, email, name FROM users WHERE id = :id"), {"id": seller_id}).one()
    return Actor(id=row.id, role=Role.SELLER, email=row.email, name=row.name)


def make(session: Session, seller: Actor, row: Any, issue_date: date, now: datetime) -> UUID:
    """Make the next occurrence of a locked plan, dated `issue_date`, and step on. Raises as `invoices.create` does."""
    new = recurring.of_row(row)
    claimed = session.execute(
        text(
            "INSERT INTO recurring_runs (recurring_id, occurs_on, made_at) VALUES (:id, :day, :now) "
            "ON CONFLICT DO NOTHING RETURNING occurs_on"
        ),
        {"id": row.id, "day": row.next_on, "now": now},
    ).one_or_none()
    if claimed is None:
        raise Conflict(f"the invoice of {row.next_on} was made already")
    invoice = invoices.create(
        session,
        seller,
        new.invoice(issue_date, _days(session, row), row.id),
        now,
        draft=not new.auto_issue,
    )
    identity = UUID(invoice["id"])
    session.execute(
        text(
            "UPDATE recurring_runs SET invoice_id = :invoice, send_pending = :send "
            "WHERE recurring_id = :id AND occurs_on = :day"
        ),
        {"invoice": identity, "send": new.auto_send, "id": row.id, "day": row.next_on},
    )
    occurrence, runs = row.occurrence + 1, row.runs + 1
    full = new.most_runs is not None and runs >= new.most_runs
    session.execute(
        text(
            "UPDATE recurring_invoices SET occurrence = :occurrence, runs = :runs, next_on = :next, updated_at = :now "
            "WHERE id = :id"
        ),
        {
            "occurrence": occurrence,
            "runs": runs,
            "next": None if full else new.schedule.day(occurrence),
            "now": now,
            "id": row.id,
        },
    )
    recurring.tell(session, row.seller_id, row.id)
    return identity


def _days(session: Session, row: Any) -> int:
    """Days to pay: of the plan, else of the contact, else of the seller."""
    if row.payment_days is not None:
        return int(row.payment_days)
    found = session.scalar(
        text(
            "SELECT coalesce(contacts.payment_days, business.payment_days, 30) FROM contacts "
            "LEFT JOIN business_profiles AS business ON business.user_id = contacts.user_id WHERE contacts.id = :id"
        ),
        {"id": row.contact_id},
    )
    return int(30 if found is None else found)


def run_now(session: Session, actor: Actor, recurring_id: UUID, now: datetime) -> UUID:
    """Make the next one at once, dated today where its day is to come; return the invoice's id.

    Also while it is paused. Doing it again makes the one after: the edge has Idempotency-Key for that.
    Raises NotFound, Forbidden, Invalid, and Conflict for one that has ended.
    """
    row = recurring.own(session, actor, recurring_id)
    if row.next_on is None:
        raise Conflict("this recurring invoice has ended: there is none to make")
    made = make(session, actor, row, min(row.next_on, now.date()), now)
    told = {"invoice_id": str(made), "occurs_on": row.next_on.isoformat()}
    audit.record(session, actor, "recurring.run", "recurring_invoice", recurring_id, told, now)
    return made


def _give_up(database: Database, recurring_id: UUID, reason: str, now: datetime) -> bool:
    """Pause a plan that could not be carried out and tell its seller; whether it was still going."""
    with database.session() as session:
        row = session.execute(_CLAIM, {"id": recurring_id, "today": now.date()}).one_or_none()
        if row is None:
            return False
        session.execute(
            text(
                "UPDATE recurring_invoices SET paused_at = :now, trouble = :trouble, version = version + 1, "
                "updated_at = :now WHERE id = :id"
            ),
            {"now": now, "trouble": reason[:500], "id": recurring_id},
        )
        told = {"changes": {"paused_at": [None, now.isoformat()]}, "reason": reason[:300]}
        audit.record(session, None, "recurring.paused", "recurring_invoice", recurring_id, told, now)
        notice = Notice(
            user_id=row.seller_id,
            kind="recurring.paused",
            subject_kind="recurring",
            subject_id=recurring_id,
            title=f"“{row.name}” was not made",
            body=f"The invoice of {row.next_on.isoformat()} could not be made: {reason}. It waits until you resume it.",
        )
        announce(session, notifications.tell(session, notice, now))
        recurring.tell(session, row.seller_id, recurring_id)
    return True
