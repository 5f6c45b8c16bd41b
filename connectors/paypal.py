"""PayPal: payments (captures and the older sales), refunds, disputes, payouts and PayPal's own invoices.

Checked against PayPal's API specifications at ec4d8f3 (2024-02-03) and its developer pages. The signature covers a
CRC-32 of the body, which can be forged to fit another body, so nothing in a webhook is believed: it only says which
object to ask PayPal for. The id of a capture, sale or refund is the key of its money. Decided where pages are silent:
what a lost dispute costs comes as the reversal or refund of its capture and is not deducted twice; an invoice may stand
in the resource itself or below it; a transmission is good for 30 days, as long as PayPal lists its event.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import TypeVar
from urllib.parse import quote, urlsplit

from connectors.base import (
    Api,
    Authorization,
    AuthorizationTalk,
    Connector,
    Credentials,
    Fetch,
    Field,
    Page,
    Pull,
    PullTalk,
    Reader,
    RegisterTalk,
    Registration,
    Request,
    Talk,
)
from connectors.payload import Payload, micros
from connectors.signatures import RsaWithCertificate
from core import events
from core.errors import MalformedPayload
from core.events import (
    ConnectionHealth,
    DisputeStatus,
    MirroredStatus,
    PaymentStatus,
    PayoutStatus,
    Record,
    RefundStatus,
)
from core.money import Money

T = TypeVar("T")
KEPT = timedelta(days=29)
PAYMENT = {
    "PENDING": PaymentStatus.PENDING,
    "DECLINED": PaymentStatus.FAILED,
    "DENIED": PaymentStatus.FAILED,
    "FAILED": PaymentStatus.FAILED,
    "COMPLETED": PaymentStatus.SUCCEEDED,
    # What was given back is told by the refunds; the payment itself did succeed.
    "PARTIALLY_REFUNDED": PaymentStatus.SUCCEEDED,
    "REFUNDED": PaymentStatus.SUCCEEDED,
    "REVERSED": PaymentStatus.SUCCEEDED,
}
REFUND = {
    "PENDING": RefundStatus.PENDING,
    "CANCELLED": RefundStatus.FAILED,
    "FAILED": RefundStatus.FAILED,
    "COMPLETED": RefundStatus.SUCCEEDED,
}
DISPUTE = {
    "OPEN": DisputeStatus.OPEN,
    "WAITING_FOR_BUYER_RESPONSE": DisputeStatus.OPEN,
    "WAITING_FOR_SELLER_RESPONSE": DisputeStatus.OPEN,
    "OTHER": DisputeStatus.OPEN,
    "UNDER_REVIEW": DisputeStatus.UNDER_REVIEW,
    "RESOLVED": DisputeStatus.CLOSED,
}
OUTCOME = {
    "RESOLVED_BUYER_FAVOUR": DisputeStatus.LOST,
    "ACCEPTED": DisputeStatus.LOST,
    "RESOLVED_SELLER_FAVOUR": DisputeStatus.WON,
    # PayPal pays the buyer out of its own pocket.
    "RESOLVED_WITH_PAYOUT": DisputeStatus.WON,
    "CANCELED_BY_BUYER": DisputeStatus.CLOSED,
    "DENIED": DisputeStatus.CLOSED,
    "NONE": DisputeStatus.CLOSED,
}
PAYOUT = {
    **dict.fromkeys(("NEW", "PENDING", "ONHOLD", "UNCLAIMED"), PayoutStatus.PENDING),
    **dict.fromkeys(("FAILED", "BLOCKED", "DENIED", "CANCELED"), PayoutStatus.FAILED),
    "SUCCESS": PayoutStatus.PAID,
    **dict.fromkeys(("RETURNED", "REFUNDED", "REVERSED"), PayoutStatus.REVERSED),
}
INVOICE = {
    **dict.fromkeys(("DRAFT", "SCHEDULED"), MirroredStatus.DRAFT),
    **dict.fromkeys(("SENT", "UNPAID", "PAYMENT_PENDING"), MirroredStatus.OPEN),
    "PARTIALLY_PAID": MirroredStatus.PARTIALLY_PAID,
    **dict.fromkeys(("PAID", "MARKED_AS_PAID", "REFUNDED", "PARTIALLY_REFUNDED", "MARKED_AS_REFUNDED"),
                    MirroredStatus.PAID),
    "CANCELLED": MirroredStatus.VOID,
}  # fmt: skip


def authorize(credentials: Credentials) -> AuthorizationTalk:
    """Trade the app's client id and secret for a bearer token, good for some hours."""
    pair = f"{credentials.settings.get('client_id', '')}:{credentials.secret('client_secret')}"
    answer = yield Request(
        method="POST",
        url="/v1/oauth2/token",
        headers={"Authorization": f"Basic {base64.b64encode(pair.encode()).decode()}"},
        form={"grant_type": "client_credentials"},
        authorized=False,
    )
    token = answer.payload()
    return Authorization(
        headers={"Authorization": f"Bearer {token.text('access_token')}"},
        expires_in_seconds=token.integer("expires_in"),
    )


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
    named = [(rank, item.optional_identifier(key)) for rank, key in enumerate(keys)]
    return tuple(events.Reference(rank, text) for rank, text in named if text)


