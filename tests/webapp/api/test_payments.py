"""Payments and payouts over HTTP: written down, changed, given back, applied, found; once for each key."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import text

from core.identity import Role
from core.ids import new_id
from core.money import MAX_MINOR
from tests.webapp.conftest import Person, Standing, World

MONEY = {"currency": "INR", "method": "bank_transfer", "date": "2026-11-02"}


@pytest.fixture
def world(standing_file: Standing) -> World:
    return standing_file.world


@pytest.fixture
def seller(world: World) -> Person:
    return world.person(Role.SELLER)


def bill(world: World, seller: Person, total: int = 10_000, email: str = "rao@x.test") -> dict[str, Any]:
    body = {
        "contact": {"name": "Rao", "email": email},
        "currency": "INR",
        "issue_date": "2026-11-01",
        "due_date": "2026-12-01",
        "items": [{"description": "Cloth", "quantity": 1, "unit_price": total}],
    }
    made: dict[str, Any] = world.post("/api/invoices", seller, body).body
    return made


def record(world: World, seller: Person, amount: int, *targets: tuple[str, int], **more: Any) -> Any:
    body = {
        **MONEY,
        "amount": amount,
        "targets": [{"invoice_id": invoice, "amount": part} for invoice, part in targets],
        **more,
    }
    return world.post("/api/payments", seller, body)


def test_a_payment_is_written_down_changed_given_back_and_taken_back(world: World, seller: Person) -> None:
    first, second = bill(world, seller), bill(world, seller, 8_000)
    made = record(world, seller, 15_000, (first["id"], 10_000), (second["id"], 4_000), reference="UTR 9")
    assert (made.status, made.body["unapplied"], made.body["trust"]) == (201, 1_000, "manual")
    assert [(one["invoice"]["number"], one["allocated"]) for one in made.body["targets"]] == [
        (first["number"], 10_000),
        (second["number"], 4_000),
    ]
    path = f"/api/payments/{made.body['id']}"
    assert world.get(path, seller).body == made.body
    changed = world.put(path, seller, {"amount": 14_500, "notes": "short", "expected_version": 1})
    assert (changed.status, changed.body["unapplied"], changed.body["version"]) == (200, 500, 2)
    stale = world.put(path, seller, {"notes": "mine", "expected_version": 1})
    assert (stale.status, stale.body["code"]) == (409, "stale_version")
    more = world.post(f"{path}/allocate", seller, {"targets": [{"invoice_id": second["id"], "amount": 500}]})
    assert (more.status, more.body["unapplied"], more.body["targets"][1]["amount"]) == (200, 0, 4_500)
    back = world.post(f"{path}/refund", seller, {"amount": 1_500, "method": "upi", "date": "2026-11-03"})
    assert (back.status, back.body["net"], back.body["targets"][1]["allocated"]) == (201, 13_000, 3_000)
    undone = world.delete(f"{path}/refunds/{back.body['refunds'][0]['id']}", seller)
    assert (undone.status, undone.body["net"]) == (200, 14_500)
    gone = world.ask("DELETE", path, seller, query_string={"reason": "bounced"})
    assert (gone.status, gone.body["status"], gone.body["failure"]) == (200, "cancelled", "bounced")
    assert world.get(f"/api/invoices/{first['id']}", seller).body["amount_paid"] == 0


def test_a_key_makes_one_payment_of_many_requests(world: World, seller: Person) -> None:
    body = {**MONEY, "amount": 100, "targets": [{"invoice_id": bill(world, seller)["id"], "amount": 100}]}
    answers = [world.post("/api/payments", seller, body, Idempotency_Key="k1") for _ in range(3)]
    assert {answer.body["id"] for answer in answers} == {answers[0].body["id"]}
    assert len(world.get("/api/payments", seller).body["items"]) == 1
    path = f"/api/payments/{answers[0].body['id']}/refund"
    money = {"amount": 60, "method": "cash", "date": "2026-11-03"}
    assert [world.post(path, seller, money, Idempotency_Key="k2").status for _ in range(2)] == [201, 201]
    assert world.get(f"/api/payments/{answers[0].body['id']}", seller).body["refunded"] == 60


def test_a_customers_credit_is_applied(world: World, seller: Person) -> None:
    invoice = bill(world, seller)
    made = record(world, seller, 3_000, contact_id=invoice["contact"]["id"]).body
    body = {"contact_id": invoice["contact"]["id"], "targets": [{"invoice_id": invoice["id"], "amount": 2_000}]}
    used = world.post("/api/payments/apply-credit", seller, body)
    assert (used.status, used.body) == (200, {"payment_ids": [made["id"]]})
    assert world.get(f"/api/invoices/{invoice['id']}", seller).body["amount_paid"] == 2_000
    assert world.post("/api/payments/apply-credit", seller, body).status == 422


def test_a_buyer_sees_what_pays_their_invoice_and_nothing_of_the_others(world: World, seller: Person) -> None:
    email = f"{new_id()}@x.test"
    buyer = world.person(Role.BUYER, email)
    mine = bill(world, seller, email=email)
    made = record(world, seller, 5_000, (mine["id"], 5_000), notes="not for them", reference="UTR 1").body
    seen = world.get(f"/api/payments/{made['id']}", buyer).body
    assert (seen["invoice"]["number"], seen["bank_reference"]) == (mine["number"], "UTR 1")
    assert (seen["notes"], seen["contact"], seen["history"], seen["refunds"], seen["payer_email"]) == (
        "",
        None,
        [],
        [],
        None,
    )
    assert [row["id"] for row in world.get("/api/payments", buyer).body["items"]] == [made["id"]]
    assert world.get("/api/payments", buyer, search="not for").body["items"] == []
    assert [world.get("/api/payments", buyer, search="UTR").body["items"][0]["id"]] == [made["id"]]
    for method, path, body in [
        ("PUT", "", {"notes": "x"}),
        ("DELETE", "", None),
        ("POST", "/refund", {"amount": 1, "method": "cash", "date": "2026-11-03"}),
        ("POST", "/allocate", {"targets": [{"invoice_id": mine["id"], "amount": 1}]}),
    ]:
        assert world.ask(method, f"/api/payments/{made['id']}{path}", buyer, json=body).status == 403


def test_payments_are_found_and_ordered(world: World, seller: Person) -> None:
    invoice = bill(world, seller)
    made = [
        record(world, seller, amount, (invoice["id"], 1), method=method, date=day).body["id"]
        for amount, method, day in [(30, "cash", "2026-11-01"), (20, "upi", "2026-11-02"), (10, "cash", "2026-11-03")]
    ]

    def ids(**query: str) -> list[int]:
        answer = world.get("/api/payments", seller, **query)
        assert answer.status == 200, answer.body
        return [made.index(row["id"]) for row in answer.body["items"]]

    assert ids() == [2, 1, 0]
    assert ids(sort="amount") == [2, 1, 0]
    assert ids(sort="-amount") == ids(sort="date") == [0, 1, 2]
    assert ids(method="cash") == [2, 0]
    assert ids(**{"from": "2026-11-02"}) == [2, 1]
    assert ids(to="2026-11-02") == [1, 0]
    assert ids(amount_min="20", amount_max="30") == [1, 0]
    assert ids(invoice_id=invoice["id"], contact_id=invoice["contact"]["id"], source="manual") == [2, 1, 0]
    assert ids(source="gateway") == ids(state="disputed") == []
    assert ids(state="unapplied") == [2, 1, 0]


@pytest.mark.parametrize(
    "query",
    [
        {"status": "lost"},
        {"source": "mattress"},
        {"sort": "payer"},
        {"from": "yesterday"},
        {"from": "9999-12-31"},
        {"to": "0001-01-01"},
        {"amount_min": "-1"},
        {"amount_max": str(MAX_MINOR + 1)},
        {"contact_id": "me"},
        {"cursor": "bm9uc2Vuc2U"},
        {"limit": "0"},
        {"color": "red"},
    ],
    ids=str,
)
def test_a_question_that_makes_no_sense_is_refused(world: World, seller: Person, query: dict[str, str]) -> None:
    assert world.get("/api/payments", seller, **query).status == 422


@pytest.mark.parametrize(
    "change",
    [
        {"amount": 0},
        {"amount": MAX_MINOR + 1},
        {"amount": True},
        {"amount": "100"},
        {"currency": "rupees"},
        {"currency": "ZZZ"},
        {"method": "credit_note"},
        {"date": "2026-11-31"},
        {"date": "2099-01-01"},
        {"date": "1999-12-31"},
        {"reference": "x" * 101},
        {"notes": "x" * 2001},
        {"targets": []},
        {"targets": [{"invoice_id": str(new_id()), "amount": 0}]},
        {"targets": [{"invoice_id": "none", "amount": 1}]},
        {"targets": [{"invoice_id": str(new_id()), "amount": 1}] * 101},
        {"colour": "red"},
    ],
    ids=",".join,
)
def test_a_body_that_makes_no_sense_is_refused(world: World, seller: Person, change: dict[str, Any]) -> None:
    body = {**MONEY, "amount": 100, "targets": [{"invoice_id": bill(world, seller)["id"], "amount": 100}], **change}
    assert world.post("/api/payments", seller, body).status == 422
    assert world.get("/api/payments", seller).body["items"] == []


def test_payouts_are_listed_with_what_they_hold(world: World, seller: Person) -> None:
    connection = world.post("/api/connections", seller, {"connector": "razorpay", "name": "Shop"}).body["id"]
    ids = {name: new_id() for name in ("payout", "payment")}
    with world.session() as session:
        for statement in (
            (
                "INSERT INTO payments (id, user_id, connection_id, connector, object_id, source, version, status, "
                "amount, currency, fee, payer_name, occurred_at, trust) "
                "VALUES (:payment, :user, :connection, 'razorpay', 'pay_1', "
                "'gateway', 1, 'succeeded', 1000, 'INR', 20, 'Rao', '2026-11-01 10:00+00', 'signed')"
            ),
            (
                "INSERT INTO payouts (id, user_id, connection_id, object_id, version, status, amount, currency, "
                "occurred_at, unexplained) VALUES (:payout, :user, :connection, 'setl_1', 1, 'paid', 990, 'INR', "
                "'2026-11-03 10:00+00', 10)"
            ),
            (
                "INSERT INTO payout_lines (subject_id, payout_id, kind, amount, fee, occurred_at) "
                "VALUES (:payment, :payout, 'payment', 1000, 20, '2026-11-01 10:00+00')"
            ),
        ):
            session.execute(text(statement), {**ids, "user": seller.actor.id, "connection": UUID(connection)})
    [row] = world.get("/api/payouts", seller, connection_id=connection, status="paid").body["items"]
    assert (row["amount"], row["collected"], row["fees"], row["unexplained"]) == (990, 1_000, 20, 10)
    shown = world.get(f"/api/payouts/{ids['payout']}", seller).body
    assert [(line["payment_id"], line["payer"], line["net"]) for line in shown["lines"]] == [
        (str(ids["payment"]), "Rao", 980)
    ]
    assert world.get(f"/api/payments/{ids['payment']}", seller).body["payout"]["id"] == str(ids["payout"])
    assert world.get("/api/payouts", seller, status="failed").body["items"] == []
    assert world.get("/api/payouts", seller, status="gone").status == 422
    assert world.get(f"/api/payouts/{new_id()}", seller).status == 404
