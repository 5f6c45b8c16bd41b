"""What a person decided of payments is guarded twice: in code, and in the database; each alone is enough."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from datetime import timedelta
from threading import Barrier
from typing import Any

import pytest
from sqlalchemy import event, text
from sqlalchemy.exc import IntegrityError

from core import intake
from core.marketplace import repayments, words
from core.marketplace.words import Financed
from core.payments import hand, manual, merge, refunds
from core.payments.manual import NewPayment
from tests.builders import Clockwork, Shop, check_sums, open_shop, payment, worker
from tests.conftest import Servers
from tests.core.marketplace import deals
from tests.core.marketplace.deals import SLICES
from tests.core.payments.counter import DAY, Counter, aims, open_counter
from tests.core.payments.test_many_invoices import gateway, tell
from tests.standing import standing_database


@pytest.fixture(scope="module")
def make_database(servers: Servers, template_database: str) -> Iterator[Callable[[], str]]:
    with ExitStack() as made:
        yield lambda: made.enter_context(standing_database(servers, template_database))


@pytest.fixture(scope="module")
def context(make_database: Callable[[], str]) -> Iterator[Clockwork]:
    with worker(make_database()) as parts:
        yield parts


@pytest.fixture
def counter(context: Clockwork) -> Counter:
    return open_counter(context)


@pytest.fixture(scope="module")
def furnished(make_database: Callable[[], str]) -> Iterator[tuple[Shop, dict[str, Any]]]:
    """Books that every refusal leaves as they are: a payment of two invoices, of which something went back twice."""
    with worker(make_database()) as parts:
        counter = open_counter(parts)
        first, second = counter.bill(100, 80)
        paid = counter.record(150, (first, 60), (second, 50))
        counter.give_back(paid, 20)
        wrong = counter.give_back(paid, 5)["refunds"][0]["id"]
        counter.do(manual.take_refund_back, paid, wrong)
        counter.shop.hear(payment(amount_minor=10, invoice_number=counter.invoices[0]["number"]))
        yield counter.shop, {"paid": paid, "first": first, "second": second, "wrong": wrong}


_REFUND = (
    "INSERT INTO manual_refunds (id, payment_id, amount, currency, method, refunded_at, reverses, created_by, "
    "created_at) SELECT uuid7(), payment_id, {amount}, 'INR', 'cash', now(), {reverses}, created_by, now() "
    "FROM manual_refunds WHERE id = :wrong"
)
REFUSED: list[tuple[str, str, str]] = [
    ("more shared out than there is", "UPDATE payment_targets SET amount = 140", "of 150 has targets of 280"),
    (
        "targets that nobody decided on",
        "UPDATE payments SET decided = false WHERE id = :paid",
        "targets that nobody decided on",
    ),
    (
        "targets of no payment",
        "UPDATE payment_targets SET payment_id = uuid7()",
        "says 60 for invoice .*, its allocations say 0",
    ),
    (
        "one invoice twice",
        "UPDATE payment_targets SET invoice_id = :first WHERE invoice_id = :second",
        "payment_targets_pkey",
    ),
    ("one place twice", "UPDATE payment_targets SET position = 0", "payment_targets_payment_id_position_key"),
    (
        "more paid than was meant",
        "UPDATE payment_targets SET allocated = amount + 1",
        "payment_targets_bound_what_is_paid",
    ),
    (
        "paid by word alone",
        "UPDATE payment_targets SET allocated = 49 WHERE invoice_id = :second",
        "for invoice .*, its allocations say 50",
    ),
    (
        "an invoice dropped while it is paid",
        "DELETE FROM payment_targets WHERE invoice_id = :second",
        "says 110 allocated, its targets say 60",
    ),
    (
        "an invoice named beside the decision",
        "UPDATE payments SET invoice_id = :first WHERE id = :paid",
        "payments_decided_name_by_targets",
    ),
    ("a word that is said to be signed", "UPDATE payments SET trust = 'signed'", "payments_by_hand_are_manual"),
    (
        "a gateway known by word",
        "UPDATE payments SET trust = 'manual' WHERE source = 'gateway'",
        "payments_by_hand_are_manual",
    ),
    (
        "given back and not refunded",
        "UPDATE payments SET given_back = refunded + 1 WHERE id = :paid",
        "payments_given_back_is_refunded",
    ),
    (
        "given back without a refund",
        "UPDATE payments SET given_back = 21, refunded = 21 WHERE id = :paid",
        "says 21 given back, its refunds say 20",
    ),
    ("a refund nobody knows of", _REFUND.format(amount=3, reverses="NULL"), "its refunds say 23"),
    ("a refund taken back twice", _REFUND.format(amount=-5, reverses="id"), "manual_refunds_reverses_key"),
    ("a refund of less than nothing", _REFUND.format(amount=-5, reverses="NULL"), "manual_refunds_reverse_what_was"),
    ("a refund changed", "UPDATE manual_refunds SET amount = amount + 1", "append-only"),
    ("a refund deleted", "DELETE FROM manual_refunds", "append-only"),
    ("all refunds gone", "TRUNCATE manual_refunds", "append-only"),
    ("all allocations gone", "TRUNCATE allocations", "append-only"),
    ("all targets gone", "TRUNCATE payment_targets", "append-only"),
    ("a payment that paid something gone", "DELETE FROM payments WHERE id = :paid", "has allocations and stays"),
    ("deleted and still there", "UPDATE payments SET deleted_at = now()", "payments_deleted_are_cancelled"),
]


@pytest.mark.parametrize(("statement", "why"), [row[1:] for row in REFUSED], ids=[row[0] for row in REFUSED])
def test_the_database_refuses(furnished: tuple[Shop, dict[str, Any]], statement: str, why: str) -> None:
    shop, ids = furnished
    tables = ("payments", "payment_targets", "manual_refunds", "allocations")
    before = [shop.rows(f"SELECT * FROM {table}") for table in tables]
    with pytest.raises(IntegrityError, match=why), shop.database.connect() as connection:
        connection.execute(text(statement), ids)
    assert [shop.rows(f"SELECT * FROM {table}") for table in tables] == before


def test_a_refund_is_not_taken_back_by_another_amount(counter: Counter) -> None:
    (invoice,) = counter.bill(100)
    paid = counter.record(100, (invoice, 100))
    given = counter.give_back(paid, 20)["refunds"][0]["id"]
    values = {"wrong": given, "paid": paid}
    both = f"WITH more AS ({_REFUND.format(amount=-3, reverses='id')}) "
    both += "UPDATE payments SET given_back = 17, refunded = 17 WHERE id = :paid"
    with pytest.raises(IntegrityError, match="taken back by another amount"), counter.shop.database.connect() as into:
        into.execute(text(both), values)


def test_an_amount_is_not_below_what_it_is_shared_out_to(counter: Counter) -> None:
    (invoice,) = counter.bill(100)
    paid = counter.record(50, (invoice, 50))
    counter.record(100, (invoice, 100), date=DAY - timedelta(days=1))
    assert counter.parts(paid) == {}
    with pytest.raises(IntegrityError, match="of 49 has targets of 50"), counter.shop.database.connect() as into:
        into.execute(text("UPDATE payments SET amount = 49 WHERE id = :id"), {"id": paid})


def test_without_its_check_the_database_refuses_to_share_out_too_much(
    counter: Counter, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = counter.bill(100, 80)
    monkeypatch.setattr(hand, "check_targets", lambda *_: None)
    with pytest.raises(IntegrityError, match="has targets of 150"):
        counter.record(120, (first, 100), (second, 50))


def test_without_the_bound_of_a_target_the_database_refuses_to_pay_more(
    counter: Counter, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = counter.bill(100, 80)
    monkeypatch.setattr(merge, "parts", lambda spendable, targets: {one.invoice_id: spendable for one in targets})
    with pytest.raises(IntegrityError, match=r"payment_targets_bound_what_is_paid|payments_allocated_within_net"):
        counter.record(120, (first, 60), (second, 50))


def test_without_its_check_the_database_refuses_to_give_back_more_than_there_is(
    counter: Counter, monkeypatch: pytest.MonkeyPatch
) -> None:
    (invoice,) = counter.bill(100)
    paid = counter.record(100, (invoice, 100))
    monkeypatch.setattr(refunds, "_write", lambda *_, **__: None)
    with pytest.raises(IntegrityError, match="says 20 given back, its refunds say 0"):
        counter.give_back(paid, 20)


def test_a_sellers_word_repays_no_investor(context: Clockwork, monkeypatch: pytest.MonkeyPatch) -> None:
    deal = deals.make(context)
    counter = Counter(deal.shop)
    before = deal.money()
    new = NewPayment(amount=100, currency="INR", method="cash", date=DAY, targets=aims([(deal.invoice_id, 100)]))

    def record() -> None:
        counter.do(manual.record, new)

    with pytest.raises(Financed, match="financed by investors"):
        record()
    # The second guard: what investors get is not asked of such payments. The third is the database.
    monkeypatch.setattr(words, "check", lambda *_: None)
    record()
    assert (deal.standing, deal.money()) == ([], before)
    monkeypatch.setattr(
        repayments, "_MONEY", text(str(repayments._MONEY).replace("occurred_at, trust ", "occurred_at, '' AS trust "))
    )
    with pytest.raises(IntegrityError, match="repays no investor"):
        record()
    assert (deal.standing, deal.money()) == ([], before)


def test_several_financed_invoices_of_one_payment_each_get_their_part(context: Clockwork) -> None:
    deal = deals.make(context)
    other = Counter(deal.shop)
    contact = deal.shop.one("SELECT contact_id FROM invoices WHERE id = :id", id=deal.invoice_id)["contact_id"]
    (plain,) = other.bill(1_000_00)
    with deal.shop.database.connect() as connection:
        connection.execute(
            text("UPDATE invoices SET contact_id = :contact WHERE id = :id"), {"contact": contact, "id": plain}
        )
    deal.shop.hear(payment(id="g", amount_minor=3_000_00))
    other.allocate(other.gateway("g"), (plain, 1_000_00), (deal.invoice_id, 1_500_00))
    assert [row["amount"] for row in deal.standing] == [1_500_00]
    # What goes back of it is taken from the last invoice first, and from its investors.
    deal.shop.hear(deal.returned(1_000_00, payment_id="g"))
    assert [row["amount"] for row in deal.standing] == [1_000_00]
    assert sum(part for _, part in deal.shares) == 1_000_00 <= sum(SLICES)
    assert other.standing(plain) == [("paid", 1_000_00)]


UNGUARDED = """
    DROP TRIGGER payment_targets_fit ON payment_targets;
    DROP TRIGGER payment_targets_are_sums ON payment_targets;
    DROP TRIGGER payments_fit_targets ON payments;
    DROP TRIGGER payments_fit_refunds ON payments;
    DROP TRIGGER payments_new_fit_refunds ON payments;
    DROP TRIGGER manual_refunds_fit ON manual_refunds;
    DROP TRIGGER payments_keep ON payments;
    DROP TRIGGER payments_allocated_is_sum ON payments;
    DROP TRIGGER invoices_paid_is_sum ON invoices;
    DROP TRIGGER allocations_fit_invoice ON allocations;
    DROP TRIGGER allocations_fit_payment ON allocations;
    ALTER TABLE payment_targets DROP CONSTRAINT payment_targets_bound_what_is_paid,
        DROP CONSTRAINT payment_targets_payment_id_position_key, DROP CONSTRAINT payment_targets_pkey;
    ALTER TABLE payments DROP CONSTRAINT payments_decided_name_by_targets, DROP CONSTRAINT payments_by_hand_are_manual,
        DROP CONSTRAINT payments_given_back_is_refunded, DROP CONSTRAINT payments_deleted_are_cancelled,
        DROP CONSTRAINT payments_allocated_within_net, DROP CONSTRAINT payments_returns_within_amount;
    ALTER TABLE invoices DROP CONSTRAINT invoices_paid_within_total, DROP CONSTRAINT invoices_status_fits_paid;
