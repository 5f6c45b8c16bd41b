"""What investors do: fund, bid, and take bids back."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import Any
from uuid import UUID

from core.identity import Role
from core.marketplace import bidding, funding
from tests.simulation.deals import ON_OFFER, Invoice
from tests.simulation.deeds import Deeds


@dataclass(slots=True)
class Investing(Deeds):
    """Money that is promised, and promises taken back."""

    def _offered(self, mode: str) -> Invoice | None:
        return self.newest(lambda one: one.deal is not None and one.deal.state in ON_OFFER and one.deal.mode == mode)

    def fund(self) -> None:
        world = self.world
        invoice = self._offered("fixed")
        if invoice is None:
            return
        investor = self.one(world.of_role(Role.INVESTOR))
        left = invoice.deal.left if invoice.deal else 1_000_00
        free = world.auditor.purses[investor].free
        amount = max(
            1,
            self.chance.choice(
                [left, left, left // 2, left // 3, left // 4, left + 1, free, 50, min(free, left), min(free, left)]
            ),
        )
        identity, who = world.invoice_id(invoice), world.people[investor]
        world.stopped()
        world.deliver(
            f"fund {invoice.number} of {invoice.seller} with {amount} by {investor}",
            lambda session: funding.fund(session, who, identity, amount, world.now, rules=world.rules),
            lambda _: world.auditor.fund(invoice, investor, amount, world.now),
            twice=self.happens(0.12),
        )

    def bid(self) -> None:
        world = self.world
        invoice = self._offered("auction")
        if invoice is None:
            return
        investor = self.one(world.of_role(Role.INVESTOR))
        deal = invoice.deal
        principal, most = (deal.principal, deal.rate) if deal else (1_000_00, 0)
        claim = max(
            1,
            self.chance.choice(
                [principal, principal, principal // 2, principal // 2, principal // 3, principal + 1, 60_000_00]
            ),
        )
        rate = (
            self.chance.choice([most, most * 3 // 4, most * 7 // 8, most // 2, most // 2 + 100, most // 3]) // 100 * 100
        )
        identity, who = world.invoice_id(invoice), world.people[investor]

        def answer(made: Any) -> str:
            said = world.auditor.bid(invoice, investor, rate, claim, made["held"] if made else 0, world.now)
            if said == "done" and made and invoice.deal:
                world.bid_ids[invoice.deal.number, len(invoice.deal.bids) - 1] = UUID(made["id"])
            return said

        world.stopped()
        world.deliver(
            f"bid for {invoice.number} of {invoice.seller}: {claim} at {rate} by {investor}",
            lambda session: bidding.bid(session, who, identity, Decimal(rate).scaleb(-6), claim, world.now),
            answer,
            twice=self.happens(0.05),
        )

    def withdraw_bid(self) -> None:
        world = self.world
        invoice = self.newest(lambda one: one.deal is not None and bool(one.deal.bids))
        if invoice is None or invoice.deal is None or not invoice.deal.bids:
            return
        place = self.chance.randrange(len(invoice.deal.bids))
        who = world.people[invoice.deal.bids[place].investor]
        identity, bid_id = world.invoice_id(invoice), world.bid_ids[invoice.deal.number, place]
        world.deliver(
            f"withdraw bid {place} for {invoice.number} of {invoice.seller}",
            lambda session: bidding.withdraw_bid(session, who, identity, bid_id, world.now),
            lambda _: world.auditor.withdraw_bid(invoice, place, world.now),
            twice=self.happens(0.2),
        )
