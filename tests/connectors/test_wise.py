"""Wise: signed movements, and transfers that must be asked for."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest

from connectors import registry, samples
from connectors.base import Credentials, Event, Fetch, Page, Registration, Verified
from connectors.contract import deliver
from connectors.contract.recorded import Routes
from connectors.payload import micros
from connectors.samples import HERE
from core.errors import MalformedPayload, SignatureRejected
from core.events import BankAccount, BankTransaction, Payout, PayoutStatus, Record, TransactionStatus
from core.money import Money
from tests.connectors import asking

connector = registry.get("wise")
NOW = datetime(2026, 11, 3, 20, 26, 10, tzinfo=UTC)
PROFILE = "16055450"
URL = "https://ledgerwire.example/hook"
Json = dict[str, Any]
VECTOR = (
    "wKcKCYXAzxNgiu7xmoDm943NUni7Rz33QN8JkEA9dWSGebgndonabgSj18Y4C08OrwVmueGsED2s00M7DtJVcYKOS1i3G4TMVx+mgM3aL9djMBkQ"
    "tiYNBFUd6wrPI7ZUNHv/TrlKSjTMc+6JFvUvJ7owY3z85e3I4jLRLJowMFvO8kvCJ60+1pY9wDwZvtZ//WS93LrwGjk9Dvwzpmu0w+P4J75tETT5"
    "qC3Uv0y5G2yO8SEoO3yNP/tg/BOli02niHb53vEOUWUb9bly6thnfMoXoiV/osoGxgF20R58RlvkAmezyyl1Sv542TfS2DpiwVnmjjjkCyXeSUcK"
    "ookYLQ=="
)


class Recorded(asking.Recorded):
    routes = Routes(HERE / "wise" / "api", connector.api)


def known(external_id: str | None = PROFILE) -> Credentials:
    return Credentials(secrets={"api_token": "t"}, settings={}, external_id=external_id, asked_at=NOW)


def opened(name: str, variant: str | None = None, **data: Any) -> Event:
    said = json.loads(samples.load("wise", name, variant))
    body = json.dumps({**said, "data": {**said["data"], **data}}).encode()
    (event,) = connector.open(deliver({}, body), Verified(for_us=False))
    return event


def read(name: str, variant: str | None = None, **data: Any) -> list[Record]:
    event = opened(name, variant, **data)
    reading = connector.read(event.name, event.item)
    assert reading is not None
    assert not isinstance(reading, Fetch)
    return list(reading)


def fetch(name: str, api: Recorded | None = None, credentials: Credentials | None = None, **data: Any) -> list[Record]:
    event = opened(name, **data)
    reading = connector.read(event.name, event.item)
    assert isinstance(reading, Fetch)
    return (api or Recorded()).hold(reading.talk(credentials or known()))


def test_the_published_notice_is_taken_with_the_sandbox_key_and_not_with_the_production_one() -> None:
    body = samples.load("wise", "transfers#state-change", "published_vector")
    delivery = deliver({"X-Signature-SHA256": VECTOR}, body)
    verified = connector.verify(delivery, ["production", "sandbox"])
    assert verified == Verified(secret_index=1, for_us=False)
    (event,) = connector.open(delivery, verified)
    assert (event.name, event.external_id) == ("transfers#state-change", PROFILE)
    for secrets in (["production"], [], ["Sandbox"]):
        with pytest.raises(SignatureRejected):
            connector.verify(delivery, secrets)
    connector.signature.check_secret("production")


def test_a_credit_is_positive_and_a_debit_negative_though_both_are_written_positive() -> None:
    at = datetime(2026, 11, 3, 9, 26, 7, tzinfo=UTC)
    assert read("balances#update") == [
        BankAccount(
            object_id="111",
            version=micros(at),
            name="Wise GBP",
            currency="GBP",
            kind="balance",
            balance=Money(8893, "GBP"),
        ),
        BankTransaction(
            object_id="111:BNK-1234567:credit:7000",
            version=micros(at),
            account_id="111",
            status=TransactionStatus.POSTED,
            money=Money(7000, "GBP"),
            narration="TRANSFER BNK-1234567",
            occurred_at=at,
            bank_reference="BNK-1234567",
            balance=Money(8893, "GBP"),
            category="TRANSFER",
        ),
    ]
    _, debit = read("balances#update", "debit")
    assert isinstance(debit, BankTransaction)
    assert (debit.money, debit.object_id) == (Money(-1234, "GBP"), "111:TRANSFER-49983981:debit:1234")
    _, yen = read("balances#update", "yen_without_reference")
    assert isinstance(yen, BankTransaction)
    assert (yen.money, yen.object_id) == (Money(118000, "JPY"), "112:step 1234569:credit:118000")
    _, fee = read("balances#update", "millis")
    assert isinstance(fee, BankTransaction)
    assert fee.occurred_at == datetime(2026, 11, 3, 10, 0, 0, 250_000, tzinfo=UTC)


@pytest.mark.parametrize(
    "data",
    [
        {"amount": -70},
        {"amount": 0},
        {"amount": 70.123},
        {"transaction_type": "other"},
        {"occurred_at": "2026-11-03 09:26:07"},
    ],
)
def test_a_movement_that_is_not_as_documented_is_malformed(data: Json) -> None:
    with pytest.raises(MalformedPayload):
        read("balances#update", **data)


def test_the_same_change_told_by_two_subscriptions_is_one_event_and_both_sides_of_a_conversion_are_two() -> None:
    said = json.loads(samples.load("wise", "balances#update"))
    ids = []
    for change in (
        {},
        {"subscription_id": "another", "sent_at": "2026-11-04T00:00:00Z"},
        {"data": {**said["data"], "balance_id": 112}},
    ):
        (event,) = connector.open(deliver({}, json.dumps({**said, **change}).encode()), Verified())
        ids.append(event.id)
    assert ids[0] == ids[1] != ids[2]


def test_a_transfer_is_asked_for_because_its_event_tells_no_amount() -> None:
    api = Recorded()
    assert fetch("transfers#state-change", api) == [
        Payout(
            object_id="49983981",
            version=micros(NOW),
            status=PayoutStatus.PAID,
            money=Money(10050, "GBP"),
            occurred_at=datetime(2026, 11, 3, 10, 12, 50, tzinfo=UTC),
            bank_reference="Invoice 77",
            to_third_party=True,
        )
    ]
    assert api.urls == ["GET /v1/transfers/49983981"]


@pytest.mark.parametrize(
    ("state", "status"),
    [
        ("processing", PayoutStatus.PENDING),
        ("cancelled", PayoutStatus.FAILED),
        ("bounced_back", PayoutStatus.REVERSED),
        ("funds_refunded", PayoutStatus.REVERSED),
    ],
)
def test_sent_is_not_the_end_of_a_transfer(state: str, status: PayoutStatus) -> None:
    (payout,) = fetch("transfers#payout-failure", Recorded(lambda said: said.update(status=state)))
    assert isinstance(payout, Payout)
    assert payout.status is status


def test_another_transfer_or_another_profile_is_refused() -> None:
    with pytest.raises(MalformedPayload, match="not the one that was asked for"):
        fetch("transfers#refund", Recorded(lambda said: said.update(id=1)))
    with pytest.raises(MalformedPayload, match="business"):
        fetch("transfers#refund", Recorded(lambda said: said.update(business=1)))
    for name in ("transfers#state-change", "balances#account-state-change"):
        api = Recorded()
        with pytest.raises(MalformedPayload, match="not the connection's profile"):
            fetch(name, api, known("77"))
        assert api.asked == []


def test_a_balance_that_was_opened_is_listed_with_the_others() -> None:
    found = fetch("balances#account-state-change")
    assert [(one.object_id, one.name, one.balance) for one in found if isinstance(one, BankAccount)] == [
        ("111", "Wise GBP", Money(7654, "GBP")),
        ("112", "Japan", Money(120500, "JPY")),
    ]


def test_statements_are_pulled_a_balance_a_stretch_and_tell_more_of_what_events_told() -> None:
    assert connector.pull is not None
    api, since = Recorded(), datetime(2026, 10, 1, tzinfo=UTC)
    first = api.hold(connector.pull.talk(known(), None, since))
    assert isinstance(first, Page)
    assert first.more
    assert dict(api.asked[1].params) == {
        "currency": "GBP",
        "intervalStart": "2026-10-01T00:00:00.000Z",
        "intervalEnd": "2026-11-03T20:26:10.000Z",
        "type": "FLAT",
    }
    lines = [one for one in first.records if isinstance(one, BankTransaction)]
    told = {one.object_id for v in (None, "debit", "millis") for one in read("balances#update", v)}
    assert {one.object_id for one in lines} <= told
    credit = lines[-1]
    assert (credit.money, credit.counterparty) == (Money(7000, "GBP"), "BINA BUYER")
    assert credit.narration == "Received money from BINA BUYER with reference INV-2026-0042"
    assert lines[1].narration == "Sent money to Supplier Ltd Invoice 77"
    second = api.hold(connector.pull.talk(known(), first.cursor, NOW))
    assert isinstance(second, Page)
    assert (second.more, second.cursor) == (False, "2026-11-02T20:26:10+00:00")
    assert api.urls[-1] == "GET /v1/profiles/16055450/balance-statements/112/statement.json"
    api.hold(connector.pull.talk(known(), second.cursor, since))
    assert api.asked[-1].params["intervalStart"] == "2026-11-02T20:26:10.000Z"


def test_a_statement_in_another_currency_is_refused() -> None:
    assert connector.pull is not None

    def change(said: Any) -> None:
        if isinstance(said, dict):
            said["transactions"][0]["amount"]["currency"] = "EUR"

    with pytest.raises(MalformedPayload, match="an amount in GBP"):
        Recorded(change).hold(connector.pull.talk(known(), None, NOW))


def test_missing_subscriptions_are_made() -> None:
    assert connector.register is not None
    api = Recorded()
    assert api.hold(connector.register(known(), URL)) == Registration(state="created")
    made = [one.json for one in api.asked[1:]]
    assert [one["trigger_on"] for one in made if isinstance(one, dict)] == list(connector.events)

    def listed(*names: str) -> Callable[[Any], object]:
        versions = {"balances#update": "3.0.0"}

        def change(said: Any) -> None:
            if isinstance(said, list):
                said[:] = [
                    {"trigger_on": name, "delivery": {"url": URL, "version": versions.get(name, "2.0.0")}}
                    for name in names
                ]

        return change

    kept = Recorded(listed(*connector.events))
    assert kept.hold(connector.register(known(), URL)) == Registration(state="kept")
    assert len(kept.asked) == 1
    repaired = Recorded(listed("balances#update"))
    assert repaired.hold(connector.register(known(), URL)) == Registration(state="repaired")
    assert len(repaired.asked) == len(connector.events)


def test_a_test_call_is_answered_without_being_looked_at() -> None:
    assert connector.challenge is not None
    body = samples.load("wise", "balances#update")
    answer = connector.challenge(deliver({"X-Test-Notification": "true"}, body), [])
    assert answer is not None
    assert (answer.status, answer.body) == (200, b"")
    assert connector.challenge(deliver({}, body), []) is None
