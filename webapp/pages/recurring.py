"""Recurring invoices: the list with what comes next, one of them, and the form."""

from __future__ import annotations

from decimal import Decimal
from typing import Any
from uuid import UUID

from flask import Response, flash, make_response, redirect, request, url_for

from core.contacts import queries as contacts
from core.edits import StaleEdit
from core.errors import Conflict, Forbidden, Invalid
from core.identity import Role
from core.ids import parse_id
from core.invoicing import profiles, queries, recurring_queries, recurring_runs
from core.invoicing import recurring as planning
from core.invoicing.recurring import MAX_DAYS, MAX_RUNS, NewRecurring
from core.invoicing.schedule import MAX_EVERY
from core.money import exponent
from webapp.auth import page_login_required
from webapp.pages import blueprint, render
from webapp.pages.contacts import version_read
from webapp.pages.format import decimal, spoken
from webapp.pages.forms import Form
from webapp.pages.invoice_forms import CURRENCIES, MOST_LINES, STATE_CHOICES, UNITS, filled, read_items, typed
from webapp.pages.shell import Look, choice, cursor, limit, looking, only

STATES = {"active": "Going on", "paused": "Paused", "ended": "Ended"}
FREQUENCIES = {"day": "Days", "week": "Weeks", "month": "Months", "quarter": "Quarters", "year": "Years"}
_LABELS = {
    "name": "Name",
    "contact_id": "Customer",
    "currency": "Currency",
    "every": "How often",
    "frequency": "Rhythm",
    "starts_on": "First day",
    "ends_on": "Last day",
    "most_runs": "How many",
    "payment_days": "Days to pay",
    "auto_send": "Sending",
    "reference": "Their order number",
    "place_of_supply": "Place of supply",
}


@blueprint.get("/recurring")
@page_login_required
def recurring() -> Response:
    """Recurring invoices, newest first, with the day on which the next one is made."""
    state = choice("state", STATES)
    with looking() as look:
        only(look, Role.SELLER, Role.OPERATOR)
        found = recurring_queries.list_recurring(look.db, look.actor, limit=limit(), cursor=cursor(), state=state)
        return look.show("pages/recurring.html", **found, chosen=state, states=STATES, frequencies=FREQUENCIES)


@blueprint.get("/recurring/<uuid:recurring_id>")
@page_login_required
def recurring_invoice(recurring_id: UUID) -> Response:
    """One of them: when it comes next, and what it made."""
    with looking() as look:
        found = recurring_queries.get_recurring(look.db, look.actor, recurring_id)
        return look.show("pages/recurring_one.html", plan=found, frequencies=FREQUENCIES)


def _page(look: Look, form: Form, lines: list[dict[str, str]], status: int = 200, **more: Any) -> Response:
    profile = profiles.profile(look.db, look.actor.id)
    known = contacts.choices(look.db, look.actor)
    return look.show(
        "pages/recurring_form.html",
        status,
        form=form,
        lines=lines,
        labels=_LABELS,
        profile=profile,
        contacts={str(one["id"]): f"{one['name']} ({one['email']})" for one in known},
        currencies=CURRENCIES,
        states={"": "The customer's state", **STATE_CHOICES},
        frequencies=FREQUENCIES,
        units=UNITS,
        exponents={code: exponent(code) for code in CURRENCIES},
        most_lines=MOST_LINES,
        today=look.now.date(),
        **{"plan": None, "version": None, "stale": None, **more},
    )


@blueprint.get("/recurring/new")
@page_login_required
def new_recurring() -> Response:
    """The form for a new one; of `invoice` it takes customer, lines and words."""
    with looking() as look:
        only(look, Role.SELLER)
        as_was = parse_id(request.args.get("invoice", ""))
        if as_was is not None:
            invoice = queries.get_invoice(look.db, look.actor, as_was)
            form, lines = filled(invoice)
            same = {"auto": "issue", "contact_id": invoice["contact"]["id"], "name": lines[0]["description"][:100]}
            return _page(look, Form({**form.values, **same}), lines)
        profile = profiles.profile(look.db, look.actor.id)
        words = {"payment_terms": profile.default_terms, "notes": profile.default_notes}
        given = {"auto": "issue", "contact_id": request.args.get("contact", ""), **words}
        return _page(look, Form(given), [{"quantity": "1"}])


