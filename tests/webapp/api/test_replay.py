"""Replaying a delivery over HTTP: first what would change, then the doing."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import text

from connectors import registry
from core.ids import new_id
from tests.webapp.conftest import INVOICE, Person, World


def _deliver(world: World, seller: Person) -> tuple[str, str]:
    """A really signed payment of an invoice comes in; the ids of the invoice and the delivery."""
    invoice = world.post("/api/invoices", seller, INVOICE).body
    connection = world.post("/api/connections", seller, {"connector": "razorpay", "name": "Shop"}).body
    payment = {
        "id": "pay_29QQoUBi66xm2f",
        "entity": "payment",
        "amount": 1000,
        "currency": "INR",
        "status": "captured",
        "created_at": 1_790_000_000,
        "captured": True,
        "notes": {"invoice_number": invoice["number"]},
    }
    said: dict[str, Any] = {
        "entity": "event",
        "account_id": "acc_1",
        "event": "payment.captured",
        "contains": ["payment"],
        "payload": {"payment": {"entity": payment}},
        "created_at": 1_790_000_001,
    }
    body = json.dumps(said).encode()
    sealed = registry.get("razorpay").signature.sign(
        body, connection["new_secrets"]["webhook_secret"], at=datetime.now(UTC), message_id=str(new_id())
    )
    path = connection["webhook_url"].partition("//")[2].partition("/")[2]
    headers = {"X-Razorpay-Event-Id": str(new_id()), **sealed.headers}
    answer = world.ask("POST", "/" + path, data=body, headers=headers, content_type="application/json")
    assert answer.status == 200, answer.body
    return invoice["id"], world.get("/api/deliveries", seller).body["items"][0]["id"]


def test_it_says_what_would_change_and_changes_nothing(world: World, seller: Person) -> None:
    invoice, delivery = _deliver(world, seller)
    report = world.post(f"/api/deliveries/{delivery}/replay", seller, {}).body
    assert (report["dry_run"], report["events"], report["requeued"], report["failures"]) == (True, 1, 0, [])
    assert {each["kind"] for each in report["changes"]} == {"payment", "invoice"}
    assert world.get(f"/api/invoices/{invoice}", seller).body["amount_paid"] == 0


def test_it_puts_events_back_for_the_worker(world: World, seller: Person, stranger: Person) -> None:
    _, delivery = _deliver(world, seller)
    with world.session() as session:
        session.execute(text("UPDATE event_queue SET state = 'dead', attempts = 12"))
    assert world.post(f"/api/deliveries/{delivery}/replay", stranger, {"dry_run": False}).status == 404
    assert world.get(f"/api/deliveries/{delivery}", seller).body["events"][0]["state"] == "dead"
    report = world.post(f"/api/deliveries/{delivery}/replay", seller, {"dry_run": False}).body
    assert report["requeued"] == 1
    assert world.get(f"/api/deliveries/{delivery}", seller).body["events"][0]["state"] == "ready"


def test_a_delivery_that_only_repeats_says_where_it_was_said_first(world: World, seller: Person) -> None:
    _, delivery = _deliver(world, seller)
    with world.session() as session:
        session.execute(
            text(
                "INSERT INTO deliveries SELECT :again, connector, connection_id, received_at, path, remote_addr, "
                "headers, body, secret_index, message_id, verify_micros, stored_at FROM deliveries"
            ),
            {"again": new_id()},
        )
    again = next(each for each in world.get("/api/deliveries", seller).body["items"] if each["id"] != delivery)
    assert again["state"] == "duplicate"
    [event] = world.get(f"/api/deliveries/{again['id']}", seller).body["events"]
    assert (event["state"], event["original_delivery_id"]) == ("duplicate", delivery)
