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
from urllib.parse import quote, unquote
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.orm import Session

from core import paging
from core.bulk import Rows as Columns
from core.errors import Invalid
from core.invoicing import rates
from core.money import exponent
from core.reports.shape import Rows

_RATES = Columns(currency="text", day="date", factor="numeric")
# A row of a list is asked for by what it is part of: so many of these.
MAX_PART = 400


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


_OTHER = (
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


def _measured(measure: str, source: Source) -> str:
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
            f"SELECT {keys}, {_OTHER}, {added} FROM ({source.added or source.sql}) AS lines "
            f"GROUP BY {keys}, other, other_day"
        ),
        values,
    ).all()
    found = Sums()
    _add(found, (row for row in rows if row.other is None), by, names)
    others = {(row.other, row.other_day) for row in rows if row.other is not None}
    if others:
        sql, values = converted(session, user_id, home, source, others)
        added = ", ".join(f"coalesce(sum({_measured(name, source)}), 0) AS {name}" for name in names)
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


def _asked(source: Source, spelled: str) -> tuple[list[str], dict[str, str]]:
    """Conditions for a part. Raises Invalid."""
    conditions, values = [], {}
    if len(spelled) > MAX_PART:
        raise Invalid("part", f"must have at most {MAX_PART} characters")
    for place, one in enumerate(spelled.split(";") if spelled else []):
        name, equals, value = one.partition("=")
        # No text in the database has a NUL.
        if name not in source.parts or not equals or "\x00" in unquote(value):
            raise Invalid("part", f"must be name=value pairs of {', '.join(source.parts)}, with ; between them")
        conditions.append(f"coalesce({name}::text, '') = :part_{place}")
        values[f"part_{place}"] = unquote(value)
    return conditions, values


def _whole_of(
    session: Session,
    user_id: UUID,
    home: str,
    source: Source,
    chosen: str,
    conditions: list[str],
    asked: dict[str, str],
) -> tuple[list[tuple[date, int, int]], set[tuple[str, date]]]:
    """What rows come to and how many there are, and which other currencies on which days are among them.

    Where the source is added up by day, by day. Most sellers have one currency: theirs is read in this one pass.
    """
    where = " AND ".join([f"{chosen} <> 0", *conditions])
    by_day = source.added and chosen in source.measures
    read, day, many = (source.added, "day", "sum(many)") if by_day else (source.sql, "DATE '0001-01-01'", "count(*)")
    inner = f"SELECT {day} AS day, currency, rate_day, {chosen} AS amount, many FROM ({read}) AS lines WHERE {where}"
    if source.lines:
        inner = (
            f"SELECT {day} AS day, currency, rate_day, sum({chosen}) AS amount FROM ({read}) AS lines WHERE {where} "
            f"GROUP BY kind, id, currency, rate_day HAVING sum({chosen}) <> 0"
        )
    found = session.execute(
        text(
            f"SELECT day, {_OTHER}, sum(amount)::bigint AS total, {many}::bigint AS many FROM ({inner}) AS lines "
            "GROUP BY day, other, other_day"
        ),
        {**source.values, **asked, "home": home, "user": user_id},
    ).all()
    others = {(row.other, row.other_day) for row in found if row.other is not None}
    return [(row.day, row.total, row.many) for row in found if row.other is None], others


def _oldest(whole: list[tuple[date, int, int]], after: date | None, enough: int) -> date:
    """The day from which on there are enough rows for a page that begins after a day; of that day nothing is known."""
    for day, _, many in sorted(whole, reverse=True):
        if after is None or day < after:
            enough -= many
            if enough <= 0:
                return day
    return date.min


def rows(
    session: Session,
    user_id: UUID,
    home: str,
    source: Source,
    *,
    measure: str | None = None,
    part: str = "",
    limit: int = 50,
    cursor: str | None = None,
) -> dict[str, Any]:
    """The rows behind a figure, newest first, with what they come to at home: {items, next_cursor, total, count}.

    Rows whose money has no rate, or that add nothing, are not among them. Raises Invalid.
    """
    measures = (*source.measures, *source.counts)
    chosen = measure or measures[0]
    if chosen not in measures:
        raise Invalid("measure", f"must be one of {', '.join(measures)}")
    limit = paging.check_limit(limit)
    conditions, asked = _asked(source, part)
    whole, others = _whole_of(session, user_id, home, source, chosen, conditions, asked)
    sql, values = source.sql, {**source.values, "home": home, "user": user_id}
    home_amount = chosen
    if others:
        sql, values = converted(session, user_id, home, source, others)
        home_amount, conditions = _measured(chosen, source), ["factor IS NOT NULL", *conditions]
    values |= asked
    where = " AND ".join([f"{chosen} <> 0", *conditions])
    columns = "kind, id, label, contact_id, day, currency"
    inner = f"SELECT {columns}, {chosen} AS amount, {home_amount} AS home_amount FROM ({sql}) AS lines WHERE {where}"
    if source.lines:
        # A document stands there once, with all its lines that are of the part.
        inner = (
            f"SELECT {columns}, sum(amount) AS amount, sum(home_amount) AS home_amount FROM ({inner}) AS lines "
            f"GROUP BY {columns} HAVING sum(amount) <> 0"
        )
    if others:
        both = text(f"SELECT coalesce(sum(home_amount), 0)::bigint AS total, count(*) AS many FROM ({inner}) AS lines")
        total, many = session.execute(both, values).one()
        whole = [(date.min, total, many)]
    after, day = "", ""
    if cursor:
        _, day, identity = paging.after_key(cursor)
        after = "WHERE (day, id) < (CAST(:after_day AS date), CAST(:after_id AS uuid)) "
        values |= {"after_day": _day(day), "after_id": identity}
    if source.added and not others:
        values["oldest"] = _oldest(whole, _day(day) if cursor else None, limit + 1)
    page = session.execute(
        text(
            f"SELECT page.*, contacts.name AS who FROM (SELECT * FROM ({inner}) AS lines {after}"
            "ORDER BY day DESC, id DESC LIMIT :limit) AS page "
            "LEFT JOIN contacts ON contacts.id = page.contact_id ORDER BY day DESC, page.id DESC"
        ),
        {**values, "limit": limit + 1},
    ).all()
    found = paging.page_by_key(list(page), limit, _item, lambda row: ("rows", row.day.isoformat(), row.id))
    return {
        **found,
        "total": sum(total for _, total, _ in whole),
        "count": sum(many for _, _, many in whole),
        "measure": chosen,
        "home": home,
        "kind": "number" if chosen in source.counts else "money",
    }


def _day(spelled: str) -> date:
    try:
        return date.fromisoformat(spelled)
    except ValueError as error:
        raise Invalid("cursor", "is not one that this list gave out") from error


def _item(row: Any) -> dict[str, Any]:
    return {
        "kind": row.kind,
        "id": str(row.id),
        "label": row.label or "",
        "who": row.who or "",
        "day": row.day,
        "currency": row.currency,
        "amount": int(row.amount),
        "home_amount": int(row.home_amount),
    }
