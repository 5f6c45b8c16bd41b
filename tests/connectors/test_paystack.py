"""Paystack: what each body means, by which id it is known, and what is asked."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from connectors import registry, samples
from connectors.base import Credentials, Event, Fetch, Page, Request, Response, Verified
from connectors.contract import deliver
from connectors.payload import micros
from core.errors import MalformedPayload, Permanent, SignatureRejected
from core.events import (
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
)
from core.money import Money
from tests.connectors.streams import answer

connector = registry.get("paystack")
Json = dict[str, Any]
NOW = datetime(2026, 11, 3, 9, 0, tzinfo=UTC)


def opened(body: bytes) -> Event:
    (event,) = connector.open(deliver({}, body), Verified())
    return event


def reading(name: str, variant: str | None = None) -> Any:
    event = opened(samples.load("paystack", name, variant))
    return connector.read(event.name, event.item)


def read(name: str, variant: str | None = None) -> list[Record]:
    found = reading(name, variant)
    assert not isinstance(found, Fetch)
    return list(found)


def recorded(name: str) -> Json:
    held: Json = json.loads(samples.api("paystack", name))
    return held


class Paystack:
    """The recorded API; keeps what was asked."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str | None]] = []
        self.transaction = recorded("transaction")
        self.pages = [recorded(f"refunds_of_transaction_page_{n}") for n in (1, 2)]

    def __call__(self, request: Request) -> Json:
        page = request.params.get("page")
        self.asked.append((request.url, page))
        if request.url.startswith("/transaction/verify/"):
            self.transaction["data"]["reference"] = self.transaction.get("lies") or request.url.rsplit("/", 1)[-1]
            return self.transaction
        if request.url.startswith("/subscription/"):
            held = recorded("subscription")
            held["data"]["subscription_code"] = request.url.rsplit("/", 1)[-1]
            return held
        assert request.params["transaction"] == "896467688"
        return self.pages[int(page or 0) - 1]


def fetch(name: str, api: Paystack, variant: str | None = None) -> list[Record]:
    found = reading(name, variant)
    assert isinstance(found, Fetch)
    given = Credentials(secrets={}, settings={}, external_id=None, asked_at=NOW)
    return answer(found.talk(given), api)


VECTOR = (
    b'{"event":"refund.processed","data":{"status":"processed","transaction_reference":"T2154954_412829_3be32076_6lcg3",'
    b'"refund_reference":"132013318360","amount":"5000","currency":"NGN","processor":"mpgs_zen",'
    b'"customer":{"first_name":"Damilola","last_name":"Kwabena","email":"damilola@email.com"},'
    b'"integration":412829,"domain":"live"}}'
)
SEAL = (
    "20d59d4ab08fb66256ffbd1c51f5da75d3b8821f19d52593047f8e9dd99ecaa2"
    "4b307cad07857df0814b7798dcb135c68da6800827cdb5b3b92f284d6d02f8b3"
)


def test_the_derived_vector_is_accepted() -> None:
    assert len(VECTOR) == 330
    delivery = deliver({"x-paystack-signature": SEAL}, VECTOR)
    assert connector.verify(delivery, ["rolled", "paystack-example-secret-key"]).secret_index == 1


@pytest.mark.parametrize("seal", [SEAL.upper(), SEAL[:64], SEAL[:-1] + "0"])
def test_another_form_of_the_signature_is_refused(seal: str) -> None:
    with pytest.raises(SignatureRejected):
        connector.verify(deliver({"x-paystack-signature": seal}, VECTOR), ["paystack-example-secret-key"])


@pytest.mark.parametrize(
    ("name", "variant", "expected"),
    [
        ("charge.success", None, "charge.success:302961:qTPrJoy9Bx"),
        (
            "charge.dispute.remind",
            None,
            "charge.dispute.remind:358950:awaiting-merchant-feedback:2020-11-25T09:00:00.000Z",
        ),
        ("refund.processed", None, "refund.processed:132013318360:processed"),
        ("refund.needs-attention", None, "refund.needs-attention:123456:needs-attention"),
        ("refund.pending", None, "refund.pending:tvunjbbd_412829_4b18075d_c7had:10000:pending"),
        ("transfer.success", None, "transfer.success:TRF_v5tip3zx8nna9o78:success"),
        ("invoice.payment_failed", None, "invoice.payment_failed:INV_3kfmqw48ca7b48k:pending"),
        ("paymentrequest.success", None, "paymentrequest.success:PRQ_y0paeo93jh99mho:success"),
    ],
)
def test_an_event_is_known_by_what_it_is_about(name: str, variant: str | None, expected: str) -> None:
    assert opened(samples.load("paystack", name, variant)).id == expected


