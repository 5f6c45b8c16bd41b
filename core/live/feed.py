"""The numbered feed of each room: written through an outbox, numbered by one relay, read to resume.

`seq` counts from 1 in each room, without gaps. Numbers are given after commit by the one active relay, so
what was rolled back never takes a number.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, bindparam, text
from sqlalchemy.dialects.postgresql import ARRAY, TEXT
from sqlalchemy.orm import Session

from core.bulk import Rows
from core.events import DomainEvent

# A client that missed more than this reloads the page's data instead.
RESUME_LIMIT = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class FeedEvent:
    """One numbered event of a room."""

    position: int
    room: str
    seq: int
    name: str
    at: datetime
    data: dict[str, Any]

    def message(self) -> dict[str, object]:
        """The shape that clients receive."""
        return {
            "room": self.room,
            "seq": self.seq,
            "name": self.name,
            "at": self.at.isoformat(),
            "data": self.data,
        }


_OUTBOX = Rows(room="text", name="text", data="jsonb", event_id="uuid")
_ANNOUNCE = text(_OUTBOX.insert("outbox"))


def announce(session: Session | Connection, events: Iterable[DomainEvent], event_id: UUID | None = None) -> None:
    """Write events to the outbox in the caller's transaction; they are heard after it commits."""
    announce_all(session, [(event, event_id) for event in events])


def announce_all(session: Session | Connection, events: Sequence[tuple[DomainEvent, UUID | None]]) -> None:
    """Write many events at once, each with the provider event it comes from."""
    if events:
        session.execute(
            _ANNOUNCE,
            _OUTBOX.arrays(
                room=[event.room for event, _ in events],
                name=[event.name for event, _ in events],
                data=_spelled(events),
                event_id=[source for _, source in events],
            ),
        )


def _spelled(events: Sequence[tuple[DomainEvent, UUID | None]]) -> list[str]:
    """The data of each event as JSON; what several rooms are told is spelled once."""
    known: dict[int, str] = {}
    for event, _ in events:
        if id(event.data) not in known:
            known[id(event.data)] = json.dumps(event.data, separators=(",", ":"))
    return [known[id(event.data)] for event, _ in events]


# Two relays cannot number at once (advisory lock), so a room's counter is read and raised without a race.
_NUMBER = text(
    """
    WITH taken AS (
        DELETE FROM outbox WHERE id IN (SELECT id FROM outbox ORDER BY id LIMIT :limit)
        RETURNING id, room, name, data, event_id, at
    ), counts AS (
        SELECT room, count(*) AS added FROM taken GROUP BY room
    ), raised AS (
        INSERT INTO rooms AS known (room, seq) SELECT room, added FROM counts ORDER BY room
        ON CONFLICT (room) DO UPDATE SET seq = known.seq + excluded.seq
        RETURNING room, seq
    ), numbered AS (
        SELECT taken.*, raised.seq - counts.added + row_number() OVER (PARTITION BY room ORDER BY taken.id) AS seq
        FROM taken JOIN counts USING (room) JOIN raised USING (room)
        ORDER BY taken.id
    )
    INSERT INTO feed (id, position, room, seq, name, data, event_id, at)
    SELECT uuid7(), nextval('feed_position'), room, seq, name, data, event_id, at FROM numbered
    RETURNING position, room, seq, name, at, data
    """
)


def number(connection: Connection, limit: int = 500) -> list[FeedEvent]:
    """Move up to `limit` committed outbox rows into the feed, numbered; the caller commits, then emits.

    Only the holder of the relay lock may call it. An empty list means that nothing waits.
    """
    rows = connection.execute(_NUMBER, {"limit": limit}).all()
    return sorted((FeedEvent(**row._asdict()) for row in rows), key=lambda event: event.position)


def after(session: Session | Connection, room: str, seq: int, limit: int = RESUME_LIMIT) -> list[FeedEvent] | None:
    """The events of a room after number `seq`, in order; None when the client must reload.

    That is so when more than `limit` were missed, when some are no longer kept, or when `seq` is one that
    this room has never reached.
    """
    latest = sequences(session, [room])[room]
    if seq == latest:
        return []
    if seq > latest or seq < 0 or latest - seq > limit:
        return None
    rows = session.execute(
        text("SELECT position, room, seq, name, at, data FROM feed WHERE room = :room AND seq > :seq ORDER BY seq"),
        {"room": room, "seq": seq},
    ).all()
    # Another relay may have numbered more since `latest` was read; what is older must be complete.
    if not rows or rows[0].seq != seq + 1:
        return None
    return [FeedEvent(**row._asdict()) for row in rows]


def unemitted(connection: Connection, limit: int = 5000) -> list[FeedEvent]:
    """What was numbered and perhaps never emitted, because a relay died in between, oldest first."""
    rows = connection.execute(
        text(
            "SELECT position, room, seq, name, at, data FROM feed, relay_state "
            "WHERE position > emitted_position ORDER BY position LIMIT :limit"
        ),
        {"limit": limit},
    )
    return [FeedEvent(**row._asdict()) for row in rows]


def mark_emitted(connection: Connection, position: int) -> None:
    """Remember that everything up to `position` was handed to Redis."""
    connection.execute(
        text("UPDATE relay_state SET emitted_position = :position WHERE emitted_position < :position"),
        {"position": position},
    )


_SEQUENCES = text("SELECT room, seq FROM rooms WHERE room = ANY(:rooms)").bindparams(
    bindparam("rooms", type_=ARRAY(TEXT))
)


def sequences(session: Session | Connection, rooms: Sequence[str]) -> dict[str, int]:
    """The latest number of each room, 0 where nothing was said yet."""
    known = {row.room: row.seq for row in session.execute(_SEQUENCES, {"rooms": list(rooms)})}
    return {room: known.get(room, 0) for room in rooms}
