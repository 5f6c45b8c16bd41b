"""A seller's business and series of numbers over HTTP."""

from __future__ import annotations

from typing import Any

from tests.webapp.conftest import INVOICE, Person, World

GSTIN = "27AAPFU0939F1ZV"


def test_a_business_is_set_up_and_told(world: World, seller: Person) -> None:
    blank = world.get("/api/business", seller).body
    assert (blank["version"], blank["tax_regime"], blank["payment_days"]) == (0, "plain", 30)
    saved = world.put("/api/business", seller, {"tax_regime": "gst", "gstin": GSTIN.lower(), "version": 0})
    assert (saved.status, saved.body["state_code"], saved.body["gstin"], saved.body["version"]) == (200, "27", GSTIN, 1)
    assert world.get("/api/business", seller).body == saved.body
    cleared = world.put("/api/business", seller, {"tax_regime": "plain", "gstin": "", "state_code": ""}).body
    assert (cleared["gstin"], cleared["state_code"]) == (None, None)


def test_a_change_over_another_is_refused_with_what_it_was(world: World, seller: Person) -> None:
    world.put("/api/business", seller, {"legal_name": "Loom Works"})
    stale = world.put("/api/business", seller, {"legal_name": "Mine", "version": 0})
    assert (stale.status, stale.body["code"]) == (409, "stale_version")
    assert stale.body["changes"][0]["after"] == "Loom Works"


def test_what_cannot_be_is_refused_by_its_field(world: World, seller: Person) -> None:
    cases: list[tuple[dict[str, Any], str]] = [
        ({"tax_regime": "gst"}, "gstin"),
        ({"gstin": "27AAPFU0939F1ZX"}, "gstin"),
        ({"gstin": "\U0001f600"}, "gstin"),
        ({"state_code": "40"}, "state_code"),
        ({"hsn_digits": 5}, "hsn_digits"),
        ({"payment_days": 366}, "payment_days"),
        ({"home_currency": "XYZ"}, "home_currency"),
        ({"round_total": "yes"}, "round_total"),
        ({"legal_name": "x" * 201}, "legal_name"),
        ({"colour": "red"}, "colour"),
    ]
    for body, field in cases:
        answer = world.put("/api/business", seller, body)
        assert (answer.status, answer.body["errors"][0]["field"].split(".")[0]) == (422, field), body


def test_a_series_is_begun_made_the_default_and_numbers_invoices(world: World, seller: Person) -> None:
    body = {"prefix": "FY", "year_kind": "financial"}
    made, again = (world.post("/api/business/series", seller, body, Idempotency_Key="s") for _ in range(2))
    assert (made.status, made.body["example"], made.body["is_default"]) == (201, "FY/26-27/0001", False)
    assert again.body == made.body
    assert world.post("/api/business/series", seller, body).status == 409
    assert world.put("/api/business/series", seller, {"prefix": "FY"}).body["is_default"] is True
    assert world.put("/api/business/series", seller, {"prefix": "NONE"}).status == 422
    known = world.get("/api/business/series", seller).body["items"]
    assert {one["prefix"]: one["is_default"] for one in known} == {"CN": True, "FY": True, "INV": False}
    assert world.post("/api/invoices", seller, INVOICE).body["number"] == "FY/26-27/0001"
    assert world.post("/api/invoices", seller, INVOICE | {"series": "INV"}).body["number"] == "INV-2026-00001"
    assert world.post("/api/invoices", seller, INVOICE | {"series": "CN"}).status == 422


def test_only_sellers_have_one(world: World, buyer: Person, operator: Person) -> None:
    for person in (buyer, operator):
        assert world.get("/api/business", person).status == 403
        assert world.put("/api/business", person, {"legal_name": "x"}).status == 403
