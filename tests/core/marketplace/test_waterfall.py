"""Where receipts go: the worked rows to the paisa, late interest, recourse, and what holds for every receipt."""

from __future__ import annotations

from datetime import date, timedelta
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.errors import Invalid
from core.marketplace import yields
from core.marketplace.waterfall import (
    ORDER,
    Bucket,
    Owed,
    Recourse,
    Split,
    enforcement_cost,
    late_interest,
    late_room,
    repurchase,
    run,
    shares,
)
from tests.budget import examples

LAKH = 1_00_000_00
FACE, PRINCIPAL, RESERVE = 5 * LAKH, 4 * LAKH, LAKH
OUTLAY = 3_92_109_59
DUE = date(2026, 1, 13)
SLICES = [1_50_000_00, 1_50_000_00, 1_00_000_00]
LATE_15 = 2_958_90


def receive(
    amount: int, recourse: Recourse = Recourse.RESERVE, *, principal: int = PRINCIPAL, interest: int = LATE_15
) -> Split:
    """The first receipt of the worked financing, 15 days late."""
    owed = Owed(late_interest=interest, principal=principal, seller=FACE - principal)
    room = late_room(face=FACE, principal=principal, received=amount, costs=0, lateness_paid=0, recourse=recourse)
    return run(amount, owed, late_room=room)


def test_fifteen_days_late_cost_the_worked_interest() -> None:
    assert late_interest(PRINCIPAL, DUE, DUE, DUE + timedelta(days=15)) == LATE_15


@pytest.mark.parametrize(
    ("amount", "interest", "principal", "seller", "owed"),
    [
        (5_00_000_00, LATE_15, 4_00_000_00, 97_041_10, 0),
        (4_60_000_00, LATE_15, 4_00_000_00, 57_041_10, 0),
        (3_50_000_00, LATE_15, 3_47_041_10, 0, 52_958_90),
    ],
)
def test_the_worked_rows_to_the_paisa(amount: int, interest: int, principal: int, seller: int, owed: int) -> None:
    result = receive(amount)
    assert (result.paid.late_interest, result.paid.principal, result.paid.seller) == (interest, principal, seller)
    assert (result.surplus, result.left.principal + result.left.late_interest) == (0, owed)
    assert result.repaid is (owed == 0)
    assert result.investors == interest + principal


def test_the_three_investors_of_the_short_row_share_to_the_paisa() -> None:
    assert shares(3_47_041_10, SLICES, SLICES) == [1_30_140_41, 1_30_140_41, 86_760_28]
    assert shares(LATE_15, SLICES, SLICES) == [1_109_59, 1_109_59, 739_72]


@pytest.mark.parametrize(
    ("received", "days", "percent"),
    [
        (4_00_000_00, 60, "12.885"),
        (4_00_000_00, 75, "10.18"),
        (4_02_958_90, 75, "14.21"),
        (3_50_000_00, 75, "-42.5"),
    ],
)
def test_the_worked_yields_that_investors_realise(received: int, days: int, percent: str) -> None:
    found = yields.effective(OUTLAY, received, days)
    assert found is not None
    assert (found * 100).quantize(Decimal(percent)) == Decimal(percent)


def test_what_a_short_payment_left_is_paid_by_the_next_one() -> None:
    first = receive(3_50_000_00)
    more = late_interest(first.left.principal, DUE, DUE + timedelta(days=15), DUE + timedelta(days=30))
    assert more == 391_75  # 52,958.90 at 18 % for 15 days.
    owed = Owed(late_interest=first.left.late_interest + more, principal=first.left.principal, seller=first.left.seller)
    room = late_room(
        face=FACE,
        principal=PRINCIPAL,
        received=FACE,
        costs=0,
        lateness_paid=first.paid.late_interest,
        recourse=Recourse.RESERVE,
    )
    second = run(1_50_000_00, owed, late_room=room)
    assert (second.paid.late_interest, second.paid.principal, second.paid.seller) == (391_75, 52_958_90, 96_649_35)
    assert second.repaid


def test_a_financing_without_haircut_that_is_paid_in_full_but_late_is_repaid() -> None:
    result = receive(FACE, principal=FACE, interest=3_698_63)
    assert (result.paid.principal, result.paid.late_interest) == (FACE, 0)
    assert result.repaid
    assert result.left.late_interest == 3_698_63


