"""Bank lines over HTTP: found by every filter, decided upon in every way, and never by somebody else."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import text

from core.identity import Role
from core.ids import new_id
from core.money import MAX_MINOR
from core.reconciliation import run
from core.reconciliation.decisions import MOST_TARGETS
from tests.webapp.api.test_payments import bill, record
from tests.webapp.conftest import Person, Standing, World

NOW = datetime(2026, 11, 20, 6, tzinfo=UTC)


@pytest.fixture
def world(standing_file: Standing) -> World:
    return standing_file.world


@pytest.fixture
def seller(world: World) -> Person:
    return world.person(Role.SELLER)


def line(world: World, seller: Person, amount: int, narration: str, *, days_ago: int = 0, **more: Any) -> str:
    """A line of a bank, as a connection would have brought it."""
    identity = new_id()
    at = NOW - timedelta(days=days_ago)
    given = {"reference": f"HDFCN5{identity.int % 10**16:016d}", "account": "acc", "currency": "INR", **more}
    with world.parts.database.connect() as connection:
        connection.execute(
            text(
                "INSERT INTO transactions (id, user_id, connection_id, account_object_id, object_id, version, status, "
                "amount, currency, narration, bank_reference, occurred_at, booked_on, trust) VALUES (:id, :user, "
                ":connection, :account, :object, 1, 'posted', :amount, :currency, :narration, :reference, :at, :day, "
                "'fetched')"
            ),
            {
                "id": identity, "user": seller.actor.id, "connection": new_id(), "object": str(identity),
                "amount": amount, "narration": narration, "at": at, "day": at.date(), **given,
            },
        )  # fmt: skip
    return str(identity)


def engine(world: World, seller: Person, *, ask: bool = False) -> None:
    with world.parts.database.connect() as connection:
        if ask:
            connection.execute(
                text("INSERT INTO business_profiles (user_id, match_automatically) VALUES (:user, false)"),
                {"user": seller.actor.id},
            )
        run.reconcile(connection, seller.actor.id, NOW)


def found(world: World, seller: Person, **query: str) -> list[str]:
    reply = world.get("/api/transactions", seller, **query)
    assert reply.status == 200, reply.body
    return [one["narration"] for one in reply.body["items"]]


def test_lines_are_found_by_every_filter_and_in_every_order(world: World, seller: Person) -> None:
    invoice = bill(world, seller, 10_000)
    line(world, seller, 10_000, f"A {invoice['number']}", days_ago=3)
    line(world, seller, 500, "B rent", days_ago=2, account="other")
    line(world, seller, -700, "C fee", days_ago=1)
    line(world, seller, 900, "D dollars", currency="USD")
    engine(world, seller, ask=True)
    for query, names in (
        ({}, "DCBA"), ({"sort": "oldest"}, "ABCD"), ({"sort": "largest"}, "ADBC"), ({"sort": "smallest"}, "CBDA"),
        ({"match_state": "proposed"}, "A"), ({"match_state": "accepted"}, ""), ({"tier": "sure"}, "A"),
        ({"tier": "suspense"}, "DCB"), ({"account": "other"}, "B"), ({"currency": "USD"}, "D"),
        ({"date_from": "2026-11-19"}, "DC"), ({"date_to": "2026-11-18"}, "BA"),
        ({"date_from": "2026-11-18", "date_to": "2026-11-18"}, "B"), ({"amount_min": "500"}, "DBA"),
        ({"amount_max": "-1"}, "C"), ({"amount_min": "501", "amount_max": "900"}, "D"), ({"search": "RENT"}, "B"),
        ({"match_state": "proposed", "tier": "suggested"}, ""),
    ):  # fmt: skip
        assert "".join(name[0] for name in found(world, seller, **query)) == names, query
    for sort in ("newest", "oldest", "largest", "smallest"):
        whole, pages, cursor = found(world, seller, sort=sort), [], None
        while True:
            more: dict[str, str] = {"cursor": cursor} if cursor else {}
            page = world.get("/api/transactions", seller, sort=sort, limit="1", **more).body
            pages += [one["narration"] for one in page["items"]]
            cursor = page["next_cursor"]
            if cursor is None:
                break
        assert pages == whole
    assert found(world, world.person(Role.SELLER)) == []


@pytest.mark.parametrize(
    "query",
    [
        {"match_state": "perhaps"}, {"tier": "certain"}, {"sort": "random"}, {"date_from": "yesterday"},
        {"amount_min": "1.5"}, {"amount_max": str(MAX_MINOR + 1)}, {"connection_id": "x"}, {"currency": "rupee"},
        {"cursor": "bm90aGluZw"}, {"sort": "oldest", "cursor": "WyJuZXdlc3QiLCJ4IiwiMSJd"}, {"colour": "red"},
    ],
)  # fmt: skip
def test_a_question_that_makes_no_sense_is_refused(world: World, seller: Person, query: dict[str, str]) -> None:
    assert world.get("/api/transactions", seller, **query).status in {400, 422}


def test_a_line_is_matched_with_what_is_proposed_and_taken_back(world: World, seller: Person) -> None:
    invoice = bill(world, seller, 10_000)
    path = f"/api/transactions/{line(world, seller, 10_000, invoice['number'])}"
    engine(world, seller, ask=True)
    proposed = world.get(path, seller).body
    assert (proposed["match_state"], proposed["match"]["tier"]) == ("proposed", "sure")
    assert world.post(f"{path}/match", seller, {"match_id": str(new_id())}).status == 409
    matched = world.post(f"{path}/match", seller, {"match_id": proposed["match"]["id"]})
    assert (matched.status, matched.body["match_state"], matched.body["match"]["actor"]) == (200, "accepted", "user")
    assert world.post(f"{path}/match", seller, {}).body["payment_id"] == matched.body["payment_id"]
    assert world.get(f"/api/invoices/{invoice['id']}", seller).body["amount_due"] == 0
    assert world.post(f"{path}/unmatch", seller, {}).body["match_state"] == "proposed"
    assert world.post(f"{path}/unmatch", seller, {}).body["match_state"] == "none"
    assert world.post(f"{path}/unmatch", seller, {}).status == 409


def test_a_line_is_split_over_invoices_and_never_over_more_than_it_brought(world: World, seller: Person) -> None:
    first, second = bill(world, seller, 6_000), bill(world, seller, 6_000)
    path = f"/api/transactions/{line(world, seller, 10_000, 'BULK')}/match"

    def aim(*parts: tuple[str, int]) -> dict[str, Any]:
        return {"targets": [{"invoice_id": invoice, "amount": amount} for invoice, amount in parts]}

    for body, status in (
        (aim((first["id"], 6_000), (second["id"], 4_001)), 422),
        (aim((first["id"], 6_000), (first["id"], 1_000)), 422),
        (aim((first["id"], 0)), 422),
        (aim(*((str(new_id()), 1) for _ in range(MOST_TARGETS + 1))), 422),
        (aim((str(new_id()), 1), (first["id"], 1)), 404),
        ({**aim((first["id"], 1)), "invoice_id": first["id"]}, 422),
        ({"payout_id": str(new_id())}, 404),
        ({"payment_id": str(new_id())}, 404),
        ({}, 404),
        ({"short_reason": "mood"}, 422),
    ):
        assert world.post(path, seller, body).status == status, body
    told = world.post(path, seller, aim((first["id"], 6_000), (second["id"], 4_000)))
    assert (told.status, told.body["match"]["invoice_count"]) == (200, 2)
    dues = [world.get(f"/api/invoices/{one['id']}", seller).body["amount_due"] for one in (first, second)]
    assert dues == [0, 2_000]


def test_a_line_is_linked_to_a_payment_that_was_typed_in_and_posts_nothing(world: World, seller: Person) -> None:
    invoice = bill(world, seller, 10_000)
    payment = record(world, seller, 10_000, (invoice["id"], 10_000)).body
    path = f"/api/transactions/{line(world, seller, 10_000, 'DEPOSIT')}"
    told = world.post(f"{path}/match", seller, {"payment_id": payment["id"]})
    assert (told.status, told.body["match"]["kind"], told.body["payment_id"]) == (200, "payment", payment["id"])
    other = f"/api/transactions/{line(world, seller, 10_000, 'DEPOSIT AGAIN')}"
    assert world.post(f"{other}/match", seller, {"payment_id": payment["id"]}).status == 409
    assert len(world.get("/api/payments", seller).body["items"]) == 1


def test_what_is_sure_is_accepted_in_one_go_and_the_rest_waits(world: World, seller: Person) -> None:
    bills = [bill(world, seller, 1_000 + one) for one in range(3)]
    lines = [line(world, seller, 1_000 + one, invoice["number"]) for one, invoice in enumerate(bills)]
    part = line(world, seller, 300, bills[0]["number"])
    engine(world, seller, ask=True)
    some = world.post("/api/transactions/match-sure", seller, {"transaction_ids": [lines[1], part]})
    assert some.body == {"transaction_ids": [lines[1]], "refused": []}
    rest = world.post("/api/transactions/match-sure", seller, {})
    assert set(rest.body["transaction_ids"]) == {lines[0], lines[2]}
    assert world.post("/api/transactions/match-sure", seller, {}).body == {"transaction_ids": [], "refused": []}
    assert world.post("/api/transactions/match-sure", world.person(Role.BUYER), {}).status == 403
    assert world.get(f"/api/transactions/{part}", seller).body["match_state"] == "none"


def test_what_the_engine_booked_says_so(world: World, seller: Person) -> None:
    invoice = bill(world, seller, 10_000)
    path = f"/api/transactions/{line(world, seller, 10_000, invoice['number'])}"
    engine(world, seller)
    told = world.get(path, seller).body
    assert (told["match_state"], told["match"]["actor"], UUID(told["payment_id"]).version) == ("accepted", "engine", 7)
