"""What PayPal's objects mean: captures, sales, refunds, disputes, payouts and invoices as records."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypeVar

from connectors import naming
from connectors.payload import Payload, micros
from connectors.shapes import Moved
from connectors.tables import each, words
from core import events
from core.events import DisputeStatus, MirroredStatus, PaymentStatus, PayoutStatus, Record, RefundStatus
from core.money import Money

T = TypeVar("T")
PAYMENT = words(
    PaymentStatus,
    PENDING="PENDING",
    FAILED="DECLINED DENIED FAILED",
    # What was given back is told by the refunds; the payment itself did succeed.
    SUCCEEDED="COMPLETED PARTIALLY_REFUNDED REFUNDED REVERSED",
)
REFUND = words(RefundStatus, PENDING="PENDING", FAILED="CANCELLED FAILED", SUCCEEDED="COMPLETED")
DISPUTE = words(
    DisputeStatus,
    OPEN="OPEN WAITING_FOR_BUYER_RESPONSE WAITING_FOR_SELLER_RESPONSE OTHER",
    UNDER_REVIEW="UNDER_REVIEW",
    CLOSED="RESOLVED",
)
OUTCOME = words(
    DisputeStatus,
    LOST="RESOLVED_BUYER_FAVOUR ACCEPTED",
    # PayPal pays the buyer out of its own pocket.
    WON="RESOLVED_SELLER_FAVOUR RESOLVED_WITH_PAYOUT",
    CLOSED="CANCELED_BY_BUYER DENIED NONE",
)
PAYOUT = words(
    PayoutStatus,
    PENDING="NEW PENDING ONHOLD UNCLAIMED",
    FAILED="FAILED BLOCKED DENIED CANCELED",
    PAID="SUCCESS",
    REVERSED="RETURNED REFUNDED REVERSED",
)
INVOICE = words(
    MirroredStatus,
    DRAFT="DRAFT SCHEDULED",
    OPEN="SENT UNPAID PAYMENT_PENDING",
    PARTIALLY_PAID="PARTIALLY_PAID",
    PAID="PAID MARKED_AS_PAID REFUNDED PARTIALLY_REFUNDED MARKED_AS_REFUNDED",
    VOID="CANCELLED",
)  # fmt: skip


def amount_of(item: Payload, key: str, *, positive: bool = True) -> Money:
    """Money in PayPal's newer form (value, currency_code) or one of its older ones (total or value, currency)."""
    amount = item.at(key)
    currency = amount.currency("currency_code" if amount.has("currency_code") else "currency")
    return amount.decimal_money("value" if amount.has("value") else "total", currency, positive=positive)


def fee_of(item: Payload | None, key: str, currency: str) -> Money | None:
    """A fee, where there is one in the currency of the payment."""
    if item is None or item.optional_at(key) is None:
        return None
    fee = amount_of(item, key, positive=False)
    return fee if fee.currency == currency else None


def version(item: Payload) -> int:
    """When the object last changed. It has whole seconds; the status ladder decides within one."""
    return micros(item.optional_iso("update_time") or item.iso("create_time"))


def references(item: Payload, *keys: str) -> tuple[events.Reference, ...]:
    """What may name the invoice, best first."""
    return naming.references((rank, item.optional_identifier(key)) for rank, key in enumerate(keys))


def _moved(item: Payload, money: Money, id_key: str = "id") -> Moved:
    at, identity = item.iso("create_time"), item.identifier(id_key)
    return Moved(object_id=identity, version=version(item), money=money, occurred_at=at)


def capture_of(item: Payload) -> list[Record]:
    """A payment that was captured."""
    money, status = amount_of(item, "amount"), item.choice("status", PAYMENT)
    payment = events.Payment(
        **_moved(item, money),
        status=status,
        references=references(item, "invoice_id", "custom_id"),
        method="paypal",
        fee=fee_of(item.optional_at("seller_receivable_breakdown"), "paypal_fee", money.currency),
        failure=item.text_at("status_details", "reason") if status is PaymentStatus.FAILED else None,
    )
    return [payment]


