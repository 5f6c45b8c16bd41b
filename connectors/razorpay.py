"""Razorpay: payments, refunds, disputes and settlements of an Indian gateway, and RazorpayX bank movements.

Checked against Razorpay's documentation repository at ab3bda5 (2026-04-09) and the Python SDK 2.0.1.
A webhook carries whole entities as they were at the event. Whatever event brings a payment entity, its id
(pay_…) is the business key: payment.captured, order.paid and invoice.paid of one payment are one payment.
"""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import Literal
from urllib.parse import quote

from connectors import access, base, naming
from connectors.payload import Payload, micros
from connectors.shapes import Moved, withdrawn
from connectors.signatures import Hmac
from connectors.tables import each, words
from core import events
from core.errors import MalformedPayload
from core.events import DisputeStatus, PaymentStatus, PayoutStatus, Record, Reference, RefundStatus
from core.money import Money

PAYMENT = words(
    PaymentStatus,
    # `pending` is cash on delivery: ordered, not yet collected.
    PENDING="created pending authorized",
    FAILED="failed",
    # What was given back is told by the refunds; the payment itself did succeed.
    SUCCEEDED="captured refunded",
)
REFUND = words(RefundStatus, PENDING="created pending", FAILED="failed", SUCCEEDED="processed")
DISPUTE = words(DisputeStatus, OPEN="open", UNDER_REVIEW="under_review", CLOSED="closed", WON="won", LOST="lost")
SETTLEMENT = {"created": PayoutStatus.PENDING, "failed": PayoutStatus.FAILED, "processed": PayoutStatus.PAID}
PAYOUT = words(
    PayoutStatus,
    PENDING="pending scheduled queued processing",
    FAILED="rejected cancelled failed",
    PAID="processed",
    REVERSED="reversed",
)

# Rows of the settlement report; the others, such as transfers, name nothing that is kept here.
PARTS: dict[str, Literal["payment", "refund", "dispute"]] = {"payment": "payment", "refund": "refund"}

# Entities whose notes may name the invoice, and the fields of theirs that may, by rank.
NOTED = ("payment", "order", "invoice", "payment_link", "virtual_account", "qr_code", "subscription")
NAMED = (
    (1, "order", "receipt"),
    (1, "invoice", "invoice_number"),
    (1, "invoice", "receipt"),
    (2, "payment_link", "reference_id"),
    (3, "payment", "description"),
    (3, "virtual_account", "description"),
)
CAME_THROUGH = (
    ("virtual_account", "id"),
    ("bank_transfer", "virtual_account_id"),
    ("upi_transfer", "virtual_account_id"),
    ("virtual_account", "customer_id"),
    ("payment", "customer_id"),
)
NO_MONEY = "tells of no movement of money"
PLAN = "a state of the plan; what is collected comes as subscription.charged"
ONBOARDED = ("account", "product.payment_gateway", "product.payment_links")
ONBOARDING = (
    "activated needs_clarification under_review rejected activated_kyc_pending "
    "instantly_activated payments_enabled funds_on_hold suspended"
)
LINK = "a state of the link; what is paid comes as payout and transaction events"
PARTNER = "onboarding of a partner's merchant, which this product does not do"
# Where a payment's acquirer puts the bank's own reference, by method.
BANK_REFERENCES = ("rrn", "bank_transaction_id", "utr", "upi_transaction_id")


def event_id(_item: Payload, envelope: base.Envelope) -> str:
    """The id in the header; there is none in the body. Without a usable one, a hash of the body."""
    return envelope.header_id("x-razorpay-event-id") or naming.body_id(envelope)


def version(item: Payload) -> int:
    """The event's own time. It has whole seconds; the status ladder decides within one."""
    return micros(item.epoch("created_at"))


def references(item: Payload) -> tuple[Reference, ...]:
    """What may name the invoice, best first. `notes` is an object, or [] or text, which names nothing."""
    found: list[tuple[int, str | None]] = []
    for name in NOTED:
        notes = item.optional_at("payload", name, "entity", "notes")
        held = notes.value if notes and isinstance(notes.value, dict) else {}
        # Razorpay keeps a number that was put into notes as a number.
        found += [(0, str(held[key])) for key in naming.NOTES if type(held.get(key)) in (str, int)]
    found += [(rank, item.text_at("payload", name, "entity", key)) for rank, name, key in NAMED]
    return naming.references(found + _received(item))


