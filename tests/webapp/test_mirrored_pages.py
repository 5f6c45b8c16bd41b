"""Invoices elsewhere on pages and over the API: linked, taken over, taken apart, decided about, and written there."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, date, datetime
from typing import Any
from uuid import UUID, uuid4

import pytest
from flask.testing import FlaskClient
from sqlalchemy import text

from core import intake
from core.events import MirroredInvoice, MirroredStatus, Trust
from core.identity import Role
from core.mirroring import judging
from core.money import Money
from core.statements import Statement
from tests.conftest import Servers
from tests.webapp.conftest import INVOICE, Person, World, standing_world
from webapp.pages import mirrored as pages
from webapp.pages.shell import Look

TOLD = MirroredInvoice(
    object_id="i1",
    version=5,
    status=MirroredStatus.OPEN,
    number="X-77",
    direction="sales",
    total=Money(50_000, "INR"),
    due=Money(50_000, "INR"),
    issued_on=date(2026, 11, 1),
    due_on=date(2026, 12, 1),
    contact_name="Rao Retail",
    contact_email="accounts@rao.test",
)
SETTINGS = {"external_id": "", "client_id": "c", "sales_account": "200", "bank_account": "090"}


@pytest.fixture(scope="module")
def world(servers: Servers, file_database_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """One application for the file."""
    yield from standing_world(servers, file_database_url, tmp_path_factory.mktemp("pages"))


class Scene:
    """A seller with books at Xero."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.seller = world.person(Role.SELLER, f"{uuid4().hex}@sellers.test", "Asha Seller")
        self.browser: FlaskClient = world.browser(self.seller)
        made = world.post(
            "/api/connections",
            self.seller,
            {
                "connector": "xero",
                "name": "My books",
                "secrets": {"client_secret": "s"},
                "settings": SETTINGS | {"external_id": uuid4().hex},
            },
        )
        assert made.status == 201, made.body
        self.connection: dict[str, Any] = made.body

    def invoice(self, **changes: Any) -> dict[str, Any]:
        made = self.world.post("/api/invoices", self.seller, {**INVOICE, **changes})
        assert made.status == 201, made.body
        found: dict[str, Any] = made.body
        return found

    def hear(self, record: MirroredInvoice = TOLD, **changes: Any) -> str:
        """Let Xero tell of an invoice, and let it be looked at; its id here."""
        said = replace(record, **changes)
        with self.world.session() as session:
            statement = Statement(
                event_id=uuid4(),
                connection_id=UUID(self.connection["id"]),
                user_id=self.seller.actor.id,
                connector="xero",
                trust=Trust.FETCHED,
                record=said,
            )
            outcome = intake.apply(session.connection(), [statement])
        self.look()
        return str(outcome.effects[0].object_id)

    def look(self) -> None:
        with self.world.session() as session:
            while judging.take(session, ["xero", "quickbooks"], datetime.now(UTC)):
                pass

    def shown(self, mirrored: str) -> dict[str, Any]:
        found: dict[str, Any] = self.world.get(f"/api/mirrored-invoices/{mirrored}", self.seller).body
        return found

    def click(self, path: str, **fields: str) -> Any:
        page = self.browser.get("/mirrored-invoices").text
        found = re.search(r'name="csrf_token"[^>]*value="([^"]*)"', page)
        assert found is not None
        return self.browser.post(path, data={"csrf_token": found[1], **fields}, follow_redirects=True)

    def ask(self, method: str, path: str, body: Any = None) -> Any:
        return self.world.ask(method, path, self.seller, json=body)


@pytest.fixture
def scene(world: World) -> Scene:
    return Scene(world)


