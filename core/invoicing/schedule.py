"""The days of something that recurs. Pure.

Occurrences are counted from 0, and each is computed from the first day and its own number: what begins on a 31st
comes on the last day of a shorter month and on the 31st again after it, and 29 February likewise.
"""

from __future__ import annotations

from calendar import monthrange
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Final, Literal, get_args

Frequency = Literal["day", "week", "month", "quarter", "year"]
FREQUENCIES: Final[tuple[Frequency, ...]] = get_args(Frequency)
MAX_EVERY: Final = 366
_DAYS: Final = {"day": 1, "week": 7}
_MONTHS: Final = {"month": 1, "quarter": 3, "year": 12}
_LAST_YEAR = 2199


@dataclass(frozen=True, slots=True, kw_only=True)
class Schedule:
    """Every so many days, weeks, months, quarters or years from a day on, until a day or so often; or without end."""

    frequency: Frequency
    every: int
    starts_on: date
    ends_on: date | None = None
    most_runs: int | None = None

    def day(self, occurrence: int) -> date | None:
        """The day of an occurrence; None where it lies behind the end, or behind the calendar of the books.

        How often it was made is not known here: `most_runs` is for whoever counts the runs.
        """
        steps = occurrence * self.every
        if self.frequency in _DAYS:
            ahead = steps * _DAYS[self.frequency]
            if ahead > (date(_LAST_YEAR, 12, 31) - self.starts_on).days:
                return None
            found = self.starts_on + timedelta(days=ahead)
        else:
            months = self.starts_on.year * 12 + self.starts_on.month - 1 + steps * _MONTHS[self.frequency]
            year, month = months // 12, months % 12 + 1
            if year > _LAST_YEAR:
                return None
            found = date(year, month, min(self.starts_on.day, monthrange(year, month)[1]))
        return None if self.ends_on is not None and found > self.ends_on else found

    def first_from(self, day: date) -> int:
        """The number of the first occurrence on a day or after it, whether or not that is before the end."""
        if day <= self.starts_on:
            return 0
        # A first guess that is never too far; days of a month that are cut short make it at most a few short.
        longest = _DAYS[self.frequency] if self.frequency in _DAYS else _MONTHS[self.frequency] * 31
        guess = max(0, (day - self.starts_on).days // (longest * self.every))
        unending = Schedule(frequency=self.frequency, every=self.every, starts_on=self.starts_on)
        while (found := unending.day(guess)) is not None and found < day:
            guess += 1
        return guess

    def ahead(self, occurrence: int, runs: int, count: int) -> Iterator[date]:
        """The days of up to `count` occurrences from one on, when `runs` were made already."""
        most = count if self.most_runs is None else min(count, self.most_runs - runs)
        for place in range(occurrence, occurrence + max(0, most)):
            found = self.day(place)
            if found is None:
                return
            yield found
