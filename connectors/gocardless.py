"""GoCardless: direct debits, instant bank payments, their refunds and payouts, and lines of payment accounts.

Checked against the Python SDK 3.22.0 (d5c83f3, 2026-08-13) and GoCardless' developer pages.
One delivery brings many events, and an event brings ids only: what it points at is fetched, and the moment the talk
began is the version of what came. A payment may fail or be charged back after it was confirmed, and be collected
again after that; so its events are listed beside it, and one dispute states how much of it is gone at present.
Unverified: the actions of payment accounts' lines. Whatever the action, the line is fetched.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, time, timedelta
from decimal import ROUND_FLOOR, Decimal
from functools import partial
from typing import Literal, TypeAlias

from connectors import access, base, lists, naming
from connectors.payload import Payload, micros
from connectors.shapes import SENT, Moved, withdrawn
from connectors.signatures import Hmac
from connectors.tables import each, words
from core import events
from core.errors import MalformedPayload
from core.events import DisputeStatus, PaymentStatus, PayoutStatus, Record, Reference, RefundStatus, TransactionStatus
from core.money import Money

Fetching: TypeAlias = Callable[[str, base.Credentials], base.Talk]

PAYMENT = words(
    PaymentStatus,
    PENDING="pending_customer_approval pending_submission submitted",
    # What was taken back is told by the dispute; the payment itself did succeed.
    SUCCEEDED="confirmed paid_out charged_back",
    FAILED="cancelled customer_approval_denied failed",
)
REFUND = words(
    RefundStatus,
    PENDING="created pending_submission submitted",
    FAILED="cancelled",
    SUCCEEDED="paid",
    # The payer's bank did not take it.
    RETURNED="bounced funds_returned",
)
PAYOUT = {"pending": PayoutStatus.PENDING, "paid": PayoutStatus.PAID, "bounced": PayoutStatus.REVERSED}
SIGN = {"credit": 1, "debit": -1}
LINE = "payment_account_transactions"
# Resources whose events move none of the seller's money, whatever their action, and why.
QUIET = {
    "billing_requests": "a request to the payer; what is collected comes as payments",
    "creditors": "the seller's own standing with GoCardless",
    "customers": "contact details, which are not kept here",
    "exports": "a report that was asked for",
    "instalment_schedules": "a plan; what is collected comes as payments",
    "mandates": "a permission to collect; what is collected comes as payments",
    "payer_authorisations": "a permission to collect; what is collected comes as payments",
    "scheme_identifiers": "the name on the payer's statement",
    "subscriptions": "a plan; what is collected comes as payments",
}
TENTHS = re.compile(r"-?[0-9]{1,15}(\.[0-9]{1,4})?")
MAX_PAGES = 20
# Events of a pull's page: each object in it costs one or two requests.
PULL_EVENTS = 20
OVERLAP = timedelta(hours=1)
# GoCardless answers 410 for the items of a payout that is six months old.
ITEMS_KEPT = timedelta(days=170)


def event_name(item: Payload) -> str:
    """Resource and action; the resource alone where no action of it matters."""
    resource, action = item.identifier("resource_type"), item.identifier("action")
    return resource if resource in QUIET or resource == LINE else f"{resource}.{action}"


def organisation_of(item: Payload) -> str | None:
    """The seller an event belongs to, which is named where a partner's app serves many."""
    links = item.optional_at("links")
    return links.optional_identifier("organisation") if links else None


def _get(path: str, key: str, identity: str) -> lists.Asked:
    """The object of this id. Raises MalformedPayload for another one."""
    found = (yield from lists.get(f"{path}/{lists.step(identity)}")).at(key)
    found.same("id", identity)
    return found


def _told_of(payment: str) -> lists.Listing:
    """Every event of a payment. A list that leads in a circle or does not end is refused."""
    asked = {"payment": payment, "resource_type": "payments", "limit": "500"}
    listed = yield from lists.pages(
        lambda after: base.Request(method="GET", url="/events", params={**asked, **lists.given(after=after)}),
        lambda page: page.at("meta", "cursors").optional_text("after"),
        where="meta.cursors.after",
        most=MAX_PAGES,
    )
    return [one for page in listed for one in page.items("events") if one.text_at("links", "payment") == payment]


def _references(payment: Payload) -> tuple[Reference, ...]:
    named = [(1, payment.optional_text("reference")), (2, payment.optional_text("description"))]
    return naming.references([*naming.noted(payment.optional_at("metadata")), *named])


