"""JSON Web Signatures by elliptic curves: a token over the body's hash, and a detached one over the whole request.

The algorithm is fixed by the scheme, never taken from the token. Keys come by `wants`, from places that the scheme
itself names; what the receiver keeps only says where to look.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache, partial
from typing import ClassVar, Literal
from urllib.parse import urlsplit

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature, encode_dss_signature

from connectors.base import Delivery, Request, Signed, Verified, Wanted
from connectors.payload import Payload
from connectors.signatures.parts import MAX_SECRET, check_age, one_header, rejected, unix_of
from core.errors import Invalid, MalformedPayload, SignatureRejected

# A genuine segment has a few hundred characters; what is longer is not decoded at all.
MAX_SEGMENT = 2048
MAX_DOCUMENT = 100_000
MAX_KEYS = 100
MAX_NAME = 128
MAX_SIGNED_HEADERS = 20
_SEGMENT = re.compile(r"[A-Za-z0-9_-]+")
_HEADER_NAME = re.compile(r"[A-Za-z0-9-]{1,64}")
_CREDENTIALS = re.compile(r"[!-9;-~]{1,200}:[!-~]{1,300}")


@dataclass(frozen=True, slots=True, eq=False)
class _Family:
    """One of the algorithms: its curve, its hash and the bytes of each half of a signature."""

    name: Literal["ES256", "ES512"]
    curve: ec.EllipticCurve
    curve_name: str
    digest: hashes.HashAlgorithm
    half: int


_ES256 = _Family("ES256", ec.SECP256R1(), "P-256", hashes.SHA256(), 32)
_ES512 = _Family("ES512", ec.SECP521R1(), "P-521", hashes.SHA512(), 66)


@dataclass(frozen=True, slots=True, kw_only=True)
class JwtOverBodyHash:
    """An ES256 token in one header, whose claims are the time (`iat`) and the hash of the raw body, as Plaid has it.

    The receiving secret is `client_id:secret`, the credentials with which the token's key is asked for. The key is
    the provider's and not one customer's, so a good token never says that the event is meant for us. What is proven,
    hash and time, is all there is to know a message by.
    """

    header: str
    key_path: str
    # The provider's error code for a key id that it does not know. Any other refusal proves nothing.
    unknown_key: str
    hash_claim: str = "request_body_sha256"
    tolerance_seconds: float = 300
    fresh_seconds: int = 1800

    def wants(self, delivery: Delivery, secrets: Sequence[str]) -> Wanted | None:
        """The key that the token names. Raises SignatureRejected where the token cannot be genuine."""
        kid = _identifier(self._token(delivery)[0], "kid")
        client_id, _, secret = secrets[_first_usable(secrets, _is_credentials)].partition(":")
        request = Request(
            method="POST",
            url=self.key_path,
            json={"client_id": client_id, "secret": secret, "key_id": kid},
            authorized=False,
        )
        return Wanted(
            name=kid,
            request=request,
            holds=partial(_holds_one, kid),
            fresh_seconds=self.fresh_seconds,
            denies=partial(_is_refused_as, self.unknown_key),
        )

    def verify(self, delivery: Delivery, secrets: Sequence[str]) -> Verified:
        """Prove the delivery. Raises SignatureRejected."""
        header, signing_input, signature, claims = self._token(delivery)
        usable = _first_usable(secrets, _is_credentials)
        kid = _identifier(header, "kid")
        key = _key_in(_document(delivery, kid), kid)
        if key is None or key.has("expired_at"):
            raise SignatureRejected("the key has expired" if key else "the key is not the one the token names")
        _check(_ES256, _public_key(_ES256, key), signature, signing_input)
        try:
            issued, given = claims.integer("iat"), claims.text(self.hash_claim)
            check_age(delivery, str(issued), self.tolerance_seconds)
        except MalformedPayload as error:
            raise SignatureRejected(f"the token's claims cannot be used: {error}") from None
        if not hmac.compare_digest(hashlib.sha256(delivery.body).hexdigest().encode(), given.encode()):
            raise SignatureRejected("the token was made for another body")
        return Verified(secret_index=usable, message_id=f"{given}@{issued}", for_us=False)

    def sign(self, body: bytes, secret: str, *, at: datetime, message_id: str, url: str = "") -> Signed:
        """The request a provider that holds this private key would send."""
        del message_id, url
        private, kid = _private_key(_ES256, secret)
        claims = {"iat": int(at.timestamp()), self.hash_claim: hashlib.sha256(body).hexdigest()}
        signing_input = f"{_written({'alg': 'ES256', 'kid': kid, 'typ': 'JWT'})}.{_written(claims)}"
        token = f"{signing_input}.{_seal(_ES256, private, signing_input.encode())}"
        key = {**_public_jwk(_ES256, private, kid), "use": "sig", "created_at": 1560466150, "expired_at": None}
        return Signed(headers={self.header: token}, body=body, documents={kid: json.dumps({"key": key}).encode()})

    def new_secret(self) -> str:
        """A fresh private key as a JWK."""
        return _new_key(_ES256)

    def receiving(self, secret: str) -> str:
        """Credentials that a simulated provider takes; the key itself comes by `wants`."""
        del secret
        return "simulated-client:simulated-secret"

    def check_secret(self, secret: str) -> None:
        """Raise Invalid where the secret cannot be used."""
        if not _is_credentials(secret):
            raise Invalid("webhook_secret", "must be the client id and the secret with a colon between them")

    def _token(self, delivery: Delivery) -> tuple[Payload, bytes, bytes, Payload]:
        """Its header, what was signed, the signature, and the claims, which nobody may believe yet."""
        parts = one_header(delivery, self.header).split(".")
        if len(parts) != 3:
            raise SignatureRejected(f"{self.header} is no token of three parts")
        header = _header_of(parts[0], _ES256)
        return header, f"{parts[0]}.{parts[1]}".encode(), _decoded(parts[2]), _object(parts[1])


@dataclass(frozen=True, slots=True, kw_only=True)
class DetachedJws:
    """A detached ES512 signature over method, path, some headers and the raw body, as TrueLayer has it.

    `addresses` names the key sets that may be used, by environment; the receiving secret is the name of one. The
    address in the signature (`jku`) is only compared with these, and never followed. Keys are the provider's and not
    one customer's. No tolerance is documented: this one lets retries pass that were signed at the first try.
    """

    header: str
    timestamp_header: str
    addresses: Mapping[str, str]
    tolerance_seconds: float = 73 * 3600
    fresh_seconds: int = 3600
    signs_url: ClassVar[bool] = True

    def wants(self, delivery: Delivery, secrets: Sequence[str]) -> Wanted | None:
        """The key set of the environment. Raises SignatureRejected where the signature cannot be genuine."""
        header, _, _ = self._parts(delivery)
        kid = _identifier(header, "kid")
        address = self.addresses[secrets[self._chosen(header, secrets)]]
        request = Request(method="GET", url=address, authorized=False)
        holds = partial(_holds_one, kid)
        return Wanted(name=address, request=request, holds=holds, fresh_seconds=self.fresh_seconds, constant=True)

    def verify(self, delivery: Delivery, secrets: Sequence[str]) -> Verified:
        """Prove the delivery. Raises SignatureRejected."""
        header, segment, signature = self._parts(delivery)
        index = self._chosen(header, secrets)
        names = self._names(header)
        if self.timestamp_header.lower() not in [name.lower() for name in names]:
            raise SignatureRejected(f"{self.timestamp_header} is not signed")
        check_age(delivery, unix_of(one_header(delivery, self.timestamp_header)), self.tolerance_seconds)
        key = _key_in(_document(delivery, self.addresses[secrets[index]]), _identifier(header, "kid"))
        if key is None:
            raise SignatureRejected("the key set does not hold the key that the signature names")
        public = _public_key(_ES512, key)
        signed = [(name, one_header(delivery, name)) for name in names]
        path = urlsplit(delivery.url).path
        # Signed without a closing slash; whether the provider was given one is no concern of the sender's.
        for spelled in (path.rstrip("/"), path.rstrip("/") + "/"):
            try:
                _check(_ES512, public, signature, _detached(segment, delivery.method, spelled, signed, delivery.body))
            except SignatureRejected:
                continue
            return Verified(secret_index=index, for_us=False)
        raise SignatureRejected("the signature does not prove this request")

    def sign(self, body: bytes, secret: str, *, at: datetime, message_id: str, url: str = "") -> Signed:
        """The request a provider that holds this private key would send to `url`."""
        del message_id
        private, kid = _private_key(_ES512, secret)
        address = next(iter(self.addresses.values()))
        header = {"alg": "ES512", "kid": kid, "tl_version": "2", "tl_headers": self.timestamp_header, "jku": address}
        segment, stamp = _written(header), f"{at.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"
        signed = _detached(segment, "POST", urlsplit(url).path.rstrip("/"), [(self.timestamp_header, stamp)], body)
        return Signed(
            headers={self.header: f"{segment}..{_seal(_ES512, private, signed)}", self.timestamp_header: stamp},
            body=body,
            documents={address: json.dumps({"keys": [_public_jwk(_ES512, private, kid)]}).encode()},
        )

    def new_secret(self) -> str:
        """A fresh private key as a JWK."""
        return _new_key(_ES512)

    def receiving(self, secret: str) -> str:
        """The environment; the key itself comes by `wants`."""
        del secret
        return next(iter(self.addresses))

    def check_secret(self, secret: str) -> None:
        """Raise Invalid where the secret cannot be used."""
        if secret not in self.addresses:
            raise Invalid("webhook_secret", f"must be {' or '.join(self.addresses)}")

    def _parts(self, delivery: Delivery) -> tuple[Payload, str, bytes]:
        parts = one_header(delivery, self.header).split(".")
        if len(parts) != 3 or parts[1]:
            raise SignatureRejected(f"{self.header} is no detached signature")
        header = _header_of(parts[0], _ES512)
        if _identifier(header, "tl_version") != "2":
            raise SignatureRejected("the signature is of another version")
        return header, parts[0], _decoded(parts[2])

    def _chosen(self, header: Payload, secrets: Sequence[str]) -> int:
        """Which live environment the signature belongs to; the first where it does not say."""
        _first_usable(secrets, self.addresses.__contains__)
        jku = _identifier(header, "jku") if header.has("jku") else None
        for index, secret in enumerate(secrets):
            if secret in self.addresses and jku in (None, self.addresses[secret]):
                return index
        raise SignatureRejected("the signature names a key set that is not allowed")

    def _names(self, header: Payload) -> list[str]:
        names = _identifier(header, "tl_headers", longest=MAX_SEGMENT).split(",")
        usable = len(names) <= MAX_SIGNED_HEADERS and all(_HEADER_NAME.fullmatch(name) for name in names)
        if not usable or len({name.lower() for name in names}) != len(names):
            raise SignatureRejected("the names of the signed headers are garbled")
        return names


def _decoded(segment: str) -> bytes:
    """base64url without padding, in its one true spelling: a last digit with loose bits is refused."""
    if len(segment) > MAX_SEGMENT or not _SEGMENT.fullmatch(segment) or len(segment) % 4 == 1:
        raise SignatureRejected("a part of the signature is empty, garbled or too long")
    found = base64.urlsafe_b64decode(segment + "=" * (-len(segment) % 4))
    if _encoded(found) != segment:
        raise SignatureRejected("a part of the signature is garbled")
    return found


def _encoded(value: bytes) -> str:
    return base64.urlsafe_b64encode(value).rstrip(b"=").decode()


def _written(value: object) -> str:
    return _encoded(json.dumps(value, separators=(",", ":")).encode())


def _object(segment: str) -> Payload:
    try:
        found = Payload.from_bytes(_decoded(segment))
    except MalformedPayload:
        found = Payload([])
    if not isinstance(found.value, dict):
        raise SignatureRejected("a part of the signature is no JSON object")
    return found


def _header_of(segment: str, family: _Family) -> Payload:
    """A JOSE header of exactly this algorithm, without extensions that we would have to understand."""
    header = _object(segment)
    if _identifier(header, "alg") != family.name or header.has("crit"):
        raise SignatureRejected(f"the signature is not plain {family.name}")
    return header


def _identifier(value: Payload, key: str, *, longest: int = MAX_NAME) -> str:
    try:
        found = value.text(key)
    except MalformedPayload as error:
        raise SignatureRejected(f"the signature's header: {error}") from None
    if not 0 < len(found) <= longest or not found.isascii() or not found.isprintable():
        raise SignatureRejected(f"the signature's {key} is empty, garbled or too long")
    return found


def _first_usable(secrets: Sequence[str], usable: Callable[[str], bool]) -> int:
    """The place of the first secret that can be used. Raises SignatureRejected."""
    for index, secret in enumerate(secrets):
        if usable(secret):
            return index
    raise rejected(usable=False)


def _is_credentials(secret: str) -> bool:
    return len(secret) <= MAX_SECRET and _CREDENTIALS.fullmatch(secret) is not None


def _document(delivery: Delivery, name: str) -> bytes:
    found = delivery.documents.get(name)
    if found is None:
        raise SignatureRejected("the provider's key is not at hand")
    return found


def _key_in(document: bytes, kid: str) -> Payload | None:
    """The key of this id in a document that holds one (`key`) or a set of them (`keys`)."""
    if len(document) > MAX_DOCUMENT:
        return None
    try:
        whole = Payload.from_bytes(document)
        listed = (whole.at("key"),) if whole.has("key") else whole.items("keys")
    except MalformedPayload:
        return None
    return next((key for key in listed[:MAX_KEYS] if _kid(key) == kid), None)


def _kid(key: Payload) -> str | None:
    try:
        return key.optional_text("kid")
    except MalformedPayload:
        return None


def _is_refused_as(code: str, refusal: bytes) -> bool:
    try:
        return Payload.from_bytes(refusal).optional_text("error_code") == code
    except MalformedPayload:
        return False


def _holds_one(kid: str, document: bytes) -> bool:
    return _key_in(document, kid) is not None


def _public_key(family: _Family, key: Payload) -> ec.EllipticCurvePublicKey:
    """The key that a JWK spells. Coordinates may be shorter than the curve's numbers."""
    try:
        right = (key.text("kty"), key.text("crv")) == ("EC", family.curve_name)
        right = right and key.optional_text("alg") in (None, family.name) and key.optional_text("use") in (None, "sig")
        if not right:
            raise SignatureRejected(f"the key is not for {family.name}")
        return _point(family, key.text("x"), key.text("y"))
    except (MalformedPayload, ValueError):
        raise SignatureRejected("the provider's key cannot be read") from None


