"""/api/mirrored-invoices: invoices as accounting systems and gateways keep them, and which of ours they are."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

from flask import Blueprint, Response, current_app
from sqlalchemy.orm import Session

from core.identity import Actor
from core.mirroring import deeds, queries, taking
from core.mirroring.deeds import Deed
from webapp import auth, connecting
from webapp.api import mirror_models, models
from webapp.api.edge import once, reply
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
                link=query.link,
            )
        )


@blueprint.get("/<uuid:mirrored_invoice_id>")
@operation("mirrored_invoices", {200: models.MirroredInvoice}, problems=(404,))
def show(mirrored_invoice_id: UUID) -> Response:
    """One invoice elsewhere, with the deliveries that told of it."""
    person = auth.actor()
    with services().database.session() as session:
        return reply(queries.get_mirrored(session, person, mirrored_invoice_id))


def deed_of(person: Actor, now: datetime) -> Deed:
    """What every deed needs."""
    return Deed(
        actor=person,
        now=now,
        able=list(connecting.writers()),
        titles=connecting.titles(),
        calendar=services().rules.calendar,
    )


def ring() -> None:
    """What was decided may be to be written elsewhere."""
    current_app.extensions["ledgerwire.inlet"].ringer.ring("mirror")


def _done(answer: Response) -> Response:
    ring()
    return answer


@blueprint.put("/<uuid:mirrored_invoice_id>/link")
@operation("mirrored_invoices", {200: models.MirroredInvoice}, body=mirror_models.LinkInput, problems=(404, 409))
def link(mirrored_invoice_id: UUID, body: mirror_models.LinkInput) -> Response:
    """Say which invoice here it is. Both stay as they are; where they differ is shown."""
    person = auth.actor()
    with services().database.session() as session:
        deeds.link(session, deed_of(person, auth.now()), mirrored_invoice_id, body.invoice_id)
        answer = reply(queries.get_mirrored(session, person, mirrored_invoice_id))
    return _done(answer)


@blueprint.delete("/<uuid:mirrored_invoice_id>/link")
@operation("mirrored_invoices", {200: models.MirroredInvoice}, problems=(404,))
def unlink(mirrored_invoice_id: UUID) -> Response:
    """Say that it is not the invoice it is linked to. It is not linked to that one again by its number."""
    person = auth.actor()
    with services().database.session() as session:
        deeds.unlink(session, deed_of(person, auth.now()), mirrored_invoice_id)
        return reply(queries.get_mirrored(session, person, mirrored_invoice_id))


@blueprint.post("/<uuid:mirrored_invoice_id>/take-over")
@operation("mirrored_invoices", {201: models.MirroredInvoice}, problems=(404, 409))
def take_over(mirrored_invoice_id: UUID) -> Response:
    """Make an invoice here with its number, one line over its total, and link the two."""
    person = auth.actor()

    def work(session: Session) -> tuple[dict[str, Any], int]:
        taking.take_over(session, deed_of(person, auth.now()), mirrored_invoice_id)
        return queries.get_mirrored(session, person, mirrored_invoice_id), 201

    return _done(once(person, work))


@blueprint.post("/take-over")
@operation("mirrored_invoices", {200: mirror_models.TakenOver}, body=mirror_models.TakeOverInput)
def take_over_all(body: mirror_models.TakeOverInput) -> Response:
    """Take over what is open elsewhere and linked to nothing, up to 200 at once."""
    person = auth.actor()

    def work(session: Session) -> tuple[dict[str, Any], int]:
        return taking.take_over_all(session, deed_of(person, auth.now()), body.connection_id), 200

    return _done(once(person, work))


@blueprint.post("/<uuid:mirrored_invoice_id>/resolve")
@operation("mirrored_invoices", {200: models.MirroredInvoice}, body=mirror_models.ResolveInput, problems=(404, 409))
def resolve(mirrored_invoice_id: UUID, body: mirror_models.ResolveInput) -> Response:
    """Decide which side of a field holds: ours is written there, theirs is done here."""
    person = auth.actor()

    def work(session: Session) -> tuple[dict[str, Any], int]:
        deeds.resolve(session, deed_of(person, auth.now()), mirrored_invoice_id, body.field, body.keep)
        return queries.get_mirrored(session, person, mirrored_invoice_id), 200

    return _done(once(person, work))


@blueprint.post("/write")
@operation("mirrored_invoices", {204: None}, body=mirror_models.WriteInput, problems=(404, 409))
def write(body: mirror_models.WriteInput) -> Response:
    """Have an invoice written to other books: for the first time, or again after it was refused."""
    person = auth.actor()
    with services().database.session() as session:
        deeds.write_now(session, deed_of(person, auth.now()), body.invoice_id, body.connection_id)
    return _done(Response(status=204))
