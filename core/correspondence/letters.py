"""Mails about an invoice: what is filled into their words, and what hangs on them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from html import escape
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.orm import Session

from core.correspondence import store
from core.correspondence.templates import Kind, Template, fill
from core.errors import NotFound
from core.invoicing.links import CustomerLinks
from core.mail import Attached, Mail, Sender
from core.marketplace.news import spell


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What mails say of an invoice. Amounts in minor units."""

    invoice_id: UUID
    seller_id: UUID
    seller: str
    seller_email: str
    contact_id: UUID
    customer: str
    customer_email: str
    # A draft has none.
    number: str | None
    reference: str
    currency: str
    total: int
    amount_due: int
    issue_date: date
    due_date: date
    status: str
    link_version: int
    sent_at: datetime | None
    viewed_at: datetime | None


_FACTS = """
    SELECT invoices.id AS invoice_id, invoices.seller_id,
        coalesce(nullif(business_profiles.legal_name, ''), nullif(users.organisation, ''), users.name) AS seller,
        users.email AS seller_email, invoices.contact_id, contacts.name AS customer,
        contacts.email AS customer_email, invoices.number, invoices.reference, invoices.currency, invoices.total,
        invoices.amount_due, invoices.issue_date, invoices.due_date, invoices.status, invoices.link_version,
        invoices.sent_at, invoices.viewed_at
    FROM invoices JOIN contacts ON contacts.id = invoices.contact_id JOIN users ON users.id = invoices.seller_id
    LEFT JOIN business_profiles ON business_profiles.user_id = invoices.seller_id
"""


def facts(session: Session, invoice_id: UUID, *, lock: bool = False) -> Facts:
    """What there is to say of an invoice, locked until the transaction ends if asked. Raises NotFound."""
    held = " FOR UPDATE OF invoices" if lock else ""
    row = session.execute(text(f"{_FACTS} WHERE invoices.id = :id{held}"), {"id": invoice_id}).one_or_none()
    if row is None:
        raise NotFound("invoice", invoice_id)
    return Facts(**row._asdict())


def day(value: date) -> str:
    """A day in a mail: 5 Mar 2027."""
    return f"{value.day} {value:%b %Y}"


def values(found: Facts, link: str, today: date, more: Mapping[str, str] | None = None) -> dict[str, str]:
    """What each place in a seller's words stands for."""
    return {
        "customer": found.customer,
        "seller": found.seller,
        "number": found.number or "(draft)",
        "total": spell(found.total, found.currency),
        "amount_due": spell(found.amount_due, found.currency),
        "issue_date": day(found.issue_date),
        "due": day(found.due_date),
        "days": str(abs((today - found.due_date).days)),
        "reference": found.reference,
        "link": link,
        **(more or {}),
    }


@dataclass(frozen=True, slots=True, kw_only=True)
class Words:
    """A mail's words, filled in."""

    subject: str
    text: str
    html: str


def written(template: Template, given: Mapping[str, str], message: str = "") -> Words:
    """A template filled in, with a person's own words before it where there are some.

    A mail without the link would be no use to its reader: where the words lack it, it stands at their end.
    """
    body = fill(template.body, given)
    link = given["link"]
    if link not in body:
        body = f"{body}\n\n{link}"
    if message.strip():
        body = f"{message.strip()}\n\n{body}"
    return Words(subject=" ".join(fill(template.subject, given).split()), text=f"{body}\n", html=_html(body, link))


def _html(body: str, link: str) -> str:
    """The same words for readers that show HTML: everything escaped, the link as a button."""
    button = (
        f'<a href="{escape(link, quote=True)}" style="display:inline-block;padding:8px 16px;background:#066fd1;'
        'color:#fff;text-decoration:none;border-radius:4px">Open the invoice</a>'
    )
    paragraphs = []
    for paragraph in body.split("\n\n"):
        pieces = [escape(piece).replace("\n", "<br>") for piece in paragraph.split(link)]
        paragraphs.append(f"<p>{button.join(pieces)}</p>")
    return f'<div style="font-family:sans-serif;max-width:36em;line-height:1.5">{"".join(paragraphs)}</div>'


def compose(
    session: Session,
    kind: Kind,
    found: Facts,
    links: CustomerLinks,
    today: date,
    *,
    to: str | None = None,
    message: str = "",
    more: Mapping[str, str] | None = None,
    attached: Sequence[Attached] = (),
    key: str | None = None,
) -> Mail:
    """A mail of a kind in the seller's words, to the customer or whom `to` names."""
    template = store.words(session, found.seller_id, (kind,))[kind]
    link = links.address(found.invoice_id, found.link_version)
    words = written(template, values(found, link, today, more), message)
    return mail_of(found, words, to=to, attached=attached, key=key)


def mail_of(
    found: Facts, words: Words, *, to: str | None = None, attached: Sequence[Attached] = (), key: str | None = None
) -> Mail:
    """Words as a mail about an invoice, in its seller's name."""
    return Mail(
        to=to or found.customer_email,
        subject=words.subject,
        text=words.text,
        html=words.html,
        subject_kind="invoice",
        subject_id=found.invoice_id,
        key=key,
        sender=Sender(id=found.seller_id, name=found.seller, reply_to=found.seller_email),
        attached=attached,
        contact_id=found.contact_id if to in (None, found.customer_email) else None,
    )
