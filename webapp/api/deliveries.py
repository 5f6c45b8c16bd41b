"""/api/deliveries and /api/quarantine: what providers sent, and what became of it."""

from __future__ import annotations

from uuid import UUID

from flask import Blueprint, Response

from core.inbox import queries
from webapp import amends, auth, provenance, replaying
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


@blueprint.post("/deliveries/<uuid:delivery_id>/replay")
@operation("deliveries", {200: models.ReplayReport}, body=models.ReplayInput, problems=(404,))
def replay(delivery_id: UUID, body: models.ReplayInput) -> Response:
    """Process a delivery's events again. With `dry_run` (the default) only say what that would change.

    What is known already changes nothing.
    """
    person, moment = auth.actor(), auth.now()
    events, found = replaying.look(person, delivery_id, moment)
    requeued = 0 if body.dry_run else replaying.replay(person, delivery_id, events, moment)
    return reply(
        {
            "dry_run": body.dry_run,
            "events": len(events),
            "requeued": requeued,
            "changes": [{"kind": each.kind, "id": each.id, "fields": each.fields} for each in found.changes],
            "fetches": found.fetches,
            "ignored": found.ignored,
            "failures": [{"event_id": event, "error": error} for event, error in found.failures],
        }
    )


@blueprint.get("/quarantine")
@operation("deliveries", {200: models.Quarantine}, query=models.QuarantineQuery)
def refused(query: models.QuarantineQuery) -> Response:
    """Deliveries that were refused, and why: those of my connections; all of them for operators."""
    person = auth.actor()
    with services().database.session() as session:
        return reply(
            queries.list_quarantine(session, person, limit=query.limit, cursor=query.cursor, connector=query.connector)
        )


@blueprint.post("/quarantine/<uuid:quarantine_id>/verify")
@operation("deliveries", {200: models.VerifiedAgain}, problems=(404, 409))
def verify_again(quarantine_id: UUID) -> Response:
    """Judge a refused delivery again, after its secret was mended. Its age counts as of its arrival."""
    return reply(amends.verify_again(auth.actor(), quarantine_id, auth.now()))
