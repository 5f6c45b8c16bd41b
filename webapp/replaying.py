"""Processing a stored delivery again, from the API and from its page."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING
from uuid import UUID

from flask import current_app

from core import audit
from core.identity import Actor
from core.inbox import queries
from core.inbox import replay as stored
from webapp.services import services

if TYPE_CHECKING:
    from workers.replay import Preview


def look(person: Actor, delivery_id: UUID, now: datetime) -> tuple[list[UUID], Preview]:
    """The events of a delivery and what replaying them would change. Raises NotFound.

    Whoever may see the whole delivery may replay it; for others it is not there.
    """
    from workers.replay import preview  # noqa: PLC0415 - it brings the worker's code, which a web seldom needs.

    with services().database.session() as session:
        queries.provenance(session, person, delivery_id)
        events = stored.events_of(session, delivery_id)
    return events, preview(services().database, events, now)


def replay(person: Actor, delivery_id: UUID, events: list[UUID], now: datetime) -> int:
    """Put the events of a delivery back into the queue; return how many. `look` has checked who asks."""
    with services().database.session() as session:
        requeued = stored.requeue(session, events, now)
        data = {"events": len(events), "requeued": requeued}
        audit.record(session, person, "delivery.replayed", "delivery", delivery_id, data, now)
    current_app.extensions["ledgerwire.inlet"].ringer.ring()
    return requeued
