"""Cashfree: what each body means, by which id it is known, and what is pulled."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from connectors import registry, samples
from connectors.base import Credentials, Event, Page, Request, Response, Verified
from connectors.contract import deliver
from connectors.payload import micros
from core.errors import MalformedPayload, Permanent, SignatureRejected
from core.events import (
    Dispute,
    DisputeStatus,
    Payment,
    PaymentStatus,
    Payout,
    PayoutStatus,
    Record,
    Reference,
    Refund,
    RefundStatus,
)
from core.money import Money

connector = registry.get("cashfree")
Json = dict[str, Any]
NOW = datetime(2026, 11, 3, 9, 0, tzinfo=UTC)


def opened(body: bytes, **headers: str) -> Event:
    (event,) = connector.open(deliver({k.replace("_", "-"): v for k, v in headers.items()}, body), Verified())
    return event


def read(name: str, variant: str | None = None) -> list[Record]:
    event = opened(samples.load("cashfree", name, variant))
    found = connector.read(event.name, event.item)
    assert isinstance(found, list)
    return found


BODY = (
    b'{"data":{"order":{"order_id":"order_OFR_2","order_amount":170.00,"order_currency":"INR","order_tags":null},'
    b'"payment":{"cf_payment_id":"1453002795","payment_status":"SUCCESS","payment_amount":170.00,'
    b'"payment_currency":"INR","payment_message":"00::Transaction success",'
    b'"payment_time":"2025-01-15T12:20:29+05:30","bank_reference":"234928698581"}},'
    b'"event_time":"2025-01-15T12:20:31+05:30","type":"PAYMENT_SUCCESS_WEBHOOK"}'
)
SENT = datetime.fromtimestamp(1746427759.733, UTC)
SEAL = {
    "x-webhook-signature": "VHh5xMNei2vBhlPWTp1UhOX02ZP9EFpvIH11Dtfj6IM=",
    "x-webhook-timestamp": "1746427759733",
}


def test_the_derived_vector_is_accepted_with_the_timestamp_before_the_body() -> None:
    verified = connector.verify(deliver(SEAL, BODY, received_at=SENT), ["old-secret", "test-client-secret"])
    assert verified.secret_index == 1


@pytest.mark.parametrize("changed", [BODY.replace(b"170.00", b"170"), BODY.replace(b"170.00", b"170.0")])
def test_a_body_whose_amounts_were_written_anew_is_refused(changed: bytes) -> None:
    with pytest.raises(SignatureRejected):
        connector.verify(deliver(SEAL, changed, received_at=SENT), ["test-client-secret"])


def test_a_retry_with_the_first_timestamp_is_accepted_for_a_day() -> None:
    last_try = SENT + timedelta(minutes=42)
    assert connector.verify(deliver(SEAL, BODY, received_at=last_try), ["test-client-secret"])
    with pytest.raises(SignatureRejected, match="old"):
        connector.verify(deliver(SEAL, BODY, received_at=SENT + timedelta(days=1, seconds=1)), ["test-client-secret"])


def test_seconds_are_no_milliseconds() -> None:
    with pytest.raises(SignatureRejected, match="old"):
        connector.verify(
            deliver({**SEAL, "x-webhook-timestamp": "1746427759"}, BODY, received_at=SENT), ["test-client-secret"]
        )


@pytest.mark.parametrize(
    ("name", "variant", "expected"),
    [
        ("PAYMENT_SUCCESS_WEBHOOK", None, "PAYMENT_SUCCESS_WEBHOOK:1453002795:SUCCESS"),
        ("PAYMENT_SUCCESS_WEBHOOK", "number_for_id_and_paise", "PAYMENT_SUCCESS_WEBHOOK:1453002795:SUCCESS"),
        ("REFUND_STATUS_WEBHOOK", None, "REFUND_STATUS_WEBHOOK:11325632:SUCCESS"),
        ("DISPUTE_CREATED", None, "DISPUTE_CREATED:433475258:DISPUTE_CREATED:2023-06-15T21:49:48+05:30"),
        ("SETTLEMENT_SUCCESS", None, "SETTLEMENT_SUCCESS:738"),
    ],
)
def test_an_event_is_known_by_what_it_is_about_where_the_header_has_no_id(
    name: str, variant: str | None, expected: str
) -> None:
    assert opened(samples.load("cashfree", name, variant)).id == expected
    body = samples.load("cashfree", name, variant)
    assert opened(body, x_idempotency_key="n9rn70=").id == f"n9rn70=:{hashlib.sha256(body).hexdigest()[:16]}"
    assert opened(samples.load("cashfree", name, variant), x_idempotency_key="x" * 300).id == expected


def test_the_test_call_is_answered_and_ignored() -> None:
    event = opened(samples.load("cashfree", "WEBHOOK"))
    assert event.id.startswith("body:")
    assert connector.ignores(event.name) == "the test call that is made when an address is added"


PAID = Payment(
    object_id="1453002795",
    version=micros(datetime(2022, 12, 15, 6, 50, 31, tzinfo=UTC)),
    status=PaymentStatus.SUCCEEDED,
    money=Money(100, "INR"),
    occurred_at=datetime(2022, 12, 15, 6, 50, 29, tzinfo=UTC),
    references=(Reference(1, "order_OFR_2"),),
    method="upi",
    payer_email="customer@example.com",
    bank_reference="234928698581",
)


def test_a_payment_counts_by_what_was_paid_and_not_by_the_order() -> None:
    assert read("PAYMENT_SUCCESS_WEBHOOK") == [PAID]


@pytest.mark.parametrize(
    ("variant", "money"),
    [
        ("number_for_id_and_paise", Money(17000, "INR")),
        ("tagged", Money(118050, "INR")),
        ("yen", Money(5000, "JPY")),
        ("dinar", Money(12345, "KWD")),
    ],
)
def test_amounts_are_taken_by_their_digits(variant: str, money: Money) -> None:
    (payment,) = read("PAYMENT_SUCCESS_WEBHOOK", variant)
    assert isinstance(payment, Payment)
    assert (payment.object_id, payment.money) == ("1453002795", money)


def test_a_tag_of_the_order_names_the_invoice_first() -> None:
    (payment,) = read("PAYMENT_SUCCESS_WEBHOOK", "tagged")
    assert isinstance(payment, Payment)
    assert payment.references == (Reference(0, "INV-2026-0042"), Reference(1, "ORD77"))


def test_a_charges_event_brings_the_fee_with_its_tax() -> None:
    (payment,) = read("PAYMENT_CHARGES_WEBHOOK")
    assert payment == replace(PAID, money=Money(118050, "INR"), fee=Money(2360, "INR"))
    body = samples.load("cashfree", "PAYMENT_CHARGES_WEBHOOK")
    event = opened(body.replace(b'"settlement_currency": "INR"', b'"settlement_currency": "USD"'))
    (other,) = connector.read(event.name, event.item)  # type: ignore[misc]
    assert isinstance(other, Payment)
    assert other.fee is None


@pytest.mark.parametrize(
    ("name", "failure"),
    [
        ("PAYMENT_FAILED_WEBHOOK", "The payer declined the request."),
        ("PAYMENT_USER_DROPPED_WEBHOOK", "User dropped and did not complete the two factor authentication"),
    ],
)
def test_a_failed_attempt_is_a_payment_of_its_own(name: str, failure: str) -> None:
    (payment,) = read(name)
    assert isinstance(payment, Payment)
    assert (payment.status, payment.failure) == (PaymentStatus.FAILED, failure)
    assert payment.object_id != PAID.object_id


def test_a_refund() -> None:
    refund = Refund(
        object_id="11325632",
        version=micros(datetime(2022, 2, 28, 7, 34, 28, tzinfo=UTC)),
        payment_id="789727431",
        status=RefundStatus.SUCCEEDED,
        money=Money(200, "INR"),
        occurred_at=datetime(2022, 2, 28, 7, 24, 25, tzinfo=UTC),
        reason="Test",
    )
    assert read("REFUND_STATUS_WEBHOOK") == [refund]
    for variant, status in (("pending", "pending"), ("on_hold", "pending"), ("cancelled", "failed")):
        (other,) = read("REFUND_STATUS_WEBHOOK", variant)
        assert isinstance(other, Refund)
        assert other.status == status


@pytest.mark.parametrize(
    ("name", "variant", "status", "deducted"),
    [
        ("DISPUTE_CREATED", None, DisputeStatus.OPEN, 0),
        ("DISPUTE_CREATED", "retrieval", DisputeStatus.OPEN, 0),
        ("DISPUTE_UPDATED", None, DisputeStatus.UNDER_REVIEW, 0),
        ("DISPUTE_UPDATED", "chargeback", DisputeStatus.UNDER_REVIEW, 0),
        ("DISPUTE_CLOSED", None, DisputeStatus.LOST, 300),
        ("DISPUTE_CLOSED", "won", DisputeStatus.WON, 0),
        pytest.param("DISPUTE_CLOSED", "retrieval", DisputeStatus.CLOSED, 0, id="papers asked for, nothing taken"),
    ],
)
def test_a_dispute_deducts_once_it_is_lost(
    name: str, variant: str | None, status: DisputeStatus, deducted: int
) -> None:
    (dispute,) = read(name, variant)
    assert isinstance(dispute, Dispute)
    assert (dispute.payment_id, dispute.status) == ("885457437", status)
    assert (dispute.money, dispute.deducted) == (Money(300, "INR"), Money(deducted, "INR"))


def test_a_settlement_is_a_payout_found_by_its_utr() -> None:
    payout = Payout(
        object_id="738",
        version=micros(datetime(2022, 2, 14, 7, 5, 20, tzinfo=UTC)),
        status=PayoutStatus.PAID,
        money=Money(9794, "INR"),
        occurred_at=datetime(2022, 2, 14, 7, 5, 19, tzinfo=UTC),
        bank_reference="1232454565676",
    )
    assert read("SETTLEMENT_SUCCESS") == [payout]
    assert read("SETTLEMENT_SUCCESS", "nothing_left") == []
    (back,) = read("SETTLEMENT_REVERSED")
    assert isinstance(back, Payout)
    assert back.status is PayoutStatus.REVERSED


# Pull.


class Cashfree:
    """The recorded reconciliation; keeps what was asked."""

    def __init__(self) -> None:
        self.asked: list[Request] = []
        self.pages = [json.loads(samples.api("cashfree", f"recon_page_{n}")) for n in (1, 2)]

    def pull(self, cursor: str | None) -> Page:
        assert connector.pull is not None
        given = Credentials(secrets={}, settings={}, external_id=None, asked_at=NOW)
        talk = connector.pull.talk(given, cursor, NOW - timedelta(days=30))
        self.asked.append(next(talk))
        page = self.pages[min(len(self.asked), len(self.pages)) - 1]
        with pytest.raises(StopIteration) as end:
            talk.send(Response(status=200, headers={}, body=json.dumps(page).encode()))
        found: Page = end.value.value
        return found


def test_a_pull_reads_the_reconciliation_page_by_page() -> None:
    api = Cashfree()
    first = api.pull(None)
    second = api.pull(first.cursor)
    assert (first.more, second.more) == (True, False)
    told = datetime(2022, 12, 15, 6, 50, 31, tzinfo=UTC)
    assert first.records == [replace(PAID, payer_email=None, method="UPI", version=micros(told))]
    (refund,) = second.records
    assert isinstance(refund, Refund)
    assert (refund.object_id, refund.payment_id, refund.money) == ("11325632", "1453002795", Money(200, "INR"))
    dates = {"start_date": "2026-10-04T09:00:00Z", "end_date": "2026-11-03T09:00:00Z"}
    assert [one.json for one in api.asked] == [
        {"filters": dates, "pagination": {"limit": 100, "cursor": place}} for place in (None, "WzIwMjJd")
    ]
    # The next pull looks at the last three days again.
    assert second.cursor == "2026-10-31T09:00:00Z"


def test_a_cursor_that_stands_still_is_refused() -> None:
    api = Cashfree()
    cursor = api.pull(None).cursor
    api.pages = api.pages[:1]
    with pytest.raises(MalformedPayload, match="circle"):
        api.pull(cursor)


def test_the_secret_that_signs_webhooks_also_authorises_pulls() -> None:
    assert connector.api is not None
    given = Credentials(secrets={"webhook_secret": "s3", "client_id": "app"}, settings={}, external_id=None)
    with pytest.raises(StopIteration) as end:
        next(connector.api.authorize(given))
    assert end.value.value.headers == {
        "x-client-id": "app",
        "x-client-secret": "s3",
        "x-api-version": "2025-01-01",
    }
    with pytest.raises(Permanent, match="the connection has no client_id"):
        next(connector.api.authorize(Credentials(secrets={"webhook_secret": "s3"}, settings={}, external_id=None)))
