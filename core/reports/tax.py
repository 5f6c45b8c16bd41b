"""The tax summary of a period, in the sections of GSTR-1: what a seller or their accountant files from.

Amounts are in the home currency, by the rate of the document's day: a return is filed in rupees.
"""

from __future__ import annotations

from datetime import date
from typing import Any
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.orm import Session

from core.reports import filings, gst, gstr1, tax_tables
from core.reports.gstr1_documents import section_of
from core.reports.periods import Period, month_of
from core.reports.shape import Column, Figure, Picture, Point, Report, Row, Rows, Table
from core.reports.sources import Source, Sums, at_home, behind, converted, sums
from core.reports.tax_tables import Behind

# What a file holds at most of a section.
SHOWN = 10_000
_DOCUMENTS = text(
    # The numbers are looked up: to sort those of a year for them takes longer than to count them.
    "SELECT 'Invoices' AS kind, run.series, run.year, (SELECT number FROM invoices WHERE seller_id = :user "
    "AND series = run.series AND year = run.year AND sequence = run.first) AS first, (SELECT number FROM invoices "
    "WHERE seller_id = :user AND series = run.series AND year = run.year AND sequence = run.last) AS last, many, "
    "cancelled FROM (SELECT series, year, min(sequence) AS first, max(sequence) AS last, count(*) AS many, "
    "count(*) FILTER (WHERE status = 'void') AS cancelled FROM invoices WHERE seller_id = :user "
    "AND sequence IS NOT NULL AND status <> 'draft' AND issue_date BETWEEN :since AND :until GROUP BY series, year) "
    "AS run "
    "UNION ALL SELECT 'Credit notes', series, year, (array_agg(number ORDER BY sequence))[1], "
    "(array_agg(number ORDER BY sequence DESC))[1], count(*), count(*) FILTER (WHERE status = 'void') "
    "FROM credit_notes WHERE seller_id = :user AND status IN ('issued', 'void') "
    "AND issue_date BETWEEN :since AND :until GROUP BY series, year ORDER BY 1 DESC, 2, 3"
)
_LISTED = (
    "SELECT listed.*, contacts.name FROM (SELECT section, kind, id, label, contact_id, day, gstin, place, "
    "reverse_charge, charged, original, "
    f"{at_home('value')} AS value, rate, "
    + ", ".join(f"sum({at_home(name)})::bigint AS {name}" for name in gst.MEASURES)
    + " FROM ({lines}) AS line WHERE section = ANY(:sections) AND factor IS NOT NULL "
    "GROUP BY section, kind, id, label, contact_id, day, gstin, place, reverse_charge, charged, original, value, "
    "currency, factor, rate ORDER BY day, label, rate LIMIT :most) AS listed "
    "JOIN contacts ON contacts.id = listed.contact_id ORDER BY day, label, rate"
)


def issued(session: Session, user_id: UUID, since: date, until: date) -> list[dict[str, Any]]:
    """The runs of numbers of a period: {kind, series, first, last, many, cancelled}."""
    rows = session.execute(_DOCUMENTS, {"user": user_id, "since": since, "until": until})
    return [row._asdict() for row in rows]


def tax(session: Session, user_id: UUID, home: str, period: Period) -> Report:
    """The tax of a period by the sections of GSTR-1."""
    source = gst.lines(period.since, period.until)
    added = sums(session, user_id, home, source, tax_tables.BY, main="taxable")
    found = added.by_key

    def rows(measure: str, **parts: object) -> Rows:
        return behind(measure, period.since, period.until, **parts)

    report = Report(
        name="tax",
        title="Tax summary",
        how=(
            "Invoices and credit notes of the period by their own date, in the sections of GSTR-1. Drafts and "
            "cancelled documents are left out; the documents table counts the cancelled. Other currencies by the rate "
            "of the document's day. Lines at 0 % are nil rated, whatever the law calls them."
        ),
        home=home,
        since=period.since,
        until=period.until,
        apart=added.apart,
    )
    report.figures = _figures(added, home, rows)
    report.picture = _picture(added, rows)
    sql, values = converted(session, user_id, home, source)
    listed = session.execute(
        text(_LISTED.format(lines=sql)),
        {**values, "most": SHOWN, "sections": ["b2b", "b2b_rc", "b2cl", "exp", "cdnr", "cdnur"]},
    ).all()
    report.tables = [
        tax_tables.summary(found, home, rows),
        *tax_tables.documents(list(listed), home),
        *tax_tables.grouped(found, home, rows),
        _corrections(session, user_id, home, period),
        _series(session, user_id, home, period),
        tax_tables.plain(found, home, rows),
    ]
    return report


