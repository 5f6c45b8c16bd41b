"""Cashfree: payments, refunds, disputes and settlements of an Indian gateway.

Checked against cashfree.com/docs (webhook versions 2021-09-21 to 2025-01-01) and the Python library 6.0.1.
A webhook carries whole objects, with amounts as JSON numbers in major units. An attempt to pay has an id of its
own (cf_payment_id, a number in old versions and text in new ones): one order may fail before it is paid.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta, timezone

from connectors import access, base, naming
from connectors.payload import Payload, micros
from connectors.signatures import BODY, TIMESTAMP, Hmac
from connectors.tables import each, words
from core import events
from core.errors import MalformedPayload
from core.events import DisputeStatus, PaymentStatus, PayoutStatus, Record, Reference, RefundStatus
from core.money import Money

# The timestamp is signed, and nobody says whether a retry gets a new one. Retries go on for 42 minutes, or up to ten
# tries on a plan of the merchant's own: a day covers them, and a repeat within it is known by its id.
TOLERANCE_SECONDS = 86_400
INDIA = timezone(timedelta(hours=5, minutes=30))
PAYMENT = words(
    PaymentStatus,
    PENDING="NOT_ATTEMPTED PENDING",
    FAILED="FAILED USER_DROPPED CANCELLED VOID",
    SUCCEEDED="SUCCESS",
)
REFUND = words(RefundStatus, PENDING="PENDING ONHOLD", FAILED="CANCELLED FAILED", SUCCEEDED="SUCCESS")
SETTLEMENT = words(
    PayoutStatus,
    PENDING="SETTLEMENT_INITIATED",
    FAILED="SETTLEMENT_FAILED",
    PAID="SETTLEMENT_SUCCESS",
    REVERSED="SETTLEMENT_REVERSED",
)
ENDS = words(
    DisputeStatus,
    OPEN="CREATED",
    UNDER_REVIEW="DOCS_RECEIVED UNDER_REVIEW",
    WON="MERCHANT_WON",
    LOST="MERCHANT_LOST MERCHANT_ACCEPTED INSUFFICIENT_EVIDENCE",
)
STAGES = ("DISPUTE", "CHARGEBACK", "PRE_ARBITRATION", "ARBITRATION")
DISPUTE = {f"{stage}_{end}": status for stage in STAGES for end, status in ENDS.items()} | {
    # A bank that asks for papers has taken nothing, however it ends.
    f"RETRIEVAL_{end}": min(status, DisputeStatus.CLOSED, key=list(DisputeStatus).index)
    for end, status in ENDS.items()
}
# What makes up the id of an event whose header has none, by the object it is about.
IDS = {
    "payment": ("cf_payment_id", "payment_status"),
    "refund": ("cf_refund_id", "refund_status"),
    "dispute": ("dispute_id", "dispute_status", "updated_at"),
    "settlement": ("settlement_id",),
}
VENDOR = "a share passed on to a vendor is that vendor's money"


def event_id(item: Payload, envelope: base.Envelope) -> str:
    """The id in the header, which version 2025-01-01 has; else one made of what the event is about."""
    if given := envelope.header_id("x-idempotency-key"):
        return given
    for name, keys in IDS.items():
        if thing := item.optional_at("data", name):
            parts = [thing.optional_name(key) or "" for key in keys]
            if parts[0]:
                return ":".join([item.identifier("type"), *parts])
    return naming.body_id(envelope)


def references(order: Payload) -> tuple[Reference, ...]:
    """What may name the invoice, best first: a tag of the order, then the merchant's own id of it."""
    named = naming.noted(order.optional_at("order_tags"))
    return naming.references([*named, (1, order.optional_text("order_id"))])


