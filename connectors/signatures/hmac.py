"""HMAC in its many dresses: what is signed, with which key, in which header, at which time."""

from __future__ import annotations

import hmac
import secrets as entropy
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from connectors.base import Delivery, Signed, Symmetric, Verified
from connectors.signatures.parts import (
    ENCODERS,
    MAX_SIGNATURES,
    KeyDecoder,
    check_age,
    check_key,
    key_of,
    one_header,
    readable,
    rejected,
    text_key,
)
from core.errors import SignatureRejected

BODY = "{body}"
TIMESTAMP = "{timestamp}"
URL = "{url}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Hmac(Symmetric):
    """HMAC in one header: the digest of the `signed` parts, as lower-case hex or base64, after `prefix`.

    `signed` is literal text around BODY, TIMESTAMP and URL. With a `timestamp_header` the delivery's age is checked.
    `several` allows several signatures, in lines of their own or with commas between them, of which one must hold.
    `id_header` is sent along when signing and is not covered by the signature, so it proves nothing.
    """

    header: str
    algorithm: Literal["sha256", "sha512", "sha1"] = "sha256"
    encoding: Literal["hex", "base64"] = "hex"
    prefix: str = ""
    signed: tuple[str, ...] = (BODY,)
    decode_key: KeyDecoder = text_key
    timestamp_header: str | None = None
    timestamp_per_second: Literal[1, 1000] = 1
    tolerance_seconds: float = 300
    several: bool = False
    id_header: str | None = None

    def __post_init__(self) -> None:
        if BODY not in self.signed or (TIMESTAMP in self.signed) != (self.timestamp_header is not None):
            raise ValueError("the body must be signed, and a timestamp exactly where it has a header")

    def verify(self, delivery: Delivery, secrets: Sequence[str]) -> Verified:
        """Prove the delivery. Raises SignatureRejected."""
        given = self._given(delivery)
        timestamp = ""
        if self.timestamp_header:
            timestamp = one_header(delivery, self.timestamp_header)
            check_age(delivery, timestamp, self.tolerance_seconds, per_second=self.timestamp_per_second)
        message = self._message(delivery.body, timestamp, delivery.url)
        usable = False
        for index, secret in enumerate(secrets):
            if (key := key_of(self.decode_key, secret)) is None:
                continue
            usable = True
            expected = self._seal(key, message)
            if any(hmac.compare_digest(expected, one) for one in given):
                return Verified(secret_index=index)
        raise rejected(usable=usable)

    def sign(self, body: bytes, secret: str, *, at: datetime, message_id: str, url: str = "") -> Signed:
        """The request a provider would send to `url`."""
        self.check_secret(secret)
        timestamp = str(int(at.timestamp() * self.timestamp_per_second))
        seal = self._seal(self.decode_key(secret), self._message(body, timestamp, url))
        headers = {self.header: seal.decode()}
        if self.timestamp_header:
            headers[self.timestamp_header] = timestamp
        if self.id_header:
            headers[self.id_header] = message_id
        return Signed(headers=headers, body=body)

    def new_secret(self) -> str:
        """A fresh secret of 32 random bytes, as text that every decoder here takes."""
        return entropy.token_hex(32)

    def check_secret(self, secret: str) -> None:
        """Raise Invalid where the secret cannot be used."""
        check_key(self.decode_key, secret)

    def _given(self, delivery: Delivery) -> list[bytes]:
        if not self.several:
            return [one_header(delivery, self.header).encode()]
        lines = delivery.headers.get(self.header.lower(), ())
        given = [one.strip().encode() for line in lines for one in readable(self.header, line).split(",")]
        if not 0 < len(given) <= MAX_SIGNATURES:
            raise SignatureRejected(f"{self.header} is missing or holds too many signatures")
        return given

    def _message(self, body: bytes, timestamp: str, url: str) -> bytes:
        if len(self.signed) == 1:
            return body
        filled = {BODY: body, TIMESTAMP: timestamp.encode(), URL: url.encode()}
        return b"".join(filled[part] if part in filled else part.encode() for part in self.signed)

    def _seal(self, key: bytes, message: bytes) -> bytes:
        return self.prefix.encode() + ENCODERS[self.encoding](hmac.digest(key, message, self.algorithm))


@dataclass(frozen=True, slots=True, kw_only=True)
class TimestampedHmac(Symmetric):
    """HMAC-SHA256 in a header of items, `t=1700000000,v1=<hex>[,v1=<hex>]`, over `{t}.{body}`, as Stripe has it.

    Items of other names are ignored; any of the signatures may hold. A `t` that stands twice is refused.
    """

    header: str
    timestamp_key: str = "t"
    signature_key: str = "v1"
    tolerance_seconds: float = 300
    decode_key: KeyDecoder = text_key

    def verify(self, delivery: Delivery, secrets: Sequence[str]) -> Verified:
        """Prove the delivery. Raises SignatureRejected."""
        items = [one.partition("=") for one in one_header(delivery, self.header).split(",")]
        times = [value for name, _, value in items if name == self.timestamp_key]
        given = [value.encode() for name, _, value in items if name == self.signature_key]
        if len(times) != 1 or not 0 < len(given) <= MAX_SIGNATURES:
            raise SignatureRejected(f"{self.header} needs one {self.timestamp_key} and some {self.signature_key}")
        check_age(delivery, times[0], self.tolerance_seconds)
        message = times[0].encode() + b"." + delivery.body
        usable = False
        for index, secret in enumerate(secrets):
            if (key := key_of(self.decode_key, secret)) is None:
                continue
            usable = True
            expected = self._seal(key, message)
            if any(hmac.compare_digest(expected, one) for one in given):
                return Verified(secret_index=index)
        raise rejected(usable=usable)

    def sign(self, body: bytes, secret: str, *, at: datetime, message_id: str, url: str = "") -> Signed:
        """The request a provider would send."""
        del message_id, url
        self.check_secret(secret)
        timestamp = str(int(at.timestamp()))
        seal = self._seal(self.decode_key(secret), timestamp.encode() + b"." + body).decode()
        return Signed(headers={self.header: f"{self.timestamp_key}={timestamp},{self.signature_key}={seal}"}, body=body)

    def new_secret(self) -> str:
        """A fresh secret of 32 random bytes."""
        return entropy.token_hex(32)

    def check_secret(self, secret: str) -> None:
        """Raise Invalid where the secret cannot be used."""
        check_key(self.decode_key, secret)

    def _seal(self, key: bytes, message: bytes) -> bytes:
        return ENCODERS["hex"](hmac.digest(key, message, "sha256"))
