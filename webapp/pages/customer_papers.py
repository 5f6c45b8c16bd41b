"""Files behind the link in an invoice's mail: the invoice, its receipts, its credit notes."""

from __future__ import annotations

from uuid import UUID

from flask import Response

from core.correspondence import papers
from core.invoicing import links
from core.mail.message import Paper
from webapp import limits
from webapp.pages import blueprint
from webapp.pages.customer import behind_a_link, opened_by
from webapp.services import services


def _file(made: Paper) -> Response:
    answer = Response(made.content, 200, mimetype=made.media_type)
    answer.headers["Content-Disposition"] = f'attachment; filename="{made.name}"'
    answer.headers["Cache-Control"] = "no-store"
    return answer


@blueprint.get("/i/<token>/pdf")
@limits.paper_limit
@behind_a_link
def customer_pdf(token: str) -> Response:
    """The invoice as PDF."""
    with services().database.session() as session:
        opened = opened_by(session, token)
        setting = papers.invoice(session, opened.facts.invoice_id, links.of(services().settings))
    # After the session: no connection waits for the typesetter.
    return _file(setting())


@blueprint.get("/i/<token>/receipts/<uuid:payment_id>")
@limits.paper_limit
@behind_a_link
def customer_receipt(token: str, payment_id: UUID) -> Response:
    """The receipt of a payment towards this invoice, as far as it went there."""
    with services().database.session() as session:
        opened = opened_by(session, token)
        setting = papers.receipt(session, payment_id, [opened.facts.invoice_id])
    return _file(setting())


@blueprint.get("/i/<token>/credit-notes/<uuid:note_id>")
@limits.paper_limit
@behind_a_link
def customer_credit_note(token: str, note_id: UUID) -> Response:
    """A credit note for this invoice as PDF."""
    with services().database.session() as session:
        opened = opened_by(session, token)
        setting = papers.credit_note(session, note_id, opened.facts.invoice_id)
    return _file(setting())