"""
BROKEN = """
    SELECT 'shared out too much' FROM payments JOIN payment_targets ON payment_id = payments.id
        WHERE trust = 'manual' GROUP BY payments.id, payments.amount
        HAVING sum(payment_targets.amount) > payments.amount
    UNION ALL SELECT 'paid more than meant' FROM payment_targets WHERE allocated NOT BETWEEN 0 AND amount
    UNION ALL SELECT 'targets are sums' FROM payment_targets WHERE allocated <> (SELECT coalesce(sum(amount), 0)
        FROM allocations WHERE allocations.payment_id = payment_targets.payment_id
        AND allocations.invoice_id = payment_targets.invoice_id)
    UNION ALL SELECT 'targets are all' FROM payments WHERE decided AND allocated <> (
        SELECT coalesce(sum(allocated), 0) FROM payment_targets WHERE payment_id = payments.id)
    UNION ALL SELECT 'undecided' FROM payments JOIN payment_targets ON payment_id = payments.id WHERE NOT decided
    UNION ALL SELECT 'named beside' FROM payments WHERE decided AND invoice_id IS NOT NULL
    UNION ALL SELECT 'given back' FROM payments WHERE given_back <> (
        SELECT coalesce(sum(amount), 0) FROM manual_refunds WHERE payment_id = payments.id)
    UNION ALL SELECT 'within net' FROM payments WHERE allocated NOT BETWEEN 0 AND greatest(net, 0)
    UNION ALL SELECT 'returns' FROM payments WHERE refunded + deducted > amount
