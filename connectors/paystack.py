"""Paystack: payments, refunds, disputes, transfers and settlements of an African gateway.

Checked against Paystack's documentation snippets at 94af513 (2026-02-23) and its OpenAPI file at 9678dea (2025-10-24).
Nothing has an event id, and a refund event does not even say which refund it is about while it is pending: it is
taken as a pointer, and the refunds of its transaction are listed. A payment is known by its transaction's number.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from functools import partial
from urllib.parse import quote

from connectors import access, base, lists, naming
from connectors.payload import MAX_IDENTIFIER, Payload, micros
from connectors.shapes import Moved
from connectors.signatures import Hmac
from connectors.tables import each, words
from core import events
from core.errors import MalformedPayload
from core.events import DisputeStatus, MirroredStatus, PaymentStatus, PayoutStatus, Record, Reference, RefundStatus
from core.money import Money

MAX_PAGES = 50
PER_PAGE = 100
# Every amount is in hundredths, also of currencies that ISO 4217 gives no decimals (XOF, RWF).
PLACES = 2
PAYMENT = words(
    PaymentStatus,
    PENDING="pending ongoing processing queued",
    FAILED="failed abandoned",
    # What went back is told by refunds and disputes; the payment itself did succeed.
    SUCCEEDED="success reversed",
)
REFUND = words(
    RefundStatus,
    PENDING="pending processing needs-attention retriable",
    FAILED="failed",
    SUCCEEDED="processed",
)
DISPUTE = words(
    DisputeStatus,
    OPEN="awaiting-merchant-feedback",
    UNDER_REVIEW="awaiting-bank-feedback pending",
    CLOSED="resolved",
)
RESOLUTION = words(DisputeStatus, LOST="auto-accepted merchant-accepted", WON="declined")
TRANSFER = words(PayoutStatus, PENDING="pending otp received", FAILED="failed", PAID="success", REVERSED="reversed")
SETTLEMENT = words(PayoutStatus, PENDING="pending processing", FAILED="failed", PAID="success")
INVOICE = words(MirroredStatus, OPEN="pending failed", PAID="success")
# The keys of `data` that make up an event's id, by the beginning of its name.
IDS = (
    ("charge.dispute.", ("id", "status", "updated_at")),
    ("charge.", ("id", "reference")),
    ("refund.", ()),
    ("transfer.", ("transfer_code", "status")),
    ("invoice.", ("invoice_code", "status")),
    ("paymentrequest.", ("request_code", "status")),
    ("subscription.", ("subscription_code",)),
)
PERSON = "about a person or an account; no money moves"
PLAN = "a state of the plan; what is collected comes as charge.success"


def event_id(item: Payload, envelope: base.Envelope) -> str:
    """One made of what the event is about; else a hash of the body, which a retry is expected to repeat."""
    name, data = item.identifier("event"), item.optional_at("data")
    for prefix, keys in IDS:
        if data is None or not name.startswith(prefix):
            continue
        parts = [data.optional_name(key) for key in (_refund_keys(data) if prefix == "refund." else keys)]
        if parts[0] and len(made := ":".join([name, *(part or "" for part in parts)])) <= MAX_IDENTIFIER:
            return made
        break
    return naming.body_id(envelope)


def _refund_keys(data: Payload) -> tuple[str, ...]:
    keys = [key for key in ("id", "refund_reference") if data.has(key)]
    return (keys[0], "status") if keys else ("transaction_reference", "amount", "status")


def money(thing: Payload, key: str = "amount", *, positive: bool = False) -> Money:
    """A whole number of hundredths."""
    return thing.minor_money(key, thing.currency("currency"), positive=positive, places=PLACES)


def moment(thing: Payload, *keys: str) -> datetime:
    """The first of these times that is told; the same one is paid_at here and paidAt there."""
    for key in (*keys, "created_at"):
        if found := thing.optional_iso(key):
            return found
    return thing.iso("createdAt")


def references(thing: Payload) -> tuple[Reference, ...]:
    """What may name the invoice, best first. `metadata` is an object, or 0, null or text, which names nothing."""
    named: list[tuple[int, str | None]] = [(1, thing.optional_text("reference"))]
    if notes := thing.optional_at("metadata"):
        custom = notes.optional_items("custom_fields")
        noted = [one for one in custom if one.optional_text("variable_name") in naming.NOTES]
        named += [*naming.noted(notes, names=True), *((0, one.optional_name("value")) for one in noted)]
    return naming.references(named)


def _moved(thing: Payload, identity: str, moved: Money) -> Moved:
    version = micros(moment(thing, "updated_at", "updatedAt"))
    return Moved(object_id=identity, version=version, money=moved, occurred_at=moment(thing))


def payment_of(thing: Payload) -> events.Payment:
    """A transaction, as events and the API have it."""
    payer = thing.optional_at("customer")
    names = [payer.optional_text(key) for key in ("first_name", "last_name")] if payer else []
    status, at = thing.choice("status", PAYMENT), moment(thing, "paid_at", "paidAt")
    return events.Payment(
        object_id=thing.name("id"),
        version=micros(at),
        status=status,
        money=money(thing, positive=True),
        occurred_at=at,
        references=references(thing),
        method=thing.optional_text("channel"),
        payer_name=" ".join(filter(None, names)) or None,
        payer_email=payer.optional_text("email") if payer else None,
        fee=money(thing, "fees") if thing.has("fees") else None,
        failure=thing.optional_text("gateway_response") if status is PaymentStatus.FAILED else None,
    )


def refund_of(thing: Payload) -> list[Record]:
    """A refund as the API lists it. One made for a dispute is told by that dispute."""
    if thing.has("dispute"):
        return []
    refund = events.Refund(
        **_moved(thing, thing.name("id"), money(thing, positive=True)),
        payment_id=thing.name("transaction"),
        status=thing.choice("status", REFUND),
        reason=thing.optional_text("customer_note") or thing.optional_text("merchant_note"),
    )
    return [refund]


def dispute_of(thing: Payload) -> events.Dispute:
    """A dispute; what becomes of it is told by its resolution. `refund_amount` is what is disputed."""
    about = thing.at("transaction")
    held = thing if thing.has("refund_amount") and thing.has("currency") else about
    disputed = money(held, "refund_amount" if held is thing else "amount", positive=True)
    status = thing.choice("status", DISPUTE)
    if status is DisputeStatus.CLOSED and thing.has("resolution"):
        status = thing.choice("resolution", RESOLUTION)
    return events.Dispute(
        **_moved(thing, thing.name("id"), disputed),
        payment_id=about.name("id"),
        status=status,
        deducted=disputed if status is DisputeStatus.LOST else Money(0, disputed.currency),
        reason=thing.optional_text("category"),
        respond_by=thing.optional_iso("dueAt"),
    )


def transfer_of(thing: Payload) -> events.Payout:
    """Money sent to somebody else."""
    return events.Payout(
        **_moved(thing, thing.identifier("transfer_code"), money(thing, positive=True)),
        status=thing.choice("status", TRANSFER),
        fee=money(thing, "fee_charged") if thing.has("fee_charged") else None,
        bank_reference=thing.optional_text("reference"),
        to_third_party=True,
    )


def settlement_of(thing: Payload) -> list[Record]:
    """Collected money sent to the own bank; no webhook tells of it."""
    settled = money(thing, "effective_amount" if thing.has("effective_amount") else "total_amount")
    if settled.minor <= 0:
        return []
    payout = events.Payout(
        object_id=f"settlement:{thing.name('id')}",
        version=micros(moment(thing, "updatedAt", "updated_at")),
        status=thing.choice("status", SETTLEMENT),
        money=settled,
        occurred_at=thing.optional_iso("settlement_date") or moment(thing),
        fee=money(thing, "total_fees") if thing.has("total_fees") else None,
    )
    return [payout]


def invoice_of(thing: Payload, identity: str, currency: str) -> events.MirroredInvoice:
    """A request for money: a subscription's invoice, or one sent to a customer. The money is in charge.success."""
    status, total = thing.choice("status", INVOICE), thing.minor_money("amount", currency, places=PLACES)
    if total.minor < 0:
        raise thing.wrong("amount", "zero or more")
    return events.MirroredInvoice(
        object_id=identity,
        version=micros(moment(thing, "paid_at")) + list(MirroredStatus).index(status),
        status=status,
        number=thing.optional_name("invoice_number") or identity,
        direction="sales",
        total=total,
        due=Money(0, currency) if status is MirroredStatus.PAID else total,
        issued_on=moment(thing).date(),
        due_on=thing.optional_day("due_date"),
        contact_email=thing.text_at("customer", "email"),
    )


