"""Anything in any order: the marketplace answers what an independent auditor says it must, and stands where it must."""

from __future__ import annotations

import random
from collections.abc import Callable
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any, ClassVar
from uuid import UUID

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test
from sqlalchemy import text
from sqlalchemy.orm import Session

from core import ledger
from core.database import Database
from core.errors import PlatformError
from core.identity import Actor, Role
from core.marketplace import bidding, funding, listing, settlement, states
from core.marketplace.calendar import Settlement
from core.marketplace.rules import INDIA, Rules, today
from core.marketplace.states import State
from tests.builders import NOW
from tests.core.marketplace.auditor import Auditor, Deal, Purse
from tests.core.marketplace.builders import (
    LAKH,
    NEXT_DAY,
    RULES,
    WELCOME,
    Listing,
    check_books,
    listed,
    person,
    standing,
)

DEALS = st.integers(0, 11)
PEOPLE = st.integers(0, 3)
_MOST_DEALS = 12
# Most of the time what is tried is something that may work.
OFTEN = st.sampled_from([True, True, True, True, True, False])


class Market(RuleBasedStateMachine):
    """Four investors, offers at a price and at auction, a clock, and whatever happens to them."""

    market: ClassVar[Database]
    parties: ClassVar[tuple[Actor, Actor]]
    steps: ClassVar[int] = 0

    def __init__(self) -> None:
        super().__init__()
        self.now = NOW
        self.offers: list[Listing] = []
        self.bids: dict[tuple[int, int], UUID] = {}
        with self.market.session() as session:
            self.people = [person(session) for _ in range(4)]
            self.seller = person(session, Role.SELLER)
        # The seller is the last.
        self.auditor = Auditor([Purse(balance=WELCOME) for _ in range(5)])
        self.house: Rules = RULES

    def ask(self, expected: str, act: Callable[[Session], Any]) -> Any:
        """Act in a transaction; the answer, or the refusal's code, must be the auditor's."""
        type(self).steps += 1
        answer: Any = None
        try:
            with self.market.session() as session:
                answer = act(session)
            said = "done"
        except PlatformError as refusal:
            said = refusal.code
        assert said == expected
        return answer

    def settles_at(self) -> int | None:
        """When what is agreed now settles, in seconds since the beginning; None is at once."""
        if self.house.settlement is Settlement.INSTANT:
            return None
        day = self.house.calendar.settlement_day(today(self.now), self.house.settlement)
        opening = datetime(day.year, day.month, day.day, tzinfo=INDIA)
        return int((opening - NOW).total_seconds())

    @rule(
        face=st.integers(1_000_00, 12 * LAKH),
        rate=st.integers(0, 40),
        haircut=st.sampled_from(["0", "20", "33.33"]),
        days=st.integers(20, 120),
        mode=st.sampled_from(["fixed", "auction"]),
        pricing=st.sampled_from(["uniform", "pay_as_bid"]),
        plan=st.sampled_from(["none", "standard"]),
        hours=st.integers(12, 240),
        least=st.sampled_from([100, 100, 100, 50_000_00]),
    )
    @precondition(lambda self: len(self.offers) < _MOST_DEALS)
    def offer(
        self, face: int, rate: int, haircut: str, days: int, mode: str, pricing: str, plan: str, hours: int, least: int
    ) -> None:
        with self.market.session() as session:
            offer = listed(
                session, face=face, rate=str(rate), haircut=haircut, days=days, mode=mode, bids=pricing, fee_plan=plan,
                closes_in=timedelta(hours=hours), min_slice=least, seller=self.seller, buyer=self.parties[1],
                rules=self.house, now=self.now,
            )  # fmt: skip
            found = standing(session, offer)
        assert found.principal is not None
        assert found.discount is not None
        self.offers.append(offer)
        self.auditor.deals.append(
            Deal(
                seller=4,
                principal=found.principal,
                discount=found.discount,
                fees=(found.fee or 0) + (found.fee_tax or 0),
                days=found.days or 0,
                mode=mode,
                pricing=pricing,
                reserve_rate=rate * 10_000,
                least=least,
                closes_at=self.auditor.now + hours * 3600,
            )
        )

    def one_of(self, number: int, mode: str, *, often: bool) -> int:
        """A deal; `often` one that is on offer in this mode, if there is any."""
        fitting = [
            place for place, deal in enumerate(self.auditor.deals) if deal.on_offer and mode in {deal.mode, "any"}
        ]
        return fitting[number % len(fitting)] if often and fitting else number % len(self.offers)

    @precondition(lambda self: self.offers)
    @rule(number=DEALS, who=PEOPLE, eighths=st.integers(1, 9), more=st.integers(-2, 2), often=OFTEN)
    def fund(self, number: int, who: int, eighths: int, more: int, often: bool) -> None:
        number = self.one_of(number, "fixed", often=often)
        amount = max(1, self.auditor.deals[number].left * eighths // 8 + (more if eighths < 8 else 0))
        expected = self.auditor.fund(number, who, amount, self.settles_at())
        self.ask(
            expected,
            lambda session: funding.fund(
                session, self.people[who], self.offers[number].invoice_id, amount, self.now, rules=self.house
            ),
        )

    @precondition(lambda self: self.offers)
    @rule(number=DEALS, who=PEOPLE, eighths=st.integers(1, 9), rate=st.integers(0, 410_000), often=OFTEN)
    def bid(self, number: int, who: int, eighths: int, rate: int, often: bool) -> None:
        number = self.one_of(number, "auction", often=often)
        deal = self.auditor.deals[number]
        claim = max(1, deal.principal * eighths // 8)
        wanted = deal.reserve_rate * rate // 400_000
        held, answer = 0, None
        try:
            with self.market.session() as session:
                answer = bidding.bid(
                    session,
                    self.people[who],
                    self.offers[number].invoice_id,
                    Decimal(wanted).scaleb(-6),
                    claim,
                    self.now,
                )
            held, said = answer["held"], "done"
        except PlatformError as refusal:
            said = refusal.code
        type(self).steps += 1
        assert said == self.auditor.bid(number, who, wanted, claim, held)
        if answer is not None:
            self.bids[number, len(deal.bids) - 1] = UUID(answer["id"])

    @precondition(lambda self: self.bids)
    @rule(number=DEALS, place=st.integers(0, 5))
    def withdraw_bid(self, number: int, place: int) -> None:
        number, place = sorted(self.bids)[(number * 6 + place) % len(self.bids)]
        deal = self.auditor.deals[number]
        who = self.people[deal.bids[place].investor]
        expected = self.auditor.withdraw_bid(number, place, deal.closes_at - 600)
        self.ask(
            expected,
            lambda session: bidding.withdraw_bid(
                session, who, self.offers[number].invoice_id, self.bids[number, place], self.now
            ),
        )

    @precondition(lambda self: self.offers)
    @rule(number=DEALS, seldom=st.integers(0, 5))
    def take_back(self, number: int, seldom: int) -> None:
        if seldom:
            return
        number %= len(self.offers)
        expected = self.auditor.take_back(number)
        self.ask(
            expected,
            lambda session: listing.withdraw(session, self.seller, self.offers[number].invoice_id, now=self.now),
        )

    @precondition(lambda self: self.offers)
    @rule(number=DEALS, seldom=st.integers(0, 5))
    def paid_before(self, number: int, seldom: int) -> None:
        """The buyer pays before the invoice is financed: as the payments do, what is promised goes back first."""
        if seldom:
            return
        number %= len(self.offers)
        self.auditor.paid(number)

        def act(session: Session) -> None:
            financing = states.lock(session, self.offers[number].invoice_id)
            if financing.state in states.ON_OFFER or financing.state is State.SETTLEMENT_PENDING:
                funding.release(session, financing, self.now, reason="it was paid", to=State.WITHDRAWN, due_at=None)

        self.ask("done", act)

    @rule(hours=st.sampled_from([1, 2, 3, 6, 12, 36]), before=st.booleans())
    def time_passes(self, hours: int, before: bool) -> None:
        """The clock goes on, perhaps to the last minutes of an auction, and does what is due."""
        ends = [
            deal.closes_at for deal in self.auditor.deals if deal.on_offer and deal.closes_at > self.auditor.now + 300
        ]
        to = min(ends) - 300 if before and ends else self.auditor.now + hours * 3600
        self.now += timedelta(seconds=to - self.auditor.now)
        self.auditor.now = to
        # Promises made by the clock settle by the rules of the moment.
        self.auditor.ring(self.settles_at())

        def act(session: Session) -> None:
            settlement.settle_due(session, self.now, 100, rules=self.house)
            bidding.close_due(session, self.now, 100, rules=self.house)
            for offer in self.offers:
                financing = states.lock(session, offer.invoice_id)
                over = financing.closes_at is not None and financing.closes_at <= self.now
                if financing.state in states.ON_OFFER and over:
                    funding.release(session, financing, self.now, reason="time is over", to=State.EXPIRED, due_at=None)

        self.ask("done", act)

    @rule(later=st.booleans())
    def settlement_changes(self, later: bool) -> None:
        self.house = NEXT_DAY if later else RULES

    @invariant()
    def everything_stands_where_the_auditor_says(self) -> None:
        accounts = [ledger.wallet(one.id) for one in (*self.people, self.seller)]
        with self.market.session() as session:
            found = ledger.balances(session, accounts)
            assert [(found[one].balance, found[one].held) for one in accounts] == [
                (purse.balance, purse.held) for purse in self.auditor.purses
            ]
            states_ = session.execute(
                text("SELECT id, state FROM financings WHERE seller_id = :id"), {"id": self.seller.id}
            ).all()
            bought = session.execute(
                text(
                    "SELECT financing_id, array_agg(investments.outlay || '/' || investments.principal || '/' || status"
                    " ORDER BY sequence) AS slices FROM investments JOIN financings ON financings.id = financing_id "
                    "WHERE seller_id = :id GROUP BY financing_id"
                ),
                {"id": self.seller.id},
            ).all()
        stands = {row.id: row.state for row in states_}
        slices = {row.financing_id: row.slices for row in bought}
        for offer, deal in zip(self.offers, self.auditor.deals, strict=True):
            assert stands[offer.financing_id] == deal.state
            assert slices.get(offer.financing_id, []) == [
                f"{one.outlay}/{one.claim}/{one.status}" for one in deal.slices
            ]

    def teardown(self) -> None:
        with self.market.session() as session:
            for offer, deal in zip(self.offers, self.auditor.deals, strict=True):
                if deal.mode == "auction" and deal.state in {"funded", "settlement_pending", "expired"}:
                    assert bidding.replay(session, offer.financing_id).differences == ()
            # So that the clock of the next run finds nothing of this one's.
            session.execute(
                text("UPDATE financings SET closes_at = :far, settle_on = '2999-01-01' WHERE seller_id = :id"),
                {"far": NOW + timedelta(days=90_000), "id": self.seller.id},
            )
        check_books(self.market)


def run(market: Database, examples: int, steps: int) -> int:
    """Let it run; returns how many things were asked."""
    with market.session() as session:
        Market.parties = (person(session, Role.SELLER), person(session, Role.BUYER))
    Market.market = market
    Market.steps = 0
    run_state_machine_as_test(
        Market,
        settings=settings(
            max_examples=examples,
            stateful_step_count=steps,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
    return Market.steps


def walk(market: Database, seed: int, steps: int) -> int:
    """Go one random way of so many steps, the same for the same seed, with a new market every fifty steps."""
    chance = random.Random(seed)
    with market.session() as session:
        Market.parties = (person(session, Role.SELLER), person(session, Role.BUYER))
    Market.market, Market.steps = market, 0
    while Market.steps < steps:
        market_ = Market()
        for _ in range(50):
            step(market_, chance)
            market_.everything_stands_where_the_auditor_says()
        market_.teardown()
    return Market.steps


def step(market: Market, chance: random.Random) -> None:
    """Something that happens, as often as it does in a busy week."""
    number, who = chance.randrange(12), chance.randrange(4)
    often, eighths = chance.random() < 0.9, chance.randint(1, 9)
    kind = chance.choices(
        ["fund", "bid", "offer", "time", "withdraw", "take back", "paid", "change"], [40, 30, 16, 14, 6, 2, 2, 6]
    )[0]
    if kind == "offer" or not market.offers:
        if len(market.offers) < 12:
            market.offer(
                face=chance.randint(1_000_00, 12 * LAKH),
                rate=chance.randint(0, 40),
                haircut=chance.choice(["0", "20", "33.33"]),
                days=chance.randint(20, 120),
                mode=chance.choice(["fixed", "auction"]),
                pricing=chance.choice(["uniform", "pay_as_bid"]),
                plan=chance.choice(["none", "standard"]),
                hours=chance.randint(12, 120),
                least=chance.choice([100, 100, 100, 50_000_00]),
            )
    elif kind == "fund":
        market.fund(number=number, who=who, eighths=eighths, more=chance.randint(-2, 2), often=often)
    elif kind == "bid":
        market.bid(number=number, who=who, eighths=eighths, rate=chance.randint(0, 405_000), often=often)
    elif kind == "time":
        market.time_passes(hours=chance.choice([1, 3, 6, 12, 36]), before=chance.random() < 0.3)
    elif kind == "withdraw" and market.bids:
        market.withdraw_bid(number=number, place=chance.randrange(6))
    elif kind == "take back":
        market.take_back(number=number, seldom=0)
    elif kind == "paid":
        market.paid_before(number=number, seldom=0)
    elif kind == "change":
        market.settlement_changes(later=chance.random() < 0.5)


def test_whatever_happens_the_auditor_agrees(market: Database) -> None:
    assert run(market, examples=4, steps=20) > 10


def test_in_a_busy_week_the_auditor_agrees(market: Database) -> None:
    assert walk(market, seed=4, steps=100) >= 100


@pytest.mark.long
def test_whatever_happens_for_long_the_auditor_agrees(market: Database) -> None:
    assert run(market, examples=300, steps=60) > 1_000


@pytest.mark.long
@pytest.mark.parametrize("seed", range(5))
def test_in_ten_thousand_steps_the_auditor_agrees(market: Database, seed: int) -> None:
    assert walk(market, seed, steps=10_000) >= 10_000
