"""How deals settle, are repaid, run late and end: the part of the auditor that needs no request.

Nothing of `core` is used here.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from tests.core.marketplace.auditor import Promise, cleared
from tests.simulation.deals import ENDED, SETTLED, Deal, Invoice, Purse
from tests.simulation.dues import DAY, REPURCHASE, Almanac, Price, Receipt, Row, Word, day_of, opening, waterfall

_AGAIN = timedelta(minutes=5)


@dataclass(slots=True, kw_only=True)
class Ending:
    """The books as they should be. Sellers, buyers and investors are numbers in `purses`."""

    almanac: Almanac
    purses: list[Purse] = field(default_factory=list)
    invoices: list[Invoice] = field(default_factory=list)
    deals: list[Deal] = field(default_factory=list)
    fees: int = 0
    taxes: int = 0
    settled: int = 0
    outside: Counter[int] = field(default_factory=Counter)
    unapplied: Counter[int] = field(default_factory=Counter)
    # Deals that an operator stopped: read from the reviews, which are somebody else's judgement.
    stopped: set[int] = field(default_factory=set)
    touched: set[int] = field(default_factory=set)
    instant: bool = False

    def _full(self, deal: Deal, now: datetime) -> None:
        today = day_of(now)
        deal.state, deal.settle_on = "settlement_pending", self.almanac.following(today)
        if self.instant:
            self._settle(deal)

    def _settle(self, deal: Deal) -> None:
        assert deal.price is not None
        for one in deal.slices:
            if one.status == "held":
                one.status = "settled"
                self.purses[one.investor].held -= one.outlay
                self.purses[one.investor].net -= one.outlay
        self.purses[deal.invoice.seller].net += deal.outlay - deal.price.fee - deal.price.tax
        self.fees += deal.price.fee
        self.taxes += deal.price.tax
        self.settled += 1
        deal.state = "funded"

    def _release(self, deal: Deal, state: str) -> None:
        for one in (*deal.slices, *deal.bids):
            if one.status == "held":
                one.status = "voided"
                self.purses[one.investor].held -= one.outlay
        deal.state = state
        self.touched.add(deal.number)

    def hear(self, words: Sequence[tuple[Invoice, Word]], now: datetime) -> str:
        """What providers say of payments, in one batch."""
        for invoice, word in words:
            invoice.till.hear(word)
        for invoice in {id(invoice): invoice for invoice, _ in words}.values():
            deal = invoice.deal
            if deal is None or deal.state in ENDED:
                continue
            if deal.state in SETTLED:
                self._repay(deal, now)
            elif invoice.till.receipts():
                self._release(deal, "withdrawn")
        return "done"

    def _repay(self, deal: Deal, now: datetime) -> None:
        invoice, due = deal.invoice, self.almanac.moved(deal.invoice.due)
        receipts = invoice.till.receipts()
        if deal.repurchased_at is not None:
            receipts.append(Receipt(name=REPURCHASE, amount=0, at=deal.repurchased_at))
        rows = waterfall(
            receipts,
            face=invoice.face,
            confirmed=deal.confirmed or 0,
            bought=[one.claim for one in deal.live],
            due=due,
            recourse=deal.recourse,
        )
        if rows == deal.rows:
            return
        for sign, some in ((-1, deal.rows), (1, rows)):
            for row in some:
                self._move(deal, row, sign)
        deal.rows = rows
        self.touched.add(deal.number)
        if deal.sums[1] == deal.principal:
            deal.state = "repaid"
        elif deal.state != "defaulted":
            late = now >= self.almanac.overdue_from(invoice.due)
            deal.state = "overdue" if late else "part_paid" if deal.sums[0] else "funded"
        for place, one in enumerate(deal.live):
            one.status = "repaid" if deal.repaid(place)[0] == one.claim else "settled"

    def _move(self, deal: Deal, row: Row, sign: int) -> None:
        for place, interest, principal in row.shares:
            self.purses[deal.live[place].investor].net += sign * (interest + principal)
        self.purses[deal.invoice.seller].net += sign * row.seller
        self.unapplied[deal.invoice.buyer] += sign * row.surplus
        if row.name == REPURCHASE:
            self.purses[deal.invoice.seller].net -= sign * row.amount
        else:
            self.outside[deal.invoice.connection] -= sign * row.amount

    def wakes(self, deal: Deal) -> datetime | None:
        """When the clock has something to do for it."""
        due = deal.invoice.due
        match deal.state:
            case "pending_buyer_confirmation" | "disputed":
                return min(deal.confirm_by, opening(self.almanac.moved(due) + DAY))
            case "confirmed":
                return opening(self.almanac.moved(due) + DAY)
            case "listed" | "partially_funded":
                assert deal.closes_at is not None
                return min(deal.closes_at, opening(self.almanac.moved(due)))
            case "settlement_pending":
                assert deal.settle_on is not None
                return opening(deal.settle_on)
            case "funded" | "part_paid":
                return self.almanac.overdue_from(due)
            case "overdue":
                return self.almanac.default_from(due)
            case _:
                return None

    def ring(self, now: datetime) -> None:
        """The clock does what is due, each deal until it has nothing to do; what it cannot do waits for a moment."""
        for deal in self.deals:
            while deal.state not in ENDED and (deal.snoozed is None or deal.snoozed <= now):
                due = self.wakes(deal)
                if due is None or due > now:
                    break
                self._look(deal, now)
                after = self.wakes(deal)
                if after is not None and after <= now:
                    deal.snoozed = now + _AGAIN

    def _look(self, deal: Deal, now: datetime) -> None:
        self.touched.add(deal.number)
        match deal.state:
            case "listed" | "partially_funded" if deal.mode == "auction":
                self._close(deal, now)
            case "settlement_pending" if deal.number in self.stopped:
                self._release(deal, "listed")
            case "settlement_pending":
                self._settle(deal)
            case "funded" | "part_paid":
                deal.state = "overdue"
                if now >= self.almanac.default_from(deal.invoice.due):
                    self._default(deal, now)
            case "overdue":
                self._default(deal, now)
            case _:
                self._release(deal, "expired")

    def _default(self, deal: Deal, now: datetime) -> None:
        deal.state = "defaulted"
        if deal.recourse == "full":
            deal.repurchased_at = self.almanac.default_from(deal.invoice.due)
            self._repay(deal, now)

    def _close(self, deal: Deal, now: datetime) -> None:
        assert deal.price is not None
        live = [one for one in deal.bids if one.status == "held"]
        wins = cleared(live, deal.principal, deal.price.days, deal.pricing)
        if wins is None or deal.number in self.stopped:
            self._release(deal, "expired")
            return
        for bid in live:
            bid.status = "decided"
            self.purses[bid.investor].held -= bid.outlay
        for bid, claim, outlay in wins:
            assert outlay <= bid.outlay, "a hold does not pay for what it won"
            deal.slices.append(Promise(investor=bid.investor, outlay=outlay, claim=claim))
            self.purses[bid.investor].held += outlay
        discount = deal.principal - sum(outlay for _, _, outlay in wins)
        price_ = deal.price
        deal.price = Price(
            principal=price_.principal, discount=discount, fee=price_.fee, tax=price_.tax, days=price_.days
        )
        self._full(deal, now)
