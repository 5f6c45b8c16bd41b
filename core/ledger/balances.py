"""Reading the books: balances now and as of any instant, and the statement of an account."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal
from uuid import UUID

from sqlalchemy import Connection, Row, TextClause, text
from sqlalchemy.orm import Session

from core.bulk import array
from core.ledger.accounts import Account


@dataclass(frozen=True, slots=True)
class Balance:
    """Minor units. `available` is what can be spent: the balance without what is held."""

    balance: int = 0
    held: int = 0

    @property
    def available(self) -> int:
        """What can be spent."""
        return self.balance - self.held


_BALANCES = text("SELECT id, balance, held FROM ledger_accounts WHERE id = ANY(CAST(:ids AS uuid[]))")
_EFFECTIVE = text(
    "SELECT coalesce(sum(amount), 0)::bigint FROM ledger_entries WHERE account_id = :id AND effective_at <= :moment"
)
# Recorded time never runs backwards on an account, so the last entry of a moment is found by halving.
_HALVES = """
    WITH RECURSIVE halves AS (
        SELECT 0::bigint AS low, sequence AS high FROM ledger_accounts WHERE id = :id
        UNION ALL
        SELECT CASE WHEN entry.recorded_at <= :moment THEN entry.sequence ELSE low END,
               CASE WHEN entry.recorded_at <= :moment THEN high ELSE entry.sequence - 1 END
        FROM halves JOIN ledger_entries AS entry
            ON entry.account_id = :id AND entry.sequence = (low + high + 1) / 2
        WHERE low < high
    )
"""
_RECORDED = text(
    f"""{_HALVES}
    SELECT coalesce((SELECT balance_after FROM ledger_entries
        WHERE account_id = :id AND sequence = (SELECT low FROM halves WHERE low = high)), 0)
    """
)
_SEQUENCE = text(f"{_HALVES} SELECT coalesce((SELECT low FROM halves WHERE low = high), 0)")
_HELD = text(
    """
    SELECT coalesce(sum(ledger_holds.amount), 0)::bigint FROM ledger_holds
    LEFT JOIN ledger_resolutions ON ledger_resolutions.hold_id = ledger_holds.id
    WHERE account_id = :id AND ledger_holds.created_at <= :moment
      AND (ledger_resolutions.at IS NULL OR ledger_resolutions.at > :moment)
    """
)
_STATEMENT = """
    SELECT entry.sequence AS id, entry.id AS entry_id, entry.transfer_id, entry.amount, entry.currency,
           entry.balance_after, entry.effective_at, entry.recorded_at,
           ledger_transfers.kind, ledger_transfers.description, ledger_transfers.invoice_id, ledger_transfers.event_id
    FROM ledger_entries AS entry JOIN ledger_transfers ON ledger_transfers.id = entry.transfer_id
    WHERE entry.account_id = :account AND entry.sequence < :before AND entry.sequence > :after {sides}
    ORDER BY entry.sequence DESC LIMIT :limit
"""
_SIDES: dict[str | None, TextClause] = {
    side: text(_STATEMENT.format(sides=condition))
    for side, condition in ((None, ""), ("credit", "AND entry.amount > 0"), ("debit", "AND entry.amount < 0"))
}
_EXPIRED = text("SELECT id FROM ledger_holds WHERE open AND expires_at <= :now ORDER BY expires_at LIMIT :limit")
_NO_END = 2**62


def balance(where: Session | Connection, account: Account) -> Balance:
    """How an account stands. One that was never named has nothing."""
    return balances(where, [account])[account]


def balances(where: Session | Connection, accounts: Iterable[Account]) -> dict[Account, Balance]:
    """How many accounts stand, in one query."""
    asked = list(accounts)
    rows = where.execute(_BALANCES, {"ids": array((account.id for account in asked), "uuid")})
    known = {row.id: Balance(row.balance, row.held) for row in rows}
    return {account: known.get(account.id, Balance()) for account in asked}


def balance_at(
    where: Session | Connection,
    account: Account,
    moment: datetime,
    by: Literal["effective", "recorded"] = "effective",
) -> int:
    """The balance as of an instant, in minor units.

    By "effective" what counts until then, whenever it was learned; by "recorded" what these books said then.
    """
    query = _EFFECTIVE if by == "effective" else _RECORDED
    return int(where.execute(query, {"id": account.id, "moment": moment}).scalar_one())


def books_at(where: Session | Connection, account: Account, moment: datetime) -> Balance:
    """How the books said, at a past instant, that an account stands: by recorded time, holds of then included."""
    values = {"id": account.id, "moment": moment}
    return Balance(
        balance=int(where.execute(_RECORDED, values).scalar_one()), held=int(where.execute(_HELD, values).scalar_one())
    )


def sequence_at(where: Session | Connection, account: Account, moment: datetime) -> int:
    """The number of the account's last entry recorded by then, 0 before the first."""
    return int(where.execute(_SEQUENCE, {"id": account.id, "moment": moment}).scalar_one())


def statement(
    where: Session | Connection,
    account: Account,
    *,
    limit: int,
    before: int | None = None,
    after: int = 0,
    side: Literal["credit", "debit"] | None = None,
) -> list[Row[Any]]:
    """Entries of an account, newest first, at most `limit`, between two sequence numbers, on one side or both.

    A row has id (the account's own sequence number), entry_id, transfer_id, amount (credit above zero), currency,
    balance_after, effective_at, recorded_at, kind, description, invoice_id, event_id.
    """
    values = {
        "account": account.id,
        "before": _NO_END if before is None else before,
        "after": after,
        "limit": limit,
    }
    return list(where.execute(_SIDES[side], values).all())


def expired_holds(where: Session | Connection, now: datetime, limit: int = 100) -> list[UUID]:
    """Open holds whose time is over, oldest first: to be given back with `Release(id, "expired")`."""
    return list(where.execute(_EXPIRED, {"now": now, "limit": limit}).scalars())
