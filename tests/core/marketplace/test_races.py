"""Many at once, in real threads over real PostgreSQL: what is sold is what there is, and nobody waits for ever."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from decimal import Decimal
from functools import partial
from typing import TypeVar
from uuid import UUID

import pytest
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError

from core.database import Database
from core.errors import PlatformError
from core.identity import Actor
from core.marketplace import bidding, funding, listing, settlement, states
from core.marketplace.limits import Limits, put
from core.marketplace.states import State
from tests.builders import NOW
from tests.core.marketplace.builders import (
    LAKH,
    NEXT_DAY,
    RULES,
    WELCOME,
    Listing,
    check_books,
    funded,
    listed,
    money,
    person,
    slices,
    spendable,
    standing,
)

T = TypeVar("T")
TOMORROW = NOW + timedelta(days=1)


@pytest.fixture(autouse=True)
def books_are_right(market: Database) -> Iterator[None]:
    yield
    check_books(market)


def at_once(work: Callable[[T], str], over: Iterable[T], threads: int = 16) -> Counter[str]:
    """Do it for each in threads; count the answers, a refusal by its code. Anything else is raised."""

    def one(item: T) -> str:
        try:
            return work(item)
        except PlatformError as refusal:
            return refusal.code

    with ThreadPoolExecutor(threads) as pool:
        return Counter(pool.map(one, over))


def buyer_of(market: Database, offer: Listing, amount: int) -> Callable[[Actor], str]:
    def buy(who: Actor) -> str:
        with market.session() as session:
            funding.fund(session, who, offer.invoice_id, amount, NOW, rules=RULES)
        return "funded"

    return buy


def test_a_hundred_investors_on_the_last_slice_and_one_gets_it(market: Database) -> None:
    with market.session() as session:
        offer = listed(session, face=LAKH, ask=90_000_00)
        first = person(session)
        crowd = [person(session) for _ in range(100)]
    buyer_of(market, offer, 80_000_00)(first)
    answers = at_once(buyer_of(market, offer, 10_000_00), crowd)
    assert answers == {"funded": 1, "not_on_offer": 99}
    with market.session() as session:
        assert sum(outlay for outlay, *_ in slices(session, offer)) == 90_000_00
        assert Counter(money(session, *crowd)) == {WELCOME: 99, WELCOME - 10_000_00: 1}
        assert spendable(session, *crowd) == money(session, *crowd)
        assert money(session, offer.seller) == [WELCOME + 90_000_00]


@pytest.mark.long
def test_slices_of_every_size_at_once_fill_a_listing_exactly(market: Database) -> None:
    with market.session() as session:
        offer = listed(session, face=LAKH, ask=90_000_00)
        crowd = [(person(session), 3_000_00 + 37 * place) for place in range(40)]

    def buy(item: tuple[Actor, int]) -> str:
        return buyer_of(market, offer, item[1])(item[0])

    answers = at_once(buy, crowd)
    with market.session() as session:
        found = standing(session, offer)
        bought = slices(session, offer)
        assert found.placed_outlay == sum(outlay for outlay, *_ in bought) <= 90_000_00
        assert answers["funded"] == len(bought)
        assert set(answers) <= {"funded", "more_than_remaining", "not_on_offer"}
        assert found.outlay is not None
        left = found.outlay - found.placed_outlay
        # Nobody was refused who would have fitted, and what is left is sold to the paisa.
        assert left < 3_000_00 + 37 * 39
        last = person(session)
    if left:
        buyer_of(market, offer, left)(last)
    with market.session() as session:
        assert sum(claim for _, claim, _ in slices(session, offer)) == LAKH
        assert standing(session, offer).state is State.FUNDED


def test_one_wallet_buys_no_more_than_it_holds_in_many_places_at_once(market: Database) -> None:
    with market.session() as session:
        offers = [listed(session, face=4 * LAKH, ask=3 * LAKH) for _ in range(12)]
        who = person(session)
    answers = at_once(lambda offer: buyer_of(market, offer, 3 * LAKH)(who), offers, threads=12)
    assert answers == {"funded": 3, "insufficient_funds": 9}
    with market.session() as session:
        assert spendable(session, who) == [WELCOME - 9 * LAKH]


def test_an_own_cap_holds_against_two_amounts_at_once(market: Database) -> None:
    with market.session() as session:
        first = listed(session, face=2 * LAKH, ask=LAKH)
        offers = [first] + [listed(session, face=2 * LAKH, ask=LAKH, buyer=first.buyer) for _ in range(7)]
        who = person(session)
        put(session, who, Limits(per_buyer=Decimal(20)), NOW)
    answers = at_once(lambda offer: buyer_of(market, offer, LAKH)(who), offers, threads=8)
    assert answers == {"funded": 2, "cap_exceeded": 6}


def test_funding_withdrawing_and_a_payment_at_once_leave_one_of_them_true(market: Database) -> None:
    with market.session() as session:
        offers = [listed(session, face=LAKH, ask=90_000_00) for _ in range(8)]
        who = [person(session) for _ in offers]

    def take_back(offer: Listing) -> str:
        with market.session() as session:
            listing.withdraw(session, offer.seller, offer.invoice_id, now=NOW)
        return "withdrawn"

    def pay(offer: Listing) -> str:
        """As the payments do: the invoice is locked, and what was promised goes back."""
        with market.session() as session:
            financing = states.lock(session, offer.invoice_id)
            if financing.state not in states.ON_OFFER:
                return "too late"
            session.execute(text("UPDATE invoices SET status = 'void' WHERE id = :id"), {"id": offer.invoice_id})
            funding.release(session, financing, NOW, reason="the invoice was paid", to=State.WITHDRAWN, due_at=None)
        return "paid"

    work: list[Callable[[], str]] = [
        step
        for offer, investor in zip(offers, who, strict=True)
        for step in (
            partial(buyer_of(market, offer, 90_000_00), investor),
            partial(buyer_of(market, offer, 40_000_00), investor),
            partial(take_back, offer),
            partial(pay, offer),
        )
    ]
    answers = at_once(lambda step: step(), work)
    assert sum(answers.values()) == len(work)
    with market.session() as session:
        for offer, investor in zip(offers, who, strict=True):
            state = standing(session, offer).state
            if state is State.FUNDED:
                assert money(session, investor, offer.seller) == [WELCOME - 90_000_00, WELCOME + 90_000_00]
            elif state is State.PARTIALLY_FUNDED:
                assert spendable(session, investor) == [WELCOME - 40_000_00]
            else:
                assert state is State.WITHDRAWN
                assert spendable(session, investor) == [WELCOME]
                assert money(session, offer.seller) == [WELCOME]


def test_two_acceptances_of_one_fingerprint_at_once_and_one_commits(market: Database) -> None:
    with market.session() as session:
        twins = [
            [listed(session, state=State.PENDING, fp_e1=bytes([place]) * 32) for _ in range(2)] for place in range(6)
        ]

    def accept(offer: Listing) -> str:
        try:
            with market.session() as session:
                financing = states.lock(session, offer.invoice_id)
                states.move(
                    session,
                    financing,
                    State.CONFIRMED,
                    NOW,
                    actor=offer.buyer,
                    reason="accepted",
                    confirmed_amount=financing.face,
                )
        except IntegrityError as refusal:
            assert "financings_active_e1" in str(refusal)  # noqa: PT017 - A refusal is an answer here.
            return "stopped"
        return "confirmed"

    assert at_once(accept, [offer for pair in twins for offer in pair]) == {"confirmed": 6, "stopped": 6}


def test_bids_at_once_are_numbered_without_a_double_and_hold_what_they_may(market: Database) -> None:
    with market.session() as session:
        offer = listed(session, face=9 * LAKH, mode="auction", closes_in=timedelta(days=1))
        crowd = [person(session) for _ in range(12)]

    def bid(item: tuple[int, Actor]) -> str:
        with market.session() as session:
            bidding.bid(session, item[1], offer.invoice_id, Decimal("0.11") - Decimal(item[0]).scaleb(-4), LAKH, NOW)
        return "bid"

    assert at_once(bid, list(enumerate(crowd * 2))) == {"bid": 24}
    with market.session() as session:
        numbers = session.scalars(
            text("SELECT sequence FROM bids WHERE financing_id = :id ORDER BY sequence"), {"id": offer.financing_id}
        ).all()
        assert list(numbers) == list(range(1, 25))


def test_an_auction_that_many_close_and_bid_in_at_once_closes_once(market: Database) -> None:
    with market.session() as session:
        offer = listed(session, face=3 * LAKH, mode="auction", closes_in=timedelta(days=1))
        crowd = [person(session) for _ in range(6)]
        for place, who in enumerate(crowd):
            bidding.bid(session, who, offer.invoice_id, Decimal(place).scaleb(-3), LAKH, NOW)

    def act(place: int) -> str:
        with market.session() as session:
            if place % 2:
                bidding.close(session, states.lock(session, offer.invoice_id), TOMORROW, rules=RULES)
                return "closed"
            mine = session.scalar(
                text("SELECT id FROM bids WHERE investor_id = :id"), {"id": crowd[place % len(crowd)].id}
            )
            assert isinstance(mine, UUID)
            bidding.withdraw_bid(session, crowd[place % len(crowd)], offer.invoice_id, mine, TOMORROW)
        return "withdrawn"

    answers = at_once(act, range(24))
    assert answers["closed"] == 1
    assert "withdrawn" not in answers
    with market.session() as session:
        assert standing(session, offer).state is State.FUNDED
        assert bidding.replay(session, offer.financing_id).differences == ()


@pytest.mark.long
def test_settlements_that_many_clocks_ring_for_are_posted_once(market: Database) -> None:
    with market.session() as session:
        people = [person(session) for _ in range(6)]
        offers = []
        for turn in range(8):
            offer = listed(session, face=LAKH, ask=90_000_00, rules=NEXT_DAY)
            # The same wallets in another order each time: whoever locked them as they come would wait for ever.
            for place in range(3):
                who = people[(turn * 5 + place * (1 if turn % 2 else 2)) % len(people)]
                funding.fund(session, who, offer.invoice_id, 30_000_00, NOW, rules=NEXT_DAY)
            offers.append(offer)

    def ring(_: int) -> str:
        with market.session() as session:
            return str(settlement.settle_due(session, TOMORROW, 1, rules=NEXT_DAY))

    for _ in range(3):
        at_once(ring, range(16), threads=8)
    with market.session() as session:
        assert {standing(session, offer).state for offer in offers} == {State.FUNDED}
        posted = session.scalar(
            text("SELECT count(*) FROM ledger_transfers WHERE kind = 'financing.settled' AND invoice_id = ANY(:ids)"),
            {"ids": [offer.invoice_id for offer in offers]},
        )
        assert posted == len(offers)
        assert money(session, *(offer.seller for offer in offers)) == [WELCOME + 90_000_00] * 8
        assert spendable(session, *people) == money(session, *people)


@pytest.mark.long
def test_sellers_who_fund_each_others_investors_do_not_wait_for_each_other(market: Database) -> None:
    """Wallets cross: many settlements at once pay and are paid from the same few accounts."""
    with market.session() as session:
        people = [person(session) for _ in range(4)]
        offers = [listed(session, face=LAKH, ask=10_000_00) for _ in range(10)]

    def buy(item: tuple[int, Listing]) -> str:
        place, offer = item
        for who in (people[place % 4], people[(place + 1) % 4]):
            buyer_of(market, offer, 5_000_00)(who)
        return "funded"

    assert at_once(buy, list(enumerate(offers))) == {"funded": 10}
    with market.session() as session:
        assert sum(money(session, *people)) == 4 * WELCOME - 10 * 10_000_00


def test_a_settlement_and_a_release_at_once_do_not_both_happen(market: Database) -> None:
    with market.session() as session:
        offers = [funded(session, face=LAKH, ask=90_000_00, rules=NEXT_DAY) for _ in range(6)]

    def settle(offer: Listing) -> str:
        with market.session() as session:
            settlement.settle(session, states.lock(session, offer.invoice_id), TOMORROW, rules=NEXT_DAY)
        return "settled"

    def give_back(offer: Listing) -> str:
        with market.session() as session:
            financing = states.lock(session, offer.invoice_id)
            funding.release(session, financing, NOW, reason="paid before", to=State.WITHDRAWN, due_at=None)
        return "given back"

    work = [(step, offer) for offer in offers for step in (settle, give_back)]
    answers = at_once(lambda item: item[0](item[1]), work)
    assert answers["settled"] + answers["given back"] == 6
    assert answers["conflict"] == 6
