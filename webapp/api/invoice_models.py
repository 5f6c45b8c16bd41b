"""The shapes of invoices: what may be sent, and what comes back."""

from __future__ import annotations

from datetime import date, datetime
from decimal import Decimal
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import Field

from core.invoicing.filters import SORTS
from core.invoicing.inputs import MAX_ITEMS
from core.money import MAX_MINOR
from webapp.api.models import (
    Currency,
    CurrencyTotal,
    Day,
    Email,
    Figure,
    Financing,
    FinancingState,
    Input,
    Minor,
    Name,
    Output,
    PageQuery,
    PaymentRow,
    PaymentStatus,
    Quantity,
    Rate,
    Search,
    TransactionRow,
    Wallet,
    Words,
)

Stage = Literal["draft", "open", "sent", "viewed", "partial", "paid", "overdue", "void"]
Sort = Literal[SORTS]  # type: ignore[valid-type]  # One list of orders, in core.
Amount = Annotated[int, Field(ge=0, le=MAX_MINOR)]
Address = Annotated[str, Field(max_length=1000)]
State = Annotated[str, Field(pattern="^([0-9]{2})?$")]
GstinText = Annotated[str, Field(max_length=20)]
Hsn = Annotated[str, Field(pattern="^([0-9]{4}|[0-9]{6}|[0-9]{8})?$")]
Prefix = Annotated[str, Field(pattern="^[A-Z0-9]{1,5}$")]
Version = Annotated[int, Field(strict=True, ge=0, le=2**31 - 1)]
Flag = Annotated[bool, Field(strict=True)]


class InvoicesQuery(PageQuery):
    """Which invoices, in which order. Days are inclusive, amounts are totals in minor units."""

    status: PaymentStatus | FinancingState | Literal["unpaid"] | None = None
    payment_status: PaymentStatus | None = None
    stage: Stage | None = None
    contact_id: UUID | None = None
    recurring_id: UUID | None = None
    currency: Currency | None = None
    issued_from: Day | None = None
    issued_to: Day | None = None
    due_from: Day | None = None
    due_to: Day | None = None
    amount_min: Amount | None = None
    amount_max: Amount | None = None
    search: Search | None = None
    sort: Sort = "newest"


class ContactInput(Input):
    """Who owes. The contact with this address is found or made; what else is given is written to it."""

    name: Name
    email: Email
    legal_name: Annotated[str, Field(max_length=200)] | None = None
    gstin: GstinText | None = None
    state_code: State | None = None
    address: Address | None = None
    phone: Annotated[str, Field(max_length=40)] | None = None


class ContactChanges(Input):
    """What changes of who owes."""

    name: Name | None = None
    email: Email | None = None
    legal_name: Annotated[str, Field(max_length=200)] | None = None
    gstin: GstinText | None = None
    state_code: State | None = None
    address: Address | None = None
    phone: Annotated[str, Field(max_length=40)] | None = None


class ItemInput(Input):
    """A line: quantity (number or decimal text) at a price in minor units, with discount and tax in percent."""

    description: Annotated[str, Field(min_length=1, max_length=500)]
    quantity: Quantity
    unit_price: Minor
    tax_rate: Rate = Decimal(0)
    unit: Annotated[str, Field(max_length=20)] = ""
    hsn: Hsn = ""
    discount_rate: Rate = Decimal(0)


Items = Annotated[list[ItemInput], Field(min_length=1, max_length=MAX_ITEMS)]


class InvoiceInput(Input):
    """A new invoice, to a contact (`contact_id`) or to a name and an address (`contact`).

    It is open at once, unless `draft` is set. `number` is one that it brings along from elsewhere.
    `place_of_supply` and `reverse_charge` are for businesses under GST.
    """

    contact: ContactInput | None = None
    contact_id: UUID | None = None
    currency: Currency
    issue_date: Day
    due_date: Day
    items: Items
    notes: Words = ""
    payment_terms: Words = ""
    reference: Annotated[str, Field(max_length=100)] = ""
    delivery_address: Address = ""
    place_of_supply: State | None = None
    reverse_charge: Flag = False
    series: Prefix | None = None
    number: Annotated[str, Field(min_length=1, max_length=16)] | None = None
    reminders: Flag = True
    draft: Flag = False