def capture_of(item: Payload) -> list[Record]:
    """A payment that was captured."""
    money, status = amount_of(item, "amount"), item.choice("status", PAYMENT)
    details = item.optional_at("status_details")
    payment = events.Payment(
        object_id=item.identifier("id"),
        version=version(item),
        status=status,
        money=money,
        occurred_at=item.iso("create_time"),
        references=references(item, "invoice_id", "custom_id"),
        method="paypal",
        fee=fee_of(item.optional_at("seller_receivable_breakdown"), "paypal_fee", money.currency),
        failure=details.optional_text("reason") if details and status is PaymentStatus.FAILED else None,
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
        object_id=item.identifier("id"),
        version=version(item),
        payment_id=payment_id,
        status=item.choice("status", REFUND),
        money=amount_of(item, "amount"),
        occurred_at=item.iso("create_time"),
        reason=item.optional_text("note_to_payer"),
    )
    return [refund]


def sale_of(item: Payload) -> list[Record]:
    """A payment of the older API; one that was reversed is also given back in full."""
    money, state = amount_of(item, "amount"), item.choice("state", _small(PAYMENT))
    payment = events.Payment(
        object_id=item.identifier("id"),
        version=version(item),
        status=state,
        money=money,
        occurred_at=item.iso("create_time"),
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
        object_id=item.identifier("id"),
        version=version(item),
        payment_id=item.identifier("sale_id"),
        status=item.choice("state", _small(REFUND)),
        money=amount_of(item, "amount"),
        occurred_at=item.iso("create_time"),
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
        object_id=item.identifier("dispute_id"),
        version=version(item),
        payment_id=disputed[0].identifier("seller_transaction_id"),
        status=status,
        money=money,
        deducted=Money(0, money.currency),
        occurred_at=item.iso("create_time"),
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
    recipients = item.items("primary_recipients") if item.has("primary_recipients") else ()
    contact = recipients[0].optional_at("billing_info") if recipients else None
    name = contact.optional_at("name") if contact else None
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
        contact_name=(name.optional_text("full_name") if name else None),
        contact_email=contact.optional_text("email_address") if contact else None,
        url=metadata.optional_text("recipient_view_url"),
    )
    return [mirrored]


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


def _check_merchant(item: Payload, credentials: Credentials) -> None:
    payee = item.optional_at("payee")
    if payee and payee.has("merchant_id") and credentials.external_id:
        payee.same("merchant_id", credentials.external_id)


def fetch_object(kind: Kind, identity: str, credentials: Credentials) -> Talk:
    """Ask PayPal for the object that an event is about."""
    item = (yield Request(method="GET", url=kind.path + quote(identity, safe=""))).payload()
    item.same(kind.id_key, identity)
    _check_merchant(item, credentials)
    return kind.records(item)


