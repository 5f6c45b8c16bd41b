"""What a seller says of the tax document, and whether it can be true (marketplace rules 2.1, 2.3, 2.10).

What is left out is not judged: it only costs points of data quality. What is said must be well formed, and must not
contradict what the parties said of themselves in their KYC.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date
from typing import Any, Literal
from uuid import UUID

from core.errors import Invalid
from core.taxids import DocumentKind, Party, cross, gstin
from core.taxids.irn import MAX_NUMBER, fits_rule_46, irn_fits

_IRN = re.compile(r"[0-9a-f]{64}")
# How the checks of tax numbers name a field, and how a submission does.
_FIELDS = {"seller_gstin": "supplier_gstin", "buyer_gstin": "buyer_gstin"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Papers:
    """What a seller says of the document beside the invoice itself. Amounts in minor units; all may be left out."""

    supplier_gstin: str | None = None
    buyer_gstin: str | None = None
    document_type: Literal["INV", "CRN", "DBN"] = "INV"
    document_number: str | None = None
    irn: str | None = None
    # E-way bills and purchase orders.
    references: Sequence[str] = ()
    # Papers among core.files, by id.
    files: Sequence[UUID] = ()
    credit_notes: int = 0
    retention: int = 0
    tax_withheld: int = 0

    @property
    def deductions(self) -> int:
        """What the buyer will not pay of the face (marketplace rules 2.3: face is not payable)."""
        return self.credit_notes + self.retention + self.tax_withheld

    def shown(self) -> dict[str, Any]:
        """As it is stored and shown to the parties."""
        return {
            "supplier_gstin": self.supplier_gstin,
            "buyer_gstin": self.buyer_gstin,
            "document_type": self.document_type,
            "document_number": self.document_number,
            "irn": self.irn,
            "references": list(self.references),
            "files": [str(one) for one in self.files],
            "credit_notes": self.credit_notes,
            "retention": self.retention,
            "tax_withheld": self.tax_withheld,
        }


def clean(papers: Papers, total: int) -> Papers:
    """The papers of an invoice over `total`, their numbers as they are written. Raises Invalid naming the field."""
    _check_deductions(papers, total)
    if papers.document_type == "CRN":
        raise Invalid("document_type", "a credit note is owed to the buyer, and not financed")
    number = None if papers.document_number is None else papers.document_number.strip()
    if number is not None and not fits_rule_46(number):
        raise Invalid("document_number", f"must be 1 to {MAX_NUMBER} letters, digits, hyphens and slashes")
    irn = None if papers.irn is None else papers.irn.strip().lower()
    if irn is not None and not _IRN.fullmatch(irn):
        raise Invalid("irn", "is not an IRN: 64 hexadecimal characters")
    return replace(
        papers,
        supplier_gstin=_gstin(papers.supplier_gstin, "supplier_gstin"),
        buyer_gstin=_gstin(papers.buyer_gstin, "buyer_gstin"),
        document_number=number,
        irn=irn,
    )


def _gstin(given: str | None, field: str) -> str | None:
    return None if given is None else gstin.parse(given, field).text


def _check_deductions(papers: Papers, total: int) -> None:
    for name in ("credit_notes", "retention", "tax_withheld"):
        value = getattr(papers, name)
        if type(value) is not int or not 0 <= value <= total:
            raise Invalid(name, f"must be 0 to {total} minor units")
    if papers.deductions >= total:
        raise Invalid("credit_notes", "nothing is left to finance after the deductions")


def check_parties(papers: Papers, seller: Party, buyer: Party) -> None:
    """Whether cleaned papers fit their parties, who are known by KYC where papers say nothing.

    Raises Invalid naming the field. A number that was not given cannot be wrong here: an operator saw it in the KYC.
    """
    for finding in cross.check(seller, buyer):
        field = _FIELDS[finding.field]
        if finding.code == "same_pan" or getattr(papers, field) is not None:
            raise Invalid(field, f"cannot be: {finding.sentence}")


def check_irn(papers: Papers, seller: Party, issued: date, number: str) -> None:
    """Whether a given IRN is the one of its supplier, year, kind and number. Raises Invalid("irn").

    Without the supplier's GSTIN there is nothing to compare it with. `number` is the invoice's own.
    """
    if papers.irn is None or seller.gstin is None:
        return
    kind = DocumentKind(papers.document_type)
    if not irn_fits(papers.irn, seller.gstin, issued, kind, papers.document_number or number):
        raise Invalid("irn", "is not the one of this supplier, financial year, kind and number")
