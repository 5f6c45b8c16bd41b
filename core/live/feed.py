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
from core.ids import new_id

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
_TAKE = text(
    "DELETE FROM outbox WHERE id IN (SELECT id FROM outbox ORDER BY id LIMIT :limit) "
    "RETURNING id, room, name, data, event_id, at"
)
_NUMBER = text(
    "INSERT INTO rooms AS known (room, seq) SELECT * FROM unnest(CAST(:rooms AS text[]), CAST(:counts AS bigint[])) "
    "ON CONFLICT (room) DO UPDATE SET seq = known.seq + excluded.seq RETURNING room, seq"
)
# The ids are made in order, so ordering by them numbers the rows as they were announced.
_FEED = Rows(id="uuid", room="text", seq="bigint", name="text", data="jsonb", event_id="uuid", at="timestamptz")
_STORE = text(
    "INSERT INTO feed (position, id, room, seq, name, data, event_id, at) "
    f"SELECT nextval('feed_position'), ordered.* FROM (SELECT * FROM {_FEED.source('given')} ORDER BY given.id) "
    "AS ordered RETURNING position"
)


def number(connection: Connection, limit: int = 500) -> list[FeedEvent]:
    """Move up to `limit` committed outbox rows into the feed, numbered; the caller commits, then emits.

    Only the holder of the relay lock may call it. An empty list means that nothing waits.
    """
    taken = sorted(connection.execute(_TAKE, {"limit": limit}).all(), key=lambda row: row.id)
    if not taken:
        return []
    counts: dict[str, int] = {}
    for row in taken:
        counts[row.room] = counts.get(row.room, 0) + 1
    rooms = sorted(counts)
    raised = connection.execute(_NUMBER, {"rooms": rooms, "counts": [counts[room] for room in rooms]})
    following = {row.room: row.seq - counts[row.room] + 1 for row in raised}
    seqs = []
    for row in taken:
        seqs.append(following[row.room])
        following[row.room] += 1
    positions = connection.scalars(
        _STORE,
        _FEED.arrays(
            id=[new_id() for _ in taken],
            room=[row.room for row in taken],
            seq=seqs,
            name=[row.name for row in taken],
            data=[json.dumps(row.data, separators=(",", ":")) for row in taken],
            event_id=[row.event_id for row in taken],
            at=[row.at for row in taken],
        ),
    ).all()
    return [
        FeedEvent(position=position, room=row.room, seq=seq, name=row.name, at=row.at, data=row.data)
        for row, seq, position in zip(taken, seqs, sorted(positions), strict=True)
    ]


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
