"""Fund now: an investor puts money into a listing at its price, whole or in slices (marketplace rules 2.4).

A slice of a listing that is not full is a hold. The slice that fills it settles everything at once, or on the next
working day, when all of it is posted together.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy.orm import Session

from core import audit, ledger
from core.identity import Actor
from core.ids import new_id
from core.ledger import Work
from core.marketplace import admission, limits, news, promises, settlement, states
from core.marketplace.admission import Offered
from core.marketplace.calendar import Settlement
from core.marketplace.promises import Slice, release
from core.marketplace.quotes import check_slice, quote, slices_of
from core.marketplace.rules import Rules, today
from core.marketplace.states import Financing, State

__all__ = ["fund", "quote", "release"]


def fund(
    session: Session,
    actor: Actor,
    invoice_id: UUID,
    amount: int,
    now: datetime,
    *,
    override: bool = False,
    rules: Rules,
) -> dict[str, Any]:
    """Put `amount` (outlay, minor units) into a listing; answer {investment, invoice, wallet, warnings}.

    Doing it again buys another slice: the edge has Idempotency-Key for that. `override` goes past the investor's own
    caps. Refusals change nothing once the caller rolls back: Forbidden, NotFound, Invalid, NotOnOffer, OwnInvoice,
    KycRequired, FraudStop, DuplicateFinancing, MoreThanRemaining, BelowMinimumSlice, CapExceeded, InsufficientFunds.
    """
    admission.require_investor(actor)
    admission.check_amount(amount)
    offered = admission.enter(session, actor, invoice_id, now, "fixed")
    check_slice(offered, amount)
    warnings = limits.check(session, actor.id, offered.financing, amount, override=override)
    financing, investment_id = _place(session, actor, offered, amount, now, rules)
    audit.record(
        session,
        actor,
        "investment.made",
        "investment",
        investment_id,
        {"financing_id": str(financing.id), "amount": amount, "override": override},
        now,
    )
    made = news.invested(session, investment_id, (actor.id, actor.name), financing)
    return {
        "investment": made,
        "invoice": shown(financing, offered.number),
        "wallet": news.wallet(session, actor.id, financing.currency),
        "warnings": warnings,
    }


def shown(financing: Financing, number: str) -> dict[str, Any]:
    """How far an offer is, as its investors see it."""
    return {"id": str(financing.invoice_id), "number": number, **states.summary(financing)}


def _place(
    session: Session, actor: Actor, offered: Offered, amount: int, now: datetime, rules: Rules
) -> tuple[Financing, UUID]:
    """Move the money, then write the slice; return the financing as it is then, and the slice's id."""
    financing, identity = offered.financing, new_id()
    principal = slices_of(financing).claim_for(amount)
    full = amount == offered.remaining
    if full:
        settlement.check_again(session, financing, rules)
    direct = full and rules.settlement is Settlement.INSTANT
    work: Work = promises.hold(
        financing, actor.id, amount, key=f"slice:{identity}", description=f"Slice of invoice {offered.number}"
    )
    if direct:
        slices = [*promises.held(session, financing), Slice(investor_id=actor.id, outlay=amount)]
        work = settlement.transfer(financing, offered.number, slices)
    with admission.paying(financing.currency):
        [posted] = ledger.post(session, [work], now)
    promises.add(
        session,
        financing,
        now,
        identity=identity,
        investor_id=actor.id,
        outlay=amount,
        principal=principal,
        hold_id=None if direct else posted.id,
    )
    financing = _written(session, actor, financing, now, rules, full=full)
    if direct:
        number, reason = offered.number, "funded in full"
        settled = settlement.finish(
            session, financing, now, transfer_id=posted.id, number=number, actor=actor, reason=reason
        )
        return settled, identity
    news.wallets_moved(session, [actor.id], financing.currency)
    news.portfolios_moved(session, [actor.id], financing)
    return financing, identity


def _written(
    session: Session, actor: Actor, financing: Financing, now: datetime, rules: Rules, *, full: bool
) -> Financing:
    """Bring the financing along with its slices: its sums, and its state where that changes."""
    sums = promises.placed(session, financing)
    if full:
        settle_on = rules.calendar.settlement_day(today(now), rules.settlement)
        return settlement.await_day(session, financing, now, settle_on, actor=actor, reason="target met", **sums)
    if financing.state is State.LISTED:
        moved = states.move(
            session, financing, State.PARTIALLY_FUNDED, now, actor=actor, reason="a first slice", **sums
        )
        news.offer_moved(session, moved, told=True)
        return moved
    changed = states.change(session, financing, now, **sums)
    news.offer_moved(session, changed, told=False)
    return changed
