"""Plaid: signals, and what the API says when it is asked."""

from __future__ import annotations

import json
from collections.abc import Callable, Generator
from datetime import UTC, date, datetime
from typing import Any, TypeVar

import pytest

from connectors import registry, samples
from connectors.base import Credentials, Fetch, Page, Registration, Request, Response, Verified
from connectors.contract import AT, deliver, signed
from connectors.contract.recorded import Routes
from connectors.payload import micros
from connectors.samples import HERE
from core.errors import MalformedPayload
from core.events import (
    BankAccount,
    BankTransaction,
    ConnectionHealth,
    ConnectionState,
    Payment,
    PaymentStatus,
    PendingSnapshot,
    Record,
    Reference,
    TransactionStatus,
)
from core.money import Money
from tests.connectors.asking import hold

connector = registry.get("plaid")
NOW = datetime(2026, 11, 3, 9, 0, tzinfo=UTC)
ITEM = "wz666MBjYWTp2PDzzggYhM6oWWmBb"
CHECKING, SAVING = "BxBXxLj1m4HMXBm9WZZmCWVbPjX16EHwv99vp", "dVzbVMLjrxTnLjX4G66XUp5GLklm4oiZy88yK"
ROUTES = Routes(HERE / "plaid" / "api", connector.api)
T = TypeVar("T")
Json = dict[str, Any]


class Recorded:
    """The API as recorded; keeps what was asked. `change` may alter an answer."""

    def __init__(self, change: Callable[[str, Json], Json] = lambda _, said: said) -> None:
        self.asked: list[tuple[str, Any]] = []
        self.change = change

    def hold(self, talk: Generator[Request, Response, T]) -> T:
        return hold(talk, self._reply)

    def _reply(self, request: Request) -> Json:
        self.asked.append((request.url, request.json))
        return self.change(request.url, json.loads(ROUTES.answer(request).content))


def known(external_id: str | None = ITEM) -> Credentials:
    secrets = {"webhook_secret": "client-1:secret-1", "access_token": "access-1"}
    return Credentials(secrets=secrets, settings={}, external_id=external_id, asked_at=NOW)


def fetch(
    name: str, api: Recorded | None = None, *, credentials: Credentials | None = None, **more: Any
) -> list[Record]:
    body = json.dumps({**json.loads(samples.load("plaid", name)), **more}).encode()
    (event,) = connector.open(deliver({}, body), Verified(message_id="m"))
    reading = connector.read(event.name, event.item)
    assert isinstance(reading, Fetch)
    return (api or Recorded()).hold(reading.talk(credentials or known()))


def test_news_brings_the_accounts_and_every_page_of_transactions_with_their_sign_turned_round() -> None:
    api = Recorded()
    records = fetch("TRANSACTIONS.SYNC_UPDATES_AVAILABLE", api)
    assert [(url, body.get("cursor")) for url, body in api.asked] == [
        ("/accounts/get", None),
        ("/transactions/sync", None),
        ("/transactions/sync", "tVUUL15lYQN5rBnfDIc1I8xudpGdIlw9nsgeXWvh"),
    ]
    accounts = [one for one in records if isinstance(one, BankAccount)]
    assert [(one.object_id, one.name, one.number, one.kind, one.balance) for one in accounts] == [
        (CHECKING, "Plaid Checking", "0000", "checking", Money(11094, "USD")),
        (SAVING, "Plaid Saving", "1111", "savings", Money(21000, "USD")),
    ]
    bought, credited, pending, refunded, removed = (one for one in records if isinstance(one, BankTransaction))
    assert bought == BankTransaction(
        object_id="lPNjeW1nR6CDn5okmGQ6hEpMo4lLNoSrzqDje",
        version=micros(NOW),
        account_id=CHECKING,
        status=TransactionStatus.POSTED,
        money=Money(-7210, "USD"),
        narration="PURCHASE WM SUPERCENTER #1700",
        occurred_at=datetime(2026, 9, 24, 11, 1, 1, tzinfo=UTC),
        counterparty="Walmart",
        category="GENERAL_MERCHANDISE",
    )
    assert (credited.money, credited.booked_on) == (Money(118000, "USD"), date(2026, 11, 2))
    assert (credited.occurred_at, credited.bank_reference) == (datetime(2026, 11, 2, tzinfo=UTC), "026112233445566")
    assert (pending.status, pending.money) == (TransactionStatus.PENDING, Money(-540, "USD"))
    assert (refunded.account_id, refunded.money) == (SAVING, Money(2550, "USD"))
    assert (removed.object_id, removed.status) == ("CmdQTNgems8BT1B7ibkoUXVPyAeehT3Tmzk0l", TransactionStatus.REMOVED)


def test_a_whole_list_says_which_pending_ones_are_gone_and_a_part_of_it_does_not() -> None:
    snapshots = [one for one in fetch("TRANSACTIONS.DEFAULT_UPDATE") if isinstance(one, PendingSnapshot)]
    assert snapshots == [PendingSnapshot(object_id=one, version=micros(NOW)) for one in (CHECKING, SAVING)]
    assert connector.pull is not None
    page = Recorded().hold(connector.pull.talk(known(), "MtiqQ3Kx7aXWc0dBhEo4", NOW))
    assert isinstance(page, Page)
    assert (page.cursor, page.more) == ("MtiqQ3Kx7aXWc0dBhEo4", False)
    assert [type(one) for one in page.records] == [BankAccount, BankAccount]


