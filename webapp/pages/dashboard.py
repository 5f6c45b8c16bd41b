"""The dashboard: what is open, what came in, what waits for a decision."""

from __future__ import annotations

from typing import Any

from flask import Response

from core import overview
from core.identity import Role
from core.marketplace import holdings
from core.marketplace import queries as market
from webapp.auth import page_login_required
from webapp.pages import blueprint
from webapp.pages.shell import Look, looking

_OFFERS = 3
_HELD = 5


def _investing(look: Look) -> dict[str, Any]:
    """What an investor may put money in, and what is still to come back."""
    if look.actor.role is not Role.INVESTOR:
        return {}
    return {
        "offers": market.listings(look.db, look.actor, limit=_OFFERS)["items"],
        "held": holdings.investments(look.db, look.actor, status="open", limit=_HELD)["items"],
    }


@blueprint.get("/dashboard")
@page_login_required
def dashboard() -> Response:
    """The dashboard of whoever looks."""
    with looking() as look:
        seen = overview.dashboard(look.db, look.actor, look.now)
        return look.show("pages/dashboard.html", **seen, **_investing(look))
