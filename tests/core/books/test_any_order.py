"""Any sequence of what happens to invoices and payments leaves the books that an independent model says."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta
from random import Random
from uuid import UUID

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import text

from core.errors import Conflict, PlatformError
from core.events import Payment
from core.payments import manual, refunds
from tests.budget import examples
from tests.builders import NOW, Clockwork, Shop, open_shop, worker
from tests.core.books.trade import (
    Model,
    Paid,
    Paper,
    books,
    by_hand,
    issue,
    lost,
    paid,
    paid_out,
    problems,
    refunded,
    tell,
    void,
)
from workers import books as worker_books

STEPS = (
    "issue", "issue", "pay", "pay", "pay", "refund", "lose", "void", "correct", "edit", "hand", "hand",
    "drop", "give back", "rewrite", "pay out")  # fmt: skip
SEEDS = st.integers(0, 10**6)
FEW = settings(max_examples=examples(8), deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))


MANY = settings(FEW, max_examples=examples(150))
HAPPENINGS = st.lists(st.sampled_from(STEPS), min_size=8, max_size=20)


@pytest.fixture(scope="module")
def context(file_database_url: str) -> Iterator[Clockwork]:
    with worker(file_database_url) as parts:
        yield parts


class Trade:
    """A seller to whom things happen, and the model that is told of them."""

    def __init__(self, shop: Shop, chance: Random) -> None:
        self.shop, self.chance, self.model = shop, chance, Model()
        self.told: dict[str, Payment] = {}
        self.made = 0

    def do(self, step: str) -> None:
        act: Callable[[], None] = getattr(self, step.replace(" ", "_"))
        act()

    def name(self, word: str) -> str:
        self.made += 1
        return f"{word}_{self.made}"

    def paper(self) -> Paper | None:
        return self.chance.choice(self.model.papers) if self.model.papers else None

    def gateway(self) -> Paid | None:
        found = [one for one in self.model.payments if one.name in self.told]
        return self.chance.choice(found) if found else None

    def issue(self) -> None:
        currency = self.chance.choice(["INR", "INR", "INR", "USD"])
        total = self.chance.randint(1, 20_000)
        made = issue(self.shop, total, currency)
        self.model.papers.append(Paper(UUID(made["id"]), made["number"], total, currency))

    def pay(self) -> None:
        paper = self.paper()
        seconds = self.chance.randint(0, 9)
        one = Paid(
            name=self.name("pmt"),
            amount=self.chance.randint(1, 15_000),
            at=NOW + timedelta(seconds=seconds),
            fee=self.chance.choice([0, 0, 7, 250]),
            currency=self.chance.choice(["INR", "INR", "INR", "USD"]),
        )
        # What is void, or not there, is not named by a payment that comes later.
        if paper is not None and paper.alive:
            one.invoice = paper
        self.told[one.name] = paid(
            one.name, one.amount, number=one.invoice.number if one.invoice else None, fee=one.fee or None, at=seconds,
            currency=one.currency,
        )  # fmt: skip
        self.model.payments.append(one)
        tell(self.shop, *[self.told[one.name]] * self.chance.randint(1, 2))

    def refund(self) -> None:
        if (one := self.gateway()) is None or one.currency != "INR":
            return
        amount = self.chance.randint(1, 9_000)
        one.refunded += amount
        tell(self.shop, *[refunded(self.name("rfd"), one.name, amount)] * self.chance.randint(1, 2))

    def lose(self) -> None:
        if (one := self.gateway()) is None or one.currency != "INR":
            return
        amount = self.chance.randint(1, 9_000)
        one.lost += amount
        tell(self.shop, lost(self.name("dsp"), one.name, amount))

    def correct(self) -> None:
        """The gateway says another amount, or another currency, and no fee any more."""
        if (one := self.gateway()) is None:
            return
        one.amount, one.fee = self.chance.randint(1, 15_000), 0
        if not (one.refunded or one.lost):
            one.currency = self.chance.choice(["INR", "USD"])
        before = self.told[one.name]
        again = paid(one.name, one.amount, currency=one.currency)
        self.told[one.name] = replace(
            again, version=before.version + 1, occurred_at=before.occurred_at, references=before.references
        )
        tell(self.shop, self.told[one.name])

    def void(self) -> None:
        if (paper := self.paper()) is None:
            return
        try:
            void(self.shop, paper.id)
        except Conflict:
            return
        paper.alive = False

    def edit(self) -> None:
        """Somebody writes another total and tax into an invoice that nobody has paid."""
        if (paper := self.paper()) is None or not paper.alive:
            return
        total = self.chance.randint(10, 20_000)
        tax = self.chance.randint(0, 10)
        with self.shop.database.connect() as connection:
            done = connection.execute(
                text(
                    "UPDATE invoices SET subtotal = :total - :tax, tax = :tax, total = :total "
                    "WHERE id = :id AND amount_paid = 0 AND NOT EXISTS "
                    "(SELECT FROM payments WHERE payments.invoice_id = invoices.id)"
                ),
                {"id": paper.id, "total": total, "tax": tax},
            ).rowcount
        if done:
            paper.total, paper.tax = total, tax

    def hand(self) -> None:
        """Cash, or tax that was kept back: towards an invoice, or as credit."""
        method, place = self.chance.choice([("cash", "bank"), ("tds_withheld", "tds")])
        amount = self.chance.randint(1, 5_000)
        open_ones = [paper for paper in self.model.papers if paper.alive and paper.currency == "INR"]
        paper = self.chance.choice(open_ones) if open_ones and self.chance.random() < 0.7 else None
        if not self.model.papers:
            return
        try:
            made = by_hand(self.shop, amount, method, None if paper is None else paper.id)
        except PlatformError:
            return
        at = self.shop.one("SELECT occurred_at FROM payments WHERE id = :id", id=made)["occurred_at"]
        name = self.name("hand")
        self.model.payments.append(Paid(name=name, amount=amount, at=at, place=place, by_hand=made, invoice=paper))

    def written(self) -> Paid | None:
        found = [one for one in self.model.payments if one.alive and one.by_hand]
        return self.chance.choice(found) if found else None

    def give_back(self) -> None:
        if (one := self.written()) is None or one.by_hand is None or one.net == 0:
            return
        amount = self.chance.randint(1, one.net)
        given = refunds.NewRefund(amount=amount, method="cash", date=NOW.date())
        with self.shop.database.session() as session:
            refunds.refund(session, self.shop.seller, one.by_hand, given, NOW)
        one.refunded += amount

    def rewrite(self) -> None:
        if (one := self.written()) is None or one.by_hand is None or one.refunded:
            return
        one.amount = self.chance.randint(1, 5_000)
        one.place, method = self.chance.choice([("bank", "upi"), ("tds", "tds_withheld")])
        changes = manual.PaymentChanges(amount=one.amount, method=method)
        with self.shop.database.session() as session:
            manual.edit(session, self.shop.seller, one.by_hand, changes, NOW)

    def drop(self) -> None:
        if (one := self.written()) is None or one.by_hand is None or one.refunded:
            return
        with self.shop.database.session() as session:
            manual.delete(session, self.shop.seller, one.by_hand, NOW)
        one.alive = False

    def pay_out(self) -> None:
        amount = self.chance.randint(1, 9_000)
        self.model.payouts["INR"] += amount
        tell(self.shop, *[paid_out(self.name("po"), amount)] * 2)


@FEW
@given(seed=SEEDS, steps=HAPPENINGS)
def test_whatever_happens_the_books_are_what_the_model_says(context: Clockwork, seed: int, steps: list[str]) -> None:
    live(context, seed, steps)


@pytest.mark.long
@MANY
@given(seed=SEEDS, steps=HAPPENINGS)
def test_whatever_happens_at_length_the_books_are_what_the_model_says(
    context: Clockwork, seed: int, steps: list[str]
) -> None:
    live(context, seed, steps)


def live(context: Clockwork, seed: int, steps: list[str]) -> None:
    """Let it happen, and compare."""
    trade = Trade(open_shop(context), Random(seed))
    for step in steps:
        trade.do(step)
    worker_books.post(context.database, NOW)
    assert books(trade.shop) == trade.model.books()
    assert problems(context.database) == []


@FEW
@given(seed=SEEDS)
def test_any_order_of_news_ends_with_the_same_books(context: Clockwork, seed: int) -> None:
    chance = Random(seed)
    shops = [open_shop(context) for _ in range(2)]
    said = [
        paid("p1", 8_000, fee=30),
        paid("p1", 6_000, fee=20, version=2),
        paid("p2", 7_000, at=5),
        refunded("r1", "p1", 2_500),
        lost("d1", "p2", 1_000),
        paid_out("o1", 4_000),
    ]
    for shop in shops:
        made = issue(shop)
        news = [replace(one, references=paid("", 1, number=made["number"]).references) if isinstance(one, Payment) else one for one in said]  # fmt: skip # noqa: E501
        news += chance.sample(news, 3)
        chance.shuffle(news)
        while news:
            batch = chance.randint(1, 3)
            tell(shop, *news[:batch])
            news = news[batch:]
    first, second = map(books, shops)
    assert first == second
    assert first["credit", "INR"] == 0 if ("credit", "INR") in first else True
    assert problems(context.database) == []
