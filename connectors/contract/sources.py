"""Where records come from: a webhook's body, or the answers of the API that a pointer leads to.

A source holds the JSON that is read and can read it again after something in it was changed.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from connectors.base import Credentials, Fetch, Request, Response, Talk
from connectors.contract.recorded import Conversation, Routes, Said, Start, credentials, hold, start_of
from connectors.contract.suite import AT, Sample, Suite
from core.errors import MalformedPayload, PlatformError
from core.events import Record


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """`whole` may be changed in place; `read` gives the records that it then means, or raises."""

    label: str
    whole: Any
    read: Callable[[], Sequence[Record]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Pointer:
    """A sample's event that must be fetched, and the talk that does it."""

    sample: Sample
    # Which of the sample's events it is.
    place: int
    fetch: Fetch
    credentials: Credentials

    def talk(self) -> Talk:
        """The talk from its start."""
        return self.fetch.talk(self.credentials)


class Sourced(Suite):
    """A suite that knows the provider's API as recorded."""

    @cached_property
    def _routes(self) -> Routes:
        return Routes(self._folder / self._connector.slug / "api", self._connector.api)

    @cached_property
    def _start(self) -> Start:
        return start_of(self._folder / self._connector.slug / "api")

    def _credentials(self, external_id: str | None, label: str = "") -> Credentials:
        return credentials(self._connector, self._start, external_id or self._account, label=label, at=AT)

    @cached_property
    def _account(self) -> str | None:
        """An account that the samples name."""
        opened = [self._connector.open(sample.delivery, sample.verified) for sample in self._samples]
        return next((event.external_id for events in opened for event in events if event.external_id), None)

    def _points(self) -> bool:
        return bool(self._pointers)

    @cached_property
    def _pointers(self) -> tuple[Pointer, ...]:
        """Each event of the samples that is read as a fetch."""
        found = []
        for sample in self._samples:
            for place, event in enumerate(self._connector.open(sample.delivery, sample.verified)):
                reading = self._connector.read(event.name, event.item)
                if isinstance(reading, Fetch):
                    given = self._credentials(event.external_id, sample.label)
                    found.append(Pointer(sample=sample, place=place, fetch=reading, credentials=given))
        return tuple(found)

    def _conversations(self) -> Iterator[tuple[Pointer, Conversation, list[Record]]]:
        """Talks that go well with the recorded answers, each set of answers once."""
        seen: set[object] = set()
        for pointer in self._pointers:
            conversation = Conversation(self._routes)
            try:
                records = hold(pointer.talk(), conversation)
            except PlatformError:
                continue
            files = tuple(said.file for said in conversation.said)
            if files not in seen:
                seen.add(files)
                yield pointer, conversation, records

    def _sources(self) -> Iterator[Source]:
        """Everything records come from, each reader and each set of answers once."""
        pointing = {one.sample for one in self._pointers}
        for sample in self._shapes():
            if sample.event in self._connector.events and sample not in pointing:
                yield self._pushed(sample, self._decoded(sample))
        for pointer, conversation, _ in self._conversations():
            if source := self._fetched(pointer, conversation.said):
                yield source

    def _pushed(self, sample: Sample, value: Any) -> Source:
        def read() -> list[Record]:
            found: list[Record] = []
            for event in self._events(sample, value):
                reading = self._connector.read(event.name, event.item)
                found += [] if reading is None or isinstance(reading, Fetch) else reading
            return found

        return Source(label=sample.label, whole=value, read=read)

    def _fetched(self, pointer: Pointer, said: Sequence[Said]) -> Source | None:
        """The answers, in their order, and after them the body that points: some of it may have to agree with them."""
        try:
            answers: list[Any] = [json.loads(one.content) if one.content else None for one in said]
        except ValueError:
            # Answers that are no JSON are the connector's own tests' business.
            return None
        whole: list[Any] = [*answers, self._decoded(pointer.sample)]

        def read() -> list[Record]:
            opened = self._events(pointer.sample, whole[-1])
            event = opened[pointer.place] if pointer.place < len(opened) else None
            reading = event and self._connector.read(event.name, event.item)
            if not isinstance(reading, Fetch):
                raise MalformedPayload("", "the body points no more")
            return hold(reading.talk(pointer.credentials), in_turn(said, whole[:-1]))

        return Source(label=f"{pointer.sample.label} ({', '.join(one.file for one in said)})", whole=whole, read=read)


def in_turn(said: Sequence[Said], answers: Sequence[Any]) -> Callable[[Request], Response]:
    """The same answers in the same order, whatever is asked, with what stands in `answers` as their content."""
    left = iter(zip(said, answers, strict=True))

    def reply(_request: Request) -> Response:
        try:
            one, content = next(left)
        except StopIteration:
            raise MalformedPayload("", "the talk asks for more than it did") from None
        return one.response(b"" if content is None else json.dumps(content).encode())

    return reply
