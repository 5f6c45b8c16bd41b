"""Reviews and judgements over HTTP and on pages."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from werkzeug.test import TestResponse

from core import kyc, risk
from core.identity import Role
from tests.core.risk.trade import Alike, finance, invoice
from tests.webapp.conftest import INVOICE, Person, Standing, World


@pytest.fixture
def world(standing: Standing) -> World:
    return standing.world


@pytest.fixture
def operator(world: World) -> Person:
    return world.person(Role.OPERATOR)


@pytest.fixture
def seller(world: World) -> Person:
    return world.person(Role.SELLER)


def brought(world: World, seller: Person, *, ahead: int = 0, alike: str | None = None) -> UUID:
    """An invoice that was brought for financing; dated `ahead` days in the future, like another one on a level."""
    now = datetime.now(UTC)
    with world.session() as session:
        made = invoice(session, seller.actor, "buyer@risk.test", issued=(now + timedelta(days=ahead)).date())
        finance(session, made)
        hits = []
        if alike:
            other = invoice(session, seller.actor, "buyer@risk.test", issued=now.date())
            hits = [Alike(alike, finance(session, other))]
        risk.assess(session, made, now, at="submission", hits=hits)
    return made


def review_of(world: World, operator: Person, invoice_id: UUID) -> str:
    items = world.get("/api/reviews", operator, limit="100").body["items"]
    return next(str(item["id"]) for item in items if item["invoice"]["id"] == str(invoice_id))


def test_an_operator_reads_and_decides_a_stop_once(world: World, operator: Person, seller: Person) -> None:
    made = brought(world, seller, ahead=9)
    path = f"/api/reviews/{review_of(world, operator, made)}"
    shown = world.get(path, operator).body
    assert (shown["state"], shown["kind"], shown["codes"]) == ("open", "stop", ["T2"])
    assert shown["findings"][0]["values"]["days"] < 0
    said = {"decision": "clear", "reason": "The clerk mistyped the year."}
    key = {"Idempotency_Key": "decide-once"}
    first, again = (world.post(f"{path}/decide", operator, said, **key) for _ in range(2))
    assert first.body == again.body
    assert (first.status, first.body["state"], first.body["reason"]) == (200, "cleared", said["reason"])
    late = world.post(f"{path}/decide", operator, {**said, "decision": "uphold"})
    assert (late.status, late.body["type"]) == (409, "/problems/review_decided")


def test_an_exact_duplicate_is_not_cleared(world: World, operator: Person, seller: Person) -> None:
    made = brought(world, seller, alike="E1")
    path = f"/api/reviews/{review_of(world, operator, made)}/decide"
    refused = world.post(path, operator, {"decision": "clear", "reason": "I want to."})
    assert (refused.status, refused.body["type"]) == (409, "/problems/hard_stop")
    assert world.post(path, operator, {"decision": "uphold", "reason": "It is the same."}).status == 200


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"decision": "clear"},
        {"decision": "maybe", "reason": "because"},
        {"decision": "clear", "reason": "  x  "},
        {"decision": "clear", "reason": "x" * 1001},
        {"decision": "clear", "reason": "because", "more": 1},
    ],
)
def test_a_decision_that_cannot_be_read_decides_nothing(
    world: World, operator: Person, seller: Person, body: dict[str, object]
) -> None:
    path = f"/api/reviews/{review_of(world, operator, brought(world, seller, ahead=9))}"
    assert world.post(f"{path}/decide", operator, body).status == 422
    assert world.get(path, operator).body["state"] == "open"


def test_a_service_reads_and_a_person_decides(world: World, operator: Person, seller: Person) -> None:
    path = f"/api/reviews/{review_of(world, operator, brought(world, seller, ahead=3))}"
    made = world.post("/api/service-tokens", operator, {"name": "robot"})
    bearer = {"Authorization": f"Bearer {made.body['token']}"}
    assert world.ask("GET", path, headers=bearer).status == 200
    said = {"decision": "clear", "reason": "the machine says so"}
    assert world.ask("POST", f"{path}/decide", json=said, headers=bearer).status == 403
    with world.session() as session:
        kyc.welcome(session, seller.actor.id, datetime.now(UTC))
    person = f"/api/kyc/{seller.actor.id}/decide"
    given = {"decision": "expire", "reason": "the machine says so"}
    assert world.ask("POST", person, json=given, headers=bearer).status == 403
    assert world.post(person, operator, given).status == 200


def test_the_queue_is_filtered(world: World, operator: Person, seller: Person) -> None:
    stop, question = brought(world, seller, ahead=9), brought(world, seller, alike="N1")
    kinds = {"stop": stop, "review": question}
    for kind, made in kinds.items():
        found = world.get("/api/reviews", operator, kind=kind, state="open", limit="100").body["items"]
        ids = {item["invoice"]["id"] for item in found}
        assert str(made) in ids
        assert not {str(other) for other in kinds.values() if other != made} & ids
    assert world.get("/api/reviews", operator, code="Z9").status == 422
    assert world.get("/api/reviews", operator, cursor="nothing").status == 422
    assert world.get("/api/reviews", seller).status == 403


def test_a_seller_reads_how_an_invoice_is_judged_and_not_by_whose_papers(
    world: World, operator: Person, seller: Person
) -> None:
    made = brought(world, seller, alike="N1")
    own = world.get(f"/api/invoices/{made}/risk", seller)
    assert own.status == 200
    assert set(own.body) >= {"fraud", "credit", "quality", "version", "at"}
    (question,) = own.body["fraud"]["reviews"]
    assert "others" not in question
    assert "others" in world.get(f"/api/invoices/{made}/risk", operator).body["fraud"]["reviews"][0]
    assert world.get(f"/api/invoices/{made}/risk", world.person(Role.SELLER)).status == 404
    assert world.get(f"/api/invoices/{made}/risk", world.person(Role.INVESTOR)).status == 404


def test_a_submitted_invoice_is_judged_and_a_likeness_put_before_operators(
    world: World, operator: Person, seller: Person
) -> None:
    buyer = world.person(Role.BUYER)
    now = datetime.now(UTC)
    today, made = now.date(), []
    with world.session() as session:
        kyc.welcome(session, seller.actor.id, now)
        kyc.welcome(session, buyer.actor.id, now)
    for _ in range(2):
        body = {
            **INVOICE,
            "contact": {"name": "Buyer", "email": buyer.actor.email},
            "issue_date": today.isoformat(),
            "due_date": (today + timedelta(days=40)).isoformat(),
        }
        identity = world.post("/api/invoices", seller, body).body["id"]
        answer = world.post(f"/api/invoices/{identity}/submit", seller, {"buyer_email": buyer.actor.email})
        assert answer.status == 200, answer.body
        made.append(UUID(identity))
    first, second = (world.get(f"/api/invoices/{one}/risk", seller).body for one in made)
    assert (first["cause"], first["fraud"]["reviews"]) == ("submission", [])
    assert [reason["code"] for reason in second["fraud"]["reviews"]] == ["D2"]
    shown = world.get(f"/api/reviews/{review_of(world, operator, made[1])}", operator).body
    assert shown["findings"][0]["others"][0]["invoice"]["id"] == str(made[0])
    # A likeness alone keeps nobody from confirming.
    assert world.post(f"/api/invoices/{made[1]}/confirm", buyer, {}).status == 200


def test_the_page_shows_both_sides_and_keeps_what_was_typed(world: World, operator: Person, seller: Person) -> None:
    made = brought(world, seller, alike="N1")
    review = review_of(world, operator, made)
    browser = world.browser(operator)
    listed = browser.get("/reviews").get_data(as_text=True)
    assert f"/reviews/{review}" in listed
    for block in ("f_list", "f_more"):
        part = browser.get(f"/reviews?fragment={block}", headers={"HX-Request": "true"})
        assert (part.status_code, review in part.get_data(as_text=True)) == (200, True)
    page = browser.get(f"/reviews/{review}").get_data(as_text=True)
    for words in ("This invoice", "The other one", "Near duplicate", "Buyer credit", "Data quality", "Uphold"):
        assert words in page
    token = page.partition('name="csrf_token" value="')[2].partition('"')[0]

    def send(decision: str, reason: str) -> TestResponse:
        return browser.post(f"/reviews/{review}", data={"csrf_token": token, "decision": decision, "reason": reason})

    nothing, short = send("clear", ""), send("clear", "xy")
    done, late = send("uphold", "The same goods twice."), send("clear", "Changed my mind.")
    assert [answer.status_code for answer in (nothing, short, done, late)] == [422, 422, 303, 409]
    assert "Enter a reason." in nothing.get_data(as_text=True)
    assert ">xy</textarea>" in short.get_data(as_text=True)
    assert "The same goods twice." in browser.get(f"/reviews/{review}").get_data(as_text=True)


def test_the_page_is_for_operators(world: World, operator: Person, seller: Person) -> None:
    review = review_of(world, operator, brought(world, seller, ahead=9))
    browser = world.browser(seller)
    assert browser.get("/reviews").status_code == 403
    assert browser.get(f"/reviews/{review}").status_code == 403
    assert "/reviews" not in browser.get("/dashboard").get_data(as_text=True)
    assert world.browser(operator).get("/reviews/00000000-0000-7000-8000-000000000000").status_code == 404
