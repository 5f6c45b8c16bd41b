"""Writing payments down: a new one, and changes. What else is done with one is in `payment_moves`."""

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
from webapp.pages import blueprint
from webapp.pages.format import decimal
from webapp.pages.forms import Form
from webapp.pages.payments import METHODS
from webapp.pages.shell import Look, looking, only
from webapp.services import services

LABELS = {
    "amount": "Amount",
    "date": "Date",
    "method": "Method",
    "reference": "Reference",
    "notes": "Notes",
    "contact": "Customer",
}
# Core's names of fields, and these forms'.
_FIELDS = {"contact_id": "contact", "targets": "form"}


def back_to(payment_id: object) -> Response:
    """To the payment's page."""
    return make_response(redirect(url_for("pages.payment", payment_id=payment_id), 303))


def calendar() -> Any:
    """Which days banks work."""
    return services().rules.calendar


def targets_of(form: Form, invoices: list[dict[str, Any]], currency: str) -> list[manual.NewTarget]:
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


def method_of(form: Form, allowed: Mapping[str, str]) -> str:
    """How it was paid or given back, out of what is offered."""
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
        labels=LABELS,
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
    """The amount of the invoice that the form was opened from, as far as it may be settled by hand."""
    chosen = scene.get("chosen")
    may = next((one["may"] for one in scene["invoices"] if chosen and one["id"] == chosen["id"]), 0)
    if not chosen or not may:
        return {}
    owed = decimal(may, scene["currency"])
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
        method = method_of(form, METHODS)
        targets = targets_of(form, scene["invoices"], currency)
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
                made = manual.record(look.db, look.actor, new, look.now, calendar=calendar())
        except (Invalid, Conflict, NotFound) as error:
            refuse(form, error, targets, currency)
            return _new_page(look, form, scene, 422)
    if made["possible_duplicate_of"]:
        flash(
            "A payment with the same customer, amount, day and reference was there already. Is it the same money?",
            "warn",
        )
    flash("The payment was written down.", "good")
    return back_to(made["id"])


def refuse(form: Form, error: Exception, targets: list[manual.NewTarget], currency: str) -> None:
    """Put what core refused into the form, beside its field where there is one."""
    if isinstance(error, Invalid):
        _blame(form, error, targets, currency)
    else:
        words = str(error)
        form.errors["form"] = f"{words[:1].upper()}{words[1:]}."


def held(look: Look, payment_id: UUID) -> dict[str, Any]:
    """The payment of the seller who looks. Raises Forbidden and NotFound."""
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
        labels=LABELS,
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
        payment = held(look, payment_id)
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
        payment = held(look, payment_id)
        scene = _edit_scene(look, payment)
        currency = payment["currency"]
        by_hand = payment["source"] == "manual"
        targets = targets_of(form, scene["invoices"], currency) if by_hand else None
        amount = form.amount("amount", "an amount", currency) if by_hand else None
        day: date | None = form.day("date", "a day") if by_hand else None
        method = method_of(form, METHODS) if by_hand else None
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
                    look.db, look.actor, payment_id, changes, look.now, expected_version=version, calendar=calendar()
                )
        except StaleEdit as stale:
            again = Form({**form.values, "version": str(stale.version)})
            return _edit_page(look, again, payment, 409, stale)
        except (Invalid, Conflict, NotFound) as error:
            refuse(form, error, targets or [], currency)
            return _edit_page(look, form, payment, 422)
    flash("The payment was changed.", "good")
    return back_to(payment_id)
