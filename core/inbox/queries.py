"""Reading the inbox: deliveries, their way through the house (provenance), and what was refused.

A delivery is its owner's when it came over a connection of theirs. One that came to the address of the whole
installation may speak of several connections: a user sees it only when all of its events are theirs.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.orm import Session

from core import paging
from core.errors import Forbidden, Invalid, NotFound
from core.identity import Actor
from core.inbox import trail
from core.money import Money

# Beside the states of the queue: "processed" is everything that has left it.
STATES = ("processed", "ready", "fetch", "paused", "unrouted", "unknown", "dead")
_MAX_EVENTS = 200

_ROW = """
    deliveries.id, deliveries.connector, deliveries.connection_id, deliveries.received_at, deliveries.stored_at,
    deliveries.path, deliveries.remote_addr, octet_length(deliveries.body) AS body_bytes, deliveries.verify_micros,
    connections.name AS connection_name, deliveries.sync_id
"""
# Whether every event of a delivery belongs to a connection of :actor. It uses the index on the delivery.
_ALL_OWN = """
    EXISTS (SELECT FROM events WHERE events.delivery_id = deliveries.id)
    AND NOT EXISTS (
        SELECT FROM events LEFT JOIN connections AS theirs
            ON theirs.id = events.connection_id AND theirs.user_id = :actor
        WHERE events.delivery_id = deliveries.id AND theirs.id IS NULL)
"""


def _own_ids(actor: Actor, values: dict[str, Any], conditions: Sequence[str]) -> str:
    """Ids of the newest deliveries that may be the actor's: an index walk a connection, in both tables."""
    values["actor"] = actor.id
    before = "AND {column} < :after" if "after" in values else ""
    only = "AND connections.id = :connection" if "connection" in values else ""
    return f"""
        SELECT found.id FROM connections CROSS JOIN LATERAL (
            (SELECT deliveries.id FROM deliveries WHERE deliveries.connection_id = connections.id
                {before.format(column="deliveries.id")} {" ".join(f"AND {condition}" for condition in conditions)}
             ORDER BY deliveries.id DESC LIMIT :limit)
            UNION
            (SELECT DISTINCT events.delivery_id FROM events JOIN deliveries ON deliveries.id = events.delivery_id
             WHERE events.connection_id = connections.id AND deliveries.connection_id IS NULL
                {before.format(column="events.delivery_id")} {" ".join(f"AND {condition}" for condition in conditions)}
                AND {_ALL_OWN}
             ORDER BY events.delivery_id DESC LIMIT :limit)
        ) AS found WHERE connections.user_id = :actor {only}
    """


def list_deliveries(
    session: Session,
    actor: Actor,
    *,
    limit: int = 25,
    cursor: str | None = None,
    connector: str | None = None,
    connection_id: UUID | None = None,
    state: str | None = None,
) -> dict[str, Any]:
    """Deliveries, newest first, each with how many of its events are in which state."""
    conditions: list[str] = []
    values: dict[str, Any] = {"limit": paging.check_limit(limit) + 1}
    if connector:
        conditions.append("deliveries.connector = :connector")
        values["connector"] = connector
    if state:
        if state not in STATES:
            raise Invalid("state", f"must be one of {', '.join(STATES)}")
        waiting = "SELECT FROM event_queue AS waiting WHERE waiting.delivery_id = deliveries.id"
        if state == "processed":
            conditions.append(f"NOT EXISTS ({waiting})")
        else:
            conditions.append(f"EXISTS ({waiting} AND waiting.state = :state)")
            values["state"] = state
    if connection_id is not None:
        values["connection"] = connection_id
    if (after := paging.after_id(cursor)) is not None:
        values["after"] = after
    if actor.is_operator:
        if connection_id is not None:
            conditions.append("deliveries.connection_id = :connection")
        if after is not None:
            conditions.append("deliveries.id < :after")
        where = " AND ".join(conditions) or "true"
    else:
        where = f"deliveries.id IN ({_own_ids(actor, values, conditions)})"
    rows = session.execute(
        text(
            f"SELECT {_ROW} FROM deliveries LEFT JOIN connections ON connections.id = deliveries.connection_id "
            f"WHERE {where} ORDER BY deliveries.id DESC LIMIT :limit"
        ),
        values,
    ).all()
    events = _events_of(session, [row.id for row in rows[:limit]])
    return paging.page(rows, limit, lambda row: {**_shape(row), **_summary(events.get(row.id, []))})


