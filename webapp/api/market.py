"""/api/invoices/<id>/…: what is done to finance an invoice. Reading it is in marketplace.py and invoices.py."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from functools import partial
from typing import Any
from uuid import UUID

from flask import Blueprint, Response, request
from sqlalchemy.orm import Session

from core.identity import Role
from core.invoicing import queries
from core.marketplace import bidding, funding, listing, submitting
from core.marketplace.listing import Offer
from core.marketplace.papers import Papers
from core.marketplace.submitting import Confirmer
from webapp import auth
from webapp.api import invoice_models
from webapp.api import market_inputs as inputs
from webapp.api import market_outputs as outputs
from webapp.api.edge import once, reply
from webapp.openapi import operation
from webapp.services import services

blueprint = Blueprint("market", __name__, url_prefix="/api/invoices")


def _invoice(invoice_id: UUID, act: Callable[[Session], object]) -> Response:
    """Do something once, and answer with the invoice as it is then."""
    person = auth.actor()

    def work(session: Session) -> tuple[dict[str, Any], int]:
        act(session)
        return queries.get_invoice(session, person, invoice_id), 200

    return once(person, work)


def evidence() -> dict[str, str]:
    """What is kept of the request in which a buyer accepts: enough to compare, nothing to read."""
    secret = services().rules.fingerprint_key
    given = {"ip": request.remote_addr or "", "user_agent": request.headers.get("User-Agent", "")}
    return {name: hashlib.blake2b(value.encode(), key=secret[:32]).hexdigest() for name, value in given.items()}


@blueprint.post("/<uuid:invoice_id>/submit")
@operation("marketplace", {200: invoice_models.Invoice}, body=inputs.SubmitInput, problems=(403, 404, 409))
def submit(invoice_id: UUID, body: inputs.SubmitInput) -> Response:
    """Ask the buyer to confirm an invoice, so that it can be financed. A draft is issued by it."""
    person = auth.actor()
    papers = Papers(**body.model_dump(exclude={"buyer_email"}))
    return _invoice(
        invoice_id,
        lambda session: submitting.submit(
            session,
            person,
            invoice_id,
            buyer_email=body.buyer_email,
            papers=papers,
            rules=services().rules,
            link_to=partial(services().notary.link_to, services().settings.base_url),
            now=auth.now(),
            evidence=evidence(),
        ),
    )


@blueprint.post("/<uuid:invoice_id>/confirm")
@operation("marketplace", {200: invoice_models.Invoice}, body=inputs.ConfirmInput, problems=(403, 404, 409))
def confirm(invoice_id: UUID, body: inputs.ConfirmInput) -> Response:
    """Accept, as the buyer, to owe the amount on the due date. It cannot be taken back."""
    person = auth.actor()
    who = Confirmer(email=person.email, actor=person, evidence=evidence())
    return _invoice(
        invoice_id,
        lambda session: submitting.confirm(
            session,
            who,
            invoice_id,
            amount=body.confirmed_amount,
            rules=services().rules,
            keeper=services().notary,
            now=auth.now(),
        ),
    )


@blueprint.post("/<uuid:invoice_id>/reject")
@operation("marketplace", {200: invoice_models.Invoice}, body=inputs.RejectInput, problems=(403, 404, 409))
def reject(invoice_id: UUID, body: inputs.RejectInput) -> Response:
    """Say no, as the buyer, with the reason. As a dispute it may still be confirmed later."""
    person = auth.actor()
    who = Confirmer(email=person.email, actor=person)
    return _invoice(
        invoice_id,
        lambda session: submitting.reject(
            session,
            who,
            invoice_id,
            reason=body.reason,
            code=body.reason_code,
            dispute=body.dispute,
            now=auth.now(),
        ),
    )


def offer_of(body: inputs.ListInput) -> Offer:
    """The offer in a body: per cent become fractions."""
    return Offer(
        mode=body.mode,
        ask_amount=body.ask_amount,
        discount_rate=None if body.discount_rate is None else body.discount_rate / 100,
        haircut=body.haircut / 100,
        min_slice=body.min_slice,
        closes_at=body.closes_at,
        pricing=body.pricing,
        fee_plan=body.fee_plan,
        recourse=body.recourse,
    )


@blueprint.post("/<uuid:invoice_id>/list")
@operation("marketplace", {200: invoice_models.Invoice}, body=inputs.ListInput, problems=(403, 404, 409))
def offer(invoice_id: UUID, body: inputs.ListInput) -> Response:
    """Offer a confirmed invoice to investors, at a price or to bids."""
    person = auth.actor()
    return _invoice(
        invoice_id,
        lambda session: listing.offer(
            session, person, invoice_id, offer_of(body), rules=services().rules, now=auth.now()
        ),
    )


@blueprint.post("/<uuid:invoice_id>/withdraw")
@operation("marketplace", {200: invoice_models.Invoice}, problems=(403, 404, 409))
def withdraw(invoice_id: UUID) -> Response:
    """Take an invoice off the marketplace, while no investor's money is committed to it."""
    person = auth.actor()
    return _invoice(invoice_id, lambda session: listing.withdraw(session, person, invoice_id, now=auth.now()))


@blueprint.get("/<uuid:invoice_id>/quote")
@operation("marketplace", {200: outputs.Quote}, query=inputs.QuoteQuery, problems=(403, 404, 409))
def quote(invoice_id: UUID, query: inputs.QuoteQuery) -> Response:
    """What an amount would buy: return, four rates, each fee, the day count, and what could go wrong."""
    person = auth.actor()
    with services().database.session() as session:
        rate = None if query.rate is None else query.rate / 100
        return reply(funding.quote(session, person, invoice_id, query.amount, auth.now(), rate=rate))


@blueprint.post("/<uuid:invoice_id>/fund")
@operation("marketplace", {201: outputs.Funded}, body=inputs.FundInput, problems=(403, 404, 409, 422))
def fund(invoice_id: UUID, body: inputs.FundInput) -> Response:
    """Put money into a listed invoice: all that is left of it, or a slice."""
    person = auth.require(Role.INVESTOR)

    def work(session: Session) -> tuple[dict[str, Any], int]:
        rules = services().rules
        return (
            funding.fund(
                session,
                person,
                invoice_id,
                body.amount,
                auth.now(),
                override=body.override,
                rules=rules,
            ),
            201,
        )

    return once(person, work)


@blueprint.post("/<uuid:invoice_id>/bids")
@operation("marketplace", {201: outputs.Bid}, body=inputs.BidInput, problems=(403, 404, 409, 422))
def bid(invoice_id: UUID, body: inputs.BidInput) -> Response:
    """Bid in an auction. The whole outlay is held until it closes; nobody else sees the bid."""
    person = auth.require(Role.INVESTOR)

    def work(session: Session) -> tuple[dict[str, Any], int]:
        return bidding.bid(
            session, person, invoice_id, body.rate / 100, body.amount, auth.now(), override=body.override
        ), 201

    return once(person, work)


@blueprint.delete("/<uuid:invoice_id>/bids/<uuid:bid_id>")
@operation("marketplace", {200: outputs.Bid}, problems=(403, 404, 409))
def withdraw_bid(invoice_id: UUID, bid_id: UUID) -> Response:
    """Take a bid back, unless it leads in the last minutes of the auction."""
    person = auth.require(Role.INVESTOR)
    with services().database.session() as session:
        return reply(bidding.withdraw_bid(session, person, invoice_id, bid_id, auth.now()))
