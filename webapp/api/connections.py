"""/api/connections and /api/connectors."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from flask import Blueprint, Response
from pydantic import SecretStr
from sqlalchemy.orm import Session

from connectors import registry
from core.connections import store
from webapp import auth, connecting
from webapp.api import models
from webapp.api.edge import once, reply
from webapp.openapi import operation
from webapp.services import services

blueprint = Blueprint("connections", __name__, url_prefix="/api")


def _plain(secrets: Mapping[str, SecretStr]) -> dict[str, str]:
    return {name: secret.get_secret_value() for name, secret in secrets.items()}


@blueprint.get("/connectors")
@operation("connections", {200: models.Connectors})
def connectors() -> Response:
    """The providers that can be connected, and what each needs."""
    auth.actor()
    return reply({"items": [connecting.describe(connector) for connector in registry.all().values()]})


@blueprint.get("/connections")
@operation("connections", {200: models.Connections}, query=models.ConnectionsQuery)
def index(query: models.ConnectionsQuery) -> Response:
    """My connections, newest first."""
    person = auth.actor()
    with services().database.session() as session:
        found = store.list_connections(
            session, person, limit=query.limit, cursor=query.cursor, connector=query.connector
        )
        return reply({**found, "items": [connecting.present(each) for each in found["items"]]})


@blueprint.post("/connections")
@operation("connections", {201: models.NewConnection}, body=models.ConnectionInput, problems=(409,))
def create(body: models.ConnectionInput) -> Response:
    """Connect a provider. Where the secret is ours to choose and none is given, one is made and shown once."""
    person = auth.actor()

    def work(session: Session) -> tuple[dict[str, Any], int]:
        made = connecting.connect(
            session,
            person,
            connector=body.connector,
            name=body.name,
            secrets=_plain(body.secrets),
            settings=body.settings,
            now=auth.now(),
        )
        return made, 201

    return once(person, work, confidential=True)


@blueprint.get("/connections/<uuid:connection_id>")
@operation("connections", {200: models.Connection}, problems=(404,))
def show(connection_id: UUID) -> Response:
    """A connection. Its secrets are never shown again."""
    person = auth.actor()
    with services().database.session() as session:
        return reply(connecting.present(store.get_connection(session, person, connection_id)))


@blueprint.put("/connections/<uuid:connection_id>")
@operation("connections", {200: models.Connection}, body=models.ConnectionUpdate, problems=(404, 409))
def update(connection_id: UUID, body: models.ConnectionUpdate) -> Response:
    """Rename, set anew, or rotate secrets: the old ones verify for as long as the provider may resend."""
    person = auth.actor()
    with services().database.session() as session:
        return reply(
            connecting.change(
                session,
                person,
                connection_id,
                name=body.name,
                secrets=None if body.secrets is None else _plain(body.secrets),
                settings=body.settings,
                write_back=body.write_back,
                now=auth.now(),
            )
        )


@blueprint.post("/connections/<uuid:connection_id>/pause")
@operation("connections", {200: models.Connection}, problems=(404,))
def pause(connection_id: UUID) -> Response:
    """Keep what the provider says without processing it. Nothing is refused and nothing is lost."""
    person = auth.actor()
    with services().database.session() as session:
        return reply(connecting.present(store.pause(session, person, connection_id, auth.now())))


@blueprint.post("/connections/<uuid:connection_id>/resume")
@operation("connections", {200: models.Connection}, problems=(404,))
def resume(connection_id: UUID) -> Response:
    """Process what waited, and what comes from now on."""
    person = auth.actor()
    return reply(connecting.resume(person, connection_id, auth.now()))


@blueprint.delete("/connections/<uuid:connection_id>")
@operation("connections", {204: None}, problems=(404,))
def delete(connection_id: UUID) -> Response:
    """End a connection. What it brought stays."""
    person = auth.actor()
    with services().database.session() as session:
        store.delete(session, person, connection_id, auth.now())
    return Response(status=204)
