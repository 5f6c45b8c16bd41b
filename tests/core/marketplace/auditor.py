"""A second opinion on the marketplace: what every wallet, offer and answer must be, worked out without its code.

Nothing of `core` is used here. Claims are found by searching, auctions are cleared by hand, money is two numbers a
person. Amounts are minor units; rates are whole millionths a year.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from fractions import Fraction

YEAR = 365


@dataclass(slots=True, kw_only=True)
class Purse:
    """What somebody has, and what of it is promised."""

    balance: int
    held: int = 0

    @property
    def free(self) -> int:
        return self.balance - self.held


@dataclass(slots=True, kw_only=True)
class Promise:
    """A slice, or a bid with its rate and the hold for it."""

    investor: int
    outlay: int
    claim: int
    rate: int = 0
    status: str = "held"


@dataclass(slots=True, kw_only=True)
class Deal:
    """An invoice on offer."""

    seller: int
    principal: int
    discount: int
    fees: int
    days: int
    mode: str
    pricing: str
    reserve_rate: int
    least: int
    closes_at: int
    state: str = "listed"
    settles_at: int | None = None
    slices: list[Promise] = field(default_factory=list)
    bids: list[Promise] = field(default_factory=list)

    @property
    def on_offer(self) -> bool:
        return self.state in {"listed", "partially_funded"}

    @property
    def live(self) -> list[Promise]:
        return [one for one in self.slices if one.status != "voided"]

    @property
    def placed(self) -> int:
        return sum(one.outlay for one in self.live)

    @property
    def left(self) -> int:
        return self.principal - self.discount - self.placed


def rounded(exact: Fraction) -> int:
    """Half up."""
    whole = exact.numerator // exact.denominator
    return whole + (1 if exact - whole >= Fraction(1, 2) else 0)


def claims_for(outlay: int, principal: int, discount: int) -> int:
    """The fewest claims that cost so much outlay, found by halving."""
    low, high = 0, principal
    while low < high:
        middle = (low + high) // 2
        if middle + (-discount * middle // principal) >= outlay:
            high = middle
        else:
            low = middle + 1
    return low


def cleared(bids: Sequence[Promise], target: int, days: int, pricing: str) -> list[tuple[Promise, int, int]] | None:
    """(bid, principal, outlay) of the winners in order, or None when the bids do not reach the target."""
    # Sorting keeps the order of arrival among equals.
    wins: list[tuple[Promise, int]] = []
    for bid in sorted(bids, key=lambda one: one.rate):
        left = target - sum(part for _, part in wins)
        if left:
            wins.append((bid, min(left, bid.claim)))
    if sum(part for _, part in wins) < target:
        return None
    marginal = wins[-1][0].rate
    exact = [
        Fraction(part * (marginal if pricing == "uniform" else bid.rate) * days, 1_000_000 * YEAR) for bid, part in wins
    ]
    total = rounded(sum(exact, Fraction(0)))
    weight = sum(exact, Fraction(0)) or Fraction(1)
    shares = [total * one / weight for one in exact]
    parts = [share.numerator // share.denominator for share in shares]
    places = sorted(range(len(parts)), key=lambda place: (parts[place] - shares[place], place))
    for place in places[: total - sum(parts)]:
        parts[place] += 1
    return [(bid, part, part - discount) for (bid, part), discount in zip(wins, parts, strict=True)]


@dataclass(slots=True)
class Auditor:
    """Everybody's purse and every deal. Each method answers what the platform must answer: "done", or a code."""

    purses: list[Purse]
    deals: list[Deal] = field(default_factory=list)
    now: int = 0

    def fund(self, number: int, investor: int, amount: int, settles_at: int | None) -> str:
        """Fund now; `settles_at` None is at once."""
        deal, purse = self.deals[number], self.purses[investor]
        if not deal.on_offer or self.now >= deal.closes_at or deal.mode != "fixed":
            return "not_on_offer"
        if amount > deal.left:
            return "more_than_remaining"
        if amount < min(deal.least, deal.left):
            return "below_minimum_slice"
        if amount > purse.free:
            return "insufficient_funds"
        before = sum(one.claim for one in deal.live)
        claim = claims_for(deal.placed + amount, deal.principal, deal.discount) - before
        deal.slices.append(Promise(investor=investor, outlay=amount, claim=claim))
        purse.held += amount
        deal.state = "partially_funded"
        if deal.left == 0:
            self._full(deal, settles_at)
        return "done"

    def _full(self, deal: Deal, settles_at: int | None) -> None:
        deal.state, deal.settles_at = "settlement_pending", settles_at
        if settles_at is None:
            self._settle(deal)

    def _settle(self, deal: Deal) -> None:
        for one in deal.slices:
            if one.status == "held":
                one.status = "settled"
                self.purses[one.investor].held -= one.outlay
                self.purses[one.investor].balance -= one.outlay
        self.purses[deal.seller].balance += deal.principal - deal.discount - deal.fees
        deal.state = "funded"

    def bid(self, number: int, investor: int, rate: int, claim: int, most: int) -> str:
        """Bid; `most` is what the platform held, which must be the cost at the bid's own rate and at most 2 more."""
        deal, purse = self.deals[number], self.purses[investor]
        if not deal.on_offer or self.now >= deal.closes_at or deal.mode != "auction":
            return "not_on_offer"
        if claim > deal.principal:
            return "more_than_remaining"
        if claim < min(max(deal.least, 100), deal.principal):
            return "below_minimum_slice"
        if rate > deal.reserve_rate:
            return "invalid"
        cost = claim - rounded(Fraction(claim * rate * deal.days, 1_000_000 * YEAR))
        if cost > purse.free:
            return "insufficient_funds"
        if most == 0 and cost + 2 > purse.free:
            # So near to the last paisa that either answer is right; nothing was held, so it was the refusal.
            return "insufficient_funds"
        assert 0 <= most - cost <= 2, (most, cost)
        deal.bids.append(Promise(investor=investor, outlay=most, claim=claim, rate=rate))
        purse.held += most
        return "done"

    def withdraw_bid(self, number: int, place: int, firm_from: int) -> str:
        """Take a bid back; `firm_from` is when a leading one may go no more."""
        deal = self.deals[number]
        bid = deal.bids[place]
        if bid.status == "withdrawn":
            return "done"
        if bid.status != "held":
            return "conflict"
        if self.now >= deal.closes_at:
            return "not_on_offer"
        if self.now >= firm_from and self._leads(deal, bid):
            return "bid_leads"
        bid.status = "withdrawn"
        self.purses[bid.investor].held -= bid.outlay
        return "done"

    def _leads(self, deal: Deal, bid: Promise) -> bool:
        left = deal.principal
        for one in sorted((one for one in deal.bids if one.status == "held"), key=lambda each: each.rate):
            if one is bid:
                return left > 0
            left -= min(left, one.claim)
        return False

    def take_back(self, number: int) -> str:
        """The seller withdraws the offer."""
        deal = self.deals[number]
        if deal.state == "withdrawn":
            return "done"
        if deal.state != "listed":
            return "conflict"
        self._release(deal, "withdrawn")
        return "done"

    def _release(self, deal: Deal, state: str) -> None:
        for one in (*deal.slices, *deal.bids):
            if one.status == "held":
                one.status = "voided"
                self.purses[one.investor].held -= one.outlay
        deal.state = state

    def paid(self, number: int) -> None:
        """Nothing is owed any more; whatever is promised goes back."""
        deal = self.deals[number]
        if deal.on_offer or deal.state == "settlement_pending":
            self._release(deal, "withdrawn")

    def ring(self, settles_at: int | None) -> None:
        """The clock does what is due."""
        for deal in self.deals:
            if deal.state == "settlement_pending" and deal.settles_at is not None and deal.settles_at <= self.now:
                self._settle(deal)
            elif deal.on_offer and deal.closes_at <= self.now:
                self._close(deal, settles_at)

    def _close(self, deal: Deal, settles_at: int | None) -> None:
        live = [one for one in deal.bids if one.status == "held"]
        wins = cleared(live, deal.principal, deal.days, deal.pricing) if deal.mode == "auction" else None
        if wins is None:
            self._release(deal, "expired")
            return
        for bid in live:
            bid.status = "decided"
            self.purses[bid.investor].held -= bid.outlay
        for bid, claim, outlay in wins:
            assert outlay <= bid.outlay, "a hold does not pay for what it won"
            deal.slices.append(Promise(investor=bid.investor, outlay=outlay, claim=claim))
            self.purses[bid.investor].held += outlay
        deal.discount = deal.principal - sum(outlay for _, _, outlay in wins)
        self._full(deal, settles_at)
