"""Connections: linking an account at a provider, its secrets, its health."""

from __future__ import annotations

from uuid import UUID

from flask import Response, flash, make_response, redirect, request, url_for

from connectors import registry
from connectors.base import Connector, Field
from core.connections import store
from core.errors import Conflict, Invalid
from core.identity import Role
from core.inbox import queries as inbox
from webapp import connecting
from webapp.auth import page_login_required
from webapp.pages import blueprint, render
from webapp.pages.forms import Form
from webapp.pages.shell import Look, cursor, limit, looking, only

_RECENT = 5
_PASTED = Field(
    name=store.WEBHOOK_SECRET,
    label="Webhook secret",
    help="The provider shows it when the webhook is made there. It can be added later.",
    secret=True,
)


def _fields(connector: Connector) -> tuple[Field, ...]:
    """What the form asks for. A secret that the provider makes exists only after it has our address."""
    rest = tuple(field for field in connector.fields if field.name != store.WEBHOOK_SECRET)
    return rest if connector.makes_secret else (*rest, _PASTED)


def _known(slug: str) -> Connector | None:
    return registry.all().get(slug)


@blueprint.get("/connections")
@page_login_required
def connections() -> Response:
    """Accounts at providers."""
    with looking() as look:
        only(look, Role.SELLER, Role.OPERATOR)
        found = store.list_connections(look.db, look.actor, limit=limit(), cursor=cursor())
        return look.show("pages/connections.html", **found)


@blueprint.get("/connections/new")
@page_login_required
def new_connection() -> Response:
    """Choose a provider."""
    with looking() as look:
        only(look, Role.SELLER)
        return look.show("pages/connection_pick.html", connectors=registry.all().values())


def _form_page(look: Look, connector: Connector, form: Form, status: int = 200) -> Response:
    return look.show("pages/connection_new.html", status, connector=connector, fields=_fields(connector), form=form)


@blueprint.get("/connections/new/<slug>")
@page_login_required
def connect(slug: str) -> Response:
    """The form for one provider."""
    connector = registry.get(slug)
    with looking() as look:
        only(look, Role.SELLER)
        return _form_page(look, connector, Form({"name": connector.title}))


def _typed(form: Form, connector: Connector) -> tuple[dict[str, str], dict[str, str]]:
    """Secrets and settings as typed; what is missing is said in the form."""
    secrets: dict[str, str] = {}
    settings: dict[str, str] = {}
    for field in _fields(connector):
        value = form.raw(field.name)
        if value:
            (secrets if field.secret else settings)[field.name] = value
        elif field.required:
            form.errors[field.name] = f"Enter the {field.label}."
    if external := form.text("external_id", "the account", required=False):
        settings["external_id"] = external
    return secrets, settings


@blueprint.post("/connections/new/<slug>")
@page_login_required
def create_connection(slug: str) -> Response:
    """Make the connection; a secret of ours is shown once, on the page that follows."""
    connector = registry.get(slug)
    form = Form(request.form)
    name = form.text("name", "a name", limit=100)
    secrets, settings = _typed(form, connector)
    if not connector.makes_secret:
        # The provider shows its secret only after it has the address, which there is only afterwards. Until
        # it is pasted, nobody knows the one that holds the place, so every delivery is refused.
        secrets.setdefault(store.WEBHOOK_SECRET, connector.signature.new_secret())
    with looking() as look:
        only(look, Role.SELLER)
        if not form:
            return _form_page(look, connector, form, 422)
        try:
            found = connecting.connect(
                look.db, look.actor, connector=slug, name=name, secrets=secrets, settings=settings, now=look.now
            )
        except Invalid as error:
            form.blame(error, {error.field: error.field.rpartition(".")[2]})
            return _form_page(look, connector, form, 422)
        except Conflict as error:
            form.errors["external_id"] = f"{str(error).capitalize()}."
            return _form_page(look, connector, form, 409)
    if made := found["new_secrets"].get(store.WEBHOOK_SECRET):
        render.keep_once(found["id"], {"secret": made})
    flash(f"{found['name']} is connected. One step is left: tell {connector.title} the address.", "good")
    return make_response(redirect(url_for("pages.connection", connection_id=found["id"]), 303))


