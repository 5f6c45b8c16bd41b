"""Invoices over HTTP."""

from __future__ import annotations

from tests.webapp.conftest import INVOICE, Person, World


def test_an_invoice_is_made_with_totals_and_a_number(world: World, seller: Person, buyer: Person) -> None:
    answer = world.client.post("/api/invoices", json=INVOICE, headers=seller.headers)
    assert answer.status_code == 201, answer.json
    made = answer.json
    assert made["number"] == "INV-2026-00001"
    # 2.5 × 10.01 is 25.025, half up 25.03; 18 % of it is 4.5054.
    assert (made["subtotal"], made["tax"], made["total"], made["amount_due"]) == (2503, 451, 2954, 2954)
    assert made["status"] == "open"
    assert made["buyer_id"] == str(buyer.actor.id)
    assert made["items"][0] == {
        "description": "Tea, 1 kg", "quantity": "2.5", "unit_price": 1001, "tax_rate": "18", "net": 2503, "tax": 451,
    }  # fmt: skip
    assert made["history"][0]["kind"] == "invoice.created"


def test_a_buyer_sees_it_and_a_stranger_does_not(
    world: World, seller: Person, buyer: Person, stranger: Person, operator: Person
) -> None:
    made = world.client.post("/api/invoices", json=INVOICE, headers=seller.headers).json
    for person, status in ((seller, 200), (buyer, 200), (operator, 200), (stranger, 404)):
        path = f"/api/invoices/{made['id']}"
        assert world.client.get(path, headers=person.headers).status_code == status
        listed = world.client.get("/api/invoices", headers=person.headers).json["items"]
        assert [each["id"] for each in listed] == ([made["id"]] if status == 200 else [])


def test_a_draft_is_the_sellers_alone(world: World, seller: Person, buyer: Person) -> None:
    made = world.client.post("/api/invoices", json=INVOICE | {"draft": True}, headers=seller.headers).json
    assert made["status"] == "draft"
    assert world.client.get(f"/api/invoices/{made['id']}", headers=buyer.headers).status_code == 404


def test_a_buyer_who_registers_later_finds_their_invoices(world: World, seller: Person) -> None:
    made = world.client.post("/api/invoices", json=INVOICE, headers=seller.headers).json
    assert made["buyer_id"] is None
    answer = world.client.post(
        "/api/auth/register",
        json={"email": "buyer@example.com", "password": "a long enough one", "name": "Bina", "role": "buyer"},
    )
    headers = {"Authorization": f"Bearer {answer.json['access_token']}"}
    assert [each["id"] for each in world.client.get("/api/invoices", headers=headers).json["items"]] == [made["id"]]


def test_only_what_nobody_paid_is_voided_and_the_number_stays_taken(
    world: World, seller: Person, buyer: Person
) -> None:
    made = world.client.post("/api/invoices", json=INVOICE, headers=seller.headers).json
    path = f"/api/invoices/{made['id']}"
    assert world.client.delete(path, headers=buyer.headers).status_code == 403
    assert world.client.delete(path, headers=seller.headers).json["status"] == "void"
    assert world.client.delete(path, headers=seller.headers).json["status"] == "void"
    again = world.client.post("/api/invoices", json=INVOICE, headers=seller.headers).json
    assert again["number"] == "INV-2026-00002"


def test_what_is_owed_never_changes_but_words_and_due_date_do(world: World, seller: Person) -> None:
    made = world.client.post("/api/invoices", json=INVOICE, headers=seller.headers).json
    path = f"/api/invoices/{made['id']}"
    changed = world.client.put(path, json={"due_date": "2026-12-24", "notes": "Thanks"}, headers=seller.headers).json
    assert (changed["due_date"], changed["notes"], changed["version"]) == ("2026-12-24", "Thanks", 2)
    refused = world.client.put(path, json={"total": 1}, headers=seller.headers)
    assert refused.status_code == 422
    early = world.client.put(path, json={"due_date": "2026-10-01"}, headers=seller.headers)
    assert early.status_code == 422
    assert early.json["errors"][0]["field"] == "due_date"


def test_lists_page_through_everything_once(world: World, seller: Person) -> None:
    numbers = []
    for _ in range(7):
        numbers.append(world.client.post("/api/invoices", json=INVOICE, headers=seller.headers).json["number"])
    found: list[str] = []
    cursor = None
    while True:
        query = {"limit": "3"} | ({"cursor": cursor} if cursor else {})
        page = world.client.get("/api/invoices", query_string=query, headers=seller.headers).json
        found += [each["number"] for each in page["items"]]
        cursor = page["next_cursor"]
        if cursor is None:
            break
    assert found == numbers[::-1]


def test_a_list_is_searched_and_filtered(world: World, seller: Person) -> None:
    world.client.post("/api/invoices", json=INVOICE, headers=seller.headers)

    def count(**query: str) -> int:
        answer = world.client.get("/api/invoices", query_string=query, headers=seller.headers)
        assert answer.status_code == 200, answer.json
        return len(answer.json["items"])

    assert count(search="bina") == 1
    assert count(search="00001") == 1
    assert count(search="%") == 0
    assert count(status="unpaid") == 1
    assert count(status="paid") == 0
    assert count(status="overdue") == 0
