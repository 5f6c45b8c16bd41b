"""Signing in, registering, signing out."""

from __future__ import annotations

from flask import flash, make_response, redirect, request, url_for
from werkzeug.wrappers import Response

from core.errors import AuthenticationFailed, Conflict, Invalid
from core.identity import Role, users
from webapp import auth, limits
from webapp.pages import blueprint, render
from webapp.pages.forms import Form
from webapp.services import services

DEMO_PASSWORD = "password123"  # noqa: S105  # Public: it opens the demo accounts and is refused elsewhere.
MIN_PASSWORD = 8
_YEAR_SECONDS = 31_536_000
ROLES = {
    "seller": ("Seller", "I send invoices and want to see them paid."),
    "buyer": ("Buyer", "I receive invoices and pay them."),
    "investor": ("Investor", "I finance unpaid invoices."),
}


def remember(response: Response, preferences: dict[str, str]) -> Response:
    """Keep theme and locale in cookies, so that every page knows them before anything is read."""
    for name in ("theme", "locale"):
        if value := preferences.get(name):
            response.set_cookie(
                name, str(value), max_age=_YEAR_SECONDS, samesite="Lax", secure=services().secure, httponly=True
            )
    return response


@blueprint.get("/")
def home() -> Response:
    """Where a person begins."""
    return redirect(url_for("pages.dashboard" if auth.current_actor() else "pages.login"))


def _sign_in_page(form: Form, status: int = 200) -> Response:
    return render.show("pages/login.html", status, form=form, next=render.back(""), demo_password=DEMO_PASSWORD)


@blueprint.get("/login")
def login() -> Response:
    """The sign-in page."""
    if auth.current_actor():
        return redirect(auth.safe_next(request.args.get("next"), url_for("pages.dashboard")))
    return _sign_in_page(Form({}))


@blueprint.post("/login")
@limits.login_limit
@limits.login_address_limit
def sign_in() -> Response:
    """Check e-mail and password."""
    form = Form(request.form)
    email, password = form.email(), request.form.get("password", "")
    if not password:
        form.errors["password"] = "Enter your password."  # noqa: S105  # A message, not a password.
    if not form:
        return _sign_in_page(form, 422)
    try:
        person = auth.check_password(email, password)
    except AuthenticationFailed:
        form.errors["form"] = "The e-mail or the password is wrong."
        return _sign_in_page(form, 401)
    answer = redirect(auth.safe_next(request.form.get("next"), url_for("pages.dashboard")), 303)
    with services().database.session() as db:
        remember(answer, users.profile(db, person.id)["preferences"])
    return auth.start_page_session(make_response(answer), person)


def _register_page(form: Form, status: int = 200) -> Response:
    return render.show("pages/register.html", status, form=form, roles=ROLES, min_password=MIN_PASSWORD)


@blueprint.get("/register")
def register() -> Response:
    """The page that makes an account."""
    if auth.current_actor():
        return redirect(url_for("pages.dashboard"))
    return _register_page(Form({}))


@blueprint.post("/register")
@limits.register_limit
def sign_up() -> Response:
    """Make an account and sign in."""
    form = Form(request.form)
    name, email = form.text("name", "your name"), form.email()
    organisation = form.text("organisation", "your organisation", required=False)
    password, role = request.form.get("password", ""), form.raw("role")
    if len(password) < MIN_PASSWORD:
        form.errors["password"] = f"Use at least {MIN_PASSWORD} characters."
    if role not in ROLES:
        form.errors["role"] = "Choose what you do here."
    if not form:
        return _register_page(form, 422)
    try:
        person = auth.register(email=email, password=password, name=name, role=Role(role), organisation=organisation)
    except Invalid as error:
        form.blame(error)
        return _register_page(form, 422)
    except Conflict:
        form.errors["email"] = "An account with this e-mail exists already. Sign in instead."
        return _register_page(form, 409)
    answer = auth.start_page_session(make_response(redirect(url_for("pages.dashboard"), 303)), person)
    flash(f"Welcome, {person.name}.", "good")
    return answer


@blueprint.post("/logout")
def logout() -> Response:
    """End the session of this browser."""
    return auth.end_page_session(make_response(redirect(url_for("pages.login"), 303)))
