"""Who is asking: access token, service token or page session, and the cookie that carries the last."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from functools import wraps
from typing import Any, TypeVar, cast
from urllib.parse import urlsplit

from flask import Flask, g, redirect, request, session, url_for
from flask_wtf.csrf import CSRFProtect, generate_csrf
from werkzeug.wrappers import Response

from core import kyc, wallets
from core.errors import AuthenticationFailed, Forbidden
from core.identity import Actor, Role, passwords, tokens, users
from webapp import runtime
from webapp.problems import BadRequest
from webapp.services import services

COOKIE = "ledgerwire_session"
_UNSAFE = frozenset({"POST", "PUT", "PATCH", "DELETE"})
# These take their proof from the body or the signature, never from the cookie.
_COOKIELESS = frozenset({"auth.register", "auth.login", "auth.refresh", "auth.logout", "simulated.api"})
# These ask nobody who they are: no cookie could prove anything to them.
_SESSIONLESS = frozenset({"webhooks", "conformance"})

csrf = CSRFProtect()
_View = TypeVar("_View", bound=Callable[..., Any])


def now() -> datetime:
    """The moment, as the edge hands it to core."""
    return datetime.now(UTC)


def bearer() -> str | None:
    """The token of the Authorization header, or None without one. Raises AuthenticationFailed for others."""
    header = request.headers.get("Authorization")
    if header is None:
        return None
    scheme, _, token = header.partition(" ")
    if scheme.lower() != "bearer" or not token.strip():
        raise AuthenticationFailed("the Authorization header must be: Bearer <token>")
    return token.strip()


def session_hash() -> bytes | None:
    """What is stored of this browser's page session, or None without one."""
    cookie = request.cookies.get(COOKIE)
    return tokens.digest(cookie) if cookie else None


def _identify() -> Actor | None:
    token = bearer()
    database = services().database
    if token is not None:
        with database.session() as db:
            if token.startswith(tokens.SERVICE_PREFIX):
                actor = tokens.actor_by_service_token(db, token)
            else:
                actor = tokens.actor_by_access(db, tokens.read_access(services().signing, token, now()))
        if actor is None:
            raise AuthenticationFailed("the token is not valid any more")
        return actor
    held = session_hash()
    if held is None:
        return None
    with database.session() as db:
        return tokens.actor_by_session_hash(db, held, now())


def current_actor() -> Actor | None:
    """Who asks, or None for a stranger. Looked up once a request. Raises AuthenticationFailed for a bad token."""
    if not hasattr(g, "ledgerwire_actor"):
        g.ledgerwire_actor = _identify()
    return cast("Actor | None", g.ledgerwire_actor)


def actor() -> Actor:
    """Who asks. Raises AuthenticationFailed for a stranger."""
    found = current_actor()
    if found is None:
        raise AuthenticationFailed("sign in, or send Authorization: Bearer <token>")
    return found


def require(*roles: Role) -> Actor:
    """Who asks, when they have one of the roles. Raises AuthenticationFailed or Forbidden."""
    found = actor()
    if found.role not in roles:
        raise Forbidden(f"this is for {' and '.join(f'{role.value}s' for role in roles)}")
    return found


def page_login_required(view: _View) -> _View:
    """Send strangers to the sign-in page, and back afterwards."""

    @wraps(view)
    def guarded(*arguments: Any, **named: Any) -> Any:
        if current_actor() is None:
            target = request.full_path.rstrip("?") if request.method == "GET" else None
            location = url_for("pages.login", next=target)
            if request.headers.get("HX-Request"):
                # htmx would follow a redirect and paste the sign-in page into the fragment.
                return Response("", 401, {"HX-Redirect": location})
            return redirect(location)
        return view(*arguments, **named)

    return cast("_View", guarded)


def safe_next(target: str | None, default: str = "/") -> str:
    """A local path to go to after signing in: never another site."""
    if not target or not target.startswith("/") or target.startswith("//") or "\\" in target:
        return default
    parts = urlsplit(target)
    if parts.scheme or parts.netloc or any(ord(character) < 32 for character in target):
        return default
    return target


def check_password(email: str, password: str) -> Actor:
    """Who an e-mail and password belong to. Raises AuthenticationFailed, after the same time in every case."""
    with services().database.session() as db:
        account = users.find_account(db, email)
    # No connection is held while the hash is computed.
    known = runtime.offload(passwords.verify, account.password_hash if account else None, password)
    if account is None or not known:
        raise AuthenticationFailed("the e-mail or the password is wrong")
    return account.actor


def register(*, email: str, password: str, name: str, role: Role, organisation: str = "") -> Actor:
    """Add a person with all checks. Raises Invalid or Conflict."""
    cleaned = users.clean_email(email)
    passwords.check(password, email=cleaned, demo=services().settings.demo_mode)
    password_hash = runtime.offload(passwords.hash_password, password)
    moment = now()
    with services().database.session() as db:
        person = users.register(
            db,
            email=cleaned,
            name=name,
            password_hash=password_hash,
            role=role,
            organisation=organisation,
            now=moment,
        )
        if services().settings.demo_mode:
            # Demo money, and a demo's identity: outside demo mode neither comes of itself.
            kyc.welcome(db, person.id, moment)
            wallets.welcome(db, person.id, moment)
        return person


def start_page_session(response: Response, person: Actor) -> Response:
    """Give the browser of `person` a session cookie. What the browser had before is forgotten."""
    settings = services().settings
    with services().database.session() as db:
        previous = request.cookies.get(COOKIE)
        if previous:
            tokens.close_session(db, previous)
        token = tokens.open_session(
            db, person.id, request.headers.get("User-Agent", ""), now(), seconds=settings.session_seconds
        )
    session.clear()
    response.set_cookie(
        COOKIE,
        token,
        max_age=settings.session_seconds,
        httponly=True,
        samesite="Lax",
        secure=services().secure,
        path="/",
    )
    return response


def end_page_session(response: Response) -> Response:
    """Delete the session of this browser and its cookie."""
    cookie = request.cookies.get(COOKIE)
    if cookie:
        with services().database.session() as db:
            tokens.close_session(db, cookie)
    session.clear()
    response.delete_cookie(COOKIE, httponly=True, samesite="Lax", secure=services().secure, path="/")
    return response


def _guard_forms() -> None:
    """Demand a CSRF token wherever a cookie could be what proves the asker."""
    if request.method not in _UNSAFE or request.blueprint in _SESSIONLESS or request.endpoint in _COOKIELESS:
        return
    if request.path.startswith("/api/") and ("Authorization" in request.headers or COOKIE not in request.cookies):
        return
    if request.endpoint is not None:
        # A part without a name, which no browser sends and the check does not expect.
        if None in request.form:
            raise BadRequest("a part of the form has no name")
        csrf.protect()


def install(app: Flask) -> None:
    """Bind CSRF protection and the template names `current_actor` and `csrf_token` to an app."""
    app.config.update(
        WTF_CSRF_CHECK_DEFAULT=False,
        # The token lives as long as the session: a page left open over lunch still works.
        WTF_CSRF_TIME_LIMIT=None,
        WTF_CSRF_HEADERS=["X-CSRFToken", "X-CSRF-Token"],
    )
    csrf.init_app(app)
    app.before_request(_guard_forms)
    app.context_processor(lambda: {"current_actor": current_actor, "csrf_token": generate_csrf})
