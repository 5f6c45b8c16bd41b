"""Statements are taken in once, whatever is brought how often, and can be taken back while they pay nothing."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError

from core import overview
from core.banking import statement_accounts as book
from core.banking import statement_queries as queries
from core.banking import statement_taking as taking
from core.banking import statements
from core.banking.statement_accounts import Wanted
from core.banking.statement_taking import LineKnown, NewLine, StatementMatched
from core.banking.statements import StatementNotReady
from core.connections import store as connection_store
from core.errors import Forbidden, Invalid, NotFound
from core.files import ANYTHING, Cabinet
from core.identity import Role
from core.reconciliation import decisions
from core.statement_files import Mapping
from tests.budget import examples
from tests.builders import NOW, Clockwork, Shop, add_seller, open_shop, transaction, worker
from tests.core.statement_files.samples import a_csv, sample

CURRENT = Wanted(name="Current account", currency="INR")
PLAIN = Mapping(date=0, narration=(1,), reference=2, amount=3)
Given = tuple[str, str, str, str]


@pytest.fixture(scope="module")
def context(file_database_url: str) -> Iterator[Clockwork]:
    with worker(file_database_url) as parts:
        yield parts


@pytest.fixture
def shop(context: Clockwork) -> Shop:
    return open_shop(context)


@dataclass(frozen=True, slots=True)
class Desk:
    """A seller who brings statements."""

    shop: Shop
    cabinet: Cabinet

    def bring(self, content: bytes, wanted: Wanted = CURRENT, name: str = "april.csv", **more: Any) -> UUID:
        """Bring a file; a CSV is read by `mapping`, or as the account's last one was."""
        with self.shop.database.session() as session:
            found = book.find(session, self.shop.seller, wanted, None, None)
            more.setdefault("currency", found.currency if found else wanted.currency)
            understood = statements.understand(content, saved=found.mapping if found else None, **more)
            kept = self.cabinet.keep(name, content, ANYTHING)
            return statements.bring(session, self.shop.seller, kept, understood, wanted, NOW)

    def confirm(self, import_id: UUID, page: int = taking.PAGE) -> None:
        with self.shop.database.session() as session:
            taking.confirm(session, self.shop.seller, import_id, NOW)
        while self.step(import_id, page):
            pass

    def step(self, import_id: UUID, page: int = taking.PAGE) -> bool:
        with self.shop.database.session() as session:
            return taking.take(session, import_id, NOW, page=page)

    def import_lines(self, lines: list[Given], wanted: Wanted = CURRENT) -> dict[str, Any]:
        identity = self.bring(a_csv(lines), wanted, mapping=PLAIN)
        self.confirm(identity)
        return self.read(identity)

    def read(self, import_id: UUID) -> dict[str, Any]:
        with self.shop.database.session() as session:
            return queries.get_statement(session, self.shop.seller, import_id)

    def lines(self, import_id: UUID) -> list[dict[str, Any]]:
        with self.shop.database.session() as session:
            found: list[dict[str, Any]] = queries.list_lines(session, self.shop.seller, import_id, limit=100)["items"]
            return found

    def undo(self, import_id: UUID) -> int:
        with self.shop.database.session() as session:
            return taking.undo(session, self.shop.seller, import_id, NOW)

    def books(self) -> list[tuple[date, int, str]]:
        rows = self.shop.rows(
            "SELECT booked_on, amount, narration FROM transactions WHERE user_id = :user "
            "ORDER BY booked_on, amount, narration"
        )
        return [(row["booked_on"], row["amount"], row["narration"]) for row in rows]


@pytest.fixture
def desk(shop: Shop, tmp_path: Path) -> Desk:
    return Desk(shop, Cabinet(tmp_path, shop.context.ring))


def counts(found: dict[str, Any]) -> tuple[str, int, int, int]:
    return found["state"], found["new"], found["known"], found["duplicates"]


APRIL: list[Given] = [
    ("01/04/2026", "NEFT BINA TRADERS", "ICICN52026040112", "100.00"),
    ("01/04/2026", "SMS CHARGES", "", "-17.70"),
    ("01/04/2026", "SMS CHARGES", "", "-17.70"),
    ("13/04/2026", "UPI RAVI", "609212345678", "250.50"),
]


