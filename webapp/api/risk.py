"""/api/invoices/<id>/risk: how an invoice was judged, and why."""

from __future__ import annotations

from uuid import UUID

from flask import Blueprint, Response

from core import risk
from webapp import auth
from webapp.api import risk_models as models
from webapp.api.edge import reply
from webapp.openapi import operation
from webapp.services import services

blueprint = Blueprint("risk", __name__, url_prefix="/api/invoices")


@blueprint.get("/<uuid:invoice_id>/risk")
@operation("risk", {200: models.Risk}, problems=(404,))
def show(invoice_id: UUID) -> Response:
    """The newest judgement: for its seller, for investors once it was listed, for operators. 404 before the first."""
    person = auth.actor()
    with services().database.session() as session:
        return reply(risk.risk_of(session, person, invoice_id))
