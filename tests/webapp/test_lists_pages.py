"""The list of invoices as a page: filters, kept views, work on many, and files that are imported."""

from __future__ import annotations

import io
import re
from typing import Any

import pytest
from flask.testing import FlaskClient

from core.identity import Role
from core.ids import new_id
from core.invoicing import links
from core.lists import bulk, invoice_files
from tests.webapp.conftest import INVOICE, Person, Standing, World
from webapp.auth import now

VOID = {"action": "void", "confirmed": "1"}


@pytest.fixture
def world(standing_file: Standing) -> World:
    return standing_file.world


@pytest.fixture
def seller(world: World) -> Person:
    return world.person(Role.SELLER, f"{new_id()}@example.com", "Asha Devi")


@pytest.fixture
def browser(world: World, seller: Person) -> FlaskClient:
    return world.browser(seller)


def make(world: World, seller: Person, **more: Any) -> dict[str, Any]:
    answer = world.post("/api/invoices", seller, {**INVOICE, **more})
    assert answer.status == 201, answer.body
    made: dict[str, Any] = answer.body
    return made


def post(browser: FlaskClient, path: str, data: dict[str, Any]) -> Any:
    """Send a form as the list's page has it."""
    page = browser.get("/invoices?all=1").get_data(as_text=True)
    token = page.partition('name="csrf_token" value="')[2].partition('"')[0]
    return browser.post(path, data={"csrf_token": token, **data}, content_type="multipart/form-data")


def listed(browser: FlaskClient, query: str) -> list[str]:
    """What the list shows, by number."""
    page = browser.get(f"/invoices?{query}").get_data(as_text=True)
    return re.findall(r'class="cover" href="/invoices/[^"]+">([^<]+)</a>', page)


def work(world: World) -> None:
    while True:
        with world.session() as session:
            if bulk.step(session, links.of(world.parts.settings), now()) is None:
                return


def test_each_filter_leaves_what_fits_and_is_named_in_a_chip(
    world: World, seller: Person, browser: FlaskClient
) -> None:
    rupees = make(world, seller)
    dollars = make(world, seller, currency="USD", due_date="2027-03-01", issue_date="2026-12-01")
    assert listed(browser, "all=1") == [dollars["number"], rupees["number"]]
    for query, number, chip in (
        ("currency=USD", dollars["number"], "USD"),
        ("due_from=2027-01-01", dollars["number"], "Due from 1 Jan 2027"),
        ("issued_to=2026-11-30", rupees["number"], "Issued until 30 Nov 2026"),
        (f"contact_id={rupees['contact']['id']}&currency=INR", rupees["number"], "Bina Buyer"),
        ("amount_max=29.54&currency=INR", rupees["number"], "At most ₹29.54"),
    ):
        assert listed(browser, query) == [number], query
        assert chip in browser.get(f"/invoices?{query}").get_data(as_text=True)
    assert listed(browser, "currency=EUR") == []
    assert listed(browser, "amount_min=29.55") == []
    assert listed(browser, "sort=oldest") == [rupees["number"], dollars["number"]]


@pytest.mark.parametrize(
    "query",
    ["currency=xx", "currency=%00", "due_from=tomorrow", "due_to=9999-12-31", "amount_min=abc", "amount_max=1e400",
     "contact_id=1", "stage=gone", "sort=worst", "status=never", "search=%27", "amount_min=99999999999999999999"],
)  # fmt: skip
def test_a_filter_that_makes_no_sense_is_as_if_it_were_not_there(
    world: World, seller: Person, browser: FlaskClient, query: str
) -> None:
    made = make(world, seller)
    answer = browser.get(f"/invoices?{query}")
    assert answer.status_code == (400 if "%00" in query else 200)
    if "search" not in query and "%00" not in query:
        assert listed(browser, query) == [made["number"]]


def test_a_view_is_kept_and_the_list_begins_with_the_one_that_is_chosen(
    world: World, seller: Person, browser: FlaskClient
) -> None:
    make(world, seller)
    dollars = make(world, seller, currency="USD")
    kept = {"name": "Abroad", "currency": "USD", "amount_min": "1.50", "status": "unpaid", "is_default": "1"}
    assert post(browser, "/invoices/views", kept).status_code == 303
    answer = browser.get("/invoices")
    assert answer.status_code == 303
    assert set(answer.headers["Location"].split("?")[1].split("&")) == {
        "currency=USD",
        "amount_min=1.50",
        "status=unpaid",
    }
    page = browser.get(answer.headers["Location"]).get_data(as_text=True)
    assert dollars["number"] in page
    assert "Abroad" in page
    assert len(listed(browser, "all=1")) == 2
    [view] = world.get("/api/views", seller).body["items"]
    assert post(browser, f"/invoices/views/{view['id']}/delete", {}).status_code == 303
    assert browser.get("/invoices").status_code == 200
    assert post(browser, "/invoices/views", {"name": " "}).status_code == 303
    assert "Give it a name" in browser.get("/invoices?all=1").get_data(as_text=True)


