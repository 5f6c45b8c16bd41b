"""The contract every connector keeps, as test cases. One line in a plugin's test module runs them all.

    globals().update(contract.cases(connector, samples=Path(__file__).parent / "samples"))

`samples` holds `<slug>/<event>.json` for every event the connector maps. Each case is a plain function without
arguments that raises AssertionError; any test runner will do.
"""

from __future__ import annotations

import builtins
import json
import random
import socket
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import fields, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import cast
from unittest import mock

from connectors import samples as house
from connectors.base import Connector, Delivery, Event, Fetch, Verified
from connectors.payload import MAX_IDENTIFIER, Payload
from core.errors import Invalid, MalformedPayload, SignatureRejected
from core.money import Money

Case = Callable[[], None]
AT = datetime(2026, 11, 3, 20, 26, 10, 344_522, tzinfo=UTC)
MESSAGE_ID = "msg_contract_1"
URL = "https://ledgerwire.example/api/connectors/any/webhook/0199c0de"
# What a field is turned into, one after another, in every sample.
SPOILERS: tuple[object, ...] = (
    None, True, 0, -1, 10**15 + 1, 10**30, 1.5, [], {}, [[]],
    "", "x", "\0", "\ud800", "NaN", "1e5", "-0.001", "é" * 300,
)  # fmt: skip
BAD_BODIES: Mapping[str, bytes] = {
    "empty": b"",
    "not JSON": b"<xml/>",
    "not UTF-8": b'{"a": "\xff"}',
    "a byte order mark": b'\xef\xbb\xbf{"a": 1}',
    "a scalar": b"12",
    "null": b"null",
    "NaN": b'{"a": NaN}',
    "infinity": b'{"a": 1e999}',
    "deep lists": b"[" * 100_000 + b"]" * 100_000,
    "deep objects": b'{"a":' * 65 + b"1" + b"}" * 65,
    "a number of five thousand digits": b'{"a": ' + b"9" * 5000 + b"}",
    "trailing text": b"{} {}",
}


def deliver(headers: Mapping[str, str], body: bytes, *, received_at: datetime = AT) -> Delivery:
    """A delivery with these headers, as the webhook endpoint would build it."""
    return Delivery(
        body=body,
        headers={name.lower(): (value,) for name, value in headers.items()},
        received_at=received_at,
        url=URL,
    )


def signed(connector: Connector, body: bytes, secret: str, *, at: datetime = AT) -> Delivery:
    """A delivery the provider might have sent."""
    sealed = connector.signature.sign(body, secret, at=at, message_id=MESSAGE_ID, url=URL)
    return replace(deliver(sealed.headers, sealed.body, received_at=at), documents=sealed.documents)


def opened(connector: Connector, body: bytes) -> list[Event]:
    """The events of a body whose signature is taken as good."""
    verified = Verified(message_id=MESSAGE_ID)
    return connector.open(signed(connector, body, connector.signature.new_secret()), verified)


def cases(connector: Connector, *, samples: Path | None = None) -> dict[str, Case]:
    """The contract's cases for one connector, by the name a test runner collects."""
    suite = _Suite(connector, samples or house.HERE)
    names = [name for name in vars(_Suite) if not name.startswith("_")]
    return {f"test_{connector.slug}_{name}": _function(getattr(suite, name)) for name in names}


def _function(method: Case) -> Case:
    """A plain function: test runners treat bound methods in various ways."""

    def case() -> None:
        method()

    return case


def _require(condition: object, message: str) -> None:
    if not condition:
        raise AssertionError(message)


