"""/api/payments."""

from __future__ import annotations

from uuid import UUID

from flask import Blueprint, Response

from core.payments import queries
from webapp import auth
from webapp.api import models
from webapp.api.edge import reply
from webapp.openapi import operation
from webapp.services import services

blueprint = Blueprint("payments", __name__, url_prefix="/api/payments")


@blueprint.get("")
@operation("payments", {200: models.Payments}, query=models.PaymentsQuery)
def index(query: models.PaymentsQuery) -> Response:
    """Payments, newest first."""
    person = auth.actor()
    with services().database.session() as session:
        return reply(
            queries.list_payments(
                session,
                person,
                limit=query.limit,
                cursor=query.cursor,
                invoice_id=query.invoice_id,
                status=query.status,
            )
        )


@blueprint.get("/<uuid:payment_id>")
@operation("payments", {200: models.Payment}, problems=(404,))
def show(payment_id: UUID) -> Response:
    """A payment with what it pays and the deliveries that told of it."""
    person = auth.actor()
    with services().database.session() as session:
        return reply(queries.get_payment(session, person, payment_id))
