"""Cases about what surrounds a connector: handshakes, the words for people, and its page."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace

from connectors.base import Answer, Delivery
from connectors.contract.suite import AT, URL, Suite, require, when
from connectors.contract.watch import watched

# What a page about a connector has at least, in characters.
SHORTEST_PAGE = 600
# An answer is a line or two.
LONGEST_ANSWER = 1000
WORDS = ("challenge", "bt_challenge", "token", "hub.challenge", "validationToken", "echo", "crc_token", "")
SCRIPT = "<script>alert(1)</script>"


class Setting(Suite):
    """What surrounds a connector: handshakes, the words for people, and its page."""

    def tells_a_person_what_to_do(self) -> None:
        """Who sets it up reads what it brings and what to do at the provider, with the address to paste there."""
        connector = self._connector
        require(connector.title and connector.checked and connector.docs_url.startswith("https://"), "who is it?")
        require(connector.brings, "`brings` does not say what it brings into the books")
        require(connector.steps, "`steps` does not say what a person does at the provider")
        for step in connector.steps:
            require(step[:1].isupper() or step.startswith("{url}"), f"a step is a sentence: {step!r}")
            require(step.endswith((".", ":")) and 9 < len(step) < 400, f"a step is a sentence: {step!r}")
        named = any("{url}" in step for step in connector.steps)
        require(named or connector.register, "no step says where {url}, the webhook's address, goes")
        names = [field.name for field in connector.fields]
        require(len(names) == len(set(names)), f"two fields have the same name: {names}")
        require(all(field.label for field in connector.fields), "a field has no label")

    @when("_has_docs")
    def has_a_page_of_its_own(self) -> None:
        """Set-up, what becomes of each event, and what is unverified, for people to read."""
        require(self._docs and self._docs.is_file(), f"there is no page {self._docs}")
        page = self._docs.read_text(encoding="utf-8") if self._docs else ""
        require(self._connector.title in page and len(page) > SHORTEST_PAGE, f"{self._docs} says next to nothing")

    @when("_shakes_hands")
    def answers_no_event_as_a_handshake(self) -> None:
        """What brings a mapped event is received, not answered away."""
        for sample in self._samples:
            opened = self._connector.open(sample.delivery, sample.verified)
            if any(event.name in self._connector.events for event in opened):
                require(self._answer(sample.delivery) is None, f"{sample.label} is taken for a handshake")

    @when("_shakes_hands")
    def gives_strangers_nothing_in_a_handshake(self) -> None:
        """Whatever is asked: no secret, no page that a browser would run, no exception, nothing from outside."""
        for delivery in self._strange_handshakes():
            with watched() as watch:
                answer = self._answer(delivery)
            require(not watch.touched, f"a handshake touches {sorted(set(watch.touched))}")
            if answer is None:
                continue
            require(200 <= answer.status < 500, f"answered with {answer!r:.60}")
            require(len(answer.body) <= LONGEST_ANSWER, "the answer to a handshake is as long as the sender likes")
            require(not any(one.encode() in answer.body for one in self._secrets), "a handshake tells the secret")
            html = "html" in answer.content_type or "xml" in answer.content_type
            require(not html or SCRIPT.encode() not in answer.body, "a handshake lets a browser run what was sent")

    # Helpers.

    def _has_docs(self) -> bool:
        return self._docs is not None

    def _shakes_hands(self) -> bool:
        return self._connector.challenge is not None

    def _answer(self, delivery: Delivery) -> Answer | None:
        challenge = self._connector.challenge
        return None if challenge is None else challenge(delivery, self._secrets)

    def _strange_handshakes(self) -> Iterator[Delivery]:
        for method in ("GET", "POST", "PUT"):
            for word in WORDS:
                for text in ("", "x", SCRIPT, "é" * 50, "\0", "x" * 100_000):
                    query: Mapping[str, str] = {word: text}
                    yield Delivery(body=b"", headers={}, received_at=AT, method=method, query=query, url=URL)
            for body in (b"{}", b"[]", b"x", b"\xff", b'{"challenge": 5}', b'{"challenge": "' + b"x" * 5000 + b'"}'):
                yield Delivery(body=body, headers={}, received_at=AT, method=method, url=URL)
        for sample in self._kinds:
            yield replace(sample.delivery, method="GET")
            yield replace(sample.delivery, body=b"{}")
            yield replace(sample.delivery, headers={})
