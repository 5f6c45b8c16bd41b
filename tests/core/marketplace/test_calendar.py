"""Working days, and the dates of a financing."""

from __future__ import annotations

from datetime import date, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.marketplace.calendar import Bucket, Calendar, Settlement

INDIA = Calendar()
FRIDAY, MONDAY = date(2025, 11, 14), date(2025, 11, 17)
DUE = date(2026, 1, 13)  # A Tuesday.

days = st.dates(date(2000, 1, 1), date(2199, 12, 1))
calendars = st.builds(Calendar, st.frozensets(st.dates(date(2026, 1, 1), date(2026, 3, 31)), max_size=40))


def test_a_bid_accepted_on_friday_settles_on_monday_and_runs_57_days() -> None:
    value_date = INDIA.value_date(FRIDAY, Settlement.T1)
    assert value_date == INDIA.settlement_day(FRIDAY, Settlement.T1) == MONDAY
    assert INDIA.days(value_date, DUE) == 57


def test_instant_settlement_is_on_the_same_day_even_on_a_sunday() -> None:
    assert INDIA.settlement_day(date(2025, 11, 16), Settlement.INSTANT) == date(2025, 11, 16)
    assert INDIA.settlement_day(date(2025, 11, 16), Settlement.T1) == MONDAY


@pytest.mark.parametrize(
    ("given_day", "moved"),
    [
        (DUE, DUE),
        (date(2026, 1, 10), date(2026, 1, 12)),  # Saturday.
        (date(2026, 1, 11), date(2026, 1, 12)),  # Sunday.
        (date(2026, 1, 26), date(2026, 1, 27)),  # Republic Day, a Monday.
        (date(2025, 8, 15), date(2025, 8, 18)),  # Independence Day, a Friday before a weekend.
        (date(2026, 10, 2), date(2026, 10, 5)),  # Gandhi's birthday, a Friday.
    ],
)
def test_a_due_date_that_is_no_working_day_moves_and_the_days_use_the_moved_one(given_day: date, moved: date) -> None:
    assert INDIA.due(given_day) == moved
    assert INDIA.days(given_day - timedelta(days=20), given_day) == (moved - given_day).days + 20


def test_given_holidays_are_no_working_days() -> None:
    diwali = Calendar(frozenset({date(2025, 10, 20), date(2025, 10, 21)}))
    assert diwali.due(date(2025, 10, 18)) == date(2025, 10, 22)
    assert INDIA.due(date(2025, 10, 18)) == date(2025, 10, 20)


def test_working_days_are_added_over_weekends_and_none_added_is_the_day_itself() -> None:
    assert INDIA.add_business_days(FRIDAY, 1) == MONDAY
    assert INDIA.add_business_days(FRIDAY, 6) == date(2025, 11, 24)
    assert INDIA.add_business_days(date(2025, 11, 15), 0) == date(2025, 11, 15)


def test_a_due_date_in_the_past_gives_negative_days_and_the_same_day_none() -> None:
    assert INDIA.days(DUE, DUE) == 0
    assert INDIA.days(DUE + timedelta(days=1), DUE) == -1


def test_grace_is_three_working_days_after_the_moved_due_date() -> None:
    assert INDIA.grace_end(DUE) == date(2026, 1, 16)
    # Due on a Saturday: Monday, and three working days after that.
    assert INDIA.grace_end(date(2026, 1, 10)) == date(2026, 1, 15)
    # Due on the Thursday before Republic Day: Friday, Tuesday, Wednesday.
    assert INDIA.grace_end(date(2026, 1, 22)) == date(2026, 1, 28)


def test_watch_and_default_are_30_and_90_days_after_the_moved_due_date() -> None:
    assert INDIA.watch_day(date(2026, 1, 10)) == date(2026, 1, 12) + timedelta(days=30)
    assert INDIA.default_day(date(2026, 1, 10)) == date(2026, 4, 12)


@pytest.mark.parametrize(
    ("past", "bucket"),
    [
        (-5, Bucket.CURRENT),
        (0, Bucket.CURRENT),
        (1, Bucket.TO_30),
        (30, Bucket.TO_30),
        (31, Bucket.TO_60),
        (60, Bucket.TO_60),
        (61, Bucket.TO_90),
        (90, Bucket.TO_90),
        (91, Bucket.OVER_90),
    ],
)
def test_overdue_buckets_begin_and_end_where_they_say(past: int, bucket: Bucket) -> None:
    assert INDIA.bucket(DUE, DUE + timedelta(days=past)) is bucket
    assert INDIA.days_past_due(DUE, DUE + timedelta(days=past)) == max(0, past)


def test_a_payment_on_the_moved_due_date_is_not_late() -> None:
    assert INDIA.days_past_due(date(2026, 1, 10), date(2026, 1, 12)) == 0
    assert INDIA.bucket(date(2026, 1, 10), date(2026, 1, 12)) is Bucket.CURRENT


@given(days)
def test_the_next_working_day_is_the_first_after_the_day(day: date) -> None:
    found = INDIA.next_business_day(day)
    assert found > day
    assert INDIA.is_business_day(found)
    between = (day + timedelta(days=number) for number in range(1, (found - day).days))
    assert not any(INDIA.is_business_day(each) for each in between)


@given(calendars, st.dates(date(2026, 1, 1), date(2026, 3, 31)))
def test_moving_a_due_date_twice_changes_nothing(calendar: Calendar, day: date) -> None:
    moved = calendar.due(day)
    assert calendar.due(moved) == moved >= day
    assert calendar.grace_end(moved) == calendar.grace_end(day) > moved
    assert calendar.default_day(moved) == calendar.default_day(day)


@given(calendars, st.dates(date(2026, 1, 1), date(2026, 3, 31)), st.integers(0, 10), st.integers(0, 10))
def test_working_days_add_up(calendar: Calendar, day: date, first: int, second: int) -> None:
    assert calendar.add_business_days(calendar.add_business_days(day, first), second) == calendar.add_business_days(
        day, first + second
    )