def _shape(row: Any) -> dict[str, Any]:
    return {
        "id": str(row.id),
        "connector": row.connector,
        "connection": {"id": str(row.connection_id), "name": row.connection_name} if row.connection_id else None,
        "received_at": row.received_at,
        "stored_at": row.stored_at,
        "path": row.path,
        "remote_addr": row.remote_addr,
        "body_bytes": row.body_bytes,
        "verify_ms": row.verify_micros / 1000,
        # Set where nobody posted it: a page of the provider's list that we asked for.
        "sync_id": None if row.sync_id is None else str(row.sync_id),
    }


# Worst first: what a person must act on names the whole delivery.
_SEVERITY = ("dead", "unknown", "unrouted", "paused", "fetch", "ready", "processed", "ignored")


def _summary(events: list[Any]) -> dict[str, Any]:
    """The events of a delivery in a line. Without events of its own it only repeated what was known."""
    states = [event.state for event in events]
    worst = next((state for state in _SEVERITY if state in states), "duplicate")
    return {
        "state": worst,
        "event_count": len(events),
        "event_names": sorted({event.name for event in events})[:5],
    }


_EVENTS = text(
    """
    SELECT events.id, events.delivery_id, events.item_index, events.name, events.provider_event_id, events.trust,
           events.connection_id, coalesce(event_results.outcome, event_queue.state, 'processed') AS state,
           coalesce(event_results.attempts, event_queue.attempts, 0) AS attempts,
           coalesce(event_results.note, event_queue.error) AS note, event_results.read_micros,
           coalesce(event_results.claimed_at, event_queue.claimed_at) AS claimed_at, event_results.finished_at
    FROM events
    LEFT JOIN event_results ON event_results.event_id = events.id
    LEFT JOIN event_queue ON event_queue.event_id = events.id
    WHERE events.delivery_id = ANY(CAST(:ids AS uuid[]))
    ORDER BY events.delivery_id, events.item_index, events.id
    """
)


def _events_of(session: Session, delivery_ids: list[UUID]) -> dict[UUID, list[Any]]:
    if not delivery_ids:
        return {}
    found: dict[UUID, list[Any]] = {}
    for row in session.execute(_EVENTS, {"ids": delivery_ids}):
        found.setdefault(row.delivery_id, []).append(row)
    return found


def _delivery(session: Session, actor: Actor, delivery_id: UUID) -> Any:
    """The whole row of a delivery that the actor may see. Raises NotFound."""
    row = session.execute(
        text(
            f"""
            SELECT {_ROW}, deliveries.headers, deliveries.body, deliveries.secret_index, deliveries.message_id
            FROM deliveries LEFT JOIN connections ON connections.id = deliveries.connection_id
            WHERE deliveries.id = :id AND (:all OR connections.user_id = :actor
                OR (deliveries.connection_id IS NULL AND {_ALL_OWN}))
            """
        ),
        {"id": delivery_id, "actor": actor.id, "all": actor.is_operator},
    ).one_or_none()
    if row is None:
        raise NotFound("delivery", delivery_id)
    return row


def _body(body: bytes) -> dict[str, Any]:
    try:
        readable: str | None = body.decode("utf-8")
    except UnicodeDecodeError:
        readable = None
    return {"body_text": readable, "body_base64": base64.b64encode(body).decode("ascii")}


def provenance(session: Session, actor: Actor, delivery_id: UUID) -> dict[str, Any]:
    """The way of a delivery: bytes, verdict, events, what each did, and how long each step took.

    An event that was known before has no row in this delivery: `webapp.provenance` adds those.
    """
    row = _delivery(session, actor, delivery_id)
    events = _events_of(session, [row.id]).get(row.id, [])[:_MAX_EVENTS]
    ids = [event.id for event in events]
    effects = _effects(session, ids)
    allocations = _allocations(session, ids)
    posted = trail.posted(session, actor, ids)
    feed = _feed(session, actor, ids)
    shown = []
    last = row.stored_at
    for event in events:
        heard = feed.get(event.id, [])
        steps = _steps(row, event, heard)
        last = max(last, steps[-1]["at"])
        shown.append(
            {
                "id": str(event.id),
                "name": event.name,
                "provider_event_id": event.provider_event_id,
                "trust": event.trust,
                "state": event.state,
                "attempts": event.attempts,
                "note": event.note,
                "read_ms": None if event.read_micros is None else event.read_micros / 1000,
                "effects": effects.get(event.id, []),
                "allocations": allocations.get(event.id, []),
                "transfers": posted.get(event.id, []),
                "feed": heard,
                "steps": steps,
            }
        )
    return {
        "delivery": {
            **_shape(row),
            "headers": row.headers,
            **_body(row.body),
            "sha256": hashlib.sha256(row.body).hexdigest(),
            # Only what proved itself is stored as a delivery; the refused are in quarantine.
            "verdict": "verified" if row.sync_id is None else "fetched",
            "secret_index": row.secret_index,
            "message_id": row.message_id,
        },
        "events": shown,
        "total_ms": _ms(last - row.received_at),
    }


