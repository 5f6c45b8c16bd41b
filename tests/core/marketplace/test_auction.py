"""Sealed bids: who wins, at what price, and that nothing but the set of bids matters."""

from __future__ import annotations

import random
from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.errors import Invalid
from core.marketplace.auction import MIN_BID, Bid, Clearing, Pricing, check_bid, check_terms, clear, hold_for
from core.marketplace.pricing import percent
from core.marketplace.rounding import half_up
from tests.budget import examples

LAKH = 1_00_000_00
CEILING = percent("12")


def bid(sequence: int, rate: str, amount: int) -> Bid:
    return Bid(id=f"bid-{sequence}", sequence=sequence, rate=percent(rate), amount=amount, investor=f"user-{sequence}")


WORKED = [
    bid(1, "10.50", 8 * LAKH),
    bid(2, "11.00", 5 * LAKH),
    bid(3, "11.25", 6 * LAKH),
    bid(4, "11.75", 4 * LAKH),
    bid(5, "12.50", 5 * LAKH),
]


def worked(pricing: Pricing) -> Clearing:
    """Twenty lakh for 60 days, at 12 % at most."""
    return clear(WORKED, 20 * LAKH, CEILING, pricing, 60)


def test_the_worked_auction_fills_eight_five_six_and_one_lakh() -> None:
    for pricing in Pricing:
        result = worked(pricing)
        assert [(fill.bid.sequence, fill.amount) for fill in result.fills] == [
            (1, 8 * LAKH),
            (2, 5 * LAKH),
            (3, 6 * LAKH),
            (4, 1 * LAKH),
        ]
        assert (result.filled, result.shortfall) == (20 * LAKH, 0)


def test_the_worked_uniform_price_is_the_marginal_rate() -> None:
    result = worked(Pricing.UNIFORM)
    assert (result.price, result.discount, result.outlay) == (Decimal("0.1175"), 38_630_14, 19_61_369_86)
    assert {fill.rate for fill in result.fills} == {Decimal("0.1175")}
    # 8, 5, 6 and 1 twentieths of 38,630.14: the two paise left over go to the largest remainders.
    assert [fill.discount for fill in result.fills] == [15_452_06, 9_657_53, 11_589_04, 1_931_51]
    assert result.alternative == 35_876_71


def test_the_worked_pay_as_bid_price_is_the_average() -> None:
    result = worked(Pricing.PAY_AS_BID)
    assert (result.price, result.discount) == (percent("10.9125"), 35_876_71)
    assert [fill.rate for fill in result.fills] == [percent(rate) for rate in ("10.50", "11.00", "11.25", "11.75")]
    assert [fill.discount for fill in result.fills] == [13_808_22, 9_041_09, 11_095_89, 1_931_51]
    assert result.alternative == 38_630_14


def test_at_the_same_rate_the_earlier_sequence_wins() -> None:
    late, early = bid(8, "10", 6 * LAKH), bid(7, "10", 6 * LAKH)
    result = clear([late, early], 10 * LAKH, CEILING, Pricing.UNIFORM, 60)
    assert [(fill.bid.sequence, fill.amount) for fill in result.fills] == [(7, 6 * LAKH), (8, 4 * LAKH)]


def test_a_bid_at_the_ceiling_is_filled_and_one_above_it_is_not() -> None:
    result = clear([bid(1, "12", LAKH), bid(2, "12.0001", LAKH)], 2 * LAKH, CEILING, Pricing.UNIFORM, 60)
    assert [fill.bid.sequence for fill in result.fills] == [1]
    assert (result.filled, result.shortfall, result.price) == (LAKH, LAKH, CEILING)


def test_no_bids_clear_to_nothing() -> None:
    result = clear([], LAKH, CEILING, Pricing.PAY_AS_BID, 60)
    assert (result.fills, result.price, result.filled, result.shortfall) == ((), None, 0, LAKH)
    assert (result.discount, result.alternative, result.outlay) == (0, 0, 0)


def test_a_bid_larger_than_the_target_is_filled_in_part() -> None:
    result = clear([bid(1, "9", 5 * LAKH)], 2 * LAKH, CEILING, Pricing.UNIFORM, 60)
    assert [fill.amount for fill in result.fills] == [2 * LAKH]


