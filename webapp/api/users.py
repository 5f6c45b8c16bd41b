"""/api/users: what a person looks at first, their money, their year, and how they like it."""

from __future__ import annotations

from dataclasses import replace

from flask import Blueprint, Response

from core import movements, overview
from core import statistics as yearly
from core.errors import Forbidden
from core.identity import Role, preferences
from core.marketplace import limits, shapes
from core.marketplace import portfolio as portfolios
from webapp import auth
from webapp.api import invoice_models, market_models
from webapp.api.edge import reply
from webapp.openapi import operation
from webapp.services import services

blueprint = Blueprint("users", __name__, url_prefix="/api/users")


@blueprint.get("/dashboard")
@operation("users", {200: invoice_models.Dashboard})
def dashboard() -> Response:
    """The figures and rows of the dashboard."""
    person = auth.actor()
    with services().database.session() as session:
        return reply(overview.dashboard(session, person, auth.now()))


@blueprint.get("/portfolio")
@operation("users", {200: market_models.Portfolio}, query=market_models.PortfolioQuery)
def portfolio(query: market_models.PortfolioQuery) -> Response:
    """My investments, what they come to, with whom they stand, and when they come back."""
    person = auth.actor()
    with services().database.session() as session:
        return reply(
            portfolios.portfolio(
                session,
                person,
                auth.now(),
                at=query.at,
                by=query.by,
                status=query.status,
                search=query.search,
                limit=query.limit,
                cursor=query.cursor,
            )
        )


@blueprint.get("/transactions")
@operation("users", {200: market_models.PersonsMovements}, query=market_models.MovementsQuery)
def transactions(query: market_models.MovementsQuery) -> Response:
    """Every movement of my money, in the wallet and on connected bank accounts, newest first."""
    person = auth.actor()
    with services().database.session() as session:
        return reply(movements.movements(session, person, source=query.source, limit=query.limit, cursor=query.cursor))


@blueprint.get("/statistics")
@operation("users", {200: market_models.Statistics})
def statistics() -> Response:
    """A year of my business in figures, by what I am."""
    person = auth.actor()
    with services().database.session() as session:
        return reply(yearly.statistics(session, person, auth.now()))


@blueprint.put("/preferences")
@operation("users", {200: market_models.Preferences}, body=market_models.PreferencesInput)
def update_preferences(body: market_models.PreferencesInput) -> Response:
    """Change preferences by merging, and as an investor my caps. Repeating it changes nothing."""
    person = auth.actor()
    if person.is_service:
        raise Forbidden("a service token changes no preferences")
    if body.investor_limits is not None and person.role is not Role.INVESTOR:
        raise Forbidden("caps are for investors")
    with services().database.session() as session:
        known = preferences.merge(session, person.id, body.changes)
        held = limits.of(session, person.id)
        if body.investor_limits is not None:
            named = body.investor_limits.model_dump(exclude_unset=True)
            held = limits.put(session, person, replace(held, **named), auth.now())
        shown = {
            "per_buyer": shapes.plain(held.per_buyer),
            "per_invoice": shapes.plain(held.per_invoice),
            "max_days": held.max_days,
        }
        return reply({"preferences": known, "investor_limits": shown if person.role is Role.INVESTOR else None})
