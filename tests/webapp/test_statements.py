"""Statements over HTTP: brought as a form or as JSON, looked over, taken in once; and their pages."""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from core.banking import statement_taking
from core.identity import Role
from core.statement_files import MAX_BYTES
from tests.conftest import Servers
from tests.core.statement_files.samples import a_csv, sample
from tests.webapp.conftest import Person, Reply, World, standing_world
from workers import statements as worker

PLAIN = {"date": 0, "narration": [1], "reference": 2, "amount": 3}
APRIL = [("01/04/2026", "NEFT BINA", "ICICN52026040112", "100.00"), ("13/04/2026", "FEE", "", "-17.70")]


@pytest.fixture(scope="module")
def shared(servers: Servers, file_database_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    yield from standing_world(servers, file_database_url, tmp_path_factory.mktemp("world"))


@pytest.fixture
def seller(shared: World) -> Person:
    return shared.person(Role.SELLER)


def spelled(content: bytes) -> str:
    return base64.b64encode(content).decode()


def bring(world: World, person: Person, content: bytes, name: str = "april.csv", **more: Any) -> Reply:
    return world.post("/api/statements", person, {"filename": name, "content": spelled(content), **more})


def a_plain(world: World, person: Person, lines: list[tuple[str, str, str, str]] | None = None) -> Reply:
    more: dict[str, Any] = {"account_name": "Current", "currency": "INR", "mapping": PLAIN}
    return bring(world, person, a_csv(lines or APRIL), **more)


def test_a_file_is_looked_over_confirmed_and_taken_back(shared: World, seller: Person) -> None:
    ready = a_plain(shared, seller)
    assert (ready.status, ready.body["state"], ready.body["new"]) == (201, "ready", 2)
    path = f"/api/statements/{ready.body['id']}"
    assert shared.get("/api/transactions", seller).body["items"] == []
    done = shared.post(f"{path}/confirm", seller)
    assert (done.status, done.body["state"], done.body["taken"]) == (200, "done", 2)
    amounts = {each["amount"]: each["trust"] for each in shared.get("/api/transactions", seller).body["items"]}
    assert amounts == {10000: "manual", -1770: "manual"}
    shown = shared.get(f"{path}/lines", seller, limit="1")
    assert (shown.body["items"][0]["fate"], shown.body["items"][0]["row"]) == ("new", 2)
    rest = shared.get(f"{path}/lines", seller, cursor=shown.body["next_cursor"]).body
    assert ([each["position"] for each in rest["items"]], rest["next_cursor"]) == ([2], None)
    assert shared.app.test_client().get(f"{path}/file", headers=seller.headers).data == a_csv(APRIL)
    assert [each["name"] for each in shared.get("/api/statements/accounts", seller).body["items"]] == ["Current"]
    assert shared.delete(path, seller).status == 204
    assert shared.get("/api/transactions", seller).body["items"] == []
    assert shared.get(path, seller).body["state"] == "undone"


def test_a_form_does_the_same(shared: World, seller: Person) -> None:
    form = {"file": (io.BytesIO(a_csv(APRIL)), "april.csv"), "account_name": "Current", "currency": "INR",
            "mapping": json.dumps(PLAIN)}  # fmt: skip
    made = shared.ask("POST", "/api/statements", seller, data=form, content_type="multipart/form-data")
    assert (made.status, made.body["state"], made.body["lines"]) == (201, "ready", 2)


@pytest.mark.parametrize(
    "form",
    [
        pytest.param({}, id="no file"),
        pytest.param({"file": "x", "mapping": "{"}, id="mapping is no JSON"),
        pytest.param({"file": "x", "mapping": "[" * 5000}, id="mapping without end"),
        pytest.param({"file": "x", "mapping": '{"date": -1}'}, id="mapping out of bounds"),
        pytest.param({"file": "x", "account_id": "x"}, id="account is no id"),
        pytest.param({"file": "x", "account_name": "a\x00"}, id="NUL in a name"),
        pytest.param({"file": "x", "currency": "rupees"}, id="currency"),
    ],
)
def test_a_form_that_makes_no_sense_is_refused(shared: World, seller: Person, form: dict[str, Any]) -> None:
    given = {**form, **({"file": (io.BytesIO(a_csv(APRIL)), "a.csv")} if "file" in form else {})}
    made = shared.ask("POST", "/api/statements", seller, data=given, content_type="multipart/form-data")
    assert made.status in {400, 422}, made


def test_columns_and_account_are_asked_for(shared: World, seller: Person) -> None:
    asking = bring(shared, seller, sample("hdfc.csv"), "hdfc.csv").body
    assert (asking["state"], asking["table"]["sure"], asking["account"]) == ("asking", True, None)
    path = f"/api/statements/{asking['id']}"
    assert shared.post(f"{path}/confirm", seller).body["code"] == "statement_not_ready"
    given = {"account_name": "HDFC", "currency": "INR", "mapping": asking["table"]["guess"]}
    ready = shared.post(f"{path}/answer", seller, given).body
    assert (ready["state"], ready["lines"], ready["opening"], ready["closing"], ready["gap"]) == (
        "ready", 5, 20000000, 37548280, 0,
    )  # fmt: skip
    wrong = shared.post(f"{path}/answer", seller, {**given, "mapping": {"date": 0}})
    assert (wrong.status, wrong.body["errors"][0]["field"]) == (422, "mapping.amount")


def test_a_broken_file_says_where_it_is_broken(shared: World, seller: Person) -> None:
    broken = bring(shared, seller, sample("german.sta").replace(b":61:260402", b":61:2699XX"), "april.sta")
    assert (broken.status, broken.body["code"]) == (422, "statement_unreadable")
    assert "line 7" in broken.body["detail"]


@pytest.mark.parametrize("by", ["form", "json"])
def test_a_file_of_the_largest_size_is_taken_and_a_larger_one_is_not(shared: World, seller: Person, by: str) -> None:
    content = sample("camt053_v2.xml")

    def send(size: int) -> Reply:
        whole = content + b" " * (size - len(content))
        if by == "json":
            return bring(shared, seller, whole)
        # Put together here: the test client would leave the temporary file of a large one open.
        head = b'--X\r\nContent-Disposition: form-data; name="file"; filename="a.xml"\r\n\r\n'
        sent = {"data": head + whole + b"\r\n--X--\r\n", "content_type": "multipart/form-data; boundary=X"}
        return shared.ask("POST", "/api/statements", seller, **sent)

    assert send(MAX_BYTES - 1).status == 201
    assert send(MAX_BYTES).status == 201
    assert send(MAX_BYTES + 1).status in {413, 422}


def test_what_is_no_base64_is_refused(shared: World, seller: Person) -> None:
    made = shared.post("/api/statements", seller, {"filename": "a.csv", "content": "%%%%"})
    assert (made.status, made.body["errors"][0]["field"]) == (422, "content")


def test_a_long_statement_is_left_to_a_worker(shared: World, seller: Person, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(statement_taking, "AT_ONCE", 1)
    ready = a_plain(shared, seller).body
    path = f"/api/statements/{ready['id']}"
    assert shared.post(f"{path}/confirm", seller).body["state"] == "taking"
    assert shared.delete(path, seller).status == 409
    context = _Context(shared)
    assert worker.drain(context) == 1  # type: ignore[arg-type]  # What it needs of one.
    assert worker.drain(context) == 0  # type: ignore[arg-type]
    assert shared.get(path, seller).body["state"] == "done"
    assert context.rung == ["relay", "reconcile"]


class _Context:
    def __init__(self, world: World) -> None:
        self.database = world.parts.database
        self.calendar = world.parts.rules.calendar
        self.doorbell = self
        self.rung: list[str] = []

    def now(self) -> Any:
        from webapp.auth import now

        return now()

    def ring(self, bell: str) -> None:
        self.rung.append(bell)

    wake = ring


def test_a_confirmation_that_is_repeated_answers_the_same(shared: World, seller: Person) -> None:
    path = f"/api/statements/{a_plain(shared, seller).body['id']}/confirm"
    first = shared.post(path, seller, Idempotency_Key="once")
    again = shared.post(path, seller, Idempotency_Key="once")
    assert (first.body, again.headers["Idempotency-Replayed"]) == (again.body, "true")
    assert shared.post(path, seller).body["state"] == "done"
    assert len(shared.get("/api/transactions", seller).body["items"]) == 2


def test_a_line_is_entered_by_hand_once(shared: World, seller: Person) -> None:
    line = {"account_name": "Cash", "currency": "INR", "amount": -500, "booked_on": "2026-04-01", "narration": "Tea"}
    made = shared.post("/api/statements/lines", seller, line)
    assert (made.status, made.body["amount"], made.body["trust"]) == (201, -500, "manual")
    assert shared.post("/api/statements/lines", seller, line).body["code"] == "line_known"
    assert shared.post("/api/statements/lines", seller, line | {"amount": 0}).status == 422


# ── Pages ──


def page(world: World, person: Person, path: str, status: int = 200) -> str:
    answer = world.browser(person).get(path)
    assert answer.status_code == status, (path, answer.status_code, answer.data[:400])
    return answer.get_data(as_text=True)


def post(world: World, person: Person, path: str, **data: Any) -> Any:
    client = world.browser(person)
    text = client.get("/statements").get_data(as_text=True)
    token = text.partition('name="csrf_token" value="')[2].partition('"')[0]
    return client.post(path, data={"csrf_token": token, **data}, content_type="multipart/form-data")


def test_the_pages_walk_from_a_file_to_transactions(shared: World, seller: Person) -> None:
    assert "No statement yet" in page(shared, seller, "/statements")
    made = post(shared, seller, "/statements", file=(io.BytesIO(sample("hdfc.csv")), "hdfc.csv"), account="new",
                account_name="HDFC", currency="inr")  # fmt: skip
    assert made.status_code == 303
    here = made.headers["Location"]
    asked = page(shared, seller, here)
    assert "What is in which column?" in asked
    assert '<option value="debit" selected>' in asked
    given = {"account": "new", "account_name": "HDFC", "currency": "INR", "date_format": "%d-%m-%y", "decimal": "."}
    columns = {0: "date", 1: "narration", 2: "reference", 3: "valued", 4: "debit", 5: "credit", 6: "balance"}
    twice = post(
        shared, seller, here, **given, **{f"column-{at}": what for at, what in (columns | {3: "date"}).items()}
    )
    assert (twice.status_code, "Two columns" in twice.get_data(as_text=True)) == (422, True)
    answered = post(shared, seller, here, **given, **{f"column-{at}": what for at, what in columns.items()})
    assert answered.status_code == 303
    ready = page(shared, seller, here)
    assert "Take in 5 new lines" in ready
    assert "The lines lead from the opening balance" in ready
    assert post(shared, seller, f"{here}/confirm").status_code == 303
    done = page(shared, seller, here)
    assert "Taken in" in done
    assert "SMS CHARGES" in done
    assert "Told elsewhere" in page(shared, seller, f"{here}?fate=new")
    assert page(shared, seller, f"{here}/undo")
    assert post(shared, seller, f"{here}/undo").status_code == 303
    assert "This statement was undone" in page(shared, seller, here)


def test_a_file_that_is_refused_stays_on_the_page_with_its_reason(shared: World, seller: Person) -> None:
    refused = post(shared, seller, "/statements", file=(io.BytesIO(b"PK\x03\x04"), "april.xlsx"), account="new")
    assert refused.status_code == 422
    assert "Excel workbook" in refused.get_data(as_text=True)
    none = post(shared, seller, "/statements", account="new")
    assert none.status_code == 422


def test_a_file_is_thrown_away(shared: World, seller: Person) -> None:
    identity = a_plain(shared, seller).body["id"]
    assert post(shared, seller, f"/statements/{identity}/drop").status_code == 303
    page(shared, seller, f"/statements/{identity}", 404)


def test_a_line_by_hand_has_a_page(shared: World, seller: Person) -> None:
    assert "Type a line" in page(shared, seller, "/statements/line")
    wrong = post(shared, seller, "/statements/line", account="new", account_name="Cash", currency="INR", amount="x")
    assert wrong.status_code == 422
    made = post(shared, seller, "/statements/line", account="new", account_name="Cash", currency="INR", amount="5.00",
                direction="out", booked_on="2026-04-01", narration="Tea")  # fmt: skip
    assert made.status_code == 303
    shown = page(shared, seller, made.headers["Location"])
    assert "Typed by hand" in shown


def test_a_transaction_names_the_file_and_the_line_it_is_from(shared: World, seller: Person) -> None:
    identity = a_plain(shared, seller).body["id"]
    shared.post(f"/api/statements/{identity}/confirm", seller)
    line = shared.get(f"/api/statements/{identity}/lines", seller).body["items"][0]
    shown = page(shared, seller, f"/transactions/{line['transaction_id']}")
    assert "april.csv" in shown
    assert "line 2" in shown


def test_buyers_and_investors_have_no_statements(shared: World) -> None:
    for role in (Role.BUYER, Role.INVESTOR):
        person = shared.person(role)
        page(shared, person, "/statements", 403)
        page(shared, person, "/reconcile", 403)


def test_the_folder_of_samples_is_not_empty() -> None:
    assert len(list(Path(__file__).parents[1].joinpath("samples", "statements").iterdir())) >= 10
