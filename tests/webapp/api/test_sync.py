"""Asking for a sync, looking at what came of it, and hearing of trouble, by the API."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from uuid import UUID

import pytest
from sqlalchemy import text

from connectors.base import Connector, Field
from core.notifications import connections as troubles
from tests.builders import payment
from tests.webapp.conftest import Person, World
from tests.workers.acme import Acme, installed, make_connector, make_place, work_off
from tests.workers.acme import connect as link

ACME = make_connector()
# Another provider that has nothing to list.
MUTE: Connector = replace(make_connector("mute"), pull=None, register=None)
WITH_TOKEN = {"webhook_secret": ACME.signature.new_secret(), "refresh_token": "refresh-token-0"}


@pytest.fixture(autouse=True)
def plugins() -> Iterator[None]:
    asking = (Field(name="refresh_token", label="Refresh token", secret=True),)
    with installed(replace(ACME, fields=asking), MUTE):
        yield


def connect(world: World, person: Person, connector: str = "acme", **secrets: str) -> str:
    body = {"connector": connector, "name": "Shop", "secrets": secrets}
    answer = world.post("/api/connections", person, body)
    assert answer.status == 201, answer.body
    return str(answer.body["id"])


def test_asking_for_a_sync_starts_one_and_asking_again_finds_it(world: World, seller: Person) -> None:
    shop = connect(world, seller, **WITH_TOKEN)
    first = world.post(f"/api/connections/{shop}/sync", seller)
    again = world.post(f"/api/connections/{shop}/sync", seller)
    assert (first.status, again.status) == (202, 202)
    assert first.body["id"] == again.body["id"]
    assert (first.body["state"], first.body["reason"], first.body["counts"]) == ("queued", "person", [])
    keyed = [world.post(f"/api/connections/{shop}/sync", seller, Idempotency_Key="k1") for _ in range(2)]
    assert [one.body["id"] for one in keyed] == [first.body["id"]] * 2
    assert keyed[1].headers["Idempotency-Replayed"] == "true"
    listed = world.get(f"/api/connections/{shop}/syncs", seller).body
    assert ([one["id"] for one in listed["items"]], listed["next_cursor"]) == ([first.body["id"]], None)
    found = world.get(f"/api/connections/{shop}/completeness", seller).body
    assert (found["latest"]["id"], found["last_good"], found["webhook_share"]) == (first.body["id"], None, None)


def test_what_cannot_be_pulled_says_why(world: World, seller: Person, stranger: Person, operator: Person) -> None:
    bare = connect(world, seller)
    answer = world.post(f"/api/connections/{bare}/sync", seller)
    assert (answer.status, answer.body["detail"]) == (400, "the connection has no refresh_token")
    mute = connect(world, seller, "mute")
    answer = world.post(f"/api/connections/{mute}/sync", seller)
    assert (answer.status, answer.body["detail"]) == (409, "Mute has no list to pull from")
    paused = connect(world, seller, **WITH_TOKEN)
    world.post(f"/api/connections/{paused}/pause", seller)
    answer = world.post(f"/api/connections/{paused}/sync", seller)
    assert (answer.status, "paused" in answer.body["detail"]) == (409, True)
    assert world.post(f"/api/connections/{bare}/sync", stranger).status == 404
    assert world.post(f"/api/connections/{bare}/sync", operator).status == 403
    assert answer.headers["Content-Type"] == "application/problem+json"


def test_a_new_connection_and_a_new_secret_are_looked_at_at_once(world: World, seller: Person) -> None:
    shop = connect(world, seller)
    with world.session() as session:
        session.execute(text("UPDATE sync_schedules SET due_at = now() + interval '1 day', obstacle = 'no key'"))
        session.execute(text("UPDATE registrations SET due_at = now() + interval '1 day'"))
    before = world.get(f"/api/connections/{shop}/completeness", seller).body
    assert (before["obstacle"], before["next_due_at"]) == ("no key", None)
    world.put(f"/api/connections/{shop}", seller, {"secrets": {"refresh_token": "refresh-token-0"}})
    with world.session() as session:
        due = session.scalars(text("SELECT due_at FROM sync_schedules UNION ALL SELECT due_at FROM registrations"))
        assert all(moment <= datetime.now(UTC) for moment in due)


def test_another_account_is_read_from_its_own_beginning(world: World, seller: Person) -> None:
    shop = connect(world, seller, **WITH_TOKEN)
    path = f"/api/connections/{shop}"

    def place() -> tuple[str | None, bool]:
        with world.session() as session:
            row = session.execute(
                text("SELECT cursor, reached_at IS NULL AS fresh FROM sync_schedules WHERE connection_id = :id"),
                {"id": shop},
            ).one()
            return row.cursor, row.fresh

    open_one = world.post(f"{path}/sync", seller).body["id"]
    with world.session() as session:
        session.execute(text("UPDATE sync_schedules SET cursor = 'far', reached_at = now()"))
    # The same account, and other words for it, go on where they are.
    assert world.put(path, seller, {"name": "Another name", "settings": {}}).status == 200
    assert place() == ("far", False)
    assert world.put(path, seller, {"settings": {"external_id": "acc_2"}}).status == 200
    assert place() == (None, True)
    (ended,) = world.get(f"{path}/syncs", seller).body["items"]
    assert (ended["id"], ended["state"]) == (open_one, "failed")
    assert "read anew" in ended["error"]
    assert world.post(f"{path}/sync", seller).body["id"] != open_one
    # The account stays the same: nothing is forgotten.
    with world.session() as session:
        session.execute(text("UPDATE sync_schedules SET cursor = 'far', reached_at = now()"))
    assert world.put(path, seller, {"settings": {"external_id": "acc_2"}}).status == 200
    assert place() == ("far", False)


def test_a_trouble_is_told_once_read_once_and_cleared(world: World, seller: Person, stranger: Person) -> None:
    shop = UUID(connect(world, seller))
    now = datetime.now(UTC)
    with world.session() as session:
        for _ in range(3):
            troubles.trouble(session, shop, troubles.CREDENTIALS, "acme said 401", now=now)
    found = world.get("/api/notifications", seller).body
    (notice,) = found["items"]
    assert (found["unread"], notice["kind"], notice["url"]) == (1, "connection.credentials", f"/connections/{shop}")
    assert notice["body"].startswith("Acme said 401. Make a new key")
    assert world.post(f"/api/notifications/{notice['id']}/read", stranger).status == 404
    assert world.get("/api/notifications", stranger).body == {"items": [], "next_cursor": None, "unread": 0}
    first = world.post(f"/api/notifications/{notice['id']}/read", seller).body["read_at"]
    assert world.post(f"/api/notifications/{notice['id']}/read", seller).body["read_at"] == first
    assert world.get("/api/notifications", seller).body["unread"] == 0
    with world.session() as session:
        assert len(troubles.well(session, shop, troubles.CREDENTIALS, now=now)) == 1
    assert world.get("/api/notifications", seller, state="open").body["items"] == []
    with world.session() as session:
        # The same trouble anew is a new one.
        assert len(troubles.trouble(session, shop, troubles.CREDENTIALS, "acme said 401", now=now)) == 1
    assert world.get("/api/notifications", seller).body["unread"] == 1


def test_a_page_that_was_pulled_is_shown_as_what_it_is(world: World, seller: Person) -> None:
    acme, place = Acme(), make_place(world.parts.settings.database_url or "")
    acme.items = [payment(at=60, id="pmt_1", description="<script>alert(1)</script>")]
    try:
        shop = link(place, acme, seller=seller.actor)
        work_off(place)
    finally:
        acme.stop()
        place.database.dispose()
    listed = world.get("/api/deliveries", seller).body["items"]
    (pulled,) = [one for one in listed if one["connection"]["id"] == str(shop.connection_id)]
    (run,) = world.get(f"/api/connections/{shop.connection_id}/syncs", seller).body["items"]
    assert (pulled["sync_id"], pulled["event_names"], pulled["state"]) == (run["id"], ["sync.page"], "processed")
    page = world.browser(seller).get(f"/deliveries/{pulled['id']}")
    assert page.status_code == 200
    assert "Fetched from the provider" in page.text
    assert "Signature verified" not in page.text
    assert "GET /events" in page.text
    assert "<script>alert(1)" not in page.text
    report = world.post(f"/api/deliveries/{pulled['id']}/replay", seller, {"dry_run": True}).body
    assert (report["events"], report["changes"], report["failures"]) == (1, [], [])
