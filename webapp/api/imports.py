"""/api/imports: invoices out of CSV files."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from flask import Blueprint, Response
from sqlalchemy.orm import Session

from core.lists import imports, invoice_files
from core.lists.invoice_files import ColumnMapping
from webapp import auth, limits, papers, uploads
from webapp.api import list_models as models
from webapp.api.bulk import ring
from webapp.api.edge import once, reply
from webapp.openapi import operation
from webapp.services import services

blueprint = Blueprint("imports", __name__, url_prefix="/api/imports")


@blueprint.get("/template.csv")
@operation("imports", {200: None})
def template() -> Response:
    """A file to begin with: its heads are understood without a word."""
    auth.actor()
    return papers.download(invoice_files.template(), "text/csv; charset=utf-8", "invoices-template.csv")


@blueprint.post("")
@limits.upload_limit
@uploads.takes_file
@operation("imports", {201: models.Import}, upload=("file",))
def upload() -> Response:
    """Bring a file of up to 2 MB, 5,000 rows and 1,000 invoices. Nothing is made of it yet: the answer is a dry run."""
    person = auth.actor()
    imports.sellers_only(person)
    name, content = uploads.read_file()
    with services().database.session() as session:
        return reply(imports.upload(session, person, name, content, auth.now()), 201)


@blueprint.get("/<uuid:import_id>")
@operation("imports", {200: models.Import}, problems=(404,))
def show(import_id: UUID) -> Response:
    """The file, how it is read, and what would come of it."""
    person = auth.actor()
    with services().database.session() as session:
        return reply(imports.show(session, person, import_id))


@blueprint.put("/<uuid:import_id>")
@operation("imports", {200: models.Import}, body=ColumnMapping, problems=(404, 409))
def remap(import_id: UUID, body: ColumnMapping) -> Response:
    """Read the file another way, and look it over again."""
    person = auth.actor()
    with services().database.session() as session:
        return reply(imports.remap(session, person, import_id, body))


@blueprint.post("/<uuid:import_id>/confirm")
@operation("imports", {201: models.Job}, body=models.ConfirmImportInput, problems=(404, 409))
def confirm(import_id: UUID, body: models.ConfirmImportInput) -> Response:
    """Have the invoices made, by a job. The same file makes each of its invoices once, however often it is brought."""
    person = auth.actor()

    def work(session: Session) -> tuple[dict[str, Any], int]:
        return imports.confirm(session, person, import_id, auth.now(), draft=body.draft), 201

    answer = once(person, work)
    ring()
    return answer
