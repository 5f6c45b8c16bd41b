"""The shapes of credit notes: what may be sent, and what comes back."""

from __future__ import annotations

from datetime import date, datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import Field

from webapp.api.contact_models import Version
from webapp.api.correspondence_models import InvoiceMail, WrittenMail
from webapp.api.invoice_models import Contact, Items, Prefix, Seller
from webapp.api.models import Day, Input, Output, PageQuery, Search, Words

Reason = Annotated[str, Field(min_length=1, max_length=500, pattern=r"\S")]


class CreditNotesQuery(PageQuery):
    """Which credit notes."""

    status: Literal["issued", "void"] | None = None
    invoice_id: UUID | None = None
    contact_id: UUID | None = None
    search: Search | None = None


class CreditNoteInput(Input):
    """A credit note against an invoice: without `items` over all of it, else over these, taxed as the invoice is."""

    invoice_id: UUID
    reason: Reason
    issue_date: Day | None = None
    items: Items | None = None
    notes: Words = ""
    series: Prefix | None = None


class DraftItem(Output):
    """A line as it was filled in."""

    description: str
    quantity: str
    unit_price: int
    tax_rate: str
    unit: str
    hsn: str
    discount_rate: str


class VoidInput(Input):
    """Why, if anybody should know."""

    reason: Annotated[str, Field(max_length=500)] = ""


class CreditDraftChange(CreditNoteInput):
    """All of what a draft says from now on. `version` is the one that was read."""

    version: Version | None = None


class CreditDraftIssue(Input):
    """The version that was read, where somebody else's change in between shall stop it."""

    version: Version | None = None


class DraftedInvoice(Output):
    """The invoice that a draft would credit."""

    id: UUID
    number: str | None


class CreditDraft(Output):
    """A credit note that is not issued: no number, and no effect. `total` in minor units, as it would be now."""

    id: UUID
    invoice: DraftedInvoice
    customer: str
    currency: str
    total: int
    version: int
    reason: str
    issue_date: date
    items: list[DraftItem] | None
    notes: str
    series: str | None
    created_at: datetime
    updated_at: datetime


class CreditDrafts(Output):
    """My drafts, newest first; at most 100 are kept."""

    items: list[CreditDraft]


class WrittenCreditNote(WrittenMail):
    """A credit note that is on its way; `number` is its invoice's."""

    credit_note_id: UUID
    credit_number: str


class CreditNoteMails(Output):
    """The mails that carry a credit note, newest first."""

    items: list[InvoiceMail]


class CreditedInvoice(Output):
    """The invoice that is credited."""

    id: UUID
    number: str | None
    issue_date: date


class CreditNoteRow(Output):
    """A credit note as a list shows it. `applied` of its credit pays invoices now; `unapplied` is left."""

    id: UUID
    number: str
    status: Literal["issued", "void"]
    currency: str
    issue_date: date
    reason: str
    invoice: CreditedInvoice
    contact: Contact
    seller: Seller
    subtotal: int
    discount: int
    tax: int
    rounding: int
    total: int
    applied: int
    unapplied: int
    payment_id: UUID | None
    version: int
    created_at: datetime
    voided_at: datetime | None


class CreditNoteItem(Output):
    """A line with its amounts in minor units."""

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


class CreditNote(CreditNoteRow):
    """A credit note with its lines, both sides as they stand on its invoice, and its taxes by rate and HSN code."""

    notes: str
    series: str
    supplier: dict[str, Any]
    customer: dict[str, Any]
    tax_regime: Literal["plain", "gst"]
    supplier_gstin: str | None
    buyer_gstin: str | None
    supplier_state: str | None
    place_of_supply: str | None
    reverse_charge: bool
    cgst: int
    sgst: int
    igst: int
    items: list[CreditNoteItem]
    tax_shown: int
    tax_by_rate: list[dict[str, Any]]
    tax_by_hsn: list[dict[str, Any]]


class CreditNotes(Output):
    """A page of credit notes, newest first."""

    items: list[CreditNoteRow]
    next_cursor: str | None