def test_number_and_currency_link_and_a_person_takes_apart(scene: Scene) -> None:
    made = scene.invoice()
    mirrored = scene.hear(number=made["number"].lower().replace("-", "/"), total=Money(made["total"], "INR"),
                          due=Money(made["total"], "INR"), issued_on=date.fromisoformat(made["issue_date"]),
                          due_on=date.fromisoformat(made["due_date"]))  # fmt: skip
    link = scene.shown(mirrored)["link"]
    assert link == {"invoice_id": made["id"], "number": made["number"], "state": "agreed", "by_hand": False}
    page = scene.browser.get(f"/mirrored-invoices/{mirrored}").text
    assert "Both sides say the same" in page
    assert "by number and currency" in page
    assert "They are apart." in scene.click(f"/mirrored-invoices/{mirrored}/unlink").text
    assert scene.shown(mirrored)["link"] is None
    # Told again, they stay apart.
    scene.hear(number=made["number"], total=Money(1, "INR"), due=Money(1, "INR"), version=9)
    assert scene.shown(mirrored)["link"] is None
    assert "You have no invoice" in scene.click(f"/mirrored-invoices/{mirrored}/link", number="INV-9").text
    scene.click(f"/mirrored-invoices/{mirrored}/link", number=made["number"])
    assert scene.shown(mirrored)["link"]["by_hand"] is True


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({"total": Money(500, "USD"), "due": Money(500, "USD")}, id="another currency"),
        pytest.param({"direction": "purchase"}, id="a bill"),
        pytest.param({"kind": "credit_note"}, id="a credit note"),
        pytest.param({"number": None}, id="no number"),
        pytest.param({"number": "INV-2026-2"}, id="another number"),
    ],
)
def test_what_is_another_one_is_not_linked(scene: Scene, changes: dict[str, Any]) -> None:
    made = scene.invoice()
    mirrored = scene.hear(**({"number": made["number"]} | changes))
    assert scene.shown(mirrored)["link"] is None
    assert scene.browser.get(f"/mirrored-invoices/{mirrored}").status_code == 200
    if "total" in changes or "direction" in changes:
        answer = scene.ask("PUT", f"/api/mirrored-invoices/{mirrored}/link", {"invoice_id": made["id"]})
        assert answer.status == 409


def test_the_database_keeps_links_to_one_each_and_to_the_same_seller(scene: Scene, world: World) -> None:
    made, mirrored = scene.invoice(), scene.hear()
    other = Scene(world)
    foreign = other.hear()
    insert = text(
        "INSERT INTO mirror_links (id, invoice_id, mirrored_id, connection_id, user_id, created_at, updated_at) "
        "VALUES (gen_random_uuid(), :invoice, :mirrored, :connection, :user, now(), now())"
    )
    values = {"invoice": made["id"], "connection": scene.connection["id"], "user": scene.seller.actor.id}
    with world.session() as session:
        session.execute(insert, values | {"mirrored": mirrored})
    for bad, name in (
        (values | {"mirrored": mirrored}, "mirror_links_mirrored_id_key"),
        (values | {"mirrored": scene.hear(object_id="i2")}, "mirror_links_invoice_id_connection_id_key"),
        (values | {"mirrored": foreign, "connection": other.connection["id"]}, "is not the same as mirrored invoice"),
    ):
        with pytest.raises(Exception, match=name), world.session() as session:
            session.execute(insert, bad)


