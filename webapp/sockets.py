"""The live feed's gateway: Socket.IO connections, who may hear what, and resuming (docs/live-feed.md).

The gateway is nearly stateless: it knows which sockets are whose, and the numbered feed is in PostgreSQL. What
a socket missed for whatever reason is found again by `resume`, which clients send as their heartbeat.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import wraps
from typing import Any, TypeAlias
from uuid import UUID

import engineio.packet
import engineio.socket
import redis
import socketio
import structlog
from flask import Flask, request
from flask_socketio import SocketIO
from socketio.exceptions import ConnectionRefusedError as Refused
from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from core.errors import AuthenticationFailed, Forbidden, Invalid, NotFound, PlatformError
from core.identity import Actor, Role, tokens, users
from core.ids import parse_id
from core.invoicing.invoices import may_see
from core.invoicing.queries import investors_read
from core.live import FeedEvent, after, default_rooms, sequences
from webapp import runtime
from webapp.auth import COOKIE, now
from webapp.looking import Looking, Watcher
from webapp.presence import BEAT_SECONDS, Presence
from webapp.services import Services

log = structlog.get_logger(__name__)

Answer: TypeAlias = dict[str, object]

MAX_MESSAGE_BYTES = 65_536
_MAX_TOKEN = 4096
_MAX_ROOM = 100
# What one client may join and resume at once.
_MAX_ROOMS = 50
_MAX_EVENTS = 1000
_PING_SECONDS = 25
_PONG_SECONDS = 20
_LISTEN_SECONDS = 10.0


class FeedManager(socketio.RedisManager):  # type: ignore[misc]  # The library has no types.
    """Hears what the relay emits. It never speaks: only the relay does, so no request waits for Redis.

    The library's own listener cannot tell a silent Redis from a dead one, and says nothing to clients after a
    gap. This one asks after ten seconds of silence, and has every client resume after each new subscription.
    """

    def __init__(self, url: str) -> None:
        super().__init__(url)

    def _publish(self, data: object) -> None:
        """Say nothing to other processes; what is meant for a socket here has been emitted by the caller."""

    def _listen(self) -> Iterator[bytes]:
        pause = 0.5
        while True:
            pubsub = None
            try:
                client = redis.Redis.from_url(self.redis_url, socket_connect_timeout=2, socket_timeout=5)
                pubsub = client.pubsub()  # type: ignore[no-untyped-call]
                pubsub.subscribe(self.channel)
                for data in self._messages(pubsub):
                    pause = 0.5
                    yield data
            except (redis.RedisError, OSError) as error:
                log.warning("live feed cut off from redis", error=type(error).__name__, retry_seconds=pause)
                time.sleep(pause)
                pause = min(pause * 2, 5.0)
            finally:
                if pubsub is not None:
                    pubsub.close()

    def _messages(self, pubsub: Any) -> Iterator[bytes]:
        asked = False
        while True:
            message = pubsub.get_message(timeout=_LISTEN_SECONDS)
            if message is None:
                if asked:
                    raise redis.TimeoutError("no answer to a ping")
                pubsub.ping()
                asked = True
                continue
            asked = False
            if message["type"] == "subscribe":
                # What was emitted before this moment was not heard here.
                self.emit("resync", {}, namespace="/", ignore_queue=True)
            elif message["type"] == "message":
                yield message["data"]


def _schedule_ping(line: engineio.socket.Socket) -> None:
    if line.last_ping:
        line.last_ping = None
        runtime.later(line.server.ping_interval, lambda: _ping(line))


def _ping(line: engineio.socket.Socket) -> None:
    if not line.closing and not line.closed:
        line.last_ping = time.time()
        line.send(engineio.packet.Packet(engineio.packet.PING))


# The library keeps a sleeping task for each socket until its next ping: 15 KB, or a thread. It has no place to
# say otherwise (python-engineio 4.15, checked 2026-11-21).
engineio.socket.Socket.schedule_ping = _schedule_ping


@dataclass(slots=True)
class Client:
    """A socket: whose it is, and what proves that it still is."""

    user_id: UUID
    role: Role
    session_hash: bytes | None = None
    family: UUID | None = None
    expires_at: datetime | None = None
    name: str = ""
    rooms: set[str] = field(default_factory=set)


def may_hear(session: Session, actor: Actor, room: str) -> bool:
    """Whether a room is the actor's to listen to."""
    if room in default_rooms(actor):
        return True
    kind, _, identity = room.partition(":")
    subject = parse_id(identity)
    # In the one spelling that is announced: another would be a room that nobody speaks in.
    if kind != "invoice" or subject is None or str(subject) != identity:
        return False
    return may_see(session, actor, subject)


