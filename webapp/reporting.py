"""Reports for whoever may read them: a seller their own, an operator anybody's, as answers, files and pages."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from typing import Any
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.orm import Session

from core import reports
from core.documents import Column, table_csv, table_xlsx
from core.errors import Forbidden, NotFound
from core.identity import Actor, Role
from core.reports.shape import Report, Table

_SELLER = text("SELECT FROM users WHERE id = :id AND role = 'seller'")
# The others are of today, or show month by month.
COMPARED = frozenset({"income", "tax", "methods", "fees", "reconciliation"})
# A percentage is a number of per cent, and so are days.
_KINDS = {"percent": "number", "days": "number"}


def whose(session: Session, actor: Actor, seller: UUID | None) -> UUID:
    """Whose report it is. Raises Forbidden, NotFound."""
    if actor.role is Role.SELLER and seller in (None, actor.id):
        return actor.id
    if not actor.is_operator:
        raise Forbidden("reports are for sellers, each their own")
    if seller is None:
        raise Forbidden("an operator says whose report it is: ?seller=<id>")
    if session.execute(_SELLER, {"id": seller}).one_or_none() is None:
        raise NotFound("seller", seller)
    return seller


def sellers(session: Session) -> list[dict[str, str]]:
    """Those whose reports an operator may choose from: {id, name}, by name, at most 500."""
    rows = session.execute(
        text(
            "SELECT id, coalesce(nullif(organisation, ''), name) AS name FROM users "
            "WHERE role = 'seller' ORDER BY lower(coalesce(nullif(organisation, ''), name)), id LIMIT 500"
        )
    )
    return [{"id": str(row.id), "name": row.name} for row in rows]


def make(
    session: Session,
    seller_id: UUID,
    name: str,
    today: date,
    *,
    period: str | None = None,
    since: date | None = None,
    until: date | None = None,
    compare: bool = False,
) -> Report:
    """A report; its figures beside those of the period before where `compare` says so.

    Raises Invalid for a period that there is not, NotFound for such a report.
    """
    asked = reports.period(period or reports.usual_period(name), since, until, today)
    made = reports.make(session, seller_id, name, asked, today)
    if compare and name in COMPARED:
        before = asked.before()
        earlier = {one.label: one.value for one in reports.make(session, seller_id, name, before, today).figures}
        made.figures = [replace(one, before=earlier.get(one.label)) for one in made.figures]
        made.before = (before.since, before.until)
    return made


def rows(
    session: Session,
    seller_id: UUID,
    name: str,
    today: date,
    *,
    period: str | None = None,
    since: date | None = None,
    until: date | None = None,
    **asked: Any,
) -> dict[str, Any]:
    """The rows behind a figure of a report. Raises as `make`, and Invalid for a part that there is not."""
    days = reports.period(period or reports.usual_period(name), since, until, today)
    return reports.rows(session, seller_id, name, days, today, **asked)


def table(report: Report, name: str) -> Table:
    """A table of a report. Raises NotFound."""
    found = next((one for one in report.tables if one.name == name), None)
    if found is None:
        raise NotFound("table", name)
    return found


def file(report: Report, name: str, kind: str) -> tuple[bytes, str]:
    """A table as CSV or as a workbook, and the file's name. Money has its currency in a column of its own."""
    found = table(report, name)
    money = any(column.kind == "money" for column in found.columns)
    columns = [Column(one.head, _KINDS.get(one.kind, one.kind)) for one in found.columns]  # type: ignore[arg-type]
    rows = [
        [
            (cell, row.currency) if column.kind == "money" and cell is not None else cell
            for cell, column in zip(row.cells, found.columns, strict=True)
        ]
        + ([row.currency] if money else [])
        for row in found.rows
    ]
    if money:
        columns.append(Column("Currency"))
    days = f"{report.since}-to-{report.until}" if report.since else str(report.until)
    filename = f"{report.name}-{found.name}-{days}.{kind}"
    made = table_csv(columns, rows) if kind == "csv" else table_xlsx(columns, rows, title=found.title)
    return made, filename


def shown(report: Report) -> dict[str, Any]:
    """A report as the API answers it."""
    return {
        "name": report.name,
        "title": report.title,
        "how": report.how,
        "home": report.home,
        "since": report.since,
        "until": report.until,
        "figures": [
            {
                "label": one.label,
                "kind": one.kind,
                "value": one.value,
                "note": one.note,
                "currency": one.currency,
                "before": one.before,
                "rows": _rows(one.rows),
            }
            for one in report.figures
        ],
        "picture": None
        if report.picture is None
        else {
            "label": report.picture.label,
            "kind": report.picture.kind,
            "points": [
                {"label": point.label, "amount": point.amount, "late": point.late, "rows": _rows(point.rows)}
                for point in report.picture.points
            ],
        },
        "tables": [
            {
                "name": one.name,
                "title": one.title,
                "columns": [{"head": column.head, "kind": column.kind} for column in one.columns],
                "rows": [
                    {"cells": list(row.cells), "currency": row.currency, "column": row.column, "rows": _rows(row.rows)}
                    for row in one.rows
                ],
                "note": one.note,
                "more": one.more,
            }
            for one in report.tables
        ],
        "apart": report.apart,
    }


def _rows(found: Any) -> dict[str, Any] | None:
    return None if found is None else {"of": found.of, "filters": found.filters}
