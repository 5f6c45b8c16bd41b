"""Money is guarded twice: the database refuses what breaks a sum, and the code does not need it to."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

import pytest
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError

from core import intake
from core.errors import Conflict
from core.events import Payment, PaymentStatus, Reference, Trust
from core.invoicing import invoices
from core.money import Money
from core.reconciliation import decisions
from tests.builders import (
    NOW,
    Clockwork,
    Json,
    Shop,
    add_invoice,
    books,
    check_sums,
    dispute,
    open_shop,
    payment,
    refund,
    transaction,
    until,
    worker,
)
from tests.conftest import Servers
from tests.standing import standing_database
from workers import normalize


@pytest.fixture(scope="module")
def make_database(servers: Servers, template_database: str) -> Iterator[Callable[[], str]]:
    """Makes databases that the tests of this file share: each has a seller of its own in them."""
    with ExitStack() as made:
        yield lambda: made.enter_context(standing_database(servers, template_database))


@pytest.fixture(scope="module")
def context(make_database: Callable[[], str]) -> Iterator[Clockwork]:
    with worker(make_database()) as parts:
        yield parts


@pytest.fixture
def shop(context: Clockwork) -> Shop:
    return open_shop(context)


def standing(shop: Shop, invoice: Json) -> tuple[str, int]:
    """The state of an invoice and what is paid of it."""
    row = shop.one("SELECT status, amount_paid FROM invoices WHERE id = :id", id=invoice["id"])
    return row["status"], row["amount_paid"]


def paid_by(shop: Shop, object_id: str = "pmt_1") -> int:
    """What a payment pays at present."""
    found = shop.one("SELECT allocated FROM payments WHERE object_id = :id AND user_id = :user", id=object_id)
    return int(found["allocated"])


def test_a_payment_and_its_invoice_meet_by_the_books_amounts(shop: Shop) -> None:
    part, exact, over = (shop.invoice() for _ in range(3))
    shop.hear(
        payment(id="p1", invoice_number=part["number"], amount_minor=9_999),
        payment(id="p2", invoice_number=exact["number"], amount_minor=10_000),
        payment(id="p3", invoice_number=over["number"], amount_minor=10_001),
    )
    assert [standing(shop, one) for one in (part, exact, over)] == [
        ("partial", 9_999),
        ("paid", 10_000),
        ("paid", 10_000),
    ]
    assert shop.one("SELECT net, allocated FROM payments WHERE object_id = 'p3' AND user_id = :user") == {
        "net": 10_001,
        "allocated": 10_000,
    }
    check_sums(shop.database)


def test_what_is_over_is_used_when_an_earlier_payment_goes_back(shop: Shop) -> None:
    invoice = shop.invoice()
    shop.hear(
        payment("succeeded", 1, id="p1", invoice_number=invoice["number"]),
        payment("succeeded", 2, id="p2", invoice_number=invoice["number"], amount_minor=6_000),
    )
    assert (paid_by(shop, "p1"), paid_by(shop, "p2")) == (10_000, 0)
    shop.hear(refund(payment_id="p1", amount_minor=7_000))
    assert (paid_by(shop, "p1"), paid_by(shop, "p2")) == (3_000, 6_000)
    assert standing(shop, invoice) == ("partial", 9_000)
    check_sums(shop.database)


@pytest.mark.parametrize(
    ("told", "expected"),
    [
        pytest.param([refund(amount_minor=4_000)], ("partial", 6_000), id="part of it refunded"),
        pytest.param([refund(amount_minor=10_000)], ("open", 0), id="all of it refunded"),
        pytest.param([refund(amount_minor=99_999)], ("open", 0), id="more refunded than there was"),
        pytest.param([refund(currency="USD")], ("paid", 10_000), id="refunded in another currency"),
        pytest.param([refund("failed")], ("paid", 10_000), id="a refund that failed"),
        pytest.param([refund("pending")], ("paid", 10_000), id="a refund on its way"),
        pytest.param([dispute("lost", 1)], ("open", 0), id="a lost dispute"),
        pytest.param([dispute("lost", 1, deducted_minor=2_500)], ("partial", 7_500), id="a dispute lost in part"),
        pytest.param([dispute("open", 1), dispute("won", 2)], ("paid", 10_000), id="a won dispute"),
        pytest.param([refund(amount_minor=8_000), dispute("lost", 1)], ("open", 0), id="refunded and lost"),
        pytest.param(
            [refund(id="r1", amount_minor=3_000), refund(id="r2", amount_minor=3_000)],
            ("partial", 4_000),
            id="refunded twice",
        ),
    ],
)
@pytest.mark.parametrize("first", ["payment", "return"])
def test_what_comes_back_is_due_again(shop: Shop, told: list[Json], expected: tuple[str, int], first: str) -> None:
    invoice = shop.invoice()
    captured = payment(invoice_number=invoice["number"])
    for body in [captured, *told] if first == "payment" else [*told, captured]:
        shop.hear(body)
    assert standing(shop, invoice) == expected
    check_sums(shop.database)


def test_another_currency_pays_nothing(shop: Shop) -> None:
    invoice = shop.invoice(currency="INR")
    shop.hear(payment(invoice_number=invoice["number"], currency="USD"))
    assert standing(shop, invoice) == ("open", 0)
    assert paid_by(shop) == 0


def hear_hint(shop: Shop, number: str, trust: Trust, version: int = 1) -> None:
    record = Payment(
        object_id="pmt_1",
        version=version,
        status=PaymentStatus.SUCCEEDED,
        money=Money(10_000, "INR"),
        occurred_at=NOW,
        references=(Reference(0, number),),
    )
    with shop.database.connect() as connection:
        intake.apply(connection, shop.state(record, trust=trust))


def test_a_hint_moves_nothing_until_it_is_confirmed_and_never_unsays_it(shop: Shop) -> None:
    invoice = shop.invoice()
    hear_hint(shop, invoice["number"], Trust.HINT)
    assert standing(shop, invoice) == ("open", 0)
    hear_hint(shop, invoice["number"], Trust.FETCHED)
    assert standing(shop, invoice) == ("paid", 10_000)
    hear_hint(shop, invoice["number"], Trust.HINT, version=9)
    assert standing(shop, invoice) == ("paid", 10_000)


def test_a_hint_of_money_that_went_back_takes_nothing(shop: Shop) -> None:
    invoice = shop.invoice()
    shop.hear(payment(invoice_number=invoice["number"]))
    shop.store(shop.delivery(refund(), event_id="a hint"))
    with shop.database.connect() as connection:
        connection.execute(text("UPDATE events SET trust = 'hint' WHERE provider_event_id = 'a hint'"))
    shop.work()
    assert standing(shop, invoice) == ("paid", 10_000)


def test_a_payment_that_came_before_its_invoice_pays_it_when_it_comes(shop: Shop) -> None:
    first = shop.invoice()
    following = f"{first['number'][:-1]}{int(first['number'][-1]) + 1}"
    shop.hear(payment(description=f"for {following} please", amount_minor=4_000))
    invoice = shop.invoice()
    assert invoice["number"] == following
    assert (invoice["status"], invoice["amount_paid"]) == ("partial", 4_000)
    assert standing(shop, first) == ("open", 0)
    check_sums(shop.database)


def test_a_draft_takes_no_payment(shop: Shop) -> None:
    draft = shop.invoice(draft=True)
    shop.hear(payment(id="p1", invoice_number=draft["number"]), payment(id="p2", invoice_id=draft["id"]))
    assert standing(shop, draft) == ("draft", 0)


@pytest.mark.parametrize("known", ["not at all", "as pending", "as failed", "as refunded"])
def test_a_void_invoice_takes_no_payment_however_the_payment_was_known_before(shop: Shop, known: str) -> None:
    invoice = shop.invoice()
    named = {"invoice_number": invoice["number"]}
    match known:
        case "as pending":
            shop.hear(payment("pending", **named))
        case "as failed":
            shop.hear(payment("failed", **named))
        case "as refunded":
            shop.hear(payment(id="other", **named), refund(payment_id="other", amount_minor=10_000))
        case _:
            pass
    with shop.database.session() as session:
        invoices.void(session, shop.seller, invoice["id"], NOW)
    shop.hear(payment("succeeded", 5, **named))
    assert standing(shop, invoice) == ("void", 0)
    assert paid_by(shop) == 0
    check_sums(shop.database)


def test_an_invoice_voided_while_its_payment_is_written_stays_void(shop: Shop) -> None:
    invoice = shop.invoice()
    with ThreadPoolExecutor(1) as pool, shop.database.session() as session:
        invoices.void(session, shop.seller, invoice["id"], NOW)
        paying = pool.submit(shop.hear, payment(invoice_number=invoice["number"]))
        until_blocked(shop)
        session.commit()
        paying.result(10)
    assert standing(shop, invoice) == ("void", 0)
    check_sums(shop.database)


def until_blocked(shop: Shop) -> None:
    """Wait until somebody waits for a lock of somebody else."""
    until(
        lambda: bool(
            shop.rows("SELECT 1 FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()")
        )
    )


@pytest.mark.parametrize(
    "spell",
    [
        pytest.param(lambda one: one["id"], id="its id"),
        pytest.param(lambda one: one["id"].upper(), id="its id in capitals"),
        pytest.param(lambda one: one["id"].replace("-", ""), id="its id without dashes"),
        pytest.param(lambda one: one["number"].lower(), id="its number in small letters"),
        pytest.param(lambda one: one["number"].replace("-", "/"), id="its number with slashes"),
        pytest.param(lambda one: f"Payment for {one['number']}, thanks", id="its number in a sentence"),
    ],
)
def test_an_invoice_is_found_by(shop: Shop, spell: object) -> None:
    assert callable(spell)
    invoice = shop.invoice()
    shop.hear(payment(reference=spell(invoice)))
    assert standing(shop, invoice) == ("paid", 10_000)


def test_a_payment_never_pays_somebody_elses_invoice(context: Clockwork, shop: Shop) -> None:
    other = open_shop(context)
    mine, theirs = shop.invoice(), other.invoice()
    assert mine["number"] == theirs["number"]
    shop.hear(payment(id="p1", invoice_number=theirs["number"], amount_minor=4_000))
    shop.hear(payment(id="p2", invoice_id=theirs["id"]))
    assert standing(shop, mine) == ("partial", 4_000)
    assert standing(other, theirs) == ("open", 0)
    # Nor does an invoice of a third seller take in what waits for another one's.
    shop.hear(payment(id="p3", invoice_number="INV-2026-0009"))
    third = open_shop(context)
    last = [third.invoice() for _ in range(9)][-1]
    assert standing(third, last) == ("open", 0)


REFUSED: Sequence[tuple[str, str, str]] = [
    ("more paid than owed", "UPDATE invoices SET amount_paid = total + 1", "invoices_paid_within_total"),
    ("less than nothing paid", "UPDATE invoices SET amount_paid = -1", "invoices_paid_within_total"),
    ("paid by word alone", "UPDATE invoices SET status = 'paid'", "invoices_status_fits_paid"),
    ("open with money in it", "UPDATE invoices SET status = 'open' WHERE id = :paid", "invoices_status_fits_paid"),
    ("void with money in it", "UPDATE invoices SET status = 'void' WHERE id = :paid", "invoices_status_fits_paid"),
    ("draft with money in it", "UPDATE invoices SET status = 'draft' WHERE id = :paid", "invoices_status_fits_paid"),
    ("partial without money", "UPDATE invoices SET status = 'partial' WHERE id = :open", "invoices_status_fits_paid"),
    ("a total that is no sum", "UPDATE invoices SET total = total + 1", "invoices_total_adds_up"),
    (
        "paid without allocations",
        "UPDATE invoices SET amount_paid = 5000 WHERE id = :paid",
        "says 5000 paid, its allocations say 4000",
    ),
    (
        "allocated without allocations",
        "UPDATE payments SET allocated = 3000 WHERE allocated = 4000",
        "says 3000 allocated, its allocations say 4000",
    ),
    (
        "an allocation that the invoice does not know",
        (
            "INSERT INTO allocations (id, payment_id, invoice_id, amount, currency, reason) "
            "SELECT uuid7(), payment_id, :open, 1, 'INR', 'applied' FROM allocations"
        ),
        "its allocations say",
    ),
    (
        "an allocation that its payment does not know",
        (
            "WITH more AS (INSERT INTO allocations (id, payment_id, invoice_id, amount, currency, reason) "
            "SELECT uuid7(), payment_id, invoice_id, 1, 'INR', 'applied' FROM allocations) "
            "UPDATE invoices SET amount_paid = 4001 WHERE id = :paid"
        ),
        "payment .* says 4000 allocated, its allocations say 4001",
    ),
    ("an allocation of nothing", "UPDATE allocations SET amount = 0", "append-only"),
    ("an allocation changed", "UPDATE allocations SET amount = amount + 1", "append-only"),
    ("an allocation deleted", "DELETE FROM allocations", "append-only"),
    ("allocated above the net", "UPDATE payments SET allocated = amount + 1", "payments_allocated_within_net"),
    ("a failed payment that pays", "UPDATE payments SET status = 'failed'", "payments_allocated_within_net"),
    (
        "refunded below what it pays",
        "UPDATE payments SET refunded = 1 WHERE allocated = 4000",
        "payments_allocated_within_net",
    ),
    (
        "more back than there was",
        "UPDATE payments SET refunded = 5000, deducted = 5001 WHERE status = 'pending'",
        "payments_returns_within_amount",
    ),
    ("a negative refund", "UPDATE payments SET refunded = -1", "payments_returns_within_amount"),
    ("a hint that pays", "UPDATE payments SET trust = 'hint'", "payments_hint_moves_nothing"),
    (
        "two accepted matches of one transaction",
        (
            "INSERT INTO matches (id, transaction_id, invoice_id, user_id, state, score, features, payment_id) "
            "SELECT uuid7(), matches.transaction_id, :paid, user_id, 'accepted', 1, '{}', payment_id FROM matches"
        ),
        "matches_one_accepted",
    ),
    (
        "an accepted match without a payment",
        "UPDATE matches SET payment_id = NULL",
        "matches_check",
    ),
    ("one number twice", "UPDATE invoices SET number = 'INV-1'", "invoices_seller_id_number_key"),
    ("one spelling twice", "UPDATE invoices SET number_key = 'INV·1'", "invoices_seller_id_number_key"),
    (
        "one place in the sequence twice",
        "UPDATE invoices SET sequence = 9",
        "invoices_seller_id_series_year_sequence_key",
    ),
]


def furnish(shop: Shop) -> dict[str, object]:
    """Books with something to spoil: invoices paid in part and by the bank, an open one, a payment on its way."""
    paid, banked, due = (shop.invoice() for _ in range(3))
    shop.hear(
        payment(invoice_number=paid["number"], amount_minor=4_000),
        payment("pending", id="pmt_2"),
        transaction(narration=f"UPI {banked['number']}"),
    )
    bank = shop.one("SELECT id FROM transactions WHERE user_id = :user")["id"]
    return {"paid": paid["id"], "banked": banked["id"], "open": due["id"], "transaction": bank}


@pytest.fixture(scope="module")
def furnished(make_database: Callable[[], str]) -> Iterator[tuple[Shop, dict[str, object]]]:
    """Books that every refusal leaves as they are."""
    with worker(make_database()) as parts:
        shop = open_shop(parts)
        ids = furnish(shop)
        with shop.database.session() as session:
            decisions.accept(session, shop.seller.id, ids["transaction"], None, NOW)  # type: ignore[arg-type]
        yield shop, ids


@pytest.mark.parametrize(("statement", "why"), [row[1:] for row in REFUSED], ids=[row[0] for row in REFUSED])
def test_the_database_refuses(furnished: tuple[Shop, dict[str, object]], statement: str, why: str) -> None:
    shop, ids = furnished
    before = books(shop)
    with pytest.raises(IntegrityError, match=why), shop.database.connect() as connection:
        connection.execute(text(statement), ids)
    assert books(shop) == before
    check_sums(shop.database)


UNGUARDED = """
    ALTER TABLE invoices DROP CONSTRAINT invoices_total_adds_up, DROP CONSTRAINT invoices_paid_within_total,
        DROP CONSTRAINT invoices_status_fits_paid, DROP CONSTRAINT invoices_seller_id_number_key,
        DROP CONSTRAINT invoices_seller_id_number_key_key, DROP CONSTRAINT invoices_seller_id_series_year_sequence_key;
    ALTER TABLE payments DROP CONSTRAINT payments_returns_within_amount,
        DROP CONSTRAINT payments_allocated_within_net, DROP CONSTRAINT payments_hint_moves_nothing;
    DROP TRIGGER allocations_append_only ON allocations;
    DROP TRIGGER invoices_paid_is_sum ON invoices;
    DROP TRIGGER payments_allocated_is_sum ON payments;
    DROP TRIGGER allocations_fit_invoice ON allocations;
    DROP TRIGGER allocations_fit_payment ON allocations;
    DROP INDEX matches_one_accepted;
