"""A statement adds up: whatever was paid, given back and overpaid, its last balance is what the books say is owed."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, datetime, time, timedelta
from typing import Any
from uuid import UUID

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import text

from core import intake
from core.contacts import queries
from core.contacts.statement import statement
from core.errors import Invalid, NotFound
from core.events import Payment, PaymentStatus, Record, Reference, Refund, RefundStatus, Trust
from core.identity import Role
from core.money import Money
from tests.budget import examples
from tests.builders import NOW, Clockwork, Shop, add_seller, open_shop, worker

START = date(2026, 11, 1)
FOREVER = date(2199, 1, 1)


@pytest.fixture(scope="module")
def context(file_database_url: str) -> Iterator[Clockwork]:
    with worker(file_database_url) as parts:
        yield parts


def on(day: int) -> datetime:
    return datetime.combine(START + timedelta(days=day), time(12), NOW.tzinfo)


def hear(shop: Shop, *records: Record, trust: Trust = Trust.SIGNED) -> None:
    with shop.database.connect() as connection:
        for record in records:
            intake.apply(connection, shop.state(record, trust=trust))


def paid(name: str, amount: int, invoice: Any, day: int, currency: str = "INR") -> Payment:
    return Payment(
        object_id=name,
        version=1,
        status=PaymentStatus.SUCCEEDED,
        money=Money(amount, currency),
        occurred_at=on(day),
        references=(Reference(0, invoice["number"]),),
        method="upi",
    )


def given_back(name: str, payment: str, amount: int, day: int) -> Refund:
    return Refund(
        object_id=name,
        payment_id=payment,
        version=1,
        status=RefundStatus.SUCCEEDED,
        money=Money(amount, "INR"),
        occurred_at=on(day),
        reason=None,
    )


def asked(shop: Shop, contact: str, **more: Any) -> dict[str, Any]:
    with shop.database.session() as session:
        return statement(session, shop.seller, UUID(contact), **{"since": START, "until": FOREVER, **more})


def test_a_period_begins_with_what_was_owed_and_ends_with_what_is(context: Clockwork) -> None:
    shop = open_shop(context)
    first, second = shop.invoice(10_000), shop.invoice(5_000)
    contact = first["contact"]["id"]
    with context.database.connect() as connection:
        connection.execute(
            text("UPDATE invoices SET issue_date = '2026-11-20', due_date = '2026-12-20' WHERE id = :id"),
            {"id": second["id"]},
        )
    hear(shop, paid("p1", 4_000, first, 9), paid("p2", 7_000, first, 25), given_back("r1", "p2", 600, 27))
    found = asked(shop, contact, since=date(2026, 11, 11), until=date(2026, 11, 27))
    assert (found["opening"], found["closing"]) == (6_000, 4_000)
    lines = [(line["on"].day, line["kind"], line["debit"], line["credit"], line["balance"]) for line in found["lines"]]
    assert lines == [(20, "invoice", 5_000, 0, 11_000), (26, "payment", 0, 7_000, 4_000)]
    whole = asked(shop, contact)
    assert [(line["kind"], line["balance"]) for line in whole["lines"]] == [
        ("invoice", 10_000),
        ("payment", 6_000),
        ("invoice", 11_000),
        ("payment", 4_000),
        ("refund", 4_600),
    ]
    assert whole["totals"] == {"invoiced": 15_000, "credited": 0, "paid": 11_000, "refunded": 600}
    assert whole["lines"][0]["number"] == first["number"]
    assert whole["lines"][0]["due_date"] == date(2026, 12, 1)
    assert whole["lines"][1]["words"] == "upi"
    assert whole["contact"]["id"] == contact
    assert whole["seller"]["email"] == shop.seller.email


def test_currencies_do_not_mix_and_the_one_most_used_is_shown(context: Clockwork) -> None:
    shop = open_shop(context)
    invoice = shop.invoice(100, "USD")
    shop.invoice(200, "USD")
    shop.invoice(50)
    contact = invoice["contact"]["id"]
    assert (asked(shop, contact)["currency"], asked(shop, contact)["closing"]) == ("USD", 300)
    assert (asked(shop, contact, currency="INR")["closing"], asked(shop, contact, currency="EUR")["closing"]) == (50, 0)
    assert asked(shop, contact)["currencies"] == ["INR", "USD"]


def test_drafts_void_invoices_and_hints_are_not_in_it(context: Clockwork) -> None:
    shop = open_shop(context)
    contact = shop.invoice(100, draft=True)["contact"]["id"]
    gone = shop.invoice(300)
    with context.database.connect() as connection:
        connection.execute(text("UPDATE invoices SET status = 'void' WHERE id = :id"), {"id": gone["id"]})
    kept = shop.invoice(1_000)
    hear(shop, paid("p1", 400, kept, 3), trust=Trust.HINT)
    found = asked(shop, contact)
    assert [(line["kind"], line["debit"]) for line in found["lines"]] == [("invoice", 1_000)]


def test_a_statement_is_the_sellers_and_its_days_are_in_order(context: Clockwork) -> None:
    shop = open_shop(context)
    contact = UUID(shop.invoice()["contact"]["id"])
    with context.database.session() as session:
        days: dict[str, Any] = {"since": START, "until": FOREVER}
        assert statement(session, add_seller(context, Role.OPERATOR), contact, **days)["closing"] == 10_000
        with pytest.raises(NotFound):
            statement(session, add_seller(context), contact, **days)
        with pytest.raises(Invalid, match="since"):
            statement(session, shop.seller, contact, since=date(2026, 11, 2), until=date(2026, 11, 1))
        assert statement(session, shop.seller, contact, since=START, until=START)["closing"] == 10_000


amounts = st.integers(1, 9_000)
steps = st.lists(
    st.one_of(
        st.tuples(st.just("invoice"), amounts, st.integers(0, 5)),
        st.tuples(st.just("payment"), amounts, st.integers(0, 5)),
        st.tuples(st.just("refund"), amounts, st.integers(0, 5)),
    ),
    min_size=1,
    max_size=10,
)


@settings(max_examples=examples(12), deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=steps, day=st.integers(0, 40))
def test_its_last_balance_is_what_is_due_less_what_is_held(
    context: Clockwork, steps: list[tuple[str, int, int]], day: int
) -> None:
    shop = open_shop(context)
    made, names = [shop.invoice(5_000)], ["p0"]
    for place, (what, amount, which) in enumerate(steps):
        match what:
            case "invoice":
                made.append(shop.invoice(amount))
            case "payment":
                names.append(f"p{place}")
                hear(shop, paid(names[-1], amount, made[which % len(made)], place))
            case _:
                hear(shop, given_back(f"r{place}", names[which % len(names)], amount, place))
    contact = made[0]["contact"]["id"]
    with context.database.session() as session:
        balances = queries.get_contact(session, shop.seller, UUID(contact))["balances"]
    owed = sum(entry["due"] - entry["credit"] for entry in balances)
    whole = asked(shop, contact)
    assert whole["closing"] == owed
    # Cut anywhere, the first half ends where the second begins, and each adds up by itself.
    middle = START + timedelta(days=day)
    before, after = asked(shop, contact, until=middle), asked(shop, contact, since=middle + timedelta(days=1))
    assert before["closing"] == after["opening"]
    assert after["closing"] == owed
    for part in (whole, before, after):
        assert part["closing"] - part["opening"] == sum(line["debit"] - line["credit"] for line in part["lines"])