class PreviewContact(Input):
    """What of a customer decides the tax."""

    gstin: GstinText | None = None
    state_code: State | None = None


class PreviewInput(Input):
    """An invoice as far as it is typed."""

    contact: PreviewContact | None = None
    contact_id: UUID | None = None
    currency: Currency
    items: Items
    place_of_supply: State | None = None
    reverse_charge: Flag = False


class InvoiceUpdate(Input):
    """What is to change; what is left out stays. With `version` (or If-Match) nobody's change is overwritten unseen."""

    contact: ContactChanges | None = None
    contact_id: UUID | None = None
    currency: Currency | None = None
    issue_date: Day | None = None
    due_date: Day | None = None
    items: Items | None = None
    notes: Words | None = None
    payment_terms: Words | None = None
    reference: Annotated[str, Field(max_length=100)] | None = None
    delivery_address: Address | None = None
    place_of_supply: State | None = None
    reverse_charge: Flag | None = None
    series: Prefix | None = None
    reminders: Flag | None = None
    version: Version | None = None


class VersionInput(Input):
    """The version that was read, when it matters."""

    version: Version | None = None


class Contact(Output):
    """Who owes. An investor is not told the address."""

    id: UUID
    name: str
    email: str | None


class Seller(Output):
    """Who is owed."""

    id: UUID
    name: str
    organisation: str


class Supplier(Output):
    """The seller's side of the document, as it was when it was issued."""

    name: str
    address: str | None
    gstin: str | None
    state_code: str | None


class Customer(Output):
    """The customer's side of the document, as it was when it was issued. An investor sees the name alone."""

    name: str
    legal_name: str | None
    email: str | None
    address: str | None
    phone: str | None
    gstin: str | None
    state_code: str | None


class Item(Output):
    """A line with its amounts: gross less discount is net. `tax` is what is shown beside it."""

    description: str
    unit: str
    hsn: str
    quantity: str
    unit_price: int
    discount_rate: str
    tax_rate: str
    gross: int
    discount: int
    net: int
    tax: int
    cgst: int
    sgst: int
    igst: int


class TaxSum(Output):
    """The lines of one rate, or of one HSN code and rate, together."""

    rate: str
    hsn: str
    taxable: int
    cgst: int
    sgst: int
    igst: int
    tax: int


class Line(Output):
    """The amounts of a line."""

    gross: int
    discount: int
    net: int
    tax: int
    cgst: int
    sgst: int
    igst: int


class InvoicePreview(Output):
    """What an invoice would come to, in minor units: total is subtotal, tax and rounding."""

    lines: list[Line]
    gross: int
    discount: int
    subtotal: int
    cgst: int
    sgst: int
    igst: int
    tax_shown: int
    tax: int
    rounding: int
    total: int
    by_rate: list[TaxSum]
    by_hsn: list[TaxSum]


class InvoicePayment(Output):
    """A payment towards an invoice; `allocated` is what of it pays this one."""

    id: UUID
    status: str
    source: str
    method: str | None
    amount: int
    allocated: int
    currency: str
    bank_reference: str | None
    occurred_at: datetime


class Change(Output):
    """A field that somebody changed. Long texts are cut; lines are told in words."""

    field: str
    before: Any
    after: Any


class HistoryEntry(Output):
    """Something that happened to an invoice."""

    at: datetime
    kind: str
    actor: str | None
    amount: int | None
    currency: str | None
    payment_id: UUID | None
    reason: str | None
    changes: list[Change]


class InvoiceRow(Output):
    """An invoice in a list. Amounts are minor units of `currency`. A draft has no number.

    `status` is the more telling of what is paid (`payment_status`) and of its financing's state; `stage` is how far
    the invoice itself has come.
    """

    id: UUID
    number: str | None
    status: PaymentStatus | FinancingState
    payment_status: PaymentStatus
    stage: Stage
    currency: str
    contact: Contact
    seller: Seller
    buyer_id: UUID | None
    reference: str
    issue_date: date
    due_date: date
    overdue: bool
    subtotal: int
    discount: int
    tax: int
    rounding: int
    total: int
    amount_paid: int
    amount_due: int
    notes: str
    payment_terms: str
    reminders: bool
    recurring_id: UUID | None
    issued_at: datetime | None
    sent_at: datetime | None
    viewed_at: datetime | None
    version: int
    created_at: datetime
    updated_at: datetime
    financing: Financing | None


