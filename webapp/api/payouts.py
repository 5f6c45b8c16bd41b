"""/api/payouts."""

from __future__ import annotations

from uuid import UUID

from flask import Blueprint, Response

from core.payments import payout_queries as queries
from webapp import auth
from webapp.api import payment_models as shapes
from webapp.api.edge import reply
from webapp.openapi import operation
from webapp.services import services

blueprint = Blueprint("payouts", __name__, url_prefix="/api/payouts")


@blueprint.get("")
@operation("payouts", {200: shapes.Payouts}, query=shapes.PayoutsQuery)
def index(query: shapes.PayoutsQuery) -> Response:
    """Collected money on its way to the bank, newest first, with what of it is explained."""
    person = auth.actor()
    with services().database.session() as session:
        return reply(
            queries.list_payouts(
                session,
                person,
                limit=query.limit,
                cursor=query.cursor,
                connection_id=query.connection_id,
                status=query.status,
            )
        )


@blueprint.get("/<uuid:payout_id>")
@operation("payouts", {200: shapes.Payout}, problems=(404,))
def show(payout_id: UUID) -> Response:
    """A payout with the payments, refunds and disputes that it holds."""
    person = auth.actor()
    with services().database.session() as session:
        return reply(queries.get_payout(session, person, payout_id))
