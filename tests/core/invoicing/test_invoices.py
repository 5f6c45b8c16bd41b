"""Numbers without gaps, and totals that add up."""

from __future__ import annotations

import random
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, date, datetime
from decimal import ROUND_HALF_UP, Decimal
from fractions import Fraction

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from sqlalchemy import text

from core.database import Database
from core.errors import Invalid
from core.identity import Actor, Role, users
from core.invoicing import invoices
from core.invoicing.invoices import NewInvoice, NewItem
from core.money import MAX_MINOR

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)

items = st.builds(
    NewItem,
    description=st.just("Tea"),
    quantity=st.decimals("0.000001", "99999", places=6),
    unit_price=st.integers(0, 10**9),
    tax_rate=st.decimals("0", "100", places=4),
)


def _half_up(value: Fraction) -> int:
    return int((value + Fraction(1, 2)).__floor__())


@given(items)
def test_a_line_is_rounded_half_up_once(item: NewItem) -> None:
    amounts = invoices.line(item)
    net = _half_up(Fraction(item.quantity) * item.unit_price)
    assert amounts.net == net
    assert amounts.tax == _half_up(net * Fraction(item.tax_rate) / 100)


@given(st.lists(items, min_size=1, max_size=20))
def test_totals_are_the_sums_of_the_lines(lines: list[NewItem]) -> None:
    total = sum(_half_up(Fraction(item.quantity) * item.unit_price) for item in lines)
    if total == 0:
        with pytest.raises(Invalid, match="items"):
            invoices.check(_new(lines))
        return
    assume(total * 2 <= MAX_MINOR)
    amounts, subtotal, tax = invoices.check(_new(lines))
    assert subtotal == sum(each.net for each in amounts)
    assert tax == sum(each.tax for each in amounts)
    assert subtotal + tax > 0


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


def test_halves_go_up() -> None:
    half = NewItem(description="Tea", quantity=Decimal("0.5"), unit_price=1, tax_rate=Decimal(50))
    assert invoices.line(half) == invoices.Line(net=1, tax=1)
    assert Decimal("0.5").quantize(Decimal(1), ROUND_HALF_UP) == 1


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