def test_a_csv_asks_for_its_columns_once_for_each_account(desk: Desk) -> None:
    first = desk.bring(sample("hdfc.csv"))
    asked = desk.read(first)
    assert (asked["state"], asked["lines"]) == ("asking", 0)
    assert asked["table"]["guess"]["date_format"] == "%d-%m-%y"
    assert len(asked["table"]["preview"]) == 5
    with desk.shop.database.session() as session:
        understood = statements.understand(
            sample("hdfc.csv"), mapping=Mapping.model_validate(asked["table"]["guess"]), currency="INR"
        )
        statements.answer(session, desk.shop.seller, first, understood, CURRENT, NOW)
    assert counts(desk.read(first)) == ("ready", 5, 0, 0)
    assert desk.books() == []
    desk.confirm(first)
    assert counts(desk.read(first)) == ("done", 5, 0, 0)
    # The next file of this account needs no questions.
    later = sample("hdfc.csv").replace(b"ICICN52026040112345678", b"ICICN52026040112345679")
    assert counts(desk.read(desk.bring(later))) == ("ready", 1, 4, 0)


def test_the_same_file_again_adds_nothing_and_an_overlapping_one_only_what_is_new(desk: Desk) -> None:
    assert counts(desk.import_lines(APRIL)) == ("done", 4, 0, 0)
    before = desk.books()
    assert counts(desk.import_lines(APRIL)) == ("done", 0, 4, 0)
    assert desk.books() == before
    more = [*APRIL[1:], ("13/04/2026", "UPI RAVI", "609212345679", "250.50"), APRIL[1]]
    assert counts(desk.import_lines(more)) == ("done", 2, 3, 0)
    assert len(desk.books()) == 6


lines = st.tuples(
    st.sampled_from(["01/04/2026", "13/04/2026", "14/04/2026"]),
    st.sampled_from(["NEFT BINA", "CHARGES"]),
    st.sampled_from(["", "609212345678", "42"]),
    st.sampled_from(["1.00", "-1.00"]),
)


@given(whole=st.lists(lines, min_size=1, max_size=8), cuts=st.lists(st.tuples(st.integers(0, 8), st.integers(0, 8))))
@settings(max_examples=examples(10), deadline=None)
def test_files_of_whole_days_in_any_order_and_overlap_end_in_the_same_books(
    context: Clockwork, tmp_path_factory: pytest.TempPathFactory, whole: list[Given], cuts: list[tuple[int, int]]
) -> None:
    days = sorted({line[0] for line in whole})
    desk = Desk(open_shop(context), Cabinet(tmp_path_factory.getbasetemp(), context.ring))
    for start, end in [*cuts, (0, 8)]:
        part = [line for line in whole if line[0] in days[start:end]]
        if part:
            desk.import_lines(part)
    assert sorted((booked.strftime("%d/%m/%Y"), amount, words) for booked, amount, words in desk.books()) == sorted(
        (line[0], int(line[3].replace(".", "")), line[1]) for line in whole
    )


def test_a_line_that_a_webhook_told_of_is_a_duplicate(desk: Desk) -> None:
    desk.shop.hear(transaction(amount="250.50", narration="UPI/609212345678/RAVI", occurred_at="2026-04-13T06:00:00Z"))
    told = desk.shop.one("SELECT id, bank_reference FROM transactions WHERE user_id = :user")
    with desk.shop.database.session() as session:
        session.execute(
            text("UPDATE transactions SET bank_reference = '609212345678', amount = 25050, "
                 "occurred_at = '2026-04-13T06:00:00Z', booked_on = NULL WHERE id = :id"), {"id": told["id"]},
        )  # fmt: skip
    found = desk.import_lines(APRIL)
    assert counts(found) == ("done", 3, 0, 1)
    assert desk.lines(UUID(found["id"]))[3]["transaction_id"] == str(told["id"])


