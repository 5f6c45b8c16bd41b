"""Contacts: the list, one of them with what it owes, its history and its statement of account."""

from __future__ import annotations

from datetime import date, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

from flask import Response, flash, make_response, redirect, request, url_for

from core.contacts import accounts, queries, store
from core.contacts.statement import statement
from core.contacts.store import NewContact
from core.correspondence import bounces
from core.edits import StaleEdit
from core.errors import Conflict, Invalid
from core.identity import Role
from webapp.auth import page_login_required
from webapp.pages import blueprint
from webapp.pages.correspondence import MAIL_STATES
from webapp.pages.forms import Form
from webapp.pages.invoice_forms import CURRENCIES, STATE_CHOICES
from webapp.pages.shell import Look, cursor, limit, looking, only, search

_TEXTS = {"legal_name": 200, "address": 1000, "phone": 40, "notes": 5000}
_LABELS = {
    "name": "Name",
    "email": "E-mail",
    "legal_name": "Legal name",
    "gstin": "GSTIN",
    "state_code": "State",
    "payment_days": "Days to pay",
    "tds_rate": "Tax kept back",
    "currency": "Currency",
}
KINDS = {
    "invoice": ("Invoice", "file-invoice"),
    "payment": ("Payment", "cash"),
    "credit_note": ("Credit note", "receipt"),
    "mail": ("Mail", "send"),
    "refund": ("Given back", "arrow-back-up"),
}
# The periods that a statement is asked for by a click.
_PERIODS = ("This month", "Last month", "Last 90 days", "This year")


@blueprint.get("/contacts")
@page_login_required
def contacts() -> Response:
    """Customers by name, with what each owes."""
    away = request.args.get("archived") == "yes"
    with looking() as look:
        only(look, Role.SELLER, Role.OPERATOR)
        found = queries.list_contacts(
            look.db, look.actor, limit=limit(), cursor=cursor(), search=search(), archived=away
        )
        return look.show("pages/contacts.html", **found, search=search(), archived=away)


@blueprint.get("/contacts/<uuid:contact_id>")
@page_login_required
def contact(contact_id: UUID) -> Response:
    """One customer: what is owed, how they pay, and everything that happened."""
    with looking() as look:
        found = queries.get_contact(look.db, look.actor, contact_id)
        past = queries.history(look.db, look.actor, contact_id, limit=limit(), cursor=cursor())
        bounce = bounces.of_address(look.db, UUID(found["seller_id"]), found["email"])
        return look.show(
            "pages/contact.html",
            contact=found,
            past=past,
            kinds=KINDS,
            mail_states=MAIL_STATES,
            states=STATE_CHOICES,
            bounce=bounce,
            accounts=accounts.of_contact(look.db, look.actor, contact_id),
        )


def _form_page(look: Look, form: Form, status: int = 200, **more: Any) -> Response:
    return look.show(
        "pages/contact_form.html",
        status,
        form=form,
        labels=_LABELS,
        currencies={"": "The invoice's", **CURRENCIES},
        states={"": "Not known", **STATE_CHOICES},
        **{"contact": None, "version": None, "stale": None, **more},
    )


@blueprint.get("/contacts/new")
@page_login_required
def new_contact() -> Response:
    """The form for a new customer."""
    with looking() as look:
        only(look, Role.SELLER)
        return _form_page(look, Form({"reminders": "yes"}))


def _read(form: Form) -> dict[str, Any] | None:
    """What was typed, by the names of core; None when something of it cannot be read."""
    days, rate = None, None
    if form.raw("payment_days"):
        whole = form.number("payment_days", "days", low=Decimal(0), high=Decimal(store.MAX_DAYS), places=0)
        days = None if whole is None else int(whole)
    if form.raw("tds_rate"):
        rate = form.number("tds_rate", "a rate", low=Decimal(0), high=Decimal(100), places=4)
    values: dict[str, Any] = {
        "name": form.text("name", "a name"),
        "email": form.email(),
        **{name: form.text(name, "it", limit=most, required=False) for name, most in _TEXTS.items()},
        "gstin": form.raw("gstin") or None,
        "state_code": form.raw("state_code") or None,
        "currency": form.raw("currency") or None,
        "payment_days": days,
        "tds_rate": rate,
        "reminders": bool(form.raw("reminders")),
    }
    return values if form else None


@blueprint.post("/contacts/new")
@page_login_required
def create_contact() -> Response:
    """Write the customer down."""
    form = Form(request.form)
    with looking() as look:
        only(look, Role.SELLER)
        values = _read(form)
        if values is None:
            return _form_page(look, form, 422)
        try:
            with look.db.begin_nested():
                made = store.create(look.db, look.actor, NewContact(**values), look.now)
        except Invalid as error:
            form.blame(error)
            return _form_page(look, form, 422)
        except Conflict:
            form.errors["email"] = "You have a contact with this address already. It may have been put away."
            return _form_page(look, form, 409)
    flash(f"{made['name']} was added.", "good")
    return make_response(redirect(url_for("pages.contact", contact_id=made["id"]), 303))


