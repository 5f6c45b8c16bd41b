"""Months whose GSTR-1 was filed: what was filed of each document, and what has to be corrected since.

A document's facts are what the return says of it: number, date, GSTIN, place of supply, value, and its lines by
section, rate and HSN, unsigned, in minor units at home. They are kept when a month is marked as filed. What changes
afterwards, or comes into a filed month, is noted by triggers (migration 0023) and belongs in the next return.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any, Final
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.orm import Session

from core import audit
from core.bulk import Rows
from core.errors import Conflict, Forbidden, Invalid
from core.identity import Actor, Role
from core.invoicing import profiles, rates
from core.reports import gst
from core.reports.periods import month_of
from core.reports.sources import Source, at_home, converted

Facts = Mapping[str, Any]
_KEPT: Final = Rows(document_id="uuid", facts="jsonb", was="jsonb")
FIRST_MONTH: Final = date(2017, 7, 1)


class MonthNotOver(Conflict):
    """A return is filed after its month."""

    code = "month_not_over"


class MonthsOutOfOrder(Conflict):
    """Months are filed one after the other, and the newest is reopened first."""

    code = "months_out_of_order"


@dataclass(frozen=True, slots=True, kw_only=True)
class Correction:
    """A document that was filed otherwise, or not at all (`was` None); `now` None: it was taken back since."""

    document_id: UUID
    month: date
    was: Facts | None
    now: Facts | None


# A document has one set of facts; its lines are grouped as the return groups them.
_FACTS = (
    "SELECT kind, id, jsonb_build_object('kind', kind, 'id', id, 'number', label, 'day', day, 'gstin', gstin, "
    "'place', place, 'supply', supply, 'reverse_charge', reverse_charge, 'charged', charged, 'buyers', buyers, "
    "'belongs', belongs, 'original', original, 'value', value, 'lines', "
    "jsonb_agg(jsonb_build_object('section', section, 'rate', rate, 'hsn', hsn, 'unit', unit, 'quantity', quantity, "
    "'taxable', taxable, 'cgst', cgst, 'sgst', sgst, 'igst', igst) ORDER BY section, rate, hsn, unit)) AS facts "
    "FROM (SELECT kind, id, label, day, gstin, place, supply, reverse_charge, charged, buyers, belongs, original, "
    f"{at_home('value')} AS value, section, rate, hsn, unit, trim_scale(abs(sum(quantity)))::text AS quantity, "
    + ", ".join(f"abs(sum({at_home(f'net_{name}')})) AS {name}" for name in gst.MEASURES)
    + " FROM ({lines}) AS line WHERE section <> 'plain' AND factor IS NOT NULL "
    "GROUP BY kind, id, label, day, gstin, place, supply, reverse_charge, charged, buyers, belongs, original, "
    f"{at_home('value')}, section, rate, hsn, unit) AS grouped "
    "GROUP BY kind, id, label, day, gstin, place, supply, reverse_charge, charged, buyers, belongs, original, value"
)
_MONTHS = text(
    "SELECT month, filed_at, (SELECT count(*) FROM tax_filed AS filed WHERE filed.user_id = months.user_id "
    "AND filed.month = months.month) AS documents FROM tax_months AS months "
    "WHERE user_id = :user ORDER BY month DESC LIMIT 120"
)
_CHANGED = text("SELECT document_id FROM tax_changed WHERE user_id = :user ORDER BY document_id")
_LAST = text(
    "SELECT DISTINCT ON (document_id) document_id, month, facts FROM tax_filed "
    "WHERE document_id = ANY(:documents) AND month < :month ORDER BY document_id, month DESC"
)
_FILED = text("SELECT document_id, facts, was FROM tax_filed WHERE user_id = :user AND month = :month")


def last_day(month: date) -> date:
    """The last day of a month that is named by its first."""
    return month_of(month, 1) - timedelta(days=1)


def facts(session: Session, user_id: UUID, home: str, source: Source) -> list[Facts]:
    """What a return says of the documents of a source, by day and number."""
    sql, values = converted(session, user_id, home, source)
    found = session.scalars(text(f"SELECT facts FROM ({_FACTS.format(lines=sql)}) AS documents"), values)
    return sorted(found, key=lambda one: (one["day"], one["number"], one["kind"]))


def months(session: Session, user_id: UUID) -> list[dict[str, Any]]:
    """The months that are filed, newest first."""
    return [row._asdict() for row in session.execute(_MONTHS, {"user": user_id})]


def filed(session: Session, user_id: UUID, month: date) -> bool:
    """Whether a month is marked as filed."""
    return bool(
        session.scalar(
            text("SELECT EXISTS (SELECT FROM tax_months WHERE user_id = :user AND month = :month)"),
            {"user": user_id, "month": month},
        )
    )


def corrections(session: Session, user_id: UUID, home: str, month: date) -> list[Correction]:
    """What the return of an open month has to correct of those before it, by document; of a filed one what it did."""
    if filed(session, user_id, month):
        rows = session.execute(_FILED, {"user": user_id, "month": month}).all()
        found = [
            Correction(document_id=row.document_id, month=month_of(_day(row.facts or row.was)), was=row.was,
                       now=None if row.facts.get("gone") else row.facts)
            for row in rows
            if row.was is not None or month_of(_day(row.facts)) < month
        ]  # fmt: skip
        return sorted(found, key=_order)
    changed = list(session.scalars(_CHANGED, {"user": user_id}))
    if not changed:
        return []
    known = {row.document_id: row for row in session.execute(_LAST, {"documents": changed, "month": month})}
    present = {UUID(one["id"]): one for one in facts(session, user_id, home, gst.named(changed))}
    found = []
    for identity in changed:
        row, now = known.get(identity), present.get(identity)
        was = None if row is None or row.facts.get("gone") else row.facts
        # What is of this month or a later one is simply in that month's return.
        if was == now or (was is None and (now is None or month_of(_day(now)) >= month)):
            continue
        found.append(Correction(document_id=identity, month=month_of(_day(was or now)), was=was, now=now))
    return sorted(found, key=_order)


def _day(one: Facts | None) -> date:
    return date.fromisoformat((one or {})["day"])


def _order(one: Correction) -> tuple[date, str]:
    return one.month, str((one.now or one.was or {}).get("number"))


def documents(session: Session, user_id: UUID, home: str, month: date) -> list[Facts]:
    """The documents that a month's return lists for the first time: its own, and those that came late for theirs.

    Of a filed month as they were filed.
    """
    if filed(session, user_id, month):
        rows = session.execute(_FILED, {"user": user_id, "month": month})
        kept = [row.facts for row in rows if row.was is None and not row.facts.get("gone")]
        return sorted(kept, key=lambda one: (one["day"], one["number"], one["kind"]))
    own = facts(session, user_id, home, gst.lines(month, last_day(month)))
    corrected = corrections(session, user_id, home, month)
    # One that was filed in an earlier month and is dated here now is that month's to correct.
    elsewhere = {str(one.document_id) for one in corrected if one.was is not None}
    late = [one.now for one in corrected if one.was is None and one.now is not None]
    return [one for one in [*late, *own] if one["id"] not in elsewhere]


def file(session: Session, actor: Actor, month: date, now: datetime) -> dict[str, Any]:
    """Mark a month as filed, keeping what its return says; a repeat changes nothing.

    Raises Forbidden, Invalid, MonthNotOver, MonthsOutOfOrder.
    """
    _check(actor, month)
    if last_day(month) >= now.date():
        raise MonthNotOver(f"{month:%B %Y} is not over yet")
    # What changes documents holds this row as well (triggers of migration 0023): it is in the return, or waits and is
    # noted as of after it was filed.
    session.execute(text("SELECT FROM users WHERE id = :user FOR UPDATE"), {"user": actor.id})
    if filed(session, actor.id, month):
        return _shown(session, actor.id, month)
    _in_order(session, actor.id, month)
    home = rates.home_currency(session, actor.id)
    corrected = [one for one in corrections(session, actor.id, home, month) if one.was is not None]
    own = documents(session, actor.id, home, month)
    session.execute(
        text("INSERT INTO tax_months (user_id, month, filed_at, filed_by) VALUES (:user, :month, :now, :user)"),
        {"user": actor.id, "month": month, "now": now},
    )
    _keep(session, actor.id, month, ((UUID(one["id"]), one, None) for one in own))
    _keep(
        session, actor.id, month,
        ((one.document_id, one.now or {**(one.was or {}), "gone": True}, one.was) for one in corrected),
    )  # fmt: skip
    # What is kept now is what was filed: it has nothing to correct until it changes again.
    session.execute(
        text(
            "DELETE FROM tax_changed AS changed USING tax_filed AS filed WHERE changed.user_id = :user "
            "AND filed.user_id = :user AND filed.month = :month AND filed.document_id = changed.document_id"
        ),
        {"user": actor.id, "month": month},
    )
    shown = _shown(session, actor.id, month)
    audit.record(session, actor, "tax_month.filed", "user", actor.id,
                 {"month": f"{month:%Y-%m}", "documents": shown["documents"]}, now)  # fmt: skip
    return shown


def _keep(session: Session, user_id: UUID, month: date, kept: Iterable[tuple[UUID, Facts, Facts | None]]) -> None:
    rows = [
        {"document_id": identity, "facts": json.dumps(facts), "was": None if was is None else json.dumps(was)}
        for identity, facts, was in kept
    ]
    session.execute(
        text(
            "INSERT INTO tax_filed (user_id, month, document_id, facts, was) "
            f"SELECT :user, :month, document_id, facts, was FROM {_KEPT.source('kept')}"
        ),
        {**_KEPT.parameters(rows), "user": user_id, "month": month},
    )


def reopen(session: Session, actor: Actor, month: date, now: datetime) -> None:
    """Take back that the newest filed month was filed; of one that is open nothing changes.

    Raises Forbidden, Invalid, MonthsOutOfOrder.
    """
    _check(actor, month)
    session.execute(text("SELECT FROM users WHERE id = :user FOR NO KEY UPDATE"), {"user": actor.id})
    if not filed(session, actor.id, month):
        return
    _in_order(session, actor.id, month)
    # What this month corrected is to be corrected again, and what came late is late again.
    session.execute(
        text(
            "INSERT INTO tax_changed (user_id, document_id) SELECT user_id, document_id FROM tax_filed "
            "WHERE user_id = :user AND month = :month AND (was IS NOT NULL OR (facts ->> 'day')::date < :month) "
            "ON CONFLICT DO NOTHING"
        ),
        {"user": actor.id, "month": month},
    )
    session.execute(
        text("DELETE FROM tax_months WHERE user_id = :user AND month = :month"), {"user": actor.id, "month": month}
    )
    audit.record(session, actor, "tax_month.reopened", "user", actor.id, {"month": f"{month:%Y-%m}"}, now)


def _check(actor: Actor, month: date) -> None:
    if actor.role is not Role.SELLER:
        raise Forbidden("only sellers file their months")
    if month.day != 1 or not FIRST_MONTH <= month < date(2200, 1, 1):
        raise Invalid("month", f"must be a month such as 2026-04, from {FIRST_MONTH:%Y-%m} on")


def _in_order(session: Session, user_id: UUID, month: date) -> None:
    newest = session.scalar(text("SELECT max(month) FROM tax_months WHERE user_id = :user"), {"user": user_id})
    if newest is not None and newest > month:
        raise MonthsOutOfOrder(f"{newest:%B %Y} is filed already: reopen it first")


def _shown(session: Session, user_id: UUID, month: date) -> dict[str, Any]:
    return next(one for one in months(session, user_id) if one["month"] == month)


def gstin(session: Session, user_id: UUID) -> str | None:
    """The number a return is filed under."""
    return profiles.profile(session, user_id).gstin
