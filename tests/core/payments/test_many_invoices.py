"""Any sequence of payments, changes, refunds and deletions leaves the books as a model of them that counts coins."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from random import Random
from typing import Any
from uuid import UUID

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from core import intake
from core.errors import Conflict, Invalid
from core.events import Dispute, DisputeStatus, Payment, PaymentStatus, Record, Reference, Refund, RefundStatus
from core.invoicing import invoices
from core.money import Money
from core.payments.manual import NewTarget
from tests.budget import examples
from tests.builders import NOW, Clockwork, check_sums, worker
from tests.core.payments.counter import DAY, Counter, aims, open_counter

TOTALS = (10, 7, 5)


@pytest.fixture(scope="module")
def context(file_database_url: str) -> Iterator[Clockwork]:
    with worker(file_database_url) as parts:
        yield parts


@dataclass
class Coins:
    """A payment as the model has it: `aims` in order; a limit of None is none."""

    name: str
    day: int
    amount: int
    aims: list[tuple[int, int | None]]
    back: int = 0
    alive: bool = True
    named: set[int] = field(default_factory=set)

    @property
    def net(self) -> int:
        return max(0, self.amount - self.back) if self.alive else 0


@dataclass
class Model:
    """Coins are laid one at a time on the first invoice that may have one more of them."""

    gone: set[int] = field(default_factory=set)
    payments: list[Coins] = field(default_factory=list)

    def laid(self) -> dict[tuple[str, int], int]:
        room = {place: 0 if place in self.gone else total for place, total in enumerate(TOTALS)}
        meant: list[tuple[Coins, dict[int, int]]] = []
        for payment in self.payments:
            piles: dict[int, int] = dict.fromkeys([place for place, _ in payment.aims], 0)
            for _ in range(payment.net):
                free = [place for place, most in payment.aims if most is None or piles[place] < most]
                if free:
                    piles[free[0]] += 1
            meant.append((payment, piles))
        laid: dict[tuple[str, int], int] = {}
        for payment, piles in sorted(meant, key=lambda one: (one[0].day, one[0].name)):
            for place, pile in piles.items():
                part = min(pile, room[place])
                room[place] -= part
                if part:
                    laid[payment.name, place] = part
        return laid

    def of(self, name: str) -> Coins:
        return next(payment for payment in self.payments if payment.name == name)

    def now_paid(self, payment: Coins) -> list[tuple[int, int | None]]:
        laid = self.laid()
        return [(place, laid[payment.name, place]) for place, _ in payment.aims if (payment.name, place) in laid]


class Story:
    """Deeds done to the real books and, where they were taken, to the model."""

    def __init__(self, context: Clockwork) -> None:
        self.counter = open_counter(context)
        self.bills = self.counter.bill(*TOTALS)
        self.model = Model()
        # By name: a gateway's payment is called after its id there, one by hand after the order in which it was made.
        self.ids: dict[str, UUID] = {}
        self.news = 0

    def hear(self, *records: Record) -> None:
        with self.counter.shop.database.connect() as connection:
            intake.apply(connection, self.counter.shop.state(*records))

    def version(self) -> int:
        self.news += 1
        return self.news

    def aims(self, given: list[tuple[int, int]]) -> list[NewTarget]:
        return aims([(self.bills[place], amount) for place, amount in given])

    def gateway(self, which: int, place: int, amount: int, day: int) -> None:
        name = f"g{which}"
        known = name in self.ids
        record = gateway(name, self.version(), self.counter.invoices[place]["number"], amount, day)
        self.hear(record)
        self.ids[name] = self.counter.gateway(name)
        if not known:
            self.model.payments.append(Coins(name, day, amount, []))
        coins = self.model.of(name)
        coins.amount, coins.day = amount, day
        coins.named.add(place)
        # Of several invoices that it ever named the number that sorts first is the best, unless it was taken back.
        if name not in self.decided and (best := sorted(coins.named - self.model.gone)):
            coins.aims = [(best[0], None)]

    @property
    def decided(self) -> set[str]:
        rows = self.counter.shop.rows("SELECT object_id FROM payments WHERE user_id = :user AND decided")
        return {row["object_id"] for row in rows}

    def record(self, given: list[tuple[int, int]], extra: int, day: int) -> None:
        amount = sum(part for _, part in given) + extra
        contact = UUID(self.counter.invoices[0]["contact"]["id"])
        when = DAY - timedelta(days=10 - day)
        made = self.counter.written(amount, targets=self.aims(given), contact_id=contact, date=when)
        # Among money of one moment a gateway's comes after: its name there is not empty.
        name = f"#{len(self.model.payments):03}"
        self.ids[name] = UUID(made["id"])
        self.model.payments.append(Coins(name, day, amount, [*given]))

    def back(self, which: int, amount: int, *, lost: bool) -> None:
        name = f"g{which}"
        version = self.version()
        at = f"r{version}"
        money = Money(amount, "INR")
        if lost:
            status = DisputeStatus.LOST
            self.hear(Dispute(object_id=at, version=version, payment_id=name, status=status, money=money,
                              deducted=money, occurred_at=NOW))  # fmt: skip
        else:
            done = RefundStatus.SUCCEEDED
            self.hear(Refund(object_id=at, version=version, payment_id=name, status=done, money=money,
                             occurred_at=NOW))  # fmt: skip
        self.model.of(name).back += amount

    def edit(self, which: int, amount: int, given: list[tuple[int, int]]) -> None:
        name = self.by_hand(which)
        self.counter.edit(self.ids[name], amount=amount, targets=self.aims(given))
        coins = self.model.of(name)
        coins.amount, coins.aims = amount, [*given]

    def allocate(self, which: int, given: list[tuple[int, int]]) -> None:
        name = sorted(self.ids)[which % len(self.ids)]
        paying = self.model.now_paid(self.model.of(name))
        self.counter.allocate(self.ids[name], *((self.bills[place], amount) for place, amount in given))
        more = dict(given)
        kept = [(place, (most or 0) + more.pop(place, 0)) for place, most in paying]
        self.model.of(name).aims = [*kept, *more.items()]

    def give_back(self, which: int, amount: int) -> None:
        name = self.by_hand(which)
        coins = self.model.of(name)
        laid = self.model.laid()
        self.counter.give_back(self.ids[name], amount)
        aims_ = [[place, most or 0] for place, most in coins.aims]
        # Coins that were meant for an invoice and lie nowhere go first, from the last invoice on.
        while sum(most for _, most in aims_) > coins.net - amount:
            idle = [one for one in aims_ if one[1] > laid.get((name, one[0]), 0)]
            if not idle:
                break
            idle[-1][1] -= 1
        coins.aims = [(place, most) for place, most in aims_ if most]
        coins.back += amount

    def delete(self, which: int) -> None:
        name = self.by_hand(which)
        self.counter.delete(self.ids[name])
        self.model.of(name).alive = False

    def void(self, place: int) -> None:
        self.counter.do(invoices.void, self.bills[place])
        self.model.gone.add(place)

    def by_hand(self, which: int) -> str:
        names = sorted(name for name in self.ids if name.startswith("#"))
        if not names:
            raise Conflict("there is none yet")
        return names[which % len(names)]

    def check(self) -> None:
        laid = self.model.laid()
        names = {identity: name for name, identity in self.ids.items()}
        rows = self.counter.shop.rows(
            "SELECT payment_id, invoice_id, sum(allocations.amount)::bigint AS amount FROM allocations "
            "JOIN invoices ON invoices.id = invoice_id WHERE seller_id = :user GROUP BY 1, 2 "
            "HAVING sum(allocations.amount) <> 0"
        )
        assert {(names[row["payment_id"]], self.bills.index(row["invoice_id"])): row["amount"] for row in rows} == laid
        paid = [sum(part for (_, at), part in laid.items() if at == place) for place in range(len(TOTALS))]
        expected = [
            (
                "void" if place in self.model.gone else "open" if not sum_ else "paid" if sum_ == total else "partial",
                sum_,
            )
            for place, (total, sum_) in enumerate(zip(TOTALS, paid, strict=True))
        ]
        assert self.counter.standing(*self.bills) == expected


def gateway(name: str, version: int, number: str, amount: int, day: int) -> Payment:
    return Payment(
        object_id=name,
        version=version,
        status=PaymentStatus.SUCCEEDED,
        money=Money(amount, "INR"),
        occurred_at=NOW.replace(hour=0) - timedelta(days=11 - day),
        references=(Reference(0, number),),
    )


PLACES = st.integers(0, len(TOTALS) - 1)
SOME = st.integers(1, 12)
AIMS = st.lists(st.tuples(PLACES, SOME), max_size=3, unique_by=lambda one: one[0])
FEW_AIMS = st.lists(st.tuples(PLACES, st.integers(1, 4)), min_size=1, max_size=2, unique_by=lambda one: one[0])
WHICH = st.integers(0, 2)
DAYS = st.integers(0, 3)
DEEDS: dict[str, Any] = {
    "gateway": st.tuples(WHICH, PLACES, SOME, DAYS),
    "record": st.tuples(AIMS.filter(bool), st.integers(0, 4), DAYS),
    "edit": st.tuples(WHICH, st.integers(1, 20), AIMS),
    "allocate": st.tuples(st.integers(0, 5), FEW_AIMS),
    "give_back": st.tuples(WHICH, st.integers(1, 6)),
    "back": st.tuples(WHICH, st.integers(1, 6)),
    "delete": st.tuples(WHICH),
    "void": st.tuples(PLACES),
}
DEED = st.one_of([st.tuples(st.just(name), given) for name, given in DEEDS.items()])


def tell(context: Clockwork, deeds: list[tuple[str, tuple[Any, ...]]]) -> None:
    story = Story(context)
    for name, given_ in deeds:
        if not story.ids if name == "allocate" else name == "back" and f"g{given_[0]}" not in story.ids:
            continue
        try:
            if name == "back":
                story.back(*given_, lost=given_[1] % 2 == 0)
            else:
                getattr(story, name)(*given_)
        except (Conflict, Invalid):
            # What is refused leaves everything as it was, which is looked at like everything else.
            pass
        story.check()
    check_sums(context.database)


@settings(
    max_examples=examples(12),
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
@given(deeds=st.lists(DEED, min_size=4, max_size=12))
def test_any_sequence_of_deeds_leaves_what_the_model_says(context: Clockwork, deeds: Any) -> None:
    tell(context, deeds)


@pytest.mark.long
@settings(max_examples=examples(150), deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(deeds=st.lists(DEED, min_size=4, max_size=25))
def test_any_long_sequence_of_deeds_leaves_what_the_model_says(context: Clockwork, deeds: Any) -> None:
    tell(context, deeds)


def news(story: Counter) -> list[Record]:
    """Three payments of a gateway as they are told bit by bit, and what goes back of them."""
    numbers = [invoice["number"] for invoice in story.invoices]
    told: list[Record] = [
        gateway("g0", 1, numbers[0], 6, 1),
        gateway("g0", 3, numbers[0], 4, 1),
        gateway("g1", 1, numbers[1], 9, 0),
        gateway("g2", 2, numbers[0], 8, 2),
    ]
    told += [
        Refund(object_id=f"r{amount}", version=1, payment_id="g1", status=RefundStatus.SUCCEEDED,
               money=Money(amount, "INR"), occurred_at=NOW)
        for amount in (2, 3)
    ]  # fmt: skip
    taken = Money(5, "INR")
    told += [
        Dispute(object_id="d", version=version, payment_id="g2", status=status, money=taken, deducted=deducted,
                occurred_at=NOW)
        for version, status, deducted in ((1, DisputeStatus.OPEN, Money(0, "INR")), (2, DisputeStatus.LOST, taken))
    ]  # fmt: skip
    return told


def ending(context: Clockwork, seed: int) -> tuple[Any, ...]:
    """The same payments by hand, then the news in an order of its own, some of it twice."""
    counter = open_counter(context)
    bills = counter.bill(*TOTALS)
    counter.record(12, (bills[1], 5), (bills[0], 5), date=DAY - timedelta(days=9))
    counter.record(9, (bills[0], 2), (bills[2], 5), (bills[1], 2), date=DAY - timedelta(days=10))
    told = news(counter)
    chance = Random(seed)
    told += chance.sample(told, 3)
    chance.shuffle(told)
    while told:
        batch = [told.pop() for _ in range(min(len(told), chance.randint(1, 4)))]
        with counter.shop.database.connect() as connection:
            intake.apply(connection, counter.shop.state(*batch))
    paid = counter.shop.rows(
        "SELECT net, allocated FROM payments WHERE user_id = :user ORDER BY occurred_at, object_id"
    )
    aimed = counter.shop.rows(
        "SELECT payment_targets.amount, payment_targets.allocated FROM payment_targets "
        "JOIN payments ON payments.id = payment_id WHERE user_id = :user ORDER BY occurred_at, position"
    )
    return counter.standing(*bills), paid, aimed


def test_any_order_of_a_gateways_news_ends_the_same_beside_payments_by_hand(context: Clockwork) -> None:
    first = ending(context, 0)
    for seed in range(1, 8):
        assert ending(context, seed) == first
    check_sums(context.database)
