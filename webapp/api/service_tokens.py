"""/api/service-tokens: proof for other services. For operators, and not for services themselves."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from flask import Blueprint, Response
from sqlalchemy.orm import Session

from core import audit
from core.errors import Forbidden
from core.identity import Actor, Role, tokens
from webapp import auth
from webapp.api import models
from webapp.api.edge import once, reply
from webapp.openapi import operation
from webapp.services import services

blueprint = Blueprint("service_tokens", __name__, url_prefix="/api/service-tokens")


def _operator() -> Actor:
    person = auth.require(Role.OPERATOR)
    if person.is_service:
        raise Forbidden("a service token makes no tokens")
    return person


@blueprint.get("")
@operation("service_tokens", {200: models.ServiceTokens})
def index() -> Response:
    """All service tokens, newest first, without the tokens themselves."""
    _operator()
    with services().database.session() as session:
        return reply({"items": tokens.service_tokens(session)})


@blueprint.post("")
@operation("service_tokens", {201: models.ServiceToken}, body=models.ServiceTokenInput, problems=(409,))
def create(body: models.ServiceTokenInput) -> Response:
    """Make a token that acts for me. It is shown once."""
    person = _operator()

    def work(session: Session) -> tuple[dict[str, Any], int]:
        identity, token = tokens.make_service_token(session, person, body.name, auth.now())
        data = {"name": body.name}
        audit.record(session, person, "service_token.created", "service_token", identity, data, auth.now())
        return {"id": str(identity), "name": body.name, "token": token}, 201

    return once(person, work, confidential=True)


@blueprint.delete("/<uuid:token_id>")
@operation("service_tokens", {204: None}, problems=(404,))
def delete(token_id: UUID) -> Response:
    """Revoke a token."""
    person = _operator()
    with services().database.session() as session:
        tokens.revoke_service_token(session, token_id, auth.now())
        audit.record(session, person, "service_token.revoked", "service_token", token_id, {}, auth.now())
    return Response(status=204)
