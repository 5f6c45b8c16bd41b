"""The story of a financing over HTTP: submit, confirm, list, fund, with the numbers the first users know."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest

from core import kyc, wallets
from core.identity import Role
from tests.conftest import Servers
from tests.webapp.conftest import Person, World, standing_world

LAKH = 1_00_000_00


def today(days: int = 0) -> str:
    return (datetime.now(UTC).date() + timedelta(days=days)).isoformat()


@pytest.fixture(scope="module")
def world(servers: Servers, file_database_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """One application for the file: each test has people of its own in it."""
    yield from standing_world(servers, file_database_url, tmp_path_factory.mktemp("financing"))


def join(world: World, role: Role) -> Person:
    """Somebody as registration in a demo makes them: verified, with ten lakh."""
    person = world.person(role, f"{uuid4().hex}@people.test")
    now = datetime.now(UTC)
    with world.session() as session:
        kyc.welcome(session, person.actor.id, now)
        wallets.welcome(session, person.actor.id, now)
    return person


def email_of(person: Person) -> str:
    return person.actor.email


def make_invoice(
    world: World, seller: Person, buyer: Person | str, amount: int = LAKH, days: int = 60, **more: Any
) -> Any:
    answer = world.post(
        "/api/invoices",
        seller,
        json={
            "contact": {"name": "Bharat Retail", "email": buyer if isinstance(buyer, str) else email_of(buyer)},
            "currency": "INR",
            "issue_date": today(),
            "due_date": today(days),
            "items": [{"description": "Cloth", "quantity": 1, "unit_price": amount}],
            **more,
        },
    )
    assert answer.status == 201, answer.body
    return answer.body


def balance(world: World, person: Person) -> dict[str, Any]:
    answer = world.get("/api/wallet", person)
    assert answer.status == 200, answer.body
    return dict(answer.body)


def listed(world: World, seller: Person, buyer: Person, **terms: Any) -> str:
    """An invoice of ₹1,00,000 that its buyer confirmed and its seller listed."""
    invoice = make_invoice(world, seller, buyer)
    at = f"/api/invoices/{invoice['id']}"
    submitted = world.post(f"{at}/submit", seller, json={"buyer_email": email_of(buyer)})
    assert (submitted.status, submitted.body["status"]) == (200, "pending_buyer_confirmation"), submitted.body
    confirmed = world.post(f"{at}/confirm", buyer, json={})
    assert (confirmed.status, confirmed.body["status"]) == (200, "confirmed"), confirmed.body
    offered = world.post(
        f"{at}/list", seller, json={"mode": "fixed", "ask_amount": 90_000_00, "fee_plan": "none", **terms}
    )
    assert (offered.status, offered.body["status"]) == (200, "listed"), offered.body
    return at


@pytest.fixture
def people(world: World) -> tuple[Person, Person, Person]:
    return join(world, Role.SELLER), join(world, Role.BUYER), join(world, Role.INVESTOR)


def test_whoever_registers_in_a_demo_has_ten_lakh_and_may_deal(world: World) -> None:
    body = {"email": f"{uuid4().hex}@people.test", "password": "correct horse battery", "name": "Ida", "role": "seller"}
    answer = world.post("/api/auth/register", json=body)
    assert answer.status == 201, answer.body
    token = {"Authorization": f"Bearer {answer.body['access_token']}"}
    assert world.ask("GET", "/api/wallet", headers=token).body == {
        "balance": 10 * LAKH,
        "available": 10 * LAKH,
        "held": 0,
        "currency": "INR",
    }
    assert world.ask("GET", "/api/auth/kyc", headers=token).body["state"] == "verified"


def test_a_lakh_funded_with_ninety_thousand_moves_the_wallets_the_first_users_know(
    world: World, people: tuple[Person, Person, Person]
) -> None:
    seller, buyer, investor = people
    at = listed(world, seller, buyer)
    assert balance(world, investor)["balance"] == 10 * LAKH
    quoted = world.get(f"{at}/quote", investor, amount="9000000")
    assert quoted.status == 200, quoted.body
    assert (quoted.body["expected_return"], quoted.body["profit"]) == (LAKH, 10_000_00)
    funded = world.post(f"{at}/fund", investor, json={"amount": 90_000_00})
    assert funded.status == 201, funded.body
    made = funded.body["investment"]
    assert (made["amount"], made["expected_return"], made["profit"], made["status"]) == (
        90_000_00,
        LAKH,
        10_000_00,
        "settled",
    )
    assert (funded.body["invoice"]["status"], funded.body["wallet"]["balance"]) == ("funded", 9_10_000_00)
    assert balance(world, investor) == {"balance": 9_10_000_00, "available": 9_10_000_00, "held": 0, "currency": "INR"}
    assert balance(world, seller)["balance"] == 10_90_000_00
    lines = world.get("/api/wallet/transactions", investor).body["items"]
    assert [(one["type"], one["amount"], one["balance_after"]) for one in lines] == [
        ("debit", 90_000_00, 9_10_000_00),
        ("credit", 10 * LAKH, 10 * LAKH),
    ]


REFUSED = [
    pytest.param({"amount": 90_000_01}, "more_than_remaining", id="more than is left"),
    pytest.param({"amount": 1}, "below_minimum_slice", id="less than the smallest slice"),
    pytest.param({"amount": 0}, "invalid", id="nothing"),
    pytest.param({"amount": -5}, "invalid", id="less than nothing"),
    pytest.param({"amount": "90"}, "invalid", id="text"),
    pytest.param({}, "invalid", id="no amount"),
]


@pytest.mark.parametrize(("body", "code"), REFUSED)
def test_a_refused_amount_is_a_problem_document_and_moves_nothing(
    world: World, people: tuple[Person, Person, Person], body: dict[str, Any], code: str
) -> None:
    seller, buyer, investor = people
    at = listed(world, seller, buyer)
    before = [balance(world, person) for person in people]
    answer = world.post(f"{at}/fund", investor, json=body)
    assert 400 <= answer.status < 500
    assert (answer.body["code"], answer.body["type"]) == (code, f"/problems/{code}")
    assert [balance(world, person) for person in people] == before


def test_whoever_has_too_little_is_refused(world: World, people: tuple[Person, Person, Person]) -> None:
    seller, buyer, investor = people
    big = make_invoice(world, seller, buyer, amount=20 * LAKH)
    at = f"/api/invoices/{big['id']}"
    world.post(f"{at}/submit", seller, json={"buyer_email": email_of(buyer)})
    world.post(f"{at}/confirm", buyer)
    world.post(f"{at}/list", seller, json={"ask_amount": 15 * LAKH})
    answer = world.post(f"{at}/fund", investor, json={"amount": 10 * LAKH + 1})
    assert (answer.status, answer.body["code"]) == (409, "insufficient_funds"), answer.body
    assert balance(world, investor)["available"] == 10 * LAKH


def test_only_investors_fund_and_nobody_funds_what_is_not_on_offer(
    world: World, people: tuple[Person, Person, Person]
) -> None:
    seller, buyer, investor = people
    at = listed(world, seller, buyer)
    assert [world.post(f"{at}/fund", who, json={"amount": 1000_00}).status for who in (seller, buyer)] == [403, 403]
    assert world.post(f"{at}/withdraw", seller).body["status"] == "withdrawn"
    answer = world.post(f"{at}/fund", investor, json={"amount": 1000_00})
    assert 400 <= answer.status < 500, answer.body
    assert balance(world, investor)["balance"] == 10 * LAKH


def test_a_slice_is_held_until_the_rest_is_funded(world: World, people: tuple[Person, Person, Person]) -> None:
    seller, buyer, investor = people
    other = join(world, Role.INVESTOR)
    at = listed(world, seller, buyer)
    first = world.post(f"{at}/fund", investor, json={"amount": 30_000_00})
    assert (first.status, first.body["investment"]["status"]) == (201, "held"), first.body
    assert first.body["wallet"] == {
        "balance": 10 * LAKH,
        "available": 9_70_000_00,
        "held": 30_000_00,
        "currency": "INR",
    }
    assert balance(world, seller)["balance"] == 10 * LAKH
    second = world.post(f"{at}/fund", other, json={"amount": 60_000_00})
    assert (second.body["investment"]["status"], second.body["invoice"]["status"]) == ("settled", "funded")
    assert [balance(world, one)["balance"] for one in (investor, other, seller)] == [
        9_70_000_00,
        9_40_000_00,
        10_90_000_00,
    ]
    assert first.body["investment"]["expected_return"] + second.body["investment"]["expected_return"] == LAKH


def test_the_same_idempotency_key_funds_once(world: World, people: tuple[Person, Person, Person]) -> None:
    seller, buyer, investor = people
    at = listed(world, seller, buyer)
    answers = [world.post(f"{at}/fund", investor, json={"amount": 30_000_00}, Idempotency_Key="one") for _ in range(2)]
    assert answers[0].body == answers[1].body
    assert balance(world, investor)["held"] == 30_000_00


def test_a_confirmation_is_for_good_and_only_the_buyers_to_give(
    world: World, people: tuple[Person, Person, Person]
) -> None:
    seller, buyer, investor = people
    invoice = make_invoice(world, seller, buyer)
    at = f"/api/invoices/{invoice['id']}"
    world.post(f"{at}/submit", seller, json={"buyer_email": email_of(buyer)})
    stranger = join(world, Role.BUYER)
    assert [world.post(f"{at}/confirm", who, json={}).status for who in (seller, stranger, investor)] == [403, 404, 404]
    assert world.post(f"{at}/confirm", buyer, json={"confirmed_amount": LAKH + 1}).status == 422
    assert world.post(f"{at}/confirm", buyer, json={"confirmed_amount": LAKH - 5}).body["status"] == "confirmed"
    again = world.post(f"{at}/confirm", buyer, json={"confirmed_amount": LAKH - 5})
    assert (again.status, again.body["status"]) == (200, "confirmed")
    changed = world.post(f"{at}/confirm", buyer, json={"confirmed_amount": LAKH - 6})
    assert (changed.status, changed.body["code"]) == (409, "conflict")
    refused = world.post(f"{at}/reject", buyer, json={"reason": "changed our mind"})
    assert refused.status == 409


def test_a_refused_invoice_says_why_and_may_be_submitted_again(
    world: World, people: tuple[Person, Person, Person]
) -> None:
    seller, buyer, _ = people
    invoice = make_invoice(world, seller, buyer)
    at = f"/api/invoices/{invoice['id']}"
    world.post(f"{at}/submit", seller, json={"buyer_email": email_of(buyer)})
    refused = world.post(f"{at}/reject", buyer, json={"reason": "Half is missing", "reason_code": "quantity"})
    assert (refused.status, refused.body["status"]) == (200, "rejected")
    assert refused.body["financing"]["reason_code"] == "quantity"
    again = world.post(f"{at}/submit", seller, json={"buyer_email": email_of(buyer)})
    assert (again.status, again.body["status"]) == (200, "pending_buyer_confirmation")


def test_an_invoice_is_submitted_five_times_a_day_and_not_a_sixth(
    world: World, people: tuple[Person, Person, Person]
) -> None:
    seller, buyer, _ = people
    at = f"/api/invoices/{make_invoice(world, seller, buyer)['id']}"
    for _ in range(5):
        assert world.post(f"{at}/submit", seller, json={"buyer_email": email_of(buyer)}).status == 200
        assert world.post(f"{at}/withdraw", seller).status == 200
    answer = world.post(f"{at}/submit", seller, json={"buyer_email": email_of(buyer)})
    assert (answer.status, answer.body["code"]) == (409, "conflict")


def test_an_invoice_that_is_due_soon_is_not_taken(world: World, people: tuple[Person, Person, Person]) -> None:
    seller, buyer, _ = people
    soon = make_invoice(world, seller, buyer, days=9)
    answer = world.post(f"/api/invoices/{soon['id']}/submit", seller, json={"buyer_email": email_of(buyer)})
    assert (answer.status, answer.body["code"]) == (422, "invalid")


def test_the_same_number_is_financed_once(world: World, people: tuple[Person, Person, Person]) -> None:
    seller, buyer, _ = people
    listed(world, seller, buyer)
    twin = make_invoice(world, seller, buyer, amount=LAKH + 77)
    number = world.get("/api/invoices", seller).body["items"][1]["number"]
    answer = world.post(
        f"/api/invoices/{twin['id']}/submit",
        seller,
        json={"buyer_email": email_of(buyer), "document_number": number},
    )
    assert (answer.status, answer.body["code"]) == (409, "duplicate_financing"), answer.body


def test_what_is_on_the_marketplace_is_neither_voided_nor_put_off(
    world: World, people: tuple[Person, Person, Person]
) -> None:
    seller, buyer, _ = people
    at = listed(world, seller, buyer)
    assert world.ask("DELETE", at, seller).status == 409
    assert world.ask("PUT", at, seller, json={"due_date": today(90)}).status == 409


@pytest.mark.parametrize("rate", ["1_0", "\uff11\uff12", "1e1", "+5", " 5", "NaN", "12.00001", True, None, [], 100.5])
def test_a_rate_is_plain_per_cent(world: World, people: tuple[Person, Person, Person], rate: Any) -> None:
    seller, buyer, investor = people
    auction = listed(world, seller, buyer, mode="auction", ask_amount=None, discount_rate=14)
    refused = world.post(f"{auction}/bids", investor, json={"rate": rate, "amount": 50_000_00})
    assert (refused.status, refused.body["errors"][0]["field"]) == (422, "rate")


def test_a_buyer_does_not_read_who_financed_the_invoice(world: World, people: tuple[Person, Person, Person]) -> None:
    seller, buyer, investor = people
    at = listed(world, seller, buyer)
    world.post(f"{at}/fund", investor, json={"amount": 90_000_00})
    said = {who.actor.id: str(world.get(at, who).body["history"]) for who in (seller, buyer)}
    assert "financing.funded" in said[buyer.actor.id]
    assert investor.actor.name in said[seller.actor.id]
    assert investor.actor.name not in said[buyer.actor.id]
