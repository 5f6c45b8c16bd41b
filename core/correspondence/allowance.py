"""How many mails to customers a seller may ask for on a day: one by one, by the API and in bulk, all in one count.

Every one goes to somebody who did not ask for it, so a stolen session or a slip of the hand ends somewhere. What goes
by itself does not count: reminders by the calendar, receipts, recurring invoices. Days are UTC's.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

from sqlalchemy import Connection, text
from sqlalchemy.orm import Session

from core.errors import Conflict

# The database holds it as well (mail_days_within_limit).
MOST_A_DAY: Final = 1000
_KEPT = timedelta(days=7)
_TAKE = text(
    "INSERT INTO mail_days AS known (seller_id, day, asked) VALUES (:seller, :day, 1) "
    "ON CONFLICT (seller_id, day) DO UPDATE SET asked = known.asked + 1 WHERE known.asked < :most RETURNING asked"
)


class DayIsFull(Conflict):
    """The seller asked for as many mails today as a day has."""

    code = "daily_mail_limit"


def take(session: Session, seller_id: UUID, now: datetime) -> None:
    """Count one more mail, in the transaction that writes it. Raises DayIsFull.

    Whoever counts holds the seller's day until its transaction ends: two at once do not both find the last place.
    """
    if session.scalar(_TAKE, {"seller": seller_id, "day": now.date(), "most": MOST_A_DAY}) is None:
        raise DayIsFull(f"{MOST_A_DAY:,} mails were asked for today, which is the most a day; try again tomorrow (UTC)")


def left(session: Session, seller_id: UUID, now: datetime) -> int:
    """How many may still be asked for today."""
    asked = session.scalar(
        text("SELECT asked FROM mail_days WHERE seller_id = :seller AND day = :day"),
        {"seller": seller_id, "day": now.date()},
    )
    return MOST_A_DAY - int(asked or 0)


def forget(connection: Connection, now: datetime) -> None:
    """Drop the counts of days that are over."""
    connection.execute(text("DELETE FROM mail_days WHERE day < :day"), {"day": (now - _KEPT).date()})
