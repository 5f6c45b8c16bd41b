"""Prices, slices and quotes: the worked numbers to the paisa, and what holds for every deal."""

from __future__ import annotations

import decimal
import random
from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.errors import Invalid
from core.marketplace import comparisons, yields
from core.marketplace.pricing import (
    FEE_PLANS,
    NONE,
    STANDARD,
    FeePlan,
    Slices,
    Terms,
    implied_rate,
    percent,
    priced,
    quote,
    terms,
)
from core.marketplace.rounding import half_up, split
from core.money import MAX_MINOR
from tests.budget import examples

LAKH = 1_00_000_00
TWELVE = percent("12")


def worked(fee_plan: FeePlan = STANDARD) -> Terms:
    """5,00,000 confirmed, 20 % haircut, 12 % a year, 60 days."""
    return terms(5 * LAKH, haircut=percent("20"), rate=TWELVE, days=60, fee_plan=fee_plan)


def test_the_worked_example_to_the_paisa() -> None:
    deal = worked()
    assert (deal.principal, deal.discount, deal.outlay) == (4_00_000_00, 7_890_41, 3_92_109_59)
    assert (deal.fee, deal.gst, deal.seller_net) == (2_000_00, 360_00, 3_89_749_59)
    assert (deal.face, deal.reserve) == (5_00_000_00, 1_00_000_00)
    assert round(Decimal(deal.discount) / deal.outlay * 100, 4) == Decimal("2.0123")


def test_the_four_numbers_of_the_worked_example() -> None:
    numbers = worked().numbers
    assert numbers.discount_rate == Decimal("0.12")
    assert numbers.simple_yield == Decimal("0.122415")
    assert numbers.effective_yield == Decimal("0.128850")
    assert numbers.seller_cost == Decimal("0.159992")
    assert "60 days" in worked().day_count


def test_the_other_models_and_fees_of_the_worked_example() -> None:
    outlay = comparisons.true_discount(4 * LAKH, TWELVE, 60)
    assert (outlay, 4 * LAKH - outlay) == (3_92_262_22, 7_737_78)
    assert terms(5 * LAKH, haircut=percent("20"), rate=TWELVE, days=60, basis=360).discount == 8_000_00
    assert FeePlan("yearly", percent("0.30"), basis="per_annum").lines(4 * LAKH, 60)[0] == 197_26
    assert comparisons.charge_in_arrears(4 * LAKH, TWELVE, 60) == 7_890_41


def test_gst_is_taken_of_the_rounded_fee_and_rounded_half_up_itself() -> None:
    """0.50 % of 49.40 is 24.7 paise: a fee of 25, whose GST of 4.5 is 5."""
    assert STANDARD.lines(49_40, 60) == (25, 5)


def test_a_haircut_is_suggested_from_dilution_and_never_takes_all() -> None:
    assert 1 - comparisons.suggested_haircut(percent("3")) == Decimal("0.89")
    assert 1 - comparisons.suggested_haircut(percent("6")) == Decimal("0.83")
    assert comparisons.suggested_haircut(percent("80")) < 1


def test_the_law_gives_a_small_supplier_three_times_the_bank_rate_with_monthly_rests() -> None:
    assert comparisons.statutory_interest(5 * LAKH, percent("5.50"), 2) == 13_844_53
    assert comparisons.statutory_interest(5 * LAKH, percent("5.50"), 0) == 0


def test_a_lakh_funded_with_ninety_thousand_returns_a_lakh() -> None:
    deal = terms(LAKH, ask=90_000_00, days=30, fee_plan=NONE)
    offered = quote(deal, Slices.of(deal), 90_000_00)
    assert (offered.outlay, offered.expected_return, offered.profit) == (90_000_00, 1_00_000_00, 10_000_00)
    assert (offered.seller_net, offered.fee, offered.gst) == (90_000_00, 0, 0)
    assert deal.seller_net == 90_000_00
    # 10,000 on 1,00,000 for 30 days.
    assert deal.rate == Decimal("1.21666667")