class _Suite:
    """Every public method is a case; its name is the sentence it proves."""

    def __init__(self, connector: Connector, folder: Path) -> None:
        self._connector = connector
        self._folder = folder
        self._secret = connector.signature.new_secret()
        self._other = connector.signature.new_secret()

    # Helpers.

    def _names(self) -> tuple[tuple[str, str | None], ...]:
        return house.names(self._connector.slug, folder=self._folder)

    def _bodies(self) -> Iterator[tuple[str, bytes]]:
        for event, variant in self._names():
            label = f"{event}__{variant}" if variant else event
            yield label, house.load(self._connector.slug, event, variant, folder=self._folder)

    def _one(self) -> bytes:
        return next(self._bodies())[1]

    def _delivery(self) -> Delivery:
        return signed(self._connector, self._one(), self._secret)

    def _proofs(self) -> list[str]:
        """The headers the proof rests on; an id that is only sent along is none of them."""
        unsigned = (getattr(self._connector.signature, "id_header", None) or "").lower()
        return [name for name in self._delivery().headers if name != unsigned]

    def _meaning(self, body: bytes) -> list[tuple[Event, object]]:
        events = opened(self._connector, body)
        return [(event, _comparable(self._connector.read(event.name, event.item))) for event in events]

    def _refused(self, delivery: Delivery, why: str, *secrets: str) -> None:
        try:
            self._connector.verify(delivery, secrets or (self._secret,))
        except SignatureRejected:
            return
        raise AssertionError(f"accepted although {why}")

    def _timestamped(self) -> float | None:
        """How far a timestamp may be off, where the scheme signs one."""
        sign, body = self._connector.signature.sign, self._one()
        early = sign(body, self._secret, at=AT, message_id=MESSAGE_ID).headers
        late = sign(body, self._secret, at=AT + timedelta(hours=1), message_id=MESSAGE_ID).headers
        return float(getattr(self._connector.signature, "tolerance_seconds", 300)) if early != late else None

    def _read_only_fails_as_malformed(self, label: str, body: bytes) -> None:
        try:
            for event in opened(self._connector, body):
                _check_event(event)
                _check_reading(label, self._connector.read(event.name, event.item))
        except MalformedPayload:
            return

    # Proof.

    def accepts_what_its_scheme_signs(self) -> None:
        for label, body in self._bodies():
            verified = self._connector.verify(signed(self._connector, body, self._secret), [self._secret])
            _require(verified.secret_index == 0, label)

    def refuses_a_body_with_any_changed_byte(self) -> None:
        delivery = self._delivery()
        for position in {0, len(delivery.body) // 3, len(delivery.body) // 2, len(delivery.body) - 1}:
            body = bytearray(delivery.body)
            body[position] ^= 1
            self._refused(replace(delivery, body=bytes(body)), f"byte {position} was changed")

    def refuses_a_longer_shorter_or_empty_body(self) -> None:
        delivery = self._delivery()
        for body in (delivery.body + b" ", delivery.body[:-1], delivery.body[: len(delivery.body) // 2], b""):
            self._refused(replace(delivery, body=body), "the length changed")

    def refuses_a_body_written_anew(self) -> None:
        delivery = self._delivery()
        again = json.dumps(json.loads(delivery.body), separators=(",", ":"), sort_keys=True).encode()
        if again != delivery.body:
            self._refused(replace(delivery, body=again), "the body was serialised again")

    def refuses_each_proof_header_altered(self) -> None:
        delivery = self._delivery()
        for name in self._proofs():
            (value,) = delivery.headers[name]
            for position in {0, len(value) // 2, len(value) - 1}:
                other = "0" if value[position] != "0" else "1"
                changed = value[:position] + other + value[position + 1 :]
                headers = {**delivery.headers, name: (changed,)}
                # The last digit of base64 may hold bits that mean nothing; the text must match all the same.
                self._refused(replace(delivery, headers=headers), f"{name} was changed at {position}")

    def refuses_each_proof_header_missing_empty_doubled_or_garbled(self) -> None:
        delivery = self._delivery()
        for name in self._proofs():
            (value,) = delivery.headers[name]
            without = {key: values for key, values in delivery.headers.items() if key != name}
            self._refused(replace(delivery, headers=without), f"{name} is missing")
            garbled = ("", " ", ",", ".", "v1,", "=", "é", "\udcff", "\0", "x" * 100_000, "🦊", "v1,abcde", "-1", "1e9")
            twice = ((), (value, value), (value, ""), *((text,) for text in garbled))
            for values in twice:
                self._refused(replace(delivery, headers={**without, name: values}), f"{name} is {values!r:.60}")

    def refuses_no_headers_at_all(self) -> None:
        self._refused(replace(self._delivery(), headers={}), "there are no headers")

    def refuses_another_secret(self) -> None:
        self._refused(self._delivery(), "it was signed with another secret", self._other)

    def refuses_everything_without_a_secret(self) -> None:
        delivery = self._delivery()
        for secrets in ((), ("",), ("", "")):
            try:
                self._connector.verify(delivery, secrets)
            except SignatureRejected:
                continue
            raise AssertionError(f"accepted with the secrets {secrets!r}")

    def accepts_old_and_new_secret_while_rotating(self) -> None:
        for index, secrets in enumerate(([self._secret, self._other], [self._other, self._secret])):
            verified = self._connector.verify(self._delivery(), secrets)
            _require(verified.secret_index == index, "the secret that proved it is not the one named")

    def passes_over_an_unusable_secret_beside_a_good_one(self) -> None:
        for bad in ("", "\udcff", "x" * 10_000):
            verified = self._connector.verify(self._delivery(), [bad, self._secret])
            _require(verified.secret_index == 1, "an unusable secret was not passed over")

    def makes_secrets_that_differ_and_can_be_used(self) -> None:
        _require(self._secret != self._other, "two new secrets are equal")
        self._connector.signature.check_secret(self._secret)
        try:
            self._connector.signature.check_secret("")
        except Invalid:
            return
        raise AssertionError("an empty secret passes the check")

    def judges_age_at_arrival_on_both_sides(self) -> None:
        if (tolerance := self._timestamped()) is None:
            return
        sent = AT.replace(microsecond=0)
        delivery = signed(self._connector, self._one(), self._secret, at=sent)
        for seconds in (-tolerance, -tolerance + 1, 0, tolerance - 1, tolerance):
            moved = replace(delivery, received_at=sent + timedelta(seconds=seconds))
            self._connector.verify(moved, [self._secret])
        for seconds in (-tolerance - 1, tolerance + 1, 86_400 * 365, -86_400 * 365):
            moved = replace(delivery, received_at=sent + timedelta(seconds=seconds))
            self._refused(moved, f"it arrived {seconds} s after it was signed")

    def keeps_secrets_out_of_repr(self) -> None:
        verified = self._connector.verify(self._delivery(), [self._secret])
        shown = f"{self._connector!r} {self._connector.signature!r} {verified!r}"
        _require(self._secret not in shown, "a secret is shown")

    # Meaning.

    def has_a_sample_for_every_mapped_event(self) -> None:
        have = {event for event, _ in self._names()}
        _require(not (missing := sorted(set(self._connector.events) - have)), f"no sample for {missing}")

    def names_each_sample_as_its_file_does(self) -> None:
        known = {*self._connector.events, *self._connector.ignored, *self._connector.aliases}
        for label, body in self._bodies():
            expected = label.partition("__")[0]
            for event in opened(self._connector, body):
                _require(event.name == self._connector.aliases.get(expected, expected), f"{label} is {event.name}")
                _require(event.name in known, f"{label} is neither mapped nor ignored")

    def reads_every_sample(self) -> None:
        for label, body in self._bodies():
            for event in opened(self._connector, body):
                _check_event(event)
                reading = self._connector.read(event.name, event.item)
                _require((reading is None) == (event.name not in self._connector.events), label)
                _check_reading(label, reading)

    def gives_the_same_answer_twice(self) -> None:
        for label, body in self._bodies():
            _require(self._meaning(body) == self._meaning(body), label)

    def keeps_the_event_id_on_a_resend(self) -> None:
        body = self._one()
        ids = []
        for at in (AT, AT + timedelta(hours=5)):
            delivery = signed(self._connector, body, self._secret, at=at)
            verified = self._connector.verify(delivery, [self._secret])
            ids.append([event.id for event in self._connector.open(delivery, verified)])
        _require(ids[0] == ids[1], f"{ids[0]} became {ids[1]}")

    def touches_nothing_while_verifying_and_reading(self) -> None:
        for _, body in self._bodies():
            delivery = signed(self._connector, body, self._secret)
            with _no_io():
                verified = self._connector.verify(delivery, [self._secret])
                for event in self._connector.open(delivery, verified):
                    self._connector.read(event.name, event.item)

    def leaves_an_unknown_event_unread_and_unignored(self) -> None:
        name, body = next(self._bodies())
        body = body.replace(name.partition("__")[0].encode(), b"contract.never_heard_of")
        for event in opened(self._connector, body):
            _require(event.name == "contract.never_heard_of", "the name was not taken from the body")
            _require(self._connector.read(event.name, event.item) is None, "an unknown event was read")
            _require(self._connector.ignores(event.name) is None, "an unknown event was ignored")

    def gives_a_reason_for_each_ignored_event(self) -> None:
        for name, reason in self._connector.ignored.items():
            _require(len(reason) > 9 and self._connector.read(name, _untouched()) is None, f"{name}: {reason!r}")
            _require(self._connector.ignores(name) == reason, name)

    # Bad bodies, properly signed.

    def calls_an_unreadable_body_malformed(self) -> None:
        for label, body in BAD_BODIES.items():
            try:
                opened(self._connector, body)
            except MalformedPayload:
                continue
            raise AssertionError(f"opened a body that is {label}")

    def calls_a_truncated_body_malformed(self) -> None:
        for label, body in self._bodies():
            try:
                opened(self._connector, body[: len(body) // 2])
            except MalformedPayload:
                continue
            raise AssertionError(f"opened half of {label}")

    def survives_every_field_missing_or_of_another_kind(self) -> None:
        for label, body in self._bodies():
            whole = json.loads(body)
            for path in _paths(whole):
                self._read_only_fails_as_malformed(label, _without(body, path))
                for spoiler in SPOILERS:
                    self._read_only_fails_as_malformed(f"{label} {path}", _with(body, path, spoiler))

    def never_opens_a_body_without_its_top_level_names(self) -> None:
        for other in (b"{}", b"[]", b"[[]]", b'[{"a": 1}]', b'{"data": null}'):
            try:
                _require(not opened(self._connector, other), f"an event was found in {other!r}")
            except MalformedPayload:
                continue


def _untouched() -> Payload:
    """The item of an ignored event: nothing may look at it."""
    return cast("Payload", mock.sentinel.untouched)


def _check_event(event: Event) -> None:
    for text in (event.id, event.name, event.external_id or "-"):
        _require(0 < len(text) <= MAX_IDENTIFIER and "\0" not in text, f"{text!r:.80} cannot be stored")
        text.encode()


def _check_reading(label: str, reading: object) -> None:
    """What every record keeps, whatever the body says: core relies on it."""
    if reading is None or isinstance(reading, Fetch):
        return
    _require(isinstance(reading, list | tuple), f"{label}: read gave {type(reading).__name__}")
    for record in reading:  # type: ignore[attr-defined]
        for name in (one.name for one in fields(record)):
            value = getattr(record, name)
            where = f"{label}: {type(record).__name__}.{name} = {value!r:.80}"
            if name.endswith("_id"):
                _require(isinstance(value, str) and 0 < len(value) <= MAX_IDENTIFIER, where)
            elif name == "version":
                _require(type(value) is int and -(2**63) <= value < 2**63, where)
            elif isinstance(value, datetime):
                _require(value.tzinfo is not None, where)
            elif isinstance(value, str):
                _require("\0" not in value, where)
                value.encode()
            elif name == "money" and type(record).__name__ != "BankTransaction":
                _require(isinstance(value, Money) and value.minor > 0, where)


def _comparable(reading: object) -> object:
    """A fetch holds a fresh function each time; that it is a fetch must not change."""
    return Fetch if isinstance(reading, Fetch) else reading


@contextmanager
def _no_io() -> Iterator[None]:
    """Fail on sockets, files, clocks and chance."""

    def forbidden(*_args: object, **_kwargs: object) -> None:
        raise AssertionError("a connector touched the outside world")

    targets = ((socket, "socket"), (socket, "getaddrinfo"), (builtins, "open"), (time, "time"), (time, "time_ns"),
               (time, "sleep"), (random, "random"))  # fmt: skip
    patches = [mock.patch.object(module, name, forbidden) for module, name in targets]
    for patch in patches:
        patch.start()
    try:
        yield
    finally:
        for patch in patches:
            patch.stop()


def _paths(value: object, above: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    """Every place in a JSON value but its root."""
    inside = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, child in inside:
        yield (*above, key)
        yield from _paths(child, (*above, key))


def _parent(whole: object, path: tuple[str | int, ...]) -> dict[str | int, object]:
    for key in path[:-1]:
        whole = whole[key]  # type: ignore[index]
    return whole  # type: ignore[return-value]


def _with(body: bytes, path: tuple[str | int, ...], value: object) -> bytes:
    whole = json.loads(body)
    _parent(whole, path)[path[-1]] = value
    return json.dumps(whole).encode()


def _without(body: bytes, path: tuple[str | int, ...]) -> bytes:
    whole = json.loads(body)
    del _parent(whole, path)[path[-1]]
    return json.dumps(whole).encode()
