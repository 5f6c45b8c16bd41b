"""/api/invoices."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields
from typing import Any
from uuid import UUID

from flask import Blueprint, Response, request
from sqlalchemy.orm import Session

from core.errors import Invalid
from core.invoicing import invoices, queries
from core.invoicing.filters import Filters
from core.invoicing.inputs import CONTACT_FIELDS, InvoiceChanges, NewInvoice
from core.invoicing.totals import NewItem
from webapp import auth
from webapp.api import invoice_models as models
from webapp.api.edge import once, reply
from webapp.openapi import operation
from webapp.services import services

blueprint = Blueprint("invoices", __name__, url_prefix="/api/invoices")
_MAX_VERSION = 2**31 - 1


@blueprint.get("")
@operation("invoices", {200: models.Invoices}, query=models.InvoicesQuery)
def index(query: models.InvoicesQuery) -> Response:
    """Invoices that I sent (sellers), owe (buyers) or have money in (investors), newest first."""
    person = auth.actor()
    asked = Filters(**{field.name: getattr(query, field.name) for field in fields(Filters)})
    with services().database.session() as session:
        return reply(queries.list_invoices(session, person, limit=query.limit, cursor=query.cursor, filters=asked))


def _items(given: Sequence[models.ItemInput]) -> list[NewItem]:
    return [NewItem(**item.model_dump()) for item in given]


def _contact(given: models.ContactInput | models.ContactChanges | models.PreviewContact | None) -> dict[str, Any]:
    """The fields of NewInvoice that say who owes."""
    if given is None:
        return {}
    named = {"contact_name": "name", "contact_email": "email", **CONTACT_FIELDS}
    found = {ours: getattr(given, theirs, None) for ours, theirs in named.items()}
    return {name: value for name, value in found.items() if value is not None}


def _new(body: models.InvoiceInput) -> NewInvoice:
    if (body.contact is None) is (body.contact_id is None):
        raise Invalid("contact", "either contact or contact_id must be given")
    given = body.model_dump(exclude={"contact", "items", "number", "draft"})
    return NewInvoice(**given, **_contact(body.contact), items=_items(body.items))


@blueprint.post("")
@operation("invoices", {201: models.Invoice}, body=models.InvoiceInput, problems=(409,))
def create(body: models.InvoiceInput) -> Response:
    """Make an invoice. Payments that came before and name it are applied at once."""
    person, new = auth.actor(), _new(body)

    def work(session: Session) -> tuple[dict[str, Any], int]:
        return invoices.create(session, person, new, auth.now(), draft=body.draft, number=body.number), 201

    return once(person, work)


@blueprint.post("/preview")
@operation("invoices", {200: models.InvoicePreview}, body=models.PreviewInput)
def preview(body: models.PreviewInput) -> Response:
    """What an invoice would come to. Nothing is written."""
    person, today = auth.actor(), auth.now().date()
    given = body.model_dump(exclude={"contact", "items"})
    new = NewInvoice(**given, **_contact(body.contact), items=_items(body.items), issue_date=today, due_date=today)
    with services().database.session() as session:
        return reply(invoices.preview(session, person, new).plain())


@blueprint.get("/<uuid:invoice_id>")
@operation("invoices", {200: models.Invoice}, problems=(404,))
def show(invoice_id: UUID) -> Response:
    """An invoice with its lines, payments and history. Its version is the ETag."""
    person = auth.actor()
    with services().database.session() as session:
        found = queries.get_invoice(session, person, invoice_id)
    answer = reply(found)
    answer.headers["ETag"] = f'"{found["version"]}"'
    return answer


def _expected(given: int | None) -> int | None:
    """The version that was read: of the body, else of If-Match. Raises Invalid."""
    header = request.headers.get("If-Match", "*").strip()
    if given is not None or header == "*":
        return given
    digits = header.removeprefix("W/").strip('"')
    if not (digits.isascii() and digits.isdigit() and len(digits) <= 10 and int(digits) <= _MAX_VERSION):
        raise Invalid("If-Match", 'must be the version that was read, such as "3"')
    return int(digits)


@blueprint.put("/<uuid:invoice_id>")
@operation("invoices", {200: models.Invoice}, body=models.InvoiceUpdate, problems=(404, 409))
def update(invoice_id: UUID, body: models.InvoiceUpdate) -> Response:
    """Change an invoice: all of it while nothing is paid or financed, later the words and the due date."""
    person = auth.actor()
    given = body.model_dump(exclude={"contact", "items", "version"})
    changes = InvoiceChanges(
        **given, **_contact(body.contact), items=None if body.items is None else _items(body.items)
    )
    with services().database.session() as session:
        expected = _expected(body.version)
        return reply(invoices.update(session, person, invoice_id, changes, auth.now(), expected_version=expected))


@blueprint.delete("/<uuid:invoice_id>")
@operation("invoices", {200: models.Invoice}, problems=(404, 409))
def delete(invoice_id: UUID) -> Response:
    """Delete a draft for good, or void an issued invoice towards which nothing was paid: its number stays taken."""
    person, expected = auth.actor(), _expected(None)
    with services().database.session() as session:
        found = queries.get_invoice(session, person, invoice_id)
        end = invoices.delete_draft if found["payment_status"] == "draft" else invoices.void
        return reply(end(session, person, invoice_id, auth.now(), expected_version=expected))


@blueprint.post("/<uuid:invoice_id>/issue")
@operation("invoices", {200: models.Invoice}, body=models.VersionInput, problems=(404, 409))
def issue(invoice_id: UUID, body: models.VersionInput) -> Response:
    """Open a draft for payment: it gets its number, and its buyer sees it. A repeat changes nothing."""
    person, expected = auth.actor(), _expected(body.version)

    def work(session: Session) -> tuple[dict[str, Any], int]:
        return invoices.issue(session, person, invoice_id, auth.now(), expected_version=expected), 200

    return once(person, work)


@blueprint.post("/<uuid:invoice_id>/void")
@operation("invoices", {200: models.Invoice}, body=models.VersionInput, problems=(404, 409))
def void(invoice_id: UUID, body: models.VersionInput) -> Response:
    """Void an issued invoice towards which nothing was paid. Its number stays taken. A repeat changes nothing."""
    person, expected = auth.actor(), _expected(body.version)

    def work(session: Session) -> tuple[dict[str, Any], int]:
        return invoices.void(session, person, invoice_id, auth.now(), expected_version=expected), 200

    return once(person, work)


@blueprint.post("/<uuid:invoice_id>/duplicate")
@operation("invoices", {201: models.Invoice}, problems=(404, 409))
def duplicate(invoice_id: UUID) -> Response:
    """A new draft that says the same, dated today."""
    person = auth.actor()

    def work(session: Session) -> tuple[dict[str, Any], int]:
        now = auth.now()
        return invoices.duplicate(session, person, invoice_id, now, today=now.date()), 201

    return once(person, work)


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
    """What happened to an invoice, newest first: who, when, and what it was before."""
    person = auth.actor()
    with services().database.session() as session:
        return reply({"items": queries.get_invoice(session, person, invoice_id)["history"]})
