"""The live feed's gateway: who gets in, who hears what, and resuming."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import socketio
from flask_socketio import SocketIOTestClient

from core.database import Database
from core.events import DomainEvent
from core.identity import Role, tokens, users
from core.live import announce
from core.live.feed import number
from tests.webapp.api.market import fund, offer, rich
from tests.webapp.conftest import INVOICE, Person, World
from webapp import sockets
from webapp.sockets import Gateway


@pytest.fixture(autouse=True)
def one_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """Flask-SocketIO's test client knows one process only; test_serve.py has the real thing with Redis."""
    monkeypatch.setattr(sockets, "FeedManager", lambda _url: socketio.Manager())


class Listener:
    """A socket of a test."""

    def __init__(self, world: World, **how: Any) -> None:
        self._io = SocketIOTestClient(world.app, world.parts.socketio, **how)

    @property
    def connected(self) -> bool:
        return bool(self._io.is_connected())

    def heard(self) -> list[dict[str, Any]]:
        return list(self._io.get_received()) if self.connected else []

    def ask(self, name: str, *message: object) -> Any:
        return self._io.emit(name, *message, callback=True)


def by_token(world: World, person: Person) -> Listener:
    return Listener(world, auth={"token": person.headers["Authorization"].removeprefix("Bearer ")})


def by_cookie(world: World, person: Person) -> Listener:
    return Listener(world, flask_test_client=world.browser(person))


def say(world: World, *events: tuple[str, str]) -> None:
    """Announce events and number them, as the relay does."""
    with world.session() as session:
        announce(session, [DomainEvent(room=room, name=name, data={}) for room, name in events])
    with world.parts.database.connect() as connection:
        number(connection)


def emit(world: World, room: str, seq: int) -> None:
    assert world.parts.socketio is not None
    world.parts.socketio.server.manager.emit("event", {"seq": seq}, "/", room=room)


@pytest.mark.parametrize("way", [by_token, by_cookie])
def test_a_person_is_greeted_with_their_rooms(world: World, seller: Person, way: Any) -> None:
    say(world, (f"user:{seller.actor.id}", "invoice.created"))
    [greeting] = way(world, seller).heard()
    assert greeting["name"] == "connected"
    said = greeting["args"][0]
    assert said["user"] == {
        "id": str(seller.actor.id),
        "email": "seller@example.com",
        "name": "Asha Seller",
        "role": "seller",
    }
    assert said["rooms"] == {f"user:{seller.actor.id}": 1, "marketplace": 0}


@pytest.mark.parametrize(
    ("role", "rooms"),
    [
        (Role.SELLER, {"user", "marketplace"}),
        (Role.BUYER, {"user"}),
        (Role.INVESTOR, {"user", "marketplace"}),
        (Role.OPERATOR, {"user", "operators"}),
    ],
)
def test_the_rooms_are_those_of_the_role(world: World, role: Role, rooms: set[str]) -> None:
    [greeting] = by_token(world, world.person(role)).heard()
    assert {room.partition(":")[0] for room in greeting["args"][0]["rooms"]} == rooms


def test_a_stranger_is_not_let_in(world: World) -> None:
    tokens = (None, "", 7, "a.b.c", "x" * 9000)
    kinds: list[object] = [None, {}, [], "x", *({"token": token} for token in tokens)]
    for auth in kinds:
        assert not Listener(world, auth=auth).connected, auth


def test_a_session_that_ended_is_not_let_in(world: World, seller: Person) -> None:
    with world.session() as session:
        tokens.close_session(session, seller.cookie)
    assert not by_cookie(world, seller).connected


def test_parties_join_an_invoices_room_and_nobody_else_does(
    world: World, seller: Person, buyer: Person, stranger: Person, operator: Person
) -> None:
    room = "invoice:" + world.post("/api/invoices", seller, INVOICE).body["id"]
    say(world, (room, "invoice.updated"))
    for person in (seller, buyer, operator):
        assert by_token(world, person).ask("join", {"room": room}) == {"ok": True, "seq": 2}
    for person in (stranger, world.person(Role.INVESTOR)):
        for refused in (
            by_token(world, person).ask("join", {"room": room}),
            by_token(world, person).ask("resume", {"rooms": {room: 0}}),
        ):
            assert (refused["ok"], refused["error"]["code"]) == (False, "not_found")