def _received(item: Payload) -> list[tuple[int, str | None]]:
    """The virtual account that was paid to, with its number or UPI address, and the customer whose it is."""
    account = item.optional_at("payload", "virtual_account", "entity")
    receivers = account.optional_items("receivers") if account else ()
    return naming.received(
        ids=[item.text_at("payload", name, "entity", key) for name, key in CAME_THROUGH],
        accounts=[one.text_at("account_number") for one in receivers],
        addresses=[one.text_at("address") for one in receivers],
    )


def _moved(item: Payload, entity: Payload, money: Money) -> Moved:
    at, identity = entity.epoch("created_at"), entity.identifier("id")
    return Moved(object_id=identity, version=version(item), money=money, occurred_at=at)


def payment_of(item: Payload, *, only_authorized: bool = False) -> events.Payment:
    """The payment entity of any event that holds one."""
    entity = item.at("payload", "payment", "entity")
    currency = entity.currency("currency")
    transfer = item.optional_at("payload", "bank_transfer", "entity")
    acquirer = entity.optional_at("acquirer_data")
    bank = [acquirer.optional_text(key) for key in BANK_REFERENCES] if acquirer else []
    payer = transfer.optional_at("payer_bank_account") if transfer else entity.optional_at("card")
    status = entity.choice("status", PAYMENT)
    failure = entity.optional_text("error_description") or entity.optional_text("error_reason")
    bank.append(transfer.optional_text("bank_reference") if transfer else None)
    return events.Payment(
        **_moved(item, entity, entity.minor_money("amount", currency, positive=True)),
        # An old sample of payment.authorized has the status captured: the capture says so itself.
        status=PaymentStatus.PENDING if only_authorized else status,
        references=references(item),
        method=entity.optional_text("method"),
        payer_name=payer.optional_text("name") if payer else None,
        payer_email=entity.optional_text("email"),
        bank_reference=next(filter(None, bank), None),
        description=entity.optional_text("description"),
        # The fee of an international payment is in the settlement currency, which the entity may not name.
        fee=None if entity.optional_boolean("international") or not entity.has("fee") else
        entity.minor_money("fee", currency),
        failure=failure if status is PaymentStatus.FAILED else None,
    )  # fmt: skip


def read_payment(item: Payload) -> base.Reading:
    """An event about a payment, or one that brings it along (an order, invoice or link that it paid)."""
    return [payment_of(item)]


def read_authorized(item: Payload) -> base.Reading:
    """An authorisation moves no money, whatever else the entity says."""
    return [payment_of(item, only_authorized=True)]


def _with_payment(item: Payload, record: Record) -> base.Reading:
    """The record, after the payment it belongs to where the event holds it too."""
    return [payment_of(item), record] if item.optional_at("payload", "payment", "entity") else [record]


def read_refund(item: Payload) -> base.Reading:
    """A refund. Its entity's status decides: refund.created may already say processed."""
    entity = item.at("payload", "refund", "entity")
    refund = events.Refund(
        **_moved(item, entity, entity.minor_money("amount", entity.currency("currency"), positive=True)),
        payment_id=entity.identifier("payment_id"),
        status=entity.choice("status", REFUND),
        reason=entity.text_at("notes", "comment"),
    )
    return _with_payment(item, refund)


def read_dispute(item: Payload) -> base.Reading:
    """A dispute. Money is taken only once it is lost."""
    entity = item.at("payload", "dispute", "entity")
    currency = entity.currency("currency")
    deducted = entity.minor_money("amount_deducted", currency)
    status = entity.choice("status", DISPUTE)
    dispute = events.Dispute(
        **_moved(item, entity, entity.minor_money("amount", currency, positive=True)),
        payment_id=entity.identifier("payment_id"),
        status=status,
        deducted=deducted if status is DisputeStatus.LOST else Money(0, currency),
        reason=entity.optional_text("reason_code"),
        respond_by=entity.optional_epoch("respond_by"),
    )
    return _with_payment(item, dispute)


def read_settlement(item: Payload) -> base.Reading:
    """Collected money sent to the merchant's bank. The entity has no currency: Razorpay settles in rupees."""
    entity = item.at("payload", "settlement", "entity")
    return [_payout(item, entity, "INR", entity.choice("status", SETTLEMENT))]


