"""Parts of records that several connectors make alike."""

from __future__ import annotations

from datetime import datetime
from typing import TypedDict

from connectors.payload import Payload
from core.events import ConnectionHealth, ConnectionState, PayoutStatus, Record, RefundStatus
from core.money import Money

# A refund that belongs to no payment is money sent to somebody.
SENT = {
    RefundStatus.PENDING: PayoutStatus.PENDING,
    RefundStatus.FAILED: PayoutStatus.FAILED,
    RefundStatus.SUCCEEDED: PayoutStatus.PAID,
    RefundStatus.RETURNED: PayoutStatus.REVERSED,
}


class Moved(TypedDict):
    """What every record of money says: the provider's key of it, its version, how much, and when."""

    object_id: str
    version: int
    money: Money
    occurred_at: datetime


def withdrawn(provider: str, object_id: str, version: int, by: str = "") -> list[Record]:
    """Our access was withdrawn at the provider, by somebody who may be told."""
    reason = f"access withdrawn at {provider}{by and f' by {by}'}"
    state = ConnectionState(object_id=object_id, version=version, health=ConnectionHealth.REVOKED, reason=reason)
    return [state]


def owed(item: Payload, key: str, currency: str) -> Money:
    """An amount in major units that nobody owes less than nothing of."""
    money = item.number_money(key, currency)
    if money.minor < 0:
        raise item.wrong(key, "zero or more")
    return money
