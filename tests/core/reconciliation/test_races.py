"""Two who decide about the same line, invoice or payment at the same instant."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from uuid import UUID

import pytest
from sqlalchemy import text

from core.errors import Conflict
from core.payments import manual
from core.payments.manual import NewPayment
from core.payments.settle import lock_invoices
from core.reconciliation import decisions, run
from tests.builders import NOW, Clockwork, transaction, until, worker
from tests.core.payments.counter import DAY, Counter, aims, open_counter


@pytest.fixture(scope="module")
def context(file_database_url: str) -> Iterator[Clockwork]:
    with worker(file_database_url) as parts:
        yield parts


@pytest.fixture
def counter(context: Clockwork) -> Counter:
    return open_counter(context)


def waits(context: Clockwork) -> bool:
    """Whether a transaction waits for a lock."""
    with context.database.connect() as connection:
        return bool(connection.scalar(text("SELECT EXISTS (SELECT FROM pg_locks WHERE NOT granted)")))


def line_of(counter: Counter, amount: str, narration: str = "NEFT") -> UUID:
    counter.shop.hear(transaction(amount=amount, narration=narration))
    found: UUID = counter.shop.one("SELECT id FROM transactions WHERE user_id = :user")["id"]
    return found


def test_a_line_is_no_payment_that_is_deleted_at_the_same_time(context: Clockwork, counter: Counter) -> None:
    (invoice,) = counter.bill(10_000)
    paid = counter.record(10_000, (invoice, 10_000))
    line = line_of(counter, "100.00")
    with ThreadPoolExecutor(1) as pool:
        with context.database.session() as session:
            manual.delete(session, counter.shop.seller, paid, NOW)
            racing = pool.submit(link, counter, line, paid)
            until(lambda: waits(context) or racing.done())
        with pytest.raises(Conflict, match="did not bring money"):
            racing.result(10)
    assert counter.shop.rows("SELECT FROM transaction_payments WHERE payment_id = :id", id=paid) == []


def test_a_payment_is_not_deleted_while_a_line_is_linked_to_it(context: Clockwork, counter: Counter) -> None:
    (invoice,) = counter.bill(10_000)
    paid = counter.record(10_000, (invoice, 10_000))
    line = line_of(counter, "100.00")
    with ThreadPoolExecutor(1) as pool:
        with context.database.session() as session:
            decisions.accept(session, counter.shop.seller.id, line, None, NOW, payment_id=paid)
            racing = pool.submit(counter.delete, paid)
            until(lambda: waits(context) or racing.done())
        with pytest.raises(Conflict, match="undo that match first"):
            racing.result(10)


def link(counter: Counter, line: UUID, payment: UUID) -> None:
    with counter.shop.database.session() as session:
        decisions.accept(session, counter.shop.seller.id, line, None, NOW, payment_id=payment)


@pytest.mark.parametrize("judged", [False, True])
def test_who_pays_an_invoice_and_who_accepts_its_line_do_not_wait_for_each_other(
    context: Clockwork, counter: Counter, judged: bool
) -> None:
    """Whoever pays an invoice looks at its proposals with the invoice in hand; whoever decides comes from the line."""
    (invoice,) = counter.bill(10_000)
    line = line_of(counter, "60.00", narration=counter.invoices[0]["number"])
    if judged:
        with context.database.session() as session:
            run.reconcile(session, counter.shop.seller.id, NOW)
    assert counter.shop.one("SELECT match_state FROM transactions WHERE id = :id", id=line)["match_state"] == "proposed"
    new = NewPayment(amount=10_000, currency="INR", method="cash", date=DAY, targets=aims([(invoice, 10_000)]))

    def accept() -> None:
        with context.database.session() as session:
            decisions.accept(session, counter.shop.seller.id, line, None, NOW)

    with ThreadPoolExecutor(1) as pool:
        with context.database.session() as session:
            lock_invoices(session.connection(), [invoice])
            racing = pool.submit(accept)
            until(lambda: waits(context))
            manual.record(session, counter.shop.seller, new, NOW)
        racing.result(10)
    assert counter.standing(invoice) == [("paid", 10_000)]
    # Somebody looks at it again.
    assert counter.shop.rows("SELECT FROM reconcile_requests WHERE user_id = :user") != []
