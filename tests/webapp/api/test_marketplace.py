"""The marketplace over HTTP: who may look, what they see, and that every answer is as described."""

from __future__ import annotations

from typing import Any

import jsonschema_rs
import pytest

from core.identity import Role
from tests.webapp.api.market import fund, offer, rich
from tests.webapp.conftest import Person, Standing, World


@pytest.fixture
def world(standing_file: Standing) -> World:
    return standing_file.world


@pytest.fixture(scope="module")
def document(standing_file: Standing) -> dict[str, Any]:
    return standing_file.world.get("/api/openapi.json").body  # type: ignore[no-any-return]


@pytest.fixture
def seller(world: World) -> Person:
    return rich(world, Role.SELLER, "Asha Seller")


@pytest.fixture
def buyer(world: World) -> Person:
    return rich(world, Role.BUYER, "Bina Buyer")


@pytest.fixture
def investor(world: World) -> Person:
    return rich(world, Role.INVESTOR, "Meera Investor")


def described(document: dict[str, Any], name: str, body: Any) -> None:
    jsonschema_rs.validate({"$ref": f"#/components/schemas/{name}", "components": document["components"]}, body)


def test_everybody_but_buyers_and_strangers_sees_what_is_on_offer(
    world: World, document: dict[str, Any], seller: Person, buyer: Person, investor: Person
) -> None:
    listing = offer(world, seller, buyer)
    path = f"/api/marketplace/listings/{listing.invoice_id}"
    for person, status in (
        (investor, 200),
        (seller, 200),
        (rich(world, Role.SELLER), 200),
        (rich(world, Role.OPERATOR), 200),
        (buyer, 403),
        (None, 401),
    ):
        assert world.get("/api/marketplace/listings", person).status == status
        assert world.get(path, person).status == status
    page = world.get("/api/marketplace/listings", investor, search=listing.number).body
    described(document, "Listings", page)
    described(document, "ListingDetail", world.get(path, investor).body)
    assert str(listing.invoice_id) in {item["id"] for item in page["items"]}


def test_an_investor_opens_an_offer_as_an_invoice_and_not_what_is_not_on_offer(
    world: World, document: dict[str, Any], seller: Person, buyer: Person, investor: Person
) -> None:
    listing = offer(world, seller, buyer)
    path = f"/api/invoices/{listing.invoice_id}"
    shown = world.get(path, investor).body
    described(document, "Invoice", shown)
    assert (shown["status"], shown["payment_status"], shown["contact"]["email"]) == ("listed", "open", None)
    assert world.get(f"{path}/payments", investor).body == {"items": []}
    fund(world, rich(world), listing, 90_000_00)
    assert world.get(path, investor).status == 404
    assert world.get(f"{path}/activity", investor).status == 404
    assert world.get(f"/api/marketplace/listings/{listing.invoice_id}", investor).status == 404


def test_a_full_offer_leaves_the_list_and_stays_with_those_it_concerns(
    world: World, seller: Person, buyer: Person, investor: Person
) -> None:
    listing = offer(world, seller, buyer)
    fund(world, investor, listing, 90_000_00)
    page = world.get("/api/marketplace/listings", investor, limit="100").body
    assert str(listing.invoice_id) not in {item["id"] for item in page["items"]}
    path = f"/api/marketplace/listings/{listing.invoice_id}"
    assert world.get(path, seller).body["status"] == "funded"
    mine = world.get(path, investor).body
    assert (mine["slices"][0]["mine"], mine["slices"][0]["amount"]) == (True, 90_000_00)
    assert world.get("/api/invoices", seller, status="funded").body["items"][0]["id"] == str(listing.invoice_id)
    assert world.get("/api/invoices", investor).body["items"][0]["financing"]["placed"] == 90_000_00


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ({"sort": "name"}, "sort"),
        ({"min_amount": "-1"}, "min_amount"),
        ({"min_amount": "99999999999999999999"}, "min_amount"),
        ({"max_rate": "NaN"}, "max_rate"),
        ({"min_yield": "1e400"}, "min_yield"),
        ({"max_days": "many"}, "max_days"),
        ({"mode": "lottery"}, "mode"),
        ({"band": "purple"}, "band"),
        ({"limit": "101"}, "limit"),
        ({"cursor": "WyJ5aWVsZCIsIk5hTiIsIngiXQ"}, "cursor"),
        ({"colour": "red"}, "colour"),
    ],
)
def test_what_cannot_be_asked_is_named(world: World, investor: Person, query: dict[str, str], field: str) -> None:
    answer = world.get("/api/marketplace/listings", investor, **query)
    assert (answer.status, answer.body["errors"][0]["field"]) == (422, field), answer.body


def test_filters_and_order_come_through(world: World, seller: Person, buyer: Person, investor: Person) -> None:
    low = offer(world, seller, buyer, rate="9")
    high = offer(world, seller, buyer, rate="15")
    found = world.get("/api/marketplace/listings", investor, sort="yield", search=seller.actor.name, limit="100").body
    mine = [item["id"] for item in found["items"] if item["seller"]["id"] == str(seller.actor.id)]
    assert mine == [str(high.invoice_id), str(low.invoice_id)]
    some = world.get("/api/marketplace/listings", investor, min_rate="14.5", max_rate="15.5", limit="100").body
    assert str(high.invoice_id) in {item["id"] for item in some["items"]}
    assert str(low.invoice_id) not in {item["id"] for item in some["items"]}


def test_numbers_given_as_nan_inside_a_cursor_are_refused(world: World, investor: Person) -> None:
    import base64
    import json

    for value in ("NaN", "Infinity", "1e999999", "-0"):
        made = json.dumps(["yield", value, "01890000-0000-7000-8000-000000000000"]).encode()
        cursor = base64.urlsafe_b64encode(made).decode().rstrip("=")
        answer = world.get("/api/marketplace/listings", investor, sort="yield", cursor=cursor)
        assert answer.status in {200, 422}, (value, answer.body)
