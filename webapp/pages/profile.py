"""The profile: name, organisation, looks, password."""

from __future__ import annotations

from typing import Any

from flask import Response, flash, redirect, request, url_for

from core.errors import Invalid
from core.identity import passwords, tokens, users
from webapp import auth, limits, runtime
from webapp.auth import page_login_required
from webapp.pages import blueprint, render
from webapp.pages import format as formats
from webapp.pages.access import MIN_PASSWORD, remember
from webapp.pages.forms import Form
from webapp.pages.shell import looking
from webapp.services import services


def _page(status: int = 200, **forms: Form) -> Response:
    with looking() as look:
        person: dict[str, Any] = users.profile(look.db, look.actor.id)
        return look.show(
            "pages/profile.html",
            status,
            person=person,
            form=forms.get("form") or Form({"name": person["name"], "organisation": person["organisation"]}),
            looks=forms.get("looks") or Form(render.preferences()),
            password_form=forms.get("password_form") or Form({}),
            themes=formats.THEMES,
            locales=formats.LOCALES,
            min_password=MIN_PASSWORD,
        )


@blueprint.get("/profile")
@page_login_required
def profile() -> Response:
    """What a person sees and sets of themselves."""
    return _page()


@blueprint.post("/profile")
@page_login_required
def update_profile() -> Any:
    """Change name and organisation."""
    form = Form(request.form)
    name = form.text("name", "your name")
    organisation = form.text("organisation", "your organisation", required=False)
    if not form:
        return _page(422, form=form)
    with looking() as look:
        users.update_profile(look.db, look.actor.id, name=name, organisation=organisation)
    flash("Your profile was saved.", "good")
    return redirect(url_for("pages.profile"), 303)


@blueprint.post("/profile/looks")
@page_login_required
def update_looks() -> Any:
    """Change theme and how amounts are written."""
    theme, locale = request.form.get("theme", ""), request.form.get("locale", "")
    chosen = {
        "theme": theme if theme in formats.THEMES else "auto",
        "locale": locale if locale in formats.LOCALES else "auto",
    }
    with looking() as look:
        users.update_profile(look.db, look.actor.id, preferences=chosen)
    flash("Your choice was saved.", "good")
    return remember(redirect(url_for("pages.profile"), 303), chosen)


@blueprint.post("/profile/password")
@page_login_required
@limits.login_address_limit
def change_password() -> Any:
    """Change the password; every other browser and token is signed out."""
    form = Form(request.form)
    current, new = request.form.get("current", ""), request.form.get("new", "")
    person = auth.actor()
    settings = services().settings
    try:
        passwords.check(new, email=person.email, demo=settings.demo_mode)
    except Invalid as error:
        form.blame(error, {error.field: "new"})
    if not current:
        form.errors["current"] = "Enter your present password."
    if form:
        with services().database.session() as db:
            account = users.find_account(db, person.email)
        if not runtime.offload(passwords.verify, account.password_hash if account else None, current):
            form.errors["current"] = "This is not your present password."
    if not form:
        return _page(422, password_form=form)
    hashed = runtime.offload(passwords.hash_password, new)
    with looking() as look:
        users.update_profile(look.db, look.actor.id, password_hash=hashed)
        kept = tokens.digest(request.cookies.get(auth.COOKIE, ""))
        users.end_everywhere(look.db, look.actor.id, look.now, keep_session=kept)
    flash("Your password was changed, and every other device was signed out.", "good")
    return redirect(url_for("pages.profile"), 303)