def read_payout(item: Payload) -> base.Reading:
    """A RazorpayX payout: the merchant's money to somebody else."""
    entity = item.at("payload", "payout", "entity")
    return [_payout(item, entity, entity.currency("currency"), entity.choice("status", PAYOUT), to_third_party=True)]


def _payout(
    item: Payload, entity: Payload, currency: str, status: PayoutStatus, *, to_third_party: bool = False
) -> events.Payout:
    return events.Payout(
        **_moved(item, entity, entity.minor_money("amount", currency, positive=True)),
        status=status,
        fee=entity.minor_money("fees", currency) if entity.has("fees") else None,
        bank_reference=entity.optional_text("utr"),
        to_third_party=to_third_party,
    )


def read_transaction(item: Payload) -> base.Reading:
    """A movement on a RazorpayX account, with the account's balance after it."""
    entity = item.at("payload", "transaction", "entity")
    currency, number = entity.currency("currency"), entity.identifier("account_number")
    credit, debit = entity.minor_money("credit", currency), entity.minor_money("debit", currency)
    if (credit.minor == 0) == (debit.minor == 0) or min(credit.minor, debit.minor) < 0:
        raise entity.wrong("credit", "one of credit and debit to be zero and the other positive")
    balance = entity.minor_money("balance", currency)
    source = entity.at("source")
    payer, bank_reference = source.optional_text("payer_name"), source.optional_text("bank_reference")
    told = [source.optional_text("narration"), source.optional_text("mode"), payer, bank_reference]
    moved = events.BankTransaction(
        **_moved(item, entity, credit - debit),
        account_id=number,
        status=events.TransactionStatus.POSTED,
        narration=" ".join(filter(None, told)) or source.identifier("id"),
        counterparty=payer,
        bank_reference=bank_reference or source.optional_text("utr"),
        balance=balance,
        category=source.optional_text("entity"),
    )
    account = events.BankAccount(
        object_id=number,
        version=version(item),
        name=f"RazorpayX {number[-4:]}",
        currency=currency,
        number=number,
        kind="current",
        balance=balance,
    )
    return [account, moved]


def read_revoked(item: Payload) -> base.Reading:
    """The merchant withdrew our access."""
    return withdrawn("Razorpay", item.identifier("account_id"), version(item))


def item_of(item: Payload) -> list[Record]:
    """A row of the settlement report, which names the settlement that it is in; one that is in none yet is nothing.

    `credit` and `debit` are after the fee, which holds its tax.
    """
    if (settlement := item.optional_identifier("settlement_id")) is None:
        return []
    currency, entity, at = item.currency("currency"), item.identifier("entity_id"), item.epoch("settled_at")
    fee = item.minor_money("fee", currency) if item.has("fee") else Money(0, currency)
    dispute = item.optional_identifier("dispute_id")
    kind = PARTS.get(item.text("type")) if dispute is None else "dispute"
    told = events.PayoutItem(
        object_id=entity,
        # One whose settlement failed is settled again, later.
        version=micros(at),
        payout_id=settlement,
        kind=kind or "adjustment",
        subject_id=dispute or (entity if kind else None),
        money=item.minor_money("credit", currency) - item.minor_money("debit", currency) + fee,
        fee=fee,
        occurred_at=at,
    )
    return [told]


PER_PAGE = 100
PER_REPORT = 1000
REPORT = "report"
# Money is settled within days; what was settled before is found by order. A report is of a day, or of a whole month.
REPORT_DAYS, DAYS_ALONE = 60, 7
INDIA = timezone(timedelta(hours=5, minutes=30))
MAX_SKIP = 100_000
# Lists go by the time of creation. What happened to something older is looked for this many days back.
LISTS: dict[str, tuple[str, int, base.Reader]] = {
    "payments": ("payment", 7, read_payment),
    "refunds": ("refund", 14, read_refund),
    "disputes": ("dispute", 120, read_dispute),
    "settlements": ("settlement", 7, read_settlement),
}


