"""Signatures inside the body: Adyen's items and Braintree's form, with every published vector and the usual attacks."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from copy import deepcopy
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qs, urlencode

import pytest
from Adyen.util import is_valid_hmac_notification, is_valid_hmac_payload

from connectors.base import Answer, Delivery, Verified
from connectors.contract import deliver
from connectors.signatures import FormHmac, ItemHmac
from core.errors import Invalid, SignatureRejected
from tests.connectors.braintree_sdk import PAIR, gateway, sample

NOW = datetime(2026, 11, 3, 9, 0, tzinfo=UTC)
Json = dict[str, Any]

items = ItemHmac()
KEY_A = "44782DEF547AAA06C910C43932B1EB0C71FC68D9D0C057550C48EC2ACF6BA056"
KEY_B = "74F490DD33F7327BAECC88B2947C011FC02D014A473AAA33A8EC93E4DC069174"
FIRST: Json = {
    "additionalData": {"hmacSignature": "coqCmt/IZ4E3CzPvMY8zTjQVL5hYJUiBRg8UU+iCWo0="},
    "amount": {"currency": "EUR", "value": 1130},
    "eventCode": "AUTHORISATION",
    "eventDate": "2019-05-06T17:15:34.121+02:00",
    "merchantAccountCode": "TestMerchant",
    "merchantReference": "TestPayment-1407325143704",
    "pspReference": "7914073381342284",
    "success": "true",
}
# Colons and backslashes are signed as they are: with any escaping these four would not hold.
AWKWARD = [
    ("T7FD4VM4D3RZNN82", "\\\\slashes are fun", "nIgT81gaB5oJpn2jPXupDq68iRo2wUlBsuYjtYfwKqo="),
    ("M8NB66SBZSGLNK82", ":slashes are fun", "2EQYm7YJpKO4EtHSPu55SQTyWf8dkW5u2nD1tJFpViA="),
    ("X3GWNS6KJ8NKGK82", "//slashes are fun", "9Z0xdpG9Xi3zcmXv14t/BvMBut77O/Xq9D4CQXSDUi4="),
    ("ZVWN7D3WSMK2WN82", "\\:/\\/slashes are fun", "CZErGCNQaSsxbaQfZaJlakqo7KPP+mIa8a+wx3yNs9A="),
]
PLATFORM_BODY = json.loads(
    '"\\n        {\\n            \\"type\\": \\"merchant.created\\",\\n            \\"environment\\": \\"test\\",\\n'
    '            \\"createdAt\\": \\"01-01-2024\\",\\n            \\"data\\": {\\n                \\"capabilities\\": {'
    '\\n                    \\"sendToTransferInstrument\\": {\\n                        \\"requested\\": true,\\n'
    '                        \\"requestedLevel\\": \\"notApplicable\\"\\n                    }\\n                },\\n'
    '                \\"companyId\\": \\"YOUR_COMPANY_ID\\",\\n                \\"merchantId\\": '
    '\\"YOUR_MERCHANT_ACCOUNT\\",\\n                \\"status\\": \\"PreActive\\"\\n            }\\n        }\\n'
    '        "'
).encode()
PLATFORM_SEAL = "fX74xUdztFmaXAn3IusMFFUBUSkLmDQUK0tm8xL6ZTU="


def batch(*given: Json) -> Json:
    return {"live": "false", "notificationItems": [{"NotificationRequestItem": item} for item in given]}


def judged(body: Json | bytes, *secrets: str, **headers: str) -> Verified:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    return items.verify(deliver(headers, raw), secrets or (KEY_A,))


def awkward(psp: str, reference: str, seal: str) -> Json:
    return {
        "additionalData": {"hmacSignature": seal},
        "amount": {"currency": "EUR", "value": 1000},
        "eventCode": "AUTHORISATION",
        "merchantAccountCode": "AntoniStroinski",
        "merchantReference": reference,
        "pspReference": psp,
        "success": "true",
    }


def test_the_librarys_own_item_holds() -> None:
    assert judged(batch(FIRST)) == Verified()
    assert judged(batch(FIRST), KEY_B, KEY_A) == Verified(secret_index=1)


@pytest.mark.parametrize(("psp", "reference", "seal"), AWKWARD)
def test_colons_and_backslashes_are_signed_as_they_are(psp: str, reference: str, seal: str) -> None:
    assert judged(batch(awkward(psp, reference, seal)), KEY_B) == Verified()
    with pytest.raises(SignatureRejected):
        judged(batch(awkward(psp, reference + " ", seal)), KEY_B)


def test_the_published_platform_body_holds_in_its_header() -> None:
    assert len(PLATFORM_BODY) == 546
    assert judged(PLATFORM_BODY, HmacSignature=PLATFORM_SEAL) == Verified()
    with pytest.raises(SignatureRejected):
        judged(PLATFORM_BODY.strip(), HmacSignature=PLATFORM_SEAL)


def test_keys_are_exchanged_while_a_batch_is_under_way() -> None:
    mixed = batch(FIRST, awkward(*AWKWARD[0]))
    assert judged(mixed, KEY_A, KEY_B) == Verified()
    with pytest.raises(SignatureRejected):
        judged(mixed, KEY_A)


def spoil(change: Callable[[Json], object]) -> Json:
    said = deepcopy(FIRST)
    change(said)
    return said


ATTACKS = [
    pytest.param(spoil(lambda one: one.pop("additionalData")), id="no additionalData"),
    pytest.param(spoil(lambda one: one.update(additionalData=None)), id="additionalData is null"),
    pytest.param(spoil(lambda one: one.update(additionalData={})), id="no signature"),
    pytest.param(spoil(lambda one: one["additionalData"].update(hmacSignature=None)), id="the signature is null"),
    pytest.param(spoil(lambda one: one["additionalData"].update(hmacSignature="")), id="the signature is empty"),
    pytest.param(spoil(lambda one: one["additionalData"].update(hmacSignature="é")), id="the signature is no ASCII"),
    pytest.param(spoil(lambda one: one["additionalData"].update(hmacSignature=["x"])), id="the signature is a list"),
    pytest.param(spoil(lambda one: one["amount"].update(value=1131)), id="another amount"),
    pytest.param(spoil(lambda one: one["amount"].update(value="1130")), id="the amount is text"),
    pytest.param(spoil(lambda one: one["amount"].update(value=1130.0)), id="the amount is a fraction"),
    pytest.param(spoil(lambda one: one["amount"].update(currency="USD")), id="another currency"),
    pytest.param(spoil(lambda one: one.update(success="false")), id="success turned round"),
    pytest.param(spoil(lambda one: one.update(success=True)), id="success is a boolean"),
    pytest.param(spoil(lambda one: one.update(eventCode="REFUND")), id="another event"),
    pytest.param(spoil(lambda one: one.update(originalReference="x")), id="an original reference put in"),
    pytest.param(spoil(lambda one: one.update(merchantReference=None)), id="no merchant reference"),
    pytest.param(
        spoil(lambda one: one.update(originalReference=":TestMerchant", merchantAccountCode="")),
        id="the same text cut otherwise",
    ),
]


@pytest.mark.parametrize("item", ATTACKS)
def test_an_item_that_was_touched_is_refused_alone_and_behind_a_good_one(item: Json) -> None:
    for said in (batch(item), batch(FIRST, item), batch(item, FIRST)):
        with pytest.raises(SignatureRejected):
            judged(said)


def test_a_text_that_could_be_cut_in_two_ways_counts_for_one_item_only() -> None:
    """A shop's reference may hold colons; an item must not borrow them for its other fields."""
    secret = items.new_secret()
    crafted = {**FIRST, "merchantReference": "x:99:EUR:AUTHORISATION:true", "success": "false"}
    crafted["amount"] = {"currency": "EUR", "value": 1}
    signed = items.sign(json.dumps(batch(crafted)).encode(), secret, at=NOW, message_id="m")
    (wrapper,) = json.loads(signed.body)["notificationItems"]
    seal = wrapper["NotificationRequestItem"]["additionalData"]["hmacSignature"]
    other = {
        **crafted,
        "merchantReference": "x",
        "amount": {"currency": "EUR", "value": 99},
        "eventCode": "AUTHORISATION",
    }
    other |= {"success": "true:1:EUR:AUTHORISATION:false", "additionalData": {"hmacSignature": seal}}
    assert judged(signed.body, secret) == Verified()
    with pytest.raises(SignatureRejected, match="colon"):
        judged(batch(other), secret)


