"""Braintree's scheme: two form fields, one of which signs the text of the other, under a key pair of the account.

The secret holds both halves of the pair in one text, `public_key:private_key`. The sender may sign under several
pairs; ours is found by its public key, and nothing else in the request says which key counts.
"""

from __future__ import annotations

import base64
import hmac
import re
import secrets as entropy
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from hashlib import sha1
from urllib.parse import parse_qsl, urlencode

from connectors.base import Answer, Delivery, Signed, Symmetric, Verified
from connectors.signatures.parts import MAX_SECRET, MAX_SIGNATURES, rejected
from core.errors import Invalid, MalformedPayload, SignatureRejected

SIGNATURE, PAYLOAD, CHALLENGE = "bt_signature", "bt_payload", "bt_challenge"
_PAIR = re.compile(r"([A-Za-z0-9_-]+):([A-Za-z0-9_-]+)", re.ASCII)
# A plus sign that arrived as it is has become a blank by now, and a blank is refused.
_BASE64 = re.compile(r"[A-Za-z0-9+/=\n]+", re.ASCII)
_CHALLENGE = re.compile(r"[a-f0-9]{20,32}", re.ASCII)


def form_field(body: bytes, name: str) -> str:
    """A field that stands exactly once in a form, decoded once. Raises MalformedPayload."""
    try:
        fields = parse_qsl(body.decode("ascii"), keep_blank_values=True, strict_parsing=True, max_num_fields=20)
    except ValueError:
        raise MalformedPayload("", "is no form of fields and values") from None
    values = [value for field, value in fields if field == name]
    if len(values) != 1:
        raise MalformedPayload(name, "is missing" if not values else "stands more than once")
    return values[0]


@dataclass(frozen=True, slots=True)
class FormHmac(Symmetric):
    """HMAC-SHA1 over a form field, in hex; the key is the SHA-1 digest of the private key.

    SHA-1 is all that Braintree offers. Collisions of it do not help against HMAC.
    """

    def verify(self, delivery: Delivery, secrets: Sequence[str]) -> Verified:
        """Prove the delivery. Raises SignatureRejected."""
        try:
            payload, given = form_field(delivery.body, PAYLOAD), form_field(delivery.body, SIGNATURE)
        except MalformedPayload as error:
            raise SignatureRejected(f"the form cannot be judged: {error}") from None
        # We sign challenges for anybody who asks: what we signed that way must never be taken for a notice.
        if not _BASE64.fullmatch(payload) or _CHALLENGE.fullmatch(payload):
            raise SignatureRejected(f"{PAYLOAD} is not base64")
        pairs = [one.partition("|") for one in given.split("&")]
        if len(pairs) > MAX_SIGNATURES or not given.isascii():
            raise SignatureRejected(f"{SIGNATURE} is garbled or holds too many signatures")
        usable = False
        for index, secret in enumerate(secrets):
            if (pair := _pair(secret)) is None:
                continue
            usable = True
            public, key = pair
            signatures = [seal.encode() for name, _, seal in pairs if name == public]
            # The line feed at the end of the text is signed, and may be lost on the way.
            expected = [_seal(key, text) for text in (payload, payload + "\n")]
            if any(hmac.compare_digest(one, seal) for one in expected for seal in signatures):
                return Verified(secret_index=index)
        raise rejected(usable=usable)

    def sign(self, body: bytes, secret: str, *, at: datetime, message_id: str, url: str = "") -> Signed:
        """The form that carries this document: base64 in lines, as Braintree writes it."""
        del at, message_id, url
        public, key = _known(secret)
        payload = encode_document(body)
        form = urlencode({SIGNATURE: f"{public}|{_seal(key, payload).decode()}", PAYLOAD: payload})
        return Signed(headers={"Content-Type": "application/x-www-form-urlencoded"}, body=form.encode())

    def answer(self, delivery: Delivery, secrets: Sequence[str]) -> Answer | None:
        """What a challenge is answered with; None where the request holds none, or no secret can be used."""
        challenge = delivery.query.get(CHALLENGE, "")
        pair = next(filter(None, map(_pair, secrets)), None)
        if delivery.method != "GET" or pair is None or not _CHALLENGE.fullmatch(challenge):
            return None
        public, key = pair
        return Answer(body=f"{public}|{_seal(key, challenge).decode()}".encode())

    def new_secret(self) -> str:
        """A fresh key pair."""
        return f"{entropy.token_hex(8)}:{entropy.token_hex(16)}"

    def check_secret(self, secret: str) -> None:
        """Raise Invalid where the secret cannot be used."""
        _known(secret)


def encode_document(document: bytes) -> str:
    """Base64 in lines of sixty characters, each of which ends in a line feed."""
    text = base64.b64encode(document).decode()
    return "".join(f"{text[start : start + 60]}\n" for start in range(0, len(text), 60)) or "\n"


@lru_cache(maxsize=4096)
def _pair(secret: str) -> tuple[str, bytes] | None:
    """Our public key and the HMAC key, or None where the secret cannot be used."""
    found = _PAIR.fullmatch(secret) if len(secret) <= MAX_SECRET else None
    return (found[1], sha1(found[2].encode(), usedforsecurity=False).digest()) if found else None


def _known(secret: str) -> tuple[str, bytes]:
    if (pair := _pair(secret)) is None:
        raise Invalid("webhook_secret", "must be the public and the private key with a colon between them")
    return pair


def _seal(key: bytes, text: str) -> bytes:
    return hmac.digest(key, text.encode(), "sha1").hex().encode()