def test_one_is_taken_over_with_its_number_once(scene: Scene) -> None:
    mirrored = scene.hear(due=Money(20_000, "INR"), status=MirroredStatus.PARTIALLY_PAID)
    assert "Take over" in scene.browser.get(f"/mirrored-invoices/{mirrored}").text
    path = f"/api/mirrored-invoices/{mirrored}/take-over"
    first, answer = scene.ask("POST", path), scene.ask("POST", path)
    assert (first.status, answer.status) == (201, 201), answer.body
    link = answer.body["link"]
    made = scene.world.get(f"/api/invoices/{link['invoice_id']}", scene.seller).body
    assert (made["number"], made["total"], made["contact"]["email"]) == ("X-77", 50_000, "accounts@rao.test")
    assert [item["description"] for item in made["items"]] == ["As in Xero"]
    assert len(scene.world.get("/api/invoices", scene.seller).body["items"]) == 1
    # What was paid there is no money here until somebody says so, once.
    assert (made["amount_paid"], answer.body["differences"][0]["moved"]) == (0, "theirs")
    resolved = scene.click(f"/mirrored-invoices/{mirrored}/resolve", field="paid", keep="theirs")
    assert "It was done here." in resolved.text
    again = scene.click(f"/mirrored-invoices/{mirrored}/resolve", field="paid", keep="theirs")
    assert "Both sides say the same by now." in again.text
    made = scene.world.get(f"/api/invoices/{link['invoice_id']}", scene.seller).body
    assert (made["amount_paid"], scene.shown(mirrored)["link"]["state"]) == (30_000, "agreed")


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"number": None}, "a number"),
        ({"issued_on": None}, "a date"),
        ({"contact_name": None, "contact_email": None}, "a customer"),
        ({"contact_email": None}, "add this contact first"),
        ({"total": Money(0, "INR"), "due": Money(0, "INR")}, "more than nothing"),
        ({"status": MirroredStatus.VOID, "due": Money(0, "INR")}, "void in Xero"),
        ({"status": MirroredStatus.DRAFT}, "draft in Xero"),
        ({"number": "A number far too long for us"}, "16 letters"),
        ({"direction": "purchase"}, "only invoices to customers"),
    ],
)
def test_what_is_missing_for_taking_over_is_said(scene: Scene, changes: dict[str, Any], words: str) -> None:
    mirrored = scene.hear(**changes)
    answer = scene.ask("POST", f"/api/mirrored-invoices/{mirrored}/take-over")
    assert (answer.status, words in answer.body["detail"]) == (409, True), answer.body
    assert scene.world.get("/api/invoices", scene.seller).body["items"] == []


def test_all_are_taken_over_at_once_but_those_that_cannot(scene: Scene) -> None:
    scene.hear()
    scene.hear(object_id="i2", number="X-78")
    scene.hear(object_id="i3", number="X-79", contact_email=None, contact_name="Nobody Known")
    scene.hear(object_id="i4", number="X-80", status=MirroredStatus.PAID, due=Money(0, "INR"))
    page = scene.click("/mirrored-invoices/take-over").text
    assert "2 invoices taken over. 1 not: X-79, because Xero does not say the e-mail address of Nobody Known" in page
    assert "There is nothing" not in page
    found = scene.ask("POST", "/api/mirrored-invoices/take-over", {}).body
    assert (found["taken"], [one["number"] for one in found["refused"]]) == ([], ["X-79"])
    listed = scene.world.get("/api/mirrored-invoices", scene.seller, link="unlinked").body["items"]
    assert {one["number"] for one in listed} == {"X-79", "X-80"}


def conflicting(scene: Scene) -> tuple[dict[str, Any], str]:
    made = scene.invoice()
    same = {
        "number": made["number"],
        "total": Money(made["total"], "INR"),
        "due": Money(made["total"], "INR"),
        "issued_on": date.fromisoformat(made["issue_date"]),
        "due_on": date.fromisoformat(made["due_date"]),
    }
    mirrored = scene.hear(**same)
    scene.world.ask("PUT", f"/api/invoices/{made['id']}", scene.seller, json={"due_date": "2027-03-01"})
    scene.hear(**(same | {"due_on": date(2027, 2, 1), "version": 6}))
    return made, mirrored


def test_a_conflict_is_shown_side_by_side_and_told_once(scene: Scene) -> None:
    made, mirrored = conflicting(scene)
    assert scene.shown(mirrored)["differences"][0] | {"since": None} == {
        "field": "due_date", "moved": "both", "ours": "2027-03-01", "theirs": "2027-02-01", "since": None,
    }  # fmt: skip
    page = scene.browser.get(f"/mirrored-invoices/{mirrored}").text
    for words in ("Where both sides differ", "on both sides", "Conflict", "Take theirs"):
        assert words in page
    # Nothing may be written there yet.
    assert "Keep ours" not in page
    notices = scene.world.get("/api/notifications", scene.seller).body["items"]
    assert [one["kind"] for one in notices] == ["mirror.conflict"]
    listed = scene.browser.get("/mirrored-invoices?link=conflict").text
    assert made["number"] in listed
    assert '?link=conflict" aria-current="true"' in listed
    assert '"/mirrored-invoices" aria-current="true">Linked or not' in scene.browser.get("/mirrored-invoices").text
    answer = scene.ask("POST", f"/api/mirrored-invoices/{mirrored}/resolve", {"field": "due_date", "keep": "ours"})
    assert (answer.status, "switched off" in answer.body["detail"]) == (409, True)


