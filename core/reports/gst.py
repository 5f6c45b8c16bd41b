"""What a GST return is made of: every document of a period by the section of GSTR-1 that it belongs to.

Sections, by the form as it stands in 2026 (CGST Rules, rule 59, and the portal's tables):
- b2b (4A; 4B under reverse charge): to a customer with a GSTIN, by document and rate;
- b2cl (5): from one state to another, to somebody without one, where the invoice is above the limit of its day;
- b2cs (7): what is left, by place of supply and rate, less its credit notes;
- exp (6A): the place of supply is outside India (state code 96). Where IGST is charged it is "with payment of tax",
  where none is, "without" (a bond or letter of undertaking);
- cdnr, cdnur (9B): credit notes to customers with a GSTIN, and those of exports and of b2cl;
- nil (8): lines at 0 %, exports apart.

A credit note belongs where its invoice does.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from typing import Final
from uuid import UUID

from core.reports.sources import Source

ABROAD: Final = "96"
# Above these an invoice to another state is listed by itself: Notification 12/2024 (Central Tax) of 10 July 2024.
LIMIT_BEFORE: Final = 2_50_000_00
LIMIT: Final = 1_00_000_00
LIMIT_SINCE: Final = date(2024, 8, 1)
SECTIONS: Final = {
    "b2b": "B2B: to registered customers (4A)",
    "b2b_rc": "B2B under reverse charge (4B)",
    "b2cl": "B2C large: to other states, above the limit (5)",
    "exp": "Exports (6A)",
    "b2cs": "B2C others, less credit notes (7)",
    "nil": "Nil rated and exempt (8)",
    "cdnr": "Credit notes to registered customers (9B)",
    "cdnur": "Credit notes of exports and B2C large (9B)",
}

# Of the invoice, also for its credit notes; `worth` is its total in the home currency.
_OF_INVOICE = (
    f"CASE WHEN invoices.place_of_supply = '{ABROAD}' THEN 'exp' WHEN invoices.buyer_gstin IS NOT NULL THEN 'b2b' "
    "WHEN invoices.supplier_state <> invoices.place_of_supply AND invoices.total > CASE "
    f"WHEN invoices.issue_date >= DATE '{LIMIT_SINCE}' THEN {LIMIT} ELSE {LIMIT_BEFORE} END THEN 'b2cl' "
    "ELSE 'b2cs' END"
)
_LINE = (
    "coalesce(item.tax_rate, 0) AS rate, coalesce(item.hsn, '') AS hsn, coalesce(item.unit, '') AS unit, "
    "item.quantity, item.net AS taxable, item.cgst, item.sgst, item.igst, item.tax AS plain"
)
# One row a line of a document. `home` is what the parameters :since and :until name: days, or documents by id.
_LINES = (
    "SELECT 'invoice' AS kind, invoices.id, invoices.number AS label, invoices.contact_id, "
    "invoices.issue_date AS day, invoices.currency, invoices.tax_regime, invoices.buyer_gstin, "
    "invoices.supplier_state, invoices.place_of_supply AS place, invoices.reverse_charge, invoices.total AS value, "
    "invoices.igst > 0 AS charged, NULL::text AS original, "
    f"{_OF_INVOICE} AS belongs, {_LINE} "
    "FROM invoices JOIN invoice_items AS item ON item.invoice_id = invoices.id "
    "WHERE invoices.seller_id = :user AND invoices.status NOT IN ('draft', 'void') AND {invoices} "
    "UNION ALL SELECT 'credit_note', notes.id, notes.number, notes.contact_id, notes.issue_date, notes.currency, "
    "notes.tax_regime, notes.buyer_gstin, notes.supplier_state, notes.place_of_supply, notes.reverse_charge, "
    f"notes.total, invoices.igst > 0, invoices.number, {_OF_INVOICE}, {_LINE} FROM credit_notes AS notes "
    "JOIN invoices ON invoices.id = notes.invoice_id JOIN credit_note_items AS item ON item.credit_note_id = notes.id "
    "WHERE notes.seller_id = :user AND notes.status = 'issued' AND {notes}"
)
_DAYS = {
    "invoices": "invoices.issue_date BETWEEN :since AND :until",
    "notes": "notes.issue_date BETWEEN :since AND :until",
}
# Which documents are asked for by id.
_NAMED = {"invoices": "invoices.id = ANY(:documents)", "notes": "notes.id = ANY(:documents)"}
_SECTION = (
    "CASE WHEN tax_regime <> 'gst' THEN 'plain' WHEN belongs = 'exp' THEN CASE kind WHEN 'invoice' THEN 'exp' ELSE "
    "'cdnur' END WHEN rate = 0 THEN 'nil' WHEN belongs = 'b2b' THEN CASE WHEN kind = 'credit_note' THEN 'cdnr' "
    "WHEN reverse_charge THEN 'b2b_rc' ELSE 'b2b' END WHEN belongs = 'b2cl' THEN CASE kind WHEN 'invoice' THEN 'b2cl' "
    "ELSE 'cdnur' END ELSE 'b2cs' END"
)
# Sales less what was credited of them, where a table has both; a table of credit notes has them as they are.
_SIGN = "CASE WHEN kind = 'credit_note' AND section IN ('b2cs', 'nil', 'plain') THEN -1 ELSE 1 END"
_OFF = "CASE kind WHEN 'credit_note' THEN -1 ELSE 1 END"
MEASURES: Final = ("taxable", "cgst", "sgst", "igst")


def _sql(which: dict[str, str]) -> str:
    # A document's own money is converted by the rate of its day.
    signed = ", ".join(f"{_SIGN} * {name} AS {name}" for name in (*MEASURES, "plain"))
    net = ", ".join(f"{_OFF} * {name} AS net_{name}" for name in MEASURES)
    return (
        "SELECT kind, id, label, contact_id, day, currency, day AS rate_day, section, buyer_gstin AS gstin, place, "
        "reverse_charge, value, charged, original, belongs, rate::float8::text AS rate, hsn, upper(unit) AS unit, "
        f"CASE WHEN supplier_state = place THEN 'intra' ELSE 'inter' END AS supply, "
        f"CASE WHEN tax_regime <> 'gst' THEN '' WHEN belongs = 'b2b' THEN 'b2b' ELSE 'b2c' END AS buyers, "
        f"{_OFF} * quantity AS quantity, kind || id AS document, "
        f"CASE WHEN kind = 'credit_note' AND NOT reverse_charge THEN plain ELSE 0 END AS credited, "
        f"CASE WHEN kind = 'invoice' THEN taxable ELSE 0 END AS invoiced, "
        f"CASE WHEN kind = 'invoice' AND NOT reverse_charge THEN plain ELSE 0 END AS invoiced_tax, "
        f"{signed}, {net}, 1 AS many FROM (SELECT *, {_SECTION} AS section FROM ({_LINES.format(**which)}) AS line) "
        "AS sorted"
    )


PARTS: Final = (
    "section", "place", "rate", "hsn", "unit", "buyers", "supply", "charged", "gstin", "document",
)  # fmt: skip
_ALL: Final = (
    *MEASURES, *(f"net_{name}" for name in MEASURES), "plain", "credited", "invoiced", "invoiced_tax",
)  # fmt: skip


_FOREIGN = (
    "SELECT currency, issue_date AS rate_day FROM invoices WHERE seller_id = :user "
    "AND status NOT IN ('draft', 'void') AND {invoices} "
    "UNION ALL SELECT currency, issue_date FROM credit_notes AS notes "
    "WHERE seller_id = :user AND status = 'issued' AND {notes}"
)


def _source(which: dict[str, str], values: dict[str, object]) -> Source:
    return Source(
        sql=_sql(which), values=values, parts=PARTS, measures=_ALL, counts=("many", "quantity"),
        foreign=_FOREIGN.format(**which), lines=True,
    )  # fmt: skip


def lines(since: date, until: date) -> Source:
    """The lines of all documents of a period, by section of the return; credit notes count against what they credit."""
    return _source(_DAYS, {"since": since, "until": until})


def named(documents: Sequence[UUID]) -> Source:
    """The lines of these invoices and credit notes, whatever their day."""
    return _source(_NAMED, {"documents": list(documents)})
