"""Amounts in figures and in words, and texts that can be set."""

from __future__ import annotations

from datetime import UTC, date, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.documents.wording import clean, day, decimal, figures, in_words, money, whole_words


@pytest.mark.parametrize(
    ("minor", "currency", "text"),
    [
        (0, "INR", "0.00"),
        (5, "INR", "0.05"),
        (99_999, "INR", "999.99"),
        (1_00_000_00, "INR", "1,00,000.00"),
        (10**15, "INR", "1,00,00,00,00,00,000.00"),
        (-1_18_000_50, "INR", "\N{MINUS SIGN}1,18,000.50"),
        (123_456_789, "USD", "1,234,567.89"),
        (123_456, "JPY", "123,456"),
        (1_250, "KWD", "1.250"),
    ],
)
def test_figures_are_grouped_as_people_of_the_currency_do(minor: int, currency: str, text: str) -> None:
    assert figures(minor, currency) == text


@pytest.mark.parametrize(
    ("minor", "currency", "text"),
    [(-5, "INR", "\N{MINUS SIGN}₹0.05"), (100, "USD", "$1.00"), (1_000, "KWD", "KWD\u00a01.000"), (7, "JPY", "¥7")],
)
def test_money_has_the_sign_or_the_code_before_it(minor: int, currency: str, text: str) -> None:
    assert money(minor, currency) == text


@pytest.mark.parametrize(
    ("minor", "currency", "text"),
    [
        (0, "INR", "Rupees zero only"),
        (50, "INR", "Fifty paise only"),
        (1_00, "INR", "Rupees one only"),
        (1_18_000_00, "INR", "Rupees one lakh eighteen thousand only"),
        (1_01_00_001_05, "INR", "Rupees one crore one lakh and one and five paise only"),
        (10**15, "INR", "Rupees ten lakh crore only"),
        (1_21_00, "USD", "One hundred and twenty-one US dollars only"),
        (1_00, "USD", "One US dollar only"),
        (1_005, "KWD", "One Kuwaiti dinar and 005/1000 only"),
        (2_000_000, "JPY", "Two million Japanese yen only"),
        (-1_00, "INR", "Minus Rupees one only"),
    ],
)
def test_amounts_are_written_out(minor: int, currency: str, text: str) -> None:
    assert in_words(minor, currency) == text


_SMALL = (
    "zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve",
    "thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen",
)  # fmt: skip
_TENS = ("twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety")
_VALUES = {word: value for value, word in enumerate(_SMALL)} | {
    word: (place + 2) * 10 for place, word in enumerate(_TENS)
}
_SCALES = {"thousand": 10**3, "lakh": 10**5, "million": 10**6, "crore": 10**7, "billion": 10**9, "trillion": 10**12}


def _value(words: str) -> int:
    """Reads a number back, by a rule of its own: a scale multiplies all smaller ones that stand before it."""
    stack: list[int] = [0]
    for word in words.replace("-", " ").replace(" and ", " ").split():
        if word in _VALUES:
            stack.append(_VALUES[word])
            continue
        scale, held = _SCALES.get(word, 100), 0
        while stack and stack[-1] < scale and stack[-1]:
            held += stack.pop()
        stack.append(held * scale)
    return sum(stack)


@given(st.integers(0, 10**13), st.booleans())
def test_words_say_the_number_they_were_made_of(number: int, lakh: bool) -> None:
    assert _value(whole_words(number, lakh=lakh)) == number


@given(st.text(max_size=300))
def test_cleaned_text_can_be_set_and_breaks(text: str) -> None:
    found = clean(text, lines=True)
    assert not any(ord(letter) < 32 and letter != "\n" for letter in found)
    # It can be written as JSON and as a file.
    found.encode()
    assert clean(found, lines=True) == found or "\u200b" in found


def test_a_long_run_may_be_broken_but_not_inside_a_cluster() -> None:
    assert clean("a" * 24) == "a" * 24
    assert clean("a" * 25) == "\u200b".join(["a" * 8, "a" * 8, "a" * 8, "a"])
    assert "\u200b\u0bbf" not in clean("கி" * 40)
    family = "👩\u200d👩\u200d👧\u200d👦"
    assert family in clean(family * 20).replace("\u200b", "|").split("|")[0] + family


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, ""),
        (date(2026, 11, 3), "3 Nov 2026"),
        ("2026-01-31", "31 Jan 2026"),
        (datetime(2026, 5, 4, tzinfo=UTC), "4 May 2026"),
    ],
)
def test_days_are_short(value: date | str | None, text: str) -> None:
    assert day(value) == text


@pytest.mark.parametrize(
    ("value", "text"), [("2.500", "2.5"), ("100", "100"), (None, ""), ("0.000", "0"), ("1E+3", "1000")]
)
def test_quantities_have_no_trailing_zeros(value: str | None, text: str) -> None:
    assert decimal(value) == text
