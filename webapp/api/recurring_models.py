"""The shapes of recurring invoices: what may be sent, and what comes back."""

from __future__ import annotations

from datetime import date, datetime
from typing import Annotated, Literal
from uuid import UUID

from pydantic import Field

from webapp.api.contact_models import Days, Flag, State, Version
from webapp.api.invoice_models import Contact, Items
from webapp.api.models import Currency, Day, Input, Name, Output, PageQuery, Words

Frequency = Literal["day", "week", "month", "quarter", "year"]
Every = Annotated[int, Field(strict=True, ge=1, le=366)]
Runs = Annotated[int, Field(strict=True, ge=1, le=10_000)]
Reference = Annotated[str, Field(max_length=100)]
RecurringState = Literal["active", "paused", "ended"]


class RecurringQuery(PageQuery):
    """Which of them."""

    state: RecurringState | None = None


class RecurringInput(Input):
    """An invoice without its days, and when it is made: every so many days, weeks, months, quarters or years.

    It goes on until `ends_on`, or `most_runs` times, or until it is stopped. `payment_days` null: those of the contact,
    else of the business. Without `auto_issue` drafts are made; with `auto_send` they are mailed, too.
    """

    name: Name
    contact_id: UUID
    currency: Currency
    items: Items
    frequency: Frequency
    starts_on: Day
    every: Every = 1
    ends_on: Day | None = None
    most_runs: Runs | None = None
    payment_days: Days | None = None
    auto_issue: Flag = True
    auto_send: Flag = False
    notes: Words = ""
    payment_terms: Words = ""
    reference: Reference = ""
    place_of_supply: State | None = None
    reverse_charge: Flag = False


class RecurringChanges(Input):
    """What is to be different; what is left out stays. `version` is the one that was read."""

    name: Name = ""
    contact_id: UUID = UUID(int=0)
    currency: Currency = ""
    items: Items = Field(default_factory=list)
    frequency: Frequency = "month"
    starts_on: Day = date.min
    every: Every = 1
    ends_on: Day | None = None
    most_runs: Runs | None = None
    payment_days: Days | None = None
    auto_issue: Flag = True
    auto_send: Flag = False
    notes: Words = ""
    payment_terms: Words = ""
    reference: Reference = ""
    place_of_supply: State | None = None
    reverse_charge: Flag = False
    version: Version | None = None


class ResumeInput(Input):
    """Whether what was missed is made. Null: what a trouble kept from being made is, and a pause is not."""

    catch_up: Flag | None = None


class RecurringItem(Output):
    """A line as it was filled in."""

    description: str
    quantity: str
    unit: str
    unit_price: int
    hsn: str
    discount_rate: str
    tax_rate: str


class MadeInvoice(Output):
    """An invoice that it made, as it stands now."""

    id: UUID
    number: str | None
    status: str
    total: int
    currency: str


class RecurringRun(Output):
    """A day for which one was made. No invoice: it was a draft that was deleted."""

    on: date
    made_at: datetime
    invoice: MadeInvoice | None


class RecurringRow(Output):
    """A recurring invoice as a list shows it. `total` is what one came to when it was written."""

    id: UUID
    name: str
    state: RecurringState
    contact: Contact
    currency: str
    total: int
    frequency: Frequency
    every: int
    starts_on: date
    ends_on: date | None
    most_runs: int | None
    next_on: date | None
    runs: int
    payment_days: int | None
    auto_issue: bool
    auto_send: bool
    paused_at: datetime | None
    trouble: str | None
    ended_at: datetime | None
    version: int
    created_at: datetime
    updated_at: datetime


class RecurringInvoice(RecurringRow):
    """A recurring invoice with its lines, its next days, and what it made lately, newest first."""

    items: list[RecurringItem]
    notes: str
    payment_terms: str
    reference: str
    place_of_supply: str | None
    reverse_charge: bool
    ahead: list[date]
    made: list[RecurringRun]


class RecurringInvoices(Output):
    """A page of them, newest first."""

    items: list[RecurringRow]
    next_cursor: str | None


class RunResult(Output):
    """The invoice that was made."""

    invoice_id: UUID


class Stopped(Output):
    """What is left of it: nothing where nothing was made by it."""

    recurring: RecurringInvoice | None
