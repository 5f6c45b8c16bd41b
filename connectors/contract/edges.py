"""Cases about money to the last digit and moments in any time zone."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import fields
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal, InvalidOperation
from typing import Any

from connectors.contract.sources import Source, Sourced
from connectors.contract.suite import check_reading, require
from connectors.contract.trees import Path, all_changed, changed, leaves
from connectors.payload import Number, Payload
from core.errors import MalformedPayload, Permanent
from core.events import Record
from core.money import MAX_MINOR, Money, exponent

# Minor units that floating point or rounding would spoil: 0.29 * 100 is 28.999…, and so on.
TRAPS = (1, 29, 57, 115, 435, 1005, 8_20, 1_000_000_01, MAX_MINOR - 1)
HUGE = (MAX_MINOR + 1, 2**53 + 1, 10**30)
_FRACTION = re.compile(r"-?\d+\.\d+")


class Edges(Sourced):
    """Money to the last digit, and moments in any time zone."""

    def keeps_every_digit_of_money(self) -> None:
        """Amounts that floating point spoils, zero, negative and huge ones: exactly so, or malformed."""
        for source in self._sources():
            for path, minor in self._amounts(source):
                money = self._money_at(source, path)
                if money is None:
                    continue
                for units in TRAPS:
                    self._expect(source, path, units, money.currency, minor=minor)
                for units in (0, -1, *HUGE):
                    self._read_with(source, path, self._spelled(source, path, units, money.currency, minor=minor))
                if not minor:
                    too_fine = str(Decimal(1005).scaleb(-exponent(money.currency) - 1))
                    self._refuses(source, path, too_fine)

    def knows_the_decimal_places_of_a_currency(self) -> None:
        """A yen has none and a dinar three, whatever the usual currency of the provider has."""
        for source in self._sources():
            for path, minor in self._amounts(source):
                money = self._money_at(source, path)
                where = [] if money is None else _places_of(source.whole, money.currency)
                for code in ("JPY", "KWD"):
                    if money is None or not where:
                        continue
                    # Other amounts of the body must be possible in the other currency as well.
                    other = {} if minor else _whole_amounts(source.whole)
                    renamed = {one: code if at.isupper() else code.lower() for one, at in where}
                    with all_changed(source.whole, {**other, **renamed}):
                        self._expect(source, path, 1000 * 10 ** exponent(code), code, minor=minor)
                        if not minor:
                            self._refuses(source, path, "10.0005")

    def takes_no_local_time_for_another(self) -> None:
        """The same moment, written in another time zone, is the same moment."""
        for source in self._sources():
            usual = _moments(source.read())
            for path, value in list(leaves(source.whole)):
                moment = _moment(value)
                if moment is None:
                    continue
                for zone in (timezone(timedelta(hours=5, minutes=30)), timezone(timedelta(hours=-8))):
                    written = moment.astimezone(zone).isoformat()
                    with changed(source.whole, path, written):
                        records = self._records(source)
                    require(
                        records is None or _moments(records) == usual,
                        f"{source.label}: {'.'.join(map(str, path))} {written} is taken for another moment",
                    )

    # Helpers.

    def _records(self, source: Source) -> Sequence[Record] | None:
        """The records, or None where they are refused."""
        try:
            records = source.read()
        except (MalformedPayload, Permanent):
            return None
        check_reading(source.label, records)
        return records

    def _read_with(self, source: Source, path: Path, value: object) -> Sequence[Record] | None:
        with changed(source.whole, path, value):
            return self._records(source)

    def _amounts(self, source: Source) -> Iterator[tuple[Path, bool]]:
        """Where the amounts of records stand, and whether in minor units: found by what a change of them does."""
        usual = _monies(source.read())
        for path, value in list(leaves(source.whole)):
            digits = _decimal(value)
            if digits is None or digits == 0:
                continue
            for money in {abs(one.minor): one for one in usual}.values():
                if not money.minor or exponent(money.currency) == 0:
                    continue
                minor = abs(digits) == Decimal(abs(money.minor)).scaleb(self._shift(money.currency))
                major = abs(digits) == abs(money.to_decimal())
                if minor or major:
                    yield path, minor
                    break

    def _shift(self, currency: str) -> int:
        """How many more places the provider's own minor unit has than that of ISO 4217."""
        places = self._start.places.get(currency, self._start.places.get("*", exponent(currency)))
        return places - exponent(currency)

    def _money_at(self, source: Source, path: Path) -> Money | None:
        """The money that this place alone decides, or None."""
        usual = _monies(source.read())
        (value,) = [value for one, value in leaves(source.whole) if one == path]
        # One more unit, in the digits' own form.
        more = _like(value, (_decimal(value) or Decimal(0)) * 2)
        records = self._read_with(source, path, more)
        now = _monies(records or ())
        moved = [was for was, new in zip(usual, now, strict=False) if abs(new.minor) == 2 * abs(was.minor)]
        return moved[0] if len(moved) == 1 and len(now) == len(usual) else None

    def _spelled(self, source: Source, path: Path, units: int, currency: str, *, minor: bool) -> object:
        (value,) = [value for one, value in leaves(source.whole) if one == path]
        shift = self._shift(currency) if minor else -exponent(currency)
        return _like(value, Decimal(units).scaleb(shift))

    def _expect(self, source: Source, path: Path, units: int, currency: str, *, minor: bool) -> None:
        """With so many minor units written there, exactly these are read somewhere, or the body is refused."""
        spelled = self._spelled(source, path, units, currency, minor=minor)
        records = self._read_with(source, path, spelled)
        found = [] if records is None else [one for one in _monies(records) if abs(one.minor) == units]
        where = f"{source.label}: {spelled!r} {currency} at {'.'.join(map(str, path))}"
        require(
            records is None or any(one.currency == currency for one in found),
            f"{where} is read as {_monies(records or ())}; where the provider counts other decimal places, "
            f"say so in {self._connector.slug}/api/contract.json",
        )

    def _refuses(self, source: Source, path: Path, text: str) -> None:
        (value,) = [value for one, value in leaves(source.whole) if one == path]
        records = self._read_with(source, path, _like(value, Decimal(text)))
        require(records is None, f"{source.label}: {text} is rounded: {_monies(records or ())}")