def _moved(thing: Payload, version: int, money: Money) -> Moved:
    return Moved(object_id=thing.identifier("id"), version=version, money=money, occurred_at=thing.iso("created_at"))


def fetch_payment(identity: str, credentials: base.Credentials) -> base.Talk:
    """A payment, and what of it is gone again where it ever failed late or was charged back."""
    payment = yield from _get("/payments", "payments", identity)
    told = yield from _told_of(identity)
    status, version = payment.text("status"), micros(credentials.moment())
    actions = {one.text("action") for one in told}
    succeeded = bool(actions & {"confirmed", "paid_out"})
    meaning = payment.choice("status", PAYMENT)
    gone = status == "charged_back" or (status == "failed" and succeeded)
    money = payment.minor_money("amount", payment.currency("currency"), positive=True)
    # The newest event of a kind says why.
    why = {
        one.text("action"): one.optional_at("details") for one in sorted(told, key=lambda one: one.iso("created_at"))
    }
    details = why.get(status)
    reason = ((details.optional_text("cause") if details else None) or status).replace("_", " ")
    records: list[Record] = [
        events.Payment(
            **_moved(payment, version, money),
            status=PaymentStatus.SUCCEEDED if gone else meaning,
            references=_references(payment),
            method=payment.optional_text("scheme"),
            bank_reference=payment.optional_text("reference"),
            description=payment.optional_text("description"),
            failure=reason if meaning is PaymentStatus.FAILED and not gone else None,
        )
    ]
    if gone or "charged_back" in actions or (succeeded and "failed" in actions):
        records.append(
            events.Dispute(
                object_id=f"{identity}:taken-back",
                version=version,
                payment_id=identity,
                # One rung for all of it: the newest fetch says how much is gone, also after another collection.
                status=DisputeStatus.CLOSED,
                money=money,
                deducted=money if gone else Money(0, money.currency),
                occurred_at=payment.iso("created_at"),
                reason=reason if gone else "collected again, or the chargeback was cancelled",
            )
        )
    return records


def fetch_refund(identity: str, credentials: base.Credentials) -> base.Talk:
    """A refund of a payment, or money sent to a payer for no payment in particular."""
    refund = yield from _get("/refunds", "refunds", identity)
    status, version = refund.choice("status", REFUND), micros(credentials.moment())
    money = refund.minor_money("amount", refund.currency("currency"), positive=True)
    payment, moved = refund.at("links").optional_identifier("payment"), _moved(refund, version, money)
    if payment is None:
        return [events.Payout(**moved, status=SENT[status], to_third_party=True)]
    return [events.Refund(**moved, payment_id=payment, status=status, reason=refund.optional_text("reference"))]


# Items of a payout: what each is, and the link to what it is about. The others are GoCardless' and its partners' fees.
PARTS: Mapping[str, tuple[Literal["payment", "refund", "dispute"], str]] = {
    "payment_paid_out": ("payment", "payment"),
    "payment_failed": ("dispute", "payment"),
    "payment_charged_back": ("dispute", "payment"),
    "payment_refunded": ("refund", "refund"),
    "refund": ("refund", "refund"),
    "refund_funds_returned": ("refund", "refund"),
}


def _items_of(payout: str) -> lists.Listing:
    """Every item of a payout."""
    asked = {"payout": payout, "limit": "500"}
    listed = yield from lists.pages(
        lambda after: base.Request(method="GET", url="/payout_items", params={**asked, **lists.given(after=after)}),
        lambda page: page.at("meta", "cursors").optional_text("after"),
        where="meta.cursors.after",
        most=MAX_PAGES,
    )
    return [one for page in listed for one in page.items("payout_items")]


def _tenths(item: Payload) -> Decimal:
    """The amount of an item: minor units with decimal places, below zero for what it takes."""
    if not TENTHS.fullmatch(amount := item.text("amount")):
        raise item.wrong("amount", "minor units with decimal places, as text")
    return Decimal(amount)


