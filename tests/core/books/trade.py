"""A seller's trade as it happens to the database, and the books it must end in, worked out without the code.

`Model` knows the rules of ADR 0015 and of filling an invoice (ADR 0008), and shares no function with `core`.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import text

from core import intake
from core.books.checks import CHECKS as BOOKS
from core.database import Database
from core.events import (
    Dispute,
    DisputeStatus,
    Payment,
    PaymentStatus,
    Payout,
    PayoutStatus,
    Reference,
    Refund,
    RefundStatus,
)
from core.invoicing import invoices
from core.ledger.checks import CHECKS
from core.money import Money
from core.payments import manual
from core.payments.hand import NewTarget
from tests.builders import NOW, Json, Shop

Books = dict[tuple[str, str], int]


@dataclass
class Paper:
    """An invoice as the model knows it."""

    id: UUID
    number: str
    total: int
    currency: str = "INR"
    tax: int = 0
    alive: bool = True


@dataclass
class Paid:
    """A payment as the model knows it. `place` is where its money is."""

    name: str
    amount: int
    at: datetime
    currency: str = "INR"
    fee: int = 0
    refunded: int = 0
    lost: int = 0
    invoice: Paper | None = None
    place: str = "clearing"
    by_hand: UUID | None = None
    alive: bool = True

    @property
    def turn(self) -> tuple[datetime, str, str]:
        """Its place among those that fill an invoice (ADR 0008)."""
        return (self.at, "" if self.by_hand else self.name, str(self.by_hand or ""))

    @property
    def net(self) -> int:
        refunded = min(self.refunded, self.amount)
        return self.amount - refunded - min(self.lost, self.amount - refunded)


@dataclass
class Model:
    """What the books of one seller must say."""

    papers: list[Paper] = field(default_factory=list)
    payments: list[Paid] = field(default_factory=list)
    payouts: Counter[str] = field(default_factory=Counter)

    def books(self) -> Books:
        found: Counter[tuple[str, str]] = Counter()
        left = {}
        for paper in self.papers:
            if paper.alive:
                found["receivable", paper.currency] -= paper.total
                found["sales", paper.currency] += paper.total - paper.tax
                found["tax_due", paper.currency] += paper.tax
                left[paper.id] = paper.total
        for one in sorted(self.payments, key=lambda one: one.turn):
            if not one.alive:
                continue
            paid = 0
            if one.invoice is not None and one.invoice.alive and one.invoice.currency == one.currency:
                paid = min(one.net, left[one.invoice.id])
                left[one.invoice.id] -= paid
            found["receivable", one.currency] += paid
            found["credit", one.currency] += one.net - paid
            found["gateway_fees", one.currency] -= one.fee
            back = min(one.refunded, one.amount) if one.by_hand else 0
            found[one.place, one.currency] -= one.net - one.fee + back
            found["bank", one.currency] += back
        for currency, amount in self.payouts.items():
            found["clearing", currency] += amount
            found["bank", currency] -= amount
        return {key: amount for key, amount in found.items() if amount}


def books(shop: Shop) -> Books:
    """What the ledger says."""
    rows = shop.rows(
        "SELECT purpose, currency, sum(balance)::bigint AS balance FROM ledger_accounts "
        "WHERE owner = 'books:' || :user OR owner = 'connection:' || :connection AND purpose = 'clearing' "
        "GROUP BY 1, 2 HAVING sum(balance) <> 0",
        connection=str(shop.connection_id),
    )
    return {(row["purpose"], row["currency"]): row["balance"] for row in rows}


def problems(database: Database) -> list[str]:
    """What the verifier finds."""
    with database.connect() as connection:
        return [
            f"{check.invariant} {check.name}: {row.subject} {row.message}"
            for check in (*CHECKS, *BOOKS)
            for row in connection.execute(text(check.query))
        ]


def tell(shop: Shop, *records: Any) -> None:
    """Hear records over the shop's connection, in one transaction."""
    with shop.database.connect() as connection:
        intake.apply(connection, shop.state(*records), now=NOW)


def issue(shop: Shop, total: int = 10_000, currency: str = "INR") -> Json:
    return shop.invoice(total, currency)


def void(shop: Shop, invoice: UUID) -> None:
    with shop.database.session() as session:
        invoices.void(session, shop.seller, invoice, NOW)


def paid(
    name: str,
    amount: int,
    *,
    number: str | None = None,
    fee: int | None = None,
    at: int = 0,
    version: int = 1,
    status: PaymentStatus = PaymentStatus.SUCCEEDED,
    currency: str = "INR",
) -> Payment:
    """A payment as a gateway tells of it."""
    return Payment(
        object_id=name,
        version=version,
        status=status,
        money=Money(amount, currency),
        occurred_at=NOW + timedelta(seconds=at),
        references=() if number is None else (Reference(1, number),),
        fee=None if fee is None else Money(fee, currency),
    )


def refunded(name: str, payment: str, amount: int) -> Refund:
    return Refund(
        object_id=name, payment_id=payment, version=1, status=RefundStatus.SUCCEEDED, money=Money(amount, "INR"),
        occurred_at=NOW,
    )  # fmt: skip


def lost(name: str, payment: str, amount: int) -> Dispute:
    return Dispute(
        object_id=name, payment_id=payment, version=1, status=DisputeStatus.LOST, money=Money(amount, "INR"),
        deducted=Money(amount, "INR"), occurred_at=NOW,
    )  # fmt: skip


def paid_out(name: str, amount: int, status: PayoutStatus = PayoutStatus.PAID, *, third_party: bool = False) -> Payout:
    return Payout(
        object_id=name, version=1, status=status, money=Money(amount, "INR"), occurred_at=NOW,
        to_third_party=third_party,
    )  # fmt: skip


def by_hand(shop: Shop, amount: int, method: str = "cash", target: UUID | None = None) -> UUID:
    """A payment that the seller writes down, towards an invoice or as credit of the shop's one customer."""
    with shop.database.session() as session:
        made = manual.record(
            session,
            shop.seller,
            manual.NewPayment(
                amount=amount,
                currency="INR",
                method=method,
                date=NOW.date(),
                contact_id=customer(shop),
                targets=[] if target is None else [NewTarget(target, amount)],
            ),
            NOW,
        )
    return UUID(made["id"])


def customer(shop: Shop) -> UUID:
    """The shop's one customer, who is there once there is an invoice."""
    found: UUID = shop.one("SELECT id FROM contacts WHERE user_id = :user")["id"]
    return found
