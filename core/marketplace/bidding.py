"""Sealed bids (marketplace rules 2.5): placed, and taken back. How an auction ends is in `closing`.

A bid is principal at a rate; the most it can cost is held until the auction closes, so that whoever wins can pay. The
server numbers the bids of a financing as they come. A bid is its bidder's alone to see: the seller hears how many
there are.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.orm import Session

from core import audit, ledger
from core.errors import Conflict, NotFound
from core.events import DomainEvent
from core.identity import Actor
from core.ids import new_id
from core.ledger import Release
from core.live import announce
from core.marketplace import admission, auction, closing, limits, news, promises, shapes, states
from core.marketplace.admission import Offered
from core.marketplace.closing import close, close_due
from core.marketplace.refusals import BelowMinimumSlice, BidLeads, MoreThanRemaining, NotOnOffer
from core.marketplace.replaying import replay
from core.marketplace.states import Financing

__all__ = ["bid", "close", "close_due", "replay", "withdraw_bid"]

# In the last minutes a bid that leads stays.
FIRM = timedelta(minutes=10)
_COLUMNS = "id, investor_id, rate, amount, outlay, hold_id, state, created_at, decided_at"


def _check(offered: Offered, rate: Decimal, amount: int) -> None:
    target = admission.priced(offered.financing).principal
    if offered.financing.rate is None:
        raise NotOnOffer("this auction has no reserve rate")
    if amount > target:
        raise MoreThanRemaining(target)
    least = min(max(offered.financing.min_slice or 0, auction.MIN_BID), target)
    if amount < least:
        raise BelowMinimumSlice("amount", f"must be at least {least} minor units of principal")
    auction.check_bid(rate, amount, target=target, ceiling=offered.financing.rate.scaleb(-2), min_slice=least)


def bid(
    session: Session,
    actor: Actor,
    invoice_id: UUID,
    rate: Decimal,
    amount: int,
    now: datetime,
    *,
    override: bool = False,
) -> dict[str, Any]:
    """Bid for `amount` of principal (minor units) at `rate` a year (0.105 is 10.5 %), at most the reserve rate.

    Bidding again is another bid: the edge has Idempotency-Key for that. Raises what `funding.fund` does.
    """
    admission.require_investor(actor)
    admission.check_amount(amount)
    offered = admission.enter(session, actor, invoice_id, now, "auction")
    _check(offered, rate, amount)
    financing, identity = offered.financing, new_id()
    outlay = auction.hold_for(amount, rate, financing.days or 0)
    warnings = limits.check(session, actor.id, financing, outlay, override=override)
    hold = promises.hold(
        financing, actor.id, outlay, key=f"bid:{identity}", description=f"Bid for invoice {offered.number}"
    )
    with admission.paying(financing.currency):
        ledger.post(session, [hold], now)
    row = session.execute(
        text(
            "INSERT INTO bids (id, financing_id, investor_id, sequence, rate, amount, outlay, hold_id, state, "
            "created_at) SELECT :id, :financing, :investor, coalesce(max(sequence), 0) + 1, :rate, :amount, :outlay, "
            f":hold, 'open', :now FROM bids WHERE financing_id = :financing RETURNING {_COLUMNS}"
        ),
        {
            "id": identity,
            "financing": financing.id,
            "investor": actor.id,
            "rate": rate * 100,
            "amount": amount,
            "outlay": outlay,
            "hold": hold.id,
            "now": now,
        },
    ).one()
    _heard(session, actor, offered, row, "bid.placed", now)
    return {**_shape(session, row, offered.number, financing), "warnings": warnings}


def withdraw_bid(session: Session, actor: Actor, invoice_id: UUID, bid_id: UUID, now: datetime) -> dict[str, Any]:
    """Take one's bid back while the auction is open; what was held is free again. Repeating it changes nothing.

    Raises NotFound, NotOnOffer once it has closed, BidLeads for a bid that would win in the last ten minutes.
    """
    financing = states.lock(session, invoice_id)
    row = session.execute(
        text(f"SELECT {_COLUMNS} FROM bids WHERE id = :id AND financing_id = :financing AND investor_id = :investor"),
        {"id": bid_id, "financing": financing.id, "investor": actor.id},
    ).one_or_none()
    if row is None:
        raise NotFound("bid", bid_id)
    number = promises.number_of(session, financing)
    if row.state == "withdrawn":
        return {**_shape(session, row, number, financing), "warnings": []}
    if row.state != "open":
        raise Conflict(f"this bid has {row.state}")
    if financing.closes_at is None or now >= financing.closes_at:
        raise NotOnOffer("this auction has closed")
    if now >= financing.closes_at - FIRM and closing.leads(session, financing, bid_id):
        raise BidLeads("this bid leads, and in the last ten minutes a bid that leads stays")
    ledger.post(session, [Release(row.hold_id)], now)
    row = session.execute(
        text(f"UPDATE bids SET state = 'withdrawn', decided_at = :now WHERE id = :id RETURNING {_COLUMNS}"),
        {"id": bid_id, "now": now},
    ).one()
    _heard(session, actor, Offered(financing=financing, number=number), row, "bid.withdrawn", now)
    return {**_shape(session, row, number, financing), "warnings": []}


def _shape(session: Session, row: Any, number: str, financing: Financing) -> dict[str, Any]:
    return {
        "id": str(row.id),
        "invoice_id": str(financing.invoice_id),
        "invoice_number": number,
        "rate": shapes.plain(row.rate),
        "amount": row.amount,
        "held": row.outlay if row.state == "open" else 0,
        "status": row.state,
        "currency": financing.currency,
        "closes_at": financing.closes_at,
        "created_at": row.created_at,
        "decided_at": row.decided_at,
        "wallet": news.wallet(session, row.investor_id, financing.currency),
    }


def _heard(session: Session, actor: Actor, offered: Offered, row: Any, action: str, now: datetime) -> None:
    """Note it under the bid, so that nobody reads it with the invoice; tell the bidder, and the seller the number."""
    financing = offered.financing
    audit.record(
        session,
        actor,
        action,
        "bid",
        row.id,
        {"financing_id": str(financing.id), "rate": shapes.plain(row.rate), "amount": row.amount},
        now,
    )
    if action == "bid.placed":
        data: dict[str, object] = {
            "bid_id": str(row.id),
            "invoice_id": str(financing.invoice_id),
            "invoice_number": offered.number,
            "rate": shapes.plain(row.rate),
            "amount": row.amount,
            "held": row.outlay,
            "currency": financing.currency,
        }
        announce(session, [DomainEvent(room=f"user:{actor.id}", name="bid.placed", data=data)])
    else:
        news.bid_decided(session, row, financing, offered.number, row.state)
    count = session.scalar(
        text("SELECT count(*) FROM bids WHERE financing_id = :id AND state = 'open'"), {"id": financing.id}
    )
    for_seller: dict[str, object] = {**states.summary(financing), "bids": int(count or 0)}
    announce(session, [DomainEvent(room=f"user:{financing.seller_id}", name="invoice.updated", data=for_seller)])
    news.wallets_moved(session, [actor.id], financing.currency)