def read_payment(item: Payload) -> base.Reading:
    """An attempt to pay, by its own status; what a charges event says of the fee as well."""
    data = item.at("data")
    thing = data.at("payment")
    currency, status = thing.currency("payment_currency"), thing.choice("payment_status", PAYMENT)
    failure = data.text_at("error_details", "error_description") or thing.optional_text("payment_message")
    payment = events.Payment(
        object_id=thing.name("cf_payment_id"),
        version=micros(item.iso("event_time")),
        status=status,
        # Offers and surcharges make it differ from the order's amount.
        money=thing.number_money("payment_amount", currency, positive=True),
        occurred_at=thing.optional_iso("payment_time") or item.iso("event_time"),
        references=references(data.at("order")),
        method=thing.optional_text("payment_group"),
        payer_name=data.text_at("customer_details", "customer_name"),
        payer_email=data.text_at("customer_details", "customer_email"),
        bank_reference=thing.optional_text("bank_reference"),
        fee=fee(data.optional_at("charges_details"), currency),
        failure=failure if status is PaymentStatus.FAILED else None,
    )
    return [payment]


def fee(charges: Payload | None, currency: str) -> Money | None:
    """Charge and tax, where they are in the payment's currency."""
    if charges is None or not charges.has("service_charge"):
        return None
    if charges.has("settlement_currency") and charges.currency("settlement_currency") != currency:
        return None
    charge = charges.number_money("service_charge", currency)
    return charge + charges.number_money("service_tax", currency) if charges.has("service_tax") else charge


def read_refund(item: Payload) -> base.Reading:
    """A refund, the merchant's own or an automatic one."""
    thing = item.at("data", "refund")
    refund = events.Refund(
        object_id=thing.name("cf_refund_id"),
        version=micros(item.iso("event_time")),
        payment_id=thing.name("cf_payment_id"),
        status=thing.choice("refund_status", REFUND),
        money=thing.number_money("refund_amount", thing.currency("refund_currency"), positive=True),
        occurred_at=thing.optional_iso("created_at") or item.iso("event_time"),
        reason=thing.optional_text("refund_note") or thing.optional_text("status_description"),
    )
    return [refund]


def read_dispute(item: Payload) -> base.Reading:
    """A dispute at any stage. Its currency is that of the payment it is about."""
    thing, order = item.at("data", "dispute"), item.at("data", "order_details")
    named = [one.currency(key) for one, key in ((thing, "dispute_amount_currency"), (order, "payment_currency"),
                                                (order, "order_currency")) if one.has(key)]  # fmt: skip
    status = thing.choice("dispute_status", DISPUTE)
    disputed = thing.number_money("dispute_amount", [*named, "INR"][0], positive=True)
    dispute = events.Dispute(
        object_id=thing.name("dispute_id"),
        version=micros(thing.optional_iso("updated_at") or item.iso("event_time")),
        payment_id=order.name("cf_payment_id"),
        status=status,
        money=disputed,
        deducted=disputed if status is DisputeStatus.LOST else Money(0, disputed.currency),
        occurred_at=thing.optional_iso("created_at") or item.iso("event_time"),
        reason=thing.optional_text("reason_description") or thing.optional_text("reason_code"),
        respond_by=thing.optional_iso("respond_by"),
    )
    return [dispute]


def read_settlement(item: Payload) -> base.Reading:
    """Collected money sent to the merchant's bank. The body has no currency: Cashfree settles in rupees."""
    thing, told = item.at("data", "settlement"), item.iso("event_time")
    settled = thing.number_money("amount_settled" if thing.has("amount_settled") else "settlement_amount", "INR")
    if settled.minor <= 0:
        # Refunds took all of it: nothing reaches the bank.
        return []
    payout = events.Payout(
        object_id=thing.name("settlement_id"),
        version=micros(told),
        status=item.choice("type", SETTLEMENT),
        money=settled,
        occurred_at=thing.optional_iso("settled_on") or told,
        bank_reference=thing.optional_text("utr"),
    )
    return [payout]


def keys_of(credentials: base.Credentials) -> dict[str, str]:
    """The API's client id, and its client secret, which is also what signs webhooks."""
    names = {"x-client-id": credentials.secret("client_id"), "x-client-secret": credentials.secret("webhook_secret")}
    return {**names, "x-api-version": "2025-01-01"}


