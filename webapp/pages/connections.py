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
from core.syncing import completeness
from webapp import auth, connecting
from webapp import rehearsal as rehearsing
from webapp.api import sync
from webapp.auth import page_login_required
from webapp.pages import blueprint, render
from webapp.pages.forms import Form
from webapp.pages.shell import Look, cursor, limit, looking, only
from webapp.problems import BadRequest

_RECENT = 5


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


def _access(connector: Connector | None) -> tuple[Field, ...]:
    """What can be changed later: all that is asked for, but the webhook secret and a definition, which have forms."""
    apart = (store.WEBHOOK_SECRET, connecting.DEFINITION)
    return tuple(field for field in (connector.fields if connector else ()) if field.name not in apart)


def _page(
    look: Look, connection_id: UUID, form: Form | None = None, status: int = 200, *, access_open: bool = False
) -> Response:
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
        complete=completeness.completeness(look.db, look.actor, connection_id),
        access=_access(connector),
        access_open=access_open,
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


@blueprint.post("/connections/<uuid:connection_id>/pause")
@page_login_required
def pause_connection(connection_id: UUID) -> Response:
    """Keep what comes without processing it."""
    with looking() as look:
        store.pause(look.db, look.actor, connection_id, look.now)
    target = url_for("pages.connection", connection_id=connection_id)
    return render.done("It is paused. What comes is kept and waits.", target)


@blueprint.post("/connections/<uuid:connection_id>/resume")
@page_login_required
def resume_connection(connection_id: UUID) -> Response:
    """Go on."""
    connecting.resume(auth.actor(), connection_id, render.now())
    target = url_for("pages.connection", connection_id=connection_id)
    return render.done("It goes on. What waited is processed now.", target)


@blueprint.post("/connections/<uuid:connection_id>/sync")
@page_login_required
def sync_connection(connection_id: UUID) -> Response:
    """Compare now with what the provider lists."""
    target = url_for("pages.connection", connection_id=connection_id)
    try:
        sync.begin(connection_id)
    except (BadRequest, Conflict) as error:
        return render.refused(f"{str(error)[:1].upper()}{str(error)[1:]}.", target, 409)
    return render.done("The provider is asked for everything it has.", target, events={"live:sync.progressed": {}})


@blueprint.get("/connections/<uuid:connection_id>/rehearsal")
@page_login_required
def rehearsal(connection_id: UUID) -> Response:
    """What a webhook of this provider would become here, without sending or keeping any."""
    with looking() as look:
        only(look, Role.SELLER)
        found = store.get_connection(look.db, look.actor, connection_id)
        connector = connecting.bound(registry.get(found["connector"]), found["settings"])
        known = rehearsing.choices(connector)
        wanted = request.args.get("sample", "")
        event, _, variant = wanted.partition("__")
        shown = None
        if wanted:
            secrets = connecting.secrets_of(look.db, look.actor, connection_id, look.now)
            url = connecting.webhook_url(found)
            shown = rehearsing.rehearse(connector, event, variant or None, secrets=secrets, url=url, now=look.now)
        options = {
            (f"{name}__{kind}" if kind else name): (f"{name}, {kind.replace('_', ' ')}" if kind else name)
            for name, kind in known
        }
        return look.show(
            "pages/rehearsal.html",
            connection=found,
            connector=connector,
            options=options,
            wanted=wanted,
            shown=shown,
            body=None if shown is None else render.readable(shown.body),
        )


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


@blueprint.post("/connections/<uuid:connection_id>/access")
@page_login_required
def change_access(connection_id: UUID) -> Response:
    """New keys for the provider's API, and what else it is asked with."""
    form = Form(request.form)
    with looking() as look:
        found = store.get_connection(look.db, look.actor, connection_id)
        fields = _access(registry.get(found["connector"]))
        secrets = {field.name: value for field in fields if field.secret and (value := form.raw(field.name))}
        settings = {**found["settings"], **{each.name: form.raw(each.name) for each in fields if not each.secret}}
        try:
            connecting.change(look.db, look.actor, connection_id, secrets=secrets, settings=settings, now=look.now)
        except Invalid as error:
            form.blame(error, {error.field: error.field.rpartition(".")[2]})
            return _page(look, connection_id, form, 422, access_open=True)
    flash("Saved. The provider is asked with it from now on.", "good")
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