def _filled(found: dict[str, Any]) -> Form:
    names = (*_TEXTS, "name", "email", "gstin", "state_code", "currency", "payment_days", "tds_rate")
    values = {name: str(found[name]) for name in names if found[name] is not None}
    return Form({**values, "reminders": "yes" if found["reminders"] else ""})


@blueprint.get("/contacts/<uuid:contact_id>/edit")
@page_login_required
def edit_contact(contact_id: UUID) -> Response:
    """The form as the contact stands."""
    with looking() as look:
        only(look, Role.SELLER)
        found = queries.get_contact(look.db, look.actor, contact_id)
        return _form_page(look, _filled(found), contact=found, version=found["version"])


def version_read() -> int | None:
    """The version that a form was filled from."""
    given = request.form.get("version", "")
    return int(given) if given.isascii() and given.isdigit() and len(given) < 9 else None


@blueprint.post("/contacts/<uuid:contact_id>/edit")
@page_login_required
def change_contact(contact_id: UUID) -> Response:
    """Change the contact, unless somebody else did meanwhile: then what they changed is shown first."""
    form, version = Form(request.form), version_read()
    with looking() as look:
        only(look, Role.SELLER)
        found = queries.get_contact(look.db, look.actor, contact_id)
        values = _read(form)
        if values is None:
            return _form_page(look, form, 422, contact=found, version=version)
        try:
            with look.db.begin_nested():
                store.update(look.db, look.actor, contact_id, values, look.now, expected_version=version)
        except StaleEdit as error:
            return _form_page(look, form, 409, contact=found, version=error.version, stale=error)
        except Invalid as error:
            form.blame(error)
            return _form_page(look, form, 422, contact=found, version=version)
        except Conflict:
            form.errors["email"] = "Another contact of yours has this address."
            return _form_page(look, form, 409, contact=found, version=version)
    flash("The contact was saved.", "good")
    return make_response(redirect(url_for("pages.contact", contact_id=contact_id), 303))


def _put(contact_id: UUID, *, away: bool) -> Response:
    with looking() as look:
        store.archive(look.db, look.actor, contact_id, look.now, away=away)
    flash("The contact was put away. Its invoices stay as they are." if away else "The contact is back.", "good")
    return make_response(redirect(url_for("pages.contact", contact_id=contact_id), 303))


@blueprint.post("/contacts/<uuid:contact_id>/archive")
@page_login_required
def archive_contact(contact_id: UUID) -> Response:
    """Put the contact away."""
    return _put(contact_id, away=True)


@blueprint.post("/contacts/<uuid:contact_id>/restore")
@page_login_required
def restore_contact(contact_id: UUID) -> Response:
    """Bring the contact back."""
    return _put(contact_id, away=False)


def _periods(today: date) -> dict[str, tuple[date, date]]:
    first = today.replace(day=1)
    before = first - timedelta(days=1)
    spans = ((first, today), (before.replace(day=1), before), (today - timedelta(days=90), today))
    return dict(zip(_PERIODS, (*spans, (today.replace(month=1, day=1), today)), strict=True))


@blueprint.get("/contacts/<uuid:contact_id>/statement")
@page_login_required
def contact_statement(contact_id: UUID) -> Response:
    """The account of a customer over a period: the last 90 days, unless another is chosen."""
    form = Form(request.args)
    with looking() as look:
        periods = _periods(look.now.date())
        since, until = periods["Last 90 days"]
        if form.raw("since"):
            since = form.day("since", "a first day") or since
        if form.raw("until"):
            until = form.day("until", "a last day") or until
        wanted = form.raw("currency")
        currency = wanted if len(wanted) == 3 and wanted.isascii() and wanted.isupper() else None
        found = None
        if form:
            try:
                found = statement(look.db, look.actor, contact_id, since=since, until=until, currency=currency)
            except Invalid as error:
                form.blame(error)
        shown = queries.get_contact(look.db, look.actor, contact_id)
        return look.show(
            "pages/contact_statement.html",
            200 if form else 422,
            contact=shown,
            statement=found,
            form=Form(
                {"since": form.raw("since") or since.isoformat(), "until": form.raw("until") or until.isoformat()},
                form.errors,
            ),
            periods={name: (first.isoformat(), last.isoformat()) for name, (first, last) in periods.items()},
            span=(since.isoformat(), until.isoformat()),
            kinds=KINDS,
            mail_states=MAIL_STATES,
        )
