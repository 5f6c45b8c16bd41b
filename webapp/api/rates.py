"""/api/rates: exchange rates by date, by hand and from files."""

from __future__ import annotations

from typing import Any

from flask import Blueprint, Response, current_app
from sqlalchemy.orm import Session

from core.decimals import plain
from core.errors import Forbidden
from core.identity import Actor, Role
from core.invoicing import rate_feeds, rate_files, rates
from core.invoicing.rate_feeds import Feed
from core.invoicing.rates import Rate
from webapp import auth, limits, runtime, uploads
from webapp.api import rate_models as models
from webapp.api.edge import once, reply
from webapp.openapi import operation
from webapp.services import services

blueprint = Blueprint("rates", __name__, url_prefix="/api/rates")


@blueprint.get("")
@operation("rates", {200: models.ExchangeRates}, query=models.RatesQuery)
def index(query: models.RatesQuery) -> Response:
    """My exchange rates, the newest day first."""
    person = auth.actor()
    with services().database.session() as session:
        found = rates.list_rates(session, person, **query.model_dump())
        return reply({**found, "home": rates.home_currency(session, person.id)})


@blueprint.get("/on")
@operation("rates", {200: models.RateOn}, query=models.RateOnQuery)
def on(query: models.RateOnQuery) -> Response:
    """The rate that holds on a day: the newest of it or of the ten days before, either way round."""
    person, day = auth.actor(), query.day or auth.now().date()
    with services().database.session() as session:
        home = query.home or rates.home_currency(session, person.id)
        found = rates.rate_on(session, person.id, query.currency, home, day)
    spelled = plain(found)
    return reply({"currency": query.currency, "home": home, "day": day, "rate": spelled})


@blueprint.post("")
@operation("rates", {201: models.WrittenRates}, body=models.RateInput)
def create(body: models.RateInput) -> Response:
    """Write a rate down; one of the same day is replaced."""
    person = auth.actor()

    def work(session: Session) -> tuple[dict[str, Any], int]:
        home = body.home or rates.home_currency(session, person.id)
        given = rates.check(Rate(currency=body.currency, home=home, day=body.day, rate=body.rate))
        done = rates.write(session, person, [given], "hand", auth.now())
        return {"added": done.added, "changed": done.changed, "unchanged": done.unchanged}, 201

    return once(person, work)


@blueprint.post("/import")
@uploads.takes_file
@limits.upload_limit
@operation("rates", {200: models.ImportedRates}, problems=(413,), upload=("file",))
def bring() -> Response:
    """Bring a file: CSV with a heading (day, currency, rate, perhaps home), or the European Central Bank's XML.

    With a single wrong line nothing of it is kept. The same file again changes nothing.
    """
    person = auth.actor()
    if person.role is not Role.SELLER:
        raise Forbidden("only sellers keep exchange rates")
    _, content = uploads.read_file()
    with services().database.session() as session:
        home = rates.home_currency(session, person.id)
    return reply(taken(person, content, home))


def taken(person: Actor, content: bytes, home: str) -> dict[str, Any]:
    """What came of a file of a seller. Raises Invalid for what is none."""
    # Thousands of lines take a while: beside the other greenlets, and while no connection is held.
    read, kind = runtime.offload(rate_files.read, content, home)
    errors = [{"line": line, "message": message} for line, message in read.errors]
    if errors:
        return {"kind": kind, "errors": errors, "added": 0, "changed": 0, "unchanged": 0}
    with services().database.session() as session:
        done = rates.write(session, person, read.rates, kind, auth.now())
    return {"kind": kind, "errors": [], "added": done.added, "changed": done.changed, "unchanged": done.unchanged}


@blueprint.delete("/<home>/<currency>/<day>")
@operation("rates", {200: models.RemovedRate}, problems=(404, 422))
def delete(home: str, currency: str, day: str) -> Response:
    """Forget a rate of mine."""
    person, wanted = auth.actor(), rates.day_of(day)
    with services().database.session() as session:
        rates.remove(session, person, currency=currency, home=home, day=wanted, now=auth.now())
    return reply({"removed": True})


@blueprint.get("/feed")
@operation("rates", {200: models.RateFeed})
def show_feed() -> Response:
    """Whether my rates are fetched from the European Central Bank, and how that went."""
    person = auth.require(Role.SELLER)
    with services().database.session() as session:
        return reply(_feed(rate_feeds.feed(session, person.id)))


@blueprint.put("/feed")
@limits.upload_limit
@operation("rates", {200: models.RateFeed}, body=models.RateFeedInput)
def switch_feed(body: models.RateFeedInput) -> Response:
    """Have them fetched each day, the first time at once with ninety days; or no more. Mine are never replaced."""
    person = auth.require(Role.SELLER)
    with services().database.session() as session:
        found = rate_feeds.switch(session, person, auth.now(), on=body.on)
    ring_for_rates()
    return reply(_feed(found))


@blueprint.post("/feed/fetch")
@limits.upload_limit
@operation("rates", {202: models.RateFeed}, problems=(409,))
def fetch_feed() -> Response:
    """Fetch them now. Asking again while they are fetched changes nothing."""
    person = auth.require(Role.SELLER)
    with services().database.session() as session:
        found = rate_feeds.fetch_now(session, person, auth.now())
    ring_for_rates()
    return reply(_feed(found), 202)


def ring_for_rates() -> None:
    """Have a worker look for rates to fetch; a lost ring costs seconds."""
    current_app.extensions["ledgerwire.inlet"].ringer.ring("pull")


def _feed(found: Feed) -> dict[str, Any]:
    return {
        "on": found.is_on,
        "due_at": found.due_at,
        "fetched_at": found.fetched_at,
        "newest_day": found.newest_day,
        "error": found.error,
    }
