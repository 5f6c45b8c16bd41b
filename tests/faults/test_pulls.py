"""A pull that is killed goes on where it was, and one that waits for its provider holds nobody up."""

from __future__ import annotations

import time
from uuid import uuid4

import pytest

from core.syncing import schedule
from tests.builders import Json, Shop, open_shop
from tests.faults.checks import come_to_rest
from tests.faults.conftest import Seller
from tests.faults.installation import Installation, wait_for
from tests.faults.provider import Provider
from tests.faults.test_outages import trade_of
from tests.faults.test_provider_down import fetched, lead_to, payments, silence
from workers.simulators.basiq import DEMO_API_KEY, SimulatedTransaction, Simulator

pytestmark = pytest.mark.faults

PAGES = 9
LINES = [
    SimulatedTransaction(narration=f"LINE {number:03}", amount=f"{number}.00") for number in range(1, 2 * PAGES + 1)
]


@pytest.fixture
def bank(installation: Installation, seller: Seller) -> Shop:
    """The seller's connection to a bank whose transactions can be listed."""
    return open_shop(
        installation.context,
        "basiq",
        seller=seller.actor,
        external_id=str(uuid4()),
        secrets={"api_key": DEMO_API_KEY},
    )


def begin(shop: Shop) -> None:
    """As the API does when a connection is made."""
    with shop.database.session() as session:
        schedule.begin(session, shop.connection_id, shop.context.now())


def run_of(shop: Shop) -> Json:
    found = shop.rows("SELECT * FROM syncs WHERE connection_id = :id", id=shop.connection_id)
    assert len(found) <= 1
    return found[0] if found else {"state": "none", "pages": 0}


def test_a_pull_whose_worker_is_killed_goes_on_where_it_was(
    installation: Installation, seller: Seller, bank: Shop
) -> None:
    with Simulator(transactions=LINES) as basiq:
        lead_to(bank, basiq.base_url)
        begin(bank)
        wait_for("some pages", lambda: "" if run_of(bank)["pages"] >= 2 else run_of(bank))
        installation.kill("worker")
        wait_for("the end of the list", lambda: "" if run_of(bank)["state"] == "done" else run_of(bank))
        run = run_of(bank)
        come_to_rest(installation, seller)
        listed = [asked for asked in basiq.requests if "/transactions" in str(asked)]
    assert fetched(bank) == [line.narration for line in LINES]
    assert (run["pages"], run["counts"]["transaction"]["listed"]) == (PAGES, 2 * PAGES)
    # The killed one may have asked for a page that it did not take in; nobody began anew.
    assert len(listed) <= PAGES + 2
    ended = bank.rows(
        "SELECT name FROM feed WHERE room = :room AND name = 'sync.finished'", room=f"user:{seller.actor.id}"
    )
    assert len(ended) == 1


@pytest.mark.long
def test_a_provider_that_never_answers_a_pull_holds_nobody_up(
    installation: Installation, seller: Seller, account: str, provider: Provider, bank: Shop, seed: int
) -> None:
    trade = trade_of(seller, account, seed, 10)
    with silence() as (address, held):
        lead_to(bank, address)
        begin(bank)
        wait_for("who asks", lambda: "" if held else run_of(bank))
        began = time.monotonic()
        provider.send(trade.events)
        wait_for("the payments of others", lambda: "" if payments(seller) else "none")
        assert run_of(bank)["error"] is None, "the payments waited until the pull gave up"
        come_to_rest(installation, seller)
        assert time.monotonic() - began < 60
    with Simulator(transactions=LINES[:3]) as basiq:
        lead_to(bank, basiq.base_url)
        wait_for("the pull", lambda: "" if run_of(bank)["state"] == "done" else run_of(bank))
    assert fetched(bank) == [line.narration for line in LINES[:3]]
