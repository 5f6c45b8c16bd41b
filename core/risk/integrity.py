"""Whether the tax document can be true (G1): tax numbers, arithmetic, IRN. What is not known passes neither way."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import text
from sqlalchemy.orm import Session

from core.risk.facts import Check
from core.risk.identities import Parties
from core.taxids import DocumentKind, Party, cross
from core.taxids.irn import irn_fits

# Every line rounded half up, once, as core.invoicing.invoices does; numeric rounds half away from zero.
_SUMS = text(
    "SELECT count(*) AS lines, coalesce(sum(net), 0) AS net, coalesce(sum(tax), 0) AS tax, "
    "coalesce(bool_and(net = round(quantity * unit_price) AND tax = round(net * tax_rate / 100)), true) AS exact "
    "FROM invoice_items WHERE invoice_id = :id"
)


def _arithmetic(session: Session, subject: Any) -> Check:
    sums = session.execute(_SUMS, {"id": subject.id}).one()
    if not sums.lines:
        return Check(name="tax_arithmetic", passed=None)
    passed = bool(sums.exact) and (sums.net, sums.tax) == (subject.subtotal, subject.tax)
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