def _asks(kind: Kind) -> Reader:
    def read(item: Payload) -> Fetch:
        chosen, subject = subject_of(kind, item)
        return Fetch(talk=partial(fetch_object, chosen, subject.identifier(chosen.id_key)))

    return read


def fetch_state(health: ConnectionHealth, identity: str, name: str, credentials: Credentials) -> Talk:
    """Ask PayPal for the event itself: there is no other object that says so."""
    event = (yield Request(method="GET", url=f"/v1/notifications/webhooks-events/{quote(identity, safe='')}")).payload()
    event.same("id", identity)
    event.same("event_type", name)
    merchant = event.at("resource").identifier("merchant_id")
    if credentials.external_id not in (None, merchant):
        raise MalformedPayload("resource.merchant_id", "is not the connection's merchant")
    state = events.ConnectionState(
        object_id=merchant,
        version=micros(event.iso("create_time")),
        health=health,
        reason="access withdrawn at PayPal" if health is ConnectionHealth.REVOKED else None,
    )
    return [state]


def _state(health: ConnectionHealth) -> Reader:
    return lambda item: Fetch(
        talk=partial(fetch_state, health, item.identifier("id"), item.identifier("event_type"))
    )  # fmt: skip


def pull_events(credentials: Credentials, cursor: str | None, since: datetime) -> PullTalk:
    """One page of the events that PayPal keeps for 30 days. The cursor is the next page, or where the next pull begins.

    What PayPal lists is its own word, unlike what is posted to us.
    """
    now = credentials.moment()
    if cursor and cursor.startswith("/"):
        end, _, url = cursor[1:].partition("/")
        request = Request(method="GET", url=f"/{url}")
    else:
        begin = max(datetime.fromisoformat(cursor) if cursor else since, now - KEPT)
        end = _stamp(now)
        params = {"page_size": "100", "start_time": _stamp(begin), "end_time": end}
        request = Request(method="GET", url="/v1/notifications/webhooks-events", params=params)
    page, found = (yield request).payload(), list[Record]()
    for event in page.items("events"):
        if (kind := KINDS.get(event.identifier("event_type"))) is None:
            continue
        chosen, subject = subject_of(kind, event)
        if chosen.whole:
            _check_merchant(subject, credentials)
            found += chosen.records(subject)
        else:
            found += yield from fetch_object(chosen, subject.identifier(chosen.id_key), credentials)
    links = page.items("links") if page.has("links") else ()
    following = next((one.text("href") for one in links if one.optional_text("rel") == "next"), None)
    if following is None:
        return Page(records=found, cursor=end)
    parts = urlsplit(following)
    return Page(records=found, cursor=f"/{end}{parts.path}?{parts.query}", more=True)


def _stamp(moment: datetime) -> str:
    return f"{moment:%Y-%m-%dT%H:%M:%SZ}"


def register(credentials: Credentials, url: str) -> RegisterTalk:
    """The webhook of this address, with every event that is mapped. Its id is what signatures are checked with."""
    wanted = sorted({*KINDS, *STATES})
    listed = (yield Request(method="GET", url="/v1/notifications/webhooks")).payload()
    for one in listed.items("webhooks"):
        if one.optional_text("url") != url:
            continue
        have = {kind.optional_text("name") for kind in one.items("event_types")}
        identity = one.identifier("id")
        renewed = identity if credentials.secrets.get("webhook_secret") != identity else None
        if "*" in have or have.issuperset(wanted):
            return Registration(state="repaired" if renewed else "kept", secret=renewed)
        types = [{"name": name} for name in sorted({*wanted, *(name for name in have if name)})]
        change = [{"op": "replace", "path": "/event_types", "value": types}]
        yield Request(method="PATCH", url=f"/v1/notifications/webhooks/{quote(identity, safe='')}", json=change)
        return Registration(state="repaired", secret=renewed)
    made = {"url": url, "event_types": [{"name": name} for name in wanted]}
    answer = yield Request(method="POST", url="/v1/notifications/webhooks", json=made)
    return Registration(state="created", secret=answer.payload().identifier("id"))


