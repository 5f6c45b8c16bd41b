"""Numbers without gaps, and who is told."""

from __future__ import annotations

import random
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, date, datetime
from decimal import Decimal

import pytest
from sqlalchemy import text

from core.database import Database
from core.identity import Actor, Role, users
from core.invoicing import invoices
from core.invoicing.invoices import NewInvoice, NewItem

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)


def _new(lines: list[NewItem]) -> NewInvoice:
    return NewInvoice(
        contact_name="Bina",
        contact_email="b@example.com",
        currency="INR",
        issue_date=date(2026, 11, 1),
        due_date=date(2026, 12, 1),
        items=lines,
    )


ONE = [NewItem(description="Tea", quantity=Decimal(1), unit_price=100)]


@pytest.fixture
def seller(database: Database) -> Actor:
    with database.session() as session:
        return users.register(session, email="s@example.com", name="S", password_hash="x", role=Role.SELLER, now=NOW)


def test_numbers_have_no_gaps_however_many_are_made_and_withdrawn_at_once(database: Database, seller: Actor) -> None:
    chance = random.Random(7)
    fates = [chance.random() < 0.3 for _ in range(60)]

    def make(withdrawn: bool) -> str | None:
        with database.session() as session:
            made = invoices.create(session, seller, _new(ONE), NOW)
            if withdrawn:
                session.rollback()
                return None
            return str(made["number"])

    with ThreadPoolExecutor(12) as pool:
        numbers = sorted(number for number in pool.map(make, fates) if number)
    assert numbers == [f"INV-2026-{place:05d}" for place in range(1, len(numbers) + 1)]
    assert len(numbers) == fates.count(False)


def test_each_year_and_each_seller_count_for_themselves(database: Database, seller: Actor) -> None:
    with database.session() as session:
        other = users.register(session, email="o@example.com", name="O", password_hash="x", role=Role.SELLER, now=NOW)
        earlier = NewInvoice(
            contact_name="Bina",
            contact_email="b@example.com",
            currency="INR",
            issue_date=date(2025, 12, 31),
            due_date=date(2026, 12, 1),
            items=ONE,
        )
        numbers = [
            invoices.create(session, person, new, NOW)["number"]
            for person, new in ((seller, _new(ONE)), (seller, earlier), (other, _new(ONE)))
        ]
    assert numbers == ["INV-2026-00001", "INV-2025-00001", "INV-2026-00001"]


def test_it_is_told_to_the_seller_and_the_registered_buyer(database: Database, seller: Actor) -> None:
    with database.session() as session:
        buyer = users.register(session, email="b@example.com", name="B", password_hash="x", role=Role.BUYER, now=NOW)
        made = invoices.create(session, seller, _new(ONE), NOW)
        told = session.execute(text("SELECT room, name FROM outbox ORDER BY id")).all()
    assert {(row.room, row.name) for row in told} == {(f"invoice:{made['id']}", "invoice.created")} | {
        (f"user:{person.id}", name) for person in (seller, buyer) for name in ("invoice.created", "dashboard.updated")
    }
