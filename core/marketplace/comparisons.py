"""Figures that the platform shows beside its own and never posts (marketplace rules 2.3 and 2.8)."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction

from core.marketplace.pricing import BASIS, discount_in_advance
from core.marketplace.rounding import half_up

_LARGEST_HAIRCUT = Decimal("0.99")


def true_discount(principal: int, rate: Decimal, days: int, basis: int = BASIS) -> int:
    """Model B, true discount: the outlay P / (1 + r·d/B), in minor units, that grows to P at the rate."""
    return half_up(principal / (1 + Fraction(rate) * days / basis))


def charge_in_arrears(principal: int, rate: Decimal, actual_days: int, basis: int = BASIS) -> int:
    """Model C, accrual in arrears: the outlay is P, and this charge comes out of the reserve when the buyer pays."""
    return discount_in_advance(principal, rate, actual_days, basis)


def suggested_haircut(dilution: Decimal) -> Decimal:
    """Twice the dilution (credit notes, returns, deductions over sales) plus 5 %: 0.03 gives 0.11."""
    return min(2 * dilution + Decimal("0.05"), _LARGEST_HAIRCUT)


def statutory_interest(amount: int, bank_rate: Decimal, months: int) -> int:
    """What a buyer owes a small supplier by law (MSMED Act, section 16): three times the bank rate, monthly rests."""
    return half_up(amount * ((1 + 3 * Fraction(bank_rate) / 12) ** months - 1))
