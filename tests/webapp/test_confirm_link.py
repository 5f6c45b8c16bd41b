"""The page behind the link that a buyer gets by mail."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime
from uuid import uuid4

import pytest
from sqlalchemy import text

from core import kyc
from core.identity import Role
from tests.conftest import Servers
from tests.webapp.api.test_financing import LAKH, join, make_invoice
from tests.webapp.conftest import Person, World, standing_world


@pytest.fixture(scope="module")
def world(servers: Servers, file_database_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """One application for the file."""
    yield from standing_world(servers, file_database_url, tmp_path_factory.mktemp("links"))


def value(page: str, name: str) -> str:
    found = re.search(rf'name="{name}"[^>]*value="([^"]*)"', page)
    assert found is not None, page
    return found[1]


@pytest.fixture
def asked(world: World) -> tuple[str, Person, str]:
    """An invoice to somebody without an account: the link in the mail, the seller, the invoice's address."""
    seller = join(world, Role.SELLER)
    email = f"{uuid4().hex}@elsewhere.test"
    invoice = make_invoice(world, seller, email)
    at = f"/api/invoices/{invoice['id']}"
    assert world.post(f"{at}/submit", seller, json={"buyer_email": email}).status == 200
    with world.parts.database.session() as session:
        mail = session.scalars(text("SELECT text FROM mails WHERE to_address = :to"), {"to": email}).one()
    link = re.search(r"https?://[^/]+(/confirm/\S+)", mail)
    assert link is not None
    return link[1], seller, at


def test_a_buyer_without_an_account_confirms_by_the_link(world: World, asked: tuple[str, Person, str]) -> None:
    link, seller, at = asked
    browser = world.app.test_client()
    page = browser.get(link)
    assert page.status_code == 200
    assert value(page.text, "confirmed_amount") == "100000.00"
    form = {"csrf_token": value(page.text, "csrf_token"), "do": "confirm", "confirmed_amount": "99000"}
    refused = browser.post(link, data=form)
    assert refused.status_code == 422
    assert world.get(at, seller).body["status"] == "pending_buyer_confirmation"
    done = browser.post(link, data={**form, "irrevocable": "yes"}, follow_redirects=True)
    assert (done.status_code, "Confirmed" in done.text) == (200, True)
    financing = world.get(at, seller).body["financing"]
    assert (financing["state"], financing["confirmed_amount"]) == ("confirmed", LAKH - 1_000_00)
    again = browser.post(link, data={**form, "do": "reject", "reason": "no"}, follow_redirects=True)
    assert "cannot be taken back" in again.text
    record = world.get(f"{at}/confirmation", seller)
    assert (record.status, record.body["via"]) == (200, "link")


def test_a_buyer_refuses_by_the_link_and_the_seller_reads_why(world: World, asked: tuple[str, Person, str]) -> None:
    link, seller, at = asked
    browser = world.app.test_client()
    token = value(browser.get(link).text, "csrf_token")
    form = {"csrf_token": token, "do": "reject", "reason": "We ordered half", "reason_code": "quantity"}
    assert browser.post(link, data=form).status_code == 303
    assert world.get(at, seller).body["status"] == "rejected"


@pytest.mark.parametrize("spoil", [lambda link: link[:-2] + "AA", lambda link: link + "x", lambda _: "/confirm/x"])
def test_an_altered_link_is_none(world: World, asked: tuple[str, Person, str], spoil: object) -> None:
    link, _, _ = asked
    assert world.app.test_client().get(spoil(link)).status_code == 404  # type: ignore[operator]


def test_an_answer_without_a_form_token_is_refused(world: World, asked: tuple[str, Person, str]) -> None:
    link, seller, at = asked
    browser = world.app.test_client()
    browser.get(link)
    answer = browser.post(link, data={"do": "confirm", "confirmed_amount": "1", "irrevocable": "yes"})
    assert answer.status_code == 403
    assert world.get(at, seller).body["status"] == "pending_buyer_confirmation"


def test_whoever_registers_with_the_asked_address_confirms_in_their_account(
    world: World, asked: tuple[str, Person, str]
) -> None:
    link, seller, at = asked
    with world.session() as session:
        email = session.scalar(
            text("SELECT buyer_email FROM financings WHERE invoice_id = CAST(:id AS uuid)"), {"id": at[-36:]}
        )
    buyer = world.person(Role.BUYER, email)
    with world.session() as session:
        kyc.welcome(session, buyer.actor.id, datetime.now(UTC))
    assert world.post(f"{at}/confirm", buyer).body["status"] == "confirmed"
    assert world.get(at, seller).body["financing"]["state"] == "confirmed"
    # The link shows what was answered, and answers nothing any more.
    assert "You accepted to pay" in world.app.test_client().get(link).text


def test_the_seller_does_not_answer_by_the_link(world: World, asked: tuple[str, Person, str]) -> None:
    link, seller, at = asked
    browser = world.browser(seller)
    form = {"csrf_token": value(browser.get(link).text, "csrf_token"), "confirmed_amount": "1", "irrevocable": "yes"}
    assert browser.post(link, data=form).status_code == 403
    assert world.get(at, seller).body["status"] == "pending_buyer_confirmation"


def test_the_link_is_no_way_around_a_refused_kyc(world: World) -> None:
    seller, buyer = join(world, Role.SELLER), world.person(Role.BUYER)
    invoice = make_invoice(world, seller, buyer.actor.email)
    at = f"/api/invoices/{invoice['id']}"
    assert world.post(f"{at}/submit", seller, json={"buyer_email": buyer.actor.email}).status == 200
    with world.session() as session:
        words = session.scalars(text("SELECT text FROM mails WHERE to_address = :to"), {"to": buyer.actor.email}).one()
    link = words[words.index("/confirm/") :].split()[0]
    browser = world.app.test_client()
    form = {"csrf_token": value(browser.get(link).text, "csrf_token"), "confirmed_amount": "1", "irrevocable": "yes"}
    assert browser.post(link, data=form).status_code == 403
    assert world.get(at, seller).body["status"] == "pending_buyer_confirmation"
