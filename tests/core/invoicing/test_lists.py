"""Lists of invoices: filtered, sorted, and every page once."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from datetime import date, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import text

from core import paging
from core.database import Database
from core.errors import Invalid
from core.identity import Role
from core.ids import new_id
from core.invoicing import invoices, queries, stages
from core.invoicing.filters import SORTS, Filters
from core.invoicing.invoices import NewItem
from core.money import MAX_MINOR
from tests.core.invoicing.desk import NOW, Desk, register

FAR = date(2100, 1, 1)


@pytest.fixture(scope="module")
def database(file_database_url: str) -> Iterator[Database]:
    made = Database("postgresql+psycopg://" + file_database_url.split("://", 1)[1], pool_size=4)
    yield made
    made.dispose()


@pytest.fixture(scope="module")
def desk(database: Database) -> Desk:
    """A seller with invoices of every stage, to customers whose names are not in the order of their invoices."""
    desk = Desk.open(database)

    def make(name: str, amount: int, due: date, **more: Any) -> dict[str, Any]:
        return desk.make(
            contact_name=name,
            contact_email=f"{name.lower()}@shop.example",
            items=[NewItem(description="Tea", quantity=Decimal(1), unit_price=amount)],
            issue_date=min(date(2026, 11, 1), due),
            due_date=due,
            **more,
        )

    make("Chitra", 500, FAR)
    make("arun", 300, FAR + timedelta(days=1), currency="USD", reference="PO 77")
    make("Bina", 300, date(2020, 5, 1))
    for marks, name in (((invoices.mark_sent,), "Chitra"), ((invoices.mark_sent, invoices.mark_viewed), "Bina")):
        made = make(name, 900, FAR)
        for mark in marks:
            with database.session() as session:
                mark(session, UUID(made["id"]), NOW)
    make("Dev", 100, FAR, draft=True)
    make("Dev", 200, FAR, draft=True)
    desk.do(invoices.void, make("arun", 700, FAR))
    return desk


def found(desk: Desk, **asked: Any) -> list[tuple[str, int]]:
    """(customer, total) of a list."""
    with desk.database.session() as session:
        page = queries.list_invoices(session, desk.seller, limit=100, filters=Filters(**asked))
    return [(one["contact"]["name"], one["total"]) for one in page["items"]]


@pytest.mark.parametrize(
    ("asked", "names"),
    [
        ({"stage": "open"}, ["arun", "Chitra"]),
        ({"stage": "sent"}, ["Chitra"]),
        ({"stage": "viewed"}, ["Bina"]),
        ({"stage": "overdue"}, ["Bina"]),
        ({"stage": "draft"}, ["Dev", "Dev"]),
        ({"stage": "void"}, ["arun"]),
        ({"stage": "paid"}, []),
        ({"status": "overdue"}, ["Bina"]),
        ({"status": "draft"}, ["Dev", "Dev"]),
        ({"payment_status": "open"}, ["Bina", "Chitra", "Bina", "arun", "Chitra"]),
        ({"currency": "USD"}, ["arun"]),
        ({"issued_to": date(2026, 10, 31)}, ["Bina"]),
        ({"issued_from": date(2026, 11, 2)}, []),
        ({"due_from": FAR + timedelta(days=1)}, ["arun"]),
        ({"due_to": date(2020, 5, 1)}, ["Bina"]),
        ({"due_to": date(2020, 4, 30)}, []),
        ({"amount_min": 900}, ["Bina", "Chitra"]),
        ({"amount_max": 100}, ["Dev"]),
        ({"amount_min": 300, "amount_max": 300, "stage": "open"}, ["arun"]),
        ({"search": "po 77"}, ["arun"]),
        ({"search": "chitra@"}, ["Chitra", "Chitra"]),
        ({"search": "%"}, []),
    ],
    ids=str,
)
def test_a_list_is_filtered(desk: Desk, asked: dict[str, Any], names: list[str]) -> None:
    assert [name for name, _ in found(desk, **asked)] == names


def test_a_list_is_of_one_contact(desk: Desk) -> None:
    with desk.database.session() as session:
        page = queries.list_invoices(session, desk.seller, filters=Filters(search="chitra", sort="oldest"))
    contact = UUID(page["items"][0]["contact"]["id"])
    assert found(desk, contact_id=contact, sort="amount") == [("Chitra", 500), ("Chitra", 900)]
    assert found(desk, contact_id=new_id()) == []


@pytest.mark.parametrize("stage", stages.STAGES)
def test_the_stage_that_is_filtered_by_is_the_one_that_is_shown(desk: Desk, stage: str) -> None:
    with desk.database.session() as session:
        every = queries.list_invoices(session, desk.seller, limit=100)["items"]
        asked = queries.list_invoices(session, desk.seller, limit=100, filters=Filters(stage=stage))["items"]
    assert [one["id"] for one in asked] == [one["id"] for one in every if one["stage"] == stage]


def test_code_and_database_agree_on_the_stage(database: Database) -> None:
    query = text(
        f"SELECT {stages.SQL} FROM (SELECT CAST(:status AS text) AS status, CAST(:due AS date) AS due_date, "
        "CAST(:sent AS timestamptz) AS sent_at, CAST(:viewed AS timestamptz) AS viewed_at) AS invoices"
    )
    with database.session() as session:
        today = session.scalars(text("SELECT (now() AT TIME ZONE 'UTC')::date")).one()
        for status, ago, sent, viewed in itertools.product(
            ("draft", "open", "partial", "paid", "void"), (1, 0), (None, NOW), (None, NOW)
        ):
            due = today - timedelta(days=ago)
            said = stages.stage(status, due, today, sent_at=sent, viewed_at=viewed)
            values = {"status": status, "due": due, "sent": sent, "viewed": viewed}
            assert session.scalar(query, values) == said, values
            assert said in stages.STAGES


def key(one: dict[str, Any], sort: str) -> Any:
    match sort.lstrip("-"):
        case "due":
            return one["due_date"], one["id"]
        case "amount":
            return one["total"], one["id"]
        case "number":
            return one["number"] or "", one["id"]
        case "customer":
            return one["contact"]["name"].lower(), one["id"]
        case _:
            return one["id"]


@pytest.mark.parametrize("limit", [1, 3, 100])
@pytest.mark.parametrize("sort", SORTS)
def test_every_order_goes_through_everything_once(desk: Desk, sort: str, limit: int) -> None:
    seen: list[dict[str, Any]] = []
    cursor: str | None = None
    with desk.database.session() as session:
        while True:
            page = queries.list_invoices(session, desk.seller, limit=limit, cursor=cursor, filters=Filters(sort=sort))
            seen += page["items"]
            cursor = page["next_cursor"]
            if cursor is None:
                break
            assert len(cursor) <= 200
    down = sort.startswith("-") or sort == "newest"
    assert [one["id"] for one in seen] == [
        one["id"] for one in sorted(seen, key=lambda one: key(one, sort), reverse=down)
    ]
    assert len({one["id"] for one in seen}) == len(seen) == 8


def test_a_cursor_fits_though_a_customer_has_the_longest_name(database: Database) -> None:
    desk = Desk.open(database)
    for place in range(2):
        desk.make(contact_name="त" * 200, contact_email=f"long{place}@shop.example")
    with database.session() as session:
        first = queries.list_invoices(session, desk.seller, limit=1, filters=Filters(sort="customer"))
        assert len(first["next_cursor"]) <= 200
        second = queries.list_invoices(
            session, desk.seller, limit=1, cursor=first["next_cursor"], filters=Filters(sort="customer")
        )
    assert first["items"][0]["id"] != second["items"][0]["id"]


@pytest.mark.parametrize(
    ("asked", "field"),
    [
        ({"stage": "late"}, "stage"),
        ({"status": "late"}, "status"),
        ({"payment_status": "unpaid"}, "payment_status"),
        ({"sort": "colour"}, "sort"),
        ({"amount_min": -1}, "amount_min"),
        ({"amount_max": MAX_MINOR + 1}, "amount_max"),
    ],
    ids=str,
)
def test_what_is_no_filter_is_refused_by_its_field(desk: Desk, asked: dict[str, Any], field: str) -> None:
    with pytest.raises(Invalid) as caught:
        found(desk, **asked)
    assert caught.value.field == field


def forged(order: str, value: str, identity: str = "01890000-0000-7000-8000-000000000000") -> str:
    return paging.spell_places([order, value, identity])


@pytest.mark.parametrize(
    "cursor",
    [
        pytest.param("!!!", id="no cursor"),
        pytest.param(forged("amount", "1"), id="of another order"),
        pytest.param(forged("due", "yesterday"), id="no day"),
        pytest.param(forged("due", "2026-11-01", "nobody"), id="no id"),
        pytest.param(paging.spell_places(["2026-11-01"]), id="too few parts"),
    ],
)
def test_a_cursor_that_was_not_given_out_is_refused(desk: Desk, cursor: str) -> None:
    with desk.database.session() as session, pytest.raises(Invalid, match="cursor"):
        queries.list_invoices(session, desk.seller, cursor=cursor, filters=Filters(sort="due"))


@pytest.mark.parametrize(
    ("sort", "value"),
    [
        ("amount", "-1"),
        ("amount", "9" * 30),
        ("amount", "x"),
        ("number", "a\x00b"),
        ("number", "\ud800"),
        ("customer", "x"),
    ],
)
def test_a_cursor_with_what_no_column_holds_is_refused(desk: Desk, sort: str, value: str) -> None:
    with desk.database.session() as session, pytest.raises(Invalid, match="cursor"):
        queries.list_invoices(session, desk.seller, cursor=forged(sort, value), filters=Filters(sort=sort))


def test_operators_read_everybodys_by_age_and_one_customers_in_any_order(desk: Desk) -> None:
    operator = register(desk.database, Role.OPERATOR)
    with desk.database.session() as session:
        every = queries.list_invoices(session, operator, limit=100, filters=Filters(sort="oldest"))["items"]
        assert len(every) >= 8
        with pytest.raises(Invalid, match="operators"):
            queries.list_invoices(session, operator, filters=Filters(sort="due"))
        contact = UUID(every[0]["contact"]["id"])
        assert queries.list_invoices(session, operator, filters=Filters(sort="due", contact_id=contact))["items"]