def _ms(span: timedelta) -> float:
    return round(span.total_seconds() * 1000, 3)


def _steps(delivery: Any, event: Any, heard: list[dict[str, Any]]) -> list[dict[str, Any]]:
    heard_at = min((entry["numbered_at"] for entry in heard), default=None)
    if delivery.sync_id is not None:
        return _timed(
            [
                ("asked" if event.claimed_at and event.claimed_at <= delivery.received_at else "", event.claimed_at),
                ("received", delivery.received_at),
                ("stored", delivery.stored_at),
                ("processed", event.finished_at),
                ("numbered", heard_at),
            ]
        )
    moments: list[tuple[str, datetime | None]] = [
        ("received", delivery.received_at),
        ("verified", delivery.received_at + timedelta(microseconds=delivery.verify_micros)),
        ("stored", delivery.stored_at),
        ("claimed", event.claimed_at),
        ("processed", event.finished_at),
        ("numbered", heard_at),
    ]
    return _timed(moments)


def _timed(moments: list[tuple[str, datetime | None]]) -> list[dict[str, Any]]:
    """Each step with the time since the one before. What has no name or no moment did not happen."""
    steps: list[dict[str, Any]] = []
    before: datetime | None = None
    for name, moment in moments:
        if moment is None or not name:
            continue
        # Several clocks take part, and two of them may disagree by a millisecond.
        steps.append({"name": name, "at": moment, "ms": max(0.0, _ms(moment - before)) if before else 0.0})
        before = moment
    return steps


_EFFECTS = text(
    """
    SELECT event_effects.event_id, event_effects.object_kind, event_effects.object_id, event_effects.effect,
           coalesce(payments.amount, transactions.amount, payment_adjustments.amount, payouts.amount,
               mirrored_invoices.total, repayments.amount) AS amount,
           coalesce(payments.currency, transactions.currency, payment_adjustments.currency, payouts.currency,
               mirrored_invoices.currency, repayments.currency) AS currency,
           coalesce(transactions.narration, bank_accounts.name, connections.name, mirrored_invoices.number) AS words
    FROM event_effects
    LEFT JOIN payments ON event_effects.object_kind = 'payment' AND payments.id = event_effects.object_id
    LEFT JOIN transactions ON event_effects.object_kind = 'transaction' AND transactions.id = event_effects.object_id
    LEFT JOIN payment_adjustments ON event_effects.object_kind IN ('refund', 'dispute')
        AND payment_adjustments.id = event_effects.object_id
    LEFT JOIN payouts ON event_effects.object_kind = 'payout' AND payouts.id = event_effects.object_id
    LEFT JOIN mirrored_invoices ON event_effects.object_kind = 'mirrored_invoice'
        AND mirrored_invoices.id = event_effects.object_id
    LEFT JOIN repayments ON event_effects.object_kind = 'repayment' AND repayments.id = event_effects.object_id
    LEFT JOIN bank_accounts ON event_effects.object_kind = 'account' AND bank_accounts.id = event_effects.object_id
    LEFT JOIN connections ON event_effects.object_kind = 'connection' AND connections.id = event_effects.object_id
    WHERE event_effects.event_id = ANY(CAST(:ids AS uuid[]))
    ORDER BY event_effects.event_id, event_effects.object_kind, event_effects.object_id
    """
)
_PLACES = {"payment": "/payments/{}", "transaction": "/transactions/{}", "connection": "/connections/{}"}


def _label(row: Any) -> str:
    parts = [row.object_kind.replace("_", " ")]
    if row.amount is not None:
        parts.append(f"{Money(row.amount, row.currency).to_decimal()} {row.currency}")
    if row.words:
        parts.append(row.words[:80])
    return " · ".join(parts)