@pytest.mark.parametrize("why", ["amount", "day", "reference", "account"])
def test_what_differs_in_one_of_the_four_is_no_duplicate(desk: Desk, why: str) -> None:
    desk.import_lines([APRIL[3]], Wanted(name="Savings", currency="INR"))
    day, words, reference, amount = APRIL[3]
    changed = {
        "amount": (day, words, reference, "250.51"),
        "day": ("15/04/2026", words, reference, amount),
        "reference": (day, words, "609212345670", amount),
        "account": APRIL[3],
    }[why]
    with desk.shop.database.session() as session:
        savings = book.accounts(session, desk.shop.seller)[0]
        book.learn(session, savings.id, "•••• 1111", None)
        session.execute(
            text("UPDATE bank_accounts SET number_masked = '•••• 1111' WHERE connection_id = :id"), {"id": savings.id}
        )
        current = book.make(session, desk.shop.seller, "Current account", "INR", NOW)
        book.learn(session, current.id, "•••• 2222" if why == "account" else None, None)
    assert counts(desk.import_lines([changed])) == ("done", 1, 0, 0)


def test_the_lines_are_ordinary_transactions_by_the_owners_word(desk: Desk) -> None:
    identity = desk.bring(sample("swift_two_days.940"), Wanted(name="HDFC"), name="two days.940")
    assert counts(desk.read(identity)) == ("ready", 2, 0, 0)
    desk.confirm(identity)
    row = desk.shop.one(
        "SELECT transactions.*, bank_accounts.balance AS account_balance, number_masked FROM transactions "
        "JOIN bank_accounts USING (connection_id) WHERE transactions.user_id = :user ORDER BY booked_on LIMIT 1"
    )
    assert (row["amount"], row["booked_on"], row["trust"], row["status"]) == (
        11000000,
        date(2026, 4, 1),
        "manual",
        "posted",
    )
    assert (row["bank_reference"], row["number_masked"], row["account_balance"]) == (
        "ICICN52026040112",
        "•••• 5678",
        32250050,
    )
    with desk.shop.database.session() as session:
        origin = queries.origins(session, desk.shop.seller, row["id"])
        stored = queries.get_file(session, desk.shop.seller, identity)
    assert [(each["name"], each["row"], each["has_file"]) for each in origin] == [("two days.940", 6, True)]
    assert desk.cabinet.read(stored.sha256) == sample("swift_two_days.940")


def test_a_file_that_says_its_account_finds_it_again(desk: Desk) -> None:
    desk.confirm(desk.bring(sample("german.sta"), Wanted(name="Sparkasse")))
    assert desk.read(desk.bring(sample("german.sta"), Wanted()))["account"]["name"] == "Sparkasse"
    with pytest.raises(Invalid, match="3000"):
        desk.bring(sample("german.sta").replace(b"532013000", b"532019999"), Wanted(name="Sparkasse"))
    with pytest.raises(Invalid, match="in EUR"):
        desk.bring(sample("bank.ofx"), Wanted(name="Sparkasse"))


def test_a_file_of_an_unknown_account_asks_which_one_it_is(desk: Desk) -> None:
    identity = desk.bring(sample("german.sta"), Wanted())
    assert (desk.read(identity)["state"], desk.read(identity)["currency"]) == ("asking", "EUR")
    with pytest.raises(StatementNotReady), desk.shop.database.session() as session:
        taking.confirm(session, desk.shop.seller, identity, NOW)


def test_a_long_statement_is_taken_in_page_by_page_and_goes_on_after_a_crash(desk: Desk) -> None:
    identity = desk.bring(a_csv(APRIL), mapping=PLAIN)
    with desk.shop.database.session() as session:
        taking.confirm(session, desk.shop.seller, identity, NOW)
    assert desk.step(identity, page=2)
    assert (desk.read(identity)["state"], desk.read(identity)["taken"], len(desk.books())) == ("taking", 2, 2)
    with desk.shop.database.session() as session:
        taking.take(session, identity, NOW, page=2)
        session.rollback()
    assert len(desk.books()) == 2
    with desk.shop.database.session() as session:
        # A worker that is told nothing finds it.
        assert taking.take(session, None, NOW, page=2)
    assert (counts(desk.read(identity)), len(desk.books())) == (("done", 4, 0, 0), 4)
    assert not desk.step(identity)


