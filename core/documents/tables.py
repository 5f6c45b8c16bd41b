"""Tables as CSV and XLSX: any list of rows with typed columns.

A cell of money is a pair (minor units, currency); days, moments and numbers stay what they are.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any, Literal

from core.money import exponent

Kind = Literal["text", "money", "number", "date", "moment"]
# What spreadsheets take for a formula (OWASP, CSV injection); tab and line ends count as well.
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "\uff1d", "\uff0b", "\uff0d", "\uff20")
# Excel holds 15 significant digits, and no date before this one.
_FIRST_DAY = date(1900, 3, 1)
_MOST_EXACT = 10**15
_MAX_CELL = 32_767


@dataclass(frozen=True, slots=True)
class Column:
    """A column: its head and what its cells are."""

    head: str
    kind: Kind = "text"
    width: int = 14


def amount(minor: int, currency: str) -> Decimal:
    """An amount in major units, exactly: 1250 of KWD is 1.250."""
    return Decimal(minor).scaleb(-exponent(currency))


def guarded(text: str) -> str:
    """Text that no spreadsheet takes for a formula: an apostrophe before what would be one."""
    return f"'{text}" if text.startswith(_FORMULA) else text


def _spelled(value: Any, kind: Kind) -> str:
    if value is None:
        return ""
    match kind:
        case "money":
            minor, currency = value
            return format(amount(minor, currency), "f")
        case "number":
            return format(Decimal(str(value)), "f")
        case "date" | "moment":
            return str(value.isoformat())
        case "text":
            return guarded(str(value).replace("\x00", ""))


def table_csv(columns: Sequence[Column], rows: Iterable[Sequence[Any]]) -> bytes:
    """CSV as RFC 4180 has it, in UTF-8 with the mark by which Excel knows it; texts are guarded against formulas."""
    made = io.StringIO(newline="")
    writer = csv.writer(made, lineterminator="\r\n")
    writer.writerow([guarded(column.head) for column in columns])
    for row in rows:
        writer.writerow([_spelled(value, column.kind) for column, value in zip(columns, row, strict=True)])
    return b"\xef\xbb\xbf" + made.getvalue().encode("utf-8", errors="replace")


def _number_format(places: int) -> str:
    return "#,##0" + ("." + "0" * places if places else "")


def table_xlsx(columns: Sequence[Column], rows: Iterable[Sequence[Any]], *, title: str = "Ledgerwire") -> bytes:
    """A workbook with one sheet: real numbers and days, the head stays in view, every column can be filtered.

    What Excel cannot hold exactly (more than 15 digits, days before 1900-03-01) is written as text.
    """
    import xlsxwriter  # noqa: PLC0415 - only when a workbook is made.

    made = io.BytesIO()
    # Texts are texts: no cell becomes a formula, a link or a number for what it begins with.
    options = {
        "in_memory": True,
        "strings_to_formulas": False,
        "strings_to_urls": False,
        "strings_to_numbers": False,
        "default_date_format": "yyyy-mm-dd",
    }
    with xlsxwriter.Workbook(made, options) as book:
        # The file says no other moment than the same table always would.
        book.set_properties({"title": title, "created": datetime(2000, 1, 1)})  # noqa: DTZ001 - the library's wish.
        sheet = book.add_worksheet("".join(letter for letter in title if letter not in "[]:*?/\\'")[:31] or "Sheet")
        bold = book.add_format({"bold": True, "bottom": 1})
        formats: dict[str, Any] = {}
        for place, column in enumerate(columns):
            sheet.set_column(place, place, column.width)
            sheet.write_string(0, place, column.head, bold)
        last = 0
        for last, row in enumerate(rows, start=1):
            for place, (column, value) in enumerate(zip(columns, row, strict=True)):
                _write(book, sheet, formats, last, place, column.kind, value)
        sheet.freeze_panes(1, 0)
        sheet.autofilter(0, 0, last, max(len(columns) - 1, 0))
    return made.getvalue()


def _write(book: Any, sheet: Any, formats: dict[str, Any], row: int, place: int, kind: Kind, value: Any) -> None:
    def styled(pattern: str) -> Any:
        if pattern not in formats:
            formats[pattern] = book.add_format({"num_format": pattern})
        return formats[pattern]

    match kind:
        case _ if value is None:
            return
        case "money" if abs(value[0]) < _MOST_EXACT:
            sheet.write_number(row, place, amount(*value), styled(_number_format(exponent(value[1]))))
        case "number" if len(Decimal(str(value)).as_tuple().digits) <= 15:
            sheet.write_number(row, place, Decimal(str(value)), styled("General"))
        case "date" if value >= _FIRST_DAY:
            sheet.write_datetime(row, place, value, styled("yyyy-mm-dd"))
        case "moment" if value.date() >= _FIRST_DAY:
            # Excel knows no zones: UTC, as everywhere in the books.
            sheet.write_datetime(
                row, place, value.astimezone(UTC).replace(tzinfo=None), styled('yyyy-mm-dd hh:mm:ss "UTC"')
            )
        case "text":
            sheet.write_string(row, place, str(value)[:_MAX_CELL])
        case _:
            sheet.write_string(row, place, _spelled(value, kind))
