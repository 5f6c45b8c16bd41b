"""Reports over the API, as files and as pages: each seller their own, an operator whoever they name."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import parse_qsl

import pytest
from openpyxl import load_workbook

from core import reports
from core.identity import Role
from core.ids import new_id
from tests.webapp.configured import settings_for
from tests.webapp.conftest import INVOICE, Person, Reply, World, make_world


@pytest.fixture(scope="module")
def world(file_database_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    folder: Path = tmp_path_factory.mktemp("reports")
    made = make_world(settings_for(file_database_url, folder, REDIS_URL="unix:///nowhere/redis.sock"))
    yield made
    made.app.extensions["ledgerwire.gateway"].stop()
    made.parts.database.dispose()


@pytest.fixture(scope="module")
def seller(world: World) -> Person:
    made = world.person(Role.SELLER, "asha@reports.test")
    assert world.post("/api/invoices", made, INVOICE).status == 201
    return made


@pytest.fixture(scope="module")
def operator(world: World) -> Person:
    return world.person(Role.OPERATOR, "olga@reports.test")


def ask(world: World, person: Person, address: str) -> Reply:
    """What is answered at an address with its query."""
    path, _, query = address.partition("?")
    return world.get(path, person, **dict(parse_qsl(query)))


def test_every_report_is_listed_and_answers(world: World, seller: Person) -> None:
    names = [one["name"] for one in world.get("/api/reports", seller).body["items"]]
    assert names == list(reports.NAMES)
    for name in names:
        found = world.get(f"/api/reports/{name}", seller)
        assert (found.status, found.body["name"], found.body["home"]) == (200, name, "INR")


def test_a_figure_names_the_list_it_is_made_of_and_that_list_adds_up_to_it(world: World, seller: Person) -> None:
    owed = world.get("/api/reports/ageing", seller).body["figures"][0]
    assert owed["rows"] == {"of": "invoices", "filters": {"status": "unpaid"}}
    listed = ask(world, seller, "/api/invoices?status=unpaid").body["items"]
    assert sum(one["amount_due"] for one in listed) == owed["value"] > 0


def test_every_filter_a_report_names_is_one_that_the_api_has(world: World, seller: Person) -> None:
    asked = 0
    for name in reports.NAMES:
        body = world.get(f"/api/reports/{name}", seller).body
        rows = [one["rows"] for one in body["figures"]]
        rows += [row["rows"] for table in body["tables"] for row in table["rows"]]
        for one in rows:
            if one is not None and "id" not in one["filters"]:
                query = "&".join(f"{key}={value}" for key, value in one["filters"].items())
                answer = ask(world, seller, f"/api/{one['of']}?{query}")
                assert answer.status == 200, (name, one, answer.body)
                asked += 1
    assert asked > 10


def test_a_table_is_a_file_with_real_numbers(world: World, seller: Person) -> None:
    text = world.browser(seller).get("/api/reports/ageing/customers?format=csv")
    assert text.status_code == 200
    assert text.headers["Content-Disposition"].startswith("attachment; filename=ageing-customers-")
    head, row, *_ = text.get_data().decode("utf-8-sig").splitlines()
    assert head.startswith("Customer,Not due,")
    assert row.endswith(",INR")
    book = world.browser(seller).get("/api/reports/ageing/customers?format=xlsx")
    sheet = load_workbook(io.BytesIO(book.get_data())).active
    assert sheet is not None
    owed = world.get("/api/reports/ageing", seller).body["figures"][0]["value"]
    assert float(str(sheet.cell(2, 7).value)) == owed / 100


@pytest.mark.parametrize(
    ("address", "status"),
    [
        ("/api/reports/horoscope", 404),
        ("/api/reports/ageing/moons", 404),
        ("/api/reports/income?period=yesterday", 422),
        ("/api/reports/income?since=2026-02-30", 422),
        ("/api/reports/income?since=1989-12-31", 422),
        ("/api/reports/income?since=2026-02-02&until=2026-02-01", 422),
        ("/api/reports/income?since=2010-01-01&until=2026-02-01", 422),
        ("/api/reports/income?since=2026-02-01&until=2026-02-01", 200),
        ("/api/reports/income?wanted=1", 422),
    ],
)
def test_what_is_not_understood_is_refused_by_name(world: World, seller: Person, address: str, status: int) -> None:
    assert ask(world, seller, address).status == status


def test_a_seller_reads_their_own_and_an_operator_says_whose(world: World, seller: Person, operator: Person) -> None:
    other = world.person(Role.SELLER, "other@reports.test")
    assert world.get("/api/reports/ageing", other).body["figures"][0]["value"] == 0
    theirs = f"/api/reports/ageing?seller={seller.actor.id}"
    assert ask(world, other, theirs).status == 403
    assert ask(world, seller, theirs).body == ask(world, operator, theirs).body
    assert world.get("/api/reports/ageing", operator).status == 403
    assert ask(world, operator, f"/api/reports/ageing?seller={new_id()}").status == 404
    for role in (Role.BUYER, Role.INVESTOR):
        person = world.person(role)
        assert world.get("/api/reports/ageing", person).status == 403
        assert world.browser(person).get("/reports").status_code == 403
        assert 'href="/reports"' not in world.browser(person).get("/dashboard").get_data(as_text=True)


def test_the_pages_show_pictures_with_words_and_tables_with_links(
    world: World, seller: Person, operator: Person
) -> None:
    browser = world.browser(seller)
    shown = browser.get("/reports").get_data(as_text=True)
    assert 'role="img"' in shown
    for name, (title, _) in reports.NAMES.items():
        page = browser.get(f"/reports/{name}")
        assert page.status_code == 200, name
        assert title in page.get_data(as_text=True)
    ageing = browser.get("/reports/ageing").get_data(as_text=True)
    assert "/invoices?status=unpaid" in ageing
    assert "/api/reports/ageing/customers?format=csv" in ageing
    assert browser.get("/reports/horoscope").status_code == 404
    assert "not understood" in browser.get("/reports/income?since=2026-02-02&until=2026-02-01").get_data(as_text=True)
    kept = f"seller={seller.actor.id}"
    theirs = world.browser(operator).get(f"/reports/ageing?{kept}").get_data(as_text=True)
    assert kept in theirs
    assert "Whose reports?" in world.browser(operator).get("/reports").get_data(as_text=True)


def test_somebody_who_has_sold_nothing_is_told_what_comes_here(world: World) -> None:
    browser = world.browser(world.person(Role.SELLER))
    assert "Nothing to show yet" in browser.get("/reports").get_data(as_text=True)
    assert "Nothing in this period" in browser.get("/reports/income").get_data(as_text=True)
