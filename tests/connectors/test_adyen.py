"""Adyen: what each item means, and that nothing unsigned decides about money."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from itertools import permutations
from typing import Any

import pytest

from connectors import registry, samples
from connectors.base import Credentials, Fetch, Page, Registration, Request, Verified
from connectors.contract import deliver
from connectors.payload import micros
from core.errors import MalformedPayload, Permanent
from core.events import (
    BankAccount,
    BankTransaction,
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
    TransactionStatus,
)
from core.money import Money
from core.payments.merge import adjustment_standing, adjustment_values
from core.statements import supersedes
from tests.connectors.asking import asked

connector = registry.get("adyen")
NOW = datetime(2026, 11, 3, 9, 0, tzinfo=UTC)
PAY = "7914073381342284"
AT = datetime(2026, 5, 6, 15, 15, 34, tzinfo=UTC)
Json = dict[str, Any]


def credentials(**settings: str) -> Credentials:
    return Credentials(secrets={"api_key": "k"}, settings=settings, external_id=None, asked_at=NOW)


def read(name: str, variant: str | None = None, *, capture: str = "", **changed: object) -> list[Record]:
    said = json.loads(samples.load("adyen", name, variant))
    for wrapper in said.get("notificationItems", []):
        wrapper["NotificationRequestItem"].update(changed)
    found: list[Record] = []
    for event in connector.open(deliver({}, json.dumps(said).encode()), Verified()):
        reading = connector.read(event.name, event.item)
        assert reading is not None
        if isinstance(reading, Fetch):
            told, requests = asked(reading.talk(credentials(capture=capture)))
            assert requests == []
            reading = told
        found.extend(reading)
    return found


AUTHORISED = Payment(
    object_id=PAY,
    version=0,
    status=PaymentStatus.SUCCEEDED,
    money=Money(1130, "EUR"),
    occurred_at=AT,
    references=(Reference(0, "INV-1407"),),
    method="visa",
)


def test_an_authorisation_is_money_only_where_the_account_captures_by_itself() -> None:
    assert read("AUTHORISATION") == [AUTHORISED]
    (waiting,) = read("AUTHORISATION", capture="manual")
    assert isinstance(waiting, Payment)
    assert waiting.status is PaymentStatus.PENDING
    with pytest.raises(Permanent, match="automatic or manual"):
        read("AUTHORISATION", capture="sometimes")


def test_what_is_not_signed_cannot_make_money_of_an_authorisation() -> None:
    attempts: list[Json] = [
        {"operations": []},
        {"operations": ["REFUND"]},
        {"additionalData": {"captureDelayHours": "0"}},
    ]
    for unsigned in attempts:
        (waiting,) = read("AUTHORISATION", capture="manual", **unsigned)
        assert isinstance(waiting, Payment)
        assert waiting.status is PaymentStatus.PENDING
    (later,) = read("AUTHORISATION", eventDate="2039-01-01T00:00:00Z")
    assert isinstance(later, Payment)
    assert later.version == AUTHORISED.version


@pytest.mark.parametrize("capture", ["automatic", "manual"])
def test_success_false_turns_the_meaning_round(capture: str) -> None:
    (refused,) = read("AUTHORISATION", "refused", capture=capture)
    assert isinstance(refused, Payment)
    assert (refused.status, refused.failure) == (PaymentStatus.FAILED, "Refused")
    (refund,) = read("REFUND", "refused")
    assert isinstance(refund, Refund)
    assert refund.status is RefundStatus.FAILED
    assert read("CHARGEBACK", success="false") == []
    assert read("CANCELLATION", success="false", capture=capture) == []
    assert read("CAPTURE_FAILED", success="false") == []
    for unclear in ("True", "", "yes", None, True):
        with pytest.raises(MalformedPayload, match="success"):
            read("REFUND", success=unclear)


def test_a_card_check_of_nothing_is_no_payment() -> None:
    assert read("AUTHORISATION", "card_check") == []


def test_a_capture_is_the_payment_with_the_amount_that_was_captured() -> None:
    (captured,) = read("CAPTURE", amount={"currency": "EUR", "value": 600}, reason="")
    assert isinstance(captured, Payment)
    assert (captured.object_id, captured.status, captured.money) == (PAY, PaymentStatus.SUCCEEDED, Money(600, "EUR"))
    assert captured.version > AUTHORISED.version
    (refused,) = read("CAPTURE", "refused")
    assert isinstance(refused, Payment)
    assert (refused.status, refused.failure) == (PaymentStatus.FAILED, "Insufficient balance on payment")


def test_a_capture_that_fails_after_all_gives_back_what_was_counted() -> None:
    failed, back = read("CAPTURE_FAILED")
    assert isinstance(failed, Payment)
    assert isinstance(back, Refund)
    assert failed.status is PaymentStatus.FAILED
    assert (back.payment_id, back.status, back.money) == (PAY, RefundStatus.SUCCEEDED, Money(1130, "EUR"))


@pytest.mark.parametrize("name", ["CANCELLATION", "TECHNICAL_CANCEL", "EXPIRE"])
def test_a_cancelled_authorisation_gives_back_only_what_was_counted(name: str) -> None:
    failed, back = read(name, capture="automatic")
    assert isinstance(failed, Payment)
    assert isinstance(back, Refund)
    assert (failed.object_id, back.payment_id, back.money) == (PAY, PAY, Money(1130, "EUR"))
    # With manual captures a part may have been captured, which the end of the rest does not touch.
    assert [type(one) for one in read(name, capture="manual")] == [Payment]
    assert read(name, amount={"currency": "EUR", "value": 0}) == []


REFUNDED = Refund(
    object_id="8835291234567890",
    version=0,
    payment_id=PAY,
    status=RefundStatus.SUCCEEDED,
    money=Money(500, "EUR"),
    occurred_at=AT,
)


def test_a_refund_has_its_own_reference_and_may_come_back() -> None:
    assert read("REFUND") == [REFUNDED]
    for name in ("REFUND_FAILED", "REFUNDED_REVERSED"):
        (returned,) = read(name)
        assert isinstance(returned, Refund)
        assert (returned.object_id, returned.status) == (REFUNDED.object_id, RefundStatus.RETURNED)
    assert [one.status for one in read("POSTPONED_REFUND") if isinstance(one, Refund)] == [RefundStatus.PENDING]
    assert [one.status for one in read("VOID_PENDING_REFUND") if isinstance(one, Refund)] == [RefundStatus.FAILED]
    assert [one.status for one in read("CANCEL_OR_REFUND") if isinstance(one, Refund)] == [RefundStatus.SUCCEEDED]


@pytest.mark.parametrize(
    ("name", "status", "taken"),
    [
        ("REQUEST_FOR_INFORMATION", DisputeStatus.OPEN, 0),
        ("NOTIFICATION_OF_CHARGEBACK", DisputeStatus.OPEN, 0),
        ("CHARGEBACK", DisputeStatus.UNDER_REVIEW, 1000),
        ("CHARGEBACK_REVERSED", DisputeStatus.WON, 0),
        ("PREARBITRATION_WON", DisputeStatus.WON, 0),
        ("SECOND_CHARGEBACK", DisputeStatus.LOST, 1000),
        ("PREARBITRATION_LOST", DisputeStatus.LOST, 1000),
    ],
)
def test_every_stage_of_a_dispute_is_one_dispute(name: str, status: DisputeStatus, taken: int) -> None:
    (dispute,) = read(name)
    assert isinstance(dispute, Dispute)
    assert (dispute.object_id, dispute.payment_id, dispute.status) == ("QFQTPCQ8HXSKGK82", PAY, status)
    assert dispute.deducted == Money(taken, "EUR")
    assert adjustment_values(dispute)["taken"] == taken


@pytest.mark.parametrize(
    ("stages", "taken"),
    [
        (("NOTIFICATION_OF_CHARGEBACK", "CHARGEBACK"), 1000),
        (("NOTIFICATION_OF_CHARGEBACK", "CHARGEBACK", "CHARGEBACK_REVERSED"), 0),
        (("CHARGEBACK", "CHARGEBACK_REVERSED", "SECOND_CHARGEBACK"), 1000),
    ],
)
def test_the_stages_decide_in_any_order_and_whatever_time_somebody_wrote_into_them(
    stages: tuple[str, ...], taken: int
) -> None:
    for order in permutations(stages):
        held: Json | None = None
        for place, name in enumerate(order):
            # The unsigned time claims the opposite order.
            (dispute,) = read(name, eventDate=f"2026-05-{28 - place:02d}T00:00:00Z")
            assert isinstance(dispute, Dispute)
            values = adjustment_values(dispute)
            if held is None or supersedes(adjustment_standing(values), adjustment_standing(held)):
                held = values
        assert held is not None
        assert held["taken"] == taken


def test_a_dispute_that_names_no_payment_is_put_aside_with_that_reason() -> None:
    said = json.loads(samples.load("adyen", "CHARGEBACK_REVERSED"))
    del said["notificationItems"][0]["NotificationRequestItem"]["originalReference"]
    (event,) = connector.open(deliver({}, json.dumps(said).encode()), Verified())
    with pytest.raises(MalformedPayload, match="originalReference: is missing"):
        connector.read(event.name, event.item)


@pytest.mark.parametrize(
    ("name", "identity", "status"),
    [
        ("REFUND_WITH_DATA", "8865291234567890", PayoutStatus.PAID),
        ("PAYOUT_THIRDPARTY", "8875291234567890", PayoutStatus.PAID),
        ("PAYOUT_DECLINE", "8875291234567890", PayoutStatus.FAILED),
        ("PAYOUT_EXPIRE", "8875291234567890", PayoutStatus.FAILED),
        ("PAIDOUT_REVERSED", "8875291234567890", PayoutStatus.REVERSED),
    ],
)
def test_money_sent_to_others_is_one_payout_whatever_becomes_of_it(
    name: str, identity: str, status: PayoutStatus
) -> None:
    (payout,) = read(name)
    assert isinstance(payout, Payout)
    assert (payout.object_id, payout.status, payout.to_third_party) == (identity, status, True)


@pytest.mark.parametrize(
    ("currency", "value", "minor"),
    [
        ("CLP", 500000, 5000),
        ("ISK", 500000, 5000),
        ("CVE", 50, 5000),
        ("IDR", 50, 5000),
        ("JPY", 50, 50),
        ("KWD", 5, 5),
    ],
)
def test_amounts_have_the_decimal_places_that_adyen_counts(currency: str, value: int, minor: int) -> None:
    (payment,) = read("AUTHORISATION", amount={"currency": currency, "value": value})
    assert isinstance(payment, Payment)
    assert payment.money == Money(minor, currency)


def test_no_digit_of_an_amount_is_dropped() -> None:
    with pytest.raises(MalformedPayload):
        read("AUTHORISATION", amount={"currency": "CLP", "value": 500001})


def test_an_event_is_known_by_code_reference_and_success() -> None:
    events = connector.open(deliver({}, samples.load("adyen", "AUTHORISATION", "batch")), Verified())
    assert [event.id for event in events] == [f"AUTHORISATION:{PAY}:true", "AUTHORISATION:7914073381342288:true"]
    assert {event.external_id for event in events} == {"TestMerchant"}
    (transfer,) = connector.open(deliver({}, samples.load("adyen", "balancePlatform.transfer.updated")), Verified())
    assert transfer.id == "balancePlatform.transfer.updated:3JNC3O5ZVFLLGV4B:3"
    assert transfer.external_id == "YOUR_BALANCE_PLATFORM"
    nameless = b'{"type": "merchant.created", "data": {"companyId": "C"}}'
    (unknown,) = connector.open(deliver({}, nameless), Verified())
    assert unknown.id.startswith("body:")
    assert connector.read(unknown.name, unknown.item) is None


def test_it_is_answered_with_the_word_that_adyen_waits_for() -> None:
    assert connector.accepted is not None
    assert connector.accepted.body == b"[accepted]"


BOOKED = datetime(2023, 8, 11, 14, 31, 2, tzinfo=UTC)


def test_a_booked_line_is_signed_and_stands_on_its_account() -> None:
    account, line = read("balancePlatform.transaction.created")
    assert isinstance(account, BankAccount)
    assert (account.object_id, account.currency) == ("BA00000000000000000000001:EUR", "EUR")
    assert line == BankTransaction(
        object_id="EVJN00000000000000000000000003EUR",
        version=micros(BOOKED),
        account_id=account.object_id,
        status=TransactionStatus.POSTED,
        money=Money(-10000, "EUR"),
        narration="Payment of INV-1407 INV-1407 INV-1407",
        occurred_at=datetime(2023, 8, 11, 14, 19, 35, tzinfo=UTC),
    )


def test_a_transfer_is_pending_until_it_is_booked_under_the_ids_of_its_transactions() -> None:
    _, announced = read("balancePlatform.transfer.created")
    assert isinstance(announced, BankTransaction)
    assert (announced.object_id, announced.status) == ("3JNC3O5ZVFLLGV4B", TransactionStatus.PENDING)
    assert (announced.money, announced.version) == (Money(-10000, "EUR"), 1)
    account, gone, booked = read("balancePlatform.transfer.updated")
    assert isinstance(account, BankAccount)
    assert isinstance(gone, BankTransaction)
    assert isinstance(booked, BankTransaction)
    assert (gone.object_id, gone.status) == (announced.object_id, TransactionStatus.REMOVED)
    _, told = read("balancePlatform.transaction.created")
    assert isinstance(told, BankTransaction)
    assert (booked.object_id, booked.money, booked.account_id) == (told.object_id, told.money, told.account_id)


def test_a_pull_lists_booked_lines_page_by_page_and_begins_again_with_an_overlap() -> None:
    assert connector.pull is not None
    talk, given = connector.pull.talk, credentials(balance_platform="YOUR_BALANCE_PLATFORM")
    first, (request,) = asked(talk(given, None, NOW - timedelta(days=90)), samples.api("adyen", "transactions_page_1"))
    assert isinstance(first, Page)
    assert request.params["createdSince"] == (NOW - timedelta(days=90)).isoformat()
    assert (len(first.records), first.more) == (2, True)
    second, (request,) = asked(talk(given, first.cursor, NOW), samples.api("adyen", "transactions_page_2"))
    assert request.params["cursor"] == "S2B-page2"
    assert not second.more
    _, (request,) = asked(talk(given, second.cursor, NOW), {"data": []})
    assert request.params["createdSince"] == (NOW - timedelta(days=1)).isoformat()


def test_a_pull_refuses_a_circle_and_lines_of_another_platform_and_asks_nothing_without_one() -> None:
    assert connector.pull is not None
    given = credentials(balance_platform="YOUR_BALANCE_PLATFORM")
    circle = {"data": [], "_links": {"next": {"href": "/btl/v4/transactions?cursor=here"}}}
    with pytest.raises(MalformedPayload, match="another page"):
        asked(connector.pull.talk(given, f"{NOW.isoformat()} {NOW.isoformat()} here", NOW), circle)
    strange = json.loads(samples.api("adyen", "transactions_page_2"))
    strange["data"][0]["balancePlatform"] = "ANOTHER"
    with pytest.raises(MalformedPayload, match="is not the one that was asked for"):
        asked(connector.pull.talk(given, None, NOW), strange)
    page, requests = asked(connector.pull.talk(credentials(), None, NOW))
    assert (page, requests) == (Page(records=()), [])


URL = "https://ledgerwire.example/hook"
WEBHOOKS = "https://management-live.adyen.com/v3/merchants/TestMerchant/webhooks"


def registered(*answers: object, merchant: str | None = "TestMerchant") -> tuple[Registration, list[Request]]:
    assert connector.register is not None
    given = Credentials(secrets={"api_key": "k"}, settings={}, external_id=merchant, asked_at=NOW)
    return asked(connector.register(given, URL), *answers)


def webhook(**changed: object) -> Json:
    return {**json.loads(samples.api("adyen", "webhook")), **changed}


def test_a_webhook_of_this_address_that_works_is_kept() -> None:
    others = {**json.loads(samples.api("adyen", "webhooks")), "pagesTotal": 2}
    result, requests = registered(others, {"data": [webhook()], "pagesTotal": 2})
    assert result == Registration(state="kept")
    assert [(one.url, one.params["pageNumber"]) for one in requests] == [(WEBHOOKS, "1"), (WEBHOOKS, "2")]


@pytest.mark.parametrize("changed", [{"active": False}, {"communicationFormat": "soap"}], ids=["off", "no JSON"])
def test_a_webhook_that_is_off_or_speaks_another_format_is_repaired(changed: Json) -> None:
    result, requests = registered({"data": [webhook(**changed)], "pagesTotal": 1}, webhook())
    assert result == Registration(state="repaired")
    assert (requests[1].method, requests[1].url) == ("PATCH", f"{WEBHOOKS}/S2-31433949437870")
    assert requests[1].json == {"active": True, "communicationFormat": "json"}


def test_a_new_webhook_gets_a_key_of_its_own_and_a_platforms_webhook_is_no_match() -> None:
    listed = {"data": [webhook(type="balanceplatform")], "pagesTotal": 1}
    result, requests = registered(listed, samples.api("adyen", "webhook"), samples.api("adyen", "hmac_key"))
    assert (result.state, result.secret) == (
        "created",
        "44782DEF547AAA06C910C43932B1EB0C71FC68D9D0C057550C48EC2ACF6BA056",
    )
    assert [one.method for one in requests] == ["GET", "POST", "POST"]
    assert requests[2].url == f"{WEBHOOKS}/S2-31433949437870/generateHmac"
    assert "44782DEF" not in repr(result)


def test_webhooks_without_end_or_without_a_merchant_are_refused() -> None:
    with pytest.raises(MalformedPayload, match="pagesTotal"):
        registered(*([{"data": [], "pagesTotal": 10**6}] * 101))
    with pytest.raises(Permanent, match="merchant account"):
        registered(merchant=None)
