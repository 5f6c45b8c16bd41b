"""CSV files of invoices: what their columns are, and the invoices that their rows make. Pure: bytes in, values out.

One row is one line of an invoice; rows with the same number are one invoice, in the order of the file. Without a
column of numbers every row is an invoice of its own.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import date, timedelta
from decimal import Decimal, InvalidOperation
from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field

from core.errors import Invalid
from core.money import exponent
from core.statement_files.amounts import DATE_FORMATS, guess_date_formats, guess_decimal, parse_amount, parse_day
from core.statement_files.mapping import words_of
from core.statement_files.text import decode

MAX_BYTES: Final = 2 * 1024 * 1024
MAX_ROWS: Final = 5000
MAX_INVOICES: Final = 1000
MAX_COLUMNS: Final = 60
_LOOKED_AT = 200
_DELIMITERS = (",", ";", "\t", "|")

# Words in heads, in the order in which they are tried; a column gets one meaning.
FIELDS: Final[Mapping[str, str]] = {
    "number": r"^(?:invoice|inv|bill|document|doc)?\.? ?(?:no|num|number|nr|id)\b|^invoice$",
    "due_date": r"due|payable by|f[aä]llig",
    "issue_date": r"date|datum|issued",
    "email": r"mail",
    "gstin": r"gstin|gst (?:no|number|id)|tax id",
    "place_of_supply": r"place of supply|state code",
    "customer": r"customer|client|buyer|bill(?:ed)? to|contact|party|company|kunde|\bname\b",
    "currency": r"currency|\bccy\b|w[aä]hrung",
    "reference": r"reference|\bref\b|p\.?o\.? ?(?:no|number)?$|order",
    "hsn": r"hsn|\bsac\b",
    "tax_rate": r"(?:tax|gst|vat|igst).*(?:rate|%)|(?:rate|%).*(?:tax|gst|vat)|^(?:tax|gst|vat)$|percent",
    "discount_rate": r"discount",
    "quantity": r"quantity|qty|units$|hours|menge",
    "unit_price": r"price|rate|amount|value|net\b|preis|betrag",
    "unit": r"^unit|\buom\b",
    "description": r"description|item|product|service|particular|detail|beschreibung",
    "payment_terms": r"terms",
    "notes": r"note|remark|comment|memo",
}
REQUIRED: Final = ("customer", "email", "issue_date", "description", "unit_price")
TEMPLATE: Final = (
    ("Invoice number", "Customer", "Email", "GSTIN", "Issue date", "Due date", "Currency", "Reference", "Description",
     "HSN", "Quantity", "Unit", "Unit price", "Discount %", "Tax rate %", "Notes"),
    ("2026/101", "Bharat Stores", "accounts@bharat.example", "", "2026-11-01", "2026-12-01", "INR", "PO-77",
     "Cotton, white", "5208", "12.5", "m", "240.00", "0", "5", "Thank you"),
    ("2026/101", "Bharat Stores", "accounts@bharat.example", "", "2026-11-01", "2026-12-01", "INR", "PO-77",
     "Delivery", "9965", "1", "", "500.00", "0", "18", ""),
    ("2026/102", "Chitra Traders", "pay@chitra.example", "", "2026-11-03", "2026-12-03", "INR", "",
     "Silk, red", "5007", "3", "m", "1250.00", "10", "5", ""),
)  # fmt: skip

Column = Annotated[int, Field(ge=0, lt=MAX_COLUMNS)]


class ColumnMapping(BaseModel):
    """Which column (counted from 0) is what, and how days and amounts are written."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    delimiter: Literal[",", ";", "\t", "|"] = ","
    columns: dict[str, Column] = Field(default_factory=dict, max_length=len(FIELDS))
    date_format: str = "%Y-%m-%d"
    decimal: Literal[".", ","] = "."
    # Where no column says it.
    currency: Annotated[str, Field(pattern="^[A-Z]{3}$")] = "INR"
    payment_days: Annotated[int, Field(ge=0, le=365)] = 30

    def check(self) -> ColumnMapping:
        """Itself, when it makes sense. Raises Invalid."""
        if unknown := sorted(set(self.columns) - set(FIELDS)):
            raise Invalid("mapping.columns", f"{unknown[0][:40]!r} is no field of an invoice")
        if self.date_format not in DATE_FORMATS:
            raise Invalid("mapping.date_format", f"must be one of {', '.join(DATE_FORMATS)}")
        for name in REQUIRED:
            if name not in self.columns:
                raise Invalid(f"mapping.columns.{name}", "choose the column that holds it")
        exponent(self.currency)
        return self


