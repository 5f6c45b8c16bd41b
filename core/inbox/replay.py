"""Putting events back into the queue: after a mend, or to run a better parser over what is stored."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from sqlalchemy import Connection, text
from sqlalchemy.orm import Session

from core.bulk import array
from core.inbox.claim import Claimed


def events_of(session: Session | Connection, delivery_id: UUID) -> list[UUID]:
    """The events that stand in a delivery. A repeated delivery has none of its own."""
    return list(
        session.scalars(text("SELECT id FROM events WHERE delivery_id = :id ORDER BY item_index"), {"id": delivery_id})
    )


def requeue(session: Session | Connection, event_ids: Sequence[UUID], now: datetime) -> int:
    """Have events processed again from the start; return how many were put back.

    What they say already is in the books, so processing them again changes only what was missing or wrong.
    An event that nobody's connection claims stays unrouted, and one that is being worked on is left alone.
    """
    ids = array(event_ids, "uuid")
    session.execute(text("DELETE FROM event_results WHERE event_id = ANY(CAST(:ids AS uuid[]))"), {"ids": ids})
    finished = session.execute(
        text(
            "INSERT INTO event_queue (event_id, delivery_id, connector, connection_id, external_id, state, due_at) "
            "SELECT id, delivery_id, connector, connection_id, external_id, 'ready', :now FROM events "
            "WHERE id = ANY(CAST(:ids AS uuid[])) AND connection_id IS NOT NULL "
            "ON CONFLICT (event_id) DO NOTHING RETURNING event_id"
        ),
        {"ids": ids, "now": now},
    ).all()
    parked = session.execute(
        text(
            "UPDATE event_queue SET state = 'ready', attempts = 0, due_at = :now, error = NULL "
            "WHERE event_id = ANY(CAST(:ids AS uuid[])) AND state IN ('dead', 'unknown') "
            "AND connection_id IS NOT NULL RETURNING event_id"
        ),
        {"ids": ids, "now": now},
    ).all()
    return len(finished) + len(parked)


def bodies(session: Session | Connection, event_ids: Sequence[UUID], now: datetime) -> list[Claimed]:
    """Stored events in the form in which a worker reads them, without claiming anything."""
    rows = session.execute(
        text(
            "SELECT events.id AS event_id, events.delivery_id, events.item_index, events.connector, "
            "events.connection_id, connections.user_id, events.name, events.trust, events.received_at, "
            "deliveries.body, connections.settings->>'definition' AS definition "
            "FROM events JOIN deliveries ON deliveries.id = events.delivery_id "
            "JOIN connections ON connections.id = events.connection_id "
            "WHERE events.id = ANY(CAST(:ids AS uuid[])) ORDER BY events.id"
        ),
        {"ids": array(event_ids, "uuid")},
    )
    return [Claimed(**row._asdict(), attempts=0, claimed_at=now) for row in rows]
