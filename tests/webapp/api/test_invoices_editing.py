"""Drafts, edits, previews and lists of invoices over HTTP."""

from __future__ import annotations

from typing import Any

from tests.webapp.conftest import INVOICE, Person, World

DRAFT = INVOICE | {"draft": True}
GSTIN, ELSEWHERE = "27AAPFU0939F1ZV", "29AAFCC9980M1ZR"


def make(world: World, seller: Person, body: dict[str, Any] = INVOICE) -> dict[str, Any]:
    answer = world.post("/api/invoices", seller, body)
    assert answer.status == 201, answer.body
    made: dict[str, Any] = answer.body
    return made


def test_a_draft_lives_without_a_number_until_it_is_issued(world: World, seller: Person) -> None:
    draft = make(world, seller, DRAFT)
    path = f"/api/invoices/{draft['id']}"
    assert (draft["number"], draft["stage"], draft["editable"]) == (None, "draft", "all")
    issued = world.post(f"{path}/issue", seller, {"version": 1}, Idempotency_Key="issue")
    assert (issued.status, issued.body["number"], issued.body["stage"]) == (200, "INV-2026-00001", "open")
    again = world.post(f"{path}/issue", seller, {"version": 1}, Idempotency_Key="issue")
    assert (again.body, again.headers["Idempotency-Replayed"]) == (issued.body, "true")
    # Without the key a repeat is harmless too.
    assert world.post(f"{path}/issue", seller).body["version"] == issued.body["version"]


def test_delete_takes_a_draft_away_and_voids_what_was_issued(world: World, seller: Person) -> None:
    draft, made = make(world, seller, DRAFT), make(world, seller)
    assert world.delete(f"/api/invoices/{draft['id']}", seller).status == 200
    assert world.get(f"/api/invoices/{draft['id']}", seller).status == 404
    assert world.delete(f"/api/invoices/{draft['id']}", seller).status == 404
    assert world.delete(f"/api/invoices/{made['id']}", seller).body["stage"] == "void"
    assert world.get(f"/api/invoices/{made['id']}", seller).body["number"] == "INV-2026-00001"
    other = make(world, seller)
    assert world.post(f"/api/invoices/{other['id']}/void", seller, {}).body["status"] == "void"


def test_an_edit_over_another_is_refused_with_what_the_other_changed(world: World, seller: Person) -> None:
    made = make(world, seller)
    path = f"/api/invoices/{made['id']}"
    first = world.put(path, seller, {"notes": "first", "version": 1})
    assert (first.status, first.body["version"]) == (200, 2)
    second = world.put(path, seller, {"notes": "second", "version": 1})
    assert (second.status, second.body["code"], second.body["version"]) == (409, "stale_version", 2)
    (change,) = second.body["changes"]
    assert {name: change[name] for name in ("field", "before", "after", "actor")} == {
        "field": "notes",
        "before": "",
        "after": "first",
        "actor": seller.actor.name,
    }
    assert world.get(path, seller).body["notes"] == "first"


def test_if_match_is_the_version_too(world: World, seller: Person) -> None:
    made = make(world, seller)
    path = f"/api/invoices/{made['id']}"
    tag = world.get(path, seller).headers["ETag"]
    assert tag == '"1"'
    for header, status in (
        (tag, 200),
        (tag, 409),
        ('W/"2"', 200),
        ("*", 200),
        ("3x", 422),
        ('"' + "9" * 40 + '"', 422),
    ):
        answer = world.ask("PUT", path, seller, json={"notes": header}, headers={"If-Match": header})
        assert answer.status == status, (header, answer.body)
    assert world.ask("DELETE", path, seller, headers={"If-Match": '"1"'}).status == 409
    assert world.ask("DELETE", path, seller, headers={"If-Match": '"4"'}).status == 200


def test_all_of_an_open_invoice_is_edited_and_its_number_stays(world: World, seller: Person) -> None:
    made = make(world, seller)
    line = {
        "description": "Rice",
        "quantity": 2,
        "unit_price": 1000,
        "unit": "kg",
        "discount_rate": "12.5",
        "hsn": "1006",
    }
    changed = world.put(
        f"/api/invoices/{made['id']}",
        seller,
        {
            "items": [line],
            "contact": {"name": "Bina & Sons", "address": "2 High Street"},
            "reference": "PO 7",
            "currency": "USD",
        },
    ).body
    assert (changed["number"], changed["currency"]) == (made["number"], "USD")
    assert (changed["discount"], changed["subtotal"], changed["tax"], changed["total"]) == (250, 1750, 0, 1750)
    assert (changed["customer"]["name"], changed["customer"]["address"]) == ("Bina & Sons", "2 High Street")
    assert changed["items"][0]["discount_rate"] == "12.5"
    activity = world.get(f"/api/invoices/{made['id']}/activity", seller).body["items"][0]
    assert (activity["kind"], activity["actor"]) == ("invoice.updated", seller.actor.name)
    assert {"field": "total", "before": made["total"], "after": 1750} in activity["changes"]


def test_a_duplicate_is_made_once_a_key(world: World, seller: Person) -> None:
    made = make(world, seller)
    path = f"/api/invoices/{made['id']}/duplicate"
    first, again = (world.post(path, seller, Idempotency_Key="d") for _ in range(2))
    assert (first.status, first.body["stage"], first.body["total"]) == (201, "draft", made["total"])
    assert again.body == first.body