def test_the_three_investors_of_the_worked_example_pay_and_earn_to_the_paisa() -> None:
    slices = Slices.of(worked())
    paid, earned = [], []
    for claim in (1_50_000_00, 1_50_000_00, 1_00_000_00):
        outlay = slices.outlay_of(claim)
        assert slices.claim_for(outlay) == claim
        paid.append(outlay)
        earned.append(claim - outlay)
        slices = slices.place(outlay)
    assert paid == [1_47_041_09, 1_47_041_10, 98_027_40]
    assert earned == [2_958_91, 2_958_90, 1_972_60] == split(7_890_41, [150, 150, 100])
    assert (slices.outlay_left, slices.claims_left) == (0, 0)


def test_no_days_cost_nothing_by_rate_and_have_no_annual_rate() -> None:
    free = terms(LAKH, rate=TWELVE, days=0, fee_plan=NONE)
    assert (free.discount, free.outlay) == (0, LAKH)
    asked = terms(LAKH, ask=90_000_00, days=0, fee_plan=NONE)
    assert asked.rate is None
    assert (asked.numbers.simple_yield, asked.numbers.effective_yield, asked.numbers.seller_cost) == (None, None, None)
    assert quote(asked, Slices.of(asked), 45_000_00).expected_return == 50_000_00


def test_one_day_is_one_day_in_words() -> None:
    assert terms(LAKH, rate=TWELVE, days=1).day_count.startswith("1 day,")


def test_the_most_extreme_terms_have_a_price_and_no_arithmetic_error() -> None:
    deal = terms(MAX_MINOR, ask=1, days=1, fee_plan=NONE)
    assert deal.rate == 365
    assert deal.numbers.effective_yield is None
    assert quote(deal, Slices.of(deal), 1).expected_return == MAX_MINOR
    least = terms(1, ask=1, days=3650, fee_plan=NONE)
    assert least.discount == least.rate == least.numbers.effective_yield == 0


@pytest.mark.parametrize(
    ("field", "given"),
    [
        ("confirmed_amount", {"confirmed": 0, "rate": TWELVE}),
        ("confirmed_amount", {"confirmed": MAX_MINOR + 1, "rate": TWELVE}),
        ("confirmed_amount", {"confirmed": True, "rate": TWELVE}),
        ("haircut", {"haircut": Decimal(1), "rate": TWELVE}),
        ("haircut", {"haircut": Decimal("-0.0001"), "rate": TWELVE}),
        ("haircut", {"haircut": Decimal("NaN"), "rate": TWELVE}),
        ("haircut", {"confirmed": 1, "haircut": Decimal("0.6"), "rate": TWELVE}),
        ("discount_rate", {"rate": Decimal("1.0001")}),
        ("discount_rate", {"rate": Decimal("-0.0001")}),
        ("discount_rate", {"rate": Decimal("Infinity")}),
        ("discount_rate", {"rate": Decimal(1), "days": 365}),
        ("ask_amount", {"ask": 0}),
        ("ask_amount", {"ask": LAKH + 1}),
        ("ask_amount", {"ask": 80_000_01, "haircut": percent("20")}),
        ("ask_amount", {}),
        ("ask_amount", {"ask": LAKH, "rate": TWELVE}),
        ("due_date", {"rate": TWELVE, "days": -1}),
        ("due_date", {"rate": TWELVE, "days": 3651}),
        ("fee_plan", {"ask": 500_00, "fee_plan": STANDARD}),
        ("fee_plan", {"ask": 590_00, "fee_plan": STANDARD}),
    ],
)
def test_terms_that_make_no_sense_are_refused_by_the_name_of_their_field(field: str, given: dict[str, object]) -> None:
    with pytest.raises(Invalid) as refused:
        terms(**{"confirmed": LAKH, "days": 30, **given})  # type: ignore[arg-type]
    assert refused.value.field == field


def test_the_last_acceptable_terms_are_accepted() -> None:
    assert terms(LAKH, rate=Decimal(1), days=364, fee_plan=NONE).outlay == 273_97
    assert terms(LAKH, ask=80_000_00, haircut=percent("20"), days=30).discount == 0
    assert terms(LAKH, haircut=Decimal("0.9999"), rate=TWELVE, days=30).principal == 10_00
    # 500.00 for the fee, 90.00 for its GST, and one paisa for the seller.
    assert terms(LAKH, ask=590_01, days=30).seller_net == 1