def refund_of(item: Payload) -> list[Record]:
    """Money given back out of a capture, which only a link names."""
    links = [one.text("href") for one in item.items("links") if one.optional_text("rel") == "up"]
    if len(links) != 1 or "/captures/" not in links[0]:
        raise item.wrong("links", "one link up to the capture")
    payment_id = links[0].partition("/captures/")[2].partition("?")[0]
    if not payment_id.isalnum():
        raise item.wrong("links", "one link up to the capture")
    refund = events.Refund(
        **_moved(item, amount_of(item, "amount")),
        payment_id=payment_id,
        status=item.choice("status", REFUND),
        reason=item.optional_text("note_to_payer"),
    )
    return [refund]


def sale_of(item: Payload) -> list[Record]:
    """A payment of the older API; one that was reversed is also given back in full."""
    money, state = amount_of(item, "amount"), item.choice("state", _small(PAYMENT))
    payment = events.Payment(
        **_moved(item, money),
        status=state,
        references=references(item, "invoice_number", "custom"),
        method="paypal",
        fee=fee_of(item, "transaction_fee", money.currency),
        failure=item.optional_text("reason_code") if state is PaymentStatus.FAILED else None,
    )
    if item.text("state") != "reversed":
        return [payment]
    reversal = events.Refund(
        object_id=f"{payment.object_id[:200]}:reversal",
        version=payment.version,
        payment_id=payment.object_id,
        status=RefundStatus.SUCCEEDED,
        money=money,
        occurred_at=item.optional_iso("update_time") or payment.occurred_at,
        reason="reversed by PayPal",
    )
    return [payment, reversal]


def sale_refund_of(item: Payload) -> list[Record]:
    """Money given back out of a sale."""
    refund = events.Refund(
        **_moved(item, amount_of(item, "amount")),
        payment_id=item.identifier("sale_id"),
        status=item.choice("state", _small(REFUND)),
        reason=item.optional_text("reason") or item.optional_text("description"),
    )
    return [refund]


def dispute_of(item: Payload) -> list[Record]:
    """A buyer's challenge. What it costs in the end is told by the reversal or refund of the capture."""
    money, status = amount_of(item, "dispute_amount"), item.choice("status", DISPUTE)
    outcome = item.optional_at("dispute_outcome")
    if status is DisputeStatus.CLOSED and outcome and outcome.has("outcome_code"):
        status = outcome.choice("outcome_code", OUTCOME)
    disputed = item.items("disputed_transactions")
    if not disputed:
        raise item.wrong("disputed_transactions", "at least one transaction")
    dispute = events.Dispute(
        **_moved(item, money, "dispute_id"),
        payment_id=disputed[0].identifier("seller_transaction_id"),
        status=status,
        deducted=Money(0, money.currency),
        reason=item.optional_text("reason"),
        respond_by=item.optional_iso("seller_response_due_date"),
    )
    return [dispute]


def payout_of(item: Payload) -> list[Record]:
    """The seller's money to somebody else."""
    inner, at = item.at("payout_item"), item.iso("time_processed")
    money = amount_of(inner, "amount")
    payout = events.Payout(
        object_id=item.identifier("payout_item_id"),
        version=micros(at),
        status=item.choice("transaction_status", PAYOUT),
        money=money,
        occurred_at=at,
        fee=fee_of(item, "payout_item_fee", money.currency),
        bank_reference=item.optional_text("transaction_id"),
        to_third_party=True,
    )
    return [payout]


