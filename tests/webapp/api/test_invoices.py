"""Invoices over HTTP."""

from __future__ import annotations

from tests.webapp.conftest import INVOICE, Person, World


def test_an_invoice_is_made_with_totals_and_a_number(world: World, seller: Person, buyer: Person) -> None:
    answer = world.post("/api/invoices", seller, INVOICE)
    assert answer.status == 201, answer.body
    made = answer.body
    assert made["number"] == "INV-2026-00001"
    # 2.5 times 10.01 is 25.025, half up 25.03; 18 % of it is 4.5054.
    assert (made["subtotal"], made["tax"], made["total"], made["amount_due"]) == (2503, 451, 2954, 2954)
    assert made["status"] == "open"
    assert made["buyer_id"] == str(buyer.actor.id)
    assert made["items"] == [
        {
            "description": "Tea, 1 kg",
            "unit": "",
            "hsn": "",
            "quantity": "2.5",
            "unit_price": 1001,
            "discount_rate": "0",
            "tax_rate": "18",
            "gross": 2503,
            "discount": 0,
            "net": 2503,
            "tax": 451,
            **dict.fromkeys(("cgst", "sgst", "igst"), 0),
        }
    ]
    assert made["history"][0]["kind"] == "invoice.created"


def test_a_buyer_sees_it_and_a_stranger_does_not(
    world: World, seller: Person, buyer: Person, stranger: Person, operator: Person
) -> None:
    made = world.post("/api/invoices", seller, INVOICE).body
    for person, status in ((seller, 200), (buyer, 200), (operator, 200), (stranger, 404)):
        assert world.get(f"/api/invoices/{made['id']}", person).status == status
        listed = world.get("/api/invoices", person).body["items"]
        assert [each["id"] for each in listed] == ([made["id"]] if status == 200 else [])


def test_a_draft_is_the_sellers_alone(world: World, seller: Person, buyer: Person) -> None:
    made = world.post("/api/invoices", seller, INVOICE | {"draft": True}).body
    assert made["status"] == "draft"
    assert world.get(f"/api/invoices/{made['id']}", buyer).status == 404


def test_a_buyer_who_registers_later_finds_their_invoices(world: World, seller: Person) -> None:
    made = world.post("/api/invoices", seller, INVOICE).body
    assert made["buyer_id"] is None
    joined = {"email": "buyer@example.com", "password": "a long enough one", "name": "Bina", "role": "buyer"}
    token = world.post("/api/auth/register", None, joined).body["access_token"]
    found = world.ask("GET", "/api/invoices", headers={"Authorization": f"Bearer {token}"}).body
    assert [each["id"] for each in found["items"]] == [made["id"]]


def test_only_what_nobody_paid_is_voided_and_the_number_stays_taken(
    world: World, seller: Person, buyer: Person
) -> None:
    made = world.post("/api/invoices", seller, INVOICE).body
    path = f"/api/invoices/{made['id']}"
    assert world.delete(path, buyer).status == 403
    assert world.delete(path, seller).body["status"] == "void"
    assert world.delete(path, seller).body["status"] == "void"
    assert world.post("/api/invoices", seller, INVOICE).body["number"] == "INV-2026-00002"


def test_what_is_owed_never_changes_but_words_and_due_date_do(world: World, seller: Person) -> None:
    path = f"/api/invoices/{world.post('/api/invoices', seller, INVOICE).body['id']}"
    changed = world.put(path, seller, {"due_date": "2026-12-24", "notes": "Thanks"}).body
    assert (changed["due_date"], changed["notes"], changed["version"]) == ("2026-12-24", "Thanks", 2)
    assert world.put(path, seller, {"total": 1}).status == 422
    early = world.put(path, seller, {"due_date": "2026-10-01"})
    assert early.status == 422
    assert early.body["errors"][0]["field"] == "due_date"


def test_lists_page_through_everything_once(world: World, seller: Person) -> None:
    numbers = [world.post("/api/invoices", seller, INVOICE).body["number"] for _ in range(7)]
    found: list[str] = []
    cursor: dict[str, str] = {}
    while True:
        page = world.get("/api/invoices", seller, limit="3", **cursor).body
        found += [each["number"] for each in page["items"]]
        if page["next_cursor"] is None:
            break
        cursor = {"cursor": page["next_cursor"]}
    assert found == numbers[::-1]


def test_a_list_is_searched_and_filtered(world: World, seller: Person) -> None:
    world.post("/api/invoices", seller, INVOICE)

    def count(**query: str) -> int:
        answer = world.get("/api/invoices", seller, **query)
        assert answer.status == 200, answer.body
        return len(answer.body["items"])

    assert count(search="bina") == 1
    assert count(search="00001") == 1
    assert count(search="%") == 0
    assert count(status="unpaid") == 1
    assert count(status="paid") == 0
    assert count(status="overdue") == 0
