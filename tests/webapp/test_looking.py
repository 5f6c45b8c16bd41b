"""Who is looking at an invoice: its parties and operators, each other; investors neither see nor are seen."""

from __future__ import annotations

from typing import Any

import pytest
import socketio

from core.identity import Role
from tests.conftest import Servers
from tests.webapp.api.market import offer, rich
from tests.webapp.conftest import INVOICE, Person, World
from tests.webapp.test_sockets import Listener, by_token
from webapp import sockets
from webapp.looking import STALE_SECONDS, Looking, Watcher

ASHA = Watcher("1", "Asha", "seller")
BINA = Watcher("2", "Bina", "buyer")


@pytest.fixture(autouse=True)
def one_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """Flask-SocketIO's test client knows one process only."""
    monkeypatch.setattr(sockets, "FeedManager", lambda _url: socketio.Manager())


def names(answer: Any) -> list[str]:
    return [person["name"] for person in answer["people"]]


def looked(listener: Listener) -> list[list[str]]:
    return [names(message["args"][0]) for message in listener.heard() if message["name"] == "looking"]


def at(world: World, person: Person, invoice_id: str) -> Listener:
    listener = by_token(world, person)
    assert listener.ask("join", {"room": f"invoice:{invoice_id}"})["ok"]
    return listener


def test_parties_see_who_else_looks_and_when_they_go(world: World, seller: Person, buyer: Person) -> None:
    made = world.post("/api/invoices", seller, INVOICE)
    room = {"room": f"invoice:{made.body['id']}"}
    first, second = at(world, seller, made.body["id"]), at(world, buyer, made.body["id"])
    assert names(first.ask("look", room)) == ["Asha Seller"]
    first.heard()
    assert names(second.ask("look", room)) == ["Asha Seller", "Bina Buyer"]
    assert looked(first) == [["Asha Seller", "Bina Buyer"]]
    second.ask("leave", room)
    assert looked(first) == [["Asha Seller"]]


def test_the_same_person_in_two_windows_is_one_person_with_two(world: World, seller: Person) -> None:
    made = world.post("/api/invoices", seller, INVOICE)
    room = {"room": f"invoice:{made.body['id']}"}
    first, second = at(world, seller, made.body["id"]), at(world, seller, made.body["id"])
    first.ask("look", room)
    [person] = second.ask("look", room)["people"]
    assert (person["name"], person["windows"]) == ("Asha Seller", 2)


def test_an_investor_sees_nobody_and_is_not_seen(world: World) -> None:
    invoice_id = str(offer(world, rich(world, Role.SELLER), rich(world, Role.BUYER)).invoice_id)
    mine = at(world, rich(world), invoice_id)
    assert mine.ask("look", {"room": f"invoice:{invoice_id}"})["error"]["code"] == "not_found"


def test_nobody_looks_at_what_they_did_not_join(world: World, seller: Person) -> None:
    made = world.post("/api/invoices", seller, INVOICE)
    listener = by_token(world, seller)
    assert listener.ask("look", {"room": f"invoice:{made.body['id']}"})["error"]["code"] == "not_found"
    assert listener.ask("look", {"room": f"user:{seller.actor.id}"})["error"]["code"] == "not_found"


def test_processes_tell_each_other_through_redis(servers: Servers) -> None:
    one, other = Looking(servers.redis_url), Looking(servers.redis_url)
    one.see("invoice:x", "a", ASHA)
    assert [person["name"] for person in other.see("invoice:x", "b", BINA)] == ["Asha", "Bina"]
    assert other.gone("invoice:x", "b")
    assert not other.gone("invoice:x", "b")
    assert [person["name"] for person in one.who("invoice:x")] == ["Asha"]


def test_whoever_falls_silent_is_gone(servers: Servers) -> None:
    times = [1000.0]
    here = Looking(servers.redis_url, lambda: times[0])
    here.see("invoice:y", "a", ASHA)
    times[0] += STALE_SECONDS
    assert len(here.who("invoice:y")) == 1
    times[0] += 0.1
    assert here.who("invoice:y") == []


def test_with_redis_down_a_process_knows_its_own() -> None:
    here = Looking("redis://127.0.0.1:1/0")
    assert [person["name"] for person in here.see("invoice:z", "a", ASHA)] == ["Asha"]
