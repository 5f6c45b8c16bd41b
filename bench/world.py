"""A throw-away installation for benchmarks: servers, a migrated database, a seller with connections."""

from __future__ import annotations

import base64
import json
import os
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from uuid import UUID

from sqlalchemy import text

from config import settings as settings_module
from config.embedded import start_postgres, start_valkey
from config.settings import Settings
from connectors import registry
from connectors.base import Delivery, Verified
from core import migrations
from core.connections import store as connections
from core.connections.sealing import KeyRing
from core.database import Database
from core.identity import Actor, Role, passwords, users
from core.ids import new_id
from core.inbox import store
from core.inbox.store import NewDelivery, NewEvent
from workers.simulators.sending import Changes, build_delivery

EMAIL = "seller@bench.example"
PASSWORD = "measured twice"  # noqa: S105 - Of a database that lives as long as the benchmark.


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """What a benchmark needs: settings, environment for processes, a seller, connection ids and secrets."""

    settings: Settings
    environment: dict[str, str]
    database: Database
    seller: Actor
    connections: dict[str, UUID]
    secrets: dict[str, str]


@contextmanager
def world(**overrides: str) -> Iterator[World]:
    """Start everything in a temporary folder and take it down again."""
    with tempfile.TemporaryDirectory(prefix="lw-bench-") as folder:
        home = Path(folder)
        home.chmod(0o711)
        postgres = start_postgres(home, "bench", die_with_parent=True)
        valkey = start_valkey(home, die_with_parent=True)
        try:
            environment = {
                "DATABASE_URL": postgres.url,
                "REDIS_URL": valkey.url,
                "SECRET_KEY": base64.b64encode(os.urandom(32)).decode(),
                "MASTER_KEYS": "k1:" + base64.b64encode(os.urandom(32)).decode(),
                "LOG_LEVEL": "WARNING",
                "WEBHOOK_RATE_PER_SECOND": "1000000",
                **overrides,
            }
            settings = settings_module.from_environment(environment)
            migrations.upgrade(settings.sqlalchemy_url)
            database = Database(settings.sqlalchemy_url, application_name="ledgerwire-bench")
            try:
                yield _populate(settings, environment, database)
            finally:
                database.dispose()
        finally:
            valkey.stop()
            postgres.stop()


def _populate(settings: Settings, environment: dict[str, str], database: Database) -> World:
    if settings.master_keys is None:
        raise ValueError("MASTER_KEYS")
    ring = KeyRing.parse(settings.master_keys.get_secret_value())
    now = datetime.now(UTC)
    made: dict[str, UUID] = {}
    secrets: dict[str, str] = {}
    with database.session() as session:
        seller = users.register(
            session,
            email=EMAIL,
            name="Bench",
            role=Role.SELLER,
            password_hash=passwords.hash_password(PASSWORD),
            now=now,
        )
        for slug, connector in registry.all().items():
            secrets[slug] = connector.signature.new_secret()
            kept = connector.signature.receiving(secrets[slug])
            row = connections.create(
                session,
                seller,
                ring,
                connector=slug,
                name=slug,
                secrets={"webhook_secret": kept} if kept else {},
                settings={},
                external_id=None,
                now=now,
            )
            made[slug] = UUID(row["id"])
    return World(
        settings=settings,
        environment=environment,
        database=database,
        seller=seller,
        connections=made,
        secrets=secrets,
    )


def add_invoices(database: Database, seller: UUID, count: int, total: int) -> None:
    """`count` open invoices of `total` minor units each, numbered INV-2026-00001 and so on."""
    contact = new_id()
    with database.connect() as connection:
        connection.execute(
            text("INSERT INTO contacts (id, user_id, name, email) VALUES (:id, :user, 'Payer', 'payer@bench.example')"),
            {"id": contact, "user": seller},
        )
        connection.execute(
            text(
                "INSERT INTO invoices (id, seller_id, contact_id, number, number_key, year, sequence, status, "
                "currency, issue_date, due_date, subtotal, tax, total) "
                "SELECT id, :seller, :contact, 'INV-2026-' || lpad(n::text, 5, '0'), 'INV·2026·' || n, 2026, n, "
                "'open', 'INR', current_date, current_date, :total, 0, :total "
                "FROM unnest(CAST(:ids AS uuid[])) WITH ORDINALITY AS given (id, n)"
            ),
            {"seller": seller, "contact": contact, "total": total, "ids": [new_id() for _ in range(count)]},
        )
        connection.execute(
            text("INSERT INTO invoice_counters VALUES (:seller, 2026, :count)"), {"seller": seller, "count": count}
        )
    with database.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.exec_driver_sql("VACUUM ANALYZE")


def body_of(slug: str, event: str, secret: str, message_id: str, changes: Changes) -> tuple[dict[str, str], bytes]:
    """A signed delivery."""
    return build_delivery(
        registry.get(slug), event, secret=secret, at=datetime.now(UTC), message_id=message_id, changes=changes
    )


def stored(slug: str, connection_id: UUID, headers: dict[str, str], body: bytes) -> NewDelivery:
    """A delivery as the web would store it, without the verification."""
    now = datetime.now(UTC)
    connector = registry.get(slug)
    delivery = Delivery(body=body, headers={name.lower(): (value,) for name, value in headers.items()}, received_at=now)
    message_id = headers.get("webhook-id")
    found = connector.open(delivery, Verified(secret_index=0, message_id=message_id))
    return NewDelivery(
        id=new_id(),
        connector=slug,
        connection_id=connection_id,
        received_at=now,
        path="/bench",
        remote_addr="127.0.0.1",
        headers_json=json.dumps(list(headers.items())),
        body=body,
        secret_index=0,
        message_id=message_id,
        verify_micros=0,
        events=[
            NewEvent(
                id=new_id(),
                provider_event_id=event.id,
                name=event.name,
                item_index=place,
                connection_id=connection_id,
                external_id=event.external_id,
                known_name=True,
            )
            for place, event in enumerate(found)
        ],
    )


def fill_backlog(database: Database, deliveries: Sequence[NewDelivery], size: int = 500) -> None:
    """Store deliveries, a group at a time."""
    for start in range(0, len(deliveries), size):
        with database.connect() as connection:
            store.store(connection, deliveries[start : start + size])