"""
DEEDS: list[tuple[str, tuple[Any, ...]]] = [
    ("record", ([(0, 6), (1, 5)], 4, 1)),
    ("gateway", (0, 0, 9, 0)),
    ("give_back", (0, 5)),
    ("give_back", (0, 99)),
    ("edit", (0, 3, [(1, 3), (2, 3)])),
    ("edit", (0, 9, [(1, 4), (0, 4)])),
    ("allocate", (0, [(2, 1)])),
    ("gateway", (0, 1, 12, 2)),
    ("allocate", (1, [(2, 4)])),
    ("back", (0, 6)),
    ("back", (0, 9)),
    ("record", ([(2, 5)], 0, 0)),
    ("void", (2,)),
    ("delete", (0,)),
    ("gateway", (1, 0, 12, 3)),
    ("delete", (1,)),
]


def test_the_code_alone_keeps_everything(make_database: Callable[[], str]) -> None:
    with worker(make_database()) as believing:
        with believing.database.connect() as connection:
            connection.exec_driver_sql(UNGUARDED)
        tell(believing, DEEDS)
        assert open_shop(believing).rows(BROKEN) == []


def test_two_invoices_that_share_payments_are_paid_at_once_without_a_deadlock(context: Clockwork) -> None:
    """Earlier money comes for both at the same instant, so that each displaces the shared payments on its own."""

    def scene() -> Counter:
        counter = open_counter(context)
        first, second = counter.bill(400, 400)
        for _ in range(40):
            counter.record(20, (first, 10), (second, 10), date=DAY + timedelta(days=1))
        return counter

    def pay(counter: Counter, which: int, place: int) -> None:
        number = counter.invoices[which]["number"]
        told = gateway(f"g{which}-{place}", 1, number, 100, place)
        with counter.shop.database.connect() as connection:
            intake.apply(connection, counter.shop.state(told))

    alone, together = scene(), scene()
    rounds = 4
    for place in range(rounds):
        for which in (0, 1):
            pay(alone, which, place)
    start = Barrier(2)

    def work(which: int) -> None:
        for place in range(rounds):
            start.wait()
            pay(together, which, place)

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(work, (0, 1)))
    shown = (
        "SELECT source, amount, net, allocated FROM payments WHERE user_id = :user ORDER BY occurred_at, object_id, id"
    )
    assert together.shop.rows(shown) == alone.shop.rows(shown)
    states = "SELECT status, amount_paid FROM invoices WHERE seller_id = :user ORDER BY number"
    assert together.shop.rows(states) == alone.shop.rows(states) == [{"status": "paid", "amount_paid": 400}] * 2
    check_sums(context.database)


LOCKED = "SELECT id FROM payments WHERE id = ANY"


def test_payments_that_other_invoices_share_are_locked_in_order_before_they_are_written(counter: Counter) -> None:
    first, second = counter.bill(100, 100)
    for _ in range(3):
        counter.record(60, (second, 30), (first, 30), date=DAY + timedelta(days=1))
    sent: list[str] = []
    number = counter.invoices[0]["number"]
    with counter.shop.database.connect() as connection:

        def note(_: Any, __: Any, statement: str, *___: Any) -> None:
            sent.append(statement)

        event.listen(connection, "before_cursor_execute", note)
        intake.apply(connection, counter.shop.state(gateway("early", 1, number, 80, 0)))
    [locked] = [place for place, one in enumerate(sent) if one.startswith(LOCKED)]
    assert sent[locked].endswith("ORDER BY id FOR NO KEY UPDATE")
    written = [place for place, one in enumerate(sent) if one.startswith("UPDATE payments")]
    assert written
    assert locked < min(written)
    assert counter.standing(first, second) == [("paid", 100), ("partial", 90)]


def test_a_batch_without_shared_payments_asks_nothing_more_than_before(counter: Counter) -> None:
    counter.bill(100)
    sent: list[str] = []
    with counter.shop.database.connect() as connection:

        def note(_: Any, __: Any, statement: str, *___: Any) -> None:
            sent.append(statement)

        event.listen(connection, "before_cursor_execute", note)
        told = gateway("g", 1, counter.invoices[0]["number"], 80, 0)
        intake.apply(connection, counter.shop.state(told))
    assert len([one for one in sent if "payment_targets" in one and "UNION ALL" in one and "spendable" in one]) == 1
    assert [one for one in sent if "INTO payment_targets" in one or one.startswith(LOCKED)] == []
