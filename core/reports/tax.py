"""The tax summary of a period, in the sections of GSTR-1: what a seller or their accountant files from.

Amounts are as they stand on the documents, each currency by itself: a return is filed in rupees, and what was
invoiced in other money is for the accountant to convert by the rate that the law names.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.orm import Session

from core.reports.periods import Period
from core.reports.shape import Column, Figure, Picture, Point, Report, Row, Rows, Table

# What a file holds at most of a section.
SHOWN = 10_000
_INVOICES = (
    "FROM invoices JOIN invoice_items AS item ON item.invoice_id = invoices.id "
    "WHERE invoices.seller_id = :user AND invoices.status NOT IN ('draft', 'void') "
    "AND invoices.issue_date BETWEEN :since AND :until"
)
_PARTS = (
    "sum(item.net)::bigint AS taxable, sum(item.cgst)::bigint AS cgst, sum(item.sgst)::bigint AS sgst, "
    "sum(item.igst)::bigint AS igst"
)
_TOTALS = text(
    "SELECT currency, sum(subtotal)::bigint AS taxable, sum(tax)::bigint AS tax, sum(cgst)::bigint AS cgst, "
    "sum(sgst)::bigint AS sgst, sum(igst)::bigint AS igst FROM invoices WHERE seller_id = :user "
    "AND status NOT IN ('draft', 'void') AND issue_date BETWEEN :since AND :until GROUP BY 1 ORDER BY 1"
)
_B2B = text(
    "SELECT invoices.id, invoices.buyer_gstin, contacts.name, invoices.number, invoices.issue_date, invoices.total, "
    f"invoices.currency, invoices.place_of_supply, invoices.reverse_charge, item.tax_rate, {_PARTS} "
    f"{_INVOICES.replace('WHERE', 'JOIN contacts ON contacts.id = invoices.contact_id WHERE', 1)} "
    "AND invoices.tax_regime = 'gst' AND invoices.buyer_gstin IS NOT NULL "
    "GROUP BY invoices.id, contacts.name, item.tax_rate ORDER BY invoices.issue_date, invoices.number, item.tax_rate "
    "LIMIT :most"
)
_B2C = text(
    f"SELECT invoices.place_of_supply, item.tax_rate, invoices.currency, {_PARTS} {_INVOICES} "
    "AND invoices.tax_regime = 'gst' AND invoices.buyer_gstin IS NULL GROUP BY 1, 2, 3 ORDER BY 1, 2, 3"
)
_PLAIN = text(
    "SELECT item.tax_rate, invoices.currency, sum(item.net)::bigint AS taxable, sum(item.tax)::bigint AS tax, "
    f"count(DISTINCT invoices.id) AS many {_INVOICES} AND invoices.tax_regime = 'plain' GROUP BY 1, 2 ORDER BY 2, 1"
)
_HSN = text(
    "SELECT item.hsn, item.unit, item.tax_rate, invoices.currency, sum(item.quantity) AS quantity, "
    f"{_PARTS} {_INVOICES} AND invoices.tax_regime = 'gst' GROUP BY 1, 2, 3, 4 ORDER BY 1, 2, 3, 4 LIMIT :most"
)
_NOTES = text(
    "SELECT notes.number, notes.issue_date, notes.buyer_gstin, contacts.name, invoices.number AS invoice, "
    "notes.currency, notes.total, notes.place_of_supply, notes.subtotal, notes.cgst, notes.sgst, notes.igst, notes.tax "
    "FROM credit_notes AS notes JOIN contacts ON contacts.id = notes.contact_id "
    "JOIN invoices ON invoices.id = notes.invoice_id WHERE notes.seller_id = :user AND notes.status = 'issued' "
    "AND notes.issue_date BETWEEN :since AND :until ORDER BY notes.issue_date, notes.number LIMIT :most"
)
_DOCUMENTS = text(
    "SELECT 'Invoices' AS kind, series, year, (array_agg(number ORDER BY sequence))[1] AS first, "
    "(array_agg(number ORDER BY sequence DESC))[1] AS last, count(*) AS many, "
    "count(*) FILTER (WHERE status = 'void') AS cancelled FROM invoices WHERE seller_id = :user "
    "AND sequence IS NOT NULL AND issue_date BETWEEN :since AND :until GROUP BY series, year "
    "UNION ALL SELECT 'Credit notes', series, year, (array_agg(number ORDER BY sequence))[1], "
    "(array_agg(number ORDER BY sequence DESC))[1], count(*), count(*) FILTER (WHERE status = 'void') "
    "FROM credit_notes WHERE seller_id = :user AND issue_date BETWEEN :since AND :until GROUP BY series, year "
    "ORDER BY 1 DESC, 2, 3"
)
_MONEY = tuple(Column(head, "money") for head in ("Taxable", "CGST", "SGST", "IGST"))
_RATE = Column("Rate", "percent")


def _parts(row: Any) -> tuple[int, int, int, int]:
    return row.taxable, row.cgst, row.sgst, row.igst


def _rate(row: Any) -> str:
    return format(row.tax_rate.normalize(), "f")


def _rows(found: Iterable[Any], period: Period, cells: Any, **filters: str) -> list[Row]:
    of = _issued(period, **filters)
    return [Row(cells=cells(row), currency=row.currency, rows=of) for row in found]


def _issued(period: Period, **filters: str) -> Rows:
    return Rows("invoices", {"issued_from": period.since.isoformat(), "issued_to": period.until.isoformat(), **filters})


def tax(session: Session, user_id: UUID, home: str, period: Period) -> Report:
    """The tax of a period by the sections of GSTR-1."""
    values = {"user": user_id, "since": period.since, "until": period.until, "most": SHOWN}
    totals = session.execute(_TOTALS, values).all()
    mine = next((row for row in totals if row.currency == home), None)
    report = Report(
        name="tax",
        title="Tax summary",
        how=(
            "Invoices and credit notes of the period by their own date, in the sections of GSTR-1. Drafts and "
            "cancelled documents are left out; the documents table counts the cancelled. Each currency by itself."
        ),
        home=home,
        since=period.since,
        until=period.until,
        apart={row.currency: row.taxable for row in totals if row.currency != home},
    )
    names = ("taxable", "tax", "cgst", "sgst", "igst")
    taxable, tax_sum, cgst, sgst, igst = (0 if mine is None else getattr(mine, name) for name in names)
    notes = session.execute(_NOTES, values).all()
    credited = sum(row.tax for row in notes if row.currency == home)
    report.figures = [
        Figure(label="Taxable", kind="money", value=taxable, currency=home, rows=_issued(period, currency=home)),
        Figure(
            label="Tax invoiced",
            kind="money",
            value=tax_sum,
            currency=home,
            note="what buyers pay under reverse charge is not in it",
        ),
        Figure(label="Tax of credit notes", kind="money", value=credited, currency=home, note="to be taken off"),
    ]
    if cgst or sgst or igst:
        points = [Point("CGST", cgst), Point("SGST", sgst), Point("IGST", igst)]
        report.picture = Picture(label="Tax by kind, reverse charge included", kind="money", points=points)
    report.tables = [*_sales(session, values, period), *_rest(session, values, period, notes)]
    return report


def _sales(session: Session, values: dict[str, Any], period: Period) -> list[Table]:
    b2b = session.execute(_B2B, values).all()
    b2c = session.execute(_B2C, values).all()
    head = ("GSTIN", "Customer", "Invoice")
    return [
        Table(
            name="b2b",
            title="B2B: to registered customers, by invoice and rate",
            columns=(
                *(Column(one) for one in head), Column("Date", "date"), Column("Value", "money"),
                Column("Place of supply"), Column("Reverse charge"), _RATE, *_MONEY,
            ),
            rows=[
                Row(
                    cells=(
                        row.buyer_gstin, row.name, row.number, row.issue_date, row.total, row.place_of_supply,
                        "Y" if row.reverse_charge else "N", _rate(row), *_parts(row),
                    ),
                    currency=row.currency,
                    rows=Rows("invoices", {"id": str(row.id)}),
                )
                for row in b2b
            ],
        ),
        Table(
            name="b2c",
            title="B2C: to everybody else, by place of supply and rate",
            columns=(Column("Place of supply"), _RATE, *_MONEY),
            rows=_rows(b2c, period, lambda row: (row.place_of_supply, _rate(row), *_parts(row))),
        ),
    ]  # fmt: skip


def _rest(session: Session, values: dict[str, Any], period: Period, notes: Iterable[Any]) -> list[Table]:
    hsn = session.execute(_HSN, values).all()
    plain = session.execute(_PLAIN, values).all()
    documents = session.execute(_DOCUMENTS, values).all()
    return [
        Table(
            name="hsn",
            title="HSN summary",
            columns=(Column("HSN"), Column("Unit"), Column("Quantity", "number"), _RATE, *_MONEY),
            rows=_rows(
                hsn,
                period,
                lambda row: (row.hsn, row.unit, format(row.quantity.normalize(), "f"), _rate(row), *_parts(row)),
            ),
        ),
        Table(
            name="credit_notes",
            title="Credit notes",
            columns=(
                Column("Credit note"), Column("Date", "date"), Column("Invoice"), Column("GSTIN"), Column("Customer"),
                Column("Place of supply"), Column("Value", "money"), *_MONEY,
            ),
            rows=[
                Row(
                    cells=(
                        row.number, row.issue_date, row.invoice, row.buyer_gstin, row.name, row.place_of_supply,
                        row.total, row.subtotal, row.cgst, row.sgst, row.igst,
                    ),
                    currency=row.currency,
                )
                for row in notes
            ],
        ),
        Table(
            name="documents",
            title="Documents issued, by series",
            columns=(
                Column("Kind"), Column("Series"), Column("From"), Column("To"), Column("In all", "number"),
                Column("Cancelled", "number"),
            ),
            rows=[
                Row(cells=(row.kind, row.series, row.first, row.last, row.many, row.cancelled), currency="INR")
                for row in documents
            ],
        ),
        Table(
            name="plain",
            title="Other taxes, by rate",
            columns=(_RATE, Column("Invoices", "number"), Column("Taxable", "money"), Column("Tax", "money")),
            rows=_rows(plain, period, lambda row: (_rate(row), row.many, row.taxable, row.tax)),
        ),
    ]  # fmt: skip