def _effects(session: Session, event_ids: list[UUID]) -> dict[UUID, list[dict[str, Any]]]:
    found: dict[UUID, list[dict[str, Any]]] = {}
    if event_ids:
        for row in session.execute(_EFFECTS, {"ids": event_ids}):
            place = _PLACES.get(row.object_kind)
            found.setdefault(row.event_id, []).append(
                {
                    "kind": row.object_kind,
                    "id": str(row.object_id),
                    "effect": row.effect,
                    "label": _label(row),
                    "url": place.format(row.object_id) if place else None,
                }
            )
    return found


def _allocations(session: Session, event_ids: list[UUID]) -> dict[UUID, list[dict[str, Any]]]:
    found: dict[UUID, list[dict[str, Any]]] = {}
    if not event_ids:
        return found
    rows = session.execute(
        # By the payments that the events touched, which have an index; allocations by event have none.
        text(
            """
            SELECT allocations.event_id, allocations.payment_id, allocations.amount, allocations.currency,
                   allocations.reason, invoices.id AS invoice_id, invoices.number
            FROM (SELECT DISTINCT object_id FROM event_effects
                  WHERE event_id = ANY(CAST(:ids AS uuid[])) AND object_kind = 'payment') AS touched
            JOIN allocations ON allocations.payment_id = touched.object_id
            JOIN invoices ON invoices.id = allocations.invoice_id
            WHERE allocations.event_id = ANY(CAST(:ids AS uuid[])) ORDER BY allocations.id
            """
        ),
        {"ids": event_ids},
    )
    for row in rows:
        found.setdefault(row.event_id, []).append(
            {
                "payment_id": str(row.payment_id),
                "invoice": {"id": str(row.invoice_id), "number": row.number},
                "amount": row.amount,
                "currency": row.currency,
                "reason": row.reason,
            }
        )
    return found


def _feed(session: Session, actor: Actor, event_ids: list[UUID]) -> dict[UUID, list[dict[str, Any]]]:
    found: dict[UUID, list[dict[str, Any]]] = {}
    if not event_ids:
        return found
    rows = session.execute(
        text(
            "SELECT event_id, room, seq, name, at, numbered_at FROM feed "
            "WHERE event_id = ANY(CAST(:ids AS uuid[])) ORDER BY position"
        ),
        {"ids": event_ids},
    )
    for row in rows:
        # Who else was told is not everybody's business.
        theirs = row.room.startswith("user:") and row.room != f"user:{actor.id}"
        room = "user:…" if theirs and not actor.is_operator else row.room
        found.setdefault(row.event_id, []).append(
            {
                "room": room,
                "seq": row.seq,
                "name": row.name,
                "at": row.at,
                "numbered_at": row.numbered_at,
            }
        )
    return found


def originals(
    session: Session, connector: str, connection_id: UUID | None, provider_event_ids: Sequence[str]
) -> dict[str, dict[str, str]]:
    """Where events that a delivery only repeated were said first: by provider event id, delivery and event.

    Without a connection (the delivery came to the address of the whole installation) an id counts only when
    one scope alone has it, because others' ids may be spelt the same.
    """
    scope = "AND event_keys.scope = :scope" if connection_id is not None else ""
    rows = session.execute(
        text(
            "SELECT event_keys.provider_event_id, events.id, events.delivery_id FROM event_keys "
            "JOIN events ON events.id = event_keys.event_id "
            "WHERE event_keys.connector = :connector AND event_keys.provider_event_id = ANY(CAST(:ids AS text[])) "
            f"{scope}"
        ),
        {
            "connector": connector,
            "scope": str(connection_id),
            "ids": list(provider_event_ids)[:_MAX_EVENTS],
        }
        if connection_id is not None
        else {"connector": connector, "ids": list(provider_event_ids)[:_MAX_EVENTS]},
    ).all()
    counts: dict[str, int] = {}
    for row in rows:
        counts[row.provider_event_id] = counts.get(row.provider_event_id, 0) + 1
    return {
        row.provider_event_id: {"event_id": str(row.id), "delivery_id": str(row.delivery_id)}
        for row in rows
        if counts[row.provider_event_id] == 1
    }


def body_of(found: dict[str, Any]) -> bytes:
    """The bytes in an answer of `provenance`."""
    return base64.b64decode(found["delivery"]["body_base64"])


def arrival(found: dict[str, Any]) -> list[dict[str, Any]]:
    """The steps that every event of a delivery shares: received, verified, stored."""
    delivery = found["delivery"]
    verified = delivery["received_at"] + timedelta(milliseconds=delivery["verify_ms"])
    return [
        {"name": "received", "at": delivery["received_at"], "ms": 0.0},
        {"name": "verified", "at": verified, "ms": delivery["verify_ms"]},
        {"name": "stored", "at": delivery["stored_at"], "ms": max(0.0, _ms(delivery["stored_at"] - verified))},
    ]


