"""Where a payment of the buyer goes, and what lateness costs (marketplace rules 2.7 and 2.8).

The order is data (`ORDER`). One refinement is the platform's own: late interest stands before principal, as in the
rules, but what lateness costs (late interest, then the late fee) comes only out of `late_room`: the part of the
reserve that charges and enforcement leave, where the recourse mode lets the reserve bear it, and whatever was paid
over the face. So a payment of the whole face always repays the principal, and a financing without a haircut that is
paid in full but late still ends repaid; the interest it could not cover stays a claim on the buyer.

Amounts are whole minor units.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from datetime import date
from decimal import Decimal
from enum import StrEnum
from fractions import Fraction

from core.errors import Invalid
from core.marketplace.rounding import half_up, split

LATE_RATE = Decimal("0.18")
ENFORCEMENT_CAP = Decimal("0.05")
_BASIS = 365


class Bucket(StrEnum):
    """What a receipt may pay."""

    CHARGES = "charges"
    ENFORCEMENT_COST = "enforcement_cost"
    LATE_INTEREST = "late_interest"
    PRINCIPAL = "principal"
    LATE_FEE = "late_fee"
    SELLER = "seller"


# First to last: taxes and bank charges of this receipt, enforcement cost, the investors' overdue interest, their
# principal, the platform's late fee, the seller's reserve. What is left is a surplus: the payer's, never income.
ORDER = (
    Bucket.CHARGES,
    Bucket.ENFORCEMENT_COST,
    Bucket.LATE_INTEREST,
    Bucket.PRINCIPAL,
    Bucket.LATE_FEE,
    Bucket.SELLER,
)
LATENESS = frozenset({Bucket.LATE_INTEREST, Bucket.LATE_FEE})


class Recourse(StrEnum):
    """What the seller stands for, as a term of the listing."""

    NONE = "none"
    RESERVE = "reserve"
    FULL = "full"

    @property
    def reserve_bears_lateness(self) -> bool:
        """Whether late interest may come out of the seller's reserve; without recourse only the buyer owes it."""
        return self is not Recourse.NONE

    @property
    def seller_repurchases(self) -> bool:
        """Whether the seller must buy the claims back at default (`repurchase`)."""
        return self is Recourse.FULL


@dataclass(frozen=True, slots=True, kw_only=True)
class Owed:
    """What is still unpaid in each bucket; as the answer of `run`, what was paid into each."""

    charges: int = 0
    enforcement_cost: int = 0
    late_interest: int = 0
    principal: int = 0
    late_fee: int = 0
    seller: int = 0

    def __post_init__(self) -> None:
        for each in fields(self):
            value = getattr(self, each.name)
            if type(value) is not int or value < 0:
                raise Invalid(each.name, "must be whole minor units, at least 0")

    def __getitem__(self, bucket: Bucket) -> int:
        value: int = getattr(self, bucket.value)
        return value

    @property
    def total(self) -> int:
        """The sum of the buckets."""
        return sum(self[bucket] for bucket in ORDER)


@dataclass(frozen=True, slots=True, kw_only=True)
class Split:
    """One receipt, divided: `paid` per bucket and the surplus add up to it; `left` is what stays owed."""

    amount: int
    paid: Owed
    surplus: int
    left: Owed

    @property
    def investors(self) -> int:
        """What goes to the investors in all."""
        return self.paid.late_interest + self.paid.principal

    @property
    def repaid(self) -> bool:
        """Whether the investors have their principal back, which ends a financing."""
        return self.left.principal == 0


def run(amount: int, owed: Owed, *, late_room: int | None = None) -> Split:
    """Divide a receipt in `ORDER`, each bucket to its full before the next one gets anything.

    `late_room` bounds what late interest and the late fee may take together (see the module); None is no bound, as for
    a repurchase by the seller. Raises Invalid for an amount below 0.
    """
    if type(amount) is not int or amount < 0:
        raise Invalid("amount", "must be whole minor units, at least 0")
    rest = amount
    room = amount if late_room is None else max(0, late_room)
    paid: dict[str, int] = {}
    for bucket in ORDER:
        part = min(rest, owed[bucket])
        if bucket in LATENESS:
            part = min(part, room)
            room -= part
        paid[bucket.value] = part
        rest -= part
    left = {bucket.value: owed[bucket] - paid[bucket.value] for bucket in ORDER}
    return Split(amount=amount, paid=Owed(**paid), surplus=rest, left=Owed(**left))


def late_room(*, face: int, principal: int, received: int, costs: int, lateness_paid: int, recourse: Recourse) -> int:
    """What late interest and late fee may still take, for `run`.

    `face` is the confirmed amount and `principal` the part of it that was financed. The others are sums over the life
    of the financing, this receipt included: `received` from the payer, `costs` owed or paid for charges and
    enforcement. `lateness_paid` is what late interest and late fee took before this receipt.
    """
    over = max(0, received - face)
    room = max(0, face - principal + over - costs) if recourse.reserve_bears_lateness else over
    return max(0, room - lateness_paid)


def late_interest(principal: int, due: date, since: date, until: date, rate: Decimal = LATE_RATE) -> int:
    """Simple interest, actual/365, on unpaid principal, for the days after `due` (moved) and `since` up to `until`.

    `since` is the day to which interest is already counted (the day of the last receipt, or the due date). No
    interest on interest.
    """
    days = max(0, (until - max(due, since)).days)
    return half_up(Fraction(rate) * principal * days / _BASIS)


def enforcement_cost(incurred: int, principal: int, cap: Decimal = ENFORCEMENT_CAP) -> int:
    """The cost of enforcement that may be charged: what was incurred, at most 5 % of the principal financed."""
    return min(incurred, half_up(Fraction(cap) * principal))


def shares(amount: int, outstanding: Sequence[int], bought: Sequence[int]) -> list[int]:
    """Divide principal or late interest among investors, by outstanding principal, ties to the earlier slice.

    When nothing is outstanding any more (late interest that comes after the principal), by what each had bought.
    Principal that is shared never exceeds what one is owed.
    """
    return split(amount, outstanding if any(outstanding) else bought)


def repurchase(owed: Owed) -> int:
    """What the seller pays at default with full recourse: the investors' principal and late interest."""
    return owed.principal + owed.late_interest
