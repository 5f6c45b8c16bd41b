"""The database keeps the sellers' books by itself, and the verifier sees what a hand without guards did to them.

Each attack is made twice: it is refused, and once its own guard is taken away it succeeds, so that it is this guard
that refused it and no accident.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from uuid import UUID

import pytest
from sqlalchemy import Connection, text
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from core import intake, ledger
from core.books import positions, posting
from core.books.checks import CHECKS as BOOKS
from core.ids import new_id
from core.ledger import Leg, Purpose, Transfer
from core.ledger.accounts import book
from core.ledger.checks import CHECKS
from tests.builders import NOW, Clockwork, Shop, add_invoice, open_shop, worker
from tests.core.books.trade import books, issue, paid, problems, tell


@pytest.fixture(scope="module")
def context(file_database_url: str) -> Iterator[Clockwork]:
    with worker(file_database_url) as parts:
        yield parts


@pytest.fixture(scope="module")
def shop(context: Clockwork) -> Shop:
    """A seller with an invoice that is paid in part."""
    made = open_shop(context)
    tell(made, paid("p", 4_000, number=issue(made)["number"]))
    return made


@dataclass(frozen=True, slots=True)
class Attack:
    """What a hand writes (:user, :payment and :transfer are the shop's), the refusal, and the guard against it."""

    name: str
    act: str
    why: str
    guard: str


CHECKED = "DROP TRIGGER book_positions_check ON book_positions"
KEPT = "DROP TRIGGER book_positions_append_only ON book_positions"
_NEXT = (
    "INSERT INTO book_positions (object_id, version, kind, user_id, connection_id, currency, receivable, clearing, "
    "transfer_id, recorded_at) SELECT object_id, {version}, kind, user_id, connection_id, '{currency}', {amount}, "
    "-{amount}, {transfer}, :now FROM book_positions WHERE object_id = :payment"
)


def _next(*, version: int = 2, currency: str = "INR", amount: int = 4_000, transfer: str = "NULL") -> str:
    return _NEXT.format(version=version, currency=currency, amount=amount, transfer=transfer)


ATTACKS = (
    Attack("a position that is not posted", _next(amount=5_000), "does not move what", CHECKED),
    Attack(
        "a position posted by a transfer of others",
        _next(amount=8_000, transfer=":transfer"),
        "explains other",
        CHECKED,
    ),
    Attack("a position that skips one", _next(version=3), "does not follow", CHECKED),
    Attack("a position in other money that was not left", _next(currency="USD"), "does not follow", CHECKED),
    Attack(
        "a position that does not balance",
        _next().replace("-4000,", "-3999,"),
        "book_positions_balance",
        f"ALTER TABLE book_positions DROP CONSTRAINT book_positions_balance; {CHECKED}",
    ),
    Attack(
        "a position without its gateway",
        _next().replace("connection_id, 'INR'", "NULL, 'INR'"),
        "book_positions_have_clearing",
        f"ALTER TABLE book_positions DROP CONSTRAINT book_positions_have_clearing; {CHECKED}",
    ),
    Attack(
        "a position changed",
        "UPDATE book_positions SET recorded_at = now() WHERE object_id = :payment",
        "append-only",
        KEPT,
    ),
    Attack("a position deleted", "DELETE FROM book_positions WHERE object_id = :payment", "append-only", KEPT),
    Attack(
        "all positions forgotten",
        "TRUNCATE book_positions",
        "append-only",
        "DROP TRIGGER book_positions_no_truncate ON book_positions",
    ),
    Attack(
        "an account of the books that may not be below zero",
        "UPDATE ledger_accounts SET overdraft = false WHERE owner = 'books:' || :user AND purpose = 'sales'",
        "ledger_accounts_overdraft",
        "ALTER TABLE ledger_accounts DROP CONSTRAINT ledger_accounts_overdraft",
    ),
)
every_attack = pytest.mark.parametrize("attack", ATTACKS, ids=lambda attack: attack.name)


def _act(connection: Connection, names: dict[str, object], attack: Attack) -> None:
    values = {"now": NOW, **names}
    used = {name: value for name, value in values.items() if f":{name}" in attack.act}
    connection.execute(text(attack.act), used)
    connection.exec_driver_sql("SET CONSTRAINTS ALL IMMEDIATE")


@pytest.fixture(scope="module")
def names(shop: Shop) -> dict[str, object]:
    row = shop.one(
        "SELECT object_id AS payment, transfer_id AS transfer FROM book_positions "
        "WHERE user_id = :user AND kind = 'payment'"
    )
    return {"user": str(shop.seller.id), **row}


@every_attack
def test_the_database_refuses(shop: Shop, names: dict[str, object], attack: Attack) -> None:
    before = books(shop)
    with shop.database.engine.connect() as connection, pytest.raises(IntegrityError, match=attack.why):
        _act(connection, names, attack)
    assert books(shop) == before


@every_attack
def test_without_its_guard_the_attack_succeeds(shop: Shop, names: dict[str, object], attack: Attack) -> None:
    with shop.database.engine.connect() as connection, connection.begin() as transaction:
        connection.exec_driver_sql(attack.guard)
        _act(connection, names, attack)
        transaction.rollback()


def _by_hand(shop: Shop, *legs: tuple[Purpose, int]) -> Transfer:
    made = [Leg(book(purpose, shop.seller.id, shop.connection_id, "INR"), amount) for purpose, amount in legs]
    return Transfer(kind="test.moved", key=str(new_id()), legs=made, description="by hand")


def test_nothing_moves_in_the_books_without_a_position_that_says_why(shop: Shop) -> None:
    move = _by_hand(shop, (Purpose.SALES, -70), (Purpose.BANK, 70))
    with pytest.raises(IntegrityError, match="no position says why"), shop.database.connect() as connection:
        ledger.post(connection, [move], NOW)
    with shop.database.engine.connect() as connection, connection.begin() as transaction:
        connection.exec_driver_sql("DROP TRIGGER ledger_accounts_books ON ledger_accounts")
        ledger.post(connection, [move], NOW)
        connection.exec_driver_sql("SET CONSTRAINTS ALL IMMEDIATE")
        transaction.rollback()


UNGUARD = """
    ALTER TABLE book_positions DISABLE TRIGGER USER; ALTER TABLE ledger_accounts DISABLE TRIGGER USER;
    ALTER TABLE invoices DISABLE TRIGGER USER; ALTER TABLE payments DISABLE TRIGGER USER;
    ALTER TABLE book_positions DROP CONSTRAINT book_positions_balance"""
FAULTS = {
    "B1": "UPDATE invoices SET subtotal = subtotal + 1, total = total + 1 WHERE seller_id = :user",
    "B2": "UPDATE book_positions SET receivable = receivable + 1 WHERE user_id = :user AND kind = 'payment'",
    "B3": "UPDATE invoices SET subtotal = subtotal + 1, total = total + 1 WHERE seller_id = :user",
    "B4": "UPDATE payments SET amount = amount + 1 WHERE user_id = :user",
    "B5": "DELETE FROM book_positions WHERE user_id = :user AND kind = 'payment'",
    "L14": "UPDATE ledger_accounts SET balance = balance + 1 WHERE owner = 'books:' || :user AND purpose = 'sales'",
}


@pytest.mark.parametrize("invariant", FAULTS)
def test_the_verifier_finds_what_a_hand_without_guards_did(shop: Shop, invariant: str) -> None:

    checks = [check for check in (*CHECKS, *BOOKS) if check.invariant == invariant]
    assert problems(shop.database) == []
    with shop.database.engine.connect() as connection, connection.begin() as transaction:
        connection.exec_driver_sql(UNGUARD)
        connection.execute(text(FAULTS[invariant]), {"user": shop.seller.id})
        found = [row.message for check in checks for row in connection.execute(text(check.query))]
        transaction.rollback()
    assert found


def _spoiled(kind: str, words: str, by: str) -> dict[str, str]:
    assert words in positions.WANTED[kind]
    return {**positions.WANTED, kind: positions.WANTED[kind].replace(words, by)}


_FEES = "(-coalesce(payments.fee, 0))::bigint AS gateway_fees"
DEFECTS = {
    "a fee that nobody pays": ("payment", _FEES, "0::bigint AS gateway_fees"),
    "an invoice without its tax": ("invoice", "(invoices.tax)::bigint AS tax_due", "0::bigint AS tax_due"),
    "a payment that pays all it has": ("payment", "(payments.allocated)::bigint", "(payments.net)::bigint"),
}


@pytest.mark.parametrize("defect", DEFECTS)
def test_a_position_that_is_worked_out_wrongly_is_not_written(
    context: Clockwork, monkeypatch: pytest.MonkeyPatch, defect: str
) -> None:
    shop = open_shop(context)
    monkeypatch.setattr(positions, "WANTED", _spoiled(*DEFECTS[defect]))
    posting._sums.cache_clear()
    posting._write.cache_clear()
    try:
        with pytest.raises(ledger.Unbalanced), shop.database.session() as session:
            _sell(shop, session)
    finally:
        posting._sums.cache_clear()
        posting._write.cache_clear()


def _sell(shop: Shop, session: Session) -> None:
    """An invoice with tax, and a payment over it with a fee."""
    made = add_invoice(session, shop.seller, 1_000)
    session.execute(text("UPDATE invoices SET subtotal = 900, tax = 100 WHERE id = :id"), {"id": UUID(made["id"])})
    said = shop.state(paid("p", 1_500, number=made["number"], fee=30))
    intake.apply(session.connection(), said, now=NOW)
