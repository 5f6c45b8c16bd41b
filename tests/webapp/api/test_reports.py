"""Reports over the API, as files and as pages: each seller their own, an operator whoever they name."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

import pytest
from openpyxl import load_workbook
from sqlalchemy import text

from core import reports
from core.identity import Role
from core.ids import new_id
from tests.webapp.configured import settings_for
from tests.webapp.conftest import INVOICE, Person, Reply, World, make_world
from webapp.pages import charts


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


def _links(body: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any], int]]:
    """Every link of a report that adds up to something: where it stands, the link, and what it adds up to."""
    for one in body["figures"]:
        assert one["rows"] is not None, one["label"]
        if one["kind"] == "money":
            yield one["label"], one["rows"], one["value"]
    for point in body["picture"]["points"] if body["picture"] else ():
        assert point["rows"] is not None, point["label"]
        if body["picture"]["kind"] == "money":
            yield point["label"], point["rows"], point["amount"]
    for table in body["tables"]:
        for row in table["rows"]:
            if row["column"] is not None:
                yield f"{table['name']} {row['cells']}", row["rows"], row["cells"][row["column"]]


def _sum(world: World, person: Person, name: str, filters: dict[str, str]) -> tuple[int, int, int]:
    """What the pages of rows say they come to, and what the rows come to: total, sum, and how many there are."""
    total, added, count, cursor = 0, 0, 0, None
    while True:
        asked = {**filters, "limit": "2", **({"cursor": cursor} if cursor else {})}
        found = world.get(f"/api/reports/{name}/rows", person, **asked)
        assert found.status == 200, (name, filters, found.body)
        total, cursor = found.body["total"], found.body["next_cursor"]
        added += sum(one["home_amount"] for one in found.body["items"])
        count += len(found.body["items"])
        assert count <= found.body["count"]
        if cursor is None:
            assert count == found.body["count"]
            return total, added, count


@pytest.fixture(scope="module")
def trader(world: World) -> Person:
    """A seller with a bit of everything: registered and other customers, two currencies, payments, bank lines."""
    made = world.person(Role.SELLER, "trader@reports.test")
    today = datetime.now(UTC).date()
    last = (today.replace(day=1) - timedelta(days=1)).replace(day=1)
    assert world.put("/api/business", made, {"tax_regime": "gst", "gstin": "27AAPFU0939F1ZV"}).status == 200
    rates = f"date,currency,home,rate\n{last},USD,INR,83.335\n{today},USD,INR,84.01\n"
    with world.parts.database.connect() as connection:
        for row in rates.splitlines()[1:]:
            when, currency, home, rate = row.split(",")
            connection.execute(
                text("INSERT INTO exchange_rates VALUES (:user, :currency, :home, :day, :rate, 'hand', now())"),
                {"user": made.actor.id, "currency": currency, "home": home, "day": when, "rate": rate},
            )
    for place, (state, gstin, currency, rate) in enumerate(
        [("29", "29AAFCC9980M1ZR", "INR", "18"), ("27", None, "INR", "5"), ("96", None, "USD", "0"),
         ("07", None, "INR", "18"), ("27", None, "EUR", "18"), ("29", "29AAFCC9980M1ZR", "INR", "0")]
    ):  # fmt: skip
        days = [last + timedelta(days=2), last + timedelta(days=3)]
        for day in days:
            item = {"description": "Cloth", "quantity": "3", "unit_price": 33_33 + place, "tax_rate": rate,
                    "hsn": "5208", "unit": "PCS"}  # fmt: skip
            contact = {
                "name": f"Customer {place}",
                "email": f"c{place}@buyer.test",
                "gstin": gstin,
                "state_code": state,
            }
            body = {"contact": contact, "currency": currency, "issue_date": str(day), "place_of_supply": state,
                    "due_date": str(day + timedelta(days=10)), "items": [item, item]}  # fmt: skip
            sold = world.post("/api/invoices", made, body)
            assert sold.status == 201, sold.body
            if day == days[0]:
                paid = {"amount": 50_00, "currency": currency, "method": "upi", "date": str(day),
                        "targets": [{"invoice_id": sold.body["id"], "amount": 50_00}]}  # fmt: skip
                assert world.post("/api/payments", made, paid).status == 201
    with world.parts.database.connect() as connection:
        for place, state in enumerate(("none", "proposed", "accepted")):
            connection.execute(
                text(
                    "INSERT INTO transactions (id, user_id, connection_id, account_object_id, object_id, version, "
                    "status, amount, currency, narration, occurred_at, trust, match_state) VALUES (:id, :user, :id, "
                    "'a', 'b', 1, 'posted', :amount, 'USD', 'NEFT', :day, 'signed', :state)"
                ),
                {"id": new_id(), "user": made.actor.id, "amount": 101 + place, "day": last, "state": state},
            )
    return made


@pytest.mark.parametrize("name", reports.NAMES)
def test_the_rows_behind_every_figure_and_bar_add_up_to_it(world: World, trader: Person, name: str) -> None:
    body = world.get(f"/api/reports/{name}", trader).body
    followed = 0
    for label, link, value in _links(body):
        assert link["of"] == "rows", label
        total, added, count = _sum(world, trader, name, link["filters"])
        assert (total, added) == (value, value), (label, link)
        followed += count > 0
        page = world.browser(trader).get(f"/reports/{name}/rows", query_string=link["filters"])
        assert page.status_code == 200
    assert followed >= _FOLLOWED[name]


# So many figures and bars of each report have rows in these books; fees have none.
_FOLLOWED = {"ageing": 6, "expected": 4, "dso": 4, "income": 8, "tax": 14, "methods": 3, "fees": 0, "reconciliation": 5}


@pytest.mark.parametrize(
    "query",
    [
        "measure=moons", "part=moons=1", "part=age", "cursor=x", "limit=0", "limit=101", "part=" + "x" * 401,
        "measure=" + "x" * 41, "part=age=4;age=%2500",
    ],
)  # fmt: skip
def test_rows_that_there_are_not_are_refused(world: World, seller: Person, query: str) -> None:
    refused = ask(world, seller, f"/api/reports/ageing/rows?{query}")
    # The wrong part is named: it is not the database that refuses it.
    assert (refused.status, len(refused.body["errors"])) == (422, 1), refused.body


def test_a_month_is_filed_and_opened_again_over_the_api_and_on_the_page(world: World, trader: Person) -> None:
    today = datetime.now(UTC).date()
    month = f"{(today.replace(day=1) - timedelta(days=1)):%Y-%m}"
    address = f"/api/reports/tax/months/{month}"
    assert world.post(f"/api/reports/tax/months/{today:%Y-%m}/file", trader).status == 409
    for wrong in ("2026-13", "2026-1", "1999-01", "x", "0000-01", "2017-06", "2200-01", "9999-12", "٢٠٢٦-10"):
        assert world.post(f"/api/reports/tax/months/{wrong}/file", trader).status == 422, wrong
        assert world.get(f"/api/reports/tax/months/{wrong}/gstr1.json", trader).status == 422, wrong
    filed = world.post(f"{address}/file", trader)
    assert (filed.status, filed.body["documents"]) == (200, 10)
    assert [one["month"] for one in world.get("/api/reports/tax/months", trader).body["items"]] == [f"{month}-01"]
    browser = world.browser(trader)
    shown = browser.get("/reports/tax").get_data(as_text=True)
    assert "Marked as filed" in shown
    token = {"csrf_token": re.findall(r'name="csrf_token"[^>]*value="([^"]*)"', shown)[0]}
    for wrong, status in (("9999-12", 422), ("2017-06", 422), ("x", 404)):
        assert browser.post(f"/reports/tax/{wrong}/reopen", data=token).status_code == status, wrong
    assert f"/reports/tax/{month}/reopen" in shown
    assert world.post(f"{address}/reopen", trader).body == {"items": []}
    file = world.get(f"{address}/gstr1.json", trader)
    assert file.body["fp"] == month[5:] + month[:4]
    # What has no rate is in no return.
    assert sum(len(one["inv"]) for one in file.body["b2b"]) == 2
    assert "Mark as filed" in world.browser(trader).get("/reports/tax").get_data(as_text=True)


def test_a_table_is_a_file_with_real_numbers(world: World, seller: Person) -> None:
    file = world.browser(seller).get("/api/reports/ageing/customers?format=csv")
    assert file.status_code == 200
    assert file.headers["Content-Disposition"].startswith("attachment; filename=ageing-customers-")
    head, row, *_ = file.get_data().decode("utf-8-sig").splitlines()
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
    assert "chart__ticks" in shown
    assert "/reports/ageing/rows?measure=due" in shown
    for name, (title, _) in reports.NAMES.items():
        page = browser.get(f"/reports/{name}")
        assert page.status_code == 200, name
        assert title in page.get_data(as_text=True)
    ageing = browser.get("/reports/ageing").get_data(as_text=True)
    assert "/reports/ageing/rows?measure=due&amp;part=age%3D4" in ageing
    assert "/api/reports/ageing/customers?format=csv" in ageing
    assert browser.get("/reports/horoscope").status_code == 404
    assert "not understood" in browser.get("/reports/income?since=2026-02-02&until=2026-02-01").get_data(as_text=True)
    # A named period stands, whatever days are left in the form.
    month = browser.get("/reports/income?period=this_month&since=2019-01-01&until=2019-02-01").get_data(as_text=True)
    assert "2019" not in month.split('class="period"')[0]
    assert "“Before” is" not in month
    assert "“Before” is" in browser.get("/reports/income?compare=true").get_data(as_text=True)
    kept = f"seller={seller.actor.id}"
    theirs = world.browser(operator).get(f"/reports/ageing?{kept}").get_data(as_text=True)
    assert kept in theirs
    assert "Whose reports?" in world.browser(operator).get("/reports").get_data(as_text=True)


def test_rows_of_invoices_lead_to_the_list_where_they_are_worked_on(
    world: World, seller: Person, operator: Person
) -> None:
    browser = world.browser(seller)
    shown = browser.get("/reports/ageing/rows?measure=due&part=age%3D0").get_data(as_text=True)
    assert "Receivables by age: not due" in shown
    (link,) = re.findall(r'href="([^"]+)">Show these in Invoices', shown)
    assert parse_qsl(link.partition("?")[2].replace("&amp;", "&"))[0] == ("status", "unpaid")
    listed = browser.get(link.replace("&amp;", "&")).get_data(as_text=True)
    wanted = re.findall(r'href="/invoices/([0-9a-f-]{36})"', shown)
    assert wanted
    assert set(wanted) == set(re.findall(r'href="/invoices/([0-9a-f-]{36})"', listed))
    # A week depends on how each customer pays, income has credit notes in it, and operators work on nothing.
    for person, path in ((seller, "expected/rows?part=week%3D5"), (seller, "income/rows"),
                         (operator, f"ageing/rows?seller={seller.actor.id}")):  # fmt: skip
        assert "Show these" not in world.browser(person).get(f"/reports/{path}").get_data(as_text=True)


def test_somebody_who_has_sold_nothing_is_told_what_comes_here(world: World) -> None:
    browser = world.browser(world.person(Role.SELLER))
    assert "Nothing to show yet" in browser.get("/reports").get_data(as_text=True)
    assert "Nothing in this period" in browser.get("/reports/income").get_data(as_text=True)


@pytest.mark.parametrize(
    ("top", "marks"),
    [(-5, [0]), (0, [0]), (1, [0, 1]), (4, [0, 1, 2, 3, 4]), (5, [0, 2, 4, 6]), (92, [0, 50, 100]),
     (80_000, [0, 20_000, 40_000, 60_000, 80_000]), (80_001, [0, 50_000, 100_000])],
)  # fmt: skip
def test_an_axis_ends_at_or_above_the_highest_bar(top: int, marks: list[int]) -> None:
    assert charts.ticks(top) == marks
