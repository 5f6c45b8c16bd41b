"""A second opinion on dates, prices and the buyer's money, worked out from the rules without the code that is checked.

Amounts are minor units, rates whole millionths a year. Nothing of `core` is used here.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta, timezone
from fractions import Fraction

from tests.core.marketplace.auditor import rounded

KOLKATA = timezone(timedelta(hours=5, minutes=30))
DAY = timedelta(days=1)
LATE_RATE = Fraction(18, 100)
GRACE = 3
DEFAULT = 90
_RANKS = {
    "payment": ("pending", "failed", "succeeded"),
    "refund": ("pending", "failed", "succeeded", "returned"),
    "dispute": ("open", "under_review", "closed", "won", "lost"),
}


def day_of(moment: datetime) -> date:
    return moment.astimezone(KOLKATA).date()


def opening(day: date) -> datetime:
    return datetime.combine(day, time(), KOLKATA).astimezone(UTC)


@dataclass(frozen=True, slots=True)
class Almanac:
    """Which days banks work."""

    holidays: frozenset[date]

    def works(self, day: date) -> bool:
        national = (day.month, day.day) in {(1, 26), (8, 15), (10, 2)}
        return day.isoweekday() <= 5 and not national and day not in self.holidays

    def moved(self, day: date) -> date:
        while not self.works(day):
            day += DAY
        return day

    def following(self, day: date) -> date:
        return self.moved(day + DAY)

    def overdue_from(self, due: date) -> datetime:
        """The moment after the last of three working days of grace."""
        last = self.moved(due)
        for _ in range(GRACE):
            last = self.following(last)
        return opening(last + DAY)

    def default_from(self, due: date) -> datetime:
        return opening(self.moved(due) + DEFAULT * DAY)


@dataclass(frozen=True, slots=True, kw_only=True)
class Price:
    """What a listing comes to."""

    principal: int
    discount: int
    fee: int
    tax: int
    days: int


def price(confirmed: int, *, haircut: Fraction, rate: Fraction, days: int, fees: bool) -> Price | None:
    """The price, or None for one that leaves somebody nothing."""
    principal = rounded(confirmed * (1 - haircut))
    discount = rounded(principal * rate * days / 365)
    fee = rounded(Fraction(5, 1000) * principal) if fees else 0
    tax = rounded(Fraction(18, 100) * fee)
    if principal <= 0 or days < 0 or discount >= principal or principal - discount - fee - tax <= 0:
        return None
    return Price(principal=principal, discount=discount, fee=fee, tax=tax, days=days)


@dataclass(frozen=True, slots=True, kw_only=True)
class Word:
    """What a provider says of one object: a payment, or a refund or dispute of one (`about`)."""

    kind: str
    name: str
    about: str
    version: int
    status: str
    amount: int
    currency: str
    at: datetime
    deducted: int = 0

    @property
    def standing(self) -> tuple[int, int]:
        return _RANKS[self.kind].index(self.status), self.version

    @property
    def taken(self) -> int:
        """What it takes from its payment."""
        if self.kind == "refund":
            return self.amount if self.status == "succeeded" else 0
        if self.status == "won":
            return 0
        return self.deducted or self.amount if self.status == "lost" else self.deducted


@dataclass(slots=True)
class Till:
    """Everything that was said of the payments of one invoice; what counts of each is its highest word."""

    words: dict[tuple[str, str], Word] = field(default_factory=dict)

    def hear(self, word: Word) -> None:
        known = self.words.get((word.kind, word.name))
        if known is None or word.standing > known.standing:
            self.words[word.kind, word.name] = word

    def net(self, payment: Word) -> int:
        if payment.status != "succeeded":
            return 0
        taken = {"refund": 0, "dispute": 0}
        for word in self.words.values():
            if word.kind != "payment" and word.about == payment.name and word.currency == payment.currency:
                taken[word.kind] += word.taken
        refunded = min(taken["refund"], payment.amount)
        return payment.amount - refunded - min(taken["dispute"], payment.amount - refunded)

    def receipts(self, currency: str = "INR") -> list[Receipt]:
        """What the payments bring now, in the order of the money."""
        found = [
            Receipt(name=word.name, amount=self.net(word), at=word.at)
            for word in self.words.values()
            if word.kind == "payment" and word.currency == currency and self.net(word) > 0
        ]
        return sorted(found, key=lambda one: (one.at, one.name))


@dataclass(frozen=True, slots=True, kw_only=True)
class Receipt:
    name: str
    amount: int
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """A receipt and where it went; `shares` is (slice, interest, principal), without those who got nothing."""

    name: str
    at: datetime
    amount: int
    interest: int
    principal: int
    seller: int
    surplus: int
    shares: tuple[tuple[int, int, int], ...]


REPURCHASE = "the seller"


def portions(total: int, weights: Sequence[int]) -> list[int]:
    """Largest remainder, ties to whoever came first."""
    whole = sum(weights)
    if not whole:
        return [0] * len(weights)
    parts = [total * weight // whole for weight in weights]
    order = sorted(range(len(weights)), key=lambda place: (-(total * weights[place] % whole), place))
    for place in order[: total - sum(parts)]:
        parts[place] += 1
    return parts


def waterfall(
    receipts: Sequence[Receipt], *, face: int, confirmed: int, bought: Sequence[int], due: date, recourse: str
) -> list[Row]:
    """Late interest as far as somebody else than the investors bears it, principal, the seller, the payer again."""
    left, principal = list(bought), sum(bought)
    accrued = received = lateness = repaid = to_seller = 0
    counted, rows = due, []
    for one in sorted(receipts, key=lambda each: (each.at, "" if each.name == REPURCHASE else each.name)):
        day = day_of(one.at)
        accrued += rounded(LATE_RATE * sum(left) * max(0, (day - max(due, counted)).days) / 365)
        counted = max(counted, day)
        amount, seller = one.amount, 0
        if one.name == REPURCHASE:
            interest, back = accrued, sum(left)
            amount = interest + back
        else:
            received += amount
            # The reserve bears lateness up to what was confirmed; without recourse only what is paid over the face.
            base, reserve = (face, 0) if recourse == "none" else (confirmed, confirmed - principal)
            room = reserve + max(0, received - base)
            interest = min(amount, accrued, max(0, room - lateness))
            back = min(amount - interest, sum(left))
            lateness += interest
            repaid += back
            borne = max(0, lateness - max(0, received - face))
            seller = min(amount - interest - back, max(0, face - repaid - borne - to_seller))
            to_seller += seller
        accrued -= interest
        weights = left if any(left) else list(bought)
        earned, returned = portions(interest, weights), portions(back, weights)
        left = [had - part for had, part in zip(left, returned, strict=True)]
        if amount:
            shares = tuple(
                (place, *parts) for place, parts in enumerate(zip(earned, returned, strict=True)) if any(parts)
            )
            surplus = amount - interest - back - seller
            rows.append(
                Row(
                    name=one.name, at=one.at, amount=amount, interest=interest, principal=back, seller=seller,
                    surplus=surplus, shares=shares,
                )
            )  # fmt: skip
    return rows
