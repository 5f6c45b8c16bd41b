"""Cases about money to the last digit and moments in any time zone."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, fields
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal, InvalidOperation
from typing import Any

from connectors.contract.sources import Source, Sourced
from connectors.contract.suite import check_reading, require
from connectors.contract.trees import Path, all_changed, at, changed, leaves
from connectors.payload import Number, Payload
from core.errors import MalformedPayload, Permanent
from core.events import Record
from core.money import MAX_MINOR, Money, exponent

# Minor units that floating point or rounding would spoil: 0.29 * 100 is 28.999…, and so on.
TRAPS = (1, 29, 57, 115, 435, 1005, 8_20, 1_000_000_01, MAX_MINOR - 1)
HUGE = (MAX_MINOR + 1, 2**53 + 1, 10**30)
_FRACTION = re.compile(r"-?\d+\.\d+")


@dataclass(frozen=True, slots=True)
class Amount:
    """Where an amount stands, whether in minor units, and in which currency."""

    paths: tuple[Path, ...]
    minor: bool
    currency: str

    def __str__(self) -> str:
        return ", ".join(".".join(map(str, path)) for path in self.paths)


class Edges(Sourced):
    """Money to the last digit, and moments in any time zone."""

    def keeps_every_digit_of_money(self) -> None:
        """Amounts that floating point spoils, zero, negative and huge ones: exactly so, or malformed."""
        for source in self._sources():
            for amount in self._amounts(source):
                for units in TRAPS:
                    self._expect(source, amount, units, amount.currency)
                for units in (0, -1, *HUGE):
                    self._read_with(source, self._spelled(source, amount, units, amount.currency))
                if not amount.minor:
                    self._refuses(source, amount, Decimal(1005).scaleb(-exponent(amount.currency) - 1))

    def knows_the_decimal_places_of_a_currency(self) -> None:
        """A yen has none and a dinar three, whatever the usual currency of the provider has."""
        for source in self._sources():
            for amount in self._amounts(source):
                where = _places_of(source.whole, amount.currency)
                for code in ("JPY", "KWD") if where else ():
                    # Other amounts of the body must be possible in the other currency as well.
                    other = {} if amount.minor else _whole_amounts(source.whole)
                    renamed = {path: code if text.isupper() else code.lower() for path, text in where}
                    with all_changed(source.whole, {**other, **renamed}):
                        self._expect(source, amount, 1000 * 10 ** exponent(code), code)
                        if not amount.minor:
                            self._refuses(source, amount, Decimal("10.0005"))

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

    def _read_with(self, source: Source, values: dict[Path, object]) -> Sequence[Record] | None:
        with all_changed(source.whole, values):
            return self._records(source)

    def _amounts(self, source: Source) -> list[Amount]:
        """Where the amounts of records stand: found by what a change of them does.

        An amount that stands in several places which must agree is changed in all of them at once.
        """
        usual = [money for money in _monies(source.read()) if money.minor and exponent(money.currency)]
        found: list[Amount] = []
        for money in {abs(one.minor): one for one in usual}.values():
            spelled = {
                False: abs(money.to_decimal()),
                True: Decimal(abs(money.minor)).scaleb(self._shift(money.currency)),
            }
            for minor, digits in spelled.items():
                places = [path for path, value in leaves(source.whole) if abs(_decimal(value) or 0) == digits]
                alone = [Amount((path,), minor, money.currency) for path in places]
                decisive = [one for one in alone if self._decides(source, one)]
                together = Amount(tuple(places), minor, money.currency)
                if not decisive and len(places) > 1 and self._decides(source, together):
                    decisive = [together]
                found += decisive
        return found

    def _decides(self, source: Source, amount: Amount) -> bool:
        """Whether these places decide an amount: twice the digits are twice the money."""
        usual = _monies(source.read())
        twice = {path: _like(at(source.whole, path), 2 * _digits(at(source.whole, path))) for path in amount.paths}
        now = _monies(self._read_with(source, twice) or ())
        moved = [was for was, new in zip(usual, now, strict=False) if abs(new.minor) == 2 * abs(was.minor) != 0]
        return len(now) == len(usual) and (len(moved) == 1 or (len(moved) > 1 and len(amount.paths) > 1))

    def _shift(self, currency: str) -> int:
        """How many more places the provider's own minor unit has than that of ISO 4217."""
        places = self._start.places.get(currency, self._start.places.get("*", exponent(currency)))
        return places - exponent(currency)

    def _spelled(self, source: Source, amount: Amount, units: int, currency: str) -> dict[Path, object]:
        """So many minor units, in the form that stands at each of the places."""
        shift = self._shift(currency) if amount.minor else -exponent(currency)
        return {path: _like(at(source.whole, path), Decimal(units).scaleb(shift)) for path in amount.paths}

    def _expect(self, source: Source, amount: Amount, units: int, currency: str) -> None:
        """With so many minor units written there, exactly these are read, or the body is refused."""
        spelled = self._spelled(source, amount, units, currency)
        records = self._read_with(source, spelled)
        found = [] if records is None else [one for one in _monies(records) if abs(one.minor) == units]
        where = f"{source.label}: {next(iter(spelled.values()))!r} {currency} at {amount}"
        require(
            records is None or any(one.currency == currency for one in found),
            f"{where} is read as {_monies(records or ())}; where the provider counts other decimal places, "
            f"say so in {self._connector.slug}/api/contract.json",
        )

    def _refuses(self, source: Source, amount: Amount, digits: Decimal) -> None:
        values = {path: _like(at(source.whole, path), digits) for path in amount.paths}
        records = self._read_with(source, values)
        require(records is None, f"{source.label}: {digits} is rounded: {_monies(records or ())}")


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


def _digits(value: object) -> Decimal:
    return _decimal(value) or Decimal(0)


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
