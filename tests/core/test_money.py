"""Money: how many places a currency has."""

from __future__ import annotations

import pytest
from babel.numbers import get_currency_precision

from core.errors import Invalid
from core.money import COMMON_EXPONENTS, Money, exponent


@pytest.mark.parametrize("currency", sorted(COMMON_EXPONENTS))
def test_what_is_known_by_heart_is_what_the_tables_say(currency: str) -> None:
    assert COMMON_EXPONENTS[currency] == get_currency_precision(currency) == exponent(currency)


@pytest.mark.parametrize(
    ("text", "currency", "minor"),
    [
        ("1", "JPY", 1),
        ("1.00", "INR", 100),
        ("0.001", "KWD", 1),
        ("-12.5", "USD", -1250),
        ("3", "HUF", 300),
        ("3", "CLF", 30_000),
        ("7", "KRW", 7),
    ],
)
def test_decimal_text_becomes_minor_units_by_the_currencys_own_places(text: str, currency: str, minor: int) -> None:
    assert Money.from_decimal(text, currency) == Money(minor, currency)


@pytest.mark.parametrize(("text", "currency"), [("1.5", "JPY"), ("1.005", "INR"), ("0.0001", "KWD"), ("1", "inr")])
def test_what_a_currency_cannot_hold_is_refused(text: str, currency: str) -> None:
    with pytest.raises(Invalid):
        Money.from_decimal(text, currency)
