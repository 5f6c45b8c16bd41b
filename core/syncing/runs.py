"""The queue of runs: claim one under a lease, go on page by page with fencing, end it.

The same rules as for events (core.inbox.claim): `due_at` is when a run may be claimed, a claim moves it behind the
lease, and (attempts, claimed_at) is the token that whoever writes must still hold. Locks, always in this order: the
schedule's row, then the run's.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal
from uuid import UUID

from sqlalchemy import Connection, text
from sqlalchemy.orm import Session

from core.errors import MalformedPayload
from core.inbox.claim import delay_seconds

# Of one provider, so that one that is slow never takes every hand. The others wait for their turn.
AT_ONCE = 2
# More than any honest list has. What is longer does not end.
MAX_PAGES = 10_000

Counts = dict[str, dict[str, int]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """A run in hand until its lease ends."""

    id: UUID
    connection_id: UUID
    user_id: UUID
    connector: str
    external_id: str | None
    settings: Mapping[str, str]
    connected_at: datetime
    reason: str
    attempts: int
    claimed_at: datetime
    failures: int
    since: datetime
    cursor: str | None
    mark: str | None
    pages: int
    counts: Counts


_CLAIM = text(
    """
    WITH busy AS (
        SELECT connector, count(*) AS hands FROM syncs WHERE state = 'running' AND due_at > :now GROUP BY connector
    ), due AS (
        SELECT syncs.id FROM syncs JOIN connections ON connections.id = syncs.connection_id
        WHERE syncs.state IN ('queued', 'running', 'waiting') AND syncs.due_at <= :now
            AND connections.deleted_at IS NULL AND connections.paused_at IS NULL
            AND coalesce((SELECT hands FROM busy WHERE busy.connector = syncs.connector), 0) < :at_once
        ORDER BY syncs.due_at, syncs.id LIMIT 1 FOR UPDATE OF syncs SKIP LOCKED
    ), claimed AS (
        UPDATE syncs SET state = 'running', attempts = attempts + 1, claimed_at = :now, due_at = :now + :lease,
            started_at = coalesce(started_at, :now),
            -- Whoever had it before never gave it back.
            failures = failures + CASE syncs.state WHEN 'running' THEN 1 ELSE 0 END
        FROM due WHERE syncs.id = due.id RETURNING syncs.*
    )
    SELECT claimed.id, claimed.connection_id, connections.user_id, claimed.connector, connections.external_id,
        connections.settings, connections.created_at AS connected_at, claimed.reason, claimed.attempts,
        claimed.claimed_at, claimed.failures, claimed.since, claimed.cursor, claimed.mark, claimed.pages, claimed.counts
    FROM claimed JOIN connections ON connections.id = claimed.connection_id
    """
)


def claim(connection: Connection, *, lease_seconds: float, now: datetime) -> Run | None:
    """Take the run that has waited longest, for `lease_seconds`. None when nothing is due.

    At most `AT_ONCE` runs of one connector are in hand at a time, give or take two claims in the same instant.
    """
    row = connection.execute(
        _CLAIM, {"now": now, "lease": timedelta(seconds=lease_seconds), "at_once": AT_ONCE}
    ).one_or_none()
    return None if row is None else Run(**row._asdict())


def hold(connection: Connection, run: Run) -> bool:
    """Lock the schedule and the run; False when the run is not ours any more, or its connection has ended or rests."""
    connection.execute(
        text("SELECT FROM sync_schedules WHERE connection_id = :id FOR UPDATE"), {"id": run.connection_id}
    )
    held = connection.execute(
        text(
            "SELECT FROM syncs JOIN connections ON connections.id = syncs.connection_id "
            "AND connections.deleted_at IS NULL AND connections.paused_at IS NULL "
            "WHERE syncs.id = :id AND syncs.state = 'running' "
            "AND syncs.attempts = :attempts AND syncs.claimed_at = :claimed_at FOR UPDATE OF syncs"
        ),
        {"id": run.id, "attempts": run.attempts, "claimed_at": run.claimed_at},
    ).all()
    return bool(held)


def next_mark(run: Run, cursor: str | None) -> str | None:
    """The cursor to remember after a page that ended at `cursor`. Raises MalformedPayload when the list never ends.

    Brent's way to see a circle with one remembered cursor: it is compared with every new one and moved forward at
    each power of two, so that a circle of any length is seen within a few rounds.
    """
    pages = run.pages + 1
    if cursor is None:
        raise MalformedPayload("cursor", "the provider says that there is more and not where")
    if cursor in (run.cursor, run.mark):
        raise MalformedPayload("cursor", "the provider's list leads in a circle")
    if pages >= MAX_PAGES:
        raise MalformedPayload("cursor", f"the provider's list does not end within {MAX_PAGES} pages")
    return cursor if pages & (pages - 1) == 0 else run.mark


def advance(
    connection: Connection, run: Run, *, cursor: str | None, mark: str | None, counts: Counts, due_at: datetime
) -> None:
    """Store where a held run goes on, in the transaction that carries its page. Progress forgives failed tries."""
    connection.execute(
        text(
            "UPDATE syncs SET cursor = :cursor, mark = :mark, pages = pages + 1, counts = CAST(:counts AS jsonb), "
            "failures = 0, error = NULL, due_at = :due WHERE id = :id"
        ),
        {"id": run.id, "cursor": cursor, "mark": mark, "counts": json.dumps(counts), "due": due_at},
    )


def yield_turn(connection: Connection, run: Run, now: datetime) -> None:
    """Give a run back unfinished, behind those that are due already."""
    connection.execute(
        text(
            "UPDATE syncs SET state = 'queued', due_at = :now WHERE id = :id AND state = 'running' "
            "AND attempts = :attempts AND claimed_at = :claimed_at"
        ),
        {"id": run.id, "now": now, "attempts": run.attempts, "claimed_at": run.claimed_at},
    )


def finish(connection: Connection, run: Run, lateness: Mapping[str, object] | None, now: datetime) -> None:
    """End a held run well: the next one goes on where this one's list ended."""
    connection.execute(
        text(
            "UPDATE sync_schedules AS planned SET cursor = syncs.cursor, reached_at = syncs.created_at, "
            "obstacle = NULL FROM syncs WHERE syncs.id = :id AND planned.connection_id = syncs.connection_id"
        ),
        {"id": run.id},
    )
    _end(connection, run.id, "done", None, lateness, now)