def _failure(code: str, detail: str) -> Answer:
    return {"ok": False, "error": {"code": code, "detail": detail}}


def _only(arguments: tuple[object, ...]) -> dict[str, Any]:
    if len(arguments) != 1 or not isinstance(arguments[0], dict):
        raise Invalid("", "send one object")
    return arguments[0]


def _answered(handler: Callable[..., Answer]) -> Callable[..., Answer]:
    """Turn whatever happens in a handler into an acknowledgement."""

    @wraps(handler)
    def guarded(*arguments: object) -> Answer:
        try:
            return handler(_only(arguments))
        except PlatformError as error:
            return _failure(error.code, str(error))
        except SQLAlchemyError as error:
            log.warning("live feed cannot reach the database", error=type(error).__name__)
            return _failure("unavailable", "not available right now; try again")
        except Exception:
            log.exception("socket handler failed", handler=handler.__name__)
            return _failure("internal_error", "something went wrong on our side")

    return guarded


def _room_of(message: dict[str, Any]) -> str:
    room = message.get("room")
    if not isinstance(room, str) or not 0 < len(room) <= _MAX_ROOM or not room.isascii() or not room.isprintable():
        raise Invalid("room", "must be the name of a room, such as invoice:<id>")
    return room


class Gateway:
    """The handlers and the sockets of one web process."""

    def __init__(self, app: Flask, parts: Services, server: SocketIO) -> None:
        self._app = app
        self._parts = parts
        self._io = server
        self.clients: dict[str, Client] = {}
        self._looking = Looking(parts.settings.redis_url)
        # Engine connections that had proved nothing when they were last looked at.
        self._silent: set[str] = set()
        self._started = False
        self._ending = threading.Event()
        server.on_event("connect", self.connect)
        server.on_event("disconnect", self.disconnect)
        server.on_event("join", _answered(self.join))
        server.on_event("leave", _answered(self.leave))
        server.on_event("resume", _answered(self.resume))
        server.on_event("look", _answered(self.look))
        server.on_event("*", lambda *_: _failure("unknown_event", "join, leave, look and resume are understood"))

    def users(self) -> set[str]:
        """Ids of the users on these sockets."""
        return {str(client.user_id) for client in list(self.clients.values())}

    def start(self) -> None:
        """Begin to listen to the relay and to look after the sockets; once, after any fork."""
        if self._started:
            return
        self._started = True
        engine = self._io.server
        if not engine.manager_initialized:
            engine.manager_initialized = True
            engine.manager.initialize()
        runtime.spawn(self._look_after, name="sockets")

    def stop(self) -> None:
        """Look after nobody any more, and take this process out of the count."""
        self._ending.set()
        self.clients.clear()
        if self._parts.presence is not None:
            self._parts.presence.leave()

    # Connecting ---------------------------------------------------------------------------------------------

    def connect(self, auth: object = None) -> None:
        """Let a person in, or say why not."""
        self.start()
        sid: str = request.sid  # type: ignore[attr-defined]  # Set by Flask-SocketIO.
        try:
            with self._parts.database.session() as session:
                actor, client = self._identify(session, auth)
                rooms = default_rooms(actor)
                # In the rooms first, then the numbers: what is emitted in between is heard, and at worst twice.
                for room in rooms:
                    self._enter(sid, client, room)
                known = sequences(session, rooms)
                profile = users.profile(session, actor.id)
        except PlatformError as error:
            raise Refused(str(error), {"code": error.code, "detail": str(error)}) from error
        except SQLAlchemyError as error:
            log.warning("live feed cannot reach the database", error=type(error).__name__)
            detail = "not available right now; try again"
            raise Refused(detail, {"code": "unavailable", "detail": detail}) from error
        client.name = str(profile["name"])
        self.clients[sid] = client
        user = {name: profile[name] for name in ("id", "email", "name", "role")}
        self._io.emit("connected", {"user": user, "rooms": known}, to=sid, ignore_queue=True)

    def _identify(self, session: Session, auth: object) -> tuple[Actor, Client]:
        token = auth.get("token") if isinstance(auth, dict) else None
        if token is not None:
            return self._by_token(session, token)
        cookie = request.cookies.get(COOKIE)
        if not cookie:
            raise AuthenticationFailed('sign in, or connect with auth={"token": <access token>}')
        held = tokens.digest(cookie)
        actor = tokens.actor_by_session_hash(session, held, now())
        if actor is None:
            raise AuthenticationFailed("the session has ended; sign in again")
        return actor, Client(actor.id, actor.role, session_hash=held)

    def _by_token(self, session: Session, token: object) -> tuple[Actor, Client]:
        if not isinstance(token, str) or len(token) > _MAX_TOKEN:
            raise AuthenticationFailed("the access token is not valid")
        claims = tokens.read_access(self._parts.signing, token, now())
        actor = tokens.actor_by_access(session, claims)
        if actor is None:
            raise AuthenticationFailed("the access token is not valid any more")
        return actor, Client(actor.id, actor.role, family=claims.family, expires_at=claims.expires_at)

    def disconnect(self, *_reason: object) -> None:
        """Forget a socket."""
        sid: str = request.sid  # type: ignore[attr-defined]
        client = self.clients.pop(sid, None)
        for room in client.rooms if client is not None else ():
            self._look_away(sid, room)

    # Listening ----------------------------------------------------------------------------------------------

    def _enter(self, sid: str, client: Client, room: str) -> None:
        self._io.server.enter_room(sid, room)
        client.rooms.add(room)

    def _client(self) -> tuple[str, Client]:
        sid: str = request.sid  # type: ignore[attr-defined]
        client = self.clients.get(sid)
        if client is None:
            raise AuthenticationFailed("connect first")
        return sid, client

    def _actor(self, session: Session, sid: str, client: Client) -> Actor:
        """Who the socket belongs to, if it still does; otherwise it is closed."""
        actor = None
        if client.session_hash is not None:
            actor = tokens.actor_by_session_hash(session, client.session_hash, now())
        elif client.family is not None and client.expires_at is not None and now() < client.expires_at:
            claims = tokens.AccessClaims(user_id=client.user_id, family=client.family, expires_at=client.expires_at)
            actor = tokens.actor_by_access(session, claims)
        if actor is None:
            self._close(sid)
            raise AuthenticationFailed("the session has ended; sign in again")
        return actor

    def _close(self, sid: str) -> None:
        self.clients.pop(sid, None)
        detail = "the session has ended; sign in again"
        self._io.emit("problem", {"code": "session_ended", "detail": detail}, to=sid, ignore_queue=True)
        # Off the rooms at once; the line itself closes when the farewell is through.
        for room in list(self._io.server.rooms(sid)):
            if room != sid:
                self._io.server.leave_room(sid, room)
        runtime.spawn(self._io.server.disconnect, sid)

    def join(self, message: dict[str, Any]) -> Answer:
        """Begin to hear a room; answers with its latest number."""
        sid, client = self._client()
        room = _room_of(message)
        with self._parts.database.session() as session:
            actor = self._actor(session, sid, client)
            if not may_hear(session, actor, room):
                raise NotFound("room", room)
            if room not in client.rooms and len(client.rooms) >= _MAX_ROOMS:
                raise Forbidden(f"at most {_MAX_ROOMS} rooms a connection")
            self._enter(sid, client, room)
            return {"ok": True, "seq": sequences(session, [room])[room]}

    def leave(self, message: dict[str, Any]) -> Answer:
        """Stop hearing a room. Leaving one twice, or one's own, changes nothing."""
        sid, client = self._client()
        room = _room_of(message)
        if room.startswith("invoice:"):
            self._io.server.leave_room(sid, room)
            client.rooms.discard(room)
            self._look_away(sid, room)
        return {"ok": True}

    def look(self, message: dict[str, Any]) -> Answer:
        """Say that this socket's person is looking at an invoice whose room it is in; answers who is.

        Clients say so again every 15 seconds. Parties and operators see each other; investors see nobody and are
        not seen. Whoever looks already hears `looking` {room, people} when that changes.
        """
        sid, client = self._client()
        room = _room_of(message)
        if client.role is Role.INVESTOR or room not in client.rooms or not room.startswith("invoice:"):
            raise NotFound("room", room)
        before = self._looking.who(room)
        people = self._looking.see(room, sid, Watcher(str(client.user_id), client.name, client.role.value))
        self._io.server.enter_room(sid, f"looking:{room}")
        if people != before:
            self._say_who(room, people)
        return {"ok": True, "people": people}

    def _look_away(self, sid: str, room: str) -> None:
        if self._looking.gone(room, sid):
            self._io.server.leave_room(sid, f"looking:{room}")
            self._say_who(room, self._looking.who(room))

    def _say_who(self, room: str, people: list[dict[str, object]]) -> None:
        # To the sockets of this process. Those of others hear it when they next say that they are looking.
        self._io.emit("looking", {"room": room, "people": people}, to=f"looking:{room}", ignore_queue=True)

    def resume(self, message: dict[str, Any]) -> Answer:
        """The events missed in each room since the given number; `reset` names rooms where they are too many.

        It is also the heartbeat: a client that gets no answer knows that the server is deaf. With `token` a
        client that signed in by token shows a fresh one.
        """
        sid, client = self._client()
        wanted = _wanted(message.get("rooms"))
        missed: list[FeedEvent] = []
        reset: list[str] = []
        with self._parts.database.session() as session:
            if message.get("token") is not None:
                self._renew(session, client, message["token"])
            actor = self._actor(session, sid, client)
            for room in wanted:
                if not may_hear(session, actor, room):
                    raise NotFound("room", room)
                if room not in client.rooms and len(client.rooms) >= _MAX_ROOMS:
                    raise Forbidden(f"at most {_MAX_ROOMS} rooms a connection")
            for room in wanted:
                self._enter(sid, client, room)
            latest = sequences(session, list(wanted))
            for room, seq in wanted.items():
                if seq == latest[room]:
                    continue
                events = after(session, room, seq)
                if events is None or len(missed) + len(events) > _MAX_EVENTS:
                    reset.append(room)
                else:
                    missed += events
        missed.sort(key=lambda event: event.position)
        answer: Answer = {"ok": True, "events": [event.message() for event in missed], "rooms": latest}
        if reset:
            answer["reset"] = reset
        return answer

    def _renew(self, session: Session, client: Client, token: object) -> None:
        actor, fresh = self._by_token(session, token)
        if actor.id != client.user_id or client.family is None:
            raise Forbidden("the token is somebody else's")
        client.family, client.expires_at = fresh.family, fresh.expires_at

    # Looking after --------------------------------------------------------------------------------------------

    def _look_after(self) -> None:
        while not self._ending.wait(BEAT_SECONDS):
            try:
                if self._parts.presence is not None:
                    self._parts.presence.beat()
                self.sweep()
            except SQLAlchemyError as error:
                # Nobody is thrown out because we cannot look.
                log.warning("sockets not looked after", error=type(error).__name__)
            except Exception:
                log.exception("sockets not looked after")

    def sweep(self) -> None:
        """Close the sockets whose proof has ended, also of clients that never ask, and lines that proved nothing."""
        engine = self._io.server
        silent = {eio for eio in list(engine.environ) if engine.manager.sid_from_eio_sid(eio, "/") is None}
        for eio in silent & self._silent:
            engine.eio.disconnect(eio)
        self._silent = silent
        held = dict(self.clients)
        if not held:
            return
        with self._parts.database.session() as session:
            sessions, families = _still_good(session, list(held.values()), now())
            # An offer ends, and who has no part in it hears no more of the invoice.
            asked = {(each.user_id, invoice) for each in held.values() for invoice, _ in _looked_at(each)}
            readable = investors_read(session, asked) if asked else set()
        for sid, client in held.items():
            if not engine.manager.is_connected(sid, "/"):
                self.clients.pop(sid, None)
            elif (client.session_hash is not None and client.session_hash not in sessions) or (
                client.family is not None
                and (client.family not in families or (client.expires_at is not None and client.expires_at <= now()))
            ):
                self._close(sid)
            else:
                for invoice, room in _looked_at(client):
                    if (client.user_id, invoice) in asked and (client.user_id, invoice) not in readable:
                        self._io.server.leave_room(sid, room)
                        client.rooms.discard(room)


