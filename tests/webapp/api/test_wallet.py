"""The wallet over HTTP: what is in it, what moved, as pages and as a file, now and then."""

from __future__ import annotations

import csv
import io
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

import pytest
from sqlalchemy import text

from core import ledger
from core.identity import Role
from core.ids import new_id
from core.ledger import Leg, Transfer
from tests.webapp.api.market import fund, offer, rich
from tests.webapp.conftest import Person, Standing, World

WELCOME = 1_00_000_000


@pytest.fixture
def world(standing_file: Standing) -> World:
    return standing_file.world


@pytest.fixture
def investor(world: World) -> Person:
    return rich(world)


def book(world: World, person: Person, amount: int, description: str = "Something", at: datetime | None = None) -> None:
    """Money comes in, or with a negative amount goes out."""
    with world.session() as session:
        # From an account of its own: recorded time never runs backwards on one that others used.
        legs = [Leg(ledger.wallet(person.actor.id), amount), Leg(ledger.outside(new_id(), "INR"), -amount)]
        moved = Transfer(kind="wallet.test", key=f"test:{new_id()}", legs=legs, description=description)
        ledger.post(session, [moved], at or datetime.now(UTC))


def test_without_money_there_are_zeros_and_no_movements(world: World) -> None:
    nobody = world.person(Role.BUYER)
    assert world.get("/api/wallet", nobody).body == {"balance": 0, "available": 0, "held": 0, "currency": "INR"}
    assert world.get("/api/wallet/transactions", nobody).body == {"items": [], "next_cursor": None}


def test_whoever_registers_in_a_demo_has_ten_lakh(world: World) -> None:
    for role in ("seller", "buyer", "investor"):
        body = {"email": f"{new_id()}@x.test", "password": "a long enough one", "name": "N", "role": role}
        token = world.post("/api/auth/register", None, body).body["access_token"]
        found = world.ask("GET", "/api/wallet", headers={"Authorization": f"Bearer {token}"}).body
        assert found == {"balance": WELCOME, "available": WELCOME, "held": 0, "currency": "INR"}


def test_a_movement_says_which_way_how_much_what_for_and_what_is_left(world: World, investor: Person) -> None:
    listing = offer(world, rich(world, Role.SELLER), rich(world, Role.BUYER))
    fund(world, investor, listing, 90_000_00)
    [spent, given] = world.get("/api/wallet/transactions", investor).body["items"]
    assert (spent["type"], spent["amount"], spent["balance_after"]) == ("debit", 90_000_00, WELCOME - 90_000_00)
    assert spent["invoice_id"] == str(listing.invoice_id)
    assert (given["type"], given["amount"], given["balance_after"]) == ("credit", WELCOME, WELCOME)
    assert given["description"] == "Welcome: demo money"
    assert given["invoice_id"] is None
    assert spent["at"] >= given["at"]


def test_what_is_held_cannot_be_spent_and_is_no_movement(world: World, investor: Person) -> None:
    listing = offer(world, rich(world, Role.SELLER), rich(world, Role.BUYER))
    fund(world, investor, listing, 40_000_00)
    assert world.get("/api/wallet", investor).body == {
        "balance": WELCOME,
        "available": WELCOME - 40_000_00,
        "held": 40_000_00,
        "currency": "INR",
    }
    assert len(world.get("/api/wallet/transactions", investor).body["items"]) == 1


def test_pages_hold_each_movement_once_and_every_balance_follows_from_the_one_before(
    world: World, investor: Person
) -> None:
    for amount in (500, -200, 300, -100, 50, -25):
        book(world, investor, amount)
    found: list[Any] = []
    cursor: dict[str, str] = {}
    while True:
        page = world.get("/api/wallet/transactions", investor, limit="2", **cursor).body
        found += page["items"]
        if page["next_cursor"] is None:
            break
        cursor = {"cursor": page["next_cursor"]}
    assert len({each["id"] for each in found}) == len(found) == 7
    for newer, older in pairwise(found):
        sign = 1 if newer["type"] == "credit" else -1
        assert newer["balance_after"] == older["balance_after"] + sign * newer["amount"]


def test_a_side_and_a_time_are_chosen(world: World) -> None:
    person = world.person(Role.INVESTOR)
    begun = datetime(2026, 3, 1, 12, tzinfo=UTC)
    for day, amount in enumerate((1000, 200, -300, 400)):
        book(world, person, amount, at=begun + timedelta(days=day))

    def amounts(**query: str) -> list[int]:
        answer = world.get("/api/wallet/transactions", person, **query)
        assert answer.status == 200, answer.body
        return [each["amount"] for each in answer.body["items"]]

    assert amounts() == [400, 300, 200, 1000]
    assert amounts(type="credit") == [400, 200, 1000]
    assert amounts(type="debit") == [300]
    # From is included, to is not.
    assert amounts(**{"from": "2026-03-02T12:00:00Z", "to": "2026-03-04T12:00:00Z"}) == [300, 200]
    assert amounts(**{"from": "2026-03-05T00:00:00Z"}) == []
    assert amounts(to="2026-03-01T12:00:00Z") == []
    assert amounts(type="credit", to="2026-03-03T00:00:00+05:30") == [200, 1000]


