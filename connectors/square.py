"""Square: payments, refunds, disputes, invoices and payouts of shops and invoicing sellers.

Checked against Square's API specification at 5733f66 (2025-08-19) and the Python SDK 46.0.0.
The address is part of what is signed: it is ours as configured, never that of the request. A webhook carries the
whole object; `updated_at` is its version (the envelope's time is not, and published examples even say 1970).
invoice.payment_made holds the invoice and not the payment, which is fetched through the invoice's order.
Unverified: whether a replaced signature key stays good for a while. Two live secrets are accepted in any case.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping, Sequence
from datetime import datetime, timedelta
from functools import partial
from hashlib import sha256
from typing import Literal
from urllib.parse import quote

from connectors import access, base, lists, naming
from connectors.payload import Payload, micros
from connectors.shapes import SENT, Moved, withdrawn
from connectors.signatures import BODY, URL, Hmac
from connectors.tables import each, words
from core import events
from core.errors import CurrencyMismatch, Invalid, MalformedPayload
from core.events import DisputeStatus, MirroredStatus, PaymentStatus, PayoutStatus, Record, Reference, RefundStatus
from core.money import Money

PAYMENT = words(PaymentStatus, PENDING="APPROVED PENDING", SUCCEEDED="COMPLETED", FAILED="CANCELED FAILED")
REFUND = words(RefundStatus, PENDING="PENDING", SUCCEEDED="COMPLETED", FAILED="REJECTED FAILED")
DISPUTE = words(
    DisputeStatus,
    OPEN="INQUIRY_EVIDENCE_REQUIRED EVIDENCE_REQUIRED",
    UNDER_REVIEW="INQUIRY_PROCESSING PROCESSING",
    CLOSED="INQUIRY_CLOSED",
    WON="WON",
    # The seller gave in, which takes the money just the same.
    LOST="LOST ACCEPTED",
)
PAYOUT = {"SENT": PayoutStatus.PENDING, "PAID": PayoutStatus.PAID, "FAILED": PayoutStatus.FAILED}
INVOICE = words(
    MirroredStatus,
    DRAFT="DRAFT",
    OPEN="UNPAID SCHEDULED PAYMENT_PENDING FAILED",
    PARTIALLY_PAID="PARTIALLY_PAID",
    # What was paid back is told by the refunds.
    PAID="PAID PARTIALLY_REFUNDED REFUNDED",
    VOID="CANCELED",
)
EVIDENCE = "evidence given in a dispute; its state comes as dispute.state.updated"
MAX_PAGES = 200
# A payment may be completed a week after it was made, and lists go by the day it was made.
OVERLAP = timedelta(days=8)


def money(item: Payload, key: str, *, positive: bool = False) -> Money:
    """An amount beside its currency, which published payouts call currency_code."""
    given = item.at(key)
    currency = given.currency("currency" if given.has("currency") else "currency_code")
    return given.minor_money("amount", currency, positive=positive)


def added(item: Payload, key: str, amounts: Sequence[Money]) -> Money | None:
    """The sum of the amounts under a key, or None where there are none."""
    try:
        return sum(amounts[1:], amounts[0]) if amounts else None
    except (CurrencyMismatch, Invalid):
        raise item.wrong(key, "amounts of one currency") from None


def fees_of(item: Payload, key: str) -> Money | None:
    """What Square kept; below zero where it gave something back."""
    return added(item, key, [money(fee, "amount_money") for fee in item.items(key)]) if item.has(key) else None


def _moved(item: Payload, amount: Money) -> Moved:
    at, version = item.iso("created_at"), micros(item.iso("updated_at"))
    return Moved(object_id=item.identifier("id"), version=version, money=amount, occurred_at=at)


def payment_of(item: Payload, invoice: tuple[Reference, ...] = ()) -> events.Payment:
    """A payment, with its tip. `invoice` names the invoice whose order it pays."""
    card = item.optional_at("card_details")
    errors = card.items("errors") if card and card.has("errors") else ()
    holder = card.optional_at("card") if card else None
    total = money(item, "total_money" if item.has("total_money") else "amount_money", positive=True)
    named = [(1, item.optional_text("reference_id")), (2, item.optional_text("note"))]
    status = item.choice("status", PAYMENT)
    why = errors[0].optional_text("code") if errors else None
    return events.Payment(
        **_moved(item, total),
        status=status,
        references=invoice + naming.references(named),
        method=(item.optional_text("source_type") or "").lower() or None,
        payer_name=holder.optional_text("cardholder_name") if holder else None,
        payer_email=item.optional_text("buyer_email_address"),
        description=item.optional_text("note"),
        fee=fees_of(item, "processing_fee"),
        failure=(why or item.text("status")).lower() if status is PaymentStatus.FAILED else None,
    )


def refund_of(item: Payload) -> Record:
    """A refund; one that belongs to no payment is money sent to somebody."""
    status, moved = item.choice("status", REFUND), _moved(item, money(item, "amount_money", positive=True))
    if item.optional_boolean("unlinked") and not item.has("payment_id"):
        return events.Payout(**moved, status=SENT[status], to_third_party=True)
    return events.Refund(
        **moved,
        payment_id=item.identifier("payment_id"),
        status=status,
        reason=item.optional_text("reason"),
    )


def dispute_of(item: Payload) -> events.Dispute:
    """A dispute. Older API versions list its payments and write its id as dispute_id."""
    amount, status = money(item, "amount_money", positive=True), item.choice("state", DISPUTE)
    paid = item.optional_at("disputed_payment") or next(iter(item.items("disputed_payments")), item)
    return events.Dispute(
        object_id=item.identifier("id" if item.has("id") else "dispute_id"),
        version=micros(item.iso("updated_at")),
        payment_id=paid.identifier("payment_id"),
        status=status,
        money=amount,
        deducted=amount if status is DisputeStatus.LOST else Money(0, amount.currency),
        occurred_at=item.iso("created_at"),
        reason=(item.optional_text("reason") or "").lower().replace("_", " ") or None,
        respond_by=item.optional_iso("due_at"),
    )


def payouts_of(item: Payload) -> list[Record]:
    """A payout. With a negative amount Square takes money from the bank, which is no payout: the bank tells of it."""
    amount = money(item, "amount_money")
    status, moved = item.choice("status", PAYOUT), _moved(item, amount)
    if amount.minor <= 0:
        return []
    payout = events.Payout(
        **moved,
        status=status,
        fee=fees_of(item, "payout_fee"),
        bank_reference=item.optional_text("end_to_end_id"),
    )
    return [payout]


def invoices_of(item: Payload) -> list[Record]:
    """An invoice as Square keeps it. A draft without a request for payment has no amount, and is passed over."""
    requests = item.optional_items("payment_requests")
    total = added(item, "payment_requests", [money(one, "computed_amount_money") for one in requests])
    if total is None:
        return []
    paid = [-money(one, "total_completed_amount_money") for one in requests if one.has("total_completed_amount_money")]
    left = added(item, "payment_requests", [total, *paid])
    status = item.choice("status", INVOICE)
    if left is None or left.minor < 0 or status in {MirroredStatus.PAID, MirroredStatus.VOID}:
        left = Money(0, total.currency)
    if total.minor < 0:
        raise item.wrong("payment_requests", "amounts that are not below zero")
    contact = item.optional_at("primary_recipient")
    names = [contact.optional_text(key) for key in ("given_name", "family_name")] if contact else []
    company = contact.optional_text("company_name") if contact else None
    invoice = events.MirroredInvoice(
        object_id=item.identifier("id"),
        version=item.integer("version"),
        status=status,
        number=item.optional_identifier("invoice_number"),
        direction="sales",
        total=total,
        due=left,
        due_on=max((day for one in requests if (day := one.optional_day("due_date"))), default=None),
        contact_name=company or " ".join(filter(None, names)) or None,
        contact_email=contact.optional_text("email_address") if contact else None,
        url=item.optional_text("public_url"),
    )
    return [invoice]


def _reads(name: str, read: Callable[[Payload], Record | list[Record]]) -> Callable[[Payload], base.Reading]:
    """A reader of the object of this name."""

    def reader(item: Payload) -> base.Reading:
        found = read(item.at("data", "object", name))
        return found if isinstance(found, list) else [found]

    return reader


def read_paid_invoice(item: Payload) -> base.Reading:
    """An invoice that something was paid on: which payment it was is fetched."""
    item.at("data", "object", "invoice").identifier("order_id")
    return base.Fetch(talk=partial(fetch_payments, item))


def fetch_payments(item: Payload, credentials: base.Credentials) -> base.Talk:
    """The invoice, and the payments of its order, which name it."""
    if credentials.external_id not in (None, item.identifier("merchant_id")):
        raise item.wrong("merchant_id", "the connection's merchant")
    invoice = item.at("data", "object", "invoice")
    order_id, number = invoice.identifier("order_id"), invoice.optional_identifier("invoice_number")
    order = (yield base.Request(method="GET", url=f"/v2/orders/{quote(order_id, safe='')}")).payload().at("order")
    order.same("id", order_id)
    named = (Reference(0, number),) if number else ()
    found = invoices_of(invoice)
    tenders = order.optional_items("tenders")
    for payment_id in sorted(
        {tender.identifier("payment_id" if tender.has("payment_id") else "id") for tender in tenders}
    ):
        answer = yield base.Request(method="GET", url=f"/v2/payments/{quote(payment_id, safe='')}")
        payment = answer.payload().at("payment")
        payment.same("id", payment_id)
        payment.same("order_id", order_id)
        found.append(payment_of(payment, named))
    return found


def read_account(item: Payload) -> base.Reading:
    """A bank account that payouts go to."""
    account = item.at("data", "object", "bank_account")
    suffix = account.optional_text("account_number_suffix")
    bank = account.optional_text("bank_name")
    state = events.BankAccount(
        object_id=account.identifier("id"),
        version=account.optional_integer("version") or 0,
        name=bank or account.optional_text("holder_name") or account.identifier("id"),
        currency=account.currency("currency"),
        number=suffix,
        kind=(account.optional_text("account_type") or "").lower() or None,
        available=account.text("status") != "DISABLED",
    )
    return [state]


def read_revoked(item: Payload) -> base.Reading:
    """Somebody withdrew our access."""
    revocation = item.at("data", "object", "revocation")
    who, at = (revocation.optional_text("revoker_type") or "somebody").lower(), micros(revocation.iso("revoked_at"))
    return withdrawn("Square", item.identifier("merchant_id"), at, by=who)


def _one(read: Callable[[Payload], Record]) -> Callable[[Payload], list[Record]]:
    return lambda item: [read(item)]


# What is listed, one after another: path, the key of the objects, and how each is read.
LISTS: Mapping[str, tuple[str, Callable[[Payload], list[Record]]]] = {
    "payments": ("/v2/payments", _one(payment_of)),
    "refunds": ("/v2/refunds", _one(refund_of)),
    "disputes": ("/v2/disputes", _one(dispute_of)),
    "payouts": ("/v2/payouts", payouts_of),
}


# Entries of a payout: what each is for, where its details are, and the id that names it. All others adjust.
PARTS: Mapping[str, tuple[Literal["payment", "refund", "dispute"], str, str]] = {
    "CHARGE": ("payment", "type_charge_details", "payment_id"),
    "REFUND": ("refund", "type_refund_details", "refund_id"),
    "DISPUTE": ("dispute", "type_dispute_details", "dispute_id"),
}


def entry_of(item: Payload, payout: events.Payout) -> events.PayoutItem:
    """An entry of a payout. What was kept of it is what lies between its gross and its net amount."""
    gross, net = money(item, "gross_amount_money"), money(item, "net_amount_money")
    if {gross.currency, net.currency} != {payout.money.currency}:
        raise item.wrong("net_amount_money", "the currency of the payout")
    at, known = item.optional_iso("effective_at") or payout.occurred_at, PARTS.get(item.optional_text("type") or "")
    details = item.optional_at(known[1]) if known else None
    subject = details.optional_identifier(known[2]) if details and known else None
    return events.PayoutItem(
        object_id=item.identifier("id"),
        version=micros(at),
        payout_id=item.same("payout_id", payout.object_id),
        kind=known[0] if known and subject else "adjustment",
        subject_id=subject,
        money=gross,
        fee=gross - net,
        occurred_at=at,
    )


def _entries(payout_id: str, cursor: str) -> base.Request:
    path = f"/v2/payouts/{quote(payout_id, safe='')}/payout-entries"
    return base.Request(method="GET", url=path, params={"limit": "100", **lists.given(cursor=cursor)})


def _with_entries(payouts: Sequence[Record]) -> base.Talk:
    """Payouts, each with its entries once it was paid."""
    found: list[Record] = []
    for payout in payouts:
        found.append(payout)
        if not isinstance(payout, events.Payout) or payout.status is not PayoutStatus.PAID:
            continue
        listed = yield from lists.pages(
            partial(_entries, payout.object_id),
            lambda page: page.optional_text("cursor"),
            where="cursor",
            most=MAX_PAGES,
        )
        found += [entry_of(one, payout) for page in listed for one in page.optional_items("payout_entries")]
    return found


def pull(credentials: base.Credentials, cursor: str | None, since: datetime) -> base.PullTalk:
    """One page. The cursor says which list, from when, what the provider's own cursor is and when the pull began."""
    name, begin, began, page = (cursor or f"payments {since.isoformat()} - ").split(" ", 3)
    began = credentials.moment().isoformat() if began == "-" else began
    path, read = LISTS[name]
    params = {
        "limit": "100",
        **lists.given(cursor=page),
        **({"begin_time": begin, "sort_order": "ASC"} if name != "disputes" else {}),
    }
    answer = (yield base.Request(method="GET", url=path, params=params)).payload()
    found = [record for one in (answer.optional_items(name)) for record in read(one)]
    following = answer.optional_text("cursor") or ""
    if following and following == page:
        raise MalformedPayload("cursor", "leads in a circle")
    if name == "payouts":
        found = yield from _with_entries(found)
    if following:
        return base.Page(records=found, cursor=f"{name} {begin} {began} {following}", more=True)
    left = list(LISTS)[list(LISTS).index(name) + 1 :]
    if left:
        return base.Page(records=found, cursor=f"{left[0]} {begin} {began} ", more=True)
    # The next pull lists from where this one began, less the overlap.
    return base.Page(records=found, cursor=f"payments {(datetime.fromisoformat(began) - OVERLAP).isoformat()} - ")


