"""What if: how a financing would end, shown to everyone before it is funded (marketplace rules 2.7, 5).

Nothing here is stored or posted. The cases run through the same waterfall as real receipts, so what the simulator
says is what would happen. Amounts are whole minor units.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction

from core.errors import Invalid
from core.marketplace import yields
from core.marketplace.calendar import DEFAULT_AFTER
from core.marketplace.pricing import BASIS, Terms
from core.marketplace.rounding import half_up
from core.marketplace.waterfall import LATE_RATE, Owed, Recourse, Split, late_room, repurchase, run, shares

LATE_CASES = (15, 30, 60)


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One way in which it may end: the buyer pays `paid` (minor units), so many days after the due date."""

    name: str
    late_days: int
    paid: int
    defaulted: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Holder:
    """An investor's part: what was paid, and the claim that it bought."""

    outlay: int
    claim: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """What one investor gets in a case. `realised_yield` is effective and annual; None when no day lies between."""

    principal: int
    late_interest: int
    profit: int
    realised_yield: Decimal | None

    @property
    def received(self) -> int:
        """All that comes back."""
        return self.principal + self.late_interest


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """A case, worked out. `seller` is all the seller keeps: the advance, the reserve, less a repurchase.

    `split` divides what the buyer paid; `repurchased` is what the seller paid at default with full recourse. `total` is
    the result of all investors together.
    """

    case: Case
    late_interest: int
    split: Split
    repurchased: int
    investors: tuple[Result, ...]
    total: Result
    seller: int


def on_time(terms: Terms) -> Case:
    """The buyer pays the face on the due date."""
    return Case(name="on_time", late_days=0, paid=terms.face)


def late(terms: Terms, days: int) -> Case:
    """The buyer pays the face, so many days late."""
    return Case(name=f"late_{days}", late_days=days, paid=terms.face)


def short(terms: Terms, by: Decimal, late_days: int = 0) -> Case:
    """The buyer pays the face less a fraction of it, and the rest is still owed: nothing is bought back yet."""
    return Case(
        name="short", late_days=late_days, paid=terms.face - half_up(Fraction(_fraction(by, "short")) * terms.face)
    )


def default(terms: Terms, recovery: Decimal) -> Case:
    """Nothing comes until default; then a fraction of the principal is recovered, and no more."""
    paid = half_up(Fraction(_fraction(recovery, "recovery")) * terms.principal)
    return Case(name="default", late_days=DEFAULT_AFTER, paid=paid, defaulted=True)


def cases(terms: Terms, short_by: Decimal = Decimal("0.10"), recovery: Decimal = Decimal("0.40")) -> list[Case]:
    """The cases that are shown: on time, 15, 30 and 60 days late, short by a part, default with a recovery."""
    lates = [late(terms, days) for days in LATE_CASES]
    return [on_time(terms), *lates, short(terms, short_by), default(terms, recovery)]


def _fraction(value: Decimal, field: str) -> Decimal:
    if not value.is_finite() or not 0 <= value <= 1:
        raise Invalid(field, "must be 0 to 100 percent")
    return value


def project(
    terms: Terms,
    case: Case,
    holders: Sequence[Holder] = (),
    *,
    recourse: Recourse = Recourse.RESERVE,
    late_rate: Decimal = LATE_RATE,
) -> Outcome:
    """Work out a case for these holders; their claims may be a part of the principal, the rest is somebody's too.

    With full recourse the seller pays what is missing at default, at once.
    """
    interest = half_up(Fraction(late_rate) * terms.principal * case.late_days / BASIS)
    owed = Owed(late_interest=interest, principal=terms.principal, seller=terms.reserve)
    room = late_room(
        face=terms.face, principal=terms.principal, received=case.paid, costs=0, lateness_paid=0, recourse=recourse
    )
    split = run(case.paid, owed, late_room=room)
    repurchased = repurchase(split.left) if case.defaulted and recourse.seller_repurchases else 0
    topped_up = run(repurchased, split.left)
    principal = split.paid.principal + topped_up.paid.principal
    overdue = split.paid.late_interest + topped_up.paid.late_interest
    whole = Holder(outlay=terms.outlay, claim=terms.principal)
    claims = [holder.claim for holder in holders]
    if sum(claims) > terms.principal:
        raise Invalid("holders", "have claims of more than the principal")
    # The last place stands for everybody else, so that a part of the holders gets its part and no more.
    claims.append(terms.principal - sum(claims))
    days = terms.days + case.late_days
    results = [
        _result(holder, paid, late_part, days)
        for holder, paid, late_part in zip(
            holders, shares(principal, claims, claims), shares(overdue, claims, claims), strict=False
        )
    ]
    return Outcome(
        case=case,
        late_interest=interest,
        split=split,
        repurchased=repurchased,
        investors=tuple(results),
        total=_result(whole, principal, overdue, days),
        seller=terms.seller_net + split.paid.seller - repurchased,
    )


def _result(holder: Holder, principal: int, late_interest: int, days: int) -> Result:
    received = principal + late_interest
    return Result(
        principal=principal,
        late_interest=late_interest,
        profit=received - holder.outlay,
        realised_yield=yields.effective(holder.outlay, received, days),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class ExpectedLoss:
    """What lending to such a buyer loses on average, beside what the discount earns."""

    loss: int
    discount: int

    @property
    def margin(self) -> int:
        """What the discount leaves after the expected loss; below 0 the price does not pay for the risk."""
        return self.discount - self.loss


def expected_loss(terms: Terms, default_probability: Decimal, loss_given_default: Decimal) -> ExpectedLoss:
    """P x PD x LGD against the discount, both fractions. Raises Invalid outside 0 to 100 %."""
    probability = Fraction(_fraction(default_probability, "default_probability"))
    loss = half_up(terms.principal * probability * Fraction(_fraction(loss_given_default, "loss_given_default")))
    return ExpectedLoss(loss=loss, discount=terms.discount)