def reconciled(item: Payload) -> Sequence[Record]:
    """One line of the reconciliation. Lines of other kinds are told by their own webhooks alone."""
    told = item.at("event_details")
    currency, kind = told.currency("event_currency"), told.text("event_type")
    at = told.iso("event_time", zone=INDIA)
    if kind == "PAYMENT":
        payment = item.at("payment_details")
        money = payment.number_money("payment_amount", payment.currency("payment_currency"), positive=True)
        record: Record = events.Payment(
            object_id=payment.name("cf_payment_id"),
            # Older than what any webhook says of it, which knows more.
            version=micros(at),
            status=told.choice("event_status", PAYMENT),
            money=money,
            occurred_at=payment.optional_iso("payment_time", zone=INDIA) or at,
            references=references(item.at("order_details")),
            method=payment.optional_text("payment_group"),
            bank_reference=payment.optional_text("bank_reference"),
        )
        return [record]
    if kind == "REFUND":
        record = events.Refund(
            object_id=told.name("event_id"),
            version=micros(at),
            payment_id=item.at("payment_details").name("cf_payment_id"),
            status=told.choice("event_status", REFUND),
            money=told.number_money("event_amount", currency, positive=True),
            occurred_at=at,
        )
        return [record]
    return []


def pull(credentials: base.Credentials, cursor: str | None, since: datetime) -> base.PullTalk:
    """A page of the reconciliation, from `since` to now. The cursor is "begin end page", or only "begin" at rest."""
    begin, end, place = [*(cursor or stamp(since)).split(" "), "", ""][:3]
    end = end or stamp(credentials.moment())
    body = {"filters": {"start_date": begin, "end_date": end}, "pagination": {"limit": 100, "cursor": place or None}}
    page = (yield base.Request(method="POST", url="/recon", json=body)).payload()
    items = page.items("data")
    records = [record for item in items for record in reconciled(item)]
    after = page.optional_name("cursor")
    if after is None or not items:
        # A settlement may be reconciled days after its payments: look at the last three days again.
        return base.Page(records=records, cursor=stamp(max(moment(begin), moment(end) - timedelta(days=3))))
    if after == place or " " in after:
        raise MalformedPayload("cursor", "leads in a circle")
    return base.Page(records=records, cursor=f"{begin} {end} {after}", more=True)


def stamp(at: datetime) -> str:
    """A moment as the API takes it."""
    return at.strftime("%Y-%m-%dT%H:%M:%SZ")


def moment(text: str) -> datetime:
    """The moment a stamp tells."""
    return datetime.fromisoformat(text)


connector = base.Connector(
    slug="cashfree",
    title="Cashfree",
    docs_url="https://www.cashfree.com/docs/payments/online/webhooks/overview",
    checked="2025-10-08",
    signature=Hmac(
        header="x-webhook-signature",
        encoding="base64",
        signed=(TIMESTAMP, BODY),
        timestamp_header="x-webhook-timestamp",
        timestamp_per_second=1000,
        tolerance_seconds=TOLERANCE_SECONDS,
        id_header="x-idempotency-key",
    ),
    makes_secret=False,
    event_id=event_id,
    event_name=lambda item: item.identifier("type"),
    api=base.Api(base="https://api.cashfree.com/pg", authorize=access.fixed(keys_of)),
    pull=base.Pull(talk=pull, what="payments and refunds of the reconciliation", every_seconds=3600, days=30),
    fields=(
        access.secret(
            "webhook_secret", "Client secret", "The API's secret key: it signs webhooks as well.", required=True
        ),
        access.secret("client_id", "Client id", "The API's App ID, for pulls."),
    ),
    brings=("payments", "refunds", "disputes", "settlements"),
    steps=(
        "In the merchant dashboard open Developers, API Keys, and copy secret key and App ID into the connection.",
        "Under Developers, Webhooks, add the address {url} with the newest version (2025-01-01).",
        "Choose payments, refunds, disputes and settlements; the test call that is made then is answered here.",
        "Test mode has keys and webhooks of its own: make a connection for each.",
    ),
    events={
        **each("SUCCESS_WEBHOOK FAILED_WEBHOOK USER_DROPPED_WEBHOOK CHARGES_WEBHOOK", read_payment, "PAYMENT_"),
        "REFUND_STATUS_WEBHOOK": read_refund,
        **each("CREATED UPDATED CLOSED", read_dispute, "DISPUTE_"),
        **dict.fromkeys(SETTLEMENT, read_settlement),
    },
    ignored={
        "WEBHOOK": "the test call that is made when an address is added",
        **{f"VENDOR_{name}": VENDOR for name in SETTLEMENT},
    },
)
