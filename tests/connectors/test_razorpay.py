"""Razorpay: what each body means."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from connectors import registry, samples
from connectors.base import Credentials, Event, Fetch, Page, Request, Response, Verified
from connectors.contract import deliver
from core.errors import MalformedPayload, Permanent
from core.events import (
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
)
from core.money import Money

connector = registry.get("razorpay")


def opened(body: bytes, **headers: str) -> Event:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    (event,) = connector.open(deliver(named, body), Verified(secret_index=0))
    return event


def read(name: str, variant: str | None = None) -> list[Record]:
    return means(json.loads(samples.load("razorpay", name, variant)))


def means(said: dict[str, Any]) -> list[Record]:
    event = opened(json.dumps(said).encode())
    reading = connector.read(event.name, event.item)
    assert reading is not None
    assert not isinstance(reading, Fetch)
    return list(reading)


def seconds(value: int) -> datetime:
    return datetime.fromtimestamp(value, UTC)


CAPTURED = Payment(
    object_id="pay_DESlfW9H8K9uqM",
    version=1567674606_000_000,
    status=PaymentStatus.SUCCEEDED,
    money=Money(100, "INR"),
    occurred_at=seconds(1567674599),
    method="netbanking",
    payer_email="gaurav.kumar@example.com",
    bank_reference="0125836177",
    fee=Money(2, "INR"),
)


def test_a_captured_payment_is_money_received() -> None:
    assert read("payment.captured") == [CAPTURED]


def test_a_settlement_is_a_payout_in_rupees() -> None:
    payout = Payout(
        object_id="setl_Rf8uva1MU98B4l",
        version=1763021990_000_000,
        status=PayoutStatus.PAID,
        money=Money(1524, "INR"),
        occurred_at=seconds(1763019089),
        fee=Money(0, "INR"),
        bank_reference="AXISCN1153863727",
    )
    assert read("settlement.processed") == [payout]


@pytest.mark.parametrize(
    ("name", "variant", "status"),
    [
        pytest.param("payment.authorized", None, PaymentStatus.PENDING, id="authorised"),
        pytest.param(
            "payment.authorized", "card", PaymentStatus.PENDING, id="authorised card that says captured: true"
        ),
        pytest.param("payment.authorized", "sdk_vector", PaymentStatus.PENDING, id="authorised with status captured"),
        pytest.param("payment.pending", None, PaymentStatus.PENDING, id="cash on delivery"),
        pytest.param("payment.failed", None, PaymentStatus.FAILED, id="failed"),
        pytest.param("payment.captured", "card", PaymentStatus.SUCCEEDED, id="captured card"),
        pytest.param("order.paid", None, PaymentStatus.SUCCEEDED, id="order paid"),
        pytest.param("refund.processed", "full", PaymentStatus.SUCCEEDED, id="refunded in full"),
    ],
)
def test_the_status_of_a_payment(name: str, variant: str | None, status: PaymentStatus) -> None:
    payment = read(name, variant)[0]
    assert isinstance(payment, Payment)
    assert payment.status is status
    assert (payment.failure is not None) == (status is PaymentStatus.FAILED)


def test_one_payment_has_one_key_whatever_event_brings_it() -> None:
    (order_paid,) = read("order.paid")
    assert isinstance(order_paid, Payment)
    assert order_paid.object_id == CAPTURED.object_id


@pytest.mark.parametrize(
    ("name", "variant", "references"),
    [
        pytest.param("payment.captured", None, [], id="none"),
        pytest.param("payment.captured", "upi_with_invoice_number", [(0, "INV-2026-0042")], id="in its notes"),
        pytest.param("payment.captured", "yen_numeric_note", [(0, "20260042"), (3, "Invoice 20260042")], id="a number"),
        pytest.param("order.paid", None, [(1, "rcptid #1")], id="the order's receipt"),
        pytest.param("invoice.paid", None, [(1, "15"), (3, "Invoice #inv_DEWHZlfIcdVIXL")], id="Razorpay's invoice"),
        pytest.param(
            "payment_link.paid",
            None,
            [(1, "INV-2026-0007"), (2, "INV-2026-0007"), (3, "#DESvbT0MRmt8mY")],
            id="a payment link",
        ),
    ],
)
def test_what_may_name_the_invoice(name: str, variant: str | None, references: list[tuple[int, str]]) -> None:
    payment = read(name, variant)[0]
    assert isinstance(payment, Payment)
    assert payment.references == tuple(Reference(rank, text) for rank, text in references)


@pytest.mark.parametrize("notes", [[], {}, None, "plain text", {"invoice_number": None}, {"invoice_number": ["x"]}])
def test_notes_of_every_shape_are_taken(notes: object) -> None:
    said = json.loads(samples.load("razorpay", "payment.captured"))
    said["payload"]["payment"]["entity"]["notes"] = notes
    assert means(said) == [CAPTURED]


def test_yen_have_no_decimals_and_the_fee_of_a_foreign_payment_is_left_out() -> None:
    (payment,) = read("payment.captured", "yen_numeric_note")
    assert isinstance(payment, Payment)
    assert payment.money == Money(5000, "JPY")
    assert payment.fee is None


def test_a_bank_transfer_brings_its_payer_and_reference() -> None:
    (payment,) = read("virtual_account.credited")
    assert isinstance(payment, Payment)
    assert (payment.payer_name, payment.bank_reference) == ("Saurav Kumar", "156767598340")


@pytest.mark.parametrize(
    ("name", "variant", "status"),
    [
        pytest.param("refund.created", "pending", RefundStatus.PENDING, id="created"),
        pytest.param("refund.created", None, RefundStatus.SUCCEEDED, id="created, and processed already"),
        pytest.param("refund.processed", None, RefundStatus.SUCCEEDED, id="processed"),
        pytest.param("refund.failed", None, RefundStatus.FAILED, id="failed"),
    ],
)
def test_a_refund_follows_its_payment(name: str, variant: str | None, status: RefundStatus) -> None:
    payment, refund = read(name, variant)
    assert isinstance(payment, Payment)
    assert isinstance(refund, Refund)
    assert (refund.status, refund.payment_id, refund.money) == (status, payment.object_id, Money(50000, "INR"))


@pytest.mark.parametrize(
    ("step", "status", "deducted"),
    [
        ("created", DisputeStatus.OPEN, 0),
        ("action_required", DisputeStatus.OPEN, 0),
        ("under_review", DisputeStatus.UNDER_REVIEW, 0),
        ("won", DisputeStatus.WON, 0),
        ("lost", DisputeStatus.LOST, 39000),
        ("closed", DisputeStatus.CLOSED, 0),
    ],
)
def test_a_dispute_takes_money_only_once_lost(step: str, status: DisputeStatus, deducted: int) -> None:
    _, dispute = read(f"payment.dispute.{step}")
    assert isinstance(dispute, Dispute)
    assert (dispute.status, dispute.deducted) == (status, Money(deducted, "INR"))
    assert dispute.respond_by == seconds(1590431400)


@pytest.mark.parametrize(
    ("variant", "money", "balance"),
    [pytest.param(None, 10000000, 10000000, id="in"), pytest.param("payout", -590, 9999410, id="out")],
)
def test_a_movement_has_its_sign_from_credit_and_debit(variant: str | None, money: int, balance: int) -> None:
    account, moved = read("transaction.created", variant)
    assert isinstance(moved, BankTransaction)
    assert (moved.money, moved.balance) == (Money(money, "INR"), Money(balance, "INR"))
    assert moved.account_id == account.object_id


@pytest.mark.parametrize(
    ("step", "status"),
    [
        ("pending", PayoutStatus.PENDING),
        ("queued", PayoutStatus.PENDING),
        ("initiated", PayoutStatus.PENDING),
        ("processed", PayoutStatus.PAID),
        ("updated", PayoutStatus.PAID),
        ("rejected", PayoutStatus.FAILED),
        ("failed", PayoutStatus.FAILED),
        ("reversed", PayoutStatus.REVERSED),
    ],
)
def test_a_razorpayx_payout_goes_to_somebody_else(step: str, status: PayoutStatus) -> None:
    (payout,) = read(f"payout.{step}")
    assert isinstance(payout, Payout)
    assert (payout.status, payout.to_third_party) == (status, True)


def test_withdrawn_access_revokes_the_connection() -> None:
    state = ConnectionState(
        object_id="acc_BFQ7uQEaa7j2z7",
        version=1580120247_000_000,
        health=ConnectionHealth.REVOKED,
        reason="access withdrawn at Razorpay",
    )
    assert read("account.app.authorization_revoked") == [state]


BODY = samples.load("razorpay", "payment.captured")


@pytest.mark.parametrize("header", ["", "é", "x" * 256, "a\nb"])
def test_without_a_usable_header_the_event_is_known_by_its_body(header: str) -> None:
    digest = hashlib.sha256(BODY).hexdigest()
    assert opened(BODY, x_razorpay_event_id="evt_1").id == f"evt_1:{digest[:16]}"
    by_body = f"body:{hashlib.sha256(BODY).hexdigest()}"
    assert opened(BODY, x_razorpay_event_id=header).id == opened(BODY).id == by_body


def test_the_account_routes_the_event() -> None:
    assert opened(BODY).external_id == "acc_BFQ7uQEaa7j2z7"


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (b'"amount": 100,', b'"amount": "100",', r"payload\.payment\.entity\.amount: expected whole number, got text"),
        (b'"amount": 100,', b'"amount": 0,', r"payload\.payment\.entity\.amount: expected more than zero"),
        (b'"currency": "INR"', b'"currency": "XYZ"', r"payload\.payment\.entity\.currency: .* ISO 4217"),
        (
            b'"status": "captured"',
            b'"status": "paid"',
            r"payload\.payment\.entity\.status: expected one of .*got 'paid'",
        ),
        (b'"created_at": 1567674606', b'"created_at": null', "^created_at: expected whole number, got null"),
    ],
    ids=["text amount", "no amount", "unknown currency", "unknown status", "no time"],
)
def test_a_spoiled_body_names_the_field(old: bytes, new: bytes, message: str) -> None:
    assert old in BODY
    event = opened(BODY.replace(old, new))
    with pytest.raises(MalformedPayload, match=message):
        connector.read(event.name, event.item)


# Pull.

NOW = datetime(2026, 11, 3, 9, 0, tzinfo=UTC)
BEGIN, END = 1793600000, int(NOW.timestamp())


def pull(cursor: str | None, body: bytes) -> tuple[Page, Request]:
    assert connector.pull is not None
    given = Credentials(secrets={}, settings={}, external_id=None, asked_at=NOW)
    talk = connector.pull.talk(given, cursor, seconds(BEGIN))
    request = next(talk)
    with pytest.raises(StopIteration) as end:
        talk.send(Response(status=200, headers={}, body=body))
    page: Page = end.value.value
    return page, request


def test_a_pull_reads_the_lists_one_after_another_and_goes_further_back_for_disputes() -> None:
    cursor, pages, asked = None, [], []
    for name in ("payments", "refunds", "disputes", "settlements"):
        page, request = pull(cursor, samples.api("razorpay", name))
        cursor = page.cursor
        pages.append(page)
        asked.append((request.url, request.params["from"], request.params["to"], request.params["skip"]))
    assert asked == [
        ("/v1/payments", str(BEGIN - 7 * 86400), str(END), "0"),
        ("/v1/refunds", str(BEGIN - 14 * 86400), str(END), "0"),
        ("/v1/disputes", str(BEGIN - 120 * 86400), str(END), "0"),
        ("/v1/settlements", str(BEGIN - 7 * 86400), str(END), "0"),
    ]
    assert pages[0].records[0] == replace(CAPTURED, version=END * 1_000_000)
    assert [type(record) for page in pages for record in page.records] == [Payment, Payment, Refund, Dispute, Payout]
    # Then the report of each day, as far back as settlements are looked for again.
    days = []
    while pages[-1].more:
        page, request = pull(cursor, samples.api("razorpay", "report"))
        cursor = page.cursor
        pages.append(page)
        assert request.url == "/v1/settlements/recon/combined"
        days.append(tuple(int(request.params[name]) for name in ("year", "month", "day")))
    assert (days[0], days[-1], len(days)) == ((2026, 10, 26), (2026, 11, 3), 9)
    # At rest, the cursor is where the next pull begins.
    assert (pages[-1].more, cursor) == (False, str(END))


def test_the_report_names_what_is_in_a_settlement_after_its_fees() -> None:
    page, _ = pull(f"{BEGIN} {END} report 0", samples.api("razorpay", "report"))
    names = ("object_id", "kind", "subject_id", "payout_id")
    told = [one for one in page.records if isinstance(one, PayoutItem)]
    settlement = "setl_Rf8uva1MU98B4l"
    assert [tuple(getattr(one, name) for name in names) for one in told] == [
        ("pay_Rf8p2zqXm1KdVn", "payment", "pay_Rf8p2zqXm1KdVn", settlement),
        ("rfnd_Rf8r7LbTn3WcEs", "refund", "rfnd_Rf8r7LbTn3WcEs", settlement),
        ("adj_Rf8sQd4UfGh7Jk", "adjustment", None, settlement),
    ]
    assert [(one.money.minor, one.fee.minor) for one in told] == [(2000, 48), (-500, 0), (72, 0)]
    # What they come to is what the settlement says.
    page, _ = pull(f"{BEGIN} {END} settlements 0", samples.api("razorpay", "settlements"))
    assert [one.money.minor for one in page.records if isinstance(one, Payout)] == [1524]


def test_an_adjustment_for_a_dispute_belongs_to_the_dispute() -> None:
    said = json.loads(samples.api("razorpay", "report"))
    said["items"] = [
        {**said["items"][2], "dispute_id": "disp_EsIAlDcoUr8CaQ", "debit": 39000, "credit": 0, "fee": None}
    ]
    page, _ = pull(f"{BEGIN} {END} report 0", json.dumps(said).encode())
    [one] = page.records
    assert isinstance(one, PayoutItem)
    assert (one.kind, one.subject_id, one.money.minor) == ("dispute", "disp_EsIAlDcoUr8CaQ", -39000)


def test_a_long_time_is_reported_by_the_month_and_a_full_page_has_another_after_it() -> None:
    begin = END - 90 * 86400
    full = json.loads(samples.api("razorpay", "report"))
    full["items"] = full["items"][:1] * 1000
    page, request = pull(f"{begin} {END} report 0", json.dumps(full).encode())
    assert (request.params["year"], request.params["month"], "day" in request.params) == ("2026", "9", False)
    assert page.cursor == f"{begin} {END} report2026-09 1000"
    page, request = pull(page.cursor, samples.api("razorpay", "report"))
    assert (request.params["skip"], page.cursor) == ("1000", f"{begin} {END} report2026-10 0")
    with pytest.raises(MalformedPayload, match="no stretch"):
        pull(f"{begin} {END} report2020-01 0", b"{}")


def test_a_full_page_has_another_after_it_but_a_list_does_not_go_on_for_ever() -> None:
    full = json.loads(samples.api("razorpay", "payments"))
    full["items"] = full["items"][:1] * 100
    body = json.dumps(full).encode()
    page, _ = pull(None, body)
    assert (page.more, page.cursor) == (True, f"{BEGIN} {END} payments 100")
    _, request = pull(page.cursor, body)
    assert request.params["skip"] == "100"
    assert connector.pull is not None
    given = Credentials(secrets={}, settings={}, external_id=None, asked_at=NOW)
    talk = connector.pull.talk(given, f"{BEGIN} {END} payments 100000", NOW)
    next(talk)
    with pytest.raises(MalformedPayload, match="without an end"):
        talk.send(Response(status=200, headers={}, body=body))


def test_the_api_key_authorises_pulls() -> None:
    assert connector.api is not None
    given = Credentials(secrets={"key_id": "rzp_test_1", "key_secret": "s"}, settings={}, external_id=None)
    with pytest.raises(StopIteration) as end:
        next(connector.api.authorize(given))
    assert end.value.value.headers == {"Authorization": "Basic cnpwX3Rlc3RfMTpz"}
    with pytest.raises(Permanent, match="the connection has no key_id"):
        next(connector.api.authorize(replace(given, secrets={})))
