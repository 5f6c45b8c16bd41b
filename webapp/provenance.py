"""A delivery's whole way, with the events that it only repeated."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from sqlalchemy.orm import Session

from connectors import registry
from connectors.base import Connector, Delivery, Verified
from core.connections import store
from core.errors import Invalid, MalformedPayload, NotFound
from core.identity import Actor
from core.ids import parse_id
from core.inbox import queries
from core.inbox.store import event_key


def show(session: Session, actor: Actor, delivery_id: UUID) -> dict[str, Any]:
    """`core.inbox.queries.provenance`, and what was a duplicate found by reading the body once more.

    A repeated event has no row of its own: only its identity and its first delivery are known.
    """
    found = queries.provenance(session, actor, delivery_id)
    for event in found["events"]:
        event["original_delivery_id"] = None
    found["events"] += _repeated(session, found)
    return found


def _repeated(session: Session, found: dict[str, Any]) -> list[dict[str, Any]]:
    delivery = found["delivery"]
    if delivery["sync_id"] is not None:
        # A page that we asked for repeats nothing: its one event is the page itself.
        return []
    try:
        connector = _connector(session, delivery)
        said = connector.open(
            Delivery(
                body=queries.body_of(found),
                headers=_headers(delivery["headers"]),
                received_at=delivery["received_at"],
            ),
            Verified(secret_index=delivery["secret_index"], message_id=delivery["message_id"]),
        )
    except (NotFound, Invalid, MalformedPayload):
        return []
    known = {event["provider_event_id"] for event in found["events"]}
    missing = {event_key(event.id): event for event in said if event_key(event.id) not in known}
    if not missing:
        return []
    connection = delivery["connection"]
    own = parse_id(connection["id"]) if connection else None
    first = queries.originals(session, connector.slug, own, list(missing))
    return [
        {
            "id": first[key]["event_id"],
            "name": event.name,
            "provider_event_id": key,
            "trust": "signed",
            "state": "duplicate",
            "attempts": 0,
            "note": "Said before: counted once.",
            "read_ms": None,
            "original_delivery_id": first[key]["delivery_id"],
            "effects": [],
            "allocations": [],
            "transfers": [],
            "feed": [],
            "steps": queries.arrival(found),
        }
        for key, event in missing.items()
        if key in first
    ]


def _connector(session: Session, delivery: dict[str, Any]) -> Connector:
    """The connector as it was, or would now be, for this delivery's connection. Raises NotFound or Invalid."""
    connector = registry.get(delivery["connector"])
    if connector.bind is None or delivery["connection"] is None:
        return connector
    return connector.bound(store.definition_of(session, UUID(delivery["connection"]["id"])))


def _headers(pairs: list[list[str]]) -> dict[str, tuple[str, ...]]:
    headers: dict[str, tuple[str, ...]] = {}
    for name, value in pairs:
        headers[name.lower()] = (*headers.get(name.lower(), ()), value)
    return headers
