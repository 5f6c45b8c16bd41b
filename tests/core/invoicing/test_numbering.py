"""Numbers of documents: no gap, no number twice, whatever happens at once."""

from __future__ import annotations

import random
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import date

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from core.database import Database
from core.errors import Conflict, Forbidden, Invalid
from core.identity import Role
from core.invoicing import invoices, numbering
from core.invoicing.numbering import Series
from tests.core.invoicing.desk import NOW, Desk, new, register


@pytest.fixture(scope="module")
def database(file_database_url: str) -> Iterator[Database]:
    made = Database("postgresql+psycopg://" + file_database_url.split("://", 1)[1], pool_size=16)
    yield made
    made.dispose()


@pytest.fixture
def desk(database: Database) -> Desk:
    return Desk.open(database)


def begin(desk: Desk, prefix: str, year_kind: str = "calendar", **more: object) -> Series:
    with desk.database.session() as session:
        return numbering.create_series(
            session,
            desk.seller,
            prefix=prefix,
            year_kind=year_kind,  # type: ignore[arg-type]
            now=NOW,
            **more,  # type: ignore[arg-type]
        )


def test_drafts_that_are_issued_voided_deleted_and_rolled_back_at_once_leave_no_gap(desk: Desk) -> None:
    chance = random.Random(11)
    fates = [chance.choice(["make", "roll back", "issue", "delete", "void"]) for _ in range(30)]

    def live(fate: str) -> str | None:
        with desk.database.session() as session:
            made = invoices.create(session, desk.seller, new(), NOW, draft=fate in {"issue", "delete"})
            if fate == "roll back":
                session.rollback()
                return None
        if fate == "delete":
            desk.do(invoices.delete_draft, made)
            return None
        if fate == "issue":
            made = desk.do(invoices.issue, made)
        if fate == "void":
            desk.do(invoices.void, made)
        return str(made["number"])

    with ThreadPoolExecutor(8) as pool:
        numbers = sorted(number for number in pool.map(live, fates) if number)
    assert numbers == [f"INV-2026-{place:05d}" for place in range(1, len(numbers) + 1)]
    assert len(numbers) == len([fate for fate in fates if fate not in {"roll back", "delete"}])


def test_a_draft_has_no_number_and_gets_the_next_when_it_is_issued(desk: Desk) -> None:
    draft = desk.make(draft=True)
    assert (draft["number"], draft["stage"], draft["issued_at"]) == (None, "draft", None)
    assert desk.make()["number"] == "INV-2026-00001"
    issued = desk.do(invoices.issue, draft)
    assert (issued["number"], issued["stage"], issued["issued_at"]) == ("INV-2026-00002", "open", NOW)
    assert desk.do(invoices.issue, draft)["number"] == "INV-2026-00002"


def test_a_draft_that_many_issue_at_once_gets_one_number(desk: Desk) -> None:
    draft = desk.make(draft=True)
    with ThreadPoolExecutor(4) as pool:
        numbers = set(pool.map(lambda _: desk.do(invoices.issue, draft)["number"], range(4)))
    assert numbers == {"INV-2026-00001"}
    assert desk.make()["number"] == "INV-2026-00002"


def test_makers_of_many_who_meet_at_the_same_customers_do_not_wait_for_each_other_for_ever(desk: Desk) -> None:
    def make(names: tuple[str, str]) -> None:
        with desk.database.session() as session:
            for name in names:
                invoices.create(session, desk.seller, new(contact_email=f"{name}@shop.example"), NOW)

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(make, [("one", "two"), ("two", "one")] * 6))
    assert desk.make()["number"] == "INV-2026-00025"


def test_a_draft_brings_no_number_along(desk: Desk) -> None:
    with pytest.raises(Invalid, match="number"):
        desk.make(draft=True, number="OLD-9")


