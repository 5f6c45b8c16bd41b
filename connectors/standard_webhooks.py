"""Standard Webhooks: any sender that signs by the specification and speaks the vocabulary below.

Checked against the specification 1.0.0 at b2fa7b8 (2026-08-17). It fixes the envelope {type, timestamp, data};
what stands in `data` is ours and documented in docs/connectors/standard_webhooks.md. The version of a statement
is `data.version` where the sender counts, else the event's timestamp.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, datetime
from functools import partial

from connectors.base import Connector, Envelope, Reader
from connectors.payload import MAX_IDENTIFIER, Payload, micros
from connectors.signatures import StandardWebhooks
from core import events
from core.errors import MalformedPayload
from core.money import Money

# What may name the invoice, best first.
NAMES = ("invoice_number", "invoice_id", "reference", "description")


def version(item: Payload) -> int:
    """The sender's own count where it gives one, else the time of the event."""
    given = item.at("data").optional_integer("version")
    return micros(item.iso("timestamp")) if given is None else given


def money(data: Payload, key: str = "amount", *, positive: bool = False) -> Money:
    """`amount_minor`, a whole number, or `amount`, decimal text; both beside `currency`."""
    currency = data.currency("currency")
    if data.has(f"{key}_minor"):
        return data.minor_money(f"{key}_minor", currency, positive=positive)
    return data.decimal_money(key, currency, positive=positive)


def optional_money(data: Payload, key: str) -> Money | None:
    """Money that need not be there."""
    return money(data, key) if data.has(key) or data.has(f"{key}_minor") else None


def occurred_at(item: Payload) -> datetime:
    """When it happened, else when it was told."""
    return item.at("data").optional_iso("occurred_at") or item.iso("timestamp")


def read_payment(status: events.PaymentStatus, item: Payload) -> events.Record:
    """Money towards an invoice."""
    data = item.at("data")
    named = [(rank, data.optional_text(key)) for rank, key in enumerate(NAMES)]
    return events.Payment(
        object_id=data.identifier("id"),
        version=version(item),
        status=status,
        money=money(data, positive=True),
        occurred_at=occurred_at(item),
        references=tuple(events.Reference(rank, text) for rank, text in named if text and len(text) <= MAX_IDENTIFIER),
        method=data.optional_text("method"),
        payer_name=data.text_at("payer", "name"),
        payer_email=data.text_at("payer", "email"),
        bank_reference=data.optional_text("bank_reference"),
        description=data.optional_text("description"),
        fee=optional_money(data, "fee"),
        failure=data.optional_text("failure") if status is events.PaymentStatus.FAILED else None,
    )


def read_refund(status: events.RefundStatus, item: Payload) -> events.Record:
    """Money given back out of a payment."""
    data = item.at("data")
    return events.Refund(
        object_id=data.identifier("id"),
        version=version(item),
        payment_id=data.identifier("payment_id"),
        status=status,
        money=money(data, positive=True),
        occurred_at=occurred_at(item),
        reason=data.optional_text("reason"),
    )


def read_dispute(status: events.DisputeStatus, item: Payload) -> events.Record:
    """A payer's challenge. Once lost the whole amount is taken, unless `deducted` says otherwise."""
    data = item.at("data")
    amount = money(data, positive=True)
    lost = status is events.DisputeStatus.LOST
    return events.Dispute(
        object_id=data.identifier("id"),
        version=version(item),
        payment_id=data.identifier("payment_id"),
        status=status,
        money=amount,
        deducted=(optional_money(data, "deducted") or amount) if lost else Money(0, amount.currency),
        occurred_at=occurred_at(item),
        reason=data.optional_text("reason"),
        respond_by=data.optional_iso("respond_by"),
    )


def read_payout(status: events.PayoutStatus, item: Payload) -> events.Record:
    """Money on its way out: to the seller's own bank, or to a third party."""
    data = item.at("data")
    return events.Payout(
        object_id=data.identifier("id"),
        version=version(item),
        status=status,
        money=money(data, positive=True),
        occurred_at=occurred_at(item),
        fee=optional_money(data, "fee"),
        bank_reference=data.optional_text("bank_reference"),
        to_third_party=data.optional_boolean("to_third_party") or False,
    )


def read_transaction(status: events.TransactionStatus, item: Payload) -> events.Record:
    """A line on a bank account; `amount` is negative when money left it."""
    data = item.at("data")
    booked_on = None
    if booked := data.optional_text("booked_on"):
        try:
            booked_on = date.fromisoformat(booked)
        except ValueError:
            raise data.wrong("booked_on", "a date such as 2026-11-30") from None
    return events.BankTransaction(
        object_id=data.identifier("id"),
        version=version(item),
        account_id=data.identifier("account_id"),
        status=status,
        money=money(data),
        narration=data.text("narration"),
        occurred_at=occurred_at(item),
        booked_on=booked_on,
        counterparty=data.optional_text("counterparty"),
        bank_reference=data.optional_text("bank_reference"),
        balance=optional_money(data, "balance"),
        category=data.optional_text("category"),
    )


def read_account(item: Payload) -> events.Record:
    """An account as the sender lists it."""
    data = item.at("data")
    available = data.optional_boolean("available")
    return events.BankAccount(
        object_id=data.identifier("id"),
        version=version(item),
        name=data.identifier("name"),
        currency=data.currency("currency"),
        number=data.optional_text("number"),
        kind=data.optional_text("kind"),
        balance=optional_money(data, "balance"),
        available=available is not False,
    )


def read_state(health: events.ConnectionHealth, item: Payload) -> events.Record:
    """The state of the link itself."""
    data = item.at("data")
    return events.ConnectionState(
        object_id=data.optional_identifier("id") or "connection",
        version=version(item),
        health=health,
        reason=data.optional_text("reason"),
    )


def message_id(_item: Payload, envelope: Envelope) -> str:
    """The signed webhook-id: equal on every resend."""
    if envelope.verified.message_id is None:
        raise MalformedPayload("", "the delivery's webhook-id is not proven")
    return envelope.verified.message_id


def _one(read: Callable[[Payload], events.Record]) -> Reader:
    return lambda item: [read(item)]


connector = Connector(
    slug="standard_webhooks",
    title="Standard Webhooks",
    docs_url="https://www.standardwebhooks.com/",
    checked="1.0.0",
    signature=StandardWebhooks(),
    steps=(
        "Give your sender the address {url} and the secret shown here.",
        "Where it signs with a key pair instead, paste its public key, which begins with whpk_, as the secret.",
        "Have it send the events that docs/connectors/standard_webhooks.md describes.",
    ),
    brings=("payments", "refunds", "disputes", "payouts", "bank transactions", "bank accounts"),
    event_id=message_id,
    event_name=lambda item: item.identifier("type"),
    external_id=lambda item: item.optional_identifier("account_id"),
    events={
        **{f"payment.{one}": _one(partial(read_payment, one)) for one in events.PaymentStatus},
        **{f"refund.{one}": _one(partial(read_refund, one)) for one in events.RefundStatus},
        **{f"dispute.{one}": _one(partial(read_dispute, one)) for one in events.DisputeStatus},
        **{f"payout.{one}": _one(partial(read_payout, one)) for one in events.PayoutStatus},
        **{f"transaction.{one}": _one(partial(read_transaction, one)) for one in events.TransactionStatus},
        "account.updated": _one(read_account),
        **{f"connection.{one}": _one(partial(read_state, one)) for one in events.ConnectionHealth},
    },
    aliases={"dispute.created": "dispute.open", "account.created": "account.updated"},
)
