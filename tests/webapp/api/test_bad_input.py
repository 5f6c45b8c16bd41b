"""Whatever a stranger sends ends in a problem document of the 400s, never in a 5xx."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.webapp.conftest import INVOICE, Person, World

JSON = "application/json"


def _with(**changes: Any) -> bytes:
    return json.dumps(INVOICE | changes).encode()


def _item(**changes: Any) -> bytes:
    return _with(items=[INVOICE["items"][0] | changes])


@pytest.mark.parametrize(
    ("body", "content_type", "status"),
    [
        pytest.param(b"", JSON, 400, id="nothing"),
        pytest.param(b"{", JSON, 400, id="half a body"),
        pytest.param(b"not json", JSON, 400, id="not JSON"),
        pytest.param(b"\xff\xfe\x00", JSON, 400, id="not UTF-8"),
        pytest.param(b"[" * 100_000, JSON, 400, id="nested without end"),
        pytest.param(b'{"a":' * 40 + b"1" + b"}" * 40, JSON, 400, id="nested too deep"),
        pytest.param(b'{"notes": NaN}', JSON, 400, id="NaN"),
        pytest.param(b"1" * 5000, JSON, 400, id="a number of 5000 digits"),
        pytest.param(b'{"a": 1, "a": 2}', JSON, 400, id="a member twice"),
        pytest.param(_with(notes="\x00"), JSON, 400, id="NUL"),
        pytest.param(b'{"notes": "\\ud800"}', JSON, 400, id="half a surrogate pair"),
        pytest.param(b"[]", JSON, 422, id="an array"),
        pytest.param(b"null", JSON, 422, id="null"),
        pytest.param(b'"text"', JSON, 422, id="a text"),
        pytest.param(b"{}", JSON, 422, id="empty"),
        pytest.param(_with(), "text/plain", 415, id="plain text"),
        pytest.param(_with(), "application/x-www-form-urlencoded", 415, id="a form"),
        pytest.param(_with(), "", 415, id="no type"),
        pytest.param(_with(notes="x" * 1_100_000), JSON, 413, id="too large"),
        pytest.param(_with(unknown=1), JSON, 422, id="an unknown field"),
        pytest.param(_with(currency="rupees"), JSON, 422, id="not a currency"),
        pytest.param(_with(currency="ZZZ"), JSON, 422, id="no such currency"),
        pytest.param(_with(currency=["INR"]), JSON, 422, id="a currency in a list"),
        pytest.param(_with(issue_date="2026-02-30"), JSON, 422, id="no such day"),
        pytest.param(_with(issue_date=20261101), JSON, 422, id="a day as a number"),
        pytest.param(_with(issue_date="0001-01-01"), JSON, 422, id="a day in antiquity"),
        pytest.param(_with(due_date="9999-12-31"), JSON, 422, id="a day at the end of time"),
        pytest.param(_with(due_date="2026-10-01"), JSON, 422, id="due before it is issued"),
        pytest.param(_with(items=[]), JSON, 422, id="no lines"),
        pytest.param(_with(items=INVOICE["items"] * 201), JSON, 422, id="too many lines"),
        pytest.param(_with(contact={"name": "B", "email": "not one"}), JSON, 422, id="not an e-mail"),
        pytest.param(_with(contact={"name": "  ", "email": "b@example.com"}), JSON, 422, id="a blank name"),
        pytest.param(_item(quantity="0"), JSON, 422, id="none of it"),
        pytest.param(_item(quantity="-1"), JSON, 422, id="less than none"),
        pytest.param(_item(quantity="1e999999999"), JSON, 422, id="a quantity beyond all"),
        pytest.param(_item(quantity="NaN"), JSON, 422, id="a quantity that is no number"),
        pytest.param(_item(quantity="0.0000001"), JSON, 422, id="too many places"),
        pytest.param(_item(quantity=True), JSON, 422, id="a quantity of true"),
        pytest.param(_item(quantity="999999999999", unit_price=10**15), JSON, 422, id="a total beyond all"),
        pytest.param(_item(unit_price=10.5), JSON, 422, id="half a paisa"),
        pytest.param(_item(unit_price="1001"), JSON, 422, id="a price as text"),
        pytest.param(_item(unit_price=10**30), JSON, 422, id="a price beyond bigint"),
        pytest.param(_item(unit_price=-1), JSON, 422, id="a negative price"),
        pytest.param(_item(unit_price=True), JSON, 422, id="a price of true"),
        pytest.param(_item(unit_price=0), JSON, 422, id="worth nothing"),
        pytest.param(_item(tax_rate=101), JSON, 422, id="more tax than net"),
        pytest.param(_item(description=""), JSON, 422, id="no description"),
        pytest.param(_item(description="   "), JSON, 422, id="a blank description"),
    ],
)
def test_a_bad_body_is_named(
    shared_world: World, shared_seller: Person, body: bytes, content_type: str, status: int
) -> None:
    answer = shared_world.ask("POST", "/api/invoices", shared_seller, data=body, content_type=content_type)
    assert answer.status == status, answer.body
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert answer.body["type"] == f"/problems/{answer.body['code']}"
    assert answer.body["status"] == status
    if status == 422:
        assert answer.body["errors"]
        assert all(set(each) == {"field", "message"} for each in answer.body["errors"])


@pytest.mark.parametrize(
    ("path", "status"),
    [
        pytest.param("/api/invoices?limit=0", 422, id="a page of nothing"),
        pytest.param("/api/invoices?limit=99999999999999999999", 422, id="a page of everything"),
        pytest.param("/api/invoices?limit=ten", 422, id="a limit in words"),
        pytest.param("/api/invoices?cursor=!!!", 422, id="not a cursor"),
        pytest.param("/api/invoices?cursor=" + "A" * 199, 422, id="a long cursor"),
        pytest.param("/api/invoices?cursor=" + "A" * 5000, 422, id="an over-long cursor"),
        pytest.param("/api/payments?cursor=WyIyMDI2LTAxLTAxIiwgIngiXQ", 422, id="a cursor of another list"),
        pytest.param("/api/invoices?colour=red", 422, id="an unknown name"),
        pytest.param("/api/invoices?limit=1&limit=2", 422, id="a name twice"),
        pytest.param("/api/invoices?search=%00", 400, id="NUL in the query"),
        pytest.param("/api/invoices?search=%ff%fe", 200, id="a query that is not UTF-8"),
        pytest.param("/api/invoices?status=lost", 422, id="no such state"),
        pytest.param("/api/payments?invoice_id=7", 422, id="not an id"),
        pytest.param("/api/invoices/7", 404, id="no such place"),
        pytest.param("/api/invoices/%00", 400, id="NUL in the path"),
        pytest.param("/api/nothing", 404, id="nowhere"),
        pytest.param("/api/" + "x" * 3000, 404, id="a long way"),
    ],
)
def test_a_bad_address_is_answered(shared_world: World, shared_seller: Person, path: str, status: int) -> None:
    answer = shared_world.ask("GET", path, shared_seller)
    assert answer.status == status, answer.body
    if status >= 400:
        assert answer.headers["Content-Type"] == "application/problem+json"


def test_a_wrong_method_names_the_right_ones(shared_world: World, shared_seller: Person) -> None:
    answer = shared_world.ask("PATCH", "/api/invoices", shared_seller, json={})
    assert (answer.status, answer.body["code"]) == (405, "method_not_allowed")
    assert set(answer.headers["Allow"].replace(",", " ").split()) >= {"GET", "POST"}


@pytest.mark.parametrize(
    "body",
    [
        {"email": ["a"], "password": "x"},
        {"email": "a@b.c", "password": {"x": 1}},
        {"email": "\ud800@example.com", "password": "x" * 10},
        {"email": "a" * 255, "password": "x"},
        {"email": "a@example.com", "password": "x" * 2000},
        {"email": 7, "password": None},
        [],
        "text",
    ],
    ids=str,
)
def test_signing_in_takes_anything_calmly(shared_world: World, body: Any) -> None:
    for path in ("/api/auth/login", "/api/auth/register", "/api/auth/refresh", "/api/auth/logout"):
        answer = shared_world.ask("POST", path, data=json.dumps(body), content_type=JSON)
        assert 400 <= answer.status < 500, (path, answer.body)


def test_a_stranger_learns_nothing_of_a_password_in_an_error(world: World) -> None:
    sent = {"email": "x", "password": "planted-secret-value", "name": "x", "role": "nobody"}
    answer = world.ask("POST", "/api/auth/register", json=sent)
    assert "planted-secret-value" not in json.dumps(answer.body)


def test_pages_get_an_error_page(shared_world: World) -> None:
    answer = shared_world.app.test_client().get("/nothing", headers={"Accept": "text/html"})
    assert answer.status_code == 404
    assert answer.mimetype == "text/html"


@pytest.mark.parametrize("path", ["/login", "/invoices/new", "/api/users/preferences"])
def test_a_part_of_a_form_without_a_name_is_no_failure(shared_world: World, shared_seller: Person, path: str) -> None:
    body = b"--x\r\nContent-Disposition: form-data\r\n\r\nhello\r\n--x--\r\n"
    browser = shared_world.browser(shared_seller)
    answer = browser.open(
        path, method="PUT" if "api" in path else "POST", data=body, content_type="multipart/form-data; boundary=x"
    )
    assert answer.status_code == 400