@pytest.mark.parametrize(
    ("day", "number"),
    [
        pytest.param(date(2027, 3, 31), "FY/26-27/0001", id="the last day of March"),
        pytest.param(date(2027, 4, 1), "FY/27-28/0001", id="the first of April"),
        pytest.param(date(2099, 12, 31), "FY/99-00/0001", id="the end of a century"),
    ],
)
def test_a_financial_year_begins_in_april(desk: Desk, day: date, number: str) -> None:
    begin(desk, "FY", "financial")
    made = desk.make(series="FY", issue_date=day, due_date=day)
    assert (made["number"], made["series"]) == (number, "FY")


def test_series_count_for_themselves_and_one_of_them_is_the_default(desk: Desk) -> None:
    begin(desk, "EXP")
    assert [desk.make(series=name)["number"] for name in ("EXP", None, "EXP", "INV")] == [
        "EXP-2026-00001",
        "INV-2026-00001",
        "EXP-2026-00002",
        "INV-2026-00002",
    ]
    begin(desk, "NEW", "financial", default=True)
    assert desk.make()["number"] == "NEW/26-27/0001"
    with desk.database.session() as session:
        numbering.set_default(session, desk.seller, "INV", NOW)
        numbering.set_default(session, desk.seller, "INV", NOW)
        known = numbering.list_series(session, desk.seller.id)
    assert [(one.prefix, one.kind, one.is_default) for one in known] == [
        ("CN", "credit_note", True),
        ("EXP", "invoice", False),
        ("INV", "invoice", True),
        ("NEW", "invoice", False),
    ]
    assert desk.make()["number"] == "INV-2026-00003"


def test_credit_notes_and_invoices_are_numbered_apart(desk: Desk) -> None:
    begin(desk, "CR", "financial", kind="credit_note", default=True)
    with pytest.raises(Invalid, match="series"):
        desk.make(series="CR")
    with desk.database.session() as session:
        note = numbering.find(session, desk.seller.id, None, "credit_note")
        given = numbering.take(session, desk.seller.id, note, date(2026, 11, 1))
    assert given.text == "CR/26-27/0001"
    assert desk.make()["number"] == "INV-2026-00001"


@pytest.mark.parametrize("prefix", ["", "TOOLONG", "A-B", "Ä", "A B"])
def test_a_prefix_is_one_to_five_letters_and_digits(desk: Desk, prefix: str) -> None:
    with pytest.raises(Invalid, match="prefix"):
        begin(desk, prefix)


def test_a_prefix_is_taken_once_whatever_it_numbers(desk: Desk) -> None:
    assert begin(desk, "abcde").prefix == "ABCDE"
    for prefix in ("ABCDE", "INV", "CN"):
        with pytest.raises(Conflict, match=prefix):
            begin(desk, prefix, kind="credit_note")


def test_a_seller_has_at_most_fifty_series(desk: Desk) -> None:
    for place in range(numbering.MAX_SERIES - 2):
        begin(desk, f"S{place}")
    with pytest.raises(Conflict, match="50"):
        begin(desk, "MORE")


def test_only_sellers_number(database: Database) -> None:
    buyer = Desk(database, register(database, Role.BUYER))
    with pytest.raises(Forbidden):
        begin(buyer, "AB")
    with database.session() as session, pytest.raises(Forbidden):
        numbering.set_default(session, buyer.seller, "INV", NOW)


# Numbers that documents bring along ------------------------------------------------------------------------


def test_a_number_of_an_earlier_system_uses_no_counter_and_the_counter_steps_over_it(desk: Desk) -> None:
    assert desk.make(number="INV-2026-2")["number"] == "INV-2026-2"
    assert desk.make(number="OLD/77")["number"] == "OLD/77"
    assert [desk.make()["number"] for _ in range(2)] == ["INV-2026-00001", "INV-2026-00003"]