def test_what_is_chosen_is_worked_off_and_its_page_says_how_far(
    world: World, seller: Person, browser: FlaskClient
) -> None:
    one, two = make(world, seller), make(world, seller, draft=True)
    answer = post(browser, "/invoices/bulk", {**VOID, "invoice_id": [one["id"], two["id"]]})
    assert answer.status_code == 303
    there = answer.headers["Location"]
    assert "begins in a moment" in browser.get(there).get_data(as_text=True)
    work(world)
    page = browser.get(there).get_data(as_text=True)
    assert '<b class="num">1</b> of <span class="num">2</span> done, <b class="num">1</b> refused' in page
    assert "A draft is deleted" in page
    assert world.browser(world.person()).get(there).status_code == 404


def test_nothing_is_done_to_many_before_it_is_confirmed(world: World, seller: Person, browser: FlaskClient) -> None:
    invoices = [make(world, seller, notes="saffron") for _ in range(2)]
    for form in ({"invoice_id": [each["id"] for each in invoices]}, {"everything": "1", "search": "saffron"}):
        answer = post(browser, "/invoices/bulk", {"action": "void", **form})
        page = answer.get_data(as_text=True)
        assert (answer.status_code, "Cancel 2 invoices?" in page) == (200, True)
        assert all(name in page for name in (["saffron"] if "everything" in form else form["invoice_id"]))
    assert world.get("/api/bulk", seller).body["items"] == []


def test_all_that_the_filters_show_are_worked_off(world: World, seller: Person, browser: FlaskClient) -> None:
    make(world, seller, notes="saffron")
    make(world, seller)
    answer = post(browser, "/invoices/bulk", {**VOID, "everything": "1", "search": "saffron"})
    work(world)
    job = world.get(f"/api/bulk/{answer.headers['Location'].rsplit('/', 1)[1]}", seller).body
    assert (job["total"], job["done"]) == (1, 1)


@pytest.mark.parametrize(
    "form",
    [{"action": "void"}, {"action": "nothing", "everything": "1"}, {"action": "void", "invoice_id": "x"},
     {"action": "void", "confirmed": "1", "invoice_id": "01a1fe40-df1d-7026-8266-f22742ba0864"}],
)  # fmt: skip
def test_nothing_chosen_or_nothing_to_do_is_said(browser: FlaskClient, form: dict[str, str]) -> None:
    answer = post(browser, "/invoices/bulk", form)
    assert (answer.status_code, "/jobs/" in answer.headers["Location"]) == (303, False)
    assert "notice--bad" in browser.get("/invoices?all=1").get_data(as_text=True)


def test_a_job_is_stopped_from_its_page(world: World, seller: Person, browser: FlaskClient) -> None:
    answer = post(browser, "/invoices/bulk", {**VOID, "invoice_id": make(world, seller)["id"]})
    assert post(browser, f"{answer.headers['Location']}/cancel", {}).status_code == 303
    assert "It was stopped" in browser.get(answer.headers["Location"]).get_data(as_text=True)


def test_a_file_is_brought_read_another_way_and_made(world: World, seller: Person, browser: FlaskClient) -> None:
    file = {"file": (io.BytesIO(invoice_files.template()), "march.csv")}
    answer = post(browser, "/invoices/import", file)
    there = answer.headers["Location"]
    page = browser.get(there).get_data(as_text=True)
    assert "Make 2 invoices" in page
    form = dict(re.findall(r'<select class="form-select" name="(column-\d+)">.*?<option value="(\w+)" selected', page))
    assert len(form) == 16
    ways = {"date_format": "%d-%m-%Y", "decimal": ".", "currency": "inr", "payment_days": "10", "do": "read"}
    assert post(browser, there, {**form, **ways}).status_code == 303
    assert "4 things are wrong" in browser.get(there).get_data(as_text=True)
    assert post(browser, there, {**form, **ways, "payment_days": "many"}).status_code == 303
    assert "makes no sense" in browser.get(there).get_data(as_text=True)
    post(browser, there, {**form, **ways, "date_format": "%Y-%m-%d"})
    job = post(browser, there, {"do": "confirm"}).headers["Location"]
    work(world)
    assert '<b class="num">2</b> of <span class="num">2</span> done' in browser.get(job).get_data(as_text=True)
    assert listed(browser, "sort=oldest") == ["2026/101", "2026/102"]
    assert browser.get(there).headers["Location"] == job


def test_a_file_that_is_none_is_refused_in_words(browser: FlaskClient) -> None:
    for content, words in ((b"%PDF-1.7", "This is a PDF"), (b"one\n", "Must have a row of heads")):
        file = {"file": (io.BytesIO(content), "x.csv")}
        answer = post(browser, "/invoices/import", file)
        assert answer.status_code == 422
        assert words in answer.get_data(as_text=True)


def test_buyers_see_their_list_and_work_on_nothing(world: World, seller: Person) -> None:
    buyer = world.person(Role.BUYER, f"{new_id()}@example.com")
    made = make(world, seller, contact={"name": "B", "email": buyer.actor.email})
    browser = world.browser(buyer)
    assert listed(browser, "currency=INR") == [made["number"]]
    page = browser.get("/invoices").get_data(as_text=True)
    assert "data-pick" not in page
    assert post(browser, "/invoices/bulk", {**VOID, "everything": "1"}).status_code == 403
    assert browser.get("/invoices/import").status_code == 403
    assert world.browser(world.person(Role.OPERATOR)).get("/invoices?sort=due").status_code == 200