"""
BROKEN = """
    SELECT 'paid within total' FROM invoices WHERE amount_paid NOT BETWEEN 0 AND total
    UNION ALL SELECT 'status fits paid' FROM invoices WHERE NOT CASE status WHEN 'paid' THEN amount_paid = total
        WHEN 'partial' THEN amount_paid > 0 AND amount_paid < total ELSE amount_paid = 0 END
    UNION ALL SELECT 'total adds up' FROM invoices WHERE total <> subtotal + tax + rounding OR total <= 0
    UNION ALL SELECT 'number unique' FROM invoices GROUP BY seller_id, number HAVING count(*) > 1
    UNION ALL SELECT 'key unique' FROM invoices GROUP BY seller_id, number_key HAVING count(*) > 1
    UNION ALL SELECT 'sequence unique' FROM invoices GROUP BY seller_id, year, sequence HAVING count(*) > 1
    UNION ALL SELECT 'sequence gap-free' FROM invoices GROUP BY seller_id, year HAVING max(sequence) > count(*)
    UNION ALL SELECT 'returns within amount' FROM payments
        WHERE refunded < 0 OR deducted < 0 OR refunded + deducted > amount
    UNION ALL SELECT 'allocated within net' FROM payments WHERE allocated < 0 OR allocated > greatest(net, 0)
    UNION ALL SELECT 'hint moves nothing' FROM payments WHERE trust = 'hint' AND allocated <> 0
    UNION ALL SELECT 'one accepted match' FROM matches WHERE state = 'accepted'
        GROUP BY transaction_id HAVING count(*) > 1
