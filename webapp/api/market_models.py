"""The shapes of the marketplace, the wallet and the portfolio: what may be asked, and what comes back.

Amounts are integers in minor units of `currency`; rates, yields and shares are text in per cent.
"""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from core.money import MAX_MINOR
from webapp.api.market_outputs import FundedInvestment
from webapp.api.models import (
    Financing,
    FinancingState,
    Input,
    Output,
    PageQuery,
    PaymentStatus,
    Search,
    TransactionRow,
    Wallet,
)
from webapp.api.risk_models import Risk

Amount = Annotated[int, Field(ge=0, le=MAX_MINOR)]
Percent = Annotated[Decimal, Field(ge=0, le=100_000_000, max_digits=15, decimal_places=6, allow_inf_nan=False)]
Days = Annotated[int, Field(ge=0, le=3650)]
# An instant that every clock and calendar here can hold.
Moment = Annotated[AwareDatetime, Field(ge=datetime(2000, 1, 1, tzinfo=UTC), le=datetime(2200, 1, 1, tzinfo=UTC))]


# Wallet -----------------------------------------------------------------------------------------------------


class WalletQuery(Input):
    """The instant whose books are asked for; without it, now."""

    at: Moment | None = None


class WalletStatementQuery(PageQuery):
    """Which movements: one side, and those recorded from `from` on and before `to`."""

    type: Literal["credit", "debit"] | None = None
    since: Annotated[Moment | None, Field(alias="from")] = None
    until: Annotated[Moment | None, Field(alias="to")] = None


class WalletExportQuery(Input):
    """The same, for the whole of it."""

    type: Literal["credit", "debit"] | None = None
    since: Annotated[Moment | None, Field(alias="from")] = None
    until: Annotated[Moment | None, Field(alias="to")] = None


class WalletMovement(Output):
    """A movement of a wallet. `at` is when it was recorded, `effective_at` when it counts from."""

    id: str
    type: Literal["credit", "debit"]
    amount: int
    balance_after: int
    currency: str
    kind: str
    description: str
    invoice_id: UUID | None
    transfer_id: UUID
    at: datetime
    effective_at: datetime


class WalletStatement(Output):
    """A page of movements, newest first."""

    items: list[WalletMovement]
    next_cursor: str | None


# Listings ---------------------------------------------------------------------------------------------------


class ListingsQuery(PageQuery):
    """Which listings, in which order. Amounts are of what is left to fund; rates and yields are per cent a year."""

    sort: Literal["newest", "yield", "due", "closing", "remaining"] = "newest"
    min_amount: Amount | None = None
    max_amount: Amount | None = None
    min_rate: Percent | None = None
    max_rate: Percent | None = None
    min_yield: Percent | None = None
    max_yield: Percent | None = None
    min_days: Days | None = None
    max_days: Days | None = None
    mode: Literal["fixed", "auction"] | None = None
    band: Literal["low", "elevated", "high"] | None = None
    search: Search | None = None


class Organisation(Output):
    """A party as investors know it. `id` is null for a buyer without an account."""

    id: UUID | None
    organisation: str


class FourNumbers(Output):
    """What a price means, per cent a year: to the investor, and to the seller with every fee."""

    discount_rate: str | None
    simple_yield: str | None
    effective_yield: str | None
    seller_cost: str | None


class Listing(Output):
    """An invoice on offer. `risk` has three separate judgements, each with reasons; it is null before the first."""

    id: UUID
    invoice_id: UUID
    number: str
    status: PaymentStatus | FinancingState
    currency: str
    seller: Organisation
    buyer: Organisation
    issue_date: date
    due_date: date
    financing: Financing
    progress: str | None
    numbers: FourNumbers
    day_count: str | None
    risk: Risk | None
    mine: bool


class Listings(Output):
    """A page of what is on offer."""

    items: list[Listing]
    next_cursor: str | None


class Acceptance(Output):
    """That the buyer accepted to owe, and how much. `recorded`: there is a signed record of it."""

    present: bool
    recorded: bool
    amount: int | None
    confirmed_at: datetime | None


class Slice(Output):
    """A part of an offer that somebody has taken. Others are numbered, not named.

    What comes back for another's is not told where each paid the own bid: it would tell the rate.
    """

    id: UUID | None
    sequence: int
    investor: str
    mine: bool
    amount: int
    expected_return: int | None
    status: Literal["held", "settled", "repaid"]
    created_at: datetime


class OwnBid(Output):
    """A bid of one's own: principal at a rate in per cent, and the outlay that is held for it."""

    id: UUID
    sequence: int
    rate: str
    amount: int
    outlay: int
    state: Literal["open", "won", "lost", "withdrawn"]
    created_at: datetime
    decided_at: datetime | None


class ClearedBid(Output):
    """A bid of a closed auction, without its bidder: what it asked (per cent a year), and what it won and paid."""

    sequence: int
    rate: str
    amount: int
    won: int
    paid: int
    paid_rate: str | None
    at: datetime


class AuctionResult(Output):
    """How an auction ended, worked out again from its bids. `other_discount`: the same bids at the other pricing."""

    pricing: Literal["uniform", "pay_as_bid"]
    price: str | None
    filled: int
    shortfall: int
    discount: int
    other_pricing: Literal["uniform", "pay_as_bid"]
    other_discount: int
    agrees: bool
    bids: list[ClearedBid]


