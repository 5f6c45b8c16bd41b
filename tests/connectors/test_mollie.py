"""Mollie: bare ids that anybody may send, signed events, and what the API says of both."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest

from connectors import registry, samples
from connectors.base import Credentials, Delivery, Fetch, Page, Registration, Request
from connectors.contract import deliver
from connectors.payload import micros
from core.errors import MalformedPayload, Permanent, SignatureRejected
from core.events import (
    BankTransaction,
    ConnectionHealth,
    ConnectionState,
    Dispute,
    DisputeStatus,
    MirroredInvoice,
    MirroredStatus,
    Payment,
    PaymentStatus,
    Payout,
    PayoutStatus,
    Record,
    Reference,
    Refund,
    RefundStatus,
    TransactionStatus,
    Trust,
)
from core.money import Money
from tests.connectors.asking import hold

connector = registry.get("mollie")
NOW = datetime(2026, 11, 3, 9, 0, tzinfo=UTC)
TOLD = datetime(2024, 12, 16, 15, 59, 4, tzinfo=UTC)
SECRET = "test_webhook_secret"
URL = "https://ledgerwire.example/hook"
Json = dict[str, Any]
Reply = Callable[[Request], object]


def credentials(key: str = "access_x", **settings: str) -> Credentials:
    return Credentials(secrets={"api_key": key}, settings=settings, external_id=None, asked_at=NOW)


def signed(body: bytes, *secrets: str) -> Delivery:
    lines = [connector.signature.sign(body, one, at=NOW, message_id="m").headers for one in secrets]
    values = tuple(line["X-Mollie-Signature"] for line in lines)
    return Delivery(body=body, headers={"x-mollie-signature": values} if values else {}, received_at=NOW)


def recorded(name: str) -> Json:
    found: Json = json.loads(samples.api("mollie", name))
    return found


def nobody(_request: Request) -> object:
    raise AssertionError("asked")


def records(
    name: str, reply: Reply = nobody, *, change: Callable[[Json], None] | None = None, **settings: str
) -> list[Record]:
    """What a sample means, in the end."""
    event, _, variant = name.partition("__")
    body = samples.load("mollie", event, variant or None)
    if change:
        said = json.loads(body)
        change(said)
        body = json.dumps(said).encode()
    delivery = signed(body, SECRET) if body.startswith(b"{") else deliver({}, body)
    (found,) = connector.open(delivery, connector.verify(delivery, [SECRET]))
    reading = connector.read(found.name, found.item)
    assert reading is not None
    if isinstance(reading, Fetch):
        told: list[Record] = hold(reading.talk(credentials(**settings)), reply)
        return told
    return list(reading)


# Signatures.


@pytest.mark.parametrize(
    ("secret", "body", "seal"),
    [
        pytest.param(
            "test_webhook_secret",
            b'{"id":"tr_12345","event_type":"payment-link.paid"}',
            "e479a5e4aaa17db94cfc546071e10e91c0b37f21e464e751ebdd7d7ad2ffd146",
            id="the official PHP library's input",
        ),
        pytest.param(
            "test-signing-secret",
            b"",
            "e6002cfc6ef5b3af2909dacc72e87fecd37768d9031a517806765b06ec0ce4fe",
            id="an empty body",
        ),
    ],
)
def test_vectors_hold(secret: str, body: bytes, seal: str) -> None:
    delivery = deliver({"X-Mollie-Signature": f"sha256={seal}"}, body)
    assert connector.verify(delivery, [secret]).trust is Trust.SIGNED
    for header in (seal, f"sha256={seal.upper()}", f"sha1={seal}"):
        with pytest.raises(SignatureRejected):
            connector.verify(deliver({"X-Mollie-Signature": header}, body), [secret])


def test_either_of_two_signatures_may_hold_in_lines_or_joined_by_a_comma() -> None:
    body = samples.load("mollie", "payout.completed")
    two = signed(body, "the new one", SECRET)
    joined = deliver({"X-Mollie-Signature": ", ".join(two.headers["x-mollie-signature"])}, body)
    for delivery in (two, joined):
        assert connector.verify(delivery, [SECRET]).trust is Trust.SIGNED
        with pytest.raises(SignatureRejected):
            connector.verify(delivery, ["a third"])


def test_a_bare_id_needs_no_signature_and_proves_nothing() -> None:
    delivery = deliver({}, samples.load("mollie", "classic.payment"))
    assert connector.verify(delivery, []).trust is Trust.HINT


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(samples.load("mollie", "payment.paid"), id="an event without its signature"),
        pytest.param(b'{"id":"tr_7UhSN1zuXS"}', id="a bare id in JSON"),
        pytest.param(b"id=tr_7UhSN1zuXS&type=payment.paid", id="an id and more"),
        pytest.param(b"id=tr_7UhSN1zuXS\n", id="an id and a line end"),
        pytest.param(b"id=tr_../../refunds", id="an id that is a path"),
        pytest.param(b"id=", id="no id"),
        pytest.param(b"", id="nothing"),
    ],
)
def test_nothing_but_a_bare_id_comes_unsigned(body: bytes) -> None:
    with pytest.raises(SignatureRejected):
        connector.verify(deliver({}, body), [SECRET])


def test_a_bare_id_with_a_bad_signature_is_refused() -> None:
    with pytest.raises(SignatureRejected):
        connector.verify(deliver({"X-Mollie-Signature": "sha256=00"}, b"id=tr_7UhSN1zuXS"), [SECRET])


@pytest.mark.parametrize("name", ["payment", "order", "payment-link"])
def test_a_bare_id_never_yields_anything_but_a_fetch(name: str) -> None:
    delivery = deliver({}, samples.load("mollie", f"classic.{name}"))
    (event,) = connector.open(delivery, connector.verify(delivery, []))
    assert event.name == f"classic.{name}"
    assert isinstance(connector.read(event.name, event.item), Fetch)


def test_each_call_with_the_same_id_is_looked_into() -> None:
    body = samples.load("mollie", "classic.payment")
    ids = [
        connector.open(deliver({}, body, received_at=NOW + later), connector.verify(deliver({}, body), []))[0].id
        for later in (timedelta(0), timedelta(seconds=1), timedelta(0))
    ]
    assert ids[0] == ids[2] != ids[1]


# Records.

PAID = Payment(
    object_id="tr_7UhSN1zuXS",
    version=micros(NOW),
    status=PaymentStatus.SUCCEEDED,
    money=Money(2000, "EUR"),
    occurred_at=datetime(2024, 12, 16, 15, 59, 3, tzinfo=UTC),
    references=(Reference(0, "INV-2026-0042"), Reference(1, "1234"), Reference(2, "INV-2026-0042 from A SHOP")),
    method="ideal",
    payer_name="A CUSTOMER",
    description="INV-2026-0042 from A SHOP",
)
TAKEN = [
    Refund(
        object_id="re_4qqhO89gsT",
        version=micros(NOW),
        payment_id="tr_7UhSN1zuXS",
        status=RefundStatus.SUCCEEDED,
        money=Money(595, "EUR"),
        occurred_at=datetime(2024, 12, 17, 17, 9, 2, tzinfo=UTC),
        reason="Returned goods",
    ),
    Dispute(
        object_id="chb_xFzwUN4ci8HAmSGUACS4J",
        version=micros(NOW),
        payment_id="tr_7UhSN1zuXS",
        status=DisputeStatus.CLOSED,
        money=Money(405, "EUR"),
        deducted=Money(405, "EUR"),
        occurred_at=datetime(2024, 12, 18, 17, 9, 2, tzinfo=UTC),
        reason="Account identifier incorrect",
    ),
]


@pytest.mark.parametrize("name", ["classic.payment", "payment.paid", "payment.paid__simple"])
def test_a_payment_is_fetched_with_all_that_was_taken_from_it(name: str) -> None:
    asked: list[Request] = []

    def reply(request: Request) -> object:
        asked.append(request)
        return recorded("payment")

    assert records(name, reply) == [PAID, *TAKEN]
    assert [(one.url, one.params) for one in asked] == [
        ("/v2/payments/tr_7UhSN1zuXS", {"embed": "refunds,chargebacks"})
    ]


@pytest.mark.parametrize("name", ["refund.*", "chargeback.*", "capture.*", "dispute.created", "dispute.resolved"])
def test_what_was_taken_leads_to_its_payment(name: str) -> None:
    assert records(name, lambda _: recorded("payment")) == [PAID, *TAKEN]


def test_a_simple_refund_event_is_asked_for_and_leads_to_its_payment() -> None:
    asked: list[str] = []

    def reply(request: Request) -> object:
        asked.append(request.url)
        return recorded("event_refund" if "/events/" in request.url else "payment")

    assert records("refund.*__simple", reply) == [PAID, *TAKEN]
    assert asked == ["/v2/events/event_refund1sUdRub9CJyH", "/v2/payments/tr_7UhSN1zuXS"]


@pytest.mark.parametrize("spoiled", ["id", "refund"])
def test_another_payment_than_the_one_asked_for_is_refused(spoiled: str) -> None:
    foreign = recorded("payment")
    if spoiled == "id":
        foreign["id"] = "tr_other"
    else:
        foreign["_embedded"]["refunds"][0]["paymentId"] = "tr_other"
    with pytest.raises(MalformedPayload, match="not the one that was asked for"):
        records("classic.payment", lambda _: foreign)


@pytest.mark.parametrize(
    ("told", "status", "failure"),
    [
        ({"status": "authorized"}, PaymentStatus.PENDING, None),
        ({"status": "open"}, PaymentStatus.PENDING, None),
        ({"status": "expired"}, PaymentStatus.FAILED, "expired"),
        ({"status": "failed", "statusReason": {"message": "no funds"}}, PaymentStatus.FAILED, "no funds"),
    ],
)
def test_states_of_a_payment(told: Json, status: PaymentStatus, failure: str | None) -> None:
    paid = records("classic.payment", lambda _: {**recorded("payment"), **told})[0]
    assert isinstance(paid, Payment)
    assert (paid.status, paid.failure) == (status, failure)


@pytest.mark.parametrize(
    ("metadata", "names"),
    [
        ("INV-1", [(1, "INV-1")]),
        ({"invoice": 42}, [(0, "42")]),
        ({"invoice": {"no": 1}, "order_id": " 7 "}, [(1, "7")]),
        (["INV-1"], []),
        (None, []),
    ],
)
def test_whatever_stands_in_metadata_may_name_the_invoice(metadata: object, names: list[tuple[int, str]]) -> None:
    told = {**recorded("payment"), "metadata": metadata, "description": None}
    paid = records("classic.payment", lambda _: told)[0]
    assert isinstance(paid, Payment)
    assert [(one.priority, one.text) for one in paid.references] == names


@pytest.mark.parametrize(
    ("currency", "value", "minor"), [("JPY", "1000", 1000), ("EUR", "0.01", 1), ("KWD", "1.234", 1234)]
)
def test_amounts_have_the_currencys_own_places(currency: str, value: str, minor: int) -> None:
    told = {**recorded("payment"), "amount": {"currency": currency, "value": value}, "_embedded": None}
    (paid,) = records("classic.payment", lambda _: told)
    assert isinstance(paid, Payment)
    assert paid.money == Money(minor, currency)


def test_a_mandates_first_payment_of_nothing_is_none() -> None:
    told = {**recorded("payment"), "amount": {"currency": "EUR", "value": "0.00"}}
    assert records("classic.payment", lambda _: told) == []


def test_a_refund_that_came_back_and_a_chargeback_that_was_reversed_take_nothing() -> None:
    told = recorded("payment")
    told["_embedded"]["refunds"][0]["status"] = "failed"
    told["_embedded"]["chargebacks"][0]["reversedAt"] = "2024-12-20T00:00:00.0Z"
    _, refund, dispute = records("classic.payment", lambda _: told)
    assert isinstance(refund, Refund)
    assert isinstance(dispute, Dispute)
    assert refund.status is RefundStatus.RETURNED
    assert (dispute.status, dispute.deducted) == (DisputeStatus.WON, Money(0, "EUR"))


@pytest.mark.parametrize(
    ("name", "listing"),
    [
        ("classic.order", "order"),
        ("classic.payment-link", "link_payments"),
        ("payment-link.paid", "link_payments"),
        ("payment-link.paid__simple", "link_payments"),
    ],
)
def test_orders_and_links_lead_to_their_payments(name: str, listing: str) -> None:
    asked: list[str] = []

    def reply(request: Request) -> object:
        asked.append(request.url)
        return recorded("payment" if "/v2/payments/" in request.url else listing)

    assert records(name, reply) == [PAID, *TAKEN]
    assert len(asked) == 2


def test_a_sales_invoice_is_mirrored() -> None:
    assert records("sales-invoice.issued") == [
        MirroredInvoice(
            object_id="invoice_4Y0eZitmBnQ6IDoMqZQKh",
            version=micros(TOLD) + 1,
            status=MirroredStatus.OPEN,
            number="INV0000001",
            direction="sales",
            total=Money(10769, "EUR"),
            due=Money(10769, "EUR"),
            issued_on=date(2024, 10, 3),
            due_on=date(2024, 11, 2),
            contact_name="A Customer",
            contact_email="a.customer@example.org",
            url="https://www.mollie.com/checkout/x",
        )
    ]
    (yen,) = records("sales-invoice.issued__yen_for_a_company")
    assert isinstance(yen, MirroredInvoice)
    assert (yen.total, yen.contact_name) == (Money(1000, "JPY"), "A Customer KK")


def test_states_of_an_invoice_within_one_tick_are_told_apart() -> None:
    versions = []
    for state in ("created", "issued", "paid", "canceled"):
        (invoice,) = records(f"sales-invoice.{state}")
        versions.append(invoice.version)
    assert versions == sorted(set(versions))


def test_a_payout_is_read_from_its_event_or_asked_for() -> None:
    done = Payout(
        object_id="payout_j8NvRAM2WNZtsykpLEX8J",
        version=micros(TOLD),
        status=PayoutStatus.PAID,
        money=Money(10000, "EUR"),
        occurred_at=datetime(2024, 12, 16, 15, 59, 3, tzinfo=UTC),
        bank_reference="Scheduled payout",
    )
    assert records("payout.completed") == [done]
    assert records("payout.completed__simple", lambda _: recorded("event_payout")) == [done]


@pytest.mark.parametrize(
    "spoil", [{"id": "event_other"}, {"entityId": "payout_other"}], ids=["another event", "another object"]
)
def test_another_event_than_the_one_asked_for_is_refused(spoil: Json) -> None:
    with pytest.raises(MalformedPayload, match="not the one that was asked for"):
        records("payout.completed__simple", lambda _: {**recorded("event_payout"), **spoil})


def test_an_event_whose_object_is_another_than_it_names_is_refused() -> None:
    with pytest.raises(MalformedPayload, match="not the one that was asked for"):
        records("payout.completed", change=lambda said: said.update(entityId="payout_other"))


@pytest.mark.parametrize(
    ("name", "account", "status", "money", "narration"),
    [
        (
            "balance-transaction.created", "balance", TransactionStatus.POSTED, Money(-1025, "EUR"),
            "refund tr_7UhSN1zuXS re_4qqhO89gsT",
        ),
        ("balance-transaction.created__payment", "balance", TransactionStatus.POSTED, Money(1971, "EUR"),
         "payment tr_7UhSN1zuXS"),
        ("business-account-transfer.processed", "business-account", TransactionStatus.POSTED, Money(-10000, "EUR"),
         "Supplier 77"),
        ("business-account-transfer.pending-review", "business-account", TransactionStatus.PENDING,
         Money(-10000, "EUR"), "Supplier 77"),
        ("business-account-transfer.returned", "business-account", TransactionStatus.REMOVED, Money(-10000, "EUR"),
         "Supplier 77"),
        ("unmatched-credit-transfer.received", "unmatched-transfers", TransactionStatus.PENDING,
         Money(118000, "EUR"), "INV-2026-0042 and INV-2026-0043"),
        ("unmatched-credit-transfer.matched", "unmatched-transfers", TransactionStatus.REMOVED,
         Money(118000, "EUR"), "INV-2026-0042 and INV-2026-0043"),
    ],
)  # fmt: skip
def test_movements_of_mollies_accounts_are_lines(
    name: str, account: str, status: TransactionStatus, money: Money, narration: str
) -> None:
    (line,) = records(name)
    assert isinstance(line, BankTransaction)
    assert (line.account_id, line.status, line.money, line.narration) == (account, status, money, narration)


@pytest.mark.parametrize(
    ("state", "health"),
    [
        ("verified", ConnectionHealth.ACTIVE),
        ("blocked", ConnectionHealth.NEEDS_ATTENTION),
        ("deleted", ConnectionHealth.REVOKED),
    ],
)
def test_what_becomes_of_the_profile_is_the_connections_state(state: str, health: ConnectionHealth) -> None:
    (told,) = records(f"profile.{state}")
    assert isinstance(told, ConnectionState)
    assert (told.health, told.version) == (health, micros(TOLD))


def test_test_objects_are_asked_for_as_such() -> None:
    asked: list[Request] = []

    def reply(request: Request) -> object:
        asked.append(request)
        return recorded("payment")

    records("classic.payment", reply, testmode="true")
    assert asked[0].params["testmode"] == "true"


# Pull and register.


def pull(cursor: str | None, reply: Reply, since: datetime) -> Page:
    assert connector.pull is not None
    page: Page = hold(connector.pull.talk(credentials(), cursor, since), reply)
    return page


def lists(request: Request) -> object:
    name = request.url.rpartition("/")[2]
    if name == "payments":
        return recorded("payments_page_2" if "from" in request.params else "payments_page_1")
    return recorded(name)


def drawn(since: datetime, cursor: str | None = None) -> tuple[list[str], list[Request], str | None]:
    found: list[str] = []
    asked: list[Request] = []

    def reply(request: Request) -> object:
        asked.append(request)
        return lists(request)

    while True:
        page = pull(cursor, reply, since)
        found += [one.object_id for one in page.records]
        cursor = page.cursor
        if not page.more:
            return found, asked, cursor


def test_a_pull_lists_payments_refunds_and_chargebacks_page_by_page() -> None:
    found, asked, cursor = drawn(datetime(2024, 12, 1, tzinfo=UTC))
    assert found == ["tr_7UhSN1zuXS", "tr_WDqYK6vllg", "re_4qqhO89gsT", "chb_xFzwUN4ci8HAmSGUACS4J"]
    assert [(one.url, one.params.get("from")) for one in asked] == [
        ("/v2/payments", None),
        ("/v2/payments", "tr_WDqYK6vllg"),
        ("/v2/refunds", None),
        ("/v2/chargebacks", None),
    ]
    assert cursor is not None
    # The next pull looks two weeks behind this one, since a transfer may be paid that late.
    assert cursor.split(" ")[3] == (NOW - timedelta(days=14)).isoformat()
    again, _, _ = drawn(datetime(2020, 1, 1, tzinfo=UTC), cursor)
    assert again == []


def test_a_pull_stops_where_it_has_been_told_to() -> None:
    found, asked, _ = drawn(datetime(2024, 12, 15, tzinfo=UTC))
    assert found == ["tr_7UhSN1zuXS", "re_4qqhO89gsT", "chb_xFzwUN4ci8HAmSGUACS4J"]
    assert len(asked) == 4


def test_a_list_that_leads_in_a_circle_is_refused() -> None:
    page = recorded("payments_page_1")
    since = datetime(2024, 12, 1, tzinfo=UTC)
    first = pull(None, lambda _: page, since)
    with pytest.raises(MalformedPayload, match="circle"):
        pull(first.cursor, lambda _: page, since)


def register(hooks: list[Json]) -> tuple[Registration, list[tuple[str, str]]]:
    asked: list[tuple[str, str]] = []

    def reply(request: Request) -> object:
        asked.append((request.method, request.url))
        if request.method == "GET":
            return {"_embedded": {"webhooks": hooks}, "_links": {}}
        return recorded("webhook_made")

    assert connector.register is not None
    made: Registration = hold(connector.register(credentials(), URL), reply)
    return made, asked


HOOK: Json = {"id": "wh_1", "url": URL, "status": "enabled", "eventTypes": ["*"]}


def test_a_webhook_is_made_where_there_is_none() -> None:
    made, asked = register(recorded("webhooks")["_embedded"]["webhooks"])
    assert (made.state, made.secret) == ("created", "not-a-real-secret-of-mollie")
    assert asked == [("GET", "/v2/webhooks"), ("POST", "/v2/webhooks")]


def test_a_good_webhook_is_kept() -> None:
    made, asked = register([HOOK])
    assert (made, len(asked)) == (Registration(state="kept"), 1)


@pytest.mark.parametrize("flaw", [{"status": "blocked"}, {"eventTypes": ["payment-link.paid"]}])
def test_a_blocked_or_narrower_webhook_is_replaced_without_a_gap(flaw: Json) -> None:
    made, asked = register([{**HOOK, **flaw}])
    assert (made.state, made.secret is not None) == ("repaired", True)
    assert asked[1:] == [("POST", "/v2/webhooks"), ("DELETE", "/v2/webhooks/wh_1")]


def test_an_api_key_is_not_asked_to_make_a_webhook() -> None:
    assert connector.register is not None
    for key in ("live_x", "test_x"):
        with pytest.raises(Permanent, match="access token"):
            hold(connector.register(credentials(key), URL), nobody)
