"""Talks held with scripted answers in place of a provider, where what was asked matters."""

from __future__ import annotations

import json
from collections.abc import Generator
from typing import TypeVar

from connectors.base import Request, Response

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
