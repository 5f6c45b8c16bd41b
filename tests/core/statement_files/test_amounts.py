"""Amounts and days are read as banks write them, and nothing else is taken for one."""

from __future__ import annotations

from datetime import date

import pytest

from core.errors import Invalid
from core.statement_files.amounts import DATE_FORMATS, guess_date_formats, guess_decimal, parse_amount, parse_day


@pytest.mark.parametrize(
    ("written", "decimal", "minor"),
    [
        pytest.param("1,10,000.00", ".", 11000000, id="Indian groups"),
        pytest.param("1,234,567.89", ".", 123456789, id="Western groups"),
        pytest.param("1.234,56", ",", 123456, id="decimal comma"),
        pytest.param("1 234,56", ",", 123456, id="groups by spaces"),
        pytest.param("1\u00a0234,56", ",", 123456, id="groups by hard spaces"),
        pytest.param("1'234.56", ".", 123456, id="groups by apostrophes"),
        pytest.param("-12.3", ".", -1230, id="one place"),
        pytest.param("\u2212500", ".", -50000, id="a real minus"),
        pytest.param("500.00-", ".", -50000, id="minus behind"),
        pytest.param("(500.00)", ".", -50000, id="in brackets"),
        pytest.param("500.00 Dr", ".", -50000, id="Dr behind"),
        pytest.param("500.00CR", ".", 50000, id="CR behind"),
        pytest.param("500.00 (Cr)", ".", 50000, id="(Cr) behind"),
        pytest.param("₹ 500", ".", 50000, id="rupee sign"),
        pytest.param("Rs. 500.50", ".", 50050, id="Rs."),
        pytest.param("INR -500", ".", -50000, id="code before the sign"),
        pytest.param("$1,250.00", ".", 125000, id="dollar sign"),
        pytest.param("500.000", ".", 50000, id="zeros that say nothing"),
        pytest.param(".50", ".", 50, id="no zero before the point"),
        pytest.param("+7", ".", 700, id="plus"),
    ],
)
def test_amounts_as_banks_write_them(written: str, decimal: str, minor: int) -> None:
    assert parse_amount(written, "INR", decimal) == minor


@pytest.mark.parametrize(
    "written", ["", "-", "abc", "1.2.3", "12,34", "1,2,3", "0.005", "1e5", "NaN", "٣", "9" * 30, "--5 x"]
)
def test_what_is_no_amount_is_refused(written: str) -> None:
    with pytest.raises(Invalid):
        parse_amount(written, "INR", ".")


def test_a_currency_without_cents_takes_none() -> None:
    assert parse_amount("5,000.00", "JPY") == 5000
    with pytest.raises(Invalid):
        parse_amount("5000.50", "JPY")


@pytest.mark.parametrize(
    ("values", "mark"),
    [
        (["1.234,56", "12,00"], ","),
        (["1,10,000.00", "12.50"], "."),
        (["1,000", "2,500"], "."),
        (["12,50", "100"], ","),
        ([], "."),
    ],
)
def test_the_decimal_mark_is_what_most_amounts_say(values: list[str], mark: str) -> None:
    assert guess_decimal(values) == mark


@pytest.mark.parametrize("form", list(DATE_FORMATS))
def test_each_format_reads_its_own_example(form: str) -> None:
    assert parse_day(DATE_FORMATS[form], form) == date(2026, 12, 31)


@pytest.mark.parametrize(
    ("written", "form"),
    [
        ("31/12/2026", "%d-%m-%Y"),
        ("31.12.2026", "%d-%m-%Y"),
        ("31 Dec 2026", "%d-%b-%Y"),
        ("31-December-2026", "%d-%b-%Y"),
        ("Dec 31, 2026", "%b-%d-%Y"),
        ("2026-12-31 23:59:59", "%Y-%m-%d"),
        ("2026-12-31T10:00:00+05:30", "%Y-%m-%d"),
    ],
)
def test_marks_between_the_parts_do_not_matter(written: str, form: str) -> None:
    assert parse_day(written, form) == date(2026, 12, 31)


def test_dates_that_could_be_both_ways_round_are_said_to_be() -> None:
    assert guess_date_formats(["01/02/2026", "03/04/2026"]) == ["%d-%m-%Y", "%m-%d-%Y"]
    assert guess_date_formats(["01/02/2026", "13/04/2026"]) == ["%d-%m-%Y"]
    assert guess_date_formats(["01/02/2026", "04/13/2026"]) == ["%m-%d-%Y"]
    assert guess_date_formats(["no date"]) == []
