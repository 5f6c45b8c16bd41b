"""An auction ends: the lowest rates win, and pay at most what was held for them (marketplace rules 2.5).

The clearing is a function of the bids (`core.marketplace.auction`). What it says is posted by the same settlement as
a fixed price's; the losers' holds are voided in the same step. When the bids do not meet the target, nothing is
financed and everything goes back.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.orm import Session

from core import ledger
from core.bulk import array
from core.errors import Conflict
from core.ids import new_id
from core.ledger import Release, Work
from core.marketplace import admission, auction, news, promises, reviewing, settlement, states
from core.marketplace.auction import Bid, Clearing, Fill, Pricing
from core.marketplace.calendar import Settlement
from core.marketplace.promises import Slice, number_of, release
from core.marketplace.rules import Rules, today
from core.marketplace.states import Financing, State

HIGHEST = Decimal(1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Win:
    """What a bid won, and the hold that pays for it."""

    fill: Fill
    bid: Any
    hold_id: UUID

    @property
    def slice(self) -> Slice:
        """As it settles."""
        return Slice(investor_id=self.bid.investor_id, outlay=self.fill.outlay, hold_id=self.hold_id)


def bids_of(session: Session, financing_id: UUID, kept: Sequence[str]) -> dict[UUID, Any]:
    """The bids of a financing in any of these states, by id, in the order in which they came."""
    rows = session.execute(
        text(
            "SELECT id, investor_id, sequence, rate, amount, outlay, hold_id, state FROM bids "
            "WHERE financing_id = :id AND state = ANY(CAST(:kept AS text[])) ORDER BY sequence"
        ),
        {"id": financing_id, "kept": array(kept, "text")},
    )
    return {row.id: row for row in rows}


def clearing_of(financing: Financing, rows: dict[UUID, Any], ceiling: Decimal) -> Clearing:
    """What the rule makes of these bids."""
    bids = [
        Bid(id=row.id, sequence=row.sequence, rate=row.rate.scaleb(-2), amount=row.amount, investor=row.investor_id)
        for row in rows.values()
    ]
    target = admission.priced(financing).principal
    return auction.clear(bids, target, ceiling, Pricing(financing.pricing or "uniform"), financing.days or 0)


def _ceiling(financing: Financing) -> Decimal:
    return HIGHEST if financing.rate is None else financing.rate.scaleb(-2)


def leads(session: Session, financing: Financing, bid_id: UUID) -> bool:
    """Whether a bid would win something if the auction closed as it stands."""
    clearing = clearing_of(financing, bids_of(session, financing.id, ["open"]), _ceiling(financing))
    return any(fill.bid.id == bid_id for fill in clearing.fills)


def close(session: Session, financing: Financing, now: datetime, *, rules: Rules) -> Financing:
    """Close a locked auction whose time is over. Raises Conflict when it is none, or still open."""
    if financing.mode != "auction" or financing.state not in states.ON_OFFER:
        raise Conflict(f"there is no auction to close: {financing.state.value}")
    if financing.closes_at is None or now < financing.closes_at:
        raise Conflict("this auction is still open")
    rows = bids_of(session, financing.id, ["open"])
    clearing = clearing_of(financing, rows, _ceiling(financing))
    ended = _why_not(session, financing, clearing, rules)
    if ended is not None:
        to, reason = ended
        return release(session, financing, now, reason, to=to, due_at=None)
    return _award(session, financing, clearing, rows, now, rules)


def _why_not(session: Session, financing: Financing, clearing: Clearing, rules: Rules) -> tuple[State, str] | None:
    """The state an auction ends in when nothing comes of it, and why; None when it is awarded."""
    if clearing.shortfall:
        return State.EXPIRED, "the bids did not meet the target"
    if (status := promises.payment_status(session, financing)) != "open":
        return State.WITHDRAWN, f"the invoice is {status}"
    try:
        settlement.check_again(session, financing, rules)
    except reviewing.DuplicateFinancing:
        return State.WITHDRAWN, "the invoice is financed already elsewhere"
    except reviewing.FraudStop as stop:
        return State.EXPIRED, str(stop)
    return None


def _award(
    session: Session, financing: Financing, clearing: Clearing, rows: dict[UUID, Any], now: datetime, rules: Rules
) -> Financing:
    number = number_of(session, financing)
    price = clearing.price or Decimal(0)
    terms = {"discount": clearing.discount, "rate": price.scaleb(2)}
    # As it will be when it is settled; the row itself changes after the money has moved.
    sold = replace(financing, discount=clearing.discount, rate=price.scaleb(2))
    lost = [row for row in rows.values() if row.id not in {fill.bid.id for fill in clearing.fills}]
    at_once = rules.settlement is Settlement.INSTANT
    wins, work = _work(financing, number, clearing, rows, at_once=at_once)
    if at_once:
        work.insert(0, settlement.transfer(sold, number, [win.slice for win in wins]))
    work += [Release(row.hold_id) for row in lost]
    posted = ledger.post(session, work, now)
    made = _write(session, financing, wins, lost, now)
    settle_on = rules.calendar.settlement_day(today(now), rules.settlement)
    sums = promises.placed(session, financing)
    moved = settlement.await_day(
        session, financing, now, settle_on, actor=None, reason="the auction closed", **sums, **terms
    )
    if at_once:
        moved = settlement.finish(
            session,
            moved,
            now,
            transfer_id=posted[0].id,
            number=number,
            actor=None,
            reason="the auction closed",
        )
    _tell(session, moved, number, made, lost, now)
    return moved


def _work(
    financing: Financing, number: str, clearing: Clearing, rows: dict[UUID, Any], *, at_once: bool
) -> tuple[list[Win], list[Work]]:
    """The winners, and what the ledger does beside the settlement.

    What settles later keeps only what it will cost on hold: the rest of the bid's hold is free at once.
    """
    wins: list[Win] = []
    work: list[Work] = []
    for fill in clearing.fills:
        row = rows[UUID(str(fill.bid.id))]
        if at_once or fill.outlay == row.outlay:
            wins.append(Win(fill=fill, bid=row, hold_id=row.hold_id))
            continue
        words = f"Won bid for invoice {number}"
        hold = promises.hold(financing, row.investor_id, fill.outlay, key=f"won:{row.id}", description=words)
        work += [Release(row.hold_id), hold]
        wins.append(Win(fill=fill, bid=row, hold_id=hold.id))
    return wins, work


def _write(
    session: Session, financing: Financing, wins: Sequence[Win], lost: Sequence[Any], now: datetime
) -> list[tuple[UUID, Any]]:
    """The winners' slices and what became of each bid; returns (investment id, bid) of the winners."""
    made = []
    for win in wins:
        identity = new_id()
        promises.add(
            session,
            financing,
            now,
            identity=identity,
            investor_id=win.bid.investor_id,
            outlay=win.fill.outlay,
            principal=win.fill.amount,
            hold_id=win.hold_id,
            bid_id=win.bid.id,
        )
        made.append((identity, win.bid))
    for state, decided in (("won", [win.bid.id for win in wins]), ("lost", [row.id for row in lost])):
        session.execute(
            text("UPDATE bids SET state = :state, decided_at = :now WHERE id = ANY(CAST(:ids AS uuid[]))"),
            {"state": state, "now": now, "ids": array(decided, "uuid")},
        )
    return made


