"""HMAC over a JSON body in its canonical form: keys sorted, no blanks. What travels may be written otherwise."""

from __future__ import annotations

import hmac
import json
import secrets as entropy
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import ClassVar

from connectors.base import Delivery, Signed, Symmetric, Verified
from connectors.payload import Number, Payload
from connectors.signatures.parts import ENCODERS, check_key, key_of, one_header, rejected, text_key
from core.errors import MalformedPayload


class _Unsure(ValueError):
    """A number that another library would write otherwise: then the canonical form is not known."""


def _number(value: float) -> int | float:
    """A number as JavaScript writes it, where that is how it came: otherwise its digits would not be proven."""
    short: int | float = int(value) if value.is_integer() and abs(value) < 1e15 else value
    if isinstance(value, Number) and value.written != repr(float(short) if isinstance(short, float) else short):
        raise _Unsure
    return short


def _sorted(value: object, *, within_lists: bool) -> object:
    """The same with the keys of every object in order; inside lists only where asked."""
    if isinstance(value, dict):
        return {key: _sorted(value[key], within_lists=within_lists) for key in sorted(value)}
    if isinstance(value, list):
        return [_sorted(one, within_lists=True) if within_lists else _checked(one) for one in value]
    return _number(value) if isinstance(value, float) else value


def _checked(value: object) -> object:
    """The same in its own order, with its numbers as they would be written."""
    if isinstance(value, dict):
        return {key: _checked(one) for key, one in value.items()}
    if isinstance(value, list):
        return [_checked(one) for one in value]
    return _number(value) if isinstance(value, float) else value


def canonical(body: bytes, *, within_lists: bool = True) -> bytes:
    """A JSON body with sorted keys and without blanks. Raises ValueError where it is none, or not certain."""
    try:
        value = _sorted(Payload.from_bytes(body).value, within_lists=within_lists)
    except MalformedPayload as error:
        raise ValueError("is not JSON") from error
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()


@dataclass(frozen=True, slots=True, kw_only=True)
class CanonicalHmac(Symmetric):
    """HMAC-SHA256 over the canonical body, or over the raw one; in hex or base64, since the provider says both.

    Each candidate needs the key, so that trying several opens nothing to those who do not have it. What is proven is
    what the body says and not its bytes: blanks and the order of keys may differ, values may not.
    """

    header: str
    # Told to the contract: a body may be written anew.
    proves_bytes: ClassVar[bool] = False

    def verify(self, delivery: Delivery, secrets: Sequence[str]) -> Verified:
        """Prove the delivery. Raises SignatureRejected."""
        given = one_header(delivery, self.header).encode()
        messages, usable = _messages(delivery.body), False
        for index, secret in enumerate(secrets):
            if (key := key_of(text_key, secret)) is None:
                continue
            usable = True
            digests = [hmac.digest(key, message, "sha256") for message in messages]
            candidates = [encode(digest) for encode in ENCODERS.values() for digest in digests]
            # Every candidate is compared, so that the time says nothing about which one it was.
            if sum([hmac.compare_digest(candidate, given) for candidate in candidates]):
                return Verified(secret_index=index)
        raise rejected(usable=usable)

    def sign(self, body: bytes, secret: str, *, at: datetime, message_id: str, url: str = "") -> Signed:
        """The request a provider would send. A body that is no JSON is signed as it is."""
        del at, message_id, url
        self.check_secret(secret)
        digest = hmac.digest(text_key(secret), _messages(body)[0], "sha256")
        return Signed(headers={self.header: ENCODERS["hex"](digest).decode()}, body=body)

    def new_secret(self) -> str:
        """A fresh secret of 32 random bytes."""
        return entropy.token_hex(32)

    def check_secret(self, secret: str) -> None:
        """Raise Invalid where the secret cannot be used."""
        check_key(text_key, secret)


def _messages(body: bytes) -> list[bytes]:
    """What may have been signed: the canonical forms first, then the body as it came."""
    try:
        return [canonical(body), canonical(body, within_lists=False), body]
    except ValueError:
        return [body]
