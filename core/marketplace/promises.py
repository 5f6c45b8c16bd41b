"""Promises: what investors put into a financing, written beside their holds, and how all of it goes back."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.orm import Session

from core import ledger
from core.identity import Actor
from core.ledger import Hold, Release
from core.marketplace import news, states
from core.marketplace.states import Financing, State


@dataclass(frozen=True, slots=True, kw_only=True)
class Slice:
    """One investor's outlay as it settles: out of a hold, or without one straight from the wallet."""

    investor_id: UUID
    outlay: int
    hold_id: UUID | None = None


def number_of(session: Session, financing: Financing) -> str:
    """The number of the financing's invoice."""
    return str(session.scalar(text("SELECT number FROM invoices WHERE id = :id"), {"id": financing.invoice_id}))


def lock_due(session: Session, condition: str, order: str, limit: int, **values: object) -> list[Financing]:
    """Financings that meet a condition, locked with their invoices, the first by `order`, at most `limit`.

    What somebody else has locked is left out, so that nobody waits. It may have changed while it was being locked: the
    caller looks at its state again.
    """
    due = session.scalars(
        text(
            "SELECT invoices.id FROM financings JOIN invoices ON invoices.id = financings.invoice_id "
            f"WHERE {condition} ORDER BY {order}, financings.id LIMIT :limit FOR UPDATE OF invoices SKIP LOCKED"
        ),
        {"limit": limit, **values},
    ).all()
    return list(states.lock_many(session, sorted(due)).values())


def payment_status(session: Session, financing: Financing) -> str:
    """What is paid of the invoice: draft, open, partial, paid or void. What was paid is not financed any more."""
    return str(session.scalar(text("SELECT status FROM invoices WHERE id = :id"), {"id": financing.invoice_id}))


def hold(financing: Financing, investor_id: UUID, amount: int, *, key: str, description: str) -> Hold:
    """An investor's money, promised to the financing's escrow."""
    return Hold(
        key=key,
        account=ledger.wallet(investor_id, financing.currency),
        to=ledger.escrow(financing.id, financing.currency),
        amount=amount,
        description=description,
        invoice_id=financing.invoice_id,
    )


def held(session: Session, financing: Financing) -> list[Slice]:
    """What investors promised to a locked financing, in the order of their slices."""
    rows = session.execute(
        text(
            "SELECT investor_id, outlay, hold_id FROM investments WHERE financing_id = :id AND status = 'held' "
            "ORDER BY sequence FOR UPDATE"
        ),
        {"id": financing.id},
    )
    return [Slice(**row._asdict()) for row in rows]


def placed(session: Session, financing: Financing) -> dict[str, Any]:
    """The columns of a financing that are sums of its investments, as those stand now."""
    row = session.execute(
        text(
            "SELECT coalesce(sum(principal), 0)::bigint AS placed_principal, "
            "coalesce(sum(outlay), 0)::bigint AS placed_outlay, count(DISTINCT investor_id)::integer AS investors "
            "FROM investments WHERE financing_id = :id AND status <> 'voided'"
        ),
        {"id": financing.id},
    ).one()
    return dict(row._asdict())


def add(
    session: Session,
    financing: Financing,
    now: datetime,
    *,
    identity: UUID,
    investor_id: UUID,
    outlay: int,
    principal: int,
    hold_id: UUID | None,
    bid_id: UUID | None = None,
) -> None:
    """Write a slice that is promised and not yet settled. The caller brings the financing's sums along."""
    session.execute(
        text(
            "INSERT INTO investments (id, financing_id, investor_id, sequence, bid_id, outlay, principal, hold_id, "
            "status, created_at) SELECT :id, :financing, :investor, coalesce(max(sequence), 0) + 1, :bid, :outlay, "
            ":principal, :hold, 'held', :now FROM investments WHERE financing_id = :financing"
        ),
        {
            "id": identity,
            "financing": financing.id,
            "investor": investor_id,
            "bid": bid_id,
            "outlay": outlay,
            "principal": principal,
            "hold": hold_id,
            "now": now,
        },
    )


def release(
    session: Session,
    financing: Financing,
    now: datetime,
    reason: str,
    actor: Actor | None = None,
    *,
    to: State | None = None,
    **changes: Any,
) -> Financing:
    """Give every promise of a locked financing back: holds voided, slices voided, open bids lost.

    `to` moves it in the same step, with other `changes` of it; without one it stays where it is, for the caller to
    move (what waits for its settlement must be moved here, as it cannot be without its slices). Repeating it changes
    nothing.
    """
    if to is None and financing.state is State.SETTLEMENT_PENDING:
        raise ValueError("what waits for its settlement is moved by the step that empties it")
    slices = held(session, financing)
    bids = session.execute(
        text(
            "UPDATE bids SET state = 'lost', decided_at = :now WHERE financing_id = :id AND state = 'open' "
            "RETURNING id, investor_id, rate, amount, hold_id"
        ),
        {"id": financing.id, "now": now},
    ).all()
    holds = [*(one.hold_id for one in slices), *(bid.hold_id for bid in bids)]
    if holds:
        ledger.post(session, [Release(hold) for hold in holds if hold is not None], now)
    session.execute(
        text("UPDATE investments SET status = 'voided', closed_at = :now WHERE financing_id = :id AND status = 'held'"),
        {"id": financing.id, "now": now},
    )
    sums = placed(session, financing)
    if to is not None:
        financing = states.move(session, financing, to, now, actor=actor, reason=reason, **sums, **changes)
    elif slices:
        financing = states.change(session, financing, now, **sums, **changes)
    _tell_released(session, financing, [one.investor_id for one in slices], bids, reason, now, moved=to is not None)
    return financing


def _tell_released(
    session: Session,
    financing: Financing,
    investors: Sequence[UUID],
    bids: Sequence[Any],
    reason: str,
    now: datetime,
    *,
    moved: bool,
) -> None:
    people = [*investors, *(bid.investor_id for bid in bids)]
    number = number_of(session, financing)
    for bid in bids:
        news.bid_decided(session, bid, financing, number, "lost")
    news.given_back(session, financing, number, people, reason, now)
    news.wallets_moved(session, people, financing.currency)
    news.portfolios_moved(session, investors, financing)
    if moved:
        news.offer_moved(session, financing, told=True)