def test_what_is_paid_over_the_face_pays_late_interest_first_and_the_rest_is_surplus() -> None:
    result = receive(FACE + 5_000_00, principal=FACE, interest=3_698_63)
    assert (result.paid.principal, result.paid.late_interest, result.surplus) == (FACE, 3_698_63, 1_301_37)


def test_without_recourse_the_reserve_bears_no_late_interest_and_only_the_buyer_can_pay_it() -> None:
    full = receive(FACE, Recourse.NONE)
    assert (full.paid.late_interest, full.paid.principal, full.paid.seller) == (0, PRINCIPAL, RESERVE)
    over = receive(FACE + 1_000_00, Recourse.NONE)
    assert (over.paid.late_interest, over.paid.principal, over.paid.seller) == (1_000_00, PRINCIPAL, RESERVE)
    short = receive(3_50_000_00, Recourse.NONE)
    assert (short.paid.late_interest, short.paid.principal) == (0, 3_50_000_00)


def test_only_recourse_lets_the_reserve_bear_lateness_and_only_full_recourse_buys_back() -> None:
    assert [mode.reserve_bears_lateness for mode in Recourse] == [False, True, True]
    assert [mode.seller_repurchases for mode in Recourse] == [False, False, True]


def test_a_repurchase_pays_the_investors_all_they_are_owed() -> None:
    left = receive(3_50_000_00, Recourse.FULL).left
    price = repurchase(left)
    assert price == 52_958_90
    bought = run(price, left)
    assert (bought.repaid, bought.surplus, bought.paid.seller) == (True, 0, 0)


def test_charges_and_enforcement_come_first_and_leave_lateness_less_room() -> None:
    """A reserve of 1,000.00, of which 600.00 go to charges: interest gets the other 400.00, and no principal."""
    owed = Owed(charges=500_00, enforcement_cost=100_00, late_interest=800_00, principal=99_000_00, seller=1_000_00)
    room = late_room(
        face=LAKH, principal=99_000_00, received=LAKH, costs=600_00, lateness_paid=0, recourse=Recourse.RESERVE
    )
    result = run(LAKH, owed, late_room=room)
    assert (result.paid.charges, result.paid.enforcement_cost, result.paid.late_interest) == (500_00, 100_00, 400_00)
    assert result.repaid
    assert result.paid.seller == 0


def test_the_platforms_late_fee_stands_behind_the_principal_and_before_the_reserve() -> None:
    owed = Owed(late_interest=LATE_15, principal=PRINCIPAL, late_fee=500_00, seller=RESERVE)
    assert run(LATE_15 + PRINCIPAL, owed).paid.late_fee == 0
    result = run(LATE_15 + PRINCIPAL + 600_00, owed)
    assert (result.paid.late_fee, result.paid.seller) == (500_00, 100_00)


def test_the_order_is_that_of_the_rules() -> None:
    assert [bucket.value for bucket in ORDER] == [
        "charges",
        "enforcement_cost",
        "late_interest",
        "principal",
        "late_fee",
        "seller",
    ]


def test_late_interest_counts_from_the_day_after_the_due_date_and_no_day_twice() -> None:
    assert late_interest(PRINCIPAL, DUE, DUE, DUE) == 0
    assert late_interest(PRINCIPAL, DUE, DUE, DUE - timedelta(days=9)) == 0
    assert late_interest(PRINCIPAL, DUE, DUE, DUE + timedelta(days=1)) == 197_26
    # A receipt before the due date does not begin the counting.
    assert late_interest(PRINCIPAL, DUE, DUE - timedelta(days=9), DUE + timedelta(days=1)) == 197_26
    assert late_interest(PRINCIPAL, DUE, DUE + timedelta(days=1), DUE + timedelta(days=1)) == 0
    assert late_interest(0, DUE, DUE, DUE + timedelta(days=90)) == 0


def test_enforcement_cost_is_capped() -> None:
    assert enforcement_cost(10_000_00, PRINCIPAL) == 10_000_00
    assert enforcement_cost(30_000_00, PRINCIPAL) == 20_000_00


def test_late_interest_that_comes_after_the_principal_is_shared_by_what_was_bought() -> None:
    assert shares(8_00, [0, 0, 0], SLICES) == [3_00, 3_00, 2_00]


