"""Basiq: pointers, and what the API says when they are followed."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, date, datetime
from typing import Any

import pytest

from connectors import registry, samples
from connectors.base import Credentials, Fetch, Page, Registration, Request, Response, Verified
from connectors.contract import deliver
from connectors.payload import micros
from core.errors import MalformedPayload, Permanent
from core.events import (
    BankAccount,
    BankTransaction,
    ConnectionHealth,
    ConnectionState,
    PendingSnapshot,
    Record,
    TransactionStatus,
)
from core.money import Money
from tests.connectors.asking import hold
from tests.connectors.streams import answer

connector = registry.get("basiq")
NOW = datetime(2026, 11, 3, 9, 0, tzinfo=UTC)
USER = "1e25009f-f208-47ea-8843-399cde5abbf2"
BUSINESS = "55002a88-d4e9-4814-bdc4-a2aa0ab1db75"
SAVINGS = "79fed86e-076c-47cc-9e72-def206caf5cc"
Json = dict[str, Any]


def fetch(
    name: str, reply: Callable[[Request], object], *, external_id: str | None = USER, body: bytes = b""
) -> list[Record]:
    body = body or samples.load("basiq", name)
    (event,) = connector.open(deliver({}, body), Verified(secret_index=0))
    reading = connector.read(event.name, event.item)
    assert isinstance(reading, Fetch)
    return answer(reading.talk(Credentials(secrets={}, settings={}, external_id=external_id, asked_at=NOW)), reply)


class Recorded:
    """The API as recorded; keeps what was asked."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.accounts: Json = json.loads(samples.api("basiq", "accounts"))
        self.first: Json = json.loads(samples.api("basiq", "transactions_page_1"))
        self.second: Json = json.loads(samples.api("basiq", "transactions_page_2"))

    def __call__(self, request: Request) -> Json:
        self.asked.append(request.url)
        if request.url.endswith("/accounts"):
            return self.accounts
        if "/accounts/" in request.url:
            one: Json = next(one for one in self.accounts["data"] if request.url.endswith(one["id"]))
            return one
        return self.second if "next=" in request.url else self.first


def test_new_transactions_are_fetched_with_their_accounts_page_by_page() -> None:
    api = Recorded()
    records = fetch("transactions.updated", api)
    link = f"https://au-api.basiq.io/users/{USER}/transactions?filter=connection.id.eq%28%27ee01356a-6ecb-4929-9c2d-87b961bb46d2%27%29"
    assert api.asked == [f"/users/{USER}/accounts", link, f"{link}&next=56464a5b"]
    accounts = [one for one in records if isinstance(one, BankAccount)]
    assert [(one.object_id, one.name, one.balance) for one in accounts] == [
        (BUSINESS, "Business Account", Money(2531020, "AUD")),
        (SAVINGS, "Savings Maximiser", Money(120050, "AUD")),
    ]
    dated, credited, pending = (one for one in records if isinstance(one, BankTransaction))
    assert dated == BankTransaction(
        object_id="3733ed4c-1edc-477d-ba78-84eae16ab801",
        version=micros(NOW),
        account_id=BUSINESS,
        status=TransactionStatus.POSTED,
        money=Money(-12469, "AUD"),
        narration="MCDONALDS HEATHERTON HEATHERTON VICAU",
        occurred_at=datetime(2022, 12, 23, tzinfo=UTC),
        booked_on=date(2022, 12, 23),
        balance=Money(0, "AUD"),
        category="payment",
    )
    assert (credited.money, credited.booked_on) == (Money(118000, "AUD"), None)
    assert credited.occurred_at == datetime(2022, 12, 23, 1, 2, 3, tzinfo=UTC)
    # No currency of its own, no date, no balance.
    assert (pending.status, pending.money, pending.occurred_at) == (TransactionStatus.PENDING, Money(-8995, "AUD"), NOW)
    assert (pending.booked_on, pending.balance) == (None, None)


def test_what_is_pending_no_more_is_told_for_every_account_of_the_bank() -> None:
    api = Recorded()
    api.accounts["data"][1]["connection"] = "another-bank"
    records = fetch("transactions.updated", api)
    assert records[-1] == PendingSnapshot(object_id=BUSINESS, version=micros(NOW))
    assert sum(isinstance(one, PendingSnapshot) for one in records) == 1


