"""Deliveries come to rest: many at once, in one statement, durable when the caller's commit returns."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import Connection, text
from sqlalchemy.orm import Session

from core.bulk import Rows

# Longer ids are kept as their hash: an identity must fit a B-tree page.
_MAX_EVENT_ID = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class NewEvent:
    """An event cut out of a verified delivery. `connection_id` is None while it is unrouted."""

    id: UUID
    provider_event_id: str
    name: str
    item_index: int
    connection_id: UUID | None
    external_id: str | None
    known_name: bool
    trust: str = "signed"
    # Whether the connection is paused: the event is kept, and waits.
    paused: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class NewDelivery:
    """A verified delivery to be stored. `connection_id` is set where the address named it."""

    id: UUID
    connector: str
    connection_id: UUID | None
    received_at: datetime
    path: str
    remote_addr: str
    headers_json: str
    body: bytes
    secret_index: int
    message_id: str | None
    verify_micros: int
    events: Sequence[NewEvent]


def event_key(provider_event_id: str) -> str:
    """The form in which a provider's event id is kept: itself, or its hash when it is very long."""
    if len(provider_event_id) <= _MAX_EVENT_ID:
        return provider_event_id
    return "sha256:" + hashlib.sha256(provider_event_id.encode()).hexdigest()


def scope_of(event: NewEvent, address: UUID | None) -> str:
    """Whose ids these are: no sender can use up an event id of somebody else's connection.

    What came to the `address` of a connection and belongs to none yet stands apart from what the provider says on
    the platform's: who holds one connection's secret may name any account.
    """
    if event.connection_id is not None:
        return str(event.connection_id)
    external = f"external:{event.external_id or ''}"
    return external if address is None else f"via:{address}:{external}"


_EVENTS = Rows(
    event_id="uuid",
    scope="text",
    provider_event_id="text",
    connector="text",
    delivery_id="uuid",
    item_index="integer",
    connection_id="uuid",
    external_id="text",
    name="text",
    trust="text",
    received_at="timestamptz",
    state="text",
)
_DELIVERIES = Rows(
    id="uuid",
    connector="text",
    connection_id="uuid",
    received_at="timestamptz",
    path="text",
    remote_addr="text",
    headers="jsonb",
    body="bytea",
    secret_index="smallint",  # noqa: S106 - A column and its type.
    message_id="text",
    verify_micros="integer",
)


def _named(rows: Rows, prefix: str) -> str:
    """The row source with its parameters named apart from those of another in the same statement."""
    return rows.source("given").replace("CAST(:", f"CAST(:{prefix}")


# One statement, one round trip: the delivery, the identity of its events, and for the events that are new
# the event itself and its place in the queue. A repeated event leaves its delivery behind and nothing else.
_STORE = text(
    f"""
    WITH fresh AS (
        INSERT INTO event_keys (connector, scope, provider_event_id, event_id)
        SELECT connector, scope, provider_event_id, event_id FROM {_named(_EVENTS, "e_")}
        ON CONFLICT DO NOTHING
        RETURNING event_id
    ), said AS (
        SELECT given.* FROM {_named(_EVENTS, "e_")} JOIN fresh USING (event_id)
    ), events_in AS (
        INSERT INTO events (id, delivery_id, item_index, connector, connection_id, external_id, provider_event_id,
                            name, trust, received_at)
        SELECT event_id, delivery_id, item_index, connector, connection_id, external_id, provider_event_id, name,
               trust, received_at
        FROM said
    ), queued AS (
        INSERT INTO event_queue (event_id, delivery_id, connector, connection_id, external_id, state, due_at)
        SELECT event_id, delivery_id, connector, connection_id, external_id, state, received_at FROM said
    ), kept AS (
        INSERT INTO deliveries ({_DELIVERIES.names}) SELECT * FROM {_named(_DELIVERIES, "d_")}
    )
    SELECT event_id FROM fresh
    """
)


