"""An ingress with a database, as providers meet it: connections, signed deliveries, and what was kept of them."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

from flask import Flask
from sqlalchemy import text
from werkzeug.test import TestResponse

from connectors import registry
from core.connections import store as connections
from core.database import Database
from core.identity import Actor, Role, users
from core.ids import new_id
from tests.webapp.configured import settings_for
from webapp.admission import Inlet
from webapp.app import create_app
from webapp.services import EXTENSION, Services

PLATFORM_SECRET = "whsec_" + "cGxhdGZvcm0gc2VjcmV0IG9mIHRoZSB0ZXN0cw=="
OLDER_PLATFORM_SECRET = "whsec_" + "b2xkZXIgcGxhdGZvcm0gc2VjcmV0IG9mIHRlc3Rz"
LIMIT = 2048
GENERIC = registry.get("standard_webhooks").signature


@dataclass(frozen=True, slots=True, kw_only=True)
class Address:
    """A connection as its provider knows it."""

    id: str
    hook: str
    secret: str
    connector: str
    owner: Actor

    @property
    def path(self) -> str:
        return f"/api/connectors/{self.connector}/webhook/{self.id}"

    @property
    def opaque_path(self) -> str:
        return f"/api/hooks/{self.hook}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Gate:
    """An ingress and its database."""

    app: Flask
    parts: Services

    @property
    def inlet(self) -> Inlet:
        found: Inlet = self.app.extensions["ledgerwire.inlet"]
        return found

    def person(self) -> Actor:
        with self.parts.database.session() as session:
            return users.register(
                session,
                email=f"{new_id()}@shop.test",
                name="Asha",
                role=Role.SELLER,
                password_hash="-",
                now=datetime.now(UTC),
            )

    def connect(
        self, connector: str = "standard_webhooks", *, owner: Actor | None = None, account: str | None = None
    ) -> Address:
        person = owner or self.person()
        secret = registry.get(connector).signature.new_secret()
        with self.parts.database.session() as session:
            made = connections.create(
                session,
                person,
                self.parts.ring,
                connector=connector,
                name="Shop",
                secrets={"webhook_secret": secret},
                settings={},
                external_id=account,
                now=datetime.now(UTC),
            )
        return Address(id=made["id"], hook=made["hook_id"], secret=secret, connector=connector, owner=person)

    def replace_secret(self, address: Address, secret: str, overlap: timedelta = timedelta(hours=24)) -> None:
        with self.parts.database.session() as session:
            connections.update(
                session,
                address.owner,
                self.parts.ring,
                UUID(address.id),
                now=datetime.now(UTC),
                secrets={"webhook_secret": secret},
                old_secrets_live=overlap,
            )

    def send(self, path: str, body: bytes, headers: dict[str, str], **more: Any) -> TestResponse:
        return self.app.test_client().post(path, data=body, headers=headers, **more)

    def say(
        self,
        address: Address,
        body: bytes,
        *,
        message_id: str | None = None,
        secret: str | None = None,
        path: str | None = None,
        **more: Any,
    ) -> TestResponse:
        """A delivery that is really signed."""
        headers = (
            registry.get(address.connector)
            .signature.sign(
                body, secret or address.secret, at=datetime.now(UTC), message_id=message_id or f"msg_{new_id()}"
            )
            .headers
        )
        return self.send(path or address.path, body, headers, **more)

    def rows(self, query: str, **values: object) -> list[dict[str, Any]]:
        with self.parts.database.connect() as connection:
            return [dict(row) for row in connection.execute(text(query), values).mappings()]

    def count(self, table: str) -> int:
        return int(self.rows(f"SELECT count(*) AS n FROM {table}")[0]["n"])

    def queue(self) -> list[tuple[str, str | None]]:
        """State of each waiting event and the connection it goes to, in the order of arrival."""
        found = self.rows("SELECT state, connection_id FROM event_queue ORDER BY event_id")
        return [(row["state"], row["connection_id"] and str(row["connection_id"])) for row in found]

    def kept(self) -> tuple[int, int, int]:
        """How many deliveries, events and refused deliveries there are."""
        return self.count("deliveries"), self.count("events"), self.count("quarantine")

    def parked(self) -> list[str]:
        """The names of the events that operators were told of."""
        found = self.rows("SELECT data FROM outbox WHERE room = 'operators' AND name = 'event.parked' ORDER BY id")
        return [row["data"]["name"] for row in found]


def build(database_url: str, redis_url: str, folder: Path, **more: str) -> Gate:
    given = {
        "REDIS_URL": redis_url,
        "WEBHOOK_MAX_BYTES": str(LIMIT),
        "STANDARD_WEBHOOKS_WEBHOOK_SECRET": f"{PLATFORM_SECRET},{OLDER_PLATFORM_SECRET}",
        **more,
    }
    chosen = settings_for(database_url, folder, **given)
    database = Database(chosen.sqlalchemy_url, pool_size=chosen.database_pool_size)
    app = create_app(chosen, database=database, role="ingress")
    return Gate(app=app, parts=app.extensions[EXTENSION])


def close(gate: Gate) -> None:
    gate.inlet.committer.close()
    gate.parts.database.dispose()


def said(name: str = "payment.succeeded", **more: object) -> bytes:
    data = {"id": "pmt_1", "amount_minor": 10_000, "currency": "INR"}
    return json.dumps({"type": name, "timestamp": "2026-11-03T09:00:00Z", "data": data, **more}).encode()


def sized(length: int) -> bytes:
    bare = said(note="")
    return said(note="x" * (length - len(bare)))


def expect(reply: TestResponse, status: int) -> None:
    """The documented status, and a problem document wherever it is an error."""
    assert reply.status_code == status, reply.get_data(as_text=True)
    assert reply.headers["Cache-Control"] == "no-store"
    if status >= 400:
        assert reply.mimetype == "application/problem+json"
        document = json.loads(reply.data)
        assert document["status"] == status
        assert document["type"] == f"/problems/{document['code']}"
        assert document["title"]
        assert document["detail"]
    else:
        assert reply.mimetype == "application/json"
    assert ("Retry-After" in reply.headers) == (status in {429, 503})


def platform_body(*, secret: str = PLATFORM_SECRET, **more: object) -> tuple[dict[str, str], bytes]:
    """Headers and body of a delivery to the platform's address."""
    body = said("payment.succeeded", **more)
    sealed = GENERIC.sign(body, secret, at=datetime.now(UTC), message_id=f"msg_{new_id()}")
    return sealed.headers, sealed.body