def test_ours_is_kept_by_writing_it_there(scene: Scene) -> None:
    made, mirrored = conflicting(scene)
    switched = scene.click(f"/connections/{scene.connection['id']}/write-back", on="yes")
    assert "What you issue from now on is written there." in switched.text
    assert "Stop writing" in scene.browser.get(f"/connections/{scene.connection['id']}").text
    page = scene.browser.get(f"/mirrored-invoices/{mirrored}").text
    assert "Keep ours" in page
    scene.click(f"/mirrored-invoices/{mirrored}/resolve", field="due_date", keep="ours")
    with scene.world.session() as session:
        (push,) = session.execute(
            text("SELECT kind, state FROM mirror_pushes WHERE invoice_id = :id"), {"id": made["id"]}
        ).all()
    assert (push.kind, push.state) == ("update", "wanted")
    page = scene.browser.get(f"/mirrored-invoices/{mirrored}").text
    assert "is under way" in page
    assert "is written there" in page


def test_lines_are_nobodys_to_guess(scene: Scene) -> None:
    made = scene.invoice()
    mirrored = scene.hear(number=made["number"])
    answer = scene.ask("POST", f"/api/mirrored-invoices/{mirrored}/resolve", {"field": "total", "keep": "theirs"})
    assert (answer.status, answer.body["detail"]) == (409, "Xero does not say its lines: edit the invoice here")


def test_writing_is_switched_on_only_where_it_can_work(scene: Scene) -> None:
    path = f"/api/connections/{scene.connection['id']}"
    assert scene.connection["write_back"] is False
    poor = {name: text_ for name, text_ in SETTINGS.items() if name not in ("bank_account", "external_id")}
    answer = scene.ask("PUT", path, {"write_back": True, "settings": poor})
    assert (answer.status, "Bank account" in str(answer.body)) == (422, True)
    answer = scene.ask("PUT", path, {"write_back": True})
    assert (answer.status, answer.body["write_back"]) == (200, True)
    assert scene.ask("PUT", path, {"name": "Books"}).body["write_back"] is True
    assert scene.ask("PUT", path, {"write_back": False}).body["write_back"] is False
    other = scene.ask("POST", "/api/connections", {"connector": "razorpay", "name": "Gateway"}).body
    answer = scene.ask("PUT", f"/api/connections/{other['id']}", {"write_back": True})
    assert (answer.status, "only read" in str(answer.body)) == (422, True)


def test_the_panel_of_an_invoice_says_where_it_is(scene: Scene) -> None:
    made, mirrored = conflicting(scene)
    with scene.world.app.test_request_context("/"), scene.world.session() as session:
        look = Look(db=session, actor=scene.seller.actor, now=datetime.now(UTC), feed={})
        found = pages.part(look, UUID(made["id"]))
        buyer = Look(db=session, actor=replace(scene.seller.actor, role=Role.BUYER), now=look.now, feed={})
        assert pages.part(buyer, UUID(made["id"])) is None
        assert pages.part(look, UUID(scene.invoice(reference="alone")["id"])) is None
    assert found is not None
    (book,) = found["books"]
    assert (book["mirrored"]["id"], book["mirrored"]["link"]["state"], book["push"]) == (mirrored, "conflict", None)


def test_what_is_somebody_elses_is_not_there(scene: Scene, world: World) -> None:
    mirrored, stranger = scene.hear(), Scene(world)
    assert stranger.browser.get(f"/mirrored-invoices/{mirrored}").status_code == 404
    for path in ("unlink", "take-over", "resolve"):
        assert "does not exist" in stranger.click(f"/mirrored-invoices/{mirrored}/{path}", field="paid").text
    person: Person = stranger.seller
    made = stranger.invoice()
    answer = world.ask("PUT", f"/api/mirrored-invoices/{mirrored}/link", person, json={"invoice_id": made["id"]})
    assert answer.status == 404
