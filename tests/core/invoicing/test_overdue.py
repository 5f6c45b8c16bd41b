"""Invoices become overdue by the clock, and whoever has to do with one hears of it once."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, date, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import text

from core.identity import Role
from core.invoicing import invoices, overdue, queries
from core.invoicing.invoices import InvoiceChanges
from core.payments import manual
from core.payments.manual import NewPayment, NewTarget
from tests.builders import Clockwork, Json, Shop, open_shop, worker
from tests.core.invoicing.desk import register
from workers import overdue as work

# Far from every clock: the database has its own, by which stages are shown.
DUE = date(2150, 12, 1)
BOUNDARY = datetime(2150, 12, 2, tzinfo=UTC)
PAST = date(2026, 11, 2)


@pytest.fixture(scope="module")
def context(file_database_url: str) -> Iterator[Clockwork]:
    with worker(file_database_url) as made:
        yield made


@pytest.fixture
def shop(context: Clockwork) -> Iterator[Shop]:
    start = context.moment[0]
    yield open_shop(context)
    context.moment[0] = start
    with context.database.connect() as connection:
        # What one test leaves open does not become overdue in the next one.
        connection.execute(text("UPDATE invoices SET overdue_told = due_date"))


def bill(shop: Shop, due: date = DUE, *, draft: bool = False) -> Json:
    """An invoice that is due on a day, of which nothing was said yet."""
    invoice = shop.invoice(draft=draft)
    with shop.database.connect() as connection:
        connection.execute(
            text("UPDATE invoices SET due_date = :due, overdue_told = NULL WHERE id = :id"),
            {"due": due, "id": invoice["id"]},
        )
    return invoice


def moves(shop: Shop, invoice: Json) -> list[tuple[str, str, str]]:
    """(room, before, after) of what was said of an invoice's stage, in order."""
    rows = shop.rows(
        "SELECT room, data->>'before' AS before, data->>'after' AS after FROM outbox "
        "WHERE name = 'invoice.status_changed' AND data->>'invoice_id' = :id ORDER BY id",
        id=invoice["id"],
    )
    return [(row["room"], row["before"], row["after"]) for row in rows]


def at(shop: Shop, moment: datetime) -> int:
    shop.context.moment[0] = moment
    return work.work_off(shop.context)


def edit(shop: Shop, invoice: Json, now: datetime, **changes: Any) -> Any:
    with shop.database.session() as session:
        return invoices.update(session, shop.seller, UUID(invoice["id"]), InvoiceChanges(**changes), now)


@pytest.mark.parametrize(
    ("moment", "said"),
    [
        pytest.param(datetime(2150, 12, 1, tzinfo=UTC), 0, id="as the due day begins"),
        pytest.param(BOUNDARY - timedelta(microseconds=1), 0, id="as the due day ends"),
        pytest.param(BOUNDARY, 1, id="as the next day begins"),
        pytest.param(BOUNDARY + timedelta(days=40), 1, id="when nobody looked for long"),
    ],
)
def test_it_becomes_overdue_when_its_day_is_over(shop: Shop, moment: datetime, said: int) -> None:
    invoice = bill(shop)
    assert at(shop, moment) == said
    assert at(shop, moment) == 0
    rooms = [f"user:{shop.seller.id}", f"invoice:{invoice['id']}"]
    assert moves(shop, invoice) == [(room, "open", "overdue") for room in rooms] * said


def test_its_parties_hear_of_it_and_it_stands_in_the_history(shop: Shop) -> None:
    invoice = bill(shop)
    buyer = register(shop.database, Role.BUYER)
    with shop.database.session() as session:
        session.execute(
            text("UPDATE invoices SET buyer_id = :buyer, viewed_at = now() WHERE id = :id"),
            {"buyer": buyer.id, "id": invoice["id"]},
        )
    at(shop, BOUNDARY)
    heard = {room for room, before, _ in moves(shop, invoice) if before == "viewed"}
    assert heard == {f"user:{shop.seller.id}", f"user:{buyer.id}", f"invoice:{invoice['id']}"}
    for person in (shop.seller, buyer):
        (count,) = shop.rows(
            "SELECT count(*) FROM outbox WHERE room = :room AND name = 'dashboard.updated' "
            "AND id > (SELECT min(id) FROM outbox WHERE name = 'invoice.status_changed' "
            "AND data->>'invoice_id' = :id)",
            room=f"user:{person.id}",
            id=invoice["id"],
        )
        assert count["count"] == 1
    with shop.database.session() as session:
        found = queries.get_invoice(session, shop.seller, UUID(invoice["id"]))
    (entry,) = [each for each in found["history"] if each["kind"] == "invoice.overdue"]
    assert (entry["actor"], entry["at"], entry["changes"]) == (
        None,
        BOUNDARY,
        [{"field": "stage", "before": "viewed", "after": "overdue"}],
    )


