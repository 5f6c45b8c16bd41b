"""Work on many invoices: each row once, whatever dies, and what is refused is said."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from core.correspondence.allowance import MOST_A_DAY
from core.database import Database
from core.errors import Conflict, Forbidden, Invalid, NotFound
from core.identity import Role
from core.ids import new_id
from core.invoicing import links
from core.invoicing.filters import Filters
from core.lists import again, bulk
from tests.core.invoicing.desk import Desk, register

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
LINKS = links.CustomerLinks(b"k" * 32, "https://ledgerwire.example")


@pytest.fixture(scope="module")
def database(file_database_url: str) -> Iterator[Database]:
    made = Database(file_database_url)
    yield made
    made.dispose()


@pytest.fixture
def desk(database: Database) -> Iterator[Desk]:
    yield Desk.open(database)
    with database.session() as session:
        session.execute(
            text("UPDATE bulk_jobs SET status = 'cancelled', finished_at = now() WHERE finished_at IS NULL")
        )


def start(desk: Desk, action: str, **more: Any) -> dict[str, Any]:
    with desk.database.session() as session:
        return bulk.start(session, desk.seller, action, NOW, **more)


def work(desk: Desk) -> int:
    """Work off everything; return how many rows."""
    count = 0
    while True:
        with desk.database.session() as session:
            if bulk.step(session, LINKS, NOW) is None:
                return count
        count += 1


def show(desk: Desk, job: dict[str, Any]) -> dict[str, Any]:
    with desk.database.session() as session:
        return bulk.show(session, desk.seller, UUID(job["id"]))


def ids(*invoices: dict[str, Any]) -> list[UUID]:
    return [UUID(each["id"]) for each in invoices]


def status(desk: Desk, invoice: dict[str, Any]) -> str | None:
    with desk.database.session() as session:
        found: str | None = session.scalar(text("SELECT status FROM invoices WHERE id = :id"), {"id": invoice["id"]})
    return found


def mails(desk: Desk, invoice: dict[str, Any]) -> int:
    with desk.database.session() as session:
        return int(
            session.scalar(text("SELECT count(*) FROM mails WHERE subject_id = :id"), {"id": invoice["id"]}) or 0
        )


def test_every_row_is_done_and_a_refusal_stops_nobody(desk: Desk) -> None:
    one, draft, two = desk.make(), desk.make(draft=True), desk.make()
    job = start(desk, "void", ids=ids(one, draft, two))
    assert (job["status"], job["total"], job["done"]) == ("waiting", 3, 0)
    assert work(desk) == 3
    found = show(desk, job)
    assert (found["status"], found["done"], found["failed"]) == ("done", 2, 1)
    assert found["finished_at"] == NOW
    [error] = found["errors"]
    assert (error["position"], error["label"], error["code"]) == (1, "Draft", "conflict")
    assert "deleted" in error["error"]
    assert [status(desk, each) for each in (one, draft, two)] == ["void", "draft", "void"]


@pytest.mark.parametrize(
    ("action", "draft", "after"),
    [("issue", True, "open"), ("send", True, "open"), ("remind", False, "open"), ("delete_drafts", True, None)],
)
def test_each_action_does_what_it_says(desk: Desk, action: str, draft: bool, after: str | None) -> None:
    invoice = desk.make(draft=draft)
    job = start(desk, action, ids=ids(invoice))
    work(desk)
    assert show(desk, job)["errors"] == []
    assert status(desk, invoice) == after
    assert mails(desk, invoice) == (1 if action in {"send", "remind"} else 0)


def test_all_that_a_filter_shows_is_taken_and_what_comes_later_is_not(desk: Desk) -> None:
    chosen = [desk.make(notes="saffron") for _ in range(3)]
    other = desk.make()
    job = start(desk, "void", filters=Filters(search="saffron"))
    late = desk.make(notes="saffron")
    assert (job["total"], work(desk)) == (3, 3)
    assert [status(desk, each) for each in chosen] == ["void"] * 3
    assert [status(desk, each) for each in (other, late)] == ["open", "open"]


def test_what_dies_in_the_middle_is_done_once_when_it_goes_on(desk: Desk) -> None:
    invoices = [desk.make() for _ in range(4)]
    job = start(desk, "send", ids=ids(*invoices))
    with desk.database.session() as session:
        bulk.step(session, LINKS, NOW)
        # The worker dies before it commits.
        session.rollback()
    assert mails(desk, invoices[0]) == 0
    assert work(desk) == 4
    assert [mails(desk, each) for each in invoices] == [1] * 4
    assert show(desk, job)["done"] == 4
    assert work(desk) == 0


def test_many_workers_at_once_do_each_row_once(desk: Desk) -> None:
    invoices = [desk.make() for _ in range(12)]
    job = start(desk, "send", ids=ids(*invoices))
    with ThreadPoolExecutor(4) as crew:
        list(crew.map(lambda _: work(desk), range(4)))
    work(desk)
    assert [mails(desk, each) for each in invoices] == [1] * 12
    assert (show(desk, job)["done"], show(desk, job)["status"]) == (12, "done")


def test_a_cancelled_job_stops_where_it_is(desk: Desk) -> None:
    invoices = [desk.make() for _ in range(3)]
    job = start(desk, "void", ids=ids(*invoices))
    with desk.database.session() as session:
        bulk.step(session, LINKS, NOW)
    with desk.database.session() as session:
        found = bulk.cancel(session, desk.seller, UUID(job["id"]), NOW)
    assert (found["status"], found["done"]) == ("cancelled", 1)
    assert work(desk) == 0
    assert [status(desk, each) for each in invoices] == ["void", "open", "open"]
    with desk.database.session() as session:
        assert bulk.cancel(session, desk.seller, UUID(job["id"]), NOW) == found


def test_the_database_itself_refuses_to_do_a_row_twice(desk: Desk) -> None:
    invoice = desk.make()
    job = start(desk, "void", ids=ids(invoice, invoice))
    assert job["total"] == 1
    work(desk)
    with pytest.raises(DBAPIError, match="not worked off again"), desk.database.session() as session:
        session.execute(
            text("UPDATE bulk_items SET state = 'waiting', finished_at = NULL WHERE job_id = :id"), {"id": job["id"]}
        )


def test_a_job_is_for_what_is_ones_own(desk: Desk) -> None:
    theirs = Desk.open(desk.database).make()
    with pytest.raises(NotFound):
        start(desk, "void", ids=ids(theirs))
    with pytest.raises(NotFound):
        start(desk, "void", ids=[new_id()])
    mine = start(desk, "void", ids=ids(desk.make()))
    with desk.database.session() as session:
        with pytest.raises(NotFound):
            bulk.show(session, register(desk.database), UUID(mine["id"]))
        with pytest.raises(Forbidden):
            bulk.cancel(session, register(desk.database, Role.OPERATOR), UUID(mine["id"]), NOW)
        with pytest.raises(Forbidden):
            bulk.start(session, register(desk.database, Role.BUYER), "void", NOW, filters=Filters())


def test_the_limits_are_those_that_are_said(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(bulk.MOST, "void", 2)
    invoices = [desk.make() for _ in range(3)]
    with pytest.raises(Invalid, match="1 to 2"):
        start(desk, "void", ids=ids(*invoices))
    with pytest.raises(Invalid, match="1 to 2"):
        start(desk, "void", filters=Filters())
    with pytest.raises(Invalid, match="1 to 2"):
        start(desk, "void", ids=[])
    with pytest.raises(Invalid, match="1 to 2"):
        start(desk, "void", filters=Filters(search="xyzzy"))
    with pytest.raises(Invalid, match="must be one of"):
        start(desk, "import", ids=ids(invoices[0]))
    for _ in range(bulk.MAX_UNFINISHED):
        start(desk, "void", ids=ids(*invoices[:2]))
    with pytest.raises(bulk.TooManyJobs):
        start(desk, "void", ids=ids(*invoices[:2]))


def test_its_owner_hears_how_it_goes(desk: Desk) -> None:
    invoices = [desk.make() for _ in range(6)]
    with desk.database.session() as session:
        session.execute(text("DELETE FROM outbox"))
    job = start(desk, "void", ids=ids(*invoices))
    work(desk)
    with desk.database.session() as session:
        told = session.scalars(
            text("SELECT data FROM outbox WHERE name = 'bulk.updated' AND room = :room ORDER BY id"),
            {"room": f"user:{desk.seller.id}"},
        ).all()
    assert [(each["job_id"], each["status"], each["done"]) for each in told] == [
        (job["id"], "waiting", 0),
        (job["id"], "working", 5),
        (job["id"], "done", 6),
    ]


def asked_today(desk: Desk, count: int) -> None:
    with desk.database.session() as session:
        session.execute(
            text("INSERT INTO mail_days VALUES (:seller, :day, :count)"),
            {"seller": desk.seller.id, "day": NOW.date(), "count": count},
        )


def retry(desk: Desk, job: dict[str, Any], by: Any = None) -> dict[str, Any]:
    with desk.database.session() as session:
        return again.retry(session, by or desk.seller, UUID(job["id"]), NOW)


def test_what_a_day_has_no_mails_for_is_said_and_sent_in_another_job(desk: Desk) -> None:
    made = [desk.make(), desk.make(draft=True), desk.make(), desk.make()]
    asked_today(desk, MOST_A_DAY - 2)
    job = start(desk, "send", ids=ids(*made), message="Hello")
    assert work(desk) == 4
    found = show(desk, job)
    assert [found[name] for name in ("done", "failed", "over_limit", "retriable")] == [2, 2, 2, 2]
    assert [each["code"] for each in found["errors"]] == ["daily_mail_limit"] * 2
    assert [desk.look(each)["sent_at"] is not None for each in made] == [True, True, False, False]
    with desk.database.session() as session:
        session.execute(text("DELETE FROM mail_days"))
    next_job = retry(desk, job)
    assert (next_job["total"], show(desk, job)["retried_by"], show(desk, job)["retriable"]) == (2, next_job["id"], 0)
    assert work(desk) == 2
    found = show(desk, next_job)
    assert (found["done"], found["retriable"], found["over_limit"]) == (2, 0, 0)
    with desk.database.session() as session:
        words = session.scalars(text("SELECT text FROM mails WHERE sender_id = :id"), {"id": desk.seller.id}).all()
    assert (len(words), all(each.startswith("Hello") for each in words)) == (4, True)
    for over in (job, next_job):
        with pytest.raises(Conflict, match="nothing is left"):
            retry(desk, over)


def test_a_draft_that_the_day_had_no_mail_for_is_not_issued_by_the_try(desk: Desk) -> None:
    draft = desk.make(draft=True)
    asked_today(desk, MOST_A_DAY)
    start(desk, "send", ids=ids(draft))
    work(desk)
    assert (desk.look(draft)["number"], status(desk, draft)) == (None, "draft")


def test_only_what_is_over_is_tried_again_and_only_by_its_owner(desk: Desk) -> None:
    job = start(desk, "void", ids=ids(desk.make(), desk.make()))
    with pytest.raises(Conflict, match="nothing is left"):
        retry(desk, job)
    with desk.database.session() as session:
        bulk.cancel(session, desk.seller, UUID(job["id"]), NOW)
    with pytest.raises(Forbidden):
        retry(desk, job, register(desk.database, Role.OPERATOR))
    with pytest.raises(NotFound):
        retry(desk, job, register(desk.database))
    assert retry(desk, job)["total"] == 2
    assert work(desk) == 2
