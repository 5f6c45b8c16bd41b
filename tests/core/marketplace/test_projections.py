"""What if: on time, late, short and in default, before anybody pays."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.errors import Invalid
from core.marketplace.pricing import NONE, Terms, percent, terms
from core.marketplace.projections import (
    Case,
    Holder,
    cases,
    default,
    expected_loss,
    late,
    on_time,
    project,
    short,
)
from core.marketplace.waterfall import Recourse
from tests.budget import examples

LAKH = 1_00_000_00
HOLDERS = [
    Holder(outlay=1_47_041_09, claim=1_50_000_00),
    Holder(outlay=1_47_041_10, claim=1_50_000_00),
    Holder(outlay=98_027_40, claim=1_00_000_00),
]


def worked() -> Terms:
    return terms(5 * LAKH, haircut=percent("20"), rate=percent("12"), days=60)


def close(found: Decimal | None, expected: str) -> bool:
    """Whether a rate is this many percent, to the places it is written with."""
    return found is not None and (found * 100).quantize(Decimal(expected)) == Decimal(expected)


def test_on_time_the_investors_earn_the_discount_and_the_seller_keeps_the_reserve() -> None:
    outcome = project(worked(), on_time(worked()), HOLDERS)
    assert [result.profit for result in outcome.investors] == [2_958_91, 2_958_90, 1_972_60]
    assert close(outcome.total.realised_yield, "12.885")
    assert outcome.total.profit == 7_890_41
    assert outcome.seller == 3_89_749_59 + 1_00_000_00


def test_fifteen_days_late_the_worked_interest_raises_the_yield_and_comes_from_the_reserve() -> None:
    outcome = project(worked(), late(worked(), 15), HOLDERS)
    assert outcome.late_interest == 2_958_90
    assert [result.late_interest for result in outcome.investors] == [1_109_59, 1_109_59, 739_72]
    assert close(outcome.total.realised_yield, "14.21")
    assert outcome.seller == 3_89_749_59 + 97_041_10


def test_fifteen_days_late_without_late_interest_the_yield_falls() -> None:
    for outcome in (
        project(worked(), late(worked(), 15), recourse=Recourse.NONE),
        project(worked(), late(worked(), 15), late_rate=Decimal(0)),
    ):
        assert close(outcome.total.realised_yield, "10.18")
        assert outcome.seller == 3_89_749_59 + 1_00_000_00


def test_thirty_percent_short_and_late_loses_the_worked_part() -> None:
    outcome = project(worked(), short(worked(), percent("30"), late_days=15), HOLDERS)
    assert outcome.case.paid == 3_50_000_00
    assert [result.principal for result in outcome.investors] == [1_30_140_41, 1_30_140_41, 86_760_28]
    assert close(outcome.total.realised_yield, "-42.5")
    assert outcome.seller == 3_89_749_59


def test_default_with_a_recovery_of_forty_percent() -> None:
    outcome = project(worked(), default(worked(), percent("40")), HOLDERS)
    assert outcome.case.paid == outcome.total.received == 1_60_000_00
    assert outcome.total.profit == 1_60_000_00 - 3_92_109_59
    assert (outcome.repurchased, outcome.seller) == (0, 3_89_749_59)
    # By hand: 1,60,000 of 3,92,109.59 is 0.40805, which over 150 days is 0.1129 a year.
    assert close(outcome.total.realised_yield, "-88.71")


def test_default_with_full_recourse_makes_the_seller_pay_what_is_missing() -> None:
    outcome = project(worked(), default(worked(), percent("40")), HOLDERS, recourse=Recourse.FULL)
    assert outcome.late_interest == 17_753_42  # 90 days at 18 %.
    assert outcome.repurchased == 4_00_000_00 + 17_753_42 - 1_60_000_00
    assert outcome.total.received == 4_17_753_42
    assert [result.principal for result in outcome.investors] == [1_50_000_00, 1_50_000_00, 1_00_000_00]
    assert outcome.seller == 3_89_749_59 - outcome.repurchased


def test_full_recourse_buys_nothing_back_before_default() -> None:
    outcome = project(worked(), short(worked(), percent("30"), late_days=15), recourse=Recourse.FULL)
    assert (outcome.repurchased, outcome.total.received) == (0, 3_50_000_00)


def test_a_default_with_nothing_recovered_loses_everything() -> None:
    outcome = project(worked(), default(worked(), Decimal(0)), HOLDERS)
    assert outcome.total.received == 0
    assert {result.realised_yield for result in outcome.investors} == {Decimal(-1)}


def test_one_holder_of_a_part_gets_the_part_and_no_more() -> None:
    outcome = project(worked(), on_time(worked()), HOLDERS[:1])
    assert [result.received for result in outcome.investors] == [1_50_000_00]
    with pytest.raises(Invalid):
        project(worked(), on_time(worked()), [*HOLDERS, Holder(outlay=1, claim=1)])


def test_the_cases_that_are_shown() -> None:
    shown = cases(worked())
    assert [case.name for case in shown] == ["on_time", "late_15", "late_30", "late_60", "short", "default"]
    assert [case.late_days for case in shown] == [0, 15, 30, 60, 0, 90]
    assert [case.paid for case in shown[:5]] == [5 * LAKH] * 4 + [4_50_000_00]


def test_a_lakh_for_ninety_thousand_paid_on_time_or_late_returns_at_least_a_lakh() -> None:
    deal = terms(LAKH, ask=90_000_00, days=30, fee_plan=NONE)
    for case in cases(deal)[:4]:
        outcome = project(deal, case)
        # Without a haircut there is no reserve that could pay for lateness.
        assert (outcome.total.received, outcome.total.profit) == (LAKH, 10_000_00)
        assert outcome.seller == 90_000_00


def test_the_expected_loss_stands_beside_the_discount() -> None:
    found = expected_loss(worked(), percent("2"), percent("60"))
    assert (found.loss, found.discount, found.margin) == (4_800_00, 7_890_41, 3_090_41)
    assert expected_loss(worked(), percent("4"), percent("60")).margin < 0
    for wrong in (Decimal("1.01"), Decimal(-1), Decimal("NaN")):
        with pytest.raises(Invalid):
            expected_loss(worked(), wrong, Decimal(0))


def test_cases_outside_0_to_100_percent_are_refused() -> None:
    for make in (short, default):
        for wrong in (Decimal("1.01"), Decimal(-1), Decimal("NaN")):
            with pytest.raises(Invalid):
                make(worked(), wrong)


@given(
    st.integers(1_000, 10**12),
    st.integers(0, 90).map(lambda number: Decimal(number) / 100),
    st.integers(0, 120),
    st.integers(0, 400),
    st.integers(0, 120).map(lambda number: Decimal(number) / 100),
    st.booleans(),
    st.sampled_from(Recourse),
)
@settings(max_examples=examples(150), deadline=None)
def test_all_that_is_paid_reaches_somebody(
    face: int, haircut: Decimal, days: int, late_days: int, paid: Decimal, defaulted: bool, recourse: Recourse
) -> None:
    deal = terms(face, haircut=haircut, rate=percent("12"), days=days, fee_plan=NONE)
    case = Case(name="any", late_days=late_days, paid=int(face * paid), defaulted=defaulted)
    outcome = project(deal, case, [Holder(outlay=deal.outlay, claim=deal.principal)], recourse=recourse)
    assert outcome.investors == (outcome.total,)
    # What the buyer paid and the investors advanced is what investors and seller have, and the payer's surplus.
    assert case.paid + deal.outlay == outcome.total.received + outcome.seller + outcome.split.surplus
    assert outcome.total.principal <= deal.principal
    if recourse is Recourse.FULL and defaulted:
        assert outcome.total.principal == deal.principal
    if paid >= 1:
        assert outcome.total.principal == deal.principal
