"""The sections of GSTR-1 as tables: what is listed by document, and what is added up."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

from core.reports import gst
from core.reports.shape import Column, Row, Rows, Table
from core.taxids.gstin import STATES

_MONEY = tuple(Column(head, "money") for head in ("Taxable", "CGST", "SGST", "IGST"))
_RATE = Column("Rate", "percent")
_HEAD = (Column("Number"), Column("Date", "date"), Column("Customer"))
BY = ("section", "place", "rate", "hsn", "unit", "buyers", "supply", "kind")
# What leads to the rows behind a measure of a part.
Behind = Callable[..., Rows]
Sums = dict[tuple[Any, ...], Counter[str]]


def _parts(one: Counter[str], prefix: str = "") -> tuple[int, ...]:
    return tuple(one[f"{prefix}{name}"] for name in gst.MEASURES)


def _by(found: Sums, names: tuple[str, ...], **only: str) -> list[tuple[tuple[Any, ...], Counter[str]]]:
    """The sums of the keys that are as `only` says, added up by some of their columns, in order."""
    place = {name: BY.index(name) for name in BY}
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


def _place(code: str) -> str:
    """A place of supply as the portal writes it: 29-Karnataka."""
    return f"{code}-{STATES[code]}" if code in STATES else code


def summary(found: Sums, home: str, rows: Behind) -> Table:
    """One row a section."""
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


def documents(listed: list[Any], home: str) -> list[Table]:
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


def grouped(found: Sums, home: str, rows: Behind) -> list[Table]:
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
        *(_hsn(found, home, rows, buyers) for buyers in ("b2b", "b2c")),
    ]  # fmt: skip


def _hsn(found: Sums, home: str, rows: Behind, buyers: str) -> Table:
    return Table(
        name=f"hsn_{buyers}",
        title=f"HSN summary, {buyers.upper()}, less credit notes (12)",
        columns=(Column("HSN"), Column("Unit"), Column("Quantity", "number"), _RATE, *_MONEY),
        rows=[
            Row(
                cells=(hsn, unit, _quantity(one["quantity"]), rate, *_parts(one, "net_")),
                currency=home,
                rows=rows("net_taxable", hsn=hsn, unit=unit, rate=rate, buyers=buyers),
                column=4,
            )
            for (hsn, unit, rate), one in _by(found, ("hsn", "unit", "rate"), buyers=buyers)
        ],
    )


def _quantity(value: Any) -> str:
    """Without the places that say nothing."""
    spelled = format(value, "f")
    return spelled.rstrip("0").rstrip(".") if "." in spelled else spelled


def plain(found: Sums, home: str, rows: Behind) -> Table:
    """Taxes of those who are not registered."""
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