def test_a_pull_goes_to_the_end_in_one_stretch_because_a_broken_list_must_begin_anew() -> None:
    assert connector.pull is not None
    api = Recorded()
    page = api.hold(connector.pull.talk(known(), None, NOW))
    assert isinstance(page, Page)
    assert (page.cursor, page.more) == ("MtiqQ3Kx7aXWc0dBhEo4", False)
    assert sum(isinstance(one, BankTransaction) for one in page.records) == 5
    assert all(body["access_token"] == "access-1" for _, body in api.asked)


def test_what_has_no_iso_currency_is_left_out_and_what_has_a_wrong_one_is_not() -> None:
    records = fetch("TRANSACTIONS.DEFAULT_UPDATE")
    assert "COIN PURCHASE" not in [getattr(one, "narration", "") for one in records]

    def change(url: str, said: Json) -> Json:
        if url == "/transactions/sync":
            said["added"][0]["iso_currency_code"] = "XXQ"
        return said

    with pytest.raises(MalformedPayload, match="iso_currency_code"):
        fetch("TRANSACTIONS.DEFAULT_UPDATE", Recorded(change))


@pytest.mark.parametrize("name", ["TRANSACTIONS.DEFAULT_UPDATE", "ITEM.ERROR"])
@pytest.mark.parametrize("external_id", ["another-item", None])
def test_an_item_that_is_not_ours_is_refused(name: str, external_id: str | None) -> None:
    with pytest.raises(MalformedPayload, match="item_id"):
        fetch(name, credentials=known("another-item"))
    # A token that opens another Item than the one the event names.
    with pytest.raises(MalformedPayload, match="item_id"):
        fetch(name, credentials=known(external_id), item_id="another-item")


def test_an_item_that_is_shut_out_tells_so_itself() -> None:
    api = Recorded()
    (state,) = fetch("ITEM.USER_PERMISSION_REVOKED", api)
    assert isinstance(state, ConnectionState)
    assert (state.object_id, state.health, state.version) == (ITEM, ConnectionHealth.REVOKED, micros(NOW))
    assert api.asked == []
    with pytest.raises(MalformedPayload, match="not the connection's Item"):
        fetch("ITEM.USER_PERMISSION_REVOKED", credentials=known("another-item"))


@pytest.mark.parametrize(
    ("error", "health", "reason"),
    [
        (None, ConnectionHealth.ACTIVE, None),
        ({"error_code": "ITEM_LOGIN_REQUIRED"}, ConnectionHealth.NEEDS_ATTENTION, "item login required"),
    ],
)
def test_an_error_is_looked_into_before_it_is_told(
    error: Json | None, health: ConnectionHealth, reason: str | None
) -> None:
    def change(_: str, said: Json) -> Json:
        said["item"]["error"] = error
        return said

    (state,) = fetch("ITEM.ERROR", Recorded(change))
    assert state == ConnectionState(object_id=ITEM, version=micros(NOW), health=health, reason=reason)


def test_a_settled_payment_is_money_and_an_executed_one_is_not_yet() -> None:
    name = "PAYMENT_INITIATION.PAYMENT_STATUS_UPDATE"
    (payment,) = fetch(name)
    at = datetime(2026, 11, 3, 14, 42, 19, 350_000, tzinfo=UTC)
    assert payment == Payment(
        object_id="payment-id-production-2ba30780-d549-4335-b1fe-c2a938aa39d2",
        version=micros(at),
        status=PaymentStatus.SUCCEEDED,
        money=Money(118000, "GBP"),
        occurred_at=at,
        references=(Reference(0, "INV-2026-0042"),),
        method="bank transfer",
        description="INV-2026-0042",
    )
    for word, status in (("EXECUTED", PaymentStatus.PENDING), ("REJECTED", PaymentStatus.FAILED)):
        api = Recorded(lambda _, said, word=word: {**said, "status": f"PAYMENT_STATUS_{word}"})  # type: ignore[misc]
        (payment,) = fetch(name, api)
        assert isinstance(payment, Payment)
        assert payment.status is status
    with pytest.raises(MalformedPayload, match="not the one that was asked for"):
        fetch(name, payment_id="another-payment")


def test_a_list_that_leads_in_a_circle_is_refused() -> None:
    api = Recorded(lambda _, said: {**said, "has_more": True, "next_cursor": "same"})
    with pytest.raises(MalformedPayload, match="circle"):
        fetch("TRANSACTIONS.DEFAULT_UPDATE", api)
    assert len(api.asked) == 3


def test_the_address_is_kept_repaired_or_made() -> None:
    assert connector.register is not None
    api, url = Recorded(), "https://ledgerwire.example/hook"
    assert api.hold(connector.register(known(), url)) == Registration(state="repaired")
    assert api.asked[-1] == ("/item/webhook/update", {"access_token": "access-1", "webhook": url})
    for before, state in ((None, "created"), (url, "kept")):

        def change(_: str, said: Json, before: str | None = before) -> Json:
            said["item"]["webhook"] = before
            return said

        assert Recorded(change).hold(connector.register(known(), url)).state == state


def test_two_equal_signals_are_two_events_and_one_sent_again_is_one() -> None:
    body, secret = (
        samples.load("plaid", "TRANSACTIONS.DEFAULT_UPDATE__published_hash"),
        connector.signature.new_secret(),
    )
    kept, ids = [connector.signature.receiving(secret)], []
    for minutes in (0, 0, 1):
        delivery = signed(connector, body, secret, at=AT.replace(minute=minutes))
        (event,) = connector.open(delivery, connector.verify(delivery, kept))
        ids.append(event.id)
        assert not connector.verify(delivery, kept).for_us
    assert ids[0] == ids[1] != ids[2]
    assert ids[0].startswith("c43741964e9b173d7bc1e840a21ce1ad26cfa27c1a379bba8cb5f5715aade40a@")
