"""Amounts and days as banks write them, read exactly."""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import date, datetime
from functools import lru_cache

from core.errors import Invalid
from core.money import Money

_MARK = re.compile(r"\s*\(?(?<![A-Z])(CREDIT|DEBIT|CR|DR|C|D)\.?\)?\s*$", re.IGNORECASE)
_CURRENCY = re.compile(r"^(?:[A-Z]{3}\b|RS\.?|[₹€£$¥])\s*|\s*(?:[A-Z]{3}|[₹€£$¥])$", re.IGNORECASE)
# Spaces and apostrophes that stand between groups of digits.
_SPACES = re.compile(r"[\s\u00a0\u2007\u2009\u202f'\u2019]")
_PLAIN = re.compile(r"\d+(?:\.\d+)?|\.\d+")
_GROUPED = {
    ".": re.compile(r"\d{1,3}(?:,\d{2,3})*(?:,\d{3})(?:\.\d*)?"),
    ",": re.compile(r"\d{1,3}(?:\.\d{3})+(?:,\d*)?"),
}
_CENTS = re.compile(r",\d{1,2}(?!\d)")
_MAX = 40


def parse_amount(text: str, currency: str, decimal: str = ".") -> int:
    """Minor units of an amount as a bank writes it.

    "1,10,000.00", "-1.234,56" (with `decimal` a comma), "(500.00)", "500.00-", "₹ 500", "500.00 Dr": minus where
    money left. Raises Invalid, also for more places than the currency has.
    """
    value = text.strip()
    if not value or len(value) > _MAX:
        raise Invalid("amount", f"{text[:_MAX]!r} is no amount")
    sign = 1
    if (mark := _MARK.search(value)) is not None and any(character.isdigit() for character in value[: mark.start()]):
        sign, value = -1 if mark.group(1).upper().startswith("D") else 1, value[: mark.start()].strip()
    if value.startswith("(") and value.endswith(")"):
        sign, value = -sign, value[1:-1].strip()
    value, sign = _signed(value, sign)
    value = _CURRENCY.sub("", value).strip()
    value, sign = _signed(value, sign)
    number = _number(_SPACES.sub("", value), decimal)
    if number is None:
        raise Invalid("amount", f"{text.strip()[:_MAX]!r} is no amount")
    return sign * Money.from_decimal(_places(number), currency).minor


def _signed(value: str, sign: int) -> tuple[str, int]:
    for minus in ("-", "\u2212", "\u2013"):
        if value.startswith(minus):
            return value[1:].strip(), -sign
        if value.endswith(minus):
            return value[:-1].strip(), -sign
    return value.removeprefix("+").removesuffix("+").strip(), sign


def _number(value: str, decimal: str) -> str | None:
    """The digits with a point, or None for what is no number with this decimal mark."""
    other = "," if decimal == "." else "."
    if other in value:
        if _GROUPED[decimal].fullmatch(value) is None:
            return None
        value = value.replace(other, "")
    value = value.replace(decimal, ".").removesuffix(".")
    return value if value.isascii() and _PLAIN.fullmatch(value) else None


def _places(number: str) -> str:
    # "500.00" of a currency without minor units, "1.500" of one with two: zeros say nothing.
    whole, point, places = number.partition(".")
    kept = places.rstrip("0")
    return f"{whole or '0'}{point}{kept}" if point and kept else whole or "0"


def guess_decimal(values: Iterable[str]) -> str:
    """Whether amounts are written with a point or a comma before the cents: what most of those say that tell."""
    commas = points = 0
    for value in values:
        comma, point = value.rfind(","), value.rfind(".")
        if comma >= 0 and point >= 0:
            commas, points = commas + (comma > point), points + (point > comma)
        elif comma >= 0:
            # Three digits behind a single comma are thousands.
            commas += value.count(",") == 1 and _CENTS.match(value, comma) is not None
        elif point >= 0:
            points += value.count(".") == 1
    return "," if commas > points else "."


_NAMED = "%d %b %Y"
# As they are offered, day before month before the other way round.
DATE_FORMATS: dict[str, str] = {
    "%Y-%m-%d": "2026-12-31",
    "%d-%m-%Y": "31-12-2026",
    "%m-%d-%Y": "12-31-2026",
    "%d-%m-%y": "31-12-26",
    "%m-%d-%y": "12-31-26",
    "%d-%b-%Y": "31-Dec-2026",
    "%d-%b-%y": "31-Dec-26",
    "%b-%d-%Y": "Dec-31-2026",
    "%Y%m%d": "20261231",
    "%d%m%Y": "31122026",
}
_TIME = re.compile(r"[T ]+\d{1,2}:\d{2}.*$")
_SEPARATORS = re.compile(r"[\s./,\-]+")


@lru_cache(maxsize=4096)
def parse_day(text: str, form: str) -> date | None:
    """The day in one of DATE_FORMATS; separators may be dashes, points, slashes or spaces, a time may follow."""
    value = _SEPARATORS.sub("-", _TIME.sub("", text.strip())[:_MAX]).strip("-")
    if "%b" in form:
        value = re.sub(r"[A-Za-z]{4,}", lambda name: name.group()[:3], value)
    if not value.isascii():
        return None
    try:
        return datetime.strptime(value, form).date()  # noqa: DTZ007 - a bank's own calendar day.
    except ValueError:
        return None


def guess_date_formats(values: Iterable[str]) -> list[str]:
    """Formats in which every one of the values is a day; several where they leave it open."""
    given = [value for value in values if value.strip()]
    found = []
    for form in DATE_FORMATS:
        days = [parse_day(value, form) for value in given]
        if given and all(day is not None and 1990 <= day.year <= 2099 for day in days):
            found.append(form)
    return found
