"""A seller offers a confirmed invoice to investors, or takes it back (marketplace rules 2.1 and 2.3)."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Literal
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.orm import Session

from core import kyc
from core.errors import Conflict, Forbidden, Invalid
from core.events import DomainEvent
from core.identity import Actor, Role
from core.invoicing import queries as invoicing
from core.live import announce
from core.marketplace import auction, funding, news, pricing, settlement, states
from core.marketplace.pricing import Terms
from core.marketplace.rules import LISTING_DAYS, Rules, today
from core.marketplace.states import Financing, State

MIN_SLICE = 100
LATE_RATE = Decimal(18)
_AUCTION_LIFE = timedelta(hours=24)
_LONGEST_LISTING = timedelta(days=60)


@dataclass(frozen=True, slots=True, kw_only=True)
class Offer:
    """The terms a seller asks for. Amounts in minor units; rates and haircut as fractions (0.12 is 12 %).

    `ask_amount` is what investors pay in all for the whole claim. In an auction the price is the most the seller
    accepts: the reserve rate.
    """

    mode: Literal["fixed", "auction"] = "fixed"
    ask_amount: int | None = None
    discount_rate: Decimal | None = None
    haircut: Decimal = Decimal(0)
    min_slice: int | None = None
    closes_at: datetime | None = None
    pricing: Literal["uniform", "pay_as_bid"] = "uniform"
    fee_plan: Literal["standard", "none"] = "standard"
    recourse: Literal["none", "reserve", "full"] = "reserve"


def _closing(offer: Offer, financing: Financing, now: datetime) -> datetime:
    life = _AUCTION_LIFE if offer.mode == "auction" else timedelta(days=LISTING_DAYS)
    closes = offer.closes_at or now + life
    if closes <= now:
        raise Invalid("closes_at", "must lie in the future")
    if closes > now + _LONGEST_LISTING:
        raise Invalid("closes_at", f"must be within {_LONGEST_LISTING.days} days")
    if today(closes) >= financing.due_date:
        if offer.closes_at is None:
            raise Conflict("too little time is left until the invoice is due")
        raise Invalid("closes_at", "must come before the day on which the invoice is due")
    return closes


def price(financing: Financing, offer: Offer, rules: Rules, now: datetime) -> Terms:
    """What the offer comes to: fixed at listing for a fixed price, at the reserve rate for an auction.

    Raises Invalid naming the field.
    """
    if financing.confirmed_amount is None:
        raise Conflict("the buyer has not confirmed this invoice")
    accepted = now if offer.mode == "fixed" else _closing(offer, financing, now)
    value_date = rules.calendar.value_date(today(accepted), rules.settlement)
    return pricing.terms(
        financing.confirmed_amount,
        days=rules.calendar.days(value_date, financing.due_date),
        rate=offer.discount_rate,
        ask=offer.ask_amount,
        haircut=offer.haircut,
        fee_plan=pricing.FEE_PLANS[offer.fee_plan],
    )


def _sellers(session: Session, actor: Actor, invoice_id: UUID) -> Financing:
    shown = invoicing.get_invoice(session, actor, invoice_id)
    if actor.role is not Role.SELLER or shown["seller"]["id"] != str(actor.id):
        raise Forbidden("only the seller offers an invoice")
    if states.find(session, invoice_id) is None:
        raise Conflict("this invoice was never submitted to its buyer")
    return states.lock(session, invoice_id)


def offer(session: Session, actor: Actor, invoice_id: UUID, asked: Offer, *, rules: Rules, now: datetime) -> Financing:
    """List a confirmed invoice. Raises Conflict in another state, FraudStop, KycRequired, Invalid naming the field."""
    financing = _sellers(session, actor, invoice_id)
    if financing.state is not State.CONFIRMED:
        raise Conflict(f"only a confirmed invoice is listed; this one is {financing.state.value}")
    kyc.require_verified(session, actor.id)
    status = session.scalar(text("SELECT status FROM invoices WHERE id = :id"), {"id": invoice_id})
    if status != "open":
        raise Conflict(f"an invoice that is {status} is not financed")
    closes = _closing(asked, financing, now)
    terms = price(financing, asked, rules, now)
    least = asked.min_slice if asked.min_slice is not None else min(MIN_SLICE, terms.outlay)
    if type(least) is not int or not 0 < least <= terms.outlay:
        raise Invalid("min_slice", f"must be 1 to {terms.outlay} minor units, what investors pay in all")
    if asked.mode == "auction":
        if terms.rate is None:
            raise Invalid("closes_at", "must come before the day on which the invoice is due")
        auction.check_terms(terms.principal, terms.rate, terms.days, least)
    # What risk asks is asked when its answer can be kept: here a refusal takes everything back that was written.
    settlement.check_again(session, financing, rules)
    accepted = now if asked.mode == "fixed" else closes
    moved = states.move(
        session,
        financing,
        State.LISTED,
        now,
        actor=actor,
        reason="listed by the seller",
        mode=asked.mode,
        pricing=asked.pricing if asked.mode == "auction" else None,
        haircut=asked.haircut * 100,
        rate=None if terms.rate is None else terms.rate * 100,
        days=terms.days,
        value_date=rules.calendar.value_date(today(accepted), rules.settlement),
        pay_date=rules.calendar.due(financing.due_date),
        principal=terms.principal,
        discount=terms.discount,
        min_slice=least,
        fee_plan=asked.fee_plan,
        fee=terms.fee,
        fee_tax=terms.gst,
        recourse=asked.recourse,
        late_rate=LATE_RATE,
        listed_at=now,
        closes_at=closes,
    )
    news.over(session, moved, now, "invoice.confirmed")
    announce(session, [DomainEvent(room="marketplace", name="invoice.listed", data=states.summary(moved))])
    return moved


def withdraw(session: Session, actor: Actor, invoice_id: UUID, *, now: datetime) -> Financing:
    """Take an invoice off the marketplace, while no investor's money is committed to it.

    Bids of an auction that has not closed are no commitment: they are released. Withdrawing again changes nothing.
    """
    financing = _sellers(session, actor, invoice_id)
    if financing.state is State.WITHDRAWN:
        return financing
    if financing.state is State.PARTIALLY_FUNDED:
        raise Conflict("investors have put money into this invoice; it stays until it closes")
    if State.WITHDRAWN not in states.MOVES[financing.state] or financing.state is State.SETTLEMENT_PENDING:
        raise Conflict(f"an invoice that is {financing.state.value} is not withdrawn")
    if financing.state in states.ON_OFFER:
        financing = funding.release(session, financing, now, reason="withdrawn by the seller", actor=actor)
    moved = states.move(session, financing, State.WITHDRAWN, now, actor=actor, reason="withdrawn by the seller")
    news.over(session, moved, now, "invoice.to_confirm", "invoice.confirmed", "invoice.disputed")
    if financing.listed_at is not None:
        announce(session, [DomainEvent(room="marketplace", name="invoice.updated", data=states.summary(moved))])
    return moved
