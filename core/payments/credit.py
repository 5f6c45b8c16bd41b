"""What is left of payments: a customer's credit, and how it is applied to invoices."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.orm import Session

from core import audit
from core.contacts.money import OF_CONTACT
from core.errors import Conflict, Invalid, NotFound
from core.identity import Actor
from core.marketplace.calendar import Calendar
from core.payments import hand, queries
from core.payments.hand import NewTarget
from core.payments.merge import PaymentState

_LEFT = text(
    "SELECT payments.id, payments.currency, payments.net - payments.allocated AS unapplied "
    f"FROM ({OF_CONTACT}) AS theirs JOIN payments ON payments.id = theirs.id "
    "WHERE theirs.own AND payments.user_id = :user AND payments.trust <> 'hint' AND payments.net > payments.allocated "
    "ORDER BY payments.occurred_at, payments.id LIMIT 200"
)


def now_paid(state: PaymentState) -> list[NewTarget]:
    """What a payment pays now, as targets: what was meant for an invoice and is not needed there is free."""
    if not state.decided:
        return [NewTarget(state.invoice_id, state.allocated)] if state.invoice_id and state.allocated else []
    return [NewTarget(target.invoice_id, target.allocated) for target in state.targets if target.allocated]


def _add(session: Session, state: PaymentState, targets: Sequence[NewTarget]) -> None:
    """Give targets the rest of a held payment, behind what it pays already. Raises Invalid and Conflict."""
    if state.status != "succeeded" or hand.is_hint(state):
        raise Conflict("only money that was received can be applied")
    asked = sum(target.amount for target in targets)
    if asked > state.net - state.allocated:
        raise Invalid("targets", f"share out {asked} of the {state.net - state.allocated} minor units that are left")
    paying = now_paid(state)
    more = {target.invoice_id: target.amount for target in targets}
    kept = [NewTarget(one.invoice_id, one.amount + more.pop(one.invoice_id, 0)) for one in paying]
    hand.aim(session.connection(), state, [*kept, *(NewTarget(*one) for one in more.items())])


def allocate(
    session: Session,
    actor: Actor,
    payment_id: UUID,
    targets: Sequence[NewTarget],
    now: datetime,
    *,
    calendar: Calendar | None = None,
) -> dict[str, Any]:
    """Apply what is left of a payment to other invoices of the same customer and currency; return the payment.

    Whoever told of it: from then on it pays what was decided here. Doing it again applies more.
    Raises Forbidden, NotFound, Invalid naming the field, and Conflict.
    """
    hand.check_seller(actor)
    if not targets:
        raise Invalid("targets", "must name an invoice")
    hand.check_targets(sum(target.amount for target in targets), targets)
    state = hand.hold_one(session.connection(), actor.id, payment_id)
    _add(session, state, targets)
    _finish(session, actor, [state], now, calendar)
    return queries.get_payment(session, actor, payment_id)


def _finish(
    session: Session, actor: Actor, states: Sequence[PaymentState], now: datetime, calendar: Calendar | None
) -> None:
    for state in states:
        if state.source == "manual":
            state.version += 1
        told = [[[str(one.invoice_id), one.amount] for one in targets] for targets in (state.had, state.targets)]
        audit.record(session, actor, "payment.allocated", "payment", state.id, {"changes": {"targets": told}}, now)
    hand.finish(session, states, now, calendar)


def credit(session: Session, user_id: UUID, contact_id: UUID, currency: str | None = None) -> list[Any]:
    """The payments of a customer that have something left (id, currency, unapplied), the oldest first, at most 200."""
    found = session.execute(_LEFT, {"user": user_id, "contact": contact_id}).all()
    return [row for row in found if currency in (None, row.currency)]


def allocate_credit(
    session: Session,
    actor: Actor,
    contact_id: UUID,
    targets: Sequence[NewTarget],
    now: datetime,
    *,
    calendar: Calendar | None = None,
) -> list[UUID]:
    """Apply a customer's credit to invoices of theirs, the oldest money first; return the payments that it came from.

    Doing it again applies more. Raises Forbidden, NotFound, Invalid naming the field, and Conflict.
    """
    hand.check_seller(actor)
    if not targets:
        raise Invalid("targets", "must name an invoice")
    hand.check_targets(sum(target.amount for target in targets), targets)
    currency = session.scalar(
        text("SELECT currency FROM invoices WHERE id = :id AND seller_id = :user AND contact_id = :contact"),
        {"id": targets[0].invoice_id, "user": actor.id, "contact": contact_id},
    )
    if currency is None:
        raise NotFound("invoice", targets[0].invoice_id)
    found = hand.hold(
        session.connection(), actor.id, [row.id for row in credit(session, actor.id, contact_id, currency)]
    )
    left: list[list[Any]] = [[target.invoice_id, target.amount] for target in targets]
    used = []
    for state in sorted(found.values(), key=lambda state: (state.occurred_at, state.id)):
        share = _share(left, state.net - state.allocated)
        if share:
            _add(session, state, share)
            used.append(state)
    if any(amount for _, amount in left):
        raise Invalid("targets", f"share out {sum(amount for _, amount in left)} minor units more than there is left")
    _finish(session, actor, used, now, calendar)
    return [state.id for state in used]


def _share(left: list[list[Any]], unapplied: int) -> list[NewTarget]:
    """Take what one payment can give from the targets that are left, the first ones first."""
    share = []
    for entry in left:
        if (part := min(entry[1], unapplied)) > 0:
            share.append(NewTarget(entry[0], part))
            entry[1] -= part
            unapplied -= part
    return share
