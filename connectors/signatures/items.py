"""Adyen's two schemes as one: a signature inside each item of a batch, or one header over the whole body.

Which one must hold is decided by the body alone: where it names the list of items, every item needs its own signature
and no header is looked at; any other body needs the header, and is not read before that holds. So one body can be
proven in one way only, and leaving a header out, or putting one in, never leads to the weaker check.
"""

from __future__ import annotations

import base64
import hmac
import json
import secrets as entropy
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import cast

from connectors.base import Delivery, Signed, Symmetric, Verified
from connectors.payload import Payload
from connectors.signatures.hmac import Hmac
from connectors.signatures.parts import check_key, hex_key, key_of, rejected
from core.errors import MalformedPayload, SignatureRejected

# What the HMAC of an item covers, in this order; everything else in the item is the word of whoever sent it.
TEXTS_BEFORE = ("pspReference", "originalReference", "merchantAccountCode", "merchantReference")
TEXTS_AFTER = ("eventCode", "success")


@dataclass(frozen=True, slots=True, kw_only=True)
class ItemHmac(Symmetric):
    """HMAC-SHA256 in base64, the key in hexadecimal: over eight fields of each item, or over the body.

    The eight are joined by colons without escaping. Only `merchantReference` may hold a colon: then the three before
    it and the four after it are told apart, and no other item has the same text.
    """

    items: str = "notificationItems"
    item: str = "NotificationRequestItem"
    header: str = "HmacSignature"
    _whole: Hmac = field(init=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_whole", Hmac(header=self.header, encoding="base64", decode_key=hex_key))

    def verify(self, delivery: Delivery, secrets: Sequence[str]) -> Verified:
        """Prove the delivery: each item under any live secret. Raises SignatureRejected."""
        if f'"{self.items}"'.encode() not in delivery.body:
            # The text of an item, whose signature anybody has who has seen it, is no object and so no body.
            if not delivery.body.lstrip().startswith(b"{"):
                raise SignatureRejected("the body is no object")
            return self._whole.verify(delivery, secrets)
        try:
            given = [(_signed_text(one), _signature(one)) for one in self._items(Payload.from_bytes(delivery.body))]
        except MalformedPayload as error:
            raise SignatureRejected(f"the body cannot be judged: {error}") from None
        keys = [(index, key) for index, secret in enumerate(secrets) if (key := key_of(hex_key, secret)) is not None]
        proven = [
            next((index for index, key in keys if hmac.compare_digest(_seal(key, text), signature)), None)
            for text, signature in given
        ]
        if not proven or proven[0] is None or None in proven:
            raise rejected(usable=bool(keys))
        return Verified(secret_index=proven[0])

    def sign(self, body: bytes, secret: str, *, at: datetime, message_id: str, url: str = "") -> Signed:
        """The request Adyen would send: items get their signatures written in, anything else gets the header."""
        self.check_secret(secret)
        try:
            given = Payload.from_bytes(body)
            key = hex_key(secret)
            for one in self._items(given):
                seal = _seal(key, _signed_text(one)).decode()
                values = cast("dict[str, object]", one.value)
                held = values.get("additionalData")
                values["additionalData"] = {**(held if isinstance(held, dict) else {}), "hmacSignature": seal}
        except (MalformedPayload, SignatureRejected):
            return self._whole.sign(body, secret, at=at, message_id=message_id, url=url)
        return Signed(headers={}, body=json.dumps(given.value, ensure_ascii=False).encode())

    def new_secret(self) -> str:
        """A fresh key of 32 random bytes, in hexadecimal as the Customer Area shows it."""
        return entropy.token_hex(32).upper()

    def check_secret(self, secret: str) -> None:
        """Raise Invalid where the secret cannot be used."""
        check_key(hex_key, secret)

    def _items(self, body: Payload) -> list[Payload]:
        found = [wrapper.at(self.item) for wrapper in body.items(self.items)]
        if not found:
            raise SignatureRejected(f"{self.items} is empty")
        return found


def _signed_text(item: Payload) -> bytes:
    """The text that is signed. What is missing or null counts as empty, never as a word such as None."""
    amount = item.optional_at("amount")
    value = amount.optional_integer("value") if amount else None
    currency = (amount.optional_text("currency") if amount else None) or ""
    before = [item.optional_text(name) or "" for name in TEXTS_BEFORE]
    after = [item.optional_text(name) or "" for name in TEXTS_AFTER]
    if any(":" in one for one in (*before[:3], currency, *after)):
        raise SignatureRejected("a field that may hold no colon holds one")
    return ":".join([*before, "" if value is None else str(value), currency, *after]).encode()


def _signature(item: Payload) -> bytes:
    return item.at("additionalData").identifier("hmacSignature").encode()


def _seal(key: bytes, text: bytes) -> bytes:
    return base64.b64encode(hmac.digest(key, text, "sha256"))