@pytest.mark.parametrize("status", ["draft", "paid", "void"])
def test_what_is_not_owed_does_not_become_overdue(shop: Shop, status: str) -> None:
    invoice = bill(shop, draft=status == "draft")
    with shop.database.session() as session:
        if status == "void":
            invoices.void(session, shop.seller, UUID(invoice["id"]), shop.context.now())
        if status == "paid":
            paid(session, shop, invoice)
    assert at(shop, BOUNDARY) == 0


def paid(session: Any, shop: Shop, invoice: Json, amount: int = 10_000, day: date = PAST) -> Any:
    new = NewPayment(
        amount=amount,
        currency="INR",
        method="cash",
        date=day,
        targets=[NewTarget(UUID(invoice["id"]), amount)],
    )
    return manual.record(session, shop.seller, new, shop.context.now())


def test_a_moved_due_date_takes_it_back_and_is_told_of_when_it_passes_too(shop: Shop) -> None:
    # A day that is over by every clock, ours here and the database's.
    invoice = bill(shop)
    edit(shop, invoice, shop.context.now(), due_date=PAST)
    own = f"user:{shop.seller.id}"
    # Whoever moved it there was told at once, and is not told again by the clock.
    assert at(shop, BOUNDARY) == 0
    edit(shop, invoice, BOUNDARY, due_date=date(2199, 1, 1))
    assert [move for move in moves(shop, invoice) if move[0] == own] == [
        (own, "open", "overdue"),
        (own, "overdue", "open"),
    ]
    edit(shop, invoice, BOUNDARY, due_date=date(2199, 1, 2))
    assert at(shop, datetime(2199, 1, 2, 23, 59, tzinfo=UTC)) == 0
    assert at(shop, datetime(2199, 1, 3, tzinfo=UTC)) == 1
    assert moves(shop, invoice)[-1] == (f"invoice:{invoice['id']}", "open", "overdue")
    assert at(shop, datetime(2199, 1, 4, tzinfo=UTC)) == 0


def test_what_is_overdue_as_it_is_issued_is_told_of_once(shop: Shop) -> None:
    made, draft = bill(shop), bill(shop, PAST, draft=True)
    with shop.database.session() as session:
        invoices.issue(session, shop.seller, UUID(draft["id"]), shop.context.now())
    assert at(shop, BOUNDARY) == 1
    assert [len(moves(shop, each)) for each in (made, draft)] == [2, 2]


def test_money_that_goes_back_late_is_told_of_by_its_own_news_alone(shop: Shop) -> None:
    invoice = bill(shop, PAST)
    with shop.database.session() as session:
        payment = paid(session, shop, invoice)
    with shop.database.session() as session:
        manual.delete(session, shop.seller, UUID(payment["id"]), shop.context.now())
    before = moves(shop, invoice)
    assert before[-1][1:] == ("paid", "overdue")
    assert at(shop, BOUNDARY) == 0
    assert moves(shop, invoice) == before


def test_a_worker_that_dies_tells_nothing_and_the_next_one_everything(shop: Shop) -> None:
    made = [bill(shop) for _ in range(3)]

    def die() -> None:
        with shop.database.session() as session:
            assert overdue.turn(session, BOUNDARY) == 3
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        die()
    assert [moves(shop, each) for each in made] == [[], [], []]
    assert at(shop, BOUNDARY) == 3
    assert [len(moves(shop, each)) for each in made] == [2, 2, 2]


def test_two_workers_share_the_batches_and_tell_each_once(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    made = [bill(shop) for _ in range(7)]
    monkeypatch.setattr(overdue, "BATCH", 2)
    monkeypatch.setattr(overdue.turn, "__kwdefaults__", {"limit": 2})
    shop.context.moment[0] = BOUNDARY
    with ThreadPoolExecutor(2) as pool:
        for future in [pool.submit(work.work_off, shop.context) for _ in range(2)]:
            future.result()
    work.work_off(shop.context)
    assert [len(moves(shop, each)) for each in made] == [2] * 7
