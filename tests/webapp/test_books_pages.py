"""The pages of contacts, credit notes, recurring invoices and exchange rates: what they show, take and refuse."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from flask.testing import FlaskClient
from sqlalchemy import text

from core.identity import Role
from core.ids import new_id
from tests.conftest import Servers
from tests.webapp.conftest import INVOICE, Person, World, standing_world
from webapp.limits import limiter

TODAY = datetime.now(UTC).date()


@pytest.fixture(scope="module")
def world(servers: Servers, file_database_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    yield from standing_world(servers, file_database_url, Path(tmp_path_factory.mktemp("books")))


@pytest.fixture
def owner(world: World) -> Person:
    return world.person(Role.SELLER, f"{new_id()}@example.com", "Asha Seller")


class Browser:
    """A signed-in browser that fills in the CSRF token of each form."""

    def __init__(self, client: FlaskClient) -> None:
        self.client = client

    def get(self, path: str, code: int = 200, **headers: str) -> str:
        answer = self.client.get(path, headers={name.replace("_", "-"): value for name, value in headers.items()})
        assert answer.status_code == code, (path, answer.status_code, answer.text[:500])
        return answer.text

    def post(self, path: str, code: int = 303, page: str = "/contacts", /, **fields: Any) -> str:
        found = re.search(r'X-CSRFToken": "([^"]+)"', self.client.get(page).text)
        assert found
        given = {name.replace("__", "-"): value for name, value in fields.items()}
        answer = self.client.post(path, data={"csrf_token": found[1], **given})
        assert answer.status_code == code, (path, answer.status_code, answer.text[:800])
        return answer.headers["Location"] if code == 303 else answer.text


@pytest.fixture
def browser(world: World, owner: Person) -> Browser:
    return Browser(world.browser(owner))


def make_invoice(world: World, owner: Person, **more: Any) -> dict[str, Any]:
    made = world.post("/api/invoices", owner, {**INVOICE, **more})
    assert made.status == 201, made.body
    return made.body  # type: ignore[no-any-return]


def line(place: int = 0, **more: str) -> dict[str, str]:
    given = {"description": "Rent", "quantity": "1", "unit_price": "100.00", "tax_rate": "18", **more}
    return {f"items__{place}__{name}": value for name, value in given.items()}


def test_a_contact_is_written_down_changed_put_away_and_brought_back(world: World, browser: Browser) -> None:
    assert "No contacts yet" in browser.get("/contacts")
    form = browser.post("/contacts/new", 422, name="", email="nobody", payment_days="400", tds_rate="x")
    for words in ("Enter a name", "Enter an e-mail address", "Must be between 0 and 365", "Enter a rate as a number"):
        assert words in form
    assert "Is not a GSTIN" in browser.post("/contacts/new", 422, name="Rao", email="r@rao.test", gstin="27X")
    place = browser.post(
        "/contacts/new", name="Rao & Söhne", email="R@Rao.test", tds_rate="0.1", gstin="27aapfu0939f1zv"
    )
    shown = browser.get(place)
    assert all(words in shown for words in ("Rao &amp; Söhne", "r@rao.test", "27AAPFU0939F1ZV", "0.1 % tax", "None"))
    assert "already" in browser.post("/contacts/new", 409, name="Other", email="r@rao.test")
    edit = browser.get(f"{place}/edit")
    assert 'name="version" value="1"' in edit
    browser.post(f"{place}/edit", name="Rao", email="r@rao.test", reminders="yes", version="1")
    stale = browser.post(f"{place}/edit", 409, name="Mine", email="r@rao.test", version="1")
    said = ("while you were editing", "Rao &amp; Söhne → Rao", 'value="Mine"', 'name="version" value="2"')
    assert all(words in stale for words in said)
    browser.post(f"{place}/archive")
    assert "Rao" not in browser.get("/contacts").split("<main")[1].split("filters")[1]
    assert "Rao" in browser.get("/contacts?archived=yes")
    browser.post(f"{place}/restore")
    assert "Rao" in browser.get("/contacts?search=%40rao.test")
    assert "Nothing found" in browser.get("/contacts?search=nobody")


def test_accounts_of_a_contact_are_added_refused_in_words_and_removed(world: World, browser: Browser) -> None:
    places = [browser.post("/contacts/new", name=name, email=f"{name}@acc.test") for name in ("rao", "verma")]
    first, second = (f"{place}/accounts" for place in places)
    assert "None yet" in browser.get(first)
    wrong = browser.post(first, 422, kind="bank_account", value="123", ifsc="HDFC0001234")
    assert ("8 to 34 letters and digits" in wrong, 'value="123"' in wrong) == (True, True)
    assert "Must be one of" in browser.post(first, 422, kind="cash", value="12345678")
    browser.post(first, kind="virtual_account", value="LW12345678", ifsc="ratn0vaapis")
    assert ("RATN0VAAPIS" in browser.get(first), "LW12345678" in browser.get(places[0])) == (True, True)
    assert "Another customer has this account" in browser.post(second, 409, kind="virtual_account", value="lw 12345678")
    remove = browser.get(first).partition('/remove"')[0].rpartition('"')[2]
    browser.post(f"{remove}/remove")
    browser.post(second, kind="virtual_account", value="lw 12345678")
    stranger = world.person(Role.SELLER, f"{new_id()}@example.com")
    Browser(world.browser(stranger)).get(first, 404)


def test_a_contact_shows_what_it_owes_and_its_statement(world: World, owner: Person, browser: Browser) -> None:
    invoice = make_invoice(world, owner)
    place = f"/contacts/{invoice['contact']['id']}"
    assert "₹29.54" in browser.get(place)
    target = {"invoice_id": invoice["id"], "amount": 1000}
    paid = {"amount": 1000, "currency": "INR", "method": "upi", "date": TODAY.isoformat(), "targets": [target]}
    assert world.post("/api/payments", owner, paid).status == 201
    figures = browser.get(f"{place}?fragment=f_figures", HX_Request="true")
    assert "₹19.54" in figures
    assert "<html" not in figures
    assert invoice["number"] in browser.get(f"{place}?fragment=f_past", HX_Request="true")
    span = f"since=2026-11-01&until={max(TODAY, datetime(2026, 11, 30, tzinfo=UTC).date())}"
    statement = browser.get(f"{place}/statement?{span}")
    assert all(words in statement for words in ("Owed at first", invoice["number"], "₹19.54", "/statement.pdf"))
    assert "Nothing moved" in browser.get(f"{place}/statement?since=2020-01-01&until=2020-02-01")
    assert "must not be after" in browser.get(f"{place}/statement?since=2026-12-01&until=2026-11-01", 422).lower()
    assert "year-month-day" in browser.get(f"{place}/statement?since=soon", 422)


def test_an_invoice_is_credited_line_by_line_and_whole(world: World, owner: Person, browser: Browser) -> None:
    invoice = make_invoice(world, owner)
    page = f"/invoices/{invoice['id']}/credit"
    assert f"{page}" in browser.get(f"/invoices/{invoice['id']}")
    form = browser.get(page)
    assert all(words in form for words in ("Tea, 1 kg", "₹29.54", "The whole invoice"))
    more = browser.post(page, 200, page, do="add", **line())
    assert more.count("data-net") == 3
    assert "Enter a reason" in browser.post(page, 422, page, reason="", issue_date=TODAY.isoformat(), **line())
    over = browser.post(page, 422, page, reason="Torn", issue_date=TODAY.isoformat(), **line())
    assert "left of the invoice" in over
    assert "₹118.00" in over
    part = browser.post(page, 303, page, reason="One was torn", issue_date=TODAY.isoformat(), **line(unit_price="5.00"))
    note = browser.get(part)
    assert all(words in note for words in ("CN-2026-00001", "One was torn", "₹5.90", invoice["number"]))
    assert "whole invoice, to the" not in browser.get(page)
    assert "CN-2026-00001" in browser.get("/credit-notes")
    assert "Nothing found" in browser.get("/credit-notes?status=void")
    browser.post(f"{part}/void")
    assert "<dt>Cancelled</dt>" in browser.get(part)
    whole = browser.post(page, 303, page, amount="whole", reason="All of it", issue_date=TODAY.isoformat(), **line())
    assert "₹29.54" in browser.get(whole)
    assert "credited in full" in browser.get(page)
    again = {"reason": "More", "issue_date": TODAY.isoformat(), **line()}
    assert "credited in full" in browser.post(page, 409, "/contacts", **again)


def test_a_recurring_invoice_is_begun_paused_made_changed_and_stopped(
    world: World, owner: Person, browser: Browser
) -> None:
    assert "No contacts yet" in browser.get("/recurring/new")
    contact = make_invoice(world, owner)["contact"]["id"]
    assert "No recurring invoices yet" in browser.get("/recurring")
    given = {
        "name": "Rent",
        "contact_id": contact,
        "currency": "INR",
        "every": "1",
        "frequency": "month",
        "auto": "issue",
    }
    first = TODAY + timedelta(days=3)
    nothing = {**given, "name": "", "every": "0", **line(quantity="0")}
    empty = browser.post("/recurring/new", 422, "/recurring/new", **nothing)
    for words in ("Enter a name", "Must be between 1 and 366", "Choose a first day", "Must be more than 0"):
        assert words in empty
    early = {**given, **line(), "starts_on": first.isoformat(), "ends": "day", "ends_on": TODAY.isoformat()}
    ends = browser.post("/recurring/new", 422, "/recurring/new", **early)
    assert "must not be before the first day" in ends.lower()
    place = browser.post("/recurring/new", 303, "/recurring/new", **given, **line(), starts_on=first.isoformat())
    shown = browser.get(place)
    assert all(words in shown for words in ("Every month", "₹118.00", "in 3 days", "Going on", "None yet", "Delete"))
    browser.post(f"{place}/pause")
    assert "Paused" in browser.get(place)
    browser.post(f"{place}/resume")
    made = browser.post(f"{place}/run")
    assert "Rent" in browser.get(made)
    assert "Stop for good" in browser.get(place)
    change = {**given, "name": "Rent of the shop", "starts_on": first.isoformat(), "version": "3", **line()}
    browser.post(f"{place}/edit", 303, f"{place}/edit", **change)
    stale = browser.post(f"{place}/edit", 409, f"{place}/edit", **change)
    assert "while you were editing" in stale
    assert "Rent of the shop" in browser.get("/recurring?state=active")
    browser.post(f"{place}/stop")
    assert "It has ended" in browser.get(place)
    assert "Rent of the shop" in browser.get("/recurring?state=ended")


def test_rates_are_kept_by_hand_and_from_files(browser: Browser) -> None:
    assert "No rates yet" in browser.get("/rates")
    many = browser.post("/rates", 422, "/rates", currency="USD", day="2026-11-20", rate="many")
    assert "Must be a number" in many
    browser.post("/rates", 303, "/rates", currency="USD", day="2026-11-20", rate="84.1200")
    assert "1 USD = 84.12 INR" in browser.get("/rates")
    lines = b"day,currency,rate\n2026-11-20,USD,x\n"
    wrong = browser.post("/rates/import", 422, "/rates", file=(io.BytesIO(lines), "r.csv"))
    assert "Line 2: rate" in wrong
    assert "Holds no rates" in browser.post("/rates/import", 422, "/rates", file=(io.BytesIO(b"\n"), "r.csv"))
    browser.post("/rates/import", 303, "/rates", file=(io.BytesIO(b"day,currency,rate\n2026-11-21,EUR,90\n"), "r.csv"))
    assert "1 EUR = 90 INR" in browser.get("/rates?currency=EUR")
    browser.post("/rates/remove", 303, "/rates", currency="EUR", home="INR", day="2026-11-21")
    assert "Nothing found" in browser.get("/rates?currency=EUR")


def test_rates_are_fetched_for_whoever_switches_it_on(world: World, owner: Person, browser: Browser) -> None:
    page = browser.get("/rates")
    assert ("Fetch every day" in page, "Fetch now" in page, "In this demo they are made up" in page) == (
        True,
        False,
        True,
    )
    browser.post("/rates/feed", 303, "/rates", do="now")
    assert "Rates are not fetched for you; switch it on first" in browser.get("/rates")
    browser.post("/rates/feed", 303, "/rates", do="on")
    page = browser.get("/rates")
    for words in ("Fetched daily", "Not yet", "Fetch now", "Switch off"):
        assert words in page
    found = world.get("/api/rates/feed", owner).body
    assert (found["on"], found["fetched_at"], found["error"], bool(found["due_at"])) == (True, None, None, True)
    with world.session() as session:
        session.execute(
            text("UPDATE rate_feeds SET error = 'ecb: GET /x answered 500', failures = 1 WHERE user_id = :user"),
            {"user": owner.actor.id},
        )
    page = browser.get("/rates")
    for words in ("Not reached", "The last try failed", "ecb: GET /x answered 500"):
        assert words in page
    assert world.post("/api/rates/feed/fetch", owner).status == 202
    browser.post("/rates/feed", 303, "/rates", do="off")
    assert world.get("/api/rates/feed", owner).body["on"] is False
    assert world.post("/api/rates/feed/fetch", owner).status == 409


def test_switching_the_rates_on_and_off_without_end_is_refused(world: World, owner: Person) -> None:
    # Each time it is switched on they are fetched at once.
    limiter.enabled = True
    limiter.reset()
    try:
        answers = [world.put("/api/rates/feed", owner, {"on": place % 2 == 0}).status for place in range(61)]
    finally:
        limiter.enabled = False
        limiter.reset()
    assert (set(answers[:60]), answers[60]) == ({200}, 429)


def test_the_simulated_bank_has_two_files_and_no_more(world: World) -> None:
    for name, code in (("eurofxref-daily.xml", 200), ("eurofxref-hist-90d.xml", 200), ("eurofxref.xml", 404)):
        answer = world.app.test_client().get(f"/simulated/ecb/{name}")
        assert answer.status_code == code
        assert (b"<Cube time=" in answer.data) is (code == 200)


def test_these_pages_are_for_sellers_and_operators_read_them(world: World, owner: Person) -> None:
    invoice = make_invoice(world, owner)
    contact = f"/contacts/{invoice['contact']['id']}"
    operator = Browser(world.browser(world.person(Role.OPERATOR)))
    for path in ("/contacts", contact, f"{contact}/statement", "/credit-notes", "/recurring", "/rates"):
        operator.get(path)
    # They are everybody's there, so each says whose it is.
    for path in ("/contacts", contact):
        assert "Asha Seller" in operator.get(path)
    assert 'data-label="Seller"' not in Browser(world.browser(owner)).get("/contacts")
    for path in ("/contacts/new", f"{contact}/edit", "/recurring/new", f"/invoices/{invoice['id']}/credit"):
        operator.get(path, 403)
    for role in (Role.BUYER, Role.INVESTOR):
        other = Browser(world.browser(world.person(role)))
        for path in ("/contacts", "/contacts/new", "/recurring", "/recurring/new", "/rates"):
            other.get(path, 403)
        other.get(contact, 404)
    stranger = Browser(world.browser(world.person(Role.SELLER)))
    for path in (contact, f"{contact}/edit", f"{contact}/statement", f"/invoices/{invoice['id']}/credit"):
        stranger.get(path, 404)


def test_a_credit_note_is_kept_as_a_draft_changed_and_issued(world: World, owner: Person, browser: Browser) -> None:
    invoice = make_invoice(world, owner)
    form = f"/invoices/{invoice['id']}/credit"
    line = {"items-0-description": "Tea", "items-0-quantity": "1", "items-0-unit_price": "5.00"}
    given = {"reason": "Torn", "issue_date": TODAY.isoformat(), **line}
    at = browser.post(form, 303, form, keep="draft", **given)
    assert at.startswith("/credit-notes/drafts/")
    page = browser.get(at)
    for words in ("a draft, which credits nothing", 'value="5.00"', 'value="Torn"', "Save draft", "Delete draft"):
        assert words in page
    listed = browser.get("/credit-notes")
    assert (at in listed, "No credit notes yet" in listed) == (True, True)
    browser.post(at, 303, at, keep="draft", version="1", **{**given, "reason": "Late"})
    stale = browser.post(at, 409, at, keep="draft", version="1", **{**given, "notes": "Mine"})
    for words in ("Somebody changed this draft", "Late", "Mine", 'name="version" value="2"'):
        assert words in stale
    wrong = browser.post(at, 422, at, keep="issue", version="2", **{**given, "items-0-unit_price": "999.00"})
    assert "is left of the invoice" in wrong
    issued = browser.post(at, 303, at, keep="issue", version="2", **given)
    assert "Torn" in browser.get(issued)
    browser.get(at, 404)
    other = browser.post(form, 303, form, keep="draft", **given)
    browser.post(f"{other}/delete", 303, other)
    browser.get(other, 404)