@lru_cache(maxsize=64)
def _point(family: _Family, x: str, y: str) -> ec.EllipticCurvePublicKey:
    first, second = (int.from_bytes(_decoded(one.rstrip("="))) for one in (x, y))
    return ec.EllipticCurvePublicNumbers(first, second, family.curve).public_key()


def _check(family: _Family, key: ec.EllipticCurvePublicKey, signature: bytes, signing_input: bytes) -> None:
    """Two numbers side by side, as every JWS has them, and never DER. Raises SignatureRejected."""
    if len(signature) != 2 * family.half:
        raise SignatureRejected("the signature has the wrong length")
    r, s = int.from_bytes(signature[: family.half]), int.from_bytes(signature[family.half :])
    try:
        key.verify(encode_dss_signature(r, s), signing_input, ec.ECDSA(family.digest))
    except InvalidSignature:
        raise SignatureRejected("the signature does not prove this request") from None


def _seal(family: _Family, key: ec.EllipticCurvePrivateKey, signing_input: bytes) -> str:
    r, s = decode_dss_signature(key.sign(signing_input, ec.ECDSA(family.digest)))
    return _encoded(r.to_bytes(family.half) + s.to_bytes(family.half))


def _detached(segment: str, method: str, path: str, signed: Sequence[tuple[str, str]], body: bytes) -> bytes:
    """What is signed: the header as received, and the request under the header names as the sender spelled them."""
    head = "".join([f"{method} {path}\n", *(f"{name}: {value}\n" for name, value in signed)])
    return f"{segment}.{_encoded(head.encode() + body)}".encode()