def parts_of(payout: events.Payout, items: Sequence[Payload]) -> list[Record]:
    """What a payout holds. Amounts have tenths of a penny; the payout is their rounded sum, and so its parts are, too.

    The fees of a payment are its own wherever they are for the same payment.
    """
    currency = payout.money.currency
    gross: dict[tuple[str, str], Decimal] = {}
    fees: dict[tuple[str, str], Decimal] = {}
    for item in items:
        kind, amount = item.text("type"), _tenths(item)
        part, links = PARTS.get(kind), item.at("links")
        about = links.optional_identifier("payment" if part is None else part[1]) or ""
        if part is not None and not about:
            raise item.wrong("links", f"a link to the {part[1]}")
        held, key = (fees, ("payment_paid_out", about)) if part is None else (gross, (kind, about))
        held[key] = held.get(key, Decimal(0)) + amount
    found: list[Record] = []
    exact, rounded = Decimal(0), 0
    for kind, about in sorted(gross.keys() | fees.keys()):
        key = (kind, about)
        part = PARTS[kind] if key in gross else None
        parts: list[int] = []
        for amount in (gross.get(key, Decimal(0)), fees.get(key, Decimal(0))):
            exact += amount
            parts.append(int((exact + Decimal("0.5")).to_integral_value(ROUND_FLOOR)) - rounded)
            rounded += parts[-1]
        found.append(
            events.PayoutItem(
                object_id=f"{payout.object_id}:{kind if part else 'fee'}:{about}"[:255],
                version=payout.version,
                payout_id=payout.object_id,
                kind=part[0] if part else "fee",
                subject_id=None if part is None else f"{about}:taken-back" if part[0] == "dispute" else about,
                money=Money(parts[0], currency),
                fee=Money(-parts[1], currency),
                occurred_at=payout.occurred_at,
            )
        )
    return found


def fetch_payout(identity: str, credentials: base.Credentials) -> base.Talk:
    """A payout and what it holds; one of nothing, where fees and returns ate it up, is none."""
    payout = yield from _get("/payouts", "payouts", identity)
    currency = payout.currency("currency")
    money = payout.minor_money("amount", currency)
    status = payout.choice("status", PAYOUT)
    if money.minor <= 0:
        return []
    told = events.Payout(
        **_moved(payout, micros(credentials.moment()), money),
        status=status,
        fee=payout.minor_money("deducted_fees", currency) if payout.has("deducted_fees") else None,
        bank_reference=payout.optional_text("reference"),
    )
    # Items are kept for six months, and asked for when the payout is new.
    young = status is PayoutStatus.PAID and credentials.moment() - told.occurred_at < ITEMS_KEPT
    return [told, *parts_of(told, (yield from _items_of(identity)))] if young else [told]


def fetch_line(identity: str, credentials: base.Credentials) -> base.Talk:
    """A line of a payment account, which knows a day and no moment. The amount is positive, the direction signs it."""
    line = yield from _get(f"/{LINE}", LINE, identity)
    version, currency = micros(credentials.moment()), line.currency("currency")
    money = Money(line.choice("direction", SIGN) * line.minor_money("amount", currency, positive=True).minor, currency)
    account, day = line.at("links").identifier("payment_bank_account"), line.day("value_date")
    told = [line.optional_text("description"), line.optional_text("counterparty_name"), line.optional_text("reference")]
    return [
        events.BankAccount(
            object_id=account, version=version, name="GoCardless payment account", currency=currency, kind="current"
        ),
        events.BankTransaction(
            object_id=identity,
            version=version,
            account_id=account,
            status=TransactionStatus.POSTED,
            money=money,
            narration=" ".join(filter(None, told)) or identity,
            occurred_at=datetime.combine(day, time.min, UTC),
            booked_on=day,
            counterparty=line.optional_text("counterparty_name"),
            bank_reference=line.optional_text("reference"),
            balance=line.minor_money("balance_after_transaction", currency)
            if line.has("balance_after_transaction")
            else None,
        ),
    ]


# What the events of a resource point at: the link's name, and how it is fetched.
POINTERS: Mapping[str, tuple[str, Fetching]] = {
    "payments": ("payment", fetch_payment),
    "refunds": ("refund", fetch_refund),
    "payouts": ("payout", fetch_payout),
    LINE: ("payment_account_transaction", fetch_line),
}


def _follow(item: Payload, credentials: base.Credentials) -> base.Talk:
    """Fetch what an event points at, for the seller whose connection this is."""
    if credentials.external_id not in (None, organisation_of(item) or credentials.external_id):
        raise MalformedPayload("links.organisation", "is another than the connection's")
    link, fetch = POINTERS[item.text("resource_type")]
    return (yield from fetch(item.at("links").identifier(link), credentials))