GARBAGE: list[tuple[object, ...]] = [
    (),
    (None,),
    (7,),
    ("invoice:x",),
    ({},),
    ({"room": None},),
    ({"room": 7},),
    ({"room": "x" * 5000},),
    ({"room": "invoice:\x00"},),
    ({"room": "\ud83d\ude00"},),
    ([{"room": "x"}],),
    ({"room": "user:x"}, {"room": "y"}),
]


@pytest.mark.parametrize("event", ["join", "leave"])
def test_garbage_is_answered(world: World, seller: Person, event: str) -> None:
    for message in GARBAGE:
        listener = by_token(world, seller)
        answer = listener.ask(event, *message)
        assert answer["ok"] is False, message
        assert answer["error"]["code"] == "invalid", message
        assert listener.ask("leave", {"room": "invoice:x"})["ok"], message


def test_garbage_in_resume_is_answered(world: World, seller: Person) -> None:
    kinds: list[object] = [None, [], {}, "x", {"user:x": "1"}, {"user:x": -1}, {"user:x": True}, {"user:x": 2**70}]
    many = {f"invoice:{place}": 0 for place in range(60)}
    for rooms in (*kinds, {"": 1}, many):
        answer = by_token(world, seller).ask("resume", {"rooms": rooms})
        assert answer["error"]["code"] == "invalid", rooms


def test_an_unknown_event_is_answered(world: World, seller: Person) -> None:
    assert by_token(world, seller).ask("subscribe", {})["error"]["code"] == "unknown_event"


@pytest.mark.parametrize("room", ["operators", "marketplace", "user:{stranger}", "invoice:not-an-id", "everything"])
def test_rooms_that_are_not_theirs_are_not_there(world: World, buyer: Person, stranger: Person, room: str) -> None:
    answer = by_token(world, buyer).ask("join", {"room": room.format(stranger=stranger.actor.id)})
    assert answer["error"]["code"] == "not_found"


def test_what_was_missed_comes_in_order(world: World, seller: Person) -> None:
    mine = f"user:{seller.actor.id}"
    listener = by_token(world, seller)
    say(world, (mine, "a.done"), ("marketplace", "b.done"), (mine, "c.done"))
    answer = listener.ask("resume", {"rooms": {mine: 0, "marketplace": 0}})
    assert [(each["room"], each["seq"], each["name"]) for each in answer["events"]] == [
        (mine, 1, "a.done"),
        ("marketplace", 1, "b.done"),
        (mine, 2, "c.done"),
    ]
    assert answer["rooms"] == {mine: 2, "marketplace": 1}
    assert "reset" not in answer
    assert listener.ask("resume", {"rooms": {mine: 2, "marketplace": 1}})["events"] == []


def test_who_missed_too_much_or_is_ahead_starts_anew(world: World, seller: Person) -> None:
    mine = f"user:{seller.actor.id}"
    say(world, *[(mine, "a.done")] * 400)
    say(world, *[(mine, "a.done")] * 200)
    listener = by_token(world, seller)
    for seq in (0, 601):
        answer = listener.ask("resume", {"rooms": {mine: seq}})
        assert (answer["events"], answer["reset"], answer["rooms"]) == ([], [mine], {mine: 600})
    assert len(listener.ask("resume", {"rooms": {mine: 100}})["events"]) == 500


def test_a_room_that_was_left_is_not_heard(world: World, seller: Person) -> None:
    room = "invoice:" + world.post("/api/invoices", seller, INVOICE).body["id"]
    listener = by_token(world, seller)
    listener.heard()
    listener.ask("join", {"room": room})
    emit(world, room, 1)
    assert [each["args"][0] for each in listener.heard()] == [{"seq": 1}]
    assert listener.ask("leave", {"room": room}) == {"ok": True}
    emit(world, room, 2)
    assert listener.heard() == []


