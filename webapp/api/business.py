"""/api/business: what stands on a seller's invoices, and how these are numbered."""

from __future__ import annotations

from typing import Any

from flask import Blueprint, Response
from sqlalchemy.orm import Session

from core.errors import Forbidden
from core.identity import Actor, Role
from core.invoicing import numbering, profiles
from webapp import auth
from webapp.api import invoice_models as models
from webapp.api.edge import once, reply
from webapp.openapi import operation
from webapp.services import services

blueprint = Blueprint("business", __name__, url_prefix="/api/business")


def _seller() -> Actor:
    person = auth.actor()
    if person.role is not Role.SELLER:
        raise Forbidden("only sellers have a business that makes invoices")
    return person


@blueprint.get("")
@operation("business", {200: models.Business}, problems=(403,))
def show() -> Response:
    """My business as it is set up."""
    person = _seller()
    with services().database.session() as session:
        return reply(profiles.profile(session, person.id).plain())


@blueprint.put("")
@operation("business", {200: models.Business}, body=models.BusinessInput, problems=(403, 409))
def update(body: models.BusinessInput) -> Response:
    """Change my business. Invoices that were issued stay as they are."""
    person = _seller()
    changes = body.model_dump(exclude={"version"}, exclude_none=True)
    with services().database.session() as session:
        saved = profiles.save(session, person, changes, auth.now(), expected_version=body.version)
        return reply(saved.plain())


@blueprint.get("/series")
@operation("business", {200: models.AllSeries}, problems=(403,))
def series() -> Response:
    """My series of numbers."""
    person = _seller()
    with services().database.session() as session:
        return reply({"items": [one.plain() for one in numbering.list_series(session, person.id)]})


@blueprint.post("/series")
@operation("business", {201: models.Series}, body=models.SeriesInput, problems=(403, 409))
def create_series(body: models.SeriesInput) -> Response:
    """Begin a series."""
    person = _seller()

    def work(session: Session) -> tuple[dict[str, Any], int]:
        made = numbering.create_series(
            session,
            person,
            prefix=body.prefix,
            year_kind=body.year_kind,
            kind=body.kind,
            default=body.default,
            now=auth.now(),
        )
        return made.plain(), 201

    return once(person, work)


@blueprint.put("/series")
@operation("business", {200: models.Series}, body=models.DefaultSeriesInput, problems=(403,))
def default_series(body: models.DefaultSeriesInput) -> Response:
    """Number new documents by this series from now on."""
    person = _seller()
    with services().database.session() as session:
        return reply(numbering.set_default(session, person, body.prefix, auth.now()).plain())