def _looked_at(client: Client) -> list[tuple[UUID, str]]:
    """The invoices in whose rooms an investor is; of everybody else's none is lost again."""
    if client.role is not Role.INVESTOR:
        return []
    return [(UUID(room[8:]), room) for room in list(client.rooms) if room.startswith("invoice:")]


def _expired(client: Client) -> bool:
    return client.expires_at is not None and client.expires_at <= now()


def _still_good(session: Session, clients: Sequence[Client], moment: datetime) -> tuple[set[bytes], set[UUID]]:
    """The page sessions and sign-ins among the clients' that are still valid."""
    sessions = session.scalars(
        text(
            "SELECT token_hash FROM sessions JOIN users ON users.id = sessions.user_id "
            "WHERE token_hash = ANY(CAST(:hashes AS bytea[])) AND expires_at > :now AND is_active"
        ),
        {"hashes": list({each.session_hash for each in clients if each.session_hash}), "now": moment},
    )
    families = session.scalars(
        text(
            "SELECT DISTINCT family FROM refresh_tokens JOIN users ON users.id = refresh_tokens.user_id "
            "WHERE family = ANY(CAST(:families AS uuid[])) AND revoked_at IS NULL AND is_active"
        ),
        {"families": list({each.family for each in clients if each.family})},
    )
    return {bytes(each) for each in sessions}, set(families)


