"""The shapes of contacts: what may be sent, and what comes back."""

from __future__ import annotations

from datetime import date, datetime
from decimal import Decimal
from typing import Annotated, Literal
from uuid import UUID

from pydantic import BeforeValidator, Field

from webapp.api.invoice_models import Seller
from webapp.api.models import Currency, Day, Email, Input, Name, Output, PageQuery, Search, Words

_Text = Annotated[str, Field(max_length=200)]
Address = Annotated[str, Field(max_length=1000)]
Phone = Annotated[str, Field(max_length=40)]
GstinText = Annotated[str, Field(max_length=20)]
State = Annotated[str, Field(pattern="^([0-9]{2})?$")]
Days = Annotated[int, Field(strict=True, ge=0, le=365)]
Version = Annotated[int, Field(strict=True, ge=0, le=2**31 - 1)]
Flag = Annotated[bool, Field(strict=True)]


def _no_bool(value: object) -> object:
    if isinstance(value, bool):
        raise ValueError("must be a number")  # noqa: TRY004 - pydantic turns ValueErrors into field errors.
    return value


TdsRate = Annotated[Decimal, BeforeValidator(_no_bool), Field(gt=0, lt=100, allow_inf_nan=False)]


class ContactsQuery(PageQuery):
    """Which contacts: `search` looks in names, address and GSTIN; `archived` are those that were put away."""

    search: Search | None = None
    archived: bool = False


class CustomerInput(Input):
    """A customer. Null is "not known": then the seller's own rule holds. `tds_rate` is in percent."""

    name: Name
    email: Email
    legal_name: _Text = ""
    address: Address = ""
    phone: Phone = ""
    gstin: GstinText | None = None
    state_code: State | None = None
    currency: Currency | None = None
    payment_days: Days | None = None
    tds_rate: TdsRate | None = None
    reminders: Flag = True
    notes: Words = ""


class CustomerChanges(Input):
    """What is to be different; what is left out stays, and null takes away. `version` is the one that was read."""

    name: Name = ""
    email: Email = ""
    legal_name: _Text = ""
    address: Address = ""
    phone: Phone = ""
    gstin: GstinText | None = None
    state_code: State | None = None
    currency: Currency | None = None
    payment_days: Days | None = None
    tds_rate: TdsRate | None = None
    reminders: Flag = True
    notes: Words = ""
    version: Version | None = None


class CustomerBalance(Output):
    """What is owed in a currency: by open invoices, overdue of it, and credit that is held (minor units)."""

    currency: str
    invoices: int
    due: int
    overdue: int
    credit: int


class Paying(Output):
    """How a customer pays: over so many paid invoices, the mean days from issue and beyond the due date."""

    invoices: int
    average_days: str | None
    average_days_late: str | None


class CustomerRow(Output):
    """A contact as a list shows it: without credit, of which `balances` there say 0."""

    id: UUID
    seller_id: UUID
    seller: Seller
    name: str
    legal_name: str
    email: str
    phone: str
    address: str
    gstin: str | None
    state_code: str | None
    currency: str | None
    payment_days: int | None
    tds_rate: str | None
    reminders: bool
    notes: str
    buyer_id: UUID | None
    archived_at: datetime | None
    version: int
    created_at: datetime
    updated_at: datetime
    balances: list[CustomerBalance]


class CustomerDetails(CustomerRow):
    """A contact with everything that is owed, held and known of how it pays."""

    paying: Paying


class Customers(Output):
    """A page of contacts, by name."""

    items: list[CustomerRow]
    next_cursor: str | None


class CustomerEvent(Output):
    """Something that happened with a contact. `words`: the method of a payment, a note's reason, a mail's subject."""

    id: UUID
    kind: Literal["invoice", "payment", "credit_note", "mail"]
    at: datetime
    number: str | None
    status: str
    amount: int | None
    currency: str | None
    words: str


class CustomerHistory(Output):
    """A page of what happened, newest first."""

    items: list[CustomerEvent]
    next_cursor: str | None


class AccountStatementQuery(Input):
    """Of which days, and which currency; without them the last year, in the currency of most invoices."""

    since: Day | None = None
    until: Day | None = None
    currency: Currency | None = None


class StatementSeller(Output):
    """Whose books these are."""

    id: UUID
    name: str
    organisation: str
    email: str
    legal_name: str
    address: str
    gstin: str | None


class StatementTotals(Output):
    """What the period comes to, by kind."""

    invoiced: int
    credited: int
    paid: int
    refunded: int


class StatementLine(Output):
    """Something that moved the balance: `debit` raised it, `credit` lowered it. A refund has the id of its payment."""

    on: date
    kind: Literal["invoice", "credit_note", "payment", "refund"]
    id: UUID
    number: str
    words: str
    due_date: date | None
    debit: int
    credit: int
    balance: int


class AccountStatement(Output):
    """A statement of account in one currency; the balance is what the customer owes, below zero what is held."""

    seller: StatementSeller
    contact: CustomerDetails
    currency: str
    currencies: list[str]
    since: date
    until: date
    opening: int
    closing: int
    totals: StatementTotals
    lines: list[StatementLine]