@pytest.mark.parametrize("text", ["", "12%", "-1", "1e2", " 12", "1_0", "12.12345", "1000", "NaN", "१२", "12.", ".5"])
def test_percent_that_is_not_plain_is_refused(text: str) -> None:
    with pytest.raises(Invalid) as refused:
        percent(text, "haircut")
    assert refused.value.field == "haircut"


def test_percent_is_read_exactly() -> None:
    assert percent("10.9125") == Decimal("0.109125")
    assert percent("0") == 0
    assert percent("100") == 1


def test_more_than_is_left_is_refused_and_the_rest_is_not() -> None:
    slices = Slices.of(worked()).place(3_00_000_00)
    assert slices.outlay_left == 92_109_59
    for amount in (0, -1, 92_109_60, True):
        with pytest.raises(Invalid) as refused:
            slices.claim_for(amount)
        assert refused.value.field == "amount"
    assert slices.claim_for(92_109_59) == slices.claims_left
    for claim in (0, slices.claims_left + 1):
        with pytest.raises(Invalid):
            slices.outlay_of(claim)


def test_a_slice_that_was_taken_back_may_not_leave_the_next_one_less_than_it_paid() -> None:
    # Placed at more than the price: the slices before it were rounded, then one of them was taken back.
    with pytest.raises(Invalid):
        Slices(principal=100, discount=0, placed_outlay=9, placed_claims=10).claim_for(1)


def test_half_of_the_outlay_buys_half_of_the_claim() -> None:
    slices = Slices(principal=LAKH, discount=10_000_00)
    assert slices.claim_for(45_000_00) == 50_000_00
    assert slices.place(45_000_00).claim_for(45_000_00) == 50_000_00
    # A third does not come out even: the first paisa goes to the first.
    assert slices.claim_for(30_000_01) == 33_333_35


