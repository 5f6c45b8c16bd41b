"""The weakest schemes: what comes this way is a hint, and a fetch confirms it before anything is believed."""

from __future__ import annotations

import hmac
import secrets as entropy
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from connectors.base import Delivery, Signed, Symmetric, Verified
from connectors.signatures.parts import check_key, key_of, one_header, rejected, text_key
from core.events import Trust


@dataclass(frozen=True, slots=True, kw_only=True)
class StaticSecret(Symmetric):
    """A secret that stands in a header as it is. It proves who knows it, and nothing about the body."""

    header: str

    def verify(self, delivery: Delivery, secrets: Sequence[str]) -> Verified:
        """Prove the sender. Raises SignatureRejected."""
        given, usable = one_header(delivery, self.header).encode(), False
        for index, secret in enumerate(secrets):
            if (key := key_of(text_key, secret)) is None:
                continue
            usable = True
            if hmac.compare_digest(key, given):
                return Verified(secret_index=index, trust=Trust.HINT)
        raise rejected(usable=usable)

    def sign(self, body: bytes, secret: str, *, at: datetime, message_id: str, url: str = "") -> Signed:
        """The request a provider would send."""
        del at, message_id, url
        self.check_secret(secret)
        return Signed(headers={self.header: secret}, body=body)

    def new_secret(self) -> str:
        """A fresh secret of 32 random bytes."""
        return entropy.token_hex(32)

    def check_secret(self, secret: str) -> None:
        """Raise Invalid where the secret cannot be used."""
        check_key(text_key, secret)


@dataclass(frozen=True, slots=True)
class Unsigned(Symmetric):
    """Nothing is signed: the unguessable address of a connection is all that is known of the sender.

    Such deliveries are taken at a connection's own address only, rationed, and each leads to a fetch.
    """

    def verify(self, delivery: Delivery, secrets: Sequence[str]) -> Verified:
        """Prove nothing."""
        del delivery, secrets
        return Verified(trust=Trust.HINT)

    def sign(self, body: bytes, secret: str, *, at: datetime, message_id: str, url: str = "") -> Signed:
        """The request as it is."""
        del secret, at, message_id, url
        return Signed(headers={}, body=body)

    def new_secret(self) -> str:
        """There is none."""
        return ""

    def check_secret(self, secret: str) -> None:
        """There is none to check."""