def read_request(item: Payload) -> base.Reading:
    """A payment request that a customer was sent."""
    data = item.at("data")
    return [invoice_of(data, data.identifier("request_code"), data.currency("currency"))]


def read_invoice(item: Payload) -> base.Reading:
    """A subscription's invoice. Until it is paid, nothing in it names a currency: the subscription's plan does."""
    data = item.at("data")
    identity, paid = data.identifier("invoice_code"), data.optional_at("transaction")
    if paid and paid.has("currency"):
        return [invoice_of(data, identity, paid.currency("currency"))]
    return base.Fetch(talk=partial(fetch_invoice, data, data.at("subscription").identifier("subscription_code")))


def read_refund(item: Payload) -> base.Reading:
    """A refund event points at its transaction."""
    return base.Fetch(talk=partial(fetch_refunds, item.at("data").identifier("transaction_reference")))


def _data(read: Callable[[Payload], Record]) -> Callable[[Payload], base.Reading]:
    return lambda item: [read(item.at("data"))]


# Asking Paystack. The secret key that signs webhooks is the key of the API.


def _one(url: str, key: str, expected: str) -> lists.Asked:
    """The object asked for, and no other."""
    thing = (yield from lists.get(url)).at("data")
    thing.same(key, expected)
    return thing


def fetch_invoice(data: Payload, subscription: str, _credentials: base.Credentials) -> base.Talk:
    """An invoice in the currency of its subscription's plan."""
    held = yield from _one(f"/subscription/{quote(subscription, safe='')}", "subscription_code", subscription)
    return [invoice_of(data, data.identifier("invoice_code"), held.at("plan").currency("currency"))]


