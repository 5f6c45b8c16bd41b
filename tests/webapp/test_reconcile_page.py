"""The Reconcile page without a browser: what each decision does, and what cannot be decided."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import text

from core.identity import Role
from core.ids import new_id
from core.marketplace.words import InvestorsRepaid
from core.reconciliation import decisions, run
from tests.conftest import Servers
from tests.webapp.conftest import INVOICE, World, standing_world


@pytest.fixture(scope="module")
def shared(servers: Servers, file_database_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    yield from standing_world(servers, file_database_url, tmp_path_factory.mktemp("world"))


class Desk:
    """A seller with invoices and bank lines, whose sure matches wait."""

    def __init__(self, world: World) -> None:
        self.world, self.person = world, world.person(Role.SELLER)
        self.client = world.browser(self.person)
        with world.session() as session:
            session.execute(
                text("INSERT INTO business_profiles (user_id, match_automatically) VALUES (:user, false)"),
                {"user": self.person.actor.id},
            )

    def invoice(self, amount: int) -> dict[str, Any]:
        items = [{"description": "Tea", "quantity": "1", "unit_price": amount, "tax_rate": 0}]
        made: dict[str, Any] = self.world.post("/api/invoices", self.person, INVOICE | {"items": items}).body
        return made

    def line(self, amount: int, words: str) -> str:
        given = {"account_name": "Current", "currency": "INR", "amount": amount, "booked_on": "2026-11-20"}
        made = self.world.post("/api/statements/lines", self.person, given | {"narration": words})
        assert made.status == 201, made
        return str(made.body["id"])

    def judge(self) -> None:
        with self.world.session() as session:
            run.reconcile(session, self.person.actor.id, datetime.now(UTC))

    def page(self, path: str = "/reconcile", status: int = 200, **query: str) -> str:
        answer = self.client.get(path, query_string=query)
        assert answer.status_code == status, (path, answer.status_code)
        return answer.get_data(as_text=True)

    def post(self, path: str, **data: Any) -> Any:
        token = self.page().partition('name="csrf_token" value="')[2].partition('"')[0]
        return self.client.post(path, data={"csrf_token": token, **data}, headers={"HX-Request": "true"})

    def due(self, invoice: dict[str, Any]) -> int:
        return int(self.world.get(f"/api/invoices/{invoice['id']}", self.person).body["amount_due"])

    def state(self, line: str) -> str:
        return str(self.world.get(f"/api/transactions/{line}", self.person).body["match_state"])


@pytest.fixture
def desk(shared: World) -> Desk:
    return Desk(shared)


def told(answer: Any) -> dict[str, Any]:
    assert answer.status_code == 204, answer.get_data(as_text=True)[:500]
    found: dict[str, Any] = json.loads(answer.headers["HX-Trigger"])["reconciled"]
    return found


def test_an_empty_page_says_how_to_begin(desk: Desk) -> None:
    shown = desk.page()
    assert "No bank lines yet" in shown
    assert "Bring a statement" in shown


def test_a_proposal_is_shown_with_its_reasons_accepted_and_taken_back(desk: Desk) -> None:
    invoice = desk.invoice(123_45)
    line = desk.line(123_45, f"NEFT BINA BUYER {invoice['number']}")
    desk.judge()
    shown = desk.page()
    assert f"The bank&#39;s text names {invoice['number']}" in shown
    assert "The amount is exactly what is due" in shown
    assert "Accept the sure one" in shown
    said = told(desk.post(f"/reconcile/{line}/accept"))
    assert (said["verb"], said["ids"], desk.due(invoice)) == ("accept", [line], 0)
    assert "Everything is reconciled" in desk.page()
    assert invoice["number"] in desk.page(tab="done")
    back = told(desk.post("/reconcile/undo", at=said["at"]))
    assert (back["verb"], desk.due(invoice)) == ("undone", 123_45)
    assert desk.post("/reconcile/undo", at=said["at"]).status_code == 409


def test_all_that_is_sure_is_accepted_together_and_taken_back_together(desk: Desk) -> None:
    invoices = [desk.invoice(200_00 + place) for place in range(3)]
    for invoice in invoices:
        desk.line(invoice["total"], f"NEFT BINA BUYER {invoice['number']}")
    desk.judge()
    said = told(desk.post("/reconcile/sure"))
    assert (said["verb"], said["ids"], [desk.due(one) for one in invoices]) == ("sure", [], [0, 0, 0])
    told(desk.post("/reconcile/undo", at=said["at"]))
    assert [desk.due(one) for one in invoices] == [one["total"] for one in invoices]


def test_what_was_accepted_together_is_taken_back_by_a_form_of_its_own(desk: Desk) -> None:
    invoices = [desk.invoice(amount) for amount in (510_00, 520_00)]
    for one, amount in zip(invoices, (510_00, 520_00), strict=True):
        desk.line(amount, f"NEFT {one['number']}")
    desk.judge()
    token = desk.page().partition('name="csrf_token" value="')[2].partition('"')[0]
    assert "Take back the last" not in desk.page(tab="done")
    assert desk.client.post("/reconcile/sure", data={"csrf_token": token}).status_code == 303
    form = desk.page(tab="done").partition("Take back the last 2")[0].rpartition("<form")[2]
    at = form.partition('name="at" value="')[2].partition('"')[0]
    done = desk.client.post("/reconcile/undo", data={"csrf_token": token, "at": at})
    assert (done.status_code, [desk.due(one) for one in invoices]) == (303, [510_00, 520_00])
    assert "Take back the last" not in desk.page(tab="done")


def test_one_that_may_not_be_taken_back_keeps_no_other_and_the_page_says_which(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    invoices = [desk.invoice(410_00 + place) for place in range(2)]
    lines = [desk.line(one["total"], f"NEFT {one['number']}") for one in invoices]
    desk.judge()
    said = told(desk.post("/reconcile/sure"))
    undo = decisions.undo

    def held(session: Any, user: UUID, line: UUID, *rest: Any, **more: Any) -> None:
        if str(line) == lines[0]:
            raise InvestorsRepaid("investors were repaid with this money")
        undo(session, user, line, *rest, **more)

    monkeypatch.setattr(decisions, "undo", held)
    answer = desk.post("/reconcile/undo", at=said["at"])
    assert told(answer)["left"] == 0
    shown = " ".join(desk.page(tab="done").split()) + answer.headers["HX-Trigger"]
    assert "1 line taken back. 1 stayed as it was: Investors were repaid with this money." in shown
    assert [desk.due(one) for one in invoices] == [0, 410_01]
    refused = desk.post("/reconcile/undo", at=said["at"])
    assert (refused.status_code, "Investors were repaid" in refused.get_data(as_text=True) + str(refused.headers)) == (
        409, True,
    )  # fmt: skip


def test_an_uploaded_line_says_that_the_banks_own_counts(desk: Desk) -> None:
    invoice = desk.invoice(610_00)
    uploaded = desk.line(610_00, f"NEFT BINA BUYER {invoice['number']}")
    with desk.world.session() as session:
        kept = session.execute(text("SELECT * FROM transactions WHERE id = :id"), {"id": uploaded}).mappings().one()
        told_by_bank = {**kept, "id": new_id(), "object_id": "b", "trust": "fetched", "account_object_id": "b"}
        names = [name for name in told_by_bank if name not in ("created_at", "updated_at")]
        session.execute(
            text(f"INSERT INTO transactions ({', '.join(names)}) VALUES ({', '.join(f':{one}' for one in names)})"),
            told_by_bank,
        )
    desk.judge()
    assert desk.state(uploaded) == "duplicate"
    assert "The bank tells of this money itself" in desk.page(tab="doubled")
    assert "own line comes before one that was uploaded" in " ".join(desk.page(f"/transactions/{uploaded}").split())


def test_much_is_taken_back_in_parts(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("webapp.pages.reconcile.UNDONE_AT_ONCE", 2)
    invoices = [desk.invoice(300_00 + place) for place in range(3)]
    for invoice in invoices:
        desk.line(invoice["total"], f"NEFT BINA BUYER {invoice['number']}")
    desk.judge()
    said = told(desk.post("/reconcile/sure"))
    assert told(desk.post("/reconcile/undo", at=said["at"]))["left"] == 1
    assert told(desk.post("/reconcile/undo", at=said["at"]))["left"] == 0
    assert all(desk.due(one) for one in invoices)


def test_a_proposal_is_rejected_for_good_and_the_line_matched_by_hand(desk: Desk) -> None:
    invoice, other = desk.invoice(400_00), desk.invoice(410_00)
    line = desk.line(400_00, f"NEFT {invoice['number']}")
    desk.judge()
    assert told(desk.post(f"/reconcile/{line}/reject"))["verb"] == "rejected"
    desk.judge()
    assert desk.post(f"/reconcile/{line}/reject").status_code in {204, 409}
    found = desk.page(f"/reconcile/{line}/choose", search=other["number"])
    assert other["number"] in found
    assert told(desk.post(f"/reconcile/{line}/choose", invoice=other["id"], short_reason="part"))["verb"] == "accept"
    assert (desk.due(other), desk.due(invoice)) == (10_00, 400_00)


def test_a_rejection_is_taken_back_by_the_page_and_by_the_api(desk: Desk) -> None:
    invoice = desk.invoice(420_00)
    line = desk.line(420_00, f"NEFT {invoice['number']}")
    desk.judge()
    told(desk.post(f"/reconcile/{line}/reject"))
    desk.judge()
    assert "Propose it again" in desk.page(tab="suspense")
    assert told(desk.post(f"/reconcile/{line}/undo"))["verb"] == "restored"
    assert invoice["number"] in desk.page(tab="sure")
    assert desk.post(f"/reconcile/{line}/undo").status_code == 409
    path = f"/api/transactions/{line}"
    assert desk.world.post(f"{path}/unmatch", desk.person).body["match_state"] == "none"
    again = desk.world.post(f"{path}/restore", desk.person)
    assert (again.status, again.body["match_state"]) == (200, "proposed")
    assert desk.world.post(f"{path}/restore", desk.person).body["code"] == "conflict"


def test_a_line_is_split_over_several_invoices(desk: Desk) -> None:
    first, second = desk.invoice(100_00), desk.invoice(50_00)
    line = desk.line(150_00, "CASH")
    amounts = {f"amount-{first['id']}": "100.00", f"amount-{second['id']}": "60.00"}
    wrong = desk.post(f"/reconcile/{line}/choose?fragment=f_choose", invoice=[first["id"], second["id"]], **amounts)
    assert (wrong.status_code, "more than" in wrong.get_data(as_text=True)) == (422, True)
    assert desk.due(first) == 100_00
    none = desk.post(f"/reconcile/{line}/choose")
    assert (none.status_code, "Tick an invoice" in none.get_data(as_text=True)) == (422, True)
    amounts[f"amount-{second['id']}"] = "50.00"
    told(desk.post(f"/reconcile/{line}/choose", invoice=[first["id"], second["id"]], **amounts))
    assert (desk.due(first), desk.due(second), desk.state(line)) == (0, 0, "accepted")


@pytest.mark.parametrize("words", ["Bina", "123.45", "%", "x" * 300, "INV"])
def test_invoices_are_found_by_number_customer_or_amount(desk: Desk, words: str) -> None:
    invoice = desk.invoice(123_45)
    line = desk.line(1_00, "CASH")
    found = desk.page(f"/reconcile/{line}/choose", search=words)
    assert (invoice["number"] in found) == (words in {"Bina", "123.45", "INV"})


def test_a_line_that_pays_no_invoice_is_set_aside_and_comes_back(desk: Desk) -> None:
    line = desk.line(7_00, "INTEREST PAID")
    assert told(desk.post(f"/reconcile/{line}/aside"))["verb"] == "ignored"
    assert "Everything is reconciled" in desk.page()
    assert "INTEREST PAID" in desk.page(tab="aside")
    assert told(desk.post(f"/reconcile/{line}/undo"))["verb"] == "reopened"
    assert "INTEREST PAID" in desk.page(tab="suspense")


@pytest.mark.parametrize(
    ("path", "data", "status"),
    [
        ("undo", {"at": "yesterday"}, 409),
        ("undo", {"at": "2026-01-01T00:00:00"}, 409),
        ("undo", {"at": "2026-01-01T00:00:00+00:00"}, 409),
        ("sure", {}, 204),
        ("{other}/accept", {}, 404),
        ("{other}/aside", {}, 404),
        ("{other}/choose", {"invoice": "x"}, 404),
        ("{line}/accept", {}, 404),
        ("{line}/reject", {}, 409),
        ("{line}/undo", {}, 409),
        ("{line}/choose", {"invoice": "x"}, 422),
        ("{line}/choose", {"invoice": "{other}"}, 404),
        ("{line}/choose", {"invoice": "{other}", "short_reason": "because"}, 422),
    ],
)
def test_what_cannot_be_decided_is_answered_in_words(desk: Desk, path: str, data: dict[str, str], status: int) -> None:
    names = {"line": desk.line(9_00, "CASH"), "other": str(new_id())}
    answer = desk.post(
        f"/reconcile/{path.format(**names)}", **{key: value.format(**names) for key, value in data.items()}
    )
    assert answer.status_code == status


def test_somebody_elses_line_is_not_there(desk: Desk, shared: World) -> None:
    line = desk.line(9_00, "CASH")
    stranger = Desk(shared)
    assert stranger.post(f"/reconcile/{line}/aside").status_code == 404
    assert "CASH" not in stranger.page(tab="suspense")
    stranger.page(f"/reconcile/{line}/choose", 404)


def test_a_list_of_more_than_a_page_goes_on(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("webapp.pages.reconcile.PAGE", 2)
    lines = [desk.line(1_00 + place, f"CASH {place}") for place in range(3)]
    first = desk.page(tab="suspense", limit="2")
    assert "Load more" in first
    cursor = first.partition("cursor=")[2].partition("&")[0].partition('"')[0]
    rest = desk.page(tab="suspense", limit="2", cursor=cursor)
    assert [line in rest for line in lines] == [False, False, True]


def test_an_operator_looks_and_decides_nothing(desk: Desk, shared: World) -> None:
    invoice = desk.invoice(500_00)
    desk.line(500_00, f"NEFT BINA BUYER {invoice['number']}")
    desk.judge()
    operator = shared.person(Role.OPERATOR)
    shown = shared.browser(operator).get("/reconcile?tab=sure").get_data(as_text=True)
    assert invoice["number"] in shown
    assert "/accept" not in shown
    assert "/reconcile/sure" not in shown


def test_what_a_customer_kept_back_as_tax_is_offered_on_its_line_and_booked_once(desk: Desk) -> None:
    invoice = desk.invoice(1000_00)
    line = desk.line(900_00, f"NEFT BINA BUYER {invoice['number']}")
    desk.judge()
    assert "Tax kept back?" not in desk.page(f"/transactions/{line}")
    told(desk.post(f"/reconcile/{line}/accept"))
    shown = desk.page(f"/transactions/{line}")
    assert "exactly TDS at 10 %" in shown
    desk.post(f"/transactions/{line}/withheld")
    assert desk.due(invoice) == 0
    assert "Tax kept back?" not in desk.page(f"/transactions/{line}")
    desk.post(f"/transactions/{line}/withheld")
    paid = desk.world.get(f"/api/invoices/{invoice['id']}/payments", desk.person).body["items"]
    assert sorted(one["method"] for one in paid) == ["bank_transfer", "tds_withheld"]


def test_a_line_that_pays_two_buyers_shows_each_of_them_their_own_part(desk: Desk) -> None:
    invoices, buyers = [], []
    for amount in (300_00, 500_00):
        buyer = desk.world.person(Role.BUYER)
        items = [{"description": "Tea", "quantity": "1", "unit_price": amount, "tax_rate": 0}]
        contact = {"name": "Shop", "email": buyer.actor.email}
        given = INVOICE | {"items": items, "contact": contact}
        invoices.append(desk.world.post("/api/invoices", desk.person, given).body)
        buyers.append(buyer)
    line = desk.line(800_00, "NEFT TWO SHOPS")
    targets = [{"invoice_id": one["id"], "amount": one["total"]} for one in invoices]
    matched = desk.world.post(f"/api/transactions/{line}/match", desk.person, {"targets": targets})
    assert matched.status == 200, matched
    for invoice, buyer in zip(invoices, buyers, strict=True):
        (seen,) = desk.world.get("/api/payments", buyer).body["items"]
        one = desk.world.get(f"/api/payments/{seen['id']}", buyer).body
        for shown in (seen, one):
            assert [shown[name] for name in ("amount", "net", "allocated", "unapplied")] == [invoice["total"]] * 3 + [0]
            assert (shown["invoice"]["number"], shown["invoice_count"]) == (invoice["number"], 1)
        (paid,) = desk.world.get(f"/api/invoices/{invoice['id']}", buyer).body["payments"]
        assert paid["amount"] == invoice["total"]
    (whole,) = desk.world.get("/api/payments", desk.person).body["items"]
    assert whole["amount"] == 800_00