def _tell(
    session: Session,
    financing: Financing,
    number: str,
    made: Sequence[tuple[UUID, Any]],
    lost: Sequence[Any],
    now: datetime,
) -> None:
    bidders = [bid.investor_id for _, bid in made] + [row.investor_id for row in lost]
    rows = session.execute(
        text("SELECT id, name FROM users WHERE id = ANY(CAST(:ids AS uuid[]))"),
        {"ids": array(sorted(set(bidders)), "uuid")},
    )
    names: dict[UUID, str] = {row.id: row.name for row in rows}
    for identity, bid in made:
        news.bid_decided(session, bid, financing, number, "won")
        news.invested(session, identity, (bid.investor_id, names[bid.investor_id]), financing)
    for row in lost:
        news.bid_decided(session, row, financing, number, "lost")
    news.given_back(session, financing, number, [row.investor_id for row in lost], "other bids were lower", now)
    news.wallets_moved(session, bidders, financing.currency)


def close_due(session: Session, now: datetime, limit: int, *, rules: Rules) -> int:
    """Close auctions whose time is over, at most `limit`, the oldest first; return how many were closed.

    As with `settlement.settle_due`, whoever runs beside others passes 1.
    """
    done = 0
    for financing in promises.lock_due(
        session,
        "mode = 'auction' AND financings.state IN ('listed', 'partially_funded') AND closes_at <= :now",
        "closes_at",
        limit,
        now=now,
    ):
        if financing.state in states.ON_OFFER:
            close(session, financing, now, rules=rules)
            done += 1
    return done
