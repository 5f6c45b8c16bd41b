"""An invoice to be printed from a browser: what its PDF shows, as a page of paper."""

from __future__ import annotations

from uuid import UUID

from flask import Response

from webapp import papers
from webapp.auth import page_login_required
from webapp.pages import blueprint
from webapp.pages.shell import looking


@blueprint.get("/invoices/<uuid:invoice_id>/print")
@page_login_required
def print_invoice(invoice_id: UUID) -> Response:
    """The invoice without anything around it."""
    with looking() as look:
        paper, _ = papers.invoice(look.db, look.actor, invoice_id)
        return look.show("pages/print.html", paper=paper.data, invoice_id=invoice_id)
