"""Who hears of money that goes into an offer, comes out of it, or goes back."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.orm import Session

from core import ledger, notifications
from core.documents import wording
from core.events import DomainEvent
from core.live import announce
from core.marketplace import shapes, states
from core.marketplace.states import Financing
from core.notifications import Notice


def spell(minor: int, currency: str) -> str:
    """An amount in a sentence, as documents and pages spell it: ₹1,18,000.00."""
    return wording.money(minor, currency)


def wallets(session: Session, users: Iterable[UUID], currency: str) -> dict[UUID, dict[str, Any]]:
    """People's wallets, in minor units: {balance, available, held, currency}."""
    accounts = {user: ledger.wallet(user, currency) for user in sorted(set(users))}
    found = ledger.balances(session, accounts.values())
    return {
        user: {
            "balance": found[account].balance,
            "available": found[account].available,
            "held": found[account].held,
            "currency": currency,
        }
        for user, account in accounts.items()
    }


def wallet(session: Session, user_id: UUID, currency: str) -> dict[str, Any]:
    """One person's wallet."""
    return wallets(session, [user_id], currency)[user_id]


def wallets_moved(session: Session, users: Iterable[UUID], currency: str) -> None:
    """Tell each owner what their wallet holds now, once."""
    announce(
        session,
        [
            DomainEvent(room=f"user:{user}", name="wallet.updated", data=stands)
            for user, stands in wallets(session, users, currency).items()
        ],
    )


def portfolios_moved(session: Session, users: Iterable[UUID], financing: Financing) -> None:
    """Tell investors that their part in a financing changed."""
    data: dict[str, object] = {"invoice_id": str(financing.invoice_id), "status": financing.state.value}
    announce(
        session,
        [DomainEvent(room=f"user:{user}", name="portfolio.updated", data=data) for user in sorted(set(users))],
    )


def offer_moved(session: Session, financing: Financing, *, told: bool) -> None:
    """Tell the marketplace how far an offer is; and, unless a move of its state has `told` them, its parties."""
    if not told:
        states.tell(session, financing)
    announce(session, [DomainEvent(room="marketplace", name="invoice.updated", data=states.summary(financing))])


def invested(session: Session, investment_id: UUID, investor: tuple[UUID, str], financing: Financing) -> dict[str, Any]:
    """Tell an investor of their new part, and the seller of the investor; return the investment as it is shown."""
    row = session.execute(
        text(f"SELECT {shapes.INVESTMENT} FROM {shapes.INVESTED_IN} WHERE investments.id = :id"), {"id": investment_id}
    ).one()
    made = shapes.investment(row)
    user, name = investor
    known = wallets(session, [user, financing.seller_id], financing.currency)
    mine, theirs = known[user], known[financing.seller_id]
    data: dict[str, object] = {
        "investment_id": made["id"],
        **{field: made[field] for field in ("invoice_id", "invoice_number", "amount", "expected_return", "profit")},
        "status": made["status"],
        "balance": mine["balance"],
        "available": mine["available"],
        "currency": made["currency"],
    }
    for_seller: dict[str, object] = {
        "invoice_id": made["invoice_id"],
        "number": made["invoice_number"],
        "amount": made["amount"],
        "investor": {"id": str(user), "name": name},
        "balance": theirs["balance"],
        "remaining": (financing.outlay or 0) - financing.placed_outlay,
        "status": financing.state.value,
        "currency": made["currency"],
    }
    announce(
        session,
        [
            DomainEvent(room=f"user:{user}", name="investment.made", data=data),
            DomainEvent(room=f"user:{financing.seller_id}", name="invoice.funded", data=for_seller),
        ],
    )
    return made


def _notify(
    session: Session, kind: str, financing: Financing, users: Iterable[UUID], words: tuple[str, str], now: datetime
) -> None:
    title, body = words
    events: list[DomainEvent] = []
    for user in sorted(set(users)):
        notice = Notice(
            user_id=user,
            kind=kind,
            subject_kind="invoice",
            subject_id=financing.invoice_id,
            title=title,
            body=body,
        )
        events += notifications.tell(session, notice, now)
    announce(session, events)


def over(session: Session, financing: Financing, now: datetime, *kinds: str) -> None:
    """End what people were told to do about an invoice, because it is done or no longer theirs to do."""
    announce(session, notifications.clear(session, financing.invoice_id, kinds, now))


def funded(session: Session, financing: Financing, number: str, net: int, now: datetime) -> None:
    """Tell the seller that the money is there."""
    words = (
        f"Invoice {number} is funded",
        f"{spell(net, financing.currency)} came into your wallet. The buyer's payment repays the investors.",
    )
    _notify(session, "invoice.funded", financing, [financing.seller_id], words, now)


def given_back(
    session: Session, financing: Financing, number: str, users: Iterable[UUID], reason: str, now: datetime
) -> None:
    """Tell investors that what was held for an offer is theirs again."""
    words = (f"Nothing came of invoice {number}", f"Your money is free again: {reason}.")
    _notify(session, "investment.given_back", financing, users, words, now)


def bid_decided(session: Session, bid: Any, financing: Financing, number: str, status: str) -> None:
    """Tell a bidder, and nobody else, what became of a bid: a row with id, investor_id, rate, amount."""
    data: dict[str, object] = {
        "bid_id": str(bid.id),
        "invoice_id": str(financing.invoice_id),
        "invoice_number": number,
        "status": status,
        "rate": shapes.plain(bid.rate),
        "amount": bid.amount,
        "currency": financing.currency,
    }
    announce(session, [DomainEvent(room=f"user:{bid.investor_id}", name="bid.decided", data=data)])