def test_the_marginal_bid_takes_what_is_left_even_less_than_the_smallest_slice() -> None:
    result = clear([bid(1, "9", 99_999_50), bid(2, "10", 50_000_00)], LAKH, CEILING, Pricing.UNIFORM, 60)
    assert [fill.amount for fill in result.fills] == [99_999_50, 50]


def test_nobody_gets_a_claim_for_nothing() -> None:
    """At nearly 90 % over the time, one paisa of claim would be rounded to a price of nothing."""
    bids = [bid(1, "0", 100), bid(2, "89.9", 101), bid(3, "90", 500)]
    result = clear(bids, 202, percent("90"), Pricing.UNIFORM, 365)
    assert [fill.amount for fill in result.fills] == [100, 101, 1]
    assert [fill.outlay > 0 for fill in result.fills] == [True] * 3
    assert sum(fill.discount for fill in result.fills) == result.discount == 182


@pytest.mark.parametrize("pricing", Pricing)
def test_a_hold_covers_the_unit_that_a_shared_rounding_may_cost(pricing: Pricing) -> None:
    """At 10 % over the time each bid's own discount is a tenth; their sum is rounded, and the last one loses a unit."""
    bids = [bid(place, "36.5", amount) for place, amount in enumerate((198, 298, 248, 1840))]
    last = clear(bids, 2584, percent("36.5"), pricing, 100).fills[-1]
    assert last.outlay == 1840 - 184 + 1 == hold_for(1840, percent("36.5"), 100)
    assert hold_for(100, Decimal(0), 100) == 100


def test_two_bids_with_one_sequence_number_are_refused() -> None:
    with pytest.raises(Invalid):
        clear([bid(1, "9", LAKH), bid(1, "10", LAKH)], LAKH, CEILING, Pricing.UNIFORM, 60)


@pytest.mark.parametrize(
    ("field", "rate", "amount"),
    [
        ("rate", "12.01", 50_000_00),
        ("amount", "10", 24_999_99),
        ("amount", "10", LAKH + 1),
        ("amount", "10", 0),
        ("amount", "10", True),
    ],
)
def test_a_bid_outside_the_terms_is_refused_by_the_name_of_its_field(field: str, rate: str, amount: int) -> None:
    with pytest.raises(Invalid) as refused:
        check_bid(percent(rate), amount, target=LAKH, ceiling=CEILING, min_slice=25_000_00)
    assert refused.value.field == field


def test_a_bid_inside_the_terms_passes() -> None:
    check_bid(CEILING, 25_000_00, target=LAKH, ceiling=CEILING, min_slice=25_000_00)
    check_bid(Decimal(0), LAKH, target=LAKH, ceiling=CEILING, min_slice=25_000_00)
    # The whole of a small target may be bid for, whatever the smallest slice.
    check_bid(CEILING, 10_000_00, target=10_000_00, ceiling=CEILING, min_slice=25_000_00)
    for rate in (Decimal("-0.01"), Decimal("NaN")):
        with pytest.raises(Invalid):
            check_bid(rate, LAKH, target=LAKH, ceiling=CEILING)


def test_an_auction_that_could_not_be_cleared_is_refused_before_it_is_listed() -> None:
    check_terms(LAKH, percent("90"), 365)
    for field, target, ceiling, days, least in (
        ("confirmed_amount", MIN_BID - 1, CEILING, 60, MIN_BID),
        ("discount_rate", LAKH, percent("90.1"), 365, MIN_BID),
        ("discount_rate", LAKH, Decimal(2), 1, MIN_BID),
        ("min_slice", LAKH, CEILING, 60, MIN_BID - 1),
        ("min_slice", LAKH, CEILING, 60, LAKH + 1),
    ):
        with pytest.raises(Invalid) as refused:
            check_terms(target, ceiling, days, least)
        assert refused.value.field == field