def _state(event: NewEvent) -> str:
    if not event.known_name:
        return "unknown"
    if event.connection_id is None:
        return "unrouted"
    return "paused" if event.paused else "ready"


def store(connection: Connection | Session, deliveries: Sequence[NewDelivery]) -> set[UUID]:
    """Write deliveries and their events; return the ids of the events that were new.

    Repeated events (same connector, scope and provider event id) are not written again. After the caller's
    commit every delivery is on disk.
    """
    # Sorted, so that two processes that store the same resent events cannot wait for each other.
    events = sorted(
        (
            (scope_of(event, delivery.connection_id), event_key(event.provider_event_id), delivery, event)
            for delivery in deliveries
            for event in delivery.events
        ),
        key=lambda row: (row[2].connector, *row[:2]),
    )
    said = _EVENTS.arrays(
        event_id=[event.id for _, _, _, event in events],
        scope=[scope for scope, _, _, _ in events],
        provider_event_id=[key for _, key, _, _ in events],
        connector=[delivery.connector for _, _, delivery, _ in events],
        delivery_id=[delivery.id for _, _, delivery, _ in events],
        item_index=[event.item_index for _, _, _, event in events],
        connection_id=[event.connection_id for _, _, _, event in events],
        external_id=[event.external_id for _, _, _, event in events],
        name=[event.name[:200] for _, _, _, event in events],
        trust=[event.trust for _, _, _, event in events],
        received_at=[delivery.received_at for _, _, delivery, _ in events],
        state=[_state(event) for _, _, _, event in events],
    )
    kept = _DELIVERIES.arrays(
        id=[delivery.id for delivery in deliveries],
        connector=[delivery.connector for delivery in deliveries],
        connection_id=[delivery.connection_id for delivery in deliveries],
        received_at=[delivery.received_at for delivery in deliveries],
        path=[delivery.path for delivery in deliveries],
        remote_addr=[delivery.remote_addr for delivery in deliveries],
        headers=[delivery.headers_json for delivery in deliveries],
        body=[delivery.body for delivery in deliveries],
        secret_index=[delivery.secret_index for delivery in deliveries],
        message_id=[delivery.message_id for delivery in deliveries],
        verify_micros=[delivery.verify_micros for delivery in deliveries],
    )
    parameters = {f"e_{name}": values for name, values in said.items()}
    parameters |= {f"d_{name}": values for name, values in kept.items()}
    return set(connection.execute(_STORE, parameters).scalars())


def quarantine(
    session: Session | Connection,
    *,
    identity: UUID,
    connector: str,
    connection_id: UUID | None,
    received_at: datetime,
    path: str,
    remote_addr: str,
    headers: list[tuple[str, str]],
    body: bytes,
    reason: str,
    max_rows: int,
    max_body: int,
) -> None:
    """Keep a refused delivery so that an operator sees why; the oldest beyond `max_rows` make room.

    A body longer than `max_body` bytes is cut, and its true length kept.
    """
    if max_rows == 0:
        return
    session.execute(
        text(
            "INSERT INTO quarantine (id, connector, connection_id, received_at, path, remote_addr, headers, body, "
            "body_bytes, reason) VALUES (:id, :connector, :connection_id, :received_at, :path, :remote_addr, "
            "CAST(:headers AS jsonb), :body, :body_bytes, :reason)"
        ),
        {
            "id": identity,
            "connector": connector,
            "connection_id": connection_id,
            "received_at": received_at,
            "path": path,
            "remote_addr": remote_addr,
            "headers": json.dumps(headers),
            "body": body[:max_body],
            "body_bytes": len(body),
            "reason": reason[:500],
        },
    )
    session.execute(
        text("DELETE FROM quarantine WHERE id IN (SELECT id FROM quarantine ORDER BY id DESC OFFSET :keep)"),
        {"keep": max_rows},
    )


def release(session: Session | Connection, refused_id: UUID) -> None:
    """Take a delivery out of the quarantine, because it was accepted after all."""
    session.execute(text("DELETE FROM quarantine WHERE id = :id"), {"id": refused_id})
