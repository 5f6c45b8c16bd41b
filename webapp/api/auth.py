"""/api/auth: accounts and tokens."""

from __future__ import annotations

from typing import Any

from flask import Blueprint, Response

from core import audit
from core.errors import AuthenticationFailed, Forbidden, Invalid
from core.identity import Actor, Role, passwords, tokens, users
from webapp import auth, runtime
from webapp.api import models
from webapp.api.edge import reply
from webapp.limits import login_address_limit, login_limit, refresh_limit, register_limit
from webapp.openapi import operation
from webapp.services import services

blueprint = Blueprint("auth", __name__, url_prefix="/api/auth")


def _answer(pair: tokens.TokenPair, profile: dict[str, Any], status: int = 200) -> Response:
    return reply(
        {
            "access_token": pair.access_token,
            "refresh_token": pair.refresh_token,
            "expires_in": pair.expires_in,
            "token_type": "Bearer",
            "user": profile,
        },
        status,
    )


@blueprint.post("/register")
@register_limit
@operation("auth", {201: models.Tokens}, body=models.RegisterInput, problems=(409,), public=True)
def register(body: models.RegisterInput) -> Response:
    """Make an account and sign in."""
    person = auth.register(
        email=body.email,
        password=body.password.get_secret_value(),
        name=body.name,
        role=Role(body.role),
        organisation=body.organisation,
    )
    with services().database.session() as session:
        audit.record(session, person, "user.registered", "user", person.id, {"role": body.role}, auth.now())
        pair = tokens.sign_in(session, services().signing, person, auth.now())
        return _answer(pair, users.profile(session, person.id), 201)


@blueprint.post("/login")
@login_limit
@login_address_limit
@operation("auth", {200: models.Tokens}, body=models.LoginInput, problems=(401,), public=True)
def login(body: models.LoginInput) -> Response:
    """Trade e-mail and password for tokens."""
    person = auth.check_password(body.email, body.password.get_secret_value())
    with services().database.session() as session:
        pair = tokens.sign_in(session, services().signing, person, auth.now())
        return _answer(pair, users.profile(session, person.id))


@blueprint.post("/refresh")
@refresh_limit
@operation("auth", {200: models.Tokens}, body=models.RefreshInput, problems=(401,), public=True)
def refresh(body: models.RefreshInput) -> Response:
    """Trade a refresh token for new tokens. One that was traded before ends the whole sign-in."""
    with services().database.session() as session:
        traded = tokens.refresh(session, services().signing, body.refresh_token, auth.now())
        answer = None if traded is None else _answer(traded[1], users.profile(session, traded[0].id))
    # Only now, after the commit: a reuse has revoked its family, and that must not be rolled back.
    if answer is None:
        raise AuthenticationFailed("the refresh token is not valid any more")
    return answer


@blueprint.post("/logout")
@operation("auth", {204: None}, body=models.LogoutInput, problems=(401,), public=True)
def logout(body: models.LogoutInput) -> Response:
    """End a sign-in: its refresh tokens and access tokens stop working."""
    with services().database.session() as session:
        if body.refresh_token is not None:
            tokens.sign_out(session, body.refresh_token, auth.now())
        else:
            token = auth.bearer()
            if token is None:
                raise AuthenticationFailed("send the refresh token, or Authorization: Bearer <access token>")
            claims = tokens.read_access(services().signing, token, auth.now())
            tokens.sign_out_family(session, claims.family, auth.now())
    return Response(status=204)


@blueprint.get("/profile")
@operation("auth", {200: models.User})
def profile() -> Response:
    """Who I am."""
    person = auth.actor()
    with services().database.session() as session:
        return reply(users.profile(session, person.id))


def _new_hash(person: Actor, body: models.ProfileInput) -> str | None:
    if body.new_password is None:
        return None
    if body.current_password is None:
        raise Invalid("current_password", "is needed to set a new one")
    try:
        auth.check_password(person.email, body.current_password.get_secret_value())
    except AuthenticationFailed as error:
        raise Invalid("current_password", "is wrong") from error
    new = body.new_password.get_secret_value()
    passwords.check(new, email=person.email, demo=services().settings.demo_mode)
    return runtime.offload(passwords.hash_password, new)


@blueprint.put("/profile")
@login_limit
@operation("auth", {200: models.User}, body=models.ProfileInput)
def update_profile(body: models.ProfileInput) -> Response:
    """Change my name, organisation, preferences or password. A new password ends every other sign-in."""
    person = auth.actor()
    if person.is_service:
        raise Forbidden("a service token changes no profile")
    password_hash = _new_hash(person, body)
    with services().database.session() as session:
        changed = users.update_profile(
            session,
            person.id,
            name=body.name,
            organisation=body.organisation,
            preferences=body.preferences,
            password_hash=password_hash,
        )
        if password_hash is not None:
            users.end_everywhere(session, person.id, auth.now(), keep_session=auth.session_hash())
            audit.record(session, person, "user.password_changed", "user", person.id, {}, auth.now())
        return reply(changed)
