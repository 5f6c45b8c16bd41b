"""P3: any order of arrival, with repeats, in any batches, ends in the same books (for every connector)."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from hashlib import sha256
from itertools import permutations
from random import Random
from unittest import mock
from uuid import UUID

import pytest
from hypothesis import HealthCheck, Phase, given
from hypothesis import settings as bounded
from hypothesis import strategies as st

from core.events import Record, Trust
from core.identity import Actor
from core.ids import new_id
from tests.budget import examples
from tests.builders import (
    Clockwork,
    Json,
    Shop,
    books,
    check_sums,
    dispute,
    open_shop,
    payment,
    refund,
    said,
    transaction,
    worker,
)
from tests.conftest import Servers
from tests.connectors.streams import STREAMS, Step
from tests.standing import standing_database
from workers import fetch, normalize

SEEDS = st.integers(0, 60)
QUICK = bounded(
    phases=(Phase.explicit, Phase.generate),
    max_examples=examples(20),
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
    derandomize=True,
)
# There are many connectors: a few orders of each in every run, many in the long one.
ORDERS = {"seed": SEEDS, "chance": st.randoms(use_true_random=False), "sizes": st.lists(st.integers(1, 5), max_size=6)}
FEW, MANY = bounded(QUICK, max_examples=examples(5)), bounded(QUICK, max_examples=examples(60))


@pytest.fixture(scope="module")
def installation(file_database_url: str) -> Iterator[Clockwork]:
    with worker(file_database_url) as parts:
        yield parts


@pytest.fixture
def context(installation: Clockwork) -> Clockwork:
    """Each test has sellers of its own. What a test that failed left waiting is not the next one's to do."""
    with installation.database.connect() as connection:
        connection.exec_driver_sql("DELETE FROM event_queue")
    return installation


def shop_of(
    context: Clockwork, slug: str, invoices: Sequence[tuple[str, int, str]], seller: Actor | None = None
) -> Shop:
    """A new seller whose invoices have the numbers that the events name."""
    shop = open_shop(context, slug, seller=seller)
    for number, total, currency in invoices:
        shop.name_invoice(shop.invoice(total, currency), number)
    return shop


def play(shop: Shop, steps: Sequence[Step], batches: Sequence[int], limit: int = 500) -> None:
    """Deliver the steps in batches, each of which is stored and worked off before the next one comes."""
    # What an event points at was asked when the stream was made: the answer belongs to the event, not to the pointer.
    # A pointer may say the same each time, and what it leads to differ: then these are different events.
    known = {(step.body, step.place): list(step.records) for step in steps}
    same = [step.body for step in steps if known[step.body, step.place] != list(step.records)]
    rest = []
    for step in steps:
        content = step.body + (repr(step.records).encode() if step.body in same else b"")
        rest.append((step, f"{shop.connection_id}-{sha256(content).hexdigest()}"))
    told: dict[UUID, list[Record]] = {}
    with mock.patch.object(fetch, "_ask", lambda _context, event: (told[event.event_id], Trust.FETCHED)):
        for size in (*batches, len(rest)):
            batch, rest = rest[:size], rest[size:]
            deliveries = [shop.delivery(step.body, event_id=event_id) for step, event_id in batch]
            for (step, _), delivery in zip(batch, deliveries, strict=True):
                for event in delivery.events:
                    here = event.item_index == step.place
                    told[event.id] = list(step.records) if here else known[step.body, event.item_index]
            if deliveries:
                shop.store(*deliveries)
                shop.work(limit=limit)


@pytest.mark.parametrize("slug", sorted(STREAMS))
@FEW
@given(**ORDERS)
def test_any_order_and_any_repeat_of_a_stream_ends_in_the_same_books(
    context: Clockwork, slug: str, seed: int, chance: Random, sizes: list[int]
) -> None:
    tell_in_any_order(context, slug, seed, chance, sizes)


@pytest.mark.long
@pytest.mark.parametrize("slug", sorted(STREAMS))
@MANY
@given(**ORDERS)
def test_many_orders_and_repeats_of_a_stream_end_in_the_same_books(
    context: Clockwork, slug: str, seed: int, chance: Random, sizes: list[int]
) -> None:
    tell_in_any_order(context, slug, seed, chance, sizes)


