"""Explainable risk: what speaks against an invoice, in three outputs that are never merged (docs/risk.md)."""

from __future__ import annotations

from core.risk.assessments import assess, latest, risk_of, shown
from core.risk.reviews import open_stops
from core.risk.scoring import Assessment, priced

__all__ = ["Assessment", "assess", "latest", "open_stops", "priced", "risk_of", "shown"]
