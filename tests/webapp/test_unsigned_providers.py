"""M-PESA and Mollie at the door: what anybody may send is a hint, answered as documented, and only asked about."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from sqlalchemy import text

from connectors import registry, samples
from core.identity import Role
from tests.builders import worker
from tests.webapp.conftest import Person, Standing, World
from workers import normalize

Json = dict[str, Any]
MPESA = {"external_id": "600966"}
SECRETS = {"consumer_key": "k", "consumer_secret": "s"}


@pytest.fixture
def world(standing: Standing) -> World:
    return standing.world


@pytest.fixture
def database_url(standing: Standing) -> str:
    return standing.database_url


@pytest.fixture
def seller(world: World) -> Person:
    return world.person(Role.SELLER)


def connect(world: World, seller: Person, **given: object) -> tuple[Json, str]:
    made = world.post("/api/connections", seller, {"name": "Mine", **given})
    assert made.status == 201, made.body
    return made.body, "/" + made.body["webhook_url"].partition("//")[2].partition("/")[2]


def kept(world: World) -> list[tuple[str, str, str]]:
    with world.session() as session:
        rows = session.execute(
            text(
                "SELECT name, trust, state FROM events LEFT JOIN event_queue ON event_id = events.id ORDER BY events.id"
            )
        )
        return [tuple(row) for row in rows]


def work(database_url: str) -> None:
    with worker(database_url) as context:
        context.moment[0] = datetime.now(UTC)
        while normalize.drain(context):
            pass


def test_mpesa_is_answered_as_it_wants_and_its_notice_waits_to_be_looked_up(
    world: World, seller: Person, database_url: str
) -> None:
    connection, path = connect(world, seller, connector="mpesa", settings=MPESA, secrets=SECRETS)
    # No provider's name in the address, and no secret that nobody would check.
    assert path.startswith("/api/hooks/")
    assert connection["new_secrets"] == {}
    asked = world.ask("POST", path, data=samples.load("mpesa", "c2b.validation"))
    assert (asked.status, asked.body) == (200, {"ResultCode": "0", "ResultDesc": "Accepted"})
    assert kept(world) == []
    for _ in range(2):
        told = world.ask("POST", path, data=samples.load("mpesa", "c2b.confirmation"))
        assert (told.status, told.body) == (200, {"ResultCode": 0, "ResultDesc": "Success"})
    work(database_url)
    assert kept(world) == [("c2b.confirmation", "hint", "fetch")]
    assert world.get("/api/payments", seller).body["items"] == []
    # Nowhere but at a connection's own address.
    assert world.ask("POST", "/api/connectors/mpesa/webhook", data=samples.load("mpesa", "stk.paid")).status == 401


def test_mollies_bare_ids_are_taken_unsigned_and_everything_else_is_not(
    world: World, seller: Person, database_url: str
) -> None:
    # The secret of a webhook exists only once there is an address for it.
    connection, path = connect(world, seller, connector="mollie", secrets={"api_key": "live_x"})
    bare, whole = samples.load("mollie", "classic.payment"), samples.load("mollie", "payout.completed")
    form = "application/x-www-form-urlencoded"
    for _ in range(2):
        assert world.ask("POST", path, data=bare, content_type=form).status == 200
    assert world.ask("POST", path, data=whole, content_type="application/json").status == 401
    secret = "made by Mollie"
    world.put(f"/api/connections/{connection['id']}", seller, {"secrets": {"webhook_secret": secret}})
    sealed = registry.get("mollie").signature.sign(whole, secret, at=datetime.now(UTC), message_id="m")
    told = world.ask("POST", path, data=whole, content_type="application/json", headers=sealed.headers)
    assert told.status == 200, told.body
    work(database_url)
    assert kept(world) == [
        ("classic.payment", "hint", "fetch"),
        ("classic.payment", "hint", "fetch"),
        ("payout.completed", "signed", None),
    ]
