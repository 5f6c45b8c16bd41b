"""An investor's portfolio, now or as the books said at a past instant."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.orm import Session

from core import wallets
from core.identity import Actor
from core.marketplace import holdings, performance
from core.marketplace.performance import By, Position, Receipt
from core.marketplace.rules import CURRENCY, today

_NAME = "coalesce(nullif({0}.organisation, ''), {0}.name)"
_POSITIONS = f"""
    SELECT investments.id, investments.outlay, investments.principal, investments.settled_at, financings.pay_date,
           %s AS state, financings.recourse, financings.seller_id, financings.buyer_id, financings.buyer_email,
           {_NAME.format("sellers")} AS seller, coalesce({_NAME.format("buyers")}, contacts.name) AS buyer
    FROM investments JOIN financings ON financings.id = investments.financing_id
    JOIN invoices ON invoices.id = financings.invoice_id JOIN contacts ON contacts.id = invoices.contact_id
    JOIN users AS sellers ON sellers.id = financings.seller_id
    LEFT JOIN users AS buyers ON buyers.id = financings.buyer_id
    WHERE investments.investor_id = :investor AND financings.currency = :currency
      AND investments.created_at <= :at
      AND (investments.status <> 'voided' OR investments.closed_at > :at)
    ORDER BY investments.id
"""
_NOW = text(_POSITIONS % "financings.state")
# Every move is kept, so the state of any instant is the last one until then.
_THEN = text(
    _POSITIONS
    % (
        "(SELECT after FROM financing_moves WHERE financing_moves.financing_id = financings.id "
        "AND financing_moves.at <= :at ORDER BY version DESC LIMIT 1)"
    )
)
# What came back and, as far as was recorded by then, was not taken back. It counts from the day of the payment.
_RECEIPTS = text(
    """
    SELECT share.investment_id, share.principal, share.interest, repayments.paid_at
    FROM investments JOIN repayment_shares AS share ON share.investment_id = investments.id
    JOIN repayments ON repayments.id = share.repayment_id
    LEFT JOIN ledger_transfers AS reversal ON reversal.id = repayments.reversed_by
    WHERE investments.investor_id = :investor AND repayments.currency = :currency AND repayments.created_at <= :at
      AND (repayments.reversed_by IS NULL OR reversal.recorded_at > :at)
    ORDER BY repayments.paid_at, repayments.sequence
    """
)


# Everything that is written down by now, also by a clock that is ahead of ours.
_ALL = datetime(9999, 12, 30, tzinfo=UTC)


def positions(
    session: Session, investor_id: UUID, at: datetime | None = None, *, currency: str = CURRENCY
) -> list[Position]:
    """A person's investments, now or as of an instant, without those that came to nothing. Two queries."""
    until = at or _ALL
    values = {"investor": investor_id, "currency": currency, "at": until}
    back: dict[UUID, list[Receipt]] = defaultdict(list)
    for row in session.execute(_RECEIPTS, values):
        back[row.investment_id].append(Receipt(today(row.paid_at), row.principal, row.interest))
    return [_position(row, back[row.id], until) for row in session.execute(_NOW if at is None else _THEN, values)]


def _position(row: Any, back: list[Receipt], until: datetime) -> Position:
    settled = row.settled_at is not None and row.settled_at <= until
    day = today(row.settled_at) if settled else None
    return Position(
        id=row.id,
        outlay=row.outlay,
        principal=row.principal,
        day=day,
        pay_date=row.pay_date,
        state=row.state,
        # A buyer may have paid before investors did: to them it came the day they were in.
        receipts=tuple(one if day is None or one.day >= day else replace(one, day=day) for one in back),
        **_debtor(row),
    )


def _debtor(row: Any) -> dict[str, Any]:
    """Without recourse the exposure is to the buyer, with full recourse to the seller (marketplace rules 2.2)."""
    if row.recourse == "full":
        return {
            "debtor": f"seller:{row.seller_id}",
            "debtor_kind": "seller",
            "debtor_id": row.seller_id,
            "debtor_name": row.seller,
        }
    return {
        "debtor": f"buyer:{row.buyer_email}",
        "debtor_kind": "buyer",
        "debtor_id": row.buyer_id,
        "debtor_name": row.buyer,
    }


def portfolio(
    session: Session,
    actor: Actor,
    now: datetime,
    *,
    at: datetime | None = None,
    by: By = "month",
    currency: str = CURRENCY,
    status: str | None = None,
    search: str | None = None,
    limit: int = 25,
    cursor: str | None = None,
) -> dict[str, Any]:
    """Everything about a person's own investments; a bounded number of queries, however many there are.

    `at` gives the books of a past instant, by the time at which things were recorded; `by` the steps of the expected
    cash flow. `status` and `search` choose among the investments that are listed, not what is added up.
    """
    moment = at or now
    day = today(moment)
    held = positions(session, actor.id, at, currency=currency)
    wallet = wallets.balance(session, actor.id, currency, at=at)
    sums = performance.totals(held)
    listed = holdings.investments(
        session, actor, status=status, search=search, currency=currency, limit=limit, cursor=cursor, at=at
    )
    known = {str(one.id): one for one in held}
    return {
        "currency": currency,
        "at": moment,
        "wallet": wallet,
        "totals": sums,
        "exposure": performance.exposure(held, wallet["available"] + sum(one.cost for one in held)),
        "cash_flow": performance.cash_flow(held, day, by),
        "value": performance.value(held, day),
        "investments": [item if at is None else _then(item, known) for item in listed["items"]],
        "next_cursor": listed["next_cursor"],
    }


def _then(item: dict[str, Any], known: dict[str, Position]) -> dict[str, Any]:
    """An investment of the list as it stood at the instant of `known`."""
    one = known.get(item["id"])
    if one is None:
        return item
    status = "held" if one.day is None else "repaid" if one.repaid == one.principal else "settled"
    return {
        **item,
        "status": status,
        "repaid": one.repaid,
        "interest": one.interest,
        "settled_at": item["settled_at"] if one.day is not None else None,
        "invoice_status": one.state,
    }
