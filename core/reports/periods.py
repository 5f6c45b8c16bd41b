"""The days a report is about."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from types import MappingProxyType

from core.errors import Invalid

NAMES: Mapping[str, str] = MappingProxyType(
    {
        "last_12_months": "Last 12 months",
        "this_month": "This month",
        "last_month": "Last month",
        "this_quarter": "This quarter",
        "last_quarter": "Last quarter",
        "this_year": "This year",
        "financial_year": "Financial year",
        "last_financial_year": "Last financial year",
    }
)
# Ten years and a leap day or three: more is a mistake.
MOST_DAYS = 3_660
_YEARS = range(1990, 2200)


@dataclass(frozen=True, slots=True)
class Period:
    """From the first day to the last, both included."""

    since: date
    until: date
    name: str | None = None

    @property
    def days(self) -> int:
        """How many days it has."""
        return (self.until - self.since).days + 1

    def before(self) -> Period:
        """As many months before it, to the same day of the month, where it begins with one; else as many days."""
        if self.since.day != 1:
            return Period(self.since - timedelta(days=self.days), self.since - timedelta(days=1))
        months = (self.until.year - self.since.year) * 12 + self.until.month - self.since.month + 1
        last = month_of(self.until, 1 - months) - timedelta(days=1)
        ends_month = (self.until + timedelta(days=1)).day == 1
        until = last if ends_month else last.replace(day=min(last.day, self.until.day))
        return Period(month_of(self.since, -months), until)


def month_of(day: date, months: int = 0) -> date:
    """The first day of a day's month, or of one so many months later."""
    place = day.year * 12 + day.month - 1 + months
    return date(place // 12, place % 12 + 1, 1)


def period(name: str | None, since: date | None, until: date | None, today: date) -> Period:
    """The period of a name, or between two days; of neither the last twelve months. Raises Invalid."""
    if since is not None or until is not None:
        return _between(since, until, today)
    if name is not None and name not in NAMES:
        raise Invalid("period", f"must be one of {', '.join(NAMES)}")
    month = month_of(today)
    quarter = month_of(today, -((today.month - 1) % 3))
    year = date(today.year if today.month >= 4 else today.year - 1, 4, 1)
    spans: dict[str, tuple[date, date]] = {
        "last_12_months": (month_of(today, -11), today),
        "this_month": (month, today),
        "last_month": (month_of(month, -1), month - timedelta(days=1)),
        "this_quarter": (quarter, today),
        "last_quarter": (month_of(quarter, -3), quarter - timedelta(days=1)),
        "this_year": (date(today.year, 1, 1), today),
        "financial_year": (year, today),
        "last_financial_year": (month_of(year, -12), year - timedelta(days=1)),
    }
    chosen = name or "last_12_months"
    return Period(*spans[chosen], name=chosen)


def _between(since: date | None, until: date | None, today: date) -> Period:
    last = until or today
    first = since or month_of(last, -11)
    for field, day in (("since", first), ("until", last)):
        if day.year not in _YEARS:
            raise Invalid(field, f"must lie in {_YEARS.start} to {_YEARS.stop - 1}")
    if last < first:
        raise Invalid("until", "must not be before the first day")
    if (last - first).days >= MOST_DAYS:
        raise Invalid("since", f"must be at most {MOST_DAYS} days before the last day")
    return Period(first, last)
