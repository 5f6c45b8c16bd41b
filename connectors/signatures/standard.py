"""Standard Webhooks 1.0.0: v1 (HMAC-SHA256) and v1a (Ed25519)."""

from __future__ import annotations

import base64
import hmac
import secrets as entropy
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import lru_cache

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from connectors.base import Delivery, Signed, Verified, Wanted
from connectors.signatures.parts import (
    MAX_MESSAGE_ID,
    MAX_SECRET,
    MAX_SIGNATURES,
    check_age,
    decode_base64,
    one_header,
    rejected,
)
from core.errors import Invalid, SignatureRejected


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
        asymmetric = [entry[4:] for entry in entries if entry.startswith(b"v1a,")][:MAX_SIGNATURES]
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
        raise rejected(usable=usable)

    def wants(self, delivery: Delivery, secrets: Sequence[str]) -> Wanted | None:
        """Nothing: no key ever arrives with a request."""
        del delivery, secrets
        return None

    def sign(self, body: bytes, secret: str, *, at: datetime, message_id: str, url: str = "") -> Signed:
        """The request a sender makes. A public key (whpk_) cannot sign: give the whsk_ that belongs to it."""
        del url
        key = _standard_key(secret)
        timestamp = str(int(at.timestamp()))
        message = f"{message_id}.{timestamp}.".encode() + body
        if key is not None and key.symmetric is not None:
            signature = _seal_v1(key.symmetric, message)
        elif key is not None and key.private is not None and self.asymmetric:
            signature = b"v1a," + base64.b64encode(key.private.sign(message))
        else:
            raise Invalid("webhook_secret", "cannot sign")
        headers = {
            "webhook-id": message_id,
            "webhook-timestamp": timestamp,
            "webhook-signature": signature.decode(),
        }
        return Signed(headers=headers, body=body)

    def new_secret(self) -> str:
        """A fresh v1 secret of 32 random bytes."""
        return "whsec_" + base64.b64encode(entropy.token_bytes(32)).decode()

    def receiving(self, secret: str) -> str:
        """The public key of a whsk_ secret; any other secret is held by both sides."""
        return public_key_of(secret) if secret.startswith("whsk_") else secret

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
