"""What is answered to whoever puts money into an invoice. Amounts are minor units, rates text in per cent a year."""

from __future__ import annotations

from datetime import date, datetime
from uuid import UUID

from webapp.api.models import Output, Wallet


class FeeLine(Output):
    """A fee that the seller pays: the share of it that goes with the amount asked about, and the whole."""

    code: str
    title: str
    paid_by: str
    share: int
    total: int


class Outcome(Output):
    """How it may end for the amount asked about."""

    case: str
    late_days: int
    buyer_pays: int
    principal: int
    late_interest: int
    received: int
    profit: int
    effective_yield: str | None


class Quote(Output):
    """What an amount would buy: `amount` is paid, `expected_return` comes back when the buyer pays in full."""

    invoice_id: UUID
    number: str
    mode: str
    pricing: str | None
    currency: str
    amount: int
    held: int
    expected_return: int
    profit: int
    discount_rate: str | None
    simple_yield: str | None
    effective_yield: str | None
    seller_cost: str | None
    fees: list[FeeLine]
    remaining: int
    outlay: int
    principal: int
    face: int
    reserve: int
    seller_receives: int
    min_slice: int
    days: int
    basis: int
    day_count: str
    value_date: date
    due_date: date
    pay_date: date
    closes_at: datetime | None
    recourse: str | None
    late_rate: str | None
    warnings: list[str]
    what_if: list[Outcome]


class FundedInvestment(Output):
    """A slice of an invoice."""

    id: UUID
    invoice_id: UUID
    invoice_number: str
    amount: int
    expected_return: int
    profit: int
    status: str
    repaid: int
    interest: int
    currency: str
    due_date: date | None
    created_at: datetime
    settled_at: datetime | None


class OfferState(Output):
    """How far an offer is."""

    id: UUID
    number: str
    invoice_id: UUID
    financing_id: UUID
    status: str
    currency: str
    principal: int | None
    outlay: int | None
    placed: int
    remaining: int | None
    investors: int


class Funded(Output):
    """An investment that was made, with the offer and the wallet as they are then."""

    investment: FundedInvestment
    invoice: OfferState
    wallet: Wallet
    warnings: list[str]


class Bid(Output):
    """One's own bid in an auction."""

    id: UUID
    invoice_id: UUID
    invoice_number: str
    rate: str
    amount: int
    held: int
    status: str
    currency: str
    closes_at: datetime | None
    created_at: datetime
    decided_at: datetime | None
    wallet: Wallet
    warnings: list[str]
