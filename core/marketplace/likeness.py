"""How alike two invoices are: the levels E1, E2 and N1 to N4 of marketplace rules 2.9. Pure.

The rule book's N2 and N4, taken by the letter, also catch honest habits: a standing order of the same amount has
the next number a week later, and one order of the buyer is delivered in many parts. These are told from copies by
their number, which stands where the supplier's series would have it on that day (core.marketplace.series). What that
costs in detection is measured by `ledgerwire risk duplicates`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date
from functools import lru_cache
from typing import Literal
from uuid import UUID

from core.marketplace.fingerprints import EWAY, ORDER, Fingerprints
from core.marketplace.series import Series

# N2 of the rule book: amounts within one percent, dates within thirty days, numbers one change apart.
AMOUNT_PERCENT = 1
DAYS = 30
NUMBER_CHANGES = 1
# The shortest habit that is told from an edit: a weekly one, moved by a holiday or two.
_HABIT_DAYS = 5
# So many numbers further is still the next one of a series that has other customers between.
_HABIT_STEP = 9
_FAR = NUMBER_CHANGES + 1
_LOOKALIKES = str.maketrans("OQDILZSGB", "000112568")
_ONLY_LOOKALIKES = re.compile(r"[OQDILZSGB]+")


@dataclass(frozen=True, slots=True, kw_only=True)
class Hit:
    """One likeness: it stops the financing, or sends it to an operator's review.

    `code` is the risk feature (D1 exact, D2 near), `other` the financing it is like.
    """

    level: str
    code: str
    kind: Literal["stop", "review"]
    sentence: str
    other: UUID | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Sighting:
    """An invoice that was or would be financed: its fingerprints, and what likeness is measured in."""

    prints: Fingerprints
    amount: int
    currency: str
    issued: date
    id: UUID | None = None


def _edits(one: str, two: str) -> int:
    """Optimal string alignment: insertions, deletions, changes and swaps of neighbours, counted up to `_FAR`."""
    if one == two:
        return 0
    if abs(len(one) - len(two)) >= _FAR:
        return _FAR
    before: list[int] = []
    last = list(range(len(two) + 1))
    for row, left in enumerate(one, start=1):
        now = [row]
        for column, right in enumerate(two, start=1):
            cost = min(last[column] + 1, now[-1] + 1, last[column - 1] + (left != right))
            if row > 1 and column > 1 and left == two[column - 2] and one[row - 2] == right:
                cost = min(cost, before[column - 2] + 1)
            now.append(cost)
        before, last = last, now
    return min(last[-1], _FAR)


def _aligned(one: list[str], two: list[str]) -> int:
    """The same over groups: a group more or less is one change, two groups differ by their characters' edits."""
    last = list(range(len(two) + 1))
    for row, left in enumerate(one, start=1):
        now = [row]
        for column, right in enumerate(two, start=1):
            now.append(min(last[column] + 1, now[-1] + 1, last[column - 1] + _edits(left, right)))
        last = now
    return min(last[-1], _FAR)


def _as_read(groups: list[str]) -> list[str]:
    """The groups as a scanner reads them that takes O for 0 and I for 1: such letters join the digits beside them."""
    found: list[str] = []
    was_letters = False
    for group in groups:
        read = group.translate(_LOOKALIKES) if _ONLY_LOOKALIKES.fullmatch(group) else group
        is_letters = read != group
        if found and found[-1].isdigit() and read.isdigit() and (is_letters or was_letters):
            found[-1] += read
        else:
            found.append(read)
        was_letters = is_letters
    return [(group.lstrip("0") or "0") if group.isdigit() else group for group in found]


@lru_cache(maxsize=8192)
def number_distance(one: str, two: str) -> int:
    """How many changes lie between two numbers in normal form, counted up to 2.

    >>> number_distance("INV·42", "INV·42·A"), number_distance("2026·27·42", "2026·2·742")
    (1, 2)
    """
    if one == two:
        return 0
    left, right = one.split("·"), two.split("·")
    found = _aligned(left, right)
    return found if found <= 1 else min(found, _aligned(_as_read(left), _as_read(right)))


def _shared(one: Sighting, two: Sighting, level: str) -> bool:
    """Whether two invoices have a token of a level in common, under whichever names their parties were known."""
    return getattr(one.prints, level) in two.prints.tokens or getattr(two.prints, level) in one.prints.tokens


