"""The tax summary of a period, in the sections of GSTR-1: what a seller or their accountant files from.

Amounts are in the home currency, by the rate of the document's day: a return is filed in rupees.
"""

from __future__ import annotations

from collections import Counter
from datetime import date
from typing import Any
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.orm import Session

from core.reports import filings, gst, gstr1
from core.reports.periods import Period, month_of
from core.reports.shape import Column, Figure, Picture, Point, Report, Row, Rows, Table
from core.reports.sources import Source, at_home, behind, converted, sums
from core.taxids.gstin import STATES

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
_MONEY = tuple(Column(head, "money") for head in ("Taxable", "CGST", "SGST", "IGST"))
_RATE = Column("Rate", "percent")
_HEAD = (Column("Number"), Column("Date", "date"), Column("Customer"))
_BY = ("section", "place", "rate", "hsn", "unit", "buyers", "supply", "kind")
Sums = dict[tuple[Any, ...], Counter[str]]


def issued(session: Session, user_id: UUID, since: date, until: date) -> list[dict[str, Any]]:
    """The runs of numbers of a period: {kind, series, first, last, many, cancelled}."""
    rows = session.execute(_DOCUMENTS, {"user": user_id, "since": since, "until": until})
    return [row._asdict() for row in rows]


def _parts(one: Counter[str], prefix: str = "") -> tuple[int, ...]:
    return tuple(one[f"{prefix}{name}"] for name in gst.MEASURES)


def _by(found: Sums, names: tuple[str, ...], **only: str) -> list[tuple[tuple[Any, ...], Counter[str]]]:
    """The sums of the keys that are as `only` says, added up by some of their columns, in order."""
    place = {name: _BY.index(name) for name in _BY}
    added: Sums = {}
    for key, one in found.items():
        if all(key[place[name]] == value for name, value in only.items()):
            added.setdefault(tuple(key[place[name]] for name in names), Counter()).update(one)
    return sorted(added.items(), key=lambda each: tuple(_sortable(part) for part in each[0]))


def _sortable(value: Any) -> tuple[float, str]:
    try:
        return float(value), ""
    except (TypeError, ValueError):
        return 0.0, str(value or "")


def tax(session: Session, user_id: UUID, home: str, period: Period) -> Report:
    """The tax of a period by the sections of GSTR-1."""
    source = gst.lines(period.since, period.until)
    added = sums(session, user_id, home, source, _BY, main="taxable")
    found: Sums = added.by_key

    def total(measure: str) -> int:
        return sum(one[measure] for one in found.values())

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
    report.figures = [
        Figure(label="Taxable", kind="money", value=total("invoiced"), currency=home, rows=rows("invoiced")),
        Figure(
            label="Tax invoiced", kind="money", value=total("invoiced_tax"), currency=home, rows=rows("invoiced_tax"),
            note="what buyers pay under reverse charge is not in it",
        ),
        Figure(
            label="Tax of credit notes", kind="money", value=total("credited"), currency=home, note="to be taken off",
            rows=rows("credited"),
        ),
    ]  # fmt: skip
    kinds = [(name.upper(), f"net_{name}") for name in ("cgst", "sgst", "igst")]
    if any(total(measure) for _, measure in kinds):
        report.picture = Picture(
            label="Tax by kind, less credit notes, reverse charge included",
            kind="money",
            points=[Point(word, total(measure), rows=rows(measure)) for word, measure in kinds],
        )
    sql, values = converted(session, user_id, home, source)
    listed = session.execute(
        text(_LISTED.format(lines=sql)),
        {**values, "most": SHOWN, "sections": ["b2b", "b2b_rc", "b2cl", "exp", "cdnr", "cdnur"]},
    ).all()
    report.tables = [
        _summary(found, home, rows),
        *_documents(list(listed), home),
        *_grouped(found, home, rows),
        _corrections(session, user_id, home, period),
        _series(session, user_id, home, period),
        _plain(found, home, rows),
    ]
    return report


def _place(code: str) -> str:
    """A place of supply as the portal writes it: 29-Karnataka."""
    return f"{code}-{STATES[code]}" if code in STATES else code


def _summary(found: Sums, home: str, rows: Any) -> Table:
    named = dict(_by(found, ("section",)))
    return Table(
        name="sections",
        title="Sections of the return",
        columns=(Column("Section"), *_MONEY),
        rows=[
            Row(cells=(words, *_parts(one)), currency=home, rows=rows("taxable", section=section), column=1)
            for section, words in gst.SECTIONS.items()
            if (one := named.get((section,))) is not None
        ],
        note="Credit notes of 9B are shown as they are, and are to be taken off.",
    )


