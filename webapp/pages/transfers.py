"""One movement of the ledger, as whoever has a part in it may read it, and what brought it about."""

from __future__ import annotations

from uuid import UUID

from flask import Response

from core.inbox import trail
from webapp.auth import page_login_required
from webapp.pages import blueprint
from webapp.pages.shell import looking


@blueprint.get("/transfers/<uuid:transfer_id>")
@page_login_required
def transfer(transfer_id: UUID) -> Response:
    """A transfer: its legs, its invoice, and the delivery it came from."""
    with looking() as look:
        return look.show("pages/transfer.html", transfer=trail.transfer(look.db, look.actor, transfer_id))