@dataclass(frozen=True, slots=True, kw_only=True)
class Sheet:
    """A file as it lies there: its head, its rows with their line numbers, and the best guess at what they mean."""

    header: tuple[str, ...]
    rows: tuple[tuple[int, tuple[str, ...]], ...] = field(repr=False)
    guess: ColumnMapping


@dataclass(frozen=True, slots=True, kw_only=True)
class RowError:
    """What is wrong in a line of the file."""

    line: int
    field: str
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """The rows of one invoice: `given` are the fields of NewInvoice as JSON when nothing is wrong with them."""

    entry: str
    number: str | None
    line: int
    given: dict[str, Any] | None
    errors: tuple[RowError, ...]


def template() -> bytes:
    """A file to begin with."""
    made = io.StringIO(newline="")
    csv.writer(made, lineterminator="\r\n").writerows(TEMPLATE)
    return b"\xef\xbb\xbf" + made.getvalue().encode()


def _cut(text: str, delimiter: str) -> list[tuple[int, tuple[str, ...]]]:
    reader = csv.reader(io.StringIO(text), delimiter=delimiter)
    found = []
    try:
        for cells in reader:
            if any(cell.strip() for cell in cells):
                found.append((reader.line_num, tuple(cell.strip() for cell in cells[:MAX_COLUMNS])))
            if len(found) > MAX_ROWS + 1:
                raise Invalid("file", f"has more than {MAX_ROWS} rows; cut it into several")
    except csv.Error as error:
        raise Invalid("file", f"line {reader.line_num}: the table is broken ({error})") from error
    return found


def read(content: bytes, delimiter: str | None = None) -> Sheet:
    """The table in a file, and a guess at it. Raises Invalid, StatementUnreadable for what is no text."""
    if len(content) > MAX_BYTES:
        raise Invalid("file", f"must have at most {MAX_BYTES} bytes")
    text = decode(content)
    first = text.lstrip("\ufeff").split("\n", 1)[0]
    chosen = delimiter or max(_DELIMITERS, key=first.count)
    rows = _cut(text, chosen)
    if len(rows) < 2:
        raise Invalid("file", "must have a row of heads and at least one more")
    header, body = rows[0][1], tuple(rows[1:])
    return Sheet(header=header, rows=body, guess=_guess(chosen, header, [cells for _, cells in body]))


def _guess(delimiter: str, header: Sequence[str], rows: Sequence[Sequence[str]]) -> ColumnMapping:
    columns: dict[str, int] = {}
    for name, pattern in FIELDS.items():
        for place, cell in enumerate(header):
            # "%" says that a column is a rate; words_of would drop it.
            words = words_of(cell) + (" %" if "%" in cell else "")
            if place not in columns.values() and len(cell) <= 60 and re.search(pattern, words):
                columns[name] = place
                break

    def values(name: str) -> list[str]:
        place = columns.get(name)
        return [] if place is None else [row[place] for row in rows[:_LOOKED_AT] if place < len(row)]

    formats = guess_date_formats([*values("issue_date"), *values("due_date")])
    decimal = guess_decimal([*values("unit_price"), *values("quantity")])
    return ColumnMapping(
        delimiter=delimiter,
        columns=columns,
        date_format=formats[0] if formats else "%Y-%m-%d",
        decimal="," if decimal == "," else ".",
    )


