"""The main promise: under a stream of webhooks anything may be killed at any moment, and nothing is lost or doubled."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import UTC, datetime
from random import Random

import pytest
from playwright.sync_api import Page, sync_playwright

from core.identity import tokens
from tests.e2e.conftest import chromium, launch, live
from tests.faults.checks import bill, books_of, come_to_rest, heard_everything, nothing_lost, reference, same_books
from tests.faults.conftest import Seller
from tests.faults.installation import PATIENCE_SECONDS, Installation, note, wait_for
from tests.faults.listener import Listener
from tests.faults.provider import Provider, invent
from webapp.auth import COOKIE

pytestmark = pytest.mark.faults

_HOW = {"worker": ["family", "main", "child"]}


def plan(chance: Random, rounds: int) -> list[tuple[float, str, str]]:
    """Which process dies when (the part of the stream that is through) and how. PostgreSQL dies once in all."""
    victims = ["web", "worker", "relay", "valkey"] * rounds
    chance.shuffle(victims)
    victims.insert(chance.randrange(len(victims) + 1), "postgres")
    moments = sorted(chance.uniform(0.03, 0.9) for _ in victims)
    return [
        (moment, victim, chance.choice(_HOW.get(victim, ["family"])))
        for moment, victim in zip(moments, victims, strict=True)
    ]


@pytest.mark.parametrize(
    ("events", "rounds", "pace"),
    [
        pytest.param(240, 1, 60.0, id="300 webhooks, each killed once"),
        pytest.param(2000, 6, 60.0, id="2500 webhooks, each killed six times", marks=[pytest.mark.long]),
    ],
)
def test_whatever_is_killed_nothing_is_lost_and_nothing_counts_twice(
    installation: Installation,
    seller: Seller,
    account: str,
    provider: Provider,
    seed: int,
    request: pytest.FixtureRequest,
    events: int,
    rounds: int,
    pace: float,
) -> None:
    chance = Random(seed)
    trade = invent(seed, events=events, account=account, number=lambda place: f"INV-2026-{place + 1:05d}")
    assert bill(seller, trade.totals) == [f"INV-2026-{place + 1:05d}" for place in range(len(trade.totals))]
    deliveries = trade.deliveries(chance)
    kills = plan(chance, rounds)
    provider.pace = pace
    # A real browser takes part in the long form, where there is one.
    page: Page | None = request.getfixturevalue("dashboard") if rounds > 1 else None
    with Listener(installation.url, seller.token(), seller.room) as listener:
        posting = provider.start(deliveries)
        for moment, victim, how in kills:
            _wait_until_through(provider, moment * len(deliveries))
            # Somewhere between two statements, not always right after an answer.
            time.sleep(chance.uniform(0, 0.05))
            note(f"{len(provider.acknowledged)} acknowledged; killing {victim} ({how})")
            installation.kill(victim, how)
        posting.shutdown()
        note(f"answers: {dict(provider.answers)}")

        come_to_rest(installation, seller)
        nothing_lost(provider, trade.events)
        assert len(provider.acknowledged) == len(deliveries)
        heard_everything(listener, seller)
        if page is not None:
            _page_shows_everything(page, seller)
    note(f"the live client: {dict(listener.seen)}")
    assert listener.seen["connections"] > 1, "web was killed, and the client never came back"
    same_books(seller, reference(installation, trade, account))
    assert any(row["status"] == "paid" for row in books_of(seller)["invoices"])


@pytest.fixture
def dashboard(installation: Installation, seller: Seller) -> Iterator[Page | None]:
    """The seller's dashboard in a real browser, live; None where there is no browser."""
    if chromium() is None:
        yield None
        return
    now = datetime.now(UTC)
    with seller.shop.database.session() as session:
        cookie = tokens.open_session(session, seller.actor.id, "a browser", now, seconds=86_400)
    with sync_playwright() as playwright:
        browser = launch(playwright)
        context = browser.new_context(base_url=installation.url)
        context.add_cookies([{"name": COOKIE, "value": cookie, "url": installation.url}])
        page = context.new_page()
        page.goto("/dashboard")
        live(page)
        page.evaluate("window.notReloaded = true")
        yield page
        browser.close()


def _page_shows_everything(page: Page, seller: Seller) -> None:
    """The page heard the whole feed, in order, and shows without a reload what a fresh one shows."""
    (row,) = seller.shop.rows("SELECT seq FROM rooms WHERE room = 'user:' || :user")
    last = "room => window.ledgerwire.last[room]"
    wait_for(
        "the page to hear the last event",
        lambda: "" if page.evaluate(last, seller.room) == row["seq"] else page.evaluate(last, seller.room),
    )
    heard = page.evaluate(
        "room => window.ledgerwire.delivered.filter(event => event.room === room).map(event => event.seq)", seller.room
    )
    assert heard == list(range(heard[0], row["seq"] + 1))
    live(page)
    figures = page.locator("#figures")
    assert page.evaluate("window.notReloaded") is True
    fresh = page.context.new_page()
    fresh.goto("/dashboard")
    wait_for(
        "the final figures",
        lambda: "" if figures.inner_text() == fresh.locator("#figures").inner_text() else figures.inner_text(),
    )


def _wait_until_through(provider: Provider, count: float) -> None:
    ends = time.monotonic() + 2 * PATIENCE_SECONDS
    while len(provider.acknowledged) < count:
        assert time.monotonic() < ends, f"the stream stands still at {len(provider.acknowledged)}: {provider.answers}"
        time.sleep(0.005)
