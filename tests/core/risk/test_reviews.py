"""Judgements that are kept, and reviews: opened once, decided once, hard stops for ever."""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from core import risk
from core.database import Database
from core.errors import Forbidden, Invalid, NotFound
from core.identity import Actor, Role
from core.risk import queue, reviews
from tests.core.risk.trade import Alike, Pair, finance, invoice, pair, person
from tests.core.risk.worked import NOW, TODAY


@pytest.fixture
def operator(books: Database) -> Actor:
    with books.session() as session:
        return person(session, Role.OPERATOR)


def other_of(books: Database, mine: Pair) -> tuple[UUID, UUID]:
    """Another invoice of the pair, financed before."""
    with books.session() as session:
        made = invoice(session, mine.seller, mine.buyer.email)
        return made, finance(session, made)


def judged(books: Database, mine: Pair, *hits: Alike, at: Any = "submission", **more: Any) -> risk.Assessment:
    with books.session() as session:
        return risk.assess(session, mine.invoice, NOW, at=at, hits=hits, **more)


def of_invoice(books: Database, actor: Actor, mine: Pair) -> list[dict[str, Any]]:
    with books.session() as session:
        found = queue.list_reviews(session, actor, limit=100)["items"]
    return [review for review in found if review["invoice"]["id"] == str(mine.invoice)]


def decide(books: Database, actor: Actor, review: str, decision: Any, reason: str = "looked at the papers") -> None:
    with books.session() as session:
        reviews.decide(session, actor, UUID(review), decision, reason, NOW)


def stops(books: Database, mine: Pair) -> list[str]:
    with books.session() as session:
        return risk.open_stops(session, mine.financing)


def told(books: Database, mine: Pair) -> list[tuple[str, str]]:
    with books.connect() as connection:
        rows = connection.execute(
            text(
                "SELECT name, data->>'state' AS state FROM outbox "
                "WHERE room = 'operators' AND data->>'invoice_id' = :id ORDER BY id"
            ),
            {"id": str(mine.invoice)},
        )
        return [(row.name, row.state) for row in rows]


def test_a_judgement_is_kept_with_its_version_and_read_in_bulk(books: Database) -> None:
    mine, theirs = pair(books), pair(books)
    first, second = judged(books, mine), judged(books, mine, at="acceptance")
    with books.session() as session:
        found = risk.latest(session, [mine.invoice, theirs.invoice])
    assert list(found) == [mine.invoice]
    assert found[mine.invoice]["cause"] == "acceptance"
    assert found[mine.invoice]["version"] == second.version == first.version
    assert found[mine.invoice]["credit"]["score"] == float(second.score)


def test_a_clean_invoice_opens_no_review(books: Database, operator: Actor) -> None:
    mine = pair(books)
    assert not judged(books, mine).stops
    assert of_invoice(books, operator, mine) == []
    assert stops(books, mine) == []


def test_a_near_duplicate_is_looked_at_and_blocks_nothing_until_it_is_upheld(books: Database, operator: Actor) -> None:
    mine = pair(books)
    other, financing = other_of(books, mine)
    judged(books, mine, Alike("N1", financing))
    (review,) = of_invoice(books, operator, mine)
    assert (review["kind"], review["codes"], review["state"]) == ("review", ["D2"], "open")
    (side,) = review["findings"][0]["others"]
    assert side["invoice"]["id"] == str(other)
    assert "N1" in side["says"]
    assert stops(books, mine) == []
    decide(books, operator, review["id"], "uphold")
    assert stops(books, mine) == ["near duplicate (D2)"]
    assert told(books, mine) == [("review.opened", "open"), ("review.updated", "upheld")]


def test_what_was_cleared_is_not_asked_again_and_something_new_is(books: Database, operator: Actor) -> None:
    mine = pair(books)
    _, financing = other_of(books, mine)
    judged(books, mine, Alike("N1", financing))
    decide(books, operator, of_invoice(books, operator, mine)[0]["id"], "clear", "a second order of that day")
    judged(books, mine, Alike("N1", financing), at="acceptance")
    assert [review["state"] for review in of_invoice(books, operator, mine)] == ["cleared"]
    _, further = other_of(books, mine)
    judged(books, mine, Alike("N1", financing), Alike("N3", further), at="acceptance")
    assert [review["state"] for review in of_invoice(books, operator, mine)] == ["open", "cleared"]


def test_a_second_finding_joins_the_open_review(books: Database, operator: Actor) -> None:
    mine = pair(books, issued=TODAY + timedelta(days=5))
    _, financing = other_of(books, mine)
    judged(books, mine)
    assert stops(books, mine) == ["old or future invoice (T2)"]
    judged(books, mine, Alike("N1", financing))
    judged(books, mine, Alike("N1", financing))
    (review,) = of_invoice(books, operator, mine)
    assert review["codes"] == ["D2", "T2"]
    assert [step["step"] for step in review["history"]] == ["opened", "extended"]
    # The near duplicate alone blocks nothing, so the stop is what is named.
    assert stops(books, mine) == ["old or future invoice (T2)"]
    decide(books, operator, review["id"], "clear")
    assert stops(books, mine) == []