def _whole(form: Form, name: str, label: str, low: int, high: int) -> int | None:
    found = form.number(name, label, low=Decimal(low), high=Decimal(high), places=0)
    return None if found is None else int(found)


def _read(form: Form, lines: list[dict[str, str]], *, gst: bool) -> dict[str, Any] | None:
    """What was typed, by the names of NewRecurring; None when something of it cannot be read."""
    currency = form.raw("currency")
    if currency not in CURRENCIES:
        form.errors["currency"] = "Choose a currency."
        currency = "INR"
    contact_id = parse_id(form.raw("contact_id"))
    if contact_id is None:
        form.errors["contact_id"] = "Choose a customer."
    ends = form.raw("ends")
    values: dict[str, Any] = {
        "name": form.text("name", "a name"),
        "contact_id": contact_id,
        "currency": currency,
        "items": read_items(form, lines, currency),
        "frequency": form.raw("frequency"),
        "every": _whole(form, "every", "a number", 1, MAX_EVERY),
        "starts_on": form.day("starts_on", "a first day"),
        "ends_on": form.day("ends_on", "a last day") if ends == "day" else None,
        "most_runs": _whole(form, "most_runs", "how many", 1, MAX_RUNS) if ends == "count" else None,
        "payment_days": _whole(form, "payment_days", "days", 0, MAX_DAYS) if form.raw("payment_days") else None,
        "auto_issue": form.raw("auto") in {"issue", "send"},
        "auto_send": form.raw("auto") == "send",
        "notes": form.text("notes", "notes", limit=5000, required=False),
        "payment_terms": form.text("payment_terms", "terms", limit=5000, required=False),
        "reference": form.text("reference", "a reference", limit=100, required=False),
    }
    if values["frequency"] not in FREQUENCIES:
        form.errors["frequency"] = "Choose a rhythm."
    if gst:
        values["place_of_supply"] = form.raw("place_of_supply") or None
        values["reverse_charge"] = bool(form.raw("reverse_charge"))
    return values if form else None


def _blame(form: Form, error: Invalid, currency: str) -> None:
    name = error.field.replace(".", "-")
    if name not in _LABELS and name not in form.values:
        error, name = Invalid("form", f"the {error.field.replace('_', ' ').replace('.', ' ')} {error.message}"), "form"
    form.blame(error, {error.field: name}, currency)


@blueprint.post("/recurring/new")
@page_login_required
def create_recurring() -> Response:
    """Begin it; or, without JavaScript, add or take away a line."""
    form, lines, again = typed()
    with looking() as look:
        only(look, Role.SELLER)
        if again:
            return _page(look, form, lines)
        values = _read(form, lines, gst=profiles.profile(look.db, look.actor.id).tax_regime == "gst")
        if values is None:
            return _page(look, form, lines, 422)
        try:
            with look.db.begin_nested():
                made = planning.create(look.db, look.actor, NewRecurring(**values), look.now)
        except Invalid as error:
            _blame(form, error, values["currency"])
            return _page(look, form, lines, 422)
    flash(f"“{made['name']}” begins.", "good")
    return make_response(redirect(url_for("pages.recurring_invoice", recurring_id=made["id"]), 303))


def _filled(plan: dict[str, Any]) -> tuple[Form, list[dict[str, str]]]:
    """The form as it stands."""
    lines = [
        {
            **{name: item[name] for name in ("description", "hsn", "quantity", "unit")},
            "unit_price": decimal(item["unit_price"], plan["currency"]),
            **{name: "" if item[name] == "0" else item[name] for name in ("discount_rate", "tax_rate")},
        }
        for item in plan["items"]
    ]
    names = (
        "name", "currency", "frequency", "every", "starts_on", "ends_on", "most_runs", "payment_days", "notes",
        "payment_terms", "reference", "place_of_supply",
    )  # fmt: skip
    values = {name: str(plan[name]) for name in names if plan[name] is not None}
    return Form(
        {
            **values,
            "contact_id": plan["contact"]["id"],
            "ends": "day" if plan["ends_on"] else "count" if plan["most_runs"] else "",
            "auto": "send" if plan["auto_send"] else "issue" if plan["auto_issue"] else "draft",
            "reverse_charge": "yes" if plan["reverse_charge"] else "",
        }
    ), lines


