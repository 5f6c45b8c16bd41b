"""When the clock looks at a financing next (marketplace rules 2.1, 2.6 and 2.8).

What then happens is in `core.marketplace.watch`. A look that comes too early does no harm: it finds nothing to do
and says again when the next one is.
"""

from __future__ import annotations

from datetime import date, datetime, time, timedelta
from typing import TYPE_CHECKING

from core.marketplace.calendar import DEFAULT_AFTER, Calendar
from core.marketplace.rules import INDIA

if TYPE_CHECKING:
    from core.marketplace.states import Financing

# Days past due on which whoever has a part in an overdue financing hears of it.
REMINDERS = (1, 30, 60)
_DAY = timedelta(days=1)


def opening(day: date) -> datetime:
    """The first moment of a day of the marketplace."""
    return datetime.combine(day, time(), INDIA)


def next_look(financing: Financing, calendar: Calendar, now: datetime | None = None) -> datetime | None:
    """The moment from which the clock has something to do for a financing as it stands, or None.

    `now` is the moment of the last look; without it, that of the last change.
    """
    due = calendar.due(financing.due_date)
    match financing.state.value:
        case "pending_buyer_confirmation" | "disputed":
            # Nobody confirms what is due already.
            return min(financing.confirm_by, opening(due + _DAY))
        case "confirmed":
            return opening(due + _DAY)
        case "listed" | "partially_funded":
            last = opening(due)
            return last if financing.closes_at is None else min(financing.closes_at, last)
        case "settlement_pending":
            return now or financing.updated_at if financing.settle_on is None else opening(financing.settle_on)
        case "funded" | "part_paid":
            return opening(calendar.grace_end(financing.due_date) + _DAY)
        case "overdue":
            since = now or financing.updated_at
            marks = (opening(due + days * _DAY) for days in (*REMINDERS, DEFAULT_AFTER))
            default = opening(calendar.default_day(financing.due_date))
            return next((mark for mark in marks if mark > since), default)
        case _:
            return None
