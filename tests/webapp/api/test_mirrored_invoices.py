"""Invoices elsewhere, over HTTP and on their page."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from uuid import UUID

import pytest

from core.events import MirroredInvoice, MirroredStatus, Trust
from core.ids import new_id
from core.intake import apply
from core.money import Money
from core.statements import Statement
from tests.conftest import Servers
from tests.webapp.configured import settings_for
from tests.webapp.conftest import Person, World, make_world


@pytest.fixture(scope="module")
def world(servers: Servers, file_database_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """One installation for all tests here: nobody sees another's invoices."""
    made = make_world(settings_for(file_database_url, tmp_path_factory.mktemp("mirrored"), REDIS_URL=servers.redis_url))
    yield made
    made.app.extensions["ledgerwire.gateway"].stop()
    made.parts.database.dispose()


@pytest.fixture
def seller(world: World) -> Person:
    return world.person()


def mirror(world: World, person: Person, connection_id: str, number: str, **more: Any) -> None:
    """Have a connection say that it keeps an invoice of 12.50 dollars."""
    given: dict[str, Any] = {
        "version": 1,
        "status": MirroredStatus.OPEN,
        "direction": "sales",
        "total": Money(1250, "USD"),
        "due": Money(1250, "USD"),
        "contact_name": "Rao Retail",
        "url": f"https://books.example/{number}",
    }
    record = MirroredInvoice(object_id=number, number=number, **given | more)
    with world.parts.database.connect() as connection:
        apply(
            connection,
            [
                Statement(
                    event_id=new_id(),
                    connection_id=UUID(connection_id),
                    user_id=person.actor.id,
                    connector="razorpay",
                    trust=Trust.FETCHED,
                    record=record,
                )
            ],
        )


@pytest.fixture
def shop(world: World, seller: Person) -> str:
    """The id of a connection that keeps two invoices and a bill."""
    made: str = world.post("/api/connections", seller, {"connector": "razorpay", "name": "Books"}).body["id"]
    mirror(world, seller, made, "N-1")
    mirror(world, seller, made, "N-2", status=MirroredStatus.PAID, due=Money(0, "USD"))
    mirror(world, seller, made, "B-1", direction="purchase")
    return made


def test_they_are_listed_page_by_page_and_filtered(world: World, seller: Person, shop: str) -> None:
    path = "/api/mirrored-invoices"
    first = world.get(path, seller, limit="2").body
    second = world.get(path, seller, limit="2", cursor=first["next_cursor"]).body
    assert [row["number"] for row in first["items"] + second["items"]] == ["B-1", "N-2", "N-1"]
    assert second["next_cursor"] is None
    assert [row["number"] for row in world.get(path, seller, status="paid").body["items"]] == ["N-2"]
    assert len(world.get(path, seller, connection_id=shop).body["items"]) == 3
    assert world.get(path, seller, connection_id=str(new_id())).body["items"] == []
    assert world.get(path, seller, status="unpaid").status == 422
    assert world.get(path, seller, cursor="nonsense").status == 422


def test_one_of_them_says_everything_that_is_known(world: World, seller: Person, shop: str) -> None:
    row = world.get("/api/mirrored-invoices", seller).body["items"][-1]
    found = world.get(f"/api/mirrored-invoices/{row['id']}", seller)
    assert found.status == 200
    assert found.body.pop("updated_at") == row.pop("updated_at")
    assert found.body == row | {"deliveries": [], "differences": []}
    assert row | {"id": None} == {
        "id": None,
        "status": "open",
        "direction": "sales",
        "kind": "invoice",
        "number": "N-1",
        "total": 1250,
        "due": 1250,
        "currency": "USD",
        "issued_on": None,
        "due_on": None,
        "contact": {"name": "Rao Retail", "email": None},
        "url": "https://books.example/N-1",
        "connection": {"id": shop, "name": "Books", "connector": "razorpay"},
        "link": None,
        "trust": "fetched",
    }


def test_none_can_be_made_or_deleted(world: World, seller: Person, shop: str) -> None:
    row = world.get("/api/mirrored-invoices", seller).body["items"][0]
    assert world.post("/api/mirrored-invoices", seller, {}).status == 405
    assert world.delete(f"/api/mirrored-invoices/{row['id']}", seller).status == 405


def test_the_page_lists_them_and_links_where_they_are_kept(world: World, seller: Person, shop: str) -> None:
    browser = world.browser(seller)
    page = browser.get("/mirrored-invoices").get_data(as_text=True)
    assert all(number in page for number in ("N-1", "N-2", "B-1", "$12.50", "Rao Retail"))
    (row,) = [one for one in world.get("/api/mirrored-invoices", seller).body["items"] if one["number"] == "N-1"]
    assert f'href="/mirrored-invoices/{row["id"]}"' in page
    assert 'href="https://books.example/N-1"' in browser.get(f"/mirrored-invoices/{row['id']}").get_data(as_text=True)
    paid = browser.get(f"/mirrored-invoices?status=paid&connection_id={shop}").get_data(as_text=True)
    assert "N-2" in paid
    assert "N-1" not in paid
    assert "As Books keeps them" in paid
    assert f"/mirrored-invoices?connection_id={shop}" in browser.get(f"/connections/{shop}").get_data(as_text=True)
    assert 'href="/mirrored-invoices"' in browser.get("/invoices").get_data(as_text=True)


def test_the_page_says_so_when_there_are_none(world: World, seller: Person) -> None:
    browser = world.browser(seller)
    assert "No invoices elsewhere yet" in browser.get("/mirrored-invoices").get_data(as_text=True)
    assert "Nothing found" in browser.get("/mirrored-invoices?status=void").get_data(as_text=True)


def test_a_script_in_a_providers_text_stays_text(world: World, seller: Person, shop: str) -> None:
    mirror(world, seller, shop, "<script>x</script>", contact_name="<b>bold</b>", url="javascript:alert(1)")
    page = world.browser(seller).get("/mirrored-invoices").get_data(as_text=True)
    assert "<script>x" not in page
    assert "<b>bold" not in page
    assert "javascript:" not in page
    (row,) = world.get("/api/mirrored-invoices", seller, limit="1").body["items"]
    assert (row["number"], row["url"]) == ("<script>x</script>", None)
