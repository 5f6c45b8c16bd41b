"""Northwind Pay: a made-up provider with batches, pointers, a list to pull, a handshake and a webhook to register.

Checked against nothing: the tests plant their faults in it.
"""

from __future__ import annotations

from collections.abc import Generator
from datetime import datetime
from functools import partial

from connectors.base import (
    Answer,
    Api,
    Authorization,
    AuthorizationTalk,
    Connector,
    Credentials,
    Delivery,
    Fetch,
    Field,
    Page,
    Pull,
    PullTalk,
    Reading,
    RegisterTalk,
    Registration,
    Request,
    Response,
    Talk,
)
from connectors.payload import Payload, micros
from connectors.signatures import BODY, TIMESTAMP, URL, Hmac
from core.errors import MalformedPayload
from core.events import Payment, PaymentStatus, Reference, Refund, RefundStatus

MAX_PAGES = 20
STATUS = {"open": PaymentStatus.PENDING, "declined": PaymentStatus.FAILED, "paid": PaymentStatus.SUCCEEDED}


def authorize(credentials: Credentials) -> AuthorizationTalk:
    """Trade the key for a token."""
    key = credentials.secret("api_key")
    token = (yield Request(method="POST", url="/token", form={"key": key}, authorized=False)).payload()
    return Authorization(
        headers={"Authorization": f"Bearer {token.text('token')}"}, expires_in_seconds=token.integer("seconds")
    )


def payment_of(data: Payload) -> Payment:
    """A payment, in decimal text."""
    name = data.optional_identifier("invoice")
    return Payment(
        object_id=data.identifier("id"),
        version=micros(data.iso("changed_at")),
        status=data.choice("status", STATUS),
        money=data.decimal_money("amount", data.currency("currency"), positive=True),
        occurred_at=data.iso("changed_at"),
        references=(Reference(0, name),) if name else (),
    )


def refund_of(data: Payload) -> Refund:
    """A refund, in minor units."""
    return Refund(
        object_id=data.identifier("id"),
        version=micros(data.iso("changed_at")),
        payment_id=data.identifier("payment"),
        status=RefundStatus.SUCCEEDED,
        money=data.minor_money("amount", data.currency("currency"), positive=True),
        occurred_at=data.iso("changed_at"),
    )


def read_payment(item: Payload) -> Reading:
    """A payment in full."""
    return [payment_of(item.at("data"))]


def read_refund(item: Payload) -> Reading:
    """A refund in full."""
    return [refund_of(item.at("data"))]


def read_changed(item: Payload) -> Reading:
    """A pointer to a payment and its refunds."""
    return Fetch(talk=partial(fetch_payment, item.at("data").identifier("id")))


def fetch_payment(identity: str, credentials: Credentials) -> Talk:
    """The payment that was pointed at, with its refunds."""
    del credentials
    answer = (yield Request(method="GET", url=f"/payments/{identity}")).payload()
    answer.same("id", identity)
    refunds = []
    for one in (yield from pages(identity)):
        one.same("payment", identity)
        refunds.append(refund_of(one))
    return [payment_of(answer), *refunds]


def pages(identity: str) -> Generator[Request, Response, list[Payload]]:
    """Every refund of a payment."""
    found: list[Payload] = []
    seen: set[str] = set()
    cursor = "start"
    while cursor:
        if cursor in seen or len(seen) == MAX_PAGES:
            raise MalformedPayload("next", "leads in a circle or does not end")
        seen.add(cursor)
        params = {"payment": identity, "from": cursor}
        page = (yield Request(method="GET", url="/refunds", params=params)).payload()
        found.extend(page.items("refunds"))
        cursor = page.optional_identifier("next") or ""
    return found


def pull(credentials: Credentials, cursor: str | None, since: datetime) -> PullTalk:
    """A stretch of the payments."""
    del credentials
    params = {"from": cursor} if cursor else {"since": since.date().isoformat()}
    page = (yield Request(method="GET", url="/payments", params=params)).payload()
    following = page.optional_identifier("next")
    records = [payment_of(one) for one in page.items("payments")]
    return Page(records=records, cursor=following or cursor, more=following is not None)


def register(credentials: Credentials, url: str) -> RegisterTalk:
    """Make sure that the webhook is there."""
    del credentials
    listed = (yield Request(method="GET", url="/webhooks")).payload()
    if any(one.text("url") == url for one in listed.items("webhooks")):
        return Registration(state="kept")
    made = (yield Request(method="POST", url="/webhooks", json={"url": url})).payload()
    return Registration(state="created", secret=made.identifier("secret"))


def challenge(delivery: Delivery, secrets: object) -> Answer | None:
    """A GET with a word is answered with the word."""
    del secrets
    word = delivery.query.get("challenge", "")
    return Answer(body=word.encode()) if delivery.method == "GET" and 0 < len(word) < 100 and word.isalnum() else None


connector = Connector(
    slug="northwind",
    title="Northwind Pay",
    docs_url="https://northwind.example/docs",
    checked="2026-11-03",
    signature=Hmac(
        header="Northwind-Signature", timestamp_header="Northwind-Time", signed=(TIMESTAMP, ".", URL, ".", BODY)
    ),
    split=lambda body: body.items("events"),
    event_id=lambda item, _envelope: item.identifier("id"),
    event_name=lambda item: item.identifier("type"),
    external_id=lambda item: item.optional_identifier("account"),
    api=Api(base="https://api.northwind.example/v1", authorize=authorize),
    pull=Pull(talk=pull, what="payments"),
    register=register,
    challenge=challenge,
    fields=(Field(name="api_key", label="API key", secret=True, required=True),),
    steps=("Paste {url} into Northwind's developer page.",),
    brings=("payments", "refunds"),
    events={"payment.paid": read_payment, "payment.open": read_payment, "refund.paid": read_refund,
            "payment.changed": read_changed},
    ignored={"report.ready": "reports are read by nobody here"},
)  # fmt: skip