def _monies(records: Sequence[Record]) -> list[Money]:
    """The amounts of the records, in their order: of a lost dispute, what was taken."""
    return [money for one in records if isinstance(money := getattr(one, "money", getattr(one, "total", None)), Money)]


def _decimal(value: object) -> Decimal | None:
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return None
    try:
        found = Decimal(value.written if isinstance(value, Number) else str(value))
    except InvalidOperation:
        return None
    return found if found.is_finite() else None


def _like(value: object, digits: Decimal) -> object:
    """These digits in the form of the value: text, whole number or number with a fraction."""
    text = f"{digits:f}"
    if isinstance(value, str):
        return text
    if isinstance(value, int) and digits == digits.to_integral_value():
        return int(digits)
    number: Any = Payload.from_bytes(f"[{text}]".encode()).value
    return number[0]


def _places_of(whole: object, currency: str) -> list[tuple[Path, str]]:
    return [(path, text) for path, text in leaves(whole) if isinstance(text, str) and text.upper() == currency]


def _whole_amounts(whole: object) -> dict[Path, object]:
    """Every number with a fraction as a whole one that any currency can hold."""
    found: dict[Path, object] = {}
    for path, value in leaves(whole):
        if isinstance(value, float) or (isinstance(value, str) and _FRACTION.fullmatch(value)):
            found[path] = _like(value, Decimal("-1000" if str(value).startswith("-") else "1000"))
    return found


def _moment(value: object) -> datetime | None:
    """The moment that a text with an offset tells."""
    if not isinstance(value, str) or "T" not in value:
        return None
    try:
        moment = datetime.fromisoformat(value)
    except ValueError:
        return None
    return moment.astimezone(UTC) if moment.tzinfo else None


def _values(record: Record) -> list[object]:
    return [getattr(record, one.name) for one in fields(record)]


def _is_moment(value: object) -> bool:
    return isinstance(value, datetime)


def _moments(records: Sequence[Record]) -> object:
    """What records say about time, apart from calendar days, which are local."""
    return json.dumps(
        [
            [type(one).__name__, one.object_id, one.version, *map(str, filter(_is_moment, _values(one)))]
            for one in records
        ]
    )
