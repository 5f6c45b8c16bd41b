"""What one object of Stripe's means: amounts, statuses and references, whatever event or answer holds it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Literal

from connectors import naming
from connectors.payload import Payload, micros
from connectors.shapes import Moved
from connectors.tables import words
from core import events
from core.money import Money

THIN = "v2.core.event"

# Stripe's own decimal places, where they are not two. ISK and UGX are among the two, whatever ISO 4217 says.
PLACES = {
    "BIF": 0, "CLP": 0, "DJF": 0, "GNF": 0, "JPY": 0, "KMF": 0, "KRW": 0, "MGA": 0, "PYG": 0, "RWF": 0,
    "VND": 0, "VUV": 0, "XAF": 0, "XOF": 0, "XPF": 0, "BHD": 3, "JOD": 3, "KWD": 3, "OMR": 3, "TND": 3,
}  # fmt: skip
INTENT = words(
    events.PaymentStatus,
    PENDING="requires_payment_method requires_confirmation requires_action processing requires_capture",
    FAILED="canceled",
    SUCCEEDED="succeeded",
)
CHARGE = words(events.PaymentStatus, PENDING="pending", FAILED="failed", SUCCEEDED="succeeded")
SESSION = {"unpaid": events.PaymentStatus.PENDING, "paid": events.PaymentStatus.SUCCEEDED}
REFUND = words(
    events.RefundStatus,
    PENDING="pending requires_action",
    # Also after it succeeded, days later: the money comes back to the balance.
    RETURNED="failed",
    FAILED="canceled",
    SUCCEEDED="succeeded",
)
DISPUTE = words(
    events.DisputeStatus,
    OPEN="warning_needs_response needs_response",
    UNDER_REVIEW="warning_under_review under_review appeal_needs_response appeal_under_review",
    CLOSED="warning_closed prevented",
    WON="won",
    LOST="lost",
)
PAYOUT = words(
    events.PayoutStatus,
    PENDING="pending in_transit",
    FAILED="canceled",
    PAID="paid",
    # Some are called paid first and fail within five days; either way the money came back to the balance.
    REVERSED="failed",
)
INVOICE = words(
    events.MirroredStatus,
    DRAFT="draft",
    # Written off by its owner, and still payable.
    OPEN="open uncollectible",
    PAID="paid",
    VOID="void",
)
CREDIT_NOTE = {"issued": events.MirroredStatus.PAID, "void": events.MirroredStatus.VOID}
TRANSACTION = words(events.TransactionStatus, PENDING="pending", POSTED="posted", REMOVED="void")
# What happens within one second happens in this order; Stripe's times have whole seconds.
STEP = {status: step for step, status in enumerate(events.MirroredStatus)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """An object as it was when an event, or a fetch, told of it. `shape` is its API version, "" where fetched."""

    thing: Payload
    name: str
    at: datetime
    version: int
    shape: str = ""


def event_name(item: Payload) -> str:
    """The type. A thin event of the older API is called v1.<type>, and means the same."""
    return item.identifier("type").removeprefix("v1.")


def told_at(item: Payload) -> datetime:
    """When an event happened: RFC 3339 text in a thin event, whole seconds in the others."""
    return item.iso("created") if item.optional_text("object") == THIN else item.epoch("created")


def external_id(item: Payload) -> str | None:
    """The connected account; an event of one's own account names none."""
    return item.optional_identifier("context" if item.optional_text("object") == THIN else "account")


def money(thing: Payload, key: str, *, positive: bool = False) -> Money:
    """A whole number in Stripe's smallest unit of `currency`."""
    currency = thing.currency("currency", any_case=True)
    return thing.minor_money(key, currency, positive=positive, places=PLACES.get(currency, 2))


def references(thing: Payload, *more: tuple[int, str | None]) -> tuple[events.Reference, ...]:
    """What may name the invoice, best first."""
    named = [(1, thing.optional_text("client_reference_id")), (3, thing.optional_text("description")), *more]
    named += [(2, thing.text_at("payment_details", "order_reference")), *naming.noted(thing.optional_at("metadata"))]
    return naming.references(named)


def payment_id(thing: Payload) -> str | None:
    """The payment that a charge, refund or dispute belongs to."""
    return thing.optional_identifier("payment_intent") or thing.optional_identifier("charge")


def _moved(thing: Payload, identity: str, version: int, moved: Money, at: datetime | None = None) -> Moved:
    return Moved(object_id=identity, version=version, money=moved, occurred_at=at or thing.epoch("created"))


