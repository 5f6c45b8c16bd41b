"""A provider's own API fails: what needs it waits and is tried again, and nothing else waits with it."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from uuid import uuid4

import psutil
import pytest

from connectors import registry
from tests.builders import Json, Shop, open_shop
from tests.faults.checks import come_to_rest
from tests.faults.conftest import Seller
from tests.faults.installation import Installation, wait_for
from tests.faults.provider import Provider, Said
from tests.faults.test_outages import trade_of
from workers.app import make_celery
from workers.simulators.basiq import DEMO_API_KEY, SimulatedTransaction, Simulator
from workers.simulators.playing import set_api_base
from workers.simulators.sending import Changes, build_delivery

pytestmark = pytest.mark.faults

LINES = [SimulatedTransaction(narration=f"LINE {number}", amount=f"{number}.00") for number in range(1, 6)]


@pytest.fixture
def bank(installation: Installation, seller: Seller, provider: Provider) -> Shop:
    """The seller's connection to Basiq, whose webhooks are only pointers."""
    made = open_shop(
        installation.context,
        "basiq",
        seller=seller.actor,
        external_id=str(uuid4()),
        secrets={"api_key": DEMO_API_KEY},
    )
    provider.shops["basiq"] = made
    return made


def lead_to(shop: Shop, base_url: str) -> None:
    with shop.database.session() as session:
        set_api_base(session, shop.connection_id, base_url)


def pointer(shop: Shop, simulator: Simulator) -> Said:
    """A webhook that says that there are new transactions."""
    event_id = f"msg_{uuid4().hex}"
    _, body = build_delivery(
        registry.get("basiq"),
        "transactions.updated",
        secret=shop.secret,
        at=shop.context.now(),
        message_id=event_id,
        changes=Changes(external_id=shop.external_id),
    )
    simulator.announce(body)
    return Said(connector="basiq", event_id=event_id, body=body)


def waiting(shop: Shop) -> list[Json]:
    return shop.rows(
        "SELECT state, attempts, error FROM event_queue WHERE connection_id = CAST(:connection AS uuid)",
        connection=str(shop.connection_id),
    )


def payments(seller: Seller) -> int:
    return len(seller.shop.rows("SELECT id FROM payments WHERE user_id = :user"))


def fetched(shop: Shop) -> list[str]:
    rows = shop.rows(
        "SELECT narration FROM transactions WHERE connection_id = CAST(:connection AS uuid) ORDER BY 1",
        connection=str(shop.connection_id),
    )
    return [row["narration"] for row in rows]


@pytest.mark.parametrize(
    ("status", "headers"),
    [
        pytest.param(500, {}, id="errors"),
        pytest.param(429, {"retry_after": "10"}, id="too many requests", marks=pytest.mark.long),
    ],
)
def test_a_failing_api_is_tried_again_and_holds_nobody_up(
    installation: Installation,
    seller: Seller,
    account: str,
    provider: Provider,
    bank: Shop,
    seed: int,
    status: int,
    headers: dict[str, str],
) -> None:
    trade = trade_of(seller, account, seed, 10)
    with Simulator(transactions=LINES) as basiq:
        lead_to(bank, basiq.base_url)
        # As often as one talk asks by itself.
        basiq.fail_next(status, times=4 if status == 500 else 1, **headers)
        provider.send([pointer(bank, basiq)])
        wait_for("the fetch to fail", lambda: "" if any(row["error"] for row in waiting(bank)) else waiting(bank))
        provider.send(trade.events)
        wait_for("the payments of others", lambda: "" if payments(seller) else "none")
        assert [row["state"] for row in waiting(bank)] == ["fetch"], "it should still wait for its next try"
        come_to_rest(installation, seller)
        assert fetched(bank) == [line.narration for line in LINES]
        assert len(basiq.requests) > 4


@contextmanager
def silence() -> Iterator[tuple[str, list[socket.socket]]]:
    """A server that takes connections and never answers; yields its address and the connections."""
    held: list[socket.socket] = []
    with socket.create_server(("127.0.0.1", 0), backlog=64) as server:

        def hold() -> None:
            while True:
                try:
                    held.append(server.accept()[0])
                except OSError:
                    return

        threading.Thread(target=hold, daemon=True).start()
        try:
            yield f"http://127.0.0.1:{server.getsockname()[1]}", held
        finally:
            server.shutdown(socket.SHUT_RDWR)
            for one in held:
                one.close()


def test_messages_that_piled_up_hold_nobody_up(
    installation: Installation, seller: Seller, provider: Provider, bank: Shop
) -> None:
    celery = make_celery(installation.context.settings)
    main = psutil.Process(installation.pid("worker"))
    with Simulator(transactions=LINES) as basiq:
        lead_to(bank, basiq.base_url)
        # As when no worker ran for minutes. Each of these used to keep a process for a second at least.
        with installation.frozen(main.pid, *(child.pid for child in main.children(recursive=True))):
            for _ in range(300):
                celery.send_task("ledgerwire.normalize", retry=False)
        provider.send([pointer(bank, basiq)])
        # Not a matter of speed: behind messages that linger it would be minutes.
        wait_for("the fetch", lambda: "" if len(fetched(bank)) == len(LINES) else waiting(bank))
        come_to_rest(installation, seller)


@pytest.mark.long
def test_an_api_that_never_answers_holds_nobody_up(
    installation: Installation, seller: Seller, account: str, provider: Provider, bank: Shop, seed: int
) -> None:
    trade = trade_of(seller, account, seed, 10)
    with Simulator(transactions=LINES) as basiq, silence() as (address, held):
        lead_to(bank, address)
        provider.send([pointer(bank, basiq) for _ in range(6)])
        wait_for("the first who asks", lambda: "" if held else waiting(bank))
        # Time enough for whoever would ask as well and wait beside the first.
        time.sleep(8)
        provider.send(trade.events)
        wait_for("the payments of others", lambda: "" if payments(seller) else "none")
        assert not any(row["error"] for row in waiting(bank)), "the payments waited until a fetch gave up"
        lead_to(bank, basiq.base_url)
        # Who waits for an answer now would do so for the best part of a minute.
        installation.kill("worker")
        come_to_rest(installation, seller)
        assert fetched(bank) == [line.narration for line in LINES]