def test_the_counter_steps_over_more_of_them_than_it_looks_at_once(desk: Desk) -> None:
    made = desk.make(number="OLD-1")
    with desk.database.session() as session:
        session.execute(
            text(
                "INSERT INTO invoices (id, seller_id, contact_id, number, number_key, year, status, currency, "
                "issue_date, due_date, subtotal, tax, total) SELECT gen_random_uuid(), seller_id, contact_id, "
                "'INV-2026-' || place, 'INV·2026·' || place, year, status, currency, issue_date, due_date, subtotal, "
                "tax, total FROM invoices, generate_series(1, 105) AS place WHERE id = :id"
            ),
            {"id": made["id"]},
        )
    assert desk.make()["number"] == "INV-2026-00106"


@pytest.mark.parametrize(
    "number",
    [
        pytest.param("INV-2026-00001", id="the same"),
        pytest.param("inv/2026/1", id="the same in other signs"),
        pytest.param("A" * 17, id="seventeen signs"),
        pytest.param("A_1", id="another sign"),
        pytest.param("--/", id="signs alone"),
        pytest.param("", id="nothing"),
        pytest.param("१२३", id="digits of another script"),
    ],
)
def test_a_number_that_is_taken_or_no_number_is_refused(desk: Desk, number: str) -> None:
    desk.make()
    with pytest.raises(Invalid, match="number"):
        desk.make(number=number)


def test_the_longest_number_is_taken(desk: Desk) -> None:
    assert desk.make(number="A" * 15 + "1")["number"] == "A" * 15 + "1"


def test_one_number_brought_by_two_at_once_is_one_invoice(desk: Desk) -> None:
    def bring(_: int) -> str:
        try:
            desk.make(number="TWICE-1")
        except Invalid:
            return "refused"
        return "made"

    with ThreadPoolExecutor(4) as pool:
        assert sorted(pool.map(bring, range(4))) == ["made", "refused", "refused", "refused"]


def test_numbers_brought_and_given_at_once_do_not_meet(desk: Desk) -> None:
    def make(place: int) -> None:
        # Some of the brought ones are given out by the time they come.
        try:
            desk.make(number=f"INV-2026-{place}" if place % 3 == 0 else None)
        except Invalid:
            assert place % 3 == 0

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(make, range(1, 25)))
    with desk.database.session() as session:
        rows = session.execute(
            text("SELECT number_key, sequence FROM invoices WHERE seller_id = :id"), {"id": desk.seller.id}
        ).all()
    given = [row.sequence for row in rows if row.sequence is not None]
    assert len(given) == 16
    # Up to the last one that was given, every place has its one invoice.
    places = sorted(int(row.number_key.rsplit("·", 1)[1]) for row in rows)
    assert [place for place in places if place <= max(given)] == list(range(1, max(given) + 1))


def test_a_year_of_a_series_ends_where_numbers_would_be_too_long(desk: Desk) -> None:
    begin(desk, "ABCDE", "financial")
    with desk.database.session() as session:
        session.execute(
            text("INSERT INTO invoice_counters (seller_id, series, year, last) VALUES (:id, 'ABCDE', 2026, 9998)"),
            {"id": desk.seller.id},
        )
    assert desk.make(series="ABCDE")["number"] == "ABCDE/26-27/9999"
    with pytest.raises(Conflict, match="another series"):
        desk.make(series="ABCDE")


def test_the_database_deletes_no_invoice_that_was_issued(desk: Desk) -> None:
    made, draft = desk.make(), desk.make(draft=True)
    with desk.database.session() as session, pytest.raises(DBAPIError, match="was issued and stays"):
        session.execute(text("DELETE FROM invoices WHERE id = :id"), {"id": made["id"]})
    with desk.database.session() as session:
        assert session.execute(text("DELETE FROM invoices WHERE id = :id"), {"id": draft["id"]}).rowcount == 1  # type: ignore[attr-defined]


def test_the_database_opens_no_invoice_without_a_number(desk: Desk) -> None:
    draft = desk.make(draft=True)
    with desk.database.session() as session, pytest.raises(DBAPIError, match="invoices_issued_have_numbers"):
        session.execute(text("UPDATE invoices SET status = 'open' WHERE id = :id"), {"id": draft["id"]})
