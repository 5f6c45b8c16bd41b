"""Annual rates, computed from amounts of money and days, in Decimal, to fixed places (marketplace rules 2.3).

A rate is a fraction per year with six places: 0.120000 is 12 %. None means that it has no meaning: nothing runs for
zero days, and a rate above a million (100 million percent) is an artefact of a very short time.
"""

from __future__ import annotations

from collections.abc import Sequence
from decimal import ROUND_HALF_UP, Context, Decimal, Overflow, localcontext
from fractions import Fraction

YEAR = 365
PLACES = Decimal("0.000001")
_LARGEST = Decimal(10**6)
_PRECISION = 40


def _context() -> Context:
    """Far more digits than are kept, and its own, so that no thread's setting changes a rate."""
    return Context(prec=_PRECISION, rounding=ROUND_HALF_UP, Emax=999_999, Emin=-999_999, traps=[Overflow])


def shown(value: Fraction | Decimal) -> Decimal | None:
    """The value to six places, half up, or None when it is too large to mean anything."""
    with localcontext(_context()):
        exact = Decimal(value.numerator) / value.denominator if isinstance(value, Fraction) else value
        return exact.quantize(PLACES) if exact <= _LARGEST else None


def simple(gain: int, paid: int, days: int, basis: int = YEAR) -> Decimal | None:
    """The simple annual rate of a gain (minor units) on what was paid, over so many days: gain / paid x basis / days.

    With model A's gain P·r·d/B on P - P·r·d/B it is r / (1 - r·d/B).
    """
    return shown(Fraction(gain * basis, paid * days)) if paid > 0 and days > 0 else None


def effective(paid: int, received: int, days: int) -> Decimal | None:
    """The effective annual rate of paying once and receiving once: (received / paid)^(365 / days) - 1."""
    if paid <= 0 or days <= 0:
        return None
    if received <= 0:
        return Decimal(-1).quantize(PLACES)
    with localcontext(_context()):
        return shown((Decimal(received) / paid) ** (Decimal(YEAR) / days) - 1)


def realised(paid: int, receipts: Sequence[tuple[int, int]]) -> Decimal | None:
    """The effective annual rate of paying once and receiving (days after paying, amount) in several parts.

    The one rate at which the receipts, discounted to the day of paying, are worth what was paid; found by halving, as
    their worth only falls when the rate grows. Receipts on the day of paying have no time to earn: when nothing else
    came, there is no rate.
    """
    later = [(days, amount) for days, amount in receipts if amount > 0 and days > 0]
    rest = paid - sum(amount for days, amount in receipts if days <= 0)
    if paid <= 0 or rest <= 0:
        return None
    if len(later) < 2:
        return effective(rest, later[0][1] if later else 0, later[0][0] if later else 1)
    with localcontext(_context()):
        # In logarithms of 1 + rate: the lowest is a loss of all but 10^-43 a year, the highest is the largest shown.
        low, high = Decimal(-100), (_LARGEST * 10).ln()
        for _ in range(64):
            middle = (low + high) / 2
            worth = sum((amount * (-middle * days / YEAR).exp() for days, amount in later), Decimal(0))
            low, high = (middle, high) if worth > rest else (low, middle)
        return shown(low.exp() - 1)
