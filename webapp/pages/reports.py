"""Reports: pictures first, tables behind them, and from every figure the way to its rows."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from datetime import date
from typing import Any, cast
from uuid import UUID

from flask import Response, request, url_for

from core import reports as core_reports
from core.errors import Invalid
from core.identity import Role
from core.ids import parse_id
from core.reports.shape import Report, Rows
from webapp import reporting
from webapp.auth import page_login_required
from webapp.pages import blueprint, charts
from webapp.pages.shell import Look, choice, looking, only

_LISTS = {"invoices": "pages.invoices", "payments": "pages.payments", "transactions": "pages.transactions"}
# What the first page shows of each: enough to see where to look.
_OVERVIEW = ("ageing", "expected", "income", "dso")
# A page has so many rows of a table; its file has them all.
MOST = 200


def _link(rows: Rows | None) -> str | None:
    if rows is None or rows.of not in _LISTS:
        return None
    if rows.of == "invoices" and (identity := rows.filters.get("id")):
        return url_for("pages.invoice", invoice_id=UUID(identity))
    return url_for(_LISTS[rows.of], **cast("dict[str, Any]", rows.filters))


def _bars(report: Report) -> list[charts.Bar]:
    picture = report.picture
    return [] if picture is None else charts.bars([(one.label, one.amount, one.late) for one in picture.points])


def _days() -> dict[str, Any]:
    """The period that is asked for; what is no day is as if it were not there."""
    since, until = (_day(request.args.get(name, "")) for name in ("since", "until"))
    return {"period": choice("period", core_reports.PERIODS), "since": since, "until": until}


def _day(spelled: str) -> date | None:
    with suppress(ValueError):
        return date.fromisoformat(spelled)
    return None


def _seller(look: Look) -> UUID | None:
    """Whose reports; None for an operator who has not said."""
    only(look, Role.SELLER, Role.OPERATOR)
    named = parse_id(request.args.get("seller", ""))
    if look.actor.is_operator and named is None:
        return None
    return reporting.whose(look.db, look.actor, named)


def _shared(look: Look, seller: UUID | None, **more: Any) -> dict[str, Any]:
    """What both pages need: the tabs, and the operator's choice, which every link keeps."""
    kept = {"seller": str(seller)} if look.actor.is_operator and seller else {}
    if look.actor.is_operator:
        more["sellers"] = reporting.sellers(look.db)
    return {"names": core_reports.NAMES, "periods": core_reports.PERIODS, "kept": kept, "rows_url": _link, **more}


@blueprint.get("/reports")
@page_login_required
def reports() -> Response:
    """The reports at a glance."""
    with looking() as look:
        seller = _seller(look)
        made = []
        if seller is not None:
            today = look.now.date()
            made = [reporting.make(look.db, seller, name, today) for name in _OVERVIEW]
        return look.show(
            "pages/reports.html", **_shared(look, seller, found=[(one, _bars(one)) for one in made], name=None)
        )


@blueprint.get("/reports/<name>")
@page_login_required
def report(name: str) -> Response:
    """One report."""
    with looking() as look:
        seller = _seller(look)
        if seller is None:
            return look.show("pages/reports.html", **_shared(look, None, found=[], name=None))
        asked, refused = _days(), ""
        try:
            made = reporting.make(look.db, seller, name, look.now.date(), **asked)
        except Invalid as error:
            asked, refused = {}, f"{error.field.replace('_', ' ').capitalize()} {error.message}"
            made = reporting.make(look.db, seller, name, look.now.date())
        has_period = core_reports.NAMES[name][1]
        chosen = None if asked.get("since") or asked.get("until") else asked.get("period") or "last_12_months"
        return look.show(
            "pages/report.html",
            **_shared(
                look, seller, report=made, bars=_bars(made), name=name, has_period=has_period, chosen=chosen,
                refused=refused, most=MOST, file_url=_files(look, seller, name, asked),
            ),
        )  # fmt: skip


def _files(look: Look, seller: UUID, name: str, asked: dict[str, Any]) -> Callable[[str, str], str]:
    """The address of a table as a file, over the days that the page shows."""
    kept: dict[str, Any] = {name: str(value) for name, value in asked.items() if value is not None}
    if look.actor.is_operator:
        kept["seller"] = str(seller)
    return lambda table, kind: url_for("reports.table", report=name, table=table, format=kind, **kept)
