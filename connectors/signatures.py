"""Signature schemes in parts. A scheme verifies raw bytes against any live secret, and signs for simulation.

Whatever a stranger sends ends in SignatureRejected and in no other exception. A live secret that is itself
unusable is passed over while the others are tried. Age is judged against the moment the delivery arrived.
"""

from __future__ import annotations

import base64
import binascii
import hmac
import secrets as entropy
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import lru_cache
from typing import Literal, TypeAlias

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from connectors.base import Delivery, Verified
from core.errors import Invalid, SignatureRejected

MAX_SECRET = 512
MAX_HEADER = 8192
MAX_MESSAGE_ID = 255
# Entries of an asymmetric version that are tried, so that a long header cannot buy much work.
MAX_ASYMMETRIC = 8


def one_header(delivery: Delivery, name: str) -> str:
    """A header that must stand exactly once and hold printable ASCII. Raises SignatureRejected."""
    values = delivery.headers.get(name.lower(), ())
    if len(values) != 1:
        raise SignatureRejected(f"{name} is missing" if not values else f"{name} stands more than once")
    value = values[0]
    if not value or len(value) > MAX_HEADER or not value.isascii() or not value.isprintable():
        raise SignatureRejected(f"{name} is empty or garbled")
    return value


def check_age(delivery: Delivery, timestamp: str, tolerance_seconds: float) -> None:
    """Refuse a Unix timestamp further than the tolerance from the arrival, in the past or the future."""
    if not 0 < len(timestamp) <= 12 or not timestamp.isascii() or not timestamp.isdigit():
        raise SignatureRejected("timestamp is not a whole number of Unix seconds")
    age = delivery.received_at.timestamp() - int(timestamp)
    if abs(age) > tolerance_seconds:
        raise SignatureRejected(f"timestamp is {abs(age):.0f} s {'old' if age > 0 else 'ahead'}")


def decode_base64(text: str) -> bytes:
    """Standard base64 with or without its padding. Raises ValueError."""
    stripped = text.rstrip("=")
    return base64.b64decode(stripped + "=" * (-len(stripped) % 4), validate=True)


# How a secret's text becomes key bytes.
KeyDecoder: TypeAlias = Callable[[str], bytes]


def text_key(secret: str) -> bytes:
    """The secret as it stands."""
    return secret.encode()


@lru_cache(maxsize=4096)
def _key(decode: KeyDecoder, secret: str) -> bytes | None:
    """The key bytes of a secret, or None where it cannot be used."""
    try:
        return (decode(secret) or None) if 0 < len(secret) <= MAX_SECRET else None
    except ValueError:
        return None


_ENCODERS: Mapping[str, Callable[[bytes], bytes]] = {"hex": binascii.hexlify, "base64": base64.b64encode}

BODY = "{body}"
TIMESTAMP = "{timestamp}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Hmac:
    """HMAC in one header: the digest of the `signed` parts, as lower-case hex or base64, after `prefix`.

    `signed` is literal text around BODY and TIMESTAMP. With a `timestamp_header` the delivery's age is checked.
    `id_header` is sent along when signing and is not covered by the signature, so it proves nothing.
    """

    header: str
    algorithm: Literal["sha256", "sha512", "sha1"] = "sha256"
    encoding: Literal["hex", "base64"] = "hex"
    prefix: str = ""
    signed: tuple[str, ...] = (BODY,)
    decode_key: KeyDecoder = text_key
    timestamp_header: str | None = None
    tolerance_seconds: float = 300
    id_header: str | None = None

    def __post_init__(self) -> None:
        if BODY not in self.signed or (TIMESTAMP in self.signed) != (self.timestamp_header is not None):
            raise ValueError("the body must be signed, and a timestamp exactly where it has a header")

    def verify(self, delivery: Delivery, secrets: Sequence[str]) -> Verified:
        """Prove the delivery. Raises SignatureRejected."""
        given = one_header(delivery, self.header).encode()
        timestamp = ""
        if self.timestamp_header:
            timestamp = one_header(delivery, self.timestamp_header)
            check_age(delivery, timestamp, self.tolerance_seconds)
        message = self._message(delivery.body, timestamp)
        usable = False
        for index, secret in enumerate(secrets):
            if (key := _key(self.decode_key, secret)) is None:
                continue
            usable = True
            if hmac.compare_digest(self._seal(key, message), given):
                return Verified(secret_index=index)
        raise SignatureRejected("no live secret made this signature" if usable else "there is no usable secret")

    def sign(self, body: bytes, secret: str, *, at: datetime, message_id: str) -> dict[str, str]:
        """The headers a provider would send with this body."""
        self.check_secret(secret)
        timestamp = str(int(at.timestamp()))
        seal = self._seal(self.decode_key(secret), self._message(body, timestamp))
        headers = {self.header: seal.decode()}
        if self.timestamp_header:
            headers[self.timestamp_header] = timestamp
        if self.id_header:
            headers[self.id_header] = message_id
        return headers

    def new_secret(self) -> str:
        """A fresh secret of 32 random bytes, as text that every decoder here takes."""
        return entropy.token_hex(32)

    def check_secret(self, secret: str) -> None:
        """Raise Invalid where the secret cannot be used."""
        if _key(self.decode_key, secret) is None:
            raise Invalid("webhook_secret", f"must be 1 to {MAX_SECRET} characters in the form the provider shows")

    def _message(self, body: bytes, timestamp: str) -> bytes:
        if len(self.signed) == 1:
            return body
        filled = {BODY: body, TIMESTAMP: timestamp.encode()}
        return b"".join(filled[part] if part in filled else part.encode() for part in self.signed)

    def _seal(self, key: bytes, message: bytes) -> bytes:
        return self.prefix.encode() + _ENCODERS[self.encoding](hmac.digest(key, message, self.algorithm))


