"""/api/reports: what is owed, expected, earned, paid, taken and to be filed. For sellers; operators say whose."""

from __future__ import annotations

from flask import Blueprint, Response

from core import reports
from webapp import auth, reporting
from webapp.api import report_models as models
from webapp.api.edge import reply
from webapp.openapi import operation
from webapp.services import services

blueprint = Blueprint("reports", __name__, url_prefix="/api/reports")
_TYPES = {
    "csv": "text/csv; charset=utf-8",
    "xlsx": "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
}


@blueprint.get("")
@operation("reports", {200: models.ReportNames})
def index() -> Response:
    """Every report there is."""
    auth.actor()
    items = [{"name": name, "title": title, "has_period": asks} for name, (title, asks) in reports.NAMES.items()]
    return reply({"items": items})


@blueprint.get("/<report>")
@operation("reports", {200: models.ReportOutput}, query=models.ShowQuery, problems=(404,))
def show(report: str, query: models.ShowQuery) -> Response:
    """A report: its figures, its picture, its tables, and how it is worked out."""
    return reply(reporting.shown(_made(report, query)))


@blueprint.get("/<report>/rows")
@operation("reports", {200: models.ReportRowsOutput}, query=models.RowsQuery, problems=(404,))
def rows(report: str, query: models.RowsQuery) -> Response:
    """What a figure is made of: invoices, credit notes, payments or bank lines, and what they come to."""
    person = auth.actor()
    with services().database.session() as session:
        seller = reporting.whose(session, person, query.seller)
        asked = query.model_dump(exclude={"seller"})
        return reply(reporting.rows(session, seller, report, auth.now().date(), **asked))


@blueprint.get("/<report>/<table>")
@operation("reports", {200: None}, query=models.TableQuery, problems=(404,))
def table(report: str, table: str, query: models.TableQuery) -> Response:
    """A table of a report as a file: CSV, or a workbook."""
    body, name = reporting.file(_made(report, query), table, query.format)
    headers = {"Content-Disposition": f"attachment; filename={name}", "Cache-Control": "private, no-store"}
    return Response(body, mimetype=None, content_type=_TYPES[query.format], headers=headers)


def _made(report: str, query: models.ReportQuery) -> reports.Report:
    person = auth.actor()
    with services().database.session() as session:
        seller = reporting.whose(session, person, query.seller)
        return reporting.make(
            session,
            seller,
            report,
            auth.now().date(),
            period=query.period,
            since=query.since,
            until=query.until,
            compare=getattr(query, "compare", False),
        )