def test_a_preview_says_what_it_would_come_to_and_writes_nothing(world: World, seller: Person) -> None:
    world.put("/api/business", seller, {"tax_regime": "gst", "gstin": GSTIN, "round_total": True})
    body = {
        "currency": "INR",
        "contact": {"gstin": ELSEWHERE},
        "items": [{"description": "Cloth", "quantity": "1", "unit_price": 1_00_000_49, "tax_rate": 18, "hsn": "5208"}],
    }
    found = world.post("/api/invoices/preview", seller, body).body
    assert (found["igst"], found["cgst"], found["tax"]) == (18_000_09, 0, 18_000_09)
    assert (found["rounding"], found["total"]) == (42, 1_18_001_00)
    assert found["by_hsn"][0]["hsn"] == "5208"
    here = world.post("/api/invoices/preview", seller, body | {"place_of_supply": "27"}).body
    assert (here["igst"], here["cgst"], here["sgst"]) == (0, 9_000_04, 9_000_04)
    bad = world.post("/api/invoices/preview", seller, body | {"place_of_supply": "40"})
    assert (bad.status, bad.body["errors"][0]["field"]) == (422, "place_of_supply")
    assert world.get("/api/invoices", seller).body["items"] == []
    # What was previewed is what is made.
    made = make(world, seller, INVOICE | {**body, "contact": INVOICE["contact"] | {"gstin": ELSEWHERE}})
    assert {name: made[name] for name in ("igst", "tax", "rounding", "total")} == {
        name: found[name] for name in ("igst", "tax", "rounding", "total")
    }


def test_an_invoice_is_to_a_contact_or_to_a_name_and_an_address(world: World, seller: Person, stranger: Person) -> None:
    made = make(world, seller)
    plain = {name: value for name, value in INVOICE.items() if name != "contact"}
    again = make(world, seller, plain | {"contact_id": made["contact"]["id"]})
    assert again["contact"] == made["contact"]
    for body in (plain, INVOICE | {"contact_id": made["contact"]["id"]}):
        assert world.post("/api/invoices", seller, body).body["errors"][0]["field"] == "contact"
    theirs = world.post("/api/invoices", stranger, plain | {"contact_id": made["contact"]["id"]})
    assert (theirs.status, theirs.body["errors"][0]["field"]) == (422, "contact_id")


def test_a_number_may_come_along(world: World, seller: Person) -> None:
    assert make(world, seller, INVOICE | {"number": "OLD/7"})["number"] == "OLD/7"
    twice = world.post("/api/invoices", seller, INVOICE | {"number": "old-7"})
    assert (twice.status, twice.body["errors"][0]["field"]) == (422, "number")


def test_lists_are_filtered_and_sorted(world: World, seller: Person) -> None:
    first = make(world, seller, INVOICE | {"due_date": "2099-12-01"})
    second = make(world, seller, INVOICE | {"due_date": "2099-11-01", "currency": "USD"})
    make(world, seller, DRAFT)

    def ids(**query: str) -> list[str]:
        answer = world.get("/api/invoices", seller, **query)
        assert answer.status == 200, answer.body
        return [one["id"] for one in answer.body["items"]]

    assert ids(stage="open", sort="due") == [second["id"], first["id"]]
    assert ids(stage="open", sort="-due") == [first["id"], second["id"]]
    assert ids(currency="USD") == [second["id"]]
    assert ids(
        contact_id=first["contact"]["id"], amount_min="2954", amount_max="2954", stage="open", sort="oldest"
    ) == [
        first["id"],
        second["id"],
    ]
    assert ids(issued_from="2026-11-01", issued_to="2026-11-01", due_to="2099-11-30", stage="open") == [second["id"]]
    page = world.get("/api/invoices", seller, sort="customer", limit="1").body
    assert world.get("/api/invoices", seller, sort="customer", limit="1", cursor=page["next_cursor"]).status == 200
    assert world.get("/api/invoices", seller, sort="due", limit="1", cursor=page["next_cursor"]).status == 422
    for query in (
        {"sort": "colour"},
        {"stage": "late"},
        {"amount_min": "-1"},
        {"due_from": "soon"},
        {"contact_id": "x"},
    ):
        assert world.get("/api/invoices", seller, **query).status == 422


def test_what_is_sent_is_taken_or_refused_and_never_breaks(world: World, seller: Person) -> None:
    made = make(world, seller)
    cases: list[tuple[dict[str, Any], int]] = [
        ({"version": -1}, 422),
        ({"version": "1"}, 422),
        ({"version": 2**31}, 422),
        ({"version": True}, 422),
        ({"items": None}, 200),
        ({"items": []}, 422),
        ({"items": [INVOICE["items"][0]] * 201}, 422),
        ({"reverse_charge": "yes"}, 422),
        ({"place_of_supply": "7"}, 422),
        ({"contact": {"email": "x"}}, 422),
        ({"contact": {"gstin": "x" * 20}}, 422),
        ({"series": "toolong"}, 422),
        ({"contact_id": "nobody"}, 422),
        ({"number": "X"}, 422),
        ({}, 200),
    ]
    for body, status in cases:
        answer = world.put(f"/api/invoices/{made['id']}", seller, body)
        assert answer.status == status, (body, answer.body)


def test_an_operator_reads_all_of_it_and_changes_nothing(world: World, seller: Person, operator: Person) -> None:
    made = make(
        world, seller, INVOICE | {"reference": "PO 7", "contact": INVOICE["contact"] | {"address": "2 High St"}}
    )
    read = world.get(f"/api/invoices/{made['id']}", operator).body
    assert (read["customer"]["address"], read["editable"]) == ("2 High St", "none")
    assert world.put(f"/api/invoices/{made['id']}", operator, {"notes": "mine"}).status == 403
