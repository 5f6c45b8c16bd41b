"""What is found by searching the list of invoices, by whom, and in which order."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import pytest
from sqlalchemy import text

from core.database import Database
from core.identity import Actor, Role
from core.invoicing import queries
from core.invoicing.filters import Filters
from core.invoicing.invoices import NewItem
from core.lists import search
from tests.core.invoicing.desk import Desk, register


@pytest.fixture(scope="module")
def database(file_database_url: str) -> Iterator[Database]:
    made = Database(file_database_url)
    yield made
    made.dispose()


@pytest.fixture
def desk(database: Database) -> Desk:
    return Desk.open(database)


def line(description: str) -> NewItem:
    return NewItem(description=description, quantity=Decimal(1), unit_price=100)


def found(desk: Desk, words: str, actor: Actor | None = None, **more: Any) -> list[str]:
    """The numbers of what is found, in order."""
    with desk.database.session() as session:
        page = queries.list_invoices(
            session, actor or desk.seller, limit=more.pop("limit", 25), filters=Filters(search=words, **more)
        )
    return [each["number"] for each in page["items"]]


@pytest.mark.parametrize(
    "words",
    [
        pytest.param("Ramesh", id="a customer"),
        pytest.param("ramesh", id="in small letters"),
        pytest.param("Ramsh", id="with a typing error"),
        pytest.param("Rmaesh Tradrs", id="with two"),
        pytest.param("Ra", id="two letters, as one types"),
        pytest.param("r", id="one letter"),
        pytest.param("ram tra", id="the beginnings of two words"),
        pytest.param("ders", id="a part of a word"),
        pytest.param("accounts@ramesh", id="an address"),
        pytest.param("PO-7781", id="the buyer's reference"),
        pytest.param("7781", id="a part of it"),
        pytest.param("turmeric", id="a line"),
        pytest.param("turmerik", id="a line with a typing error"),
        pytest.param("fragile", id="a note"),
        pytest.param("ramesh turmeric fragile", id="words of different places"),
        pytest.param("மஞ்சள்", id="another script"),
        pytest.param("மஞ்", id="the beginning of a word in it"),
    ],
)
def test_an_invoice_is_found_by_what_is_on_it(desk: Desk, words: str) -> None:
    made = desk.make(
        contact_name="Ramesh Traders",
        contact_email="accounts@ramesh.example",
        reference="PO-7781",
        notes="Handle with care: fragile",
        items=[line("Turmeric, whole"), line("மஞ்சள் தூள்")],
    )
    desk.make(contact_name="Bina", contact_email="bina@shop.example")
    assert found(desk, words) == [made["number"]]


@pytest.mark.parametrize(
    "words",
    ["Suresh", "Ramesh pepper", "PO-7782", "xyzzy", "---", "'", "\\", "ra':* | bina", "%", "_", "!", "a" * 100],
)
def test_what_is_not_on_it_finds_nothing_and_syntax_is_text(desk: Desk, words: str) -> None:
    desk.make(contact_name="Ramesh Traders", contact_email="r@r.example", reference="PO-7781")
    assert found(desk, words) == []


def test_a_number_that_is_nearly_right_is_another_number(desk: Desk) -> None:
    numbers = [desk.make()["number"] for _ in range(12)]
    assert found(desk, numbers[10]) == [numbers[10]]
    assert found(desk, "2026-0001") == [numbers[11], numbers[10], numbers[9]]


def test_the_exact_number_stands_first_however_it_is_spelled(desk: Desk) -> None:
    first = desk.make()
    later = desk.make(notes=f"See {first['number']} and inv 2026 1")
    assert found(desk, first["number"]) == [first["number"], later["number"]]
    assert found(desk, "inv 2026 1") == [first["number"], later["number"]]
    assert found(desk, first["number"], limit=1) == [later["number"]]


def test_the_exact_number_comes_once_over_all_pages(desk: Desk) -> None:
    first = desk.make()
    others = [desk.make(notes=f"See {first['number']}")["number"] for _ in range(4)]
    seen: list[str] = []
    cursor: str | None = None
    with desk.database.session() as session:
        for _ in range(5):
            page = queries.list_invoices(
                session, desk.seller, limit=2, cursor=cursor, filters=Filters(search=first["number"])
            )
            seen += [each["number"] for each in page["items"]]
            cursor = page["next_cursor"]
            if cursor is None:
                break
    assert seen == [first["number"], *reversed(others)]


def test_other_filters_hold_beside_the_number(desk: Desk) -> None:
    made = desk.make()
    assert found(desk, made["number"], currency="USD") == []
    assert found(desk, made["number"], currency="INR", sort="due") == [made["number"]]


def test_what_changes_is_found_as_it_is_now(desk: Desk) -> None:
    made = desk.make(contact_name="Old Name", contact_email="x@x.example", notes="before", items=[line("Tea")])
    desk.edit(made, notes="afterwards", items=[line("Coffee")])
    assert [found(desk, words) for words in ("before", "Tea", "afterwards", "coffee")] == [
        [],
        [],
        [made["number"]],
        [made["number"]],
    ]
    with desk.database.session() as session:
        session.execute(text("UPDATE contacts SET name = 'New Name' WHERE id = :id"), {"id": made["contact"]["id"]})
    assert found(desk, "old") == []
    assert found(desk, "new") == [made["number"]]


def test_a_draft_is_found_and_gone_with_its_deletion(desk: Desk) -> None:
    draft = desk.make(draft=True, notes="unfinished")
    assert found(desk, "unfinished") == [None]
    with desk.database.session() as session:
        session.execute(text("DELETE FROM invoice_items WHERE invoice_id = :id"), {"id": draft["id"]})
        session.execute(text("DELETE FROM invoices WHERE id = :id"), {"id": draft["id"]})
        assert (
            session.scalar(text("SELECT count(*) FROM invoice_texts WHERE invoice_id = :id"), {"id": draft["id"]}) == 0
        )


def test_nobody_finds_what_they_may_not_see(desk: Desk) -> None:
    buyer, other = register(desk.database, Role.BUYER, "Bina"), register(desk.database, Role.BUYER, "Otto")
    investor, operator = register(desk.database, Role.INVESTOR), register(desk.database, Role.OPERATOR)
    made = desk.make(contact_email=buyer.email, notes="zanzibar cloves")
    secret = desk.make(contact_email=buyer.email, notes="zanzibar plans", draft=True)
    assert secret["number"] is None
    assert found(desk, "zanzibar") == [None, made["number"]]
    assert found(desk, "zanzibar", buyer) == [made["number"]]
    assert found(desk, "Sita", buyer) == [made["number"]]
    assert found(desk, "zanzibar", operator) == [None, made["number"]]
    for somebody in (other, investor, register(desk.database)):
        assert found(desk, "zanzibar", somebody) == []


def test_an_investor_does_not_search_what_they_are_not_shown() -> None:
    investor = Actor.__new__(Actor)
    object.__setattr__(investor, "role", Role.INVESTOR)
    sql, _ = search.condition("x", investor, search.Found())
    assert "texts" not in sql
    assert "email" not in sql


def test_the_indexes_serve_every_way_of_finding(desk: Desk) -> None:
    operator = register(desk.database, Role.OPERATOR)
    with desk.database.session() as session:
        session.execute(text("SET LOCAL enable_seqscan = off"))
        for words in ("t", "tur", "turmerik"):
            sql, values = search.condition(words, operator, search.Found())
            inner = sql[sql.index("FROM") : sql.index(" AND texts.invoice_id = invoices.id")]
            plan = "\n".join(session.scalars(text(f"EXPLAIN SELECT texts.invoice_id {inner}"), values))
            assert "Index Scan on invoice_texts_words" in plan
            assert ("Index Scan on invoice_texts_letters" in plan) == (len(words) >= 3)
            assert "Seq Scan" not in plan


def test_many_are_found_as_few_are(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    numbers = [desk.make(items=[line("saffron threads")])["number"] for _ in range(3)]
    as_few = [found(desk, words) for words in ("saffron", "safron", "saff thre")]
    assert as_few == [sorted(numbers)] * 3 or as_few == [numbers[::-1]] * 3 or as_few == [numbers] * 3
    for few, newest in ((0, {False: (1000, 99), True: (300, 99)}), (2000, {False: (1000, 1), True: (300, 1)})):
        monkeypatch.setattr(search, "_FEW", few)
        monkeypatch.setattr(search, "_NEWEST", newest)
        assert [found(desk, words) for words in ("saffron", "safron", "saff thre")] == as_few


def test_long_texts_are_searched_up_to_where_it_is_said(desk: Desk) -> None:
    made = desk.make(items=[line(f"{place:03} " + "x" * 490) for place in range(50)] + [line("omega")])
    assert found(desk, "007") == [made["number"]]
    assert found(desk, "omega") == []
