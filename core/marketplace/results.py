"""How an auction ended, for its seller: every bid in its order, and what the other pricing would have cost.

It is worked out again from the bids each time, and says so when the books say something else (marketplace rules 2.5).
"""

from __future__ import annotations

from typing import Any, Final
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.orm import Session

from core.errors import Conflict
from core.marketplace import replaying, shapes
from core.marketplace.auction import Fill, Pricing

_BIDS: Final = text(
    "SELECT id, sequence, rate, amount, created_at FROM bids WHERE financing_id = :id AND state IN ('won', 'lost') "
    "ORDER BY rate, sequence LIMIT 500"
)


def result(session: Session, financing_id: UUID) -> dict[str, Any] | None:
    """The end of a closed auction, or None while there is none. The caller has seen to who may look.

    `discount` is what the winners were paid for their money, `other_discount` what it would have been with
    `other_pricing` and the same bids; both minor units. Bidders are not named. `agrees`: the books say the same.
    """
    try:
        again = replaying.replay(session, financing_id)
    except Conflict:
        return None
    clearing = again.clearing
    won = {fill.bid.id: fill for fill in clearing.fills} if not clearing.shortfall else {}
    uniform = clearing.pricing is Pricing.UNIFORM
    return {
        "pricing": clearing.pricing.value,
        "price": shapes.percent(clearing.price),
        "filled": clearing.filled,
        "shortfall": clearing.shortfall,
        "discount": clearing.discount,
        "other_pricing": (Pricing.PAY_AS_BID if uniform else Pricing.UNIFORM).value,
        "other_discount": clearing.alternative,
        "agrees": not again.differences,
        "bids": [_bid(row, won.get(row.id)) for row in session.execute(_BIDS, {"id": financing_id})],
    }


def _bid(row: Any, fill: Fill | None) -> dict[str, Any]:
    return {
        "sequence": row.sequence,
        "rate": shapes.plain(row.rate),
        "amount": row.amount,
        "won": 0 if fill is None else fill.amount,
        "paid": 0 if fill is None else fill.outlay,
        "paid_rate": None if fill is None else shapes.percent(fill.rate),
        "at": row.created_at,
    }