@pytest.mark.parametrize("name", ["bank.transfer.rejected", "subscription.expiring_cards"])
def test_what_has_no_key_is_known_by_its_body(name: str) -> None:
    assert opened(samples.load("paystack", name)).id.startswith("body:")


PAID = Payment(
    object_id="302961",
    version=micros(datetime(2016, 9, 30, 21, 10, 19, tzinfo=UTC)),
    status=PaymentStatus.SUCCEEDED,
    money=Money(10000, "NGN"),
    occurred_at=datetime(2016, 9, 30, 21, 10, 19, tzinfo=UTC),
    references=(Reference(1, "qTPrJoy9Bx"),),
    method="card",
    payer_name="Amina Bello",
    payer_email="amina@example.com",
)


def test_a_charge_is_money_received_whatever_its_metadata_is() -> None:
    assert read("charge.success") == [PAID]


@pytest.mark.parametrize(
    ("variant", "references", "money"),
    [
        ("custom_field", [Reference(0, "INV-2026-0042"), Reference(1, "T1")], Money(10000, "NGN")),
        ("metadata_of_numbers", [Reference(0, "42"), Reference(1, "T2")], Money(118050, "KES")),
        ("hundredths_of_a_franc", [Reference(1, "T3")], Money(10000, "XOF")),
        ("no_metadata", [Reference(1, "T4")], Money(10000, "NGN")),
    ],
)
def test_what_names_the_invoice_and_how_much_it_was(variant: str, references: list[Reference], money: Money) -> None:
    (payment,) = read("charge.success", variant)
    assert isinstance(payment, Payment)
    assert (list(payment.references), payment.money) == (references, money)


@pytest.mark.parametrize(
    ("name", "variant", "status", "deducted"),
    [
        ("charge.dispute.create", None, DisputeStatus.OPEN, 0),
        ("charge.dispute.resolve", None, DisputeStatus.LOST, 5800),
        ("charge.dispute.resolve", "declined", DisputeStatus.WON, 0),
        ("charge.dispute.resolve", "no_amount", DisputeStatus.LOST, 5800),
    ],
)
def test_a_dispute_is_decided_by_its_resolution(
    name: str, variant: str | None, status: DisputeStatus, deducted: int
) -> None:
    (dispute,) = read(name, variant)
    assert isinstance(dispute, Dispute)
    assert (dispute.payment_id, dispute.status, dispute.reason) == ("896467688", status, "chargeback")
    assert (dispute.money, dispute.deducted) == (Money(5800, "NGN"), Money(deducted, "NGN"))
    assert dispute.respond_by == datetime(2020, 11, 25, 18, tzinfo=UTC)


# Refunds.


@pytest.mark.parametrize("name", ["pending", "processing", "processed", "failed", "needs-attention"])
def test_a_refund_event_brings_every_refund_of_its_transaction_but_those_of_disputes(name: str) -> None:
    api = Paystack()
    payment, processed, failed = fetch(f"refund.{name}", api)
    assert isinstance(payment, Payment)
    assert payment.object_id == "896467688"
    assert processed == Refund(
        object_id="747680",
        version=micros(datetime(2020, 11, 25, 11, 12, 17, tzinfo=UTC)),
        payment_id="896467688",
        status=RefundStatus.SUCCEEDED,
        money=Money(5000, "NGN"),
        occurred_at=datetime(2020, 11, 25, 11, 12, 17, tzinfo=UTC),
        reason="Refund for your order",
    )
    assert isinstance(failed, Refund)
    assert (failed.object_id, failed.status) == ("747681", RefundStatus.FAILED)
    assert api.asked[1:] == [("/refund", "1"), ("/refund", "2")]


def test_another_transaction_than_the_one_asked_for_is_refused() -> None:
    api = Paystack()
    api.transaction["lies"] = "another-reference"
    with pytest.raises(MalformedPayload, match="not the one that was asked for"):
        fetch("refund.processed", api)
    api = Paystack()
    api.pages[0]["data"][0]["transaction"] = 1
    with pytest.raises(MalformedPayload, match="not the one that was asked for"):
        fetch("refund.processed", api)


def test_a_page_that_comes_again_is_refused() -> None:
    api = Paystack()
    api.pages[1] = api.pages[0]
    with pytest.raises(MalformedPayload, match=r"meta\.page"):
        fetch("refund.processed", api)


# Transfers and invoices.


