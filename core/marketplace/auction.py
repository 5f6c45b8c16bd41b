"""Sealed reverse auction: investors bid rates, the lowest are filled first (marketplace rules 2.5).

A total order decides: rate, then the server's sequence number, never a clock. The result depends on the set of bids
alone, so it can be replayed from what is stored. Amounts are principal in minor units, rates fractions per year.

Smallest slice: a bid must be at least `min_slice` (or the whole target, when that is less). The marginal bid is filled
in part, with what is left of the target, even when that is less than `min_slice`: no bid is passed over for a worse
one, and the target is met whenever the bids suffice. What nobody bid for is the shortfall; whether a deal with one
stands is the caller's decision.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum
from fractions import Fraction
from uuid import UUID

from core.errors import Invalid
from core.marketplace.pricing import BASIS, RATE_PLACES, check_rate
from core.marketplace.rounding import decimal_of, half_up, split

# Below this a slice could be priced at nothing by rounding.
MIN_BID = 100
_MOST_DISCOUNT = Fraction(9, 10)


class Pricing(StrEnum):
    """What the winners get: all the marginal rate, or each the own rate."""

    UNIFORM = "uniform"
    PAY_AS_BID = "pay_as_bid"


@dataclass(frozen=True, slots=True, kw_only=True)
class Bid:
    """An offer to buy `amount` of principal at a discount of at least `rate` a year. `sequence` is the server's."""

    id: UUID | str
    sequence: int
    rate: Decimal
    amount: int
    investor: UUID | str


@dataclass(frozen=True, slots=True, kw_only=True)
class Fill:
    """What a bid won: `amount` of principal, bought for `outlay`. `rate` is the one it was priced at."""

    bid: Bid
    amount: int
    rate: Decimal
    discount: int

    @property
    def outlay(self) -> int:
        """What the investor pays."""
        return self.amount - self.discount


@dataclass(frozen=True, slots=True, kw_only=True)
class Clearing:
    """The result. `price` is the marginal rate (uniform) or the average one (pay as bid), None when nothing was filled.

    `filled` and `shortfall` add up to the target, the fills' amounts to `filled`, their discounts to `discount`.
    `alternative` is the discount of the same fills under the other pricing, for the seller to compare.
    """

    pricing: Pricing
    fills: tuple[Fill, ...]
    price: Decimal | None
    filled: int
    shortfall: int
    discount: int
    alternative: int

    @property
    def outlay(self) -> int:
        """What the investors pay in all."""
        return self.filled - self.discount


def check_terms(target: int, ceiling: Decimal, days: int, min_slice: int = MIN_BID) -> None:
    """Refuse an auction that could not be cleared, before it is listed. Raises Invalid, naming the field."""
    if target < MIN_BID:
        raise Invalid("confirmed_amount", f"must finance at least {MIN_BID} minor units to be auctioned")
    if Fraction(check_rate(ceiling)) * days / BASIS > _MOST_DISCOUNT:
        raise Invalid("discount_rate", "may take at most 90 percent of the amount over so many days")
    if not MIN_BID <= min_slice <= target:
        raise Invalid("min_slice", f"must be {MIN_BID} to {target} minor units")


def check_bid(rate: Decimal, amount: int, *, target: int, ceiling: Decimal, min_slice: int = MIN_BID) -> None:
    """Refuse a bid that is over the ceiling, too small or more than is wanted. Raises Invalid, naming the field."""
    if not rate.is_finite() or not 0 <= rate <= ceiling:
        raise Invalid("rate", f"must be 0 to {(ceiling * 100).normalize():f} percent a year")
    least = min(max(min_slice, MIN_BID), target)
    if type(amount) is not int or not least <= amount <= target:
        raise Invalid("amount", f"must be {least} to {target} minor units of principal")


def hold_for(amount: int, rate: Decimal, days: int) -> int:
    """What must be held for a bid: the most that `clear` can ask of it, whichever pricing, part or share of rounding.

    That is the outlay at the bid's own rate and one unit, as its part of the total discount is rounded down by less
    than one unit, from a total that was itself rounded.
    """
    own = int(Fraction(rate) * amount * days / BASIS)
    return amount - max(0, own - 1)


def _filled(bids: Collection[Bid], target: int, ceiling: Decimal) -> list[tuple[Bid, int]]:
    if len({bid.sequence for bid in bids}) != len(bids):
        raise Invalid("bids", "two bids have one sequence number")
    left = target
    chosen: list[tuple[Bid, int]] = []
    for bid in sorted(bids, key=lambda each: (each.rate, each.sequence)):
        if left == 0 or bid.rate > ceiling:
            break
        part = min(bid.amount, left)
        chosen.append((bid, part))
        left -= part
    return chosen


def _discounts(amounts: Sequence[int], rates: Sequence[Decimal], days: int) -> list[int]:
    """Each fill's discount, adding up to the rounded total. Nobody gets a claim for nothing.

    Rounding could price a part of a few minor units at 0; what would take the last unit goes to the largest fill.
    """
    weights = [amount * Fraction(rate) for amount, rate in zip(amounts, rates, strict=True)]
    parts = split(half_up(Fraction(sum(weights)) * days / BASIS), weights)
    for place, amount in enumerate(amounts):
        if parts[place] >= amount:
            largest = max(range(len(amounts)), key=lambda other: (amounts[other] - parts[other], -other))
            parts[largest] += parts[place] - (amount - 1)
            parts[place] = amount - 1
    return parts


def _average(amounts: Sequence[int], rates: Sequence[Decimal]) -> Decimal:
    weighed = sum(amount * Fraction(rate) for amount, rate in zip(amounts, rates, strict=True))
    return decimal_of(Fraction(weighed) / sum(amounts), RATE_PLACES)


def clear(bids: Collection[Bid], target: int, ceiling: Decimal, pricing: Pricing, days: int) -> Clearing:
    """Fill the lowest rates up to the ceiling until the target is met, and price the fills.

    The order of `bids` does not matter. Bids over the ceiling get nothing. Bids and terms must have passed
    `check_bid` and `check_terms`. Raises Invalid for two bids with one sequence number.
    """
    chosen = _filled(bids, target, ceiling)
    amounts = [amount for _, amount in chosen]
    own = [bid.rate for bid, _ in chosen]
    uniform = [own[-1]] * len(own) if own else []
    rates, others = (uniform, own) if pricing is Pricing.UNIFORM else (own, uniform)
    discounts = _discounts(amounts, rates, days)
    price = (own[-1] if pricing is Pricing.UNIFORM else _average(amounts, own)) if own else None
    return Clearing(
        pricing=pricing,
        fills=tuple(
            Fill(bid=bid, amount=amount, rate=rate, discount=discount)
            for (bid, amount), rate, discount in zip(chosen, rates, discounts, strict=True)
        ),
        price=price,
        filled=sum(amounts),
        shortfall=target - sum(amounts),
        discount=sum(discounts),
        alternative=sum(_discounts(amounts, others, days)),
    )