def _same_amount(one: Sighting, two: Sighting) -> bool:
    return (
        one.currency == two.currency
        and abs(one.amount - two.amount) * 100 <= max(one.amount, two.amount) * AMOUNT_PERCENT
    )


def _is_next(one: Sighting, two: Sighting, series: Series) -> bool:
    """Whether the younger of two invoices is another one of the same series, and no copy of the elder."""
    first, second = sorted((one, two), key=lambda sighting: sighting.issued)
    if first.issued == second.issued:
        return False
    left, right = first.prints.number_groups.split("·"), second.prints.number_groups.split("·")
    moved = [place for place, (old, new) in enumerate(zip(left, right, strict=False)) if old != new]
    if len(left) != len(right) or len(moved) != 1:
        return False
    place = moved[0]
    if not left[place].isdecimal() or not right[place].isdecimal() or int(left[place]) >= int(right[place]):
        return False
    expected = series.expects(second.prints.number_groups, place, second.issued)
    if expected is None:
        # Nothing is known of the series: days apart, and a little higher, is what a weekly order looks like.
        return (second.issued - first.issued).days >= _HABIT_DAYS and int(right[place]) - int(
            left[place]
        ) <= _HABIT_STEP
    return expected


def _near_number(mine: Sighting, other: Sighting, series: Series) -> bool:
    if not _shared(mine, other, "pair") or not _same_amount(mine, other):
        return False
    if abs((mine.issued - other.issued).days) > DAYS:
        return False
    if number_distance(mine.prints.number_groups, other.prints.number_groups) > NUMBER_CHANGES:
        return False
    return not _is_next(mine, other, series)


def _percent(mine: Sighting, other: Sighting) -> str:
    hundredths = abs(mine.amount - other.amount) * 10_000 // max(mine.amount, other.amount, 1)
    return f"{hundredths // 100}.{hundredths % 100:02d} %"


def _days(count: int) -> str:
    return "1 day" if count == 1 else f"{count} days"


def _exact(mine: Sighting, other: Sighting) -> Iterable[tuple[str, str]]:
    if _shared(mine, other, "e1"):
        yield "E1", "An invoice of the same supplier, year, kind and number is in another financing."
    if _shared(mine, other, "e2"):
        yield "E2", "An invoice between the same two parties with the same number is in another financing this year."


def _near(mine: Sighting, other: Sighting, series: Series) -> Iterable[tuple[str, str]]:
    if _shared(mine, other, "n1"):
        yield "N1", "Another invoice between the same two parties has the same amount and the same date."
    if _near_number(mine, other, series):
        apart = abs((mine.issued - other.issued).days)
        sentence = (
            f"Number {mine.prints.number_groups} is at most one change away from {other.prints.number_groups} of the "
            f"same two parties; the amounts differ by {_percent(mine, other)}, the dates by {_days(apart)}."
        )
        yield "N2", sentence
    if set(mine.prints.file_hashes) & set(other.prints.file_hashes):
        yield "N3", "The same file was handed in with another invoice."
    shared = set(mine.prints.references) & set(other.prints.references)
    if any(reference.startswith(EWAY) for reference in shared):
        yield "N4", "The same e-way bill was given with another invoice."
    elif _again_for(mine, other, shared, series):
        yield "N4", "The same order of the buyer was given with another invoice of the same amount."


def _again_for(mine: Sighting, other: Sighting, shared: set[str], series: Series) -> bool:
    """Whether an order is invoiced a second time: for the same amount, and not as a further part in its turn."""
    named = any(reference.startswith(ORDER) for reference in shared)
    return named and _same_amount(mine, other) and not _is_next(mine, other, series)


def compare(mine: Sighting, other: Sighting, series: Series = Series()) -> list[Hit]:  # noqa: B008 - it is frozen.
    """In which ways two invoices are alike. An exact likeness says all: near ones are then left out.

    `series` holds the supplier's other invoices, by which an honest next number is known.
    """
    exact = [
        Hit(level=level, code="D1", kind="stop", sentence=sentence, other=other.id)
        for level, sentence in _exact(mine, other)
    ]
    return exact or [
        Hit(level=level, code="D2", kind="review", sentence=sentence, other=other.id)
        for level, sentence in _near(mine, other, series)
    ]
