"""Braintree: documents inside forms, and what they mean."""

from __future__ import annotations

import base64
import json
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlencode

import pytest

from connectors import registry, samples
from connectors.base import Credentials, Delivery, Page, Verified
from connectors.braintree import decode
from connectors.contract import deliver
from connectors.payload import micros
from core.errors import MalformedPayload, Permanent
from core.events import (
    ConnectionHealth,
    ConnectionState,
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
from tests.connectors.asking import asked
from tests.connectors.braintree_sdk import PAIR, gateway, sample

connector = registry.get("braintree")
NOW = datetime(2026, 11, 3, 9, 0, tzinfo=UTC)
TOLD = datetime(2024, 5, 2, 10, 15, 30, tzinfo=UTC)
MADE = datetime(2024, 4, 30, 8, tzinfo=UTC)
Json = dict[str, Any]


def form(document: bytes) -> bytes:
    return urlencode({"bt_signature": "k|s", "bt_payload": base64.encodebytes(document).decode()}).encode()


def read(name: str, variant: str | None = None, **changed: str) -> list[Record]:
    document = samples.load("braintree", name, variant).decode()
    for old, new in changed.items():
        assert old in document, old
        document = document.replace(old, new)
    (event,) = connector.open(deliver({}, form(document.encode())), Verified())
    assert event.name == name
    reading = connector.read(event.name, event.item)
    assert isinstance(reading, list)
    return reading


SETTLED = Payment(
    object_id="tx9k2m4q",
    version=micros(TOLD),
    status=PaymentStatus.SUCCEEDED,
    money=Money(10000, "USD"),
    occurred_at=MADE,
    references=(Reference(0, "INV-3051"),),
    method="us_bank_account",
    payer_name="Dan Schulman",
    payer_email="dan@buyer.example",
)


def test_a_settled_transaction_is_a_payment_that_names_its_invoice() -> None:
    assert read("transaction_settled") == [SETTLED]
    assert read("transaction_settled", "wrapped", tx9wrapd="tx9k2m4q") == [SETTLED]


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        ("authorized", PaymentStatus.PENDING),
        ("submitted_for_settlement", PaymentStatus.PENDING),
        ("settling", PaymentStatus.PENDING),
        ("settlement_pending", PaymentStatus.PENDING),
        ("settled", PaymentStatus.SUCCEEDED),
        ("settlement_declined", PaymentStatus.FAILED),
        ("gateway_rejected", PaymentStatus.FAILED),
        ("voided", PaymentStatus.FAILED),
    ],
)
def test_only_settled_is_money(status: str, expected: PaymentStatus) -> None:
    (payment,) = read("transaction_retried", submitted_for_settlement=status)
    assert isinstance(payment, Payment)
    assert payment.status is expected


def test_a_status_that_is_not_documented_is_never_guessed() -> None:
    with pytest.raises(MalformedPayload, match=r"subject\.transaction\.status"):
        read("transaction_retried", submitted_for_settlement="nearly_settled")


def test_what_was_disbursed_has_settled_and_what_was_declined_says_why() -> None:
    (disbursed,) = read("transaction_disbursed")
    (declined,) = read("transaction_settlement_declined")
    assert isinstance(disbursed, Payment)
    assert isinstance(declined, Payment)
    assert disbursed.status is PaymentStatus.SUCCEEDED
    assert (declined.status, declined.failure) == (PaymentStatus.FAILED, "Insufficient Funds")


def test_yen_have_no_decimals_and_amounts_need_none() -> None:
    (yen,) = read("transaction_settled", "yen")
    assert isinstance(yen, Payment)
    assert yen.money == Money(5000, "JPY")
    with pytest.raises(MalformedPayload, match="more decimal places"):
        read("transaction_settled", "yen", **{"5000": "5000.5"})


