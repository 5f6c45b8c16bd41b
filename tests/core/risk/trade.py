"""A seller and a buyer with invoices between them, in the database."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.orm import Session

from core.database import Database
from core.identity import Actor, Role, users
from core.ids import new_id
from core.invoicing import invoices
from core.invoicing.invoices import NewInvoice, NewItem
from tests.core.risk.worked import NOW, TODAY


def person(session: Session, role: Role, *, email: str | None = None, days: int = 400) -> Actor:
    """Somebody whose account is so many days old."""
    return users.register(
        session,
        email=email or f"{new_id()}@risk.test",
        name=f"A {role.value}",
        password_hash="-",
        role=role,
        now=NOW - timedelta(days=days),
    )


def invoice(
    session: Session,
    seller: Actor,
    buyer: str,
    *,
    total: int = 1_00_000_00,
    issued: date = TODAY,
    days: int = 30,
    says: str = "Cloth",
) -> UUID:
    """An open invoice."""
    made = invoices.create(
        session,
        seller,
        NewInvoice(
            contact_name="Rao Retail",
            contact_email=buyer,
            currency="INR",
            issue_date=issued,
            due_date=issued + timedelta(days=days),
            items=[NewItem(description=says, quantity=Decimal(1), unit_price=total)],
        ),
        NOW,
    )
    return UUID(made["id"])


_PAID = (
    """
    INSERT INTO payments (id, user_id, source, version, status, amount, allocated, currency, invoice_id, occurred_at,
        trust)
    SELECT :payment, :seller, 'bank', 1, 'succeeded', total, total, currency, id, :on, 'fetched' FROM invoices
    WHERE id = :invoice
    """,
    """
    INSERT INTO allocations (id, payment_id, invoice_id, amount, currency, reason, created_at)
    SELECT uuid7(), :payment, id, total, currency, 'test', :now FROM invoices WHERE id = :invoice
    """,
    "UPDATE invoices SET status = 'paid', amount_paid = total, updated_at = :on WHERE id = :invoice",
)


def pay(session: Session, invoice_id: UUID, seller: Actor, on: date) -> None:
    """Have a bank report the whole amount on a day."""
    payment = new_id()
    values = {"payment": payment, "invoice": invoice_id, "seller": seller.id, "on": on, "now": NOW}
    for statement in _PAID:
        session.execute(text(statement), values)


def finance(session: Session, invoice_id: UUID, **columns: Any) -> UUID:
    """A financing of the invoice that waits for its buyer."""
    identity = new_id()
    given = {"file_hashes": [], **columns}
    names = "".join(f", {name}" for name in given)
    values = "".join(f", :{name}" for name in given)
    session.execute(
        text(
            "INSERT INTO financings (id, invoice_id, seller_id, buyer_id, buyer_email, state, currency, face, "
            f"due_date, issue_date, submitted_at, confirm_by, created_at, updated_at{names}) "
            "SELECT :id, invoices.id, seller_id, invoices.buyer_id, contacts.email, 'pending_buyer_confirmation', "
            f"invoices.currency, total, due_date, issue_date, :now, :now, :now, :now{values} "
            "FROM invoices JOIN contacts ON contacts.id = contact_id WHERE invoices.id = :invoice"
        ),
        {"id": identity, "invoice": invoice_id, "now": NOW, **given},
    )
    session.execute(
        text(
            "INSERT INTO financing_moves (id, financing_id, version, after, reason, at) "
            "VALUES (uuid7(), :id, 1, 'pending_buyer_confirmation', 'test', :now)"
        ),
        {"id": identity, "now": NOW},
    )
    return identity


@dataclass(frozen=True, slots=True)
class Alike:
    """A likeness as the marketplace reports it."""

    level: str
    other: UUID | None
    sentence: str = "Another invoice between the same two parties has the same amount and the same date."


@dataclass(frozen=True, slots=True)
class Pair:
    """A seller, a buyer, and one invoice that is brought for financing."""

    seller: Actor
    buyer: Actor
    invoice: UUID
    financing: UUID


def pair(books: Database, **more: Any) -> Pair:
    """Two people who trade for the first time."""
    with books.session() as session:
        seller, buyer = person(session, Role.SELLER), person(session, Role.BUYER)
        made = invoice(session, seller, buyer.email, **more)
        return Pair(seller, buyer, made, finance(session, made))
