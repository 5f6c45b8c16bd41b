"""A seller's business: what stands on invoices, how they are numbered, and what happens by itself."""

from __future__ import annotations

from typing import Any

from flask import Response, flash, make_response, redirect, request, url_for

from core.edits import StaleEdit
from core.errors import Conflict, Invalid
from core.identity import Role
from core.invoicing import numbering, profiles
from webapp.auth import page_login_required
from webapp.pages import blueprint, render
from webapp.pages.format import spoken
from webapp.pages.forms import Form
from webapp.pages.invoice_forms import CURRENCIES, STATE_CHOICES
from webapp.pages.shell import Look, looking, only

_REGIMES = {"plain": "Plain rates", "gst": "GST (India)"}
_HSN = {"4": "4 digits", "6": "6 digits"}
_TEXTS = (
    "legal_name",
    "address",
    "tax_regime",
    "home_currency",
    "default_terms",
    "default_notes",
    "bank_name",
    "bank_account",
    "bank_code",
    "upi_id",
)
_FLAGS = ("round_total", "match_automatically")
_LABELS = {
    "legal_name": "Legal name",
    "address": "Address",
    "tax_regime": "How tax is charged",
    "gstin": "GSTIN",
    "state_code": "State",
    "hsn_digits": "Digits of HSN codes",
    "payment_days": "Days to pay",
    "upi_id": "UPI address",
    "home_currency": "Home currency",
}


def _page(look: Look, *, form: Form | None = None, series_form: Form | None = None, status: int = 200) -> Response:
    known = profiles.profile(look.db, look.actor.id)
    if form is None:
        flags = {name: "yes" for name in _FLAGS if getattr(known, name)}
        values = {name: str(value) for name, value in known.plain().items() if value is not None and name not in _FLAGS}
        form = Form(values | flags)
    series = [
        {"example": one.spell(one.year(look.now.date()), 1), **_shape(one)}
        for one in numbering.list_series(look.db, look.actor.id)
    ]
    return look.show(
        "pages/business.html",
        status,
        form=form,
        labels=_LABELS,
        series_form=series_form or Form({}),
        series=series,
        regimes=_REGIMES,
        hsn=_HSN,
        states={"": "As the GSTIN says", **STATE_CHOICES},
        currencies=CURRENCIES,
    )


def _shape(one: numbering.Series) -> dict[str, Any]:
    return {"prefix": one.prefix, "kind": one.kind, "year_kind": one.year_kind, "is_default": one.is_default}


@blueprint.get("/settings/business")
@page_login_required
def business() -> Response:
    """The form, filled with what is known."""
    with looking() as look:
        only(look, Role.SELLER)
        return _page(look)


def _read(form: Form) -> dict[str, Any]:
    values: dict[str, Any] = {name: form.raw(name) for name in _TEXTS}
    values |= {name: bool(form.raw(name)) for name in _FLAGS}
    values["gstin"] = form.raw("gstin").upper() or None
    values["state_code"] = form.raw("state_code") or None
    values["hsn_digits"] = 6 if form.raw("hsn_digits") == "6" else 4
    days = form.raw("payment_days")
    if days.isascii() and days.isdigit() and len(days) < 6:
        values["payment_days"] = int(days)
    else:
        form.errors["payment_days"] = "Enter a whole number of days."
    return values


@blueprint.post("/settings/business")
@page_login_required
def save_business() -> Response:
    """Keep what was typed. Invoices that were issued stay as they are."""
    form = Form(request.form)
    wanted = form.raw("version")
    version = int(wanted) if wanted.isascii() and wanted.isdigit() and len(wanted) < 9 else None
    with looking() as look:
        only(look, Role.SELLER)
        values = _read(form)
        if not form:
            return _page(look, form=form, status=422)
        try:
            with look.db.begin_nested():
                profiles.save(look.db, look.actor, values, look.now, expected_version=version)
        except StaleEdit as error:
            known = {**form.values, "version": str(error.version)}
            changed = Form(known, {"form": f"{spoken(str(error), 'INR')} Save again to keep what you typed."})
            return _page(look, form=changed, status=409)
        except Invalid as error:
            form.blame(error)
            return _page(look, form=form, status=422)
    flash("Your business was saved.", "good")
    return make_response(redirect(url_for("pages.business"), 303))


@blueprint.post("/settings/business/series")
@page_login_required
def add_series() -> Response:
    """Begin a series of numbers."""
    form = Form(request.form)
    with looking() as look:
        only(look, Role.SELLER)
        try:
            with look.db.begin_nested():
                made = numbering.create_series(
                    look.db,
                    look.actor,
                    prefix=form.text("prefix", "a prefix"),
                    year_kind="financial" if form.raw("year_kind") == "financial" else "calendar",
                    kind="credit_note" if form.raw("kind") == "credit_note" else "invoice",
                    default=bool(form.raw("is_default")),
                    now=look.now,
                )
        except Invalid as error:
            form.blame(error)
            return _page(look, series_form=form, status=422)
        except Conflict as error:
            return render.refused(spoken(str(error), "INR"), url_for("pages.business"), 409)
    flash(f"The series {made.prefix} was added.", "good")
    return make_response(redirect(url_for("pages.business"), 303))