def test_a_credit_is_a_refund_of_its_sale_and_may_come_back() -> None:
    (refund,) = read("transaction_settled", "refund")
    assert refund == Refund(
        object_id="tx9back1",
        version=micros(TOLD),
        payment_id="tx9k2m4q",
        status=RefundStatus.SUCCEEDED,
        money=Money(4000, "USD"),
        occurred_at=MADE,
    )
    (failed,) = read("refund_failed")
    assert isinstance(failed, Refund)
    assert (failed.object_id, failed.status, failed.money) == ("tx9back1", RefundStatus.RETURNED, Money(4000, "USD"))


def test_a_credit_of_no_sale_is_money_sent_to_somebody() -> None:
    (sent,) = read("transaction_settled", "credit_of_no_sale")
    assert isinstance(sent, Payout)
    assert (sent.status, sent.to_third_party, sent.money) == (PayoutStatus.PAID, True, Money(4000, "USD"))


@pytest.mark.parametrize(
    ("kind", "status", "taken"),
    [
        ("opened", DisputeStatus.OPEN, 0),
        ("under_review", DisputeStatus.UNDER_REVIEW, 0),
        ("disputed", DisputeStatus.UNDER_REVIEW, 0),
        ("won", DisputeStatus.WON, 0),
        ("lost", DisputeStatus.LOST, 10000),
        ("accepted", DisputeStatus.LOST, 10000),
        ("auto_accepted", DisputeStatus.LOST, 10000),
        ("expired", DisputeStatus.LOST, 10000),
    ],
)
def test_a_dispute_takes_money_once_it_is_lost_given_in_or_expired(
    kind: str, status: DisputeStatus, taken: int
) -> None:
    assert read(f"dispute_{kind}") == [
        Dispute(
            object_id="dis-4411",
            version=micros(TOLD),
            payment_id="tx9k2m4q",
            status=status,
            money=Money(10000, "USD"),
            deducted=Money(taken, "USD"),
            occurred_at=datetime(2024, 5, 1, 20, 44, 41, tzinfo=UTC),
            reason="not as described",
            respond_by=datetime(2024, 5, 22, tzinfo=UTC),
        )
    ]


def test_a_banks_question_takes_nothing_however_it_ends() -> None:
    (dispute,) = read("dispute_expired", "retrieval")
    assert isinstance(dispute, Dispute)
    assert (dispute.status, dispute.deducted) == (DisputeStatus.CLOSED, Money(0, "USD"))


def test_a_disbursement_is_a_payout_and_a_failed_try_may_still_arrive() -> None:
    (paid,), (failed,) = read("disbursement"), read("disbursement_exception")
    assert paid == Payout(
        object_id="disb-77",
        version=micros(TOLD),
        status=PayoutStatus.PAID,
        money=Money(10000, "USD"),
        occurred_at=datetime(2024, 5, 3, tzinfo=UTC),
    )
    assert isinstance(failed, Payout)
    assert (failed.object_id, failed.status) == (paid.object_id, PayoutStatus.FAILED)


def test_every_charge_of_a_subscription_counts_as_its_own_status_says() -> None:
    newest, settled = read("subscription_charged_successfully")
    assert isinstance(newest, Payment)
    assert isinstance(settled, Payment)
    assert (newest.object_id, newest.status) == ("tx9sub02", PaymentStatus.PENDING)
    assert (settled.object_id, settled.status) == ("tx9sub01", PaymentStatus.SUCCEEDED)
    (failed,) = read("subscription_charged_unsuccessfully")
    assert isinstance(failed, Payment)
    assert failed.status is PaymentStatus.FAILED


def test_a_local_payment_counts_once_it_is_a_transaction() -> None:
    (pending,), (funded,) = read("local_payment_completed"), read("local_payment_funded")
    assert isinstance(pending, Payment)
    assert isinstance(funded, Payment)
    assert (pending.object_id, pending.status) == (funded.object_id, PaymentStatus.PENDING)
    assert funded.status is PaymentStatus.SUCCEEDED
    assert read("local_payment_completed", "without_transaction") == []


def test_a_withdrawn_access_is_told() -> None:
    assert read("oauth_access_revoked") == [
        ConnectionState(
            object_id="merchant_public_id",
            version=micros(TOLD),
            health=ConnectionHealth.REVOKED,
            reason="access withdrawn at Braintree",
        )
    ]