def intent_of(told: Told) -> events.Payment:
    """The payment of an intent. After a failed attempt it waits for another one, and says why the last one failed."""
    thing, status = told.thing, told.thing.choice("status", INTENT)
    if thing.optional_at("last_payment_error") and thing.text("status") == "requires_payment_method":
        status = events.PaymentStatus.FAILED
    done = status is events.PaymentStatus.SUCCEEDED
    reason = thing.text_at("last_payment_error", "message") or thing.optional_text("cancellation_reason")
    amount = money(thing, "amount_received" if done else "amount", positive=True)
    return events.Payment(
        # The intent of an invoice may be weeks older than its money.
        **_moved(thing, thing.identifier("id"), told.version, amount, told.at if done else None),
        status=status,
        references=references(thing),
        payer_email=thing.optional_text("receipt_email"),
        description=thing.optional_text("description"),
        failure=reason if status is events.PaymentStatus.FAILED else None,
    )


def charge_of(told: Told) -> events.Payment:
    """The payment that a charge tells of. What is not captured is only set aside, and may be let go."""
    thing, status = told.thing, told.thing.choice("status", CHARGE)
    if status is events.PaymentStatus.SUCCEEDED and not thing.boolean("captured"):
        status = events.PaymentStatus.FAILED if thing.optional_boolean("refunded") else events.PaymentStatus.PENDING
    captured = status is events.PaymentStatus.SUCCEEDED and thing.has("amount_captured")
    amount = money(thing, "amount_captured" if captured else "amount", positive=True)
    return events.Payment(
        **_moved(thing, thing.optional_identifier("payment_intent") or thing.identifier("id"), told.version, amount),
        status=status,
        references=references(thing),
        method=thing.text_at("payment_method_details", "type"),
        payer_name=thing.text_at("billing_details", "name"),
        payer_email=thing.text_at("billing_details", "email") or thing.optional_text("receipt_email"),
        description=thing.optional_text("description"),
        failure=thing.optional_text("failure_message") if status is events.PaymentStatus.FAILED else None,
    )


def session_of(told: Told) -> list[events.Record]:
    """A checkout page that was paid, or will be. A subscription's or a set-up's has no payment of its own."""
    thing = told.thing
    if thing.text("mode") != "payment" or (identity := thing.optional_identifier("payment_intent")) is None:
        return []
    failed = told.name == "checkout.session.async_payment_failed"
    payment = events.Payment(
        **_moved(thing, identity, told.version, money(thing, "amount_total", positive=True), told.at),
        status=events.PaymentStatus.FAILED if failed else thing.choice("payment_status", SESSION),
        references=references(thing),
        payer_name=thing.text_at("customer_details", "name"),
        payer_email=thing.text_at("customer_details", "email"),
    )
    return [payment]


def refund_of(thing: Payload, version: int) -> events.Refund:
    """One refund of a payment."""
    return events.Refund(
        **_moved(thing, thing.identifier("id"), version, money(thing, "amount", positive=True)),
        payment_id=payment_id(thing) or thing.identifier("charge"),
        status=thing.choice("status", REFUND),
        reason=thing.optional_text("failure_reason") or thing.optional_text("reason"),
    )


def refunds_of(charge: Payload, listed: Sequence[Payload], version: int) -> list[events.Record]:
    """The refunds of a charge. What was set aside and never captured is among them, as the first: it takes nothing."""
    found = [refund_of(one, version) for one in listed]
    if not found or not charge.boolean("captured") or not charge.has("amount_captured"):
        return list(found)
    uncaptured = money(charge, "amount").minor - money(charge, "amount_captured").minor
    first = min(found, key=lambda refund: (refund.occurred_at, refund.money.minor != uncaptured))
    return [
        replace(refund, status=events.RefundStatus.RETURNED, reason="was not captured")
        if refund is first and refund.money.minor == uncaptured
        else refund
        for refund in found
    ]


def dispute_of(told: Told) -> list[events.Record]:
    """A dispute. Stripe holds the amount back at once; it is gone when the dispute is lost."""
    thing, status = told.thing, told.thing.choice("status", DISPUTE)
    disputed = money(thing, "amount", positive=True)
    evidence = thing.optional_at("evidence_details")
    dispute = events.Dispute(
        **_moved(thing, thing.identifier("id"), told.version, disputed),
        payment_id=payment_id(thing) or thing.identifier("charge"),
        status=status,
        deducted=disputed if status is events.DisputeStatus.LOST else Money(0, disputed.currency),
        reason=thing.optional_text("reason"),
        respond_by=evidence.optional_epoch("due_by") if evidence else None,
    )
    return [dispute]


def payout_of(told: Told) -> list[events.Record]:
    """Money on its way to the bank. One below zero fetches money from there, which the bank's own line tells."""
    thing, moved = told.thing, money(told.thing, "amount")
    if moved.minor <= 0:
        return []
    payout = events.Payout(
        **_moved(thing, thing.identifier("id"), told.version, moved),
        status=thing.choice("status", PAYOUT),
        bank_reference=thing.text_at("trace_id", "value"),
    )
    return [payout]


# What moves the balance, by reporting_category, and the object that it is for.
PARTS: Mapping[str, tuple[Literal["payment", "refund", "dispute"], str]] = {
    "charge": ("payment", "charge"),
    "refund": ("refund", "refund"),
    "refund_failure": ("refund", "refund"),
    "dispute": ("dispute", "dispute"),
    "dispute_reversal": ("dispute", "dispute"),
}


