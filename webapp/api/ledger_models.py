"""Shapes of /api/ledger."""

from __future__ import annotations

from datetime import date, datetime

from webapp.api.models import Output


class SellersBooks(Output):
    """All sellers' books together, in minor units: credits above zero, so that what is owed to sellers is below."""

    receivable: int
    sales: int
    tax_due: int
    rounding: int
    credit: int
    clearing: int
    bank: int
    gateway_fees: int
    tds: int
    credit_notes: int
    financing: int


class LedgerBooks(Output):
    """What there is of each purpose in one currency, in minor units. `total` and `unexplained` must be 0."""

    currency: str
    accounts: int
    issued: int
    outside: int
    recoverable: int
    wallet: int
    held: int
    escrow: int
    fees: int
    gst: int
    unapplied: int
    scratch: int
    sellers: SellersBooks
    total: int
    unexplained: int


class Uncleared(Output):
    """An account that should be zero and is not, and since when."""

    owner: str
    purpose: str
    currency: str
    balance: int
    since: datetime
    age_seconds: float


class ChainState(Output):
    """How far the hash chain is: entries sealed and waiting, its head, and the day it was last anchored outside."""

    sealed: int
    waiting: int
    head: str
    head_recorded_at: datetime | None
    anchored_on: date | None
    anchored_at: datetime | None


class Verification(Output):
    """When the ledger was last verified, and what was found; `first` is the first thing that did not agree."""

    at: datetime
    sound: bool
    problems: int
    first: str | None
    entries: int
    position: int
    seconds: float


class LedgerHealth(Output):
    """How the ledger is. `clearing` has the oldest first, at most 100. `unposted` invoices and payments wait."""

    books: list[LedgerBooks]
    unposted: int
    clearing: list[Uncleared]
    chain: ChainState
    verified: Verification | None
