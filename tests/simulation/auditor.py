"""Who has what, and where every invoice stands: what the platform must answer, worked out without its code.

Each method takes a request, changes what it must change, and returns the answer that is right: "done" or the code of a
refusal. Nothing of `core` is used here.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from fractions import Fraction

from tests.core.marketplace.auditor import Promise, claims_for, rounded
from tests.simulation.deals import ENDED, ON_OFFER, UNCONFIRMED, Deal, Invoice, fingerprints
from tests.simulation.dues import DAY, day_of, price
from tests.simulation.ending import Ending

_FIRM = timedelta(minutes=10)


@dataclass(slots=True, kw_only=True)
class Auditor(Ending):
    """What people ask for."""

    def _duplicate(self, prints: frozenset[tuple[object, ...]], mine: Deal | None) -> bool:
        return any(
            one.prints & prints
            and one is not mine
            and one.state not in ENDED
            and (one.state not in UNCONFIRMED or mine is None or one.number < mine.number)
            for one in self.deals
        )

    def submit(self, invoice: Invoice, document: str, deductions: int, now: datetime) -> str:
        if invoice.paid:
            return "conflict"
        if invoice.deal is not None and invoice.deal.state not in ENDED:
            return "conflict"
        if invoice.currency != "INR" or (self.almanac.moved(invoice.due) - day_of(now)).days < 15:
            return "invalid"
        if not 0 <= deductions < invoice.face:
            return "invalid"
        prints = fingerprints(invoice.seller, invoice.buyer, invoice.issued, document)
        if self._duplicate(prints, None):
            return "duplicate_financing"
        deal = Deal(number=len(self.deals), invoice=invoice, confirm_by=now + 14 * DAY, prints=prints)
        invoice.deals.append(deal)
        self.deals.append(deal)
        self.touched.add(deal.number)
        return "done"

    def confirm(self, invoice: Invoice, amount: int | None, deductions: int, now: datetime) -> str:
        deal = invoice.deal
        if deal is None:
            return "conflict"
        most = invoice.face - deductions
        accepted = most if amount is None else amount
        if not 0 < accepted <= most:
            return "invalid"
        if deal.confirmed is not None and deal.state not in ENDED:
            return "done" if deal.confirmed == accepted else "conflict"
        if deal.state not in UNCONFIRMED or now > deal.confirm_by:
            return "conflict"
        if self._duplicate(deal.prints, deal):
            return "duplicate_financing"
        deal.state, deal.confirmed = "confirmed", accepted
        self.touched.add(deal.number)
        return "done"

    def refuse(self, invoice: Invoice, *, dispute: bool) -> str:
        deal = invoice.deal
        if deal is None or deal.state not in UNCONFIRMED or (dispute and deal.state == "disputed"):
            return "conflict"
        deal.state = "disputed" if dispute else "rejected"
        self.touched.add(deal.number)
        return "done"

    def offer(
        self, invoice: Invoice, *, mode: str, pricing: str, rate: int, haircut: Fraction, fees: bool, recourse: str,
        least: int, closes_at: datetime, now: datetime,
    ) -> str:  # fmt: skip
        deal = invoice.deal
        if deal is None or deal.state != "confirmed" or deal.confirmed is None:
            return "conflict"
        if closes_at <= now or closes_at > now + 60 * DAY or day_of(closes_at) >= invoice.due:
            return "invalid"
        accepted = day_of(now if mode == "fixed" else closes_at)
        value = accepted if self.instant else self.almanac.following(accepted)
        days = (self.almanac.moved(invoice.due) - value).days
        found = price(deal.confirmed, haircut=haircut, rate=Fraction(rate, 10**6), days=days, fees=fees)
        if found is None or not 0 < least <= found.principal - found.discount:
            return "invalid"
        if mode == "auction" and (found.principal < 100 or least < 100 or Fraction(rate * days, 365 * 10**6) > 0.9):
            return "invalid"
        if self._duplicate(deal.prints, deal):
            return "duplicate_financing"
        if deal.number in self.stopped:
            return "fraud_stop"
        deal.state, deal.mode, deal.pricing, deal.price, deal.rate = "listed", mode, pricing, found, rate
        deal.least, deal.closes_at, deal.recourse = least, closes_at, recourse
        self.touched.add(deal.number)
        return "done"

    def _offered(self, invoice: Invoice, mode: str, now: datetime) -> str:
        deal = invoice.deal
        if deal is None or deal.price is None:
            return "not_found"
        closed = deal.closes_at is not None and now >= deal.closes_at
        if deal.state not in ON_OFFER or closed or deal.mode != mode or invoice.paid:
            return "not_on_offer"
        return "fraud_stop" if deal.number in self.stopped else ""

    def fund(self, invoice: Invoice, investor: int, amount: int, now: datetime) -> str:
        refused = self._offered(invoice, "fixed", now)
        deal, purse = invoice.deal, self.purses[investor]
        if refused or deal is None or deal.price is None:
            return refused
        if amount > deal.left:
            return "more_than_remaining"
        if amount < min(deal.least, deal.left):
            return "below_minimum_slice"
        if amount > purse.free:
            return "insufficient_funds"
        before = deal.live
        placed = sum(one.outlay for one in before) + amount
        claim = claims_for(placed, deal.principal, deal.price.discount) - sum(one.claim for one in before)
        deal.slices.append(Promise(investor=investor, outlay=amount, claim=claim))
        purse.held += amount
        deal.state = "partially_funded"
        self.touched.add(deal.number)
        if deal.left == 0:
            self._full(deal, now)
        return "done"

    def bid(self, invoice: Invoice, investor: int, rate: int, claim: int, most: int, now: datetime) -> str:
        """A bid; `most` is what the platform held for it: the cost at the bid's own rate and at most 2 units more."""
        refused = self._offered(invoice, "auction", now)
        deal, purse = invoice.deal, self.purses[investor]
        if refused or deal is None or deal.price is None:
            return refused
        if claim > deal.principal:
            return "more_than_remaining"
        if claim < min(max(deal.least, 100), deal.principal):
            return "below_minimum_slice"
        if rate > deal.rate:
            return "invalid"
        cost = claim - rounded(Fraction(claim * rate * deal.price.days, 1_000_000 * 365))
        if cost > purse.free or (most == 0 and cost + 2 > purse.free):
            return "insufficient_funds"
        assert 0 <= most - cost <= 2, f"{most} held for a bid that costs {cost}"
        deal.bids.append(Promise(investor=investor, outlay=most, claim=claim, rate=rate))
        purse.held += most
        self.touched.add(deal.number)
        return "done"

    def withdraw_bid(self, invoice: Invoice, place: int, now: datetime) -> str:
        deal = invoice.deal
        assert deal is not None
        assert deal.closes_at is not None
        bid = deal.bids[place]
        if bid.status != "held":
            return "done" if bid.status == "withdrawn" else "conflict"
        if now >= deal.closes_at:
            return "not_on_offer"
        if now >= deal.closes_at - _FIRM and self._leads(deal, bid):
            return "bid_leads"
        bid.status = "withdrawn"
        self.purses[bid.investor].held -= bid.outlay
        self.touched.add(deal.number)
        return "done"

    def _leads(self, deal: Deal, bid: Promise) -> bool:
        left = deal.principal
        for one in sorted((one for one in deal.bids if one.status == "held"), key=lambda each: each.rate):
            if one is bid:
                return left > 0
            left -= min(left, one.claim)
        return False

    def take_back(self, invoice: Invoice) -> str:
        deal = invoice.deal
        if deal is None:
            return "conflict"
        if deal.state == "withdrawn":
            return "done"
        if deal.state not in UNCONFIRMED | {"confirmed", "listed"}:
            return "conflict"
        self._release(deal, "withdrawn")
        return "done"
