"""Files of exchange rates: CSV as people keep them, and the XML that the European Central Bank publishes.

ECB: https://www.ecb.europa.eu/stats/policy_and_exchange_rates/euro_reference_exchange_rates, checked 2026-11: a Cube
with `time` for each day, in it a Cube with `currency` and `rate` for each currency; rates are of one euro.
"""

from __future__ import annotations

import csv
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Final

from core.errors import Invalid
from core.invoicing.rates import MAX_RATES, Rate, Source, check, cross, day_of, decimal_of

MAX_ERRORS: Final = 50
_NAMES: Final = ("day", "currency", "rate")
_ALSO: Final = {"date": "day", "from": "currency", "to": "home", "value": "rate"}


@dataclass(slots=True)
class Read:
    """What a file says: its rates, and for each line that is wrong its number and why."""

    rates: list[Rate] = field(default_factory=list)
    errors: list[tuple[int, str]] = field(default_factory=list)


def read(content: bytes, home: str) -> tuple[Read, Source]:
    """The rates of a file and what it is, csv or provider. Raises Invalid for what is neither.

    `home` is the currency that a line without one is against.
    """
    if content.lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"<"):
        return read_ecb(content, home), "provider"
    return read_csv(content, home), "csv"


def read_csv(content: bytes, home: str) -> Read:
    """Lines of day, currency, rate and perhaps home, under a line that names them, in any order.

    Fields are parted by comma, semicolon or tab. Raises Invalid when it is no such file; what is wrong with single
    lines is told together, the first MAX_ERRORS of it.
    """
    try:
        given = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise Invalid("file", "is not text in UTF-8") from error
    if "\x00" in given:
        raise Invalid("file", "is not text in UTF-8")
    first = given.lstrip().split("\n", 1)[0]
    parted = max(",;\t", key=first.count)
    lines = csv.reader(given.splitlines(), delimiter=parted, strict=True)
    found = Read()
    places: dict[str, int] = {}
    try:
        for cells in lines:
            if not any(cell.strip() for cell in cells):
                continue
            if not places:
                places = _places(cells)
                continue
            _read_line(cells, places, home, lines.line_num, found)
            if len(found.rates) > MAX_RATES:
                raise Invalid("file", f"must hold at most {MAX_RATES} rates")
            if len(found.errors) >= MAX_ERRORS:
                break
    except csv.Error as error:
        raise Invalid("file", f"is not CSV: line {lines.line_num}: {error}") from error
    if not found.rates and not found.errors:
        raise Invalid("file", "holds no rates")
    return found


def _places(cells: list[str]) -> dict[str, int]:
    names = [cell.strip().lower() for cell in cells]
    places = {_ALSO.get(name, name): place for place, name in enumerate(names)}
    missing = [name for name in _NAMES if name not in places]
    if missing:
        raise Invalid("file", f"must begin with a line that names day, currency and rate; {missing[0]} is not there")
    return places


def _read_line(cells: list[str], places: dict[str, int], home: str, line: int, found: Read) -> None:
    def cell(name: str) -> str:
        place = places.get(name, len(cells))
        return cells[place].strip() if place < len(cells) else ""

    try:
        found.rates.append(
            check(
                Rate(
                    currency=cell("currency").upper(),
                    home=cell("home").upper() or home,
                    day=day_of(cell("day")),
                    rate=decimal_of(cell("rate")),
                )
            )
        )
    except Invalid as error:
        found.errors.append((line, f"{error.field}: {error.message}"))


def read_ecb(content: bytes, home: str) -> Read:
    """The European Central Bank's euro reference rates, crossed to `home`. Raises Invalid.

    Entities and document types, by which XML can be made to grow without end, are refused.
    """
    # Only whoever brings such a file needs the parser.
    from xml.etree.ElementTree import ParseError  # noqa: PLC0415 - The exception alone; defusedxml parses.

    from defusedxml import DefusedXmlException  # noqa: PLC0415
    from defusedxml.ElementTree import fromstring  # noqa: PLC0415

    try:
        root = fromstring(content, forbid_dtd=True)
    except (ParseError, DefusedXmlException, ValueError, LookupError) as error:
        raise Invalid("file", "is not XML that can be read") from error
    found = Read()
    for cube in root.iter():
        spelled = cube.get("time")
        if spelled is None or not cube.tag.endswith("}Cube"):
            continue
        quoted: dict[str, Decimal] = {
            str(each.get("currency")): decimal_of(str(each.get("rate"))) for each in cube if each.get("currency")
        }
        crossed = cross(quoted, "EUR", home, day_of(spelled))
        if not crossed:
            raise Invalid("file", f"has no rate of {home} on {spelled}")
        found.rates += _known(crossed)
        if len(found.rates) > MAX_RATES:
            raise Invalid("file", f"must hold at most {MAX_RATES} rates")
    if not found.rates:
        raise Invalid("file", "is not the European Central Bank's file of reference rates")
    return found


def _known(rates: list[Rate]) -> list[Rate]:
    """Those whose currency is one: the file has had codes that ISO 4217 dropped since."""
    found = []
    for rate in rates:
        try:
            found.append(check(rate))
        except Invalid:
            continue
    return found
