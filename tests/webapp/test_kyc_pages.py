"""The pages of KYC: one's own, and the operators' queue and decision."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from io import BytesIO
from itertools import count
from typing import Any

import pytest
from flask.testing import FlaskClient

from core import kyc
from core.identity import Role
from core.ids import new_id
from tests.webapp.api.test_kyc import PDF, PROFILE
from tests.webapp.conftest import Person, Standing, World

_numbers = count(1)


@pytest.fixture
def world(standing: Standing) -> World:
    return standing.world


def send(browser: FlaskClient, page: str, path: str, data: dict[str, Any], **more: Any) -> Any:
    """Send a form of a page, with the page's own token."""
    token = re.search(r'name="csrf_token" value="([^"]+)"', browser.get(page).text)
    assert token is not None
    return browser.post(path, data={"csrf_token": token[1], **data}, **more)


def handed_in(world: World, pan: str | None = None) -> Person:
    person = world.person()
    number = pan or f"AAXFU{next(_numbers):04d}K"
    answer = world.post("/api/auth/kyc", person, {**PROFILE, "pan": number, "gstin": None})
    assert answer.status == 200
    return person


def test_a_person_hands_in_a_profile_and_a_paper(world: World) -> None:
    browser = world.browser(world.person())
    assert "Nothing was handed in yet" in browser.get("/kyc").text
    assert send(browser, "/kyc", "/kyc", PROFILE).status_code == 303
    sent = send(browser, "/kyc", "/kyc/documents", {"kind": "pan_card", "file": (BytesIO(PDF), "pan.pdf")})
    assert sent.headers["Location"].endswith("/kyc#papers")
    page = browser.get("/kyc").text
    assert "An operator looks at it next" in page
    assert "pan.pdf" in page
    assert "PAN card: handed in." in page
    assert "Still missing: GST certificate, Proof of address, Bank statement." in page


def test_what_is_wrong_stands_beside_its_field(world: World) -> None:
    browser = world.browser(world.person())
    answer = send(browser, "/kyc", "/kyc", PROFILE | {"gstin": "27AAPFU0939F1ZW"})
    assert answer.status_code == 422
    assert "wrong check character" in answer.text
    # What was typed stays.
    assert "Uma Traders LLP" in answer.text
    assert send(browser, "/kyc", "/kyc", PROFILE | {"constitution": "x"}).status_code == 422
    assert "Nothing was handed in yet" in browser.get("/kyc").text


def test_a_paper_that_is_none_is_refused_in_words(world: World) -> None:
    browser = world.browser(world.person())
    for file, words in (
        ((BytesIO(b"MZ"), "a.pdf"), "taken are: JPEG, PDF, PNG"),
        ((BytesIO(b""), ""), "Choose a file"),
    ):
        send(browser, "/kyc", "/kyc/documents", {"kind": "pan_card", "file": file})
        assert words in browser.get("/kyc").text


def test_whoever_is_verified_is_asked_before_the_form(world: World) -> None:
    person = world.person()
    with world.session() as session:
        kyc.welcome(session, person.actor.id, datetime.now(UTC))
    browser = world.browser(person)
    assert 'name="pan"' not in browser.get("/kyc").text
    assert "Verified, because this is a demo" in browser.get("/kyc").text
    assert 'name="pan"' in browser.get("/kyc?edit=1").text


def test_an_operator_decides_with_a_reason(world: World) -> None:
    person, operator = handed_in(world), world.person(Role.OPERATOR)
    browser = world.browser(operator)
    address = f"/kyc-reviews/{person.actor.id}"
    assert address in browser.get("/kyc-reviews").text
    assert address not in browser.get("/kyc-reviews?state=verified").text
    page = browser.get(address).text
    assert "1 of 5 do not fit" in page
    version = re.search(r'name="version" value="(\d+)"', page)
    assert version is not None
    without = send(browser, address, address, {"decision": "verify", "reason": " ", "version": version[1]})
    assert without.status_code == 422
    stale = send(browser, address, address, {"decision": "verify", "reason": "ok", "version": "0"})
    assert (stale.status_code, "look again" in stale.text) == (409, True)
    done = send(browser, address, address, {"decision": "reject", "reason": "Blurred.", "version": version[1]})
    assert done.status_code == 303
    assert "Blurred." in world.browser(person).get("/kyc").text
    assert "Nothing to decide" in browser.get(address).text


def test_pages_are_for_whom_they_are_for(world: World) -> None:
    person, operator = world.person(), world.person(Role.OPERATOR)
    assert world.browser(person).get("/kyc-reviews").status_code == 403
    assert world.browser(person).get(f"/kyc-reviews/{person.actor.id}").status_code == 403
    assert world.browser(operator).get("/kyc").status_code == 403
    assert world.browser(operator).get(f"/kyc-reviews/{new_id()}").status_code == 404
    assert "Nobody found" in world.browser(operator).get("/kyc-reviews?search=nobody-like-that").text


def test_two_accounts_of_one_pan_are_shown_to_the_operator_and_not_to_them(world: World) -> None:
    one, two = (handed_in(world, "AAXFU9999K") for _ in range(2))
    browser = world.browser(world.person(Role.OPERATOR))
    page = browser.get(f"/kyc-reviews/{one.actor.id}").text
    assert "The same PAN is given by" in page
    assert two.actor.email in page
    assert "Shared" in browser.get("/kyc-reviews").text
    assert two.actor.email not in world.browser(one).get("/kyc").text


def test_the_parts_that_refresh_themselves_can_be_asked_for_alone(world: World) -> None:
    person, operator = handed_in(world), world.person(Role.OPERATOR)
    for who, path, block, words in (
        (person, "/kyc", "f_state", "An operator looks at it next"),
        (person, "/kyc", "f_checks", "Name of the account"),
        (operator, "/kyc-reviews", "f_list", str(person.actor.id)),
        (operator, "/kyc-reviews", "f_more", str(person.actor.id)),
    ):
        answer = world.browser(who).get(f"{path}?fragment={block}", headers={"HX-Request": "true"})
        assert (answer.status_code, words in answer.text, "<html" in answer.text) == (200, True, False), block
