"""Any provider's HTTP API, from its samples: tokens, objects, pages, webhooks, keys, and every kind of trouble.

    paypal = Provider("paypal")
    with Server(paypal) as server:
        paypal.tell(built)  # what `sending.build` made: the API now knows the ids, amounts and keys of this delivery
        ...  # the connection's settings.api_base is server.address("paypal")

`connectors/samples/<slug>/api/routes.json` lists what is answered; the first route that fits wins:

    {"method": "GET", "path": "/v2/payments/{id}", "query": {"after": "*"}, "answer": "payment.json", "status": 200}

`{id}` fits one step of a path and stands for it in the answer. `query`, and `form` or `json` of the body, must hold
the values named, of which "*" is any. Answers are changed as `simulate.json` says. Where a route hands out an
access token, the other routes are answered to those who show one.
"""

from __future__ import annotations

import json
import secrets
import threading
import time
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from core.money import Money
from workers.simulators import script
from workers.simulators.bodies import JsonBody, renamer
from workers.simulators.places import folder_of
from workers.simulators.routes import Asked, Route, in_samples_words, routes_of, taken_apart
from workers.simulators.script import Story
from workers.simulators.sending import Built

_TYPES = {".json": "application/json", ".xml": "application/xml", ".pem": "application/x-pem-file"}
_KEPT_STORIES = 10_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What one request is answered."""

    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    content: bytes = b""
    content_type: str = "application/json"

    @classmethod
    def error(cls, status: int, words: str, headers: Mapping[str, str] | None = None) -> Answer:
        """A refusal in words of nobody in particular."""
        return cls(status=status, headers=headers or {}, content=json.dumps({"error": words}).encode())


class Provider:
    """One provider's API, without the server. Safe to ask from several threads."""

    def __init__(
        self,
        slug: str,
        *,
        account: str | None = None,
        at: datetime | None = None,
        rate_per_second: float | None = None,
        delay_seconds: float = 0,
    ) -> None:
        self.slug = slug
        self.rate_per_second, self.delay_seconds = rate_per_second, delay_seconds
        # Whether each list shows one story after the other, for runs of many; or always the newest.
        self.in_turn = False
        self.in_a_circle = False
        self.requests: list[tuple[str, str]] = []
        self._routes = routes_of(slug)
        self._hands_out_tokens = any(_handed_out(self._content(route, {})) is not None for route in self._routes)
        # What is listed before any delivery was told of: the samples, for this account and as of this time.
        self._recorded = Story(script=script.load(slug), at=at, changes=script.Changes(external_id=account))
        self._stories: deque[Story] = deque(maxlen=_KEPT_STORIES)
        # Which story made an id.
        self._makers: dict[str, Story] = {}
        self._shown: dict[str, int] = {}
        self._documents: dict[str, bytes] = {}
        self._tokens: set[str] = set()
        self._faults: deque[tuple[int, dict[str, str]]] = deque()
        self._times: deque[float] = deque()
        # What is said wrongly: "account" and "currency", see `lie`.
        self.lies: dict[str, str] = {}
        self._lock = threading.RLock()

    def tell(self, built: Built) -> None:
        """Know a delivery: the ids in it lead to what it says, and its keys can be asked for."""
        with self._lock:
            self._stories.append(built.story)
            self._documents |= built.documents
            self._note(built.story)

    def belongs_to(self, account: str | None) -> None:
        """Answer as this account's provider, where no delivery says whose it is."""
        self._recorded = replace(self._recorded, changes=script.Changes(external_id=account), renamed={})

    def fail_next(self, status: int, *, times: int = 1, **headers: str) -> None:
        """Answer the next requests with this status, whatever they ask."""
        named = {name.replace("_", "-").title(): value for name, value in headers.items()}
        self._faults.extend([(status, named)] * times)

    def revoke_tokens(self) -> None:
        """Take back every token handed out so far."""
        self._tokens.clear()

    def lie(self, *, account: str | None = None, currency: str | None = None) -> None:
        """Answer for another account, or in another currency, than is right."""
        self.lies = {name: text for name, text in (("account", account), ("currency", currency)) if text}

    def answer(self, method: str, target: str, headers: Mapping[str, str], body: bytes) -> Answer:
        """What one request is answered; `target` is below the API base."""
        if self.delay_seconds:
            time.sleep(self.delay_seconds)
        with self._lock:
            self.requests.append((method, target))
            if self._faults:
                status, extra = self._faults.popleft()
                return Answer.error(status, "a failure that was asked for", extra)
            if self._too_many():
                return Answer.error(429, "too many requests", {"Retry-After": "1"})
            return self.respond(taken_apart(method, target, headers, body))

    def respond(self, asked: Asked) -> Answer:
        """What a request is answered by the routes."""
        if (document := self._documents.get(asked.path)) is not None:
            return Answer(content=document, content_type="application/octet-stream")
        told, original = self._told_in(asked), asked
        if told is not None:
            asked = in_samples_words(asked, told)
        for route in self._routes:
            if (names := route.matched(asked, in_a_circle=self.in_a_circle)) is not None:
                return self._routed(route, names, original, told)
        return Answer.error(404, "there is no such thing")

    def _routed(self, route: Route, names: Mapping[str, str], asked: Asked, told: Story | None) -> Answer:
        content = self._content(route, names)
        handed_out = _handed_out(content)
        if handed_out is None and self._hands_out_tokens and not self.is_shown(asked.headers):
            return Answer.error(401, "the token is not valid")
        story = self._as_it_lies(told or self._next_story(route))
        kind = _TYPES.get(route.answer[route.answer.rfind(".") :], "text/plain; charset=utf-8")
        headers = {name: renamer(story.renamed)(text) for name, text in route.headers.items()}
        if not content or kind not in ("application/json", "application/xml"):
            return Answer(status=route.status, headers=headers, content=content, content_type=kind)
        # Whoever asks for something by the name that it has in the samples gets it by this name.
        answered = story.told(content, route.answer, kept=() if told else asked.words, asked=asked.words)
        if story.message_id and not self.lies:
            self._note(story)
        if handed_out is not None and isinstance(answered, JsonBody):
            answered.rename({handed_out: self.new_token()})
        return Answer(status=route.status, headers=headers, content=answered.to_bytes(), content_type=kind)

    def _content(self, route: Route, names: Mapping[str, str]) -> bytes:
        if not route.answer:
            return b""
        text = (folder_of(self.slug) / self.slug / "api" / route.answer).read_text(encoding="utf-8")
        for name, value in names.items():
            text = text.replace("{" + name + "}", json.dumps(value)[1:-1])
        return text.encode()

    def new_token(self) -> str:
        """Hand out a token."""
        token = secrets.token_urlsafe(24)
        self._tokens.add(token)
        return token

    def is_shown(self, headers: Mapping[str, str]) -> bool:
        """Whether a live token stands in a header."""
        return any(value.removeprefix("Bearer ").strip() in self._tokens for value in headers.values())

    def _too_many(self) -> bool:
        if self.rate_per_second is None:
            return False
        now = time.monotonic()
        while self._times and self._times[0] <= now - 1:
            self._times.popleft()
        if len(self._times) >= self.rate_per_second:
            return True
        self._times.append(now)
        return False

    def _told_in(self, asked: Asked) -> Story | None:
        """The story of which a request names an id."""
        return next((self._makers[word] for word in sorted(asked.words) if word in self._makers), None)

    def _note(self, story: Story) -> None:
        """Remember the ids that a story made; its account is no sign of it."""
        self._makers |= {new: story for new in story.renamed.values() if new != story.changes.external_id}

    def _next_story(self, route: Route) -> Story:
        if not self._stories:
            return self._recorded
        if not self.in_turn:
            return self._stories[-1]
        place = self._shown.get(route.answer, 0)
        self._shown[route.answer] = place + 1
        return self._stories[min(place, len(self._stories) - 1)]

    def _as_it_lies(self, story: Story) -> Story:
        if not self.lies:
            return story
        changes = story.changes
        if account := self.lies.get("account"):
            changes = replace(changes, external_id=account)
        if currency := self.lies.get("currency"):
            changes = replace(changes, money=Money((changes.money or Money(10_000, "EUR")).minor, currency))
        return replace(story, changes=changes, renamed=dict(story.renamed))


def _handed_out(content: bytes) -> str | None:
    """The access token in an answer, where it is one that hands out a token."""
    if b'"access_token"' not in content:
        return None
    said: Any = json.loads(content)
    token = said.get("access_token") if isinstance(said, dict) else None
    return token if isinstance(token, str) else None
