"""The dashboard: what is open, what came in, what waits for a decision."""

from __future__ import annotations

from flask import Response

from core import overview
from webapp.auth import page_login_required
from webapp.pages import blueprint
from webapp.pages.shell import looking


@blueprint.get("/dashboard")
@page_login_required
def dashboard() -> Response:
    """The dashboard of whoever looks."""
    with looking() as look:
        return look.show("pages/dashboard.html", **overview.dashboard(look.db, look.actor, look.now))
