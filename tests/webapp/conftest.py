"""An application over a database of its own, and people to ask it with."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import text
from sqlalchemy.orm import Session
from werkzeug.datastructures import Headers

from config.settings import Settings
from core.database import Database
from core.identity import Actor, Role, passwords, tokens, users
from tests.conftest import Servers
from tests.standing import empty, standing_database
from tests.webapp.configured import settings_for
from tests.webapp.gate import Gate, build, close
from webapp.app import create_app
from webapp.auth import COOKIE
from webapp.directory import Directory
from webapp.limiter import TokenBucket
from webapp.limits import limiter
from webapp.services import EXTENSION, Services

PASSWORD = "correct horse battery"


@lru_cache(maxsize=1)
def password_hash() -> str:
    return passwords.hash_password(PASSWORD)


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody with an access token."""

    actor: Actor
    headers: dict[str, str]
    refresh_token: str
    cookie: str


@dataclass(frozen=True, slots=True)
class Reply:
    """What came back; `body` is the JSON in it, or None."""

    status: int
    body: Any
    headers: Headers


@dataclass(frozen=True, slots=True)
class World:
    """An application and its parts."""

    app: Flask
    parts: Services
    client: FlaskClient

    def ask(self, method: str, path: str, person: Person | None = None, **more: Any) -> Reply:
        """Send a request with a person's access token."""
        headers = (person.headers if person else {}) | more.pop("headers", {})
        answer = self.app.test_client().open(path, method=method, headers=headers, **more)
        return Reply(answer.status_code, answer.get_json(silent=True), answer.headers)

    def get(self, path: str, person: Person | None = None, **query: str) -> Reply:
        return self.ask("GET", path, person, query_string=query)

    def post(self, path: str, person: Person | None = None, json: Any = None, **headers: str) -> Reply:
        return self.ask("POST", path, person, json=json, headers={n.replace("_", "-"): v for n, v in headers.items()})

    def put(self, path: str, person: Person | None = None, json: Any = None) -> Reply:
        return self.ask("PUT", path, person, json=json)

    def delete(self, path: str, person: Person | None = None) -> Reply:
        return self.ask("DELETE", path, person)

    def person(self, role: Role = Role.SELLER, email: str | None = None, name: str | None = None) -> Person:
        """A new person who is signed in, both ways."""
        now = datetime.now(UTC)
        with self.parts.database.session() as session:
            actor = users.register(
                session,
                email=email or f"{role}-{now.timestamp()}@example.com",
                name=name or f"A {role}",
                password_hash=password_hash(),
                role=role,
                now=now,
            )
            pair = tokens.sign_in(session, self.parts.signing, actor, now)
            cookie = tokens.open_session(session, actor.id, "tests", now, seconds=3600)
        return Person(actor, {"Authorization": f"Bearer {pair.access_token}"}, pair.refresh_token, cookie)

    def session(self) -> AbstractContextManager[Session]:
        """A database session."""
        return self.parts.database.session()

    def browser(self, person: Person | None = None) -> FlaskClient:
        """A client with its own cookies, signed in by cookie when a person is given."""
        client = self.app.test_client()
        if person is not None:
            client.set_cookie(COOKIE, person.cookie)
        return client


def make_world(settings: Settings) -> World:
    database = Database(settings.sqlalchemy_url, pool_size=settings.database_pool_size)
    limiter.enabled = True
    app = create_app(settings, database=database)
    app.testing = True
    app.config["PROPAGATE_EXCEPTIONS"] = False
    # Tests sign in more often than people do; the one about limits switches them on.
    limiter.enabled = False
    return World(app, app.extensions[EXTENSION], app.test_client())


def standing_world(servers: Servers, database_url: str, folder: Path) -> Iterator[World]:
    """A world that the tests of a file share."""
    made = make_world(settings_for(database_url, folder, REDIS_URL=servers.redis_url))
    yield made
    made.app.extensions["ledgerwire.gateway"].stop()
    made.parts.database.dispose()


@pytest.fixture
def world(database_url: str, redis_url: str, tmp_path: Path) -> Iterator[World]:
    made = make_world(settings_for(database_url, tmp_path, REDIS_URL=redis_url))
    yield made
    made.app.extensions["ledgerwire.gateway"].stop()
    made.parts.database.dispose()


@pytest.fixture
def seller(world: World) -> Person:
    return world.person(Role.SELLER, "seller@example.com", "Asha Seller")


@pytest.fixture
def buyer(world: World) -> Person:
    return world.person(Role.BUYER, "buyer@example.com", "Bina Buyer")


@pytest.fixture
def stranger(world: World) -> Person:
    return world.person(Role.SELLER, "stranger@example.com", "Somebody Else")


@pytest.fixture
def operator(world: World) -> Person:
    return world.person(Role.OPERATOR, "operator@example.com", "Olga Operator")


@pytest.fixture
def db(world: World) -> Iterator[Session]:
    with world.parts.database.session() as session:
        yield session


INVOICE: dict[str, Any] = {
    "contact": {"name": "Bina Buyer", "email": "Buyer@Example.com"},
    "currency": "INR",
    "issue_date": "2026-11-01",
    "due_date": "2026-12-01",
    "items": [{"description": "Tea, 1 kg", "quantity": "2.5", "unit_price": 1001, "tax_rate": 18}],
}


@pytest.fixture
def open_gate(database_url: str, redis_url: str, tmp_path: Path) -> Iterator[Callable[..., Gate]]:
    """Builds a gate of this test's own, with settings of its own."""
    made: list[Gate] = []

    def opened(**more: str) -> Gate:
        made.append(build(database_url, redis_url, tmp_path, **more))
        return made[-1]

    yield opened
    for gate in made:
        close(gate)


@pytest.fixture(scope="module")
def standing_gate(servers: Servers, file_database_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gate]:
    made = build(file_database_url, servers.redis_url, tmp_path_factory.mktemp("gate"))
    yield made
    close(made)


@pytest.fixture
def gate(standing_gate: Gate) -> Gate:
    """A gate that remembers nothing. A database for each of the many cases would be most of their time."""
    empty(standing_gate.parts.database)
    with standing_gate.parts.database.connect() as connection:
        connection.execute(text("UPDATE connections SET deleted_at = now() WHERE deleted_at IS NULL"))
    inlet = standing_gate.inlet
    inlet.directory = Directory(standing_gate.parts.database, standing_gate.parts.ring)
    inlet.quarantine_bucket, inlet.second_looks = TokenBucket(5, burst=50), TokenBucket(20)
    return standing_gate


@dataclass(frozen=True, slots=True)
class Standing:
    """An application over a database that the tests of one file share, emptied of deliveries between them."""

    world: World
    database_url: str


@pytest.fixture(scope="module")
def standing_file(
    servers: Servers, template_database: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Standing]:
    with standing_database(servers, template_database) as address:
        settings = settings_for(address, tmp_path_factory.mktemp("world"), REDIS_URL=servers.redis_url)
        made = make_world(settings)
        yield Standing(made, address)
        made.app.extensions["ledgerwire.gateway"].stop()
        made.parts.database.dispose()


@pytest.fixture(scope="module")
def shared_world(standing_file: Standing) -> World:
    """For tests that leave nothing behind which another would trip over: refusals, above all."""
    return standing_file.world


@pytest.fixture(scope="module")
def shared_seller(shared_world: World) -> Person:
    return shared_world.person()


@pytest.fixture
def standing(standing_file: Standing) -> Standing:
    empty(standing_file.world.parts.database)
    return standing_file