def test_an_event_is_known_by_kind_time_and_object() -> None:
    (event,) = connector.open(deliver({}, form(samples.load("braintree", "dispute_opened"))), Verified())
    assert (event.id, event.external_id) == ("dispute_opened:2024-05-02T10:15:30Z:dis-4411", "merchant_public_id")
    (check,) = connector.open(deliver({}, form(samples.load("braintree", "check"))), Verified())
    assert (check.name, check.external_id, check.id[:5]) == ("check", None, "body:")


def test_values_are_typed_by_their_attributes_and_arrays_are_lists() -> None:
    document = (
        b"<notification><timestamp type='datetime'>2024-05-02T10:15:30Z</timestamp><kind>k</kind>"
        b"<subject><a type='array'><item>x</item><item><b type='boolean'>false</b></item></a><none nil='true'/>"
        b"<empty type='array'/><one type='array'><thing><id>1</id></thing></one><blank></blank></subject>"
        b"</notification>"
    )
    assert decode(form(document)).value == {
        "timestamp": "2024-05-02T10:15:30Z",
        "kind": "k",
        "subject": {"a": ["x", {"b": False}], "none": None, "empty": [], "one": [{"id": "1"}], "blank": ""},
    }


BOMB = (
    b'<?xml version="1.0"?><!DOCTYPE lolz [<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;&a;&a;">]>'
    b"<notification><kind>&b;</kind></notification>"
)
OUTSIDE = b'<!DOCTYPE n [<!ENTITY x SYSTEM "file:///etc/hostname">]><notification><kind>&x;</kind></notification>'


@pytest.mark.parametrize(
    "document",
    [
        pytest.param(BOMB, id="entities in entities"),
        pytest.param(OUTSIDE, id="a file from outside"),
        pytest.param(b'<!DOCTYPE n SYSTEM "https://elsewhere.example/x.dtd"><notification/>', id="a DTD from outside"),
        pytest.param(b"<!DOCTYPE n><notification><kind>k</kind></notification>", id="any DTD"),
        pytest.param(b"<notification>" + b"<a>" * 70 + b"</a>" * 70 + b"</notification>", id="too deep"),
        pytest.param(b"<notification>" + b"<a>" * 60_000, id="never closed"),
        pytest.param(b'<?xml version="1.0" encoding="klingon"?><notification/>', id="an unknown encoding"),
        pytest.param(b"<other><kind>k</kind></other>", id="another document"),
        pytest.param(b"<notification/>", id="nothing in it"),
        pytest.param(b"{}", id="no XML"),
        pytest.param(b"", id="empty"),
        pytest.param(b"<notification>\x00</notification>", id="NUL"),
        pytest.param(b"<notification><kind>&#xD800;</kind></notification>", id="half a character"),
    ],
)
def test_no_document_does_more_than_be_refused(document: bytes) -> None:
    with pytest.raises(MalformedPayload):
        decode(form(document))


@pytest.mark.parametrize("body", [b"", b"{}", b"bt_payload=%", b"bt_payload=a&bt_payload=b", b"bt_payload=%C3%A9"])
def test_no_form_does_more_than_be_refused(body: bytes) -> None:
    with pytest.raises(MalformedPayload):
        decode(body)


LIBRARY_KINDS = sorted({*connector.events, *connector.ignored})


@pytest.mark.parametrize("kind", LIBRARY_KINDS)
def test_the_librarys_own_notice_is_proven_and_named_as_we_name_it(kind: str) -> None:
    signature, payload = sample(kind)
    body = urlencode({"bt_signature": signature, "bt_payload": payload}).encode()
    delivery = deliver({}, body)
    (event,) = connector.open(delivery, connector.verify(delivery, [PAIR]))
    # The library knows no sample of some kinds and makes a transaction of them.
    assert event.name == kind
    assert (event.name in connector.events) != (event.name in connector.ignored)