def test_a_list_that_is_narrowed_otherwise_says_nothing_of_what_is_gone() -> None:
    said = json.loads(samples.load("basiq", "transactions.updated"))
    said["links"]["eventEntity"] += ",transaction.postDate.gteq('2024-01-01')"
    records = fetch("transactions.updated", Recorded(), body=json.dumps(said).encode())
    assert not [one for one in records if isinstance(one, PendingSnapshot)]


def test_an_unlisted_account_is_asked_for_once() -> None:
    api = Recorded()
    hidden = dict(api.accounts)
    hidden["data"] = []
    records = fetch(
        "transactions.updated", lambda request: hidden if request.url.endswith("/accounts") else api(request)
    )
    assert sum("/accounts/" in url for url in api.asked) == 1
    assert [one.object_id for one in records if isinstance(one, BankAccount)] == [BUSINESS]


@pytest.mark.parametrize("next_link", ["self", "endless"])
def test_a_list_without_end_is_refused(next_link: str) -> None:
    api = Recorded()

    def reply(request: Request) -> Json:
        page = api(request)
        if "transactions" in request.url:
            following = (
                request.url
                if next_link == "self"
                else f"https://au-api.basiq.io/users/u/transactions?n={len(api.asked)}"
            )
            page = {**page, "links": {"next": following}}
        return page

    with pytest.raises(MalformedPayload, match=r"links\.next: leads in a circle or past 200 pages"):
        fetch("transactions.updated", reply)
    assert len(api.asked) <= 201


def test_an_event_of_another_user_than_the_connections_is_refused_before_anything_is_asked() -> None:
    with pytest.raises(MalformedPayload, match="another than the connection's"):
        fetch("transactions.updated", lambda _: pytest.fail("asked"), external_id="somebody-else")


@pytest.mark.parametrize("alias", ["transaction.created", "transaction.updated"])
def test_names_of_older_clients_are_accepted(alias: str) -> None:
    body = samples.load("basiq", "transactions.updated").replace(b"transactions.updated", alias.encode())
    (event,) = connector.open(deliver({}, body), Verified(secret_index=0))
    assert event.name == "transactions.updated"
    assert event.external_id == USER
    assert event.id == "dbe633fd76d4eaea0c759e7b0a6fe7c9bc62087787d080b28400014cd4b3a998"


def test_a_changed_account_is_fetched() -> None:
    (account,) = fetch("account.updated", Recorded())
    assert account == BankAccount(
        object_id=SAVINGS,
        version=micros(NOW),
        name="Savings Maximiser",
        currency="AUD",
        number="923100088204661",
        kind="savings",
        balance=Money(120050, "AUD"),
    )


@pytest.mark.parametrize(
    ("name", "health", "reason"),
    [
        ("connection.created", ConnectionHealth.ACTIVE, None),
        ("connection.activated", ConnectionHealth.ACTIVE, None),
        ("connection.invalidated", ConnectionHealth.NEEDS_ATTENTION, "connection invalidated"),
        ("connection.deleted", ConnectionHealth.REVOKED, "connection deleted"),
        ("consent.updated", ConnectionHealth.ACTIVE, None),
        ("consent.warning", ConnectionHealth.NEEDS_ATTENTION, "consent warning"),
        ("consent.revoked", ConnectionHealth.REVOKED, "consent revoked"),
        ("consent.expired", ConnectionHealth.REVOKED, "consent expired"),
        ("user.deleted", ConnectionHealth.REVOKED, "user deleted"),
    ],
)
def test_a_change_of_the_link_has_the_events_own_time(name: str, health: ConnectionHealth, reason: str | None) -> None:
    (state,) = fetch(name, lambda _: {"userId": USER, "createdDate": "2024-04-29T11:07:28Z"})
    subject = json.loads(samples.load("basiq", name))["links"]["eventEntity"].rsplit("/", 1)[-1]
    assert state == ConnectionState(
        object_id=subject,
        version=micros(datetime(2024, 4, 29, 11, 7, 28, tzinfo=UTC)),
        health=health,
        reason=reason,
    )


def test_an_event_that_turns_out_to_be_another_users_is_refused() -> None:
    with pytest.raises(MalformedPayload, match="userId"):
        fetch("consent.revoked", lambda _: {"userId": "other", "createdDate": "2024-04-29T11:07:28Z"})


