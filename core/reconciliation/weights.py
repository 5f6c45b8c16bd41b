"""What each feature of a match weighs, and where its tiers begin. A change of any number here is a new version.

Every match is stored with the version that made it. The rules are those of marketplace rules 4.2: the score is the sum
of the weights, held between 0 and 1; margins are taken between sums before they are held. `docs/reconciliation.md`
publishes the table.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

# How the bank's text names the invoice (rules 2 and 3). "other": it names another open invoice and not this one.
_REFERENCE = {
    "link": 0.68,
    "exact": 0.62,
    "irn": 0.62,
    "all": 0.62,
    "compact": 0.60,
    "tail": 0.45,
    "near": 0.30,
    "serial": 0.25,
    "none": 0.0,
    "other": -0.20,
}
# How the amount compares with what is expected (rule 4).
_AMOUNT = {
    "exact": 0.33,
    "confirmed": 0.33,
    "sum": 0.33,
    "shares": 0.33,
    "tds_own": 0.32,
    "tds_sum": 0.30,
    "tds": 0.26,
    "fee": 0.20,
    "part": 0.08,
    "over": 0.05,
}
# Who paid (rules 2 and 5). "given": it came by an account or address that was given to one customer alone; "account":
# from one that the seller wrote down as theirs. "similar" is the most that a name can have that is not the same; it
# shrinks with the likeness.
_PAYER = {
    "given": 0.64,
    "account": 0.60,
    "remembered": 0.58,
    "known_name": 0.54,
    "name": 0.52,
    "similar": 0.42,
    "unknown": 0.0,
    "other": -0.25,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Weights:
    """Points of features, each a part of 1."""

    version: str = "2026-11.2"

    reference: Mapping[str, float] = field(default_factory=lambda: dict(_REFERENCE))
    amount: Mapping[str, float] = field(default_factory=lambda: dict(_AMOUNT))
    payer: Mapping[str, float] = field(default_factory=lambda: dict(_PAYER))
    # Rule 6: the most on the due date, falling to nothing at both ends of the window; outside it costs.
    date: float = 0.05
    date_outside: float = -0.10
    days_before: int = 30
    days_after: int = 90
    # No other open invoice of the customer is due with the amount; of any customer, where the payer is not recognised.
    distinct: float = 0.08
    # Invoices that nobody named and that add up to the amount: less than a named one, and always a person's to decide.
    unnamed_sum: float = 0.20
    tie_costs: float = 0.05

    # Rule 7.
    sure: float = 0.95
    margin: float = 0.15
    suggested: float = 0.70
    # Below this an answer is not even shown beside a line in suspense.
    shown: float = 0.25
    # What the whole-statement assignment looks at.
    considered: float = 0.55

    # A name that is less like is another; two names as like as this are not told apart.
    least_likeness: float = 86.0
    likeness_tie: float = 3.0
    # TDS in per cent, as the law knows them (domain 2.3).
    tds_rates: tuple[str, ...] = ("0.1", "1", "2", "5", "10")
    # What banks keep back on the way: at most 60 units of currency, and half a per cent.
    most_fee: int = 60_00
    most_fee_share: float = 0.005
    # Rule 8: subset sums over so many open invoices of a payer, oldest first.
    most_in_sum: int = 8


CURRENT = Weights()
