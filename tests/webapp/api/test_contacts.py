"""Contacts, credit notes, recurring invoices and rates over HTTP: shapes, refusals and repeats."""

from __future__ import annotations

import io
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from core.identity import Role
from core.ids import new_id
from tests.conftest import Servers
from tests.webapp.conftest import INVOICE, Person, World, standing_world

TODAY = datetime.now(UTC).date()


@pytest.fixture(scope="module")
def world(servers: Servers, file_database_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    yield from standing_world(servers, file_database_url, Path(tmp_path_factory.mktemp("contacts")))


@pytest.fixture
def owner(world: World) -> Person:
    return world.person(Role.SELLER, f"{new_id()}@example.com")


def contact(world: World, owner: Person, **more: Any) -> dict[str, Any]:
    answer = world.post("/api/contacts", owner, {"name": "Rao", "email": f"{new_id()}@rao.test", **more})
    assert answer.status == 201, answer.body
    return answer.body  # type: ignore[no-any-return]


def test_a_contact_is_changed_in_part_and_null_takes_away(world: World, owner: Person) -> None:
    made = contact(world, owner, payment_days=10, tds_rate="2.5", phone="1")
    path = f"/api/contacts/{made['id']}"
    changed = world.put(path, owner, {"payment_days": None, "notes": "Calls first", "version": 1}).body
    assert (changed["payment_days"], changed["tds_rate"], changed["phone"]) == (None, "2.5", "1")
    stale = world.put(path, owner, {"notes": "Mine", "version": 1})
    assert (stale.status, stale.body["code"]) == (409, "stale_version")
    assert "changed notes, payment days" in stale.body["detail"]
    wrong = world.put(path, owner, {"name": None, "tds_rate": 100, "payment_days": 366, "version": True})
    assert (wrong.status, {each["field"] for each in wrong.body["errors"]}) == (
        422, {"name", "tds_rate", "payment_days", "version"},
    )  # fmt: skip
    assert world.post(f"{path}/archive", owner).body["archived_at"]
    assert world.get("/api/contacts", owner).body["items"] == []
    assert world.post(f"{path}/restore", owner).body["archived_at"] is None
    assert world.post("/api/contacts", owner, {"name": "Rao", "email": made["email"]}).status == 409


def test_a_statement_and_the_history_are_those_of_the_days_asked_for(world: World, owner: Person) -> None:
    invoice = world.post("/api/invoices", owner, INVOICE).body
    path = f"/api/contacts/{invoice['contact']['id']}"
    whole = world.get(f"{path}/statement", owner, since="2026-11-01", until="2026-11-30").body
    assert (whole["opening"], whole["closing"], whole["totals"]["invoiced"]) == (0, 2_954, 2_954)
    later = world.get(f"{path}/statement", owner, since="2026-11-02", until="2026-11-30").body
    assert (later["opening"], later["lines"]) == (2_954, [])
    assert world.get(f"{path}/statement", owner, since="2026-11-02", until="2026-11-01").status == 422
    assert world.get(f"{path}/statement", owner, since="yesterday").status == 422
    assert [each["kind"] for each in world.get(f"{path}/history", owner).body["items"]] == ["invoice"]


def test_a_credit_note_is_issued_once_for_a_key_and_voided(world: World, owner: Person) -> None:
    invoice = world.post("/api/invoices", owner, INVOICE).body
    new = {"invoice_id": invoice["id"], "reason": "Torn", "issue_date": TODAY.isoformat()}
    item = {"description": "Tea", "quantity": 1, "unit_price": 100, "tax_rate": 18}
    first = world.post("/api/credit-notes", owner, {**new, "items": [item]}, Idempotency_Key="one")
    again = world.post("/api/credit-notes", owner, {**new, "items": [item]}, Idempotency_Key="one")
    assert (first.status, first.body["total"], again.body) == (201, 118, first.body)
    assert len(world.get("/api/credit-notes", owner, invoice_id=invoice["id"]).body["items"]) == 1
    over = world.post("/api/credit-notes", owner, new)
    assert (over.status, over.body["errors"][0]["field"]) == (422, "items")
    gone = world.post(f"/api/credit-notes/{first.body['id']}/void", owner, {"reason": "By mistake"})
    assert (gone.status, gone.body["status"]) == (200, "void")
    whole = world.post("/api/credit-notes", owner, new)
    assert (whole.status, whole.body["total"], whole.body["number"]) == (201, invoice["total"], "CN-2026-00002")
    assert world.post("/api/credit-notes", owner, new).status == 409
    assert world.post("/api/credit-notes", owner, {**new, "reason": "  "}).status == 422
    payment = f"/api/payments/{whole.body['payment_id']}"
    assert world.delete(payment, owner).status == 409


def test_a_recurring_invoice_lives_and_ends(world: World, owner: Person) -> None:
    who = contact(world, owner)["id"]
    new = {
        "name": "Rent",
        "contact_id": who,
        "currency": "INR",
        "items": INVOICE["items"],
        "frequency": "month",
        "starts_on": (TODAY + timedelta(days=1)).isoformat(),
    }
    made = world.post("/api/recurring", owner, new)
    assert (made.status, made.body["state"], len(made.body["ahead"])) == (201, "active", 6)
    path = f"/api/recurring/{made.body['id']}"
    first = world.post(f"{path}/run", owner, Idempotency_Key="now")
    assert world.post(f"{path}/run", owner, Idempotency_Key="now").body == first.body
    assert len(world.get(path, owner).body["made"]) == 1
    assert world.post(f"{path}/pause", owner).body["state"] == "paused"
    assert world.post(f"{path}/resume", owner, {"catch_up": False}).body["state"] == "active"
    assert world.put(path, owner, {"name": "Shop", "version": 1}).status == 409
    changed = world.put(
        path, owner, {"name": "Shop", "items": [{**INVOICE["items"][0], "unit_price": 2}], "version": 3}
    )
    assert (changed.body["name"], changed.body["total"]) == ("Shop", 6)
    assert world.delete(path, owner).body["recurring"]["state"] == "ended"
    assert world.post(f"{path}/run", owner).status == 409
    fresh = world.post("/api/recurring", owner, new).body["id"]
    assert world.delete(f"/api/recurring/{fresh}", owner).body == {"recurring": None}
    assert world.get(f"/api/recurring/{fresh}", owner).status == 404
    for name, value in (("every", 367), ("most_runs", 10_001), ("frequency", "hour"), ("items", [])):
        refused = world.post("/api/recurring", owner, {**new, name: value})
        assert (refused.status, refused.body["errors"][0]["field"]) == (422, name)


def test_rates_are_written_asked_for_imported_and_removed(world: World, owner: Person) -> None:
    def bring(content: bytes) -> Any:
        return world.ask("POST", "/api/rates/import", owner, data={"file": (io.BytesIO(content), "rates.csv")})

    assert world.post("/api/rates", owner, {"currency": "USD", "day": "2026-11-20", "rate": "84.1"}).body["added"] == 1
    assert world.get("/api/rates/on", owner, currency="USD", day="2026-11-30").body["rate"] == "84.1"
    assert world.get("/api/rates/on", owner, currency="USD", day="2026-12-01").body["rate"] is None
    for wrong in ({"rate": 0}, {"rate": "many"}, {"rate": True}, {"currency": "INR"}, {"day": "1989-12-31"}):
        given = {"currency": "USD", "day": "2026-11-20", "rate": 1, **wrong}
        assert world.post("/api/rates", owner, given).status == 422, wrong
    assert bring(b"day,currency,rate\n2026-11-21,EUR,90\n").body["added"] == 1
    bad = bring(b"day,currency,rate\n2026-11-22,EUR,91\n2026-11-23,EUR,x\n").body
    assert (bad["added"], [each["line"] for each in bad["errors"]]) == (0, [3])
    assert bring(b"\xff").status == 422
    assert world.post("/api/rates/import", owner, {}).status == 415
    listed = world.get("/api/rates", owner).body
    assert ([each["currency"] for each in listed["items"]], listed["home"]) == (["EUR", "USD"], "INR")
    assert world.delete("/api/rates/INR/EUR/2026-11-21", owner).body == {"removed": True}
    for path in ("INR/EUR/2026-11-21", "INR/JPY/2026-11-21"):
        assert world.delete(f"/api/rates/{path}", owner).status == 404
    for path in ("INR/XXXX/2026-11-21", "INR/EUR/today"):
        assert world.delete(f"/api/rates/{path}", owner).status == 422


def test_accounts_of_a_contact_are_added_once_for_a_key_listed_and_removed(world: World, owner: Person) -> None:
    path = f"/api/contacts/{contact(world, owner)['id']}/accounts"
    given = {"kind": "virtual_account", "value": "LW12 345678", "ifsc": "RATN0VAAPIS"}
    made = world.post(path, owner, given, Idempotency_Key="account")
    again = world.post(path, owner, given, Idempotency_Key="account")
    assert (made.status, made.body, world.get(path, owner).body) == (201, again.body, {"items": [made.body]})
    wrong = world.post(path, owner, {**given, "ifsc": "RATN1VAAPIS"})
    assert (wrong.status, wrong.body["errors"][0]["field"]) == (422, "ifsc")
    other = f"/api/contacts/{contact(world, owner)['id']}/accounts"
    taken = world.post(other, owner, given)
    assert (taken.status, taken.body["code"]) == (409, "conflict")
    assert world.delete(f"{path}/{made.body['id']}", owner).body == {"removed": True}
    assert world.get(path, owner).body == {"items": []}
