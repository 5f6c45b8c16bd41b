"""Funded invoices whose buyers pay through a connection: what tests of repayment build on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import text

from core import ledger
from core.identity import Actor, Role
from core.marketplace.rules import INDIA
from core.marketplace.states import Financing, State
from tests.builders import NOW, Clockwork, Json, Shop, open_shop, payment, refund
from tests.core.marketplace import builders
from tests.core.marketplace.builders import Listing

# The worked example of marketplace rules 2.3 and 2.4: 60 days, due on a working day, three slices.
BEGUN = NOW - timedelta(days=1)
DUE = datetime(2027, 1, 1, 15, 0, tzinfo=INDIA)
FACE = 5_00_000_00
SLICES = (1_47_041_09, 1_47_041_10, 98_027_40)
WORKED: Mapping[str, Any] = {
    "face": FACE,
    "haircut": "20",
    "rate": "12",
    "fee_plan": "standard",
    "now": BEGUN,
    "slices": SLICES,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Deal:
    """A funded invoice and the connection of its seller."""

    shop: Shop
    offer: Listing

    @property
    def invoice_id(self) -> UUID:
        return self.offer.invoice_id

    def paid(self, amount: int, *, days_late: int = 0, name: str = "succeeded", **more: object) -> Json:
        """What the provider says of a payment towards this invoice, so many days after the due date."""
        at = int((DUE + timedelta(days=days_late) - NOW).total_seconds())
        given = {"id": "pmt_1", "amount_minor": amount, "invoice_id": str(self.invoice_id), **more}
        return payment(name, at, **given)

    def returned(self, amount: int, **more: Any) -> Json:
        """What it says of a refund of that payment."""
        return refund(amount_minor=amount, **more)

    def pay(self, amount: int, **more: Any) -> None:
        self.shop.hear(self.paid(amount, **more))

    @property
    def financing(self) -> Financing:
        with self.shop.database.connect() as connection:
            return builders.standing(connection, self.offer)

    def money(self, *people: Actor) -> list[int]:
        """The wallets of these people, or of the investors and the seller."""
        with self.shop.database.connect() as connection:
            return builders.money(connection, *(people or (*self.offer.investors, self.offer.seller)))

    def balance(self, account: ledger.Account) -> int:
        with self.shop.database.connect() as connection:
            return ledger.balance(connection, account).balance

    @property
    def standing(self) -> list[Json]:
        """The repayments that were not taken back, in the order of their money."""
        return self.shop.rows(
            "SELECT amount, interest, principal, seller, surplus, paid_at FROM repayments "
            "WHERE financing_id = :id AND reversed_by IS NULL ORDER BY paid_at, id",
            id=self.offer.financing_id,
        )

    @property
    def shares(self) -> list[tuple[int, int]]:
        """(interest, principal) of each slice, over everything that stands."""
        rows = self.shop.rows(
            "SELECT repaid_interest, repaid_principal FROM investments WHERE financing_id = :id ORDER BY sequence",
            id=self.offer.financing_id,
        )
        return [(row["repaid_interest"], row["repaid_principal"]) for row in rows]

    def told(self, name: str, *, room: str | None = None) -> list[Json]:
        """What was announced by this name, of this invoice or to this room."""
        rows = self.shop.rows("SELECT room, data, event_id FROM outbox WHERE name = :name ORDER BY id", name=name)
        return [
            row
            for row in rows
            if (row["room"] == room if room else row["data"].get("invoice_id") == str(self.invoice_id))
        ]

    @property
    def books(self) -> Json:
        """Everything that must not depend on the order in which the payments were told."""
        financing = self.financing
        return {
            "state": financing.state,
            "sums": (
                financing.collected,
                financing.repaid_principal,
                financing.repaid_interest,
                financing.seller_reserve_paid,
                financing.surplus,
            ),
            "repayments": self.standing,
            "shares": self.shares,
            "money": self.money(),
            "unapplied": self.balance(ledger.unapplied(f"user:{self.offer.buyer.id}", "INR")),
            "outside": self.balance(ledger.outside(self.shop.connection_id, "INR")),
            "escrow": self.balance(ledger.escrow(self.offer.financing_id, "INR")),
        }

    def spend(self, who: Actor, amount: int) -> None:
        """Somebody spends what is in their wallet elsewhere."""
        with self.shop.database.session() as session:
            builders.give(session, who, -amount)


def operator(context: Clockwork) -> Actor:
    with context.database.session() as session:
        return builders.person(session, Role.OPERATOR)


def make(context: Clockwork, **terms: Any) -> Deal:
    """A funded invoice; without terms that of the worked example."""
    with context.database.session() as session:
        offer = builders.funded(session, **(terms or WORKED))
    return Deal(shop=open_shop(context, seller=offer.seller), offer=offer)


def offered(context: Clockwork, **terms: Any) -> Deal:
    """An invoice that nobody has funded yet."""
    with context.database.session() as session:
        offer = builders.listed(session, **terms)
    return Deal(shop=open_shop(context, seller=offer.seller), offer=offer)


def state_of(deal: Deal) -> State:
    """Where its financing stands now."""
    return deal.financing.state


def run(context: Clockwork, statement: str, **values: object) -> None:
    """A statement by hand, committed."""
    with context.database.connect() as connection:
        connection.execute(text(statement), values)
