"""/api/payments."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from flask import Blueprint, Response
from sqlalchemy.orm import Session

from core.payments import listing, manual, queries
from webapp import auth
from webapp.api import payment_models as shapes
from webapp.api.edge import once, reply
from webapp.openapi import operation
from webapp.services import services

blueprint = Blueprint("payments", __name__, url_prefix="/api/payments")


def _targets(given: Sequence[shapes.TargetInput]) -> list[manual.NewTarget]:
    return [manual.NewTarget(one.invoice_id, one.amount) for one in given]


@blueprint.get("")
@operation("payments", {200: shapes.Payments}, query=shapes.PaymentsQuery)
def index(query: shapes.PaymentsQuery) -> Response:
    """Payments, the newest money first unless sorted otherwise."""
    person = auth.actor()
    filters = listing.Filters(
        status=query.status,
        source=query.source,
        method=query.method,
        contact_id=query.contact_id,
        invoice_id=query.invoice_id,
        since=query.since,
        until=query.until,
        least=query.amount_min,
        most=query.amount_max,
        state=query.state,
        search=query.search,
    )
    with services().database.session() as session:
        return reply(
            listing.list_payments(session, person, filters, limit=query.limit, cursor=query.cursor, sort=query.sort)
        )


@blueprint.post("")
@operation("payments", {201: shapes.Payment}, body=shapes.PaymentInput, problems=(404, 409))
def create(body: shapes.PaymentInput) -> Response:
    """Write down money that came outside of any connection; the invoices that it names are paid at once."""
    person = auth.actor()
    new = manual.NewPayment(
        amount=body.amount,
        currency=body.currency,
        method=body.method,
        date=body.date,
        targets=_targets(body.targets),
        contact_id=body.contact_id,
        reference=body.reference,
        notes=body.notes,
    )

    def work(session: Session) -> tuple[dict[str, Any], int]:
        return manual.record(session, person, new, auth.now(), calendar=services().rules.calendar), 201

    return once(person, work)


@blueprint.get("/<uuid:payment_id>")
@operation("payments", {200: shapes.Payment}, problems=(404,))
def show(payment_id: UUID) -> Response:
    """A payment with what it pays, what went back of it, and the deliveries that told of it."""
    person = auth.actor()
    with services().database.session() as session:
        return reply(queries.get_payment(session, person, payment_id))


@blueprint.put("/<uuid:payment_id>")
@operation("payments", {200: shapes.Payment}, body=shapes.PaymentUpdate, problems=(404, 409))
def update(payment_id: UUID, body: shapes.PaymentUpdate) -> Response:
    """Change a payment by hand, or the notes of any; with `targets`, what it pays. Its invoices follow at once."""
    person = auth.actor()
    changes = manual.PaymentChanges(
        amount=body.amount,
        date=body.date,
        method=body.method,
        reference=body.reference,
        notes=body.notes,
        targets=None if body.targets is None else _targets(body.targets),
    )
    with services().database.session() as session:
        return reply(
            manual.edit(
                session,
                person,
                payment_id,
                changes,
                auth.now(),
                expected_version=body.expected_version,
                calendar=services().rules.calendar,
            )
        )


@blueprint.delete("/<uuid:payment_id>")
@operation("payments", {200: shapes.Payment}, query=shapes.DeleteQuery, problems=(404, 409))
def delete(payment_id: UUID, query: shapes.DeleteQuery) -> Response:
    """Take a payment by hand back: it stays, cancelled, and its invoices are due again."""
    person = auth.actor()
    with services().database.session() as session:
        return reply(
            manual.delete(
                session, person, payment_id, auth.now(), reason=query.reason, calendar=services().rules.calendar
            )
        )


@blueprint.post("/<uuid:payment_id>/refund")
@operation("payments", {201: shapes.Payment}, body=shapes.RefundInput, problems=(404, 409))
def refund(payment_id: UUID, body: shapes.RefundInput) -> Response:
    """Write down money that was given back by hand. A gateway's payment is refunded at the gateway."""
    person = auth.actor()
    new = manual.NewRefund(
        amount=body.amount,
        method=body.method,
        date=body.date,
        invoice_id=body.invoice_id,
        reference=body.reference,
        notes=body.notes,
    )

    def work(session: Session) -> tuple[dict[str, Any], int]:
        return manual.refund(session, person, payment_id, new, auth.now(), calendar=services().rules.calendar), 201

    return once(person, work)


@blueprint.delete("/<uuid:payment_id>/refunds/<uuid:refund_id>")
@operation("payments", {200: shapes.Payment}, problems=(404, 409))
def take_refund_back(payment_id: UUID, refund_id: UUID) -> Response:
    """Say that money noted as given back was not."""
    person = auth.actor()
    with services().database.session() as session:
        return reply(
            manual.take_refund_back(
                session, person, payment_id, refund_id, auth.now(), calendar=services().rules.calendar
            )
        )


@blueprint.post("/<uuid:payment_id>/allocate")
@operation("payments", {200: shapes.Payment}, body=shapes.AllocateInput, problems=(404, 409))
def allocate(payment_id: UUID, body: shapes.AllocateInput) -> Response:
    """Apply what is left of a payment to other invoices of the same customer and currency."""
    person = auth.actor()

    def work(session: Session) -> tuple[dict[str, Any], int]:
        targets = _targets(body.targets)
        return manual.allocate(
            session, person, payment_id, targets, auth.now(), calendar=services().rules.calendar
        ), 200

    return once(person, work)


@blueprint.post("/apply-credit")
@operation("payments", {200: shapes.CreditApplied}, body=shapes.CreditInput, problems=(404, 409))
def apply_credit(body: shapes.CreditInput) -> Response:
    """Apply a customer's credit, whichever payments it is left of, to invoices of theirs."""
    person = auth.actor()

    def work(session: Session) -> tuple[dict[str, Any], int]:
        used = manual.allocate_credit(
            session, person, body.contact_id, _targets(body.targets), auth.now(), calendar=services().rules.calendar
        )
        return {"payment_ids": [str(identity) for identity in used]}, 200

    return once(person, work)