class Invoice(InvoiceRow):
    """An invoice with both sides, its lines, payments and history.

    `editable` is how much of it the asker may change. Under reverse charge `tax_shown` is what the customer pays to
    the state, and `tax` is nothing.
    """

    supplier: Supplier
    customer: Customer
    series: str
    tax_regime: Literal["plain", "gst"]
    place_of_supply: str | None
    reverse_charge: bool
    delivery_address: str
    cgst: int
    sgst: int
    igst: int
    tax_shown: int
    tax_by_rate: list[TaxSum]
    tax_by_hsn: list[TaxSum]
    editable: Literal["all", "words", "none"]
    items: list[Item]
    payments: list[InvoicePayment]
    history: list[HistoryEntry]


class Invoices(Output):
    """A page of invoices."""

    items: list[InvoiceRow]
    next_cursor: str | None


class InvoicePayments(Output):
    """The payments towards an invoice, newest first."""

    items: list[InvoicePayment]


class InvoiceActivity(Output):
    """What happened to an invoice, newest first."""

    items: list[HistoryEntry]


class Dashboard(Output):
    """What a person looks at first."""

    currency_totals: list[CurrencyTotal]
    open_invoices: list[InvoiceRow]
    recent_payments: list[PaymentRow]
    recent_transactions: list[TransactionRow]
    proposed_matches: int
    connections: int
    wallet: Wallet
    # What waits, by name; docs/marketplace.md says which names each role has.
    figures: dict[str, Figure]


# The business -----------------------------------------------------------------------------------------------


class BusinessInput(Input):
    """What changes of a business; what is left out stays, an empty text takes away."""

    legal_name: Annotated[str, Field(max_length=200)] | None = None
    address: Address | None = None
    tax_regime: Literal["plain", "gst"] | None = None
    gstin: GstinText | None = None
    state_code: State | None = None
    hsn_digits: Literal[4, 6] | None = None
    home_currency: Currency | None = None
    payment_days: Annotated[int, Field(strict=True, ge=0, le=365)] | None = None
    default_terms: Words | None = None
    default_notes: Words | None = None
    bank_name: Annotated[str, Field(max_length=100)] | None = None
    bank_account: Annotated[str, Field(max_length=40)] | None = None
    bank_code: Annotated[str, Field(max_length=20)] | None = None
    upi_id: Annotated[str, Field(max_length=100)] | None = None
    round_total: Flag | None = None
    match_automatically: Flag | None = None
    version: Version | None = None


class Business(Output):
    """A seller's business: what stands on their invoices, and how these are made. `version` 0: never set up."""

    legal_name: str
    address: str
    tax_regime: Literal["plain", "gst"]
    gstin: str | None
    state_code: str | None
    hsn_digits: int
    home_currency: str
    payment_days: int
    default_terms: str
    default_notes: str
    bank_name: str
    bank_account: str
    bank_code: str
    upi_id: str
    round_total: bool
    match_automatically: bool
    version: int


class SeriesInput(Input):
    """A new series of numbers: INV-2026-00001 by calendar years, INV/26-27/0001 by financial ones."""

    prefix: Prefix
    year_kind: Literal["calendar", "financial"]
    kind: Literal["invoice", "credit_note"] = "invoice"
    default: Flag = False


class DefaultSeriesInput(Input):
    """The series that new documents of its kind are numbered by."""

    prefix: Prefix


class Series(Output):
    """A series of numbers. `example` is its first number of 2026."""

    prefix: str
    kind: Literal["invoice", "credit_note"]
    year_kind: Literal["calendar", "financial"]
    is_default: bool
    example: str


class AllSeries(Output):
    """A seller's series, by kind and prefix."""

    items: list[Series]
