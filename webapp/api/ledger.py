"""/api/ledger: how the books are. For operators."""

from __future__ import annotations

from flask import Blueprint, Response

from core.identity import Role
from core.ledger import health as ledger_health
from webapp import auth
from webapp.api import ledger_models as models
from webapp.api.edge import reply
from webapp.openapi import operation
from webapp.services import services

blueprint = Blueprint("ledger", __name__, url_prefix="/api/ledger")


@blueprint.get("/health")
@operation("ledger", {200: models.LedgerHealth})
def health() -> Response:
    """The books by currency, accounts that are not clear, the hash chain, the last verification. For operators."""
    auth.require(Role.OPERATOR)
    with services().database.session() as session:
        return reply(ledger_health.health(session, auth.now()))