@pytest.mark.parametrize(
    ("name", "status"),
    [
        ("transfer.success", PayoutStatus.PAID),
        ("transfer.failed", PayoutStatus.FAILED),
        ("transfer.reversed", PayoutStatus.REVERSED),
    ],
)
def test_a_transfer_goes_to_somebody_else(name: str, status: PayoutStatus) -> None:
    (payout,) = read(name)
    assert isinstance(payout, Payout)
    assert (payout.object_id, payout.status, payout.to_third_party) == ("TRF_v5tip3zx8nna9o78", status, True)
    assert (payout.money, payout.fee) == (Money(100000, "NGN"), Money(0, "NGN"))


def test_a_payment_request_is_mirrored() -> None:
    (pending,) = read("paymentrequest.pending")
    assert isinstance(pending, MirroredInvoice)
    assert (pending.status, pending.number, pending.due) == (MirroredStatus.OPEN, "42", Money(10000000, "NGN"))
    (paid,) = read("paymentrequest.success")
    assert isinstance(paid, MirroredInvoice)
    assert (paid.status, paid.due) == (MirroredStatus.PAID, Money(0, "NGN"))
    assert paid.version > pending.version


def test_an_unpaid_subscription_invoice_gets_its_currency_from_the_plan() -> None:
    for name in ("invoice.create", "invoice.payment_failed"):
        (invoice,) = fetch(name, Paystack())
        assert isinstance(invoice, MirroredInvoice)
        assert (invoice.object_id, invoice.total) == ("INV_3kfmqw48ca7b48k", Money(10000, "NGN"))
        assert invoice.status is MirroredStatus.OPEN
    (paid,) = read("invoice.update")
    assert isinstance(paid, MirroredInvoice)
    assert paid.status is MirroredStatus.PAID


# Pull.


def pull(cursor: str | None, *answers: str) -> tuple[list[Page], list[tuple[str, Json]]]:
    """Stretch after stretch, each answered with the next of the recorded answers."""
    assert connector.pull is not None
    given = Credentials(secrets={}, settings={}, external_id=None, asked_at=NOW)
    pages: list[Page] = []
    asked: list[tuple[str, Json]] = []
    for name in answers:
        talk = connector.pull.talk(given, cursor, NOW - timedelta(days=90))
        request = next(talk)
        asked.append((request.url, dict(request.params)))
        with pytest.raises(StopIteration) as end:
            talk.send(Response(status=200, headers={}, body=samples.api("paystack", name)))
        pages.append(end.value.value)
        cursor = pages[-1].cursor
    return pages, asked


def test_a_pull_reads_the_lists_one_after_another() -> None:
    names = ("transactions_page_1", "transactions_page_2", "refunds", "disputes", "settlements")
    pages, asked = pull(None, *names)
    assert [page.more for page in pages] == [True, True, True, True, False]
    assert pages[0].records == [PAID]
    (abandoned,) = pages[1].records
    assert isinstance(abandoned, Payment)
    assert (abandoned.status, abandoned.failure) == (PaymentStatus.FAILED, "The transaction was not completed")
    assert pages[3].records == read("charge.dispute.create")
    (settlement,) = pages[4].records
    assert settlement == Payout(
        object_id="settlement:3090024",
        version=micros(datetime(2022, 11, 9, 8, 12, 1, tzinfo=UTC)),
        status=PayoutStatus.PAID,
        money=Money(995000, "NGN"),
        occurred_at=datetime(2022, 11, 9, tzinfo=UTC),
        fee=Money(5000, "NGN"),
    )
    dates = {"from": "2026-08-05T09:00:00Z", "to": "2026-11-03T09:00:00Z", "perPage": "100"}
    assert asked == [
        ("/transaction", {**dates, "page": "1"}),
        ("/transaction", {**dates, "page": "2"}),
        ("/refund", {**dates, "page": "1"}),
        ("/dispute", {**dates, "page": "1"}),
        ("/settlement", {**dates, "page": "1"}),
    ]
    # The next pull looks at the last three days again.
    assert pages[-1].cursor == "2026-10-31T09:00:00Z"


def test_a_pull_that_is_given_the_first_page_again_is_refused() -> None:
    with pytest.raises(MalformedPayload, match=r"meta\.page"):
        pull(None, "transactions_page_1", "transactions_page_1")


def test_the_secret_that_signs_webhooks_also_authorises_requests() -> None:
    assert connector.api is not None
    given = Credentials(secrets={"webhook_secret": "sk_test_1"}, settings={}, external_id=None)
    with pytest.raises(StopIteration) as end:
        next(connector.api.authorize(given))
    assert end.value.value.headers == {"Authorization": "Bearer sk_test_1"}
    with pytest.raises(Permanent, match="the connection has no webhook_secret"):
        next(connector.api.authorize(replace(given, secrets={})))
