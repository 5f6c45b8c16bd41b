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


def scope_of(event: NewEvent) -> str:
    """Whose ids these are: no sender can use up an event id of somebody else's connection."""
    if event.connection_id is not None:
        return str(event.connection_id)
    return f"external:{event.external_id or ''}"


# One statement, one round trip: the delivery, the identity of its events, and for the events that are new
# the event itself and its place in the queue. A repeated event leaves its delivery behind and nothing else.
_STORE = text(
    """
    WITH fresh AS (
        INSERT INTO event_keys (connector, scope, provider_event_id, event_id)
        SELECT connector, scope, provider_event_id, event_id
        FROM unnest(CAST(:e_connectors AS text[]), CAST(:e_scopes AS text[]), CAST(:e_keys AS text[]),
                    CAST(:e_ids AS uuid[])) AS given (connector, scope, provider_event_id, event_id)
        ON CONFLICT DO NOTHING
        RETURNING event_id
    ), said AS (
        SELECT given.* FROM unnest(
            CAST(:e_ids AS uuid[]), CAST(:e_deliveries AS uuid[]), CAST(:e_items AS integer[]),
            CAST(:e_connectors AS text[]), CAST(:e_connections AS uuid[]), CAST(:e_externals AS text[]),
            CAST(:e_keys AS text[]), CAST(:e_names AS text[]), CAST(:e_trusts AS text[]),
            CAST(:e_received AS timestamptz[]), CAST(:e_states AS text[])
        ) AS given (id, delivery_id, item_index, connector, connection_id, external_id, provider_event_id, name,
                    trust, received_at, state)
        JOIN fresh ON fresh.event_id = given.id
    ), events_in AS (
        INSERT INTO events (id, delivery_id, item_index, connector, connection_id, external_id, provider_event_id,
                            name, trust, received_at)
        SELECT id, delivery_id, item_index, connector, connection_id, external_id, provider_event_id, name, trust,
               received_at
        FROM said
    ), queued AS (
        INSERT INTO event_queue (event_id, delivery_id, connector, connection_id, external_id, state, due_at)
        SELECT id, delivery_id, connector, connection_id, external_id, state, received_at FROM said
    ), kept AS (
        INSERT INTO deliveries (id, connector, connection_id, received_at, path, remote_addr, headers, body,
                                secret_index, message_id, verify_micros)
        SELECT * FROM unnest(
            CAST(:d_ids AS uuid[]), CAST(:d_connectors AS text[]), CAST(:d_connections AS uuid[]),
            CAST(:d_received AS timestamptz[]), CAST(:d_paths AS text[]), CAST(:d_addresses AS text[]),
            CAST(:d_headers AS jsonb[]), CAST(:d_bodies AS bytea[]), CAST(:d_secrets AS smallint[]),
            CAST(:d_messages AS text[]), CAST(:d_verify AS integer[]))
    )
    SELECT event_id FROM fresh
    """
)


def _state(event: NewEvent) -> str:
    if not event.known_name:
        return "unknown"
    return "ready" if event.connection_id is not None else "unrouted"


def store(connection: Connection | Session, deliveries: Sequence[NewDelivery]) -> set[UUID]:
    """Write deliveries and their events; return the ids of the events that were new.

    Repeated events (same connector, scope and provider event id) are not written again. After the caller's
    commit every delivery is on disk.
    """
    # Sorted, so that two processes that store the same resent events cannot wait for each other.
    events = sorted(
        (
            (scope_of(event), event_key(event.provider_event_id), delivery, event)
            for delivery in deliveries
            for event in delivery.events
        ),
        key=lambda row: row[:2],
    )
    new = connection.execute(
        _STORE,
        {
            "e_ids": [event.id for _, _, _, event in events],
            "e_scopes": [scope for scope, _, _, _ in events],
            "e_keys": [key for _, key, _, _ in events],
            "e_connectors": [delivery.connector for _, _, delivery, _ in events],
            "e_deliveries": [delivery.id for _, _, delivery, _ in events],
            "e_items": [event.item_index for _, _, _, event in events],
            "e_connections": [event.connection_id for _, _, _, event in events],
            "e_externals": [event.external_id for _, _, _, event in events],
            "e_names": [event.name[:200] for _, _, _, event in events],
            "e_trusts": [event.trust for _, _, _, event in events],
            "e_received": [delivery.received_at for _, _, delivery, _ in events],
            "e_states": [_state(event) for _, _, _, event in events],
            "d_ids": [delivery.id for delivery in deliveries],
            "d_connectors": [delivery.connector for delivery in deliveries],
            "d_connections": [delivery.connection_id for delivery in deliveries],
            "d_received": [delivery.received_at for delivery in deliveries],
            "d_paths": [delivery.path for delivery in deliveries],
            "d_addresses": [delivery.remote_addr for delivery in deliveries],
            "d_headers": [delivery.headers_json for delivery in deliveries],
            "d_bodies": [delivery.body for delivery in deliveries],
            "d_secrets": [delivery.secret_index for delivery in deliveries],
            "d_messages": [delivery.message_id for delivery in deliveries],
            "d_verify": [delivery.verify_micros for delivery in deliveries],
        },
    )
    return set(new.scalars())


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