@st.composite
def books(draw: st.DrawFn) -> tuple[list[Bid], int, Decimal, int]:
    """Bids, a target, a ceiling and days, as `check_terms` and `check_bid` let them through; some over the ceiling."""
    target = draw(st.integers(MIN_BID, 10**10))
    days = draw(st.integers(0, 365))
    ceiling = Decimal(draw(st.integers(0, 9000))).scaleb(-4)
    rates = st.integers(0, 9000).map(lambda number: Decimal(number).scaleb(-4))
    offers = draw(st.lists(st.tuples(rates, st.integers(MIN_BID, target)), max_size=12))
    bids = [
        Bid(id=str(place), sequence=place, rate=rate, amount=amount, investor="x")
        for place, (rate, amount) in enumerate(offers)
    ]
    return bids, target, ceiling, days


@given(books(), st.sampled_from(Pricing))
@settings(max_examples=examples(200), deadline=None)
def test_every_clearing_adds_up_and_asks_nobody_for_more_than_was_held(
    book: tuple[list[Bid], int, Decimal, int], pricing: Pricing
) -> None:
    bids, target, ceiling, days = book
    check_terms(target, ceiling, days)
    result = clear(bids, target, ceiling, pricing, days)
    wanted = sum(each.amount for each in bids if each.rate <= ceiling)
    assert result.filled == min(target, wanted)
    assert result.filled + result.shortfall == target
    assert sum(fill.amount for fill in result.fills) == result.filled
    assert sum(fill.discount for fill in result.fills) == result.discount
    assert sum(fill.outlay for fill in result.fills) == result.outlay
    exact = sum((Fraction(fill.rate) * fill.amount * days / 365 for fill in result.fills), Fraction(0))
    assert result.discount == half_up(exact)
    for fill in result.fills:
        assert fill.discount >= 0
        assert 0 < fill.outlay <= hold_for(fill.bid.amount, fill.bid.rate, days) <= fill.bid.amount
        assert fill.bid.rate <= fill.rate <= ceiling
    # Each but the last is filled whole, and nobody left out was cheaper.
    assert all(fill.amount == fill.bid.amount for fill in result.fills[:-1])
    chosen = {fill.bid.sequence for fill in result.fills}
    dearest = max(((fill.bid.rate, fill.bid.sequence) for fill in result.fills), default=(Decimal(-1), 0))
    assert all((each.rate, each.sequence) > dearest for each in bids if each.sequence not in chosen)


@given(books(), st.sampled_from(Pricing), st.integers())
@settings(deadline=None)
def test_a_clearing_depends_on_the_set_of_bids_and_not_on_their_order(
    book: tuple[list[Bid], int, Decimal, int], pricing: Pricing, seed: int
) -> None:
    bids, target, ceiling, days = book
    shuffled = list(bids)
    random.Random(seed).shuffle(shuffled)
    assert clear(shuffled, target, ceiling, pricing, days) == clear(bids, target, ceiling, pricing, days)


@given(books())
@settings(deadline=None)
def test_uniform_never_costs_the_seller_less_and_each_pricing_names_the_other(
    book: tuple[list[Bid], int, Decimal, int],
) -> None:
    bids, target, ceiling, days = book
    uniform = clear(bids, target, ceiling, Pricing.UNIFORM, days)
    own = clear(bids, target, ceiling, Pricing.PAY_AS_BID, days)
    assert uniform.discount >= own.discount
    assert (uniform.alternative, own.alternative) == (own.discount, uniform.discount)


@given(books(), st.integers(0, 9000))
@settings(deadline=None)
def test_one_more_bid_never_raises_the_uniform_price_of_a_full_auction(
    book: tuple[list[Bid], int, Decimal, int], rate: int
) -> None:
    bids, target, ceiling, days = book
    before = clear(bids, target, ceiling, Pricing.UNIFORM, days)
    more = Bid(id="more", sequence=99, rate=Decimal(rate).scaleb(-4), amount=target, investor="x")
    after = clear([*bids, more], target, ceiling, Pricing.UNIFORM, days)
    assert after.filled >= before.filled
    if before.shortfall == 0:
        assert after.price is not None
        assert before.price is not None
        assert after.price <= before.price
        assert after.discount <= before.discount
