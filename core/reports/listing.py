"""The rows behind a figure, a page at a time, with what they come to."""

from __future__ import annotations

from datetime import date
from typing import Any
from urllib.parse import unquote
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.orm import Session

from core import paging
from core.errors import Invalid
from core.reports.sources import OTHER, Source, converted, measured

# A row of a list is asked for by what it is part of: so many of these.
MAX_PART = 400


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
            f"SELECT day, {OTHER}, sum(amount)::bigint AS total, {many}::bigint AS many FROM ({inner}) AS lines "
            "GROUP BY day, other, other_day"
        ),
        {**source.values, **asked, "home": home, "user": user_id},
    ).all()
    others = {(row.other, row.other_day) for row in found if row.other is not None}
    return [(row.day, row.total, row.many) for row in found if row.other is None], others


def _inner(
    session: Session,
    user_id: UUID,
    home: str,
    source: Source,
    chosen: str,
    conditions: list[str],
    others: set[tuple[str, date]],
) -> tuple[str, dict[str, Any]]:
    """The rows themselves, each with its amount at home; those in other currencies as far as a rate is known."""
    sql, values = source.sql, {**source.values, "home": home, "user": user_id}
    home_amount = chosen
    if others:
        sql, values = converted(session, user_id, home, source, others)
        home_amount, conditions = measured(chosen, source), ["factor IS NOT NULL", *conditions]
    where = " AND ".join([f"{chosen} <> 0", *conditions])
    columns = "kind, id, label, contact_id, day, currency"
    inner = f"SELECT {columns}, {chosen} AS amount, {home_amount} AS home_amount FROM ({sql}) AS lines WHERE {where}"
    if source.lines:
        # A document stands there once, with all its lines that are of the part.
        inner = (
            f"SELECT {columns}, sum(amount) AS amount, sum(home_amount) AS home_amount FROM ({inner}) AS lines "
            f"GROUP BY {columns} HAVING sum(amount) <> 0"
        )
    return inner, values


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
    inner, values = _inner(session, user_id, home, source, chosen, conditions, others)
    values |= asked
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
