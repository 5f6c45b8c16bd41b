"""Receipts: who paid an invoice that was sent from here is told once that the money arrived.

Nothing of this stands on the road of webhooks. An invoice whose paid amount is not the one that was receipted is found
by an index that holds only those; a worker looks which of its payments have no receipt yet.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.orm import Session

from core import mail
from core.correspondence import letters, papers, sending
from core.correspondence.letters import Facts, day
from core.invoicing.links import CustomerLinks
from core.live import announce
from core.mail import Attached
from core.marketplace.news import spell

BATCH = 20
# No money came by these: what is credited has its credit note, and tax that was kept back its certificate.
_NO_MONEY = ("credit_note", "tds_withheld")
_DUE = text(
    "SELECT id FROM invoices WHERE sent_at IS NOT NULL AND amount_paid <> receipted ORDER BY id LIMIT :limit "
    "FOR UPDATE SKIP LOCKED"
)
# What was paid before the invoice was sent from here needs no receipt from here: its customer did not hear from us.
_PAID = text(
    "SELECT payments.id, sum(allocations.amount)::bigint AS paid, payments.currency, payments.method, "
    "payments.occurred_at FROM allocations JOIN payments ON payments.id = allocations.payment_id "
    "JOIN invoices ON invoices.id = allocations.invoice_id "
    "WHERE allocations.invoice_id = :invoice AND payments.source <> 'credit_note' "
    "AND coalesce(payments.method, '') <> ALL(CAST(:no_money AS text[])) "
    "AND payments.occurred_at >= date_trunc('day', invoices.sent_at) "
    "AND NOT EXISTS (SELECT FROM receipts_sent WHERE receipts_sent.payment_id = payments.id) "
    "GROUP BY payments.id, payments.currency, payments.method, payments.occurred_at "
    "HAVING sum(allocations.amount) > 0 ORDER BY payments.occurred_at, payments.id"
)


def any_due(session: Session) -> bool:
    """Whether somebody should look."""
    found = session.scalar(
        text("SELECT EXISTS (SELECT FROM invoices WHERE sent_at IS NOT NULL AND amount_paid <> receipted)")
    )
    return bool(found)


def write_due(session: Session, links: CustomerLinks, now: datetime, *, limit: int = BATCH) -> tuple[int, list[UUID]]:
    """Write the receipts that are missing of some invoices; return how many invoices were looked at, and the mails.

    Doing it again writes none again. What others hold is left for the next time.
    """
    invoices = session.scalars(_DUE, {"limit": limit}).all()
    mails: list[UUID] = []
    for invoice_id in invoices:
        mails += _write(session, invoice_id, links, now)
        session.execute(text("UPDATE invoices SET receipted = amount_paid WHERE id = :id"), {"id": invoice_id})
    return len(invoices), mails


def _write(session: Session, invoice_id: UUID, links: CustomerLinks, now: datetime) -> list[UUID]:
    found = letters.facts(session, invoice_id)
    wanted = session.scalar(
        text("SELECT receipts FROM mail_settings WHERE seller_id = :seller"), {"seller": found.seller_id}
    )
    if wanted is False:
        return []
    rows = session.execute(_PAID, {"invoice": invoice_id, "no_money": list(_NO_MONEY)}).all()
    return [mail_id for row in rows if (mail_id := _receipt(session, found, row, links, now)) is not None]


def _receipt(session: Session, found: Facts, row: Any, links: CustomerLinks, now: datetime) -> UUID | None:
    """One mail for a payment, however many of the customer's invoices it pays."""
    together = papers.paid_together(session, row.id, found.invoice_id)
    named, paid, left = session.execute(
        text(
            "SELECT string_agg(number, ', ' ORDER BY number), "
            "(SELECT sum(amount)::bigint FROM allocations WHERE payment_id = :payment "
            "AND invoice_id = ANY(CAST(:ids AS uuid[]))), sum(amount_due)::bigint "
            "FROM invoices WHERE id = ANY(CAST(:ids AS uuid[]))"
        ),
        {"payment": row.id, "ids": together},
    ).one()
    made = letters.compose(
        session,
        "receipt",
        found,
        links,
        now.date(),
        more={
            "number": named,
            "amount_due": spell(left, found.currency),
            "paid": spell(paid, row.currency),
            "paid_on": day(row.occurred_at.astimezone(UTC).date()),
            "method": (row.method or "").replace("_", " "),
        },
        attached=(Attached(kind="receipt_pdf", id=row.id),),
        key=f"receipt:{row.id}",
    )
    mail_id = mail.write(session, made, now)
    if mail_id is None:
        return None
    # The second guard: the key of a mail is forgotten with the mail, this is not.
    session.execute(
        text(
            "INSERT INTO receipts_sent (payment_id, invoice_id, mail_id, sent_at) "
            "VALUES (:payment, :invoice, :mail, :now)"
        ),
        {"payment": row.id, "invoice": found.invoice_id, "mail": mail_id, "now": now},
    )
    announce(session, [sending.written(found, mail_id)])
    return mail_id
