"""GoCardless: batches of pointers, and what is fetched for them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from gocardless_pro import webhooks
from gocardless_pro.errors import InvalidSignatureError

from connectors import registry, samples
from connectors.base import Authorization, Credentials, Fetch, Page, Request, Verified
from connectors.contract import deliver
from connectors.payload import micros
from core.errors import MalformedPayload, SignatureRejected
from core.events import (
    BankAccount,
    BankTransaction,
    ConnectionHealth,
    ConnectionState,
    Dispute,
    DisputeStatus,
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
from tests.connectors.asking import asked
from tests.connectors.streams import answer

connector = registry.get("gocardless")
NOW = datetime(2026, 11, 3, 9, 0, tzinfo=UTC)
SELLER = "OR0001TESTSELLER"
PM = "PM000SAMPLE001"
PO = "PO000SAMPLE001"
Json = dict[str, Any]

SDK_BODY = (
    b'{"events":[{"id":"EV00BD05S5VM2T","created_at":"2018-07-05T09:13:51.404Z","resource_type":"subscriptions",'
    b'"action":"created","links":{"subscription":"SB0003JJQ2MR06"},"details":{"origin":"api",'
    b'"cause":"subscription_created","description":"Subscription created via the API."},"metadata":{}},'
    b'{"id":"EV00BD05TB8K63","created_at":"2018-07-05T09:13:56.893Z","resource_type":"mandates","action":"created",'
    b'"links":{"mandate":"MD000AMA19XGEC"},"details":{"origin":"api","cause":"mandate_created",'
    b'"description":"Mandate created via the API."},"metadata":{}}]}'
)
BATCH = (
    b'{"events":[{"id":"EV0001TESTBATCH1","created_at":"2026-07-07T10:00:00.000Z","resource_type":"payments",'
    b'"action":"confirmed","links":{"payment":"PM123"},"details":{"origin":"gocardless","cause":"payment_confirmed",'
    b'"description":"Enough time has passed since the payment was submitted for the banks to return an error, so '
    b'this payment is now confirmed."}},{"id":"EV0002TESTBATCH2","created_at":"2026-07-07T10:00:00.000Z",'
    b'"resource_type":"payments","action":"failed","links":{"payment":"PM456"},"details":{"origin":"bank",'
    b'"cause":"insufficient_funds","description":"The customer\'s account had insufficient funds to make this '
    b'payment.","scheme":"bacs","reason_code":"ARUDD-0","will_attempt_retry":false}}]}'
)
MANDATE = (
    b'{"events":[{"id":"EV123","created_at":"2014-08-04T12:00:00.000Z","action":"cancelled",'
    b'"resource_type":"mandates","links":{"mandate":"MD123","organisation":"OR123"},"details":{"origin":"bank",'
    b'"cause":"bank_account_disabled","description":"Your customer closed their bank account.","scheme":"bacs",'
    b'"reason_code":"ADDACS-B"}}]}'
)
VECTORS = [
    pytest.param(
        "ED7D658C-D8EB-4941-948B-3973214F2D49",
        SDK_BODY,
        "2693754819d3e32d7e8fcb13c729631f316c6de8dc1cf634d6527f1c07276e7e",
        id="of the SDK",
    ),
    pytest.param(
        "WEBHOOK_SECRET_1", BATCH, "c758f9c26e9bf429e93891e4bbf75894fe669b6f81fcc765d74585171ae44f3f", id="a batch"
    ),
    pytest.param(
        "WEBHOOK_SECRET_2",
        BATCH,
        "0021d24d52247c0db15a40171864c36d25c085cf58f4d5a9a238c137e0cf84a2",
        id="under another secret",
    ),
    pytest.param(
        "my_webhook_secret", MANDATE, "d62f67f03929fa7fb6dc8449336a5967471532ae6acf50072061cdb8e5beaab2", id="a mandate"
    ),
]


@pytest.mark.parametrize(("secret", "body", "seal"), VECTORS)
def test_the_published_vectors_hold(secret: str, body: bytes, seal: str) -> None:
    delivery = deliver({"webhook-signature": seal}, body)
    assert connector.verify(delivery, ["another", secret]) == Verified(secret_index=1)
    with pytest.raises(SignatureRejected):
        connector.verify(deliver({"webhook-signature": seal.upper()}, body), [secret])
    with pytest.raises(SignatureRejected):
        connector.verify(deliver({"webhook-signature": seal}, body + b"\n"), [secret])


def test_the_sdks_own_body_is_the_published_one() -> None:
    assert len(SDK_BODY) == 550
    assert hashlib.sha256(SDK_BODY).hexdigest() == "a06a20a86802b35b6d4650ba0bd4fef1185da26091f99b70ad53e13684cfe2f6"


def test_what_we_sign_the_sdk_takes_and_reads_as_we_do() -> None:
    secret = connector.signature.new_secret()
    signed = connector.signature.sign(BATCH, secret, at=NOW, message_id="m")
    (seal,) = signed.headers.values()
    theirs = webhooks.parse(BATCH, secret, seal)
    ours = connector.open(deliver(signed.headers, BATCH), Verified())
    assert [event.id for event in theirs] == [event.id for event in ours] == ["EV0001TESTBATCH1", "EV0002TESTBATCH2"]
    with pytest.raises(InvalidSignatureError):
        webhooks.parse(BATCH, "another", seal)


def test_every_event_of_a_delivery_is_one_of_its_own_and_the_unknown_one_spoils_none() -> None:
    said = json.loads(BATCH)
    said["events"].insert(1, {**said["events"][0], "id": "EV9", "resource_type": "comets", "action": "seen"})
    events = connector.open(deliver({}, json.dumps(said).encode()), Verified())
    assert [event.name for event in events] == ["payments.confirmed", "comets.seen", "payments.failed"]
    readings = [connector.read(event.name, event.item) for event in events]
    assert [type(reading) for reading in readings] == [Fetch, type(None), Fetch]


def test_resources_that_move_no_money_are_ignored_whatever_their_action() -> None:
    events = connector.open(deliver({}, SDK_BODY), Verified())
    assert [event.name for event in events] == ["subscriptions", "mandates"]
    assert all(connector.ignores(event.name) for event in events)


def test_the_dashboards_test_events_point_at_nothing_and_ask_nothing() -> None:
    (event,) = connector.open(deliver({}, samples.load("gocardless", "payments.failed", "test_button")), Verified())
    assert connector.read(event.name, event.item) == []


def recorded(name: str, identity: str = PM, **changed: object) -> Json:
    found: Json = json.loads(samples.api("gocardless", name).decode().replace("{id}", identity))
    for value in found.values():
        if isinstance(value, dict) and "id" in value:
            value.update(changed)
    return found


def told(*actions: str, payment: str = PM) -> Json:
    events = [
        {
            "action": action,
            "created_at": f"2026-07-{day:02d}T09:00:00.000Z",
            "links": {"payment": payment},
            "details": {"cause": f"cause_of_{action}"},
        }
        for day, action in enumerate(actions, 1)
    ]
    return {"events": events[::-1], "meta": {"cursors": {"after": None}}}


def fetched(name: str, reply: Callable[[Request], object], external_id: str | None = SELLER) -> list[Record]:
    (event,) = connector.open(deliver({}, samples.load("gocardless", name)), Verified())
    assert event.external_id == SELLER
    reading = connector.read(event.name, event.item)
    assert isinstance(reading, Fetch)
    return answer(reading.talk(Credentials(secrets={}, settings={}, external_id=external_id, asked_at=NOW)), reply)


def payment(status: str, *actions: str, name: str = "payments.confirmed") -> list[Record]:
    shown, events = recorded("payment", status=status), told(*actions)
    return fetched(name, lambda request: events if request.url == "/events" else shown)


CONFIRMED = Payment(
    object_id=PM,
    version=micros(NOW),
    status=PaymentStatus.SUCCEEDED,
    money=Money(129900, "GBP"),
    occurred_at=datetime(2026, 7, 1, 12, tzinfo=UTC),
    references=(Reference(0, "INV-2041"), Reference(1, "WINEBOX001"), Reference(2, "Work in June")),
    method="bacs",
    bank_reference="WINEBOX001",
    description="Work in June",
)


def test_a_payment_is_fetched_with_its_amount_and_names_its_invoice() -> None:
    asked_for: list[tuple[str, object]] = []

    def reply(request: Request) -> Json:
        asked_for.append((request.url, request.params.get("payment")))
        return told("created", "confirmed") if request.url == "/events" else recorded("payment")

    assert fetched("payments.confirmed", reply) == [CONFIRMED]
    assert asked_for == [(f"/payments/{PM}", None), ("/events", PM)]


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        ("pending_customer_approval", PaymentStatus.PENDING),
        ("pending_submission", PaymentStatus.PENDING),
        ("submitted", PaymentStatus.PENDING),
        ("confirmed", PaymentStatus.SUCCEEDED),
        ("paid_out", PaymentStatus.SUCCEEDED),
        ("cancelled", PaymentStatus.FAILED),
        ("customer_approval_denied", PaymentStatus.FAILED),
        ("failed", PaymentStatus.FAILED),
    ],
)
def test_the_status_of_what_was_fetched_decides_and_not_the_events_name(status: str, expected: PaymentStatus) -> None:
    (record,) = payment(status, "created", status)
    assert isinstance(record, Payment)
    assert record.status is expected
    assert record.failure == (f"cause of {status.replace('_', ' ')}" if expected is PaymentStatus.FAILED else None)


@pytest.mark.parametrize(
    ("status", "actions", "gone"),
    [
        pytest.param("charged_back", ("confirmed", "charged_back"), 129900, id="charged back"),
        pytest.param("paid_out", ("confirmed", "charged_back", "chargeback_cancelled"), 0, id="chargeback cancelled"),
        pytest.param("failed", ("confirmed", "failed"), 129900, id="failed after it was confirmed"),
        pytest.param("failed", ("paid_out", "failed", "late_failure_settled"), 129900, id="failed after the payout"),
        pytest.param("confirmed", ("confirmed", "failed", "confirmed"), 0, id="collected again"),
    ],
)
def test_money_that_was_confirmed_and_is_gone_again_is_a_dispute(
    status: str, actions: tuple[str, ...], gone: int
) -> None:
    paid, dispute = payment(status, "created", *actions)
    assert isinstance(paid, Payment)
    assert paid.status is PaymentStatus.SUCCEEDED
    assert isinstance(dispute, Dispute)
    assert (dispute.object_id, dispute.payment_id) == (f"{PM}:taken-back", PM)
    assert (dispute.status, dispute.deducted) == (DisputeStatus.CLOSED, Money(gone, "GBP"))


def test_a_payment_that_failed_and_was_never_confirmed_is_no_dispute() -> None:
    assert len(payment("failed", "created", "submitted", "failed")) == 1
    assert len(payment("confirmed", "failed", "resubmission_requested", "confirmed")) == 2


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        ("created", RefundStatus.PENDING),
        ("paid", RefundStatus.SUCCEEDED),
        ("cancelled", RefundStatus.FAILED),
        ("bounced", RefundStatus.RETURNED),
        ("funds_returned", RefundStatus.RETURNED),
    ],
)
def test_a_refund_may_come_back_after_it_was_paid(status: str, expected: RefundStatus) -> None:
    identity = "RF000SAMPLE001"
    assert fetched("refunds.failed", lambda _: recorded("refund", identity, status=status)) == [
        Refund(
            object_id=identity,
            version=micros(NOW),
            payment_id=PM,
            status=expected,
            money=Money(15000, "GBP"),
            occurred_at=datetime(2026, 7, 8, 12, tzinfo=UTC),
            reason="WINEBOX001-R",
        )
    ]


def test_a_refund_of_no_payment_is_money_sent_to_somebody() -> None:
    (sent,) = fetched("refunds.paid", lambda _: recorded("refund", "RF000SAMPLE001", links={"mandate": "MD1"}))
    assert isinstance(sent, Payout)
    assert (sent.status, sent.to_third_party) == (PayoutStatus.PAID, True)


def items(request: Request) -> Json:
    assert request.params["payout"] == PO
    return recorded("payout_items_page_2" if "after" in request.params else "payout_items")


def paid_out(**changed: object) -> list[Record]:
    return fetched(
        "payouts.paid",
        lambda request: items(request) if request.url == "/payout_items" else recorded("payout", PO, **changed),
    )


def test_a_payout_arrives_less_the_fees_with_what_it_holds_and_one_of_nothing_is_none() -> None:
    payout, *parts = paid_out()
    assert payout == Payout(
        object_id=PO,
        version=micros(NOW),
        status=PayoutStatus.PAID,
        money=Money(112000, "GBP"),
        occurred_at=datetime(2026, 7, 8, 12, tzinfo=UTC),
        fee=Money(2900, "GBP"),
        bank_reference="AC-1TD2H",
    )
    told = [one for one in parts if isinstance(one, PayoutItem)]
    assert [(one.kind, one.subject_id, one.money.minor, one.fee.minor) for one in told] == [
        # A chargeback is told as the dispute that a payment's own news makes of it.
        ("dispute", "PM125:taken-back", -25000, 0),
        # Tenths of a penny, of the fees of two payments and a partner's: rounded so that the sum is the payout.
        ("payment", "PM123", 100000, 2480),
        ("payment", "PM124", 40000, 420),
        ("refund", "RF123", -100, 0),
    ]
    assert sum(one.money.minor - one.fee.minor for one in told) == payout.money.minor
    assert len({one.object_id for one in told}) == len(told)
    assert paid_out(amount=0) == []


def test_items_are_not_asked_for_before_a_payout_is_paid_or_once_it_is_old() -> None:
    assert len(paid_out(status="pending")) == 1
    assert len(paid_out(created_at="2026-04-08T12:00:00.000Z")) == 1


@pytest.mark.parametrize("amount", ["12,0", "1e3", "", "-", "1.00000", "12345678901234567"])
def test_an_item_whose_amount_is_no_number_is_refused(amount: str) -> None:
    spoiled = recorded("payout_items_page_2")
    spoiled["payout_items"][0]["amount"] = amount
    with pytest.raises(MalformedPayload, match="amount"):
        fetched("payouts.paid", lambda request: spoiled if request.url == "/payout_items" else recorded("payout", PO))


@pytest.mark.parametrize(("direction", "pence"), [("credit", 1000), ("debit", -1000)])
def test_a_line_of_a_payment_account_is_signed_by_its_direction_and_knows_a_day(direction: str, pence: int) -> None:
    identity = "PATR000SAMPLE1"
    account, line = fetched("payment_account_transactions", lambda _: recorded("line", identity, direction=direction))
    assert account == BankAccount(
        object_id="BA123", version=micros(NOW), name="GoCardless payment account", currency="GBP", kind="current"
    )
    assert line == BankTransaction(
        object_id=identity,
        version=micros(NOW),
        account_id="BA123",
        status=TransactionStatus.POSTED,
        money=Money(pence, "GBP"),
        narration="INV-2041 August Acme Ltd GC-058408d9",
        occurred_at=datetime(2026, 7, 1, tzinfo=UTC),
        booked_on=date(2026, 7, 1),
        counterparty="Acme Ltd",
        bank_reference="GC-058408d9",
        balance=Money(251000, "GBP"),
    )


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("payments.confirmed", "payment"),
        ("refunds.paid", "refund"),
        ("payouts.paid", "payout"),
        ("payment_account_transactions", "line"),
    ],
)
def test_an_answer_about_another_object_is_refused(name: str, kind: str) -> None:
    with pytest.raises(MalformedPayload, match="is not the one that was asked for"):
        fetched(name, lambda _: recorded(kind, "another"))


def test_events_of_another_payment_say_nothing_of_this_one() -> None:
    stranger = told("confirmed", "failed", payment="PM-other")
    shown = recorded("payment", status="failed")
    records = fetched("payments.failed", lambda request: stranger if request.url == "/events" else shown)
    assert len(records) == 1


def test_another_sellers_event_is_refused_before_anything_is_asked() -> None:
    with pytest.raises(MalformedPayload, match="another than the connection's"):
        fetched("payments.confirmed", lambda _: pytest.fail("asked"), external_id="OR-other")


def test_a_list_of_events_without_end_is_refused() -> None:
    circle = {"events": [], "meta": {"cursors": {"after": "same"}}}
    with pytest.raises(MalformedPayload, match="circle"):
        fetched("payments.confirmed", lambda request: circle if request.url == "/events" else recorded("payment"))
    endless = iter(range(1000))
    with pytest.raises(MalformedPayload, match="past 20 pages"):
        fetched(
            "payments.confirmed",
            lambda request: (
                {"events": [], "meta": {"cursors": {"after": str(next(endless))}}}
                if request.url == "/events"
                else recorded("payment")
            ),
        )


def test_a_seller_who_disconnects_is_told() -> None:
    (event,) = connector.open(deliver({}, samples.load("gocardless", "organisations.disconnected")), Verified())
    assert connector.read(event.name, event.item) == [
        ConnectionState(
            object_id=SELLER,
            version=micros(datetime(2026, 7, 25, 10, tzinfo=UTC)),
            health=ConnectionHealth.REVOKED,
            reason="access withdrawn at GoCardless",
        )
    ]


def pulled(cursor: str | None) -> tuple[Page, list[Request]]:
    assert connector.pull is not None
    requests: list[Request] = []
    talk = connector.pull.talk(
        Credentials(secrets={}, settings={}, external_id=None, asked_at=NOW), cursor, NOW - timedelta(days=90)
    )

    def reply(request: Request) -> Json:
        requests.append(request)
        if request.url == "/events":
            listed = "events_of_payment" if "payment" in request.params else "events_page_1"
            return recorded("events_page_2" if "after" in request.params else listed)
        if request.url == "/payout_items":
            return items(request)
        kind, identity = request.url.strip("/").split("/")
        return recorded(kind.removesuffix("s"), identity)

    return answer(talk, reply), requests  # type: ignore[return-value,arg-type]  # A page in place of records.


def test_a_pull_fetches_what_each_page_of_events_points_at_once() -> None:
    first, requests = pulled(None)
    kinds = [type(record).__name__ for record in first.records]
    assert kinds == ["Payout", *["PayoutItem"] * 4, "Refund", "Payment"]
    assert requests[0].params["created_at[gte]"] == (NOW - timedelta(days=90)).isoformat()
    assert first.more
    second, requests = pulled(first.cursor)
    # Two events of one payment, and a mandate, which is nobody's money.
    assert [type(record).__name__ for record in second.records] == ["Payment"]
    assert requests[0].params["after"] == "EV00LISTNEXT"
    assert not second.more
    later, requests = pulled(second.cursor)
    assert requests[0].params["created_at[gte]"] == (NOW - timedelta(hours=1)).isoformat()
    assert later.more


def test_a_pull_whose_cursor_stands_still_is_refused() -> None:
    assert connector.pull is not None
    talk = connector.pull.talk(
        Credentials(secrets={}, settings={}, external_id=None, asked_at=NOW), f"{NOW.isoformat()} - here", NOW
    )
    with pytest.raises(MalformedPayload, match="circle"):
        asked(talk, {"events": [], "meta": {"cursors": {"after": "here"}}})


def test_the_token_goes_with_the_version_of_the_api() -> None:
    assert connector.api is not None
    credentials = Credentials(secrets={"access_token": "t"}, settings={}, external_id=None)
    result, _ = asked(connector.api.authorize(credentials))
    assert isinstance(result, Authorization)
    assert result.headers == {"Authorization": "Bearer t", "GoCardless-Version": "2015-07-06"}
