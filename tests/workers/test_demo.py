"""The demo: loaded once, with a history that came the way every webhook comes, and cleared to nothing."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlencode
from uuid import UUID

import pytest
from sqlalchemy import text

from config.settings import Settings
from connectors import registry
from connectors.base import Credentials, Page, Response
from core import intake
from core.database import Database
from core.events import Payment, Payout, PayoutItem, Record, Trust
from core.identity import users
from core.ids import new_id
from core.migrations import at_head
from core.payments import payout_queries
from core.reconciliation import run
from core.statements import Statement
from tests.builders import check_sums, make_settings
from tests.conftest import Servers
from tests.core.books.trade import problems
from workers import demo, demo_market
from workers.simulators import till


@pytest.fixture(scope="module")
def settings(servers: Servers, file_database_url: str, tmp_path_factory: pytest.TempPathFactory) -> Settings:
    folder: Path = tmp_path_factory.mktemp("demo")
    return make_settings(file_database_url, servers.redis_url, data_dir=str(folder))


@pytest.fixture(scope="module")
def database(settings: Settings) -> Iterator[Database]:
    made = Database(settings.sqlalchemy_url, pool_size=2)
    yield made
    made.dispose()


@pytest.fixture(scope="module")
def loaded(settings: Settings, database: Database) -> Database:
    """The demo, as the reading tests share it."""
    assert demo.load(settings)
    return database


def rows(database: Database, query: str) -> list[dict[str, Any]]:
    with database.connect() as connection:
        return [dict(row) for row in connection.execute(text(query)).mappings()]


def counts(database: Database) -> dict[str, int]:
    """How many rows each table holds, without the partitions."""
    tables = rows(
        database,
        "SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p') "
        "AND NOT relispartition ORDER BY relname",
    )
    return {row["relname"]: rows(database, f"SELECT count(*) AS n FROM {row['relname']}")[0]["n"] for row in tables}


def test_loading_again_changes_nothing(settings: Settings, loaded: Database) -> None:
    before = counts(loaded)
    assert not demo.load(settings)
    assert counts(loaded) == before


def test_there_is_a_person_of_every_role(loaded: Database) -> None:
    found = rows(loaded, "SELECT email::text AS email, role::text AS role FROM users ORDER BY role")
    assert {(row["email"], row["role"]) for row in found} == {
        (email, str(role)) for email, _, _, role in (*demo.PEOPLE, *demo_market.EXTRAS)
    }


def test_every_payment_and_transaction_that_nobody_typed_comes_from_a_processed_delivery(loaded: Database) -> None:
    assert rows(loaded, "SELECT state, error FROM event_queue") == []
    for kind, table in (("payment", "payments"), ("transaction", "transactions")):
        found = rows(
            loaded,
            f"SELECT told.id, deliveries.id AS delivery, event_results.outcome FROM {table} AS told "
            "LEFT JOIN event_effects ON event_effects.object_id = told.id "
            "LEFT JOIN events ON events.id = event_effects.event_id "
            "LEFT JOIN event_results ON event_results.event_id = events.id "
            "LEFT JOIN deliveries ON deliveries.id = events.delivery_id WHERE told.trust <> 'manual'",
        )
        assert len(found) >= 3, kind
        assert all(row["delivery"] and row["outcome"] == "processed" for row in found), (kind, found)


def test_invoices_are_paid_as_far_as_the_demo_says(loaded: Database) -> None:
    sold = len(demo._SALES)
    found = rows(loaded, f"SELECT status, amount_paid, total FROM invoices ORDER BY id LIMIT {sold}")
    assert [row["amount_paid"] for row in found] == [
        row["total"] * sale.paid_percent // 100 for row, sale in zip(found, demo._SALES, strict=True)
    ]
    assert {row["status"] for row in found} >= {"paid"}
    check_sums(loaded)


def test_lines_wait_for_a_decision_and_the_payout_books_itself(loaded: Database) -> None:
    with loaded.session() as session:
        seller = session.scalar(text("SELECT id FROM users WHERE email = 'seller@demo.com'"))
        assert isinstance(seller, UUID)
        run.reconcile(session, seller, datetime.now(UTC))
    found = rows(
        loaded,
        "SELECT matches.state::text AS state, matches.kind::text AS kind, transactions.currency, "
        "transactions.amount = invoices.amount_due AS exact FROM matches "
        "JOIN transactions ON transactions.id = transaction_id LEFT JOIN invoices ON invoices.id = invoice_id "
        "ORDER BY transactions.currency, transactions.amount",
    )
    assert found == [
        {"state": "proposed", "kind": "invoices", "currency": "INR", "exact": True},
        {"state": "accepted", "kind": "payout", "currency": "INR", "exact": None},
    ]
    assert rows(loaded, "SELECT unexplained FROM payouts") == [{"unexplained": 0}]


def pulled(settings: Settings, connection_id: UUID) -> list[Record]:
    """What the simulated gateway answers a pull of the demo's Razorpay connection."""
    asked = registry.get("razorpay").pull
    assert asked is not None
    account = till.Till(
        slug="razorpay",
        folder=till.folder_of(settings.data_dir, "razorpay", connection_id),
        page_url="http://127.0.0.1/pay",
        webhook_url="http://127.0.0.1/hook",
    )
    known = Credentials(secrets={}, settings={}, external_id=None, asked_at=datetime.now(UTC))
    found: list[Record] = []
    page = Page(records=(), more=True)
    while page.more:
        talk = asked.talk(known, page.cursor, known.moment() - timedelta(days=90))
        request = next(talk)
        answer = account.answer("GET", f"{request.url}?{urlencode(request.params)}", {"authorization": "Basic x"}, b"")
        with pytest.raises(StopIteration) as end:
            talk.send(Response(status=answer.status, headers={}, body=answer.content))
        page = end.value.value
        found += page.records
    return found


