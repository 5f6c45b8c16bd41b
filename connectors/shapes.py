"""Parts of records that several connectors make alike."""

from __future__ import annotations

from datetime import datetime
from typing import TypedDict

from connectors.payload import Payload
from core.events import ConnectionHealth, ConnectionState, Record
from core.money import Money


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
