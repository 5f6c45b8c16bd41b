"""Reports: pictures first, tables behind them, and from every figure the way to its rows."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import date
from types import MappingProxyType
from typing import Any, cast
from urllib.parse import unquote
from uuid import UUID

from flask import Response, flash, make_response, redirect, request, url_for

from core import reports as core_reports
from core.errors import Conflict, Invalid, NotFound
from core.identity import Role
from core.ids import parse_id
from core.reports import gst, matching, receivables
from core.reports.shape import Report, Rows
from webapp import reporting
from webapp.auth import page_login_required
from webapp.pages import blueprint, charts, lists
from webapp.pages.shell import Look, choice, cursor, looking, only

_DOCUMENTS = {
    "invoices": ("pages.invoice", "invoice_id"),
    "credit_notes": ("pages.credit_note", "note_id"),
    "invoice": ("pages.invoice", "invoice_id"),
    "credit_note": ("pages.credit_note", "note_id"),
    "payment": ("pages.payment", "payment_id"),
    "transaction": ("pages.transaction", "transaction_id"),
    "payout": ("pages.payout", "payout_id"),
}
# What the first page shows of each: enough to see where to look.
_OVERVIEW = ("ageing", "expected", "income", "dso")
# A page has so many rows of a table; its file has them all.
MOST = 200


def _document(kind: str, identity: str) -> str:
    name, argument = _DOCUMENTS[kind]
    return url_for(name, **{argument: UUID(identity)})  # type: ignore[arg-type]


def _linking(name: str, kept: dict[str, str]) -> Callable[[Rows | None], str | None]:
    """Where the rows behind a figure of a report are shown."""

    def link(rows: Rows | None) -> str | None:
        if rows is None:
            return None
        if rows.of != "rows":
            return _document(rows.of, rows.filters["id"])
        return url_for("pages.report_rows", name=name, **cast("dict[str, Any]", {**rows.filters, **kept}))

    return link


def _bars(report: Report, kept: dict[str, str]) -> list[charts.Bar]:
    picture = report.picture
    link = _linking(report.name, kept)
    if picture is None or not picture.points:
        return []
    return charts.bars(
        [(one.label, one.amount, one.late) for one in picture.points],
        [link(one.rows) or "" for one in picture.points],
        top=charts.ticks(max(one.amount for one in picture.points))[-1],
    )


def _days() -> dict[str, Any]:
    """The period that is asked for: a named one, or two days; what is no day is as if it were not there."""
    if (named := choice("period", core_reports.PERIODS)) is not None:
        return {"period": named, "since": None, "until": None}
    since, until = (_day(request.args.get(name, "")) for name in ("since", "until"))
    return {"period": None, "since": since, "until": until}


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
    return {"names": core_reports.NAMES, "periods": core_reports.PERIODS, "kept": kept, "ticks": charts.ticks, **more}


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
        shared = _shared(look, seller, name=None)
        found = [(one, _bars(one, shared["kept"])) for one in made]
        return look.show("pages/reports.html", **shared, found=found, linking=_linking)


@blueprint.get("/reports/<name>")
@page_login_required
def report(name: str) -> Response:
    """One report."""
    with looking() as look:
        seller = _seller(look)
        if seller is None:
            return look.show("pages/reports.html", **_shared(look, None, found=[], name=None))
        asked, refused, compare = _days(), "", request.args.get("compare") == "true"
        try:
            made = reporting.make(look.db, seller, name, look.now.date(), **asked, compare=compare)
        except Invalid as error:
            asked, refused = {}, f"{error.field.replace('_', ' ').capitalize()} {error.message}"
            made = reporting.make(look.db, seller, name, look.now.date(), compare=compare)
        has_period = core_reports.NAMES[name][1]
        chosen = (
            None if asked.get("since") or asked.get("until") else asked.get("period") or core_reports.usual_period(name)
        )
        shared = _shared(look, seller, report=made, name=name, has_period=has_period, chosen=chosen)
        return look.show(
            "pages/report.html", **shared, bars=_bars(made, shared["kept"]), refused=refused, most=MOST,
            compare=compare, compared=name in reporting.COMPARED,
            usual=core_reports.PERIODS[core_reports.usual_period(name)],
            file_url=_files(look, seller, name, asked), rows_url=_linking(name, shared["kept"]),
            filing=_filing(look, seller, made) if name == "tax" else None,
        )  # fmt: skip


def _filing(look: Look, seller: UUID, made: Report) -> dict[str, Any]:
    """What the tax summary says of its last month: whether its return is filed, and what may be done."""
    from core.reports import filings  # noqa: PLC0415
    from core.reports.periods import month_of  # noqa: PLC0415

    month = month_of(made.until)
    months = filings.months(look.db, seller)
    kept = next((one for one in months if one["month"] == month), None)
    newest = months[0]["month"] if months else None
    return {
        "month": month,
        "filed": kept,
        "may_file": kept is None and filings.last_day(month) < look.now.date() and (newest is None or newest < month),
        "may_reopen": kept is not None and newest == month,
        "gstin": filings.gstin(look.db, seller),
    }


@blueprint.get("/reports/<name>/rows")
@page_login_required
def report_rows(name: str) -> Response:
    """The rows behind a figure."""
    with looking() as look:
        seller = _seller(look)
        if seller is None:
            return look.show("pages/reports.html", **_shared(look, None, found=[], name=None))
        days = _days()
        found = reporting.rows(
            look.db, seller, name, look.now.date(), **days, cursor=cursor(),
            measure=request.args.get("measure") or None, part=request.args.get("part", ""),
        )  # fmt: skip
        for one in found["items"]:
            one["url"] = _document(one["kind"], one["id"])
        part = request.args.get("part", "")
        return look.show(
            "pages/report_rows.html",
            **_shared(look, seller, name=name, found=found, title=core_reports.NAMES[name][0]),
            since=days["since"], until=days["until"], which=_which(name, part, found["items"]),
            in_invoices=_in_invoices(look, seller, name, part) if found["items"] else None,
            due=name in _OWED,
        )  # fmt: skip


# Reports of open invoices: their rows are by due date, and may be worked on.
_OWED = frozenset({"ageing", "expected"})
# What parts of reports are called, by report where names are the same.
_PARTS: Mapping[tuple[str, str], Mapping[str, str]] = MappingProxyType(
    {
        ("ageing", "late"): {"true": "late"},
        ("ageing", "age"): {str(age): words.lower() for age, words in enumerate(receivables.BUCKETS)},
        ("expected", "soon"): {"true": "in four weeks"},
        ("expected", "week"): {"0": "this week", str(receivables.WEEKS): f"later than {receivables.WEEKS} weeks"},
        ("tax", "section"): gst.SECTIONS,
        ("reconciliation", "stands"): {key: words.lower() for key, words in matching.STANDS.items()},
        ("reconciliation", "done"): {"true": "matched"},
        ("reconciliation", "state"): {"open": "open today"},
        ("reconciliation", "age"): {str(age): words.lower() for age, words in enumerate(matching.AGES)},
    }
)


def _which(name: str, spelled: str, items: list[dict[str, Any]]) -> str:
    """The part of a figure in words; of what has no words nothing."""
    said = []
    for one in spelled.split(";"):
        part, _, value = one.partition("=")
        if part in {"customer", "contact"} and items:
            said.append(items[0]["who"])
        elif (words := _PARTS.get((name, part), {}).get(unquote(value))) is not None:
            said.append(words)
    return ", ".join(said)


def _in_invoices(look: Look, seller: UUID, name: str, spelled: str) -> str | None:
    """Where the same invoices are listed to be worked on, if they can be."""
    if name not in _OWED or look.actor.role is not Role.SELLER:
        return None
    asked = receivables.listed(look.db, seller, spelled, look.now.date())
    return None if asked is None else lists.address_of(asked)


@blueprint.post("/reports/tax/<month>/file")
@page_login_required
def file_tax_month(month: str) -> Response:
    """Mark a month as filed."""
    return _mark(month, filed=True)


@blueprint.post("/reports/tax/<month>/reopen")
@page_login_required
def reopen_tax_month(month: str) -> Response:
    """Take that back."""
    return _mark(month, filed=False)


def _mark(spelled: str, *, filed: bool) -> Response:
    from core.reports import filings  # noqa: PLC0415

    month = _day(f"{spelled}-01")
    with looking() as look:
        only(look, Role.SELLER)
        if month is None:
            raise NotFound("month", spelled)
        try:
            (filings.file if filed else filings.reopen)(look.db, look.actor, month, look.now)
        except Conflict as error:
            flash(str(error), "bad")
        else:
            flash(f"{month:%B %Y} is {'marked as filed' if filed else 'open again'}.", "good")
    there = url_for("pages.report", name="tax", since=month, until=filings.last_day(month))
    return make_response(redirect(there, 303))


def _files(look: Look, seller: UUID, name: str, asked: dict[str, Any]) -> Callable[[str, str], str]:
    """The address of a table as a file, over the days that the page shows."""
    kept: dict[str, Any] = {name: str(value) for name, value in asked.items() if value is not None}
    if look.actor.is_operator:
        kept["seller"] = str(seller)
    return lambda table, kind: url_for("reports.table", report=name, table=table, format=kind, **kept)