def test_null_and_missing_are_empty_and_never_a_word() -> None:
    assert judged(batch({**FIRST, "originalReference": None})) == Verified()
    assert judged(batch({**FIRST, "originalReference": ""})) == Verified()
    with pytest.raises(SignatureRejected):
        judged(batch({**FIRST, "originalReference": "None"}))


@pytest.mark.parametrize(
    "key",
    ["", "44782DEF", KEY_A[:-1], KEY_A + "Z", " " + KEY_A, base64.b64encode(bytes.fromhex(KEY_A)).decode(), "\udcff"],
    ids=["empty", "half a key", "odd", "no hex", "a blank", "base64", "surrogate"],
)
def test_a_key_in_another_form_proves_nothing_and_is_passed_over(key: str) -> None:
    with pytest.raises(SignatureRejected):
        judged(batch(FIRST), key)
    assert judged(batch(FIRST), key, KEY_A) == Verified(secret_index=1)


def test_the_key_as_text_is_another_key() -> None:
    assert judged(batch(FIRST), KEY_A.lower()) == Verified()
    for bad in ("", "xyz", KEY_A[:-1]):
        with pytest.raises(Invalid):
            items.check_secret(bad)


@pytest.mark.parametrize(
    "body",
    [
        {"notificationItems": []},
        {"notificationItems": None},
        {"notificationItems": {}},
        {"notificationItems": [None]},
        {"notificationItems": [{}]},
        {"notificationItems": [{"NotificationRequestItem": None}]},
        {"notificationItems": [{"NotificationRequestItem": FIRST}, {}]},
    ],
)
def test_a_list_that_holds_anything_but_items_is_refused(body: Json) -> None:
    with pytest.raises(SignatureRejected):
        judged(body)