def test_the_key_is_traded_for_a_token() -> None:
    assert connector.api is not None
    talk = connector.api.authorize(Credentials(secrets={"api_key": "a2V5"}, settings={}, external_id=None))
    request = next(talk)
    assert (request.method, request.url, request.authorized) == ("POST", "/token", False)
    assert request.headers == {"Authorization": "Basic a2V5", "basiq-version": "3.0"}
    assert request.form == {"scope": "SERVER_ACCESS"}
    with pytest.raises(StopIteration) as end:
        talk.send(Response(status=200, headers={}, body=samples.api("basiq", "token")))
    assert end.value.value.expires_in_seconds == 3600
    assert "eyJ" not in repr(end.value.value)


def test_a_connection_without_a_key_is_told_so() -> None:
    assert connector.api is not None
    with pytest.raises(Permanent, match="the connection has no api_key"):
        next(connector.api.authorize(Credentials(secrets={}, settings={}, external_id=None)))


@pytest.mark.parametrize("spoiled", ["amount", "status", "account", "id", "description"])
def test_a_spoiled_transaction_is_malformed(spoiled: str) -> None:
    api = Recorded()
    wrong: tuple[object, ...] = (None, 5, "x" * 300, [], {})
    for value in wrong:
        if spoiled == "description" and isinstance(value, str):
            continue
        api.first["data"][0][spoiled] = value
        with pytest.raises(MalformedPayload):
            fetch("transactions.updated", api)


def given(external_id: str | None = USER) -> Credentials:
    return Credentials(secrets={}, settings={}, external_id=external_id, asked_at=NOW)


def pull(cursor: str | None, reply: Callable[[Request], object], external_id: str | None = USER) -> Page:
    assert connector.pull is not None
    page: Page = hold(connector.pull.talk(given(external_id), cursor, datetime(2026, 8, 1, tzinfo=UTC)), reply)
    return page


def test_a_pull_lists_accounts_and_transactions_page_by_page_and_then_from_a_week_before() -> None:
    api = Recorded()
    first = pull(None, api)
    assert first.more
    second = pull(first.cursor, api)
    assert not second.more
    filtered = f"/users/{USER}/transactions?filter=transaction.postDate.gteq%28%272026-08-01%27%29"
    assert [url for url in api.asked if "transactions" in url] == [filtered, first.cursor]
    listed = [one.object_id for page in (first, second) for one in page.records if isinstance(one, BankTransaction)]
    assert len(listed) == len(set(listed)) == 3
    assert {one.object_id for one in first.records if isinstance(one, BankAccount)} == {BUSINESS, SAVINGS}
    assert second.cursor == "2026-10-27"
    api.asked.clear()
    pull(second.cursor, api)
    assert "2026-10-27" in api.asked[-1]


@pytest.mark.parametrize("cursor", ["https://au-api.basiq.io/users/somebody-else/transactions", "x", "/token"])
def test_a_pull_does_not_follow_a_link_to_anything_else(cursor: str) -> None:
    with pytest.raises(MalformedPayload, match="cursor"):
        pull(cursor, lambda _: pytest.fail("asked"))


def test_a_pull_needs_a_user() -> None:
    with pytest.raises(Permanent, match="no Basiq user"):
        pull(None, lambda _: pytest.fail("asked"), external_id=None)


def register(hooks: list[Json]) -> tuple[Registration, list[tuple[str, str]]]:
    asked: list[tuple[str, str]] = []

    def reply(request: Request) -> object:
        asked.append((request.method, request.url))
        return {"data": hooks} if request.method == "GET" else json.loads(samples.api("basiq", "webhook_made"))

    assert connector.register is not None
    made: Registration = hold(connector.register(given(), "https://ledgerwire.example/hook"), reply)
    return made, asked


def test_the_webhook_is_kept_made_or_repaired() -> None:
    ours = {"id": "w1", "url": "https://ledgerwire.example/hook", "subscribedEvents": [*connector.events, "more"]}
    other = {**ours, "url": "https://elsewhere.example/hook"}
    assert register([other, ours]) == (Registration(state="kept"), [("GET", "/notifications/webhooks")])
    made, asked = register([other])
    assert (made.state, asked[1]) == ("created", ("POST", "/notifications/webhooks"))
    assert (made.secret or "").startswith("whsec_")
    made, asked = register([{**ours, "subscribedEvents": ["user.deleted"]}])
    assert (made.state, asked[1]) == ("repaired", ("POST", "/notifications/webhooks/w1"))
