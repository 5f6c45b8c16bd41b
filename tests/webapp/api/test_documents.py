"""Documents over HTTP: who may have which, what is on it, under which name, and when it is made anew."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID
from xml.etree import ElementTree as ET

import pypdfium2
import pytest
from sqlalchemy import text

from core.documents import typesetting
from core.identity import Role
from core.ids import new_id
from core.invoicing import credit_notes
from core.payments import manual
from tests.webapp.conftest import INVOICE, Person, Standing, World

NOW = datetime(2026, 11, 20, 10, 0, tzinfo=UTC)


@pytest.fixture
def world(standing_file: Standing) -> World:
    return standing_file.world


@pytest.fixture(scope="module")
def people(standing_file: Standing) -> dict[str, Person]:
    world = standing_file.world
    return {
        "seller": world.person(Role.SELLER, "maker@example.com", "Asha Devi"),
        "buyer": world.person(Role.BUYER, "payer@example.com", "Bina"),
        "other": world.person(Role.BUYER, "other@example.com", "Other"),
        "stranger": world.person(Role.SELLER, "another@example.com", "Somebody"),
        "investor": world.person(Role.INVESTOR, "rich@example.com", "Ivan"),
        "operator": world.person(Role.OPERATOR, "ops@example.com", "Olga"),
    }


def make(world: World, seller: Person, **more: Any) -> dict[str, Any]:
    contact = {"name": "Bina & Söhne বাংলা", "email": "payer@example.com"}
    answer = world.post("/api/invoices", seller, {**INVOICE, "contact": contact, **more})
    assert answer.status == 201, answer.body
    made: dict[str, Any] = answer.body
    return made


@pytest.fixture(scope="module")
def made(standing_file: Standing, people: dict[str, Person]) -> dict[str, Any]:
    """An invoice that nobody changes."""
    return make(standing_file.world, people["seller"])


def shown(content: bytes) -> str:
    return "\n".join(page.get_textpage().get_text_range() for page in pypdfium2.PdfDocument(content))


def fetch(world: World, path: str, person: Person, **headers: str) -> Any:
    return world.app.test_client().get(path, headers=person.headers | headers)


def test_an_invoice_is_a_pdf_with_its_number_in_its_name(
    world: World, people: dict[str, Person], made: dict[str, Any]
) -> None:
    answer = fetch(world, f"/api/invoices/{made['id']}/pdf", people["seller"])
    assert (answer.status_code, answer.mimetype) == (200, "application/pdf")
    assert answer.headers["Content-Disposition"] == f"inline; filename=invoice-{made['number']}.pdf"
    text_of = shown(answer.data)
    for said in (made["number"], "Asha Devi", "Bina & Söhne", "Tea, 1 kg", "₹29.54", "/i/"):
        assert said in text_of
    saved = fetch(world, f"/api/invoices/{made['id']}/pdf?download=true", people["seller"])
    assert saved.headers["Content-Disposition"].startswith("attachment; ")


@pytest.mark.parametrize(
    ("who", "status"),
    [("seller", 200), ("buyer", 200), ("operator", 200), ("stranger", 404), ("other", 404), ("investor", 404)],
)
@pytest.mark.parametrize("kind", ["pdf", "ubl"])
def test_whoever_may_read_an_invoice_may_have_its_paper(
    world: World, people: dict[str, Person], made: dict[str, Any], who: str, status: int, kind: str
) -> None:
    assert fetch(world, f"/api/invoices/{made['id']}/{kind}", people[who]).status_code == status


def test_a_paper_is_made_again_only_when_what_it_shows_has_changed(
    world: World, people: dict[str, Person], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = f"/api/invoices/{make(world, people['seller'])['id']}"
    first = fetch(world, f"{path}/pdf", people["seller"])
    with monkeypatch.context() as patched:
        # None could be set now.
        patched.delattr(typesetting, "typeset")
        same = fetch(world, f"{path}/pdf", people["seller"], **{"If-None-Match": first.headers["ETag"]})
    assert (same.status_code, same.data) == (304, b"")
    assert same.headers["ETag"] == first.headers["ETag"]
    assert world.put(path, people["seller"], {"notes": "Now with words."}).status == 200
    changed = fetch(world, f"{path}/pdf", people["seller"], **{"If-None-Match": first.headers["ETag"]})
    assert changed.status_code == 200
    assert "Now with words." in shown(changed.data)
    assert changed.headers["ETag"] != first.headers["ETag"]


def test_no_cache_between_keeps_a_paper(world: World, people: dict[str, Person], made: dict[str, Any]) -> None:
    answer = fetch(world, f"/api/invoices/{made['id']}/pdf", people["seller"])
    assert answer.headers["Cache-Control"] == "private, no-cache"
    assert (
        "sandbox"
        in fetch(world, f"/api/invoices/{made['id']}/ubl", people["seller"]).headers["Content-Security-Policy"]
    )


def test_a_draft_is_marked_and_is_no_ubl_yet(world: World, people: dict[str, Person]) -> None:
    draft = make(world, people["seller"], draft=True)
    answer = fetch(world, f"/api/invoices/{draft['id']}/pdf", people["seller"])
    assert "DRAFT" in shown(answer.data)
    assert answer.headers["Content-Disposition"] == "inline; filename=invoice-draft.pdf"
    assert fetch(world, f"/api/invoices/{draft['id']}/ubl", people["seller"]).status_code == 409
    assert fetch(world, f"/api/invoices/{draft['id']}/pdf", people["buyer"]).status_code == 404


def test_ubl_says_what_the_invoice_says(world: World, people: dict[str, Person], made: dict[str, Any]) -> None:
    answer = fetch(world, f"/api/invoices/{made['id']}/ubl", people["buyer"])
    assert answer.mimetype == "application/xml"
    root = ET.fromstring(answer.data)
    values = {each.tag.partition("}")[2]: each.text for each in root.iter()}
    assert values["PayableAmount"] == "29.54"
    assert values["RegistrationName"] == "Bina & Söhne বাংলা"


def _paid(world: World, people: dict[str, Person], invoice: dict[str, Any], amount: int) -> str:
    new = manual.NewPayment(
        amount=amount,
        currency="INR",
        method="bank_transfer",
        date=NOW.date(),
        targets=[manual.NewTarget(invoice_id=UUID(invoice["id"]), amount=invoice["total"])],
        reference="UTR-9",
    )
    with world.session() as session:
        return str(manual.record(session, people["seller"].actor, new, NOW)["id"])


def test_a_receipt_says_to_each_what_is_theirs(world: World, people: dict[str, Person]) -> None:
    invoice = make(world, people["seller"])
    path = f"/api/payments/{_paid(world, people, invoice, 40_00)}/receipt"
    whole = shown(fetch(world, path, people["seller"]).data)
    for said in ("Receipt", "₹40.00", "₹10.46", "Kept as credit", "UTR-9", invoice["number"], "Bina & Söhne"):
        assert said in whole
    theirs = shown(fetch(world, path, people["buyer"]).data)
    assert "₹29.54" in theirs
    assert "40.00" not in theirs
    for who in ("stranger", "other", "investor"):
        assert fetch(world, path, people[who]).status_code == 404


@pytest.mark.parametrize("status", ["pending", "failed"])
def test_there_is_no_receipt_of_money_that_did_not_come(world: World, people: dict[str, Person], status: str) -> None:
    identity = new_id()
    with world.session() as session:
        session.execute(
            text(
                "INSERT INTO payments (id, user_id, object_id, source, version, status, amount, currency, occurred_at, "
                "trust) VALUES (:id, :user, :object, 'manual', 1, :status, 500, 'INR', :now, 'manual')"
            ),
            {"id": identity, "user": people["seller"].actor.id, "object": str(identity), "status": status, "now": NOW},
        )
    assert fetch(world, f"/api/payments/{identity}/receipt", people["seller"]).status_code == 409


def test_a_credit_note_is_a_pdf_and_ubl(world: World, people: dict[str, Person]) -> None:
    invoice = make(world, people["seller"])
    new = credit_notes.NewCreditNote(invoice_id=UUID(invoice["id"]), reason="One bale was torn", issue_date=NOW.date())
    with world.session() as session:
        note = credit_notes.create(session, people["seller"].actor, new, NOW)
    answer = fetch(world, f"/api/credit-notes/{note['id']}/pdf", people["buyer"])
    text_of = shown(answer.data)
    for said in ("Credit note", note["number"], invoice["number"], "One bale was torn", "₹29.54"):
        assert said in text_of
    root = ET.fromstring(fetch(world, f"/api/credit-notes/{note['id']}/ubl", people["seller"]).data)
    assert root.tag.endswith("}CreditNote")
    assert fetch(world, f"/api/credit-notes/{note['id']}/pdf", people["stranger"]).status_code == 404
    assert fetch(world, f"/api/payments/{note['payment_id']}/receipt", people["seller"]).status_code == 409


def test_a_statement_of_account_is_the_sellers(world: World, people: dict[str, Person], made: dict[str, Any]) -> None:
    path = f"/api/contacts/{made['contact']['id']}/statement.pdf"
    answer = fetch(world, f"{path}?since=2026-11-01&until=2026-11-30&currency=INR", people["seller"])
    assert answer.status_code == 200
    text_of = shown(answer.data)
    assert "Opening balance" in text_of
    assert made["number"] in text_of
    for who in ("buyer", "stranger", "investor"):
        assert fetch(world, path, people[who]).status_code == 404


@pytest.mark.parametrize(
    "query",
    ["since=2026-12-01&until=2026-11-01", "until=0001-01-01", "since=9999-12-31", "currency=inr", "since=x", "what=1"],
)
def test_a_statement_of_impossible_days_is_refused(
    world: World, people: dict[str, Person], made: dict[str, Any], query: str
) -> None:
    path = f"/api/contacts/{made['contact']['id']}/statement.pdf?{query}"
    assert fetch(world, path, people["seller"]).status_code == 422


def test_when_too_many_are_being_set_the_asker_is_told_to_come_again(
    world: World, people: dict[str, Person], made: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(typesetting, "_WAIT_SECONDS", 0)
    for _ in range(2):
        typesetting._AT_ONCE.acquire()
    try:
        answer = fetch(world, f"/api/invoices/{made['id']}/pdf", people["seller"])
    finally:
        typesetting._AT_ONCE.release(2)
    assert (answer.status_code, answer.headers["Retry-After"]) == (503, "1")
    assert answer.get_json()["code"] == "typesetting_failed"


def test_an_invoice_can_be_printed_from_the_browser(
    world: World, people: dict[str, Person], made: dict[str, Any]
) -> None:
    answer = world.browser(people["buyer"]).get(f"/invoices/{made['id']}/print")
    assert answer.status_code == 200
    page = answer.get_data(as_text=True)
    for said in (made["number"], "Bina &amp; Söhne", "Tea, 1 kg", "₹29.54", "<svg"):
        assert said in page
    assert world.browser(people["stranger"]).get(f"/invoices/{made['id']}/print").status_code == 404


def test_markup_in_an_invoice_is_text_on_the_printed_page(world: World, people: dict[str, Person]) -> None:
    line = {"description": "<script>x()</script>", "quantity": "1", "unit_price": 100}
    made = make(world, people["seller"], items=[line], due_date=(NOW + timedelta(days=400)).date().isoformat())
    page = world.browser(people["seller"]).get(f"/invoices/{made['id']}/print").get_data(as_text=True)
    assert "<script>x" not in page
    assert "&lt;script&gt;x()" in page