def test_what_we_sign_the_library_reads_as_we_do() -> None:
    signed = connector.signature.sign(samples.load("braintree", "dispute_lost"), PAIR, at=NOW, message_id="m")
    fields = {one.split("=")[0]: one.split("=", 1)[1] for one in signed.body.decode().split("&")}
    from urllib.parse import unquote_plus

    found = gateway().webhook_notification.parse(
        unquote_plus(fields["bt_signature"]), unquote_plus(fields["bt_payload"])
    )
    assert (found.kind, found.dispute.id, str(found.dispute.amount_disputed)) == ("dispute_lost", "dis-4411", "100.00")


def test_a_challenge_is_answered_and_a_plain_get_is_not() -> None:
    assert connector.challenge is not None

    def get(**query: str) -> object:
        assert connector.challenge is not None
        return connector.challenge(Delivery(body=b"", headers={}, received_at=NOW, method="GET", query=query), [PAIR])

    found: Any = get(bt_challenge="20f9f8ed05f77439fe955c977e4c8a53")
    assert found.body == b"integration_public_key|d9b899556c966b3f06945ec21311865d35df3ce4"
    assert get() is None
    assert get(other="x") is None


def pulled(cursor: str | None, *answers: object) -> tuple[Page, Json]:
    assert connector.pull is not None
    given = Credentials(secrets={"webhook_secret": PAIR}, settings={}, external_id=None, asked_at=NOW)
    page, (request,) = asked(connector.pull.talk(given, cursor, NOW - timedelta(days=90)), *answers)
    sent: Any = request.json
    assert (request.method, request.url) == ("POST", "/graphql")
    return page, sent


def test_card_sales_and_refunds_are_searched_for_page_by_page() -> None:
    first, sent = pulled(None, samples.api("braintree", "transactions_page_1"))
    assert sent["operationName"] == "Transactions"
    assert sent["variables"]["input"]["createdAt"]["greaterThanOrEqualTo"] == (NOW - timedelta(days=90)).isoformat()
    # The check of a card, which is of nothing, is left out.
    (paid,) = first.records
    assert isinstance(paid, Payment)
    assert (paid.object_id, paid.status, paid.money) == ("tx9k2m4q", PaymentStatus.SUCCEEDED, Money(10000, "USD"))
    assert (paid.version, paid.references) == (micros(NOW), (Reference(0, "INV-3051"),))
    second, sent = pulled(first.cursor, samples.api("braintree", "transactions_page_2"))
    assert (sent["operationName"], sent["variables"]["after"]) == ("MoreTransactions", "dHJhbnNhY3Rpb24x")
    assert [one.status for one in second.records if isinstance(one, Payment)] == [PaymentStatus.FAILED]
    third, sent = pulled(second.cursor, samples.api("braintree", "refunds"))
    assert sent["operationName"] == "Refunds"
    assert [(one.payment_id, one.status) for one in third.records if isinstance(one, Refund)] == [
        ("tx9k2m4q", RefundStatus.SUCCEEDED)
    ]
    assert (first.more, second.more, third.more) == (True, True, False)
    _, sent = pulled(third.cursor, samples.api("braintree", "transactions_page_2"))
    assert sent["variables"]["input"]["createdAt"]["greaterThanOrEqualTo"] == (NOW - timedelta(days=14)).isoformat()


def test_a_search_that_fails_or_stands_still_is_refused() -> None:
    with pytest.raises(Permanent, match="refused the search for transactions"):
        pulled(None, {"errors": [{"message": "no"}]})
    still = json.loads(samples.api("braintree", "transactions_page_1"))
    with pytest.raises(MalformedPayload, match="moves on"):
        pulled(f"transactions {NOW.isoformat()} {NOW.isoformat()} dHJhbnNhY3Rpb24x", still)


def test_the_key_pair_opens_the_api_too() -> None:
    assert connector.api is not None
    given = Credentials(secrets={"webhook_secret": PAIR}, settings={}, external_id=None)
    result, _ = asked(connector.api.authorize(given))
    assert result.headers == {
        "Authorization": "Basic " + base64.b64encode(PAIR.encode()).decode(),
        "Braintree-Version": "2019-01-01",
    }