def merchant_of(item: Payload) -> str | None:
    """The seller's merchant id, where the event names it."""
    resource = item.optional_at("resource")
    payee = resource.optional_at("payee") if resource else None
    if payee and payee.has("merchant_id"):
        return payee.identifier("merchant_id")
    return resource.optional_identifier("merchant_id") if resource else None


def _small(meanings: Mapping[str, T]) -> dict[str, T]:
    return {word.lower(): meaning for word, meaning in meanings.items()}


def _each(area: str, names: str, meaning: T) -> dict[str, T]:
    """The same meaning for several events of an area."""
    return {f"{area}.{name}": meaning for name in names.split()}


KINDS: Mapping[str, Kind] = {
    **_each("PAYMENT.CAPTURE", "COMPLETED PENDING DENIED DECLINED", CAPTURE),
    **_each("PAYMENT.CAPTURE", "REFUNDED REVERSED", CAPTURE_REFUND),
    **_each("PAYMENT.SALE", "COMPLETED PENDING DENIED", SALE),
    **_each("PAYMENT.SALE", "REFUNDED REVERSED", SALE_REFUND),
    **_each("CUSTOMER.DISPUTE", "CREATED UPDATED RESOLVED", A_DISPUTE),
    **_each("INVOICING.INVOICE", "CREATED UPDATED SCHEDULED SENT PAID CANCELLED REFUNDED", AN_INVOICE),
    **_each(
        "PAYMENT.PAYOUTS-ITEM",
        "SUCCEEDED FAILED BLOCKED CANCELED DENIED HELD REFUNDED RETURNED UNCLAIMED",
        A_PAYOUT,
    ),
}
STATES: Mapping[str, Reader] = {
    "MERCHANT.ONBOARDING.COMPLETED": _state(ConnectionHealth.ACTIVE),
    "MERCHANT.PARTNER-CONSENT.REVOKED": _state(ConnectionHealth.REVOKED),
}
PLAN = "a state of the plan; what is collected comes as a sale or a capture"

connector = Connector(
    slug="paypal",
    title="PayPal",
    docs_url="https://developer.paypal.com/api/rest/webhooks/",
    checked="2024-02-03",
    signature=RsaWithCertificate(prefix="Paypal", domain=".paypal.com"),
    makes_secret=False,
    event_id=lambda item, _envelope: item.identifier("id"),
    event_name=lambda item: item.identifier("event_type"),
    external_id=merchant_of,
    api=Api(base="https://api-m.paypal.com", authorize=authorize),
    pull=Pull(talk=pull_events, what="events of payments, disputes, invoices and payouts", days=29),
    register=register,
    brings=("payments", "refunds", "disputes", "payouts", "invoices"),
    fields=(
        Field(
            name="webhook_secret", label="Webhook id", secret=True, required=True,
            help="PayPal shows it once the webhook is made.",
        ),
        Field(name="client_id", label="Client id", help="Of the app.", required=True),
        Field(name="client_secret", label="Client secret", help="Of the app.", secret=True, required=True),
    ),
    steps=(
        "In PayPal's developer dashboard, under Apps & Credentials, open or make an app and choose Live.",
        "Copy its client id and secret into the connection; the merchant id, if you know it, is the account.",
        "In the app, add a webhook with the address {url} and all events.",
        "Copy the webhook's id into the connection.",
    ),
    events={**{name: _asks(kind) for name, kind in KINDS.items()}, **STATES},
    ignored={
        **_each("PAYMENT.AUTHORIZATION", "CREATED VOIDED", "an authorisation moves no money; the capture does"),
        **_each("CHECKOUT.ORDER", "APPROVED COMPLETED", "an order moves no money; its captures come by themselves"),
        **_each("PAYMENT.PAYOUTSBATCH", "PROCESSING SUCCESS DENIED", "each item of the batch comes by itself"),
        **_each(
            "BILLING.SUBSCRIPTION",
            "CREATED ACTIVATED UPDATED EXPIRED CANCELLED SUSPENDED RE-ACTIVATED PAYMENT.FAILED",
            PLAN,
        ),
    },
)  # fmt: skip