def test_amounts_below_nothing_are_refused() -> None:
    with pytest.raises(Invalid):
        run(-1, Owed())
    with pytest.raises(Invalid) as refused:
        Owed(principal=-1)
    assert refused.value.field == "principal"
    with pytest.raises(Invalid):
        Owed(seller=True)


amounts = st.integers(0, 10**12)
debts = st.builds(
    Owed,
    charges=amounts,
    enforcement_cost=amounts,
    late_interest=amounts,
    principal=amounts,
    late_fee=amounts,
    seller=amounts,
)


@given(st.integers(0, 10**13), debts, st.none() | amounts)
def test_every_receipt_adds_up_and_no_line_is_negative_or_more_than_owed(
    amount: int, owed: Owed, room: int | None
) -> None:
    result = run(amount, owed, late_room=room)
    assert result.paid.total + result.surplus == amount
    for bucket in ORDER:
        assert result.paid[bucket] + result.left[bucket] == owed[bucket]
        assert result.paid[bucket] >= 0
    if room is not None:
        assert result.paid.late_interest + result.paid.late_fee <= room
    # Nobody behind is paid while somebody before, with room, is still owed.
    waiting = False
    for bucket in ORDER:
        assert not (waiting and result.paid[bucket])
        held_back = bucket in {Bucket.LATE_INTEREST, Bucket.LATE_FEE} and room is not None
        waiting = waiting or (result.left[bucket] > 0 and not held_back)
    assert result.surplus == 0 or not waiting


@given(st.integers(0, 10**12), st.integers(0, 10**12), debts)
def test_a_larger_receipt_never_gives_anybody_less(amount: int, more: int, owed: Owed) -> None:
    small, large = run(amount, owed), run(amount + more, owed)
    for bucket in ORDER:
        assert large.paid[bucket] >= small.paid[bucket]
    assert large.surplus >= small.surplus


@given(st.lists(st.integers(0, 10**9), max_size=8), debts)
def test_many_receipts_pay_what_one_of_their_sum_pays(parts: list[int], owed: Owed) -> None:
    left, paid, surplus = owed, dict.fromkeys(ORDER, 0), 0
    for part in parts:
        result = run(part, left)
        left, surplus = result.left, surplus + result.surplus
        paid = {bucket: paid[bucket] + result.paid[bucket] for bucket in ORDER}
    whole = run(sum(parts), owed)
    assert (left, surplus) == (whole.left, whole.surplus)
    assert paid == {bucket: whole.paid[bucket] for bucket in ORDER}


@given(
    st.integers(1, 10**11),
    st.integers(0, 10**11),
    st.lists(st.tuples(st.integers(1, 10**11), st.integers(0, 200)), min_size=1, max_size=6),
    st.sampled_from(Recourse),
    st.lists(st.integers(1, 100), min_size=1, max_size=5),
)
@settings(max_examples=examples(200), deadline=None)
def test_a_financing_paid_in_any_parts_at_any_time_is_repaid_when_its_face_is_paid(
    principal: int, reserve: int, receipts: list[tuple[int, int]], recourse: Recourse, weights: list[int]
) -> None:
    """Receipts of any size on any days, then the rest of the face: investors are whole, each to the last unit."""
    face = principal + reserve
    bought = shares(principal, weights, weights)
    outstanding = list(bought)
    owed, received, lateness, day, seller = Owed(principal=principal, seller=reserve), 0, 0, 0, 0
    parts = [*receipts, (0, 5)]
    for place, (amount, wait) in enumerate(parts):
        given_amount = max(0, face - received) if place == len(parts) - 1 else amount
        interest = late_interest(owed.principal, DUE, DUE + timedelta(day), DUE + timedelta(day + wait))
        day += wait
        received += given_amount
        owed = Owed(late_interest=owed.late_interest + interest, principal=owed.principal, seller=owed.seller)
        room = late_room(
            face=face, principal=principal, received=received, costs=0, lateness_paid=lateness, recourse=recourse
        )
        result = run(given_amount, owed, late_room=room)
        outstanding = [
            had - got for had, got in zip(outstanding, shares(result.paid.principal, outstanding, bought), strict=True)
        ]
        assert min(outstanding) >= 0
        assert sum(outstanding) == result.left.principal
        lateness += result.paid.late_interest
        seller += result.paid.seller
        owed = result.left
    assert owed.principal == 0
    assert outstanding == [0] * len(bought)
    if recourse is Recourse.NONE:
        assert seller == reserve
    if received == face:
        assert seller == reserve - lateness
