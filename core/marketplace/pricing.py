"""What a financing costs and earns: terms, slices of them and quotes (marketplace rules 2.3 and 2.4).

Amounts are whole minor units. Rates are Decimal fractions per year (0.12 is 12 %), written as percent at the edge
(`percent`). Everything is computed exactly and rounded half up once, on each named line. Day count: actual days, value
date excluded, due date included, over 365 in leap years too.

Model A, discount in advance, is what the platform uses; `comparisons` has the others.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from decimal import Decimal
from fractions import Fraction
from typing import Literal

from core.errors import Invalid
from core.marketplace import yields
from core.marketplace.rounding import ceil_div, decimal_of, half_up
from core.money import MAX_MINOR

BASIS = 365
GST = Decimal("0.18")
MAX_RATE = Decimal(1)
MAX_DAYS = 3650
RATE_PLACES = 8
_PERCENT = re.compile(r"[0-9]{1,3}(\.[0-9]{1,4})?")


def percent(value: str, field: str = "rate") -> Decimal:
    """Read percent such as "12" or "10.9125" as a fraction. Raises Invalid unless plain, with up to four places."""
    if not _PERCENT.fullmatch(value):
        raise Invalid(field, "must be percent such as 12 or 10.75, with up to four decimal places")
    return Decimal(f"{value}E-2")


@dataclass(frozen=True, slots=True)
class FeePlan:
    """What the platform takes from the seller: a fraction of the principal, flat or per year, and GST on it alone."""

    name: str
    rate: Decimal
    gst: Decimal = GST
    basis: Literal["flat", "per_annum"] = "flat"

    def lines(self, principal: int, days: int) -> tuple[int, int]:
        """The fee and the GST on it, each rounded once."""
        time = Fraction(days, BASIS) if self.basis == "per_annum" else 1
        fee = half_up(Fraction(self.rate) * principal * time)
        return fee, half_up(Fraction(self.gst) * fee)


STANDARD = FeePlan("standard", Decimal("0.005"))
NONE = FeePlan("none", Decimal(0))
FEE_PLANS = {plan.name: plan for plan in (STANDARD, NONE)}


@dataclass(frozen=True, slots=True)
class Numbers:
    """The four numbers beside every price, as fractions per year; None where zero days give no rate."""

    discount_rate: Decimal | None
    simple_yield: Decimal | None
    effective_yield: Decimal | None
    seller_cost: Decimal | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """The price of a financing. `outlay` is what investors pay in all, `principal` what they are then owed."""

    face: int
    principal: int
    discount: int
    outlay: int
    reserve: int
    fee: int
    gst: int
    seller_net: int
    rate: Decimal | None
    days: int
    basis: int = BASIS

    @property
    def numbers(self) -> Numbers:
        """The four numbers of the whole, computed from its amounts."""
        return Numbers(
            discount_rate=self.rate,
            simple_yield=yields.simple(self.discount, self.outlay, self.days, self.basis),
            effective_yield=yields.effective(self.outlay, self.principal, self.days),
            seller_cost=yields.simple(self.discount + self.fee + self.gst, self.seller_net, self.days),
        )

    @property
    def day_count(self) -> str:
        """The day count in words."""
        unit = "day" if self.days == 1 else "days"
        return f"{self.days} {unit}, actual/{self.basis}: value date not counted, due date counted"


def discount_in_advance(principal: int, rate: Decimal, days: int, basis: int = BASIS) -> int:
    """Model A: the discount P·r·d/B, taken when the money is paid out."""
    return half_up(Fraction(rate) * principal * days / basis)


def implied_rate(principal: int, discount: int, days: int, basis: int = BASIS) -> Decimal | None:
    """The rate whose discount in advance this is, to eight places; None for zero days, which have no rate."""
    if days == 0:
        return None
    return decimal_of(Fraction(discount * basis, principal * days), RATE_PLACES)


def check_rate(rate: Decimal, field: str = "discount_rate") -> Decimal:
    """The rate, when it lies in 0 to 100 % a year. Raises Invalid."""
    if not rate.is_finite() or not 0 <= rate <= MAX_RATE:
        raise Invalid(field, "must be 0 to 100 percent a year")
    return rate


def principal_of(face: int, haircut: Decimal) -> int:
    """F(1 - h), the amount financed. Raises Invalid when the haircut leaves nothing."""
    if type(face) is not int or not 0 < face <= MAX_MINOR:
        raise Invalid("confirmed_amount", f"must be 1 to {MAX_MINOR} minor units")
    if not haircut.is_finite() or not 0 <= haircut < 1:
        raise Invalid("haircut", "must be at least 0 and less than 100 percent")
    principal = half_up(face * (1 - Fraction(haircut)))
    if principal == 0:
        raise Invalid("haircut", "leaves nothing to finance")
    return principal


def _discount(principal: int, rate: Decimal | None, ask: int | None, days: int, basis: int) -> int:
    if (rate is None) == (ask is None):
        raise Invalid("ask_amount", "give either an ask amount or a discount rate")
    if ask is not None:
        if type(ask) is not int or not 0 < ask <= principal:
            raise Invalid("ask_amount", f"must be 1 to {principal} minor units, the amount financed")
        return principal - ask
    discount = discount_in_advance(principal, check_rate(rate or Decimal(0)), days, basis)
    if discount >= principal:
        raise Invalid("discount_rate", "takes the whole amount over so many days")
    return discount


def priced(
    face: int, principal: int, discount: int, rate: Decimal | None, *, days: int, fee_plan: FeePlan, basis: int = BASIS
) -> Terms:
    """The terms of a known discount, as an auction's clearing gives it. `rate` None is filled with the implied one.

    Raises Invalid("fee_plan") when the fees leave the seller nothing.
    """
    fee, gst = fee_plan.lines(principal, days)
    net = principal - discount - fee - gst
    if net <= 0:
        raise Invalid("fee_plan", "the fees leave the seller nothing")
    return Terms(
        face=face,
        principal=principal,
        discount=discount,
        outlay=principal - discount,
        reserve=face - principal,
        fee=fee,
        gst=gst,
        seller_net=net,
        rate=implied_rate(principal, discount, days, basis) if rate is None else rate,
        days=days,
        basis=basis,
    )


def terms(
    confirmed: int,
    *,
    days: int,
    rate: Decimal | None = None,
    ask: int | None = None,
    haircut: Decimal = Decimal(0),
    fee_plan: FeePlan = STANDARD,
    basis: int = BASIS,
) -> Terms:
    """The price of a confirmed amount, by an annual rate or by what investors shall pay in all (`ask`).

    Raises Invalid, naming the field, for a haircut outside 0 to 100 %, a rate outside 0 to 100 % a year, an ask that is
    more than the principal, a due date that is past, and a price that leaves investors or the seller nothing to pay or
    get. An ask has no bound on the rate it implies: a large discount over few days is the seller's choice.
    """
    principal = principal_of(confirmed, haircut)
    if not 0 <= days <= MAX_DAYS:
        raise Invalid("due_date", f"must lie 0 to {MAX_DAYS} days after the value date")
    discount = _discount(principal, rate, ask, days, basis)
    return priced(confirmed, principal, discount, rate, days=days, fee_plan=fee_plan, basis=basis)


@dataclass(frozen=True, slots=True)
class Slices:
    """How much of a principal is placed, and at what outlay: a value; `place` returns the next one.

    The outlay of the first C units of claim is C - ceil(D·C/P). It grows by 0 or 1 with each unit, so every cumulative
    outlay X from 0 to P - D is met exactly, and what is sold for X is the least C that costs X: X·P/(P - D), rounded
    up. Slices whose outlays sum to P - D have claims that sum to P, however they were cut, and a slice that is a
    fraction of the outlay gets that fraction of the claim, to the unit where it comes out even.
    """

    principal: int
    discount: int
    placed_outlay: int = 0
    placed_claims: int = 0

    @classmethod
    def of(cls, terms: Terms, placed_outlay: int = 0, placed_claims: int = 0) -> Slices:
        """The slices of these terms, of which so much is placed."""
        return cls(terms.principal, terms.discount, placed_outlay, placed_claims)

    @property
    def outlay_left(self) -> int:
        """What investors may still pay."""
        return self.principal - self.discount - self.placed_outlay

    @property
    def claims_left(self) -> int:
        """The principal nobody has bought yet."""
        return self.principal - self.placed_claims

    def _outlay_at(self, claims: int) -> int:
        return claims - ceil_div(self.discount * claims, self.principal)

    def claim_for(self, outlay: int) -> int:
        """The claim that an outlay buys. Raises Invalid("amount") unless 1 to `outlay_left`."""
        if type(outlay) is not int or not 0 < outlay <= self.outlay_left:
            raise Invalid("amount", f"must be 1 to {self.outlay_left} minor units, which is what is left")
        until = self.placed_outlay + outlay
        # C - ceil(D·C/P) is floor(C·(P - D)/P), which reaches X at X·P/(P - D).
        claim = ceil_div(until * self.principal, self.principal - self.discount) - self.placed_claims
        if claim < outlay:
            raise Invalid("amount", "is too small for a slice of its own")
        return claim

    def outlay_of(self, claim: int) -> int:
        """What a claim (principal) costs; the inverse. Raises Invalid("amount") unless 1 to `claims_left`."""
        if type(claim) is not int or not 0 < claim <= self.claims_left:
            raise Invalid("amount", f"must be 1 to {self.claims_left} minor units, which is what is left")
        return self._outlay_at(self.placed_claims + claim) - self.placed_outlay

    def place(self, outlay: int) -> Slices:
        """The slices after one more of this outlay."""
        claim = self.claim_for(outlay)
        return replace(self, placed_outlay=self.placed_outlay + outlay, placed_claims=self.placed_claims + claim)


@dataclass(frozen=True, slots=True, kw_only=True)
class Quote:
    """What one slice means. `fee` and `gst` are its share of what the seller pays, not of what the investor pays."""

    outlay: int
    expected_return: int
    profit: int
    fee: int
    gst: int
    seller_net: int
    numbers: Numbers
    days: int
    day_count: str


def quote(terms: Terms, slices: Slices, amount: int) -> Quote:
    """Quote a slice of so much outlay. The yields are those of the slice's own amounts, to the last unit.

    Fee lines are shared by cumulative claims, rounded down, so that all slices together carry exactly each line.
    Raises Invalid("amount") for more than is left.
    """
    claim = slices.claim_for(amount)
    before, after = slices.placed_claims, slices.placed_claims + claim
    fee, gst = (line * after // terms.principal - line * before // terms.principal for line in (terms.fee, terms.gst))
    whole = terms.numbers
    return Quote(
        outlay=amount,
        expected_return=claim,
        profit=claim - amount,
        fee=fee,
        gst=gst,
        seller_net=amount - fee - gst,
        numbers=Numbers(
            discount_rate=whole.discount_rate,
            simple_yield=yields.simple(claim - amount, amount, terms.days, terms.basis),
            effective_yield=yields.effective(amount, claim, terms.days),
            seller_cost=whole.seller_cost,
        ),
        days=terms.days,
        day_count=terms.day_count,
    )
