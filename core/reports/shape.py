"""What a report is: figures, a picture, and tables whose rows say which invoices or payments they are made of."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date
from typing import Any, Literal

Kind = Literal["text", "money", "number", "percent", "date", "days"]
Of = Literal["rows", "invoices", "credit_notes"]


@dataclass(frozen=True, slots=True)
class Rows:
    """Where the rows behind a figure are: the report's own list, or one document; filters as the API has them."""

    of: Of
    filters: dict[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """One figure. Money is minor units in `currency`; a percentage is in per cent, with a decimal place or two."""

    label: str
    kind: Kind
    value: int | str | None
    note: str = ""
    currency: str | None = None
    rows: Rows | None = None
    # The same of the period before, where it was asked for.
    before: int | str | None = None


@dataclass(frozen=True, slots=True)
class Point:
    """One bar of a picture, in minor units or days, and the rows behind it; `late` ones are shown as a warning."""

    label: str
    amount: int
    late: bool = False
    rows: Rows | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Picture:
    """A picture, and what it shows in words. Amounts are money, or days."""

    label: str
    kind: Literal["money", "days", "number"]
    points: list[Point]


@dataclass(frozen=True, slots=True)
class Column:
    """A column and what its cells are. Money is minor units in the row's currency."""

    head: str
    kind: Kind = "text"


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """Cells in the order of the columns, the currency of those that are money, and the rows behind it.

    `column` is the cell that the rows behind it add up to; None where they add up to none.
    """

    cells: tuple[Any, ...]
    currency: str
    rows: Rows | None = None
    column: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """A table. `more` says how many rows there are beyond those that are here."""

    name: str
    title: str
    columns: tuple[Column, ...]
    rows: list[Row]
    note: str = ""
    more: int = 0


@dataclass(slots=True, kw_only=True)
class Report:
    """A report of one seller. `how` says how it is worked out; `apart` is money of which no rate is known."""

    name: str
    title: str
    how: str
    home: str
    since: date | None
    until: date
    figures: list[Figure] = field(default_factory=list)
    picture: Picture | None = None
    before: tuple[date, date] | None = None
    tables: list[Table] = field(default_factory=list)
    apart: dict[str, int] = field(default_factory=dict)

    @property
    def empty(self) -> bool:
        """Whether there is nothing to show."""
        return not any(table.rows for table in self.tables)


def percent(part: int, whole: int) -> str | None:
    """A share in per cent with two decimal places, as text; None of nothing."""
    if not whole:
        return None
    hundredths = (abs(part) * 10_000 * 2 + abs(whole)) // (2 * abs(whole))
    sign = "-" if (part < 0) != (whole < 0) and hundredths else ""
    return f"{sign}{hundredths // 100}.{hundredths % 100:02d}"
