"""A server is away for a while: Redis frozen or dead, PostgreSQL dead. What can go on goes on."""

from __future__ import annotations

import time
from contextlib import AbstractContextManager
from random import Random

import pytest
import requests

from core.identity import tokens
from tests.faults.checks import bill, come_to_rest, heard_everything, nothing_lost, reference, same_books
from tests.faults.conftest import Seller
from tests.faults.installation import Installation, wait_for
from tests.faults.listener import Listener
from tests.faults.provider import Provider, Trade, invent
from webapp.auth import COOKIE

pytestmark = pytest.mark.faults


def trade_of(seller: Seller, account: str, seed: int, events: int) -> Trade:
    """Events about invoices that the seller has billed."""
    trade = invent(seed, events=events, account=account, number=lambda place: f"INV-2026-{place + 1:05d}")
    bill(seller, trade.totals)
    return trade


def health(installation: Installation) -> dict[str, object]:
    found: dict[str, object] = requests.get(f"{installation.url}/api/health", timeout=30).json()
    return found


def hears(listener: Listener) -> None:
    wait_for("a live client", lambda: "" if listener.seen["connections"] else dict(listener.seen))


@pytest.mark.parametrize(
    ("kind", "at_least_seconds"),
    [
        pytest.param("frozen", 0, id="frozen"),
        pytest.param("dead", 0, id="dead"),
        # Longer than every time limit of a client of Redis.
        pytest.param("frozen", 30, id="frozen for long", marks=pytest.mark.long),
        pytest.param("dead", 30, id="dead for long", marks=pytest.mark.long),
    ],
)
def test_without_redis_webhooks_are_taken_and_all_is_caught_up(
    installation: Installation,
    seller: Seller,
    account: str,
    provider: Provider,
    seed: int,
    kind: str,
    at_least_seconds: float,
) -> None:
    trade = trade_of(seller, account, seed, 60)
    with Listener(installation.url, seller.token(), seller.room) as listener:
        hears(listener)
        outage: AbstractContextManager[None] = (
            installation.frozen(installation.valkey.server.pid) if kind == "frozen" else installation.down("valkey")
        )
        with outage:
            ends = time.monotonic() + at_least_seconds
            provider.pace = len(trade.events) / at_least_seconds if at_least_seconds else 0.0
            provider.send(trade.events)
            # Each was taken at the first try while nobody could be rung.
            assert provider.answers == {"200": len(trade.events)}
            assert health(installation)["checks"] == {"database": "ok", "redis": "down"}
            time.sleep(max(0.0, ends - time.monotonic()))
        come_to_rest(installation, seller)
        nothing_lost(provider, trade.events)
        heard_everything(listener, seller)


def test_without_postgresql_nothing_is_promised(
    installation: Installation, seller: Seller, account: str, provider: Provider, seed: int
) -> None:
    trade = trade_of(seller, account, seed, 40)
    token = seller.token()
    with seller.shop.database.session() as session:
        cookie = tokens.open_session(session, seller.actor.id, "test", seller.shop.context.now(), seconds=10**8)
    # The address of one connection is known to the web process by now, that of the other is not.
    (first, *_) = (said for said in trade.events if said.connector == "razorpay")
    provider.send([first])
    with Listener(installation.url, token, seller.room) as listener, requests.Session() as session:
        hears(listener)
        with installation.down("postgres"):
            for said in trade.events:
                answer = provider.post(session, said)
                assert answer is not None
                assert answer.status_code == 503, answer.text
                assert int(answer.headers["Retry-After"]) > 0
                assert answer.headers["Content-Type"] == "application/problem+json"
            page = session.get(
                f"{installation.url}/dashboard", headers={"Accept": "text/html"}, cookies={COOKIE: cookie}
            )
            assert page.status_code == 503
            assert page.headers["Content-Type"].startswith("text/html")
            assert "Not available right now" in page.text
            assert "Traceback" not in page.text
            api = session.get(f"{installation.url}/api/invoices", headers={"Authorization": f"Bearer {token}"})
            assert (api.status_code, api.json()["code"]) == (503, "unavailable")
            assert int(api.headers["Retry-After"]) > 0
            said_health = health(installation)
            assert said_health["status"] == "degraded"
            assert said_health["checks"] == {"database": "down", "redis": "ok"}
            assert session.get(f"{installation.url}/api/health/ready").status_code == 503
        provider.send(trade.deliveries(Random(seed)))
        come_to_rest(installation, seller)
        nothing_lost(provider, trade.events)
        heard_everything(listener, seller)
    same_books(seller, reference(installation, trade, account))