def _wanted(given: object) -> dict[str, int]:
    if not isinstance(given, dict) or not 0 < len(given) <= _MAX_ROOMS:
        raise Invalid("rooms", f"must be an object of 1 to {_MAX_ROOMS} rooms with the last number of each")
    wanted = {}
    for name, seq in given.items():
        room = _room_of({"room": name})
        if type(seq) is not int or not 0 <= seq < 2**63:
            raise Invalid("rooms", "each number must be a whole number, 0 or more")
        wanted[room] = seq
    return wanted


def install(app: Flask, parts: Services) -> None:
    """Bind Socket.IO to an app. Nothing is connected or started yet."""
    url = parts.settings.redis_url
    options: dict[str, Any] = {"client_manager": FeedManager(url)} if url else {}
    server = SocketIO(
        app,
        async_mode=runtime.mode(),
        manage_session=False,
        serve_client=False,
        # None means: browsers of this same origin only. Clients that are no browsers send no Origin.
        cors_allowed_origins=None,
        max_http_buffer_size=MAX_MESSAGE_BYTES,
        ping_interval=_PING_SECONDS,
        ping_timeout=_PONG_SECONDS,
        http_compression=False,
        **options,
    )
    gateway = Gateway(app, parts, server)
    parts.socketio = server
    parts.presence = Presence(url, gateway.users)
    app.extensions["ledgerwire.gateway"] = gateway
