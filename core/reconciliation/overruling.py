"""What an operator does to somebody else's match: take it back, also where investors were repaid with its money."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.orm import Session

from core import audit, notifications
from core.bulk import array
from core.errors import Forbidden, Invalid, NotFound
from core.identity import Actor
from core.live.feed import announce_all
from core.marketplace import words
from core.marketplace.calendar import Calendar
from core.notifications import Notice
from core.reconciliation import decisions

# Characters of the reason.
REASON = range(10, 501)


def undo(
    session: Session,
    actor: Actor,
    transaction_id: UUID,
    reason: str,
    now: datetime,
    *,
    calendar: Calendar | None = None,
) -> None:
    """An operator takes a match back, also where investors were repaid with its money, and says why.

    What investors and others had of it is reversed in the ledger, as when a bank takes a line back. The reason and what
    investors lost stay in the audit log, and the seller is told. Raises Forbidden for everybody else and for a service,
    Invalid for a reason without words, NotFound, and Conflict.
    """
    if not actor.is_operator or actor.is_service:
        raise Forbidden("an operator, in person, takes a match of somebody else back")
    said = reason.strip()
    if len(said) not in REASON:
        raise Invalid("reason", f"must have {REASON.start} to {REASON.stop - 1} characters")
    owner = session.scalar(text("SELECT user_id FROM transactions WHERE id = :id"), {"id": transaction_id})
    if owner is None:
        raise NotFound("transaction", transaction_id)
    lost = decisions.take_back(session, owner, transaction_id, actor.id, now, calendar, for_investors=False)
    told: dict[str, object] = {
        "reason": said,
        "investors": [{"invoice": one.number, "amount": one.amount} for one in lost],
    }
    audit.record(session, actor, "match.undone_by_operator", "transaction", transaction_id, told, now)
    notice = Notice(
        user_id=owner,
        kind="match.undone",
        subject_kind="transaction",
        subject_id=transaction_id,
        title="An operator took a match of yours back",
        body=f"{said[:1].upper()}{said[1:]}",
        event_id=None,
    )
    announce_all(session.connection(), [(event, None) for event in notifications.tell(session, notice, now)])


def held_by_investors(session: Session, transaction_ids: Sequence[UUID]) -> dict[UUID, list[str]]:
    """The numbers of the invoices whose investors were repaid with what matched lines brought, by line.

    Its seller does not take such a match back. The other lines are not in the answer.
    """
    if not transaction_ids:
        return {}
    rows = session.execute(
        text(
            "SELECT transaction_id, payment_id FROM matches WHERE transaction_id = ANY(CAST(:ids AS uuid[])) "
            "AND state = 'accepted' AND kind = 'invoices' "
            "AND EXISTS (SELECT FROM repayments WHERE repayments.payment_id = matches.payment_id "
            "AND reversed_by IS NULL)"
        ),
        {"ids": array(transaction_ids, "uuid")},
    ).all()
    found = {row.transaction_id: words.lean_on(session, row.payment_id) for row in rows}
    return {line: numbers for line, numbers in found.items() if numbers}
