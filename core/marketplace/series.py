"""Whether an invoice's number stands where its supplier's series would have it on that day. Pure.

A copy with a digit changed lands anywhere in the series; the next invoice of a standing order lands behind the
last one, as far as the supplier usually comes in that time.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta

# How far back a series is looked at.
SERIES_DAYS = 120
# What is known of a series must be this much before it says anything.
_ENOUGH = 4
# The pace is that of the newest numbers.
_RECENT = 30
# So many times the usual pace is still usual, and so many numbers are nothing anyway.
_HASTE = 3
_SLACK = 9
# The number and the date of an invoice may be given a day apart.
_SLACK_DAYS = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Series:
    """The numbers, in normal form, and the dates of a supplier's other invoices."""

    points: Sequence[tuple[str, date]] = ()

    def expects(self, number: str, place: int, issued: date) -> bool | None:
        """Whether the series would give this number on this day. `place` is the group that counts up.

        None when too little is known of it.
        """
        groups = number.split("·")
        counted = int(groups[place])
        known = sorted(
            (int(theirs[place]), day)
            for text, day in self.points
            if len(theirs := text.split("·")) == len(groups)
            and theirs[place].isdecimal()
            and theirs[:place] == groups[:place]
            and theirs[place + 1 :] == groups[place + 1 :]
        )
        if len(known) < _ENOUGH:
            return None
        below = [point for point in known if point[0] < counted]
        above = [point for point in known if point[0] > counted]
        if len(below) + len(above) < len(known) or not below:
            return False
        if above and above[0][1] < issued - _SLACK_DAYS:
            return False
        return below[-1][1] <= issued + _SLACK_DAYS and _within_reach(below, counted, issued)


def _within_reach(below: list[tuple[int, date]], counted: int, issued: date) -> bool:
    """Whether so many numbers may have been given out since the last one."""
    recent = below[-_RECENT:]
    (first, began), (last, ended) = recent[0], recent[-1]
    days = max((issued - ended).days, 1)
    return (counted - last) * max((ended - began).days, 1) <= _HASTE * days * (last - first) + _SLACK * max(
        (ended - began).days, 1
    )
