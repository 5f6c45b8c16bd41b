"""The shapes of correspondence: sending invoices, words of mails, reminders, and what came back."""

from __future__ import annotations

from datetime import date, datetime
from typing import Annotated, Literal
from uuid import UUID

from pydantic import Field

from core.correspondence.sending import MAX_MESSAGE
from core.correspondence.store import MAX_RULES
from core.correspondence.templates import MAX_BODY, MAX_SUBJECT
from webapp.api.models import Email, Input, Output

Kind = Literal["invoice", "reminder_before", "reminder_due", "reminder_after", "receipt", "credit_note"]
Message = Annotated[str, Field(max_length=MAX_MESSAGE)]


class SendInput(Input):
    """Whom an invoice is sent to, the customer where it is not said, and words of one's own before the usual ones."""

    to: Email | None = None
    message: Message = ""


class RemindInput(Input):
    """Words of one's own before the usual ones."""

    message: Message = ""


class WrittenMail(Output):
    """A mail that is on its way."""

    mail_id: UUID
    to: str
    subject: str
    invoice_id: UUID
    number: str | None


class MailAttachment(Output):
    """What hangs on a mail: made when it is sent. `id` is the invoice's or the payment's."""

    kind: Literal["invoice_pdf", "receipt_pdf", "credit_note_pdf"]
    id: UUID


class PreviewQuery(Input):
    """Which mail."""

    kind: Kind = "invoice"


class Preview(Output):
    """A mail as it would be sent now."""

    kind: Kind
    to: str
    from_name: str | None
    reply_to: str | None
    subject: str
    text: str
    attachments: list[MailAttachment]


class InvoiceMail(Output):
    """A mail about an invoice, without its words. `kept`: this installation has no mail server."""

    id: UUID
    to: str
    subject: str
    state: Literal["queued", "sent", "failed", "kept"]
    error: str | None
    attachments: list[MailAttachment]
    created_at: datetime
    sent_at: datetime | None
    bounced_at: datetime | None
    bounce_reason: str | None


class SentReminder(Output):
    """A reminder; `days` after the due date, before it where below zero, and null where a person sent it."""

    days: int | None
    due_date: date
    mail_id: UUID
    sent_at: datetime


class CustomerAnswer(Output):
    """What the customer said last; `current` is false when the invoice was changed since."""

    answer: Literal["agreed", "disputed"]
    reason: str
    at: datetime
    current: bool


class InvoiceMails(Output):
    """The correspondence about an invoice, newest first."""

    items: list[InvoiceMail]
    reminders: list[SentReminder]
    answer: CustomerAnswer | None


class CustomerLink(Output):
    """The address of an invoice's page for its customer. Whoever has it sees the invoice."""

    url: str


class TemplateInput(Input):
    """Subject and body, with places such as {{customer}}."""

    subject: Annotated[str, Field(min_length=1, max_length=MAX_SUBJECT)]
    body: Annotated[str, Field(min_length=1, max_length=MAX_BODY)]


class Template(Output):
    """The words of a kind of mail. `variables` are the places it may have, with what they stand for."""

    kind: Kind
    subject: str
    body: str
    own: bool
    variables: dict[str, str]


class Templates(Output):
    """The words of every kind."""

    items: list[Template]


class Rule(Input):
    """When customers are reminded: days after the due date, before it where below zero."""

    days: Annotated[int, Field(strict=True, ge=-90, le=365)]
    enabled: bool = True


class MailSettings(Output):
    """Whether customers are reminded, and when, and whether they get receipts."""

    reminders: bool
    receipts: bool
    rules: list[Rule]


class MailSettingsInput(Input):
    """All of them, in place of what was."""

    reminders: bool
    receipts: bool
    rules: Annotated[list[Rule], Field(max_length=MAX_RULES)]


class BounceInput(Input):
    """A delivery status notification (RFC 3464), the whole message as it came; or one mail and why it came back."""

    message: Annotated[str | None, Field(max_length=500_000)] = None
    mail_id: UUID | None = None
    reason: Annotated[str, Field(max_length=1000)] = ""


class Bounced(Output):
    """The mails that were marked now; none where they were before, or the notification tells of a delay."""

    marked: list[UUID]
