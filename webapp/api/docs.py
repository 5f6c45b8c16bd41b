"""/api/openapi.json, and /api/docs to read and try it."""

from __future__ import annotations

from flask import Blueprint, Response, current_app, render_template

from webapp import openapi
from webapp.api.edge import reply

blueprint = Blueprint("docs", __name__, url_prefix="/api")


@blueprint.get("/openapi.json")
def document() -> Response:
    """The OpenAPI 3.1 document."""
    return reply(openapi.document(current_app))


@blueprint.get("/docs")
def page() -> str:
    """The document as a page."""
    return render_template("api_docs.html")