def _gateway(world: World) -> Gateway:
    gateway: Gateway = world.app.extensions["ledgerwire.gateway"]
    return gateway


@pytest.mark.parametrize("way", [by_token, by_cookie])
@pytest.mark.parametrize("ending", ["signed out", "deactivated"])
def test_a_sign_in_that_ended_ends_the_socket(world: World, seller: Person, way: Any, ending: str) -> None:
    listener = way(world, seller)
    with world.session() as session:
        if ending == "deactivated":
            users.deactivate(session, seller.actor.id, datetime.now(UTC))
        else:
            users.end_everywhere(session, seller.actor.id, datetime.now(UTC))
    answer = listener.ask("resume", {"rooms": {f"user:{seller.actor.id}": 0}})
    assert answer["error"]["code"] == "authentication_failed"
    assert _gateway(world).users() == set()


def test_sockets_that_never_ask_are_closed_as_well(world: World, seller: Person, buyer: Person) -> None:
    by_token(world, seller)
    by_cookie(world, buyer)
    gateway = _gateway(world)
    gateway.sweep()
    assert gateway.users() == {str(seller.actor.id), str(buyer.actor.id)}
    with world.session() as session:
        users.end_everywhere(session, seller.actor.id, datetime.now(UTC))
    gateway.sweep()
    assert gateway.users() == {str(buyer.actor.id)}


def test_an_investor_hears_no_more_of_an_offer_that_others_took(world: World) -> None:
    seller, buyer = rich(world, Role.SELLER), rich(world, Role.BUYER)
    looking, taking = rich(world), rich(world)
    made = offer(world, seller, buyer)
    room = f"invoice:{made.invoice_id}"
    listeners = [by_token(world, person) for person in (looking, taking, seller)]
    assert all(each.ask("join", {"room": room})["ok"] for each in listeners)
    _gateway(world).sweep()
    emit(world, room, 1)
    fund(world, taking, made, 90_000_00)
    _gateway(world).sweep()
    emit(world, room, 2)
    heard = [[event["args"][0]["seq"] for event in each.heard() if event["name"] == "event"] for each in listeners]
    assert heard == [[1], [1, 2], [1, 2]]


def test_an_access_token_that_ran_out_is_renewed_or_ends(world: World, seller: Person) -> None:
    listener = by_token(world, seller)
    [client] = _gateway(world).clients.values()
    client.expires_at = datetime.now(UTC) - timedelta(seconds=1)
    token = seller.headers["Authorization"].removeprefix("Bearer ")
    mine = {"rooms": {f"user:{seller.actor.id}": 0}}
    assert listener.ask("resume", mine | {"token": token})["ok"]
    client.expires_at = datetime.now(UTC) - timedelta(seconds=1)
    assert listener.ask("resume", mine)["error"]["code"] == "authentication_failed"


def test_nobody_renews_with_somebody_elses_token(world: World, seller: Person, stranger: Person) -> None:
    theirs = stranger.headers["Authorization"].removeprefix("Bearer ")
    answer = by_token(world, seller).ask("resume", {"rooms": {f"user:{seller.actor.id}": 0}, "token": theirs})
    assert answer["error"]["code"] == "forbidden"


def test_with_the_database_away_the_gateway_says_so(world: World, seller: Person) -> None:
    listener = by_token(world, seller)
    gateway = _gateway(world)
    there = gateway._parts.database
    gateway._parts.database = Database("postgresql+psycopg://nobody@127.0.0.1:1/nothing")
    try:
        answer = listener.ask("resume", {"rooms": {f"user:{seller.actor.id}": 0}})
        assert answer["error"]["code"] == "unavailable"
        assert not by_token(world, seller).connected
    finally:
        gateway._parts.database = there
    assert listener.ask("resume", {"rooms": {f"user:{seller.actor.id}": 0}})["ok"]


def test_health_counts_people_not_sockets(world: World, seller: Person, buyer: Person) -> None:
    for person in (seller, seller, buyer):
        by_token(world, person)
    health = world.get("/api/health").body
    assert (health["connected_users"], health["connected_users_scope"]) == (2, "installation")
