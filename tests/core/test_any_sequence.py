"""Any sequence of payments, edits, refunds and deletions leaves totals, statuses, credit, books and financing right."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from random import Random

import pytest

from tests.builders import Clockwork, Shop, worker
from tests.core.marketplace import deals
from tests.core.sequence import Trade
from tests.core.sequence_audit import audit

STEPS = {
    "issue": 6, "number": 2, "rewrite": 3, "void": 1, "pay": 8, "correct": 3, "refund": 4, "dispute": 3, "pay_out": 1,
    "record": 8, "edit": 6, "delete": 3, "give_back": 5, "take_back": 3, "allocate": 4, "apply_credit": 3, "credit": 5,
    "void_note": 2, "line": 4, "restate": 2, "accept": 5, "undo": 2,
    "vouch": 5, "repay": 3,
}  # fmt: skip


@pytest.fixture(scope="module")
def context(file_database_url: str) -> Iterator[Clockwork]:
    with worker(file_database_url) as parts:
        yield parts


def shop_with_a_financed_invoice(context: Clockwork) -> Shop:
    return deals.make(context, face=9_000, confirmed=7_000, haircut="20", rate="12", now=deals.BEGUN).shop


def live(shop: Shop, seed: int, length: int, *, every: int = 1) -> Trade:
    """Let so many things happen, and look at all of it after each `every` of them."""
    trade = Trade(shop, Random(seed))
    trade.do("issue")
    for place, step in enumerate(trade.chance.choices(list(STEPS), list(STEPS.values()), k=length)):
        trade.do(step)
        if place % every == every - 1:
            try:
                audit(shop)
            except AssertionError as wrong:
                raise AssertionError(f"seed {seed}, step {place}: {step}\n{wrong}") from wrong
    audit(shop)
    return trade


@pytest.mark.parametrize(("seed", "every"), [(0, 1), (1, 6)])
def test_any_sequence_leaves_everything_consistent(context: Clockwork, seed: int, every: int) -> None:
    live(shop_with_a_financed_invoice(context), seed, 60, every=every)


@pytest.mark.long
@pytest.mark.parametrize("seed", range(100, 120))
def test_any_long_sequence_leaves_everything_consistent(context: Clockwork, seed: int) -> None:
    live(shop_with_a_financed_invoice(context), seed, 200)


@pytest.mark.long
@pytest.mark.parametrize("seed", range(200, 206))
def test_whatever_many_do_at_once_leaves_everything_consistent(context: Clockwork, seed: int) -> None:
    crowd(shop_with_a_financed_invoice(context), seed, people=6, length=60)


def test_what_a_few_do_at_once_leaves_everything_consistent(context: Clockwork) -> None:
    crowd(shop_with_a_financed_invoice(context), 7, people=4, length=25)


def crowd(shop: Shop, seed: int, *, people: int, length: int) -> None:
    """Several do things to the same invoices and payments at the same time."""
    live(shop, seed, 12, every=12)

    def busy(number: int) -> None:
        trade = Trade(shop, Random(seed * 100 + number), word=f"p{number}")
        for step in trade.chance.choices(list(STEPS), list(STEPS.values()), k=length):
            trade.do(step)

    with ThreadPoolExecutor(people) as pool:
        for done in [pool.submit(busy, number) for number in range(people)]:
            done.result()
    audit(shop)
