"""A seller's desk for the tests of invoices: who sells, and what they write."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from sqlalchemy import text

from core.database import Database
from core.identity import Actor, Role, users
from core.ids import new_id
from core.invoicing import invoices, profiles, queries
from core.invoicing.invoices import InvoiceChanges, NewInvoice, NewItem

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
TEA = NewItem(description="Tea", quantity=Decimal(2), unit_price=5_000)
# Made up, right in check character: Maharashtra, Karnataka.
MAHARASHTRA, KARNATAKA = "27AAPFU0939F1ZV", "29AAFCC9980M1ZR"
GST = {"tax_regime": "gst", "gstin": MAHARASHTRA, "legal_name": "Loom Works LLP", "address": "1 Mill Road"}


def register(database: Database, role: Role = Role.SELLER, name: str = "Sita") -> Actor:
    """Somebody new."""
    with database.session() as session:
        return users.register(
            session, email=f"{new_id()}@example.com", name=name, password_hash="x", role=role, now=NOW
        )


def new(**more: Any) -> NewInvoice:
    """An invoice over 100.00 rupees, of 1 November, due a month later."""
    base = NewInvoice(
        contact_name="Bina",
        contact_email="bina@shop.example",
        currency="INR",
        issue_date=date(2026, 11, 1),
        due_date=date(2026, 12, 1),
        items=[TEA],
    )
    return replace(base, **more)


@dataclass(frozen=True, slots=True)
class Desk:
    """What a seller does, each in a transaction of its own."""

    database: Database
    seller: Actor

    @classmethod
    def open(cls, database: Database) -> Desk:
        return cls(database, register(database))

    def under_gst(self, **more: Any) -> Desk:
        self.set_up(**{**GST, **more})
        return self

    def set_up(self, **changes: Any) -> profiles.Profile:
        with self.database.session() as session:
            return profiles.save(session, self.seller, changes, NOW)

    def make(self, *, draft: bool = False, number: str | None = None, **more: Any) -> dict[str, Any]:
        with self.database.session() as session:
            return invoices.create(session, self.seller, new(**more), NOW, draft=draft, number=number)

    def edit(self, invoice: dict[str, Any], *, version: int | None = None, by: Actor | None = None, **more: Any) -> Any:
        with self.database.session() as session:
            return invoices.update(
                session,
                by or self.seller,
                UUID(invoice["id"]),
                InvoiceChanges(**more),
                NOW,
                expected_version=version,
            )

    def do(self, deed: Any, invoice: dict[str, Any], **more: Any) -> Any:
        with self.database.session() as session:
            return deed(session, self.seller, UUID(invoice["id"]), NOW, **more)

    def look(self, invoice: dict[str, Any], by: Actor | None = None) -> dict[str, Any]:
        with self.database.session() as session:
            return queries.get_invoice(session, by or self.seller, UUID(invoice["id"]))

    def told(self, invoice: dict[str, Any]) -> list[tuple[str, str]]:
        """(room, name) of everything that was said of an invoice, in order."""
        with self.database.session() as session:
            rows = session.execute(
                text("SELECT room, name FROM outbox WHERE data->>'invoice_id' = :id ORDER BY id"),
                {"id": invoice["id"]},
            )
            return [(row.room, row.name) for row in rows]
