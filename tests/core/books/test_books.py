"""The sellers' books: what each thing is in them, when it is posted, and who posts what was forgotten."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from datetime import date
from decimal import Decimal
from uuid import UUID

import pytest
from click.testing import CliRunner
from sqlalchemy import text
from sqlalchemy.exc import OperationalError

from core import books as core_books
from core import intake
from core.errors import Conflict
from core.events import PayoutStatus, Trust
from core.invoicing import credit_notes, invoices
from core.invoicing.credit_notes import NewCreditNote
from core.ledger.verify import verify
from core.payments import manual, refunds
from tests.builders import MASTER_KEYS, NOW, SECRET_KEY, Clockwork, Shop, open_shop, worker
from tests.core.books.trade import books, by_hand, issue, lost, paid, paid_out, problems, refunded, tell, void
from webapp.cli import main
from workers import books as worker_books
from workers import market


@pytest.fixture(scope="module")
def context(file_database_url: str) -> Iterator[Clockwork]:
    with worker(file_database_url) as parts:
        yield parts


@pytest.fixture
def shop(context: Clockwork) -> Shop:
    return open_shop(context)


def test_a_sale_that_a_gateway_collected_and_paid_out(shop: Shop) -> None:
    made = issue(shop, 10_000)
    assert books(shop) == {("receivable", "INR"): -10_000, ("sales", "INR"): 10_000}
    tell(shop, paid("p", 12_000, number=made["number"], fee=240))
    assert books(shop) == {
        ("sales", "INR"): 10_000,
        ("credit", "INR"): 2_000,
        ("gateway_fees", "INR"): -240,
        ("clearing", "INR"): -11_760,
    }
    tell(shop, paid_out("o", 11_760))
    assert books(shop) == {
        ("sales", "INR"): 10_000,
        ("credit", "INR"): 2_000,
        ("gateway_fees", "INR"): -240,
        ("bank", "INR"): -11_760,
    }
    tell(shop, refunded("r", "p", 5_000))
    now = books(shop)
    assert (now["receivable", "INR"], now["clearing", "INR"]) == (-3_000, 5_000)
    assert ("credit", "INR") not in now
    tell(shop, lost("d", "p", 7_000))
    now = books(shop)
    # All went back, and the fee is not given back.
    assert (now["receivable", "INR"], now["gateway_fees", "INR"]) == (-10_000, -240)
    assert problems(shop.database) == []


def test_a_draft_is_in_no_books_and_a_void_invoice_in_none_any_more(shop: Shop) -> None:
    shop.invoice(draft=True)
    assert books(shop) == {}
    made = issue(shop)
    void(shop, UUID(made["id"]))
    assert books(shop) == {}
    (first, second) = shop.rows("SELECT version, receivable FROM book_positions WHERE user_id = :user ORDER BY version")
    assert [first["receivable"], second["receivable"]] == [-10_000, 0]


def test_tax_that_is_kept_back_is_a_claim_and_money_given_back_comes_from_the_bank(shop: Shop) -> None:
    made = issue(shop)
    by_hand(shop, 1_000, "tds_withheld", UUID(made["id"]))
    cash = by_hand(shop, 9_000, "cash", UUID(made["id"]))
    assert books(shop) == {("sales", "INR"): 10_000, ("tds", "INR"): -1_000, ("bank", "INR"): -9_000}
    with shop.database.session() as session:
        given = refunds.NewRefund(amount=4_000, method="cash", date=NOW.date())
        refunds.refund(session, shop.seller, cash, given, NOW)
    assert books(shop)["bank", "INR"] == -5_000
    assert books(shop)["receivable", "INR"] == -4_000
    assert problems(shop.database) == []


def test_a_credit_note_takes_from_the_sales_and_leaves_credit(shop: Shop) -> None:
    made = issue(shop)
    tell(shop, paid("p", 10_000, number=made["number"]))
    note = NewCreditNote(invoice_id=UUID(made["id"]), reason="sent back", issue_date=NOW.date())
    with shop.database.session() as session:
        credited = credit_notes.create(session, shop.seller, note, NOW)
    assert books(shop) == {("credit", "INR"): 10_000, ("clearing", "INR"): -10_000}
    assert problems(shop.database) == []
    with shop.database.session() as session:
        credit_notes.void(session, shop.seller, UUID(credited["id"]), NOW)
    assert books(shop) == {("sales", "INR"): 10_000, ("clearing", "INR"): -10_000}
    assert problems(shop.database) == []


def test_the_credit_of_a_note_that_is_given_back_as_money_comes_from_the_bank(shop: Shop) -> None:
    made = issue(shop)
    tell(shop, paid("p", 10_000, number=made["number"]))
    note = NewCreditNote(invoice_id=UUID(made["id"]), reason="sent back", issue_date=NOW.date())
    with shop.database.session() as session:
        credit_notes.create(session, shop.seller, note, NOW)
    credit = shop.one("SELECT id FROM payments WHERE user_id = :user AND source = 'credit_note'")["id"]
    with shop.database.session() as session:
        given = refunds.NewRefund(amount=10_000, method="bank_transfer", date=NOW.date())
        refunds.refund(session, shop.seller, credit, given, NOW)
    assert books(shop) == {("clearing", "INR"): -10_000, ("bank", "INR"): 10_000}
    assert problems(shop.database) == []


def test_what_is_sent_to_somebody_else_and_what_came_back_is_in_no_bank(shop: Shop) -> None:
    tell(shop, paid_out("back", 500, PayoutStatus.REVERSED), paid_out("away", 700, third_party=True))
    assert books(shop) == {}


def test_a_repeat_and_news_that_change_nothing_post_nothing(shop: Shop) -> None:
    made = issue(shop)
    news = paid("p", 4_000, number=made["number"])
    tell(shop, news)
    count = "SELECT count(*) AS many FROM book_positions WHERE user_id = :user"
    before = shop.one(count)
    tell(shop, news, news)
    tell(shop, paid("p", 4_000, number=made["number"], version=9))
    with shop.database.session() as session:
        core_books.touch(session, NOW)
    assert shop.one(count) == before


def test_all_changes_of_a_transaction_are_one_transfer(shop: Shop) -> None:
    made = issue(shop)
    tell(shop, *(paid(f"p{n}", 1_000, number=made["number"]) for n in range(12)))
    (moved,) = shop.rows(
        "SELECT transfer_id, count(*) AS many FROM book_positions WHERE user_id = :user AND kind = 'payment' "
        "GROUP BY transfer_id"
    )
    assert moved["many"] == 12
    assert books(shop)["credit", "INR"] == 2_000


def test_changes_that_cancel_each_other_out_need_no_transfer(shop: Shop) -> None:
    tell(shop, paid("p", 1_000), paid("q", 300))
    tell(shop, paid("p", 300, version=2), paid("q", 1_000, version=2))
    rows = shop.rows("SELECT transfer_id FROM book_positions WHERE user_id = :user AND version = 2")
    assert [row["transfer_id"] for row in rows] == [None, None]
    assert books(shop) == {("credit", "INR"): 1_300, ("clearing", "INR"): -1_300}
    assert problems(shop.database) == []


def test_what_is_rolled_back_is_in_no_books(shop: Shop) -> None:
    issue(shop)
    before = books(shop)

    def change_of_mind() -> None:
        with shop.database.session() as session:
            invoices.create(session, shop.seller, _new(), NOW)
            raise Conflict("never mind")

    with pytest.raises(Conflict):
        change_of_mind()
    issue(shop)
    assert books(shop) == {key: 2 * amount for key, amount in before.items()}


def _new() -> invoices.NewInvoice:
    return invoices.NewInvoice(
        contact_name="Rao Retail",
        contact_email="buyer@rao.test",
        currency="INR",
        issue_date=date(2026, 11, 1),
        due_date=date(2026, 12, 1),
        items=[invoices.NewItem(description="Cloth", quantity=Decimal(1), unit_price=10_000)],
    )


def test_what_fails_in_the_books_is_not_committed_at_all(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise Conflict("no paper left")

    monkeypatch.setattr("core.books.posting.post_due", broken)
    with pytest.raises(Conflict, match="no paper left"):
        issue(shop)
    monkeypatch.undo()
    assert shop.rows("SELECT FROM invoices WHERE seller_id = :user") == []
    issue(shop)
    assert books(shop)["sales", "INR"] == 10_000


def test_what_the_code_forgets_is_noted_by_the_database_and_posted_by_a_worker(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    worker_books.post(shop.database, NOW)
    monkeypatch.setattr("core.books.posting.post_due", lambda *_: 0)
    made = issue(shop)
    tell(shop, paid("p", 4_000, number=made["number"]))
    monkeypatch.undo()
    assert books(shop) == {}
    with shop.database.connect() as connection:
        assert core_books.waiting(connection) == 2
        report = verify(connection)
    # What waits is said to wait, and nothing is wrong.
    assert (report.unposted, report.problems) == (2, [])
    market.work_off(shop.context)
    assert books(shop) == {("receivable", "INR"): -6_000, ("sales", "INR"): 10_000, ("clearing", "INR"): -4_000}
    with shop.database.connect() as connection:
        assert core_books.waiting(connection) == 0


def test_what_is_written_by_hand_is_followed(shop: Shop) -> None:
    issue(shop)
    with shop.database.connect() as connection:
        connection.execute(
            text("UPDATE invoices SET subtotal = 7000, total = 7000 WHERE seller_id = :user"),
            {"user": shop.seller.id},
        )
    assert worker_books.post(shop.database, NOW) == 1
    assert books(shop) == {("receivable", "INR"): -7_000, ("sales", "INR"): 7_000}


def test_books_before_there_were_any_are_posted_in_batches_and_the_command_says_how_many(
    shop: Shop, file_database_url: str, redis_url: str, tmp_path: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    worker_books.post(shop.database, NOW)
    monkeypatch.setattr("core.books.posting.post_due", lambda *_: 0)
    for _ in range(7):
        issue(shop)
    monkeypatch.undo()
    with shop.database.connect() as connection:
        # As after an upgrade: nobody knows who changed them.
        connection.exec_driver_sql("UPDATE book_due SET changed_by = NULL")
        assert core_books.work_off(connection, NOW, limit=3) == 3
    with shop.database.connect() as connection:
        assert core_books.waiting(connection) == 4
    for name, value in {
        "DATABASE_URL": file_database_url, "REDIS_URL": redis_url, "DATA_DIR": str(tmp_path),
        "SECRET_KEY": SECRET_KEY, "MASTER_KEYS": MASTER_KEYS,
    }.items():  # fmt: skip
        monkeypatch.setenv(name, value)
    done = CliRunner().invoke(main, ["books", "post"])
    assert (done.exit_code, done.stdout) == (0, "4 posted.\n")
    assert CliRunner().invoke(main, ["books", "post"]).stdout == "0 posted.\n"
    assert books(shop) == {("receivable", "INR"): -70_000, ("sales", "INR"): 70_000}


def test_one_worker_at_a_time_posts_what_was_left_over(shop: Shop) -> None:
    with shop.database.connect() as first:
        core_books.work_off(first, NOW)
        with shop.database.connect() as second:
            assert core_books.work_off(second, NOW) == 0


def test_many_at_once_in_one_sellers_books_lose_nothing(shop: Shop) -> None:
    made = [issue(shop, 1_000) for _ in range(4)]
    barrier = threading.Barrier(8)
    failures: list[BaseException] = []

    def pay(turn: int) -> None:
        barrier.wait(10)
        try:
            for n in range(5):
                tell(shop, paid(f"p{turn}-{n}", 100, number=made[(turn + n) % 4]["number"], fee=1))
        except BaseException as error:
            failures.append(error)
            raise

    threads = [threading.Thread(target=pay, args=(turn,)) for turn in range(8)]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    assert failures == []
    assert books(shop) == {
        ("sales", "INR"): 4_000,
        ("clearing", "INR"): -3_960,
        ("gateway_fees", "INR"): -40,
    }
    assert problems(shop.database) == []


def test_a_payment_that_moves_to_another_currency_leaves_nothing_in_the_first(shop: Shop) -> None:
    tell(shop, paid("p", 1_000))
    tell(shop, paid("p", 2_000, currency="USD", version=2))
    assert books(shop) == {("credit", "USD"): 2_000, ("clearing", "USD"): -2_000}
    versions = shop.rows("SELECT version, currency, credit FROM book_positions WHERE user_id = :user ORDER BY version")
    assert [tuple(row.values()) for row in versions] == [(1, "INR", 1_000), (2, "INR", 0), (3, "USD", 2_000)]


def test_a_hint_is_in_no_books_until_it_is_confirmed(shop: Shop) -> None:
    with shop.database.connect() as connection:
        intake.apply(connection, shop.state(paid("p", 1_000), trust=Trust.HINT), now=NOW)
    assert books(shop) == {}
    tell(shop, paid("p", 1_000))
    assert books(shop)["credit", "INR"] == 1_000


def test_a_payment_by_hand_that_is_deleted_leaves_the_books(shop: Shop) -> None:
    made = issue(shop)
    payment = by_hand(shop, 3_000, "cash", UUID(made["id"]))
    with shop.database.session() as session:
        manual.delete(session, shop.seller, payment, NOW)
    assert books(shop) == {("receivable", "INR"): -10_000, ("sales", "INR"): 10_000}


def test_a_connection_that_is_lost_before_the_end_posts_nothing_and_is_not_missed(shop: Shop) -> None:
    def lose() -> None:
        with shop.database.session() as session:
            invoices.create(session, shop.seller, _new(), NOW)
            pid = session.scalar(text("SELECT pg_backend_pid()"))
            with shop.database.connect() as other:
                other.execute(text("SELECT pg_terminate_backend(:pid)"), {"pid": pid})
            session.scalar(text("SELECT 1"))

    with pytest.raises(OperationalError):
        lose()
    assert books(shop) == {}
    issue(shop)
    assert books(shop) == {("receivable", "INR"): -10_000, ("sales", "INR"): 10_000}
