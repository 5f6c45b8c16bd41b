"""The pages on which a seller makes, changes and takes back invoices, and sets up the business behind them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from uuid import uuid4

import pytest
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from core.identity import Role
from tests.conftest import Servers
from tests.webapp.conftest import INVOICE, Person, World, standing_world

FORM = {
    "contact_name": "Mehta Stores",
    "currency": "INR",
    "issue_date": "2026-11-01",
    "due_date": "2026-12-01",
    "items-0-description": "Cotton bales",
    "items-0-quantity": "2.5",
    "items-0-unit": "BAG",
    "items-0-unit_price": "1234.56",
    "items-0-discount_rate": "10",
    "items-0-tax_rate": "18",
}
GSTIN = "29AAFCC9980M1ZR"


@pytest.fixture(scope="module")
def world(servers: Servers, file_database_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """One application for the file."""
    yield from standing_world(servers, file_database_url, tmp_path_factory.mktemp("invoices"))


@dataclass(frozen=True, slots=True)
class Desk:
    """A seller before their browser."""

    world: World
    person: Person
    browser: FlaskClient

    def send(self, page: str, to: str | None = None, **typed: str) -> TestResponse:
        """Fill in the form of a page and send it."""
        shown = self.browser.get(page)
        token = re.search(r'name="csrf_token" value="([^"]+)"', shown.text)
        assert token is not None, shown.text[:500]
        version = re.search(r'name="version" value="(\d+)"', shown.text)
        kept = {"version": version[1]} if version else {}
        return self.browser.post(to or page, data={"csrf_token": token[1], **kept, **typed})

    def save(self, **typed: str) -> TestResponse:
        """Save the business."""
        return self.send("/settings/business", home_currency="INR", **typed)

    def make(self, **typed: str) -> str:
        """Make an invoice by the form; returns its page."""
        values = {**FORM, "contact_email": f"{uuid4().hex}@shop.test", "then": "issue", **typed}
        answer = self.send("/invoices/new", **values)
        assert answer.status_code == 303, re.findall(r'field__error"[^>]*>([^<]+)<', answer.text)
        return answer.headers["Location"]

    def invoice(self, page: str) -> dict[str, object]:
        """The invoice of a page, as the API has it."""
        found: dict[str, object] = self.world.get(f"/api{page}", self.person).body
        return found


@pytest.fixture
def desk(world: World) -> Desk:
    person = world.person(Role.SELLER, f"{uuid4().hex}@sellers.test", "Asha Seller")
    return Desk(world, person, world.browser(person))


def filled(page: str) -> dict[str, str]:
    """What the fields of a form hold."""
    return dict(re.findall(r'name="([\w.-]+)"[^>]*? value="([^"]*)"', page))


def test_the_form_makes_what_was_typed(desk: Desk) -> None:
    page = desk.make(reference="PO-7")
    made = desk.invoice(page)
    assert (made["number"], made["stage"], made["reference"]) == ("INV-2026-00001", "open", "PO-7")
    assert (made["discount"], made["subtotal"], made["tax"], made["total"]) == (308_64, 2777_76, 500_00, 3277_76)
    shown = desk.browser.get(page).text
    assert all(words in shown for words in ("INV-2026-00001", "₹3,277.76", "2.5 BAG", "PO-7", "₹308.64"))


def test_a_draft_has_no_number_and_gets_the_next_one_when_it_is_made_final(desk: Desk) -> None:
    page = desk.make(then="draft")
    shown = desk.browser.get(page).text
    assert ("<h1>Draft</h1>" in shown, desk.invoice(page)["number"]) == (True, None)
    assert desk.send(page, f"{page}/issue").status_code == 303
    assert desk.invoice(page)["number"] == "INV-2026-00001"


def test_a_deleted_draft_leaves_no_gap(desk: Desk) -> None:
    page = desk.make(then="draft")
    assert desk.send(page, f"{page}/delete").headers["Location"] == "/invoices"
    assert desk.browser.get(page).status_code == 404
    assert desk.invoice(desk.make())["number"] == "INV-2026-00001"


def test_what_cannot_be_read_is_said_beside_its_field_and_stays_typed(desk: Desk) -> None:
    wrong = {"contact_email": "nobody", "items-0-unit_price": "1.005", "items-0-tax_rate": "101", "due_date": ""}
    answer = desk.send("/invoices/new", **{**FORM, **wrong})
    assert answer.status_code == 422
    said = re.findall(r'id="([\w-]+)-error"[^>]*>([^<]+)<', answer.text)
    assert {name for name, _ in said} == {"contact_email", "items-0-unit_price", "items-0-tax_rate", "due_date"}
    assert 'value="1.005"' in answer.text


def test_without_scripts_lines_come_and_go(desk: Desk) -> None:
    more = desk.send("/invoices/new", **FORM, do="add")
    assert 'name="items-1-description"' in more.text
    assert 'name="items-2-description"' not in more.text
    fewer = desk.send("/invoices/new", **FORM, **{"items-1-description": "Twine"}, do="remove-0")
    assert 'value="Twine"' in fewer.text
    assert "Cotton bales" not in fewer.text


def test_changing_fills_the_form_with_what_is_there(desk: Desk) -> None:
    page = desk.make(notes="Mind the step", reference="PO-7")
    form = filled(desk.browser.get(f"{page}/edit").text)
    same = {name: value for name, value in FORM.items() if name != "currency"}
    assert {name: form.get(name) for name in same} == same
    assert form["reference"] == "PO-7"
    before = desk.invoice(page)
    kept = {**FORM, "contact_email": str(before["contact"]["email"]), "reference": "PO-7", "notes": "Mind the step"}  # type: ignore[index]
    assert desk.send(f"{page}/edit", **kept).status_code == 303
    assert desk.invoice(page)["version"] == before["version"]


def test_who_edits_second_sees_what_changed_and_keeps_what_they_typed(desk: Desk) -> None:
    page = desk.make()
    email = str(desk.invoice(page)["contact"]["email"])  # type: ignore[index]
    first = {**FORM, "contact_email": email}
    stale = re.search(r'name="version" value="(\d+)"', desk.browser.get(f"{page}/edit").text)
    assert stale is not None
    assert desk.send(f"{page}/edit", **{**first, "due_date": "2026-12-15"}).status_code == 303
    second = {**first, "notes": "From the other window"}
    refused = desk.send(f"{page}/edit", **{**second, "version": stale[1]})
    assert refused.status_code == 409
    assert "Asha Seller" in refused.text
    assert "1 Dec 2026 → 15 Dec 2026" in refused.text
    assert "From the other window" in refused.text
    assert desk.invoice(page)["notes"] == ""
    now = re.search(r'name="version" value="(\d+)"', refused.text)
    assert now is not None
    assert desk.send(f"{page}/edit", **{**second, "version": now[1]}).status_code == 303
    assert (desk.invoice(page)["notes"], desk.invoice(page)["due_date"]) == ("From the other window", "2026-12-01")


def test_of_a_paid_invoice_only_words_change(desk: Desk) -> None:
    page = desk.make()
    payment = {
        "targets": [{"invoice_id": page.rsplit("/", 1)[-1], "amount": 100_00}],
        "amount": 100_00,
        "currency": "INR",
        "method": "cash",
        "date": "2026-11-02",
    }
    assert desk.world.post("/api/payments", desk.person, payment).status == 201
    form = desk.browser.get(f"{page}/edit").text
    assert "items-0-description" not in form
    assert "so what is owed stays as it is" in form
    assert desk.send(f"{page}/edit", payment_terms="Soon", notes="Thanks", due_date="2026-12-20").status_code == 303
    after = desk.invoice(page)
    assert (after["notes"], after["due_date"], after["total"]) == ("Thanks", "2026-12-20", 3277_76)


def test_a_copy_is_a_draft_and_is_opened_to_be_changed(desk: Desk) -> None:
    page = desk.make(reference="PO-7")
    copy = desk.send(page, f"{page}/duplicate").headers["Location"]
    assert copy.endswith("/edit")
    made = desk.invoice(copy.removesuffix("/edit"))
    assert (made["stage"], made["total"], made["reference"]) == ("draft", 3277_76, "")


def test_a_cancelled_invoice_says_so_and_offers_no_change(desk: Desk) -> None:
    page = desk.make()
    assert desk.send(page, f"{page}/void").status_code == 303
    shown = desk.browser.get(page).text
    assert "Cancelled: nothing is owed." in shown
    assert f'href="{page}/edit"' not in shown
    desk.send("/invoices/new", f"{page}/issue")
    assert desk.invoice(page)["stage"] == "void"


def test_history_tells_what_was_before_and_after(desk: Desk) -> None:
    page = desk.make()
    email = str(desk.invoice(page)["contact"]["email"])  # type: ignore[index]
    desk.send(f"{page}/edit", **{**FORM, "contact_email": email, "due_date": "2026-12-15"})
    assert re.search(r"<del>1 Dec 2026</del>.*<ins>15 Dec 2026</ins>", desk.browser.get(page).text)


@pytest.mark.parametrize("role", [Role.BUYER, Role.INVESTOR, Role.OPERATOR])
@pytest.mark.parametrize("page", ["/invoices/new", "/settings/business"])
def test_only_sellers_make_invoices(world: World, role: Role, page: str) -> None:
    assert world.browser(world.person(role)).get(page).status_code == 403


def test_nobody_changes_the_invoice_of_another(desk: Desk, world: World) -> None:
    page = desk.make()
    other = world.person(Role.SELLER)
    stranger = Desk(world, other, world.browser(other))
    assert stranger.browser.get(f"{page}/edit").status_code == 404
    for verb in ("edit", "issue", "void", "delete", "duplicate"):
        assert stranger.send("/invoices/new", f"{page}/{verb}", **FORM).status_code == 404, verb
    assert desk.invoice(page)["version"] == 1


def test_a_business_under_gst_splits_the_tax_by_place(desk: Desk) -> None:
    assert (
        desk.send(
            "/settings/business", home_currency="INR", tax_regime="gst", gstin=GSTIN, payment_days="45"
        ).status_code
        == 303
    )
    page = desk.make(**{"items-0-hsn": "5201", "place_of_supply": "29"})
    inside = desk.invoice(page)
    assert (inside["cgst"], inside["sgst"], inside["igst"]) == (250_00, 250_00, 0)
    across = desk.invoice(desk.make(**{"items-0-hsn": "5201", "place_of_supply": "27"}))
    assert (across["cgst"], across["igst"]) == (0, 500_00)
    reverse = desk.invoice(desk.make(**{"items-0-hsn": "5201", "place_of_supply": "27", "reverse_charge": "yes"}))
    assert (reverse["tax"], reverse["total"], reverse["tax_shown"]) == (0, 2777_76, 500_00)
    shown = desk.browser.get(page).text
    assert all(words in shown for words in ("CGST", "SGST", "29 Karnataka", "5201"))


def test_a_business_that_cannot_be_is_refused_at_its_field(desk: Desk) -> None:
    answer = desk.send(
        "/settings/business", home_currency="INR", tax_regime="gst", gstin="29AAFCC9980M1ZX", payment_days="many"
    )
    assert (answer.status_code, "whole number of days" in answer.text) == (422, True)
    answer = desk.send(
        "/settings/business", home_currency="INR", tax_regime="gst", gstin="29AAFCC9980M1ZX", payment_days="30"
    )
    assert answer.status_code == 422
    assert re.search(r'id="gstin-error"[^>]*>[^<]+<', answer.text)
    assert 'value="29AAFCC9980M1ZX"' in answer.text


def test_a_series_of_the_financial_year_numbers_what_follows(desk: Desk) -> None:
    added = desk.send(
        "/settings/business", "/settings/business/series", prefix="lw", year_kind="financial", is_default="yes"
    )
    assert added.status_code == 303
    assert desk.invoice(desk.make())["number"] == "LW/26-27/0001"
    again = desk.send("/settings/business", "/settings/business/series", prefix="LW")
    assert "already" in desk.browser.get(again.headers["Location"]).text


def test_two_windows_on_the_business_do_not_overwrite_each_other(desk: Desk) -> None:
    assert (
        desk.send(
            "/settings/business", home_currency="INR", payment_days="30", tax_regime="plain", legal_name="One"
        ).status_code
        == 303
    )
    late = desk.send(
        "/settings/business", home_currency="INR", payment_days="30", tax_regime="plain", legal_name="Two", version="0"
    )
    assert late.status_code == 409
    assert 'value="Two"' in late.text


def test_the_list_leads_to_each_invoice_and_a_draft_is_called_one(desk: Desk) -> None:
    draft, made = desk.make(then="draft"), desk.make()
    shown = desk.browser.get("/invoices").text
    assert f'href="{draft}"' in shown
    assert f'href="{made}"' in shown
    assert ">None<" not in shown


def test_the_api_knows_the_invoice_that_a_page_made(desk: Desk) -> None:
    made = desk.world.post("/api/invoices", desk.person, INVOICE)
    assert desk.browser.get(f"/invoices/{made.body['id']}").status_code == 200


def test_a_recurring_invoice_begins_as_the_invoice_it_is_made_of(desk: Desk) -> None:
    page = desk.make(notes="Every month the same")
    form = desk.browser.get(f"/recurring/new?invoice={page.rsplit('/', 1)[-1]}").text
    assert {"items-0-description": "Cotton bales", "items-0-unit_price": "1234.56"}.items() <= filled(form).items()
    assert "Every month the same" in form