def pull(credentials: base.Credentials, cursor: str | None, since: datetime) -> base.PullTalk:
    """A page of one of the lists, and then of the settlement report.

    The cursor is "begin end list skip", or only "begin" at rest; times in seconds.
    """
    begin, end, name, skip = [*(cursor or str(int(since.timestamp()))).split(" "), "", "", ""][:4]
    asked = int(credentials.moment().timestamp())
    end, name, skipped = end or str(asked), name or "payments", int(skip or 0)
    if name.startswith(REPORT):
        return (yield from _report(int(begin), int(end), name, skipped))
    entity, days, read = LISTS[name]
    start = max(0, int(begin) - days * 86_400)
    params = {"from": str(start), "to": end, "count": str(PER_PAGE), "skip": str(skipped)}
    items = (yield base.Request(method="GET", url=f"/v1/{name}", params=params)).payload().items("items")
    records: list[Record] = []
    for item in items:
        # What an event about it would hold, told now.
        told = read(Payload({"created_at": asked, "payload": {entity: {"entity": item.value}}}))
        records += [] if isinstance(told, base.Fetch) else told
    if len(items) >= PER_PAGE:
        if skipped >= MAX_SKIP:
            raise MalformedPayload("items", "goes on without an end")
        return base.Page(records=records, cursor=f"{begin} {end} {name} {skipped + PER_PAGE}", more=True)
    if following := list(LISTS)[list(LISTS).index(name) + 1 :]:
        return base.Page(records=records, cursor=f"{begin} {end} {following[0]} 0", more=True)
    return base.Page(records=records, cursor=f"{begin} {end} {REPORT} 0", more=True)


def _stretches(begin: int, end: int) -> list[str]:
    """What the settlement report is asked for: days ("2026-11-03") or, of a long time, months ("2026-11")."""
    days = LISTS["settlements"][1]
    last = datetime.fromtimestamp(end, INDIA).date()
    first = max(datetime.fromtimestamp(begin, INDIA).date() - timedelta(days=days), last - timedelta(days=REPORT_DAYS))
    found = [str(first + timedelta(days=place)) for place in range((last - first).days + 1)]
    return found if len(found) <= days + DAYS_ALONE else sorted({day[:7] for day in found})


def _report(begin: int, end: int, name: str, skipped: int) -> base.PullTalk:
    """A page of the settlement report: which payments, refunds and adjustments are in which settlement."""
    stretches = _stretches(begin, end)
    stretch = name.removeprefix(REPORT) or stretches[0]
    if stretch not in stretches:
        raise MalformedPayload("", "the cursor names no stretch of the report")
    words = dict(zip(("year", "month", "day"), (str(int(part)) for part in stretch.split("-")), strict=False))
    params = {**words, "count": str(PER_REPORT), "skip": str(skipped)}
    request = base.Request(method="GET", url="/v1/settlements/recon/combined", params=params)
    items = (yield request).payload().items("items")
    records = [record for item in items for record in item_of(item)]
    if len(items) >= PER_REPORT:
        if skipped >= MAX_SKIP:
            raise MalformedPayload("items", "goes on without an end")
        return base.Page(records=records, cursor=f"{begin} {end} {REPORT}{stretch} {skipped + PER_REPORT}", more=True)
    if following := [one for one in stretches if one > stretch]:
        return base.Page(records=records, cursor=f"{begin} {end} {REPORT}{following[0]} 0", more=True)
    return base.Page(records=records, cursor=str(end))


# A link that is forgotten closes by itself.
LINK_SECONDS = 86_400
# A reference may have 40 characters, and the number in the notes is what names the invoice.
MAX_REFERENCE = 40


def _made(link: Payload) -> base.LinkMade:
    # Razorpay says 0 where a link has no end.
    ends = link.epoch("expire_by") if link.optional_integer("expire_by") else None
    return base.LinkMade(provider_id=link.identifier("id"), url=link.text("short_url"), expires_at=ends)


def create_link(credentials: base.Credentials, wanted: base.LinkWanted) -> base.LinkTalk:
    """A payment link for one invoice. Razorpay tells its customers nothing; that is the seller's own mail."""
    reference = wanted.reference[-MAX_REFERENCE:]
    if wanted.again:
        found = (
            yield base.Request(method="GET", url="/v1/payment_links", params={"reference_id": reference})
        ).payload()
        for link in found.items("payment_links"):
            if link.optional_text("reference_id") == reference and link.text("status") == "created":
                return _made(link)
    asked: dict[str, object] = {
        "amount": wanted.money.minor,
        "currency": wanted.money.currency,
        "accept_partial": False,
        "reference_id": reference,
        "description": wanted.description[:2048],
        "customer": {"name": wanted.customer_name[:50], "email": wanted.customer_email},
        "notify": {"sms": False, "email": False},
        "reminder_enable": False,
        "notes": {"invoice_number": wanted.number},
        "callback_url": wanted.return_url,
        "callback_method": "get",
        "expire_by": int(credentials.moment().timestamp()) + LINK_SECONDS,
    }
    return _made((yield base.Request(method="POST", url="/v1/payment_links", json=asked)).payload())


