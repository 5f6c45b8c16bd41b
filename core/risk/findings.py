"""What a feature says when it has something to say."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from enum import StrEnum
from typing import Any

from core.documents import wording


class Kind(StrEnum):
    """What a finding does. Only POINTS add up; the others never touch the score."""

    STOP = "stop"
    REVIEW = "review"
    POINTS = "points"
    HAIRCUT = "haircut"
    INFO = "info"


@dataclass(frozen=True, slots=True, kw_only=True)
class Other:
    """An invoice on the other side of a finding."""

    invoice_id: str
    number: str
    says: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One reason. `values` are the raw figures, `evidence` is what makes it the same finding the next time."""

    code: str
    kind: Kind
    sentence: str
    values: Mapping[str, Any] = field(default_factory=dict)
    points: Decimal = Decimal(0)
    evidence: str = ""
    hard: bool = False
    others: tuple[Other, ...] = ()
    counterfactual: str | None = None


# What each code is called; shown beside it everywhere.
TITLES = {
    "D1": "Exact duplicate",
    "D2": "Near duplicate",
    "V1": "Sudden growth",
    "V2": "Limit fully used",
    "S1": "Numbers against dates",
    "S2": "Consecutive numbers to one buyer",
    "A1": "Round amounts",
    "A2": "Just under a limit",
    "A3": "First digits",
    "A4": "Unusual amount",
    "C1": "Few buyers",
    "C2": "New counterparty",
    "C3": "Shared identity",
    "C4": "Circular trade",
    "T1": "Unusual tenor",
    "T2": "Old or future invoice",
    "T3": "Re-dated invoice",
    "B1": "Buyer pays late",
    "B2": "Dilution",
    "G1": "Tax document",
    "K1": "Hasty confirmation",
}


def spell(minor: int, currency: str) -> str:
    """An amount as it stands in a sentence: ₹1,25,000.00."""
    return wording.money(minor, currency)


def percent(share: float | Decimal) -> str:
    """A share as percent without needless zeros."""
    return f"{round(float(share) * 100, 1):g} %"


def plural(number: int, one: str, many: str | None = None) -> str:
    """`3 invoices`, `1 invoice`."""
    return f"{number} {one if number == 1 else many or one + 's'}"
