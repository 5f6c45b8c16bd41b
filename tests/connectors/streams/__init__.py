"""Whole streams of events of one object, for the tests that any order and any repeat end in one state.

A module a connector with `stream(seed)`, found as `STREAMS[slug](seed)`, gives steps in the order in which they
happened. A step is (event name, records): what the worker would hand to core for that event. Records of pushed
events are read from real bodies; those of a fetch are told by its connector from scripted answers of the API.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib import import_module
from pkgutil import iter_modules
from typing import Any

from connectors import registry
from connectors.base import Credentials, Fetch, Request, Talk, Verified
from connectors.contract import deliver
from core.events import Record
from tests.connectors.asking import hold

START = datetime(2026, 11, 3, 9, 0, tzinfo=UTC)
Json = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One event. `body` is what the provider posts, `place` where in it; `records` what it comes to mean."""

    name: str
    body: bytes
    records: tuple[Record, ...]
    place: int = 0


def answer(talk: Talk, reply: Callable[[Request], object]) -> list[Record]:
    """Hold a talk with scripted answers in place of a provider."""
    return hold(talk, reply)


def steps(
    slug: str,
    said: object,
    *,
    reply: Callable[[Request], object] | None = None,
    asked_at: datetime = START,
    settings: Mapping[str, str] | None = None,
    external_id: str | None = None,
) -> list[Step]:
    """Read a body as the worker does: a step for each event in it. `said` is JSON, or the bytes themselves."""
    connector = registry.get(slug)
    body = said if isinstance(said, bytes) else json.dumps(said).encode()
    headers = {"webhook-id": "m", "x-razorpay-event-id": "e"}
    found = []
    for place, event in enumerate(connector.open(deliver(headers, body), Verified(message_id="m"))):
        reading = connector.read(event.name, event.item)
        assert reading is not None, event.name
        if isinstance(reading, Fetch):
            assert reply is not None
            # Whatever a connector asks its connection for, there is one.
            secrets = {field.name: f"test-{field.name}" for field in connector.fields if field.secret}
            credentials = Credentials(
                secrets=secrets,
                settings=settings or {},
                external_id=event.external_id or external_id,
                asked_at=asked_at,
            )
            reading = answer(reading.talk(credentials), reply)
        found.append(Step(name=event.name, body=body, records=tuple(reading), place=place))
    return found


def step(
    slug: str,
    said: object,
    *,
    reply: Callable[[Request], object] | None = None,
    asked_at: datetime = START,
    external_id: str | None = None,
) -> Step:
    """The same for a body that holds one event."""
    (only,) = steps(slug, said, reply=reply, asked_at=asked_at, external_id=external_id)
    return only


STREAMS: Mapping[str, Callable[[int], list[Step]]] = {
    found.name: import_module(f"{__name__}.{found.name}").stream for found in iter_modules(__path__)
}
