"""Cases about talks with the provider's API, as recorded in samples/<slug>/api."""

from __future__ import annotations

import json
from collections.abc import Callable, Generator, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, TypeVar

from connectors.base import Authorization, Credentials, Page, Registration, Request, Response
from connectors.contract.recorded import Conversation, Said, hold
from connectors.contract.sources import Pointer, Source, Sourced, in_turn
from connectors.contract.suite import URL, check_reading, require
from connectors.contract.trees import REMOVED, Path, changed, leaves, paths
from core.errors import MalformedPayload, Permanent, PlatformError, Transient
from core.events import Record

T = TypeVar("T")
# Long before everything recorded.
SINCE = datetime(2010, 1, 1, tzinfo=UTC)
# Stretches that a pull over the recorded pages may take.
MAX_STRETCHES = 100
NONSENSE = (b"", b"x", b"null", b"[]", b"{}", b"\xff", b'{"data": {}}', b"[" * 100_000)
ODD: tuple[object, ...] = (REMOVED, None, [], {}, "x", -1, 10**30, 1.5, "é" * 300)


class Talks(Sourced):
    """Talks with the provider's API, as recorded."""

    # Fetching what an event points at.

    def _fetches(self) -> bool:
        return self._points()

    def leads_every_pointer_to_records(self) -> None:
        """Answered as recorded, each usual sample ends in records that the books can hold."""
        for pointer in self._pointers:
            conversation = Conversation(self._routes)
            try:
                records = hold(pointer.talk(), conversation)
            except PlatformError as error:
                require(self._may_fail(pointer), f"{pointer.sample.label}: {type(error).__name__}: {error}")
                continue
            require(records or self._may_fail(pointer), f"{pointer.sample.label} leads to nothing")
            check_reading(pointer.sample.label, records)

    def describes_the_same_requests_twice(self) -> None:
        """A talk remembers nothing and looks at no clock."""
        for pointer, first, records in self._conversations():
            again = Conversation(self._routes)
            require(hold(pointer.talk(), again) == records, f"{pointer.sample.label}: other records the second time")
            require(again.requests == first.requests, f"{pointer.sample.label}: other requests the second time")

    def refuses_an_answer_about_another_object(self) -> None:
        """Asked for one object and told of another: nothing of that reaches the books."""
        for pointer, conversation, records in self._conversations():
            source = self._fetched(pointer, conversation.said)
            for index, said in enumerate(conversation.said if source else ()):
                whole = source.whole if source else []
                for path, value in list(leaves(whole[index])):
                    if str(value) not in said.asked or isinstance(value, bool):
                        continue
                    other = (
                        value + 1
                        if isinstance(value, int)
                        else f"{str(value)[:-1]}{'1' if str(value)[-1] != '1' else '2'}"
                    )
                    with changed(whole, (index, *path), other):
                        told = self._heard(source)
                    where = f"{pointer.sample.label}: {said.file} {'.'.join(map(str, path))}"
                    require(told in (None, records), f"{where} names another object and is believed")

    def refuses_a_currency_that_is_none(self) -> None:
        """Where a currency is read, what is no currency is refused and never taken for a usual one."""
        for pointer, conversation, records in self._conversations():
            source = self._fetched(pointer, conversation.said)
            codes = {one.money.currency for one in records if hasattr(one, "money")}
            for path, value in list(leaves(source.whole)) if source else ():
                if source is None or not isinstance(value, str) or value.upper() not in codes:
                    continue
                with changed(source.whole, path, "CHF" if value.isupper() else "chf"):
                    is_read = self._heard(source) != records
                for code in ("ZZZ", "zzz", "", "EURO", 978) if is_read else ():
                    with changed(source.whole, path, code):
                        told = self._heard(source)
                    require(told is None, f"{source.label}: the currency {code!r} is believed")

    def ends_when_a_list_leads_in_a_circle(self) -> None:
        """A list whose next page is always the first one ends in an error."""
        for pointer, conversation, records in self._conversations():
            for first in _paged(conversation):
                told = self._outcome_of(pointer, _circle(conversation, first))
                require(told in (None, records), f"{pointer.sample.label}: a circle of pages is believed")

    def ends_when_a_list_does_not(self) -> None:
        """A list that has another page after every page ends in an error."""
        for pointer, conversation, records in self._conversations():
            for first in _paged(conversation):
                told = self._outcome_of(pointer, _endless(conversation, first))
                require(told in (None, records), f"{pointer.sample.label}: a list without an end is believed")

    def survives_any_answer(self) -> None:
        """Whatever the provider answers: records the books can hold, or an error that says what is wrong."""
        seen: set[str] = set()
        for pointer, conversation, _ in self._conversations():
            for index, said in enumerate(conversation.said):
                if said.file in seen:
                    continue
                seen.add(said.file)
                for nonsense in NONSENSE:
                    self._outcome_of(pointer, _replaced(conversation.said, index, nonsense))
                if source := self._fetched(pointer, conversation.said):
                    self._spoil_answer(source, index)

    def asks_with_secrets_in_headers_and_bodies_only(self) -> None:
        """No secret stands in an address, which intermediaries write down."""
        for pointer, conversation, _ in self._conversations():
            secrets = [value for value in pointer.credentials.secrets.values() if len(value) > 5]
            for request in conversation.requests:
                shown = f"{request.url} {dict(request.params)}"
                require(not any(secret in shown for secret in secrets), f"a secret stands in the address {request.url}")

    # Asking in general.

    def _asks(self) -> bool:
        return self._connector.api is not None

    def authorises_by_the_recorded_answers(self) -> None:
        """The talk for an access token ends in headers that last a while."""
        require(self._connector.api, "there is no API")
        if (api := self._connector.api) is None:
            return
        given = self._credentials(None)
        authorization = self._held_well(api.authorize(given), Conversation(self._routes))
        require(isinstance(authorization, Authorization), f"authorize gave {authorization!r:.60}")
        require(authorization.headers and authorization.expires_in_seconds > 0, "the authorisation is worth nothing")
        shown = repr(authorization)
        for value in authorization.headers.values():
            require(value not in shown, "an authorisation shows its token")

    def refuses_a_garbled_authorisation(self) -> None:
        """Nonsense in place of a token is an error that says so."""
        if (api := self._connector.api) is None:
            return
        for nonsense in (*NONSENSE, b'{"access_token": 5}', b'{"access_token": "x", "expires_in": "soon"}'):
            given = self._credentials(None)
            self._error_or_result(
                lambda given=given: api.authorize(given),  # type: ignore[misc]
                lambda _request, body=nonsense: Response(status=200, headers={}, body=body),  # type: ignore[misc]
            )

    # Pulling.

    def _pulls(self) -> bool:
        return self._connector.pull is not None

    def pulls_to_the_end_with_a_cursor_that_moves(self) -> None:
        """Over the recorded pages: several requests, records that the books can hold, and an end."""
        pages, requests = self._pulled(None)
        cursors = [page.cursor for page in pages if page.more]
        require(all(cursors) and len(set(cursors)) == len(cursors), f"the cursor stands still: {cursors}")
        require(len(requests) > 1, "one request is all: is there one page only, or is the next one never asked for?")
        records = [record for page in pages for record in page.records]
        require(records, "the pages hold nothing")
        check_reading("pull", records)

    def pulls_the_same_again_and_goes_on_from_its_cursor(self) -> None:
        """Interrupted anywhere, a pull goes on where it was, and brings the same."""
        pages, _ = self._pulled(None)
        whole = [record for page in pages for record in page.records]
        again = [record for page in self._pulled(None)[0] for record in page.records]
        require(whole == again, "a second pull over the same pages brings something else")
        for number, page in enumerate(pages[:-1]):
            rest = [record for one in self._pulled(page.cursor)[0] for record in one.records]
            expected = [record for one in pages[number + 1 :] for record in one.records]
            require(rest == expected, f"from the cursor {page.cursor!r} on, a pull brings something else")
        # The next pull begins where this one ended, and ends as well.
        self._pulled(pages[-1].cursor)

    def survives_any_page(self) -> None:
        """Whatever a page holds: records the books can hold, or an error that says what is wrong."""
        pull = self._connector.pull
        conversation = Conversation(self._routes)
        if pull is None:
            return
        given, since = self._credentials(None), SINCE
        hold(pull.talk(given, None, since), conversation)
        for index, said in enumerate(conversation.said):
            for nonsense in NONSENSE:
                self._error_or_result(
                    lambda: pull.talk(given, None, since), _replaced(conversation.said, index, nonsense)
                )
            try:
                answers: list[Any] = [json.loads(one.content) if one.content else None for one in conversation.said]
            except ValueError:
                continue
            source = Source(
                label=f"pull {said.file}",
                whole=answers,
                read=lambda answers=answers: (
                    hold(  # type: ignore[misc]
                        pull.talk(given, None, since), in_turn(conversation.said, answers)
                    ).records
                ),
            )
            self._spoil_answer(source, index)

    # Registering.

    def _registers(self) -> bool:
        return self._connector.register is not None

    def registers_its_webhook_by_the_recorded_answers(self) -> None:
        """The address is left in a state that is told, and a secret is in no repr."""
        if (register := self._connector.register) is None:
            return
        given = self._credentials(None)
        url = URL.replace("/connectors/any/", "/hooks/") if self._connector.opaque_address else URL
        result = self._held_well(register(given, url), Conversation(self._routes))
        require(isinstance(result, Registration), f"register gave {result!r:.60}")
        require(result.secret is None or result.secret not in repr(result), "a registration shows its secret")

    for _case, _applies in (
        (leads_every_pointer_to_records, "_fetches"),
        (describes_the_same_requests_twice, "_fetches"),
        (refuses_an_answer_about_another_object, "_fetches"),
        (refuses_a_currency_that_is_none, "_fetches"),
        (ends_when_a_list_leads_in_a_circle, "_fetches"),
        (ends_when_a_list_does_not, "_fetches"),
        (survives_any_answer, "_fetches"),
        (asks_with_secrets_in_headers_and_bodies_only, "_fetches"),
        (authorises_by_the_recorded_answers, "_asks"),
        (refuses_a_garbled_authorisation, "_asks"),
        (pulls_to_the_end_with_a_cursor_that_moves, "_pulls"),
        (pulls_the_same_again_and_goes_on_from_its_cursor, "_pulls"),
        (survives_any_page, "_pulls"),
        (registers_its_webhook_by_the_recorded_answers, "_registers"),
    ):
        _case.applies = _applies  # type: ignore[attr-defined]

    # Helpers.

    def _may_fail(self, pointer: Pointer) -> bool:
        """An awkward variant may be one that cannot be believed; another that leads to nothing must say why."""
        return pointer.sample.variant is not None or len(self._start.refused.get(pointer.sample.event, "")) > 9

    def _heard(self, source: Source | None) -> list[Record] | None:
        """The records of the answers as they stand now; None where they are refused."""
        if source is None:
            return None
        try:
            return list(source.read())
        except (MalformedPayload, Permanent, Transient):
            return None
        except Exception as error:
            raise AssertionError(f"{source.label}: {type(error).__name__}: {error}") from error

    def _outcome_of(self, pointer: Pointer, reply: Callable[[Request], Response]) -> list[Record] | None:
        """The records of a talk that is answered like this; None where it ends in an error that is meant."""
        found = self._error_or_result(pointer.talk, reply)
        if found is not None:
            check_reading(pointer.sample.label, found)
        return found

    def _error_or_result(
        self, talk: Callable[[], Generator[Request, Response, T]], reply: Callable[[Request], Response]
    ) -> T | None:
        try:
            return hold(talk(), reply)
        except (MalformedPayload, Permanent, Transient):
            return None
        except AssertionError:
            raise
        except Exception as error:
            raise AssertionError(f"{type(error).__name__} in a talk: {error}") from error

    def _held_well(self, talk: Generator[Request, Response, T], conversation: Conversation) -> T:
        """The result of a talk that the recorded answers must lead to."""
        try:
            return hold(talk, conversation)
        except PlatformError as error:
            raise AssertionError(f"with the recorded answers: {type(error).__name__}: {error}") from error

    def _spoil_answer(self, source: Source, index: int) -> None:
        """Spoil each place of one answer that is looked at; of a list, its first element stands for all."""
        usual = self._heard(source)
        passed: set[Path] = set()
        for path in [(index, *path) for path in paths(source.whole[index])]:
            inner = path[1:]
            if any(isinstance(key, int) and key > 0 for key in inner):
                continue
            if any(path[:length] in passed for length in range(2, len(path))):
                continue
            changes = False
            for spoiler in ODD:
                with changed(source.whole, path, spoiler):
                    told = self._heard(source)
                check_reading(source.label, told)
                changes = changes or told != usual
                if not changes and spoiler == {}:
                    break
            if not changes:
                passed.add(path)

    def _pulled(self, cursor: str | None) -> tuple[list[Page], list[Request]]:
        """Pull over the recorded pages to the end."""
        pull, pages, conversation = self._connector.pull, [], Conversation(self._routes)
        if pull is None:
            return [], []
        given: Credentials = self._credentials(None)
        for _ in range(MAX_STRETCHES):
            page = self._held_well(pull.talk(given, cursor, SINCE), conversation)
            pages.append(page)
            cursor = page.cursor
            if not page.more:
                return pages, conversation.requests
        raise AssertionError(f"the pull does not end after {MAX_STRETCHES} stretches")


