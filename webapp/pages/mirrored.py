"""Invoices elsewhere: what accounting systems and gateways say of theirs. Nothing is decided here."""

from __future__ import annotations

from flask import Response, request

from core.connections import store
from core.identity import Role
from core.ids import parse_id
from core.mirroring import queries
from webapp.auth import page_login_required
from webapp.pages import blueprint
from webapp.pages.shell import choice, cursor, limit, looking, only

STATUSES = {"draft": "Draft", "open": "Open", "partially_paid": "Part paid", "paid": "Paid", "void": "Void"}


@blueprint.get("/mirrored-invoices")
@page_login_required
def mirrored_invoices() -> Response:
    """The list, of one connection where the address names one."""
    status = choice("status", STATUSES)
    connection_id = parse_id(request.args.get("connection_id", ""))
    with looking() as look:
        only(look, Role.SELLER, Role.OPERATOR)
        source = store.get_connection(look.db, look.actor, connection_id) if connection_id else None
        found = queries.list_mirrored(
            look.db, look.actor, limit=limit(), cursor=cursor(), connection_id=connection_id, status=status
        )
        return look.show("pages/mirrored_invoices.html", **found, status=status, statuses=STATUSES, connection=source)