"""


@pytest.fixture(scope="module")
def believing(make_database: Callable[[], str]) -> Iterator[Clockwork]:
    """A worker whose database believes everything."""
    with worker(make_database()) as parts:
        with parts.database.connect() as connection:
            connection.exec_driver_sql(UNGUARDED)
        yield parts


@pytest.fixture
def unguarded(believing: Clockwork) -> Shop:
    return open_shop(believing)


def check_unguarded(shop: Shop) -> None:
    assert shop.rows(BROKEN) == []
    check_sums(shop.database)


NAMED: Json = {"invoice_number": "INV-7"}
STORIES: dict[str, list[Json]] = {
    "more paid than owed": [payment("succeeded", n, id=f"p{n}", amount_minor=7_000, **NAMED) for n in range(3)],
    "more back than there was": [payment(**NAMED), refund(id="a", amount_minor=9_000), refund(id="b"), dispute("lost")],
    "returns before the payment": [refund(amount_minor=99_999), dispute("lost"), payment(**NAMED)],
    "an amount corrected below what it pays": [
        payment("succeeded", 1, **NAMED),
        payment("succeeded", 2, amount_minor=10, **NAMED),
    ],
    "an amount corrected below what went back": [
        payment("succeeded", 1, **NAMED),
        refund(),
        payment("succeeded", 2, amount_minor=10),
    ],
    "a currency corrected": [payment("succeeded", 1, **NAMED), payment("succeeded", 2, currency="USD", **NAMED)],
    "an invoice corrected": [
        payment("succeeded", 1, reference="INV-8"),
        payment("succeeded", 2, **NAMED),
        payment("succeeded", 3, id="p2", reference="INV-8"),
    ],
    "failure told after the capture": [payment("succeeded", 1, **NAMED), payment("failed", 9, **NAMED)],
}


@pytest.mark.parametrize("story", STORIES)
def test_the_code_alone_keeps_the_sums(unguarded: Shop, story: str) -> None:
    unguarded.name_invoice(unguarded.invoice(), "INV-7")
    unguarded.name_invoice(unguarded.invoice(5_000), "INV-8")
    for body in STORIES[story]:
        unguarded.hear(body)
        check_unguarded(unguarded)


def test_the_code_alone_lets_no_hint_pay(unguarded: Shop) -> None:
    invoice = unguarded.invoice()
    hear_hint(unguarded, invoice["number"], Trust.HINT)
    check_unguarded(unguarded)
    assert standing(unguarded, invoice) == ("open", 0)


def test_the_code_alone_pays_once_for_many_clicks_and_never_twice_over(unguarded: Shop) -> None:
    ids = furnish(unguarded)

    def click(target: object) -> str:
        try:
            with unguarded.database.session() as session:
                return str(decisions.accept(session, unguarded.seller.id, ids["transaction"], target, NOW))  # type: ignore[arg-type]
        except Conflict as error:
            return type(error).__name__

    with ThreadPoolExecutor(6) as pool:
        answers = list(pool.map(click, [None, ids["banked"], ids["open"]] * 2))
    assert len(set(answers) - {"Conflict"}) == 1
    check_unguarded(unguarded)


def test_the_code_alone_numbers_invoices_without_a_gap_while_many_are_made_and_some_are_given_up(
    unguarded: Shop,
) -> None:
    class GivenUp(Exception):
        pass

    def make(place: int) -> None:
        try:
            with unguarded.database.session() as session:
                add_invoice(session, unguarded.seller, 100)
                if place % 3 == 0:
                    raise GivenUp  # noqa: TRY301 - The edge gives up in the middle of the transaction.
        except GivenUp:
            return

    with ThreadPoolExecutor(6) as pool:
        list(pool.map(make, range(30)))
    check_unguarded(unguarded)
    assert unguarded.one("SELECT count(*) AS made FROM invoices WHERE seller_id = :user")["made"] == 20


def test_payments_of_one_invoice_written_at_once_by_many_workers_never_overfill_it(unguarded: Shop) -> None:
    invoice = unguarded.invoice()
    unguarded.store(
        *(
            unguarded.delivery(
                payment("succeeded", n, id=f"p{n}", amount_minor=900, invoice_number=invoice["number"]), event_id=str(n)
            )
            for n in range(24)
        )
    )

    def work(_: int) -> None:
        while normalize.drain(unguarded.context, limit=2):
            pass

    with ThreadPoolExecutor(6) as pool:
        list(pool.map(work, range(6)))
    check_unguarded(unguarded)
    assert standing(unguarded, invoice) == ("paid", 10_000)
    # The earliest money pays, whoever wrote it first.
    last = unguarded.one("SELECT max(occurred_at) AS at FROM payments WHERE allocated > 0 AND user_id = :user")["at"]
    assert (last - NOW).total_seconds() == 11
