"""Cases about what the samples mean, and about bodies that nobody should have sent."""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from typing import Any, cast
from unittest import mock

from connectors.base import Event, Fetch
from connectors.contract.suite import (
    AT,
    MALFORMED,
    Sample,
    Suite,
    check_event,
    check_reading,
    comparable,
    require,
    signed,
    when,
)
from connectors.contract.trees import PROBES, REMOVED, SPOILERS, Path, changed, leaves, paths
from connectors.contract.watch import watched
from connectors.payload import Payload
from core.errors import MalformedPayload
from core.money import exponent

NEVER = "contract.never_heard_of"
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
    "an entity": b'<!DOCTYPE a [<!ENTITY b SYSTEM "file:///etc/hostname">]><a>&b;</a>',
    "percent signs": b"a=%ff%00%&b",
}
STRANGE_BODIES = (b"{}", b"[]", b"[[]]", b'[{"a": 1}]', b'{"data": null}', b"a=1", b"<a/>")


class Meaning(Suite):
    """What the samples mean, and bodies that nobody should have sent."""

    def has_a_sample_for_every_mapped_event(self) -> None:
        """Nothing is mapped that was never seen."""
        have = {self._connector.aliases.get(sample.event, sample.event) for sample in self._samples}
        require(not (missing := sorted(set(self._connector.events) - have)), f"no sample for {missing}")

    def names_each_sample_as_its_file_does(self) -> None:
        """The name in the file is the event; a batch holds it beside others that are known as well."""
        known = {*self._connector.events, *self._connector.ignored}
        for sample in self._samples:
            expected = self._connector.aliases.get(sample.event, sample.event)
            names = [event.name for event in self._connector.open(sample.delivery, sample.verified)]
            require(expected in names and (len(names) == 1 or sample.variant), f"{sample.label} is {names}")
            require(known.issuperset(names), f"{sample.label}: {names} are not all mapped or ignored")

    def reads_every_sample(self) -> None:
        """A mapped event means records or a fetch, and every record is one that the books can hold."""
        for sample in self._samples:
            for event in self._connector.open(sample.delivery, sample.verified):
                check_event(event)
                reading = self._connector.read(event.name, event.item)
                require((reading is None) == (event.name not in self._connector.events), sample.label)
                check_reading(sample.label, reading)
                require(reading != [] or sample.variant, f"{sample.label} is mapped and means nothing")

    def gives_the_same_answer_twice(self) -> None:
        """Reading remembers nothing."""
        for sample in self._samples:
            require(self._meaning(sample) == self._meaning(sample), sample.label)

    def gives_the_same_answer_to_many_at_once(self) -> None:
        """The same delivery, received several times at the same moment, means the same each time."""
        with ThreadPoolExecutor(4) as crowd:
            for sample in self._plain[:5]:
                alone = self._meaning(sample)
                for one in crowd.map(self._received, [sample] * 8):
                    require(one == alone, f"{sample.label} means something else when it comes twice at once")

    def _received(self, sample: Sample) -> list[tuple[Event, object]]:
        self._connector.verify(sample.delivery, self._secrets)
        return self._meaning(sample)

    def keeps_the_event_id_on_a_resend(self) -> None:
        """A resend is signed anew and later, and is still the same event; a mere hint may be a new one each time.

        So may what only points, where the scheme itself proves two messages: one look more changes nothing.
        """
        for sample in filter(self._proven, self._kinds):
            ids, proven, points = [], set(), True
            for moment in (AT, AT + timedelta(hours=5)):
                delivery = signed(self._connector, sample.raw, self._secret, at=moment)
                verified = self._connector.verify(delivery, self._secrets)
                opened = self._connector.open(delivery, verified)
                ids.append([event.id for event in opened])
                proven.add(verified.message_id)
                points = all(isinstance(self._connector.read(one.name, one.item), Fetch | None) for one in opened)
            require(ids[0] == ids[1] or (len(proven) == 2 and points), f"{ids[0]} became {ids[1]}")

    def tells_different_events_apart(self) -> None:
        """No two samples of different events have the same event id, unless a header carries it."""
        seen: dict[str, str] = {}
        for sample in self._samples:
            for event in self._connector.open(sample.delivery, sample.verified):
                if event.id == sample.verified.message_id or any(
                    (event.id,) == one for one in sample.delivery.headers.values()
                ):
                    continue
                before = seen.setdefault(event.id, event.name)
                require(before == event.name, f"{before} and {event.name} have the same event id {event.id!r:.60}")

    def touches_nothing_while_verifying_and_reading(self) -> None:
        """No clock, chance, file, socket or thread."""
        # What the money of a currency looks like is read from a file, once a process.
        exponent("EUR")
        for sample in self._plain:
            with watched() as watch:
                verified = self._connector.verify(sample.delivery, self._secrets)
                for event in self._connector.open(sample.delivery, verified):
                    self._connector.read(event.name, event.item)
            require(not watch.touched, f"{sample.label} touches {sorted(set(watch.touched))}")

    def leaves_an_unknown_event_unread_and_unignored(self) -> None:
        """A name that is not known is kept as it came, alarms, and is neither guessed nor dropped."""
        found = False
        for sample in self._kinds:
            value = self._decoded(sample)
            before = [event.name for event in self._events(sample, value)]
            for path, text in list(leaves(value)):
                if not isinstance(text, str):
                    continue
                with changed(value, path, NEVER):
                    found = self._is_unknown(sample, value, before) or found
        told = {
            event.name for sample in self._samples for event in self._connector.open(sample.delivery, sample.verified)
        }
        # Without a name in the body, its shape tells the events apart.
        require(found or len(told) > 1 or len(self._connector.events) == 1, "the name was not taken from the body")

    def _is_unknown(self, sample: Sample, value: object, before: list[str]) -> bool:
        """Whether this body's events have other names than before; those must be unknown ones."""
        try:
            opened = self._events(sample, value)
        except MalformedPayload:
            return False
        require(len(opened) == len(before), "an event with an unknown name was dropped")
        other = [event for event, name in zip(opened, before, strict=True) if event.name != name]
        for event in other:
            if NEVER not in event.name and event.name in {*self._connector.events, *self._connector.ignored}:
                require(False, f"an unknown event is taken for {event.name}")
            require(self._connector.read(event.name, event.item) is None, "an unknown event was read")
            require(self._connector.ignores(event.name) is None, "an unknown event was ignored")
        return bool(other)

    @when("_ignores")
    def gives_a_reason_for_each_ignored_event(self) -> None:
        """And looks at nothing in one."""
        for name, reason in self._connector.ignored.items():
            require(len(reason) > 9 and self._connector.read(name, _untouched()) is None, f"{name}: {reason!r}")
            require(self._connector.ignores(name) == reason, name)

    # Bad bodies, properly signed.

    def calls_an_unreadable_body_malformed(self) -> None:
        """No body breaks anything; one that is no JSON is refused, unless forms or XML are expected."""
        strict = all(sample.json for sample in self._samples)
        for label, body in BAD_BODIES.items():
            opened = self._open_bytes(body)
            require(opened is None or (not strict and label != "empty"), f"opened a body that is {label}")

    def calls_a_truncated_body_malformed(self) -> None:
        """Half of JSON or XML is none; half of a form may be a form."""
        for sample in self._samples:
            body = sample.delivery.body
            opened = self._open_bytes(body[: len(body) // 2], sample)
            require(opened is None or body.lstrip()[:1] not in (b"{", b"[", b"<"), f"opened half of {sample.label}")

    def never_finds_an_event_in_a_body_without_one(self) -> None:
        """An event is never made of nothing."""
        for body in STRANGE_BODIES:
            require(not self._open_bytes(body), f"an event was found in {body!r}")

    def survives_every_field_missing_or_of_another_kind(self) -> None:
        """Whatever stands anywhere: a record the books can hold, or MalformedPayload, and no other exception.

        A place is spoiled in every way only where the reader looks: what neither its absence nor two odd values
        change is passed over, with all that lies within.
        """
        for sample in self._shapes():
            value = self._decoded(sample)
            usual = self._outcome(sample, value, "as it is")
            passed: set[Path] = set()
            for path in list(paths(value)):
                if any(path[:length] in passed for length in range(1, len(path))):
                    continue
                if not self._spoil(sample, value, path, PROBES, usual):
                    passed.add(path)
                else:
                    self._spoil(sample, value, path, SPOILERS, usual)

    def _spoil(self, sample: Sample, value: object, path: Path, spoilers: tuple[object, ...], usual: object) -> bool:
        """Whether any of these values at a place changed what the body means."""
        changes = False
        for spoiler in spoilers:
            with changed(value, path, spoiler):
                where = "missing" if spoiler is REMOVED else f"{spoiler!r:.20}"
                changes = self._outcome(sample, value, f"{path} is {where}") != usual or changes
        return changes

    def _outcome(self, sample: Sample, value: object, where: str) -> object:
        """What a decoded body means, or that it is malformed; anything else fails."""
        label = f"{sample.label}: {where}"
        found = []
        try:
            opened = self._events(sample, value)
        except MalformedPayload:
            return MALFORMED
        except Exception as error:
            raise AssertionError(f"{label}: {type(error).__name__} while opening") from error
        for event in opened:
            check_event(event)
            try:
                reading: object = self._connector.read(event.name, event.item)
            except MalformedPayload:
                reading = MALFORMED
            except Exception as error:
                raise AssertionError(f"{label}: {type(error).__name__} while reading") from error
            else:
                check_reading(label, reading)
            found.append((event.id, event.name, event.external_id, comparable(reading)))
        return found

    @when("_batches")
    def reads_the_others_of_a_batch_with_one_bad_item(self) -> None:
        """What spoils one event of a delivery spoils no other, wherever it stands."""
        for sample in self._batches():
            batch = self._batch(sample)
            usual = cast("list[Any]", self._outcome(sample, batch, "said twice"))
            for path, _ in list(leaves(batch)):
                with changed(batch, path, REMOVED if isinstance(path[-1], str) else []):
                    spoilt = self._outcome(sample, batch, f"{path} is missing")
                # Without its id or name an event cannot be told from the others: then the delivery is refused.
                if spoilt == MALFORMED or len(cast("list[Any]", spoilt)) != len(usual):
                    continue
                bad = [one for one, was in zip(cast("list[Any]", spoilt), usual, strict=True) if one[3] != was[3]]
                require(len(bad) < len(usual) or not _within_list(path), f"{path}: one bad item spoils {len(bad)}")

    def _ignores(self) -> bool:
        return bool(self._connector.ignored)

    def _batches(self) -> list[Sample]:
        return [sample for sample in self._shapes() if self._batch(sample) is not None]

    def _open_bytes(self, body: bytes, sample: Sample | None = None) -> list[Event] | None:
        """The events of a body whose signature is taken as good, or None where it is malformed."""
        sample = sample or self._samples[0]
        try:
            opened = self._connector.open(replace(sample.delivery, body=body), sample.verified)
        except MalformedPayload:
            return None
        for event in opened:
            check_event(event)
        return opened


def _within_list(path: Path) -> bool:
    return any(isinstance(key, int) for key in path)


def _untouched() -> Payload:
    """The item of an ignored event: nothing may look at it."""
    return cast("Payload", mock.sentinel.untouched)
