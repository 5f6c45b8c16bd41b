"""Documents of the books: PDF and UBL. Whoever may read the thing may have its paper."""

from __future__ import annotations

from datetime import timedelta
from uuid import UUID

from flask import Blueprint, Response

from core.documents import ubl_xml
from core.errors import Conflict, NotFound
from core.identity import Role
from core.invoicing import profiles, queries
from webapp import auth, limits, papers
from webapp.api.document_models import PaperQuery, StatementQuery
from webapp.openapi import operation
from webapp.services import services

blueprint = Blueprint("documents", __name__, url_prefix="/api")

_XML = "application/xml; charset=utf-8"
_STATEMENT_DAYS = 365


@blueprint.get("/invoices/<uuid:invoice_id>/pdf")
@limits.paper_limit
@operation("documents", {200: None}, query=PaperQuery, problems=(404,))
def invoice(invoice_id: UUID, query: PaperQuery) -> Response:
    """An invoice as PDF. A draft says that it is one."""
    person = auth.actor()
    with services().database.session() as session:
        paper, name = papers.invoice(session, person, invoice_id)
    return papers.respond(paper, name, download=query.download)


@blueprint.get("/invoices/<uuid:invoice_id>/ubl")
@operation("documents", {200: None}, problems=(404, 409))
def invoice_ubl(invoice_id: UUID) -> Response:
    """An issued invoice as UBL 2.1, in the shape of EN 16931 as far as the books know its fields."""
    person = auth.actor()
    with services().database.session() as session:
        view = queries.get_invoice(session, person, invoice_id)
        if person.role is Role.INVESTOR:
            # It names both parties' numbers and accounts, which are between the two.
            raise NotFound("invoice", invoice_id)
        profile = profiles.profile(session, UUID(view["seller"]["id"])).plain()
    if view["number"] is None:
        raise Conflict("a draft is no invoice yet; issue it first")
    return papers.download(ubl_xml(view, profile), _XML, papers.file_name("invoice", view["number"], "xml"))


@blueprint.get("/credit-notes/<uuid:note_id>/pdf")
@limits.paper_limit
@operation("documents", {200: None}, query=PaperQuery, problems=(404,))
def credit_note(note_id: UUID, query: PaperQuery) -> Response:
    """A credit note as PDF."""
    person = auth.actor()
    with services().database.session() as session:
        paper, name = papers.credit_note(session, person, note_id)
    return papers.respond(paper, name, download=query.download)


@blueprint.get("/credit-notes/<uuid:note_id>/ubl")
@operation("documents", {200: None}, problems=(404,))
def credit_note_ubl(note_id: UUID) -> Response:
    """A credit note as UBL 2.1."""
    from core.invoicing import credit_note_queries  # noqa: PLC0415 - not every request needs it.

    person = auth.actor()
    with services().database.session() as session:
        view = credit_note_queries.get_credit_note(session, person, note_id)
        profile = profiles.profile(session, UUID(view["seller"]["id"])).plain()
    content = ubl_xml(view, profile, credit_note=True)
    return papers.download(content, _XML, papers.file_name("credit-note", view["number"], "xml"))


@blueprint.get("/payments/<uuid:payment_id>/receipt")
@limits.paper_limit
@operation("documents", {200: None}, query=PaperQuery, problems=(404, 409))
def receipt(payment_id: UUID, query: PaperQuery) -> Response:
    """A receipt of a payment as PDF. A buyer's says what it paid of theirs."""
    person = auth.actor()
    with services().database.session() as session:
        paper, name = papers.receipt(session, person, payment_id)
    return papers.respond(paper, name, download=query.download)


@blueprint.get("/contacts/<uuid:contact_id>/statement.pdf")
@limits.paper_limit
@operation("documents", {200: None}, query=StatementQuery, problems=(404,))
def statement(contact_id: UUID, query: StatementQuery) -> Response:
    """A customer's statement of account as PDF, at most a year of it unless another first day is named."""
    person, until = auth.actor(), query.until or auth.now().date()
    since = query.since or until - timedelta(days=_STATEMENT_DAYS)
    with services().database.session() as session:
        paper, name = papers.statement(session, person, contact_id, since=since, until=until, currency=query.currency)
    return papers.respond(paper, name, download=query.download)
