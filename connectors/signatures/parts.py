"""What schemes are made of: headers that are read once, ages, keys and encodings.

Whatever a stranger sends ends in SignatureRejected and in no other exception.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Mapping
from datetime import datetime
from functools import lru_cache
from typing import TypeAlias

from connectors.base import Delivery
from core.errors import Invalid, SignatureRejected

MAX_SECRET = 512
MAX_HEADER = 8192
MAX_MESSAGE_ID = 255
# Signatures of one delivery that are tried, so that a long header cannot buy much work.
MAX_SIGNATURES = 8


def readable(name: str, value: str) -> str:
    """A header's value, which must hold printable ASCII. Raises SignatureRejected."""
    if not value or len(value) > MAX_HEADER or not value.isascii() or not value.isprintable():
        raise SignatureRejected(f"{name} is empty or garbled")
    return value


def one_header(delivery: Delivery, name: str) -> str:
    """A header that must stand exactly once and hold printable ASCII. Raises SignatureRejected."""
    values = delivery.headers.get(name.lower(), ())
    if len(values) != 1:
        raise SignatureRejected(f"{name} is missing" if not values else f"{name} stands more than once")
    return readable(name, values[0])


def check_age(delivery: Delivery, timestamp: str, tolerance_seconds: float, *, per_second: int = 1) -> None:
    """Refuse a Unix timestamp further than the tolerance from the arrival, in the past or the future.

    `per_second` is 1000 where the provider counts milliseconds.
    """
    if not 0 < len(timestamp) <= 15 or not timestamp.isascii() or not timestamp.isdigit():
        raise SignatureRejected("timestamp is not a whole number of Unix time")
    age = delivery.received_at.timestamp() - int(timestamp) / per_second
    if abs(age) > tolerance_seconds:
        raise SignatureRejected(f"timestamp is {abs(age):.0f} s {'old' if age > 0 else 'ahead'}")


def unix_of(stamp: str) -> str:
    """An RFC 3339 time in a header as whole Unix seconds. Raises SignatureRejected."""
    try:
        moment = datetime.fromisoformat(stamp) if len(stamp) <= 40 else None
    except ValueError:
        moment = None
    if moment is None or moment.tzinfo is None or not 1970 <= moment.year <= 9998:
        raise SignatureRejected("timestamp is no time with an offset")
    return str(int(moment.timestamp()))


def decode_base64(text: str) -> bytes:
    """Standard base64 with or without its padding. Raises ValueError."""
    stripped = text.rstrip("=")
    return base64.b64decode(stripped + "=" * (-len(stripped) % 4), validate=True)


# How a secret's text becomes key bytes.
KeyDecoder: TypeAlias = Callable[[str], bytes]


def text_key(secret: str) -> bytes:
    """The secret as it stands."""
    return secret.encode()


def hex_key(secret: str) -> bytes:
    """The bytes that a secret spells in hexadecimal. Raises ValueError."""
    return bytes.fromhex(secret) if secret.isalnum() else b""


@lru_cache(maxsize=4096)
def key_of(decode: KeyDecoder, secret: str) -> bytes | None:
    """The key bytes of a secret, or None where it cannot be used."""
    try:
        return (decode(secret) or None) if 0 < len(secret) <= MAX_SECRET else None
    except ValueError:
        return None


def check_key(decode: KeyDecoder, secret: str) -> None:
    """Raise Invalid where the secret cannot be used."""
    if key_of(decode, secret) is None:
        raise Invalid("webhook_secret", f"must be 1 to {MAX_SECRET} characters in the form the provider shows")


def rejected(*, usable: bool) -> SignatureRejected:
    """The error when no live secret proved a delivery; the caller raises it."""
    return SignatureRejected("no live secret made this signature" if usable else "there is no usable secret")


ENCODERS: Mapping[str, Callable[[bytes], bytes]] = {"hex": binascii.hexlify, "base64": base64.b64encode}
