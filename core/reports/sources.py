"""What figures are made of: rows, their measures in the home currency, and sums of them.

A figure and the list of rows behind it are read from one `Source`, converted row by row, so that the rows add up to
the figure to the last minor unit. What has no exchange rate on its day is in neither; it is listed apart.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date
from typing import Any
from urllib.parse import quote
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.orm import Session

from core.bulk import Rows as Columns
from core.invoicing import rates
from core.money import exponent
from core.reports.shape import Rows

_RATES = Columns(currency="text", day="date", factor="numeric")


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """Rows of a report.

    `sql` yields kind (invoice, credit_note, payment, payout, transaction), id, label, contact_id, day, currency,
    rate_day (the day whose exchange rate counts), the columns of `parts`, by which rows are told apart, and those of
    `measures`, minor units in `currency`; `counts` are measures that are no money. It reads the parameters of `values`
    and :home.
    """

    sql: str
    values: Mapping[str, object]
    parts: tuple[str, ...]
    measures: tuple[str, ...]
    counts: tuple[str, ...] = ("many",)
    # Yields currency and rate_day of what is in another currency, where that is read faster than the rows themselves.
    foreign: str = ""
    # Yields the same sums by day from fewer rows, without ids and labels; `many` are those whose measures are not 0.
    # `sql` of such a source reads :oldest, and yields nothing before that day.
    added: str = ""
    # Whether a document has several rows, one a line.
    lines: bool = False


@dataclass(slots=True)
class Sums:
    """Sums by key in the home currency, and by currency what could not be converted. Minor units."""

    by_key: dict[tuple[Any, ...], Counter[str]] = field(default_factory=dict)
    apart: dict[str, int] = field(default_factory=dict)

    def total(self, measure: str) -> int:
        """One measure over all keys."""
        return sum(one[measure] for one in self.by_key.values())

    def of(self, *key: Any) -> Counter[str]:
        """The sums of a key."""
        return self.by_key.get(key, Counter())


def part(**parts: object) -> str:
    """How the rows of a part are asked for: `part(age=4, customer=…)` is "age=4;customer=…"; values are URL-quoted."""
    return ";".join(f"{name}={quote('' if value is None else str(value), safe='')}" for name, value in parts.items())


def behind(measure: str, since: date | None = None, until: date | None = None, **parts: object) -> Rows:
    """The rows behind a figure of a report: their measure, and of which part."""
    filters = {"measure": measure, "part": part(**parts)}
    if since is not None and until is not None:
        filters |= {"since": since.isoformat(), "until": until.isoformat()}
    return Rows("rows", {name: value for name, value in filters.items() if value})


OTHER = (
    "CASE WHEN currency <> :home THEN currency END AS other, CASE WHEN currency <> :home THEN rate_day END AS other_day"
)


def converted(
    session: Session, user_id: UUID, home: str, source: Source, others: Collection[tuple[str, date]] | None = None
) -> tuple[str, dict[str, Any]]:
    """The source with `factor`, by which its amounts become money at home, and the values it needs.

    `others` are the currencies and days that need one, where they are known already.
    """
    values: dict[str, Any] = {**source.values, "home": home, "user": user_id}
    if others is None:
        foreign = source.foreign or source.sql
        rows = session.execute(
            text(f"SELECT DISTINCT currency, rate_day FROM ({foreign}) AS lines WHERE currency <> :home"), values
        )
        others = {(row.currency, row.rate_day) for row in rows}
    known = rates.rates_on(session, user_id, home, others) if others else {}
    found = [
        {"currency": currency, "day": day, "factor": rate.scaleb(exponent(home) - exponent(currency))}
        for (currency, day), rate in sorted(known.items())
    ]
    sql = (
        "SELECT lines.*, CASE WHEN lines.currency = :home THEN 1 ELSE known.factor END AS factor "
        f"FROM ({source.sql}) AS lines LEFT JOIN {_RATES.source('known')} "
        "ON known.currency = lines.currency AND known.day = lines.rate_day"
    )
    return sql, {**values, **_RATES.parameters(found)}


def at_home(measure: str) -> str:
    """SQL: a measure of `converted` rows as money at home; NULL where no rate is known."""
    return f"CASE WHEN currency = :home THEN {measure}::bigint ELSE round({measure} * factor)::bigint END"


def measured(measure: str, source: Source) -> str:
    """SQL: the same, or a count as it is."""
    return measure if measure in source.counts else at_home(measure)


def sums(session: Session, user_id: UUID, home: str, source: Source, by: tuple[str, ...], *, main: str) -> Sums:
    """Add up all measures of a source by the columns `by`. What has no rate is apart, by its `main` measure.

    Most sellers have one currency: they are added up in one pass, and only what needs rates in a second one.
    """
    names, keys = (*source.measures, *source.counts), ", ".join(by)
    added = ", ".join(f"coalesce(sum({name}), 0) AS {name}" for name in names)
    values = {**source.values, "home": home, "user": user_id}
    rows = session.execute(
        text(
            f"SELECT {keys}, {OTHER}, {added} FROM ({source.added or source.sql}) AS lines "
            f"GROUP BY {keys}, other, other_day"
        ),
        values,
    ).all()
    found = Sums()
    _add(found, (row for row in rows if row.other is None), by, names)
    others = {(row.other, row.other_day) for row in rows if row.other is not None}
    if others:
        sql, values = converted(session, user_id, home, source, others)
        added = ", ".join(f"coalesce(sum({measured(name, source)}), 0) AS {name}" for name in names)
        where = "WHERE currency <> :home AND factor IS NOT NULL"
        more = text(f"SELECT {keys}, {added} FROM ({sql}) AS lines {where} GROUP BY {keys}")
        _add(found, session.execute(more, values), by, names)
        known = rates.rates_on(session, user_id, home, others)
        for row in rows:
            if row.other is not None and (row.other, row.other_day) not in known:
                found.apart[row.other] = found.apart.get(row.other, 0) + int(getattr(row, main))
    return found


def _add(found: Sums, rows: Iterable[Any], by: tuple[str, ...], names: tuple[str, ...]) -> None:
    for row in rows:
        sums = found.by_key.setdefault(tuple(getattr(row, name) for name in by), Counter())
        for name in names:
            sums[name] += _whole(getattr(row, name))


def _whole(value: Any) -> Any:
    """Sums of money come as numeric; quantities stay so."""
    return int(value) if value == int(value) else value
