"""/api/bulk: the same thing done to many invoices."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from flask import Blueprint, Response, current_app
from sqlalchemy.orm import Session

from core.errors import Invalid
from core.lists import again, bulk
from webapp import auth
from webapp.api import list_models as models
from webapp.api.edge import once, reply
from webapp.openapi import operation
from webapp.services import services

blueprint = Blueprint("bulk", __name__, url_prefix="/api/bulk")


def ring() -> None:
    """Have it begun soon."""
    current_app.extensions["ledgerwire.inlet"].ringer.ring("bulk")


@blueprint.get("")
@operation("bulk", {200: models.Jobs})
def index() -> Response:
    """My newest jobs."""
    person = auth.actor()
    with services().database.session() as session:
        return reply({"items": bulk.recent(session, person)})


@blueprint.post("")
@operation("bulk", {201: models.Job}, body=models.BulkInput, problems=(404, 409))
def start(body: models.BulkInput) -> Response:
    """Send, remind, issue, void, or delete drafts: up to 10,000 invoices, 1,000 where mails are written.

    What a row is refused stands in the job's `errors`; the others are done all the same, each once.
    """
    person = auth.actor()
    if (body.invoice_ids is None) is (body.filters is None):
        raise Invalid("invoice_ids", "either invoice_ids or filters must be given")
    filters = None if body.filters is None else body.filters.asked()

    def work(session: Session) -> tuple[dict[str, Any], int]:
        made = bulk.start(
            session,
            person,
            body.action,
            auth.now(),
            ids=body.invoice_ids,
            filters=filters,
            message=body.message,
        )
        return made, 201

    answer = once(person, work)
    ring()
    return answer


@blueprint.get("/<uuid:job_id>")
@operation("bulk", {200: models.Job}, problems=(404,))
def show(job_id: UUID) -> Response:
    """How far a job is, and what was refused. The feed tells it as bulk.updated."""
    person = auth.actor()
    with services().database.session() as session:
        return reply(bulk.show(session, person, job_id))


@blueprint.post("/<uuid:job_id>/cancel")
@operation("bulk", {200: models.Job}, problems=(404,))
def cancel(job_id: UUID) -> Response:
    """Stop a job where it is. What is done stays done."""
    person = auth.actor()
    with services().database.session() as session:
        return reply(bulk.cancel(session, person, job_id, auth.now()))


@blueprint.post("/<uuid:job_id>/retry")
@operation("bulk", {201: models.Job}, problems=(404, 409))
def retry(job_id: UUID) -> Response:
    """Another job of what this one was refused, or did not come to. Once: what is left then is the new job's."""
    person = auth.actor()

    def work(session: Session) -> tuple[dict[str, Any], int]:
        return again.retry(session, person, job_id, auth.now()), 201

    answer = once(person, work)
    ring()
    return answer
