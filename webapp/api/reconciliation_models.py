"""The shapes of reconciliation: what may be decided about a bank line, and what comes back."""

from __future__ import annotations

from datetime import date
from typing import Annotated, Literal
from uuid import UUID

from pydantic import Field

from core.money import MAX_MINOR
from core.reconciliation.decisions import MOST_TARGETS
from webapp.api.models import Currency, Day, Input, Output, PageQuery, Search

Amount = Annotated[int, Field(ge=-MAX_MINOR, le=MAX_MINOR)]


class TransactionsQuery(PageQuery):
    """Which bank transactions. Amounts are minor units, negative for money that left; days are of the booking."""

    match_state: Literal["none", "proposed", "accepted", "duplicate", "ignored"] | None = None
    tier: Literal["sure", "suggested", "suspense"] | None = None
    connection_id: UUID | None = None
    account: Annotated[str, Field(min_length=1, max_length=200)] | None = None
    currency: Currency | None = None
    date_from: Day | None = None
    date_to: Day | None = None
    amount_min: Amount | None = None
    amount_max: Amount | None = None
    search: Search | None = None
    sort: Literal["newest", "oldest", "largest", "smallest"] = "newest"

    @property
    def days(self) -> tuple[date | None, date | None]:
        """The first and the last day."""
        return self.date_from, self.date_to


class MatchTargetInput(Input):
    """What of a line is meant for an invoice."""

    invoice_id: UUID
    amount: Annotated[int, Field(strict=True, ge=1, le=MAX_MINOR)]


class MatchInput(Input):
    """What a transaction is; without any of these the best proposal is taken.

    An invoice's payment, that of several with amounts, a payment known before, a payout, or the proposal `match_id` as
    it was shown.
    """

    invoice_id: UUID | None = None
    targets: Annotated[list[MatchTargetInput], Field(max_length=MOST_TARGETS)] = Field(default_factory=list)
    payment_id: UUID | None = None
    payout_id: UUID | None = None
    match_id: UUID | None = None
    # Why less came than was due.
    short_reason: Literal["tds", "dispute", "part"] | None = None


class OverruleInput(Input):
    """Why an operator takes a match of somebody else back."""

    reason: Annotated[str, Field(min_length=10, max_length=500)]


class MatchSureInput(Input):
    """Which sure proposals are accepted: those of these transactions, or all of them."""

    transaction_ids: Annotated[list[UUID], Field(max_length=500)] | None = None


class RefusedLine(Output):
    """A transaction that was not matched with the others, and why, in a sentence."""

    transaction_id: UUID
    reason: str


class MatchedSure(Output):
    """The transactions that are matched now; call again when there are as many as can be in one answer (500).

    `refused` are those of which the proposal cannot be (any more): the invoice takes less by now, or investors wait for
    its money and the transaction was uploaded by its seller.
    """

    transaction_ids: list[UUID]
    refused: list[RefusedLine]


class Withheld(Output):
    """The payments that were made of withheld tax, one for each invoice."""

    payment_ids: list[UUID]