def invoice_of(item: Payload) -> list[Record]:
    """An invoice that was written at PayPal. Its status decides: the event of a payment may mean a part of it."""
    detail, status = item.at("detail"), item.choice("status", INVOICE)
    metadata, term = detail.at("metadata"), detail.optional_at("payment_term")
    total = amount_of(item, "amount", positive=False)
    open_ends = status in (MirroredStatus.DRAFT, MirroredStatus.OPEN, MirroredStatus.PARTIALLY_PAID)
    due = amount_of(item, "due_amount", positive=False) if item.has("due_amount") else total
    if min(total.minor, due.minor) < 0:
        raise item.wrong("amount", "no negative amount")
    recipients = item.optional_items("primary_recipients")
    contact = recipients[0].optional_at("billing_info") if recipients else None
    changed_at = metadata.optional_iso("last_update_time") or metadata.iso("create_time")
    mirrored = events.MirroredInvoice(
        object_id=item.identifier("id"),
        version=micros(changed_at),
        status=status,
        number=detail.optional_identifier("invoice_number"),
        direction="sales",
        total=total,
        due=due if open_ends else Money(0, total.currency),
        issued_on=detail.optional_day("invoice_date"),
        due_on=term.optional_day("due_date") if term else None,
        contact_name=contact.text_at("name", "full_name") if contact else None,
        contact_email=contact.optional_text("email_address") if contact else None,
        url=metadata.optional_text("recipient_view_url"),
    )
    return [mirrored]


def _small(meanings: Mapping[str, T]) -> dict[str, T]:
    return {word.lower(): meaning for word, meaning in meanings.items()}


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """A kind of object: where it is asked for, under which name it says its id, and what it means."""

    path: str
    records: Callable[[Payload], list[Record]]
    id_key: str = "id"
    # Whether a listed event holds the object in the very form that asking for it gives.
    whole: bool = True


CAPTURE = Kind(path="/v2/payments/captures/", records=capture_of)
CAPTURE_REFUND = Kind(path="/v2/payments/refunds/", records=refund_of)
SALE = Kind(path="/v1/payments/sale/", records=sale_of)
SALE_REFUND = Kind(path="/v1/payments/refund/", records=sale_refund_of)
A_DISPUTE = Kind(path="/v1/customer/disputes/", records=dispute_of, id_key="dispute_id")
AN_INVOICE = Kind(path="/v2/invoicing/invoices/", records=invoice_of, whole=False)
A_PAYOUT = Kind(path="/v1/payments/payouts-item/", records=payout_of, id_key="payout_item_id")


def subject_of(kind: Kind, item: Payload) -> tuple[Kind, Payload]:
    """What an event is about: the object in it, and its kind where the event's name leaves two."""
    resource = item.at("resource")
    if kind is AN_INVOICE:
        return kind, resource.optional_at("invoice") or resource
    if kind is SALE_REFUND and item.optional_text("resource_type") == "sale":
        return SALE, resource
    return kind, resource


def merchant_of(item: Payload) -> str | None:
    """The seller's merchant id, where the event names it."""
    resource = item.optional_at("resource")
    payee = resource.optional_at("payee") if resource else None
    if payee and payee.has("merchant_id"):
        return payee.identifier("merchant_id")
    return resource.optional_identifier("merchant_id") if resource else None


KINDS: Mapping[str, Kind] = {
    **each("COMPLETED PENDING DENIED DECLINED", CAPTURE, "PAYMENT.CAPTURE."),
    **each("REFUNDED REVERSED", CAPTURE_REFUND, "PAYMENT.CAPTURE."),
    **each("COMPLETED PENDING DENIED", SALE, "PAYMENT.SALE."),
    **each("REFUNDED REVERSED", SALE_REFUND, "PAYMENT.SALE."),
    **each("CREATED UPDATED RESOLVED", A_DISPUTE, "CUSTOMER.DISPUTE."),
    **each("CREATED UPDATED SCHEDULED SENT PAID CANCELLED REFUNDED", AN_INVOICE, "INVOICING.INVOICE."),
    **each(
        "SUCCEEDED FAILED BLOCKED CANCELED DENIED HELD REFUNDED RETURNED UNCLAIMED", A_PAYOUT, "PAYMENT.PAYOUTS-ITEM."
    ),
}
