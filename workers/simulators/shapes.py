"""New values in the form of old ones: ids, times and amounts as a provider writes them."""

from __future__ import annotations

import re
from datetime import UTC, datetime, tzinfo
from decimal import Decimal
from hashlib import sha256
from typing import Any
from uuid import UUID, uuid5

from core.money import Money

_UUID = re.compile(r"[0-9a-fA-F]{8}-(?:[0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12}")
_ISO = re.compile(r"\d{4}-\d\d-\d\d(?:([T ])\d\d:\d\d(:\d\d)?(\.\d+)?( ?)(Z|UTC|[+-]\d\d:?\d\d)?)?")
_DOT_NET = re.compile(r"/Date\((\d+)([+-]\d{4})?\)/")
_NAMESPACE = UUID("6f1c1c7e-0a57-4f6b-9d8f-6d1f8f0a5b11")
# A prefix says of what kind an id is, and stays: pay_…, WH-…, PM…
_PREFIX = re.compile(r"(?:[A-Za-z]{1,20}[_.:-])+|[A-Z]{2}(?=[0-9A-Z]{6})|")
# Fewer changed characters than this would soon meet again.
_LEAST_LETTERS, _LEAST_DIGITS = 10, 12


def fresh_id(message_id: str, old: str) -> str:
    """An id of the same shape as `old`; the same for the same message id, and another for every other."""
    if _UUID.fullmatch(old):
        return str(uuid5(_NAMESPACE, f"{message_id} {old}"))
    prefix = found[0] if (found := _PREFIX.match(old)) else ""
    tail = old[len(prefix) :]
    digits = tail.isdigit()
    least = _LEAST_DIGITS if digits else _LEAST_LETTERS
    pattern = tail if len(tail) >= least else tail + (tail[-1:] or "0") * (least - len(tail))
    hexadecimal = bool(re.fullmatch(r"[0-9a-f]+", tail)) and not digits
    made, pool = [], int.from_bytes(sha256(f"{message_id} {old}".encode()).digest() * 4)
    for place, sign in enumerate(pattern):
        if hexadecimal:
            alphabet = "0123456789abcdef"
        elif sign.isdigit():
            # A number does not begin with a zero.
            alphabet = "123456789" if place == 0 else "0123456789"
        elif sign.isascii() and sign.isalpha():
            alphabet = "ABCDEFGHJKLMNPQRSTUVWXYZ" if sign.isupper() else "abcdefghijkmnopqrstuvwxyz"
        else:
            made.append(sign)
            continue
        pool, chosen = divmod(pool, len(alphabet))
        made.append(alphabet[chosen])
    return prefix + "".join(made)


def restated_time(old: Any, at: datetime, zone: tzinfo = UTC) -> Any:
    """`at` in the form of `old`: Unix time of any resolution, ISO 8601 in any dress, a stamp of digits.

    `zone` is the provider's own, for times that name none. What is no time stays as it is.
    """
    if isinstance(old, int) and not isinstance(old, bool):
        restated = _digits(str(old), at, zone)
        return old if restated is None else int(restated)
    if isinstance(old, float):
        return float(at.timestamp())
    if not isinstance(old, str):
        return old
    if old.isdigit():
        return _digits(old, at, zone) or old
    if found := _DOT_NET.fullmatch(old):
        return f"/Date({int(at.timestamp() * 1000)}{found[2] or ''})/"
    if found := _ISO.fullmatch(old):
        return _iso(found, at, zone)
    return old


def _digits(old: str, at: datetime, zone: tzinfo) -> str | None:
    if len(old) == 14 and old.startswith(("19", "20")):
        return f"{at.astimezone(zone):%Y%m%d%H%M%S}"
    if len(old) == 8 and old.startswith(("19", "20")):
        return f"{at.astimezone(zone):%Y%m%d}"
    scale = {10: 0, 13: 3, 16: 6, 19: 9}.get(len(old))
    if scale is None:
        return None
    micros = int(at.timestamp()) * 1_000_000 + at.microsecond
    return str(micros * 10**scale // 1_000_000)


def _iso(found: re.Match[str], at: datetime, zone: tzinfo) -> str:
    between, seconds, fraction, gap, offset = found.groups()
    if offset and offset not in ("Z", "UTC"):
        at = at.astimezone(datetime.strptime(offset.replace(":", ""), "%z").tzinfo)
    else:
        at = at.astimezone(UTC if offset else zone)
    if between is None:
        return f"{at:%Y-%m-%d}"
    text = f"{at:%Y-%m-%d}{between}{at:%H:%M}" + (f":{at:%S}" if seconds else "")
    if fraction:
        places = len(fraction) - 1
        text += "." + f"{at.microsecond:06d}"[:places].ljust(places, "0")
    return text + (gap or "") + (offset or "")


def restated_amount(old: Any, money: Money, *, minor: bool) -> Any:
    """The amount of `money` in the form of `old`, which keeps its sign: text or a number, minor or major units.

    A zero, an empty text and a null stay: they say that nothing of this kind is meant.
    """
    if isinstance(old, bool) or not isinstance(old, str | int | float):
        return old
    try:
        before = Decimal(str(old).replace(",", ""))
    except ArithmeticError:
        return old
    if before == 0 or not before.is_finite():
        return old
    amount = Decimal(abs(money.minor)) if minor else abs(money.to_decimal())
    if before < 0:
        amount = -amount
    if isinstance(old, str):
        return str(amount)
    # As JSON has it: a whole number where there is no fraction. A double holds the digits of any amount we take.
    return int(amount) if amount == amount.to_integral_value() else float(amount)


def restated_currency(old: Any, currency: str) -> Any:
    """The currency in the case that stands there."""
    if not isinstance(old, str) or not old:
        return old
    return currency.lower() if old.islower() else currency


def restated_text(old: Any, new: str) -> Any:
    """An id in the form that stands there: a number where it was one and can stay one."""
    return int(new) if isinstance(old, int) and not isinstance(old, bool) and new.isdigit() else new
