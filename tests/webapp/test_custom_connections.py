"""A connection of kind custom from end to end: signed and read as its owner typed, and replayed anew."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from sqlalchemy import text

from connectors.custom import EXAMPLE, bind
from core.identity import Role
from core.ids import new_id
from tests.builders import worker
from tests.webapp.conftest import INVOICE, Person, Standing, World
from workers import normalize

Json = dict[str, Any]
PATH = "/api/connectors/custom/try"


@pytest.fixture
def world(standing: Standing) -> World:
    return standing.world


@pytest.fixture
def database_url(standing: Standing) -> str:
    return standing.database_url


@pytest.fixture
def seller(world: World) -> Person:
    return world.person(Role.SELLER)


def definition(**mapping: object) -> str:
    """A sender that signs the body alone, and tells payments in a shape of its own."""
    return json.dumps(
        {
            "scheme": {"kind": "hmac", "header": "X-Acme", "encoding": "base64"},
            "event_name": "what",
            "event_id": "no",
            "events": {
                "paid": {
                    "record": "payment",
                    "fields": {"id": "no", "invoice": "for"},
                    "amount": {"path": "sum", "form": "decimal"},
                    "currency": {"fixed": "INR"},
                    "time": {"path": "at", "form": "epoch"},
                    "status": {"fixed": "succeeded"},
                    **mapping,
                }
            },
        }
    )


def connect(world: World, seller: Person, typed: str) -> Json:
    made = world.post(
        "/api/connections", seller, {"connector": "custom", "name": "Acme", "settings": {"definition": typed}}
    )
    assert made.status == 201, made.body
    found: Json = made.body
    return found


def say(world: World, connection: Json, typed: str, said: Json) -> int:
    body = json.dumps(said).encode()
    secret = connection["new_secrets"]["webhook_secret"]
    sealed = bind(typed).signature.sign(body, secret, at=datetime.now(UTC), message_id=str(new_id()))
    path = "/" + connection["webhook_url"].partition("//")[2].partition("/")[2]
    return world.ask("POST", path, data=body, headers=sealed.headers, content_type="application/json").status


def work(database_url: str) -> None:
    with worker(database_url) as context:
        # The worker's clock stands at its own time; what came in just now is due by then.
        context.moment[0] = datetime.now(UTC)
        while normalize.drain(context):
            pass


def test_what_the_owner_typed_decides_how_it_is_signed_and_what_it_means(
    world: World, seller: Person, database_url: str
) -> None:
    number = world.post("/api/invoices", seller, INVOICE).body["number"]
    typed = definition()
    connection = connect(world, seller, typed)
    said = {"what": "paid", "no": 77, "for": number, "sum": "12.50", "at": 1_790_000_000}
    # The example's signature is another connection's.
    assert say(world, connection, EXAMPLE, said) == 401
    assert say(world, connection, typed, said) == 200
    assert say(world, connection, typed, said) == 200
    work(database_url)
    (paid,) = world.get("/api/payments", seller).body["items"]
    assert (paid["amount"], paid["currency"], paid["invoice"]["number"]) == (1250, "INR", number)
    repeated = world.get("/api/deliveries", seller).body["items"]
    assert sorted(each["state"] for each in repeated) == ["duplicate", "processed"]
    again = next(each for each in repeated if each["state"] == "duplicate")
    # Read once more for its provenance, by the connection's own definition.
    (event,) = world.get(f"/api/deliveries/{again['id']}", seller).body["events"]
    assert (event["name"], event["state"]) == ("paid", "duplicate")


def test_a_better_definition_is_run_over_what_came_before(world: World, seller: Person, database_url: str) -> None:
    world.post("/api/invoices", seller, INVOICE)
    typed = definition(amount={"path": "total", "form": "decimal"})
    connection = connect(world, seller, typed)
    assert say(world, connection, typed, {"what": "paid", "no": 1, "sum": "12.50", "at": 1_790_000_000}) == 200
    work(database_url)
    (delivery,) = world.get("/api/deliveries", seller).body["items"]
    (event,) = world.get(f"/api/deliveries/{delivery['id']}", seller).body["events"]
    assert (event["state"], event["note"]) == ("dead", "malformed payload: amount: is missing")
    mended = world.put(f"/api/connections/{connection['id']}", seller, {"settings": {"definition": definition()}})
    assert mended.status == 200, mended.body
    shown = world.post(f"/api/deliveries/{delivery['id']}/replay", seller, {}).body
    assert ([each["kind"] for each in shown["changes"]], shown["failures"]) == (["payment"], [])
    world.post(f"/api/deliveries/{delivery['id']}/replay", seller, {"dry_run": False})
    work(database_url)
    (paid,) = world.get("/api/payments", seller).body["items"]
    assert paid["amount"] == 1250


def test_what_an_older_definition_refused_is_verified_by_the_new_one(world: World, seller: Person) -> None:
    connection = connect(world, seller, EXAMPLE)
    said = {"what": "paid", "no": 1, "sum": "12.50", "at": 1_790_000_000}
    assert say(world, connection, definition(), said) == 401
    (refused,) = world.get("/api/quarantine", seller).body["items"]
    path = f"/api/quarantine/{refused['id']}/verify"
    assert world.post(path, seller, {}).status == 409
    world.put(f"/api/connections/{connection['id']}", seller, {"settings": {"definition": definition()}})
    answer = world.post(path, seller, {})
    assert (answer.status, answer.body["new_events"]) == (200, 1)


def test_a_definition_that_cannot_be_used_is_refused_and_its_place_is_named(world: World, seller: Person) -> None:
    bad = {"connector": "custom", "name": "Acme", "settings": {"definition": definition(status={"fixed": "paid"})}}
    answer = world.post("/api/connections", seller, bad)
    assert answer.status in {400, 422}
    assert "settings.definition.events.paid.status.fixed" in json.dumps(answer.body)
    connection = connect(world, seller, definition())
    answer = world.put(f"/api/connections/{connection['id']}", seller, {"settings": {"definition": "{"}})
    assert "settings.definition" in json.dumps(answer.body)
    kept = world.get(f"/api/connections/{connection['id']}", seller).body
    assert kept["settings"]["definition"] == definition()
    # A name alone changes nothing of it.
    assert world.put(f"/api/connections/{connection['id']}", seller, {"name": "Acme 2"}).status == 200


def test_a_stored_definition_that_is_taken_no_longer_has_the_sender_ask_again(world: World, seller: Person) -> None:
    connection = connect(world, seller, definition())
    with world.session() as session:
        session.execute(
            text("""UPDATE connections SET settings = '{"definition": "{}"}' WHERE id = :id"""),
            {"id": connection["id"]},
        )
    assert say(world, connection, definition(), {"what": "paid"}) == 503


def test_there_is_no_address_for_everybodys_custom_events(world: World) -> None:
    assert world.ask("POST", "/api/connectors/custom/webhook", data=b"{}").status == 404


TRIALS: dict[str, tuple[str | None, Json, str, str | None]] = {
    "a payment": (None, {"no": 1, "what": "paid", "sum": "1.00", "at": 1}, "records", None),
    "a wrong amount": (None, {"no": 1, "what": "paid", "sum": 1.0, "at": 1}, "error", "amount"),
    "an unknown event": (None, {"no": 1, "what": "left"}, "unknown", None),
    "a wrong definition": ("{}", {}, "error", "definition.scheme"),
    "the example": ("", {"id": 1, "type": "customer.created"}, "ignored", None),
}


def test_a_body_can_be_tried_before_anything_depends_on_it(world: World, seller: Person) -> None:
    told = {}
    for name, (typed, body, outcome, place) in TRIALS.items():
        given = definition() if typed is None else typed
        answer = world.post(PATH, seller, {"definition": given, "body": json.dumps(body)})
        assert answer.status == 200, answer.body
        told[name] = answer.body
        error = answer.body["error"]
        assert (answer.body["outcome"], error and error["place"]) == (outcome, place), name
    assert told["a payment"]["event"] == {"id": "1", "name": "paid", "account": None}
    assert told["a payment"]["records"] == [
        {
            "kind": "payment",
            "fields": {
                "object id": "1",
                "status": "succeeded",
                "money": "1.00 INR",
                "occurred at": "1970-01-01 00:00:01 UTC",
            },
        }
    ]
    assert told["the example"]["note"] == "tells of no movement of money"
    with world.session() as session:
        assert session.scalar(text("SELECT count(*) FROM deliveries")) == 0


def test_trying_is_for_sellers_and_bounded(world: World, seller: Person) -> None:
    buyer = world.person(Role.BUYER)
    assert world.post(PATH, None, {"body": "{}"}).status == 401
    assert world.post(PATH, buyer, {"body": "{}"}).status == 403
    assert world.post(PATH, seller, {"body": "x" * 100_001}).status in {400, 413, 422}
    assert world.post(PATH, seller, {"body": "{}", "definition": "x" * 20_001}).status in {400, 413, 422}
    # What UTF-8 cannot hold is refused, and nothing worse.
    assert world.post(PATH, seller, {"body": "\ud800"}).status in {400, 422}
