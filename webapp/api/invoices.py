"""/api/invoices."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from flask import Blueprint, Response
from sqlalchemy.orm import Session

from core.invoicing import invoices, queries
from webapp import auth
from webapp.api import models
from webapp.api.edge import once, reply
from webapp.openapi import operation
from webapp.services import services

blueprint = Blueprint("invoices", __name__, url_prefix="/api/invoices")


@blueprint.get("")
@operation("invoices", {200: models.Invoices}, query=models.InvoicesQuery)
def index(query: models.InvoicesQuery) -> Response:
    """Invoices that I sent (sellers), owe (buyers) or have money in (investors), newest first."""
    person = auth.actor()
    with services().database.session() as session:
        return reply(
            queries.list_invoices(
                session,
                person,
                limit=query.limit,
                cursor=query.cursor,
                status=query.status,
                payment_status=query.payment_status,
                search=query.search,
            )
        )


@blueprint.post("")
@operation("invoices", {201: models.Invoice}, body=models.InvoiceInput, problems=(409,))
def create(body: models.InvoiceInput) -> Response:
    """Make an invoice. Payments that came before and name it are applied at once."""
    person = auth.actor()
    new = invoices.NewInvoice(
        contact_name=body.contact.name,
        contact_email=body.contact.email,
        currency=body.currency,
        issue_date=body.issue_date,
        due_date=body.due_date,
        items=[
            invoices.NewItem(
                description=item.description,
                quantity=item.quantity,
                unit_price=item.unit_price,
                tax_rate=item.tax_rate,
            )
            for item in body.items
        ],
        notes=body.notes,
        payment_terms=body.payment_terms,
    )

    def work(session: Session) -> tuple[dict[str, Any], int]:
        return invoices.create(session, person, new, auth.now(), draft=body.draft), 201

    return once(person, work)


@blueprint.get("/<uuid:invoice_id>")
@operation("invoices", {200: models.Invoice}, problems=(404,))
def show(invoice_id: UUID) -> Response:
    """An invoice with its lines, payments and history."""
    person = auth.actor()
    with services().database.session() as session:
        return reply(queries.get_invoice(session, person, invoice_id))


@blueprint.put("/<uuid:invoice_id>")
@operation("invoices", {200: models.Invoice}, body=models.InvoiceUpdate, problems=(404, 409))
def update(invoice_id: UUID, body: models.InvoiceUpdate) -> Response:
    """Change due date, notes or terms. What is owed never changes: void the invoice and make another."""
    person = auth.actor()
    with services().database.session() as session:
        return reply(
            invoices.update(
                session,
                person,
                invoice_id,
                auth.now(),
                due_date=body.due_date,
                notes=body.notes,
                payment_terms=body.payment_terms,
            )
        )


@blueprint.delete("/<uuid:invoice_id>")
@operation("invoices", {200: models.Invoice}, problems=(404, 409))
def delete(invoice_id: UUID) -> Response:
    """Void an invoice towards which nothing was paid. Its number stays taken."""
    person = auth.actor()
    with services().database.session() as session:
        return reply(invoices.void(session, person, invoice_id, auth.now()))


@blueprint.get("/<uuid:invoice_id>/payments")
@operation("invoices", {200: models.InvoicePayments}, problems=(404,))
def payments(invoice_id: UUID) -> Response:
    """The payments towards an invoice, newest first."""
    person = auth.actor()
    with services().database.session() as session:
        return reply({"items": queries.get_invoice(session, person, invoice_id)["payments"]})


@blueprint.get("/<uuid:invoice_id>/activity")
@operation("invoices", {200: models.InvoiceActivity}, problems=(404,))
def activity(invoice_id: UUID) -> Response:
    """What happened to an invoice, newest first."""
    person = auth.actor()
    with services().database.session() as session:
        return reply({"items": queries.get_invoice(session, person, invoice_id)["history"]})