def test_the_gateways_report_names_the_parts_of_the_payout_to_the_paisa(settings: Settings, loaded: Database) -> None:
    [connection] = rows(loaded, "SELECT id, user_id FROM connections WHERE connector = 'razorpay'")
    told = pulled(settings, connection["id"])
    assert {type(record) for record in told} == {Payment, Payout, PayoutItem}
    said = [
        Statement(
            event_id=new_id(),
            connection_id=connection["id"],
            user_id=connection["user_id"],
            connector="razorpay",
            trust=Trust.FETCHED,
            record=record,
        )
        for record in told
    ]
    with loaded.connect() as database:
        intake.apply(database, said)
    with loaded.session() as session:
        seller = users.find_account(session, "seller@demo.com")
        assert seller is not None
        run.reconcile(session, seller.actor.id, datetime.now(UTC))
        [row] = payout_queries.list_payouts(session, seller.actor)["items"]
        payout = payout_queries.get_payout(session, seller.actor, UUID(row["id"]))
    assert (payout["named"], payout["unexplained"]) == (True, 0)
    assert all(line["named"] and not line["unseen"] and line["payment_id"] for line in payout["lines"])
    # 2 % and 18 % of those: as gateways here charge.
    for line in payout["lines"]:
        assert abs(line["fee"] - line["amount"] * 0.0236) <= 1
    # The line of the bank is the payout.
    assert payout["transaction_id"] is not None
    # Nothing was found by order any more, and what was collected is in the bank or was kept.
    assert rows(loaded, "SELECT count(*) AS n FROM payout_lines") == [{"n": 0}]
    clearing = rows(
        loaded,
        "SELECT balance FROM ledger_accounts WHERE purpose = 'clearing' AND currency = 'INR' "
        f"AND owner = 'connection:{connection['id']}'",
    )
    assert clearing == [{"balance": 0}]
    assert problems(loaded) == []


def test_no_page_of_the_books_is_empty(loaded: Database) -> None:
    for table in ("credit_notes", "recurring_invoices", "exchange_rates", "payouts", "statement_imports", "mails"):
        assert rows(loaded, f"SELECT count(*) AS n FROM {table}")[0]["n"], table


def test_clearing_leaves_the_schema_and_loading_works_again(settings: Settings, loaded: Database) -> None:
    before = counts(loaded)
    demo.clear(loaded)
    assert {table for table, count in counts(loaded).items() if count} == set(demo._KEPT)
    with loaded.connect() as connection:
        assert at_head(connection)
    # An empty one can be cleared too.
    demo.clear(loaded)
    assert demo.load(settings)
    after = counts(loaded)
    assert {table: after[table] for table in ("users", "invoices", "payments", "transactions", "deliveries")} == {
        table: before[table] for table in ("users", "invoices", "payments", "transactions", "deliveries")
    }


def test_the_four_have_the_ten_lakh_that_everybody_begins_with(loaded: Database) -> None:
    found = rows(
        loaded,
        "SELECT email, balance, held FROM ledger_accounts JOIN users ON owner = 'user:' || users.id "
        "WHERE purpose = 'wallet'",
    )
    mine = {row["email"]: (row["balance"], row["held"]) for row in found}
    assert {mine[f"{name}@demo.com"] for name in ("seller", "buyer", "investor")} == {(10_00_000_00, 0)}


def test_deals_stand_in_every_stage(loaded: Database) -> None:
    found = rows(loaded, "SELECT state, count(*) AS n FROM financings GROUP BY state")
    assert {row["state"]: row["n"] for row in found} == {
        "pending_buyer_confirmation": 1,
        "listed": 2,
        "partially_funded": 1,
        "funded": 1,
    }
