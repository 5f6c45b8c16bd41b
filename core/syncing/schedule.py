"""When each connection is pulled and its webhook checked. Rows decide; beat only rings."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal
from uuid import UUID

from sqlalchemy import Connection, text
from sqlalchemy.orm import Session

from core.bulk import array
from core.errors import Conflict
from core.ids import new_id

Reason = Literal["first", "schedule", "person"]

# A list without a cursor is read again from so long before the last good pull: a payment may change days after it
# was made, and lists are ordered by when it was made.
OVERLAP = timedelta(days=7)
# A connection that cannot be pulled is looked at again this often: a new version may know how.
LOOK_AGAIN = timedelta(days=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Due:
    """A connection that is to be pulled."""

    connection_id: UUID
    connector: str
    cursor: str | None
    reached_at: datetime | None
    paused: bool


def begin(session: Session | Connection, connection_id: UUID, now: datetime) -> None:
    """Have a new connection pulled and its webhook checked at once. Repeating it changes nothing."""
    for table in ("sync_schedules", "registrations"):
        session.execute(
            text(f"INSERT INTO {table} (connection_id, due_at) VALUES (:id, :now) ON CONFLICT DO NOTHING"),
            {"id": connection_id, "now": now},
        )


def hurry(session: Session | Connection, connection_id: UUID, now: datetime) -> None:
    """Look at a connection at once, because its owner changed its secrets or settings."""
    begin(session, connection_id, now)
    for table in ("sync_schedules", "registrations"):
        session.execute(
            text(f"UPDATE {table} SET due_at = least(due_at, :now) WHERE connection_id = :id"),
            {"id": connection_id, "now": now},
        )


def advance(connection: Connection, connection_ids: Collection[UUID], until: datetime) -> None:
    """Pull these connections at `until`, where they are to be pulled later. Others are left as they are."""
    connection.execute(
        text(
            "UPDATE sync_schedules SET due_at = :until WHERE connection_id IN ("
            "SELECT connection_id FROM sync_schedules WHERE connection_id = ANY(CAST(:ids AS uuid[])) "
            "AND due_at > :until ORDER BY connection_id FOR UPDATE)"
        ),
        {"ids": array(connection_ids, "uuid"), "until": until},
    )


def due(connection: Connection, limit: int, now: datetime) -> list[Due]:
    """Lock connections whose time has come; the caller decides on each with `open_run` or `put_off`, and commits."""
    rows = connection.execute(
        text(
            "SELECT planned.connection_id, connections.connector, planned.cursor, planned.reached_at, "
            "connections.paused_at IS NOT NULL AS paused "
            "FROM sync_schedules AS planned JOIN connections ON connections.id = planned.connection_id "
            "AND connections.deleted_at IS NULL "
            "WHERE planned.due_at <= :now ORDER BY planned.due_at LIMIT :limit FOR UPDATE OF planned SKIP LOCKED"
        ),
        {"now": now, "limit": limit},
    )
    return [Due(**row._asdict()) for row in rows]


def find(connection: Connection | Session, connection_id: UUID) -> Due | None:
    """The schedule of one connection, locked. None when the connection is gone."""
    row = connection.execute(
        text(
            "SELECT planned.connection_id, connections.connector, planned.cursor, planned.reached_at, "
            "connections.paused_at IS NOT NULL AS paused "
            "FROM sync_schedules AS planned JOIN connections ON connections.id = planned.connection_id "
            "AND connections.deleted_at IS NULL WHERE planned.connection_id = :id FOR UPDATE OF planned"
        ),
        {"id": connection_id},
    ).one_or_none()
    return None if row is None else Due(**row._asdict())


def put_off(session: Session | Connection, connection_id: UUID, until: datetime, obstacle: str | None) -> None:
    """Pull later; `obstacle` says why it could not be done now, where something stands in the way."""
    session.execute(
        text("UPDATE sync_schedules SET due_at = :until, obstacle = :obstacle WHERE connection_id = :id"),
        {"id": connection_id, "until": until, "obstacle": None if obstacle is None else obstacle[:500]},
    )


def open_run(
    session: Session | Connection,
    planned: Due,
    *,
    reason: Reason,
    days: int,
    every_seconds: int,
    now: datetime,
    asked_by: UUID | None = None,
) -> UUID:
    """Queue a run, or find the one that is open; return its id. The caller holds the schedule's row.

    A connection has one open run at most, whoever asks how often. The first one goes back `days`; the next ones go
    on at the list's own cursor, or a while before the last good one where the list has none.
    """
    back = now - timedelta(days=days)
    since = back if planned.reached_at is None else max(back, planned.reached_at - OVERLAP)
    identity = new_id()
    row = session.execute(
        text(
            "INSERT INTO syncs (id, connection_id, connector, reason, state, asked_by, due_at, since, cursor, mark, "
            "created_at) VALUES (:id, :connection, :connector, :reason, 'queued', :asked_by, :now, :since, :cursor, "
            ":cursor, :now) "
            "ON CONFLICT (connection_id) WHERE state IN ('queued', 'running', 'waiting') DO NOTHING RETURNING id"
        ),
        {
            "id": identity,
            "connection": planned.connection_id,
            "connector": planned.connector,
            "reason": "first" if planned.reached_at is None and reason == "schedule" else reason,
            "asked_by": asked_by,
            "now": now,
            "since": since,
            "cursor": planned.cursor,
        },
    ).one_or_none()
    put_off(session, planned.connection_id, now + timedelta(seconds=every_seconds), None)
    if row is not None:
        return identity
    found: UUID | None = session.scalar(
        text("SELECT id FROM syncs WHERE connection_id = :id AND state IN ('queued', 'running', 'waiting')"),
        {"id": planned.connection_id},
    )
    if found is None:
        # Not while everybody who ends a run holds the schedule's row, which the caller does.
        raise Conflict("a sync ended this instant; ask again")
    return found


def drop(connection: Connection) -> None:
    """Forget the plans for connections that are gone."""
    for table in ("sync_schedules", "registrations"):
        connection.execute(
            text(
                f"DELETE FROM {table} AS planned USING connections "
                "WHERE connections.id = planned.connection_id AND connections.deleted_at IS NOT NULL"
            )
        )
