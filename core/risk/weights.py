"""What each feature weighs and where it begins. A change of any number here is a new version.

Every assessment is stored with the version that made it, so that an old one can still be understood. Thresholds are
those of marketplace rules, section 5.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal

_LAKH = 1_00_000_00

# Data quality: what each fact that is missing takes from 100. They add up to 100.
_QUALITY = {
    "seller_gstin": 15,
    "buyer_gstin": 15,
    "seller_verified": 10,
    "buyer_verified": 10,
    "buyer_account": 10,
    "irn": 10,
    "document": 10,
    "weeks_of_history": 10,
    "proven_payments": 10,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Weights:
    """Thresholds and points. Points are of 100; a feature gives none up to its threshold."""

    version: str = "2026-11.1"

    # V1: robust z of this week's count or value against the 13 weeks before it.
    velocity_weeks: int = 13
    velocity_z: float = 3.5
    velocity_per_z: float = 1.5
    velocity_most: int = 15
    # V2: mean share of the limit in use over 30 days.
    utilisation_days: int = 30
    utilisation_share: float = 0.95
    utilisation_points: int = 5

    # S1 and S2 look at the invoices of the last 90 days; a few days of back-dating are office life.
    sequence_days: int = 90
    reversal_days: int = 3
    reversal_points: int = 5
    gap_share: float = 0.5
    gap_points: int = 2
    consecutive_share: float = 0.8
    consecutive_least: int = 5
    consecutive_points: int = 5

    # A1: amounts divisible by 1,000 major units. A2: amounts in 95-100 % of an approval limit. A3 never has points.
    round_unit: int = 1_000_00
    round_times: float = 3.0
    round_least: int = 5
    round_base_least: int = 20
    round_base_floor: float = 0.02
    round_hits: int = 3
    round_points: int = 5
    approval_limits: tuple[int, ...] = (_LAKH, 2 * _LAKH, 5 * _LAKH, 10 * _LAKH, 25 * _LAKH, 50 * _LAKH, 100 * _LAKH)
    near_limit_share: float = 0.95
    near_limit_times: float = 3.0
    near_limit_least: int = 3
    near_limit_points: int = 5
    benford_deviation: float = 0.015
    benford_least: int = 300
    amount_z: float = 3.5
    amount_least: int = 5
    amount_per_z: float = 2.0
    amount_most: int = 10

    # C1: sum of squared shares of sales. C2: 5 points for each of three repaid invoices that are missing.
    concentration_days: int = 90
    concentration: float = 0.40
    concentration_most: int = 15
    pair_repaid: int = 3
    pair_points: int = 5
    young_days: int = 30
    young_points: int = 5
    # C4: a way from the buyer back to the seller, of invoices of the last 90 days.
    circle_days: int = 90
    circle_longest: int = 5

    tenor_z: float = 3.5
    tenor_least: int = 5
    tenor_per_z: float = 2.0
    tenor_most: int = 10
    # MSMED: what a micro or small seller is owed is payable within 45 days.
    small_tenor_days: int = 45
    stale_days: int = 60
    stale_points: int = 5
    very_stale_days: int = 90
    very_stale_points: int = 10
    # T3: a week later at least; and an unpaid one is old when it is two weeks overdue.
    redate_days: int = 7
    redate_overdue_days: int = 15

    # B1: recency-weighted. Until a year old a payment counts in full, until two half, then a quarter.
    late_share_most: int = 20
    late_days_most: int = 10
    late_days: int = 30
    # B2: credit notes and short pay over sales; advance = 100 % - (2 x dilution + 5 %).
    dilution_days: int = 365
    dilution: float = 0.05
    haircut_times: int = 2
    haircut_base: Decimal = Decimal("0.05")
    short_pay_days: int = 30

    confirmation_seconds: int = 60
    dense_weeks: int = 13

    # From which score on a band begins, and the chance of default that pricing is checked with in it.
    elevated_from: int = 35
    high_from: int = 70
    default_chance: Mapping[str, Decimal] = field(
        default_factory=lambda: {"low": Decimal("0.005"), "elevated": Decimal("0.02"), "high": Decimal("0.08")}
    )
    loss_share: Decimal = Decimal("0.60")

    quality: Mapping[str, int] = field(default_factory=lambda: dict(_QUALITY))


CURRENT = Weights()
