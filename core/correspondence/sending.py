"""Sending an invoice, reminding of it, writing about it: a person asks, a mail is queued in the same transaction."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.orm import Session

from core import audit, mail
from core.correspondence import allowance, letters, store
from core.correspondence.letters import Facts
from core.correspondence.templates import MORE, Kind, Template, reminder_kind
from core.errors import Conflict, Forbidden, Invalid
from core.events import DomainEvent
from core.identity import Actor, users
from core.ids import new_id
from core.invoicing import invoices, queries
from core.invoicing.links import CustomerLinks
from core.live import announce
from core.mail import Attached, Mail

MAX_MESSAGE = 2000
# A second click is not a second reminder.
_BREATH = timedelta(minutes=1)
_ABOUT = Template(subject="About invoice {{number}} from {{seller}}", body="The invoice is here:\n{{link}}")
# What stands in previews where no payment or credit note is at hand.
_EXAMPLES = {
    "paid": "₹1,000.00",
    "paid_on": "05 Mar 2027",
    "method": "upi",
    "credit": "₹1,000.00",
    "credit_number": "CN-2027-00001",
}


class RemindedJustNow(Conflict):
    """A reminder by hand went out a moment ago."""

    code = "reminded_just_now"


def own(session: Session, actor: Actor, invoice_id: UUID) -> Facts:
    """The invoice, locked, for its seller. Raises NotFound, and Forbidden to others who see it."""
    queries.get_invoice(session, actor, invoice_id)
    found = letters.facts(session, invoice_id, lock=True)
    if found.seller_id != actor.id:
        raise Forbidden("only the seller writes to the customer of an invoice")
    return found


def own_words(message: str) -> str:
    """What a person wrote before the usual words, as it is kept. Raises Invalid."""
    if len(message) > MAX_MESSAGE:
        raise Invalid("message", f"must have at most {MAX_MESSAGE} characters")
    return message.replace("\r\n", "\n").strip()


def invoice_pdf(found: Facts) -> tuple[Attached, ...]:
    """The invoice as a file, to hang on a mail."""
    return (Attached(kind="invoice_pdf", id=found.invoice_id),)


def queue(session: Session, found: Facts, made: Mail, now: datetime, *, counted: bool = True) -> dict[str, Any]:
    """Write a mail that a person asked for, and tell the seller's pages. Raises DayIsFull."""
    if counted:
        allowance.take(session, found.seller_id, now)
    mail_id = mail.write(session, made, now)
    if mail_id is None:
        raise Conflict("this mail was written already")
    announce(session, [written(found, mail_id)])
    return {
        "mail_id": str(mail_id),
        "to": users.clean_email(made.to, "to"),
        "subject": made.subject,
        "invoice_id": str(found.invoice_id),
        "number": found.number,
    }


def written(found: Facts, mail_id: UUID) -> DomainEvent:
    """What a seller's pages hear of a mail in their name."""
    data: dict[str, object] = {
        "mail_id": str(mail_id),
        "invoice_id": str(found.invoice_id),
        "number": found.number,
    }
    return DomainEvent(room=f"user:{found.seller_id}", name="mail.written", data=data)


def send(
    session: Session,
    actor: Actor,
    invoice_id: UUID,
    links: CustomerLinks,
    now: datetime,
    *,
    to: str | None = None,
    message: str = "",
    counted: bool = True,
) -> dict[str, Any]:
    """Mail an invoice to its customer, or to whom `to` names; a draft is issued first. Again is another mail.

    What goes by a calendar is not `counted`. Raises NotFound, Forbidden, Invalid, DayIsFull, or Conflict for one that
    was cancelled.
    """
    words = own_words(message)
    found = own(session, actor, invoice_id)
    if found.status == "draft":
        invoices.issue(session, actor, invoice_id, now)
        found = letters.facts(session, invoice_id, lock=True)
    if found.status == "void":
        raise Conflict("a cancelled invoice is not sent")
    made = letters.compose(
        session, "invoice", found, links, now.date(), to=to, message=words, attached=invoice_pdf(found)
    )
    queued = queue(session, found, made, now, counted=counted)
    data = {"to": queued["to"], "mail_id": queued["mail_id"]}
    audit.record(session, actor, "invoice.sent", "invoice", invoice_id, data, now)
    invoices.mark_sent(session, invoice_id, now)
    return queued


