"""HMAC over the canonical body: the vectors that pin its form, and what may not be changed unnoticed."""

from __future__ import annotations

import base64
import hmac
import json
from datetime import UTC, datetime

import pytest

from connectors.contract import deliver
from connectors.signatures import CanonicalHmac
from connectors.signatures.canonical import canonical
from core.errors import Invalid, SignatureRejected

SCHEME = CanonicalHmac(header="x-signature")
KEY = "apideck-example-api-key"
BODY = (
    b'{"payload":{"event_type":"accounting.invoice.created","unified_api":"accounting","service_id":"xero",'
    b'"consumer_id":"test_user_id","event_id":"d290f1ee-6c54-4b01-90e6-d701748f0851","entity_id":"123456ASDF",'
    b'"entity_url":"https://unify.apideck.com/accounting/invoices/123456ASDF","entity_type":"invoice",'
    b'"occurred_at":"2020-01-01T00:00:00.000Z"}}'
)
NOW = datetime(2026, 11, 3, 9, 0, tzinfo=UTC)
VECTORS = {
    "sorted, hex": "f899e63e190bdb5cd7bd16b35ec69fbe37dc36568f500e1b1a77585f4e1915c5",
    "sorted, base64": "+JnmPhkL21zXvRazXsafvjfcNlaPUA4bGndYX04ZFcU=",
    "as received, hex": "2d58a8a1e3ff7e7ad95952478ad8e5e82a192e3600b28c3cd4c98ffc106e183d",
}


def proves(body: bytes, signature: str, *secrets: str) -> bool:
    try:
        SCHEME.verify(deliver({"x-signature": signature}, body), secrets or (KEY,))
    except SignatureRejected:
        return False
    return True


@pytest.mark.parametrize("name", VECTORS)
def test_the_vectors_are_accepted_and_nothing_near_them(name: str) -> None:
    signature = VECTORS[name]
    assert proves(BODY, signature)
    assert proves(BODY, signature, "old", KEY)
    assert not proves(BODY, signature, "another")
    assert not proves(BODY.replace(b"created", b"deleted"), signature)
    for near in (signature[:-1], signature + "=", signature.swapcase(), f" {signature}", f"sha256={signature}"):
        assert not proves(BODY, near)


def test_it_signs_as_the_guide_says() -> None:
    assert SCHEME.sign(BODY, KEY, at=NOW, message_id="m").headers == {"x-signature": VECTORS["sorted, hex"]}
    with pytest.raises(Invalid):
        SCHEME.sign(BODY, "", at=NOW, message_id="m")


def test_blanks_and_the_order_of_keys_may_differ_and_values_may_not() -> None:
    whole = json.loads(BODY)
    assert proves(json.dumps(whole, indent=2).encode(), VECTORS["sorted, hex"])
    assert not proves(json.dumps(whole, indent=2).encode(), VECTORS["as received, hex"])
    for key in whole["payload"]:
        changed = {"payload": {**whole["payload"], key: whole["payload"][key] + "x"}}
        assert not proves(json.dumps(changed).encode(), VECTORS["sorted, hex"])


def signed(text: bytes) -> str:
    return hmac.digest(KEY.encode(), text, "sha256").hex()


def test_keys_inside_lists_are_sorted_or_left_as_the_guides_own_sample_leaves_them() -> None:
    body = '{"b": [{"z": 1, "a": "é"}], "a": null}'.encode()
    assert proves(body, signed('{"a":null,"b":[{"a":"é","z":1}]}'.encode()))
    assert proves(body, signed('{"a":null,"b":[{"z":1,"a":"é"}]}'.encode()))
    assert not proves(body, signed(b'{"a":null,"b":[{"a":"\\u00e9","z":1}]}'))


@pytest.mark.parametrize(
    ("written", "known"),
    [("1", True), ("49.99", True), ("0.1", True), ("1.0", False), ("49.990", False), ("1e3", False)],
)
def test_a_number_counts_as_proven_only_where_its_digits_are(written: str, known: bool) -> None:
    body = f'{{"b": {written}, "a": [{written}]}}'.encode()
    compact = f'{{"a":[{written}],"b":{written}}}'.encode()
    assert proves(body, signed(compact)) is known
    # As received it always is.
    assert proves(body, signed(body))
    # More digits than a double has would read as another amount.
    if "." in written:
        assert not proves(body.replace(written.encode(), written.encode() + b"0000000000000000001"), signed(compact))


@pytest.mark.parametrize("body", [b"", b"x", b"[1", b"\xff", b"12", b"[" * 200 + b"]" * 200, b'{"a":NaN}'])
def test_what_is_no_json_is_proven_by_its_bytes_alone(body: bytes) -> None:
    assert proves(body, signed(body))
    assert not proves(body, signed(b"{}"))
    with pytest.raises(ValueError, match="is not JSON"):
        canonical(body)


def test_a_base64_digest_of_the_raw_body_is_accepted_as_well() -> None:
    assert proves(BODY, base64.b64encode(hmac.digest(KEY.encode(), BODY, "sha256")).decode())
