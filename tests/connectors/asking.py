"""Talks held with scripted or recorded answers in place of a provider, where what was asked matters."""

from __future__ import annotations

import json
from collections.abc import Callable, Generator
from typing import Any, ClassVar, TypeVar

from connectors.base import Request, Response
from connectors.contract.recorded import Routes

T = TypeVar("T")


def asked(talk: Generator[Request, Response, T], *answers: object) -> tuple[T, list[Request]]:
    """The result of a talk that is given these answers in turn (JSON, or the bytes), and what it asked."""
    requests: list[Request] = []
    script = iter(answers)
    try:
        request = next(talk)
        while True:
            requests.append(request)
            said = next(script)
            body = said if isinstance(said, bytes) else json.dumps(said).encode()
            request = talk.send(Response(status=200, headers={}, body=body))
    except StopIteration as end:
        result: T = end.value
        return result, requests


def hold(talk: Generator[Request, Response, T], reply: Callable[[Request], object]) -> T:
    """The result of a talk in which each request is answered with this JSON."""
    try:
        request = next(talk)
        while True:
            request = talk.send(Response(status=200, headers={}, body=json.dumps(reply(request)).encode()))
    except StopIteration as end:
        result: T = end.value
        return result


class Recorded:
    """A provider's API as recorded; keeps what was asked. `change` may alter an answer."""

    routes: ClassVar[Routes]

    def __init__(self, change: Callable[[Any], object] | None = None) -> None:
        self.asked: list[Request] = []
        self.change = change

    def hold(self, talk: Generator[Request, Response, T]) -> T:
        return hold(talk, self._reply)

    def _reply(self, request: Request) -> object:
        self.asked.append(request)
        said = json.loads(self.routes.answer(request).content)
        if self.change:
            self.change(said)
        return said

    @property
    def urls(self) -> list[str]:
        return [f"{one.method} {one.url}" for one in self.asked]