def item_of(entry: Payload, payout_id: str) -> list[events.Record]:
    """A balance transaction in a payout; the payout itself is listed among them, and is none of its parts.

    Stripe's fees of their own (for billing, for accounts) have a category, too; the rest adjusts.
    """
    source, category = entry.optional_at("source"), entry.text("reporting_category")
    if category == "payout":
        entry.at("source").same("id", payout_id)
        return []
    identity = source.identifier("id") if source else None
    kind, thing = PARTS.get(category, (None, ""))
    if kind is not None and (source is None or source.optional_text("object") != thing):
        kind = None
    subject = (payment_id(source) or identity) if source and kind == "payment" else identity
    at = entry.epoch("created")
    item = events.PayoutItem(
        object_id=entry.identifier("id"),
        version=micros(at),
        payout_id=payout_id,
        kind=kind or ("fee" if category == "fee" else "adjustment"),
        subject_id=subject if kind else None,
        money=money(entry, "amount"),
        fee=money(entry, "fee"),
        occurred_at=at,
    )
    return [item]


def invoice_of(told: Told) -> events.MirroredInvoice:
    """An invoice as Stripe keeps it; one below zero is a credit."""
    thing, total, due = told.thing, money(told.thing, "total"), money(told.thing, "amount_remaining")
    status = thing.choice("status", INVOICE)
    if told.name == "invoice.deleted":
        status = events.MirroredStatus.VOID
    elif status is events.MirroredStatus.OPEN and money(thing, "amount_paid").minor > 0:
        status = events.MirroredStatus.PARTIALLY_PAID
    settled = total.minor < 0 or due.minor < 0 or status in (events.MirroredStatus.PAID, events.MirroredStatus.VOID)
    moved = thing.optional_at("status_transitions")
    finalized, due_at = moved and moved.optional_epoch("finalized_at"), thing.optional_epoch("due_date")
    return events.MirroredInvoice(
        object_id=thing.identifier("id"),
        version=told.version + STEP[status],
        status=status,
        number=thing.optional_text("number"),
        direction="sales",
        kind="credit_note" if total.minor < 0 else "invoice",
        total=Money(abs(total.minor), total.currency),
        due=Money(0, total.currency) if settled else due,
        issued_on=finalized.date() if finalized else None,
        due_on=due_at.date() if due_at else None,
        contact_name=thing.optional_text("customer_name"),
        contact_email=thing.optional_text("customer_email"),
        url=thing.optional_text("hosted_invoice_url"),
    )


def paid_invoice_of(told: Told) -> list[events.Record]:
    """A paid invoice. Until basil it names its payment, which thereby gets the invoice's number."""
    thing, invoice = told.thing, invoice_of(told)
    identity, paid = payment_id(thing), money(thing, "amount_paid")
    if identity is None or paid.minor <= 0 or thing.optional_boolean("paid_out_of_band"):
        return [invoice]
    payment = events.Payment(
        **_moved(thing, identity, told.version, paid, told.at),
        status=events.PaymentStatus.SUCCEEDED,
        references=references(thing, (1, invoice.number)),
        payer_name=invoice.contact_name,
        payer_email=invoice.contact_email,
        description=thing.optional_text("description"),
    )
    return [payment, invoice]


def credit_note_of(told: Told) -> list[events.Record]:
    """A credit note; what it gives back is settled when it is issued."""
    thing, total = told.thing, money(told.thing, "total")
    status = thing.choice("status", CREDIT_NOTE)
    note = events.MirroredInvoice(
        object_id=thing.identifier("id"),
        version=told.version + STEP[status],
        status=status,
        number=thing.optional_text("number"),
        direction="sales",
        kind="credit_note",
        total=Money(abs(total.minor), total.currency),
        due=Money(0, total.currency),
        issued_on=thing.epoch("created").date(),
        url=thing.optional_text("pdf"),
    )
    return [note]


def account_of(told: Told) -> events.BankAccount:
    """A bank account linked by Financial Connections. Only its balances name a currency: without one, dollars."""
    thing = told.thing
    held = thing.optional_at("balance", "current")
    codes = held.keys() if held else ()
    currency = "USD" if held is None or len(codes) != 1 else codes[0].upper()
    balance = held.minor_money(codes[0], currency, places=PLACES.get(currency, 2)) if held and len(codes) == 1 else None
    ending = thing.optional_text("last4")
    name = [thing.optional_text("institution_name"), thing.optional_text("display_name"), ending]
    return events.BankAccount(
        object_id=thing.identifier("id"),
        version=told.version,
        name=" ".join(filter(None, name)) or thing.identifier("id"),
        currency=currency,
        number=ending,
        kind=thing.optional_text("subcategory"),
        balance=balance,
        available=thing.text("status") == "active",
    )