def _replaced(said: list[Said], index: int, content: bytes) -> Callable[[Request], Response]:
    """The same answers in the same order, one of them with another content."""
    left: Iterator[Said] = iter([*said[:index], replace(said[index], content=content), *said[index + 1 :]])

    def reply(_request: Request) -> Response:
        try:
            return next(left).response()
        except StopIteration:
            raise Permanent("the talk asks for more than it did") from None

    return reply


def _paged(conversation: Conversation) -> list[int]:
    """The first page of each list that was read over several pages, as its place in the conversation."""
    found: dict[str, list[int]] = {}
    for place, request in enumerate(conversation.requests):
        found.setdefault(_tail(request), []).append(place)
    return [places[0] for places in found.values() if len(places) > 1]


def _circle(conversation: Conversation, first: int) -> Callable[[Request], Response]:
    """The API, but with the first page of a list in place of every page."""
    pages = {conversation.said[first].file}
    place = _tail(conversation.requests[first])

    def reply(request: Request) -> Response:
        said = conversation.routes.answer(request)
        return conversation.said[first].response() if _tail(request) == place or said.file in pages else said.response()

    return reply


def _tail(request: Request) -> str:
    """The method and the path, without the query and without the host."""
    path = request.url.partition("?")[0]
    return f"{request.method} {path.partition('//')[2].partition('/')[2] if '//' in path else path[1:]}"


def _endless(conversation: Conversation, first: int) -> Callable[[Request], Response]:
    """The API, but each page of a list names a next one that was never there before."""
    place, count = _tail(conversation.requests[first]), 0
    second = next(one for one in conversation.requests[first + 1 :] if _tail(one) == place)
    content = conversation.said[first].content
    before = _words_of(conversation.requests[first])
    words = [word for word in _words_of(second) if len(word) > 3 and word not in before and word.encode() in content]

    def reply(request: Request) -> Response:
        nonlocal count
        if _tail(request) != place:
            return conversation.routes.answer(request).response()
        count += 1
        page = content
        for word in words:
            page = page.replace(word.encode(), f"{word}{count}".encode())
        return conversation.said[first].response(page)

    return reply


def _words_of(request: Request) -> list[str]:
    """The values of a request by which it may ask for a page, the longest first."""
    query = [part.partition("=")[2] for part in request.url.partition("?")[2].split("&")]
    given = request.json if isinstance(request.json, dict) else {}
    found = {*query, *request.params.values(), *(request.form or {}).values(), *map(str, given.values())}
    return sorted(filter(None, found), key=len, reverse=True)
