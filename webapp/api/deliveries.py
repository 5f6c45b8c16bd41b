"""/api/deliveries and /api/quarantine: what providers sent, and what became of it."""

from __future__ import annotations

from uuid import UUID

from flask import Blueprint, Response

from core.inbox import queries
from webapp import auth, provenance
from webapp.api import models
from webapp.api.edge import reply
from webapp.openapi import operation
from webapp.services import services

blueprint = Blueprint("deliveries", __name__, url_prefix="/api")


@blueprint.get("/deliveries")
@operation("deliveries", {200: models.Deliveries}, query=models.DeliveriesQuery)
def index(query: models.DeliveriesQuery) -> Response:
    """Deliveries of my connections, newest first."""
    person = auth.actor()
    with services().database.session() as session:
        return reply(
            queries.list_deliveries(
                session,
                person,
                limit=query.limit,
                cursor=query.cursor,
                connector=query.connector,
                connection_id=query.connection_id,
                state=query.state,
            )
        )


@blueprint.get("/deliveries/<uuid:delivery_id>")
@operation("deliveries", {200: models.Provenance}, problems=(404,))
def show(delivery_id: UUID) -> Response:
    """The whole way of a delivery, with the milliseconds each step took."""
    person = auth.actor()
    with services().database.session() as session:
        return reply(provenance.show(session, person, delivery_id))


@blueprint.get("/quarantine")
@operation("deliveries", {200: models.Quarantine}, query=models.QuarantineQuery)
def refused(query: models.QuarantineQuery) -> Response:
    """Deliveries that were refused, and why: those of my connections; all of them for operators."""
    person = auth.actor()
    with services().database.session() as session:
        return reply(
            queries.list_quarantine(session, person, limit=query.limit, cursor=query.cursor, connector=query.connector)
        )
