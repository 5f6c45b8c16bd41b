"""How each connection's webhook stands at the provider, and when that is looked at next."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import Connection, text
from sqlalchemy.orm import Session

from core import audit
from core.events import DomainEvent
from core.inbox.claim import delay_seconds
from core.syncing.runs import AT_ONCE

# After so many failed tries in a row it is failed until the next day.
_TRIES = 6


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """A connection in hand whose webhook is being looked at. `attempts` counts tries since the last answer."""

    connection_id: UUID
    user_id: UUID
    connector: str
    name: str
    hook_id: str
    attempts: int
    claimed_at: datetime


_CLAIM = text(
    """
    WITH busy AS (
        -- What is in hand is due exactly when its lease ends.
        SELECT connections.connector, count(*) AS hands
        FROM registrations JOIN connections ON connections.id = registrations.connection_id
        WHERE registrations.due_at > :now AND registrations.due_at <= :now + :lease
            AND registrations.due_at = registrations.claimed_at + :lease
        GROUP BY connections.connector
    ), due AS (
        SELECT registrations.connection_id FROM registrations
        JOIN connections ON connections.id = registrations.connection_id AND connections.deleted_at IS NULL
            AND connections.paused_at IS NULL
        WHERE registrations.due_at <= :now
            AND coalesce((SELECT hands FROM busy WHERE busy.connector = connections.connector), 0) < :at_once
        ORDER BY registrations.due_at LIMIT 1 FOR UPDATE OF registrations SKIP LOCKED
    ), claimed AS (
        UPDATE registrations SET attempts = attempts + 1, claimed_at = :now, due_at = :now + :lease FROM due
        WHERE registrations.connection_id = due.connection_id RETURNING registrations.*
    )
    SELECT claimed.connection_id, connections.user_id, connections.connector, connections.name, connections.hook_id,
        claimed.attempts, claimed.claimed_at
    FROM claimed JOIN connections ON connections.id = claimed.connection_id
    """
)


def claim(connection: Connection, *, lease_seconds: float, now: datetime) -> Check | None:
    """Take the connection whose check is due longest, of one provider `AT_ONCE` at a time. None when none is."""
    row = connection.execute(
        _CLAIM, {"now": now, "lease": timedelta(seconds=lease_seconds), "at_once": AT_ONCE}
    ).one_or_none()
    return None if row is None else Check(**row._asdict())


def hold(connection: Connection, check: Check) -> bool:
    """Lock the check; False when it is not ours any more."""
    held = connection.execute(
        text(
            "SELECT FROM registrations WHERE connection_id = :id AND attempts = :attempts AND claimed_at = :claimed_at "
            "FOR UPDATE"
        ),
        {"id": check.connection_id, "attempts": check.attempts, "claimed_at": check.claimed_at},
    ).all()
    return bool(held)


def put_off(connection: Connection, check: Check, until: datetime, reason: str | None) -> None:
    """There is nothing to ask; `reason` says why, where a person could change that. What was known stays."""
    connection.execute(
        text("UPDATE registrations SET due_at = :until, attempts = 0, error = :reason WHERE connection_id = :id"),
        {"id": check.connection_id, "until": until, "reason": None if reason is None else reason[:500]},
    )


def record(session: Session, check: Check, state: str, now: datetime, until: datetime) -> None:
    """Keep the answer of a held check: kept, created or repaired."""
    session.execute(
        text(
            "UPDATE registrations SET state = :state, checked_at = :now, error = NULL, attempts = 0, due_at = :until, "
            "mended_at = CASE WHEN :state = 'kept' THEN mended_at ELSE :now END WHERE connection_id = :id"
        ),
        {"id": check.connection_id, "state": state, "now": now, "until": until},
    )
    if state != "kept":
        audit.record(session, None, f"webhook.{state}", "connection", check.connection_id, {}, now)


def fail(
    connection: Connection,
    check: Check,
    error: str,
    now: datetime,
    again: timedelta,
    *,
    permanent: bool = False,
    retry_after_seconds: float | None = None,
) -> bool:
    """Try a held check again soon, or call it failed and look again after `again`; return whether it is failed."""
    given_up = permanent or check.attempts >= _TRIES
    wait = again if given_up else timedelta(seconds=delay_seconds(check.attempts, retry_after_seconds))
    connection.execute(
        text(
            "UPDATE registrations SET due_at = :until, error = :error, "
            "state = CASE WHEN :given_up THEN 'failed' ELSE state END, "
            "checked_at = CASE WHEN :given_up THEN :now ELSE checked_at END, "
            "attempts = CASE WHEN :given_up THEN 0 ELSE attempts END WHERE connection_id = :id"
        ),
        {
            "id": check.connection_id,
            "until": now + wait,
            "error": error.replace("\x00", "")[:500],
            "given_up": given_up,
            "now": now,
        },
    )
    return given_up


def news(check: Check, state: str, error: str | None) -> DomainEvent:
    """What the owner is told live."""
    data: dict[str, object] = {"connection_id": str(check.connection_id), "state": state, "error": error}
    return DomainEvent(room=f"user:{check.user_id}", name="webhook.checked", data=data)
