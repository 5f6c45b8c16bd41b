"""The seller's pages of correspondence: sending from the invoice, the words of mails, and the mailbox."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import pytest
from flask.testing import FlaskClient
from sqlalchemy import text

from core.identity import Role
from tests.conftest import Servers
from tests.webapp.conftest import INVOICE, Person, World, standing_world


@pytest.fixture(scope="module")
def world(servers: Servers, file_database_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """One application for the file."""
    yield from standing_world(servers, file_database_url, tmp_path_factory.mktemp("pages"))


@pytest.fixture
def seller(world: World) -> Person:
    return world.person(Role.SELLER, f"{uuid4().hex}@sellers.test", "Asha Seller")


@pytest.fixture
def browser(world: World, seller: Person) -> FlaskClient:
    return world.browser(seller)


def make(world: World, seller: Person, **changes: Any) -> str:
    made = world.post("/api/invoices", seller, {**INVOICE, **changes})
    assert made.status == 201
    return str(made.body["id"])


def csrf(page: str) -> dict[str, str]:
    found = re.search(r'name="csrf_token"[^>]*value="([^"]*)"', page)
    assert found is not None
    return {"csrf_token": found[1]}


def test_what_would_be_mailed_is_shown_and_then_mailed(world: World, seller: Person, browser: FlaskClient) -> None:
    invoice = make(world, seller, draft=True)
    page = browser.get(f"/invoices/{invoice}/mail")
    part = browser.get(f"/invoices/{invoice}/mail?do=send&fragment=f_mail", headers={"HX-Request": "true"})
    for each in (page, part):
        assert each.status_code == 200
        for words in ("It is issued by this", "buyer@example.com", "Dear Bina Buyer", "Invoice (PDF)"):
            assert words in each.text
    assert ("<html" in page.text, "<html" in part.text) == (True, False)
    form = {**csrf(page.text), "to": "accounts@shop.test", "message": "Thank you."}
    done = browser.post(f"/invoices/{invoice}/send", data=form, follow_redirects=True)
    assert "INV-2026-00001 is on its way to accounts@shop.test." in done.text
    assert world.get(f"/api/invoices/{invoice}", seller).body["stage"] in {"sent", "overdue"}


def test_a_reminder_and_a_message_go_from_the_page(world: World, seller: Person, browser: FlaskClient) -> None:
    invoice = make(world, seller)
    token = csrf(browser.get(f"/invoices/{invoice}/mail?do=remind").text)
    told = browser.post(f"/invoices/{invoice}/remind", data=token, follow_redirects=True)
    assert "A reminder is on its way to buyer@example.com." in told.text
    again = browser.post(f"/invoices/{invoice}/remind", data=token, follow_redirects=True)
    assert "A reminder went out a moment ago." in again.text
    wrote = browser.post(f"/invoices/{invoice}/write", data={**token, "message": "Hello"}, follow_redirects=True)
    assert "Your message is on its way" in wrote.text
    assert len(world.get(f"/api/invoices/{invoice}/mails", seller).body["items"]) == 2


@pytest.mark.parametrize(("do", "form"), [("send", {"to": "nobody"}), ("write", {"message": " "})])
def test_what_cannot_be_mailed_is_said(
    world: World, seller: Person, browser: FlaskClient, do: str, form: dict[str, str]
) -> None:
    invoice = make(world, seller)
    token = csrf(browser.get(f"/invoices/{invoice}/mail").text)
    done = browser.post(f"/invoices/{invoice}/{do}", data={**token, **form})
    assert done.status_code in {303, 422}
    assert world.get(f"/api/invoices/{invoice}/mails", seller).body["items"] == []


def test_links_are_taken_back_from_the_page(world: World, seller: Person, browser: FlaskClient) -> None:
    invoice = make(world, seller)
    before = world.get(f"/api/invoices/{invoice}/link", seller).body["url"]
    token = csrf(browser.get(f"/invoices/{invoice}/mail").text)
    browser.post(f"/invoices/{invoice}/new-link", data=token)
    assert world.get(f"/api/invoices/{invoice}/link", seller).body["url"] != before


def test_when_customers_are_reminded_is_set_on_a_page(world: World, seller: Person, browser: FlaskClient) -> None:
    page = browser.get("/settings/mail")
    assert "-3, 0, 7, 14, 30" in page.text
    token = csrf(page.text)
    saved = browser.post(
        "/settings/mail", data={**token, "reminders": "yes", "days": "\N{MINUS SIGN}1; +5,10"}, follow_redirects=True
    )
    assert "Your choice was saved." in saved.text
    kept = world.get("/api/mail-settings", seller).body
    assert ([rule["days"] for rule in kept["rules"]], kept["receipts"]) == ([-1, 5, 10], False)
    for days in ("soon", "1.5", "-91", "1,1", "²", ",".join(map(str, range(13)))):
        refused = browser.post("/settings/mail", data={**token, "days": days})
        assert refused.status_code == 422, days
    assert world.get("/api/mail-settings", seller).body == kept


def test_words_are_looked_at_filled_in_kept_and_given_up(world: World, seller: Person, browser: FlaskClient) -> None:
    page = browser.get("/settings/mail/invoice")
    assert "Dear Example Traders" in page.text
    form = {**csrf(page.text), "subject": "Bill {{number}}", "body": "<b>{{customer}}</b> {{link}}"}
    shown = browser.post("/settings/mail/invoice", data={**form, "do": "preview"})
    assert "Bill INV-0001" in shown.text
    assert "&lt;b&gt;Example Traders&lt;/b&gt;" in shown.text
    assert world.get("/api/mail-templates", seller).body["items"][0]["own"] is False
    browser.post("/settings/mail/invoice", data={**form, "do": "save"})
    assert world.get("/api/mail-templates", seller).body["items"][0]["subject"] == "Bill {{number}}"
    refused = browser.post("/settings/mail/invoice", data={**form, "body": "{{nobody}}", "do": "save"})
    assert (refused.status_code, "nothing is called {{nobody}} here" in refused.text.lower()) == (422, True)
    browser.post("/settings/mail/invoice", data={**form, "do": "reset"})
    assert world.get("/api/mail-templates", seller).body["items"][0]["own"] is False
    assert browser.get("/settings/mail/nothing").status_code == 404


@pytest.mark.parametrize("role", [Role.BUYER, Role.INVESTOR, Role.OPERATOR])
def test_only_sellers_have_words(world: World, role: Role) -> None:
    other = world.browser(world.person(role, f"{uuid4().hex}@others.test"))
    assert [other.get(path).status_code for path in ("/settings/mail", "/settings/mail/invoice")] == [403, 403]


def test_whoever_sent_a_mail_finds_it_in_the_mailbox_with_its_file(
    world: World, seller: Person, browser: FlaskClient
) -> None:
    invoice = make(world, seller)
    mail_id = world.post(f"/api/invoices/{invoice}/send", seller, {"to": "far@away.test"}).body["mail_id"]
    assert "far@away.test" in browser.get("/mailbox").text
    page = browser.get(f"/mailbox/{mail_id}").text
    assert ("/i/" in page, "Invoice (PDF)" in page) == (True, True)
    paper = browser.get(f"/mailbox/{mail_id}/files/0")
    assert (paper.status_code, paper.data[:5]) == (200, b"%PDF-")
    assert browser.get(f"/mailbox/{mail_id}/files/1").status_code == 404
    stranger = world.browser(world.person(Role.SELLER, f"{uuid4().hex}@others.test"))
    for path in (f"/mailbox/{mail_id}", f"/mailbox/{mail_id}/files/0"):
        assert stranger.get(path).status_code == 404
    with world.session() as session:
        session.execute(
            text(
                "UPDATE mails SET state = 'failed', bounced_at = now(), bounce_reason = 'nobody lives here' "
                "WHERE id = CAST(:id AS uuid)"
            ),
            {"id": mail_id},
        )
    assert "nobody lives here" in browser.get(f"/mailbox/{mail_id}").text
    assert "Came back" in browser.get("/mailbox").text
    assert "Came back" in browser.get(f"/invoices/{invoice}").text
    # It came back from another address than the customer's, which is not bad by that.
    contact = world.get(f"/api/invoices/{invoice}", seller).body["contact"]["id"]
    assert "come back" not in browser.get(f"/contacts/{contact}").text
    with world.session() as session:
        session.execute(
            text("UPDATE mails SET to_address = 'buyer@example.com' WHERE id = CAST(:id AS uuid)"), {"id": mail_id}
        )
    for page in (f"/contacts/{contact}", f"/invoices/{invoice}"):
        assert "Mails to buyer@example.com come back" in browser.get(page).text


def test_a_credit_note_is_mailed_from_its_page(world: World, seller: Person, browser: FlaskClient) -> None:
    invoice = make(world, seller)
    lines = [{"description": "Torn", "quantity": "1", "unit_price": 5_00}]
    made = world.post("/api/credit-notes", seller, {"invoice_id": invoice, "reason": "Torn", "items": lines}).body
    at = f"/credit-notes/{made['id']}"
    assert "Not mailed yet" in browser.get(at).text
    page = browser.get(f"{at}/mail")
    for words in ("buyer@example.com", "Dear Bina Buyer", "Credit note (PDF)"):
        assert words in page.text
    form = {**csrf(page.text), "to": "not an address"}
    assert "an e-mail address" in browser.post(f"{at}/send", data=form, follow_redirects=True).text
    done = browser.post(f"{at}/send", data={**form, "to": "accounts@shop.test"}, follow_redirects=True)
    assert f"{made['number']} is on its way to accounts@shop.test." in done.text
    for words in ("Send again", "To accounts@shop.test", "On its way"):
        assert words in done.text
    with world.session() as session:
        session.execute(
            text(
                "UPDATE mails SET to_address = 'buyer@example.com', state = 'failed', bounced_at = now(), "
                "bounce_reason = '550 nobody here' WHERE sender_id = :id"
            ),
            {"id": seller.actor.id},
        )
    page = browser.get(at)
    for words in ("Came back", "Mails to buyer@example.com come back", "550 nobody here"):
        assert words in page.text