def _page(look: Look, connection_id: UUID, form: Form | None = None, status: int = 200) -> Response:
    found = store.get_connection(look.db, look.actor, connection_id)
    connector = _known(found["connector"])
    recent = inbox.list_deliveries(look.db, look.actor, limit=_RECENT, connection_id=connection_id)
    is_fragment = "fragment" in request.args
    return look.show(
        "pages/connection.html",
        status,
        connection=found,
        connector=connector,
        address=connecting.webhook_url(found),
        shown_once=None if is_fragment else render.take_once(str(connection_id)),
        deliveries=recent["items"],
        form=form or Form({"name": found["name"]}),
    )


@blueprint.get("/connections/<uuid:connection_id>")
@page_login_required
def connection(connection_id: UUID) -> Response:
    """One connection."""
    with looking() as look:
        return _page(look, connection_id)


@blueprint.post("/connections/<uuid:connection_id>")
@page_login_required
def rename_connection(connection_id: UUID) -> Response:
    """Give it another name."""
    form = Form(request.form)
    name = form.text("name", "a name", limit=100)
    with looking() as look:
        if not form:
            return _page(look, connection_id, form, 422)
        connecting.change(look.db, look.actor, connection_id, name=name, now=look.now)
    flash("The name was saved.", "good")
    return make_response(redirect(url_for("pages.connection", connection_id=connection_id), 303))


@blueprint.get("/connections/<uuid:connection_id>/secret")
@blueprint.get("/connections/<uuid:connection_id>/delete")
@page_login_required
def ask(connection_id: UUID) -> Response:
    """The question that the dialog asks, as a page for browsers without JavaScript."""
    with looking() as look:
        found = store.get_connection(look.db, look.actor, connection_id)
        return look.show("pages/connection_ask.html", connection=found, deleting=request.path.endswith("/delete"))


@blueprint.post("/connections/<uuid:connection_id>/secret")
@page_login_required
def rotate_secret(connection_id: UUID) -> Response:
    """A new webhook secret: made here, or pasted where the provider makes it. The old one lives on for a while."""
    form = Form(request.form)
    made = None
    with looking() as look:
        connector = registry.get(store.get_connection(look.db, look.actor, connection_id)["connector"])
        if connector.makes_secret:
            found = connecting.rotate_webhook_secret(look.db, look.actor, connection_id, look.now)
            made = found["new_secrets"][store.WEBHOOK_SECRET]
        elif secret := form.text(store.WEBHOOK_SECRET, "the secret that the provider shows", limit=4096):
            try:
                given = {store.WEBHOOK_SECRET: secret}
                connecting.change(look.db, look.actor, connection_id, secrets=given, now=look.now)
            except Invalid as error:
                form.blame(error, {error.field: store.WEBHOOK_SECRET})
        if not form:
            return _page(look, connection_id, Form({}, form.errors), 422)
    if made:
        render.keep_once(str(connection_id), {"secret": made})
        flash("Here is the new secret. The old one is still accepted, so nothing is lost meanwhile.", "good")
    else:
        flash("The secret was saved.", "good")
    return make_response(redirect(url_for("pages.connection", connection_id=connection_id), 303))


@blueprint.post("/connections/<uuid:connection_id>/delete")
@page_login_required
def delete_connection(connection_id: UUID) -> Response:
    """End it. What it brought stays."""
    with looking() as look:
        name = store.get_connection(look.db, look.actor, connection_id)["name"]
        store.delete(look.db, look.actor, connection_id, look.now)
    flash(f"{name} was removed. Everything it brought stays.", "good")
    return make_response(redirect(url_for("pages.connections"), 303))
