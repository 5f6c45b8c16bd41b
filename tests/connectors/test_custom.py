"""Connections without code: typed definitions, and that neither they nor any body makes anything but a named error."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from unittest import mock

import jmespath.visitor
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from connectors import contract, registry, samples
from connectors.base import Connector, Event, Fetch, Verified
from connectors.custom import EXAMPLE, bind, try_out
from connectors.drafts import MAX_DEFINITION
from connectors.expressions import MAX_EXPRESSION, Expression
from connectors.payload import Payload
from core.errors import Invalid, MalformedPayload, SignatureRejected
from core.events import (
    BankTransaction,
    Payment,
    PaymentStatus,
    Payout,
    PayoutStatus,
    Record,
    Reference,
    Refund,
    RefundStatus,
    TransactionStatus,
)
from core.money import Money
from tests.budget import examples

Json = dict[str, Any]
CREATED = datetime(2026, 11, 3, 20, 26, 10, tzinfo=UTC)
PAID = samples.load("custom", "payment.updated")
QUICK = settings(
    max_examples=examples(150), deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow]
)


def changed(*path: str, to: object) -> str:
    """The example with one part replaced; REMOVED takes it away."""
    whole: Json = json.loads(EXAMPLE)
    part = whole
    for key in path[:-1]:
        part = part[key]
    if to is REMOVED:
        del part[path[-1]]
    else:
        part[path[-1]] = to
    return json.dumps(whole)


REMOVED = object()
PAYMENT = ("events", "payment.updated")


def opened(bound: Connector, body: bytes) -> list[Event]:
    return bound.open(contract.deliver({}, body), Verified())


def records(name: str, variant: str | None = None) -> tuple[Record, ...]:
    tried = try_out(EXAMPLE, samples.load("custom", name, variant))
    assert (tried.error, tried.place) == (None, None)
    return tried.records


# What the example means.


def test_a_payment_is_read_by_its_mapping() -> None:
    assert records("payment.updated") == (
        Payment(
            object_id="P-1001",
            version=2,
            status=PaymentStatus.SUCCEEDED,
            money=Money(129000, "INR"),
            occurred_at=CREATED,
            references=(Reference(0, "INV-2026-0042"), Reference(1, "77"), Reference(2, "November retainer")),
            method="upi",
            payer_name="Buyer Pvt Ltd",
            payer_email="accounts@buyer.example",
            bank_reference="0125836177",
            description="November retainer",
        ),
    )


def test_a_number_may_be_an_id_small_letters_a_currency_and_missing_parts_are_passed_over() -> None:
    (declined,) = records("payment.updated", "declined_yen")
    assert isinstance(declined, Payment)
    assert (declined.object_id, declined.money) == ("1002", Money(129000, "JPY"))
    assert (declined.status, declined.failure) == (PaymentStatus.FAILED, "the bank said no")
    assert declined.references == (Reference(2, "November retainer"),)


def test_refunds_payouts_and_transactions_are_read_by_theirs() -> None:
    assert records("refund.updated") == (
        Refund(
            object_id="R-1",
            version=1,
            payment_id="P-1001",
            status=RefundStatus.SUCCEEDED,
            money=Money(29000, "INR"),
            occurred_at=CREATED,
            reason="returned",
        ),
    )
    assert records("payout.sent") == (
        Payout(
            object_id="S-1",
            version=1793737570000000,
            status=PayoutStatus.PAID,
            money=Money(100050, "INR"),
            occurred_at=CREATED,
            bank_reference="UTR123",
        ),
    )
    (line,) = records("transaction.booked")
    assert line == BankTransaction(
        object_id="L-1",
        version=1793687400000000,
        account_id="A-1",
        status=TransactionStatus.POSTED,
        money=Money(118000, "INR"),
        narration="NEFT INV-2026-0042",
        occurred_at=datetime(2026, 11, 3, 6, 30, tzinfo=UTC),
        counterparty="Buyer Pvt Ltd",
        bank_reference="N1",
        category="transfer",
    )
    (out,) = records("transaction.booked", "out_dinar")
    assert isinstance(out, BankTransaction)
    assert (out.money, out.occurred_at.hour) == (Money(-1234, "KWD"), 12)


def test_an_ignored_event_says_why_and_an_unknown_one_is_neither() -> None:
    assert try_out(EXAMPLE, samples.load("custom", "customer.created")).ignored == "tells of no movement of money"
    tried = try_out(EXAMPLE, b'{"type": "other", "id": 1}')
    assert (tried.ignored, tried.records, tried.error) == (None, (), None)
    assert tried.event is not None
    assert tried.event.name == "other"


@pytest.mark.parametrize(
    ("change", "place", "message"),
    [
        ({"amount": "129000"}, "amount", "expected whole number, got text"),
        ({"amount": 1290.5}, "amount", "expected whole number, got number"),
        ({"amount": 0}, "amount", "expected more than zero"),
        ({"amount": None}, "amount", "is missing"),
        ({"currency": "XXQ"}, "currency", "'XXQ' is not an ISO 4217 code in capitals"),
        ({"state": "REFUNDED"}, "status", "expected one of NEW, PAID, DECLINED, got 'REFUNDED'"),
        ({"id": True}, "id", "expected text, got boolean"),
        ({"note": ["x"]}, "description", "expected text, got list"),
        ({"sequence": "2"}, "version", "expected whole number, got text"),
    ],
)
def test_a_field_that_cannot_be_read_is_named(change: Json, place: str, message: str) -> None:
    said = json.loads(PAID)
    said["payment"] |= change
    tried = try_out(EXAMPLE, json.dumps(said).encode())
    assert (tried.place, tried.error, tried.records) == (place, message, ())


@pytest.mark.parametrize(
    ("word", "status"), [("1", PaymentStatus.SUCCEEDED), ("true", PaymentStatus.SUCCEEDED), ("0", PaymentStatus.FAILED)]
)
def test_a_status_may_be_told_as_a_number_or_as_true_and_false(word: str, status: PaymentStatus) -> None:
    definition = changed(*PAYMENT, "status", "map", to={"1": "succeeded", "true": "succeeded", "0": "failed"})
    said = json.loads(PAID)
    said["payment"]["state"] = json.loads(word)
    (paid,) = try_out(definition, json.dumps(said).encode()).records
    assert isinstance(paid, Payment)
    assert paid.status is status


def test_an_event_without_an_id_is_known_by_its_body() -> None:
    bound = bind(changed("event_id", to=""))
    ids = [opened(bound, body)[0].id for body in (PAID, PAID, PAID + b" ")]
    assert ids[0] == ids[1] != ids[2]


# Definitions.


@pytest.mark.parametrize(
    ("definition", "place"),
    [
        ("{", "definition"),
        ("[]", "definition"),
        ("{}", "definition.scheme"),
        ('"\ud800"', "definition"),
        (" " * (MAX_DEFINITION + 1), "definition"),
        (changed("scheme", to=None), "definition.scheme"),
        (changed("scheme", "kind", to="none"), "definition.scheme.kind"),
        (changed("scheme", "algorithm", to="md5"), "definition.scheme.algorithm"),
        (changed("scheme", "header", to="X Signature"), "definition.scheme.header"),
        (changed("scheme", "header", to="Authorization"), "definition.scheme.header"),
        (changed("scheme", "signed", to="{timestamp}"), "definition.scheme.signed"),
        (changed("scheme", "signed", to="{body}"), "definition.scheme.signed"),
        (changed("scheme", "signed", to="{timestamp}{body}{body}"), "definition.scheme.signed"),
        (changed("scheme", "signed", to="{timestamp}{url}{body}"), "definition.scheme.signed"),
        (changed("scheme", "prefix", to="a,b"), "definition.scheme.prefix"),
        (changed("scheme", "tolerance_seconds", to=3601), "definition.scheme.tolerance_seconds"),
        (changed("scheme", "tolerance_seconds", to=True), "definition.scheme.tolerance_seconds"),
        (changed("scheme", "tolerence", to=5), "definition.scheme.tolerence"),
        (changed("event_name", to=REMOVED), "definition.event_name"),
        (changed("event_id", to="["), "definition.event_id"),
        (changed("events", to=[]), "definition.events"),
        (changed("events", "", to={}), "definition.events"),
        (changed("events", to={str(n): {} for n in range(51)}), "definition.events"),
        (changed("ignored", "payment.updated", to="twice"), "definition.ignored.payment.updated"),
        (changed("ignored", "x", to=5), "definition.ignored.x"),
        (changed(*PAYMENT, "record", to="dispute"), "definition.events.payment.updated.record"),
        (changed(*PAYMENT, "fields", "id", to=REMOVED), "definition.events.payment.updated.fields.id"),
        (changed(*PAYMENT, "fields", "invoce", to="x"), "definition.events.payment.updated.fields.invoce"),
        (changed(*PAYMENT, "fields", "id", to="length(@)"), "definition.events.payment.updated.fields.id"),
        (changed(*PAYMENT, "amount", "form", to="cents"), "definition.events.payment.updated.amount.form"),
        (changed(*PAYMENT, "currency", "fixed", to="INR"), "definition.events.payment.updated.currency.path"),
        (changed(*PAYMENT, "currency", to={"fixed": "inr"}), "definition.events.payment.updated.currency.fixed"),
        (changed(*PAYMENT, "time", "form", to="rfc"), "definition.events.payment.updated.time.form"),
        (changed(*PAYMENT, "time", "zone", to="IST"), "definition.events.payment.updated.time.zone"),
        (changed(*PAYMENT, "version", "form", to="x"), "definition.events.payment.updated.version.form"),
        (changed(*PAYMENT, "status", "map", to={}), "definition.events.payment.updated.status.map"),
        (changed(*PAYMENT, "status", "map", to={"A": "paid"}), "definition.events.payment.updated.status.map"),
        (changed(*PAYMENT, "status", to={"fixed": "paid"}), "definition.events.payment.updated.status.fixed"),
        (changed(*PAYMENT, "direction", to={}), "definition.events.payment.updated.direction"),
        (
            changed("events", "transaction.booked", "direction", "in", to=["debit"]),
            "definition.events.transaction.booked.direction.out",
        ),
    ],
)
def test_what_is_wrong_with_a_definition_is_named(definition: str, place: str) -> None:
    with pytest.raises(Invalid) as raised:
        bind(definition)
    assert raised.value.field == place
    assert try_out(definition, PAID).place == place


def test_a_definition_is_read_once() -> None:
    assert bind(EXAMPLE) is bind(EXAMPLE)
    assert registry.get("custom").bound(None).signature == registry.get("custom").bound(EXAMPLE).signature


def test_every_other_connector_is_the_same_for_every_connection() -> None:
    others = {slug: connector for slug, connector in registry.all().items() if slug != "custom"}
    assert [slug for slug, connector in others.items() if connector.bound("whatever") is not connector] == []


def test_a_static_secret_brings_nothing_into_the_books() -> None:
    scheme = {"kind": "static-secret", "header": "X-Secret"}
    with pytest.raises(Invalid, match="proves nothing of the body"):
        bind(changed("scheme", to=scheme))
    whole = json.loads(EXAMPLE) | {"scheme": scheme, "events": {}}
    bound = bind(json.dumps(whole))
    assert bound.events == {}
    with pytest.raises(SignatureRejected):
        bound.verify(contract.deliver({"X-Secret": "b"}, PAID), ["a"])


def test_the_page_shows_definitions_that_hold() -> None:
    page = (Path(__file__).parents[2] / "docs" / "connectors" / "custom.md").read_text()
    shown = page.partition("```json\n")[2].partition("```")[0]
    (paid,) = try_out(shown, PAID).records
    assert isinstance(paid, Payment)
    assert paid.references == (Reference(0, "INV-2026-0042"), Reference(2, "November retainer"))


# Schemes: each keeps what the contract asks of a signature.

SCHEMES: dict[str, Json] = {
    "plain": {"kind": "hmac", "header": "X-Sig"},
    "base64_key": {"kind": "hmac", "header": "X-Sig", "algorithm": "sha512", "encoding": "base64", "key": "base64"},
    "hex_key": {"kind": "hmac", "header": "X-Sig", "algorithm": "sha1", "key": "hex", "prefix": "sha1="},
    "millis": {
        "kind": "hmac", "header": "X-Sig", "timestamp_header": "X-Time", "timestamp_unit": "ms",
        "signed": "v0:{timestamp}:{body}", "prefix": "v0=", "tolerance_seconds": 60, "several": "yes",
    },
    "items": {"kind": "timestamped-hmac", "header": "X-Sig", "signature_key": "s", "tolerance_seconds": 120},
    "standard": {"kind": "standard-webhooks"},
}  # fmt: skip


def _cases() -> dict[str, contract.Case]:
    found: dict[str, contract.Case] = {}
    for name, scheme in SCHEMES.items():
        bound = bind(changed("scheme", to=scheme))
        for case, check in contract.cases(bound).items():
            if any(word in case for word in ("accepts", "refuses_", "judges_age", "secret")):
                found[case.replace("test_custom_", f"test_custom_{name}_", 1)] = check
    return found


globals().update(_cases())


def test_each_scheme_is_asked_what_the_contract_asks() -> None:
    assert len(_cases()) >= 10 * len(SCHEMES)


# Expressions.


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("a.b", 1),
        ('"a"."b"', 1),
        ("list[0].x", 1),
        ("list[-1].x", 2),
        ("list[?k=='v'].x | [0]", 2),
        ("list[?x > `1`].x | [0]", 2),
        ("missing || a.b", 1),
        ("missing.deeper", None),
        ("list[].x", [1, 2]),
        ("a.*", [1]),
        ("@", None),
        ("!missing", True),
        ("`7`", 7),
    ],
)
def test_a_place_is_found(text: str, found: object) -> None:
    body: Json = {"a": {"b": 1}, "list": [{"x": 1}, {"x": 2, "k": "v"}]}
    got = Expression.parse(text, "p").find(Payload(body))
    assert got == (body if text == "@" else found)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "1 to 200 characters"),
        ("a" * (MAX_EXPRESSION + 1), "1 to 200 characters"),
        ("a.", "is no JMESPath"),
        ("a b", "is no JMESPath"),
        ("\x00", "is no JMESPath"),
        ("'", "is no JMESPath"),
        ("(" * 199, "is no JMESPath|nests deeper"),
        ("!" * 198 + "a", "nests deeper than 32 levels"),
        ("length(@)", "functions are not taken"),
        ("[a, b]", "lists of expressions are not taken"),
        ("{a: b}", "objects of expressions are not taken"),
        ("a[?length(b) > `1`]", "functions are not taken"),
        ("a | [b, c]", "lists of expressions are not taken"),
        ("sort_by(a, &b)", "functions are not taken"),
        ("a[::2]", "slices are not taken"),
    ],
)
def test_an_expression_that_could_be_made_to_work_is_refused(text: str, message: str) -> None:
    with pytest.raises(Invalid, match=message) as raised:
        Expression.parse(text, "definition.event_id")
    assert raised.value.field == "definition.event_id"


STEPS = ("a", "b", "*", "[0]", "[*]", "[]", "[?a]", "[?a == b]", "[?@ != `1`]", "[?[?b]]", "a || b", "@")
LEAVES = st.none() | st.booleans() | st.integers(-3, 3) | st.sampled_from(["", "a", "b", "\ufffd"])
TREES = st.recursive(
    LEAVES, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from("ab"), inner), max_leaves=60
)


def _size(value: object) -> int:
    inside = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return 1 + sum(map(_size, inside))


@QUICK
@given(steps=st.lists(st.sampled_from(STEPS), min_size=1, max_size=12), body=TREES)
def test_the_work_is_at_most_the_path_times_the_body(steps: list[str], body: object) -> None:
    expression = Expression.parse(" | ".join(steps), "p")
    nodes = _size_of_tree(expression)
    visits = 0
    visit = jmespath.visitor.TreeInterpreter.visit

    def counted(self: Any, node: Any, *arguments: Any, **named: Any) -> Any:
        nonlocal visits
        visits += 1
        return visit(self, node, *arguments, **named)

    with mock.patch.object(jmespath.visitor.TreeInterpreter, "visit", counted):
        expression.find(Payload(body))
    assert visits <= nodes * (_size(body) + 1)


def test_a_body_that_would_take_long_is_given_up() -> None:
    expression = Expression.parse("rows[*].a | [?@ > `1`] | [*]", "definition.event_id")
    small, large = ({"rows": [{"a": number} for number in range(size)]} for size in (1_000, 5_000))
    assert expression.find(Payload(small)) == list(range(2, 1_000))
    with pytest.raises(MalformedPayload, match="takes more than 20000 steps") as raised:
        expression.find(Payload(large))
    assert raised.value.path == "definition.event_id"


def test_a_word_is_not_compared_with_a_number() -> None:
    with pytest.raises(MalformedPayload, match="cannot be evaluated"):
        Expression.parse("a[?x > `1`]", "p").find(Payload({"a": [{"x": "1"}]}))


def _size_of_tree(expression: Expression) -> int:
    def count(node: Any) -> int:
        return 1 + sum(count(one) for one in node.get("children", ()) if isinstance(one, dict))

    return count(expression._parsed.parsed)


# Neither a definition nor a body makes anything but a named error.

ANY = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=30),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
ODD = ANY | st.sampled_from(
    ["definition", "{body}", "@", "a[?b]", "payment.amount", "succeeded", "INR", "+14:59", 10**30, -1, 0, "1e5", "9999"]
)


def _places(value: Any, above: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    inside = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [found for key, child in inside for found in ((*above, key), *_places(child, (*above, key)))]


def _spoilt(chance: Callable[[Any], Any], whole: Any, times: int) -> Any:
    """A copy with some parts replaced by whatever there is."""
    spoilt = copy.deepcopy(whole)
    for _ in range(times):
        if places := _places(spoilt):
            *path, last = chance(st.sampled_from(places))
            part = spoilt
            for key in path:
                part = part[key]
            part[last] = chance(ODD)
    return spoilt


def _only_named_errors(bound: Connector, body: bytes) -> None:
    try:
        for event in opened(bound, body):
            reading = bound.read(event.name, event.item)
            assert not isinstance(reading, Fetch)
    except MalformedPayload:
        return


@QUICK
@given(data=st.data())
def test_no_definition_is_worse_than_invalid_and_no_body_worse_than_malformed(data: st.DataObject) -> None:
    definition = json.dumps(_spoilt(data.draw, json.loads(EXAMPLE), data.draw(st.integers(0, 2))))
    name, variant = data.draw(st.sampled_from(samples.names("custom")))
    whole = json.loads(samples.load("custom", name, variant))
    body = json.dumps(_spoilt(data.draw, whole, data.draw(st.integers(0, 2)))).encode()
    tried = try_out(definition, body)
    with suppress(Invalid):
        _only_named_errors(bind(definition), body)
        return
    assert (tried.place or "").startswith("definition")


@QUICK
@given(definition=st.text(max_size=60) | ANY.map(json.dumps), body=st.binary(max_size=60))
def test_whatever_is_typed_and_whatever_is_pasted_ends_in_words(definition: str, body: bytes) -> None:
    tried = try_out(definition, body)
    assert tried.error or tried.event
