"""Invoices out of CSV files: the guess, the dry run, and each entry once."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import text

from core.database import Database
from core.errors import Invalid, NotFound, PlatformError
from core.invoicing import links, queries
from core.lists import bulk, imports, invoice_files
from core.lists.invoice_files import ColumnMapping
from tests.budget import examples
from tests.core.invoicing.desk import Desk, register

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
LINKS = links.CustomerLinks(b"k" * 32, "https://ledgerwire.example")
HEAD = "Invoice No,Customer Name,Email,Invoice Date,Due Date,Item,Qty,Rate,GST %"
FILE = f"""{HEAD}
A/1,Bina,bina@x.example,03-11-2026,03-12-2026,Tea,2,"1,250.50",18%
A/1,Bina,bina@x.example,03-11-2026,03-12-2026,Cups,10,5,
A/2,Chitra,chitra@x.example,15-11-2026,,Silk,1,100,5
""".encode()


@pytest.fixture(scope="module")
def database(file_database_url: str) -> Iterator[Database]:
    made = Database(file_database_url)
    yield made
    made.dispose()


@pytest.fixture
def desk(database: Database) -> Desk:
    return Desk.open(database)


def bring(desk: Desk, content: bytes) -> dict[str, Any]:
    with desk.database.session() as session:
        return imports.upload(session, desk.seller, "list.csv", content, NOW)


def confirm(desk: Desk, brought: dict[str, Any], *, draft: bool = False) -> dict[str, Any]:
    """Confirm and work off; the finished job."""
    with desk.database.session() as session:
        job = imports.confirm(session, desk.seller, UUID(brought["id"]), NOW, draft=draft)
    while True:
        with desk.database.session() as session:
            if bulk.step(session, LINKS, NOW) is None:
                return bulk.show(session, desk.seller, UUID(job["id"]))


def made(desk: Desk) -> list[dict[str, Any]]:
    with desk.database.session() as session:
        found = queries.matching(session, desk.seller, queries.Filters(), 100)
        return [queries.get_invoice(session, desk.seller, identity) for identity, _ in found]


def test_a_file_is_understood_looked_over_and_made(desk: Desk) -> None:
    brought = bring(desk, FILE)
    assert brought["mapping"]["columns"] == {
        "number": 0,
        "customer": 1,
        "email": 2,
        "issue_date": 3,
        "due_date": 4,
        "description": 5,
        "quantity": 6,
        "unit_price": 7,
        "tax_rate": 8,
    }
    assert (brought["mapping"]["date_format"], brought["mapping"]["decimal"]) == ("%d-%m-%Y", ".")
    assert (brought["invoices"], brought["ready"], brought["errors"]) == (2, 2, [])
    # 2501.00 + 18 % + 50.00, and 100.00 + 5 %.
    assert brought["totals"] == [{"currency": "INR", "total": 2_951_18 + 50_00 + 105_00}]
    assert made(desk) == []
    job = confirm(desk, brought)
    assert (job["status"], job["done"], job["errors"]) == ("done", 2, [])
    first, second = made(desk)
    assert (first["number"], first["total"], len(first["items"])) == ("A/1", 3_001_18, 2)
    assert [item["description"] for item in first["items"]] == ["Tea", "Cups"]
    assert (second["number"], str(second["due_date"])) == ("A/2", "2026-12-15")


def test_the_same_file_makes_each_invoice_once_however_often_it_is_brought(desk: Desk) -> None:
    brought = bring(desk, FILE)
    job = confirm(desk, brought)
    assert confirm(desk, brought)["id"] == job["id"]
    again = bring(desk, FILE)
    assert (again["ready"], again["made_before"], again["errors"]) == (0, 2, [])
    other = confirm(desk, again)
    assert (other["done"], other["failed"]) == (2, 0)
    assert len(made(desk)) == 2


def test_another_file_with_a_number_that_is_taken_is_told_so(desk: Desk) -> None:
    confirm(desk, bring(desk, FILE))
    brought = bring(desk, FILE.replace(b"Silk", b"Wool"))
    assert [(each["line"], each["field"]) for each in brought["errors"]] == [(2, "number"), (4, "number")]
    assert confirm(desk, brought)["failed"] == 2
    assert len(made(desk)) == 2


def test_errors_name_line_and_field_and_the_rest_is_made(desk: Desk) -> None:
    rows = [
        "B/1,Bina,bina@x.example,2026-11-03,,Tea,2,100,18",
        "B/2,Bina,not an address,2026-11-03,,Tea,2,100,18",
        "B/3,Bina,bina@x.example,the third,,Tea,2,100,18",
        "B/4,Bina,bina@x.example,2026-11-03,,Tea,two,1.005,18",
        "B/5,,bina@x.example,2026-11-03,,Tea,2,100,18",
        "B/6,Bina,bina@x.example,2026-11-03,,Tea,2,100,118",
        "B/7,Bina,bina@x.example,2026-11-03,2026-11-02,Tea,2,100,18",
        "B/8,Bina,bina@x.example,2026-11-03,,Tea,2,100,18",
        "B/8,Otto,bina@x.example,2026-11-03,,Tea,2,100,18",
        "B/9,Bina,bina@x.example,2026-11-03,,,2,100,18",
    ]
    brought = bring(desk, "\n".join([HEAD, *rows]).encode())
    mapping = ColumnMapping.model_validate({**brought["mapping"], "date_format": "%Y-%m-%d"})
    with desk.database.session() as session:
        brought = imports.remap(session, desk.seller, UUID(brought["id"]), mapping)
    assert [(each["line"], each["field"]) for each in brought["errors"]] == [
        (3, "contact.email"),
        (4, "issue_date"),
        (5, "unit_price"),
        (5, "quantity"),
        (6, "contact.name"),
        (7, "items.0.tax_rate"),
        (8, "due_date"),
        (10, "customer"),
        (11, "items.0.description"),
    ]
    assert (brought["invoices"], brought["ready"]) == (9, 1)
    job = confirm(desk, brought)
    assert (job["done"], job["failed"]) == (1, 8)
    assert [each["number"] for each in made(desk)] == ["B/1"]


def test_drafts_take_no_number(desk: Desk) -> None:
    assert confirm(desk, bring(desk, FILE), draft=True)["done"] == 2
    assert [(each["stage"], each["number"]) for each in made(desk)] == [("draft", None)] * 2


def test_without_numbers_every_row_is_an_invoice(desk: Desk) -> None:
    rows = (
        "Customer;E-Mail;Datum;Item;Preis",
        "Bina;b@x.example;03.11.2026;Tee;1.234,50",
        "Bina;b@x.example;04.11.2026;Tee;1,00",
    )
    brought = bring(desk, "\n".join(rows).encode())
    assert brought["mapping"]["delimiter"] == ";"
    assert brought["mapping"]["decimal"] == ","
    assert brought["errors"] == []
    assert confirm(desk, brought)["done"] == 2
    assert [each["total"] for each in made(desk)] == [1_234_50, 1_00]


def test_the_template_is_understood_without_a_word(desk: Desk) -> None:
    brought = bring(desk, invoice_files.template())
    assert set(brought["mapping"]["columns"]) == set(invoice_files.FIELDS) - {"place_of_supply", "payment_terms"}
    assert (brought["invoices"], brought["ready"], brought["errors"]) == (2, 2, [])
    assert confirm(desk, brought)["done"] == 2


def test_what_columns_are_missing_is_said(desk: Desk) -> None:
    brought = bring(desk, b"One,Two\n1,2\n")
    assert (brought["error_count"], brought["errors"][0]["field"]) == (1, "mapping.columns.customer")
    with desk.database.session() as session, pytest.raises(Invalid, match="choose the column"):
        imports.confirm(session, desk.seller, UUID(brought["id"]), NOW, draft=False)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "empty"),
        (b"only a head\n", "a row of heads"),
        (b"%PDF-1.7", "PDF"),
        (b"PK\x03\x04 a workbook", "workbook"),
        (b"a,b\n" + b"1,2\n" * 5001, "more than 5000 rows"),
        (b"x" * (2 * 1024 * 1024 + 1), "at most"),
    ],
    ids=["nothing", "a head", "a pdf", "a workbook", "too many rows", "too large"],
)
def test_what_cannot_be_read_is_refused(desk: Desk, content: bytes, words: str) -> None:
    with pytest.raises(PlatformError, match=words):
        bring(desk, content)


def test_as_many_rows_and_invoices_as_it_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    sheet = invoice_files.read(b"a,b\n" + b"1,2\n" * 5000)
    assert len(sheet.rows) == 5000
    monkeypatch.setattr(invoice_files, "MAX_INVOICES", 2)
    assert len(invoice_files.groups(invoice_files.read(FILE), invoice_files.read(FILE).guess)) == 2
    monkeypatch.setattr(invoice_files, "MAX_INVOICES", 1)
    with pytest.raises(Invalid, match="more than 1 invoices"):
        invoice_files.groups(invoice_files.read(FILE), invoice_files.read(FILE).guess)


def test_a_file_is_its_owners(desk: Desk) -> None:
    brought = bring(desk, FILE)
    with desk.database.session() as session, pytest.raises(NotFound):
        imports.show(session, register(desk.database), UUID(brought["id"]))


def test_files_that_were_left_are_forgotten(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(imports, "MAX_KEPT", 2)
    for _ in range(4):
        bring(desk, FILE)
    with desk.database.session() as session:
        kept = session.scalar(
            text("SELECT count(*) FROM invoice_imports WHERE user_id = :user"), {"user": desk.seller.id}
        )
    assert kept == 2


@settings(max_examples=examples(150), deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.one_of(st.binary(max_size=300), st.text(alphabet='a1,;"\n.-€é%', max_size=300).map(str.encode)))
def test_any_bytes_are_read_or_refused(content: bytes) -> None:
    try:
        sheet = invoice_files.read(content)
        invoice_files.groups(sheet, sheet.guess)
    except PlatformError:
        return
