"""Working days and the dates that hang on them (marketplace rules 2.3, 2.6, 2.8).

Every function that takes a due date takes the one on the invoice and moves it itself; moving twice changes nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta
from enum import StrEnum

# India's three national holidays, as (month, day): kept in every state and by every bank.
NATIONAL_HOLIDAYS = frozenset({(1, 26), (8, 15), (10, 2)})
GRACE_DAYS = 3
WATCH_AFTER = 30
DEFAULT_AFTER = 90
_SATURDAY = 5
_DAY = timedelta(days=1)


class Settlement(StrEnum):
    """When an accepted deal moves money: at once, or on the next working day (TReDS, T+1)."""

    INSTANT = "instant"
    T1 = "t1"


class Bucket(StrEnum):
    """How long a payment is overdue, in days past the due date, as it is reported."""

    CURRENT = "current"
    TO_30 = "1-30"
    TO_60 = "31-60"
    TO_90 = "61-90"
    OVER_90 = "90+"


@dataclass(frozen=True, slots=True)
class Calendar:
    """Saturdays, Sundays, the national holidays and `holidays` (other bank holidays) are not working days."""

    holidays: frozenset[date] = frozenset()

    def is_business_day(self, day: date) -> bool:
        """Whether banks work on this day."""
        return day.weekday() < _SATURDAY and (day.month, day.day) not in NATIONAL_HOLIDAYS and day not in self.holidays

    def on_or_after(self, day: date) -> date:
        """The day itself when it is a working day, else the next one."""
        while not self.is_business_day(day):
            day += _DAY
        return day

    def next_business_day(self, day: date) -> date:
        """The first working day after this day."""
        return self.on_or_after(day + _DAY)

    def add_business_days(self, day: date, count: int) -> date:
        """The working day that many working days after `day`; `count` is at least 0, and 0 is the day itself."""
        for _ in range(count):
            day = self.next_business_day(day)
        return day

    def due(self, due_date: date) -> date:
        """The due date, moved to the next working day when it is none. Days and default count from this date."""
        return self.on_or_after(due_date)

    def settlement_day(self, accepted: date, settlement: Settlement = Settlement.INSTANT) -> date:
        """The day on which the money of a deal accepted on this day moves: the same day, or the next working day."""
        return accepted if settlement is Settlement.INSTANT else self.next_business_day(accepted)

    def value_date(self, accepted: date, settlement: Settlement = Settlement.INSTANT) -> date:
        """The day from which a discount counts, not counted itself: the settlement day."""
        return self.settlement_day(accepted, settlement)

    def days(self, value_date: date, due_date: date) -> int:
        """Actual days, value date excluded, moved due date included; negative when that day is past."""
        return (self.due(due_date) - value_date).days

    def grace_end(self, due_date: date) -> date:
        """The last day of grace: three working days after the due date. The day after it, the payment is overdue."""
        return self.add_business_days(self.due(due_date), GRACE_DAYS)

    def watch_day(self, due_date: date) -> date:
        """The day from which an unpaid financing is watched: 30 days past due."""
        return self.due(due_date) + WATCH_AFTER * _DAY

    def default_day(self, due_date: date) -> date:
        """The day on which an unpaid financing defaults: 90 days past due."""
        return self.due(due_date) + DEFAULT_AFTER * _DAY

    def days_past_due(self, due_date: date, today: date) -> int:
        """Actual days since the moved due date; 0 on it and before it."""
        return max(0, (today - self.due(due_date)).days)

    def bucket(self, due_date: date, today: date) -> Bucket:
        """The reporting bucket of something unpaid; grace does not change it."""
        past = self.days_past_due(due_date, today)
        if past == 0:
            return Bucket.CURRENT
        if past <= 30:
            return Bucket.TO_30
        if past <= 60:
            return Bucket.TO_60
        return Bucket.TO_90 if past <= DEFAULT_AFTER else Bucket.OVER_90
