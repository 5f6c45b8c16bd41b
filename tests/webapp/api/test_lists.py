"""Views, work on many invoices, imports and exports over HTTP."""

from __future__ import annotations

import csv
import io
import zipfile
from typing import Any

import openpyxl
import pypdfium2
import pytest

from core.identity import Role
from core.ids import new_id
from core.invoicing import links
from core.lists import bulk, export, invoice_files
from tests.webapp.conftest import INVOICE, Person, Standing, World
from webapp.auth import now


@pytest.fixture
def world(standing_file: Standing) -> World:
    return standing_file.world


@pytest.fixture
def seller(world: World) -> Person:
    return world.person(Role.SELLER, f"{new_id()}@example.com", "Asha Devi")


def make(world: World, seller: Person, **more: Any) -> dict[str, Any]:
    answer = world.post("/api/invoices", seller, {**INVOICE, **more})
    assert answer.status == 201, answer.body
    made: dict[str, Any] = answer.body
    return made


def work(world: World) -> None:
    while True:
        with world.session() as session:
            if bulk.step(session, links.of(world.parts.settings), now()) is None:
                return


def fetch(world: World, person: Person, **query: str) -> Any:
    return world.app.test_client().get("/api/invoices/export", headers=person.headers, query_string=query)


def test_a_view_is_kept_replaced_by_name_and_taken_away(world: World, seller: Person) -> None:
    filters = {"stage": "overdue", "currency": "INR", "sort": "due"}
    first = world.post("/api/views", seller, {"name": "Late ones", "filters": filters, "is_default": True})
    assert (first.status, first.body["filters"], first.body["is_default"]) == (201, filters, True)
    other = world.post("/api/views", seller, {"name": "All", "is_default": True}).body
    again = world.post("/api/views", seller, {"name": " late  ONES "}).body
    assert (again["id"], again["filters"]) == (first.body["id"], {"sort": "newest"})
    found = world.get("/api/views", seller).body["items"]
    assert [(each["name"], each["is_default"]) for each in found] == [("All", True), ("late ONES", False)]
    assert world.delete(f"/api/views/{other['id']}", seller).status == 200
    assert world.delete(f"/api/views/{other['id']}", seller).status == 404
    assert world.get("/api/views", world.person()).body["items"] == []


@pytest.mark.parametrize(
    "body",
    [
        {"name": ""},
        {"name": "   "},
        {"name": "x" * 61},
        {"name": "x", "filters": {"stage": "gone"}},
        {"name": "x", "filters": {"what": 1}},
        {"filters": {}},
    ],
)
def test_a_view_that_makes_no_sense_is_refused(world: World, seller: Person, body: dict[str, Any]) -> None:
    assert world.post("/api/views", seller, body).status == 422


def test_fifty_views_and_no_more(world: World, seller: Person) -> None:
    for place in range(50):
        assert world.post("/api/views", seller, {"name": f"View {place}"}).status == 201
    answer = world.post("/api/views", seller, {"name": "One more"})
    assert (answer.status, answer.body["code"]) == (409, "too_many_views")
    assert world.post("/api/views", seller, {"name": "View 7", "is_default": True}).status == 201


def test_many_are_voided_by_one_request_that_may_be_repeated(world: World, seller: Person) -> None:
    invoices = [make(world, seller) for _ in range(3)]
    body = {"action": "void", "invoice_ids": [each["id"] for each in invoices]}
    key = str(new_id())
    job = world.post("/api/bulk", seller, body, Idempotency_Key=key)
    assert (job.status, job.body["status"], job.body["total"]) == (201, "waiting", 3)
    assert world.post("/api/bulk", seller, body, Idempotency_Key=key).body["id"] == job.body["id"]
    work(world)
    found = world.get(f"/api/bulk/{job.body['id']}", seller).body
    assert (found["status"], found["done"], found["failed"], found["errors"]) == ("done", 3, 0, [])
    assert [world.get(f"/api/invoices/{each['id']}", seller).body["stage"] for each in invoices] == ["void"] * 3
    assert [each["id"] for each in world.get("/api/bulk", seller).body["items"]] == [job.body["id"]]


def test_all_that_match_are_taken_by_their_filters(world: World, seller: Person) -> None:
    make(world, seller, notes="saffron")
    make(world, seller, notes="saffron", draft=True)
    make(world, seller)
    body = {"action": "issue", "filters": {"search": "saffron", "stage": "draft"}}
    assert world.post("/api/bulk", seller, body).body["total"] == 1


def test_a_job_is_cancelled(world: World, seller: Person) -> None:
    job = world.post("/api/bulk", seller, {"action": "void", "invoice_ids": [make(world, seller)["id"]]}).body
    assert world.post(f"/api/bulk/{job['id']}/cancel", seller, {}).body["status"] == "cancelled"
    work(world)
    assert world.get(f"/api/bulk/{job['id']}", seller).body["done"] == 0


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"action": "void"}, 422),
        ({"action": "void", "invoice_ids": [str(new_id())], "filters": {}}, 422),
        ({"action": "void", "invoice_ids": []}, 422),
        ({"action": "void", "invoice_ids": [str(new_id())]}, 404),
        ({"action": "import", "filters": {}}, 422),
        ({"action": "send", "filters": {}, "message": "x" * 2001}, 422),
    ],
)
def test_a_job_that_makes_no_sense_is_refused(world: World, seller: Person, body: dict[str, Any], status: int) -> None:
    assert world.post("/api/bulk", seller, body).status == status