@blueprint.get("/recurring/<uuid:recurring_id>/edit")
@page_login_required
def edit_recurring(recurring_id: UUID) -> Response:
    """The form as it stands."""
    with looking() as look:
        only(look, Role.SELLER)
        plan = recurring_queries.get_recurring(look.db, look.actor, recurring_id)
        form, lines = _filled(plan)
        return _page(look, form, lines, plan=plan, version=plan["version"])


@blueprint.post("/recurring/<uuid:recurring_id>/edit")
@page_login_required
def change_recurring(recurring_id: UUID) -> Response:
    """Change it, unless somebody else did meanwhile: then what they changed is shown first."""
    form, lines, again = typed()
    version = version_read()
    with looking() as look:
        only(look, Role.SELLER)
        plan = recurring_queries.get_recurring(look.db, look.actor, recurring_id)
        if again:
            return _page(look, form, lines, plan=plan, version=version)
        values = _read(form, lines, gst=profiles.profile(look.db, look.actor.id).tax_regime == "gst")
        if values is None:
            return _page(look, form, lines, 422, plan=plan, version=version)
        try:
            with look.db.begin_nested():
                planning.update(look.db, look.actor, recurring_id, values, look.now, expected_version=version)
        except StaleEdit as error:
            return _page(look, form, lines, 409, plan=plan, version=error.version, stale=error)
        except Invalid as error:
            _blame(form, error, values["currency"])
            return _page(look, form, lines, 422, plan=plan, version=version)
        except Conflict as error:
            form.errors["form"] = spoken(str(error), values["currency"])
            return _page(look, form, lines, 409, plan=plan, version=version)
    flash("It was saved. What was made stays as it is.", "good")
    return make_response(redirect(url_for("pages.recurring_invoice", recurring_id=recurring_id), 303))


def _do(recurring_id: UUID, verb: str) -> Response:
    target = url_for("pages.recurring_invoice", recurring_id=recurring_id)
    try:
        with looking() as look:
            match verb:
                case "pause":
                    planning.pause(look.db, look.actor, recurring_id, look.now)
                    said = "Paused: none is made until you resume it."
                case "resume":
                    wanted = request.form.get("catch_up")
                    catch_up = None if wanted is None else wanted == "yes"
                    planning.resume(look.db, look.actor, recurring_id, look.now, catch_up=catch_up)
                    said = "It goes on."
                case "stop":
                    left = planning.stop(look.db, look.actor, recurring_id, look.now)
                    said = "Stopped for good." if left else "Deleted: nothing had been made by it."
                    target = target if left else url_for("pages.recurring")
                case _:
                    made = recurring_runs.run_now(look.db, look.actor, recurring_id, look.now)
                    said, target = "The invoice was made.", url_for("pages.invoice", invoice_id=made)
    except (Conflict, Invalid, Forbidden) as error:
        return render.refused(spoken(str(error), "INR"), target, 403 if isinstance(error, Forbidden) else 409)
    flash(said, "good")
    return make_response(redirect(target, 303))


@blueprint.post("/recurring/<uuid:recurring_id>/pause")
@page_login_required
def pause_recurring(recurring_id: UUID) -> Response:
    """Make none until it is resumed."""
    return _do(recurring_id, "pause")


@blueprint.post("/recurring/<uuid:recurring_id>/resume")
@page_login_required
def resume_recurring(recurring_id: UUID) -> Response:
    """Go on."""
    return _do(recurring_id, "resume")


@blueprint.post("/recurring/<uuid:recurring_id>/run")
@page_login_required
def run_recurring(recurring_id: UUID) -> Response:
    """Make the next one now."""
    return _do(recurring_id, "run")


@blueprint.post("/recurring/<uuid:recurring_id>/stop")
@page_login_required
def stop_recurring(recurring_id: UUID) -> Response:
    """End it for good."""
    return _do(recurring_id, "stop")
