"""A provider's JSON, checked as it is read: a value of the wrong type names the path that failed.

A body is refused when it is not UTF-8 JSON with an object or a list at its top, nests deeper than 64 levels or
holds NaN or Infinity. Text that PostgreSQL cannot hold (NUL, lone surrogates) becomes U+FFFD at once: a stray
character in a payer's note must not keep a payment out of the books. A key that stands twice counts as it
stands last; the signature covers the bytes, so nobody but the provider can have written it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta, tzinfo
from math import isfinite
from typing import TypeVar, cast

from core.errors import Invalid, MalformedPayload
from core.money import Money, exponent

MAX_DEPTH = 64
MAX_IDENTIFIER = 255
_INT64 = 1 << 63
# 1970 to the end of 9998: what datetime holds in every time zone.
_MAX_EPOCH_SECONDS = 253_370_764_800
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)

T = TypeVar("T")


class Number(float):
    """A JSON number with a fraction or an exponent, which still knows the digits it was written with."""

    __slots__ = ("written",)
    written: str


def micros(moment: datetime) -> int:
    """A moment in microseconds since the epoch, exactly: the usual `version` of a record."""
    return (moment - _EPOCH) // _MICROSECOND


class Payload:
    """One value of a body and the path to it. It is never changed; the path is built only when asked for."""

    __slots__ = ("_keys", "_parent", "value")

    value: object
    """The JSON value itself, for those who store or serialise it."""

    def __init__(self, value: object, parent: Payload | None = None, keys: tuple[str | int, ...] = ()) -> None:
        self.value = value
        self._parent = parent
        self._keys = keys

    @classmethod
    def from_bytes(cls, body: bytes) -> Payload:
        """Parse a body. Raises MalformedPayload, and nothing else."""
        try:
            value = _DECODER.decode(body.decode())
        except RecursionError:
            raise MalformedPayload("", f"nests deeper than {MAX_DEPTH} levels") from None
        except ValueError as error:
            # Not UTF-8, not JSON, NaN, or a number too long for Python to convert. The text of such
            # an error may quote the body, which is not ours to show.
            raise MalformedPayload("", _why(error)) from None
        if not isinstance(value, dict | list):
            raise MalformedPayload("", f"expected object or list, got {_name(value)}")
        # Counting brackets costs nothing next to parsing; only a body that could be too deep is walked.
        if body.count(b"{") + body.count(b"[") > MAX_DEPTH:
            _check_depth(value)
        # NUL and surrogates can only stand in JSON text as escapes.
        if b"\\u0000" in body or b"\\ud" in body or b"\\uD" in body:
            value = _storable(value)
        return cls(value)

    def to_bytes(self) -> bytes:
        """The value as compact UTF-8 JSON."""
        return json.dumps(self.value, ensure_ascii=False, separators=(",", ":")).encode()

    @property
    def path(self) -> str:
        """Where this value stands, such as payload.payment.entity."""
        above = (self._parent.path,) if self._parent and self._parent.path else ()
        return ".".join([*above, *map(str, self._keys)])

    def __repr__(self) -> str:
        return f"Payload({self.path or '$'}: {_name(self.value)})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Payload) and self.value == other.value

    def __hash__(self) -> int:
        return hash(self.to_bytes())

    # Moving about.

    def at(self, *keys: str) -> Payload:
        """The object under these keys. Raises MalformedPayload when one is missing or no object."""
        value = self.value
        for index, key in enumerate(keys):
            if type(value) is not dict or key not in value:
                raise MalformedPayload(self._path_to(*keys[: index + 1]), "is missing")
            value = value[key]
        if type(value) is not dict:
            raise self._mistyped(keys, "object", value)
        return Payload(value, self, keys)

    def optional_at(self, *keys: str) -> Payload | None:
        """The object under these keys, or None where a step is missing, null or (as PHP writes {}) a list."""
        value = self.value
        for key in keys:
            if type(value) is not dict:
                return None
            value = value.get(key)
        return Payload(value, self, keys) if type(value) is dict else None

    def items(self, key: str | None = None) -> tuple[Payload, ...]:
        """The objects of a list: the one under `key`, or this value itself."""
        value = self.value if key is None else self._get(key)
        where: tuple[str, ...] = () if key is None else (key,)
        if type(value) is not list:
            raise self._mistyped(where, "list", value)
        for index, item in enumerate(value):
            if type(item) is not dict:
                raise self._mistyped((*where, index), "object", item)
        return tuple(Payload(item, self, (*where, index)) for index, item in enumerate(value))

    def optional_items(self, key: str) -> tuple[Payload, ...]:
        """The objects of a list, or none where it is missing or null."""
        return self.items(key) if self.has(key) else ()

    def texts(self, key: str) -> frozenset[str]:
        """The texts in a list, whatever else is in it; none where there is no list."""
        value = self._object().get(key)
        return frozenset(one for one in value if isinstance(one, str)) if isinstance(value, list) else frozenset()

    def keys(self) -> tuple[str, ...]:
        """The names in this object, in their order."""
        return tuple(self._object())

    def has(self, key: str) -> bool:
        """Whether a value other than null stands under the key."""
        return self._object().get(key) is not None

    # Reading values. `optional_…` means that the provider's documentation allows absence or null.

    def text(self, key: str) -> str:
        """A string, possibly empty."""
        value = self._get(key)
        if type(value) is not str:
            raise self._mistyped((key,), "text", value)
        return value

    def optional_text(self, key: str) -> str | None:
        """A string, or None where it is missing, null or empty."""
        value = self._object().get(key)
        if value is None:
            return None
        if type(value) is not str:
            raise self._mistyped((key,), "text", value)
        return value or None

    def text_at(self, *keys: str) -> str | None:
        """A string some levels down, or None where a level or the string itself is missing, null or empty."""
        above = self.optional_at(*keys[:-1])
        return above.optional_text(keys[-1]) if above else None

    def identifier(self, key: str) -> str:
        """A string that identifies something: not empty and short enough for an index."""
        value = self.text(key)
        if not 0 < len(value) <= MAX_IDENTIFIER:
            raise self._wrong(key, f"text of 1 to {MAX_IDENTIFIER} characters", value)
        return value

    def optional_identifier(self, key: str) -> str | None:
        """An identifier, or None where it is missing, null or empty."""
        return None if self._object().get(key) in (None, "") else self.identifier(key)

    def integer(self, key: str) -> int:
        """A whole number of at most 64 bits. True and 1.0 are none."""
        value = self._get(key)
        if type(value) is not int:
            raise self._mistyped((key,), "whole number", value)
        if not -_INT64 <= value < _INT64:
            raise MalformedPayload(self._path_to(key), "does not fit 64 bits")
        return value

    def optional_integer(self, key: str) -> int | None:
        """A whole number, or None where it is missing or null."""
        return None if self._object().get(key) is None else self.integer(key)

    def boolean(self, key: str) -> bool:
        """True or false."""
        value = self._get(key)
        if type(value) is not bool:
            raise self._mistyped((key,), "true or false", value)
        return value

    def optional_boolean(self, key: str) -> bool | None:
        """True or false, or None where it is missing or null."""
        return None if self._object().get(key) is None else self.boolean(key)

    def choice(self, key: str, meanings: Mapping[str, T]) -> T:
        """What a word means. A word the provider does not document is malformed, never guessed."""
        word = self.text(key)
        try:
            return meanings[word]
        except KeyError:
            raise self._wrong(key, f"one of {', '.join(meanings)}", word) from None

    def currency(self, key: str, *, any_case: bool = False) -> str:
        """An ISO 4217 code in capitals; with `any_case` also one that the provider writes in small letters."""
        code = self.text(key)
        code = code.upper() if any_case and code.isascii() else code
        try:
            exponent(code)
        except Invalid as error:
            raise MalformedPayload(self._path_to(key), error.message) from None
        return code

    def minor_money(self, key: str, currency: str, *, positive: bool = False, places: int | None = None) -> Money:
        """A whole number of minor units; `places` where the provider counts other decimal places than ISO 4217."""
        amount = self.integer(key)
        if places is not None and places != (own := exponent(currency)):
            scaled, rest = divmod(amount * 10**own, 10**places)
            if rest:
                raise self.wrong(key, f"no more decimal places than {currency} has")
            amount = scaled
        return self._money(key, currency, amount, positive=positive)

    def decimal_money(self, key: str, currency: str, *, positive: bool = False) -> Money:
        """Decimal text in major units, such as "-124.69"."""
        return self._money(key, currency, self.text(key), positive=positive)

    def number_money(self, key: str, currency: str, *, positive: bool = False) -> Money:
        """A JSON number in major units, such as 170.00, taken by its digits; decimal text is taken as well."""
        value = self._get(key)
        if isinstance(value, str | Number) or type(value) is int:
            text = value.written if isinstance(value, Number) else str(value)
            return self._money(key, currency, text, positive=positive)
        raise self._mistyped((key,), "number", value)

    def name(self, key: str) -> str:
        """An identifier that the provider writes as text or as a whole number."""
        value = self._get(key)
        return str(self.integer(key)) if type(value) is int else self.identifier(key)

    def optional_name(self, key: str) -> str | None:
        """The same, or None where it is missing, null or empty."""
        return None if self._object().get(key) in (None, "") else self.name(key)

    def same(self, key: str, expected: str) -> str:
        """An identifier that must be the one asked for. Raises MalformedPayload: the provider answered another."""
        if (given := self.name(key)) != expected:
            raise MalformedPayload(self._path_to(key), "is not the one that was asked for")
        return given

    def epoch_millis(self, key: str) -> datetime:
        """Unix milliseconds as an aware moment."""
        value = self.integer(key)
        if not 0 <= value <= _MAX_EPOCH_SECONDS * 1000:
            raise MalformedPayload(self._path_to(key), "is no plausible time in Unix milliseconds")
        return _EPOCH + timedelta(milliseconds=value)

    def epoch(self, key: str) -> datetime:
        """Unix seconds as an aware moment."""
        value = self.integer(key)
        if not 0 <= value <= _MAX_EPOCH_SECONDS:
            raise MalformedPayload(self._path_to(key), "is no plausible time in Unix seconds")
        return datetime.fromtimestamp(value, UTC)

    def optional_epoch(self, key: str) -> datetime | None:
        """Unix seconds, or None where it is missing or null."""
        return None if self._object().get(key) is None else self.epoch(key)

    def iso(self, key: str, *, zone: tzinfo | None = None) -> datetime:
        """An RFC 3339 moment. Without an offset it is no moment: refused, unless the provider documents its `zone`."""
        value = self.text(key)
        try:
            moment: datetime | None = datetime.fromisoformat(value)
        except ValueError:
            moment = None
        if moment is not None and moment.tzinfo is None:
            moment = moment.replace(tzinfo=zone)
        # The year is judged before the change to UTC, which could leave what datetime can hold.
        if moment is None or moment.tzinfo is None or "T" not in value or not 1970 <= moment.year <= 9998:
            raise self._wrong(key, "an RFC 3339 time with offset", value)
        return moment.astimezone(UTC)

    def optional_iso(self, key: str, *, zone: tzinfo | None = None) -> datetime | None:
        """An RFC 3339 moment, or None where it is missing, null or empty."""
        return None if self._object().get(key) in (None, "") else self.iso(key, zone=zone)

    def day(self, key: str) -> date:
        """A calendar day such as 2026-11-30; a time that follows it is passed over."""
        value = self.text(key)
        try:
            day = date.fromisoformat(value[:10])
        except ValueError:
            raise self._wrong(key, "a date such as 2026-11-30", value) from None
        if not 1970 <= day.year <= 9998 or value[10:11] not in ("", "T", " "):
            raise self._wrong(key, "a date such as 2026-11-30", value)
        return day

    def optional_day(self, key: str) -> date | None:
        """A calendar day, or None where it is missing, null or empty."""
        return None if self._object().get(key) in (None, "") else self.day(key)

    # Failing.

    def wrong(self, key: str, expected: str) -> MalformedPayload:
        """The error for a value that has the right type and still cannot be used; the caller raises it."""
        return self._wrong(key, expected, self._object().get(key))

    def _money(self, key: str, currency: str, amount: int | str, *, positive: bool) -> Money:
        try:
            money = Money(amount, currency) if isinstance(amount, int) else Money.from_decimal(amount, currency)
        except Invalid as error:
            raise MalformedPayload(self._path_to(key), str(error)) from None
        if positive and money.minor <= 0:
            raise MalformedPayload(self._path_to(key), "expected more than zero")
        return money

    def _object(self) -> dict[str, object]:
        if type(self.value) is not dict:
            raise MalformedPayload(self.path, f"expected object, got {_name(self.value)}")
        return self.value

    def _get(self, key: str) -> object:
        value = self._object().get(key, self)
        if value is self:
            raise MalformedPayload(self._path_to(key), "is missing")
        return value

    def _path_to(self, *keys: str | int) -> str:
        return Payload(None, self, keys).path

    def _mistyped(self, keys: tuple[str | int, ...], expected: str, value: object) -> MalformedPayload:
        return MalformedPayload(self._path_to(*keys), f"expected {expected}, got {_name(value)}")

    def _wrong(self, key: str, expected: str, value: object) -> MalformedPayload:
        shown = f", got {value[:40]!r}" if isinstance(value, str) else ""
        return MalformedPayload(self._path_to(key), f"expected {expected}{shown}")


def _name(value: object) -> str:
    """What JSON calls the type of a value."""
    names = {type(None): "null", bool: "boolean", int: "whole number", Number: "number", str: "text", list: "list"}
    return names.get(type(value), "object")


def _why(error: ValueError) -> str:
    if isinstance(error, UnicodeDecodeError):
        return "is not UTF-8"
    if isinstance(error, json.JSONDecodeError):
        return f"is not JSON ({error.msg} at character {error.pos})"
    return str(error) if isinstance(error, _NotJson) else "holds a number that is too long"


class _NotJson(ValueError):
    """Something Python would take for JSON and nobody else does."""


def _refuse_constant(text: str) -> object:
    raise _NotJson(f"is not JSON ({text} is no value)")


def _finite(text: str) -> float:
    if not isfinite(number := Number(text)):
        raise _NotJson("holds a number that is too large")
    number.written = text
    return number


_DECODER = json.JSONDecoder(parse_constant=_refuse_constant, parse_float=_finite)


def _check_depth(value: object) -> None:
    """Refuse what nests deeper than MAX_DEPTH, a level at a time and without recursion."""
    level = [value]
    for _ in range(MAX_DEPTH):
        level = [
            child
            for parent in level
            for child in (cast("dict[str, object]", parent).values() if isinstance(parent, dict) else
                          cast("list[object]", parent))
            if isinstance(child, dict | list)
        ]  # fmt: skip
        if not level:
            return
    raise MalformedPayload("", f"nests deeper than {MAX_DEPTH} levels")


def _storable(value: object) -> object:
    """The same value with U+FFFD for what PostgreSQL text cannot hold. The depth is checked before."""
    if isinstance(value, str):
        return value.replace("\0", "\ufffd").encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    if isinstance(value, list):
        return [_storable(item) for item in value]
    if isinstance(value, dict):
        return {cast("str", _storable(key)): _storable(item) for key, item in value.items()}
    return value
