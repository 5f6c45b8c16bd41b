"""The checked payload."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from connectors.payload import Payload, micros
from core.errors import MalformedPayload
from core.money import Money


def payment(payload: Payload) -> Payload:
    return payload.at("data", "payment")


def parsed(body: str) -> Payload:
    return Payload.from_bytes(body.encode())


@pytest.mark.parametrize(
    ("call", "message"),
    [
        pytest.param(
            lambda p: payment(p).integer("amount"),
            "data.payment.amount: expected whole number, got text",
            id="text for a number",
        ),
        pytest.param(
            lambda p: payment(p).integer("paid"),
            "data.payment.paid: expected whole number, got boolean",
            id="true is no number",
        ),
        pytest.param(
            lambda p: payment(p).integer("share"),
            "data.payment.share: expected whole number, got number",
            id="1.0 is no whole number",
        ),
        pytest.param(lambda p: payment(p).integer("gone"), "data.payment.gone: is missing", id="missing"),
        pytest.param(
            lambda p: payment(p).integer("huge"), "data.payment.huge: does not fit 64 bits", id="over 64 bits"
        ),
        pytest.param(
            lambda p: payment(p).text("empty"), "data.payment.empty: expected text, got null", id="null for text"
        ),
        pytest.param(lambda p: p.at("data", "refund"), "data.refund: is missing", id="object missing"),
        pytest.param(
            lambda p: p.at("data", "payment", "paid"), "data.payment.paid: expected object, got boolean", id="no object"
        ),
        pytest.param(
            lambda p: p.at("data", "list").items("x"), "data.list: expected object, got list", id="list for an object"
        ),
        pytest.param(
            lambda p: p.at("data").items("list"),
            "data.list.1: expected object, got whole number",
            id="a list of other things",
        ),
        pytest.param(
            lambda p: payment(p).identifier("blank"),
            "data.payment.blank: expected text of 1 to 255 characters, got ''",
            id="empty identifier",
        ),
        pytest.param(
            lambda p: payment(p).choice("word", {"a": 1, "b": 2}),
            "data.payment.word: expected one of a, b, got 'c'",
            id="unknown word",
        ),
        pytest.param(lambda p: payment(p).epoch("huge"), "data.payment.huge: does not fit", id="epoch out of range"),
        pytest.param(
            lambda p: payment(p).epoch("millis"),
            "data.payment.millis: is no plausible time",
            id="milliseconds for seconds",
        ),
        pytest.param(lambda p: payment(p).iso("word"), "data.payment.word: expected an RFC 3339 time", id="no time"),
        pytest.param(
            lambda p: payment(p).iso("local"),
            "data.payment.local: expected an RFC 3339 time",
            id="a local time is no moment",
        ),
        pytest.param(
            lambda p: payment(p).iso("year1"),
            "data.payment.year1: expected an RFC 3339 time",
            id="a year that no zone can hold",
        ),
        pytest.param(lambda p: payment(p).decimal_money("amount", "INR"), "more decimal places", id="too many places"),
        pytest.param(lambda p: payment(p).decimal_money("amount", "inr"), "ISO 4217", id="a currency in small letters"),
        pytest.param(
            lambda p: payment(p).minor_money("zero", "INR", positive=True),
            "data.payment.zero: expected more than zero",
            id="zero where money moves",
        ),
    ],
)
def test_an_unusable_value_names_its_path(call: object, message: str) -> None:
    payload = parsed(
        '{"data": {"payment": {"amount": "1.505", "paid": true, "share": 1.0, "huge": 9223372036854775808,'
        ' "empty": null,'
        ' "blank": "", "word": "c", "millis": 1700000000000, "local": "2026-11-03T10:00:00", "zero": 0,'
        ' "year1": "0001-01-01T00:00:00+14:00"}, "list": [{}, 5]}}'
    )
    with pytest.raises(MalformedPayload) as caught:
        call(payload)  # type: ignore[operator]
    assert message in str(caught.value)


def test_values_are_read_as_what_they_are() -> None:
    payload = parsed(
        '{"a": {"n": -5, "s": "é", "b": false, "t": 1700000000,'
        ' "i": "2026-11-03T10:00:00.5+05:30", "m": "-1.5", "z": ""}}'
    )
    inner = payload.at("a")
    assert inner.integer("n") == -5
    assert inner.text("s") == "é"
    assert inner.boolean("b") is False
    assert inner.epoch("t") == datetime(2023, 11, 14, 22, 13, 20, tzinfo=UTC)
    assert inner.iso("i") == datetime(2026, 11, 3, 4, 30, 0, 500_000, tzinfo=UTC)
    assert inner.decimal_money("m", "KWD") == Money(-1500, "KWD")
    assert inner.optional_text("z") is None
    assert inner.optional_iso("z") is None
    assert inner.optional_identifier("z") is None
    assert inner.optional_integer("nothing") is None
    assert payload.optional_at("a", "nothing") is None
    assert payload.keys() == ("a",)
    assert Payload.from_bytes(payload.to_bytes()) == payload


def test_a_provider_may_count_other_decimal_places_than_iso_4217() -> None:
    payload = parsed('{"krona": 50000, "ariary": 7, "rest": 50050}')
    assert payload.minor_money("krona", "ISK", places=2) == Money(500, "ISK")
    assert payload.minor_money("ariary", "MGA", places=0) == Money(700, "MGA")
    assert payload.minor_money("ariary", "JPY", places=0) == Money(7, "JPY")
    with pytest.raises(MalformedPayload, match="rest: expected no more decimal places than ISK has"):
        payload.minor_money("rest", "ISK", places=2)


def test_text_that_postgresql_cannot_hold_is_replaced() -> None:
    payload = parsed(r'{"note": "a\u0000b", "odd": "\ud800x\uD83E\udd8a", "k\u0000": {"deep": ["\udfff"]}}')
    assert payload.value == {"note": "a\ufffdb", "odd": "\ufffdx🦊", "k\ufffd": {"deep": ["\ufffd"]}}
    payload.to_bytes()


def test_sixty_four_levels_are_read_and_one_more_is_not() -> None:
    assert parsed("[" * 64 + "]" * 64).value
    with pytest.raises(MalformedPayload, match="deeper than 64"):
        parsed("[" * 65 + "]" * 65)


def test_many_brackets_that_are_not_deep_are_read() -> None:
    assert len(parsed("[" + ",".join(["{}"] * 500) + "]").items()) == 500


def test_an_error_does_not_quote_the_body() -> None:
    with pytest.raises(MalformedPayload) as caught:
        parsed('{"card": 4111111111111111 oops')
    assert "4111" not in str(caught.value)


def test_micros_are_exact() -> None:
    assert micros(datetime(2026, 11, 3, 20, 26, 10, 344_522, tzinfo=UTC)) == 1_793_737_570_344_522
