"""The queue of record: claim a batch under a lease, finish it with fencing, put aside what fails.

`due_at` is when an event may be claimed, so a claim moves it behind the lease; `attempts` counts claims and
fences together with `claimed_at`, since a replay and a fetch count anew: who finishes must still hold the
attempt it claimed. Messages only ring; these rows decide.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal
from uuid import UUID

from sqlalchemy import Connection, text
from sqlalchemy.orm import Session

from core.bulk import Rows, array

Queue = Literal["ready", "fetch"]

# 5 s, 20 s, 80 s, … up to 6 hours between tries.
_FIRST_DELAY_SECONDS = 5.0
_LONGEST_DELAY_SECONDS = 6 * 3600.0


# Compared by identity: a batch keys its dictionaries by these, and hashing a body each time would cost more than
# reading it.
@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Claimed:
    """An event in hand until its lease ends, with the body it stands in."""

    event_id: UUID
    attempts: int
    claimed_at: datetime
    delivery_id: UUID
    item_index: int
    connector: str
    connection_id: UUID
    user_id: UUID
    name: str
    trust: str
    received_at: datetime
    body: bytes
    # Its owner paused the connection after the event was queued.
    paused: bool = False
    # What the connection itself says of how its events are read, where its connector leaves that to it.
    definition: str | None = None


# One statement: a claim commits by itself, and every trip to the database is latency of somebody's payment.
_CLAIM = text(
    """
    WITH claimed AS (
        UPDATE event_queue AS queue
        SET attempts = queue.attempts + 1, due_at = :now + :lease, claimed_at = :now
        FROM (
            SELECT event_id FROM event_queue
            WHERE state = :queue AND due_at <= :now
            ORDER BY due_at, event_id LIMIT :limit FOR UPDATE SKIP LOCKED
        ) AS due
        WHERE queue.event_id = due.event_id
        RETURNING queue.event_id, queue.attempts, queue.claimed_at, queue.delivery_id
    )
    SELECT claimed.*, events.item_index, events.connector, events.connection_id, events.name, events.trust,
           events.received_at, deliveries.body, connections.user_id, connections.paused_at IS NOT NULL AS paused,
           connections.settings->>'definition' AS definition
    FROM claimed JOIN events ON events.id = claimed.event_id
    JOIN deliveries ON deliveries.id = claimed.delivery_id
    JOIN connections ON connections.id = events.connection_id
    ORDER BY claimed.event_id
    """
)


def claim(
    connection: Connection | Session, *, queue: Queue, limit: int, lease_seconds: float, now: datetime
) -> list[Claimed]:
    """Take up to `limit` due events, oldest first, for `lease_seconds`.

    The caller commits, works, and calls `hold` in the transaction that carries the effects.
    """
    rows = connection.execute(
        _CLAIM, {"queue": queue, "limit": limit, "now": now, "lease": timedelta(seconds=lease_seconds)}
    )
    return [
        Claimed(
            event_id=event_id,
            attempts=attempts,
            claimed_at=claimed_at,
            delivery_id=delivery_id,
            item_index=item_index,
            connector=connector,
            connection_id=connection_id,
            name=name,
            trust=trust,
            received_at=received_at,
            body=body,
            user_id=user_id,
            paused=paused,
            definition=definition,
        )
        for (
            event_id,
            attempts,
            claimed_at,
            delivery_id,
            item_index,
            connector,
            connection_id,
            name,
            trust,
            received_at,
            body,
            user_id,
            paused,
            definition,
        ) in rows.all()
    ]


_HOLD = text(
    "SELECT queue.event_id FROM event_queue AS queue "
    "JOIN unnest(CAST(:ids AS uuid[]), CAST(:attempts AS integer[]), CAST(:claimed_at AS timestamptz[])) "
    "AS ours (event_id, attempts, claimed_at) USING (event_id, attempts, claimed_at) "
    "ORDER BY queue.event_id FOR UPDATE OF queue"
)


def hold(connection: Connection | Session, claimed: Sequence[Claimed]) -> set[UUID]:
    """Lock the queue rows of events that are still ours, and return their ids.

    An event that another worker took over after our lease ended is not among them: its effects are not ours
    to write any more.
    """
    return set(
        connection.scalars(
            _HOLD,
            {
                "ids": array((event.event_id for event in claimed), "uuid"),
                "attempts": array((event.attempts for event in claimed), "integer"),
                "claimed_at": array((event.claimed_at for event in claimed), "timestamptz"),
            },
        )
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Finished:
    """The end of an event. `note` says why it was ignored."""

    claimed: Claimed
    outcome: Literal["processed", "ignored"]
    read_micros: int
    note: str | None = None


_RESULTS = Rows(
    event_id="uuid",
    outcome="text",
    attempts="integer",
    claimed_at="timestamptz",
    read_micros="integer",
    note="text",
)
_FINISH = text(
    "WITH done AS (DELETE FROM event_queue WHERE event_id = ANY(CAST(:event_id AS uuid[]))) "
    + _RESULTS.insert("event_results")
)


def finish(connection: Connection | Session, finished: Sequence[Finished]) -> None:
    """Take events that are held out of the queue, with their result."""
    connection.execute(
        _FINISH,
        _RESULTS.arrays(
            event_id=[end.claimed.event_id for end in finished],
            outcome=[end.outcome for end in finished],
            attempts=[end.claimed.attempts for end in finished],
            claimed_at=[end.claimed.claimed_at for end in finished],
            read_micros=[end.read_micros for end in finished],
            note=[end.note for end in finished],
        ),
    )


def put_off_to_fetch(connection: Connection | Session, claimed: Sequence[Claimed], now: datetime) -> None:
    """Move held events that are only pointers to the queue of fetches."""
    connection.execute(
        text(
            "UPDATE event_queue SET state = 'fetch', due_at = :now, attempts = 0 "
            "WHERE event_id = ANY(CAST(:ids AS uuid[]))"
        ),
        {"ids": [event.event_id for event in claimed], "now": now},
    )


def pause(connection: Connection | Session, claimed: Sequence[Claimed]) -> list[Claimed]:
    """Set claimed events of paused connections aside until they are resumed; return the others."""
    waiting = [event.event_id for event in claimed if event.paused]
    if not waiting:
        return list(claimed)
    connection.execute(
        text("UPDATE event_queue SET state = 'paused', attempts = 0 WHERE event_id = ANY(CAST(:ids AS uuid[]))"),
        {"ids": waiting},
    )
    return [event for event in claimed if not event.paused]


def release(connection: Connection | Session, claimed: Sequence[Claimed], now: datetime) -> None:
    """Give events back at once, because nothing could be done with them (the database was away)."""
    connection.execute(
        text(
            "UPDATE event_queue AS queue SET due_at = :now "
            "FROM unnest(CAST(:ids AS uuid[]), CAST(:attempts AS integer[]), CAST(:claimed_at AS timestamptz[])) "
            "AS ours (event_id, attempts, claimed_at) WHERE queue.event_id = ours.event_id "
            "AND queue.attempts = ours.attempts AND queue.claimed_at = ours.claimed_at"
        ),
        {
            "now": now,
            "ids": [event.event_id for event in claimed],
            "attempts": [event.attempts for event in claimed],
            "claimed_at": [event.claimed_at for event in claimed],
        },
    )


def delay_seconds(attempts: int, retry_after_seconds: float | None = None) -> float:
    """How long an event waits after its `attempts`-th failure; never less than the provider asked for."""
    ours = min(_FIRST_DELAY_SECONDS * 4.0 ** min(attempts - 1, 32), _LONGEST_DELAY_SECONDS)
    return min(max(ours, retry_after_seconds or 0.0), _LONGEST_DELAY_SECONDS)


def fail(
    connection: Connection | Session,
    claimed: Claimed,
    *,
    error: str,
    now: datetime,
    max_attempts: int,
    permanent: bool = False,
    retry_after_seconds: float | None = None,
) -> Literal["retry", "dead", "lost"]:
    """Put an event back for later, or among the dead after `max_attempts` or when trying is no use.

    "lost" means that another worker holds it by now. A dead event keeps everything: it can be replayed.
    """
    dead = permanent or claimed.attempts >= max_attempts
    wait = timedelta(seconds=delay_seconds(claimed.attempts, retry_after_seconds))
    changed = connection.execute(
        text(
            "UPDATE event_queue SET state = CASE WHEN :dead THEN 'dead' ELSE state END, due_at = :due, error = :error "
            "WHERE event_id = :id AND attempts = :attempts AND claimed_at = :claimed_at "
            "AND state IN ('ready', 'fetch') RETURNING event_id"
        ),
        {
            "dead": dead,
            "due": now + wait,
            "error": error.replace("\x00", "")[:2000],
            "id": claimed.event_id,
            "attempts": claimed.attempts,
            "claimed_at": claimed.claimed_at,
        },
    ).all()
    if not changed:
        return "lost"
    return "dead" if dead else "retry"


# Whether an unrouted event may go to a connection. Who holds a connection's secret can name any account in what
# they sign, so what came to an own address goes to connections of the same person only.
MAY_ADOPT = (
    "(deliveries.connection_id IS NULL OR EXISTS (SELECT FROM connections AS via "
    "WHERE via.id = deliveries.connection_id AND via.user_id = connections.user_id))"
)


def adopt_unrouted(session: Session, connector: str, external_id: str, connection_id: UUID, now: datetime) -> int:
    """Give waiting events to the connection that just appeared; return how many.

    An event that reached the new connection by its own address as well is already known there: the unrouted
    copy then leaves the queue.
    """
    rows = session.execute(
        text(
            "SELECT queue.event_id, events.provider_event_id FROM event_queue AS queue "
            "JOIN events ON events.id = queue.event_id JOIN deliveries ON deliveries.id = queue.delivery_id "
            "JOIN connections ON connections.id = :connection "
            "WHERE queue.connector = :connector AND queue.external_id = :external_id AND queue.state = 'unrouted' "
            f"AND {MAY_ADOPT} ORDER BY queue.event_id FOR UPDATE OF queue"
        ),
        {"connector": connector, "external_id": external_id, "connection": connection_id},
    ).all()
    if not rows:
        return 0
    adopted = session.scalars(
        text(
            "INSERT INTO event_keys (connector, scope, provider_event_id, event_id) "
            "SELECT :connector, :scope, * FROM unnest(CAST(:keys AS text[]), CAST(:ids AS uuid[])) "
            "ON CONFLICT DO NOTHING RETURNING event_id"
        ),
        {
            "connector": connector,
            "scope": str(connection_id),
            "keys": [row.provider_event_id for row in rows],
            "ids": [row.event_id for row in rows],
        },
    ).all()
    session.execute(
        text("UPDATE events SET connection_id = :connection WHERE id = ANY(CAST(:ids AS uuid[]))"),
        {"connection": connection_id, "ids": adopted},
    )
    session.execute(
        text(
            "UPDATE event_queue SET connection_id = :connection, state = 'ready', due_at = :now "
            "WHERE event_id = ANY(CAST(:ids AS uuid[]))"
        ),
        {"connection": connection_id, "now": now, "ids": adopted},
    )
    session.execute(
        text("DELETE FROM event_queue WHERE event_id = ANY(CAST(:ids AS uuid[])) AND state = 'unrouted'"),
        {"ids": [row.event_id for row in rows]},
    )
    return len(adopted)
