"""The number of a GST document, and the IRN that the portal makes of it (marketplace rules 2.10)."""

from __future__ import annotations

import hashlib
import re
from datetime import date
from enum import StrEnum

from core.taxids.fiscal import financial_year
from core.taxids.gstin import clean

MAX_NUMBER = 16
_NUMBER = re.compile(r"[A-Za-z0-9/-]{1,16}")


class DocumentKind(StrEnum):
    """What a document is."""

    INVOICE = "INV"
    CREDIT_NOTE = "CRN"
    DEBIT_NOTE = "DBN"


def fits_rule_46(number: str) -> bool:
    """Whether a number may stand on a GST document: 1 to 16 letters, digits, hyphens and slashes."""
    return _NUMBER.fullmatch(number) is not None


def recipe(gstin: str, issued: date, kind: DocumentKind, number: str) -> str:
    """What the IRN is the digest of: supplier, financial year, kind and number, with nothing between them."""
    return f"{clean(gstin)}{financial_year(issued)}{kind.value}{number.strip()}"


def irn(gstin: str, issued: date, kind: DocumentKind, number: str) -> str:
    """The IRN: SHA-256 of the recipe, 64 hexadecimal characters."""
    return hashlib.sha256(recipe(gstin, issued, kind, number).encode()).hexdigest()


def irn_fits(given: str, gstin: str, issued: date, kind: DocumentKind, number: str) -> bool:
    """Whether an IRN is the one of these values. Since June 2025 the portal reads numbers in capitals."""
    wanted = given.strip().lower()
    return wanted in {irn(gstin, issued, kind, number), irn(gstin, issued, kind, number.upper())}
