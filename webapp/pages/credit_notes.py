"""Credit notes: from an invoice, the list, and one of them."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from flask import Response, current_app, flash, make_response, redirect, request, url_for

from core.correspondence import bounces, credit_mails
from core.edits import StaleEdit
from core.errors import Conflict, Invalid
from core.identity import Role
from core.invoicing import credit_drafts, links, numbering, queries
from core.invoicing import credit_note_queries as reading
from core.invoicing import credit_notes as making
from core.invoicing.credit_notes import NewCreditNote
from core.marketplace import words
from core.money import exponent
from webapp import limits
from webapp.auth import page_login_required
from webapp.pages import blueprint, render
from webapp.pages.correspondence import MAIL_STATES, PAPERS
from webapp.pages.format import decimal, spoken
from webapp.pages.forms import Form
from webapp.pages.invoice_forms import MOST_LINES, UNITS, read_items, typed
from webapp.pages.shell import Look, choice, cursor, limit, looking, only, search
from webapp.services import services

STATUSES = {"issued": "Issued", "void": "Cancelled"}
_LABELS = {"reason": "Reason", "issue_date": "Date", "series": "Number series", "notes": "Notes"}


@blueprint.get("/credit-notes")
@page_login_required
def credit_notes() -> Response:
    """Credit notes made, or for a buyer those received, newest first."""
    status = choice("status", STATUSES)
    with looking() as look:
        only(look, Role.SELLER, Role.BUYER, Role.OPERATOR)
        found = reading.list_credit_notes(
            look.db, look.actor, limit=limit(), cursor=cursor(), status=status, search=search()
        )
        return look.show(
            "pages/credit_notes.html",
            **found,
            status=status,
            statuses=STATUSES,
            search=search(),
            drafts=credit_drafts.drafts(look.db, look.actor),
        )


@blueprint.get("/credit-notes/<uuid:note_id>")
@page_login_required
def credit_note(note_id: UUID) -> Response:
    """One credit note: its lines, and where its credit went."""
    with looking() as look:
        note = reading.get_credit_note(look.db, look.actor, note_id)
        mails = bounce = None
        if look.actor.role is not Role.BUYER:
            mails = credit_mails.about(look.db, look.actor, note)
            bounce = bounces.of_address(look.db, UUID(note["seller"]["id"]), note["contact"]["email"])
        return look.show("pages/credit_note.html", note=note, mails=mails, bounce=bounce, states=MAIL_STATES)


@blueprint.get("/credit-notes/<uuid:note_id>/mail")
@page_login_required
def mail_credit_note(note_id: UUID) -> Response:
    """The mail that would carry it, and the form that sends it."""
    with looking() as look:
        only(look, Role.SELLER)
        note = reading.get_credit_note(look.db, look.actor, note_id)
        shown = credit_mails.preview(look.db, look.actor, note_id, links.of(services().settings), look.now)
        return look.show("pages/credit_note_mail.html", note=note, preview=shown, papers=PAPERS, form=Form({}))


@blueprint.post("/credit-notes/<uuid:note_id>/send")
@limits.send_limit
@page_login_required
def send_credit_note(note_id: UUID) -> Response:
    """Mail the credit note. `to` and `message` may be left out."""
    form, target = Form(request.form), url_for("pages.credit_note", note_id=note_id)
    try:
        with looking() as look:
            only(look, Role.SELLER)
            made = credit_mails.send(
                look.db,
                look.actor,
                note_id,
                links.of(services().settings),
                look.now,
                to=form.raw("to") or None,
                message=form.raw("message"),
            )
    except (Conflict, Invalid) as error:
        return render.refused(spoken(str(error), "INR"), target, 409 if isinstance(error, Conflict) else 422)
    current_app.extensions["ledgerwire.inlet"].ringer.ring("mail")
    return render.done(f"{made['credit_number']} is on its way to {made['to']}.", target)


def form_page(
    look: Look,
    invoice: dict[str, Any],
    form: Form,
    lines: list[dict[str, str]],
    status: int = 200,
    *,
    draft: dict[str, Any] | None = None,
    version: int | None = None,
    stale: StaleEdit | None = None,
) -> Response:
    """The form, of a new note or of a draft that was read at `version`."""
    series = numbering.list_series(look.db, look.actor.id, "credit_note")
    left = reading.left_of(look.db, UUID(invoice["id"]), invoice["total"])
    return look.show(
        "pages/credit_note_form.html",
        status,
        invoice=invoice,
        left=left,
        whole=left == invoice["total"],
        by_hand=words.rooms(look.db, [UUID(invoice["id"])]).get(UUID(invoice["id"])),
        form=form,
        lines=lines,
        labels=_LABELS,
        series={one.prefix: one.prefix for one in series},
        default_series=next((one.prefix for one in series if one.is_default), ""),
        units=UNITS,
        exponents={invoice["currency"]: exponent(invoice["currency"])},
        most_lines=MOST_LINES,
        today=look.now.date(),
        draft=draft,
        version=version,
        stale=stale,
    )


def filled(form: Form, lines: list[dict[str, str]], invoice: dict[str, Any]) -> NewCreditNote | None:
    """What was typed; None when something of it cannot be read."""
    items = None if form.raw("amount") == "whole" else read_items(form, lines, invoice["currency"])
    reason, issue_date = form.text("reason", "a reason", limit=500), form.day("issue_date", "a date")
    notes = form.text("notes", "notes", limit=5000, required=False)
    if not form or issue_date is None:
        return None
    return NewCreditNote(
        invoice_id=UUID(invoice["id"]),
        reason=reason,
        issue_date=issue_date,
        items=items,
        notes=notes,
        series=form.raw("series") or None,
    )


def as_typed(invoice: dict[str, Any], items: list[dict[str, Any]] | None = None) -> list[dict[str, str]]:
    """Lines as they would be typed: those of the invoice, or others in its currency."""
    return [
        {
            "description": item["description"],
            "hsn": item["hsn"],
            "quantity": item["quantity"],
            "unit": item["unit"],
            "unit_price": decimal(item["unit_price"], invoice["currency"]),
            "discount_rate": "" if item["discount_rate"] == "0" else item["discount_rate"],
            "tax_rate": "" if item["tax_rate"] == "0" else item["tax_rate"],
        }
        for item in (invoice["items"] if items is None else items)[:MOST_LINES]
    ]


@blueprint.get("/invoices/<uuid:invoice_id>/credit")
@page_login_required
def new_credit_note(invoice_id: UUID) -> Response:
    """The form, with the lines of the invoice."""
    with looking() as look:
        only(look, Role.SELLER)
        invoice = queries.get_invoice(look.db, look.actor, invoice_id)
        return form_page(look, invoice, Form({}), as_typed(invoice))


@blueprint.post("/invoices/<uuid:invoice_id>/credit")
@page_login_required
def create_credit_note(invoice_id: UUID) -> Response:
    """Issue the credit note; or, without JavaScript, add or take away a line."""
    form, lines, again = typed()
    with looking() as look:
        only(look, Role.SELLER)
        invoice = queries.get_invoice(look.db, look.actor, invoice_id)
        if again:
            return form_page(look, invoice, form, lines)
        new = filled(form, lines, invoice)
        if new is None:
            return form_page(look, invoice, form, lines, 422)
        keep = form.raw("keep") == "draft"
        try:
            with look.db.begin_nested():
                if keep:
                    made = credit_drafts.make(look.db, look.actor, new, look.now)
                else:
                    made = making.create(look.db, look.actor, new, look.now, calendar=services().rules.calendar)
        except Invalid as error:
            blame_note(form, error, invoice["currency"])
            return form_page(look, invoice, form, lines, 422)
        except Conflict as error:
            form.errors["form"] = spoken(str(error), invoice["currency"])
            return form_page(look, invoice, form, lines, 409)
    if keep:
        flash("The draft is kept. Nothing is credited by it.", "good")
        return make_response(redirect(url_for("pages.credit_draft", draft_id=made["id"]), 303))
    flash(f"{made['number']} was issued.", "good")
    return make_response(redirect(url_for("pages.credit_note", note_id=made["id"]), 303))


def blame_note(form: Form, error: Invalid, currency: str) -> None:
    """Put what was refused beside its field, or above the form."""
    name = error.field.replace(".", "-")
    if name == "items" or not (name in _LABELS or name in form.values):
        name = "form"
        error = Invalid("form", f"the lines {error.message}" if error.field == "items" else str(error))
    form.blame(error, {error.field: name}, currency)


@blueprint.post("/credit-notes/<uuid:note_id>/void")
@page_login_required
def void_credit_note(note_id: UUID) -> Response:
    """Take the credit note back."""
    target = url_for("pages.credit_note", note_id=note_id)
    try:
        with looking() as look:
            made = making.void(
                look.db,
                look.actor,
                note_id,
                look.now,
                reason=request.form.get("reason", "").replace("\x00", "")[:500],
                calendar=services().rules.calendar,
            )
    except Conflict as error:
        return render.refused(spoken(str(error), "INR"), target, 409)
    return render.done(f"{made['number']} is cancelled: what its credit paid is due again.", target)
