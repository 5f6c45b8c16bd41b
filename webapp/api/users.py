"""/api/users: what a person looks at first."""

from __future__ import annotations

from flask import Blueprint, Response

from core import overview
from webapp import auth
from webapp.api import models
from webapp.api.edge import reply
from webapp.openapi import operation
from webapp.services import services

blueprint = Blueprint("users", __name__, url_prefix="/api/users")


@blueprint.get("/dashboard")
@operation("users", {200: models.Dashboard})
def dashboard() -> Response:
    """The figures and rows of the dashboard."""
    person = auth.actor()
    with services().database.session() as session:
        return reply(overview.dashboard(session, person, auth.now()))
