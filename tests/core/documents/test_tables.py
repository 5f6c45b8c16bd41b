"""Tables as CSV and as workbooks."""

from __future__ import annotations

import csv
import io
from datetime import UTC, date, datetime
from decimal import Decimal

import openpyxl
import pytest

from core.documents.tables import Column, table_csv, table_xlsx

COLUMNS = (
    Column("Number"),
    Column("Total", "money"),
    Column("Rate", "number"),
    Column("Due", "date"),
    Column("Paid at", "moment"),
)
ROW = ("INV-1", (1_18_000_50, "INR"), Decimal("18.25"), date(2026, 12, 3), datetime(2026, 11, 9, 10, 30, tzinfo=UTC))


def _csv(*rows: tuple[object, ...], columns: tuple[Column, ...] = COLUMNS) -> list[list[str]]:
    content = table_csv(columns, rows)
    assert content.startswith(b"\xef\xbb\xbf")
    return list(csv.reader(io.StringIO(content.decode("utf-8-sig"), newline="")))


def test_csv_has_decimals_with_the_places_of_the_currency() -> None:
    assert _csv(ROW) == [
        ["Number", "Total", "Rate", "Due", "Paid at"],
        ["INV-1", "118000.50", "18.25", "2026-12-03", "2026-11-09T10:30:00+00:00"],
    ]
    two = (Column("a", "money"), Column("b", "money"))
    assert _csv(((1_250, "KWD"), (-7, "JPY")), columns=two)[1] == ["1.250", "-7"]
    assert _csv((None, None), columns=two)[1] == ["", ""]


@pytest.mark.parametrize("begin", ["=", "+", "-", "@", "\t", "\r", "\n", "\uff1d"])
def test_csv_holds_no_formula(begin: str) -> None:
    text = f"{begin}HYPERLINK(1)"
    assert _csv((text,), columns=(Column("What"),))[1] == [f"'{text}"]


def test_csv_keeps_quotes_line_ends_and_every_script() -> None:
    text = 'say "தமிழ்",\nthen go'
    assert _csv((text,), columns=(Column("What"),))[1] == [text]


def test_a_workbook_has_real_numbers_and_days_under_a_frozen_head() -> None:
    book = openpyxl.load_workbook(io.BytesIO(table_xlsx(COLUMNS, [ROW], title="Invoices")))
    sheet = book.active
    assert [cell.value for cell in sheet[1]] == ["Number", "Total", "Rate", "Due", "Paid at"]
    values = [cell.value for cell in sheet[2]]
    assert values == ["INV-1", 118000.5, 18.25, datetime(2026, 12, 3), datetime(2026, 11, 9, 10, 30)]  # noqa: DTZ001
    assert sheet["B2"].number_format == "#,##0.00"
    assert sheet.freeze_panes == "A2"
    assert sheet.auto_filter.ref == "A1:E2"
    assert sheet.title == "Invoices"


def test_a_workbook_holds_no_formula_and_no_link() -> None:
    rows = [("=1+1",), ("https://example.com",), ("007",), ("@SUM(A1)",)]
    sheet = openpyxl.load_workbook(io.BytesIO(table_xlsx([Column("What")], rows))).active
    cells = [row[0] for row in sheet.iter_rows(min_row=2)]
    assert [(cell.value, cell.data_type, cell.hyperlink) for cell in cells] == [(row[0], "s", None) for row in rows]


def test_what_excel_cannot_hold_exactly_is_text() -> None:
    columns = (Column("Total", "money"), Column("Rate", "number"), Column("Day", "date"))
    row = ((10**15, "INR"), Decimal("0.1234567890123456"), date(1900, 2, 28))
    sheet = openpyxl.load_workbook(io.BytesIO(table_xlsx(columns, [row]))).active
    assert [cell.value for cell in sheet[2]] == ["10000000000000.00", "0.1234567890123456", "1900-02-28"]


def test_the_same_table_is_the_same_bytes() -> None:
    assert table_xlsx(COLUMNS, [ROW]) == table_xlsx(COLUMNS, [ROW])
    assert openpyxl.load_workbook(io.BytesIO(table_xlsx(COLUMNS, []))).active.max_row == 1
