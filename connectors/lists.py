"""Walking a provider's lists within one talk."""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping
from typing import TypeAlias
from urllib.parse import quote

from connectors.base import Request, Response
from connectors.payload import Payload
from core.errors import MalformedPayload

Asked: TypeAlias = Generator[Request, Response, Payload]
Listing: TypeAlias = Generator[Request, Response, list[Payload]]


def get(url: str, params: Mapping[str, str] | None = None, headers: Mapping[str, str] | None = None) -> Asked:
    """The answer to a GET."""
    return (yield Request(method="GET", url=url, params=params or {}, headers=headers or {})).payload()


def step(name: str) -> str:
    """An id as one step of a path, whatever it holds."""
    return quote(name, safe="")


def given(**params: str | None) -> dict[str, str]:
    """Parameters without those that are empty."""
    return {name: value for name, value in params.items() if value}


def pages(
    ask: Callable[[str], Request], following: Callable[[Payload], str | None], *, where: str, most: int
) -> Listing:
    """Every page of a list. `ask` has the mark of a page, "" for the first; `following` tells that of the next.

    Raises MalformedPayload, naming `where`, for a list that leads in a circle or goes on past `most` pages.
    """
    found: list[Payload] = []
    mark, seen = "", set[str]()
    while True:
        found.append((yield ask(mark)).payload())
        mark = following(found[-1]) or ""
        if not mark:
            return found
        if mark in seen or len(found) == most:
            raise MalformedPayload(where, f"leads in a circle or past {most} pages")
        seen.add(mark)
