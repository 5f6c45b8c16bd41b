"""What an amount would buy, said before anybody commits: the same numbers that are posted afterwards.

Amounts are whole minor units. Rates are text, per cent a year with four places.
"""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from sqlalchemy.orm import Session

from core import ledger
from core.identity import Actor, Role
from core.marketplace import admission, auction, limits, news, pricing, projections, yields
from core.marketplace.admission import Offered
from core.marketplace.pricing import Numbers, Slices, Terms
from core.marketplace.projections import Holder
from core.marketplace.refusals import BelowMinimumSlice, MoreThanRemaining
from core.marketplace.states import Financing
from core.marketplace.waterfall import Recourse

_PLACES = Decimal("0.0001")


def percent(fraction: Decimal | None) -> str | None:
    """A fraction per year as per cent with four places: 0.122415 is "12.2415". None stays None."""
    return None if fraction is None else f"{(fraction * 100).quantize(_PLACES):f}"


def terms_of(financing: Financing) -> Terms:
    """The price of a listed financing as the pure rules know it, from what is stored and nothing else."""
    price = admission.priced(financing)
    confirmed = financing.confirmed_amount or price.principal
    return Terms(
        face=confirmed,
        principal=price.principal,
        discount=price.discount,
        outlay=price.outlay,
        reserve=confirmed - price.principal,
        fee=price.fee,
        gst=price.fee_tax,
        seller_net=price.net,
        rate=None if financing.rate is None else financing.rate.scaleb(-2),
        days=financing.days or 0,
    )


def slices_of(financing: Financing) -> Slices:
    """How much of a listed financing is placed."""
    return Slices.of(terms_of(financing), financing.placed_outlay, financing.placed_principal)


def check_slice(offered: Offered, amount: int) -> int:
    """The amount, when it fits into what is left. Raises Invalid, MoreThanRemaining, BelowMinimumSlice."""
    admission.check_amount(amount)
    remaining = offered.remaining
    if amount > remaining:
        raise MoreThanRemaining(remaining)
    # What is left at the end may be smaller than a slice: somebody must be able to take it.
    least = min(offered.financing.min_slice or 1, remaining)
    if amount < least:
        raise BelowMinimumSlice("amount", f"must be at least {least} minor units")
    return amount


def quote(
    session: Session, actor: Actor, invoice_id: UUID, amount: int | None, now: datetime, *, rate: Decimal | None = None
) -> dict[str, Any]:
    """What an amount would buy of an offer; without one, all that is left of it.

    `amount` is outlay, except in an auction, where it is the principal bid for, priced at `rate` a year (0.105 is
    10.5 %) or without one at the reserve rate, the most that the seller pays. Raises NotFound, NotOnOffer, Invalid,
    MoreThanRemaining, BelowMinimumSlice.
    """
    offered = admission.look(session, actor, invoice_id, now)
    financing, terms = offered.financing, terms_of(offered.financing)
    at_auction = financing.mode == "auction"
    part = _bid(offered, terms, amount, rate) if at_auction else _slice(offered, terms, amount)
    outlay, claim = part["amount"], part["expected_return"]
    return {
        "invoice_id": str(financing.invoice_id),
        "number": offered.number,
        "mode": financing.mode,
        "pricing": financing.pricing,
        "currency": financing.currency,
        **part,
        "profit": claim - outlay,
        "remaining": offered.remaining,
        "outlay": terms.outlay,
        "principal": terms.principal,
        "face": terms.face,
        "reserve": terms.reserve,
        "seller_receives": terms.seller_net,
        "min_slice": min(financing.min_slice or 1, offered.remaining),
        "days": terms.days,
        "basis": terms.basis,
        "day_count": terms.day_count,
        "value_date": financing.value_date,
        "due_date": financing.due_date,
        "pay_date": financing.pay_date,
        "closes_at": financing.closes_at,
        "recourse": financing.recourse,
        "late_rate": percent(_late_rate(financing)),
        "warnings": _warnings(session, actor, financing, part["held"]),
        "what_if": what_if(financing, terms, outlay, claim),
    }