def test_two_who_confirm_at_once_take_it_in_once(desk: Desk) -> None:
    both = [desk.bring(a_csv(APRIL), mapping=PLAIN) for _ in range(2)]
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(desk.confirm, both * 2))
    assert len(desk.books()) == 4
    assert sorted(desk.read(each)["new"] for each in both) == [0, 4]


def test_undoing_takes_back_what_only_this_file_says(desk: Desk) -> None:
    first = UUID(desk.import_lines(APRIL[:3])["id"])
    second = UUID(desk.import_lines(APRIL[1:])["id"])
    assert counts(desk.read(second)) == ("done", 1, 2, 0)
    assert desk.undo(first) == 1
    assert counts(desk.read(second)) == ("done", 3, 0, 0)
    assert len(desk.books()) == 3
    assert desk.read(first)["state"] == "undone"
    assert desk.undo(second) == 3
    assert desk.books() == []
    # As if they had never been: the file can be brought again.
    assert counts(desk.import_lines(APRIL)) == ("done", 4, 0, 0)
    assert len(desk.books()) == 4


def test_a_line_that_pays_an_invoice_holds_its_statement(desk: Desk) -> None:
    number = desk.shop.invoice()["number"]
    found = desk.import_lines([("13/04/2026", f"NEFT {number}", "", "100.00"), APRIL[0]])
    line = UUID(desk.lines(UUID(found["id"]))[0]["transaction_id"])
    with desk.shop.database.session() as session:
        decisions.accept(session, desk.shop.seller.id, line, None, NOW)
    with pytest.raises(StatementMatched, match="1 of its lines pays"):
        desk.undo(UUID(found["id"]))
    with desk.shop.database.session() as session:
        decisions.undo(session, desk.shop.seller.id, line, NOW)
    assert desk.undo(UUID(found["id"])) == 2


def test_a_statement_is_undone_once_and_only_when_it_was_taken_in(desk: Desk) -> None:
    identity = desk.bring(a_csv(APRIL), mapping=PLAIN)
    with pytest.raises(StatementNotReady):
        desk.undo(identity)
    desk.confirm(identity)
    with pytest.raises(StatementNotReady), desk.shop.database.session() as session:
        statements.drop(session, desk.shop.seller, identity, NOW)
    desk.undo(identity)
    with pytest.raises(StatementNotReady):
        desk.undo(identity)
    with pytest.raises(StatementNotReady), desk.shop.database.session() as session:
        taking.confirm(session, desk.shop.seller, identity, NOW)


def test_only_so_many_files_wait_and_the_oldest_makes_room(desk: Desk) -> None:
    first = desk.bring(a_csv(APRIL[:1]), mapping=PLAIN)
    for _ in range(statements.MAX_WAITING - 1):
        desk.bring(a_csv(APRIL[:1]), mapping=PLAIN)
    desk.read(first)
    desk.bring(a_csv(APRIL[:1]), mapping=PLAIN)
    with pytest.raises(NotFound):
        desk.read(first)
    assert desk.shop.one("SELECT count(*) AS n FROM files WHERE owner_id = :user")["n"] == statements.MAX_WAITING


def test_a_line_by_hand_is_a_transaction_and_no_second_one(desk: Desk) -> None:
    new = NewLine(account=CURRENT, amount=10000, booked_on=date(2026, 4, 1), narration="NEFT  BINA TRADERS",
                  reference="ICICN52026040112")  # fmt: skip
    with desk.shop.database.session() as session:
        import_id, transaction_id = taking.add_line(session, desk.shop.seller, new, NOW)
    assert desk.books() == [(date(2026, 4, 1), 10000, "NEFT BINA TRADERS")]
    assert desk.read(import_id)["format"] == "hand"
    with pytest.raises(LineKnown), desk.shop.database.session() as session:
        taking.add_line(session, desk.shop.seller, new, NOW)
    # Nor does the bank's file bring it again; and then it stays with the file.
    found = desk.import_lines(APRIL)
    assert counts(found) == ("done", 3, 0, 1)
    assert desk.undo(import_id) == 0
    assert len(desk.books()) == 4
    assert desk.lines(UUID(found["id"]))[0]["transaction_id"] == str(transaction_id)


