"""What connectors share: authorisation, tables of words, names of invoices, lists, and parts of records."""

from __future__ import annotations

import json
from collections.abc import Generator, Iterable, Mapping
from typing import Any, TypeVar

import pytest

from connectors import access, lists, naming, shapes
from connectors.base import Authorization, Credentials, Request, Response
from connectors.payload import MAX_IDENTIFIER, Payload
from connectors.tables import each, words
from core.errors import CredentialsRefused, MalformedPayload
from core.events import ConnectionHealth, ConnectionState, PaymentStatus, Reference
from core.money import Money

T = TypeVar("T")
HELD = Credentials(secrets={"key": "s3cret", "client_secret": "hush"}, settings={"client_id": "app"}, external_id=None)


def carried(talk: Generator[Request, Response, T], *answers: Mapping[str, Any]) -> tuple[T, list[Request]]:
    """What a talk comes to with these answers, and what it asked."""
    asked: list[Request] = []
    waiting = iter(answers)
    try:
        asked.append(next(talk))
        while True:
            body = json.dumps(next(waiting)).encode()
            asked.append(talk.send(Response(status=200, headers={}, body=body)))
    except StopIteration as end:
        return end.value, asked


def test_a_key_is_sent_as_it_is_and_nobody_is_asked() -> None:
    known, asked = carried(access.bearer("key", seconds=60, Api_Version="7")(HELD))
    assert known == Authorization(headers={"Authorization": "Bearer s3cret", "Api-Version": "7"}, expires_in_seconds=60)
    assert asked == []


def test_a_secret_that_is_missing_is_named_when_the_talk_begins_and_not_before() -> None:
    talk = access.bearer("other")(HELD)
    with pytest.raises(CredentialsRefused, match="no other"):
        next(talk)


@pytest.mark.parametrize(
    ("used", "given", "renewed"),
    [
        (None, {}, {}),
        (None, {"refresh_token": "new"}, {}),
        ("old", {}, {}),
        ("old", {"refresh_token": "old"}, {}),
        ("old", {"refresh_token": "new"}, {"refresh_token": "new"}),
    ],
)
def test_a_grant_is_traded_for_a_token(used: str | None, given: dict[str, str], renewed: dict[str, str]) -> None:
    form = {"grant_type": "any", **({"refresh_token": used} if used else {})}
    talk = access.trade("/token", form, access.client(HELD))
    known, asked = carried(talk, {"access_token": "t", "expires_in": 600, **given})
    assert known == Authorization(headers={"Authorization": "Bearer t"}, expires_in_seconds=600, renewed=renewed)
    assert [(one.method, one.url, one.form, one.authorized) for one in asked] == [("POST", "/token", form, False)]
    assert asked[0].headers == {"Authorization": "Basic YXBwOmh1c2g="}


def test_words_have_the_one_meaning_they_are_listed_under() -> None:
    table = words(PaymentStatus, PENDING="open new", SUCCEEDED="paid")
    assert table == {"open": PaymentStatus.PENDING, "new": PaymentStatus.PENDING, "paid": PaymentStatus.SUCCEEDED}
    with pytest.raises(ValueError, match=r"'new'.*two things"):
        words(PaymentStatus, PENDING="open new", FAILED="new")
    with pytest.raises(KeyError):
        words(PaymentStatus, PENDED="open")
    assert each("made paid", 1, "invoice.") == {"invoice.made": 1, "invoice.paid": 1}


def test_references_are_ranked_and_those_that_cannot_be_one_are_left_out() -> None:
    named = [(2, "b"), (0, None), (1, " a "), (1, "a"), (0, "  "), (0, "x" * (MAX_IDENTIFIER + 1)), (0, "c")]
    assert naming.references(named) == (Reference(0, "c"), Reference(1, "a"), Reference(2, "b"))
    notes = Payload({"invoice": 7})
    assert naming.noted(None) == []
    assert [text for _, text in naming.noted(notes, names=True) if text] == ["7"]
    with pytest.raises(MalformedPayload):
        naming.noted(notes)


def test_a_list_is_walked_to_its_end() -> None:
    talk = walk(most=3)
    pages, asked = carried(talk, {"next": "2"}, {"next": "3"}, {"next": None})
    assert [page.optional_text("next") for page in pages] == ["2", "3", None]
    assert [one.params for one in asked] == [{}, {"after": "2"}, {"after": "3"}]


@pytest.mark.parametrize("marks", [["2", "2"], ["2", "3", "2"], ["2", "3", "4"]], ids=" ".join)
def test_a_list_that_leads_in_a_circle_or_does_not_end_is_refused(marks: Iterable[str]) -> None:
    with pytest.raises(MalformedPayload, match="in a circle or past 3 pages"):
        carried(walk(most=3), *({"next": mark} for mark in marks))


def walk(*, most: int) -> lists.Listing:
    return lists.pages(
        lambda mark: Request(method="GET", url="/list", params=lists.given(after=mark)),
        lambda page: page.optional_text("next"),
        where="next",
        most=most,
    )


def test_parts_of_records() -> None:
    reason = "access withdrawn at Acme by them"
    state = ConnectionState(object_id="acct_1", version=5, health=ConnectionHealth.REVOKED, reason=reason)
    assert shapes.withdrawn("Acme", "acct_1", 5, by="them") == [state]
    item = Payload({"left": "1.20", "less": "-0.01"})
    assert shapes.owed(item, "left", "EUR") == Money(120, "EUR")
    with pytest.raises(MalformedPayload, match="zero or more"):
        shapes.owed(item, "less", "EUR")


def test_lists_and_texts_that_may_be_missing() -> None:
    item = Payload({"rows": [{"a": 1}], "none": None, "names": ["x", 3, "y"], "deep": {"er": {"name": "n"}}})
    assert [len(item.optional_items(key)) for key in ("rows", "none", "absent")] == [1, 0, 0]
    assert [item.texts(key) for key in ("names", "none", "deep")] == [{"x", "y"}, frozenset(), frozenset()]
    assert [item.text_at(*path) for path in (("deep", "er", "name"), ("deep", "no", "name"), ("none", "name"))] == [
        "n",
        None,
        None,
    ]
