"""Cases about order: whatever comes late, twice or in the same second, the books end the same."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import fields, replace
from enum import StrEnum
from itertools import permutations
from typing import Any

from connectors.contract.sources import Sourced
from connectors.contract.suite import Sample, require
from core import events
from core.events import Record
from core.statements import supersedes

# All orders of so many events are tried: 120 for five.
LONGEST = 5
LADDERS: Mapping[type, Sequence[StrEnum]] = {
    events.BankTransaction: tuple(events.TransactionStatus),
    events.Payment: tuple(events.PaymentStatus),
    events.Refund: tuple(events.RefundStatus),
    events.Dispute: tuple(events.DisputeStatus),
    events.Payout: tuple(events.PayoutStatus),
}


def key(record: Record) -> tuple[str, str]:
    """Which object of the books a record is about."""
    return type(record).__name__, record.object_id


def rank(record: Record) -> int:
    """How high its status stands; 0 where there is no ladder."""
    ladder = LADDERS.get(type(record))
    return ladder.index(record.status) if ladder else 0  # type: ignore[union-attr]


def standing(record: Record) -> tuple[Any, ...]:
    """Its place among statements about the same object, by core's own rule. References are learnt, not replaced."""
    aside = {"version", "references", "status"} if type(record) in LADDERS else {"version", "references"}
    content = [getattr(record, one.name) for one in fields(record) if one.name not in aside]
    return (True, rank(record), record.version, *content)


class Books:
    """What the books hold, in memory: for each object the statement that stands, and what was learnt beside."""

    def __init__(self) -> None:
        self._held: dict[tuple[str, str], Record] = {}
        self._references: dict[tuple[str, str], set[events.Reference]] = {}

    def hear(self, records: Iterable[Record]) -> None:
        """Take in what one event says."""
        for record in records:
            place = key(record)
            before = self._held.get(place)
            if before is None or supersedes(standing(record), standing(before)):
                self._held[place] = record
            if isinstance(record, events.Payment):
                self._references.setdefault(place, set()).update(record.references)

    def state(self) -> dict[tuple[str, str], tuple[Record, frozenset[events.Reference]]]:
        """Everything, to be compared. Pending transactions that their account does not list any more are gone."""
        return {
            place: (self._swept(record), frozenset(self._references.get(place, ())))
            for place, record in self._held.items()
        }

    def _swept(self, record: Record) -> Record:
        if isinstance(record, events.Payment):
            return replace(record, references=())
        if not isinstance(record, events.BankTransaction) or record.status is not events.TransactionStatus.PENDING:
            return record
        snapshot = self._held.get((events.PendingSnapshot.__name__, record.account_id))
        gone = snapshot is not None and record.version < snapshot.version
        return replace(record, status=events.TransactionStatus.REMOVED) if gone else record


def _of_one_moment(records: Sequence[Record]) -> list[Record]:
    return [replace(record, version=0) for record in records]


class Streams(Sourced):
    """Whatever comes late, twice or in the same second, the books end the same."""

    def ends_the_same_in_every_order_and_with_repeats(self) -> None:
        """Every order of up to five events of one object, the first of them twice; and all within the same second."""
        for label, steps in self._lives():
            known = [step() for step in steps]
            for same_second in (False, True):
                usual: object = None
                for order in permutations(range(len(steps))):
                    books = Books()
                    for place in (*order, order[0]):
                        books.hear(_of_one_moment(known[place]) if same_second else steps[place]())
                    state = books.state()
                    usual = state if usual is None else usual
                    tie = " within one second" if same_second else ""
                    require(state == usual, f"{label}: the order {order}{tie} ends otherwise")

    def gives_a_later_statement_the_higher_version(self) -> None:
        """Of two statements of equal status about an object, the one told later is not taken for the older one.

        Only a stream knows the order in which things were told, so only a connector that gives one is asked.
        """
        told: dict[tuple[str, str, int], Record] = {}
        for number, records in enumerate(self._told() if self._told else ()):
            for record in records:
                place = (*key(record), rank(record))
                before = told.setdefault(place, record)
                require(before.version <= record.version, f"step {number + 1}: {place} is older than the step before")
                told[place] = record

    # Helpers.

    def _lives(self) -> Iterable[tuple[str, list[Any]]]:
        """Short lives of objects: each step reads its event anew, so that nothing may be remembered."""
        if self._told:
            steps = list(self._told())
            for name, part in (("the stream's beginning", steps[:LONGEST]), ("the stream's end", steps[-LONGEST:])):
                yield name, [lambda records=records: records for records in part]
        yield from self._sample_lives()

    def _sample_lives(self) -> Iterable[tuple[str, list[Any]]]:
        """Samples that tell of the same object."""
        told: dict[tuple[str, str], list[Sample]] = {}
        for sample in self._samples:
            for record in self._said(sample):
                told.setdefault(key(record), []).append(sample)
        seen: set[tuple[str, ...]] = set()
        for place, samples in told.items():
            chosen = tuple(dict.fromkeys(one.label for one in samples))[:LONGEST]
            if chosen not in seen:
                seen.add(chosen)
                by_label = {one.label: one for one in samples}
                yield " ".join(place), [lambda one=by_label[label]: self._said(one) for label in chosen]

    def _said(self, sample: Sample) -> list[Record]:
        """The records of a sample; none where it only points."""
        found: list[Record] = []
        for event in self._connector.open(sample.delivery, sample.verified):
            reading = self._connector.read(event.name, event.item)
            found += reading if isinstance(reading, list | tuple) else ()
        return found