def _subscriptions() -> Generator[base.Request, base.Response, list[Payload]]:
    listed = yield from lists.pages(
        lambda cursor: base.Request(
            method="GET",
            url="/v2/webhooks/subscriptions",
            params={"include_disabled": "true", **lists.given(cursor=cursor)},
        ),
        lambda page: page.optional_text("cursor"),
        where="cursor",
        most=MAX_PAGES,
    )
    return [one for page in listed for one in page.optional_items("subscriptions")]


def register(credentials: base.Credentials, url: str) -> base.RegisterTalk:
    """The subscription of this address. The access token must be the application's own, not a seller's."""
    wanted = sorted(EVENTS)
    for one in (yield from _subscriptions()):
        if one.optional_text("notification_url") != url:
            continue
        have = one.texts("event_types")
        if one.optional_boolean("enabled") and have.issuperset(wanted):
            return base.Registration(state="kept")
        # Types that somebody else subscribed stay.
        types = sorted(have.union(wanted))
        path = f"/v2/webhooks/subscriptions/{quote(one.identifier('id'), safe='')}"
        yield base.Request(method="PUT", url=path, json={"subscription": {"enabled": True, "event_types": types}})
        return base.Registration(state="repaired")
    key = sha256(f"{url} {credentials.moment().isoformat()}".encode()).hexdigest()[:40]
    made = {"name": "Ledgerwire", "enabled": True, "event_types": wanted, "notification_url": url}
    answer = yield base.Request(
        method="POST", url="/v2/webhooks/subscriptions", json={"idempotency_key": key, "subscription": made}
    )
    return base.Registration(state="created", secret=answer.payload().at("subscription").identifier("signature_key"))