def _figures(added: Sums, home: str, rows: Behind) -> list[Figure]:
    said = (
        ("Taxable", "invoiced", ""),
        ("Tax invoiced", "invoiced_tax", "what buyers pay under reverse charge is not in it"),
        ("Tax of credit notes", "credited", "to be taken off"),
    )
    return [
        Figure(label=label, kind="money", value=added.total(name), currency=home, note=note, rows=rows(name))
        for label, name, note in said
    ]


def _picture(added: Sums, rows: Behind) -> Picture | None:
    kinds = [(name.upper(), f"net_{name}") for name in ("cgst", "sgst", "igst")]
    if not any(added.total(measure) for _, measure in kinds):
        return None
    return Picture(
        label="Tax by kind, less credit notes, reverse charge included",
        kind="money",
        points=[Point(word, added.total(measure), rows=rows(measure)) for word, measure in kinds],
    )


def _series(session: Session, user_id: UUID, home: str, period: Period) -> Table:
    head = ("Kind", "Series", "From", "To")
    return Table(
        name="documents",
        title="Documents issued, by series (13)",
        columns=(*(Column(one) for one in head), Column("In all", "number"), Column("Cancelled", "number")),
        rows=[
            Row(
                cells=(one["kind"], one["series"], one["first"], one["last"], one["many"], one["cancelled"]),
                currency=home,
            )
            for one in issued(session, user_id, period.since, period.until)
        ],
    )


def _corrections(session: Session, user_id: UUID, home: str, period: Period) -> Table:
    """What the return of the period's last month corrects."""
    month = month_of(period.until)
    found = filings.corrections(session, user_id, home, month)
    return Table(
        name="amendments",
        title="Corrections of filed months (9A, 9C, 10)",
        columns=(
            Column("Filed in"), Column("Number"), Column("What happened"), Column("Filed as"), Column("Is now"),
            Column("Filed taxable", "money"), Column("Taxable now", "money"), Column("Tax now", "money"),
        ),
        rows=[_correction(one, home) for one in found[:SHOWN]],
        note=f"For the return of {month:%B %Y}.",
        more=max(0, len(found) - SHOWN),
    )  # fmt: skip


def _correction(one: filings.Correction, home: str) -> Row:
    seen = one.now or one.was or {}
    if one.was is None:
        happened = "Came late: is listed among this month's"
    elif one.now is None:
        happened = "Cancelled"
    else:
        happened = "Changed"
    if not gstr1.uploadable(one):
        happened += "; the file cannot say it"

    def sum_of(facts: filings.Facts | None, *names: str) -> int | None:
        return None if facts is None else sum(line[name] for line in facts["lines"] for name in names)

    return Row(
        cells=(
            f"{one.month:%b %Y}", seen["number"], happened,
            None if one.was is None else section_of(one.was).upper(),
            None if one.now is None else section_of(one.now).upper(),
            sum_of(one.was, "taxable"), sum_of(one.now, "taxable"), sum_of(one.now, "cgst", "sgst", "igst"),
        ),
        currency=home,
        rows=Rows("invoices" if seen["kind"] == "invoice" else "credit_notes", {"id": str(one.document_id)}),
    )  # fmt: skip


def upload(session: Session, user_id: UUID, home: str, month: date) -> dict[str, Any]:
    """The file of a month for the portal. Of a filed month it says what was filed."""
    corrected = filings.corrections(session, user_id, home, month)
    months = {
        one: filings.facts(session, user_id, home, gst.lines(one, filings.last_day(one)))
        for one in {each.month for each in corrected if each.was is not None}
    }
    return gstr1.upload(
        filings.gstin(session, user_id) or "",
        month,
        filings.documents(session, user_id, home, month),
        corrected,
        months,
        issued(session, user_id, month, filings.last_day(month)),
    )


def source(period: Period) -> Source:
    """The lines that the summary adds up."""
    return gst.lines(period.since, period.until)
