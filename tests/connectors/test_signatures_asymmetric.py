"""Schemes whose keys are the provider's own: published vectors, and what strangers make of them."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import zlib
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import jwt
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.serialization import Encoding, load_pem_private_key, load_pem_public_key
from hypothesis import given, settings
from hypothesis import strategies as st

from connectors.base import Delivery, Signature, Verified, Wanted
from connectors.contract import deliver
from connectors.signatures import TRUST_ROOTS, DetachedJws, JwtOverBodyHash, RsaSha256, RsaWithCertificate, jose
from connectors.signatures.rsa import issue, signed_text
from core.errors import Invalid, SignatureRejected
from tests.budget import examples

AT = datetime(2026, 11, 3, 20, 26, 10, tzinfo=UTC)
URL = "https://ledgerwire.example/api/connectors/any/webhook/0199c0de"
BODY = b'{\n  "webhook_type": "TRANSACTIONS"\n}'
Json = dict[str, Any]

PRODUCTION = "https://webhooks.truelayer.com/.well-known/jwks"
SANDBOX = "https://webhooks.truelayer-sandbox.com/.well-known/jwks"
TOKEN = JwtOverBodyHash(
    header="Plaid-Verification", key_path="/webhook_verification_key/get", unknown_key="INVALID_KEY_ID"
)
DETACHED = DetachedJws(
    header="Tl-Signature",
    timestamp_header="X-TL-Webhook-Timestamp",
    addresses={"production": PRODUCTION, "sandbox": SANDBOX},
)
WISE_SANDBOX = """-----BEGIN PUBLIC KEY-----
MIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8AMIIBCgKCAQEAwpb91cEYuyJNQepZAVfP
ZIlPZfNUefH+n6w9SW3fykqKu938cR7WadQv87oF2VuT+fDt7kqeRziTmPSUhqPU
ys/V2Q1rlfJuXbE+Gga37t7zwd0egQ+KyOEHQOpcTwKmtZ81ieGHynAQzsn1We3j
wt760MsCPJ7GMT141ByQM+yW1Bx+4SG3IGjXWyqOWrcXsxAvIXkpUD/jK/L958Cg
nZEgz0BSEh0QxYLITnW1lLokSx/dTianWPFEhMC9BgijempgNXHNfcVirg1lPSyg
z7KqoKUN0oHqWLr2U1A+7kqrl6O2nx3CKs1bj1hToT1+p4kcMoHXA7kA+VBLUpEs
VwIDAQAB
-----END PUBLIC KEY-----
"""
PINNED = RsaSha256(header="X-Signature-SHA256", pinned={"sandbox": WISE_SANDBOX})
CERTIFIED = RsaWithCertificate(prefix="Paypal", domain=".paypal.com")
SCHEMES: dict[str, Signature] = {
    "token": TOKEN, "detached": DETACHED, "pinned": PINNED, "certified": CERTIFIED,
}  # fmt: skip
# One of each for the whole file: keys take their time.
SECRETS = {name: scheme.new_secret() for name, scheme in SCHEMES.items()}
OTHERS = {name: scheme.new_secret() for name, scheme in SCHEMES.items()}


def sent(name: str, body: bytes = BODY, *, secret: str = "", at: datetime = AT, url: str = URL) -> Delivery:
    """A delivery as the provider sends it, with what its receiver is given."""
    signed = SCHEMES[name].sign(body, secret or SECRETS[name], at=at, message_id="tx-1", url=url)
    return replace(deliver(signed.headers, signed.body, received_at=at), documents=signed.documents, url=url)


def live(name: str) -> tuple[str, ...]:
    return (SCHEMES[name].receiving(SECRETS[name]),)


def refused(name: str, delivery: Delivery, why: str, *secrets: str) -> None:
    with pytest.raises(SignatureRejected, match=why or None):
        SCHEMES[name].verify(delivery, secrets or live(name))


def swapped(delivery: Delivery, header: str, value: str | None) -> Delivery:
    headers = {name: values for name, values in delivery.headers.items() if name != header.lower()}
    return replace(delivery, headers=headers if value is None else {**headers, header.lower(): (value,)})


def segment(value: object) -> str:
    raw = value if isinstance(value, bytes) else json.dumps(value).encode()
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def opened(part: str) -> Json:
    found: Json = json.loads(base64.urlsafe_b64decode(part + "=="))
    return found


# What every scheme keeps.


@pytest.mark.parametrize("name", SCHEMES)
def test_what_a_scheme_signs_it_accepts_and_asks_for_what_it_needs(name: str) -> None:
    delivery = sent(name)
    wanted = SCHEMES[name].wants(replace(delivery, documents={}), live(name))
    assert SCHEMES[name].verify(delivery, live(name)).secret_index == 0
    if name == "pinned":
        assert wanted is None
    else:
        assert wanted is not None
        assert wanted.holds(delivery.documents[wanted.name])
        refused(name, replace(delivery, documents={}), "not at hand")


@pytest.mark.parametrize("name", SCHEMES)
def test_another_body_another_key_and_no_secret_prove_nothing(name: str) -> None:
    delivery = sent(name)
    refused(name, replace(delivery, body=delivery.body + b" "), "")
    refused(name, replace(delivery, body=b""), "")
    forged = sent(name, secret=OTHERS[name])
    # The forger's own key does not come from where we look.
    kept = dict(zip(forged.documents, delivery.documents.values(), strict=True))
    refused(name, replace(forged, documents=kept), "")
    for secrets in ((), ("",), ("", " ", "\udcff", "x y", "é" * 600)):
        with pytest.raises(SignatureRejected, match="no usable secret"):
            SCHEMES[name].verify(delivery, secrets)
        if name != "pinned":
            with pytest.raises(SignatureRejected, match="no usable secret"):
                SCHEMES[name].wants(delivery, secrets)


@pytest.mark.parametrize("name", SCHEMES)
def test_an_unusable_secret_is_passed_over_and_the_one_that_proved_is_named(name: str) -> None:
    assert SCHEMES[name].verify(sent(name), ["", *live(name)]).secret_index == 1
    with pytest.raises(Invalid):
        SCHEMES[name].check_secret("")
    SCHEMES[name].check_secret(*live(name))
    assert SECRETS[name] != OTHERS[name]


@pytest.mark.parametrize(("name", "tolerance"), [("token", 300), ("detached", 73 * 3600), ("certified", 30 * 86_400)])
def test_age_is_judged_at_arrival_on_both_sides(name: str, tolerance: float) -> None:
    delivery = sent(name)
    for seconds in (-tolerance, 0, tolerance):
        SCHEMES[name].verify(replace(delivery, received_at=AT + timedelta(seconds=seconds)), live(name))
    for seconds in (-tolerance - 1, tolerance + 1):
        refused(name, replace(delivery, received_at=AT + timedelta(seconds=seconds)), "old|ahead")


@pytest.mark.parametrize("name", SCHEMES)
@given(noise=st.one_of(st.text(max_size=40), st.binary(max_size=60).map(lambda raw: f"{segment(raw)}..{segment(raw)}")))
@settings(max_examples=examples(25), deadline=None)
def test_garbled_headers_and_documents_end_in_a_refusal(name: str, noise: str) -> None:
    delivery = sent(name)
    for header in delivery.headers:
        with pytest.raises(SignatureRejected):
            SCHEMES[name].verify(swapped(delivery, header, noise), live(name))
    spoiled = {key: noise.encode("utf-8", "replace") for key in delivery.documents}
    if spoiled:
        with pytest.raises(SignatureRejected):
            SCHEMES[name].verify(replace(delivery, documents=spoiled), live(name))


@pytest.mark.parametrize("name", SCHEMES)
def test_each_header_missing_doubled_or_endless_is_refused(name: str) -> None:
    delivery = sent(name)
    for header, (value,) in delivery.headers.items():
        for values in ((), (value, value), (value + value[-1],), (value[:-1],), ("x" * 100_000,), ("A" * 8000,)):
            with pytest.raises(SignatureRejected):
                SCHEMES[name].verify(replace(delivery, headers={**delivery.headers, header: values}), live(name))


# Tokens over a body's hash.

PUBLISHED_BODY = json.dumps(
    {
        "error": None,
        "item_id": "xVDbz8kaZRf69Nd18x81I3y83kZaxEF688545",
        "new_transactions": 0,
        "webhook_code": "DEFAULT_UPDATE",
        "webhook_type": "TRANSACTIONS",
    },
    indent=2,
).encode()
PUBLISHED_JWK = {
    "alg": "ES256",
    "created_at": 1560466150,
    "crv": "P-256",
    "expired_at": None,
    "kid": "bfbd5111-8e33-4643-8ced-b2e642a72f3c",
    "kty": "EC",
    "use": "sig",
    "x": "hKXLGIjWvCBv-cP5euCTxl8g9GLG9zHo_3pO5NN1DwQ",
    "y": "shhexqPB7YffGn6fR6h2UhTSuCtPmfzQJ6ENVIoO4Ys",
}


def token(change: Callable[[Json, Json], None], *, secret: str = "", der: bool = False) -> Delivery:
    """A token whose header or claims a stranger changed and signed properly."""
    delivery = sent("token")
    head, claims, _ = delivery.headers["plaid-verification"][0].split(".")
    header, said = opened(head), opened(claims)
    change(header, said)
    message = f"{segment(header)}.{segment(said)}"
    held = json.loads(secret or SECRETS["token"])
    private = ec.derive_private_key(int.from_bytes(base64.urlsafe_b64decode(held["d"] + "==")), ec.SECP256R1())
    sealed = private.sign(message.encode(), ec.ECDSA(hashes.SHA256()))
    if not der:
        sealed = b"".join(number.to_bytes(32) for number in decode_dss_signature(sealed))
    return swapped(delivery, "Plaid-Verification", f"{message}.{segment(sealed)}")


def test_the_published_body_has_the_published_hash() -> None:
    claims = sent("token", PUBLISHED_BODY).headers["plaid-verification"][0].split(".")[1]
    assert opened(claims)["request_body_sha256"] == "c43741964e9b173d7bc1e840a21ce1ad26cfa27c1a379bba8cb5f5715aade40a"
    compact = json.dumps(json.loads(PUBLISHED_BODY)).encode()
    refused("token", replace(sent("token", PUBLISHED_BODY), body=compact), "another body")


def test_the_published_key_is_read_and_did_not_sign_our_token() -> None:
    delivery = token(lambda header, _: header.update(kid=PUBLISHED_JWK["kid"]))
    documents = {str(PUBLISHED_JWK["kid"]): json.dumps({"key": PUBLISHED_JWK, "request_id": "r"}).encode()}
    refused("token", replace(delivery, documents=documents), "does not prove")


def test_a_token_s_key_is_asked_for_with_the_credentials_and_by_its_id() -> None:
    wanted = TOKEN.wants(sent("token"), ["client-1:se:cret"])
    kid = json.loads(SECRETS["token"])["kid"]
    assert wanted is not None
    assert (wanted.name, wanted.request.method, wanted.request.url) == (kid, "POST", "/webhook_verification_key/get")
    assert wanted.request.json == {"client_id": "client-1", "secret": "se:cret", "key_id": kid}
    assert not wanted.request.authorized
    assert not wanted.holds(json.dumps({"key": PUBLISHED_JWK}).encode())


def test_a_good_token_does_not_say_that_the_event_is_ours() -> None:
    known_by = f"{hashlib.sha256(BODY).hexdigest()}@{int(AT.timestamp())}"
    assert TOKEN.verify(sent("token"), live("token")) == Verified(secret_index=0, message_id=known_by, for_us=False)


@pytest.mark.parametrize(
    ("change", "why"),
    [
        pytest.param(lambda header, _: header.update(alg="none"), "not plain ES256", id="alg none"),
        pytest.param(lambda header, _: header.update(alg="HS256"), "not plain ES256", id="alg HS256"),
        pytest.param(lambda header, _: header.update(alg="RS256"), "not plain ES256", id="alg RS256"),
        pytest.param(lambda header, _: header.update(alg=["ES256"]), "header", id="alg a list"),
        pytest.param(lambda header, _: header.pop("alg"), "header", id="no alg"),
        pytest.param(lambda header, _: header.update(crit=["b64"], b64=False), "not plain", id="crit"),
        pytest.param(lambda header, _: header.pop("kid"), "kid", id="no kid"),
        pytest.param(lambda header, _: header.update(kid=""), "kid", id="empty kid"),
        pytest.param(lambda header, _: header.update(kid="k" * 200), "kid", id="long kid"),
        pytest.param(lambda header, _: header.update(kid="other"), "not at hand", id="other kid"),
        pytest.param(lambda header, _: header.update(pad="x" * 3000), "too long", id="huge header"),
        pytest.param(lambda _, claims: claims.pop("iat"), "iat", id="no iat"),
        pytest.param(lambda _, claims: claims.update(iat="1793737570"), "iat", id="iat as text"),
        pytest.param(lambda _, claims: claims.update(iat=-1), "Unix", id="negative iat"),
        pytest.param(lambda _, claims: claims.update(iat=claims["iat"] - 301), "301 s old", id="old iat"),
        pytest.param(lambda _, claims: claims.update(iat=claims["iat"] + 301), "301 s ahead", id="future iat"),
        pytest.param(lambda _, claims: claims.pop("request_body_sha256"), "sha256", id="no hash"),
        pytest.param(lambda _, claims: claims.update(request_body_sha256="é"), "another body", id="non-ASCII hash"),
        pytest.param(lambda _, claims: claims.update(request_body_sha256="0" * 64), "another body", id="other hash"),
        pytest.param(
            lambda _, claims: claims.update(request_body_sha256=claims["request_body_sha256"].upper()),
            "another body",
            id="hash in capitals",
        ),
    ],
)
def test_a_token_of_another_shape_is_refused_though_properly_signed(
    change: Callable[[Json, Json], None], why: str
) -> None:
    refused("token", token(change), why)


def test_a_token_s_signature_must_be_two_numbers_and_not_der() -> None:
    unchanged = token(lambda _header, _claims: None)
    assert TOKEN.verify(unchanged, live("token")).secret_index == 0
    refused("token", token(lambda _header, _claims: None, der=True), "wrong length")


def test_an_independent_library_takes_our_tokens_and_we_take_its() -> None:
    delivery, at = sent("token"), int(AT.timestamp())
    ((kid, document),) = delivery.documents.items()
    public = jwt.PyJWK(json.loads(document)["key"])
    options: Any = {"verify_iat": False, "require": ["iat", "request_body_sha256"]}
    claims = jwt.decode(delivery.headers["plaid-verification"][0], public, algorithms=["ES256"], options=options)
    assert claims == {"iat": at, "request_body_sha256": hashlib.sha256(BODY).hexdigest()}
    private = jwt.PyJWK(json.loads(SECRETS["token"]))
    theirs = jwt.encode(claims, private, algorithm="ES256", headers={"kid": kid})
    assert TOKEN.verify(swapped(delivery, "Plaid-Verification", theirs), live("token"))
    other = jwt.encode({**claims, "iat": at - 301}, private, algorithm="ES256", headers={"kid": kid})
    refused("token", swapped(delivery, "Plaid-Verification", other), "301 s old")


def test_a_public_key_used_as_a_shared_secret_proves_nothing() -> None:
    delivery = sent("token")
    (document,) = delivery.documents.values()
    head, claims, _ = delivery.headers["plaid-verification"][0].split(".")
    message = f"{segment({**opened(head), 'alg': 'HS256'})}.{claims}"
    sealed = hmac.digest(document, message.encode(), "sha256")
    refused("token", swapped(delivery, "Plaid-Verification", f"{message}.{segment(sealed)}"), "not plain")
    # Nor does a signature of the right length in which both numbers are zero.
    refused("token", swapped(delivery, "Plaid-Verification", f"{head}.{claims}.{segment(bytes(64))}"), "prove")


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"expired_at": 1790000000}, "expired"),
        ({"kid": "another"}, "not the one"),
        ({"alg": "RS256"}, "not for ES256"),
        ({"crv": "P-521"}, "not for ES256"),
        ({"kty": "oct"}, "not for ES256"),
        ({"use": "enc"}, "not for ES256"),
        ({"x": "AAAA"}, "cannot be read"),
        ({"x": "é"}, "garbled"),
        ({"y": None}, "cannot be read"),
        ({"y": "A" * 3000}, "too long"),
    ],
)
def test_a_key_that_expired_or_is_for_something_else_is_refused(change: Json, why: str) -> None:
    delivery = sent("token")
    ((kid, document),) = delivery.documents.items()
    key = {**json.loads(document)["key"], **change}
    refused("token", replace(delivery, documents={kid: json.dumps({"key": key}).encode()}), why)


# Detached signatures over the request.

TL_PUBLIC = b"""-----BEGIN PUBLIC KEY-----
MIGbMBAGByqGSM49AgEGBSuBBAAjA4GGAAQAoLuW4nFqoUuR8d7FVsUoI62libYd
QlWGtLStnqdudLY92bQ0ra5eZAbkunrGTR9+w9mr4o2Etyb6pC7YB2+23WMBfVyO
QYyKW2KQ+uRfj2rC4kN1wRNpOyP6TIU/yOwX1blcAHdni0GJC1zvYNCclh4rIBX9
PqplO0UoWv5OniK76Ps=
-----END PUBLIC KEY-----"""
TL_KID = "45fc75cf-5649-4134-84b3-192c2c78e990"
TL_WEBHOOK = (
    "eyJhbGciOiJFUzUxMiIsImtpZCI6IjQ1ZmM3NWNmLTU2NDktNDEzNC04NGIzLTE5MmMyYzc4ZTk5MCIsInRsX3ZlcnNpb24iOiIyIiwidGxf"
    "aGVhZGVycyI6IlgtVGwtV2ViaG9vay1UaW1lc3RhbXAsQ29udGVudC1UeXBlIiwiamt1IjoiaHR0cHM6Ly93ZWJob29rcy50cnVlbGF5ZXIu"
    "Y29tLy53ZWxsLWtub3duL2p3a3MifQ..AB9S1dzZTmw0tofUjJNGO7Kt_jZsahPyIrBTdhfxBWOI3KoLALkMy6ka1MjpZQx06_hQUJnanu9K_"
    "LS6V9lNaNGiAX5Cos5RWQfbeBCZWqAvIpXO3FvIzyJKRaTYK8FBG4lfJYPi76_pIkCLGKWeq8__7ElpMVRcLTM5IBKWL8isVZn_"
)
TL_REQUEST = (
    "eyJhbGciOiJFUzUxMiIsImtpZCI6IjQ1ZmM3NWNmLTU2NDktNDEzNC04NGIzLTE5MmMyYzc4ZTk5MCIsInRsX3ZlcnNpb24iOiIyIiwidGxf"
    "aGVhZGVycyI6IklkZW1wb3RlbmN5LUtleSJ9..AEXUHJ9eXGRYyXjjXkAyp4vALl7vMB6D78-frHcH2eV641SU9Q8LMqm77jDYUxuJYP_1Rg0"
    "l8-dLRVtWNDTFY_JYABXE6MEv3qSbyXnKrYMKIeDzG86lj9VLZXKRfWjNeBpGN983kW69Dc71yNapGTPMbB49Rue5bLIAjm6LLwDP00D_"
)


def published_set() -> bytes:
    """The published key as a set has it, among keys of other kinds, with its short coordinate unpadded."""
    public = load_pem_public_key(TL_PUBLIC)
    assert isinstance(public, ec.EllipticCurvePublicKey)
    numbers = public.public_numbers()
    x, y = (number.to_bytes((number.bit_length() + 7) // 8) for number in (numbers.x, numbers.y))
    key = {"kty": "EC", "crv": "P-521", "alg": "ES512", "kid": TL_KID, "x": segment(x), "y": segment(y)}
    return json.dumps({"keys": [{"kty": "RSA", "kid": "another", "n": "AQAB", "e": "AQAB"}, {"kid": 7}, key]}).encode()


def published(path: str = "/tl-webhook") -> Delivery:
    headers = {
        "Tl-Signature": TL_WEBHOOK,
        "X-Tl-Webhook-Timestamp": "2021-11-29T11:42:55Z",
        "Content-Type": "application/json",
    }
    body = b'{"event_type":"example","event_id":"18b2842b-a57b-4887-a0a6-d3c7c36f1020"}'
    delivery = deliver(headers, body, received_at=datetime(2021, 11, 29, 11, 43, tzinfo=UTC))
    documents = {PRODUCTION: published_set()}
    return replace(delivery, url=f"https://hooks.example{path}", documents=documents)


def test_the_published_webhook_is_accepted_with_and_without_a_closing_slash() -> None:
    for path in ("/tl-webhook", "/tl-webhook/"):
        verified = DETACHED.verify(published(path), ["production"])
        assert verified == Verified(secret_index=0, for_us=False)
    for path in ("/Tl-webhook", "/tl-webhook/x", "/x/tl-webhook", ""):
        with pytest.raises(SignatureRejected, match="does not prove"):
            DETACHED.verify(published(path), ["production"])


def test_the_published_request_is_accepted_by_a_scheme_that_asks_for_its_header() -> None:
    # It signs no timestamp, which a webhook must: here the scheme is told that the key stands for it.
    body = b'{"currency":"GBP","max_amount_in_minor":5000000,"name":"Foo???"}'
    headers = {"Tl-Signature": TL_REQUEST, "Idempotency-Key": "idemp-2076717c-9005-4811-a321-9e0787fa0382"}
    path = "/merchant_accounts/a61acaef-ee05-4077-92f3-25543a11bd8d/sweeping"
    delivery = replace(
        deliver(headers, body), url=f"https://api.example{path}", documents={PRODUCTION: published_set()}
    )
    with pytest.raises(SignatureRejected, match="X-TL-Webhook-Timestamp is not signed"):
        DETACHED.verify(delivery, ["production"])
    with pytest.raises(SignatureRejected, match="no time"):
        replace(DETACHED, timestamp_header="Idempotency-Key").verify(delivery, ["production"])
    # What the signature itself says is checked by its parts.
    head, _, seal = TL_REQUEST.split(".")
    key = jose._key_in(published_set(), TL_KID)
    assert key is not None
    signed = jose._detached(head, "POST", path, [("Idempotency-Key", headers["Idempotency-Key"])], body)
    jose._check(jose._ES512, jose._public_key(jose._ES512, key), jose._decoded(seal), signed)


def detached(
    change: Callable[[Json], None], *, headers: dict[str, str] | None = None, der: bool = False, body: bytes = BODY
) -> Delivery:
    """A signature whose header a stranger changed and signed properly."""
    delivery = sent("detached")
    header = opened(delivery.headers["tl-signature"][0].split(".")[0])
    change(header)
    given = {"X-TL-Webhook-Timestamp": "2026-11-03T20:26:10Z", **(headers or {})}
    lines = [f"{name}: {given[name]}\n" for name in str(header.get("tl_headers", "")).split(",") if name in given]
    payload = f"POST {URL.removeprefix('https://ledgerwire.example')}\n{''.join(lines)}".encode() + body
    message = f"{segment(header)}.{segment(payload)}"
    held = json.loads(SECRETS["detached"])
    private = ec.derive_private_key(int.from_bytes(base64.urlsafe_b64decode(held["d"] + "==")), ec.SECP521R1())
    sealed = private.sign(message.encode(), ec.ECDSA(hashes.SHA512()))
    if not der:
        sealed = b"".join(number.to_bytes(66) for number in decode_dss_signature(sealed))
    built = deliver({**given, "Tl-Signature": f"{segment(header)}..{segment(sealed)}"}, body, received_at=AT)
    return replace(built, documents=delivery.documents)


@pytest.mark.parametrize(
    ("change", "why"),
    [
        pytest.param(lambda header: header.update(alg="none"), "not plain ES512", id="alg none"),
        pytest.param(lambda header: header.update(alg="ES256"), "not plain ES512", id="alg ES256"),
        pytest.param(lambda header: header.update(alg="HS512"), "not plain ES512", id="alg HS512"),
        pytest.param(lambda header: header.update(kid="other"), "does not hold the key", id="other kid"),
        pytest.param(lambda header: header.pop("kid"), "kid", id="no kid"),
        pytest.param(lambda header: header.update(jku="https://evil.example/jwks"), "not allowed", id="jku elsewhere"),
        pytest.param(lambda header: header.update(jku=PRODUCTION + "/"), "not allowed", id="jku nearly right"),
        pytest.param(lambda header: header.update(jku=SANDBOX), "not allowed", id="jku of the sandbox"),
        pytest.param(lambda header: header.update(tl_version="1"), "another version", id="version 1"),
        pytest.param(lambda header: header.update(tl_headers=""), "tl_headers", id="no headers signed"),
        pytest.param(lambda header: header.update(tl_headers="Date"), "is not signed", id="no timestamp signed"),
        pytest.param(lambda header: header.update(tl_headers="a b,c"), "garbled", id="garbled header names"),
        pytest.param(lambda header: header.update(tl_headers="A,B," * 20), "garbled", id="too many headers"),
        pytest.param(
            lambda header: header.update(tl_headers=f"{header['tl_headers']},{header['tl_headers'].lower()}"),
            "garbled",
            id="a header twice",
        ),
    ],
)
def test_a_detached_signature_of_another_shape_is_refused_though_properly_signed(
    change: Callable[[Json], None], why: str
) -> None:
    refused("detached", detached(change), why)


def test_unknown_fields_of_the_header_and_other_spellings_of_names_are_no_hindrance() -> None:
    def change(header: Json) -> None:
        header.update(extra="something new", tl_headers="Content-Type,X-Tl-WEBHOOK-Timestamp")

    given = {"Content-Type": "application/json", "X-Tl-WEBHOOK-Timestamp": "2026-11-03T20:26:10Z"}
    delivery = detached(change, headers=given)
    same = {**delivery.headers, "x-tl-webhook-timestamp": ("2026-11-03T20:26:10Z",)}
    assert DETACHED.verify(replace(delivery, headers=same), live("detached"))


def test_a_detached_signature_must_be_two_numbers_and_not_der() -> None:
    assert DETACHED.verify(detached(lambda _: None), live("detached"))
    refused("detached", detached(lambda _: None, der=True), "does not prove")


def test_only_the_environment_that_is_live_is_asked_for_its_keys() -> None:
    delivery = detached(lambda header: header.update(jku=SANDBOX))
    for secrets in (["sandbox"], ["production", "sandbox"]):
        wanted = DETACHED.wants(delivery, secrets)
        assert isinstance(wanted, Wanted)
        assert (wanted.name, wanted.request.method, wanted.request.url) == (SANDBOX, "GET", SANDBOX)
        documents = {SANDBOX: delivery.documents[PRODUCTION]}
        verified = DETACHED.verify(replace(delivery, documents=documents), secrets)
        assert verified.secret_index == secrets.index("sandbox")
    with pytest.raises(SignatureRejected, match="not allowed"):
        DETACHED.wants(delivery, ["production"])
    unnamed = detached(lambda header: header.pop("jku"))
    wanted = DETACHED.wants(unnamed, ["production"])
    assert wanted is not None
    assert wanted.name == PRODUCTION
    with pytest.raises(Invalid, match="production or sandbox"):
        DETACHED.check_secret("staging")


# A pinned key.

WISE_BODY = (
    b'{"data":{"resource":{"id":49983981,"profile_id":16055450,"account_id":14124090,"type":"transfer"},'
    b'"current_state":"incoming_payment_waiting","previous_state":null,"occurred_at":"2021-08-23T10:12:50Z"},'
    b'"subscription_id":"90aa8e14-4ef1-4a56-861c-f3c9cde097ea","event_type":"transfers#state-change",'
    b'"schema_version":"2.0.0","sent_at":"2021-08-23T10:12:50Z"}'
)
WISE_SIGNATURE = (
    "wKcKCYXAzxNgiu7xmoDm943NUni7Rz33QN8JkEA9dWSGebgndonabgSj18Y4C08OrwVmueGsED2s00M7DtJVcYKOS1i3G4TMVx+mgM3aL9djMBkQ"
    "tiYNBFUd6wrPI7ZUNHv/TrlKSjTMc+6JFvUvJ7owY3z85e3I4jLRLJowMFvO8kvCJ60+1pY9wDwZvtZ//WS93LrwGjk9Dvwzpmu0w+P4J75tETT5"
    "qC3Uv0y5G2yO8SEoO3yNP/tg/BOli02niHb53vEOUWUb9bly6thnfMoXoiV/osoGxgF20R58RlvkAmezyyl1Sv542TfS2DpiwVnmjjjkCyXeSUcK"
    "ookYLQ=="
)


def test_the_published_notice_is_accepted_with_the_sandbox_key_when_that_was_chosen() -> None:
    delivery = deliver({"X-Signature-SHA256": WISE_SIGNATURE}, WISE_BODY)
    assert len(WISE_BODY) == 354
    assert PINNED.verify(delivery, ["sandbox"]) == Verified(secret_index=0, for_us=False)
    assert PINNED.verify(delivery, ["", WISE_SANDBOX]).secret_index == 1
    refused("pinned", delivery, "no live secret", PINNED.receiving(SECRETS["pinned"]))
    refused("pinned", replace(delivery, body=WISE_BODY + b"\n"), "no live secret", "sandbox")
    refused("pinned", delivery, "no usable secret", "production")


def test_a_signature_by_sha1_or_in_another_spelling_is_refused() -> None:
    delivery = sent("pinned")
    key = load_pem_private_key(SECRETS["pinned"].encode(), None)
    assert isinstance(key, rsa.RSAPrivateKey)
    weak = key.sign(BODY, padding.PKCS1v15(), hashes.SHA1())
    refused("pinned", swapped(delivery, "X-Signature-SHA256", base64.b64encode(weak).decode()), "no live secret")
    (value,) = delivery.headers["x-signature-sha256"]
    for spelled in (value.rstrip("="), f"{value[:20]} {value[20:]}", value.replace("=", "")):
        refused("pinned", swapped(delivery, "X-Signature-SHA256", spelled), "no base64")


@pytest.mark.parametrize("text", ["", "staging", "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----", "é"])
def test_what_is_no_rsa_key_is_no_secret(text: str) -> None:
    with pytest.raises(Invalid, match="RSA public key"):
        PINNED.check_secret(text)


# A certificate.

VECTOR_BODY = (
    b'{"id":"WH-0G2756385H040842W-5Y612302CV158622M","create_time":"2015-05-18T15:45:13Z","resource_type":"sale",'
    b'"event_type":"PAYMENT.SALE.COMPLETED","summary":"Payment completed for $ 20.0 USD","resource":{"id":'
    b'"4EU7004268015634R","create_time":"2015-05-18T15:44:02Z","update_time":"2015-05-18T15:44:21Z","amount":{"total":'
    b'"20.00","currency":"USD"},"payment_mode":"INSTANT_TRANSFER","state":"completed","protection_eligibility":'
    b'"ELIGIBLE","protection_eligibility_type":"ITEM_NOT_RECEIVED_ELIGIBLE,UNAUTHORIZED_PAYMENT_ELIGIBLE",'
    b'"parent_payment":"PAY-86C81811X5228590KKVNARQQ","transaction_fee":{"value":"0.88","currency":"USD"},"links":[{'
    b'"href":"https://api.sandbox.paypal.com/v1/payments/sale/4EU7004268015634R","rel":"self","method":"GET"},{"href":'
    b'"https://api.sandbox.paypal.com/v1/payments/sale/4EU7004268015634R/refund","rel":"refund","method":"POST"},{'
    b'"href":"https://api.sandbox.paypal.com/v1/payments/payment/PAY-86C81811X5228590KKVNARQQ","rel":'
    b'"parent_payment","method":"GET"}]},"links":[{"href":"https://api.sandbox.paypal.com/v1/notifications/'
    b'webhooks-events/WH-0G2756385H040842W-5Y612302CV158622M","rel":"self","method":"GET"},{"href":'
    b'"https://api.sandbox.paypal.com/v1/notifications/webhooks-events/WH-0G2756385H040842W-5Y612302CV158622M/resend",'
    b'"rel":"resend","method":"POST"}]}'
)


def test_the_published_transmission_gives_the_published_text() -> None:
    assert len(VECTOR_BODY) == 1288
    text = signed_text("dfb3be50-fd74-11e4-8bf3-77339302725b", "2015-05-18T15:45:13Z", "4JH86294D6297924G", VECTOR_BODY)
    assert text == b"dfb3be50-fd74-11e4-8bf3-77339302725b|2015-05-18T15:45:13Z|4JH86294D6297924G|2771810304"


def certified(
    text: bytes | None = None,
    *,
    pair: tuple[object, x509.Certificate, x509.Certificate] | None = None,
    digest: hashes.HashAlgorithm | None = None,
) -> Delivery:
    """A transmission that signs another text, or with another certificate; its own authority stays the known one."""
    delivery, held = sent("certified"), json.loads(SECRETS["certified"])
    key = load_pem_private_key(held["key"].encode(), None) if pair is None else pair[0]
    assert isinstance(key, rsa.RSAPrivateKey)
    text = text or signed_text("tx-1", "2026-11-03T20:26:10Z", held["webhook_id"], BODY)
    sealed = key.sign(text, padding.PKCS1v15(), digest or hashes.SHA256())
    delivery = swapped(delivery, "Paypal-Transmission-Sig", base64.b64encode(sealed).decode())
    if pair is None:
        return delivery
    address = delivery.headers["paypal-cert-url"][0]
    chain = b"".join(one.public_bytes(Encoding.PEM) for one in pair[1:])
    return replace(delivery, documents={**delivery.documents, address: chain})


def trusting(delivery: Delivery, root: x509.Certificate) -> Delivery:
    return replace(delivery, documents={**delivery.documents, TRUST_ROOTS: root.public_bytes(Encoding.PEM)})


def test_a_transmission_is_ours_and_named_by_its_id() -> None:
    assert CERTIFIED.verify(sent("certified"), live("certified")) == Verified(secret_index=0, message_id="tx-1")


def test_the_checksum_is_signed_unsigned_and_for_our_webhook_only() -> None:
    webhook_id = json.loads(SECRETS["certified"])["webhook_id"]
    body = next(one for one in (BODY + b" " * n for n in range(9)) if zlib.crc32(one) > 2**31)
    negative = f"tx-1|2026-11-03T20:26:10Z|{webhook_id}|{zlib.crc32(body) - 2**32}".encode()
    good = signed_text("tx-1", "2026-11-03T20:26:10Z", webhook_id, body)
    assert CERTIFIED.verify(replace(certified(good), body=body), live("certified"))
    refused("certified", replace(certified(negative), body=body), "no live secret")
    refused("certified", sent("certified"), "no live secret", "ANOTHERWEBHOOK")
    refused("certified", certified(signed_text("tx-1", "2026-11-03T20:26:10Z", "WEBHOOK_ID", BODY)), "no live secret")


def test_only_sha256_with_rsa_is_taken() -> None:
    for named in ("SHA1withRSA", "sha256withrsa", "NONEwithRSA", "SHA512withRSA"):
        refused("certified", swapped(sent("certified"), "Paypal-Auth-Algo", named), "signed otherwise")
    refused("certified", certified(digest=hashes.SHA1()), "no live secret")


HOST = "messageverificationcerts.paypal.com"


def test_a_certificate_of_an_authority_that_nobody_knows_is_refused() -> None:
    stranger = issue(HOST)
    refused("certified", certified(pair=stranger), "not the provider's")
    assert CERTIFIED.verify(trusting(certified(pair=stranger), stranger[2]), live("certified"))
    refused("certified", replace(sent("certified"), documents={}), "not at hand")
    without = {name: one for name, one in sent("certified").documents.items() if name != TRUST_ROOTS}
    refused("certified", replace(sent("certified"), documents=without), "not at hand")


@pytest.mark.parametrize(
    ("begins", "ends"),
    [
        pytest.param(AT - timedelta(days=90), AT - timedelta(seconds=1), id="expired"),
        pytest.param(AT + timedelta(seconds=1), AT + timedelta(days=90), id="not yet valid"),
    ],
)
def test_a_certificate_out_of_its_time_is_refused(begins: datetime, ends: datetime) -> None:
    pair = issue(HOST, begins=begins, ends=ends)
    refused("certified", trusting(certified(pair=pair), pair[2]), "not the provider's")


@pytest.mark.parametrize("host", ["paypal.com.evil.example", "evilpaypal.com", "*.paypal.com", "paypal.example"])
def test_a_certificate_for_another_name_is_refused(host: str) -> None:
    pair = issue(host)
    refused("certified", trusting(certified(pair=pair), pair[2]), "not the provider's")


@pytest.mark.parametrize(
    "address",
    [
        "http://api.paypal.com/cert",
        "https://api.paypal.com.evil.example/cert",
        "https://evilpaypal.com/cert",
        "https://paypal.com/cert",
        "https://api.paypal.com@evil.example/cert",
        "https://evil.example/api.paypal.com",
        "https://evil.example#.paypal.com",
        "https://evil.example?.paypal.com",
        "https://evil.example\\.paypal.com/cert",
        "https://api.paypal.com:8443/cert",
        "https://API.paypal.com/cert",
        "https://api.paypal.com/a/../cert",
        "https://api.paypal.com/cert?x=1",
        "https://[::1]/.paypal.com",
        "https://[/.paypal.com",
        "//api.paypal.com/cert",
        "/cert",
        "file:///etc/passwd",
        "https://api.paypal.com/" + "x" * 600,
    ],
)
def test_no_certificate_is_asked_for_elsewhere(address: str) -> None:
    delivery = swapped(sent("certified"), "Paypal-Cert-Url", address)
    with pytest.raises(SignatureRejected, match="certificate's address"):
        CERTIFIED.wants(delivery, live("certified"))
    documents = {**delivery.documents, address: delivery.documents[sent("certified").headers["paypal-cert-url"][0]]}
    refused("certified", replace(delivery, documents=documents), "certificate's address")


def test_the_certificate_is_asked_for_at_the_provider() -> None:
    address = "https://api.sandbox.paypal.com/v1/notifications/certs/CERT-360caa42-fca2a594-a5cafa77"
    wanted = CERTIFIED.wants(swapped(sent("certified"), "Paypal-Cert-Url", address), live("certified"))
    assert wanted is not None
    assert (wanted.name, wanted.request.url, wanted.request.authorized) == (address, address, False)