_QUARANTINE = """
    quarantine.id, quarantine.connector, quarantine.connection_id, quarantine.received_at, quarantine.path,
    quarantine.remote_addr, quarantine.body_bytes, quarantine.reason, connections.name AS connection_name
"""


def _refused(row: Any) -> dict[str, Any]:
    return {
        "id": str(row.id),
        "connector": row.connector,
        "connection": {"id": str(row.connection_id), "name": row.connection_name} if row.connection_id else None,
        "received_at": row.received_at,
        "path": row.path,
        "remote_addr": row.remote_addr,
        "body_bytes": row.body_bytes,
        "reason": row.reason,
    }


def list_quarantine(
    session: Session, actor: Actor, *, limit: int = 25, cursor: str | None = None, connector: str | None = None
) -> dict[str, Any]:
    """Refused deliveries, newest first: all of them for operators, those of their own connections for others."""
    conditions = ["(:all OR connections.user_id = :actor)"]
    values: dict[str, Any] = {
        "actor": actor.id,
        "all": actor.is_operator,
        "limit": paging.check_limit(limit) + 1,
    }
    if connector:
        conditions.append("quarantine.connector = :connector")
        values["connector"] = connector
    if (after := paging.after_id(cursor)) is not None:
        conditions.append("quarantine.id < :after")
        values["after"] = after
    rows = session.execute(
        text(
            f"SELECT {_QUARANTINE} FROM quarantine LEFT JOIN connections ON connections.id = quarantine.connection_id "
            f"WHERE {' AND '.join(conditions)} ORDER BY quarantine.id DESC LIMIT :limit"
        ),
        values,
    ).all()
    return paging.page(rows, limit, _refused)


def get_quarantine(session: Session, actor: Actor, refused_id: UUID) -> dict[str, Any]:
    """A refused delivery with its headers and body. Raises NotFound."""
    row = session.execute(
        text(
            f"SELECT {_QUARANTINE}, quarantine.headers, quarantine.body FROM quarantine "
            "LEFT JOIN connections ON connections.id = quarantine.connection_id "
            "WHERE quarantine.id = :id AND (:all OR connections.user_id = :actor)"
        ),
        {"id": refused_id, "actor": actor.id, "all": actor.is_operator},
    ).one_or_none()
    if row is None:
        raise NotFound("refused delivery", refused_id)
    return {**_refused(row), "headers": row.headers, **_body(row.body)}


def list_parked(
    session: Session, actor: Actor, *, state: str, limit: int = 25, cursor: str | None = None
) -> dict[str, Any]:
    """Events that wait for a person, by state: unrouted, unknown or dead. For operators."""
    if not actor.is_operator:
        raise Forbidden("this is for operators")
    if state not in {"unrouted", "unknown", "dead"}:
        raise Invalid("state", "must be one of unrouted, unknown, dead")
    after = paging.after_id(cursor)
    rows = session.execute(
        text(
            "SELECT event_queue.event_id AS id, event_queue.delivery_id, event_queue.connector, "
            "event_queue.external_id, event_queue.state, event_queue.attempts, event_queue.error, events.name, "
            "events.received_at FROM event_queue JOIN events ON events.id = event_queue.event_id "
            "WHERE event_queue.state = :state "
            "AND (CAST(:after AS uuid) IS NULL OR event_queue.event_id < CAST(:after AS uuid)) "
            "ORDER BY event_queue.event_id DESC LIMIT :limit"
        ),
        {"state": state, "after": after, "limit": paging.check_limit(limit) + 1},
    ).all()
    return paging.page(
        rows,
        limit,
        lambda row: {**row._asdict(), "id": str(row.id), "delivery_id": str(row.delivery_id)},
    )


def backlog(session: Session) -> dict[str, Any]:
    """How many events wait to be worked on, and how long the oldest that is due has waited."""
    row = session.execute(
        text(
            "SELECT count(*) AS pending, "
            "coalesce(extract(epoch FROM clock_timestamp() - min(due_at) FILTER (WHERE due_at <= now())), 0) AS age "
            "FROM event_queue WHERE state IN ('ready', 'fetch')"
        )
    ).one()
    return {"pending": row.pending, "oldest_age_seconds": round(max(0.0, float(row.age)), 3)}
