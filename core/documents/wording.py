"""How a document spells what is in the books: amounts in figures and in words, days, and texts that must fit."""

from __future__ import annotations

import re
import unicodedata
from datetime import date, datetime
from decimal import Decimal
from functools import lru_cache
from typing import Any

from core.decimals import spelled
from core.money import exponent

# Currencies whose people count in thousands, lakh (1,00,000) and crore (1,00,00,000).
_LAKH = frozenset({"INR", "PKR", "BDT", "NPR", "LKR"})
_MINUS = "\N{MINUS SIGN}"
_ZERO_WIDTH_SPACE = "\u200b"
_NO_BREAK_SPACE = "\u00a0"
# Letters in a row after which a line may be broken anywhere; names and words are shorter.
_LONG_RUN = 24
_RUN = re.compile(rf"[^\s{_ZERO_WIDTH_SPACE}]{{{_LONG_RUN + 1},}}")
_STEP = 8
# What Unicode promises never to be a character, and XML does not take.
_NO_CHARACTER = re.compile(r"[\ufdd0-\ufdef\ufffe\uffff]")

_UNDER_TWENTY = (
    "zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve",
    "thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen",
)  # fmt: skip
_TENS = ("", "", "twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety")
_INDIAN = ((10**7, "crore"), (10**5, "lakh"), (1000, "thousand"), (100, "hundred"))
_WESTERN = ((10**12, "trillion"), (10**9, "billion"), (10**6, "million"), (1000, "thousand"), (100, "hundred"))


def grouped(digits: str, *, lakh: bool) -> str:
    """Digits with commas: 12,34,567 or 1,234,567."""
    head, tail = (digits[:-3], digits[-3:]) if lakh else (digits, "")
    size = 2 if lakh else 3
    parts = [head[max(0, end - size) : end] for end in range(len(head), 0, -size)][::-1]
    return ",".join([*parts, tail] if tail else parts)


def figures(minor: int, currency: str) -> str:
    """An amount in minor units without its currency: 1,18,000.00."""
    places = exponent(currency)
    digits = str(abs(minor)).rjust(places + 1, "0")
    whole, fraction = (digits[:-places], digits[-places:]) if places else (digits, "")
    text = grouped(whole, lakh=currency in _LAKH)
    return (_MINUS if minor < 0 else "") + (f"{text}.{fraction}" if fraction else text)


@lru_cache(maxsize=64)
def symbol(currency: str) -> str:
    """₹, $, or the code where there is no sign of its own."""
    from babel.numbers import get_currency_symbol  # noqa: PLC0415 - CLDR's tables, only when a document is made.

    return str(get_currency_symbol(currency, "en"))


def money(minor: int, currency: str) -> str:
    """An amount with its currency: ₹1,18,000.00, KWD 1.250."""
    sign = symbol(currency)
    gap = _NO_BREAK_SPACE if sign[-1].isalpha() else ""
    text = figures(abs(minor), currency)
    return f"{_MINUS if minor < 0 else ''}{sign}{gap}{text}"


def whole_words(number: int, *, lakh: bool) -> str:
    """A whole number from 0 on in English words.

    >>> whole_words(1_23_45_678, lakh=True)
    'one crore twenty-three lakh forty-five thousand six hundred and seventy-eight'
    """
    if number < 20:
        return _UNDER_TWENTY[number]
    if number < 100:
        tens, ones = divmod(number, 10)
        return _TENS[tens] + (f"-{_UNDER_TWENTY[ones]}" if ones else "")
    size, name = next(each for each in (_INDIAN if lakh else _WESTERN) if number >= each[0])
    count, rest = divmod(number, size)
    text = f"{whole_words(count, lakh=lakh)} {name}"
    if not rest:
        return text
    return f"{text} {'and ' if rest < 100 else ''}{whole_words(rest, lakh=lakh)}"


def in_words(minor: int, currency: str) -> str:
    """An amount as it is written out on an invoice: Rupees one lakh and fifty paise only."""
    places = exponent(currency)
    whole, fraction = divmod(abs(minor), 10**places)
    lakh = currency in _LAKH
    words = whole_words(whole, lakh=lakh)
    if currency == "INR":
        parts = [f"Rupees {words}"] if whole or not fraction else []
        if fraction:
            parts.append(f"{whole_words(fraction, lakh=True)} paise")
        text = " and ".join(parts)
    else:
        from babel.numbers import get_currency_name  # noqa: PLC0415

        part = f" and {fraction:0{places}}/{10**places}" if fraction else ""
        text = f"{words} {get_currency_name(currency, whole, locale='en')}{part}"
    text = f"minus {text}" if minor < 0 else text
    return f"{text[:1].upper()}{text[1:]} only"


def decimal(value: Any) -> str:
    """A quantity or a rate without trailing zeros; "" for nothing."""
    if value is None or value == "":
        return ""
    return spelled(Decimal(str(value)))


def day(value: date | datetime | str | None) -> str:
    """3 Nov 2026; a moment is written as its day in UTC."""
    found = as_day(value)
    return "" if found is None else f"{found.day} {found:%b %Y}"


def as_day(value: date | datetime | str | None) -> date | None:
    """A day out of what a row or an answer of the API holds."""
    if value is None or value == "":
        return None
    if isinstance(value, datetime):
        return value.date()
    return value if isinstance(value, date) else date.fromisoformat(value[:10])


def _softened(match: re.Match[str]) -> str:
    run, made, since = match[0], [], 0
    for place, letter in enumerate(run):
        # Not inside a cluster: before a mark, or beside a joiner.
        joined = unicodedata.category(letter).startswith("M") or "\u200d" in run[max(0, place - 1) : place + 1]
        if since >= _STEP and not joined:
            made.append(_ZERO_WIDTH_SPACE)
            since = 0
        made.append(letter)
        since += 1
    return "".join(made)


def clean(text: Any, *, lines: bool = False) -> str:
    """Text that can be set: no control characters, and long runs of letters may be broken.

    Line ends stay when `lines` is set and are spaces otherwise.
    """
    given = unicodedata.normalize("NFC", str(text or "")).replace("\r\n", "\n").replace("\r", "\n").replace("\t", " ")
    kept = "".join(
        letter
        for letter in given
        # Cc: control characters; Cs: half a surrogate pair.
        if letter == "\n" or (unicodedata.category(letter) not in {"Cc", "Cs"} and not _NO_CHARACTER.match(letter))
    )
    if not lines:
        kept = kept.replace("\n", " ")
    return _RUN.sub(_softened, kept).strip()
