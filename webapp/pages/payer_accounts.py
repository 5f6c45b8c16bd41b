"""The accounts and addresses that stand for one customer."""

from __future__ import annotations

from uuid import UUID

from flask import Response, flash, make_response, redirect, request, url_for

from core.contacts import accounts, queries
from core.errors import Conflict, Invalid
from core.identity import Role
from webapp.auth import page_login_required
from webapp.pages import blueprint
from webapp.pages.forms import Form
from webapp.pages.shell import Look, looking, only

_LABELS = {"kind": "What it is", "value": "Number, address or id", "ifsc": "IFSC"}


def _page(look: Look, contact_id: UUID, form: Form, status: int = 200) -> Response:
    return look.show(
        "pages/contact_accounts.html",
        status,
        contact=queries.get_contact(look.db, look.actor, contact_id),
        accounts=accounts.of_contact(look.db, look.actor, contact_id),
        kinds=accounts.KINDS,
        most=accounts.MOST,
        form=form,
        labels=_LABELS,
    )


@blueprint.get("/contacts/<uuid:contact_id>/accounts")
@page_login_required
def contact_accounts(contact_id: UUID) -> Response:
    """By which accounts and addresses a customer is known, and a form for another."""
    with looking() as look:
        return _page(look, contact_id, Form({}))


def _back(contact_id: UUID) -> Response:
    return make_response(redirect(url_for("pages.contact_accounts", contact_id=contact_id), 303))


@blueprint.post("/contacts/<uuid:contact_id>/accounts")
@page_login_required
def add_contact_account(contact_id: UUID) -> Response:
    """Write an account down."""
    form = Form(request.form)
    with looking() as look:
        only(look, Role.SELLER)
        try:
            with look.db.begin_nested():
                given = {name: form.raw(name) for name in ("kind", "value", "ifsc")}
                accounts.add(look.db, look.actor, contact_id, look.now, **given)
        except Invalid as error:
            form.blame(error)
            return _page(look, contact_id, form, 422)
        except Conflict as error:
            form.errors["value"] = f"{str(error)[:1].upper()}{str(error)[1:]}."
            return _page(look, contact_id, form, 409)
    flash("The account was added.", "good")
    return _back(contact_id)


@blueprint.post("/contacts/<uuid:contact_id>/accounts/<uuid:account_id>/remove")
@page_login_required
def remove_contact_account(contact_id: UUID, account_id: UUID) -> Response:
    """Take an account away."""
    with looking() as look:
        only(look, Role.SELLER)
        accounts.remove(look.db, look.actor, contact_id, account_id, look.now)
    flash("The account was removed. What came by it stays as it is.", "good")
    return _back(contact_id)
