"""Whether the tax document can be true (G1): tax numbers, arithmetic, IRN. What is not known passes neither way."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import text
from sqlalchemy.orm import Session

from core.invoicing import totals
from core.risk.facts import Check
from core.risk.identities import Parties
from core.taxids import DocumentKind, Party, cross
from core.taxids.irn import irn_fits

_LINES = text(
    "SELECT description, unit, hsn, quantity, unit_price, discount_rate, tax_rate, net + discount AS gross, discount, "
    "net, tax, cgst, sgst, igst FROM invoice_items WHERE invoice_id = :id ORDER BY position"
)
_TERMS = text(
    "SELECT currency, tax_regime, supplier_state, place_of_supply, reverse_charge, subtotal, tax, rounding, total "
    "FROM invoices WHERE id = :id"
)
_ITEM = ("description", "unit", "hsn", "quantity", "unit_price", "discount_rate", "tax_rate")


def _arithmetic(session: Session, subject: Any) -> Check:
    """Whether lines, taxes and sums are what core.invoicing.totals makes of what was filled in."""
    lines = [row._asdict() for row in session.execute(_LINES, {"id": subject.id})]
    if not lines:
        return Check(name="tax_arithmetic", passed=None)
    row = session.execute(_TERMS, {"id": subject.id}).one()
    right = totals.compute(
        [totals.NewItem(**{name: line[name] for name in _ITEM}) for line in lines],
        totals.Basis(
            currency=row.currency,
            regime=row.tax_regime,
            supplier_state=row.supplier_state,
            place_of_supply=row.place_of_supply,
            reverse_charge=row.reverse_charge,
        ),
    )
    stored = tuple(totals.Line(**{name: value for name, value in line.items() if name not in _ITEM}) for line in lines)
    sums = (row.subtotal, row.tax, row.total - row.rounding)
    passed = stored == right.lines and sums == (right.subtotal, right.tax, right.total)
    return Check(
        name="tax_arithmetic", passed=passed, detail="" if passed else "Its lines and taxes do not add up to its total."
    )


def _numbers(document: Mapping[str, Any], parties: Parties) -> list[Check]:
    seller = Party(gstin=document.get("supplier_gstin") or parties.seller.gstin, pan=parties.seller.pan)
    buyer = Party(gstin=document.get("buyer_gstin") or parties.buyer.gstin, pan=parties.buyer.pan)
    if not seller.gstin and not buyer.gstin:
        return [Check(name="gstin", passed=None)]
    # One person on both sides is a shared identity (C3), not a flaw of the document.
    found = [finding for finding in cross.check(seller, buyer) if finding.code != "same_pan"]
    return [Check(name=finding.code, passed=False, detail=finding.sentence) for finding in found] or [
        Check(name="gstin", passed=True)
    ]


def _irn(document: Mapping[str, Any], parties: Parties, subject: Any) -> Check:
    given, gstin = document.get("irn"), document.get("supplier_gstin") or parties.seller.gstin
    if not given or not gstin:
        return Check(name="irn", passed=None)
    kind = DocumentKind(document.get("document_type") or "INV")
    passed = irn_fits(given, gstin, subject.issue_date, kind, document.get("document_number") or subject.number)
    detail = "" if passed else "Its registration number (IRN) is not the one of its seller, year and number."
    return Check(name="irn", passed=passed, detail=detail)


def checks(session: Session, subject: Any, parties: Parties) -> tuple[Check, ...]:
    """Every check of a document. The signature of the QR code and HSN codes are not known here yet. One query."""
    document: Mapping[str, Any] = subject.document or {}
    return (
        _arithmetic(session, subject),
        *_numbers(document, parties),
        _irn(document, parties, subject),
        Check(name="qr_signature", passed=None),
        Check(name="hsn", passed=None),
    )
