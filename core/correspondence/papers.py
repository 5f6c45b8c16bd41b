"""Files that hang on mails and stand on customers' pages: gathered from the books here, set by `core.documents`.

What is gathered is what the file's reader may see: their own invoice, and of a payment what went to it.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.orm import Session

from core.errors import NotFound
from core.identity import Actor, users
from core.invoicing import credit_note_queries, profiles, queries
from core.invoicing.links import CustomerLinks
from core.mail.message import Paper
from core.payments import queries as payments

# Sets the file, which takes a moment: after the session, as no connection may wait for it.
Setting = Callable[[], Paper]
_PDF = "application/pdf"


def _seller(session: Session, invoice_id: UUID) -> Actor:
    identity = session.scalar(text("SELECT seller_id FROM invoices WHERE id = :id"), {"id": invoice_id})
    person = users.get(session, identity) if identity is not None else None
    if person is None:
        raise NotFound("invoice", invoice_id)
    return person


def _name(words: str, number: str | None) -> str:
    """A file name from a number, which may hold slashes."""
    safe = "".join(sign if sign.isascii() and (sign.isalnum() or sign in "-_.") else "-" for sign in number or "draft")
    return f"{words}-{safe}.pdf"


def invoice(session: Session, invoice_id: UUID, links: CustomerLinks) -> Setting:
    """An invoice as PDF, with the way to pay it on it. Raises NotFound."""
    seller = _seller(session, invoice_id)
    view = queries.get_invoice(session, seller, invoice_id)
    profile = profiles.profile(session, seller.id).plain()
    version = session.scalar(text("SELECT link_version FROM invoices WHERE id = :id"), {"id": invoice_id})
    pay_url = links.address(invoice_id, version or 1) if view["number"] else None

    def set_it() -> Paper:
        from core.documents import invoice_pdf  # noqa: PLC0415 - nobody else here needs it.

        content = invoice_pdf(view, profile, pay_url=pay_url)
        return Paper(name=_name("invoice", view["number"]), media_type=_PDF, content=content)

    return set_it


def receipt(session: Session, payment_id: UUID, invoice_ids: Collection[UUID]) -> Setting:
    """A receipt of what a payment paid of these invoices, which are one customer's. Raises NotFound."""
    if not invoice_ids:
        raise NotFound("payment", payment_id)
    ids = [str(each) for each in invoice_ids]
    seller = _seller(session, next(iter(invoice_ids)))
    payment = payments.get_payment(session, seller, payment_id)
    mine = [each for each in payment["allocations"] if each["invoice"]["id"] in ids]
    paid = sum(each["amount"] for each in mine)
    if paid <= 0:
        # It went back, or elsewhere.
        raise NotFound("payment", payment_id)
    # What it paid elsewhere is not this reader's business.
    shown: dict[str, Any] = {**payment, "amount": paid, "net": paid, "allocations": mine}
    row = session.execute(
        text(
            "SELECT contacts.name, contacts.legal_name, contacts.address, contacts.email, contacts.gstin, "
            "users.name AS seller_name, users.organisation FROM invoices "
            "JOIN contacts ON contacts.id = contact_id JOIN users ON users.id = seller_id WHERE invoices.id = :id"
        ),
        {"id": next(iter(invoice_ids))},
    ).one()
    payer = {name: getattr(row, name) for name in ("name", "legal_name", "address", "email", "gstin")}
    profile = profiles.profile(session, seller.id).plain()

    def set_it() -> Paper:
        from core.documents import receipt_pdf  # noqa: PLC0415 - nobody else here needs it.

        named = {"name": row.seller_name, "organisation": row.organisation}
        content = receipt_pdf(shown, profile, seller=named, payer=payer)
        return Paper(name=_name("receipt", mine[0]["invoice"]["number"]), media_type=_PDF, content=content)

    return set_it


def credit_note(session: Session, note_id: UUID, invoice_id: UUID) -> Setting:
    """A credit note of an invoice as PDF. Raises NotFound, also for one of another invoice."""
    seller = _seller(session, invoice_id)
    view = credit_note_queries.get_credit_note(session, seller, note_id)
    if view["invoice"]["id"] != str(invoice_id):
        raise NotFound("credit note", note_id)
    profile = profiles.profile(session, seller.id).plain()

    def set_it() -> Paper:
        from core.documents import credit_note_pdf  # noqa: PLC0415 - nobody else here needs it.

        content = credit_note_pdf(view, profile)
        return Paper(name=_name("credit-note", view["number"]), media_type=_PDF, content=content)

    return set_it


def paid_together(session: Session, payment_id: UUID, invoice_id: UUID) -> list[UUID]:
    """The invoices to the same customer that a payment pays, this one first."""
    rows = session.scalars(
        text(
            "SELECT allocations.invoice_id FROM allocations JOIN invoices ON invoices.id = allocations.invoice_id "
            "WHERE payment_id = :payment AND contact_id = (SELECT contact_id FROM invoices WHERE id = :invoice) "
            "GROUP BY allocations.invoice_id HAVING sum(allocations.amount) > 0 ORDER BY allocations.invoice_id"
        ),
        {"payment": payment_id, "invoice": invoice_id},
    ).all()
    return sorted(rows, key=lambda each: each != invoice_id)


def attached(session: Session, kind: str, identity: UUID, about: UUID | None, links: CustomerLinks) -> Setting:
    """What hangs on a mail `about` an invoice, by its kind. Raises NotFound."""
    match kind:
        case "invoice_pdf":
            return invoice(session, identity, links)
        case "receipt_pdf" if about is not None:
            return receipt(session, identity, paid_together(session, identity, about))
        case "credit_note_pdf" if about is not None:
            return credit_note(session, identity, about)
        case _:
            raise NotFound(kind, identity)
