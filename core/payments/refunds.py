"""Money that a seller gives back by hand, and a note of it that was wrong."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.orm import Session

from core import audit
from core.errors import Conflict, Invalid, NotFound
from core.identity import Actor
from core.ids import new_id
from core.marketplace.calendar import Calendar
from core.payments import hand, queries
from core.payments.credit import now_paid
from core.payments.hand import MAX_NOTES, MAX_REFERENCE, NewTarget
from core.payments.merge import PaymentState, Target

METHODS = ("bank_transfer", "upi", "cash", "cheque", "card", "other")
_INSERT = text(
    "INSERT INTO manual_refunds (id, payment_id, amount, currency, method, refunded_at, reference, notes, reverses, "
    "created_by, created_at) VALUES (:id, :payment, :amount, :currency, :method, :at, :reference, :notes, "
    ":reverses, :actor, :now)"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class NewRefund:
    """Money that went back, in minor units of the payment's currency.

    It comes out of what pays nothing first, then out of what the last invoices have; or out of one invoice's part.
    """

    amount: int
    method: str
    date: date
    invoice_id: UUID | None = None
    reference: str = ""
    notes: str = ""


def refund(
    session: Session,
    actor: Actor,
    payment_id: UUID,
    new: NewRefund,
    now: datetime,
    *,
    calendar: Calendar | None = None,
) -> dict[str, Any]:
    """Write down that money of a payment went back, and return the payment. What it no longer pays is due again.

    Doing it again gives back more: the edge has Idempotency-Key for that. Raises Forbidden, NotFound, Invalid naming
    the field, and Conflict for a gateway's payment, which is refunded there.
    """
    hand.check_seller(actor)
    hand.check_amount("amount", new.amount)
    if new.method not in METHODS:
        raise Invalid("method", f"must be one of {', '.join(METHODS)}")
    at = hand.moment_of(new.date, now)
    reference = hand.check_words("reference", new.reference, MAX_REFERENCE)
    notes = hand.check_words("notes", new.notes, MAX_NOTES)
    connection = session.connection()
    state = hand.hold_one(connection, actor.id, payment_id)
    if state.source == "gateway":
        raise Conflict("refund it at the gateway: its news comes here by itself")
    if state.status != "succeeded" or hand.is_hint(state):
        raise Conflict("only money that was received can be given back")
    if new.amount > state.net:
        raise Invalid("amount", f"must be at most the {state.net} minor units that are left of the payment")
    if new.invoice_id is not None or state.decided:
        state.decide(_less(state, new))
    state.given_back += new.amount
    state.limit_returns(0, 0)
    _write(session, actor, state, new.amount, now, method=new.method, at=at, reference=reference, notes=notes)
    _finish(session, actor, state, new.amount, now, calendar)
    return queries.get_payment(session, actor, payment_id)


def _less(state: PaymentState, new: NewRefund) -> Sequence[Target]:
    """What the payment is to pay once this is gone."""
    if new.invoice_id is None:
        room = state.net - new.amount
        wanted = list(state.targets)
        # What is meant for an invoice and not needed there goes before what pays one.
        for place in reversed(range(len(wanted))):
            over = max(0, sum(target.amount for target in wanted) - room)
            one = wanted[place]
            wanted[place] = Target(one.invoice_id, one.amount - min(over, one.amount - one.allocated))
        return [target for target in wanted if target.amount]
    paying = now_paid(state)
    part = next((one.amount for one in paying if one.invoice_id == new.invoice_id), 0)
    if new.amount > part:
        raise Invalid("amount", f"must be at most the {part} minor units that it pays of this invoice")
    left = [NewTarget(one.invoice_id, one.amount - new.amount * (one.invoice_id == new.invoice_id)) for one in paying]
    return [Target(one.invoice_id, one.amount) for one in left if one.amount]


def _write(
    session: Session,
    actor: Actor,
    state: PaymentState,
    amount: int,
    now: datetime,
    *,
    method: str,
    at: datetime,
    reference: str = "",
    notes: str = "",
    reverses: UUID | None = None,
) -> None:
    session.execute(
        _INSERT,
        {
            "id": new_id(),
            "payment": state.id,
            "amount": amount,
            "currency": state.currency,
            "method": method,
            "at": at,
            "reference": reference,
            "notes": notes,
            "reverses": reverses,
            "actor": actor.id,
            "now": now,
        },
    )


def _finish(
    session: Session, actor: Actor, state: PaymentState, amount: int, now: datetime, calendar: Calendar | None
) -> None:
    if state.source == "manual":
        state.version += 1
    hand.finish(session, [state], now, calendar)
    action = "payment.refunded" if amount > 0 else "payment.refund_taken_back"
    changes = {"given_back": [state.given_back - amount, state.given_back]}
    audit.record(session, actor, action, "payment", state.id, {"changes": changes}, now)


def take_refund_back(
    session: Session,
    actor: Actor,
    payment_id: UUID,
    refund_id: UUID,
    now: datetime,
    *,
    calendar: Calendar | None = None,
) -> dict[str, Any]:
    """Say that money noted as given back was not; return the payment. It pays what it is aimed at again.

    Doing it again changes nothing. Raises Forbidden, NotFound, and Conflict for a payment that was deleted.
    """
    hand.check_seller(actor)
    state = hand.hold_one(session.connection(), actor.id, payment_id)
    row = session.execute(
        text(
            "SELECT amount, method, refunded_at, EXISTS (SELECT FROM manual_refunds AS back "
            "WHERE back.reverses = manual_refunds.id) AS gone FROM manual_refunds "
            "WHERE id = :id AND payment_id = :payment AND reverses IS NULL"
        ),
        {"id": refund_id, "payment": payment_id},
    ).one_or_none()
    if row is None:
        raise NotFound("refund", refund_id)
    if row.gone:
        return queries.get_payment(session, actor, payment_id)
    if state.status != "succeeded":
        raise Conflict("this payment was deleted")
    state.given_back -= row.amount
    state.limit_returns(0, 0)
    _write(session, actor, state, -row.amount, now, method=row.method, at=row.refunded_at, reverses=refund_id)
    _finish(session, actor, state, -row.amount, now, calendar)
    return queries.get_payment(session, actor, payment_id)
