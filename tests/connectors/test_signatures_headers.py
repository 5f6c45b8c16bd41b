"""HMAC schemes whose header holds more than one signature: any may hold, and nothing else counts."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.base import Delivery, Verified
from connectors.contract import deliver
from connectors.signatures import BODY, URL, Hmac, StaticSecret, TimestampedHmac, Unsigned, hex_key
from core.errors import Invalid, SignatureRejected
from core.events import Trust

AT = datetime(2026, 11, 3, 9, 0, 0, tzinfo=UTC)
BODY_TEXT = b'{"id": "evt_1"}'
SEVERAL = Hmac(header="X-Sign", prefix="sha256=", several=True)
TIMED = TimestampedHmac(header="X-Timed")
NEW, OLD = "new secret", "old secret"


def seal(scheme: Hmac, secret: str) -> str:
    return scheme.sign(BODY_TEXT, secret, at=AT, message_id="m").headers[scheme.header]


def lines(*values: str) -> Delivery:
    return Delivery(body=BODY_TEXT, headers={"x-sign": values}, received_at=AT)


def refused(scheme: Hmac | TimestampedHmac | StaticSecret, delivery: Delivery, *secrets: str) -> str:
    with pytest.raises(SignatureRejected) as caught:
        scheme.verify(delivery, secrets or (NEW,))
    return caught.value.reason


@pytest.mark.parametrize("joined", [True, False], ids=["joined by a proxy", "as two lines"])
def test_one_good_signature_among_several_is_enough(joined: bool) -> None:
    both = (seal(SEVERAL, OLD), seal(SEVERAL, NEW))
    delivery = lines(", ".join(both)) if joined else lines(*both)
    assert SEVERAL.verify(delivery, ["unrelated", NEW]) == Verified(secret_index=1)
    assert SEVERAL.verify(delivery, [OLD]) == Verified(secret_index=0)
    refused(SEVERAL, delivery, "unrelated")


@pytest.mark.parametrize(
    "values",
    [
        pytest.param((), id="missing"),
        pytest.param(("",), id="empty"),
        pytest.param((",",), id="only a comma"),
        pytest.param((seal(SEVERAL, NEW).removeprefix("sha256="),), id="without its prefix"),
        pytest.param((seal(SEVERAL, NEW).upper(),), id="in capitals"),
        pytest.param((seal(SEVERAL, NEW)[:-1],), id="cut off"),
        pytest.param((seal(SEVERAL, NEW), "é"), id="beside a garbled line"),
        pytest.param((",".join(["sha256=00"] * 8 + [seal(SEVERAL, NEW)]),), id="one too many"),
    ],
)
def test_a_header_that_is_not_as_documented_is_refused(values: tuple[str, ...]) -> None:
    refused(SEVERAL, lines(*values))


def test_the_most_signatures_that_are_tried_are_still_tried() -> None:
    assert SEVERAL.verify(lines(",".join(["sha256=00"] * 7 + [seal(SEVERAL, NEW)])), [NEW]).secret_index == 0


def test_a_scheme_with_one_signature_takes_no_second_line() -> None:
    single = Hmac(header="X-Sign")
    refused(single, lines(seal(single, NEW), seal(single, NEW)))


def timed(value: str, at: datetime = AT) -> Delivery:
    return deliver({"X-Timed": value}, BODY_TEXT, received_at=at)


def parts(secret: str, at: datetime = AT) -> tuple[str, str]:
    stamp, _, one = TIMED.sign(BODY_TEXT, secret, at=at, message_id="m").headers["X-Timed"].partition(",")
    return stamp, one


STAMP, GOOD = parts(NEW)


@pytest.mark.parametrize(
    "value",
    [
        pytest.param(f"{STAMP},{GOOD}", id="as documented"),
        pytest.param(f"{STAMP},v1={'0' * 64},{GOOD}", id="second signature"),
        pytest.param(f"{GOOD},{STAMP}", id="other order"),
        pytest.param(f"{STAMP},v0={'0' * 64},{GOOD},v2=,unknown", id="unknown schemes beside it"),
    ],
)
def test_a_timed_header_is_taken(value: str) -> None:
    assert TIMED.verify(timed(value), [NEW]) == Verified(secret_index=0)


@pytest.mark.parametrize(
    "value",
    [
        pytest.param("", id="empty"),
        pytest.param(STAMP, id="no signature"),
        pytest.param(GOOD, id="no time"),
        pytest.param(f"{STAMP},{GOOD.replace('v1', 'v0')}", id="only the fake scheme"),
        pytest.param(f"{STAMP}, {GOOD}", id="a blank hides the name"),
        pytest.param(f"{STAMP},{GOOD.upper().replace('V1', 'v1')}", id="capitals"),
        pytest.param(f"t=1,{STAMP},{GOOD}", id="two times, the good one last"),
        pytest.param(f"{STAMP},t=1,{GOOD}", id="two times, the good one first"),
        pytest.param(f"t=,{GOOD}", id="time empty"),
        pytest.param(f"t=-1,{GOOD}", id="time negative"),
        pytest.param(f"t={STAMP[2:]}.0,{GOOD}", id="time with a fraction"),
        pytest.param(f"t=0{STAMP[2:]},{GOOD}", id="the same time written otherwise"),
        pytest.param(f"t={'9' * 400},{GOOD}", id="time huge"),
        pytest.param(",".join([STAMP, *[f"v1={'0' * 64}"] * 8, GOOD]), id="too many signatures"),
        pytest.param("=" * 9000, id="longer than any header"),
    ],
)
def test_a_timed_header_is_refused(value: str) -> None:
    refused(TIMED, timed(value))


@pytest.mark.parametrize("seconds", [-301, 301, 86_400])
def test_a_timed_delivery_is_refused_when_it_is_old_or_ahead(seconds: int) -> None:
    sent = AT - timedelta(seconds=seconds)
    stamp, good = parts(NEW, sent)
    assert "301" in (reason := refused(TIMED, timed(f"{stamp},{good}"))) or "86400" in reason
    edge = AT - timedelta(seconds=300 if seconds > 0 else -300)
    stamp, good = parts(NEW, edge)
    assert TIMED.verify(timed(f"{stamp},{good}"), [NEW]).secret_index == 0


def test_milliseconds_are_judged_as_milliseconds() -> None:
    scheme = Hmac(header="X-Sign", timestamp_header="X-Time", timestamp_per_second=1000, signed=("{timestamp}", BODY))
    sealed = scheme.sign(BODY_TEXT, NEW, at=AT, message_id="m").headers
    assert sealed["X-Time"] == str(int(AT.timestamp() * 1000))
    for seconds, good in ((0, True), (300, True), (-300, True), (301, False), (-301, False)):
        delivery = deliver(sealed, BODY_TEXT, received_at=AT + timedelta(seconds=seconds))
        if good:
            scheme.verify(delivery, [NEW])
        else:
            refused(scheme, delivery)


def test_a_key_in_hexadecimal_is_its_bytes_and_nothing_else_is_a_key() -> None:
    scheme = Hmac(header="X-Sign", decode_key=hex_key)
    sealed = scheme.sign(BODY_TEXT, "00ff", at=AT, message_id="m").headers
    assert scheme.verify(deliver(sealed, BODY_TEXT, received_at=AT), ["00FF"]).secret_index == 0
    for bad in ("00f", "xyz0", "00 ff", "", "é0"):
        with pytest.raises(Invalid):
            scheme.check_secret(bad)
        assert refused(scheme, deliver(sealed, BODY_TEXT, received_at=AT), bad) == "there is no usable secret"


def test_an_address_in_the_signed_text_counts_to_the_last_character() -> None:
    scheme = Hmac(header="X-Sign", encoding="base64", signed=(URL, BODY))
    for signed_for, good in (("https://a.example/hook", True), ("https://a.example/hook/", False), ("", False)):
        sealed = scheme.sign(BODY_TEXT, NEW, at=AT, message_id="m", url=signed_for).headers
        delivery = Delivery(
            body=BODY_TEXT,
            headers={"x-sign": (sealed["X-Sign"],)},
            received_at=AT,
            url="https://a.example/hook",
        )
        if good:
            scheme.verify(delivery, [NEW])
        else:
            refused(scheme, delivery)


def test_a_static_secret_and_no_signature_prove_no_more_than_a_hint() -> None:
    static = StaticSecret(header="X-Known")
    sealed = static.sign(BODY_TEXT, NEW, at=AT, message_id="m").headers
    assert static.verify(deliver(sealed, b"anything else", received_at=AT), [OLD, NEW]) == Verified(
        secret_index=1, trust=Trust.HINT
    )
    refused(static, deliver(sealed, BODY_TEXT, received_at=AT), OLD)
    refused(static, deliver({}, BODY_TEXT, received_at=AT))
    refused(static, deliver({"X-Known": ""}, BODY_TEXT, received_at=AT), "")
    assert Unsigned().verify(deliver({}, BODY_TEXT, received_at=AT), []).trust is Trust.HINT


@given(value=st.text(max_size=200) | st.from_regex(r"(t=\d{0,12},?)?(v1=[0-9a-f]{0,64},?)*", fullmatch=True))
def test_no_header_makes_anything_but_a_refusal(value: str) -> None:
    refused(TIMED, timed(value))
    refused(SEVERAL, lines(value))
