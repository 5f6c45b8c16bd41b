"""What the clock does with financings: windows that end, days that come, payments that do not (marketplace rules 2.8).

Each financing is looked at in a transaction of its own, by whoever gets its invoice's lock: two workers share the
work, and one that dies leaves everything due. Looking twice does nothing twice, because a look that finds nothing to
do only says when the next one is.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.orm import Session

from core import notifications
from core.bulk import array
from core.database import Database
from core.events import DomainEvent
from core.live import announce
from core.marketplace import closing, promises, repayments, settlement, states
from core.marketplace.calendar import DEFAULT_AFTER, WATCH_AFTER
from core.marketplace.clock import REMINDERS, next_look
from core.marketplace.news import spell
from core.marketplace.repayment_news import DEFAULTED, OVERDUE
from core.marketplace.rules import Rules, today
from core.marketplace.states import Financing, State
from core.marketplace.waterfall import Recourse
from core.notifications import Notice

BATCH = 50
# A look that failed is tried again then, so that it keeps nobody else waiting.
_LATER = timedelta(minutes=5)
_DUE = text(
    "SELECT invoice_id FROM financings WHERE due_at <= :now AND state NOT IN ('rejected', 'expired', 'withdrawn') "
    "ORDER BY due_at, id LIMIT :limit"
)
_CLAIM = text("SELECT number FROM invoices WHERE id = :id FOR UPDATE SKIP LOCKED")
_PUT_OFF = text(
    "UPDATE financings SET due_at = :later WHERE invoice_id = :id AND due_at <= :now "
    "AND state NOT IN ('rejected', 'expired', 'withdrawn')"
)


@dataclass(slots=True)
class Looked:
    """What a tick did: the invoices it looked at, and those whose look failed, with the reason."""

    invoices: list[UUID] = field(default_factory=list)
    failures: list[tuple[UUID, str]] = field(default_factory=list)


def tick(database: Database, now: datetime, rules: Rules, *, limit: int = BATCH) -> Looked:
    """Look at up to `limit` financings that are due, the longest due first."""
    looked = Looked()
    with database.connect() as connection:
        due = connection.scalars(_DUE, {"now": now, "limit": limit}).all()
    for invoice_id in due:
        try:
            with database.session() as session:
                if look(session, invoice_id, now, rules):
                    looked.invoices.append(invoice_id)
        except Exception as error:  # noqa: BLE001 - Whatever it is, the others must not wait for it.
            looked.failures.append((invoice_id, f"{type(error).__name__}: {error}".split("\n", 1)[0][:300]))
            with database.session() as session:
                session.execute(_PUT_OFF, {"later": now + _LATER, "id": invoice_id, "now": now})
    return looked


def look(session: Session, invoice_id: UUID, now: datetime, rules: Rules) -> bool:
    """Do what is due for one invoice, if nobody else has it; return whether anything was."""
    claimed = session.execute(_CLAIM, {"id": invoice_id}).one_or_none()
    if claimed is None:
        return False
    financing = states.lock(session, invoice_id)
    if financing.due_at is None or financing.due_at > now:
        return False
    after = _look(session, financing, claimed.number, now, rules)
    if after.due_at is not None and after.due_at <= now:
        due_at = next_look(after, rules.calendar, now)
        # It was its time, and yet nothing was done: an hour later is soon enough to ask again.
        states.change(session, after, now, due_at=due_at if due_at is None else max(due_at, now + _LATER))
    return True


def _look(session: Session, financing: Financing, number: str, now: datetime, rules: Rules) -> Financing:
    wanted = next_look(financing, rules.calendar, financing.updated_at)
    match financing.state:
        case State.OVERDUE:
            return _remind(session, financing, number, now, rules)
        case _ if wanted is None or wanted > now:
            # The calendar has holidays that whoever set the time did not know.
            return states.change(session, financing, now, due_at=wanted)
        case State.PENDING | State.DISPUTED:
            return _expire(session, financing, number, now, "the buyer did not answer in time")
        case State.CONFIRMED:
            return _expire(session, financing, number, now, "it fell due before it was listed")
        case State.LISTED | State.PARTIALLY_FUNDED:
            if financing.mode == "auction" and financing.closes_at is not None and financing.closes_at <= now:
                return closing.close(session, financing, now, rules=rules)
            return _expire(session, financing, number, now, "it was not funded in time")
        case State.SETTLEMENT_PENDING:
            return settlement.settle(session, financing, now, rules=rules)
        case State.FUNDED | State.PART_PAID:
            moved = states.move(
                session, financing, State.OVERDUE, now, actor=None, reason="the buyer has not paid within the grace"
            )
            return _remind(session, moved, number, now, rules)
        case _:
            return states.change(session, financing, now, due_at=None)


def _expire(session: Session, financing: Financing, number: str, now: datetime, reason: str) -> Financing:
    if financing.state in states.ON_OFFER:
        ended = promises.release(session, financing, now, reason, to=State.EXPIRED, due_at=None)
    else:
        ended = states.move(session, financing, State.EXPIRED, now, actor=None, reason=reason, due_at=None)
    events = notifications.clear(session, financing.invoice_id, ["invoice.to_confirm"], now)
    words = (f"Invoice {number} left the marketplace", f"{reason[:1].upper()}{reason[1:]}. You may submit it again.")
    events += _notify(session, financing, [financing.seller_id], "invoice.expired", words, now)
    announce(session, events)
    return ended


def _remind(session: Session, financing: Financing, number: str, now: datetime, rules: Rules) -> Financing:
    """Tell everybody of a part in it how late the buyer is, once a bucket; after the last one it is a default."""
    late = rules.calendar.days_past_due(financing.due_date, today(now))
    if late >= DEFAULT_AFTER:
        return _default(session, financing, number, now, rules)
    mark = max((days for days in REMINDERS if days <= late), default=None)
    if mark is not None:
        people = _concerned(session, financing, operators=mark >= WATCH_AFTER)
        left = spell((financing.principal or 0) - financing.repaid_principal, financing.currency)
        body = f"Its buyer is {late} days late. {left} is still owed to the investors, and late interest with it."
        words = (f"Invoice {number} is overdue", body)
        announce(session, _notify(session, financing, people, f"{OVERDUE}.{mark}", words, now))
    return states.change(session, financing, now, due_at=next_look(financing, rules.calendar, now))


def _default(session: Session, financing: Financing, number: str, now: datetime, rules: Rules) -> Financing:
    """Write down that the buyer is 90 days late; with full recourse the seller buys the claims back.

    Without recourse, or with the reserve alone, there is nothing to take: the reserve is part of what is unpaid.
    """
    moved = states.move(
        session, financing, State.DEFAULTED, now, actor=None, reason=f"unpaid {DEFAULT_AFTER} days after the due date"
    )
    left = spell((moved.principal or 0) - moved.repaid_principal, moved.currency)
    full = moved.recourse == Recourse.FULL
    how = "Its seller buys the claims back." if full else "Only the buyer owes it."
    events = notifications.clear(session, moved.invoice_id, [f"{OVERDUE}.{days}" for days in REMINDERS], now)
    words = (f"Invoice {number} is in default", f"{left} was not repaid to the investors. {how}")
    people = _concerned(session, moved, operators=True)
    announce(session, [*events, *_notify(session, moved, people, DEFAULTED, words, now)])
    return repayments.repurchase(session, moved, number, now, rules.calendar) if full else moved


def _concerned(session: Session, financing: Financing, *, operators: bool) -> Sequence[UUID]:
    found = session.scalars(
        text(
            "SELECT investor_id FROM investments WHERE financing_id = :id AND status IN ('settled', 'repaid') "
            "UNION SELECT id FROM users WHERE :operators AND role = 'operator' AND is_active "
            "UNION SELECT unnest(CAST(:parties AS uuid[]))"
        ),
        {
            "id": financing.id,
            "operators": operators,
            "parties": array((one for one in (financing.seller_id, financing.buyer_id) if one is not None), "uuid"),
        },
    )
    return sorted(found)


def _notify(
    session: Session, financing: Financing, people: Sequence[UUID], kind: str, words: tuple[str, str], now: datetime
) -> list[DomainEvent]:
    title, body = words
    notices = [
        Notice(
            user_id=person,
            kind=kind,
            subject_kind="invoice",
            subject_id=financing.invoice_id,
            title=title,
            body=body,
        )
        for person in people
    ]
    return notifications.tell_all(session, notices, now)
