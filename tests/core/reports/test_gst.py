"""GSTR-1: sections, worked figures, what was filed and what is corrected since, and the file for the portal.

The seller is in Maharashtra (27). Every expected figure was worked out on paper: net times rate, half each to the
centre and the state inside 27.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest
from psycopg.errors import LockNotAvailable
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError, OperationalError
from sqlalchemy.orm import Session

from core import reports
from core.errors import Forbidden, Invalid
from core.identity import Role
from core.invoicing import credit_notes, editing, invoices, profiles
from core.invoicing.credit_notes import NewCreditNote
from core.invoicing.inputs import InvoiceChanges
from core.reports import filings, gstr1, tax
from core.reports.filings import MonthNotOver, MonthsOutOfOrder
from core.reports.shape import Report
from tests.builders import NOW, Clockwork, Json, Shop, open_shop, worker
from tests.core.payments.test_money_guards import until_blocked

BUYER = "29AAFCC9980M1ZR"
MARCH, APRIL, MAY = date(2026, 3, 1), date(2026, 4, 1), date(2026, 5, 1)
LATER = datetime(2026, 9, 1, 9, tzinfo=UTC)


@pytest.fixture(scope="module")
def context(file_database_url: str) -> Iterator[Clockwork]:
    with worker(file_database_url) as parts:
        yield parts


@pytest.fixture
def shop(context: Clockwork) -> Shop:
    made = open_shop(context)
    with made.database.session() as session:
        profiles.save(session, made.seller, {"tax_regime": "gst", "gstin": "27AAPFU0939F1ZV"}, NOW)
    return made


def line(net: int, rate: str = "18", hsn: str = "5208", **more: Any) -> invoices.NewItem:
    return invoices.NewItem(
        description="Cloth", quantity=Decimal(1), unit_price=net, tax_rate=Decimal(rate), hsn=hsn, unit="PCS", **more
    )


def sell(
    shop: Shop,
    *items: invoices.NewItem,
    day: date = date(2026, 4, 10),
    place: str = "27",
    gstin: str | None = None,
    **more: Any,
) -> Json:
    """An invoice to a customer of their own, as the place of supply says."""
    who = f"{place}-{gstin or 'nobody'}".lower()
    new = invoices.NewInvoice(
        contact_name=who, contact_email=f"{who}@buyer.test", currency=more.pop("currency", "INR"), issue_date=day,
        due_date=day, items=list(items), place_of_supply=place, contact_gstin=gstin, **more,
    )  # fmt: skip
    with shop.database.session() as session:
        return invoices.create(session, shop.seller, new, NOW)


def credit(shop: Shop, invoice: Json, *items: invoices.NewItem, day: date = date(2026, 4, 20)) -> Json:
    with shop.database.session() as session:
        new = NewCreditNote(
            invoice_id=UUID(invoice["id"]), reason="less", issue_date=day, items=list(items) if items else None
        )
        return credit_notes.create(session, shop.seller, new, NOW)


def summary(shop: Shop, month: date = APRIL) -> Report:
    with shop.database.session() as session:
        days = reports.period(None, month, filings.last_day(month), LATER.date())
        return reports.make(session, shop.seller.id, "tax", days, LATER.date())


def cells(report: Report, table: str) -> list[tuple[Any, ...]]:
    (found,) = [one for one in report.tables if one.name == table]
    return [row.cells for row in found.rows]


def upload(shop: Shop, month: date = APRIL) -> dict[str, Any]:
    with shop.database.session() as session:
        return tax.upload(session, shop.seller.id, "INR", month)


def file(shop: Shop, month: date) -> dict[str, Any]:
    with shop.database.session() as session:
        return filings.file(session, shop.seller, month, LATER)


def change(shop: Shop, invoice: Json, **changes: Any) -> None:
    with shop.database.session() as session:
        editing.update(session, shop.seller, UUID(invoice["id"]), InvoiceChanges(**changes), NOW)


def test_each_supply_stands_in_its_section_with_its_tax(shop: Shop) -> None:
    # 10,000.00 at 18 % and 500.00 at 5 % to Karnataka: 1,800.00 and 25.00 of IGST; 100.00 at nothing.
    b2b = sell(shop, line(10_000_00), line(500_00, "5"), line(100_00, "0"), place="29", gstin=BUYER)
    charge = sell(shop, line(2_000_00), place="29", gstin=BUYER, reverse_charge=True)
    # 90,000.00 + 18 % is 1,06,200.00: above one lakh.
    large = sell(shop, line(90_000_00), place="07")
    sell(shop, line(1_000_00), place="07")
    home = sell(shop, line(2_000_00, "12"))
    with_tax = sell(shop, line(7_000_00), place="96")
    without = sell(shop, line(5_000_00, "0"), place="96")
    credit(shop, b2b, line(1_000_00))
    credit(shop, large, line(10_000_00))
    credit(shop, home, line(500_00, "12"))
    credit(shop, without)
    made = summary(shop)
    number = {one["id"]: one["number"] for one in (b2b, charge, large, with_tax, without)}
    assert [(row[0], row[5], *row[6:]) for row in cells(made, "b2b")] == [
        (number[b2b["id"]], "N", 12_425_00, "18", 10_000_00, 0, 0, 1_800_00),
        (number[b2b["id"]], "N", 12_425_00, "5", 500_00, 0, 0, 25_00),
        # Shown, and not charged: the document comes to its net.
        (number[charge["id"]], "Y", 2_000_00, "18", 2_000_00, 0, 0, 360_00),
    ]
    assert [(row[0], *row[3:]) for row in cells(made, "b2cl")] == [
        (number[large["id"]], "07-Delhi", 1_06_200_00, "18", 90_000_00, 0, 0, 16_200_00)
    ]
    assert [(row[0], *row[3:]) for row in cells(made, "exp")] == [
        (number[with_tax["id"]], "With", 8_260_00, "18", 7_000_00, 0, 0, 1_260_00),
        (number[without["id"]], "Without", 5_000_00, "0", 5_000_00, 0, 0, 0),
    ]
    assert cells(made, "b2cs") == [
        ("07-Delhi", "18", 1_000_00, 0, 0, 180_00),
        ("27-Maharashtra", "12", 1_500_00, 90_00, 90_00, 0),
    ]
    assert cells(made, "nil") == [("To other states, to registered customers", 100_00)]
    assert [row[3:] for row in cells(made, "cdnr")] == [
        (number[b2b["id"]], BUYER, "29-Karnataka", 1_180_00, "18", 1_000_00, 0, 0, 180_00)
    ]
    assert [row[3:] for row in cells(made, "cdnur")] == [
        (number[large["id"]], "07-Delhi", 11_800_00, "18", 10_000_00, 0, 0, 1_800_00),
        (number[without["id"]], "96-Other country", 5_000_00, "0", 5_000_00, 0, 0, 0),
    ]
    # 10,000 + 2,000 - 1,000 to registered; 90,000 - 10,000 + 1,000 + 7,000 to others.
    assert [(row[0], row[3], row[4], row[7]) for row in cells(made, "hsn_b2b")] == [
        ("5208", "0", 100_00, 0), ("5208", "5", 500_00, 25_00), ("5208", "18", 11_000_00, 1_980_00)
    ]  # fmt: skip
    assert [(row[3], row[4], row[5], row[7]) for row in cells(made, "hsn_b2c")] == [
        ("0", 0, 0, 0), ("12", 1_500_00, 90_00, 0), ("18", 88_000_00, 0, 15_840_00)
    ]  # fmt: skip
    assert [(row[0], row[4], row[5]) for row in cells(made, "documents")] == [
        ("Invoices", 7, 0), ("Credit notes", 4, 0)
    ]  # fmt: skip
    # Sold before credit notes: 10,600 + 2,000 + 90,000 + 1,000 + 2,000 + 7,000 + 5,000.
    assert [one.value for one in made.figures] == [1_17_600_00, 19_705_00, 2_040_00]


@pytest.mark.parametrize(
    ("day", "net", "large"),
    [
        pytest.param(date(2024, 7, 31), 2_50_000_00, False, id="at the old limit"),
        pytest.param(date(2024, 7, 31), 2_50_000_01, True, id="above the old limit"),
        pytest.param(date(2024, 8, 1), 1_00_000_00, False, id="at the new limit"),
        pytest.param(date(2024, 8, 1), 1_00_000_01, True, id="above the new limit"),
    ],
)
def test_what_is_large_goes_by_the_limit_of_the_day(shop: Shop, day: date, net: int, large: bool) -> None:
    # At 18 % under reverse charge nothing is added: the value is the net.
    sell(shop, line(net), day=day, place="07", reverse_charge=True)
    made = summary(shop, day.replace(day=1))
    assert (len(cells(made, "b2cl")), len(cells(made, "b2cs"))) == ((1, 0) if large else (0, 1))


def test_an_export_in_dollars_is_filed_in_rupees_of_its_day(shop: Shop) -> None:
    with shop.database.connect() as connection:
        connection.execute(
            text(
                "INSERT INTO exchange_rates (user_id, currency, home, day, rate, source, updated_at) "
                "VALUES (:user, 'USD', 'INR', '2026-04-08', 83.335, 'hand', :now)"
            ),
            {"user": shop.seller.id, "now": NOW},
        )
    sell(shop, line(1_000_01, "0"), place="96", currency="USD")
    sell(shop, line(9_99, "0"), place="96", currency="EUR")
    made = summary(shop)
    # 1,000.01 times 83.335 = 83,335.83335: half up.
    assert [row[-4] for row in cells(made, "exp")] == [83_335_83]
    assert made.apart == {"EUR": 9_99}


def test_the_file_for_the_portal_has_its_names_and_rupees(shop: Shop) -> None:
    b2b = sell(shop, line(10_000_00), place="29", gstin=BUYER)
    export = sell(shop, line(5_000_00, "0"), place="96")
    sell(shop, line(2_000_50, "12"))
    note = credit(shop, b2b, line(1_000_00))
    found = upload(shop)
    assert (found["gstin"], found["fp"]) == ("27AAPFU0939F1ZV", "042026")
    tax_of = {"rt": 18, "txval": 10_000.0, "iamt": 1_800.0, "camt": 0.0, "samt": 0.0, "csamt": 0.0}
    assert found["b2b"] == [
        {
            "ctin": BUYER,
            "inv": [
                {
                    "inum": b2b["number"], "idt": "10-04-2026", "val": 11_800.0, "pos": "29", "rchrg": "N",
                    "inv_typ": "R", "itms": [{"num": 1, "itm_det": tax_of}],
                }
            ],
        }
    ]  # fmt: skip
    assert found["exp"] == [
        {
            "exp_typ": "WOPAY",
            "inv": [
                {
                    "inum": export["number"], "idt": "10-04-2026", "val": 5_000.0,
                    "itms": [{"rt": 0, "txval": 5_000.0, "iamt": 0.0, "csamt": 0.0}],
                }
            ],
        }
    ]  # fmt: skip
    assert found["b2cs"] == [
        {
            "sply_ty": "INTRA", "pos": "27", "typ": "OE", "rt": 12, "txval": 2_000.5, "camt": 120.03, "samt": 120.03,
            "csamt": 0.0,
        }
    ]  # fmt: skip
    assert found["cdnr"][0]["nt"][0]["nt_num"] == note["number"]
    assert (found["cdnr"][0]["ctin"], found["cdnr"][0]["nt"][0]["val"]) == (BUYER, 1_180.0)
    assert [(one["hsn_sc"], one["uqc"], one["qty"], one["txval"]) for one in found["hsn"]["hsn_b2b"]] == [
        ("5208", "PCS", 0.0, 9_000.0)
    ]
    assert found["doc_issue"]["doc_det"][0]["docs"][0]["totnum"] == 3
    assert "b2cl" not in found


def test_a_change_after_the_month_was_filed_is_corrected_in_the_next(shop: Shop) -> None:
    kept = sell(shop, line(1_000_00), day=date(2026, 3, 5), place="29", gstin=BUYER)
    moved = sell(shop, line(3_000_00), day=date(2026, 3, 6), place="29", gstin=BUYER)
    gone = sell(shop, line(500_00), day=date(2026, 3, 7), place="29", gstin=BUYER)
    assert file(shop, MARCH)["documents"] == 3
    before = upload(shop, MARCH)
    change(shop, moved, items=[line(4_000_00)])
    with shop.database.session() as session:
        invoices.void(session, shop.seller, UUID(gone["id"]), NOW)
    late = sell(shop, line(200_00), day=date(2026, 3, 9), place="29", gstin=BUYER)
    own = sell(shop, line(700_00), day=date(2026, 4, 2), place="29", gstin=BUYER)
    assert [(row[1], row[2], row[5], row[6]) for row in cells(summary(shop), "amendments")] == [
        (moved["number"], "Changed", 3_000_00, 4_000_00),
        (gone["number"], "Cancelled", 500_00, None),
        (late["number"], "Came late: is listed among this month's", None, 200_00),
    ]
    # What was filed stays what was filed.
    assert upload(shop, MARCH)["b2b"] == before["b2b"]
    april = upload(shop)
    assert [one["inum"] for one in april["b2b"][0]["inv"]] == [late["number"], own["number"]]
    corrected = {one["oinum"]: (one["oidt"], one["val"]) for one in april["b2ba"][0]["inv"]}
    assert corrected == {moved["number"]: ("06-03-2026", 4_720.0), gone["number"]: ("07-03-2026", 0.0)}
    assert kept["number"] not in corrected
    # Once April is filed, May has nothing of it; opened again, April has it again.
    file(shop, APRIL)
    assert "b2ba" not in upload(shop, MAY)
    assert upload(shop)["b2ba"] == april["b2ba"]
    with shop.database.session() as session:
        filings.reopen(session, shop.seller, APRIL, LATER)
    assert upload(shop) == april


def test_sums_without_documents_are_corrected_by_month_and_place(shop: Shop) -> None:
    sell(shop, line(1_000_00), day=date(2026, 3, 5))
    moved = sell(shop, line(3_000_00), day=date(2026, 3, 6))
    sell(shop, line(9_000_00), day=date(2026, 3, 6), place="07")
    file(shop, MARCH)
    change(shop, moved, items=[line(4_000_00)])
    assert upload(shop)["b2csa"] == [
        {
            "omon": "032026", "sply_ty": "INTRA", "pos": "27", "typ": "OE",
            "itms": [{"rt": 18, "txval": 5_000.0, "camt": 450.0, "samt": 450.0, "csamt": 0.0}],
        }
    ]  # fmt: skip


def test_a_payment_is_no_correction(shop: Shop) -> None:
    sold = sell(shop, line(1_000_00), day=date(2026, 3, 5), place="29", gstin=BUYER)
    file(shop, MARCH)
    with shop.database.connect() as connection:
        connection.execute(text("UPDATE invoices SET viewed_at = now() WHERE id = :id"), {"id": UUID(sold["id"])})
        assert connection.scalar(text("SELECT count(*) FROM tax_changed WHERE document_id = :id"),
                                 {"id": UUID(sold["id"])}) == 0  # fmt: skip
    assert cells(summary(shop), "amendments") == []


def test_months_are_filed_once_over_and_in_order(shop: Shop) -> None:
    sell(shop, line(1_000_00), day=date(2026, 4, 5))
    first = file(shop, APRIL)
    assert file(shop, APRIL) == first
    with shop.database.session() as session:
        with pytest.raises(MonthsOutOfOrder):
            filings.file(session, shop.seller, MARCH, LATER)
        with pytest.raises(MonthNotOver):
            filings.file(session, shop.seller, MAY, datetime(2026, 5, 31, 23, tzinfo=UTC))
        with pytest.raises(Invalid):
            filings.file(session, shop.seller, date(2017, 6, 1), LATER)
        with pytest.raises(Forbidden):
            filings.file(session, replace(shop.seller, role=Role.BUYER), MAY, LATER)
        filings.file(session, shop.seller, MAY, datetime(2026, 6, 1, tzinfo=UTC))
        with pytest.raises(MonthsOutOfOrder):
            filings.reopen(session, shop.seller, APRIL, LATER)
        told = session.scalars(
            text("SELECT action FROM audit_log WHERE subject_id = :id AND action LIKE 'tax_month%' ORDER BY id"),
            {"id": shop.seller.id},
        ).all()
    assert told == ["tax_month.filed", "tax_month.filed"]


def _lines_anew(session: Session, shop: Shop, sold: Json) -> None:
    items = [line(500_00), line(500_00, hsn="6204")]
    editing.update(session, shop.seller, UUID(sold["id"]), InvoiceChanges(items=items), NOW)


def _moved(session: Session, shop: Shop, sold: Json) -> None:
    day = date(2026, 4, 3)
    editing.update(session, shop.seller, UUID(sold["id"]), InvoiceChanges(issue_date=day, due_date=day), NOW)


def _credited(session: Session, shop: Shop, sold: Json) -> None:
    note = NewCreditNote(invoice_id=UUID(sold["id"]), reason="less", issue_date=date(2026, 4, 20))
    credit_notes.create(session, shop.seller, note, NOW)


def _has_to_wait(shop: Shop, work: Callable[[Session], object]) -> bool:
    with shop.database.session() as session:
        session.execute(text("SET LOCAL lock_timeout = '20ms'"))
        try:
            work(session)
        except OperationalError as error:
            session.rollback()
            return isinstance(error.orig, LockNotAvailable)
    return False


@pytest.mark.parametrize("act", [_lines_anew, _moved, _credited])
def test_what_changes_while_a_month_is_filed_waits_or_is_waited_for(shop: Shop, act: Any) -> None:
    one, another = (sell(shop, line(1_000_00), day=date(2026, 3, 28)) for _ in range(2))
    with shop.database.session() as changing:
        act(changing, shop, one)
        assert _has_to_wait(shop, lambda session: filings.file(session, shop.seller, APRIL, LATER))
    with shop.database.session() as filing:
        filings.file(filing, shop.seller, APRIL, LATER)
        assert _has_to_wait(shop, lambda session: act(session, shop, another))


def test_filing_waits_for_nobody_who_waits_for_it(shop: Shop) -> None:
    sold = sell(shop, line(1_000_00), day=date(2026, 4, 5))
    with shop.database.session() as changing:
        changing.execute(text("SELECT FROM invoices WHERE id = :id FOR UPDATE"), {"id": UUID(sold["id"])})
        assert not _has_to_wait(shop, lambda session: filings.file(session, shop.seller, APRIL, LATER))
    assert file(shop, APRIL)["documents"] == 1


def test_two_who_file_a_month_at_once_file_it_once(shop: Shop) -> None:
    sell(shop, line(1_000_00), day=date(2026, 4, 5))
    with ThreadPoolExecutor(1) as pool, shop.database.session() as first:
        filed = filings.file(first, shop.seller, APRIL, LATER)
        second = pool.submit(file, shop, APRIL)
        until_blocked(shop)
        first.commit()
        assert second.result(10) == filed
    kept = "SELECT 1 FROM tax_filed WHERE user_id = :user UNION ALL SELECT 1 FROM tax_months WHERE user_id = :user"
    told = "SELECT 1 FROM audit_log WHERE subject_id = :user AND action = 'tax_month.filed'"
    assert (len(shop.rows(kept)), len(shop.rows(told))) == (2, 1)


@pytest.mark.parametrize(
    "statement",
    [
        "INSERT INTO tax_months (user_id, month, filed_at, filed_by) VALUES (:user, '2026-03-01', now(), :user)",
        "UPDATE tax_months SET month = '2026-01-01' WHERE user_id = :user",
        "DELETE FROM tax_months WHERE user_id = :user AND month = '2026-04-01'",
        "INSERT INTO tax_months (user_id, month, filed_at, filed_by) VALUES (:user, '2026-06-02', now(), :user)",
        "UPDATE tax_filed SET facts = '{}' WHERE user_id = :user",
    ],
    ids=["filed before a filed one", "another month", "not the newest", "no month", "filed otherwise"],
)
def test_the_database_keeps_what_was_filed_too(shop: Shop, statement: str) -> None:
    sell(shop, line(1_000_00), day=date(2026, 4, 5))
    file(shop, APRIL)
    file(shop, MAY)
    with pytest.raises(DBAPIError), shop.database.connect() as connection:
        connection.execute(text(statement), {"user": shop.seller.id})


@pytest.mark.parametrize(
    ("hsn", "written", "code"),
    [
        ("5208", "pcs", "PCS"),
        ("5208", "Kg.", "KGS"),
        ("5208", "armful", "OTH"),
        ("5208", "", "OTH"),
        ("9983", "h", "NA"),
    ],
)
def test_units_are_the_portals(hsn: str, written: str, code: str) -> None:
    assert gstr1.unit(hsn, written) == code
