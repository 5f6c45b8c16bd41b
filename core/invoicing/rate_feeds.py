"""Sellers whose exchange rates are fetched from a provider: who wants it, what is due, and how it went.

The European Central Bank publishes its reference rates on working days, at about four in the afternoon in Frankfurt.
What a person wrote down or brought is never replaced by them (`rates`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from typing import Final
from uuid import UUID

from sqlalchemy import Connection, text
from sqlalchemy.orm import Session

from core import audit
from core.errors import Conflict
from core.events import DomainEvent
from core.identity import Actor
from core.invoicing import rates
from core.invoicing.rates import Rate, Written
from core.live import announce

BATCH: Final = 100
# An hour after the rates are out in winter, two in summer (UTC).
LOOKED_AT: Final = time(16, 0)
# Who fetches has so long, before somebody else does it too, which changes nothing.
_LEASE: Final = timedelta(minutes=10)
_FIRST_WAIT, _LONGEST_WAIT = timedelta(minutes=5), timedelta(hours=6)
_SATURDAY = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Feed:
    """How the fetching of a seller's rates stands. `error` is why the last try failed, None where it did not."""

    is_on: bool = False
    due_at: datetime | None = None
    fetched_at: datetime | None = None
    newest_day: date | None = None
    failures: int = 0
    error: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Due:
    """A seller whose rates are to be fetched now, and the newest day they have from there."""

    user_id: UUID
    home: str
    newest_day: date | None


def feed(session: Session, user_id: UUID) -> Feed:
    """How it stands; switched off for who never decided."""
    row = session.execute(
        text("SELECT is_on, due_at, fetched_at, newest_day, failures, error FROM rate_feeds WHERE user_id = :user"),
        {"user": user_id},
    ).one_or_none()
    return Feed() if row is None else Feed(**row._asdict())


def switch(session: Session, actor: Actor, now: datetime, *, on: bool) -> Feed:
    """Have a seller's rates fetched, the first time at once, or no more. A repeat changes nothing. Raises Forbidden."""
    rates.sellers_only(actor)
    changed = session.execute(
        text(
            "INSERT INTO rate_feeds AS known (user_id, is_on, due_at, updated_at) VALUES (:user, :on, :due, :now) "
            "ON CONFLICT (user_id) DO UPDATE SET is_on = excluded.is_on, due_at = excluded.due_at, failures = 0, "
            "error = NULL, updated_at = excluded.updated_at WHERE known.is_on <> excluded.is_on RETURNING user_id"
        ),
        {"user": actor.id, "on": on, "due": now if on else None, "now": now},
    ).all()
    if changed:
        audit.record(session, actor, "rates.switched", "exchange_rates", actor.id, {"fetched": on}, now)
    return feed(session, actor.id)


def fetch_now(session: Session, actor: Actor, now: datetime) -> Feed:
    """Have them fetched at once, whatever the hour. Raises Forbidden, and Conflict where they are not fetched."""
    rates.sellers_only(actor)
    asked = session.execute(
        text("UPDATE rate_feeds SET due_at = least(due_at, :now) WHERE user_id = :user AND is_on RETURNING user_id"),
        {"user": actor.id, "now": now},
    ).all()
    if not asked:
        raise Conflict("rates are not fetched for you; switch it on first")
    return feed(session, actor.id)


def claim(connection: Connection, now: datetime, *, limit: int = BATCH) -> list[Due]:
    """Take sellers whose rates are due, for a while. The caller commits before it fetches."""
    rows = connection.execute(
        text(
            "WITH taken AS (UPDATE rate_feeds SET due_at = :until WHERE user_id IN (SELECT user_id FROM rate_feeds "
            "WHERE due_at <= :now ORDER BY due_at, user_id LIMIT :limit FOR UPDATE SKIP LOCKED) "
            "RETURNING user_id, newest_day) SELECT taken.user_id, taken.newest_day, "
            "coalesce(business_profiles.home_currency, 'INR') AS home FROM taken "
            "LEFT JOIN business_profiles ON business_profiles.user_id = taken.user_id ORDER BY taken.user_id"
        ),
        {"now": now, "until": now + _LEASE, "limit": limit},
    )
    return [Due(**row._asdict()) for row in rows]


def behind(newest_day: date | None, published: date) -> bool:
    """Whether a working day lies between what a seller has and what is published, so that one file is not enough.

    >>> behind(date(2026, 11, 20), date(2026, 11, 23)), behind(date(2026, 11, 19), date(2026, 11, 23))
    (False, True)
    """
    if newest_day is None:
        return True
    between = (newest_day + timedelta(days=step) for step in range(1, min((published - newest_day).days, 8)))
    return any(day.weekday() < _SATURDAY for day in between)


def came(session: Session, due: Due, found: Sequence[Rate], now: datetime) -> Written:
    """Keep what was fetched for a seller, and say when to look again; nothing for who switched it off meanwhile."""
    held = session.execute(
        text("SELECT newest_day FROM rate_feeds WHERE user_id = :user AND is_on FOR UPDATE"), {"user": due.user_id}
    ).one_or_none()
    if held is None:
        return Written(added=0, changed=0, unchanged=len(found))
    written = rates.put(session, due.user_id, found, "provider", now)
    newest = max([one.day for one in found] + ([held.newest_day] if held.newest_day else []))
    session.execute(
        text(
            "UPDATE rate_feeds SET due_at = :due, fetched_at = :now, newest_day = :newest, failures = 0, error = NULL, "
            "updated_at = :now WHERE user_id = :user"
        ),
        {"due": next_look(now), "now": now, "newest": newest, "user": due.user_id},
    )
    if written.added or written.changed:
        data: dict[str, object] = {"source": "provider", "added": written.added, "changed": written.changed}
        audit.record(session, None, "rates.written", "exchange_rates", due.user_id, data, now)
    _tell(session, due.user_id, newest, None)
    return written


def failed(session: Session, due: Due, error: str, now: datetime) -> None:
    """Note why nothing came, and try again later: after minutes at first, after hours in the end."""
    row = session.execute(
        text(
            "UPDATE rate_feeds SET failures = failures + 1, error = :error, updated_at = :now, "
            "due_at = :now + least(:longest, :first * power(2, least(failures, 10))) "
            "WHERE user_id = :user AND is_on RETURNING newest_day"
        ),
        {
            "error": error.replace("\x00", "")[:500],
            "now": now,
            "first": _FIRST_WAIT,
            "longest": _LONGEST_WAIT,
            "user": due.user_id,
        },
    ).one_or_none()
    if row is not None:
        _tell(session, due.user_id, row.newest_day, error)


def next_look(now: datetime) -> datetime:
    """The next afternoon (UTC) on which rates may be out."""
    today = now.replace(hour=LOOKED_AT.hour, minute=LOOKED_AT.minute, second=0, microsecond=0)
    return today if now < today else today + timedelta(days=1)


def _tell(session: Session, user_id: UUID, newest: date | None, error: str | None) -> None:
    data: dict[str, object] = {"newest_day": newest.isoformat() if newest else None, "error": error}
    announce(session, [DomainEvent(room=f"user:{user_id}", name="rates.fetched", data=data)])
