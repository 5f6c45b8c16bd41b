"""/api/mirrored-invoices: invoices as accounting systems and gateways keep them. Read-only."""

from __future__ import annotations

from uuid import UUID

from flask import Blueprint, Response

from core.mirroring import queries
from webapp import auth
from webapp.api import models
from webapp.api.edge import reply
from webapp.openapi import operation
from webapp.services import services

blueprint = Blueprint("mirrored_invoices", __name__, url_prefix="/api/mirrored-invoices")


@blueprint.get("")
@operation("mirrored_invoices", {200: models.MirroredInvoices}, query=models.MirroredInvoicesQuery)
def index(query: models.MirroredInvoicesQuery) -> Response:
    """Invoices elsewhere, newest to us first."""
    person = auth.actor()
    with services().database.session() as session:
        return reply(
            queries.list_mirrored(
                session,
                person,
                limit=query.limit,
                cursor=query.cursor,
                connection_id=query.connection_id,
                status=query.status,
            )
        )


@blueprint.get("/<uuid:mirrored_invoice_id>")
@operation("mirrored_invoices", {200: models.MirroredInvoice}, problems=(404,))
def show(mirrored_invoice_id: UUID) -> Response:
    """One invoice elsewhere, with the deliveries that told of it."""
    person = auth.actor()
    with services().database.session() as session:
        return reply(queries.get_mirrored(session, person, mirrored_invoice_id))