def fail(
    connection: Connection,
    run: Run,
    *,
    error: str,
    now: datetime,
    max_failures: int,
    permanent: bool = False,
    retry_after_seconds: float | None = None,
) -> Literal["waiting", "failed"]:
    """Try a held run again later, or end it: when trying is no use, or after `max_failures` tries in a row.

    A run that failed on its first page may have been given a cursor that the provider has forgotten: the next one
    then begins anew.
    """
    failures = run.failures + 1
    if not permanent and failures < max_failures:
        connection.execute(
            text(
                "UPDATE syncs SET state = 'waiting', failures = :failures, error = :error, due_at = :due WHERE id = :id"
            ),
            {
                "id": run.id,
                "failures": failures,
                "error": _clean(error),
                "due": now + timedelta(seconds=delay_seconds(failures, retry_after_seconds)),
            },
        )
        return "waiting"
    if run.pages == 0:
        connection.execute(
            text("UPDATE sync_schedules SET cursor = NULL WHERE connection_id = :id"), {"id": run.connection_id}
        )
    _end(connection, run.id, "failed", error, None, now)
    return "failed"


def begin_anew(connection: Connection, connection_id: UUID, now: datetime) -> None:
    """Forget how far a connection was read, because another account or place is meant: its list begins elsewhere.

    A run that is open goes by the old list, so it ends here; the next one goes back as far as the first one does.
    """
    connection.execute(
        text(
            "UPDATE sync_schedules SET cursor = NULL, reached_at = NULL, due_at = least(due_at, :now) "
            "WHERE connection_id = :id"
        ),
        {"id": connection_id, "now": now},
    )
    ended = connection.scalars(
        text("SELECT id FROM syncs WHERE connection_id = :id AND state IN ('queued', 'running', 'waiting') FOR UPDATE"),
        {"id": connection_id},
    ).all()
    for identity in ended:
        _end(connection, identity, "failed", "the connection was changed; its list is read anew", None, now)


def drop(connection: Connection, now: datetime) -> int:
    """End the open runs of connections that are gone; return how many."""
    ids = connection.scalars(
        text(
            "SELECT syncs.id FROM syncs JOIN connections ON connections.id = syncs.connection_id "
            "WHERE syncs.state IN ('queued', 'running', 'waiting') AND connections.deleted_at IS NOT NULL "
            "FOR UPDATE OF syncs SKIP LOCKED"
        )
    ).all()
    for identity in ids:
        _end(connection, identity, "failed", "the connection was deleted", None, now)
    return len(ids)


def _clean(error: str) -> str:
    return error.replace("\x00", "")[:1000]


def _end(
    connection: Connection,
    identity: UUID,
    state: str,
    error: str | None,
    lateness: Mapping[str, object] | None,
    now: datetime,
) -> None:
    connection.execute(
        text(
            "UPDATE syncs SET state = :state, error = :error, finished_at = :now, "
            "lateness = CAST(:lateness AS jsonb) WHERE id = :id"
        ),
        {
            "id": identity,
            "state": state,
            "error": None if error is None else _clean(error),
            "lateness": None if lateness is None else json.dumps(dict(lateness)),
            "now": now,
        },
    )
    connection.execute(text("DELETE FROM sync_listed WHERE sync_id = :id"), {"id": identity})


def listed(counts: Counts, name: str) -> int:
    """The sum of one count over all kinds."""
    return sum(kind.get(name, 0) for kind in counts.values())


def shape(row: Any) -> dict[str, Any]:
    """A run as the API shows it."""
    counts: Counts = row.counts
    return {
        "id": str(row.id),
        "connection_id": str(row.connection_id),
        "reason": row.reason,
        "state": row.state,
        "pages": row.pages,
        "listed": listed(counts, "listed"),
        "gap": listed(counts, "gap"),
        "counts": [{"kind": kind, **counts[kind]} for kind in sorted(counts)],
        "since": row.since,
        "error": row.error,
        "tries": row.failures,
        "due_at": row.due_at if row.finished_at is None else None,
        "created_at": row.created_at,
        "started_at": row.started_at,
        "finished_at": row.finished_at,
    }


def find(session: Session | Connection, identities: Sequence[UUID]) -> list[Any]:
    """The rows of runs, for `shape`."""
    return list(
        session.execute(text("SELECT * FROM syncs WHERE id = ANY(CAST(:ids AS uuid[]))"), {"ids": list(identities)})
    )