def remind(
    session: Session, actor: Actor, invoice_id: UUID, links: CustomerLinks, now: datetime, *, message: str = ""
) -> dict[str, Any]:
    """Remind the customer of what is open, by hand; in words that fit the day.

    Raises NotFound, Forbidden, Invalid, DayIsFull, Conflict where nothing is open, or RemindedJustNow.
    """
    words = own_words(message)
    found = own(session, actor, invoice_id)
    if found.status not in {"open", "partial"}:
        raise Conflict(f"nothing is to be paid for an invoice that is {found.status}")
    just_now = session.scalar(
        text("SELECT EXISTS (SELECT FROM reminders_sent WHERE invoice_id = :id AND sent_at > :since)"),
        {"id": invoice_id, "since": now - _BREATH},
    )
    if just_now:
        raise RemindedJustNow("a reminder went out a moment ago")
    kind = reminder_kind((now.date() - found.due_date).days)
    made = letters.compose(session, kind, found, links, now.date(), message=words, attached=invoice_pdf(found))
    queued = queue(session, found, made, now)
    session.execute(
        text(
            "INSERT INTO reminders_sent (id, invoice_id, due_date, mail_id, sent_at) "
            "VALUES (:id, :invoice, :due, :mail, :now)"
        ),
        {
            "id": new_id(),
            "invoice": invoice_id,
            "due": found.due_date,
            "mail": UUID(queued["mail_id"]),
            "now": now,
        },
    )
    invoices.mark_sent(session, invoice_id, now)
    data = {"to": queued["to"], "mail_id": queued["mail_id"]}
    audit.record(session, actor, "invoice.reminded", "invoice", invoice_id, data, now)
    return queued


def communicate(
    session: Session, actor: Actor, invoice_id: UUID, links: CustomerLinks, now: datetime, *, message: str
) -> dict[str, Any]:
    """Mail the customer a person's own words, with the link to the invoice.

    Raises NotFound, Forbidden, Invalid, or Conflict for a draft, of which the customer does not know.
    """
    words = own_words(message)
    if not words:
        raise Invalid("message", "must not be empty")
    found = own(session, actor, invoice_id)
    if found.status == "draft":
        raise Conflict("the customer does not know of a draft; send it first")
    given = letters.values(found, links.address(found.invoice_id, found.link_version), now.date())
    queued = queue(session, found, letters.mail_of(found, letters.written(_ABOUT, given, words)), now)
    data = {"to": queued["to"], "mail_id": queued["mail_id"]}
    audit.record(session, actor, "invoice.written_about", "invoice", invoice_id, data, now)
    return queued


def preview(
    session: Session, actor: Actor, invoice_id: UUID, kind: Kind, links: CustomerLinks, now: datetime, message: str = ""
) -> dict[str, Any]:
    """A mail about an invoice as it would be sent now, without sending it. Raises NotFound, Forbidden or Invalid."""
    found = own(session, actor, invoice_id)
    more = _examples(kind)
    made = letters.compose(
        session, kind, found, links, now.date(), message=own_words(message), more=more, attached=invoice_pdf(found)
    )
    return shown(kind, made)


def preview_words(
    session: Session, actor: Actor, kind: Kind, template: Template, links: CustomerLinks, now: datetime
) -> dict[str, Any]:
    """A template filled in with the seller's newest invoice, or with an example where there is none yet."""
    found = _newest(session, actor) or _example(actor, now)
    given = letters.values(found, links.address(found.invoice_id, found.link_version), now.date(), _examples(kind))
    words = letters.written(template, given)
    attached = () if kind in MORE else invoice_pdf(found)
    return shown(kind, letters.mail_of(found, words, attached=attached))


def template_of(session: Session, actor: Actor, kind: Kind) -> Template:
    """The words that stand now."""
    return store.words(session, actor.id, (kind,))[kind]


def _examples(kind: str) -> Mapping[str, str]:
    return {name: _EXAMPLES[name] for name in MORE.get(kind, {})}


def _newest(session: Session, actor: Actor) -> Facts | None:
    newest: UUID | None = session.scalar(
        text("SELECT id FROM invoices WHERE seller_id = :seller AND number IS NOT NULL ORDER BY id DESC LIMIT 1"),
        {"seller": actor.id},
    )
    return None if newest is None else letters.facts(session, newest)


def _example(actor: Actor, now: datetime) -> Facts:
    today = now.date()
    return Facts(
        invoice_id=UUID(int=0),
        seller_id=actor.id,
        seller=actor.name,
        seller_email=actor.email,
        contact_id=UUID(int=0),
        customer="Example Traders",
        customer_email="accounts@example.com",
        number="INV-0001",
        reference="",
        currency="INR",
        total=1_180_00,
        amount_due=1_180_00,
        issue_date=today,
        due_date=today + timedelta(days=30),
        status="open",
        link_version=1,
        sent_at=None,
        viewed_at=None,
    )


def shown(kind: str, made: Mail) -> dict[str, Any]:
    """A mail as previews show it."""
    return {
        "kind": kind,
        "to": made.to,
        "from_name": made.sender.name if made.sender else None,
        "reply_to": made.sender.reply_to if made.sender else None,
        "subject": made.subject,
        "text": made.text,
        "attachments": [{"kind": each.kind, "id": str(each.id)} for each in made.attached],
    }
