"""TrueLayer: pointers, and what the API says when they are followed."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from connectors import registry, samples
from connectors.base import Credentials, Fetch, Page, Verified
from connectors.contract import deliver
from connectors.contract.recorded import Routes
from connectors.payload import micros
from connectors.samples import HERE
from core.errors import MalformedPayload, Permanent
from core.events import (
    BankAccount,
    BankTransaction,
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
from tests.connectors import asking
from workers.transport import Transport, _Run

connector = registry.get("truelayer")
NOW = datetime(2026, 11, 6, 9, 0, tzinfo=UTC)
ACCOUNT = "200552da-13da-43c5-a9ba-04ee1502ac57"
PAYMENT = "60c0a60ed8d7-4e5b-ac79-401b1d8a8633"
Json = dict[str, Any]


class Recorded(asking.Recorded):
    routes = Routes(HERE / "truelayer" / "api", connector.api)


def known(external_id: str | None = ACCOUNT, **settings: str) -> Credentials:
    return Credentials(
        secrets={"client_secret": "s"}, settings={"client_id": "c", **settings}, external_id=external_id, asked_at=NOW
    )


def fetch(name: str, api: Recorded | None = None, credentials: Credentials | None = None, **more: Any) -> list[Record]:
    body = json.dumps({**json.loads(samples.load("truelayer", name)), **more}).encode()
    (event,) = connector.open(deliver({}, body), Verified(for_us=False))
    reading = connector.read(event.name, event.item)
    assert isinstance(reading, Fetch)
    return (api or Recorded()).hold(reading.talk(credentials or known()))


def test_a_settled_payment_is_asked_for_and_names_its_invoice() -> None:
    api = Recorded()
    assert fetch("payment_settled", api) == [
        Payment(
            object_id=PAYMENT,
            version=micros(datetime(2026, 11, 3, 15, tzinfo=UTC)),
            status=PaymentStatus.SUCCEEDED,
            money=Money(118000, "GBP"),
            occurred_at=datetime(2026, 11, 3, 14, 58, tzinfo=UTC),
            references=(Reference(0, "INV-2026-0042"), Reference(1, "order 77")),
            method="bank_transfer",
            payer_name="Bina Buyer",
            payer_email="buyer@example.com",
            bank_reference="order 77",
        )
    ]
    assert api.urls == [f"GET /v3/payments/{PAYMENT}"]


@pytest.mark.parametrize(
    ("beneficiary", "state", "status"),
    [
        ("merchant_account", "executed", PaymentStatus.PENDING),
        ("merchant_account", "settled", PaymentStatus.SUCCEEDED),
        ("external_account", "executed", PaymentStatus.SUCCEEDED),
        ("external_account", "authorized", PaymentStatus.PENDING),
        ("merchant_account", "attempt_failed", PaymentStatus.PENDING),
        ("merchant_account", "failed", PaymentStatus.FAILED),
    ],
)
def test_executed_is_money_only_where_nothing_further_is_seen(
    beneficiary: str, state: str, status: PaymentStatus
) -> None:
    def change(said: Json) -> None:
        said["status"] = state
        said["payment_method"]["beneficiary"]["type"] = beneficiary

    (payment,) = fetch("payment_executed", Recorded(change))
    assert isinstance(payment, Payment)
    assert payment.status is status


def test_a_failed_payment_says_why() -> None:
    (payment,) = fetch("payment_failed")
    assert isinstance(payment, Payment)
    assert (payment.status, payment.failure) == (PaymentStatus.FAILED, "canceled")


def test_a_refund_and_its_failure() -> None:
    api = Recorded()
    at = datetime(2026, 11, 5, 15, tzinfo=UTC)
    assert fetch("refund_executed", api) == [
        Refund(
            object_id="af386a24-e5e6-4508-a4e4-82d4bc4e3677",
            version=micros(at),
            payment_id=PAYMENT,
            status=RefundStatus.SUCCEEDED,
            money=Money(18000, "GBP"),
            occurred_at=datetime(2026, 11, 5, 14, 58, tzinfo=UTC),
            reason="two pieces",
        )
    ]
    assert api.urls == [f"GET /v3/payments/{PAYMENT}/refunds/af386a24-e5e6-4508-a4e4-82d4bc4e3677"]
    (failed,) = fetch("refund_failed")
    assert isinstance(failed, Refund)
    assert (failed.status, failed.reason) == (RefundStatus.FAILED, "insufficient_funds")


def test_a_payout_goes_to_the_own_bank_or_to_somebody_else() -> None:
    (own,), (other,) = fetch("payout_executed"), fetch("payout_failed")
    assert isinstance(own, Payout)
    assert isinstance(other, Payout)
    assert (own.status, own.money, own.to_third_party) == (PayoutStatus.PAID, Money(50000, "GBP"), False)
    assert (own.bank_reference, other.to_third_party) == ("SWEEP-7", True)
    assert other.status is PayoutStatus.FAILED


def test_an_external_payment_is_found_in_the_list_of_the_account() -> None:
    api = Recorded()
    account, moved = fetch("external_payment_received", api)
    assert account == BankAccount(
        object_id=ACCOUNT,
        version=micros(NOW),
        name="Asha Shop",
        currency="GBP",
        kind="merchant account",
        balance=Money(150000, "GBP"),
    )
    at = datetime(2026, 11, 2, 11, 30, tzinfo=UTC)
    assert moved == BankTransaction(
        object_id="e21f2c05-8b77-4f8a-8a4e-0d0c2a4b1a02",
        version=micros(at),
        account_id=ACCOUNT,
        status=TransactionStatus.POSTED,
        money=Money(25050, "GBP"),
        narration="CHRIS CUSTOMER INV-2026-0050",
        occurred_at=at,
        counterparty="CHRIS CUSTOMER",
        bank_reference="INV-2026-0050",
        category="external payment",
    )
    assert dict(api.asked[1].params) == {"from": "2026-10-30T09:00:00Z", "to": "2026-11-06T09:00:00Z"}
    assert api.asked[2].params["cursor"] == "eyJwYWdlIjoyfQ"


@pytest.mark.parametrize("name", ["external_payment_received", "balance_notification"])
def test_an_account_that_is_not_ours_is_refused_before_anything_is_asked(name: str) -> None:
    api = Recorded()
    with pytest.raises(MalformedPayload, match="not the connection's merchant account"):
        fetch(name, api, merchant_account_id="another-account")
    with pytest.raises(Permanent, match="no merchant account id"):
        fetch(name, api, known(None))
    assert api.asked == []


@pytest.mark.parametrize("name", ["payment_settled", "refund_executed", "payout_executed", "balance_notification"])
def test_another_object_than_the_one_asked_for_is_refused(name: str) -> None:
    with pytest.raises(MalformedPayload, match="not the one that was asked for"):
        fetch(name, Recorded(lambda said: said.update(id="another")))


def test_money_into_another_account_is_refused() -> None:
    def change(said: Json) -> None:
        said["payment_method"]["beneficiary"]["merchant_account_id"] = "another"

    with pytest.raises(MalformedPayload, match="merchant_account_id"):
        fetch("payment_settled", Recorded(change))
    with pytest.raises(MalformedPayload, match="merchant_account_id"):
        fetch("payout_executed", Recorded(lambda said: said.update(merchant_account_id="another")))


def test_a_list_that_leads_in_a_circle_is_refused() -> None:
    api = Recorded(lambda said: said.update(pagination={"next_cursor": "same"}) if "items" in said else None)
    with pytest.raises(MalformedPayload, match="circle"):
        fetch("external_payment_received", api)
    assert len(api.asked) == 3


def test_a_pull_follows_the_list_to_its_objects_and_goes_on_a_little_before_it_ended() -> None:
    assert connector.pull is not None
    api, since = Recorded(), datetime(2026, 10, 1, tzinfo=UTC)
    first = api.hold(connector.pull.talk(known(), None, since))
    assert isinstance(first, Page)
    assert first.more
    assert [type(one) for one in first.records] == [BankAccount, Payment, BankTransaction]
    second = api.hold(connector.pull.talk(known(), first.cursor, NOW))
    assert isinstance(second, Page)
    assert [type(one) for one in second.records] == [Refund, Payout]
    assert (second.more, second.cursor) == (False, "2026-11-06T08:00:00+00:00")
    # The window stays the same from page to page.
    lists = [dict(one.params) for one in api.asked if one.url.endswith("/transactions")]
    assert lists[0]["to"] == lists[1]["to"] == "2026-11-06T09:00:00Z"
    api.hold(connector.pull.talk(known(), second.cursor, since))
    assert [one.params for one in api.asked if one.url.endswith("/transactions")][-1]["from"] == "2026-11-06T08:00:00Z"


def test_a_sandbox_hands_out_its_tokens_at_its_own_host_and_a_stand_in_at_its_only_one() -> None:
    assert connector.api is not None
    transport = Transport(allow_local=True)
    bases = {
        "https://api.truelayer.com": "https://auth.truelayer.com/connect/token",
        "https://api.truelayer-sandbox.com": "https://auth.truelayer-sandbox.com/connect/token",
        "http://127.0.0.1:4000/truelayer": "http://127.0.0.1:4000/truelayer/connect/token",
        "https://stand-in.example": "https://stand-in.example/connect/token",
    }
    for base, expected in bases.items():
        credentials = known(api_base=base)
        request = next(connector.api.authorize(credentials))
        run = _Run(transport._shared, "truelayer", connector.api, base, credentials, None, None)
        assert run._where(request.url) == expected
    transport.close()