class ListingDetail(Listing):
    """An offer with its confirmation and slices. `bid_count` is told to its seller; `bids` are one's own alone.

    `result` is for the seller of a closed auction and for operators.
    """

    confirmation: Acceptance
    slices: list[Slice]
    bid_count: int | None
    bids: list[OwnBid]
    result: AuctionResult | None


# Portfolio, transactions, statistics ------------------------------------------------------------------------


class PortfolioQuery(PageQuery):
    """Which investments are listed, how the cash flow is cut, and the instant whose books are asked for."""

    status: Literal["held", "settled", "repaid", "voided", "open", "overdue"] | None = None
    search: Search | None = None
    by: Literal["week", "month"] = "month"
    at: Moment | None = None


class HeldInvestment(FundedInvestment):
    """An investment in its owner's portfolio."""

    invoice_status: FinancingState
    seller: str
    buyer: str


class PortfolioTotals(Output):
    """The sums of a portfolio (docs/marketplace.md says what each is)."""

    invested: int
    held: int
    active: int
    outstanding: int
    expected: int
    expected_profit: int
    received: int
    interest: int
    realised_profit: int
    realised_return: str | None
    realised_yield: str | None
    overdue: int
    lost: int
    active_count: int
    closed_count: int


class Debtor(Output):
    """Who stands for a part of a portfolio: the buyer, or the seller where the seller must buy it back."""

    kind: Literal["buyer", "seller"]
    id: UUID | None
    name: str
    amount: int
    share: str | None
    of_money: str | None
    investments: int


class Exposure(Output):
    """How much stands with whom. `concentration` is the sum of the squared shares: 1 is a single debtor."""

    debtors: list[Debtor]
    debtor_count: int
    concentration: str | None


class Flow(Output):
    """What is expected to come back in a week or month; `late` is what should have come already."""

    begins: Annotated[date | None, Field(alias="from")]
    ends: Annotated[date | None, Field(alias="to")]
    late: bool
    expected: int
    investments: int


class ValuePoint(Output):
    """A portfolio at the end of a day."""

    day: date
    cost: int
    outstanding: int
    value: int
    received: int


class Portfolio(Output):
    """A person's investments, with what they come to."""

    currency: str
    at: datetime
    wallet: Wallet
    totals: PortfolioTotals
    exposure: Exposure
    cash_flow: list[Flow]
    value: list[ValuePoint]
    investments: list[HeldInvestment]
    next_cursor: str | None


class PersonsMovement(Output):
    """A movement of a person's money: in the wallet here, or on a bank account that is connected.

    A wallet's has `wallet`, a bank's has `transaction`; amounts above are without a sign.
    """

    id: str
    source: Literal["wallet", "bank"]
    type: Literal["credit", "debit"]
    amount: int
    currency: str
    description: str
    invoice_id: UUID | None
    at: datetime
    wallet: WalletMovement | None
    transaction: TransactionRow | None


class PersonsMovements(Output):
    """A page of them, newest first."""

    items: list[PersonsMovement]
    next_cursor: str | None


class MovementsQuery(PageQuery):
    """Which movements of a person's money."""

    source: Literal["wallet", "bank"] | None = None


class Month(Output):
    """A month of business; `profit` is the discount in it."""

    month: str
    count: int
    amount: int
    profit: int | None


class Statistics(Output):
    """A year of business by role: numbers, amounts in minor units, and rates as text."""

    role: Literal["seller", "buyer", "investor", "operator"]
    currency: str
    since: datetime | None
    counts: dict[str, int]
    amounts: dict[str, int]
    rates: dict[str, str | None]
    months: list[Month]


class LimitsInput(Input):
    """Caps that an investor sets: per cent of one's money with one debtor and in one invoice, and days."""

    per_buyer: Annotated[Decimal, Field(gt=0, le=100, max_digits=5, decimal_places=2)] | None = None
    per_invoice: Annotated[Decimal, Field(gt=0, le=100, max_digits=5, decimal_places=2)] | None = None
    max_days: Annotated[int, Field(strict=True, ge=1, le=3650)] | None = None


Preference = Annotated[str, Field(max_length=1000)] | bool | Annotated[int, Field(ge=-(2**53) + 1, lt=2**53)] | None


PreferenceName = Annotated[str, Field(min_length=1, max_length=64)]


class PreferencesInput(BaseModel):
    """What changes: preferences by name, as members or under `preferences`. They are merged, and null takes one away.

    A cap that is not named stays; null lifts it. Preferences have no list of names, so nothing here is unknown.
    """

    model_config = ConfigDict(extra="allow", frozen=True)
    __pydantic_extra__: dict[str, Preference] = Field(init=False)

    preferences: Annotated[dict[PreferenceName, Preference] | None, Field(max_length=50)] = None
    investor_limits: LimitsInput | None = None

    @property
    def changes(self) -> dict[str, str | bool | int | None]:
        """All preferences that were given."""
        return {**self.__pydantic_extra__, **(self.preferences or {})}


class InvestorLimits(Output):
    """Caps as text in per cent; null where the suggested one only warns."""

    per_buyer: str | None
    per_invoice: str | None
    max_days: int | None


class Preferences(Output):
    """All preferences; and for an investor the caps."""

    preferences: dict[str, Any]
    investor_limits: InvestorLimits | None