def test_the_claim_is_the_least_one_that_costs_the_outlay() -> None:
    """By trying every claim, for every small deal and every cumulative outlay."""
    for principal in range(1, 24):
        for discount in range(principal):
            for outlay in range(1, principal - discount + 1):
                costs = [claim - -(-discount * claim // principal) for claim in range(principal + 1)]
                assert Slices(principal, discount).claim_for(outlay) == costs.index(outlay)


def test_a_rate_does_not_depend_on_the_decimal_setting_of_the_thread() -> None:
    with decimal.localcontext() as context:
        context.prec = 3
        context.rounding = decimal.ROUND_UP
        assert worked() == worked()
        assert worked().numbers.seller_cost == Decimal("0.159992")
        assert worked().discount == 7_890_41
        assert terms(LAKH, ask=90_000_00, days=30, fee_plan=NONE).rate == Decimal("1.21666667")


faces = st.integers(1, 10**13)
rates = st.integers(0, 400_000).map(lambda number: Decimal(number).scaleb(-6))
haircuts = st.integers(0, 9_000).map(lambda number: Decimal(number).scaleb(-4))


@st.composite
def deals(draw: st.DrawFn) -> Terms:
    """Deals by rate and by ask, with and without fees, of a year at most; none so tiny that it is refused."""
    face, days = draw(st.integers(1_000, 10**13)), draw(st.integers(0, 365))
    haircut, plan = draw(haircuts), draw(st.sampled_from(sorted(FEE_PLANS)))
    if draw(st.booleans()):
        return terms(face, haircut=haircut, rate=draw(rates), days=days, fee_plan=FEE_PLANS[plan])
    principal = terms(face, haircut=haircut, rate=Decimal(0), days=days, fee_plan=NONE).principal
    ask = draw(st.integers(principal // 50 + 2, principal))
    return terms(face, haircut=haircut, ask=ask, days=days, fee_plan=FEE_PLANS[plan])


def check_lines(deal: Terms) -> None:
    """What holds for the lines of any price."""
    lines = (deal.discount, deal.outlay, deal.reserve, deal.fee, deal.gst, deal.seller_net)
    assert min(lines) >= 0
    assert deal.outlay > 0
    assert deal.principal + deal.reserve == deal.face
    assert deal.outlay + deal.discount == deal.principal
    assert deal.seller_net + deal.fee + deal.gst == deal.outlay
    if deal.rate is not None:
        exact = deal.principal * Fraction(deal.rate) * deal.days / 365
        # An implied rate is itself rounded to eight places.
        assert abs(deal.discount - exact) <= Fraction(1, 2) + Fraction(deal.principal * deal.days, 365 * 2 * 10**8)


def check_slices(deal: Terms, amounts: list[int]) -> None:
    """Quote and place the amounts, then the rest: all that was quoted adds up to the lines of the terms."""
    slices, quotes = Slices.of(deal), []
    for wanted in [*amounts, deal.outlay]:
        amount = min(wanted, slices.outlay_left)
        if amount == 0:
            break
        offered = quote(deal, slices, amount)
        after = slices.place(amount)
        assert (offered.outlay, offered.expected_return) == (
            after.placed_outlay - slices.placed_outlay,
            after.placed_claims - slices.placed_claims,
        )
        assert min(offered.profit, offered.fee, offered.gst) >= 0
        slices = after
        quotes.append(offered)
    for line, total in (
        ("outlay", deal.outlay),
        ("expected_return", deal.principal),
        ("profit", deal.discount),
        ("fee", deal.fee),
        ("gst", deal.gst),
        ("seller_net", deal.seller_net),
    ):
        assert sum(getattr(each, line) for each in quotes) == total


@given(deals(), st.lists(st.integers(1, 10**12), max_size=12))
@settings(max_examples=examples(300), deadline=None)
def test_what_is_quoted_in_any_slices_adds_up_to_the_terms(deal: Terms, amounts: list[int]) -> None:
    check_lines(deal)
    check_slices(deal, amounts)


@pytest.mark.long
def test_what_is_quoted_adds_up_over_a_hundred_thousand_deals() -> None:
    chance = random.Random(4)
    for _ in range(100_000):
        face = int(10 ** chance.uniform(3, 13))
        haircut = Decimal(chance.choice((0, 0, 1000, 2000, chance.randint(0, 9000)))).scaleb(-4)
        deal = terms(
            face,
            haircut=haircut,
            rate=Decimal(chance.randint(0, 40_0000)).scaleb(-6),
            days=chance.randint(0, 365),
            fee_plan=chance.choice((NONE, STANDARD)),
        )
        check_lines(deal)
        check_slices(deal, [max(1, int(deal.outlay * chance.random() ** 2)) for _ in range(chance.randint(0, 6))])


@given(deals(), st.data())
@settings(deadline=None)
def test_the_outlay_of_a_claim_and_the_claim_of_an_outlay_are_each_others_inverse(
    deal: Terms, data: st.DataObject
) -> None:
    slices = Slices.of(deal)
    outlay = data.draw(st.integers(1, deal.outlay))
    assert slices.outlay_of(slices.claim_for(outlay)) == outlay
    claim = data.draw(st.integers(1, deal.principal))
    paid = slices.outlay_of(claim)
    if paid:
        assert slices.claim_for(paid) <= claim


@given(faces, haircuts, rates, rates, st.integers(0, 365), st.integers(0, 365))
def test_a_higher_rate_and_a_longer_time_never_cost_less(
    face: int, haircut: Decimal, rate: Decimal, other: Decimal, days: int, more: int
) -> None:
    def cost(at: Decimal, over: int) -> int:
        return face - terms(face, haircut=Decimal(0), rate=at, days=over, fee_plan=NONE).outlay

    low, high = sorted((rate, other))
    short, long = sorted((days, more))
    try:
        assert cost(low, short) <= cost(high, short) <= cost(high, long)
    except Invalid:
        assert face < 10  # A discount that rounds to all of a few paise is refused.


@given(st.integers(1, 10**12), st.integers(1, 365), rates)
def test_the_simple_yield_is_the_formula_of_the_rules_up_to_the_rounding_of_money(
    principal: int, days: int, rate: Decimal
) -> None:
    principal += 10**8
    deal = terms(principal, rate=rate, days=days, fee_plan=NONE)
    formula = Fraction(rate) / (1 - Fraction(rate) * days / 365)
    assert deal.numbers.simple_yield is not None
    assert abs(Fraction(deal.numbers.simple_yield) - formula) < Fraction(1, 10**5)
    assert deal.numbers.seller_cost == deal.numbers.simple_yield


@given(st.integers(1, 10**9), st.integers(0, 10**9), st.integers(1, 3650))
def test_an_implied_rate_gives_its_discount_back(principal: int, discount: int, days: int) -> None:
    discount = min(discount, principal - 1)
    rate = implied_rate(principal, discount, days)
    assert rate is not None
    assert abs(half_up(Fraction(rate) * principal * days / 365) - discount) <= 1 + principal * days // 10**10


def test_the_terms_of_a_clearing_are_those_of_its_discount() -> None:
    """Twenty lakh at a uniform 11.75 % for 60 days: the rate stays the auction's, the lines are the posted ones."""
    deal = priced(25 * LAKH, 20 * LAKH, 38_630_14, percent("11.75"), days=60, fee_plan=STANDARD)
    assert (deal.outlay, deal.reserve, deal.rate) == (19_61_369_86, 5 * LAKH, Decimal("0.1175"))
    assert (deal.fee, deal.gst, deal.seller_net) == (10_000_00, 1_800_00, 19_49_569_86)
    with pytest.raises(Invalid):
        priced(LAKH, LAKH, LAKH - 1, None, days=60, fee_plan=STANDARD)


@given(st.fractions(0, 10**6))
def test_half_up_is_what_decimal_calls_half_up(value: Fraction) -> None:
    with decimal.localcontext() as context:
        context.prec = 60
        exact = Decimal(value.numerator) / value.denominator
        expected = int(exact.quantize(Decimal(1), rounding=decimal.ROUND_HALF_UP))
    assert half_up(value) == expected


@pytest.mark.parametrize(("value", "whole"), [("0.5", 1), ("1.5", 2), ("2.5", 3), ("2.4999", 2), ("0", 0), ("-0.5", 0)])
def test_halves_are_rounded_up(value: str, whole: int) -> None:
    assert half_up(Decimal(value)) == whole


@given(st.integers(0, 10**12), st.lists(st.integers(0, 10**9), min_size=1, max_size=20))
def test_a_split_adds_up_and_nobody_is_off_by_a_whole_unit(total: int, weights: list[int]) -> None:
    if not any(weights):
        total = 0
    parts = split(total, weights)
    assert sum(parts) == total
    for part, weight in zip(parts, weights, strict=True):
        assert abs(part - Fraction(total * weight, sum(weights) or 1)) < 1
        assert weight > 0 or part == 0


@given(st.integers(0, 10**6), st.lists(st.integers(1, 1000), min_size=2, max_size=8), st.data())
def test_a_larger_weight_never_gets_less_and_ties_go_to_the_earlier(
    total: int, weights: list[int], data: st.DataObject
) -> None:
    parts = split(total, weights)
    first, second = sorted(data.draw(st.lists(st.integers(0, len(weights) - 1), min_size=2, max_size=2)))
    if weights[first] >= weights[second]:
        assert parts[first] >= parts[second]


def test_a_split_that_cannot_be_is_refused() -> None:
    for total, weights in ((1, [0, 0]), (-1, [1]), (1, [2, -1]), (1, [])):
        with pytest.raises(Invalid):
            split(total, weights)
    assert split(0, []) == []


def test_the_yield_of_several_receipts_is_the_rate_at_which_they_are_worth_the_outlay() -> None:
    one = yields.effective(3_92_109_59, 4_02_958_90, 75)
    assert yields.realised(3_92_109_59, [(75, 4_00_000_00), (75, 2_958_90)]) == one
    # 10 % a year, exactly: 110 after one year, 121 after two.
    assert yields.realised(200_00, [(365, 110_00), (730, 121_00)]) == Decimal("0.1")
    assert yields.realised(100_00, [(10, 0)]) == -1
    assert yields.realised(100_00, []) == -1
    assert yields.realised(100_00, [(0, 100_00)]) is None
    assert yields.realised(100_00, [(1, 10**12), (2, 10**12)]) is None
