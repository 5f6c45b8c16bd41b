"""What is published of the judgement is what is measured, and measuring has teeth."""

from __future__ import annotations

from pathlib import Path

import pytest

from core.risk import measuring
from core.risk.findings import TITLES
from core.risk.plants import PLANTS

PUBLISHED = (Path(__file__).parents[3] / "docs" / "risk.md").read_text("utf-8")


def test_every_code_is_planted_and_described() -> None:
    assert PLANTS.keys() == TITLES.keys()
    for code in TITLES:
        assert f"| {code} |" in PUBLISHED


def test_the_same_seed_finds_the_same_and_another_seed_something_else() -> None:
    first, again, other = measuring.measure(7, 120), measuring.measure(7, 120), measuring.measure(8, 120)
    assert (first.rows, first.stops, first.reviews) == (again.rows, again.stops, again.reviews)
    assert measuring.table(first) != measuring.table(other)


def test_stated_facts_are_always_found_and_never_in_honest_trade() -> None:
    seen: list[int] = []
    report = measuring.measure(3, 550, seen.append)
    assert seen[-1] == report.invoices == 550
    for row in report.rows:
        assert row.planted >= 5, row.code
        assert row.recall >= 0.5, row
        if row.code in {"D1", "C3", "C4", "T2", "G1"}:
            assert (row.recall, row.false) == (1.0, 0), row
    assert report.stops == 0
    assert report.reviews <= 15


@pytest.mark.long
def test_the_published_numbers_are_what_the_command_prints() -> None:
    report = measuring.measure()
    printed = "\n".join([measuring.table(report), "", *measuring.summary_lines(report)])
    measured = PUBLISHED.partition("<!-- measured: ledgerwire risk measure -->")[2].partition("<!-- /measured -->")[0]
    assert measured.strip() == printed
    near = next(row for row in report.rows if row.code == "D2")
    # Marketplace rules, section 8: near duplicates at least 95 %, at most 1 % of honest invoices reviewed.
    assert near.recall >= 0.95
    assert report.reviews <= 10
