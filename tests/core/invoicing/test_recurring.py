"""Recurring invoices: their days, and that each is made once, whoever looks, however late and often."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import text
from sqlalchemy.orm import Session

from core.contacts import store
from core.contacts.store import NewContact
from core.edits import StaleEdit
from core.errors import Conflict, Forbidden, Invalid, NotFound
from core.identity import Actor, Role
from core.ids import new_id
from core.invoicing import invoices, profiles, recurring, recurring_queries, recurring_runs
from core.invoicing.queries import get_invoice, list_invoices
from core.invoicing.recurring import NewRecurring
from core.invoicing.schedule import FREQUENCIES, Schedule
from core.invoicing.totals import NewItem
from tests.builders import NOW, Clockwork, add_seller, worker
from workers import recurring as working

TODAY = NOW.date()


def days(schedule: Schedule, count: int, start: int = 0) -> list[str]:
    return [day.isoformat() for day in schedule.ahead(start, start, count)]


def test_what_begins_on_a_31st_comes_on_the_last_day_of_shorter_months() -> None:
    monthly = Schedule(frequency="month", every=1, starts_on=date(2026, 12, 31))
    assert days(monthly, 5) == ["2026-12-31", "2027-01-31", "2027-02-28", "2027-03-31", "2027-04-30"]
    quarterly = Schedule(frequency="quarter", every=1, starts_on=date(2026, 11, 30))
    assert days(quarterly, 3) == ["2026-11-30", "2027-02-28", "2027-05-30"]
    yearly = Schedule(frequency="year", every=2, starts_on=date(2024, 2, 29))
    assert days(yearly, 3) == ["2024-02-29", "2026-02-28", "2028-02-29"]
    assert days(Schedule(frequency="week", every=2, starts_on=date(2026, 12, 28)), 2) == ["2026-12-28", "2027-01-11"]
    assert days(Schedule(frequency="day", every=10, starts_on=date(2026, 2, 25)), 2) == ["2026-02-25", "2026-03-07"]


def test_it_ends_on_its_last_day_or_after_so_many() -> None:
    until = Schedule(frequency="month", every=1, starts_on=date(2026, 1, 31), ends_on=date(2026, 3, 31))
    assert days(until, 9) == ["2026-01-31", "2026-02-28", "2026-03-31"]
    counted = Schedule(frequency="month", every=1, starts_on=date(2026, 1, 1), most_runs=4)
    assert [day.month for day in counted.ahead(5, 1, 9)] == [6, 7, 8]
    assert list(Schedule(frequency="year", every=366, starts_on=date(2199, 1, 1)).ahead(0, 0, 3)) == [date(2199, 1, 1)]


@given(
    frequency=st.sampled_from(FREQUENCIES),
    every=st.integers(1, 366),
    starts=st.dates(date(2020, 1, 1), date(2030, 12, 31)),
    after=st.integers(-40, 20_000),
)
def test_the_first_from_a_day_is_the_first(frequency: Any, every: int, starts: date, after: int) -> None:
    schedule = Schedule(frequency=frequency, every=every, starts_on=starts)
    day = starts + timedelta(days=after)
    found = schedule.first_from(day)
    at = schedule.day(found)
    assert at is None or at >= day
    if found:
        before = schedule.day(found - 1)
        assert before is not None
        assert before < day
    assert list(schedule.ahead(0, 0, 3)) == sorted(set(schedule.ahead(0, 0, 3)))


@pytest.fixture(scope="module")
def context(file_database_url: str) -> Iterator[Clockwork]:
    with worker(file_database_url) as parts:
        yield parts


@pytest.fixture
def seller(context: Clockwork) -> Iterator[Actor]:
    yield add_seller(context)
    # What one test leaves due must not be made in another.
    with context.database.connect() as connection:
        connection.execute(text("UPDATE recurring_invoices SET paused_at = now() WHERE paused_at IS NULL"))


@pytest.fixture
def session(context: Clockwork) -> Iterator[Session]:
    with context.database.session() as opened:
        yield opened


def contact(session: Session, seller: Actor, **more: Any) -> UUID:
    made = store.create(session, seller, NewContact(name="Rao", email=f"{new_id()}@rao.test", **more), NOW)
    return UUID(made["id"])


ITEM = NewItem(description="Rent", quantity=Decimal("1.5"), unit_price=1_000, tax_rate=Decimal(18), unit="month")


def plan(session: Session, seller: Actor, **more: Any) -> NewRecurring:
    given = {"name": "Rent", "currency": "INR", "items": [ITEM], "frequency": "month", "starts_on": TODAY, **more}
    return NewRecurring(**{"contact_id": more.get("contact_id") or contact(session, seller), **given})


def begin(context: Clockwork, seller: Actor, **more: Any) -> UUID:
    with context.database.session() as session:
        return UUID(recurring.create(session, seller, plan(session, seller, **more), NOW)["id"])


def at(day: date) -> datetime:
    return datetime(day.year, day.month, day.day, 9, tzinfo=UTC)


def made(context: Clockwork, seller: Actor) -> list[dict[str, Any]]:
    with context.database.session() as session:
        found = list_invoices(session, seller, limit=100)["items"]
    return sorted(found, key=lambda one: (one["issue_date"], one["id"]))


def look(context: Clockwork, seller: Actor, identity: UUID) -> dict[str, Any]:
    with context.database.session() as session:
        return recurring_queries.get_recurring(session, seller, identity)


def test_it_is_made_on_its_day_with_what_was_written(context: Clockwork, seller: Actor) -> None:
    identity = begin(context, seller, reference="PO-7", notes="Thank you", payment_terms="Soon")
    before = look(context, seller, identity)
    assert (before["state"], before["total"], before["runs"], before["made"]) == ("active", 1_770, 0, [])
    assert [(day.year, day.month, day.day) for day in before["ahead"]] == [
        (2026, 11, 3), (2026, 12, 3), (2027, 1, 3), (2027, 2, 3), (2027, 3, 3), (2027, 4, 3),
    ]  # fmt: skip
    assert recurring_runs.run_due(context.database, at(TODAY - timedelta(days=1))).made == []
    assert len(recurring_runs.run_due(context.database, NOW).made) == 1
    assert recurring_runs.run_due(context.database, NOW).made == []
    (invoice,) = made(context, seller)
    with context.database.session() as session:
        shown = get_invoice(session, seller, UUID(invoice["id"]))
    assert (shown["issue_date"], shown["due_date"]) == (TODAY, TODAY + timedelta(days=30))
    assert (shown["total"], shown["reference"]) == (1_770, "PO-7")
    assert (shown["notes"], shown["payment_terms"]) == ("Thank you", "Soon")
    assert (shown["items"][0]["quantity"], shown["items"][0]["unit"]) == ("1.5", "month")
    assert (shown["payment_status"], shown["recurring_id"]) == ("open", str(identity))
    after = look(context, seller, identity)
    assert (after["next_on"], after["runs"]) == (date(2026, 12, 3), 1)
    assert after["made"][0]["invoice"]["number"] == invoice["number"]


@pytest.mark.parametrize(
    ("own", "theirs", "mine", "wanted"),
    [
        pytest.param(5, 10, 20, 5, id="of the plan"),
        pytest.param(0, 10, 20, 0, id="at once"),
        pytest.param(None, 10, 20, 10, id="of the contact"),
        pytest.param(None, None, 20, 20, id="of the seller"),
        pytest.param(None, None, None, 30, id="of nobody"),
    ],
)
def test_the_days_to_pay_are_of_the_plan_the_contact_or_the_seller(
    context: Clockwork, seller: Actor, own: int | None, theirs: int | None, mine: int | None, wanted: int
) -> None:
    with context.database.session() as session:
        if mine is not None:
            profiles.save(session, seller, {"payment_days": mine}, NOW)
        who = contact(session, seller, payment_days=theirs)
    begin(context, seller, contact_id=who, payment_days=own)
    recurring_runs.run_due(context.database, NOW)
    (invoice,) = made(context, seller)
    assert (invoice["due_date"] - invoice["issue_date"]).days == wanted


def test_after_a_long_sleep_each_missed_day_is_made_once(context: Clockwork, seller: Actor) -> None:
    identity = begin(context, seller, frequency="week", starts_on=date(2026, 7, 6))
    later = at(date(2026, 11, 3))
    first = recurring_runs.run_due(context.database, later)
    assert len(first.made) == recurring_runs.CATCH_UP
    rest = recurring_runs.run_due(context.database, later)
    found = [one["issue_date"] for one in made(context, seller)]
    assert found == [date(2026, 7, 6) + timedelta(weeks=week) for week in range(18)]
    assert len(first.made) + len(rest.made) == 18
    assert look(context, seller, identity)["next_on"] == date(2026, 11, 9)


def test_two_workers_make_nothing_twice(context: Clockwork, seller: Actor) -> None:
    for _ in range(3):
        begin(context, seller, frequency="day", starts_on=TODAY - timedelta(days=8))
    with ThreadPoolExecutor(6) as pool:
        ran = list(pool.map(lambda _: recurring_runs.run_due(context.database, NOW), range(6)))
    recurring_runs.run_due(context.database, NOW)
    found = made(context, seller)
    assert len(found) == 27
    assert len({(one["recurring_id"], one["issue_date"]) for one in found}) == 27
    assert not [one for each in ran for one in each.paused]


def test_a_day_that_was_made_is_held_by_the_database(context: Clockwork, seller: Actor) -> None:
    identity = begin(context, seller)
    recurring_runs.run_due(context.database, NOW)
    with context.database.connect() as connection:
        connection.execute(
            text("UPDATE recurring_invoices SET occurrence = 0, next_on = :day WHERE id = :id"),
            {"day": TODAY, "id": identity},
        )
    ran = recurring_runs.run_due(context.database, NOW)
    assert (ran.made, [reason for _, reason in ran.paused]) == ([], ["the invoice of 2026-11-03 was made already"])
    assert len(made(context, seller)) == 1


def test_drafts_are_made_where_nothing_is_to_be_issued(context: Clockwork, seller: Actor) -> None:
    identity = begin(context, seller, auto_issue=False)
    recurring_runs.run_due(context.database, NOW)
    (invoice,) = made(context, seller)
    assert (invoice["number"], invoice["payment_status"]) == (None, "draft")
    with context.database.session() as session:
        invoices.delete_draft(session, seller, UUID(invoice["id"]), NOW)
    (run,) = look(context, seller, identity)["made"]
    assert run["invoice"] is None
    # A draft that was thrown away does not come back.
    assert recurring_runs.run_due(context.database, NOW).made == []


@pytest.mark.parametrize("end", [{"most_runs": 2}, {"ends_on": TODAY + timedelta(days=1)}])
def test_it_ends_by_itself(context: Clockwork, seller: Actor, end: dict[str, Any]) -> None:
    identity = begin(context, seller, frequency="day", **end)
    recurring_runs.run_due(context.database, at(TODAY + timedelta(days=30)))
    found = look(context, seller, identity)
    assert (found["state"], found["runs"], found["next_on"], found["ahead"]) == ("ended", 2, None, [])
    with context.database.session() as session:
        with pytest.raises(Conflict):
            recurring_runs.run_now(session, seller, identity, NOW)
        with pytest.raises(Conflict):
            recurring.pause(session, seller, identity, NOW)


def test_a_pause_makes_nothing_and_is_not_made_up_for_unless_wanted(context: Clockwork, seller: Actor) -> None:
    later = at(TODAY + timedelta(days=10))
    for catch_up, wanted in ((None, 1), (False, 1), (True, 11)):
        who = add_seller(context)
        identity = begin(context, who, frequency="day")
        with context.database.session() as session:
            recurring.pause(session, who, identity, NOW)
            assert recurring.pause(session, who, identity, NOW)["version"] == 2
        assert recurring_runs.run_due(context.database, later).made == []
        assert look(context, who, identity)["state"] == "paused"
        with context.database.session() as session:
            recurring.resume(session, who, identity, later, catch_up=catch_up)
        recurring_runs.run_due(context.database, later)
        assert len(made(context, who)) == wanted
        with context.database.connect() as connection:
            connection.execute(text("UPDATE recurring_invoices SET paused_at = now() WHERE paused_at IS NULL"))


def test_what_cannot_be_made_pauses_and_says_why_and_makes_up_for_it(context: Clockwork, seller: Actor) -> None:
    identity = begin(context, seller, frequency="day", items=[replace(ITEM, hsn="")])
    other = begin(context, seller)
    gst = {"tax_regime": "gst", "gstin": "27AAPFU0939F1ZV", "hsn_digits": 6}
    with context.database.session() as session:
        profiles.save(session, seller, gst, NOW)
    ran = recurring_runs.run_due(context.database, at(TODAY + timedelta(days=2)))
    assert {plan for plan, _ in ran.paused} == {identity, other}
    found = look(context, seller, identity)
    assert (found["state"], found["runs"]) == ("paused", 0)
    assert "HSN" in found["trouble"]
    assert made(context, seller) == []
    with context.database.session() as session:
        said = session.scalars(
            text("SELECT body FROM notifications WHERE subject_id = :id AND cleared_at IS NULL"), {"id": identity}
        ).all()
        assert len(said) == 1
        recurring.update(session, seller, identity, {"items": [replace(ITEM, hsn="997212")]}, NOW)
        recurring.resume(session, seller, identity, NOW)
    recurring_runs.run_due(context.database, at(TODAY + timedelta(days=2)))
    assert [one["issue_date"].day for one in made(context, seller)] == [3, 4, 5]
    with context.database.session() as session:
        assert session.scalar(
            text("SELECT count(*) FROM notifications WHERE subject_id = :id AND cleared_at IS NULL"), {"id": identity}
        ) == 0  # fmt: skip


def test_the_next_one_is_made_at_once_and_dated_today(context: Clockwork, seller: Actor) -> None:
    identity = begin(context, seller, starts_on=TODAY + timedelta(days=5))
    with context.database.session() as session:
        recurring_runs.run_now(session, seller, identity, NOW)
    (invoice,) = made(context, seller)
    assert invoice["issue_date"] == TODAY
    found = look(context, seller, identity)
    assert (found["next_on"], found["made"][0]["on"]) == (date(2026, 12, 8), date(2026, 11, 8))
    assert recurring_runs.run_due(context.database, at(date(2026, 11, 8))).made == []


def test_a_changed_plan_goes_on_behind_what_was_made(context: Clockwork, seller: Actor) -> None:
    identity = begin(context, seller, starts_on=date(2026, 9, 30))
    recurring_runs.run_due(context.database, NOW)
    assert [one["issue_date"].month for one in made(context, seller)] == [9, 10]
    with context.database.session() as session:
        found = recurring.update(session, seller, identity, {"frequency": "week"}, NOW, expected_version=1)
    # A week's rhythm since 30 September: the first day that is not past.
    assert found["next_on"] == date(2026, 11, 4)
    with context.database.session() as session:
        with pytest.raises(StaleEdit, match="changed frequency"):
            recurring.update(session, seller, identity, {"name": "Other"}, NOW, expected_version=1)
        assert recurring.update(session, seller, identity, {"frequency": "week"}, NOW)["version"] == 2
        changes = {"notes": "New", "items": [replace(ITEM, unit_price=2_000)]}
        words = recurring.update(session, seller, identity, changes, NOW)
        assert (words["notes"], words["total"], words["next_on"]) == ("New", 3_540, date(2026, 11, 4))
        with pytest.raises(Invalid, match="so many were made"):
            recurring.update(session, seller, identity, {"most_runs": 1}, NOW)
        full = recurring.update(session, seller, identity, {"most_runs": 2}, NOW)
        assert (full["state"], full["next_on"]) == ("ended", None)
        more = recurring.update(session, seller, identity, {"most_runs": 3}, NOW)
        assert (more["state"], more["ahead"]) == ("active", [date(2026, 11, 4)])


def test_what_never_made_anything_is_deleted_and_the_rest_is_stopped(context: Clockwork, seller: Actor) -> None:
    fresh, used = begin(context, seller, starts_on=TODAY + timedelta(days=9)), begin(context, seller)
    recurring_runs.run_due(context.database, NOW)
    with context.database.session() as session:
        assert recurring.stop(session, seller, fresh, NOW) is None
        with pytest.raises(NotFound):
            recurring_queries.get_recurring(session, seller, fresh)
        stopped = recurring.stop(session, seller, used, NOW)
        assert stopped is not None
        assert (stopped["state"], stopped["next_on"], len(stopped["made"])) == ("ended", None, 1)
        with pytest.raises(Conflict, match="stopped"):
            recurring.update(session, seller, used, {"name": "Again"}, NOW)
    assert recurring_runs.run_due(context.database, at(TODAY + timedelta(days=90))).made == []


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        pytest.param({"name": " "}, "name", id="no name"),
        pytest.param({"frequency": "hour"}, "frequency", id="no frequency"),
        pytest.param({"every": 0}, "every", id="every nothing"),
        pytest.param({"every": 367}, "every", id="every too long"),
        pytest.param({"starts_on": TODAY - timedelta(days=367)}, "starts_on", id="long ago"),
        pytest.param({"ends_on": TODAY - timedelta(days=1)}, "ends_on", id="ends before it begins"),
        pytest.param({"ends_on": TODAY, "most_runs": 1}, "most_runs", id="two ends"),
        pytest.param({"most_runs": 0}, "most_runs", id="never"),
        pytest.param({"most_runs": 10_001}, "most_runs", id="too often"),
        pytest.param({"payment_days": 366}, "payment_days", id="days above a year"),
        pytest.param({"auto_issue": False, "auto_send": True}, "auto_send", id="a draft by mail"),
        pytest.param({"items": []}, "items", id="no lines"),
        pytest.param({"currency": "ABC"}, "currency", id="no currency"),
        pytest.param({"place_of_supply": "27"}, "place_of_supply", id="GST without GST"),
        pytest.param({"contact_id": UUID(int=1)}, "contact_id", id="nobody's contact"),
        pytest.param({"notes": "n" * 5001}, "notes", id="long notes"),
    ],
)
def test_what_cannot_be_is_named(session: Session, seller: Actor, changes: dict[str, Any], field: str) -> None:
    with pytest.raises(Invalid) as refused:
        recurring.create(session, seller, plan(session, seller, **changes), NOW)
    assert refused.value.field == field


def test_limits_are_reached(session: Session, seller: Actor) -> None:
    edges = {"every": 366, "starts_on": TODAY - timedelta(days=366), "most_runs": 10_000, "payment_days": 365}
    found = recurring.create(session, seller, plan(session, seller, **edges, name="n" * 200), NOW)
    assert {name: found[name] for name in edges} == edges


def test_it_is_its_sellers_and_operators_read_it(context: Clockwork, session: Session, seller: Actor) -> None:
    with context.database.session() as other:
        identity = UUID(recurring.create(other, seller, plan(other, seller), NOW)["id"])
    operator = add_seller(context, Role.OPERATOR)
    assert recurring_queries.get_recurring(session, operator, identity)["id"] == str(identity)
    with pytest.raises(Forbidden):
        recurring.pause(session, operator, identity, NOW)
    with pytest.raises(Forbidden):
        recurring.create(session, operator, plan(session, seller), NOW)
    for person in (add_seller(context), add_seller(context, Role.BUYER), add_seller(context, Role.INVESTOR)):
        assert recurring_queries.list_recurring(session, person)["items"] == []
        with pytest.raises(NotFound):
            recurring_queries.get_recurring(session, person, identity)
        with pytest.raises(NotFound):
            recurring.stop(session, person, identity, NOW)
    assert len(recurring_queries.list_recurring(session, seller, state="active")["items"]) == 1
    assert recurring_queries.list_recurring(session, seller, state="paused")["items"] == []


def test_the_worker_makes_them_and_mails_those_that_are_to_be_sent(context: Clockwork, seller: Actor) -> None:
    begin(context, seller, frequency="day", starts_on=TODAY - timedelta(days=19), auto_send=True)
    begin(context, seller, name="Kept back", frequency="day", starts_on=TODAY)
    context.moment[0] = NOW
    working.work_off(context)
    found = made(context, seller)
    assert len(found) == 21
    with context.database.session() as session:
        mails = session.scalar(
            text(
                "SELECT count(*) FROM mails JOIN invoices ON invoices.id = mails.subject_id "
                "WHERE invoices.seller_id = :seller AND mails.subject_kind = 'invoice'"
            ),
            {"seller": seller.id},
        )
    assert mails == 20
    assert len([one for one in found if one["sent_at"] is not None]) == 20
    assert working.work_off(context) == 0
