"""How the ledger is, for operators: figures of the API and the page, verification, and nobody else's business."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from flask.testing import FlaskClient
from sqlalchemy import text
from werkzeug.test import TestResponse

from core import ledger, wallets
from core.identity import Role
from core.ids import new_id
from core.ledger import Hold, Leg, Purpose, Transfer, chain
from tests.webapp.configured import settings_for
from tests.webapp.conftest import Person, World, make_world
from webapp.pages import ledger as page


@pytest.fixture(scope="module")
def world(file_database_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    folder: Path = tmp_path_factory.mktemp("ledger")
    made = make_world(settings_for(file_database_url, folder, REDIS_URL="unix:///nowhere/redis.sock"))
    yield made
    made.app.extensions["ledgerwire.gateway"].stop()
    made.parts.database.dispose()


@pytest.fixture(scope="module")
def operator(world: World) -> Person:
    return world.person(Role.OPERATOR, "olga@example.com", "Olga Operator")


def test_an_empty_ledger_says_so(world: World, operator: Person) -> None:
    found = world.get("/api/ledger/health", operator).body
    assert (found["books"], found["clearing"], found["verified"]) == ([], [], None)
    assert (found["chain"]["sealed"], found["chain"]["head"]) == (0, "00" * 32)
    shown = world.browser(operator).get("/ledger").get_data(as_text=True)
    for words in ("The books are empty", "Everything is clear", "No transfers yet", "never"):
        assert words in shown


def test_the_books_are_summed_and_what_is_not_clear_has_an_age(world: World, operator: Person) -> None:
    investor, now = world.person(Role.INVESTOR), datetime.now(UTC)
    wallet, escrow = ledger.wallet(investor.actor.id), ledger.escrow(new_id(), "INR")
    with world.session() as session:
        # What registration gives in a demo is given here by hand, once in any case.
        wallets.welcome(session, investor.actor.id, now - timedelta(hours=3))
    with world.session() as session:
        legs = (Leg(wallet, -90_000_00), Leg(escrow, 90_000_00))
        work = Transfer(kind="test.funded", key=str(new_id()), legs=legs, description="Funded by hand")
        hold = Hold(key=str(new_id()), account=wallet, to=escrow, amount=1_000_00, description="Held")
        ledger.post(session, [work, hold], now - timedelta(hours=2))
    found = world.get("/api/ledger/health", operator).body
    (book,) = found["books"]
    assert book["issued"] == book["wallet"] + book["escrow"]
    assert (book["escrow"], book["held"]) == (90_000_00, 1_000_00)
    assert (book["total"], book["unexplained"]) == (0, 0)
    (one,) = found["clearing"]
    assert (one["owner"], one["purpose"], one["balance"]) == (escrow.owner, "escrow", 90_000_00)
    assert 7_200 <= one["age_seconds"] < 7_300
    assert found["chain"]["waiting"] == 2 + 2 * book["issued"] // wallets.WELCOME
    shown = world.browser(operator).get("/ledger").get_data(as_text=True)
    for words in ("Funded by hand", "₹90,000.00", "sum to exactly 0", "2 hours ago"):
        assert words in shown


def test_money_that_was_never_issued_is_shown_as_unexplained(world: World, operator: Person) -> None:
    with world.session() as session:
        connection = session.connection()
        connection.execute(text("ALTER TABLE ledger_accounts DISABLE TRIGGER USER"))
        connection.execute(text("UPDATE ledger_accounts SET balance = balance + 7 WHERE purpose = 'escrow'"))
        connection.execute(text("ALTER TABLE ledger_accounts ENABLE TRIGGER USER"))
        session.flush()
    try:
        (book,) = world.get("/api/ledger/health", operator).body["books"]
        assert (book["total"], book["unexplained"]) == (7, 7)
        assert "do not balance" in world.browser(operator).get("/ledger").get_data(as_text=True)
        done = world.browser(operator)
        assert _verify(done).status_code == 303
        assert "do not agree" in done.get("/ledger").get_data(as_text=True)
    finally:
        with world.session() as session:
            connection = session.connection()
            connection.execute(text("ALTER TABLE ledger_accounts DISABLE TRIGGER USER"))
            connection.execute(text("UPDATE ledger_accounts SET balance = balance - 7 WHERE purpose = 'escrow'"))
            connection.execute(text("ALTER TABLE ledger_accounts ENABLE TRIGGER USER"))


def _verify(client: FlaskClient) -> TestResponse:
    shown = client.get("/ledger").get_data(as_text=True)
    token = shown.split('name="csrf_token" value="')[1].split('"')[0]
    return client.post("/ledger/verify", data={"csrf_token": token})


def test_a_small_ledger_is_verified_in_the_page_and_a_big_one_names_the_command(
    world: World, operator: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    with world.session() as session:
        chain.seal_all(session.connection())
    client = world.browser(operator)
    assert _verify(client).status_code == 303
    assert "everything agrees" in client.get("/ledger").get_data(as_text=True)
    verified = world.get("/api/ledger/health", operator).body["verified"]
    assert (verified["sound"], verified["problems"]) == (True, 0)
    assert verified["position"] == verified["entries"] > 0
    monkeypatch.setattr(page, "MOST_ENTRIES", 1)
    shown = client.get("/ledger").get_data(as_text=True)
    assert page.COMMAND in shown
    assert "Verify now" not in shown


@pytest.mark.parametrize("role", [Role.SELLER, Role.BUYER, Role.INVESTOR])
def test_it_is_for_operators(world: World, role: Role) -> None:
    person = world.person(role)
    assert world.get("/api/ledger/health", person).status == 403
    client = world.browser(person)
    assert client.get("/ledger").status_code == 403
    assert 'href="/ledger"' not in client.get("/dashboard").get_data(as_text=True)
    assert client.post("/ledger/verify").status_code == 403


def test_strangers_are_sent_to_sign_in(world: World) -> None:
    assert world.get("/api/ledger/health").status == 401
    assert world.browser().get("/ledger").status_code == 302


def test_the_purposes_of_accounts_all_have_words() -> None:
    assert set(page.PURPOSES) == {purpose.value for purpose in Purpose}
