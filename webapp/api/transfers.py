"""/api/transfers: what the ledger posted, and where the money came from."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from flask import Blueprint, Response

from core.inbox import trail
from webapp import auth
from webapp.api.edge import reply
from webapp.api.models import EventTransfer, Output
from webapp.openapi import operation
from webapp.services import services

blueprint = Blueprint("transfers", __name__, url_prefix="/api/transfers")


class Source(Output):
    """The provider's event that caused a transfer. `delivery_id` for those who may see the delivery."""

    connector: str
    event: str
    provider_event_id: str | None
    received_at: datetime
    delivery_id: UUID | None


class SourcedTransfer(EventTransfer):
    """A transfer and what caused it."""

    source: Source | None


@blueprint.get("/<uuid:transfer_id>")
@operation("transfers", {200: SourcedTransfer}, problems=(404,))
def show(transfer_id: UUID) -> Response:
    """A transfer that moved my money: my entries of it, and the webhook that brought it. Operators see all of it."""
    person = auth.actor()
    with services().database.session() as session:
        return reply(trail.transfer(session, person, transfer_id))
