"""From invoices to figures."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from core.risk import summary
from core.risk.facts import Sale
from core.risk.patterns import adjacent_share, gaps, limit_above, reversals
from core.risk.summary import Ledger
from core.risk.weights import CURRENT
from tests.core.risk.worked import TODAY, day, quiet

SUBJECT = Sale(id="s", number="INV-2026-0100", buyer="rao", issued=TODAY, due=TODAY + timedelta(days=30), amount=1000)


def sale(back: int, number: int, **changes: object) -> Sale:
    made = replace(
        SUBJECT,
        id=f"o{number}",
        number=f"INV-2026-{number:04d}",
        issued=day(back),
        due=day(back) + timedelta(days=30),
    )
    return replace(made, **changes)  # type: ignore[arg-type]


def books(*others: Sale, subject: Sale = SUBJECT) -> Ledger:
    return Ledger(subject=subject, others=others, today=TODAY)


def test_a_number_has_a_series_and_a_place() -> None:
    assert summary.number_in_series("INV-2026-0042") == ("INV-2026-", 42)
    assert summary.number_in_series("42/26-A") == ("42/", 26)
    assert summary.number_in_series("draft") is None


def test_weeks_are_seven_days_back_from_today_and_thirteen_must_be_known() -> None:
    found = summary.velocity(books(sale(6, 99), sale(7, 98), sale(20, 97, void=True), sale(91, 1, amount=5)))
    assert found is not None
    assert (found.count, found.value) == (2, 2000)
    assert (found.counts, sum(found.values)) == ((1, *(0,) * 11, 1), 1005)
    assert summary.velocity(books(sale(90, 1))) is None


def test_only_the_invoice_that_breaks_the_order_answers_for_it() -> None:
    others = [sale(40, 96), sale(30, 97), sale(20, 98), sale(10, 99)]
    guilty = summary.fill(quiet(), books(*others, subject=replace(SUBJECT, issued=day(35))))
    assert reversals(guilty.series, CURRENT.reversal_days) == [(99, 100)]
    others[1] = replace(others[1], issued=day(60))
    innocent = summary.fill(quiet(), books(*others))
    assert reversals(innocent.series, CURRENT.reversal_days) == []


def test_another_series_is_no_gap() -> None:
    mixed = summary.fill(quiet(), books(sale(3, 99), replace(sale(2, 7), number="EXP-7"), sale(1, 98)))
    assert [number for number, _ in mixed.series] == [98, 99, 100]
    assert gaps(mixed.series) == 0


def test_gaps_and_neighbours() -> None:
    assert gaps(((1, TODAY), (4, TODAY))) == 0.5
    assert adjacent_share((1, 2, 9)) == 2 / 3
    assert adjacent_share(()) == 0


def test_an_amount_is_near_a_limit_from_95_percent_to_just_under_it() -> None:
    near = [limit_above(amount, CURRENT) for amount in (94_999_99, 95_000_00, 99_999_99, 1_00_000_00)]
    assert near == [None, 1_00_000_00, 1_00_000_00, None]


def test_concentration_looks_at_90_days_and_counts_this_invoice() -> None:
    found = summary.fill(quiet(), books(sale(89, 1, buyer="b", amount=500), sale(90, 2, buyer="c", amount=700)))
    assert found.sales_by_buyer == (1000, 500)


def test_round_amounts_of_the_pair_stand_against_the_sellers_others() -> None:
    others = [sale(5, 90, amount=2_000_00), sale(5, 91, amount=2_000_01), sale(5, 92, buyer="b", amount=3_000_00)]
    found = summary.fill(quiet(), books(*others, sale(200, 1, amount=1_000_00)))
    assert (found.round_recent.hits, found.round_recent.whole) == (1, 3)
    assert (found.round_base.hits, found.round_base.whole) == (1, 1)


def test_dilution_is_what_was_credited_or_left_of_a_part_payment() -> None:
    credited = sale(100, 1, paid_on=day(60), credited=100)
    short = sale(100, 2, paid=700)
    # Not yet late enough, never paid at all, taken back, too old: none of them is dilution.
    waiting, unpaid = sale(40, 3, paid=700), sale(100, 4)
    others = (credited, short, waiting, unpaid, sale(100, 5, void=True, credited=9), sale(400, 6, credited=9))
    assert summary.diluted(others, TODAY) == (400, 3000)


def test_the_same_content_is_no_new_date_while_the_earlier_is_paid_or_not_long_due() -> None:
    same = {"content": "rent"}
    subject = replace(SUBJECT, **same)  # type: ignore[arg-type]
    paid, open_, little = sale(60, 1, paid_on=day(30), **same), sale(20, 2, **same), sale(44, 3, **same)
    assert summary.redated(books(paid, open_, little, subject=subject)) == ()
    overdue, void = sale(46, 4, **same), sale(20, 5, void=True, **same)
    found = summary.redated(books(overdue, void, sale(46, 6, content="other"), subject=subject))
    assert [one.invoice_id for one in found] == ["o4", "o5"]


def test_tenors_are_the_pairs_when_there_are_five_and_else_the_sellers() -> None:
    others = [sale(back, back, buyer="b", due=day(back) + timedelta(days=60)) for back in range(1, 9)]
    assert summary.fill(quiet(), books(*others)).tenors == (60,) * 8
    pair = [sale(back, 50 + back) for back in range(1, 6)]
    assert summary.fill(quiet(), books(*others, *pair)).tenors == (30,) * 5
