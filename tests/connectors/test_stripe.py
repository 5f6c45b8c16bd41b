"""Stripe: what each body means, what is asked, and its own library as counterparty."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
import stripe

from connectors import registry, samples
from connectors.base import Credentials, Fetch, Page, Registration, Request, Verified
from connectors.contract import deliver, signed
from connectors.payload import Payload, micros
from core.errors import MalformedPayload, Permanent, SignatureRejected
from core.events import (
    BankAccount,
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
    PayoutItem,
    PayoutStatus,
    Record,
    Reference,
    Refund,
    RefundStatus,
    TransactionStatus,
)
from core.money import Money
from tests.connectors.asking import hold
from tests.connectors.streams import answer

connector = registry.get("stripe")
assert connector.api is not None
assert connector.pull is not None
assert connector.register is not None
Json = dict[str, Any]
NOW = datetime(2026, 11, 3, 9, 0, tzinfo=UTC)
T = 1762160400
PI, CH, IN = "pi_3RledgerwireDemo000001", "ch_3RledgerwireDemo000001", "in_1RledgerwireDemo000001"
ACCOUNT = "acct_1RledgerwireDemo"
NUMBER = Reference(0, "INV-2026-0042")
ORDER = Reference(3, "Order 1042")


def seconds(value: int) -> datetime:
    return datetime.fromtimestamp(value, UTC)


def said(name: str, variant: str | None = None) -> Json:
    body: Json = json.loads(samples.load("stripe", name, variant))
    return body


def reading(body: Json) -> Any:
    (event,) = connector.open(deliver({}, json.dumps(body).encode()), Verified())
    return connector.read(event.name, event.item)


def read(name: str, variant: str | None = None) -> list[Record]:
    found = reading(said(name, variant))
    assert not isinstance(found, Fetch), name
    return list(found)


def credentials(external_id: str | None = None) -> Credentials:
    return Credentials(secrets={"api_key": "sk_test_1"}, settings={}, external_id=external_id, asked_at=NOW)


class Stripe:
    """The recorded API; keeps what was asked. `answers` replaces what a path gives."""

    def __init__(self, **answers: object) -> None:
        self.asked: list[Request] = []
        self.answers = answers

    def __call__(self, request: Request) -> object:
        self.asked.append(request)
        for name, given in self.answers.items():
            if name in request.url:
                return given
        for route in json.loads(samples.api("stripe", "routes")):
            steps, wanted = request.url.split("/"), route["path"].split("/")
            fits = len(steps) == len(wanted) and all(a in (b, "{id}") for b, a in zip(steps, wanted, strict=True))
            query = route.get("query", {})
            there = all(name in request.params and want in ("*", request.params[name]) for name, want in query.items())
            if fits and there and route["method"] == request.method:
                held = samples.api("stripe", route["answer"].removesuffix(".json")).decode()
                return json.loads(held.replace("{id}", steps[-1]))
        raise AssertionError(request.url)


def fetch(body: Json, api: Stripe, external_id: str | None = None) -> list[Record]:
    found = reading(body)
    assert isinstance(found, Fetch)
    return answer(found.talk(credentials(external_id)), api)


# The scheme, by its owner.

BODY = b"""{
  "id": "evt_test_webhook",
  "object": "event",
  "data": { "object": { "id": "rdr_123", "object": "terminal.reader" } }
}"""


@pytest.mark.parametrize(
    ("at", "seal"),
    [
        (12345, "07b1ede164afb7b5de91267ffa656f568c65d6e0783ce0ac55ee094643578eda"),
        (1700000000, "3bfab77baf5f7b6991a46c9b53b6547d7afc56148b10468fcad9f35c1992ffbd"),
    ],
)
def test_the_librarys_own_example_is_accepted(at: int, seal: str) -> None:
    delivery = deliver({"Stripe-Signature": f"t={at},v1={seal},v0=6ffbb59b"}, BODY, received_at=seconds(at))
    assert connector.verify(delivery, ["whsec_test_secret"]).secret_index == 0


@pytest.mark.parametrize(
    "header",
    [
        "i'm not even a header",
        "t=1700000000,v0=3bfab77baf5f7b6991a46c9b53b6547d7afc56148b10468fcad9f35c1992ffbd",
        "t=1700000000,v1=bad_signature",
        "t=1700000000, v1=3bfab77baf5f7b6991a46c9b53b6547d7afc56148b10468fcad9f35c1992ffbd",
        "t=1700000000,v1=3BFAB77BAF5F7B6991A46C9B53B6547D7AFC56148B10468FCAD9F35C1992FFBD",
        "t=12345,v1=3bfab77baf5f7b6991a46c9b53b6547d7afc56148b10468fcad9f35c1992ffbd",
    ],
)
def test_what_the_library_refuses_is_refused(header: str) -> None:
    delivery = deliver({"Stripe-Signature": header}, BODY, received_at=seconds(1700000000))
    with pytest.raises(SignatureRejected):
        connector.verify(delivery, ["whsec_test_secret"])


def test_what_the_library_signs_is_accepted_and_what_is_signed_here_the_library_accepts() -> None:
    body, secret = samples.load("stripe", "charge.succeeded"), "whsec_bm90IGJhc2U2NA=="
    now = int(datetime.now(UTC).timestamp())
    seal = stripe.WebhookSignature._compute_signature(f"{now}.{body.decode()}", secret)
    theirs = deliver({"Stripe-Signature": f"t={now},v1={'0' * 64},v1={seal}"}, body, received_at=seconds(now))
    assert connector.verify(theirs, ["whsec_other", secret]).secret_index == 1
    ours = signed(connector, body, secret, at=seconds(now)).header("stripe-signature")
    event = stripe.Webhook.construct_event(body.decode(), ours, secret)
    assert event["data"]["object"]["id"] == CH


def test_every_event_that_is_asked_for_is_one_the_library_knows() -> None:
    given = stripe.params.WebhookEndpointCreateParams.__annotations__["enabled_events"]
    text = str(given)
    unknown = [name for name in connector.events if f"'{name}'" not in text and f'"{name}"' not in text]
    assert unknown == []


# Payments.

SUCCEEDED = Payment(
    object_id=PI,
    version=(T + 12) * 1_000_000,
    status=PaymentStatus.SUCCEEDED,
    money=Money(250000, "USD"),
    occurred_at=seconds(T + 12),
    references=(NUMBER, ORDER),
    payer_email="payer@example.com",
    description="Order 1042",
)


def test_a_succeeded_intent_is_money_received() -> None:
    assert read("payment_intent.succeeded") == [SUCCEEDED]


def test_the_charge_of_an_intent_is_the_same_payment_and_says_more() -> None:
    assert read("charge.succeeded") == [
        replace(SUCCEEDED, occurred_at=seconds(T + 11), method="card", payer_name="Asha Rao")
    ]


def test_a_checkout_page_is_the_same_payment_and_brings_its_reference() -> None:
    (payment,) = read("checkout.session.completed")
    assert isinstance(payment, Payment)
    assert (payment.object_id, payment.status, payment.money) == (PI, PaymentStatus.SUCCEEDED, Money(250000, "USD"))
    assert payment.references == (Reference(1, "INV-2026-0042"),)


def test_an_old_paid_invoice_gives_its_number_to_its_payment() -> None:
    payment, invoice = read("invoice.paid", "2020_08_27")
    assert isinstance(payment, Payment)
    assert (payment.object_id, payment.money) == ("pi_000000000000000000000000", Money(2000, "USD"))
    assert Reference(1, "EE1DF78D-0001") in payment.references
    assert isinstance(invoice, MirroredInvoice)


@pytest.mark.parametrize(
    ("name", "variant", "status", "failure"),
    [
        ("payment_intent.created", None, PaymentStatus.PENDING, None),
        ("payment_intent.requires_action", None, PaymentStatus.PENDING, None),
        ("payment_intent.amount_capturable_updated", None, PaymentStatus.PENDING, None),
        ("payment_intent.payment_failed", None, PaymentStatus.FAILED, "Your card has insufficient funds."),
        ("payment_intent.canceled", None, PaymentStatus.FAILED, "abandoned"),
        ("payment_intent.succeeded", "2020_08_27", PaymentStatus.SUCCEEDED, None),
        ("charge.succeeded", "authorised_only", PaymentStatus.PENDING, None),
        ("charge.captured", None, PaymentStatus.SUCCEEDED, None),
        ("charge.expired", None, PaymentStatus.FAILED, None),
        ("charge.failed", None, PaymentStatus.FAILED, "Your card has insufficient funds."),
        ("charge.refunded", None, PaymentStatus.SUCCEEDED, None),
        ("checkout.session.completed", "to_be_paid_later", PaymentStatus.PENDING, None),
        ("checkout.session.async_payment_failed", None, PaymentStatus.FAILED, None),
        ("checkout.session.async_payment_succeeded", None, PaymentStatus.SUCCEEDED, None),
    ],
)
def test_the_status_of_a_payment(name: str, variant: str | None, status: PaymentStatus, failure: str | None) -> None:
    (payment,) = read(name, variant)
    assert isinstance(payment, Payment)
    assert (payment.status, payment.failure) == (status, failure)


@pytest.mark.parametrize(
    ("variant", "money"),
    [
        pytest.param("captured_in_part", Money(180000, "USD"), id="what was captured, not what was asked"),
        pytest.param("yen", Money(5000, "JPY"), id="no decimals"),
        pytest.param("dinar", Money(12340, "KWD"), id="three decimals"),
        pytest.param("krona_of_two_places", Money(500, "ISK"), id="two decimals where ISO has none"),
    ],
)
def test_amounts_have_stripes_decimal_places(variant: str, money: Money) -> None:
    (payment,) = read("payment_intent.succeeded", variant)
    assert isinstance(payment, Payment)
    assert payment.money == money


def test_an_amount_that_would_lose_a_digit_is_refused() -> None:
    body = said("payment_intent.succeeded", "krona_of_two_places")
    body["data"]["object"]["amount_received"] = 50050
    with pytest.raises(MalformedPayload, match=r"data\.object\.amount_received"):
        reading(body)


def test_a_charge_without_an_intent_is_known_by_itself() -> None:
    (payment,) = read("charge.succeeded", "without_intent")
    assert isinstance(payment, Payment)
    assert payment.object_id == CH


@pytest.mark.parametrize(
    ("name", "variant"),
    [
        ("checkout.session.completed", "subscription"),
        ("refund.created", "of_a_top_up"),
        ("payout.paid", "below_zero"),
        ("invoice_payment.paid", "outside_stripe"),
    ],
)
def test_what_moves_no_customers_money_says_nothing(name: str, variant: str) -> None:
    assert read(name, variant) == []


# Refunds, disputes, payouts.

REFUND = Refund(
    object_id="re_3RledgerwireDemo000001",
    version=(T + 7200) * 1_000_000,
    payment_id=PI,
    status=RefundStatus.SUCCEEDED,
    money=Money(100000, "USD"),
    occurred_at=seconds(T + 7200),
    reason="requested_by_customer",
)


def test_a_refund_belongs_to_the_intent_where_there_is_one() -> None:
    assert read("refund.created") == [replace(REFUND, status=RefundStatus.PENDING)]
    (failed,) = read("refund.failed")
    assert isinstance(failed, Refund)
    assert (failed.status, failed.reason) == (RefundStatus.RETURNED, "expired_or_canceled_card")
    (old,) = read("charge.refund.updated")
    assert isinstance(old, Refund)
    assert old.payment_id == "ch_000000000000000000000000"


def test_the_sum_on_a_refunded_charge_is_no_refund_but_old_shapes_hold_the_refunds() -> None:
    assert [type(one) for one in read("charge.refunded")] == [Payment]
    assert read("charge.refunded", "refunds_inside")[1:] == [REFUND]


def captured_in_part(*refunds: tuple[str, int, int]) -> list[Any]:
    """What a charge of 2500.00 says of which 2000.00 was captured: its refunds are (id, amount, time)."""
    event = json.loads(samples.load("stripe", "charge.refunded", "refunds_inside"))
    charge = event["data"]["object"]
    (one,) = charge["refunds"]["data"]
    charge["amount_captured"], charge["amount_refunded"] = 200_000, sum(amount for _, amount, _ in refunds)
    charge["refunds"]["data"] = [
        {**one, "id": identity, "amount": amount, "created": at} for identity, amount, at in refunds
    ]
    reading = connector.read("charge.refunded", Payload(event))
    assert isinstance(reading, Sequence)
    return list(reading)


def test_what_was_never_captured_is_listed_as_the_first_refund_and_takes_nothing() -> None:
    payment, later, release = captured_in_part(("re_later", 50_000, T + 900), ("re_release", 50_000, T + 60))
    assert payment.money == Money(200_000, "USD")
    assert (later.object_id, later.status) == ("re_later", RefundStatus.SUCCEEDED)
    assert (release.object_id, release.status) == ("re_release", RefundStatus.RETURNED)
    # Only that very amount, and only the first: anything else was given back by the merchant.
    assert [one.status for one in captured_in_part(("re_1", 30_000, T + 60))[1:]] == [RefundStatus.SUCCEEDED]
    of_two = captured_in_part(("re_1", 30_000, T + 60), ("re_2", 50_000, T + 90))[1:]
    assert [one.status for one in of_two] == [RefundStatus.SUCCEEDED] * 2


def test_between_the_shapes_the_refunds_of_a_charge_are_listed() -> None:
    api = Stripe()
    payment, refund = fetch(said("charge.refunded", "refunds_to_be_listed"), api)
    assert isinstance(payment, Payment)
    assert refund == replace(REFUND, version=micros(NOW))
    assert [(one.url, dict(one.params)) for one in api.asked] == [("/v1/refunds", {"limit": "100", "charge": CH})]
    other = json.loads(samples.api("stripe", "refunds").replace(CH.encode(), b"ch_other"))
    with pytest.raises(MalformedPayload, match="not the one that was asked for"):
        fetch(said("charge.refunded", "refunds_to_be_listed"), Stripe(refunds=other))


@pytest.mark.parametrize(
    ("name", "variant", "status", "deducted"),
    [
        ("charge.dispute.created", None, DisputeStatus.OPEN, 0),
        ("charge.dispute.created", "inquiry_2020_08_27", DisputeStatus.OPEN, 0),
        ("charge.dispute.funds_withdrawn", None, DisputeStatus.OPEN, 0),
        ("charge.dispute.updated", None, DisputeStatus.UNDER_REVIEW, 0),
        ("charge.dispute.closed", None, DisputeStatus.LOST, 250000),
        ("charge.dispute.closed", "won", DisputeStatus.WON, 0),
    ],
)
def test_money_is_deducted_once_a_dispute_is_lost(
    name: str, variant: str | None, status: DisputeStatus, deducted: int
) -> None:
    (dispute,) = read(name, variant)
    assert isinstance(dispute, Dispute)
    assert (dispute.status, dispute.deducted.minor) == (status, deducted)


@pytest.mark.parametrize(
    ("name", "variant", "status", "reference"),
    [
        ("payout.created", None, PayoutStatus.PENDING, None),
        ("payout.paid", "traced", PayoutStatus.PAID, "021000021234567"),
        ("payout.failed", None, PayoutStatus.REVERSED, "021000021234567"),
        ("payout.canceled", None, PayoutStatus.FAILED, "021000021234567"),
    ],
)
def test_a_payout_that_fails_came_back_even_after_it_was_called_paid(
    name: str, variant: str | None, status: PayoutStatus, reference: str | None
) -> None:
    (payout,) = read(name, variant)
    assert isinstance(payout, Payout)
    assert (payout.status, payout.money, payout.bank_reference) == (status, Money(241000, "USD"), reference)


# Invoices.


def test_an_invoice_is_mirrored() -> None:
    invoice = MirroredInvoice(
        object_id=IN,
        version=(T - 80000) * 1_000_000 + 1,
        status=MirroredStatus.OPEN,
        number="EE1DF78D-0042",
        direction="sales",
        total=Money(250000, "USD"),
        due=Money(250000, "USD"),
        issued_on=seconds(T - 80000).date(),
        due_on=seconds(T + 2592000).date(),
        contact_name="Rao Traders",
        contact_email="accounts@example.com",
        url="https://invoice.stripe.com/i/acct_1RledgerwireDemo/test_example",
    )
    assert read("invoice.finalized") == [invoice]


@pytest.mark.parametrize(
    ("name", "variant", "status", "kind", "due"),
    [
        ("invoice.created", None, MirroredStatus.DRAFT, "invoice", 250000),
        ("invoice.updated", None, MirroredStatus.PARTIALLY_PAID, "invoice", 150000),
        ("invoice.paid", None, MirroredStatus.PAID, "invoice", 0),
        ("invoice.marked_uncollectible", None, MirroredStatus.OPEN, "invoice", 250000),
        ("invoice.voided", None, MirroredStatus.VOID, "invoice", 0),
        ("invoice.deleted", None, MirroredStatus.VOID, "invoice", 0),
        ("invoice.finalized", "credit", MirroredStatus.PAID, "credit_note", 0),
        ("credit_note.created", None, MirroredStatus.PAID, "credit_note", 0),
        ("credit_note.voided", None, MirroredStatus.VOID, "credit_note", 0),
    ],
)
def test_the_state_of_an_invoice(name: str, variant: str | None, status: MirroredStatus, kind: str, due: int) -> None:
    (invoice,) = read(name, variant)
    assert isinstance(invoice, MirroredInvoice)
    assert (invoice.status, invoice.kind, invoice.due.minor) == (status, kind, due)
    assert invoice.total.minor > 0


def test_an_invoice_made_finalised_and_paid_within_a_second_ends_paid() -> None:
    told = []
    for name in ("invoice.paid", "invoice.created", "invoice.finalized"):
        (invoice,) = reading({**said(name), "created": T})
        told.append(invoice)
    assert max(told, key=lambda one: one.version).status is MirroredStatus.PAID


def test_a_payment_of_an_invoice_gets_its_number_from_the_invoice() -> None:
    payment, invoice = fetch(said("invoice_payment.paid"), Stripe())
    assert isinstance(payment, Payment)
    assert (payment.object_id, payment.version) == (PI, micros(NOW))
    assert payment.references == (NUMBER, Reference(1, "EE1DF78D-0042"), ORDER)
    assert isinstance(invoice, MirroredInvoice)
    assert invoice.status is MirroredStatus.PAID


# Pointers and bank accounts.


def test_a_thin_event_is_fetched_and_means_what_the_full_one_does() -> None:
    api = Stripe()
    assert fetch(said("payment_intent.succeeded", "thin"), api) == [replace(SUCCEEDED, version=micros(NOW))]
    assert [one.url for one in api.asked] == [f"/v1/payment_intents/{PI}"]


def test_another_object_than_the_one_pointed_at_is_refused() -> None:
    other = json.loads(samples.api("stripe", "payment_intent"))
    with pytest.raises(MalformedPayload, match="not the one that was asked for"):
        fetch(said("payment_intent.succeeded", "thin"), Stripe(payment_intents={**other, "id": "pi_other"}))


def test_a_pointer_that_leads_elsewhere_is_refused_before_anything_is_asked() -> None:
    body = said("payment_intent.succeeded", "thin")
    body["related_object"]["url"] = "https://evil.example/v1/payment_intents/pi_1"
    with pytest.raises(MalformedPayload, match="a path below /v1/"):
        reading(body)


def test_new_bank_transactions_are_listed_with_their_account() -> None:
    api = Stripe()
    account, credit, pending, void = fetch(said("financial_connections.account.refreshed_transactions"), api, ACCOUNT)
    assert account == BankAccount(
        object_id="fca_1RledgerwireDemo00001",
        version=(T + 1) * 1_000_000,
        name="Example Bank Business Checking 6789",
        currency="USD",
        number="6789",
        kind="checking",
        balance=Money(1234567, "USD"),
    )
    assert credit == BankTransaction(
        object_id="fctxn_1RledgerwireDemo0001",
        version=T * 1_000_000,
        account_id="fca_1RledgerwireDemo00001",
        status=TransactionStatus.POSTED,
        money=Money(250000, "USD"),
        narration="ACH CREDIT INV-2026-0042",
        occurred_at=seconds(T - 3600),
    )
    assert isinstance(pending, BankTransaction)
    assert isinstance(void, BankTransaction)
    assert (pending.status, pending.money.minor) == (TransactionStatus.PENDING, -1999)
    assert void.status is TransactionStatus.REMOVED
    assert [one.params.get("starting_after") for one in api.asked] == [None, "fctxn_1RledgerwireDemo0002"]
    assert {one.headers["Stripe-Account"] for one in api.asked} == {ACCOUNT}


def test_a_list_that_leads_in_a_circle_is_refused() -> None:
    first = json.loads(samples.api("stripe", "transactions_page_1"))
    with pytest.raises(MalformedPayload, match="circle"):
        fetch(said("financial_connections.account.refreshed_transactions"), Stripe(transactions=first))


@pytest.mark.parametrize(
    ("name", "available"), [("created", True), ("reactivated", True), ("deactivated", False), ("disconnected", False)]
)
def test_a_bank_account_is_there_while_it_is_active(name: str, available: bool) -> None:
    (account,) = read(f"financial_connections.account.{name}")
    assert isinstance(account, BankAccount)
    assert account.available is available


def test_a_connected_account_that_leaves_ends_its_connection() -> None:
    body = said("account.application.deauthorized")
    state = ConnectionState(
        object_id=ACCOUNT,
        version=(T + 9999999) * 1_000_000,
        health=ConnectionHealth.REVOKED,
        reason="access withdrawn at Stripe",
    )
    assert reading(body) == [state]
    assert connector.external_id(Payload(body)) == ACCOUNT
    assert connector.external_id(Payload(said("payout.paid"))) is None


# Pull and registration.


def pulled(api: Stripe, cursor: str | None, external_id: str | None = None) -> Page:
    assert connector.pull is not None
    return hold(connector.pull.talk(credentials(external_id), cursor, seconds(T)), api)


def test_a_pull_reads_the_events_that_webhooks_would_have_brought_page_by_page() -> None:
    api = Stripe()
    first = pulled(api, None)
    assert first.more
    second = pulled(api, first.cursor)
    assert not second.more
    assert second.records == [*read("refund.updated"), SUCCEEDED]
    assert [type(one) for one in first.records] == [Payout]
    last = json.loads(samples.api("stripe", "events_page_1"))["data"][-1]["id"]
    assert [dict(one.params) for one in api.asked] == [
        {"limit": "100", "created[gte]": str(T)},
        {"limit": "100", "created[gte]": str(T), "starting_after": last},
    ]
    # The next pull begins a little before the newest event of this one.
    pulled(api, second.cursor)
    assert api.asked[-1].params["created[gte]"] == str(T + 172800 - 300)


def test_a_pull_that_finds_nothing_begins_where_it_began() -> None:
    nothing = json.loads(samples.api("stripe", "events_none"))
    assert pulled(Stripe(events=nothing), None) == Page(records=[], cursor=str(T))


def test_a_pull_in_a_circle_or_of_another_account_is_refused() -> None:
    first = json.loads(samples.api("stripe", "events_page_1"))
    page = pulled(Stripe(events=first), None)
    with pytest.raises(MalformedPayload, match="circle"):
        pulled(Stripe(events=first), page.cursor)
    first["data"][0]["account"] = "acct_other"
    with pytest.raises(MalformedPayload, match="the account that was asked about"):
        pulled(Stripe(events=first), None, ACCOUNT)


URL = "https://ledgerwire.example/api/connectors/stripe/webhook/1"


def registered(api: Stripe, external_id: str | None = None) -> Registration:
    assert connector.register is not None
    return hold(connector.register(credentials(external_id), URL), api)


def endpoints(**changes: object) -> Json:
    listed: Json = json.loads(samples.api("stripe", "webhook_endpoints"))
    listed["data"].append({**listed["data"][0], "id": "we_ours", "url": URL, **changes})
    return listed


def test_an_endpoint_is_made_where_there_is_none_and_its_secret_is_told() -> None:
    api = Stripe()
    done = registered(api, ACCOUNT)
    assert (done.state, done.secret) == ("created", "whsec_LedgerwireDemoSecret")
    made = api.asked[-1]
    assert made.form is not None
    assert (made.method, made.form["url"], made.form["connect"]) == ("POST", URL, "true")
    assert {made.form[f"enabled_events[{n}]"] for n in range(len(connector.events))} == set(connector.events)
    assert "whsec" not in repr(done)


@pytest.mark.parametrize("have", [["*"], sorted(connector.events), [*connector.events, "customer.created"]])
def test_an_endpoint_that_sends_everything_is_kept(have: list[str]) -> None:
    api = Stripe(webhook_endpoints=endpoints(enabled_events=have, status="enabled"))
    assert registered(api) == Registration(state="kept")
    assert [one.method for one in api.asked] == ["GET"]


@pytest.mark.parametrize(
    "changes",
    [
        {"enabled_events": ["*"], "status": "disabled"},
        {"enabled_events": ["charge.succeeded", "customer.created"], "status": "enabled"},
    ],
)
def test_an_endpoint_that_is_off_or_lacks_events_is_repaired(changes: Json) -> None:
    api = Stripe(webhook_endpoints=endpoints(**changes))
    assert registered(api) == Registration(state="repaired")
    repaired = api.asked[-1]
    assert repaired.form is not None
    assert (repaired.url, repaired.form["disabled"]) == ("/v1/webhook_endpoints/we_ours", "false")
    kept = set(changes["enabled_events"]) - {"*"}
    assert set(repaired.form.values()) >= set(connector.events) | kept


def test_without_a_key_nothing_is_asked() -> None:
    assert connector.api is not None
    with pytest.raises(Permanent, match="the connection has no api_key"):
        next(connector.api.authorize(Credentials(secrets={}, settings={}, external_id=None)))
    with pytest.raises(StopIteration) as end:
        next(connector.api.authorize(credentials()))
    assert end.value.value.headers["Authorization"] == "Bearer sk_test_1"


# Payouts and what they hold.

PO = "po_1RledgerwireDemo000001"


def test_a_payout_that_stripe_made_is_told_with_the_movements_that_are_in_it() -> None:
    api = Stripe()
    payout, *parts = fetch(said("payout.reconciliation_completed"), api)
    assert isinstance(payout, Payout)
    told = [one for one in parts if isinstance(one, PayoutItem)]
    assert [(one.kind, one.subject_id, one.money.minor, one.fee.minor) for one in told] == [
        ("payment", "pi_1RledgerwireDemo000001", 200000, 6100),
        # A charge without an intent is the payment itself.
        ("payment", "ch_1RledgerwireDemo000002", 80000, 2600),
        ("refund", "re_1RledgerwireDemo000001", -20000, 0),
        ("dispute", "dp_1RledgerwireDemo000001", -7500, 1500),
        ("fee", None, -1300, 0),
    ]
    assert {one.payout_id for one in told} == {PO}
    # The payout is among its own movements, and is none of its parts.
    assert sum(one.money.minor - one.fee.minor for one in told) == payout.money.minor
    first, second = (dict(one.params) for one in api.asked)
    assert first == {"limit": "100", "payout": PO, "expand[]": "data.source"}
    assert second == {**first, "starting_after": "txn_1RledgerwireDemo000007"}


def test_a_payout_that_a_person_asked_for_has_no_list_of_parts() -> None:
    body = said("payout.reconciliation_completed")
    body["data"]["object"]["automatic"] = False
    assert [type(one) for one in reading(body)] == [Payout]
    body["data"]["object"] |= {"automatic": True, "amount": -100}
    assert reading(body) == []


def test_a_movement_of_an_unknown_kind_is_an_adjustment() -> None:
    page = json.loads(samples.api("stripe", "balance_transactions_page_2"))
    page["data"] = [
        {**page["data"][0], "reporting_category": "risk_reserved_funds", "source": None},
        # An old dispute names the charge, which is the payment and not the dispute.
        {**page["data"][1], "source": {"id": "ch_9", "object": "charge"}},
    ]
    _, *parts = fetch(said("payout.reconciliation_completed"), Stripe(balance_transactions=page))
    assert [(one.kind, one.subject_id) for one in parts if isinstance(one, PayoutItem)] == [("adjustment", None)] * 2
