"""/api/recurring: invoices that are made again and again."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from flask import Blueprint, Response
from sqlalchemy.orm import Session

from core.invoicing import recurring, recurring_queries, recurring_runs
from core.invoicing.recurring import NewRecurring
from core.invoicing.totals import NewItem
from webapp import auth
from webapp.api import recurring_models as models
from webapp.api.edge import once, reply
from webapp.openapi import operation
from webapp.services import services

blueprint = Blueprint("recurring", __name__, url_prefix="/api/recurring")


def _given(body: models.RecurringInput | models.RecurringChanges) -> dict[str, Any]:
    """What was sent, as the fields of NewRecurring."""
    found = body.model_dump(exclude_unset=True, exclude={"items", "version"})
    if "items" in body.model_fields_set:
        found["items"] = [NewItem(**item.model_dump()) for item in body.items]
    return found


@blueprint.get("")
@operation("recurring", {200: models.RecurringInvoices}, query=models.RecurringQuery)
def index(query: models.RecurringQuery) -> Response:
    """My recurring invoices, newest first."""
    person = auth.actor()
    with services().database.session() as session:
        return reply(recurring_queries.list_recurring(session, person, **query.model_dump()))


@blueprint.post("")
@operation("recurring", {201: models.RecurringInvoice}, body=models.RecurringInput)
def create(body: models.RecurringInput) -> Response:
    """Begin a recurring invoice. The first one is made on its day, within a minute where that has come."""
    person, new = auth.actor(), NewRecurring(**_given(body))

    def work(session: Session) -> tuple[dict[str, Any], int]:
        return recurring.create(session, person, new, auth.now()), 201

    return once(person, work)


@blueprint.get("/<uuid:recurring_id>")
@operation("recurring", {200: models.RecurringInvoice}, problems=(404,))
def show(recurring_id: UUID) -> Response:
    """A recurring invoice with its next days and what it made."""
    person = auth.actor()
    with services().database.session() as session:
        return reply(recurring_queries.get_recurring(session, person, recurring_id))


@blueprint.put("/<uuid:recurring_id>")
@operation("recurring", {200: models.RecurringInvoice}, body=models.RecurringChanges, problems=(404, 409))
def update(recurring_id: UUID, body: models.RecurringChanges) -> Response:
    """Change it. What was made stays; a new rhythm goes on from today."""
    person = auth.actor()
    with services().database.session() as session:
        return reply(
            recurring.update(session, person, recurring_id, _given(body), auth.now(), expected_version=body.version)
        )


@blueprint.delete("/<uuid:recurring_id>")
@operation("recurring", {200: models.Stopped}, problems=(404,))
def delete(recurring_id: UUID) -> Response:
    """Stop it for good; one that made nothing yet is deleted. What it made stays."""
    person = auth.actor()
    with services().database.session() as session:
        return reply({"recurring": recurring.stop(session, person, recurring_id, auth.now())})


@blueprint.post("/<uuid:recurring_id>/pause")
@operation("recurring", {200: models.RecurringInvoice}, problems=(404, 409))
def pause(recurring_id: UUID) -> Response:
    """Make none until it is resumed. A repeat changes nothing."""
    person = auth.actor()
    with services().database.session() as session:
        return reply(recurring.pause(session, person, recurring_id, auth.now()))


@blueprint.post("/<uuid:recurring_id>/resume")
@operation("recurring", {200: models.RecurringInvoice}, body=models.ResumeInput, problems=(404,))
def resume(recurring_id: UUID, body: models.ResumeInput) -> Response:
    """Go on. A repeat changes nothing."""
    person = auth.actor()
    with services().database.session() as session:
        return reply(recurring.resume(session, person, recurring_id, auth.now(), catch_up=body.catch_up))


@blueprint.post("/<uuid:recurring_id>/run")
@operation("recurring", {201: models.RunResult}, problems=(404, 409, 422))
def run(recurring_id: UUID) -> Response:
    """Make the next one now, dated today where its day is to come."""
    person = auth.actor()

    def work(session: Session) -> tuple[dict[str, Any], int]:
        return {"invoice_id": str(recurring_runs.run_now(session, person, recurring_id, auth.now()))}, 201

    return once(person, work)