def groups(sheet: Sheet, mapping: ColumnMapping) -> list[Group]:
    """The invoices of a file under a mapping, each with what is wrong with its rows. Raises Invalid."""
    mapping.check()
    rows: dict[str, list[tuple[int, dict[str, str]]]] = {}
    for line, cells in sheet.rows:
        said = {name: cells[place] if place < len(cells) else "" for name, place in mapping.columns.items()}
        rows.setdefault(said.get("number") or f"line {line}", []).append((line, said))
    if len(rows) > MAX_INVOICES:
        raise Invalid("file", f"has more than {MAX_INVOICES} invoices; cut it into several")
    return [_group(entry, lines, mapping) for entry, lines in rows.items()]


def _group(entry: str, lines: Sequence[tuple[int, dict[str, str]]], mapping: ColumnMapping) -> Group:
    errors: list[RowError] = []
    line, head = lines[0]
    number = head.get("number") or None
    for other, said in lines[1:]:
        errors += [
            RowError(line=other, field=name, message=f"differs from line {line} of the same invoice")
            for name in ("email", "customer", "issue_date", "due_date", "currency")
            if said.get(name) and said[name] != head.get(name)
        ]
    currency = (head.get("currency") or mapping.currency).upper()
    issued = _day(head, "issue_date", line, mapping, errors)
    due = _day(head, "due_date", line, mapping, errors) if head.get("due_date") else None
    if due is None and issued is not None:
        due = issued + timedelta(days=mapping.payment_days)
    items = [_item(said, at, currency, mapping, errors) for at, said in lines]
    given: dict[str, Any] | None = None
    if not errors and issued is not None and due is not None:
        given = {
            "contact_name": head.get("customer", ""),
            "contact_email": head.get("email", ""),
            "contact_gstin": head.get("gstin") or None,
            "place_of_supply": head.get("place_of_supply") or None,
            "currency": currency,
            "issue_date": issued.isoformat(),
            "due_date": due.isoformat(),
            "reference": head.get("reference", ""),
            "payment_terms": head.get("payment_terms", ""),
            "notes": head.get("notes", ""),
            "items": items,
        }
    return Group(entry=entry, number=number, line=line, given=given, errors=tuple(errors))


def _day(said: Mapping[str, str], name: str, line: int, mapping: ColumnMapping, errors: list[RowError]) -> date | None:
    day = parse_day(said.get(name, ""), mapping.date_format)
    if day is None:
        form = DATE_FORMATS[mapping.date_format]
        errors.append(RowError(line=line, field=name, message=f"{said.get(name, '')[:40]!r} is no day like {form}"))
    return day


def _item(
    said: Mapping[str, str], line: int, currency: str, mapping: ColumnMapping, errors: list[RowError]
) -> dict[str, Any]:
    def number(name: str, default: str) -> str:
        spelled = (said.get(name) or default).replace("%", "").strip()
        other = "," if mapping.decimal == "." else "."
        try:
            value = Decimal(spelled.replace(other, "").replace(mapping.decimal, "."))
        except InvalidOperation:
            value = Decimal("NaN")
        if not value.is_finite() or len(spelled) > 40 or not spelled.isascii():
            errors.append(RowError(line=line, field=name, message=f"{spelled[:40]!r} is no number"))
            return "0"
        return format(value, "f")

    price = 0
    try:
        price = parse_amount(said.get("unit_price", ""), currency, mapping.decimal)
    except Invalid as error:
        errors.append(RowError(line=line, field=error.field if error.field == "currency" else "unit_price",
                               message=error.message))  # fmt: skip
    return {
        "description": said.get("description", ""),
        "quantity": number("quantity", "1"),
        "unit": said.get("unit", ""),
        "unit_price": price,
        "discount_rate": number("discount_rate", "0"),
        "tax_rate": number("tax_rate", "0"),
        "hsn": said.get("hsn", ""),
    }


def plain(error: RowError) -> dict[str, Any]:
    """As JSON."""
    return asdict(error)
