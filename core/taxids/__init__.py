"""India's tax numbers: GSTIN, PAN, IRN, Udyam, and the tax of an invoice. Pure: nothing here asks anybody."""

from __future__ import annotations

from core.taxids.cross import Finding, Party
from core.taxids.fiscal import financial_year
from core.taxids.gstin import Gstin
from core.taxids.irn import DocumentKind

__all__ = ["DocumentKind", "Finding", "Gstin", "Party", "financial_year"]