def tell_in_any_order(context: Clockwork, slug: str, seed: int, chance: Random, sizes: list[int]) -> None:
    steps = STREAMS[slug](seed)
    invoices = [(f"INV-{seed}", 300_000, "INR")]
    straight = shop_of(context, slug, invoices)
    play(straight, steps, [1] * len(steps))
    shuffled = steps + chance.choices(steps, k=chance.randrange(4))
    chance.shuffle(shuffled)
    crooked = shop_of(context, slug, invoices)
    play(crooked, shuffled, sizes, limit=chance.choice([1, 3, 500]))
    assert books(crooked) == books(straight)
    assert books(straight)["queue"] == []
    check_sums(context.database)


def crowd(chance: Random) -> list[Json]:
    """Several payments of one invoice, over-paying it, with what came back of them, and a bank line beside."""
    told: list[Json] = []
    for number in range(chance.randrange(2, 5)):
        identity, amount = f"pmt_{number}", chance.randrange(1_000, 9_000)
        common = {"id": identity, "amount_minor": amount, "description": "for INV-7"}
        at = chance.randrange(100)
        told += [payment("pending", at, **common), payment("succeeded", at + 1, invoice_number="INV-7", **common)]
        if chance.random() < 0.3:
            told.append(payment("failed", at + 2, failure="late news", **common))
        if chance.random() < 0.3:
            # The same instant said twice and differently: the content decides.
            told.append(payment("succeeded", at + 1, method="card", **common))
        if chance.random() < 0.5:
            told.append(refund("succeeded", at + 3, id=f"rfd_{number}", payment_id=identity, amount_minor=amount // 2))
        if chance.random() < 0.3:
            end = chance.choice(["won", "lost", "closed"])
            held = {"id": f"dsp_{number}", "payment_id": identity, "amount_minor": amount}
            told += [dispute("open", at + 4, **held), dispute(end, at + 5, **held)]
    told.append(transaction("posted", 1, narration="NEFT INV-7", amount="12.00"))
    told.append(transaction("posted", 2, narration="NEFT INV-8", amount="13.00"))
    told.append(said("account.updated", 1, id="ba_1", name="Business", currency="INR", number="12345678"))
    told.append(said("account.updated", 2, id="ba_1", name="Business 2", currency="INR"))
    told.append(said("account.updated", 2, id="ba_1", name="Business 3", currency="INR"))
    told += [said("payout.pending", 1, id="po_1", amount_minor=500, currency="INR")]
    told += [said(f"payout.{one}", 2, id="po_1", amount_minor=500, currency="INR") for one in ("paid", "reversed")]
    told += [said("connection.revoked", 5, reason="consent ended"), said("connection.active", 4)]
    told += [said("connection.needs_attention", 5, reason=reason) for reason in ("password", "token")]
    return told


@QUICK
@given(seed=st.integers(0, 10_000), chance=st.randoms(use_true_random=False))
def test_payments_of_one_invoice_meet_in_any_order(context: Clockwork, seed: int, chance: Random) -> None:
    told = crowd(Random(seed))
    ended = []
    for shuffle in (False, True):
        if shuffle:
            chance.shuffle(told)
        shop = shop_of(context, "standard_webhooks", [("INV-7", 10_000, "INR"), ("INV-8", 1_300, "INR")])
        rest = list(told)
        while rest:
            size = chance.randrange(1, 6) if shuffle else 1
            batch, rest = rest[:size], rest[size:]
            shop.hear(*batch)
        ended.append(books(shop))
    assert ended[0] == ended[1]
    assert ended[0]["queue"] == []
    check_sums(context.database)


STORIES = {
    "a refund before its payment": [payment(), refund()],
    "a dispute that is lost after it was won": [payment(), dispute("won", 1), dispute("lost", 2)],
    "a failure told after the capture": [payment(at=1), payment("failed", 9), payment("pending", 8)],
    "a reference learnt late": [payment(at=1, invoice_number=None), payment(at=2, invoice_number="INV-7")],
    "a currency corrected": [payment("pending", 1), payment(at=2, currency="USD"), refund(at=1)],
    "an amount corrected below what was refunded": [payment(at=1), payment(at=2, amount_minor=3_000), refund(at=1)],
    "an account that once told its number": [
        said("account.updated", 1, id="ba_1", name="A", currency="INR", number="12345678"),
        said("account.updated", 2, id="ba_1", name="B", currency="INR"),
        said("account.updated", 2, id="ba_1", name="C", currency="INR"),
    ],
    "a narration corrected to name another invoice": [
        transaction(at=1, narration="UPI INV-7"),
        transaction(at=2, narration="UPI INV-8"),
        transaction("pending", at=3, narration="UPI INV-9"),
    ],
    "an amount corrected after the proposal": [
        transaction(at=1, narration="UPI INV-7", amount="99.00"),
        transaction(at=2, narration="UPI INV-7", amount="100.00"),
    ],
    "a transaction that is taken back": [
        transaction("pending", at=1, narration="INV-7"),
        transaction(at=2, narration="INV-7"),
        transaction("removed", at=1, narration="INV-7"),
    ],
    "health told twice for one instant": [
        said("connection.revoked", 5, reason="a"),
        said("connection.revoked", 5, reason="b"),
        said("connection.active", 4),
    ],
}


@pytest.fixture(scope="module", params=["UTC", "Asia/Kolkata"])
def somewhere(request: pytest.FixtureRequest, servers: Servers, template_database: str) -> Iterator[Clockwork]:
    """A worker whose database is in a time zone, which must not decide which of two statements wins."""
    with standing_database(servers, template_database) as address, worker(address) as parts:
        with parts.database.connect() as connection:
            name = connection.engine.url.database
            connection.exec_driver_sql(f"ALTER DATABASE {name} SET timezone = '{request.param}'")
        # Connections made from now on are in it.
        parts.database.dispose()
        with parts.database.connect() as connection:
            assert connection.exec_driver_sql("SHOW timezone").scalar_one() == request.param
        yield parts


@pytest.mark.parametrize("story", STORIES)
def test_a_story_ends_the_same_however_it_is_told(somewhere: Clockwork, story: str) -> None:
    ended: dict[str, str] = {}
    for order in permutations(STORIES[story]):
        for together in (True, False):
            shop = shop_of(somewhere, "standard_webhooks", [("INV-7", 10_000, "INR"), ("INV-8", 10_000, "INR")])
            if together:
                shop.hear(*order)
            else:
                for one in order:
                    shop.hear(one)
            found = json.dumps(books(shop), default=str, sort_keys=True)
            ended.setdefault(found, f"{[one['type'] for one in order]} together={together}")
    assert len(ended) == 1, ended


def test_razorpays_receipt_that_comes_with_the_order_brings_the_payment_home(database_url: str) -> None:
    steps = next(
        stream
        for stream in map(STREAMS["razorpay"], range(50))
        if not any("INV-" in step.body.decode() for step in stream if step.name == "payment.captured")
    )
    receipt = next(step for step in steps if step.name == "order.paid")
    with worker(database_url) as context:
        number = json.loads(receipt.body)["payload"]["order"]["entity"]["receipt"]
        shop = shop_of(context, "razorpay", [(number, 100, "INR")])
        play(shop, [step for step in steps if step.name == "payment.captured"], [])
        assert books(shop)["invoices"][0]["status"] == "open"
        play(shop, [receipt], [])
        assert books(shop)["invoices"][0]["status"] == "paid"


def test_a_pending_transaction_that_is_no_longer_listed_goes_and_a_newer_listing_brings_it_back(
    database_url: str,
) -> None:
    with worker(database_url) as context:
        shop = open_shop(context, "basiq", external_id="user-1")
        stream = next(
            s for s in map(STREAMS["basiq"], range(50)) if any(b"pd-" in repr(x.records).encode() for x in s[:-1])
        )
        play(shop, stream, [1] * len(stream))
        gone = [row for row in books(shop)["transactions"] if row["swept"]]
        assert gone
        assert all(row["status"] == "removed" for row in gone)


def test_events_told_at_the_same_moment_are_worked_in_the_order_of_their_arrival(database_url: str) -> None:
    with worker(database_url) as context:
        shop = open_shop(context)
        ids = [str(new_id()) for _ in range(5)]
        shop.store(*(shop.delivery(payment(id=f"p{n}"), event_id=one) for n, one in enumerate(ids)))
        for _ in range(5):
            assert normalize.drain(context, limit=1) == 1
        done = shop.rows(
            "SELECT provider_event_id FROM event_results JOIN events ON id = event_id ORDER BY finished_at"
        )
        assert [row["provider_event_id"] for row in done] == ids
