"""Payments and payouts: the lists and one of each."""

from __future__ import annotations

from datetime import date, timedelta
from uuid import UUID

from flask import Response, request

from core.errors import Invalid
from core.identity import Role
from core.ids import parse_id
from core.payments import listing, payout_queries, queries
from webapp.auth import page_login_required
from webapp.pages import blueprint
from webapp.pages.shell import choice, cursor, limit, looking, only, search

STATUSES = {"succeeded": "Received", "pending": "Pending", "failed": "Failed", "cancelled": "Cancelled"}
SOURCES = {"gateway": "Gateways", "bank": "Bank", "manual": "By hand", "credit_note": "Credit notes"}
METHODS = {
    "bank_transfer": "Bank transfer",
    "upi": "UPI",
    "cash": "Cash",
    "cheque": "Cheque",
    "card": "Card",
    "tds_withheld": "TDS kept back",
    "other": "Other",
}
STATES = {"unapplied": "With credit left", "disputed": "Disputed"}
SORTS = {"-date": "Newest first", "date": "Oldest first", "-amount": "Largest first", "amount": "Smallest first"}
PAYOUT_STATUSES = {"paid": "Paid", "pending": "On the way", "failed": "Failed", "reversed": "Went back"}
_FEE_DAYS = timedelta(days=365)


def _day(name: str) -> date | None:
    try:
        return date.fromisoformat(request.args.get(name, ""))
    except ValueError:
        return None


def _filters() -> listing.Filters:
    return listing.Filters(
        status=choice("status", STATUSES),
        source=choice("source", SOURCES),
        method=choice("method", METHODS),
        state="unapplied" if (state := choice("state", STATES)) == "unapplied" else "disputed" if state else None,
        contact_id=parse_id(request.args.get("contact", "")),
        invoice_id=parse_id(request.args.get("invoice", "")),
        since=_day("from"),
        until=_day("to"),
        search=search(),
    )


@blueprint.get("/payments")
@page_login_required
def payments() -> Response:
    """Money towards invoices, newest first unless sorted otherwise."""
    asked, sort = _filters(), choice("sort", SORTS)
    with looking() as look:
        only(look, Role.SELLER, Role.BUYER, Role.OPERATOR)
        try:
            found = listing.list_payments(look.db, look.actor, asked, limit=limit(), cursor=cursor(), sort=sort)
        except Invalid:
            # An address that was typed: of a year that there is not, or of another order's page.
            found = {"items": [], "next_cursor": None}
        return look.show(
            "pages/payments.html",
            **found,
            asked=asked,
            sort=sort,
            statuses=STATUSES,
            sources=SOURCES,
            methods=METHODS,
            states=STATES,
            sorts=SORTS,
            filtered=asked != listing.Filters(),
        )


@blueprint.get("/payments/<uuid:payment_id>")
@page_login_required
def payment(payment_id: UUID) -> Response:
    """One payment: what it pays, what went back of it, and how we know of it."""
    with looking() as look:
        only(look, Role.SELLER, Role.BUYER, Role.OPERATOR)
        return look.show(
            "pages/payment.html", payment=queries.get_payment(look.db, look.actor, payment_id), methods=METHODS
        )


@blueprint.get("/payouts")
@page_login_required
def payouts() -> Response:
    """Collected money on its way to the bank, newest first."""
    status = choice("status", PAYOUT_STATUSES)
    with looking() as look:
        only(look, Role.SELLER, Role.OPERATOR)
        found = payout_queries.list_payouts(look.db, look.actor, limit=limit(), cursor=cursor(), status=status)
        kept = [] if look.actor.is_operator else payout_queries.fees(look.db, look.actor, look.now - _FEE_DAYS)
        return look.show("pages/payouts.html", **found, status=status, statuses=PAYOUT_STATUSES, fees=kept)


@blueprint.get("/payouts/<uuid:payout_id>")
@page_login_required
def payout(payout_id: UUID) -> Response:
    """One payout with the payments less fees that it holds."""
    with looking() as look:
        only(look, Role.SELLER, Role.OPERATOR)
        return look.show("pages/payout.html", payout=payout_queries.get_payout(look.db, look.actor, payout_id))
