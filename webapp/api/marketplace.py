"""/api/marketplace: what investors may put money in. What is done with it is in market.py."""

from __future__ import annotations

from uuid import UUID

from flask import Blueprint, Response

from core.marketplace import queries
from core.marketplace.queries import Wanted
from webapp import auth
from webapp.api import market_models as models
from webapp.api.edge import reply
from webapp.openapi import operation
from webapp.services import services

blueprint = Blueprint("marketplace", __name__, url_prefix="/api/marketplace")
_PAGING = {"limit", "cursor", "sort"}


@blueprint.get("/listings")
@operation("marketplace", {200: models.Listings}, query=models.ListingsQuery)
def listings(query: models.ListingsQuery) -> Response:
    """Invoices on offer, for investors and sellers: filtered, searched, in the order asked for."""
    person = auth.actor()
    with services().database.session() as session:
        return reply(
            queries.listings(
                session,
                person,
                Wanted(**query.model_dump(exclude=_PAGING)),
                sort=query.sort,
                limit=query.limit,
                cursor=query.cursor,
            )
        )


@blueprint.get("/listings/<uuid:invoice_id>")
@operation("marketplace", {200: models.ListingDetail}, problems=(404,))
def listing(invoice_id: UUID) -> Response:
    """One offer with its confirmation, its slices and my bids."""
    person = auth.actor()
    with services().database.session() as session:
        return reply(queries.listing(session, person, invoice_id))
