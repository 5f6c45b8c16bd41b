"""Connections that are described in a form: the definition, and what it makes of a pasted body."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from flask import Response, flash, make_response, redirect, request, url_for

from connectors import samples
from connectors.custom import EXAMPLE, try_out
from connectors.drafts import MAX_DEFINITION
from core.connections import store
from core.errors import Invalid
from core.identity import Role
from webapp import connecting
from webapp.api.custom import MAX_BODY, told
from webapp.auth import page_login_required
from webapp.pages import blueprint
from webapp.pages.forms import Form
from webapp.pages.shell import Look, looking, only

# What a definition may begin with: the scheme that the sender documents. webapp/static/js/definition.js puts it in.
STARTS: dict[str, dict[str, str]] = {
    "HMAC of the body": {"kind": "hmac", "header": "X-Signature"},
    "HMAC with a time in its own header": {
        "kind": "hmac",
        "header": "X-Signature",
        "timestamp_header": "X-Timestamp",
        "signed": "{timestamp}.{body}",
    },
    "HMAC with a time in the same header": {"kind": "timestamped-hmac", "header": "X-Signature"},
    "Standard Webhooks": {"kind": "standard-webhooks"},
}


def sample_body() -> str:
    """A body that the example reads."""
    return samples.load("custom", "payment.updated").decode()


def blame(form: Form, error: Invalid) -> None:
    """Say what is wrong beside the field it is in; inside a definition, with the place."""
    place = error.field.removeprefix("settings.")
    if place.startswith(connecting.DEFINITION):
        inner = place.removeprefix(connecting.DEFINITION).lstrip(".")
        form.errors[connecting.DEFINITION] = f"{inner}: {error.message}." if inner else f"It {error.message}."
    else:
        form.blame(error, {error.field: error.field.rpartition(".")[2]})


def panel(form: Form) -> dict[str, Any]:
    """What the form and its test panel need; `trial` is what the definition makes of the body that was pasted."""
    body = form.values.get("body", "")
    tried = told(try_out(form.raw(connecting.DEFINITION), body[:MAX_BODY].encode(errors="replace"))) if body else None
    return {
        "example": EXAMPLE,
        "sample_body": sample_body(),
        "starts": STARTS,
        "most": MAX_DEFINITION,
        "most_body": MAX_BODY,
        "trial": tried,
    }


@blueprint.post("/connections/new/custom/try")
@page_login_required
def try_custom() -> Response:
    """What a definition that is not saved yet makes of a body."""
    with looking() as look:
        only(look, Role.SELLER)
        form = Form(request.form)
        return look.show("pages/connection_custom.html", connection=None, form=form, **panel(form))


def _definition_page(look: Look, connection_id: UUID, form: Form | None = None, status: int = 200) -> Response:
    found = store.get_connection(look.db, look.actor, connection_id)
    values = {connecting.DEFINITION: found["settings"].get(connecting.DEFINITION, EXAMPLE), "name": found["name"]}
    shown = form or Form(values)
    return look.show("pages/connection_custom.html", status, connection=found, form=shown, **panel(shown))


@blueprint.get("/connections/<uuid:connection_id>/definition")
@page_login_required
def definition(connection_id: UUID) -> Response:
    """The definition of a connection."""
    with looking() as look:
        only(look, Role.SELLER)
        return _definition_page(look, connection_id)


@blueprint.post("/connections/<uuid:connection_id>/definition/try")
@page_login_required
def try_definition(connection_id: UUID) -> Response:
    """What a changed definition makes of a body, before it is saved."""
    with looking() as look:
        only(look, Role.SELLER)
        return _definition_page(look, connection_id, Form(request.form))


@blueprint.post("/connections/<uuid:connection_id>/definition")
@page_login_required
def save_definition(connection_id: UUID) -> Response:
    """Save the definition. What is stored already is read by it when it is processed again."""
    form = Form(request.form)
    text = form.text(connecting.DEFINITION, "the definition", limit=MAX_DEFINITION)
    with looking() as look:
        only(look, Role.SELLER)
        if form:
            settings = {**store.get_connection(look.db, look.actor, connection_id)["settings"]}
            settings[connecting.DEFINITION] = form.raw(connecting.DEFINITION) or text
            try:
                connecting.change(look.db, look.actor, connection_id, settings=settings, now=look.now)
            except Invalid as error:
                blame(form, error)
        if not form:
            return _definition_page(look, connection_id, form, 422)
    flash("The definition was saved. Deliveries that are processed again are read by it.", "good")
    return make_response(redirect(url_for("pages.connection", connection_id=connection_id), 303))
