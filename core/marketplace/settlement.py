"""Settlement: what investors promised becomes the seller's money (marketplace rules 2.6 and 3.3).

When the target is met the holds are posted, and the seller, the fees and the GST are paid, in one transfer of many
legs: at once, or on the next working day (T+1). It cannot fail for want of funds, as holds count as spent. At that
instant the invoice is looked up once more: one that is financed elsewhere is withdrawn, one that a check stopped goes
back on offer; either way every hold is voided.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime
from typing import Any
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.orm import Session

from core import ledger
from core.errors import Conflict
from core.identity import Actor
from core.ledger import HoldPart, Leg, Purpose, Transfer
from core.marketplace import admission, duplicates, news, promises, reviewing, states
from core.marketplace.promises import Slice, release
from core.marketplace.rules import Rules, today
from core.marketplace.states import Financing, State

_BY_CLOCK = "settled on its day"


def transfer(financing: Financing, number: str, slices: Sequence[Slice]) -> Transfer:
    """The one posting of a settlement: wallets to escrow, escrow to the seller, the fees and the GST.

    The amounts are the financing's own, so what was quoted is what is posted. `financing` is as it is before it
    settles: its version makes the key, so that it settles once, and once more if it was given back in between.
    """
    price = admission.priced(financing)
    escrow = ledger.escrow(financing.id, financing.currency)
    paid = [
        (ledger.wallet(financing.seller_id, financing.currency), price.net),
        (ledger.platform(Purpose.FEES, financing.currency), price.fee),
        (ledger.platform(Purpose.GST, financing.currency), price.fee_tax),
    ]
    legs = [Leg(ledger.wallet(one.investor_id, financing.currency), -one.outlay) for one in slices]
    legs.append(Leg(escrow, sum(one.outlay for one in slices)))
    for account, amount in paid:
        if amount:
            legs += [Leg(escrow, -amount), Leg(account, amount)]
    return Transfer(
        kind="financing.settled",
        key=f"settle:{financing.id}:{financing.version}",
        legs=tuple(legs),
        description=f"Invoice {number} funded",
        invoice_id=financing.invoice_id,
        posts=tuple(HoldPart(one.hold_id, one.outlay) for one in slices if one.hold_id is not None),
    )


def await_day(
    session: Session,
    financing: Financing,
    now: datetime,
    settle_on: date,
    *,
    actor: Actor | None,
    reason: str,
    **changes: Any,
) -> Financing:
    """Take a full financing off the offer: it settles on a day, which may be today. `changes` bring its sums along."""
    moved = states.move(
        session,
        financing,
        State.SETTLEMENT_PENDING,
        now,
        actor=actor,
        reason=reason,
        settle_on=settle_on,
        **changes,
    )
    news.offer_moved(session, moved, told=True)
    return moved


def finish(
    session: Session,
    financing: Financing,
    now: datetime,
    *,
    transfer_id: UUID,
    number: str,
    actor: Actor | None,
    reason: str,
) -> Financing:
    """Write down that a transfer settled a financing that waited for it, and tell everybody."""
    rows = session.execute(
        text(
            "UPDATE investments SET status = 'settled', settled_at = :now "
            "WHERE financing_id = :id AND status = 'held' RETURNING investor_id"
        ),
        {"id": financing.id, "now": now},
    ).all()
    investors = [row.investor_id for row in rows]
    moved = states.move(
        session,
        financing,
        State.FUNDED,
        now,
        actor=actor,
        reason=reason,
        transfer_id=transfer_id,
        settle_on=today(now),
        funded_at=now,
    )
    news.offer_moved(session, moved, told=True)
    news.funded(session, moved, number, admission.priced(moved).net, now)
    news.wallets_moved(session, [moved.seller_id, *investors], moved.currency)
    news.portfolios_moved(session, investors, moved)
    return moved


def check_again(session: Session, financing: Financing, rules: Rules) -> None:
    """Look once more, at the instant the money moves. Raises DuplicateFinancing, FraudStop."""
    if any(hit.kind == "stop" for hit in duplicates.check(session, financing, rules.fingerprint_key)):
        raise reviewing.DuplicateFinancing("an invoice with this number is financed already")
    reviewing.require_clear(session, financing)


def settle(session: Session, financing: Financing, now: datetime, *, rules: Rules) -> Financing:
    """Settle a locked financing whose day has come; what must not be settled is given back instead.

    Raises Conflict when it does not wait for settlement, or its day has not come.
    """
    if financing.state is not State.SETTLEMENT_PENDING or financing.settle_on is None:
        raise Conflict(f"an invoice whose financing is {financing.state.value} is not settled")
    if financing.settle_on > today(now):
        raise Conflict(f"this financing settles on {financing.settle_on}")
    if (status := promises.payment_status(session, financing)) != "open":
        return release(session, financing, now, f"the invoice is {status}", to=State.WITHDRAWN, due_at=None)
    try:
        check_again(session, financing, rules)
    except reviewing.DuplicateFinancing:
        reason = "the invoice is financed already elsewhere"
        return release(session, financing, now, reason=reason, to=State.WITHDRAWN, due_at=None)
    except reviewing.FraudStop as stop:
        reason = f"settlement stopped: {stop}"
        return release(session, financing, now, reason=reason, to=State.LISTED, settle_on=None)
    number = promises.number_of(session, financing)
    slices = promises.held(session, financing)
    [posted] = ledger.post(session, [transfer(financing, number, slices)], now)
    return finish(
        session,
        financing,
        now,
        transfer_id=posted.id,
        number=number,
        actor=None,
        reason=_BY_CLOCK,
    )


def settle_due(session: Session, now: datetime, limit: int, *, rules: Rules) -> int:
    """Settle what is due by now, at most `limit` of it, the oldest first; return how many were settled or given back.

    What somebody else is at is left to them. Each settlement posts for itself, so a transaction that settles several
    may wait for another that does: whoever runs beside others passes 1.
    """
    done = 0
    for financing in promises.lock_due(
        session,
        "financings.state = 'settlement_pending' AND settle_on <= :today",
        "settle_on",
        limit,
        today=today(now),
    ):
        if financing.state is State.SETTLEMENT_PENDING:
            settle(session, financing, now, rules=rules)
            done += 1
    return done
