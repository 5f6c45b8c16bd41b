"""Connecting a provider: the gallery, and the form for one of them."""

from __future__ import annotations

from flask import Response, flash, make_response, redirect, request, url_for

from connectors import registry
from connectors.base import Connector, Field
from core.connections import store
from core.errors import Conflict, Invalid
from core.identity import Role
from webapp import connecting
from webapp.auth import page_login_required
from webapp.pages import blueprint, custom, render
from webapp.pages.forms import Form
from webapp.pages.shell import Look, looking, only

# What a level says, in short; docs/connectors/README.md has the rules.
LEVELS = {
    "bronze": "Keeps the contract: every event has a sample, and its set-up is described",
    "silver": "And proven by the provider's published signatures, in any order of events",
    "gold": "And by the provider's own library, with history pulled and the webhook looked after",
}
_PASTED = Field(
    name=store.WEBHOOK_SECRET,
    label="Webhook secret",
    help="The provider shows it when the webhook is made there. It can be added later.",
    secret=True,
)


def _fields(connector: Connector) -> tuple[Field, ...]:
    """What the form asks for. A secret that the provider makes exists only after it has our address."""
    rest = tuple(field for field in connector.fields if field.name != store.WEBHOOK_SECRET)
    own = next((field for field in connector.fields if field.name == store.WEBHOOK_SECRET), _PASTED)
    if connector.makes_secret:
        return rest
    return (
        *rest,
        Field(name=own.name, label=own.label, help=f"{own.help} It can be added later.".strip(), secret=True),
    )


@blueprint.get("/connections/new")
@page_login_required
def new_connection() -> Response:
    """Choose a provider."""
    with looking() as look:
        only(look, Role.SELLER)
        has_custom = "custom" in registry.all()
        return look.show(
            "pages/connection_pick.html", entries=connecting.gallery(), has_custom=has_custom, level_meaning=LEVELS
        )


def _form_page(look: Look, connector: Connector, form: Form, status: int = 200) -> Response:
    if connector.bind is not None:
        return look.show("pages/connection_custom.html", status, connection=None, form=form, **custom.panel(form))
    fields = _fields(connector)
    asks_account = any(field.name in connecting.ACCOUNT_SETTINGS for field in fields)
    return look.show(
        "pages/connection_new.html", status, connector=connector, fields=fields, asks_account=asks_account, form=form
    )


@blueprint.get("/connections/new/<slug>")
@page_login_required
def connect(slug: str) -> Response:
    """The form for one provider."""
    connector = registry.get(slug)
    with looking() as look:
        only(look, Role.SELLER)
        return _form_page(look, connector, Form({"name": "" if connector.bind else connector.title}))


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
        signing = connector.signature.new_secret()
        if held := connector.signature.receiving(signing):
            secrets.setdefault(store.WEBHOOK_SECRET, held)
    with looking() as look:
        only(look, Role.SELLER)
        if not form:
            return _form_page(look, connector, form, 422)
        try:
            found = connecting.connect(
                look.db, look.actor, connector=slug, name=name, secrets=secrets, settings=settings, now=look.now
            )
        except Invalid as error:
            custom.blame(form, error)
            return _form_page(look, connector, form, 422)
        except Conflict as error:
            form.errors["external_id"] = f"{str(error).capitalize()}."
            return _form_page(look, connector, form, 409)
    if made := found["new_secrets"].get(store.WEBHOOK_SECRET):
        render.keep_once(found["id"], {"secret": made})
    flash(f"{found['name']} is connected. One step is left: tell {connector.title} the address.", "good")
    return make_response(redirect(url_for("pages.connection", connection_id=found["id"]), 303))
