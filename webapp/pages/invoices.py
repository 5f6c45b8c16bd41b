"""One invoice, and what is done with it. The list is in webapp.pages.lists."""

from __future__ import annotations

from uuid import UUID

from flask import Response, make_response, redirect, url_for

from core.errors import Conflict, Invalid, NotFound
from core.identity import Role
from core.invoicing import invoices as making
from core.invoicing import queries
from core.marketplace import queries as market
from core.marketplace import words
from core.taxids.gstin import STATES
from webapp.auth import page_login_required
from webapp.pages import blueprint, correspondence, mirrored, render, talk
from webapp.pages.financing import REASONS as REJECT_REASONS
from webapp.pages.format import spoken
from webapp.pages.shell import looking, only

_OWNERS = frozenset({Role.SELLER, Role.OPERATOR})


@blueprint.get("/invoices/<uuid:invoice_id>")
@page_login_required
def invoice(invoice_id: UUID) -> Response:
    """One invoice: lines, what was paid, and everything that happened to it."""
    with looking(f"invoice:{invoice_id}") as look:
        try:
            found = queries.get_invoice(look.db, look.actor, invoice_id)
        except NotFound:
            if look.actor.role is not Role.INVESTOR:
                raise
            # An offer that came to nothing: whoever bid or had a slice may read what became of it, and no more.
            market.listing(look.db, look.actor, invoice_id)
            return make_response(redirect(url_for("pages.listing", invoice_id=invoice_id), 303))
        return look.show(
            "pages/invoice.html",
            invoice=found,
            reject_reasons=REJECT_REASONS,
            state_names=STATES,
            talk=talk.part(look, invoice_id),
            correspondence=correspondence.part(look, found),
            mirrored=mirrored.part(look, invoice_id),
            # What the seller may settle of it by hand is between them and the investors.
            by_hand=words.rooms(look.db, [invoice_id]).get(invoice_id) if look.actor.role in _OWNERS else None,
        )


def _do(invoice_id: UUID, verb: str) -> tuple[str, str]:
    """Carry out what a seller decided; returns the words for it and where to go then."""
    there = url_for("pages.invoice", invoice_id=invoice_id)
    with looking() as look:
        only(look, Role.SELLER)
        match verb:
            case "issue":
                made = making.issue(look.db, look.actor, invoice_id, look.now)
                return f"{made['number']} was made and is open for payment.", there
            case "void":
                made = making.void(look.db, look.actor, invoice_id, look.now)
                return f"{made['number']} was cancelled. Nothing is owed by it.", there
            case "delete":
                making.delete_draft(look.db, look.actor, invoice_id, look.now)
                return "The draft was deleted.", url_for("pages.invoices")
            case _:
                copy = making.duplicate(look.db, look.actor, invoice_id, look.now, today=look.now.date())
                return "This is a copy, as a draft.", url_for("pages.edit_invoice", invoice_id=copy["id"])


def _answer(invoice_id: UUID, verb: str) -> Response:
    try:
        message, target = _do(invoice_id, verb)
    except (Conflict, Invalid) as error:
        return render.refused(spoken(str(error), "INR"), url_for("pages.invoice", invoice_id=invoice_id), 409)
    return render.done(message, target, events={"live:invoice.updated": {}})


@blueprint.post("/invoices/<uuid:invoice_id>/issue")
@page_login_required
def issue_invoice(invoice_id: UUID) -> Response:
    """Give a draft its number: from now on it is owed."""
    return _answer(invoice_id, "issue")


@blueprint.post("/invoices/<uuid:invoice_id>/void")
@page_login_required
def void_invoice(invoice_id: UUID) -> Response:
    """Take an invoice back."""
    return _answer(invoice_id, "void")


@blueprint.post("/invoices/<uuid:invoice_id>/delete")
@page_login_required
def delete_invoice(invoice_id: UUID) -> Response:
    """Delete a draft for good."""
    return _answer(invoice_id, "delete")


@blueprint.post("/invoices/<uuid:invoice_id>/duplicate")
@page_login_required
def duplicate_invoice(invoice_id: UUID) -> Response:
    """Make a draft of the same lines for the same customer."""
    return _answer(invoice_id, "duplicate")
