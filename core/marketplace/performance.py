"""What a portfolio is worth, brought, and may yet bring: pure arithmetic over positions and receipts.

Amounts are whole minor units of one currency, days are days of the marketplace (India). A position is one
investment: `outlay` was paid for a claim of `principal`, which is due on `pay_date`.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from decimal import ROUND_HALF_UP, Context, Decimal, localcontext
from typing import Literal
from uuid import UUID

from core.marketplace import shapes, yields

By = Literal["week", "month"]
MAX_POINTS = 61
_DAY = timedelta(days=1)
# Rates are looked for between a loss of nearly everything and the largest that is shown: exp(±14) a year.
_LOWEST, _HIGHEST = Decimal(-30), Decimal(14)
_STEPS = 48


@dataclass(frozen=True, slots=True)
class Receipt:
    """Money that came back on a day."""

    day: date
    principal: int
    interest: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Position:
    """One investment as of an instant. `day` is when it was settled, None while its money is only held.

    `debtor` is who stands for it, as a stable key: the buyer, or the seller where the seller must buy it back.
    """

    id: UUID
    outlay: int
    principal: int
    day: date | None
    pay_date: date
    state: str
    debtor: str
    debtor_kind: Literal["buyer", "seller"]
    debtor_id: UUID | None
    debtor_name: str
    receipts: tuple[Receipt, ...] = field(default=())

    @property
    def repaid(self) -> int:
        """Principal that came back."""
        return sum(receipt.principal for receipt in self.receipts)

    @property
    def interest(self) -> int:
        """Interest on top of it."""
        return sum(receipt.interest for receipt in self.receipts)

    @property
    def lost(self) -> bool:
        """Given up."""
        return self.state == "written_off" and self.repaid < self.principal

    @property
    def closed(self) -> bool:
        """Nothing more is expected of it."""
        return self.day is not None and (self.repaid == self.principal or self.lost)

    @property
    def left(self) -> int:
        """What is still expected to come back."""
        return 0 if self.closed else self.principal - self.repaid

    @property
    def cost(self) -> int:
        """What was paid for the part that is still expected."""
        return self.left * self.outlay // self.principal

    def worth(self, day: date) -> int:
        """Its value at the end of a day: the unpaid part of the claim, its discount earned evenly up to `pay_date`."""
        if self.day is None or day < self.day:
            return 0
        unpaid = self.principal - sum(one.principal for one in self.receipts if one.day <= day)
        whole = max(0, (self.pay_date - self.day).days)
        gone = min((day - self.day).days, whole)
        earned = self.principal - self.outlay if whole == 0 else (self.principal - self.outlay) * gone // whole
        return unpaid * (self.outlay + earned) // self.principal


def totals(positions: Sequence[Position]) -> dict[str, int | str | None]:
    """The sums of a portfolio.

    invested: everything ever paid or held; held: of it only reserved; active: what the open ones cost; outstanding:
    what settled ones still owe; expected: that and what held ones will; received and interest: what came back;
    realised_profit: of the closed ones; overdue: of outstanding; lost: what was given up.
    """
    closed = [one for one in positions if one.closed]
    active = [one for one in positions if not one.closed]
    late = {"overdue", "defaulted"}
    cost = sum(one.outlay for one in closed)
    realised = sum(one.repaid + one.interest - one.outlay for one in closed)
    return {
        "invested": sum(one.outlay for one in positions),
        "held": sum(one.outlay for one in active if one.day is None),
        "active": sum(one.outlay for one in active),
        "outstanding": sum(one.left for one in active if one.day is not None),
        "expected": sum(one.left for one in active),
        "expected_profit": sum(one.principal - one.outlay for one in active),
        "received": sum(one.repaid + one.interest for one in positions),
        "interest": sum(one.interest for one in positions),
        "realised_profit": realised,
        "realised_return": shapes.share(realised, cost),
        "realised_yield": shapes.percent(money_weighted(_flows(closed))),
        "overdue": sum(one.left for one in active if one.state in late),
        "lost": sum(one.principal - one.repaid for one in positions if one.lost),
        "active_count": len(active),
        "closed_count": len(closed),
    }


def _flows(positions: Iterable[Position]) -> list[tuple[date, int]]:
    """What was paid (below zero) and what came back, by day, in order."""
    found: dict[date, int] = defaultdict(int)
    for one in positions:
        if one.day is not None:
            found[one.day] -= one.outlay
        for receipt in one.receipts:
            found[receipt.day] += receipt.principal + receipt.interest
    return sorted(found.items())


def money_weighted(flows: Sequence[tuple[date, int]]) -> Decimal | None:
    """The effective annual rate at which payments and receipts of many days are worth the same (their IRR).

    A fraction per year to six places. None when there is no such rate: nothing was paid or nothing had time to earn.
    Everything lost is -1.
    """
    moving = [(day, amount) for day, amount in flows if amount]
    if moving and all(amount < 0 for _, amount in moving):
        return Decimal(-1).quantize(yields.PLACES)
    if not moving or moving[0][1] >= 0 or (moving[-1][0] - moving[0][0]).days == 0:
        return None
    first = moving[0][0]
    timed = [((day - first).days, amount) for day, amount in moving]
    with localcontext(Context(prec=28, rounding=ROUND_HALF_UP, Emax=999_999, Emin=-999_999)):
        low, high = _LOWEST, _HIGHEST
        for _ in range(_STEPS):
            middle = (low + high) / 2
            daily = (-middle / yields.YEAR).exp()
            worth = sum((amount * daily**days for days, amount in timed), Decimal(0))
            low, high = (middle, high) if worth > 0 else (low, middle)
        return yields.shown(low.exp() - 1)


def exposure(positions: Sequence[Position], money: int) -> dict[str, object]:
    """How much stands with whom, the largest first: at most 50 debtors, and their concentration.

    `share` is of everything outstanding, `of_money` of `money` (wallet and investments), both in per cent;
    `concentration` is the sum of the squared shares of all debtors, also of those that are not listed.
    """
    found: dict[str, list[Position]] = defaultdict(list)
    for one in positions:
        if not one.closed:
            found[one.debtor].append(one)
    sums = {debtor: sum(one.left for one in held) for debtor, held in found.items()}
    whole = sum(sums.values())
    ordered = sorted(sums, key=lambda debtor: (-sums[debtor], debtor))
    return {
        "debtors": [
            {
                "kind": found[debtor][0].debtor_kind,
                "id": str(found[debtor][0].debtor_id) if found[debtor][0].debtor_id else None,
                "name": found[debtor][0].debtor_name,
                "amount": sums[debtor],
                "share": shapes.share(sums[debtor], whole),
                "of_money": shapes.share(sums[debtor], money) if money > 0 else None,
                "investments": len(found[debtor]),
            }
            for debtor in ordered[:50]
        ],
        "debtor_count": len(sums),
        "concentration": shapes.concentration(list(sums.values())),
    }


def _begins(day: date, by: By) -> date:
    return day.replace(day=1) if by == "month" else day - timedelta(days=day.weekday())


def _ends(begins: date, by: By) -> date:
    if by == "week":
        return begins + 6 * _DAY
    return (begins.replace(day=28) + 4 * _DAY).replace(day=1) - _DAY


def cash_flow(positions: Sequence[Position], today: date, by: By) -> list[dict[str, object]]:
    """What is expected to come back, by the week (Monday to Sunday) or month in which it is due.

    What should have come before today stands first, with `late` set and no dates.
    """
    found: dict[date | None, list[int]] = defaultdict(list)
    for one in positions:
        if one.left:
            found[None if one.pay_date < today else _begins(one.pay_date, by)].append(one.left)
    return [
        {
            "from": begins,
            "to": None if begins is None else _ends(begins, by),
            "late": begins is None,
            "expected": sum(found[begins]),
            "investments": len(found[begins]),
        }
        for begins in sorted(found, key=lambda begins: begins or date.min)
    ]


def value(positions: Sequence[Position], today: date) -> list[dict[str, object]]:
    """The portfolio at the end of up to 61 evenly spread days, from the first investment to today.

    cost: what the unpaid part of the claims was bought for; outstanding: those claims; value: the claims with their
    discount earned so far; received: everything that came back until then. Losses are worth nothing from the day on
    which they are given up, which is today at the latest.
    """
    days = [one.day for one in positions if one.day is not None]
    if not days:
        return []
    first = min(days)
    step = max(1, -(-(today - first).days // (MAX_POINTS - 1)))
    shown = [today - step * _DAY * back for back in range((today - first).days // step + 1)][::-1]
    return [_point(positions, day if day != shown[0] or day == first else first, today) for day in shown]


def _point(positions: Sequence[Position], day: date, today: date) -> dict[str, object]:
    cost = outstanding = worth = received = 0
    for one in positions:
        if one.day is None or one.day > day:
            continue
        back = [receipt for receipt in one.receipts if receipt.day <= day]
        repaid = sum(receipt.principal for receipt in back)
        received += repaid + sum(receipt.interest for receipt in back)
        if one.lost and day == today:
            continue
        outstanding += one.principal - repaid
        cost += (one.principal - repaid) * one.outlay // one.principal
        worth += one.worth(day)
    return {"day": day, "cost": cost, "outstanding": outstanding, "value": worth, "received": received}