def test_neither_scheme_stands_in_for_the_other() -> None:
    secret = items.new_secret()
    platform = json.dumps({"type": "balancePlatform.transaction.created", "data": {"id": "E1"}}).encode()
    header = items.sign(platform, secret, at=NOW, message_id="m").headers["HmacSignature"]
    assert judged(platform, secret, HmacSignature=header) == Verified()
    # A platform body without its header, or with an item's signature, is nothing.
    with pytest.raises(SignatureRejected):
        judged(platform, secret)
    # Items whose whole body is signed by the header still need their own signatures.
    bare = json.dumps(batch({**FIRST, "additionalData": {}})).encode()
    over_all = items._whole.sign(bare, secret, at=NOW, message_id="m").headers["HmacSignature"]
    with pytest.raises(SignatureRejected):
        judged(bare, secret, HmacSignature=over_all)
    # A header neither helps nor harms items that hold.
    assert judged(batch(FIRST), HmacSignature="nonsense") == Verified()
    # The text that an item's signature covers is no body.
    text = b"7914073381342284::TestMerchant:TestPayment-1407325143704:1130:EUR:AUTHORISATION:true"
    with pytest.raises(SignatureRejected):
        judged(text, HmacSignature=FIRST["additionalData"]["hmacSignature"])


def test_what_stands_twice_counts_as_it_is_read() -> None:
    good = json.dumps(batch(FIRST))
    forged = good[:-1] + ', "notificationItems": [{"NotificationRequestItem": {"pspReference": "x"}}]}'
    with pytest.raises(SignatureRejected):
        judged(forged.encode())


