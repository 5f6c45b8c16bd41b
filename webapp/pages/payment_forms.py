"""Writing payments down: a new one, changes, money given back, credit applied, and taking one back."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from typing import Any
from uuid import UUID

from flask import Response, flash, make_response, redirect, request, url_for

from core.contacts import queries as contacts
from core.edits import StaleEdit
from core.errors import Conflict, Invalid, NotFound
from core.identity import Role
from core.ids import parse_id
from core.money import exponent
from core.payments import due, manual, queries
from webapp.auth import page_login_required
from webapp.pages import blueprint, render
from webapp.pages.format import decimal
from webapp.pages.forms import Form
from webapp.pages.payments import METHODS
from webapp.pages.shell import Look, looking, only
from webapp.services import services

REFUND_METHODS = {name: label for name, label in METHODS.items() if name != "tds_withheld"}
_LABELS = {
    "amount": "Amount",
    "date": "Date",
    "method": "Method",
    "reference": "Reference",
    "notes": "Notes",
    "contact": "Customer",
}
# Core's names of fields, and these forms'.
_FIELDS = {"contact_id": "contact", "targets": "form"}


def _back(payment_id: object) -> Response:
    return make_response(redirect(url_for("pages.payment", payment_id=payment_id), 303))


def _calendar() -> Any:
    return services().rules.calendar


def _targets(form: Form, invoices: list[dict[str, Any]], currency: str) -> list[manual.NewTarget]:
    """What was typed beside each invoice; nothing is nothing."""
    found = []
    for invoice in invoices:
        name = f"target-{invoice['id']}"
        amount = form.amount(name, "an amount", currency) if form.raw(name) else None
        if amount:
            found.append(manual.NewTarget(invoice["id"], amount))
    return found


def _blame(form: Form, error: Invalid, targets: list[manual.NewTarget], currency: str) -> None:
    """Put what core refused of a target beside its invoice."""
    parts = error.field.split(".")
    name = error.field
    if parts[0] == "targets" and len(parts) > 1 and parts[1].isdigit() and int(parts[1]) < len(targets):
        name = f"target-{targets[int(parts[1])].invoice_id}"
    form.blame(Invalid(name, error.message), _FIELDS, currency)


def _method(form: Form, allowed: Mapping[str, str]) -> str:
    method = form.raw("method")
    if method not in allowed:
        form.errors["method"] = "Choose how it was paid."
    return method


def _scene(look: Look) -> dict[str, Any]:
    """Whose payment it is to be, and for what: from the invoice or the customer in the address."""
    invoice_id, contact_id = parse_id(request.values.get("invoice", "")), parse_id(request.values.get("contact", ""))
    chosen = due.customer_of(look.db, look.actor, invoice_id) if invoice_id else None
    if invoice_id and chosen is None:
        raise NotFound("invoice", invoice_id)
    offered = contacts.choices(look.db, look.actor)
    wanted = chosen["contact_id"] if chosen else contact_id
    contact = next((one for one in offered if one["id"] == wanted), None)
    if contact is None:
        return {"contact": None, "offered": offered, "invoices": [], "currencies": [], "currency": "INR"}
    everything = due.due_invoices(look.db, look.actor, contact["id"])
    currencies = list(dict.fromkeys(one["currency"] for one in everything)) or [contact["currency"] or "INR"]
    asked = chosen["currency"] if chosen else request.values.get("currency", "")
    currency = asked if asked in currencies else currencies[0]
    return {
        "contact": contact,
        "offered": offered,
        "chosen": chosen,
        "currencies": currencies,
        "currency": currency,
        "invoices": [one for one in everything if one["currency"] == currency],
    }


def _new_page(look: Look, form: Form, scene: dict[str, Any], status: int = 200) -> Response:
    return look.show(
        "pages/payment_form.html",
        status,
        form=form,
        labels=_LABELS,
        methods=METHODS,
        day=look.now.date().isoformat(),
        payment=None,
        places=exponent(scene["currency"]),
        **scene,
    )


@blueprint.get("/payments/new")
@page_login_required
def new_payment() -> Response:
    """The form for money that came: first whose it is, then which of their invoices it is for."""
    with looking() as look:
        only(look, Role.SELLER)
        scene = _scene(look)
        return _new_page(look, Form(_suggested(scene)), scene)


def _suggested(scene: dict[str, Any]) -> dict[str, str]:
    """The amount of the invoice that the form was opened from."""
    if not scene.get("chosen") or not scene["chosen"]["amount_due"]:
        return {}
    owed = decimal(scene["chosen"]["amount_due"], scene["currency"])
    return {"amount": owed, f"target-{scene['chosen']['id']}": owed}


@blueprint.post("/payments/new")
@page_login_required
def create_payment() -> Response:
    """Write it down, or say what is wrong."""
    form = Form(request.form)
    with looking() as look:
        only(look, Role.SELLER)
        scene = _scene(look)
        if scene["contact"] is None:
            form.errors["contact"] = "Choose whose money it is."
            return _new_page(look, form, scene, 422)
        currency = scene["currency"]
        amount, day = form.amount("amount", "an amount", currency), form.day("date", "a day")
        method = _method(form, METHODS)
        targets = _targets(form, scene["invoices"], currency)
        if not form or amount is None or day is None:
            return _new_page(look, form, scene, 422)
        new = manual.NewPayment(
            amount=amount,
            currency=currency,
            method=method,
            date=day,
            contact_id=scene["contact"]["id"],
            targets=targets,
            reference=form.raw("reference"),
            notes=form.raw("notes"),
        )
        try:
            with look.db.begin_nested():
                made = manual.record(look.db, look.actor, new, look.now, calendar=_calendar())
        except (Invalid, Conflict, NotFound) as error:
            _refuse(form, error, targets, currency)
            return _new_page(look, form, scene, 422)
    if made["possible_duplicate_of"]:
        flash(
            "A payment with the same customer, amount, day and reference was there already. Is it the same money?",
            "warn",
        )
    flash("The payment was written down.", "good")
    return _back(made["id"])


def _refuse(form: Form, error: Exception, targets: list[manual.NewTarget], currency: str) -> None:
    if isinstance(error, Invalid):
        _blame(form, error, targets, currency)
    else:
        words = str(error)
        form.errors["form"] = f"{words[:1].upper()}{words[1:]}."


def _held(look: Look, payment_id: UUID) -> dict[str, Any]:
    only(look, Role.SELLER)
    return queries.get_payment(look.db, look.actor, payment_id)


def _edit_scene(look: Look, payment: dict[str, Any]) -> dict[str, Any]:
    contact = payment["contact"]
    targets = [UUID(one["invoice"]["id"]) for one in payment["targets"]]
    invoices = (
        due.due_invoices(look.db, look.actor, UUID(contact["id"]), payment["currency"], targets) if contact else []
    )
    return {"contact": contact, "currency": payment["currency"], "currencies": [], "offered": [], "invoices": invoices}


def _edit_page(look: Look, form: Form, payment: dict[str, Any], status: int = 200, stale: Any = None) -> Response:
    return look.show(
        "pages/payment_form.html",
        status,
        form=form,
        labels=_LABELS,
        methods=METHODS,
        day=None,
        payment=payment,
        stale=stale,
        places=exponent(payment["currency"]),
        **_edit_scene(look, payment),
    )


@blueprint.get("/payments/<uuid:payment_id>/edit")
@page_login_required
def edit_payment(payment_id: UUID) -> Response:
    """The form with what it says now."""
    with looking() as look:
        payment = _held(look, payment_id)
        values = {
            "amount": decimal(payment["amount"], payment["currency"]),
            "date": payment["occurred_at"].date().isoformat(),
            "method": payment["method"] or "other",
            "reference": payment["bank_reference"] or "",
            "notes": payment["notes"],
            "version": str(payment["version"]),
        }
        for target in payment["targets"]:
            values[f"target-{target['invoice']['id']}"] = decimal(target["amount"], payment["currency"])
        return _edit_page(look, Form(values), payment)


@blueprint.post("/payments/<uuid:payment_id>/edit")
@page_login_required
def save_payment(payment_id: UUID) -> Response:
    """Change it; or say what is wrong, or what somebody else changed meanwhile."""
    form = Form(request.form)
    with looking() as look:
        payment = _held(look, payment_id)
        scene = _edit_scene(look, payment)
        currency = payment["currency"]
        by_hand = payment["source"] == "manual"
        targets = _targets(form, scene["invoices"], currency) if by_hand else None
        amount = form.amount("amount", "an amount", currency) if by_hand else None
        day: date | None = form.day("date", "a day") if by_hand else None
        method = _method(form, METHODS) if by_hand else None
        if not form:
            return _edit_page(look, form, payment, 422)
        changes = manual.PaymentChanges(
            amount=amount,
            date=day,
            method=method,
            reference=form.raw("reference") if by_hand else None,
            notes=form.raw("notes"),
            targets=targets,
        )
        typed = form.raw("version")
        version = int(typed) if by_hand and typed.isascii() and typed.isdigit() and len(typed) < 10 else None
        try:
            with look.db.begin_nested():
                manual.edit(
                    look.db, look.actor, payment_id, changes, look.now, expected_version=version, calendar=_calendar()
                )
        except StaleEdit as stale:
            again = Form({**form.values, "version": str(stale.version)})
            return _edit_page(look, again, payment, 409, stale)
        except (Invalid, Conflict, NotFound) as error:
            _refuse(form, error, targets or [], currency)
            return _edit_page(look, form, payment, 422)
    flash("The payment was changed.", "good")
    return _back(payment_id)


@blueprint.get("/payments/<uuid:payment_id>/delete")
@page_login_required
def ask_delete(payment_id: UUID) -> Response:
    """The question before a payment by hand is taken back."""
    with looking() as look:
        return look.show("pages/payment_delete.html", payment=_held(look, payment_id), form=Form({}))


@blueprint.post("/payments/<uuid:payment_id>/delete")
@page_login_required
def delete_payment(payment_id: UUID) -> Response:
    """Take a payment by hand back."""
    form = Form(request.form)
    with looking() as look:
        payment = _held(look, payment_id)
        reason = form.raw("reason")
        try:
            with look.db.begin_nested():
                manual.delete(look.db, look.actor, payment_id, look.now, reason=reason, calendar=_calendar())
        except (Invalid, Conflict) as error:
            _refuse(form, error, [], payment["currency"])
            return look.show("pages/payment_delete.html", 422, payment=payment, form=form)
    flash("The payment was deleted; its invoices are due again.", "good")
    return _back(payment_id)


def _refund_page(look: Look, form: Form, payment: dict[str, Any], status: int = 200) -> Response:
    return look.show(
        "pages/payment_refund.html",
        status,
        form=form,
        labels=_LABELS,
        methods=REFUND_METHODS,
        payment=payment,
        day=look.now.date().isoformat(),
    )


@blueprint.get("/payments/<uuid:payment_id>/refund")
@page_login_required
def ask_refund(payment_id: UUID) -> Response:
    """The form for money that was given back."""
    with looking() as look:
        payment = _held(look, payment_id)
        suggested = payment["unapplied"] or payment["net"]
        return _refund_page(look, Form({"amount": decimal(suggested, payment["currency"])}), payment)


@blueprint.post("/payments/<uuid:payment_id>/refund")
@page_login_required
def refund_payment(payment_id: UUID) -> Response:
    """Write down that money went back."""
    form = Form(request.form)
    with looking() as look:
        payment = _held(look, payment_id)
        amount, day = form.amount("amount", "an amount", payment["currency"]), form.day("date", "a day")
        method = _method(form, REFUND_METHODS)
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
                manual.refund(look.db, look.actor, payment_id, new, look.now, calendar=_calendar())
        except (Invalid, Conflict, NotFound) as error:
            _refuse(form, error, [], payment["currency"])
            return _refund_page(look, form, payment, 422)
    flash("The refund was written down.", "good")
    return _back(payment_id)


@blueprint.post("/payments/<uuid:payment_id>/refunds/<uuid:refund_id>/undo")
@page_login_required
def undo_refund(payment_id: UUID, refund_id: UUID) -> Response:
    """Say that money noted as given back was not."""
    target = url_for("pages.payment", payment_id=payment_id)
    with looking() as look:
        only(look, Role.SELLER)
        try:
            with look.db.begin_nested():
                manual.take_refund_back(look.db, look.actor, payment_id, refund_id, look.now, calendar=_calendar())
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
    invoices = due.due_invoices(look.db, look.actor, contact_id, payment["currency"]) if contact_id else []
    return {"offered": offered, "picked": contact_id, "invoices": invoices}


@blueprint.get("/payments/<uuid:payment_id>/apply")
@page_login_required
def ask_apply(payment_id: UUID) -> Response:
    """The form by which what is left of a payment goes to other invoices, the earliest due first."""
    with looking() as look:
        payment = _held(look, payment_id)
        left, values = payment["unapplied"], {}
        for invoice in _open(look, payment)["invoices"]:
            part = min(left, invoice["amount_due"])
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
        payment = _held(look, payment_id)
        invoices = _open(look, payment)["invoices"]
        targets = _targets(form, invoices, payment["currency"])
        if not form:
            return _apply_page(look, form, payment, 422)
        try:
            with look.db.begin_nested():
                manual.allocate(look.db, look.actor, payment_id, targets, look.now, calendar=_calendar())
        except (Invalid, Conflict, NotFound) as error:
            _refuse(form, error, targets, payment["currency"])
            return _apply_page(look, form, payment, 422)
    flash("The credit was applied.", "good")
    return _back(payment_id)