@pytest.mark.parametrize("level", ["E1", "E2"])
def test_an_exact_duplicate_cannot_be_cleared_by_anybody(books: Database, operator: Actor, level: str) -> None:
    mine = pair(books)
    _, financing = other_of(books, mine)
    judged(books, mine, Alike(level, financing))
    (review,) = of_invoice(books, operator, mine)
    assert review["hard"]
    with pytest.raises(reviews.HardStop):
        decide(books, operator, review["id"], "clear")
    with pytest.raises(DBAPIError, match="reviews_hard_stops_stand"), books.connect() as connection:
        connection.execute(
            text(
                "UPDATE reviews SET state = 'cleared', reason = 'by hand', reviewer_id = :who, decided_at = now() "
                "WHERE id = :id"
            ),
            {"id": review["id"], "who": operator.id},
        )
    assert stops(books, mine) == ["exact duplicate (D1)"]
    decide(books, operator, review["id"], "uphold")
    assert stops(books, mine) == ["exact duplicate (D1)"]


def test_a_decision_is_made_once_with_a_reason_by_an_operator(books: Database, operator: Actor) -> None:
    mine = pair(books, issued=TODAY + timedelta(days=5))
    judged(books, mine)
    identity = of_invoice(books, operator, mine)[0]["id"]
    with pytest.raises(Forbidden):
        decide(books, mine.seller, identity, "clear")
    with pytest.raises(Invalid):
        decide(books, operator, identity, "clear", " x ")
    decide(books, operator, identity, "clear", "dated by the buyer's clerk")
    with pytest.raises(reviews.ReviewDecided):
        decide(books, operator, identity, "uphold")
    (review,) = of_invoice(books, operator, mine)
    assert (review["reason"], review["reviewer"]) == ("dated by the buyer's clerk", operator.name)
    with books.connect() as connection:
        said = connection.scalar(
            text("SELECT data->>'reason' FROM audit_log WHERE action = 'review.cleared' AND subject_id = :id"),
            {"id": mine.invoice},
        )
    assert said == "dated by the buyer's clerk"


@pytest.mark.parametrize(
    "statement",
    [
        pytest.param("UPDATE reviews SET reason = 'another' WHERE state <> 'open'", id="a decision stays"),
        pytest.param("DELETE FROM reviews", id="a review stays"),
        pytest.param("TRUNCATE reviews CASCADE", id="all reviews stay"),
        pytest.param("UPDATE review_history SET reason = 'another'", id="a step stays"),
        pytest.param("DELETE FROM review_history", id="no step goes"),
        pytest.param("UPDATE risk_assessments SET version = 'x'", id="a judgement stays"),
        pytest.param("DELETE FROM risk_assessments", id="no judgement goes"),
        pytest.param("TRUNCATE risk_assessments CASCADE", id="all judgements stay"),
    ],
)
def test_the_database_keeps_what_was_decided(books: Database, operator: Actor, statement: str) -> None:
    mine = pair(books, issued=TODAY + timedelta(days=5))
    judged(books, mine)
    decide(books, operator, of_invoice(books, operator, mine)[0]["id"], "clear")
    with pytest.raises(DBAPIError, match=r"append-only|keeps what was decided"), books.connect() as connection:
        connection.exec_driver_sql(statement)


def test_everybody_reads_as_much_of_a_judgement_as_is_theirs(books: Database, operator: Actor) -> None:
    mine = pair(books)
    _, financing = other_of(books, mine)
    judged(books, mine, Alike("N1", financing), evidence={"ip": "digest-of-an-address"})
    with books.session() as session:
        investor, stranger = person(session, Role.INVESTOR), person(session, Role.SELLER)
        seen = risk.risk_of(session, operator, mine.invoice)
        assert seen["fraud"]["reviews"][0]["others"]
        own = risk.risk_of(session, mine.seller, mine.invoice)
        assert "others" not in own["fraud"]["reviews"][0]
        assert "values" not in own["fraud"]["reviews"][0]
        assert own["credit"]["reasons"][0]["values"]
        assert "digest-of-an-address" not in str(own)
        with pytest.raises(Forbidden):
            risk.risk_of(session, mine.buyer, mine.invoice)
        with pytest.raises(NotFound):
            risk.risk_of(session, stranger, mine.invoice)
        with pytest.raises(NotFound):
            risk.risk_of(session, investor, mine.invoice)
        session.execute(
            text("UPDATE financings SET listed_at = :now WHERE id = :id"), {"now": NOW, "id": mine.financing}
        )
        listed = risk.risk_of(session, investor, mine.invoice)
        assert listed["credit"]["score"] == own["credit"]["score"]
        assert "values" not in str(listed["credit"])


def test_the_queue_is_filtered_and_paged(books: Database, operator: Actor) -> None:
    for _ in range(2):
        judged(books, pair(books, issued=TODAY + timedelta(days=5)))
    with books.session() as session:
        first = queue.list_reviews(session, operator, limit=1, state="open", kind="stop", code="T2")
        again = queue.list_reviews(session, operator, limit=1, state="open", code="T2", cursor=first["next_cursor"])
        assert first["items"][0]["id"] > again["items"][0]["id"]
        assert first["open"] == queue.waiting(session) >= 2
        assert queue.list_reviews(session, operator, code="G1")["items"] == []
        number = first["items"][0]["invoice"]["number"]
        assert queue.list_reviews(session, operator, search=number)["items"]
        with pytest.raises(Invalid):
            queue.list_reviews(session, operator, state="lost")
