"""What is done with a payment by hand: money given back, credit applied, and taking it back."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from flask import Response, flash, request, url_for

from core.contacts import queries as contacts
from core.errors import Conflict, Invalid, NotFound
from core.identity import Role
from core.ids import parse_id
from core.money import exponent
from core.payments import due, manual
from webapp.auth import page_login_required
from webapp.pages import blueprint, render
from webapp.pages.format import decimal
from webapp.pages.forms import Form
from webapp.pages.payment_forms import LABELS, back_to, calendar, held, method_of, refuse, targets_of
from webapp.pages.payments import METHODS
from webapp.pages.shell import Look, looking, only

REFUND_METHODS = {name: label for name, label in METHODS.items() if name != "tds_withheld"}


@blueprint.get("/payments/<uuid:payment_id>/delete")
@page_login_required
def ask_delete(payment_id: UUID) -> Response:
    """The question before a payment by hand is taken back."""
    with looking() as look:
        return look.show("pages/payment_delete.html", payment=held(look, payment_id), form=Form({}))


@blueprint.post("/payments/<uuid:payment_id>/delete")
@page_login_required
def delete_payment(payment_id: UUID) -> Response:
    """Take a payment by hand back."""
    form = Form(request.form)
    with looking() as look:
        payment = held(look, payment_id)
        reason = form.raw("reason")
        try:
            with look.db.begin_nested():
                manual.delete(look.db, look.actor, payment_id, look.now, reason=reason, calendar=calendar())
        except (Invalid, Conflict) as error:
            refuse(form, error, [], payment["currency"])
            return look.show("pages/payment_delete.html", 422, payment=payment, form=form)
    flash("The payment was deleted; its invoices are due again.", "good")
    return back_to(payment_id)


def _refund_page(look: Look, form: Form, payment: dict[str, Any], status: int = 200) -> Response:
    return look.show(
        "pages/payment_refund.html",
        status,
        form=form,
        labels=LABELS,
        methods=REFUND_METHODS,
        payment=payment,
        day=look.now.date().isoformat(),
    )


@blueprint.get("/payments/<uuid:payment_id>/refund")
@page_login_required
def ask_refund(payment_id: UUID) -> Response:
    """The form for money that was given back."""
    with looking() as look:
        payment = held(look, payment_id)
        suggested = payment["unapplied"] or payment["net"]
        return _refund_page(look, Form({"amount": decimal(suggested, payment["currency"])}), payment)


@blueprint.post("/payments/<uuid:payment_id>/refund")
@page_login_required
def refund_payment(payment_id: UUID) -> Response:
    """Write down that money went back."""
    form = Form(request.form)
    with looking() as look:
        payment = held(look, payment_id)
        amount, day = form.amount("amount", "an amount", payment["currency"]), form.day("date", "a day")
        method = method_of(form, REFUND_METHODS)
        if not form or amount is None or day is None:
            return _refund_page(look, form, payment, 422)
        new = manual.NewRefund(
            amount=amount,
            method=method,
            date=day,
            invoice_id=parse_id(form.raw("from")),
            reference=form.raw("reference"),
            notes=form.raw("notes"),
        )
        try:
            with look.db.begin_nested():
                manual.refund(look.db, look.actor, payment_id, new, look.now, calendar=calendar())
        except (Invalid, Conflict, NotFound) as error:
            refuse(form, error, [], payment["currency"])
            return _refund_page(look, form, payment, 422)
    flash("The refund was written down.", "good")
    return back_to(payment_id)


@blueprint.post("/payments/<uuid:payment_id>/refunds/<uuid:refund_id>/undo")
@page_login_required
def undo_refund(payment_id: UUID, refund_id: UUID) -> Response:
    """Say that money noted as given back was not."""
    target = url_for("pages.payment", payment_id=payment_id)
    with looking() as look:
        only(look, Role.SELLER)
        try:
            with look.db.begin_nested():
                manual.take_refund_back(look.db, look.actor, payment_id, refund_id, look.now, calendar=calendar())
        except Conflict as error:
            return render.refused(str(error), target, 409)
    return render.done("The refund was taken back.", target)


def _apply_page(look: Look, form: Form, payment: dict[str, Any], status: int = 200) -> Response:
    return look.show(
        "pages/payment_apply.html",
        status,
        form=form,
        payment=payment,
        places=exponent(payment["currency"]),
        **_open(look, payment),
    )


def _open(look: Look, payment: dict[str, Any]) -> dict[str, Any]:
    """What a payment can still be applied to: its customer's due invoices, or whoever's while that is not known."""
    contact, offered = payment["contact"], []
    contact_id = UUID(contact["id"]) if contact else parse_id(request.values.get("contact", ""))
    if contact is None:
        offered = contacts.choices(look.db, look.actor)
    invoices = []
    if contact_id:
        word = payment["trust"] == "manual"
        invoices = due.due_invoices(look.db, look.actor, contact_id, payment["currency"], word=word)
    return {"offered": offered, "picked": contact_id, "invoices": invoices}


@blueprint.get("/payments/<uuid:payment_id>/apply")
@page_login_required
def ask_apply(payment_id: UUID) -> Response:
    """The form by which what is left of a payment goes to other invoices, the earliest due first."""
    with looking() as look:
        payment = held(look, payment_id)
        left, values = payment["unapplied"], {}
        for invoice in _open(look, payment)["invoices"]:
            part = min(left, invoice["may"])
            if part > 0:
                values[f"target-{invoice['id']}"] = decimal(part, payment["currency"])
            left -= part
        return _apply_page(look, Form(values), payment)


@blueprint.post("/payments/<uuid:payment_id>/apply")
@page_login_required
def apply_payment(payment_id: UUID) -> Response:
    """Apply it."""
    form = Form(request.form)
    with looking() as look:
        payment = held(look, payment_id)
        invoices = _open(look, payment)["invoices"]
        targets = targets_of(form, invoices, payment["currency"])
        if not form:
            return _apply_page(look, form, payment, 422)
        try:
            with look.db.begin_nested():
                manual.allocate(look.db, look.actor, payment_id, targets, look.now, calendar=calendar())
        except (Invalid, Conflict, NotFound) as error:
            refuse(form, error, targets, payment["currency"])
            return _apply_page(look, form, payment, 422)
    flash("The credit was applied.", "good")
    return back_to(payment_id)