@dataclass(frozen=True, slots=True)
class _StandardKey:
    """A Standard Webhooks secret, decoded: for v1 its bytes, for v1a a public key and perhaps the private one."""

    symmetric: bytes | None = field(default=None, repr=False)
    public: Ed25519PublicKey | None = None
    private: Ed25519PrivateKey | None = field(default=None, repr=False)


@lru_cache(maxsize=4096)
def _standard_key(secret: str) -> _StandardKey | None:
    """Read whsec_ (or bare base64), whpk_ or whsk_ text; None where it cannot be used."""
    if len(secret) > MAX_SECRET:
        return None
    try:
        if secret.startswith("whpk_"):
            return _StandardKey(public=Ed25519PublicKey.from_public_bytes(decode_base64(secret[5:])))
        if secret.startswith("whsk_"):
            # 32 bytes of seed, or 64 where the sender's library appends the public key.
            seed = decode_base64(secret[5:])
            if len(seed) not in (32, 64):
                return None
            private = Ed25519PrivateKey.from_private_bytes(seed[:32])
            return _StandardKey(public=private.public_key(), private=private)
        key = decode_base64(secret.removeprefix("whsec_"))
    except ValueError:
        return None
    return _StandardKey(symmetric=key) if key else None


@dataclass(frozen=True, slots=True, kw_only=True)
class StandardWebhooks:
    """Standard Webhooks 1.0.0: v1 (HMAC-SHA256) and v1a (Ed25519), header names webhook-* or svix-*.

    The secret's own form decides what it can prove: whsec_ only v1, whpk_ only v1a. Nothing in the request
    chooses a key or loosens a check.
    """

    tolerance_seconds: float = 300
    asymmetric: bool = True

    def verify(self, delivery: Delivery, secrets: Sequence[str]) -> Verified:
        """Prove the delivery. Raises SignatureRejected."""
        family = "svix" if "webhook-id" not in delivery.headers and "svix-id" in delivery.headers else "webhook"
        message_id = one_header(delivery, f"{family}-id")
        if len(message_id) > MAX_MESSAGE_ID or "." in message_id:
            raise SignatureRejected(f"{family}-id holds a full stop or is too long")
        timestamp = one_header(delivery, f"{family}-timestamp")
        check_age(delivery, timestamp, self.tolerance_seconds)
        entries = one_header(delivery, f"{family}-signature").encode().split(b" ")
        symmetric = [entry for entry in entries if entry.startswith(b"v1,")]
        asymmetric = [entry[4:] for entry in entries if entry.startswith(b"v1a,")][:MAX_ASYMMETRIC]
        message = f"{message_id}.{timestamp}.".encode() + delivery.body
        usable = False
        for index, secret in enumerate(secrets):
            if (key := self._usable(secret)) is None:
                continue
            usable = True
            if key.symmetric is not None:
                expected = _seal_v1(key.symmetric, message)
                proven = any(hmac.compare_digest(expected, entry) for entry in symmetric)
            else:
                proven = any(_proves(key.public, entry, message) for entry in asymmetric)
            if proven:
                return Verified(secret_index=index, message_id=message_id)
        raise SignatureRejected("no live secret made this signature" if usable else "there is no usable secret")

    def sign(self, body: bytes, secret: str, *, at: datetime, message_id: str) -> dict[str, str]:
        """The headers a sender would add. A public key (whpk_) cannot sign: give the whsk_ that belongs to it."""
        key = _standard_key(secret)
        timestamp = str(int(at.timestamp()))
        message = f"{message_id}.{timestamp}.".encode() + body
        if key is not None and key.symmetric is not None:
            signature = _seal_v1(key.symmetric, message)
        elif key is not None and key.private is not None and self.asymmetric:
            signature = b"v1a," + base64.b64encode(key.private.sign(message))
        else:
            raise Invalid("webhook_secret", "cannot sign")
        return {
            "webhook-id": message_id,
            "webhook-timestamp": timestamp,
            "webhook-signature": signature.decode(),
        }

    def new_secret(self) -> str:
        """A fresh v1 secret of 32 random bytes."""
        return "whsec_" + base64.b64encode(entropy.token_bytes(32)).decode()

    def check_secret(self, secret: str) -> None:
        """Raise Invalid where the secret cannot be used."""
        if secret.startswith("whsk_"):
            raise Invalid("webhook_secret", "is a private key: paste the public one, which begins with whpk_")
        if self._usable(secret) is None:
            forms = "whsec_ or whpk_" if self.asymmetric else "whsec_"
            raise Invalid("webhook_secret", f"must be {forms} followed by base64")

    def _usable(self, secret: str) -> _StandardKey | None:
        key = _standard_key(secret)
        return key if key is not None and (self.asymmetric or key.symmetric is not None) else None


def _seal_v1(key: bytes, message: bytes) -> bytes:
    return b"v1," + base64.b64encode(hmac.digest(key, message, "sha256"))


def _proves(key: Ed25519PublicKey | None, signature: bytes, message: bytes) -> bool:
    if key is None:
        return False
    try:
        key.verify(base64.b64decode(signature, validate=True), message)
    except (InvalidSignature, ValueError):
        return False
    return True


def public_key_of(secret: str) -> str:
    """The whpk_ text that belongs to a whsk_ secret: what a receiver is given."""
    key = _standard_key(secret)
    if key is None or key.private is None or key.public is None:
        raise Invalid("webhook_secret", "must be whsk_ followed by base64 of an Ed25519 private key")
    return "whpk_" + base64.b64encode(key.public.public_bytes(Encoding.Raw, PublicFormat.Raw)).decode()
