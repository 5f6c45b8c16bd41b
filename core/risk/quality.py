"""Data quality: how much of what a judgement needs is known at all. 100 is everything."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from core.risk.facts import History
from core.risk.weights import Weights

# A fact: what is said when it is missing, and how it would read if it were there.
_WORDS: Mapping[str, tuple[str, str]] = {
    "seller_gstin": ("The seller's GSTIN is not known.", "the seller's GSTIN were known"),
    "buyer_gstin": ("The buyer's GSTIN is not known.", "the buyer's GSTIN were known"),
    "seller_verified": ("The seller's identity is not proven by papers.", "the seller's papers were verified"),
    "buyer_verified": ("The buyer's identity is not proven by papers.", "the buyer's papers were verified"),
    "buyer_account": ("The buyer has no account here.", "the buyer had an account here"),
    "irn": ("The invoice has no registration number (IRN).", "the invoice had its IRN"),
    "document": ("No document is attached.", "the document were attached"),
    "weeks_of_history": ("The seller has been invoicing here for less than 13 weeks.", "the seller had 13 weeks here"),
    "proven_payments": (
        "No payment to this seller was reported by a bank or gateway.",
        "a bank or gateway had reported a payment to this seller",
    ),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Gap:
    """A fact that is missing, and what it takes."""

    name: str
    points: int
    sentence: str
    counterfactual: str | None = None


def gaps(history: History, weights: Weights) -> tuple[Gap, ...]:
    """Everything that is missing, what weighs most first."""
    missing = [name for name in weights.quality if not history.known.get(name, False)]
    found = [Gap(name=name, points=weights.quality[name], sentence=_WORDS[name][0]) for name in missing]
    return tuple(sorted(found, key=lambda gap: (-gap.points, gap.name)))


def score(history: History, weights: Weights) -> int:
    """0 to 100."""
    return 100 - sum(gap.points for gap in gaps(history, weights))


def explained(history: History, weights: Weights) -> tuple[int, tuple[Gap, ...]]:
    """The score and its gaps, each with what the score would be without it, by scoring again."""
    told = []
    for gap in gaps(history, weights):
        better = replace(history, known={**history.known, gap.name: True})
        told.append(replace(gap, counterfactual=f"{score(better, weights)} if {_WORDS[gap.name][1]}"))
    return score(history, weights), tuple(told)
