"""Payments by hand: written down, changed, taken back; and what is done with any payment's money by hand.

A payment by hand is known by its seller's word (trust 'manual'). It pays the invoices that it was aimed at, each up
to an amount; what is over is its customer's credit. Its `version` counts its changes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any, Final, Literal
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.orm import Session

from core import audit
from core.edits import check_version
from core.errors import Conflict, Invalid, NotFound
from core.identity import Actor
from core.ids import new_id
from core.marketplace.calendar import Calendar
from core.money import exponent
from core.payments import hand, queries
from core.payments.credit import allocate, allocate_credit, now_paid
from core.payments.hand import MAX_NOTES, MAX_REFERENCE, NewTarget
from core.payments.merge import PaymentState
from core.payments.refunds import NewRefund, refund, take_refund_back

__all__ = [
    "METHODS",
    "NewPayment",
    "NewRefund",
    "NewTarget",
    "PaymentChanges",
    "allocate",
    "allocate_credit",
    "delete",
    "edit",
    "record",
    "refund",
    "take_refund_back",
]

# Tax that a customer keeps back (tds_withheld) is a payment without cash: the state has it, for the seller.
METHODS: Final = ("bank_transfer", "upi", "cash", "cheque", "card", "tds_withheld", "other")
Source = Literal["manual", "credit_note"]


@dataclass(frozen=True, slots=True, kw_only=True)
class NewPayment:
    """Money that came, in minor units of a currency, on a day. It names invoices, a customer, or both.

    What of it no target has is the customer's credit.
    """

    amount: int
    currency: str
    method: str
    date: date
    targets: Sequence[NewTarget] = ()
    contact_id: UUID | None = None
    reference: str = ""
    notes: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class PaymentChanges:
    """What of a payment is to be different; None leaves it as it is. Targets replace those that there are."""

    amount: int | None = None
    date: date | None = None
    method: str | None = None
    reference: str | None = None
    notes: str | None = None
    targets: Sequence[NewTarget] | None = None


def record(
    session: Session,
    actor: Actor,
    new: NewPayment,
    now: datetime,
    *,
    source: Source = "manual",
    calendar: Calendar | None = None,
) -> dict[str, Any]:
    """Write a payment down and return it as `queries.get_payment` shows it, with `possible_duplicate_of`.

    Doing it again makes another one: the edge has Idempotency-Key for that. A payment that looks the same is named
    and not refused. `source` 'credit_note' is for credit notes, whose credit is a payment. `calendar` says which days
    banks work. Raises Forbidden, NotFound, Invalid naming the field, and Conflict when an invoice takes no payment.
    """
    hand.check_seller(actor)
    hand.check_amount("amount", new.amount)
    exponent(new.currency)
    _check_method(new.method, source)
    occurred_at = hand.moment_of(new.date, now)
    hand.check_targets(new.amount, new.targets)
    state = PaymentState(
        id=new_id(),
        user_id=actor.id,
        connection_id=None,
        connector=None,
        object_id=None,
        exists=False,
        source=source,
        version=1,
        status="succeeded",
        amount=new.amount,
        currency=new.currency,
        method=new.method,
        bank_reference=hand.check_words("reference", new.reference, MAX_REFERENCE) or None,
        occurred_at=occurred_at,
        trust="manual",
        contact_id=new.contact_id,
        created_by=actor.id,
        notes=hand.check_words("notes", new.notes, MAX_NOTES),
        stated=True,
    )
    if new.contact_id is None and not new.targets:
        raise Invalid("contact_id", "must be given where no invoice is")
    hand.aim(session.connection(), state, new.targets)
    _name_payer(session, state)
    hand.finish(session, [state], now, calendar)
    told = {"amount": new.amount, "currency": new.currency, "method": new.method}
    audit.record(session, actor, "payment.recorded", "payment", state.id, told, now)
    return _shown(session, actor, state)


def _check_method(method: str, source: str) -> None:
    allowed = METHODS if source == "manual" else ("credit_note",)
    if method not in allowed:
        raise Invalid("method", f"must be one of {', '.join(allowed)}")


def _name_payer(session: Session, state: PaymentState) -> None:
    """The customer's name, so that the payment reads alone. Raises NotFound for somebody else's."""
    row = session.execute(
        text("SELECT name, email FROM contacts WHERE id = :id AND user_id = :user"),
        {"id": state.contact_id, "user": state.user_id},
    ).one_or_none()
    if row is None:
        raise NotFound("contact", state.contact_id)
    state.payer_name, state.payer_email = row.name, row.email


def _shown(session: Session, actor: Actor, state: PaymentState) -> dict[str, Any]:
    twin = queries.looks_like(session, state)
    return {**queries.get_payment(session, actor, state.id), "possible_duplicate_of": twin}


def edit(
    session: Session,
    actor: Actor,
    payment_id: UUID,
    changes: PaymentChanges,
    now: datetime,
    *,
    expected_version: int | None = None,
    calendar: Calendar | None = None,
) -> dict[str, Any]:
    """Change a payment and return it. Invoices and investors follow in the same transaction, as with any news.

    What a gateway says of its payment stays as it is: there notes may change, and which invoices it pays. A bank's
    payment is aimed by its match. Writing what is there already changes nothing.
    Raises NotFound, Invalid naming the field, Conflict, and StaleEdit when it is not the version that was read.
    """
    hand.check_seller(actor)
    state = hand.hold_one(session.connection(), actor.id, payment_id)
    if state.source == "manual":
        check_version(session, "payment", payment_id, expected=expected_version, actual=state.version)
    _refuse_ungiven(state, changes)
    before, amount = _told(state), state.amount
    _change_words(state, changes, now)
    targets = _targets(state, changes, amount)
    hand.check_targets(state.amount, targets)
    if state.decided or changes.targets is not None:
        hand.aim(session.connection(), state, targets)
    after = _told(state)
    different = {name: [before[name], after[name]] for name in before if before[name] != after[name]}
    if different:
        if state.source == "manual":
            state.version += 1
        hand.finish(session, [state], now, calendar)
        audit.record(session, actor, "payment.edited", "payment", payment_id, {"changes": different}, now)
    return _shown(session, actor, state)


def _refuse_ungiven(state: PaymentState, changes: PaymentChanges) -> None:
    if state.status == "cancelled":
        raise Conflict("this payment was deleted")
    if state.source == "credit_note" and changes != PaymentChanges(targets=changes.targets):
        raise Conflict("this is the credit of a credit note: it changes with the note")
    given = (changes.amount, changes.date, changes.method, changes.reference)
    if state.source in {"gateway", "bank"} and any(one is not None for one in given):
        raise Conflict(f"a {state.source} told of this payment: what it said stays as it is")
    if state.source == "bank" and changes.targets is not None:
        raise Conflict("this payment is a bank line: undo its match, then match it to what it pays")
    if changes.targets is not None and hand.is_hint(state):
        raise Conflict("this payment is not confirmed yet")


def _change_words(state: PaymentState, changes: PaymentChanges, now: datetime) -> None:
    if changes.amount is not None:
        back = state.given_back
        if hand.check_amount("amount", changes.amount) < back:
            raise Invalid("amount", f"must not be less than the {back} minor units that were given back of it")
        state.amount = changes.amount
    if changes.date is not None:
        state.occurred_at = hand.moment_of(changes.date, now)
    if changes.method is not None:
        _check_method(changes.method, state.source)
        state.method = changes.method
    if changes.reference is not None:
        state.bank_reference = hand.check_words("reference", changes.reference, MAX_REFERENCE) or None
    if changes.notes is not None:
        state.notes = hand.check_words("notes", changes.notes, MAX_NOTES)


def _targets(state: PaymentState, changes: PaymentChanges, before: int) -> list[NewTarget]:
    """What it is to pay: as told, else as it was, the last ones less where the amount is less than `before`."""
    if changes.targets is not None:
        return list(changes.targets)
    had = list(state.targets)
    if len(had) == 1 and had[0].amount == before:
        # It was all meant for one invoice, and still is.
        return [NewTarget(had[0].invoice_id, state.amount)]
    left, kept = state.amount, []
    for target in had:
        if (part := min(target.amount, left)) > 0:
            kept.append(NewTarget(target.invoice_id, part))
        left -= part
    return kept


def _told(state: PaymentState) -> dict[str, Any]:
    """What people may change of it, as the audit log spells it."""
    return {
        "amount": state.amount,
        "date": state.occurred_at.date().isoformat(),
        "method": state.method,
        "reference": state.bank_reference or "",
        "notes": state.notes,
        # Of one that nobody has aimed yet, what it pays.
        "targets": [
            [str(target.invoice_id), target.amount] for target in (state.targets if state.decided else now_paid(state))
        ],
    }


def delete(
    session: Session,
    actor: Actor,
    payment_id: UUID,
    now: datetime,
    *,
    reason: str = "",
    expected_version: int | None = None,
    calendar: Calendar | None = None,
) -> dict[str, Any]:
    """Take a payment by hand back (it was noted wrongly, or its cheque bounced): its invoices are due again.

    The row stays, cancelled, with the reason. Deleting it again changes nothing. Raises NotFound, StaleEdit, and
    Conflict for what a gateway or a bank tells of.
    """
    hand.check_seller(actor)
    connection = session.connection()
    state = hand.hold_one(connection, actor.id, payment_id)
    if state.deleted_at is not None:
        return queries.get_payment(session, actor, payment_id)
    if state.source == "gateway":
        raise Conflict("the gateway told of this payment: refund it there, and its news comes here")
    if state.source == "bank":
        raise Conflict("this payment is a bank line: undo its match instead")
    if state.source == "credit_note":
        raise Conflict("this is the credit of a credit note: void the note, and it goes with it")
    check_version(session, "payment", payment_id, expected=expected_version, actual=state.version)
    if session.scalar(text("SELECT 1 FROM transaction_payments WHERE payment_id = :id"), {"id": payment_id}):
        raise Conflict("a bank line is matched to this payment: undo that match first")
    state.status, state.deleted_at, state.version = "cancelled", now, state.version + 1
    state.failure = hand.check_words("reason", reason, 200) or None
    hand.finish(session, [state], now, calendar)
    told: Mapping[str, object] = {"changes": {"status": ["succeeded", "cancelled"]}, "reason": reason.strip()}
    audit.record(session, actor, "payment.deleted", "payment", payment_id, told, now)
    return queries.get_payment(session, actor, payment_id)