def read_pointer(item: Payload) -> base.Reading:
    """An event that points at money. Those of the dashboard's test button point at nothing."""
    if item.identifier("id").startswith("EVTEST"):
        return []
    item.at("links").identifier(POINTERS[item.text("resource_type")][0])
    return base.Fetch(talk=partial(_follow, item))


def read_disconnected(item: Payload) -> base.Reading:
    """A seller withdrew a partner's access."""
    return withdrawn("GoCardless", item.at("links").identifier("organisation"), micros(item.iso("created_at")))


def pull(credentials: base.Credentials, cursor: str | None, since: datetime) -> base.PullTalk:
    """A page of events, newest first, and what they point at, each object once."""
    begin, began, after = (cursor or f"{since.isoformat()} - ").split(" ", 2)
    began = credentials.moment().isoformat() if began == "-" else began
    params = {"created_at[gte]": begin, "limit": str(PULL_EVENTS)} | ({"after": after} if after else {})
    page = (yield base.Request(method="GET", url="/events", params=params)).payload()
    following = page.at("meta", "cursors").optional_text("after") or ""
    if following and following == after:
        raise MalformedPayload("meta.cursors.after", "leads in a circle")
    records: list[Record] = []
    done: set[tuple[str, str]] = set()
    for item in page.items("events"):
        name = event_name(item)
        if name not in EVENTS:
            continue
        reading = EVENTS[name](item)
        if not isinstance(reading, base.Fetch):
            records += reading
            continue
        resource = item.text("resource_type")
        subject = (resource, item.at("links").identifier(POINTERS[resource][0]))
        if subject not in done:
            done.add(subject)
            records += yield from reading.talk(credentials)
    if following:
        return base.Page(records=records, cursor=f"{begin} {began} {following}", more=True)
    return base.Page(records=records, cursor=f"{(datetime.fromisoformat(began) - OVERLAP).isoformat()} - ")


NO_MONEY = "a figure for the tax return or in another currency; the payout itself is as it was"
EVENTS: Mapping[str, base.Reader] = {
    **each("payments.created payments.submitted payments.confirmed payments.cancelled", read_pointer),
    **each("payments.customer_approval_granted payments.customer_approval_denied payments.failed", read_pointer),
    **each("payments.charged_back payments.chargeback_cancelled payments.chargeback_settled", read_pointer),
    **each("payments.paid_out payments.late_failure_settled payments.resubmission_requested", read_pointer),
    **each("refunds.created refunds.paid refunds.failed refunds.refund_settled refunds.funds_returned", read_pointer),
    "payouts.paid": read_pointer,
    LINE: read_pointer,
    "organisations.disconnected": read_disconnected,
}

connector = base.Connector(
    slug="gocardless",
    title="GoCardless",
    docs_url="https://developer.gocardless.com/api-reference/#appendix-webhooks",
    checked="2026-08-13",
    signature=Hmac(header="Webhook-Signature"),
    # GoCardless makes the secret of an endpoint.
    makes_secret=False,
    event_id=lambda item, _envelope: item.identifier("id"),
    event_name=event_name,
    split=lambda body: body.items("events"),
    external_id=organisation_of,
    api=base.Api(
        base="https://api.gocardless.com",
        authorize=access.bearer("access_token", seconds=3600, GoCardless_Version="2015-07-06"),
        rate_per_second=10,
    ),
    pull=base.Pull(talk=pull, what="events, with the payments, refunds and payouts they are about"),
    brings=("payments", "refunds", "chargebacks", "payouts", "bank transactions"),
    fields=(
        access.secret("webhook_secret", "Webhook secret", "Of the webhook endpoint, as shown."),
        access.secret("access_token", "Access token", "Read-only will do.", required=True),
    ),
    steps=(
        "In GoCardless' dashboard, under Developers, create an access token that may read, and paste it here.",
        "Under Developers, create a webhook endpoint with the address {url}.",
        "Copy the endpoint's secret into the connection, exactly as it is shown.",
        "For a partner's app, give each connection the organisation's id (OR…) as its external id.",
    ),
    events=EVENTS,
    ignored={
        **QUIET,
        "payments.surcharge_fee_debited": "a fee of GoCardless', which the payout's fees hold",
        **each("payouts.fx_rate_confirmed payouts.tax_exchange_rates_confirmed", NO_MONEY),
    },
)
