"""A person asks for a sync: on the page, by the API, or on the command line."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.orm import Session

from connectors import registry, talks
from core.connections.sealing import KeyRing
from core.errors import Conflict, NotFound, PlatformError
from core.syncing import schedule
from workers.credentials import credentials_of


class CannotPull(PlatformError):
    """Something that its owner must give first is missing, such as a key."""

    code = "cannot_pull"


def ask(session: Session, ring: KeyRing, connection_id: UUID, now: datetime, *, asked_by: UUID | None = None) -> UUID:
    """Queue a run of a connection, or find the one that is open; return its id. The caller rings.

    Raises NotFound, Conflict (there is nothing to pull, or the connection is paused) or CannotPull.
    """
    row = session.execute(
        text("SELECT connector, paused_at FROM connections WHERE id = :id AND deleted_at IS NULL"),
        {"id": connection_id},
    ).one_or_none()
    if row is None:
        raise NotFound("connection", connection_id)
    try:
        connector = registry.get(row.connector)
    except NotFound as error:
        raise Conflict("its connector is not installed any more") from error
    if connector.pull is None:
        raise Conflict(f"{connector.title} has no list to pull from")
    if row.paused_at is not None:
        raise Conflict("the connection is paused; resume it first")
    if stops := talks.pull_obstacle(connector, credentials_of(session, ring, connection_id, now)):
        raise CannotPull(stops)
    schedule.begin(session, connection_id, now)
    planned = schedule.find(session, connection_id)
    if planned is None:
        raise NotFound("connection", connection_id)
    return schedule.open_run(
        session,
        planned,
        reason="person",
        days=connector.pull.days,
        every_seconds=connector.pull.every_seconds,
        now=now,
        asked_by=asked_by,
    )
