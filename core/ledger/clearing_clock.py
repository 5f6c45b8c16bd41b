"""The clearing clock: how long money has rested where none should rest.

Escrow, unapplied money and claims must return to zero; an account that should clear and does not is the alarm
(marketplace rules 3.2). The age counts from the entry that took the account away from zero.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, text
from sqlalchemy.orm import Session

from core.ledger.accounts import Purpose

CLEARING = (Purpose.ESCROW, Purpose.UNAPPLIED, Purpose.RECOVERABLE)

_UNCLEARED = text(
    """
    SELECT accounts.owner, accounts.purpose, accounts.currency, accounts.balance,
        (SELECT entries.recorded_at FROM ledger_entries AS entries WHERE entries.account_id = accounts.id
            AND entries.sequence > coalesce((SELECT max(zero.sequence) FROM ledger_entries AS zero
                WHERE zero.account_id = accounts.id AND zero.balance_after = 0), 0)
            ORDER BY entries.sequence LIMIT 1) AS since
    FROM ledger_accounts AS accounts
    WHERE accounts.purpose = ANY(CAST(:purposes AS text[])) AND accounts.balance <> 0
    ORDER BY since, accounts.id LIMIT :limit
    """
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Uncleared:
    """An account with money in it that should have none. `balance` in minor units, below zero for a claim."""

    owner: str
    purpose: Purpose
    currency: str
    balance: int
    since: datetime

    def age_seconds(self, now: datetime) -> float:
        """How long it has not been zero."""
        return max(0.0, (now - self.since).total_seconds())


def uncleared(where: Session | Connection, limit: int = 1000) -> list[Uncleared]:
    """Accounts that are not clear, the oldest first."""
    rows = where.execute(_UNCLEARED, {"purposes": [purpose.value for purpose in CLEARING], "limit": limit})
    return [Uncleared(**{**row._asdict(), "purpose": Purpose(row.purpose)}) for row in rows]


def summary(where: Session | Connection, now: datetime) -> dict[str, dict[str, Any]]:
    """For each purpose: how many accounts are not clear, and the age of the oldest in seconds (0: all are)."""
    found = uncleared(where)
    return {
        purpose.value: {
            "accounts": sum(one.purpose is purpose for one in found),
            "oldest_age_seconds": round(
                max((one.age_seconds(now) for one in found if one.purpose is purpose), default=0.0), 3
            ),
        }
        for purpose in CLEARING
    }
