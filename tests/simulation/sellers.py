"""What sellers, their buyers and the operator do: bill, submit, confirm, refuse, list, take back, review."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from fractions import Fraction
from typing import Any
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.orm import Session

from core.identity import Role
from core.invoicing import invoices
from core.invoicing.invoices import NewInvoice, NewItem
from core.marketplace import listing, submitting
from core.marketplace.listing import Offer
from core.marketplace.papers import Papers
from core.marketplace.submitting import Confirmer
from core.risk import reviews
from tests.simulation.deals import ENDED, ON_OFFER, SETTLED, Invoice
from tests.simulation.deeds import Deeds
from tests.simulation.dues import day_of

LAKH = 1_00_000_00
_MOST_ACTIVE = 14
_ASKED = {"pending_buyer_confirmation", "disputed"}


@dataclass(slots=True)
class Selling(Deeds):
    """Everything before an investor comes, and the way back."""

    def bill(self) -> None:
        """A seller makes an invoice: most of some weeks, some too short to be financed, a few in another currency."""
        world = self.world
        if sum(map(self._alive, world.auditor.invoices[-60:])) > _MOST_ACTIVE:
            return
        seller, buyer = self.one(world.of_role(Role.SELLER)), self.one(world.of_role(Role.BUYER))
        face = self.chance.choice([self.chance.randint(5_000_00, 6 * LAKH), self.chance.randint(1, 12) * LAKH // 2 + 1])
        due = day_of(world.now) + timedelta(days=self.chance.choice([14, 18, 21, 25, 30, 45, 60]))
        currency = "USD" if self.happens(0.03) else "INR"

        def act(session: Session) -> Any:
            new = NewInvoice(
                contact_name=world.people[buyer].name, contact_email=world.people[buyer].email, currency=currency,
                issue_date=day_of(world.now), due_date=due,
                items=[NewItem(description="Cloth", quantity=Decimal(1), unit_price=face)],
            )  # fmt: skip
            return invoices.create(session, world.people[seller], new, world.now, draft=False)

        def answer(made: Any) -> str:
            invoice = Invoice(
                seller=seller, buyer=buyer, connection=seller, face=face, issued=day_of(world.now), due=due,
                number=made["number"], currency=currency,
            )  # fmt: skip
            world.auditor.invoices.append(invoice)
            world.invoice_ids[id(invoice)] = UUID(made["id"])
            return "done"

        world.deliver(f"invoice of {face} by {seller} to {buyer}", act, answer)

    def _young(self, one: Invoice) -> bool:
        """Whether there is time to finance it."""
        return not one.paid and (one.due - day_of(self.world.now)).days > 14

    def _alive(self, one: Invoice) -> bool:
        if one.deal is None or one.deal.state in ENDED:
            return self._young(one)
        return one.deal.state not in SETTLED

    def _document(self, invoice: Invoice) -> str:
        """The number on the paper: mostly its own; or that of another invoice of this seller, spelled as it likes."""
        others = [one for one in self.world.auditor.invoices[-60:] if one.seller == invoice.seller]
        if self.happens(0.85):
            return invoice.number
        number = self.one(others).number
        return number.lower().replace("-", "/") if self.happens(0.5) else number

    def submit(self) -> None:
        world = self.world
        invoice = self.newest(lambda one: self._young(one) and (one.deal is None or one.deal.state in ENDED))
        if invoice is None:
            return
        document = self._document(invoice)
        withheld = self.chance.choice([0] * 9 + [invoice.face // 100] * 3 + [invoice.face])
        papers = Papers(document_number=document, tax_withheld=withheld)
        seller, email = world.people[invoice.seller], world.people[invoice.buyer].email
        identity = world.invoice_id(invoice)

        def act(session: Session) -> UUID:
            return submitting.submit(
                session, seller, identity, buyer_email=email, papers=papers, rules=world.rules,
                link_to=lambda _: "https://here.test/link", now=world.now,
            ).id  # fmt: skip

        def answer(made: UUID | None) -> str:
            said = world.auditor.submit(invoice, document, withheld, world.now)
            if said == "done" and made is not None and invoice.deal is not None:
                world.financing_ids[invoice.deal.number] = made
                world.deductions[invoice.deal.number] = withheld
            return said

        world.deliver(
            f"submit {invoice.number} of {invoice.seller} as {document}", act, answer, twice=self.happens(0.1)
        )

    def confirm(self) -> None:
        world = self.world
        invoice = self.newest(lambda one: one.deal is not None and one.deal.state in _ASKED)
        if invoice is None:
            return
        less = self.chance.choice([0, 0, 0, 0, 1, 100, invoice.face // 7, invoice.face // 9, invoice.face + 1])
        withheld = world.deductions[invoice.deal.number] if invoice.deal else 0
        amount = None if not less else invoice.face - withheld - less
        who = world.people[invoice.buyer]
        identity = world.invoice_id(invoice)

        def act(session: Session) -> Any:
            confirmer = Confirmer(email=who.email, actor=who)
            return submitting.confirm(
                session, confirmer, identity, amount=amount, rules=world.rules, keeper=world.notary, now=world.now
            )

        world.deliver(
            f"confirm {amount} of {invoice.number} of {invoice.seller}",
            act,
            lambda _: world.auditor.confirm(invoice, amount, withheld, world.now),
            twice=self.happens(0.15),
        )

    def refuse(self) -> None:
        world = self.world
        invoice = self.newest(lambda one: one.deal is not None and one.deal.state in _ASKED)
        if invoice is None:
            return
        dispute, who = self.happens(0.5), world.people[invoice.buyer]
        identity = world.invoice_id(invoice)

        def act(session: Session) -> Any:
            confirmer = Confirmer(email=who.email, actor=who)
            return submitting.reject(
                session, confirmer, identity, reason="not what we ordered", dispute=dispute, now=world.now
            )

        world.deliver(
            f"{'dispute' if dispute else 'reject'} {invoice.number}",
            act,
            lambda _: world.auditor.refuse(invoice, dispute=dispute),
        )

    def offer(self) -> None:
        world = self.world
        invoice = self.newest(lambda one: one.deal is not None and one.deal.state == "confirmed")
        if invoice is None:
            return
        mode = self.chance.choice(["fixed", "auction"])
        pricing = self.chance.choice(["uniform", "pay_as_bid"])
        rate = self.chance.randint(0, 360_000) // 100 * 100
        haircut = self.chance.choice([0, 0, 10, 20, 33])
        fees, recourse = self.happens(0.5), self.chance.choice(["none", "reserve", "full"])
        least = self.chance.choice([100, 100, 10_000_00, 50_000_00])
        closes = world.now + timedelta(minutes=self.chance.choice([300, 1440, 2880, 4000, 6000, 9000, 100_000]))
        offer = Offer(
            mode="fixed" if mode == "fixed" else "auction",
            discount_rate=Decimal(rate).scaleb(-6),
            haircut=Decimal(haircut).scaleb(-2),
            min_slice=least,
            closes_at=closes,
            pricing="uniform" if pricing == "uniform" else "pay_as_bid",
            fee_plan="standard" if fees else "none",
            recourse="none" if recourse == "none" else "reserve" if recourse == "reserve" else "full",
        )
        identity, seller = world.invoice_id(invoice), world.people[invoice.seller]
        world.stopped()
        world.deliver(
            f"list {invoice.number} of {invoice.seller}: {mode} {pricing} {rate} {haircut} % to {closes:%d %b %H:%M}",
            lambda session: listing.offer(session, seller, identity, offer, rules=world.rules, now=world.now),
            lambda _: world.auditor.offer(
                invoice, mode=mode, pricing=pricing, rate=rate, haircut=Fraction(haircut, 100), fees=fees,
                recourse=recourse, least=least, closes_at=closes, now=world.now,
            ),
            # Listing looks at the risk once more, and what that finds is not this auditor's to say.
            also=frozenset({"fraud_stop"}),
            twice=self.happens(0.1),
        )  # fmt: skip

    def take_back(self) -> None:
        world = self.world
        invoice = self.newest(lambda one: one.deal is not None and one.deal.state in ON_OFFER, seldom=0.2)
        if invoice is None:
            return
        identity, seller = world.invoice_id(invoice), world.people[invoice.seller]
        world.deliver(
            f"withdraw {invoice.number} of {invoice.seller}",
            lambda session: listing.withdraw(session, seller, identity, now=world.now),
            lambda _: world.auditor.take_back(invoice),
            twice=self.happens(0.3),
        )

    def review(self) -> None:
        """The operator decides the oldest open review; what cannot be cleared stays."""
        world = self.world
        with world.database.connect() as connection:
            found = connection.execute(text("SELECT id, hard FROM reviews WHERE state = 'open' ORDER BY id")).first()
        if found is None:
            return
        decision: reviews.Decision = "uphold" if found.hard or self.happens(0.3) else "clear"
        world.deliver(
            f"{decision} a review",
            lambda session: reviews.decide(session, world.operator, found.id, decision, "looked at it", world.now),
            lambda _: "done",
        )