def _new_key(family: _Family) -> str:
    private = ec.generate_private_key(family.curve)
    kid = hashlib.sha256(_encoded(_half(family, private.public_key().public_numbers().x)).encode()).hexdigest()[:32]
    number = private.private_numbers().private_value
    return json.dumps({**_public_jwk(family, private, kid), "d": _encoded(_half(family, number))})


def _half(family: _Family, number: int) -> bytes:
    return number.to_bytes(family.half)


def _public_jwk(family: _Family, private: ec.EllipticCurvePrivateKey, kid: str) -> dict[str, object]:
    numbers = private.public_key().public_numbers()
    x, y = _encoded(_half(family, numbers.x)), _encoded(_half(family, numbers.y))
    return {"alg": family.name, "crv": family.curve_name, "kid": kid, "kty": "EC", "x": x, "y": y}


@lru_cache(maxsize=64)
def _private_key(family: _Family, secret: str) -> tuple[ec.EllipticCurvePrivateKey, str]:
    """The private key that a signing secret spells, and its id. Raises Invalid."""
    try:
        key = Payload.from_bytes(secret.encode())
        number = int.from_bytes(_decoded(key.text("d")))
        return ec.derive_private_key(number, family.curve), key.identifier("kid")
    except (MalformedPayload, SignatureRejected, ValueError) as error:
        raise Invalid("webhook_secret", "cannot sign") from error
