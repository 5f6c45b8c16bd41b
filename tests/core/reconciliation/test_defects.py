"""The tests of the engine have teeth: one rule at a time is spoiled, and the test that is named for it must fail."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from core.reconciliation import engine, features, groups, known, measuring
from core.reconciliation.weights import CURRENT
from tests.core.marketplace.test_planted_defects import CAUGHT, spoil
from tests.core.reconciliation import books, test_engine

Patch = pytest.MonkeyPatch
Plant = Callable[[Patch], None]


def weighing(**other: Any) -> Plant:
    """Another number in the weights."""

    def plant(patch: Patch) -> None:
        patch.setitem(books.judge.__kwdefaults__ or {}, "weights", replace(CURRENT, **other))

    return plant


def table(name: str, row: str, value: float) -> Plant:
    """Another number in a table of the weights."""
    return weighing(**{name: {**getattr(CURRENT, name), row: value}})


def no_stop(name: str) -> Plant:
    """A stop that is forgotten."""

    def plant(patch: Patch) -> None:
        stops = engine._Court._stops
        patch.setattr(
            engine._Court, "_stops", lambda self, one, margin: [one for one in stops(self, one, margin) if one != name]
        )

    return plant


def _greedy(patch: Patch) -> None:
    def first_come(edges: Any) -> dict[int, int]:
        found: dict[int, int] = {}
        for line, row in sorted(edges.items()):
            free = {one: worth for one, worth in row.items() if one not in found.values()}
            if free:
                found[line] = max(free, key=lambda one: (free[one], -one))
        return found

    patch.setattr(engine, "assign", first_come)


def sure(*given: Any) -> Callable[[], None]:
    return lambda: test_engine.test_what_is_sure_and_what_stops_it(*given)


def _rest_of_an_invoice() -> None:
    """118,000, of which 68,000 were paid: 2 % less than the rest is a part and no tax."""
    (found,) = books.judge([books.line("INV-2026-00042", 49_000)], [books.bill(42, 50_000, total=118_000)])
    assert found.features["amount"] == "part"


DEFECTS: list[tuple[str, Plant, Callable[[], None]]] = [
    ("sure from 70 % on", weighing(sure=0.70), sure({"day": books.DUE.replace(year=2027)}, "suggested", [])),
    ("a tie is an answer", no_stop("tie"), test_engine.test_equal_amounts_of_one_payer_are_a_tie),
    (
        "no margin is wanted",
        no_stop("margin"),
        test_engine.test_a_date_alone_does_not_choose_between_equal_amounts,
    ),
    (
        "other lines are no rivals",
        spoil(engine._Court._margin, "for place in one.invoices:", "for place in ():"),
        test_engine.test_two_lines_that_pay_one_invoice_in_full_are_both_asked_about,
    ),
    ("a part is as good as all", no_stop("short"), sure({"amount": 50_000}, "suggested", ["short"])),
    ("too much is as good as all", no_stop("over"), sure({"amount": 119_000}, "suggested", ["over"])),
    ("anybody may pay", no_stop("payer"), sure({"payer": "Verma Steel"}, "suggested", ["payer"])),
    ("a review stops nothing", no_stop("review"), test_engine.test_a_review_that_holds_an_invoice_stops_it),
    (
        "sums need not be named",
        no_stop("unnamed_sum"),
        test_engine.test_several_that_are_named_and_add_up_are_sure_and_unnamed_ones_never,
    ),
    (
        "sums are looked for without end",
        weighing(most_in_sum=20),
        test_engine.test_sums_are_looked_for_among_eight_invoices_and_no_more,
    ),
    (
        "a person's word counts once",
        no_stop("undone"),
        test_engine.test_what_a_person_rejected_is_not_answered_and_what_they_took_back_is_never_sure,
    ),
    ("line by line", _greedy, test_engine.test_the_whole_statement_decides_and_not_the_first_line),
    (
        "another number means nothing",
        table("reference", "other", 0.0),
        test_engine.test_a_number_that_is_open_no_more_makes_the_rest_unsure,
    ),
    (
        "the window has no end",
        spoil(features.date_points, "return weights.date_outside, days", "return weights.date, days"),
        sure({"day": books.DUE.replace(year=2027)}, "suggested", []),
    ),
    (
        "tax explains what is left of an invoice",
        spoil(features.withheld_rate, "if invoice.due != invoice.total:", "if False:"),
        _rest_of_an_invoice,
    ),
    (
        "the same reference is the same money for ever",
        spoil(
            known._same_days, "return apart <= (0 if one.source == other.source else MOST_DAYS_APART)", "return True"
        ),
        lambda: test_engine.test_the_same_money_is_told_once(
            {"reference": "HDFCN52026110000001", "source": "file", "day": books.DUE.replace(year=2027)}, False
        ),
    ),
    (
        "who came first stands",
        spoil(known.told_twice, "(line.word, line.id not in decided, line.id)", "(line.id not in decided, line.id)"),
        lambda: test_engine.test_a_banks_line_stands_before_an_uploaded_one_whichever_came_first({}),
    ),
    (
        "a word is as good as cash",
        no_stop("word"),
        lambda: test_engine.test_an_uploaded_line_is_not_sure_where_investors_leave_words_no_room(0, True, ["word"]),
    ),
    (
        "an amount is enough to be booked already",
        spoil(known.links, "certain=_is_told_by(line, one)", "certain=True"),
        lambda: test_engine.test_what_is_booked_already_is_linked({}, "payment", "suggested"),
    ),
    (
        "parts need not fit",
        spoil(engine._Court._fill_parts, "best.amounts[0] <= remaining", "True"),
        test_engine.test_parts_are_proposed_only_as_far_as_they_fit,
    ),
    (
        "shares need not add up",
        spoil(groups.shares, "sum(one.amounts[0] for one in ones) != due", "False"),
        test_engine.test_lines_that_name_one_invoice_and_add_up_to_it_share_it,
    ),
]


@pytest.mark.parametrize(("plant", "caught"), [row[1:] for row in DEFECTS], ids=[row[0] for row in DEFECTS])
def test_the_test_that_is_named_for_a_defect_catches_it(
    monkeypatch: Patch, plant: Plant, caught: Callable[[], None]
) -> None:
    caught()
    plant(monkeypatch)
    with pytest.raises(CAUGHT):
        caught()


def test_the_measure_itself_notices_a_careless_engine() -> None:
    careless = replace(
        CURRENT,
        version="careless",
        margin=-9.0,
        sure=0.6,
        reference={**CURRENT.reference, "other": 0.0},
        payer={**CURRENT.payer, "other": 0.0},
    )
    report = measuring.measure(3, 800, 1_500, careless)
    assert not report.holds
    assert report.precision < measuring.LEAST_PRECISION