def test_adyens_library_takes_what_we_sign_and_the_other_way_round() -> None:
    secret = items.new_secret()
    signed = items.sign(json.dumps(batch(FIRST)).encode(), secret, at=NOW, message_id="m")
    assert signed.headers == {}
    assert is_valid_hmac_notification(json.loads(signed.body), secret)
    assert is_valid_hmac_notification(batch(FIRST), KEY_A)
    header = items.sign(PLATFORM_BODY, KEY_A, at=NOW, message_id="m").headers["HmacSignature"]
    assert header == PLATFORM_SEAL
    assert is_valid_hmac_payload(header, KEY_A, PLATFORM_BODY)


def test_adyens_library_checks_the_first_item_only_and_we_check_all() -> None:
    bad = batch(FIRST, {**FIRST, "success": "false"})
    assert is_valid_hmac_notification(deepcopy(bad), KEY_A)
    with pytest.raises(SignatureRejected):
        judged(bad)


# Braintree.

forms = FormHmac()
DOCUMENT = (
    b"<notification><timestamp type='datetime'>2024-05-02T10:15:30Z</timestamp><kind>check</kind>"
    b"<subject><check type='boolean'>true</check></subject></notification>"
)


def taken(body: bytes, *secrets: str) -> Verified:
    return forms.verify(deliver({}, body), secrets or (PAIR,))


def fields(body: bytes) -> tuple[str, str]:
    read = parse_qs(body.decode())
    return read["bt_signature"][0], read["bt_payload"][0]


def form(signature: str, payload: str) -> bytes:
    return urlencode({"bt_signature": signature, "bt_payload": payload}).encode()


SIGNED = forms.sign(DOCUMENT, PAIR, at=NOW, message_id="m").body
SEAL, TEXT = fields(SIGNED)


def asked(challenge: str, *secrets: str, method: str = "GET") -> Answer | None:
    delivery = Delivery(body=b"", headers={}, received_at=NOW, method=method, query={"bt_challenge": challenge})
    return forms.answer(delivery, secrets or (PAIR,))


def test_the_published_challenge_is_answered() -> None:
    expected = b"integration_public_key|d9b899556c966b3f06945ec21311865d35df3ce4"
    assert asked("20f9f8ed05f77439fe955c977e4c8a53") == Answer(body=expected)
    assert gateway().webhook_notification.verify("20f9f8ed05f77439fe955c977e4c8a53") == expected.decode()
    assert asked("20f9f8ed05f77439fe955c977e4c8a53", "garbled", PAIR) == Answer(body=expected)


def test_the_published_primitive_holds() -> None:
    from connectors.signatures.forms import _known, _seal

    assert _seal(_known("p:secretKey")[1], "hello world") == b"d503d7a1a6adba1e6474e9ff2c4167f9dfdf4247"


@pytest.mark.parametrize(
    "challenge",
    [
        "",
        "20f9f8ed05f77439fe9",
        "a" * 33,
        "20F9F8ED05F77439FE955C977E4C8A53",
        "20f9f8ed05f77439fe955c977e4c8a5\n",
        "<xml>",
    ],
    ids=["empty", "short", "long", "capitals", "a line feed", "a document"],
)
def test_nothing_but_a_challenge_is_signed_for_a_stranger(challenge: str) -> None:
    assert asked(challenge) is None


def test_no_challenge_is_answered_by_post_or_without_a_secret() -> None:
    assert asked("20f9f8ed05f77439fe955c977e4c8a53", method="POST") is None
    assert asked("20f9f8ed05f77439fe955c977e4c8a53", "garbled") is None


def test_an_answered_challenge_is_no_notification() -> None:
    """Whoever asks gets a challenge signed; what was signed that way must not pass for a notice."""
    challenge = "20f9f8ed05f77439fe955c977e4c8a53"
    answer = asked(challenge)
    assert answer is not None
    with pytest.raises(SignatureRejected, match="not base64"):
        taken(form(answer.body.decode(), challenge))


