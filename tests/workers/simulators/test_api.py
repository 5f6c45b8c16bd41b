"""Simulated APIs: what can be listed and registered, and every kind of trouble."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any, cast

import pytest

from connectors import registry
from connectors.base import Credentials, Fetch
from core.errors import MalformedPayload, Transient
from core.events import Payment, Record
from core.money import Money
from workers.simulators.accounts import demo_account
from workers.simulators.api import Provider
from workers.simulators.basiq import Bank
from workers.simulators.sending import Built, Changes, build
from workers.simulators.server import Server
from workers.transport import Limits, Transport

NOW = datetime(2026, 11, 3, 9, 0, 0, tzinfo=UTC)
PULLING = [slug for slug, connector in registry.all().items() if connector.pull]
REGISTERING = [slug for slug, connector in registry.all().items() if connector.register]
MAX_PAGES = 60


@pytest.fixture
def waits() -> list[float]:
    return []


@pytest.fixture
def transport(waits: list[float]) -> Iterator[Transport]:
    transport = Transport(allow_local=True, sleep=waits.append, now=lambda: NOW)
    yield transport
    transport.close()


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with Server() as running:
        yield running


def play(server: Server, slug: str, **options: Any) -> Provider:
    """A provider at the server, new for each test."""
    account = demo_account(registry.get(slug)).external_id
    provider = Bank() if slug == "basiq" else Provider(slug, account=account, at=NOW, **options)
    server.providers[slug] = provider
    return provider


def credentials(server: Server, slug: str) -> Credentials:
    connector, mine = registry.get(slug), demo_account(registry.get(slug))
    kept = connector.signature.receiving(connector.signature.new_secret())
    return Credentials(
        secrets={**mine.secrets, "webhook_secret": kept},
        settings={**mine.settings, "api_base": server.address(slug)},
        external_id=mine.external_id,
    )


def pulled(transport: Transport, server: Server, slug: str) -> list[Record]:
    """Everything that a provider lists, stretch by stretch."""
    connector, found, cursor = registry.get(slug), list[Record](), None
    assert connector.pull is not None
    since, pull = NOW - timedelta(days=connector.pull.days), connector.pull
    for _ in range(MAX_PAGES):
        at = cursor
        page = transport.run(connector, credentials(server, slug), lambda known: pull.talk(known, at, since))  # noqa: B023
        found += page.records
        if not page.more:
            return found
        cursor = page.cursor
    raise AssertionError(f"{slug} lists without an end")


def built(slug: str, event: str, message_id: str = "msg_1", money: Money | None = None) -> Built:
    connector = registry.get(slug)
    changes = Changes(money=money, external_id=demo_account(connector).external_id)
    secret = connector.signature.new_secret()
    return build(connector, event, secret=secret, at=NOW, message_id=message_id, changes=changes)


def fetched(transport: Transport, server: Server, slug: str, event: str, money: Money | None = None) -> list[Record]:
    """What an event comes to mean once its provider was asked."""
    connector, made = registry.get(slug), built(slug, event, money=money)
    cast("Provider", server.providers[slug]).tell(made)
    (item,) = connector.items(made.body)
    reading = connector.read(event, item)
    assert isinstance(reading, Fetch)
    return transport.run(connector, credentials(server, slug), reading.talk)


@pytest.mark.parametrize("slug", PULLING)
def test_what_a_provider_lists_can_be_pulled_to_its_end(slug: str, transport: Transport, server: Server) -> None:
    provider = play(server, slug)
    assert pulled(transport, server, slug)
    assert len(provider.requests) > 1


@pytest.mark.parametrize("slug", REGISTERING)
def test_a_webhook_can_be_registered(slug: str, transport: Transport, server: Server) -> None:
    play(server, slug)
    connector = registry.get(slug)
    register = connector.register
    assert register is not None
    url = "https://ledgerwire.example/api/hooks/abc"
    registration = transport.run(connector, credentials(server, slug), lambda known: register(known, url))
    assert registration.state in {"kept", "created", "repaired"}


@pytest.mark.parametrize("slug", PULLING)
def test_a_busy_provider_says_how_long_to_wait(
    slug: str, transport: Transport, waits: list[float], server: Server
) -> None:
    provider = play(server, slug)
    provider.fail_next(429, retry_after="7")
    try:
        assert pulled(transport, server, slug)
    except Transient as error:
        # What is posted is not sent again at once: the pull comes back later.
        waits.append(error.retry_after_seconds or 0)
        assert pulled(transport, server, slug)
    assert 7.0 in waits


def test_a_list_can_lead_in_a_circle(transport: Transport, server: Server) -> None:
    play(server, "basiq").in_a_circle = True
    with pytest.raises(MalformedPayload, match="leads in a circle"):
        fetched(transport, server, "basiq", "transactions.updated")


def test_another_account_than_the_connections_can_be_told(transport: Transport, server: Server) -> None:
    provider = play(server, "paypal")
    provider.lie(account="SOMEBODYELSE1")
    with pytest.raises(MalformedPayload, match="merchant"):
        fetched(transport, server, "paypal", "PAYMENT.CAPTURE.COMPLETED")


@pytest.mark.parametrize(
    ("slug", "event"),
    [
        ("basiq", "connection.created"),
        ("plaid", "ITEM.LOGIN_REPAIRED"),
        ("truelayer", "payout_failed"),
        ("wise", "transfers#refund"),
    ],
)
def test_whoever_answers_for_another_account_is_refused_with_words(
    slug: str, event: str, transport: Transport, server: Server
) -> None:
    play(server, slug).lie(account="999888777")
    with pytest.raises(MalformedPayload, match=r"is not the one that was asked for|the user of the webhook"):
        fetched(transport, server, slug, event)


def test_another_currency_than_the_webhooks_can_be_told(transport: Transport, server: Server) -> None:
    play(server, "mollie").lie(currency="CHF")
    (payment, *_) = fetched(transport, server, "mollie", "classic.payment", Money(12_345, "EUR"))
    assert isinstance(payment, Payment)
    assert payment.money == Money(12_345, "CHF")


def test_an_expired_token_is_traded_for_another(transport: Transport, server: Server) -> None:
    provider = play(server, "paypal")
    assert fetched(transport, server, "paypal", "PAYMENT.CAPTURE.COMPLETED")
    provider.revoke_tokens()
    assert fetched(transport, server, "paypal", "PAYMENT.CAPTURE.COMPLETED")
    assert [target for _, target in provider.requests].count("/v1/oauth2/token") == 2


def test_in_turn_each_list_shows_one_story_after_the_other(server: Server) -> None:
    provider = play(server, "plaid")
    provider.in_turn = True
    for number in range(3):
        provider.tell(built("plaid", "TRANSACTIONS.SYNC_UPDATES_AVAILABLE", f"msg_{number}", Money(number + 1, "USD")))
    shown = [provider.answer("POST", "/transactions/sync", {}, b"{}").content for _ in range(4)]
    amounts = [json.loads(one)["added"][1]["amount"] for one in shown]
    assert amounts == [-0.01, -0.02, -0.03, -0.03]


def test_more_than_a_rate_allows_is_refused_with_a_pause(server: Server) -> None:
    provider = play(server, "stripe", rate_per_second=3)
    answers = [provider.answer("GET", "/v1/nothing", {}, b"") for _ in range(5)]
    assert [one.status for one in answers] == [404, 404, 404, 429, 429]
    assert answers[-1].headers == {"Retry-After": "1"}


def test_a_slow_provider_runs_into_the_limit(server: Server) -> None:
    play(server, "mollie", delay_seconds=0.3)
    impatient = Transport(allow_local=True, limits=Limits(read_seconds=0.05, attempts=1))
    with pytest.raises(Transient, match="took too long"):
        pulled(impatient, server, "mollie")
    impatient.close()
