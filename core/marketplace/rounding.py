"""Rounding of money: half up, once, on each named line; splits that add up (marketplace rules 2.3)."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from fractions import Fraction

from core.errors import Invalid

Number = int | Decimal | Fraction


def half_up(value: Number) -> int:
    """The nearest whole number, halves away from below: 0.5 is 1, 1.5 is 2, -0.5 is 0. Exact, without a context."""
    exact = Fraction(value)
    return (2 * exact.numerator + exact.denominator) // (2 * exact.denominator)


def decimal_of(value: Number, places: int) -> Decimal:
    """The value as a Decimal with so many places, half up; no thread's decimal context changes it."""
    return Decimal(f"{half_up(Fraction(value) * 10**places)}E-{places}")


def ceil_div(value: int, by: int) -> int:
    """The least whole number that is at least value / by."""
    return -(-value // by)


def split(total: int, weights: Sequence[int | Fraction]) -> list[int]:
    """Divide `total` (minor units) in proportion to the weights, by largest remainder, ties to the earlier place.

    The parts add up to exactly `total`, none is negative, and none differs from its exact share by a whole unit.
    Weights that add up to 0 can only share 0. Raises Invalid for a negative total or weight, and for a total that
    nobody has a weight for.
    """
    whole = sum(weights)
    if total < 0 or any(weight < 0 for weight in weights):
        raise Invalid("amount", "cannot be split: negative")
    if whole == 0:
        if total:
            raise Invalid("amount", "cannot be split: nobody has a share in it")
        return [0] * len(weights)
    parts: list[int] = []
    rests: list[tuple[int | Fraction, int]] = []
    for place, weight in enumerate(weights):
        part, rest = divmod(total * weight, whole)
        parts.append(int(part))
        rests.append((-rest, place))
    for _, place in sorted(rests)[: total - sum(parts)]:
        parts[place] += 1
    return parts