@pytest.mark.parametrize("kind", ["check", "transaction_settled", "dispute_opened", "disbursement", "refund_failed"])
def test_what_braintrees_library_signs_we_take(kind: str) -> None:
    assert taken(form(*sample(kind))) == Verified()


def test_what_we_sign_braintrees_library_takes() -> None:
    found = gateway().webhook_notification.parse(SEAL, TEXT)
    assert (found.kind, found.timestamp) == ("check", datetime(2024, 5, 2, 10, 15, 30))  # noqa: DTZ001  # As it parses.


def test_our_pair_is_found_among_several_by_its_public_key() -> None:
    other = forms.sign(DOCUMENT, "other_public:other_private", at=NOW, message_id="m").body
    theirs, _ = fields(other)
    assert taken(form(f"{theirs}&{SEAL}", TEXT)) == Verified()
    assert taken(form(f"{theirs}&{SEAL}", TEXT), "old:pair", PAIR) == Verified(secret_index=1)
    seal = SEAL.partition("|")[2]
    for wrong in (theirs, f"other_public|{seal}", f"|{seal}", seal, f"integration_public_key|{seal}0", ""):
        with pytest.raises(SignatureRejected):
            taken(form(wrong, TEXT))


def test_too_many_pairs_are_not_tried() -> None:
    with pytest.raises(SignatureRejected):
        taken(form("&".join([SEAL] * 9), TEXT))


def test_the_line_feed_at_the_end_may_be_lost_and_nothing_else() -> None:
    assert TEXT.endswith("\n")
    assert taken(form(SEAL, TEXT[:-1])) == Verified()
    for other in (TEXT + "\n", TEXT[:-2], TEXT.replace("\n", ""), TEXT.replace("\n", "\r\n"), " " + TEXT, "\n" + TEXT):
        with pytest.raises(SignatureRejected):
            taken(form(SEAL, other))


def test_a_plus_sign_that_became_a_blank_is_refused() -> None:
    # The three bytes make a plus sign in base64.
    signed = forms.sign(b"<a>\xfb\xef\xbe</a>", PAIR, at=NOW, message_id="m").body
    assert b"%2B" in signed
    assert taken(signed) == Verified()
    with pytest.raises(SignatureRejected, match="not base64"):
        taken(signed.replace(b"%2B", b"+"))
    with pytest.raises(SignatureRejected):
        taken(signed.replace(b"%2B", b"%252B"))


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{}",
        b"bt_payload",
        SIGNED + b"&bt_payload=eA%3D%3D",
        SIGNED + b"&bt_signature=x",
        SIGNED.replace(b"bt_signature", b"BT_SIGNATURE"),
        b"bt_signature=" + SEAL.encode(),
        b"bt_payload=" + TEXT.encode(),
        "bt_signature=é&bt_payload=é".encode(),
        form(SEAL, "é"),
        form(SEAL, ""),
        form("é|é", TEXT),
        SIGNED + b"&x=1" * 30,
        b"\xff\xfe",
    ],
)
def test_whatever_a_form_holds_the_answer_is_a_refusal(body: bytes) -> None:
    with pytest.raises(SignatureRejected):
        taken(body)


def test_the_private_key_is_not_the_key_itself() -> None:
    import hmac

    plain = hmac.new(b"integration_private_key", TEXT.encode(), "sha1").hexdigest()
    with pytest.raises(SignatureRejected):
        taken(form(f"integration_public_key|{plain}", TEXT))


@pytest.mark.parametrize(
    "secret", ["", "onlyone", "a:", ":b", "a:b:c", "a b:c", "a|x:b", "a&x:b", "é:b", "x" * 600 + ":b"]
)
def test_a_secret_holds_both_keys_of_the_pair(secret: str) -> None:
    with pytest.raises(Invalid, match="public and the private key"):
        forms.check_secret(secret)
    with pytest.raises(SignatureRejected):
        taken(SIGNED, secret)
    assert taken(SIGNED, secret, PAIR) == Verified(secret_index=1)
