"""/api/views: lists of invoices as somebody likes to see them; and /api/invoices/export."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from flask import Blueprint, Response
from sqlalchemy.orm import Session

from core.errors import Invalid
from core.ids import parse_id
from core.lists import export as files
from core.lists import views
from webapp import auth, limits, papers, runtime
from webapp.api import list_models as models
from webapp.api.edge import once, reply
from webapp.openapi import operation
from webapp.services import services

blueprint = Blueprint("views", __name__, url_prefix="/api")


@blueprint.get("/views")
@operation("views", {200: models.Views})
def index() -> Response:
    """My views, by name."""
    person = auth.actor()
    with services().database.session() as session:
        return reply({"items": views.list_views(session, person)})


@blueprint.post("/views")
@operation("views", {201: models.View}, body=models.ViewInput, problems=(409,))
def save(body: models.ViewInput) -> Response:
    """Keep a view; one of the same name becomes this one. At most 50."""
    person = auth.actor()
    filters = body.filters.model_dump(mode="json", exclude_none=True)

    def work(session: Session) -> tuple[dict[str, Any], int]:
        return views.save(session, person, body.name, filters, auth.now(), is_default=body.is_default), 201

    return once(person, work)


@blueprint.delete("/views/<uuid:view_id>")
@operation("views", {200: models.View}, problems=(404,))
def delete(view_id: UUID) -> Response:
    """Take a view away."""
    person = auth.actor()
    with services().database.session() as session:
        return reply(views.delete(session, person, view_id))


@blueprint.get("/invoices/export")
@limits.paper_limit
@operation("views", {200: None}, query=models.ExportQuery, problems=(404,))
def export(query: models.ExportQuery) -> Response:
    """A list of invoices as a file: up to 10,000 as CSV or workbook, 500 as UBL, 100 as PDF, these in an archive."""
    person = auth.actor()
    ids = None if query.ids is None else [_id(spelled) for spelled in query.ids.split(",") if spelled]
    with services().database.session() as session:
        made = files.export(session, person, query.format, query.asked(), ids)
    # Papers are set by processes of their own; tables are computed here, beside the other greenlets.
    content = made.make() if query.format == "pdf" else runtime.offload(made.make)
    name = f"invoices-{auth.now().date().isoformat()}.{made.ending}"
    return papers.download(content, made.media_type, name)


def _id(spelled: str) -> UUID:
    found = parse_id(spelled)
    if found is None:
        raise Invalid("ids", f"{spelled[:40]!r} is no id")
    return found
