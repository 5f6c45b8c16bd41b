"""What a simulated API is asked, and the routes by which it answers: `connectors/samples/<slug>/api/routes.json`."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from urllib.parse import parse_qsl, quote, unquote, urlsplit

from workers.simulators.bodies import renamer
from workers.simulators.places import folder_of
from workers.simulators.script import Story


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """One request, taken apart. `params` are those of the query, `given` what the body holds."""

    method: str
    path: str
    params: Mapping[str, str]
    given: Mapping[str, str]
    headers: Mapping[str, str]

    @property
    def words(self) -> set[str]:
        """What it may name something by."""
        steps = re.split(r"[/,;()']", unquote(self.path))
        return {word for word in (*steps, *self.params.values(), *self.given.values()) if word}


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """One entry of routes.json."""

    method: str
    path: re.Pattern[str]
    params: Mapping[str, str]
    given: Mapping[str, str]
    answer: str
    status: int
    headers: Mapping[str, str]

    def matched(self, asked: Asked, *, in_a_circle: bool = False) -> dict[str, str] | None:
        """What its path's names stand for, or None where it does not fit."""
        found = self.path.fullmatch(asked.path) if self.method == asked.method else None
        if found is None:
            return None
        if not in_a_circle and not (_holds(self.params, asked.params) and _holds(self.given, asked.given)):
            return None
        return {name: unquote(value) for name, value in found.groupdict().items()}


def _holds(wanted: Mapping[str, str], given: Mapping[str, str]) -> bool:
    return all(name in given and value in ("*", given[name]) for name, value in wanted.items())


def routes_of(slug: str) -> list[Route]:
    """The routes of a connector; none where it has no API."""
    path = folder_of(slug) / slug / "api" / "routes.json"
    found = []
    for said in json.loads(path.read_bytes()) if path.is_file() else ():
        names = re.split(r"\{(\w+)\}", said["path"])
        pattern = "".join(f"(?P<{part}>[^/]+)" if place % 2 else re.escape(part) for place, part in enumerate(names))
        found.append(
            Route(
                method=said["method"],
                path=re.compile(pattern),
                params=said.get("query", {}),
                given={name: _word(value) for name, value in {**said.get("form", {}), **said.get("json", {})}.items()},
                answer=said.get("answer", ""),
                status=said.get("status", 200),
                headers=said.get("headers", {}),
            )
        )
    return found


def _word(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def taken_apart(method: str, target: str, headers: Mapping[str, str], body: bytes) -> Asked:
    """A request as the routes see it."""
    parts = urlsplit(target)
    given: dict[str, str] = {}
    if body.lstrip()[:1] == b"{":
        said = json.loads(body)
        given = {name: _word(value) for name, value in said.items()}
        # What is nested may name an id as well.
        given[""] = body.decode()
    elif body:
        given = dict(parse_qsl(body.decode("latin-1"), keep_blank_values=True))
    params = dict(parse_qsl(parts.query, keep_blank_values=True))
    return Asked(method=method, path=parts.path, params=params, given=given, headers=headers)


def in_samples_words(asked: Asked, story: Story) -> Asked:
    """The request as somebody would make it who knows the ids of the samples."""
    back = renamer({new: old for old, new in story.renamed.items()})
    return replace(
        asked,
        path=quote(back(unquote(asked.path)), safe="/:@!$&'()*+,;=~"),
        params={name: back(value) for name, value in asked.params.items()},
        given={name: back(value) for name, value in asked.given.items()},
    )