def test_a_file_of_invoices_is_brought_mapped_confirmed_and_made(world: World, seller: Person) -> None:
    template = world.app.test_client().get("/api/imports/template.csv", headers=seller.headers)
    assert template.data == invoice_files.template()
    file = {"file": (io.BytesIO(template.data), "march.csv")}
    brought = world.ask("POST", "/api/imports", seller, data=file, content_type="multipart/form-data")
    assert (brought.status, brought.body["ready"], brought.body["error_count"]) == (201, 2, 0)
    path = f"/api/imports/{brought.body['id']}"
    mapping = {**brought.body["mapping"], "date_format": "%d-%m-%Y"}
    assert world.put(path, seller, mapping).body["error_count"] == 4
    assert world.put(path, seller, brought.body["mapping"]).body["error_count"] == 0
    assert world.put(path, seller, {"columns": {"price": 1}}).body["errors"][0]["field"] == "mapping.columns"
    assert world.put(path, seller, brought.body["mapping"]).status == 200
    job = world.post(f"{path}/confirm", seller, {})
    assert (job.status, job.body["action"], job.body["total"]) == (201, "import", 2)
    work(world)
    assert world.get(f"/api/bulk/{job.body['id']}", seller).body["done"] == 2
    assert world.get(path, seller).body["job_id"] == job.body["id"]
    assert world.put(path, seller, mapping).body["code"] == "import_confirmed"
    numbers = {each["number"] for each in world.get("/api/invoices", seller).body["items"]}
    assert numbers == {"2026/101", "2026/102"}


def test_the_list_is_a_table_with_the_rows_of_its_filters(world: World, seller: Person) -> None:
    made, draft = make(world, seller), make(world, seller, draft=True)
    make(world, seller, currency="USD")
    rows = list(csv.DictReader(io.StringIO(fetch(world, seller, currency="INR").data.decode("utf-8-sig"))))
    assert [(row["Number"], row["Stage"], row["Total"]) for row in rows] == [
        ("", "draft", "29.54"),
        (made["number"], made["stage"], "29.54"),
    ]
    answer = fetch(world, seller, format="xlsx", stage="draft")
    assert answer.headers["Content-Disposition"].endswith(".xlsx")
    sheet = openpyxl.load_workbook(io.BytesIO(answer.data)).active
    assert [cell.value for cell in sheet[2]][10] == 29.54
    assert sheet.max_row == 2
    assert draft["number"] is None


def test_files_of_many_invoices_come_in_an_archive(world: World, seller: Person) -> None:
    one, two = make(world, seller), make(world, seller)
    make(world, seller, draft=True)
    ubl = zipfile.ZipFile(io.BytesIO(fetch(world, seller, format="ubl").data))
    assert sorted(ubl.namelist()) == sorted(f"{each['number']}.xml" for each in (one, two))
    assert one["number"].encode() in ubl.read(f"{one['number']}.xml")
    answer = fetch(world, seller, format="pdf", ids=f"{two['id']},{one['id']}")
    pdf = zipfile.ZipFile(io.BytesIO(answer.data))
    assert pdf.namelist() == [f"{two['number']}.pdf", f"{one['number']}.pdf"]
    page = pypdfium2.PdfDocument(pdf.read(f"{one['number']}.pdf"))[0].get_textpage().get_text_range()
    assert one["number"] in page
    assert (
        fetch(world, seller, format="pdf", ids=one["id"]).data == fetch(world, seller, format="pdf", ids=one["id"]).data
    )


def test_everybody_exports_what_they_may_see(world: World, seller: Person) -> None:
    buyer = world.person(Role.BUYER, f"{new_id()}@example.com")
    contact = {"name": "B", "email": buyer.actor.email}
    made = make(world, seller, contact=contact)
    make(world, seller, contact=contact, draft=True)
    rows = list(csv.DictReader(io.StringIO(fetch(world, buyer).data.decode("utf-8-sig"))))
    assert [row["Number"] for row in rows] == [made["number"]]
    other = world.person()
    assert fetch(world, other).data.count(b"\r\n") == 1
    assert fetch(world, other, ids=made["id"]).status_code == 404
    assert fetch(world, world.person(Role.INVESTOR)).status_code == 403


def test_past_the_limit_of_its_kind_a_file_is_refused(
    world: World, seller: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    for _ in range(3):
        make(world, seller)
    monkeypatch.setitem(export.MOST, "pdf", 2)
    assert fetch(world, seller, format="pdf").status_code == 422
    monkeypatch.setitem(export.MOST, "pdf", 3)
    assert fetch(world, seller, format="pdf").status_code == 200
    assert fetch(world, seller, ids=",".join([str(new_id())] * 2)).status_code == 404
    assert fetch(world, seller, ids="not-an-id").status_code == 422
    assert fetch(world, seller, ids="abc").status_code == 422
    assert fetch(world, seller, format="doc").status_code == 422