def close_link(_credentials: base.Credentials, provider_id: str) -> base.CloseTalk:
    """Cancel a link that can still be paid."""
    url = f"/v1/payment_links/{quote(provider_id, safe='')}"
    link = (yield base.Request(method="GET", url=url)).payload()
    if link.text("status") == "created":
        yield base.Request(method="POST", url=f"{url}/cancel", json={})


connector = base.Connector(
    slug="razorpay",
    title="Razorpay",
    docs_url="https://razorpay.com/docs/webhooks/",
    checked="2026-04-09",
    signature=Hmac(header="X-Razorpay-Signature", id_header="X-Razorpay-Event-Id"),
    # Retries go on for a day; on request, events of the last fifteen days are sent again.
    resend_days=30,
    # Razorpay refuses an address that contains its name.
    opaque_address=True,
    steps=(
        "In the Razorpay dashboard, open Account & Settings, then Webhooks, and add a new one.",
        "Paste {url} as its address; Razorpay refuses addresses that contain its name, which this one does not.",
        "Paste the secret shown here as the webhook's secret.",
        "Choose the events of payments, orders, refunds, disputes, settlements, invoices, payment links and payouts.",
    ),
    brings=("payments", "refunds", "disputes", "settlements", "payouts", "RazorpayX bank transactions"),
    fields=(
        access.secret("key_id", "API key id", "Begins with rzp_. For pulls."),
        access.secret("key_secret", "API key secret", "For pulls. Not the webhook's secret."),
    ),
    api=base.Api(
        base="https://api.razorpay.com",
        authorize=access.fixed(lambda held: access.basic(held.secret("key_id"), held.secret("key_secret"))),
    ),
    payment_links=base.PaymentLinks(create=create_link, close=close_link, needs=("key_id", "key_secret")),
    pull=base.Pull(
        talk=pull, what="payments, refunds, disputes and settlements with what they hold", every_seconds=3600, days=90
    ),
    event_id=event_id,
    event_name=lambda item: item.identifier("event"),
    external_id=lambda item: item.optional_identifier("account_id"),
    events={
        "payment.authorized": read_authorized,
        **each("payment.captured payment.failed payment.pending order.paid", read_payment),
        **each("invoice.paid invoice.partially_paid subscription.charged", read_payment),
        **each("payment_link.paid payment_link.partially_paid", read_payment),
        **each("virtual_account.credited qr_code.credited", read_payment),
        **each("refund.created refund.processed refund.failed refund.speed_changed", read_refund),
        **each("created under_review closed won lost action_required", read_dispute, "payment.dispute."),
        "settlement.processed": read_settlement,
        "transaction.created": read_transaction,
        **each("pending queued initiated processed rejected updated reversed failed", read_payout, "payout."),
        "account.app.authorization_revoked": read_revoked,
    },
    ignored={
        **each("payment.downtime.started payment.downtime.updated payment.downtime.resolved", NO_MONEY),
        **each("payout.downtime.started payout.downtime.resolved", NO_MONEY),
        **each("invoice.expired payment_link.cancelled payment_link.expired", "a request for money ended unpaid"),
        **each("virtual_account.created virtual_account.closed qr_code.created qr_code.closed", NO_MONEY),
        **each("authenticated activated completed updated pending halted cancelled", PLAN, "subscription."),
        **each("paused resumed", PLAN, "subscription."),
        **each("transfer.processed transfer.failed", "a share passed on to a linked account is that account's money"),
        **each("fund_account.validation.completed fund_account.validation.failed", NO_MONEY),
        **each("pending issued processing processed attempted cancelled rejected expired", LINK, "payout_link."),
        **each("product.route.under_review product.route.needs_clarification product.route.activated", PARTNER),
        **{f"{area}.{step}": PARTNER for area in ONBOARDED for step in ONBOARDING.split()},
    },
)