def _documents(listed: list[Any], home: str) -> list[Table]:
    """What a return lists one by one."""

    def table(name: str, title: str, sections: set[str], columns: tuple[Column, ...], cells: Any) -> Table:
        return Table(
            name=name,
            title=title,
            columns=(*_HEAD, *columns, Column("Value", "money"), _RATE, *_MONEY),
            rows=[
                Row(
                    cells=(row.label, row.day, row.name, *cells(row), row.value, row.rate,
                           row.taxable, row.cgst, row.sgst, row.igst),
                    currency=home,
                    rows=Rows("invoices" if row.kind == "invoice" else "credit_notes", {"id": str(row.id)}),
                )
                for row in listed
                if row.section in sections
            ],
        )  # fmt: skip

    place = Column("Place of supply")
    return [
        table("b2b", "B2B: to registered customers, by invoice and rate (4)", {"b2b", "b2b_rc"},
              (Column("GSTIN"), place, Column("Reverse charge")),
              lambda row: (row.gstin, _place(row.place), "Y" if row.reverse_charge else "N")),
        table("b2cl", "B2C large: to other states, above the limit (5)", {"b2cl"}, (place,),
              lambda row: (_place(row.place),)),
        table("exp", "Exports (6A)", {"exp"}, (Column("Payment of tax"),),
              lambda row: ("With" if row.charged else "Without",)),
        table("cdnr", "Credit notes to registered customers (9B)", {"cdnr"},
              (Column("Invoice"), Column("GSTIN"), place), lambda row: (row.original, row.gstin, _place(row.place))),
        table("cdnur", "Credit notes of exports and B2C large (9B)", {"cdnur"},
              (Column("Invoice"), place), lambda row: (row.original, _place(row.place))),
    ]  # fmt: skip


def _grouped(found: Sums, home: str, rows: Any) -> list[Table]:
    """What a return adds up."""
    nil = [
        Row(cells=(f"{words}, to {whom}", one["taxable"]), currency=home, column=1,
            rows=rows("taxable", section="nil", supply=supply, buyers=buyers))
        for (supply, buyers), one in _by(found, ("supply", "buyers"), section="nil")
        for words in ("Inside the state" if supply == "intra" else "To other states",)
        for whom in ("registered customers" if buyers == "b2b" else "others",)
    ]  # fmt: skip
    return [
        Table(
            name="b2cs",
            title="B2C others, by place of supply and rate, less credit notes (7)",
            columns=(Column("Place of supply"), _RATE, *_MONEY),
            rows=[
                Row(cells=(_place(place), rate, *_parts(one)), currency=home, column=2,
                    rows=rows("taxable", section="b2cs", place=place, rate=rate))
                for (place, rate), one in _by(found, ("place", "rate"), section="b2cs")
            ],
        ),
        Table(
            name="nil",
            title="Nil rated and exempt, less credit notes (8)",
            columns=(Column("Supplies"), Column("Amount", "money")),
            rows=nil,
        ),
        *(
            Table(
                name=f"hsn_{buyers}",
                title=f"HSN summary, {buyers.upper()}, less credit notes (12)",
                columns=(Column("HSN"), Column("Unit"), Column("Quantity", "number"), _RATE, *_MONEY),
                rows=[
                    Row(
                        cells=(hsn, unit, format(one["quantity"], "f").rstrip("0").rstrip(".") if "." in
                               format(one["quantity"], "f") else str(one["quantity"]), rate, *_parts(one, "net_")),
                        currency=home, column=4,
                        rows=rows("net_taxable", hsn=hsn, unit=unit, rate=rate, buyers=buyers),
                    )
                    for (hsn, unit, rate), one in _by(found, ("hsn", "unit", "rate"), buyers=buyers)
                ],
            )
            for buyers in ("b2b", "b2c")
        ),
    ]  # fmt: skip


def _plain(found: Sums, home: str, rows: Any) -> Table:
    return Table(
        name="plain",
        title="Other taxes, by rate, less credit notes",
        columns=(_RATE, Column("Taxable", "money"), Column("Tax", "money")),
        rows=[
            Row(cells=(rate, one["taxable"], one["plain"]), currency=home, column=1,
                rows=rows("taxable", section="plain", rate=rate))
            for (rate,), one in _by(found, ("rate",), section="plain")
        ],
    )  # fmt: skip


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
            None if one.was is None else gstr1.section_of(one.was).upper(),
            None if one.now is None else gstr1.section_of(one.now).upper(),
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
