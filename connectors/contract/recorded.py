"""The provider's API as recorded: routes.json and the answers beside it, and talks held with them.

    {"method": "GET", "path": "/v2/payments/{id}", "query": {"after": "*"}, "answer": "payment.json", "status": 200}

The first route that fits wins. `{id}` fits one step of the path and stands for it in the answer. `query`, and `form`
or `json` of the body, must hold the values named, of which "*" is any.

`contract.json` in the same folder, where there is one, says what the talks of the contract start from: `secrets`,
`settings`, `external_id` and `asked_at` (a moment, or moments by sample); `refused`, the samples that lead to no
records and why; and `places`, the decimal places of amounts by currency ("*" for all) where a provider counts
otherwise than ISO 4217.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import parse_qsl, quote, unquote, urlsplit

from connectors.base import Api, Connector, Credentials, Request, Response
from core.errors import Permanent

T = TypeVar("T")
MAX_REQUESTS = 5000


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """One answer: the file it comes from, its content, and the values of the request that may stand in it."""

    file: str
    content: bytes
    asked: frozenset[str] = frozenset()
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)

    def response(self, content: bytes | None = None) -> Response:
        """The answer as the transport would give it, perhaps with another content."""
        return Response(status=self.status, headers=self.headers, body=self.content if content is None else content)


@dataclass(frozen=True, slots=True, kw_only=True)
class Start:
    """What contract.json says."""

    secrets: Mapping[str, str]
    settings: Mapping[str, str]
    external_id: str | None
    # By sample; "*" for all others.
    asked_at: Mapping[str, datetime]
    refused: Mapping[str, str]
    places: Mapping[str, int]


class Endless(AssertionError):
    """A talk that never ends."""


def start_of(folder: Path) -> Start:
    """The start of a connector's talks, from its samples' `api` folder."""
    path = folder / "contract.json"
    said: dict[str, Any] = json.loads(path.read_bytes()) if path.is_file() else {}
    asked_at = said.get("asked_at", {})
    moments = {"*": asked_at} if isinstance(asked_at, str) else asked_at
    return Start(
        secrets=said.get("secrets", {}),
        settings=said.get("settings", {}),
        external_id=said.get("external_id"),
        asked_at={label: datetime.fromisoformat(moment) for label, moment in moments.items()},
        refused=said.get("refused", {}),
        places=said.get("places", {}),
    )


def credentials(
    connector: Connector, start: Start, external_id: str | None, *, label: str, at: datetime
) -> Credentials:
    """What a connection would give in the talk of a sample: for each field of its form there is a value."""
    secrets = {one.name: f"test-{one.name}" for one in connector.fields if one.secret}
    return Credentials(
        secrets={"webhook_secret": "test-webhook-secret", **secrets, **start.secrets},
        settings=start.settings,
        external_id=start.external_id or external_id,
        asked_at=start.asked_at.get(label, start.asked_at.get("*", at)),
    )


class Routes:
    """The API of one connector."""

    def __init__(self, folder: Path, api: Api | None) -> None:
        self._folder = folder
        self._base = "" if api is None else api.base.rstrip("/")
        self._also = () if api is None else tuple(base.rstrip("/") for base in api.also)
        path = folder / "routes.json"
        self.known: list[dict[str, Any]] = json.loads(path.read_bytes()) if path.is_file() else []

    def answer(self, request: Request) -> Said:
        """What a request is answered. Raises Permanent, as the transport does for 404 and other refusals."""
        path, params = self._place(request)
        given = {**(request.form or {}), **(request.json if isinstance(request.json, dict) else {})}
        words = {name: value if isinstance(value, str) else json.dumps(value) for name, value in given.items()}
        for route in self.known:
            wanted = {**route.get("form", {}), **route.get("json", {})}
            found = re.fullmatch(_pattern(route["path"]), path)
            if found and route["method"] == request.method and _holds(route.get("query", {}), params):
                if not _holds({k: v if isinstance(v, str) else json.dumps(v) for k, v in wanted.items()}, words):
                    continue
                names = {name: unquote(value) for name, value in found.groupdict().items()}
                asked = frozenset(v for v in (*names.values(), *params.values(), *words.values()) if len(v) > 5)
                return self._said(route, names, asked)
        if not self.known:
            raise Permanent(f"{self._folder.parent.name}/api/routes.json is missing")
        raise Permanent(f"routes.json has no route for {request.method} {path}")

    def _place(self, request: Request) -> tuple[str, dict[str, str]]:
        url = request.url
        if not url.startswith("/"):
            # What is asked of another of the provider's hosts keeps its whole path.
            if any(url.startswith(f"{base}/") for base in self._also):
                url = urlsplit(url)._replace(scheme="", netloc="").geturl()
            elif url.startswith(f"{self._base}/"):
                url = url.removeprefix(self._base)
            else:
                raise Permanent(f"a link leads outside the provider's API: {url}")
        parts = urlsplit(url)
        # What a link spells with or without per cent signs is the same step.
        return quote(unquote(parts.path), safe="/:@,;()'=+$!*~"), {**dict(parse_qsl(parts.query)), **request.params}

    def _said(self, route: Mapping[str, Any], names: Mapping[str, str], asked: frozenset[str]) -> Said:
        file, status = route.get("answer", ""), route.get("status", 200)
        content = (self._folder / file).read_text(encoding="utf-8") if file else ""
        for name, value in names.items():
            content = content.replace("{" + name + "}", json.dumps(value)[1:-1])
        if status >= 300:
            raise Permanent(f"answered with {status}")
        headers = route.get("headers", {})
        return Said(file=file, content=content.encode(), asked=asked, status=status, headers=headers)


def _pattern(path: str) -> str:
    names = re.split(r"\{(\w+)\}", path)
    return "".join(f"(?P<{one}>[^/]+)" if place % 2 else re.escape(one) for place, one in enumerate(names))


def _holds(wanted: Mapping[str, str], given: Mapping[str, str]) -> bool:
    return all(name in given and value in ("*", given[name]) for name, value in wanted.items())


def hold(talk: Generator[Request, Response, T], reply: Callable[[Request], Response]) -> T:
    """Hold a talk to its end. Raises what the talk raises, and Endless."""
    try:
        request = next(talk)
        for _ in range(MAX_REQUESTS):
            request = talk.send(reply(request))
    except StopIteration as end:
        result: T = end.value
        return result
    finally:
        talk.close()
    raise Endless(f"a talk does not end after {MAX_REQUESTS} requests")


@dataclass(slots=True)
class Conversation:
    """A talk held with the recorded API: what was asked and answered."""

    routes: Routes
    requests: list[Request] = field(default_factory=list)
    said: list[Said] = field(default_factory=list)

    def __call__(self, request: Request) -> Response:
        """Answer, and remember."""
        said = self.routes.answer(request)
        self.requests.append(request)
        self.said.append(said)
        return said.response()
