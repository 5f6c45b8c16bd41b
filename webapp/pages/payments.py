"""Payments: the list and one of them."""

from __future__ import annotations

from uuid import UUID

from flask import Response

from core.payments import listing, queries
from webapp.auth import page_login_required
from webapp.pages import blueprint
from webapp.pages.shell import choice, cursor, limit, looking

STATUSES = {"succeeded": "Received", "pending": "Pending", "failed": "Failed", "cancelled": "Cancelled"}


@blueprint.get("/payments")
@page_login_required
def payments() -> Response:
    """Money towards invoices, newest first."""
    status = choice("status", STATUSES)
    with looking() as look:
        found = listing.list_payments(
            look.db, look.actor, listing.Filters(status=status), limit=limit(), cursor=cursor()
        )
        return look.show("pages/payments.html", **found, status=status, statuses=STATUSES)


@blueprint.get("/payments/<uuid:payment_id>")
@page_login_required
def payment(payment_id: UUID) -> Response:
    """One payment: what it pays and how we know of it."""
    with looking() as look:
        return look.show("pages/payment.html", payment=queries.get_payment(look.db, look.actor, payment_id))