@pytest.mark.parametrize(
    "wrong",
    [{"amount": 0}, {"amount": 10**15 + 1}, {"narration": " "}, {"booked_on": NOW.date() + timedelta(days=2)},
     {"account": Wanted()}, {"account": Wanted(name="New")}, {"account": Wanted(name="New", currency="ABC")}],
    ids=str,
)  # fmt: skip
def test_a_line_by_hand_must_make_sense(desk: Desk, wrong: dict[str, Any]) -> None:
    good: dict[str, Any] = {"account": CURRENT, "amount": 1, "booked_on": NOW.date(), "narration": "x"}
    with pytest.raises(Invalid), desk.shop.database.session() as session:
        taking.add_line(session, desk.shop.seller, NewLine(**(good | wrong)), NOW)


def test_an_account_for_statements_is_no_connection_to_anything(desk: Desk) -> None:
    desk.import_lines(APRIL)
    with desk.shop.database.session() as session:
        account = book.accounts(session, desk.shop.seller)[0]
        listed = connection_store.list_connections(session, desk.shop.seller)["items"]
        assert str(account.id) not in {each["id"] for each in listed}
        with pytest.raises(NotFound):
            connection_store.get_connection(session, desk.shop.seller, account.id)
        with pytest.raises(NotFound):
            connection_store.delete(session, desk.shop.seller, account.id, NOW)
        assert overview.dashboard(session, desk.shop.seller, NOW)["connections"] == len(listed)
    assert desk.shop.rows("SELECT FROM sync_schedules WHERE connection_id = :id", id=account.id) == []


def test_others_neither_see_nor_change_a_statement(desk: Desk, context: Clockwork) -> None:
    identity = desk.bring(a_csv(APRIL), mapping=PLAIN)
    stranger, operator = add_seller(context), add_seller(context, Role.OPERATOR)
    with context.database.session() as session:
        with pytest.raises(NotFound):
            queries.get_statement(session, stranger, identity)
        with pytest.raises(NotFound):
            taking.confirm(session, stranger, identity, NOW)
        assert queries.get_statement(session, operator, identity)["lines"] == 4
        with pytest.raises(Forbidden):
            taking.confirm(session, operator, identity, NOW)
        assert queries.list_statements(session, stranger)["items"] == []


def test_the_database_holds_what_the_code_holds(desk: Desk) -> None:
    identity = desk.bring(a_csv(APRIL), mapping=PLAIN)
    for change in (
        "UPDATE statement_imports SET state = 'done' WHERE id = :id",
        "UPDATE statement_imports SET connection_id = NULL WHERE id = :id",
        "UPDATE statement_imports SET lines = 20001 WHERE id = :id",
        "UPDATE statement_imports SET file_id = NULL WHERE id = :id",
        "UPDATE statement_lines SET object_id = 'same' WHERE import_id = :id",
        "UPDATE statement_lines SET amount = 0 WHERE import_id = :id",
    ):
        with pytest.raises(IntegrityError), desk.shop.database.session() as session:
            session.execute(text(change), {"id": identity})


def test_only_sellers_bring_statements(desk: Desk, context: Clockwork) -> None:
    understood = statements.understand(sample("german.sta"))
    kept = desk.cabinet.keep("x.sta", sample("german.sta"), ANYTHING)
    for role in (Role.INVESTOR, Role.BUYER, Role.OPERATOR):
        other = add_seller(context, role)
        with pytest.raises(Forbidden), context.database.session() as session:
            statements.bring(session, other, kept, understood, Wanted(name="X"), NOW)
        with pytest.raises(Forbidden), context.database.session() as session:
            taking.add_line(
                session, other, NewLine(account=CURRENT, amount=1, booked_on=NOW.date(), narration="x"), NOW
            )
