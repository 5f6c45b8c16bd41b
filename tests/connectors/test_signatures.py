"""Signature schemes: published vectors, official libraries as counterparties, and what strangers send."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

import pytest
import razorpay
import standardwebhooks
from hypothesis import given, settings
from hypothesis import strategies as st

from connectors import registry, samples
from connectors.base import Connector, Delivery, Verified
from connectors.contract import deliver
from connectors.signatures import BODY, TIMESTAMP, Hmac, StandardWebhooks, Unsigned, public_key_of
from connectors.signatures.parts import decode_base64
from core.errors import Invalid, MalformedPayload, SignatureRejected
from tests.budget import examples

STANDARD = StandardWebhooks()
BODY_V1 = b'{"test": 2432232314}'
HEADERS_V1 = {
    "webhook-id": "msg_p5jXN8AQM9LWM0D4loKWxJek",
    "webhook-timestamp": "1614265330",
    "webhook-signature": "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
}
SECRET_V1 = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
WRONG_V1 = "v1,Ceo5qEr07ixe2NLpvHk3FH9bwy/WavXrAFQ/9tdO6mc="
AT_V1 = datetime.fromtimestamp(1614265330, UTC)

BODY_V1A = (
    '{"eventType":"event.updated","userId":"user_42","provider":"google","calendarId":"primary","events":[{"id":"evt_1",'
    '"title":"Café meeting ☕ — Zoë","lastModified":"2026-09-21T10:00:00.000Z"}]}'
).encode()
ACTIVE = "whpk_0r0+Z02Sv1SRb1QjsKUnil6t2oqtAyhn5HHfKgbTXFs="
PREVIOUS = "whpk_4bVYVyWUPGQLCcnQQoGU4qTyIeucOFTnkZXlNFAlv6g="
UNRELATED = "whpk_ayphRQPtMA3vgSzLAuQ80QvyDQbO3ha9Xgc6xCwBWXI="
BY_ACTIVE = "v1a,ClNzh8jskfPsDqArmUq6vxG6/PAQmLXf7sMsXnReG1DAI3lMxKcQEyEqqWe/weLoTo8g72qIJ+H0nA1WhNWEDA=="
BY_PREVIOUS = "v1a,MYPOv3exr1vMvu95bLYcu1k3hDAQeC66XmOy91Y34m2q/mBd3j1dhT+ubQYkMZF7FxvItnlwU9yXKqd2A1SWDQ=="
DUMMY_V1 = "v1,BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc="
AT_V1A = datetime.fromtimestamp(1790000000, UTC)


def v1(
    signature: str = HEADERS_V1["webhook-signature"],
    *,
    seconds: float = 0,
    prefix: str = "webhook",
    other: Mapping[str, str] | None = None,
) -> Delivery:
    headers = {**HEADERS_V1, "webhook-signature": signature, **(other or {})}
    named = {name.replace("webhook", prefix, 1): value for name, value in headers.items()}
    return deliver(named, BODY_V1, received_at=AT_V1 + timedelta(seconds=seconds))


def v1a(signature: str, *, seconds: float = 0, timestamp: str = "1790000000") -> Delivery:
    headers = {
        "webhook-id": "msg_2a161f33-a287-419f-85f9-fc95dbecccdd",
        "webhook-timestamp": timestamp,
        "webhook-signature": signature,
    }
    return deliver(headers, BODY_V1A, received_at=AT_V1A + timedelta(seconds=seconds))


GOOD_V1 = HEADERS_V1["webhook-signature"]


@pytest.mark.parametrize(
    "delivery",
    [
        pytest.param(v1(), id="the published vector"),
        pytest.param(v1(prefix="svix"), id="svix header names"),
        pytest.param(v1(seconds=300), id="300 s old"),
        pytest.param(v1(seconds=-300), id="300 s ahead"),
        pytest.param(v1(f"{WRONG_V1} {GOOD_V1}"), id="the second of two"),
        pytest.param(v1(f"v2,{GOOD_V1[3:]} {GOOD_V1}"), id="after an unknown version"),
        pytest.param(v1(f"garbage {GOOD_V1}"), id="after an entry without a comma"),
        pytest.param(v1(f"  {GOOD_V1}"), id="after two spaces"),
        pytest.param(v1(f"v1,abcde {GOOD_V1}"), id="after impossible base64"),
        pytest.param(v1(f"{BY_ACTIVE} {GOOD_V1}"), id="beside a v1a entry"),
    ],
)
def test_v1_is_accepted(delivery: Delivery) -> None:
    verified = STANDARD.verify(delivery, [SECRET_V1])
    assert verified == Verified(secret_index=0, message_id="msg_p5jXN8AQM9LWM0D4loKWxJek")


@pytest.mark.parametrize(
    "delivery",
    [
        pytest.param(v1(WRONG_V1), id="the published wrong signature"),
        pytest.param(v1(f"v2,{GOOD_V1[3:]}"), id="relabelled v2"),
        pytest.param(v1(f"v1a,{GOOD_V1[3:]}"), id="relabelled v1a"),
        pytest.param(v1(GOOD_V1[3:]), id="without a version"),
        pytest.param(v1(GOOD_V1.rstrip("=")), id="without padding"),
        pytest.param(v1(seconds=300.001), id="just over 300 s old"),
        pytest.param(v1(seconds=-301), id="301 s ahead"),
        pytest.param(v1(other={"webhook-timestamp": "1614265330.7"}), id="a fractional timestamp"),
        pytest.param(v1(other={"webhook-timestamp": "nan"}), id="nan"),
        pytest.param(v1(other={"webhook-timestamp": "١٦١٤٢٦٥٣٣٠"}), id="digits of another script"),
        pytest.param(v1(other={"webhook-timestamp": "9" * 40}), id="a timestamp of forty digits"),
        pytest.param(v1(other={"webhook-id": "msg.with.stops"}), id="an id with full stops"),
        pytest.param(v1(WRONG_V1, other={"svix-id": "other"}), id="both families of headers"),
        pytest.param(v1("é " + GOOD_V1), id="not ASCII"),
    ],
)
def test_v1_is_refused(delivery: Delivery) -> None:
    with pytest.raises(SignatureRejected):
        STANDARD.verify(delivery, [SECRET_V1])


@pytest.mark.parametrize(
    "secret",
    [
        SECRET_V1,
        "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
        "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaS",
        "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSwBr",
    ],
    ids=["with prefix", "without prefix", "one pad missing", "two pads missing"],
)
def test_secrets_load_in_each_form_in_circulation(secret: str) -> None:
    STANDARD.check_secret(secret)


@pytest.mark.parametrize("secret", ["", "whsec_", "whsec_é", "whpk_AAAA", "whsec_not base64", "a" * 600])
def test_unusable_secrets_are_refused_and_passed_over(secret: str) -> None:
    with pytest.raises(Invalid, match="webhook_secret"):
        STANDARD.check_secret(secret)
    assert STANDARD.verify(v1(), [secret, SECRET_V1]).secret_index == 1


def test_a_private_key_is_no_secret_to_receive_with() -> None:
    with pytest.raises(Invalid, match="paste the public one"):
        STANDARD.check_secret("whsk_" + "A" * 43)


def test_basiqs_unpadded_sample_secret_verifies_the_derived_vector() -> None:
    secret = "whsec_MA4V6bD7rB0Hcm2aw8ghgDeQ5UAak24DwnX0rX6"
    assert decode_base64(secret[6:]).hex() == "300e15e9b0fbac1d07726d9ac3c821803790e5401a936e03c275f4ad7e"
    body = json.dumps(json.loads(samples.load("basiq", "user.created")), separators=(",", ":")).encode()
    headers = {
        "webhook-id": "msg_basiq_1",
        "webhook-timestamp": "1700000000",
        "webhook-signature": "v1,5fgmFW5+nImASyhRRqpaa0Q1VsaMXrlgcG14AaiMbhc=",
    }
    delivery = deliver(headers, body, received_at=datetime.fromtimestamp(1700000000, UTC))
    connector = registry.get("basiq")
    assert connector.verify(delivery, [secret]).message_id == "msg_basiq_1"


@pytest.mark.parametrize(
    ("delivery", "secrets", "index"),
    [
        pytest.param(v1a(BY_ACTIVE), [ACTIVE, PREVIOUS], 0, id="active key"),
        pytest.param(v1a(BY_PREVIOUS), [ACTIVE, PREVIOUS], 1, id="previous key"),
        pytest.param(v1a(f"{DUMMY_V1} {BY_ACTIVE}"), [ACTIVE], 0, id="after a dummy v1 entry"),
        pytest.param(v1a(f"{BY_PREVIOUS} {BY_ACTIVE}"), [ACTIVE], 0, id="after an entry of another key"),
        pytest.param(v1a(BY_ACTIVE, seconds=300), [ACTIVE], 0, id="300 s old"),
        pytest.param(v1a(BY_ACTIVE), ["whpk_garbage", ACTIVE], 1, id="beside a malformed key"),
    ],
)
def test_v1a_is_accepted(delivery: Delivery, secrets: list[str], index: int) -> None:
    assert STANDARD.verify(delivery, secrets).secret_index == index


@pytest.mark.parametrize(
    ("delivery", "secret"),
    [
        pytest.param(v1a(BY_ACTIVE, seconds=301), ACTIVE, id="301 s old"),
        pytest.param(v1a(BY_ACTIVE, seconds=-301), ACTIVE, id="301 s ahead"),
        pytest.param(v1a(BY_ACTIVE, timestamp="soon"), ACTIVE, id="no number for a timestamp"),
        pytest.param(v1a(DUMMY_V1), ACTIVE, id="only v1"),
        pytest.param(v1a("v1a,%%%"), ACTIVE, id="bad base64"),
        pytest.param(v1a("v1a,AAAA"), ACTIVE, id="a signature of the wrong length"),
        pytest.param(v1a(BY_ACTIVE), UNRELATED, id="an unrelated key"),
        pytest.param(v1a(BY_ACTIVE), "whsec_" + ACTIVE[5:], id="the public key taken for a shared secret"),
        pytest.param(v1a(" ".join([BY_PREVIOUS] * 8 + [BY_ACTIVE])), ACTIVE, id="past the eighth entry"),
    ],
)
def test_v1a_is_refused(delivery: Delivery, secret: str) -> None:
    with pytest.raises(SignatureRejected):
        STANDARD.verify(delivery, [secret])


def test_a_public_key_used_as_a_shared_secret_proves_nothing() -> None:
    """Whoever knows the public key could make this v1 entry."""
    forged = STANDARD.sign(BODY_V1, "whsec_" + ACTIVE[5:], at=AT_V1, message_id="msg_1").headers
    with pytest.raises(SignatureRejected):
        STANDARD.verify(deliver(forged, BODY_V1, received_at=AT_V1), [ACTIVE])


def test_v1a_signs_with_the_private_key_and_verifies_with_the_public_one() -> None:
    private = "whsk_" + "A" * 43
    headers = STANDARD.sign(BODY_V1, private, at=AT_V1, message_id="msg_1").headers
    delivery = deliver(headers, BODY_V1, received_at=AT_V1)
    assert STANDARD.verify(delivery, [public_key_of(private)]).message_id == "msg_1"
    with pytest.raises(SignatureRejected, match="no usable secret"):
        StandardWebhooks(asymmetric=False).verify(delivery, [public_key_of(private)])
    with pytest.raises(Invalid, match="cannot sign"):
        STANDARD.sign(BODY_V1, public_key_of(private), at=AT_V1, message_id="msg_1")


def test_the_reference_library_and_we_accept_each_other() -> None:
    library = standardwebhooks.Webhook(SECRET_V1)
    now = datetime.now(UTC)
    ours = STANDARD.sign(BODY_V1, SECRET_V1, at=now, message_id="msg_1").headers
    assert library.verify(BODY_V1, ours) == json.loads(BODY_V1)
    theirs = library.sign("msg_2", now, BODY_V1.decode())
    headers = {"webhook-id": "msg_2", "webhook-timestamp": str(int(now.timestamp())), "webhook-signature": theirs}
    assert STANDARD.verify(deliver(headers, BODY_V1, received_at=now), [SECRET_V1]).message_id == "msg_2"


RAZORPAY = registry.get("razorpay")
VECTOR = samples.load("razorpay", "payment.authorized", "sdk_vector")
VECTOR_SIGNATURE = "d60e67fd884556c045e9be7dad57903e33efc7172c17c6e3ef77db42d2b366e9"


def test_razorpays_published_vector_is_accepted() -> None:
    delivery = deliver({"X-Razorpay-Signature": VECTOR_SIGNATURE}, VECTOR)
    assert RAZORPAY.verify(delivery, ["key_secret"]) == Verified(secret_index=0)


@pytest.mark.parametrize(
    ("signature", "body"),
    [
        pytest.param(VECTOR_SIGNATURE.upper(), VECTOR, id="capital letters"),
        pytest.param(VECTOR_SIGNATURE, VECTOR.rstrip(b"\n"), id="without the last line feed"),
        pytest.param("test_signature", b"", id="the SDK's negative case"),
        pytest.param(f"sha256={VECTOR_SIGNATURE}", VECTOR, id="with a prefix"),
        pytest.param(VECTOR_SIGNATURE[:-1] + "é", VECTOR, id="not ASCII"),
    ],
)
def test_other_forms_of_razorpays_signature_are_refused(signature: str, body: bytes) -> None:
    with pytest.raises(SignatureRejected):
        RAZORPAY.verify(deliver({"X-Razorpay-Signature": signature}, body), ["key_secret"])


@pytest.mark.parametrize(
    ("key", "message", "signature"),
    [
        pytest.param(
            "key_secret",
            "fake_order_id|fake_payment_id",
            "b2335e3b0801106b84a7faff035df56ecffde06918c9ddd1f0fafbb37a51cc89",
            id="payment of an order",
        ),
        pytest.param(
            "EnLs21M47BllR3X8PSFtjtbd",
            "pay_IDZNwZZFtnjyym|sub_ID6MOhgkcoHj9I",
            "601f383334975c714c91a7d97dd723eb56520318355863dcf3821c0d07a17693",
            id="subscription payment",
        ),
        pytest.param(
            "EnLs21M47BllR3X8PSFtjtbd",
            "plink_IH3cNucfVEgV68|TSsd1989|paid|pay_IH3d0ara9bSsjQ",
            "07ae18789e35093e51d0a491eb9922646f3f82773547e5b0f67ee3f2d3bf7d5b",
            id="payment link",
        ),
    ],
)
def test_razorpays_checkout_vectors_come_out_of_the_same_scheme(key: str, message: str, signature: str) -> None:
    delivery = deliver({"X-Razorpay-Signature": signature}, message.encode())
    assert RAZORPAY.verify(delivery, [key]).secret_index == 0


def test_razorpays_sdk_accepts_what_we_sign() -> None:
    headers = RAZORPAY.signature.sign(VECTOR, "key_secret", at=AT_V1, message_id="evt_1").headers
    assert headers["X-Razorpay-Event-Id"] == "evt_1"
    client = razorpay.Client(auth=("id", "secret"))
    assert client.utility.verify_webhook_signature(VECTOR.decode(), headers["X-Razorpay-Signature"], "key_secret")


TIMED = Hmac(
    header="X-Signature",
    encoding="base64",
    prefix="v0=",
    algorithm="sha512",
    signed=(TIMESTAMP, ":", BODY),
    timestamp_header="X-Timestamp",
    decode_key=bytes.fromhex,
    tolerance_seconds=60,
)


def test_an_hmac_may_cover_its_timestamp() -> None:
    secret = TIMED.new_secret()
    headers = TIMED.sign(b"{}", secret, at=AT_V1, message_id="unused").headers
    assert headers["X-Signature"].startswith("v0=")
    assert (
        TIMED.verify(deliver(headers, b"{}", received_at=AT_V1 + timedelta(seconds=60)), ["zz", secret]).secret_index
        == 1
    )
    for changed in ({"X-Timestamp": str(int(headers["X-Timestamp"]) + 1)}, {"X-Timestamp": "-5"}):
        with pytest.raises(SignatureRejected):
            TIMED.verify(deliver({**headers, **changed}, b"{}", received_at=AT_V1), [secret])
    with pytest.raises(SignatureRejected, match="61 s old"):
        TIMED.verify(deliver(headers, b"{}", received_at=AT_V1 + timedelta(seconds=61)), [secret])
    with pytest.raises(Invalid, match="webhook_secret"):
        TIMED.check_secret("not hex")


def test_an_hmac_that_leaves_out_the_body_cannot_be_declared() -> None:
    with pytest.raises(ValueError, match="body must be signed"):
        Hmac(header="X", signed=("constant",))
    with pytest.raises(ValueError, match="timestamp"):
        Hmac(header="X", signed=(TIMESTAMP, BODY))


HEADER = st.text(max_size=60) | st.sampled_from(["v1,", "v1a,", "v1, v1,", "1614265330", "v1,é", "\udcff", "0" * 64])
NAMES = ["webhook-id", "webhook-timestamp", "webhook-signature", "svix-id", "svix-timestamp", "svix-signature",
         "x-razorpay-signature", "x-razorpay-event-id", "stripe-signature", "x-webhook-signature",
         "x-webhook-timestamp", "x-paystack-signature", "verif-hash", "flutterwave-signature"]  # fmt: skip
# Whose notices are unsigned proves nothing, and takes everything as a hint.
SIGNED = [one for one in registry.all().values() if not isinstance(one.signature, Unsigned)]


@settings(max_examples=examples(150), deadline=None)
@given(
    headers=st.dictionaries(st.sampled_from(NAMES), st.lists(HEADER, max_size=2).map(tuple)),
    body=st.binary(max_size=200),
    secrets=st.lists(st.text(max_size=50), max_size=3),
    connector=st.sampled_from(SIGNED),
)
def test_no_stranger_gets_anything_but_a_refusal(
    headers: Mapping[str, tuple[str, ...]], body: bytes, secrets: list[str], connector: Connector
) -> None:
    delivery = Delivery(body=body, headers=headers, received_at=AT_V1)
    with pytest.raises(SignatureRejected):
        connector.verify(delivery, secrets)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=10),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=10), inner, max_size=4),
    max_leaves=20,
)
NAMED = st.sampled_from(["event", "payload", "payment", "entity", "type", "data", "links", "eventId", "eventTypeId",
                         "eventEntity", "created_at", "timestamp", "id", "amount", "currency", "status"])  # fmt: skip


@settings(max_examples=examples(300), deadline=None)
@given(
    said=st.dictionaries(NAMED, JSON | st.dictionaries(NAMED, JSON | st.dictionaries(NAMED, JSON)), min_size=1),
    connector=st.sampled_from(list(registry.all().values())),
    data=st.data(),
)
def test_a_signed_body_of_any_shape_is_read_or_malformed(
    said: dict[str, object], connector: Connector, data: st.DataObject
) -> None:
    name = data.draw(st.sampled_from(sorted(connector.events)))
    whole = {**said, "event": name, "type": name, "eventTypeId": name}
    headers = {"webhook-id": ("m",), "x-razorpay-event-id": ("e",)}
    delivery = Delivery(body=json.dumps(whole).encode(), headers=headers, received_at=AT_V1)
    try:
        for event in connector.open(delivery, Verified(secret_index=0, message_id="m")):
            connector.read(event.name, event.item)
    except MalformedPayload:
        return


@settings(max_examples=examples(150), deadline=None)
@given(body=st.binary(max_size=300), connector=st.sampled_from(list(registry.all().values())))
def test_signed_bytes_of_any_kind_are_opened_or_malformed(body: bytes, connector: Connector) -> None:
    delivery = Delivery(body=body, headers={}, received_at=AT_V1)
    try:
        connector.open(delivery, Verified(secret_index=0, message_id="m"))
    except MalformedPayload:
        return
