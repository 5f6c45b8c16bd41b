"""The profile: name, organisation, looks, password."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from flask import Response, flash, redirect, request, url_for

from core.errors import Invalid
from core.identity import Role, passwords, tokens, users
from core.marketplace import limits as caps
from core.marketplace import shapes
from webapp import auth, limits, runtime
from webapp.auth import page_login_required
from webapp.pages import blueprint, render
from webapp.pages import format as formats
from webapp.pages.access import MIN_PASSWORD, remember
from webapp.pages.forms import Form
from webapp.pages.shell import Look, looking, only
from webapp.services import services


def _caps_form(look: Look) -> Form | None:
    """An investor's own caps as they stand, for the form; None for everybody else."""
    if look.actor.role is not Role.INVESTOR:
        return None
    held = caps.of(look.db, look.actor.id)
    return Form(
        {
            "per_buyer": shapes.plain(held.per_buyer) or "",
            "per_invoice": shapes.plain(held.per_invoice) or "",
            "max_days": "" if held.max_days is None else str(held.max_days),
        }
    )


def _page(status: int = 200, **refused: Form) -> Response:
    """The page; `refused` are forms that were sent and not accepted, each with what was typed and why not."""
    with looking() as look:
        person: dict[str, Any] = users.profile(look.db, look.actor.id)
        forms: dict[str, Form | None] = {
            "form": Form({"name": person["name"], "organisation": person["organisation"]}),
            "looks": Form(render.preferences()),
            "caps": _caps_form(look),
            "password_form": Form({}),
        }
        return look.show(
            "pages/profile.html",
            status,
            person=person,
            **(forms | refused),
            suggested={"per_buyer": caps.SUGGESTED_PER_BUYER, "per_invoice": caps.SUGGESTED_PER_INVOICE},
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


@blueprint.post("/profile/caps")
@page_login_required
def update_caps() -> Any:
    """Change how much of an investor's own money may go to one place; an empty field takes the cap away."""
    form = Form(request.form)
    shares = {
        name: form.number(name, "a percentage", low=Decimal("0.01"), high=Decimal(100), places=2)
        for name in ("per_buyer", "per_invoice")
        if form.raw(name)
    }
    days = (
        form.number("max_days", "days", low=Decimal(1), high=Decimal(3650), places=0) if form.raw("max_days") else None
    )
    with looking() as look:
        only(look, Role.INVESTOR)
        if form:
            chosen = caps.Limits(**shares, max_days=None if days is None else int(days))
            caps.put(look.db, look.actor, chosen, look.now)
    if not form:
        return _page(422, caps=form)
    flash("Your caps were saved.", "good")
    return redirect(url_for("pages.profile"), 303)


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
