"""Apideck: the handshake, pointers and what they lead to, the lists, and webhooks that are registered."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest

from connectors import registry, samples
from connectors.base import Answer, Credentials, Fetch, Page, Request, Verified
from connectors.contract import deliver
from connectors.payload import micros
from core.errors import MalformedPayload, Permanent
from core.events import (
    ConnectionHealth,
    ConnectionState,
    MirroredInvoice,
    MirroredInvoiceGone,
    MirroredStatus,
    Payment,
    PaymentStatus,
    Record,
    Reference,
    Refund,
)
from core.money import Money
from tests.connectors.asking import hold

connector = registry.get("apideck")
NOW = datetime(2026, 11, 3, 9, 0, tzinfo=UTC)
CONSUMER = "test_user_id"
CREDENTIALS = Credentials(
    secrets={"webhook_secret": "test-key"}, settings={"app_id": "app-1"}, external_id=CONSUMER, asked_at=NOW
)

Json = dict[str, Any]
HANDSHAKE = b'{"message":"Validating delivery URL"}'
ASKED = {"x-apideck-event-type": "apideck.subscription.created"}


# The handshake ------------------------------------------------------------------------------------------------


def test_the_check_of_the_address_is_answered_and_brings_nothing() -> None:
    assert connector.challenge is not None
    assert connector.challenge(deliver(ASKED, HANDSHAKE), []) == Answer(status=200)
    assert connector.challenge(deliver(ASKED, b'{ "message" : "Validating delivery URL" }'), []) == Answer()


@pytest.mark.parametrize(
    ("headers", "body"),
    [
        pytest.param({}, HANDSHAKE, id="without its header"),
        pytest.param({"x-apideck-event-type": "accounting.invoice.created"}, HANDSHAKE, id="with another header"),
        pytest.param(ASKED, samples.load("apideck", "accounting.invoice.created"), id="an event under its header"),
        pytest.param(ASKED, HANDSHAKE[:-1] + b',"payload":{}}', id="with more in it"),
        pytest.param(ASKED, b'{"message":"Validating delivery URLs"}', id="another message"),
        pytest.param(ASKED, b"[]", id="a list"),
        pytest.param(ASKED, b"", id="nothing"),
    ],
)
def test_nothing_else_goes_round_the_signature(headers: dict[str, str], body: bytes) -> None:
    assert connector.challenge is not None
    assert connector.challenge(deliver(headers, body), []) is None
    assert connector.challenge(replace(deliver(ASKED, HANDSHAKE), method="GET"), []) is None


# Pointers -----------------------------------------------------------------------------------------------------


class Recorded:
    """The API as recorded; keeps what was asked. `changes` go into the first object that is fetched."""

    def __init__(self, **changes: object) -> None:
        self.asked: list[Request] = []
        self.changes = changes

    def __call__(self, request: Request) -> Json:
        self.asked.append(request)
        for route in json.loads(samples.api("apideck", "routes")):
            path, _, identity = request.url.rpartition("/")
            by_id = route["path"].endswith("{id}") and route["path"] == path + "/{id}"
            fits = by_id or route["path"] == request.url
            if fits and route["method"] == request.method and route.get("query", {}).items() <= request.params.items():
                text = samples.api("apideck", route["answer"].removesuffix(".json")).decode()
                said: Json = json.loads(text.replace("{id}", identity))
                if by_id and len(self.asked) == 1:
                    said["data"] |= self.changes
                return said
        raise AssertionError(request)


def meaning(
    name: str,
    reply: Callable[[Request], object] = lambda _: pytest.fail("asked"),
    variant: str | None = None,
    *,
    credentials: Credentials = CREDENTIALS,
    body: bytes = b"",
) -> list[Record]:
    body = body or samples.load("apideck", name, variant)
    (event,) = connector.open(deliver({}, body), Verified())
    reading = connector.read(event.name, event.item)
    if isinstance(reading, Fetch):
        return hold(reading.talk(credentials), reply)
    assert reading is not None
    return list(reading)


UPDATED = datetime(2020, 9, 30, 7, 43, 32, tzinfo=UTC)
INVOICE = MirroredInvoice(
    object_id="invoice:xero:123456ASDF",
    version=micros(UPDATED),
    status=MirroredStatus.PAID,
    number="OIT00546",
    direction="sales",
    total=Money(4999, "USD"),
    due=Money(0, "USD"),
    issued_on=date(2020, 9, 30),
    due_on=date(2020, 10, 30),
    contact_name="Windsurf Shop",
    contact_email="boring@boring.com",
)
PAYMENT = Payment(
    object_id="payment:xero:pay-90817263",
    version=micros(UPDATED + timedelta(seconds=3)),
    status=PaymentStatus.SUCCEEDED,
    money=Money(4999, "USD"),
    occurred_at=datetime(2021, 5, 1, 12, tzinfo=UTC),
    references=(Reference(0, "OIT00546"), Reference(1, "REF-123456")),
    method="cash",
    payer_name="Windsurf Shop",
    payer_email="boring@boring.com",
    bank_reference="REF-123456",
)


def test_an_invoice_is_fetched_for_its_consumer_and_service() -> None:
    api = Recorded()
    assert meaning("accounting.invoice.created", api) == [INVOICE]
    (asked,) = api.asked
    assert asked.url == "/accounting/invoices/123456ASDF"
    assert asked.headers == {"x-apideck-consumer-id": CONSUMER, "x-apideck-service-id": "xero"}


def test_a_payment_names_the_invoices_it_is_allocated_to() -> None:
    api = Recorded()
    assert meaning("accounting.payment.created", api) == [PAYMENT]
    assert [one.url for one in api.asked] == ["/accounting/payments/pay-90817263", "/accounting/invoices/inv-00012345"]


@pytest.mark.parametrize("name", ["accounting.transaction.created", "accounting.transaction.updated"])
def test_names_of_older_clients_are_accepted(name: str) -> None:
    (event,) = connector.open(deliver({}, samples.load("apideck", name)), Verified())
    assert event.name == name.replace("transaction", "payment")
    assert event.external_id == CONSUMER
    assert meaning(name, Recorded()) == [PAYMENT]


def test_hyphens_in_names_count_as_underscores() -> None:
    (event,) = connector.open(
        deliver({}, samples.load("apideck", "accounting.credit_note.updated", "hyphens")), Verified()
    )
    assert event.name == "accounting.credit_note.updated"
    (made,) = meaning("accounting.credit_note.updated", Recorded(), "hyphens")
    assert isinstance(made, MirroredInvoice)
    assert (made.kind, made.direction, made.total, made.due) == (
        "credit_note",
        "sales",
        Money(2550, "USD"),
        Money(2550, "USD"),
    )


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        pytest.param({"status": "draft", "balance": 49.99}, ("draft", 4999), id="a draft"),
        pytest.param({"status": "submitted", "balance": 49.99}, ("draft", 4999), id="not yet approved"),
        pytest.param({"status": "authorised", "balance": 49.99}, ("open", 4999), id="nothing paid"),
        pytest.param({"status": "unpaid", "balance": 0.01}, ("partially_paid", 1), id="what is left decides"),
        pytest.param({"status": "authorised", "balance": 0}, ("paid", 0), id="nothing is left"),
        pytest.param({"status": "paid", "balance": None}, ("paid", 0), id="paid, and no word of what is left"),
        pytest.param({"status": None, "balance": None}, ("open", 4999), id="no word at all"),
        pytest.param({"status": "void", "balance": 49.99}, ("void", 0), id="void"),
        pytest.param({"status": "deleted", "balance": 49.99}, ("void", 0), id="deleted"),
    ],
)
def test_what_is_left_tells_more_than_the_status(changes: Json, expected: tuple[str, int]) -> None:
    (made,) = meaning("accounting.invoice.updated", Recorded(**changes))
    assert isinstance(made, MirroredInvoice)
    assert (made.status.value, made.due.minor) == expected


def test_a_credit_may_be_written_below_zero() -> None:
    (made,) = meaning("accounting.invoice.updated", Recorded(type="credit", total=-49.99, balance=-10))
    assert isinstance(made, MirroredInvoice)
    assert (made.kind, made.total, made.due) == ("credit_note", Money(4999, "USD"), Money(1000, "USD"))


@pytest.mark.parametrize(
    ("currency", "written", "minor"), [("JPY", 120000, 120000), ("KWD", 1.234, 1234), ("USD", 0.1, 10)]
)
def test_amounts_are_taken_by_their_digits(currency: str, written: float, minor: int) -> None:
    (made,) = meaning("accounting.bill.created", Recorded(currency=currency, total=written, balance=written))
    assert isinstance(made, MirroredInvoice)
    assert (made.total, made.direction, made.number) == (Money(minor, currency), "purchase", "10001")


def test_an_amount_without_a_currency_has_the_connections_own_or_none() -> None:
    held = replace(CREDENTIALS, settings={"currency": "EUR"})
    (made,) = meaning("accounting.invoice.updated", Recorded(currency=None), credentials=held)
    assert isinstance(made, MirroredInvoice)
    assert made.total == Money(4999, "EUR")
    for code in (None, "UNKNOWN_CURRENCY", "BTC"):
        with pytest.raises(MalformedPayload, match="currency"):
            meaning("accounting.invoice.updated", Recorded(currency=code))


@pytest.mark.parametrize(
    ("changes", "status", "is_back"),
    [
        ({"status": "draft"}, PaymentStatus.PENDING, False),
        ({"status": "rejected"}, PaymentStatus.FAILED, False),
        ({"status": "paid", "type": "accounts_receivable_overpayment"}, PaymentStatus.SUCCEEDED, False),
        ({"status": None, "type": None}, PaymentStatus.SUCCEEDED, False),
        ({"status": "voided"}, PaymentStatus.SUCCEEDED, True),
        ({"status": "deleted"}, PaymentStatus.SUCCEEDED, True),
    ],
)
def test_a_payments_status(changes: Json, status: PaymentStatus, *, is_back: bool) -> None:
    first, *rest = meaning("accounting.payment.updated", Recorded(**changes))
    assert first == replace(PAYMENT, status=status)
    assert [(one.payment_id, one.money) for one in rest if isinstance(one, Refund)] == (
        [(PAYMENT.object_id, PAYMENT.money)] if is_back else []
    )


@pytest.mark.parametrize(
    "changes",
    [
        {"type": "accounts_payable"},
        {"type": "accounts_receivable_credit"},
        {"type": None, "customer": None},
        {"total_amount": 0},
    ],
)
def test_what_is_no_receipt_brings_nothing(changes: Json) -> None:
    assert meaning("accounting.payment.created", Recorded(**changes)) == []


def test_what_has_no_time_of_its_own_counts_as_of_when_it_was_fetched() -> None:
    (made,) = meaning("accounting.invoice.updated", Recorded(updated_at=None))
    assert isinstance(made, MirroredInvoice)
    assert made.version == micros(NOW)


def test_what_was_deleted_is_void_without_asking_and_money_is_left_to_a_person() -> None:
    at = micros(datetime(2020, 1, 1, tzinfo=UTC))
    assert meaning("accounting.invoice.deleted") == [MirroredInvoiceGone(object_id=INVOICE.object_id, version=at)]
    assert meaning("accounting.bill.deleted") == [MirroredInvoiceGone(object_id="bill:xero:bill-778812", version=at)]
    with pytest.raises(Permanent, match="take it back by hand"):
        meaning("accounting.payment.deleted")


@pytest.mark.parametrize(
    "link",
    [
        "https://evil.example/accounting/invoices/123456ASDF",
        "http://unify.apideck.com/accounting/invoices/123456ASDF",
        "https://unify.apideck.com@evil.example/accounting/invoices/123456ASDF",
        "https://unify.apideck.com/accounting/bills/123456ASDF",
        "https://unify.apideck.com/accounting/invoices/another",
        "https://unify.apideck.com/accounting/invoices/123456ASDF/../x",
        "https://unify.apideck.com/vault/connections/123456ASDF",
        "https://[broken",
        "",
    ],
)
def test_a_link_that_leads_elsewhere_is_refused_before_anything_is_asked(link: str) -> None:
    said = json.loads(samples.load("apideck", "accounting.invoice.created"))
    said["payload"]["entity_url"] = link
    with pytest.raises(MalformedPayload, match="entity_url"):
        meaning("", body=json.dumps(said).encode())


def test_the_object_must_be_the_one_and_the_consumer_the_connections() -> None:
    with pytest.raises(MalformedPayload, match="is not the one that was asked for"):
        meaning("accounting.invoice.updated", Recorded(id="another"))
    with pytest.raises(MalformedPayload, match="is not the connection's consumer"):
        meaning("accounting.invoice.updated", credentials=replace(CREDENTIALS, external_id="other"))


def test_an_event_has_its_own_id_or_the_one_sent_along() -> None:
    said = json.loads(samples.load("apideck", "accounting.invoice.created"))
    del said["payload"]["event_id"]
    body = json.dumps(said).encode()
    (event,) = connector.open(deliver({"x-apideck-idempotency-key": "key-1"}, body), Verified())
    assert event.id == f"key-1:{hashlib.sha256(body).hexdigest()[:16]}"
    with pytest.raises(MalformedPayload, match="event_id"):
        connector.open(deliver({}, body), Verified())


# Connections --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "health", "reason"),
    [
        ("callable", ConnectionHealth.ACTIVE, None),
        ("token_refresh.recovered", ConnectionHealth.ACTIVE, None),
        ("token_refresh.failed", ConnectionHealth.NEEDS_ATTENTION, "xero: token refresh failed"),
        ("downstream.degraded", ConnectionHealth.NEEDS_ATTENTION, "xero: downstream degraded"),
        ("disabled", ConnectionHealth.REVOKED, "xero: disabled"),
        # The entity inside says "added": the event decides.
        ("revoked", ConnectionHealth.REVOKED, "xero: revoked"),
    ],
)
def test_a_change_of_the_link_is_told_by_the_event(name: str, health: ConnectionHealth, reason: str | None) -> None:
    (event,) = connector.open(deliver({}, samples.load("apideck", f"vault.connection.{name}")), Verified())
    assert event.external_id == CONSUMER
    assert meaning(f"vault.connection.{name}") == [
        ConnectionState(
            object_id="1111+test_user_id",
            version=micros(datetime(2021, 10, 1, 3, 14, 55, 419_000, tzinfo=UTC)),
            health=health,
            reason=reason,
        )
    ]


def test_a_link_of_another_api_is_none_of_these_books_business() -> None:
    assert meaning("vault.connection.revoked", variant="another_api") == []


# Listing ------------------------------------------------------------------------------------------------------


def stretch(cursor: str | None, reply: Callable[[Request], object], credentials: Credentials = CREDENTIALS) -> Page:
    assert connector.pull is not None
    return hold(connector.pull.talk(credentials, cursor, NOW - timedelta(days=3)), reply)


def test_everything_that_changed_is_listed_page_by_page() -> None:
    api, records = Recorded(), list[Record]()
    cursor, more = None, True
    while more:
        page = stretch(cursor, api)
        records += page.records
        cursor, more = page.cursor, page.more
    assert cursor == (NOW - timedelta(minutes=5)).isoformat()
    lists = [one for one in api.asked if one.params]
    assert [(one.url.rsplit("/", 1)[-1], one.params.get("cursor")) for one in lists] == [
        ("invoices", None),
        ("invoices", "c2Vjb25k"),
        ("bills", None),
        ("credit-notes", None),
        ("payments", None),
        ("payments", "c2Vjb25k"),
    ]
    assert {one.params["filter[updated_since]"] for one in lists} == {(NOW - timedelta(days=3)).isoformat()}
    assert [getattr(one, "object_id", "") for one in records] == [
        *("invoice:xero:inv-1", "invoice:xero:inv-2", "invoice:xero:inv-3"),
        *("bill:xero:bill-1", "credit_note:xero:note-1"),
        *("payment:xero:pay-1", "payment:xero:pay-3", "payment:xero:pay-3:voided"),
    ]
    assert records[5] == replace(PAYMENT, object_id="payment:xero:pay-1")
    api.asked.clear()
    stretch(cursor, api, replace(CREDENTIALS, settings={"service_id": "xero"}))
    assert api.asked[0].params["filter[updated_since]"] == (NOW - timedelta(minutes=5)).isoformat()
    assert api.asked[0].headers["x-apideck-service-id"] == "xero"


def test_a_list_that_leads_in_a_circle_or_does_not_end_is_refused() -> None:
    begun = f"{NOW.isoformat()} {NOW.isoformat()}"
    for cursor in (f"{begun} 0 2 same", f"{begun} 0 500 other"):
        with pytest.raises(MalformedPayload, match="leads in a circle or past 500 pages"):
            stretch(cursor, lambda _: {"service": "xero", "data": [], "meta": {"cursors": {"next": "same"}}})


# Registering --------------------------------------------------------------------------------------------------

URL = "https://ledgerwire.example/hook"


def registered(*known: Json) -> tuple[str, list[Request]]:
    """The state in which the webhooks are left, and what was changed at Apideck."""
    changed: list[Request] = []

    def reply(request: Request) -> Json:
        if request.method != "GET":
            changed.append(request)
            return {"data": {}}
        if len(known) > 1 and not request.params.get("cursor"):
            return {"data": [known[0]], "meta": {"cursors": {"next": "more"}}}
        return {"data": list(known[1:] if len(known) > 1 else known), "meta": {"cursors": {"next": None}}}

    assert connector.register is not None
    return hold(connector.register(CREDENTIALS, URL), reply).state, changed


def subscription(api: str, **changes: object) -> Json:
    return {"id": f"{api}-1", "unified_api": api, "status": "enabled", "delivery_url": URL, "events": ["*"], **changes}


def test_missing_webhooks_are_made() -> None:
    state, changed = registered(subscription("accounting", delivery_url="https://elsewhere.example"))
    assert state == "created"
    assert [(one.method, one.url) for one in changed] == [("POST", "/webhook/webhooks")] * 2
    said = [one.json for one in changed if isinstance(one.json, dict)]
    assert [(one["unified_api"], one["delivery_url"], one["status"]) for one in said] == [
        ("accounting", URL, "enabled"),
        ("vault", URL, "enabled"),
    ]
    assert "accounting.payment.created" in said[0]["events"]
    assert "vault.connection.revoked" in said[1]["events"]
    assert not [name for name in said[0]["events"] if "transaction" in name]


def test_good_webhooks_are_kept_also_on_a_later_page() -> None:
    assert registered(subscription("accounting"), subscription("vault")) == ("kept", [])


@pytest.mark.parametrize("wrong", [{"status": "disabled"}, {"events": ["accounting.invoice.created"]}])
def test_a_webhook_that_differs_is_mended(wrong: Json) -> None:
    state, changed = registered(subscription("accounting", **wrong), subscription("vault"))
    assert state == "repaired"
    assert [(one.method, one.url) for one in changed] == [("PATCH", "/webhook/webhooks/accounting-1")]


def test_subscriptions_that_lead_in_a_circle_are_refused() -> None:
    assert connector.register is not None
    with pytest.raises(MalformedPayload, match="leads in a circle"):
        hold(connector.register(CREDENTIALS, URL), lambda _: {"data": [], "meta": {"cursors": {"next": "same"}}})


def test_the_api_key_is_used_as_it_is() -> None:
    assert connector.api is not None
    made = hold(connector.api.authorize(CREDENTIALS), lambda _: pytest.fail("asked"))
    assert made.headers == {"Authorization": "Bearer test-key", "x-apideck-app-id": "app-1"}
    assert "test-key" not in repr(made)
