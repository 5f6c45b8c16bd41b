"""/api/invoices/<id>/communicate and its attachments: talk between those with a part in an invoice."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from flask import Blueprint, Response
from sqlalchemy.orm import Session

from core import talk
from core.correspondence import sending
from core.files import PAPERS
from core.invoicing import links
from core.talk import NewComment, Party
from webapp import auth, limits, uploads
from webapp.api import models, talk_models
from webapp.api.edge import once, reply
from webapp.openapi import operation
from webapp.services import services

blueprint = Blueprint("talk", __name__, url_prefix="/api/invoices")


def _shape(party: Party) -> dict[str, Any]:
    return {
        "id": str(party.id),
        "name": party.name,
        "organisation": party.organisation,
        "role": party.role.value,
    }


@blueprint.get("/<uuid:invoice_id>/communicate")
@operation("talk", {200: talk_models.Thread}, query=models.PageQuery, problems=(404,))
def thread(invoice_id: UUID, query: models.PageQuery) -> Response:
    """What was said about an invoice, newest first."""
    person = auth.actor()
    with services().database.session() as session:
        found = talk.thread(session, person, invoice_id, limit=query.limit, cursor=query.cursor)
        parties = talk.party_list(session, person, invoice_id)
    return reply({**found, "parties": [_shape(party) for party in parties]})


@blueprint.post("/<uuid:invoice_id>/communicate")
@limits.talk_limit
@operation("talk", {201: talk_models.Comment}, body=talk_models.CommentInput, problems=(404, 409))
def communicate(invoice_id: UUID, body: talk_models.CommentInput) -> Response:
    """Say something to the other parties, with `mail` to the customer by mail too.

    Whom it mentions is notified. It cannot be changed or taken back.
    """
    person = auth.actor()
    new = NewComment(body=body.body, mentions=body.mentions, attachments=body.attachments)

    def work(session: Session) -> tuple[dict[str, Any], int]:
        said = talk.say(session, person, invoice_id, new, auth.now())
        if body.mail:
            customers = links.of(services().settings)
            sending.communicate(session, person, invoice_id, customers, auth.now(), message=body.body)
        return said, 201

    return once(person, work)


@blueprint.post("/<uuid:invoice_id>/attachments")
@uploads.takes_file
@limits.upload_limit
@operation("talk", {201: talk_models.StoredFile}, problems=(404, 409), upload=("file",))
def attach(invoice_id: UUID) -> Response:
    """Bring a file of at most 5 MB: PDF, PNG, JPEG, plain text or CSV, judged by its content.

    Nobody else knows of it before a comment names it in `attachments`.
    """
    person = auth.actor()
    with services().database.session() as session:
        talk.require_party(session, person, invoice_id)
    kept = uploads.keep_file(person, allowed=PAPERS)
    with services().database.session() as session:
        return reply(talk.bring(session, person, invoice_id, kept, auth.now()).shape(), 201)


@blueprint.get("/<uuid:invoice_id>/attachments/<uuid:attachment_id>")
@operation("talk", {200: None}, problems=(404,))
def attachment(invoice_id: UUID, attachment_id: UUID) -> Response:
    """The content of a file that was brought to this invoice."""
    person = auth.actor()
    with services().database.session() as session:
        stored = talk.find(session, person, invoice_id, attachment_id)
    return uploads.send_file(stored, services().cabinet.read(stored.sha256))
