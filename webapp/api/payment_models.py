"""The shapes of payments and payouts in the API."""

from __future__ import annotations

from datetime import date, datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import Field

from core.money import MAX_MINOR
from webapp.api.models import (
    Allocation,
    Currency,
    Day,
    Input,
    NamedConnection,
    NumberedInvoice,
    Output,
    PageQuery,
    PaymentRow,
    Search,
    SeenIn,
)

Method = Literal["bank_transfer", "upi", "cash", "cheque", "card", "tds_withheld", "other"]
RefundMethod = Literal["bank_transfer", "upi", "cash", "cheque", "card", "other"]
Amount = Annotated[int, Field(strict=True, ge=1, le=MAX_MINOR)]
# In a query everything is text.
AskedAmount = Annotated[int, Field(ge=0, le=MAX_MINOR)]
Reference = Annotated[str, Field(max_length=100)]
Notes = Annotated[str, Field(max_length=2000)]
Version = Annotated[int, Field(strict=True, ge=1, le=2**31 - 1)]


class PaymentsQuery(PageQuery):
    """Which payments, and in what order. Days and amounts are both included.

    `state`: unapplied, of which something pays nothing yet; disputed, that somebody challenges at present.
    """

    status: Literal["pending", "failed", "succeeded", "cancelled"] | None = None
    source: Literal["gateway", "bank", "manual", "credit_note"] | None = None
    method: Annotated[str, Field(min_length=1, max_length=40)] | None = None
    state: Literal["unapplied", "disputed"] | None = None
    contact_id: UUID | None = None
    invoice_id: UUID | None = None
    since: Annotated[Day | None, Field(alias="from")] = None
    until: Annotated[Day | None, Field(alias="to")] = None
    amount_min: AskedAmount | None = None
    amount_max: AskedAmount | None = None
    search: Search | None = None
    sort: Literal["-date", "date", "-amount", "amount"] | None = None


class TargetInput(Input):
    """An invoice that is to have so much of the payment, in minor units."""

    invoice_id: UUID
    amount: Amount


Targets = Annotated[list[TargetInput], Field(max_length=100)]
SomeTargets = Annotated[list[TargetInput], Field(min_length=1, max_length=100)]


class PaymentInput(Input):
    """Money that came. It names a customer, invoices, or both; what no invoice gets is the customer's credit."""

    amount: Amount
    currency: Currency
    method: Method
    date: Day
    contact_id: UUID | None = None
    targets: Targets = Field(default_factory=list)
    reference: Reference = ""
    notes: Notes = ""


class PaymentUpdate(Input):
    """What is to be different. `targets` replace those that there are; `expected_version` is the one that was read."""

    amount: Amount | None = None
    date: Day | None = None
    method: Method | None = None
    reference: Reference | None = None
    notes: Notes | None = None
    targets: Targets | None = None
    expected_version: Version | None = None


class RefundInput(Input):
    """Money that went back: out of what pays nothing, then of the last invoices; or out of one invoice's part."""

    amount: Amount
    method: RefundMethod
    date: Day
    invoice_id: UUID | None = None
    reference: Reference = ""
    notes: Notes = ""


class AllocateInput(Input):
    """Invoices that are to have what is left of the payment."""

    targets: SomeTargets


class CreditInput(Input):
    """Invoices of a customer that are to have the customer's credit."""

    contact_id: UUID
    targets: SomeTargets


class DeleteQuery(Input):
    """Why a payment is taken back, such as a cheque that bounced."""

    reason: Annotated[str, Field(max_length=200)] = ""


class Target(Output):
    """An invoice that a payment is aimed at: up to `amount`, and what it pays of it now."""

    invoice: NumberedInvoice
    amount: int
    allocated: int


class ManualRefund(Output):
    """Money given back by hand. `taken_back`: it was noted wrongly, and counts no more."""

    id: UUID
    amount: int
    currency: str
    method: str
    date: date
    reference: str
    notes: str
    taken_back: bool
    created_at: datetime


class Adjustment(Output):
    """A refund or dispute as the provider tells of it. `taken` is what is gone of the payment."""

    id: UUID
    kind: Literal["refund", "dispute"]
    status: str
    amount: int
    taken: int
    currency: str
    reason: str | None
    respond_by: datetime | None
    occurred_at: datetime


class PaidOut(Output):
    """The payout that brought a payment to the bank."""

    id: UUID
    fee: int
    net: int
    occurred_at: datetime


class PaymentChange(Output):
    """What somebody did with a payment: {field: [before, after]}."""

    at: datetime
    action: str
    actor: str | None
    changes: dict[str, Any]


class Payment(PaymentRow):
    """A payment with what it pays, what went back of it, and where it was told.

    `possible_duplicate_of` names another payment of the same customer, amount, day and reference, after writing one.
    """

    targets: list[Target]
    allocations: list[Allocation]
    refunds: list[ManualRefund]
    adjustments: list[Adjustment]
    payout: PaidOut | None
    history: list[PaymentChange]
    deliveries: list[SeenIn]
    possible_duplicate_of: UUID | None


class Payments(Output):
    """A page of payments."""

    items: list[PaymentRow]
    next_cursor: str | None


class CreditApplied(Output):
    """The payments that a customer's credit came from."""

    payment_ids: list[UUID]


class PayoutsQuery(PageQuery):
    """Which payouts."""

    connection_id: UUID | None = None
    status: Literal["pending", "failed", "paid", "reversed"] | None = None


class PayoutRow(Output):
    """A payout and its sums: `amount` is `collected` - `fees` - `returned` + `adjusted` + `unexplained`.

    Where no part names a fee the payout's own `fee` is taken. `unexplained` is null before anybody looked. `named`: the
    provider says what is in it; else it was found by order.
    """

    id: UUID
    connection: NamedConnection
    connector: str | None
    object_id: str
    status: Literal["pending", "failed", "paid", "reversed"]
    amount: int
    currency: str
    fee: int | None
    bank_reference: str | None
    occurred_at: datetime
    to_third_party: bool
    payment_count: int
    collected: int
    fees: int
    returned: int
    adjusted: int
    named: bool
    unexplained: int | None
    transaction_id: UUID | None


class PayoutLine(Output):
    """What a payout holds: a payment, what went back of one (a negative amount), a fee of its own, or an adjustment.

    `named` by the provider, or found by order. `unseen`: it is named, and its own news did not come yet.
    """

    kind: Literal["payment", "refund", "dispute", "fee", "adjustment"]
    payment_id: UUID | None
    object_id: str | None
    payer: str | None
    named: bool
    unseen: bool
    amount: int
    fee: int
    net: int
    occurred_at: datetime


class Payout(PayoutRow):
    """A payout with its lines, those that are unseen before the others, the oldest first, at most 500."""

    lines: list[PayoutLine]


class Payouts(Output):
    """A page of payouts, newest first."""

    items: list[PayoutRow]
    next_cursor: str | None
