"""What people read of themselves over HTTP: portfolio, dashboard, statistics, preferences and caps."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import jsonschema_rs
import pytest

from core.identity import Role
from tests.webapp.api.market import fund, offer, rich
from tests.webapp.conftest import Person, Standing, World

WELCOME = 1_00_000_000
ROLES = (Role.SELLER, Role.BUYER, Role.INVESTOR, Role.OPERATOR)


@pytest.fixture
def world(standing_file: Standing) -> World:
    return standing_file.world


@pytest.fixture(scope="module")
def document(standing_file: Standing) -> dict[str, Any]:
    return standing_file.world.get("/api/openapi.json").body  # type: ignore[no-any-return]


@pytest.fixture
def investor(world: World) -> Person:
    return rich(world)


def described(document: dict[str, Any], name: str, body: Any) -> None:
    jsonschema_rs.validate({"$ref": f"#/components/schemas/{name}", "components": document["components"]}, body)


def test_a_portfolio_shows_what_was_put_in_and_what_is_to_come(
    world: World, document: dict[str, Any], investor: Person
) -> None:
    seller, buyer = rich(world, Role.SELLER), rich(world, Role.BUYER)
    before = datetime.now(UTC)
    listing = offer(world, seller, buyer)
    fund(world, investor, listing, 90_000_00)
    found = world.get("/api/users/portfolio", investor, by="week").body
    described(document, "Portfolio", found)
    assert (found["totals"]["invested"], found["totals"]["expected"], found["totals"]["expected_profit"]) == (
        90_000_00,
        1_00_000_00,
        10_000_00,
    )
    assert found["wallet"]["balance"] == WELCOME - 90_000_00
    assert [(one["name"], one["amount"], one["share"]) for one in found["exposure"]["debtors"]] == [
        (buyer.actor.name, 1_00_000_00, "100")
    ]
    assert [one["expected"] for one in found["cash_flow"]] == [1_00_000_00]
    [held] = found["investments"]
    assert (held["invoice_id"], held["status"], held["seller"]) == (
        str(listing.invoice_id),
        "settled",
        seller.actor.name,
    )
    earlier = world.get("/api/users/portfolio", investor, at=(before - timedelta(seconds=1)).isoformat()).body
    assert (earlier["investments"], earlier["totals"]["invested"]) == ([], 0)
    assert world.get("/api/users/portfolio", investor, status="repaid").body["investments"] == []
    assert world.get("/api/users/portfolio", investor, status="sold").status == 422


@pytest.mark.parametrize("role", ROLES)
def test_everybody_has_a_portfolio_statistics_and_a_dashboard(
    world: World, document: dict[str, Any], role: Role
) -> None:
    person = rich(world, role)
    described(document, "Portfolio", world.get("/api/users/portfolio", person).body)
    figures = world.get("/api/users/statistics", person).body
    described(document, "Statistics", figures)
    assert figures["role"] == role.value
    dashboard = world.get("/api/users/dashboard", person).body
    described(document, "Dashboard", dashboard)
    assert dashboard["wallet"]["balance"] == WELCOME
    names = {
        Role.SELLER: {"to_confirm", "to_list", "listed", "funded", "due"},
        Role.BUYER: {"to_confirm", "to_pay", "overdue"},
        Role.INVESTOR: {"invested", "expected", "overdue"},
        Role.OPERATOR: {"to_confirm", "listed", "funded", "overdue"},
    }
    assert set(dashboard["figures"]) == names[role]


def test_the_dashboard_counts_what_waits_for_each_side(world: World, investor: Person) -> None:
    seller, buyer = rich(world, Role.SELLER), rich(world, Role.BUYER)
    fund(world, investor, offer(world, seller, buyer), 90_000_00)
    offer(world, seller, buyer)

    def figure(person: Person, name: str) -> Any:
        return world.get("/api/users/dashboard", person).body["figures"][name]

    assert figure(seller, "listed") == figure(seller, "funded") == {"count": 1, "amount": 90_000_00}
    assert figure(buyer, "to_pay") == {"count": 2, "amount": 2_00_000_00}
    assert figure(investor, "expected") == {"count": 1, "amount": 1_00_000_00}
    assert world.get("/api/users/dashboard", investor).body["currency_totals"] == []


def test_preferences_are_merged_and_null_takes_one_away(
    world: World, document: dict[str, Any], investor: Person
) -> None:
    first = world.put("/api/users/preferences", investor, {"preferences": {"theme": "dark", "rows": 50}})
    assert first.status == 200, first.body
    described(document, "Preferences", first.body)
    # As members of the body they mean the same.
    second = world.put("/api/users/preferences", investor, {"locale": "en-IN", "rows": None})
    assert second.body["preferences"] == {"theme": "dark", "locale": "en-IN"}
    assert world.get("/api/auth/profile", investor).body["preferences"] == second.body["preferences"]


@pytest.mark.parametrize(
    "body",
    [
        {"preferences": {"": "x"}},
        {"preferences": {"n" * 65: "x"}},
        {"preferences": {"x": "v" * 1001}},
        {"preferences": {"x": 2**60}},
        {"preferences": {"x": {"deep": 1}}},
        {"x": ["list"]},
        {"n" * 65: "x"},
        {"preferences": {f"n{place}": 1 for place in range(51)}},
        {"investor_limits": {"per_buyer": 101}},
        {"investor_limits": {"per_buyer": 0}},
        {"investor_limits": {"max_days": 1.5}},
        {"investor_limits": {"per_seller": 5}},
    ],
)
def test_what_is_no_preference_is_named(world: World, investor: Person, body: dict[str, Any]) -> None:
    answer = world.put("/api/users/preferences", investor, body)
    assert (answer.status, answer.body["code"]) == (422, "invalid"), answer.body


def test_there_is_an_end_to_preferences(world: World, investor: Person) -> None:
    for begin in (0, 50):
        many = {f"n{place}": 1 for place in range(begin, begin + 50)}
        assert world.put("/api/users/preferences", investor, {"preferences": many}).status == 200
    assert world.put("/api/users/preferences", investor, {"one": "more"}).status == 422
    assert world.put("/api/users/preferences", investor, {"n1": None, "one": "more"}).status == 200


def test_caps_are_an_investors_and_change_one_by_one(world: World, investor: Person) -> None:
    first = world.put("/api/users/preferences", investor, {"investor_limits": {"per_buyer": "12.5", "max_days": 60}})
    assert first.body["investor_limits"] == {"per_buyer": "12.5", "per_invoice": None, "max_days": 60}
    second = world.put("/api/users/preferences", investor, {"investor_limits": {"per_invoice": 5, "max_days": None}})
    assert second.body["investor_limits"] == {"per_buyer": "12.5", "per_invoice": "5", "max_days": None}
    seller = world.person(Role.SELLER)
    assert world.put("/api/users/preferences", seller, {"investor_limits": {"per_buyer": 5}}).status == 403
    assert world.put("/api/users/preferences", seller, {"a": 1}).body == {
        "preferences": {"a": 1},
        "investor_limits": None,
    }
