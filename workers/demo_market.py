"""The marketplace of the demo: a second seller and investor, and deals in every stage.

The four demo people keep their ₹10,00,000: what is financed here is between others, so that the first deal that
somebody makes moves the numbers that the documentation shows.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from decimal import Decimal
from functools import partial
from typing import Any
from uuid import UUID

from sqlalchemy.orm import Session

from config.settings import Settings
from core import kyc, wallets
from core.identity import Actor, Role, users
from core.invoicing import invoices
from core.invoicing.invoices import NewInvoice, NewItem
from core.marketplace import funding, listing, rules, submitting
from core.marketplace.confirmations import Notary
from core.marketplace.listing import Offer
from core.marketplace.papers import Papers
from core.marketplace.rules import Rules
from core.marketplace.submitting import Confirmer

EXTRAS = (
    ("seller2@demo.com", "Lakshmi Nair", "Malabar Spices", Role.SELLER),
    ("investor2@demo.com", "Arjun Mehta", "Mehta Family Office", Role.INVESTOR),
)
_DAY = timedelta(days=1)


class Market:
    """The demo's marketplace being set up, in one transaction."""

    def __init__(self, session: Session, settings: Settings, people: dict[Role, Actor], now: datetime) -> None:
        secret = settings.secret_key
        self._session, self._now, self._people = session, now, people
        self._rules: Rules = rules.of(settings)
        self._notary = Notary.of(secret.get_secret_value() if secret else "")
        self._base_url = settings.base_url

    def open(self, password_hash: str) -> None:
        """Wallets and identities for everybody, and the deals."""
        extras = {
            role: users.register(
                self._session,
                email=email,
                name=name,
                organisation=organisation,
                role=role,
                password_hash=password_hash,
                now=self._now,
            )
            for email, name, organisation, role in EXTRAS
        }
        for person in (*self._people.values(), *extras.values()):
            if person.role is not Role.OPERATOR:
                kyc.welcome(self._session, person.id, self._now)
                wallets.welcome(self._session, person.id, self._now)
        self._deals(extras[Role.SELLER], extras[Role.INVESTOR])

    def _deals(self, seller: Actor, investor: Actor) -> None:
        fixed = Offer(discount_rate=Decimal("0.12"), haircut=Decimal("0.1"), min_slice=5_000_00)
        auction = Offer(
            mode="auction", discount_rate=Decimal("0.14"), min_slice=10_000_00, closes_at=self._now + 2 * _DAY
        )
        self._list(self._invoice(seller, "Black pepper, garbled", 3_40_000_00, 48), seller, fixed)
        started = self._list(self._invoice(seller, "Cardamom, 8 mm", 5_00_000_00, 62), seller, fixed)
        funding.fund(self._session, investor, started, 1_20_000_00, self._now, rules=self._rules)
        self._list(self._invoice(seller, "Turmeric, ground", 2_25_000_00, 75), seller, auction)
        funded = self._list(self._invoice(seller, "Cloves, hand-picked", 1_80_000_00, 33), seller, fixed)
        outlay = int(funding.quote(self._session, investor, funded, None, self._now)["amount"])
        funding.fund(self._session, investor, funded, outlay, self._now, rules=self._rules)
        # The demo's buyer finds something to confirm.
        mine = self._invoice(self._people[Role.SELLER], "Cotton poplin, dyed", 2_36_000_00, 45)
        self._submit(mine, self._people[Role.SELLER])

    def _invoice(self, seller: Actor, words: str, amount: int, days: int) -> dict[str, Any]:
        buyer = self._people[Role.BUYER]
        new = NewInvoice(
            contact_name="Rao Retail",
            contact_email=buyer.email,
            currency="INR",
            issue_date=(self._now - 3 * _DAY).date(),
            due_date=(self._now + days * _DAY).date(),
            items=[NewItem(description=words, quantity=Decimal(1), unit_price=amount)],
            payment_terms=f"Net {days + 3} days",
        )
        return invoices.create(self._session, seller, new, self._now)

    def _submit(self, invoice: dict[str, Any], seller: Actor) -> UUID:
        identity = UUID(invoice["id"])
        submitting.submit(
            self._session,
            seller,
            identity,
            buyer_email=self._people[Role.BUYER].email,
            papers=Papers(),
            rules=self._rules,
            link_to=partial(self._notary.link_to, self._base_url),
            now=self._now,
        )
        return identity

    def _list(self, invoice: dict[str, Any], seller: Actor, offer: Offer) -> UUID:
        identity = self._submit(invoice, seller)
        buyer = self._people[Role.BUYER]
        submitting.confirm(
            self._session,
            Confirmer(email=buyer.email, actor=buyer),
            identity,
            amount=None,
            rules=self._rules,
            keeper=self._notary,
            now=self._now,
        )
        listing.offer(self._session, seller, identity, offer, rules=self._rules, now=self._now)
        return identity