def _more(answer: Payload, items: tuple[Payload, ...], page: int) -> bool:
    """Whether a list has another page. Not every list tells how many it has."""
    meta = answer.optional_at("meta")
    if meta and meta.has("page"):
        meta.same("page", str(page))
    known = meta.optional_integer("pageCount") if meta else None
    return bool(items) and (len(items) >= PER_PAGE if known is None else page < known)


def fetch_refunds(reference: str, _credentials: base.Credentials) -> base.Talk:
    """A transaction with every refund of it."""
    thing = yield from _one(f"/transaction/verify/{quote(reference, safe='')}", "reference", reference)
    payment = payment_of(thing)
    found: list[Record] = [payment]
    for page in range(1, MAX_PAGES + 1):
        params = {"transaction": payment.object_id, "perPage": str(PER_PAGE), "page": str(page)}
        answer = yield from lists.get("/refund", params)
        for one in (items := answer.items("data")):
            one.same("transaction", payment.object_id)
            found += refund_of(one)
        if not _more(answer, items, page):
            return found
    raise MalformedPayload("data", f"goes on past {MAX_PAGES} pages")


LISTED: dict[str, Callable[[Payload], list[Record]]] = {
    "transaction": lambda thing: [payment_of(thing)],
    "refund": refund_of,
    "dispute": lambda thing: [dispute_of(thing)],
    "settlement": settlement_of,
}
LISTS = tuple(LISTED)


def pull(credentials: base.Credentials, cursor: str | None, since: datetime) -> base.PullTalk:
    """A page of one of the lists. The cursor is "begin end list page", or only "begin" at rest."""
    begin, end, kind, page = [*(cursor or stamp(since)).split(" "), "", "", ""][:4]
    end, kind, number = end or stamp(credentials.moment()), kind or LISTS[0], int(page or 1)
    params = {"from": begin, "to": end, "perPage": str(PER_PAGE), "page": page or "1"}
    answer = (yield base.Request(method="GET", url=f"/{kind}", params=params)).payload()
    items = answer.items("data")
    records = [record for item in items for record in LISTED[kind](item)]
    if _more(answer, items, number):
        if number >= MAX_PAGES * 20:
            raise MalformedPayload("data", "goes on without an end")
        return base.Page(records=records, cursor=f"{begin} {end} {kind} {number + 1}", more=True)
    if kind != LISTS[-1]:
        return base.Page(records=records, cursor=f"{begin} {end} {LISTS[LISTS.index(kind) + 1]} 1", more=True)
    # Lists go by the time of creation: look again at what may have changed since.
    again = max(datetime.fromisoformat(begin), datetime.fromisoformat(end) - timedelta(days=3))
    return base.Page(records=records, cursor=stamp(again))


def stamp(at: datetime) -> str:
    """A moment as the API takes it."""
    return at.strftime("%Y-%m-%dT%H:%M:%SZ")


connector = base.Connector(
    slug="paystack",
    title="Paystack",
    docs_url="https://paystack.com/docs/payments/webhooks/",
    checked="2026-02-23",
    signature=Hmac(header="x-paystack-signature", algorithm="sha512"),
    makes_secret=False,
    event_id=event_id,
    event_name=lambda item: item.identifier("event"),
    api=base.Api(base="https://api.paystack.co", authorize=access.bearer("webhook_secret")),
    pull=base.Pull(talk=pull, what="transactions, refunds, disputes and settlements", every_seconds=3600, days=90),
    fields=(
        access.secret(
            "webhook_secret",
            "Secret key",
            "The API's secret key (sk_live_… or sk_test_…): it signs webhooks as well.",
            required=True,
        ),
    ),
    brings=("payments", "refunds", "disputes", "transfers", "settlements", "invoices"),
    steps=(
        "In the Paystack dashboard open Settings, API Keys & Webhooks, and copy the secret key into the connection.",
        "On the same page paste the address {url} as webhook URL; test and live mode have one each.",
        "Paystack sends every event to it: there is nothing to choose.",
    ),
    events={
        "charge.success": _data(payment_of),
        **each("create remind resolve", _data(dispute_of), "charge.dispute."),
        **dict.fromkeys((f"refund.{one}" for one in REFUND if one != "retriable"), read_refund),
        **each("success failed reversed", _data(transfer_of), "transfer."),
        **each("pending success", read_request, "paymentrequest."),
        **each("create update payment_failed", read_invoice, "invoice."),
    },
    ignored={
        "bank.transfer.rejected": "sent back to the payer at once; nothing was collected",
        **each("create disable not_renew expiring_cards", PLAN, "subscription."),
        **each("success failed", PERSON, "customeridentification."),
        **each("success failed", PERSON, "dedicatedaccount.assign."),
        **each("created active", PERSON, "direct_debit.authorization."),
    },
)