def _numbers(found: Numbers) -> dict[str, str | None]:
    return {
        "discount_rate": percent(found.discount_rate),
        "simple_yield": percent(found.simple_yield),
        "effective_yield": percent(found.effective_yield),
        "seller_cost": percent(found.seller_cost),
    }


def _fees(terms: Terms, fee: int, gst: int) -> list[dict[str, Any]]:
    """What the seller pays beside the discount: of the whole, and the share of it that goes with this amount."""
    lines = (("platform_fee", "Platform fee", fee, terms.fee), ("gst", "GST on the fee", gst, terms.gst))
    return [
        {"code": code, "title": title, "paid_by": "seller", "share": share, "total": total}
        for code, title, share, total in lines
    ]


def _slice(offered: Offered, terms: Terms, amount: int | None) -> dict[str, Any]:
    wanted = check_slice(offered, offered.remaining if amount is None else amount)
    found = pricing.quote(terms, slices_of(offered.financing), wanted)
    return {
        "amount": found.outlay,
        "held": found.outlay,
        "expected_return": found.expected_return,
        **_numbers(found.numbers),
        "fees": _fees(terms, found.fee, found.gst),
    }


def _bid(offered: Offered, terms: Terms, amount: int | None, asked: Decimal | None) -> dict[str, Any]:
    ceiling = terms.rate or Decimal(0)
    rate = ceiling if asked is None else asked
    wanted = terms.principal if amount is None else admission.check_amount(amount)
    auction.check_bid(
        rate, wanted, target=terms.principal, ceiling=ceiling, min_slice=offered.financing.min_slice or auction.MIN_BID
    )
    outlay = wanted - pricing.discount_in_advance(wanted, rate, terms.days)
    numbers = Numbers(
        discount_rate=rate,
        simple_yield=yields.simple(wanted - outlay, outlay, terms.days),
        effective_yield=yields.effective(outlay, wanted, terms.days),
        seller_cost=terms.numbers.seller_cost,
    )
    fee, gst = (line * wanted // terms.principal for line in (terms.fee, terms.gst))
    return {
        "amount": outlay,
        "held": auction.hold_for(wanted, rate, terms.days),
        "expected_return": wanted,
        **_numbers(numbers),
        "fees": _fees(terms, fee, gst),
    }


def _late_rate(financing: Financing) -> Decimal:
    return Decimal(0) if financing.late_rate is None else financing.late_rate.scaleb(-2)


def _warnings(session: Session, actor: Actor, financing: Financing, outlay: int) -> list[str]:
    if actor.role is not Role.INVESTOR:
        return []
    found = limits.warnings(session, actor.id, financing, outlay)
    wallet = ledger.balance(session, ledger.wallet(actor.id, financing.currency))
    if wallet.available < outlay:
        found.append(f"You have {news.spell(wallet.available, financing.currency)} to spend.")
    return found


def what_if(financing: Financing, terms: Terms, outlay: int, claim: int) -> list[dict[str, Any]]:
    """How it may end for this amount: on time, late, short, default; run through the waterfall of real receipts."""
    rows = []
    for case in projections.cases(terms):
        outcome = projections.project(
            terms,
            case,
            [Holder(outlay=outlay, claim=claim)],
            recourse=Recourse(financing.recourse or Recourse.RESERVE.value),
            late_rate=_late_rate(financing),
        )
        [mine] = outcome.investors
        rows.append(
            {
                "case": case.name,
                "late_days": case.late_days,
                "buyer_pays": case.paid,
                "principal": mine.principal,
                "late_interest": mine.late_interest,
                "received": mine.received,
                "profit": mine.profit,
                "effective_yield": percent(mine.realised_yield),
            }
        )
    return rows