READ_INVOICE = _reads("invoice", invoices_of)
EVENTS: Mapping[str, Callable[[Payload], base.Reading]] = {
    **each("payment.created payment.updated", _reads("payment", payment_of)),
    **each("refund.created refund.updated", _reads("refund", refund_of)),
    **each("dispute.created dispute.state.updated", _reads("dispute", dispute_of)),
    "invoice.payment_made": read_paid_invoice,
    **each("invoice.created invoice.published invoice.updated invoice.scheduled_charge_failed", READ_INVOICE),
    **each("invoice.refunded invoice.canceled", READ_INVOICE),
    **each("payout.sent payout.paid payout.failed", _reads("payout", payouts_of)),
    **each("bank_account.created bank_account.verified bank_account.disabled", read_account),
    "oauth.authorization.revoked": read_revoked,
}

connector = base.Connector(
    slug="square",
    title="Square",
    docs_url="https://developer.squareup.com/docs/webhooks/overview",
    checked="2025-08-19",
    signature=Hmac(header="X-Square-HmacSha256-Signature", encoding="base64", signed=(URL, BODY)),
    # Square makes the signature key of a subscription.
    makes_secret=False,
    event_id=lambda item, _envelope: item.identifier("event_id"),
    event_name=lambda item: item.identifier("type"),
    external_id=lambda item: item.optional_identifier("merchant_id"),
    api=base.Api(base="https://connect.squareup.com", authorize=access.bearer("access_token", seconds=3600)),
    pull=base.Pull(talk=pull, what="payments, refunds, disputes and payouts with their entries"),
    register=register,
    brings=("payments", "refunds", "disputes", "payouts", "invoices"),
    fields=(
        access.secret("webhook_secret", "Signature key", "Of the webhook subscription."),
        access.secret("access_token", "Access token", "From the application's credentials.", required=True),
    ),
    steps=(
        "In Square's developer console, open the application and copy its access token into the connection.",
        "Under Webhooks, Subscriptions, add one with the address {url}, letter by letter: it is part of the signature.",
        "Choose the events of payments, refunds, disputes, invoices, payouts, bank accounts and OAuth.",
        "Copy the subscription's signature key into the connection, and send a test event.",
    ),
    events=EVENTS,
    ignored={
        "dispute.evidence.created": EVIDENCE,
        "dispute.evidence.deleted": EVIDENCE,
        "invoice.deleted": "only a draft can be deleted, and nothing was owed on it",
        "webhooks.test_notification": "Square's test, sent on request",
    },
    aliases={
        "dispute.state.changed": "dispute.state.updated",
        "dispute.evidence.added": "dispute.evidence.created",
        "dispute.evidence.removed": "dispute.evidence.deleted",
    },
)
