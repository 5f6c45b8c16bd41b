"""/api/credit-notes: a part of an invoice, or all of it, is taken back."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from flask import Blueprint, Response
from sqlalchemy.orm import Session

from core.correspondence import credit_mails
from core.identity import Role
from core.invoicing import credit_drafts, credit_notes
from core.invoicing import credit_note_queries as queries
from core.invoicing.credit_notes import NewCreditNote
from core.invoicing.totals import NewItem
from webapp import auth, limits
from webapp.api import correspondence_models
from webapp.api import credit_note_models as models
from webapp.api.correspondence import SHOWN, customer_links
from webapp.api.edge import once, reply
from webapp.openapi import operation
from webapp.services import services

blueprint = Blueprint("credit_notes", __name__, url_prefix="/api/credit-notes")


@blueprint.get("")
@operation("credit_notes", {200: models.CreditNotes}, query=models.CreditNotesQuery)
def index(query: models.CreditNotesQuery) -> Response:
    """Credit notes that I made (sellers) or that were made for me (buyers), newest first."""
    person = auth.actor()
    with services().database.session() as session:
        return reply(queries.list_credit_notes(session, person, **query.model_dump()))


@blueprint.post("")
@operation("credit_notes", {201: models.CreditNote}, body=models.CreditNoteInput, problems=(404, 409))
def create(body: models.CreditNoteInput) -> Response:
    """Issue a credit note. Its credit pays the invoice as far as something is due, and is the customer's beyond."""
    person, now, new = auth.actor(), auth.now(), _new(body)

    def work(session: Session) -> tuple[dict[str, Any], int]:
        return credit_notes.create(session, person, new, now, calendar=services().rules.calendar), 201

    return once(person, work)


def _new(body: models.CreditNoteInput) -> NewCreditNote:
    given = body.model_dump(exclude={"items", "issue_date", "version"})
    items = None if body.items is None else [NewItem(**item.model_dump()) for item in body.items]
    return NewCreditNote(**given, items=items, issue_date=body.issue_date or auth.now().date())


@blueprint.get("/drafts")
@operation("credit_notes", {200: models.CreditDrafts})
def drafts() -> Response:
    """My credit notes that are not issued."""
    person = auth.actor()
    with services().database.session() as session:
        return reply({"items": credit_drafts.drafts(session, person)})


@blueprint.post("/drafts")
@operation("credit_notes", {201: models.CreditDraft}, body=models.CreditNoteInput, problems=(404, 409))
def create_draft(body: models.CreditNoteInput) -> Response:
    """Keep a credit note without issuing it: no number is taken, and nothing is credited."""
    person, now, new = auth.actor(), auth.now(), _new(body)
    return once(person, lambda session: (credit_drafts.make(session, person, new, now), 201))


@blueprint.get("/drafts/<uuid:draft_id>")
@operation("credit_notes", {200: models.CreditDraft}, problems=(404,))
def show_draft(draft_id: UUID) -> Response:
    """A credit note that is not issued."""
    person = auth.actor()
    with services().database.session() as session:
        return reply(credit_drafts.get(session, person, draft_id))


@blueprint.put("/drafts/<uuid:draft_id>")
@operation("credit_notes", {200: models.CreditDraft}, body=models.CreditDraftChange, problems=(404, 409))
def update_draft(draft_id: UUID, body: models.CreditDraftChange) -> Response:
    """Replace what a draft says. With `version`, a change in between is refused (409) and said."""
    person, now = auth.actor(), auth.now()
    with services().database.session() as session:
        return reply(credit_drafts.update(session, person, draft_id, _new(body), now, expected_version=body.version))


@blueprint.delete("/drafts/<uuid:draft_id>")
@operation("credit_notes", {204: None}, problems=(404,))
def delete_draft(draft_id: UUID) -> Response:
    """Throw a draft away."""
    person = auth.actor()
    with services().database.session() as session:
        credit_drafts.delete(session, person, draft_id)
    return Response(status=204)


@blueprint.post("/drafts/<uuid:draft_id>/issue")
@operation("credit_notes", {201: models.CreditNote}, body=models.CreditDraftIssue, problems=(404, 409))
def issue_draft(draft_id: UUID, body: models.CreditDraftIssue) -> Response:
    """Make the credit note of a draft: it takes its number now."""
    person, now = auth.actor(), auth.now()

    def work(session: Session) -> tuple[dict[str, Any], int]:
        made = credit_drafts.issue(
            session, person, draft_id, now, expected_version=body.version, calendar=services().rules.calendar
        )
        return made, 201

    return once(person, work)


@blueprint.get("/<uuid:note_id>")
@operation("credit_notes", {200: models.CreditNote}, problems=(404,))
def show(note_id: UUID) -> Response:
    """A credit note with its lines."""
    person = auth.actor()
    with services().database.session() as session:
        return reply(queries.get_credit_note(session, person, note_id))


@blueprint.post("/<uuid:note_id>/void")
@operation("credit_notes", {200: models.CreditNote}, body=models.VoidInput, problems=(404, 409))
def void(note_id: UUID, body: models.VoidInput) -> Response:
    """Take a credit note back: what its credit paid is due again. Its number stays taken."""
    person = auth.actor()

    def work(session: Session) -> tuple[dict[str, Any], int]:
        made = credit_notes.void(
            session, person, note_id, auth.now(), reason=body.reason, calendar=services().rules.calendar
        )
        return made, 200

    return once(person, work)


@blueprint.post("/<uuid:note_id>/send")
@limits.send_limit
@operation("credit_notes", {201: models.WrittenCreditNote}, body=correspondence_models.SendInput, problems=(404, 409))
def send(note_id: UUID, body: correspondence_models.SendInput) -> Response:
    """Mail a credit note as PDF, with the link to its invoice's page."""
    person = auth.actor()

    def work(session: Session) -> tuple[dict[str, Any], int]:
        made = credit_mails.send(
            session, person, note_id, customer_links(), auth.now(), to=body.to, message=body.message
        )
        return made, 201

    return once(person, work)


@blueprint.get("/<uuid:note_id>/mails")
@operation("credit_notes", {200: models.CreditNoteMails}, problems=(404,))
def mails(note_id: UUID) -> Response:
    """The mails that carry a credit note, and what became of them."""
    person = auth.require(Role.SELLER, Role.OPERATOR)
    with services().database.session() as session:
        note = queries.get_credit_note(session, person, note_id)
        found = credit_mails.about(session, person, note)
    return reply({"items": [{name: each[name] for name in SHOWN} for each in found]})


@blueprint.get("/<uuid:note_id>/mails/preview")
@operation("credit_notes", {200: correspondence_models.Preview}, problems=(404, 409))
def preview(note_id: UUID) -> Response:
    """The mail that would carry a credit note, as it would be sent now."""
    person = auth.actor()
    with services().database.session() as session:
        return reply(credit_mails.preview(session, person, note_id, customer_links(), auth.now()))
