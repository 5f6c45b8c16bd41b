"""Sums in a seller's home currency. What has no rate is kept apart, never added."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar
from uuid import UUID

from sqlalchemy.orm import Session

from core.invoicing import rates

Key = TypeVar("Key", bound=Hashable)


@dataclass(slots=True)
class Summed:
    """Sums by key in the home currency, and by currency what could not be converted. Minor units."""

    by_key: dict[Any, Counter[str]] = field(default_factory=dict)
    apart: Counter[str] = field(default_factory=Counter)

    def of(self, key: Hashable) -> Mapping[str, int]:
        """The sums of a key."""
        return self.by_key.get(key, Counter())

    def total(self, name: str) -> int:
        """One sum over all keys."""
        return sum(one[name] for one in self.by_key.values())


def summed(
    session: Session,
    user_id: UUID,
    home: str,
    rows: Iterable[Any],
    names: tuple[str, ...],
    *,
    key: Callable[[Any], Hashable],
    main: str,
    counts: tuple[str, ...] = (),
) -> Summed:
    """Add up the columns `names` of rows that have a currency and a day, converted by the rate of that day.

    `main` is the column whose amount is listed apart where there is no rate. `counts` are added up as they are.
    """
    listed = list(rows)
    known = rates.rates_on(session, user_id, home, {(row.currency, row.day) for row in listed})
    found = Summed()
    for row in listed:
        rate = known.get((row.currency, row.day))
        if rate is None:
            found.apart[row.currency] += getattr(row, main)
            continue
        sums = found.by_key.setdefault(key(row), Counter())
        for name in counts:
            sums[name] += getattr(row, name)
        for name in names:
            amount = int(getattr(row, name) or 0)
            sums[name] += amount if row.currency == home else rates.convert(amount, row.currency, home, rate)
    return found


def day_of(expression: str, today: str = "CAST(:today AS date)") -> str:
    """SQL: the day by whose rate a row is converted; one and the same for all that need none, so that they group."""
    return f"CASE WHEN currency = :home THEN {today} ELSE {expression} END"