def test_a_past_instant_has_its_own_books(world: World) -> None:
    person = world.person(Role.INVESTOR)
    begun = datetime(2026, 3, 1, 12, tzinfo=UTC)
    for day, amount in enumerate((1000, 200, -300)):
        book(world, person, amount, at=begun + timedelta(days=day))
    then = [
        world.get("/api/wallet", person, at=(begun + timedelta(days=day, hours=hours)).isoformat()).body["balance"]
        for day, hours in ((0, -1), (0, 0), (1, 1), (2, 1))
    ]
    assert then == [0, 1000, 1200, 900]


@pytest.mark.parametrize(
    "query",
    [
        {"at": "yesterday"},
        {"at": "2026-03-01T12:00:00"},
        {"at": "0001-01-01T00:00:00+14:00"},
        {"at": "9999-12-31T23:59:59Z"},
        {"since": "2026-03-01T12:00:00Z"},
    ],
    ids=["words", "without a zone", "before all clocks", "after all clocks", "an unknown name"],
)
def test_a_time_that_cannot_be_read_is_named(world: World, investor: Person, query: dict[str, str]) -> None:
    answer = world.get("/api/wallet", investor, **query)
    assert (answer.status, answer.body["code"]) == (422, "invalid")
    assert answer.body["errors"][0]["field"] == next(iter(query))


def test_a_cursor_of_another_list_is_refused(world: World, investor: Person) -> None:
    for cursor in ("WyJ4Il0", "WyIxIiwiMiJd", "%%%", "WyI5OTk5OTk5OTk5OTk5OTk5OTk5OTk5OTkiXQ"):
        assert world.get("/api/wallet/transactions", investor, cursor=cursor).status == 422, cursor


def _rows(world: World, person: Person, **query: str) -> list[dict[str, str]]:
    answer = world.app.test_client().get("/api/wallet/transactions.csv", headers=person.headers, query_string=query)
    assert answer.status_code == 200
    assert answer.mimetype == "text/csv"
    assert "attachment" in answer.headers["Content-Disposition"]
    return list(csv.DictReader(io.StringIO(answer.data.decode("utf-8-sig"))))


def test_the_file_has_every_movement_as_decimal_and_in_minor_units(world: World) -> None:
    person = world.person(Role.SELLER)
    book(world, person, 1_234_56, "Tea, 1 kg")
    book(world, person, -34_56)
    newest, oldest = _rows(world, person)
    assert (newest["type"], newest["amount"], newest["amount_minor"]) == ("debit", "-34.56", "-3456")
    assert (newest["balance_after"], newest["balance_after_minor"]) == ("1200.00", "120000")
    assert (oldest["amount"], oldest["description"], oldest["currency"]) == ("1234.56", "Tea, 1 kg", "INR")
    assert [row["type"] for row in _rows(world, person, type="credit")] == ["credit"]


@pytest.mark.parametrize("begins", ["=", "+", "-", "@", "\t", "\r"])
def test_no_spreadsheet_runs_what_a_description_says(world: World, begins: str) -> None:
    person = world.person(Role.SELLER)
    formula = f'{begins}HYPERLINK("http://x.test","pay")'
    book(world, person, 500, formula)
    [row] = _rows(world, person)
    assert row["description"] == f"'{formula}"


def at_the_bank(world: World, person: Person, count: int) -> None:
    """Lines on a bank account, a minute apart until now; every second one left it."""
    rows = (
        "INSERT INTO transactions (id, user_id, connection_id, account_object_id, object_id, version, status, amount, "
        "currency, narration, occurred_at, trust) SELECT uuid7(), :user, uuid7(), 'a', place::text, 1, 'posted', "
        "CASE WHEN place % 2 = 0 THEN -5 ELSE 7 END, 'INR', 'tea', :now - make_interval(mins => place), 'fetched' "
        "FROM generate_series(1, :count) AS place"
    )
    with world.session() as session:
        session.execute(text(rows), {"user": person.actor.id, "now": datetime.now(UTC), "count": count})


@pytest.mark.parametrize(("limit", "lines"), [(1, 3), (2, 5), (3, 4), (100, 99), (100, 100), (100, 104)])
def test_movements_here_and_at_the_bank_are_one_list(world: World, limit: int, lines: int) -> None:
    person = world.person(Role.SELLER)
    begun = datetime.now(UTC) - timedelta(minutes=3, seconds=30)
    for place in range(3):
        book(world, person, 500 + place, at=begun + timedelta(minutes=place))
    at_the_bank(world, person, lines)
    found: list[Any] = []
    cursor: dict[str, str] = {}
    while True:
        page = world.get("/api/users/transactions", person, limit=str(limit), **cursor).body
        assert len(page["items"]) <= limit
        found += page["items"]
        if page["next_cursor"] is None:
            break
        cursor = {"cursor": page["next_cursor"]}
    assert len({each["id"] for each in found}) == len(found) == 3 + lines
    moments = [each["at"] for each in found]
    assert moments == sorted(moments, reverse=True)
    assert [each["amount"] for each in found if each["source"] == "wallet"] == [502, 501, 500]
    debits = {each["amount"] for each in found if each["type"] == "debit"}
    assert debits == {5}
    only = world.get("/api/users/transactions", person, source="wallet").body["items"]
    assert {each["source"] for each in only} == {"wallet"}
    assert world.get("/api/users/transactions", person, source="post").status == 422
