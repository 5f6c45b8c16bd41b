"""Mails whose reason went away while they waited: a mail server may be away for hours, and money comes meanwhile."""

from __future__ import annotations

from uuid import UUID

from sqlalchemy import text
from sqlalchemy.orm import Session

from core.correspondence import papers
from core.mail.queue import Claimed

_REMINDED = text(
    "SELECT invoices.status FROM reminders_sent JOIN invoices ON invoices.id = reminders_sent.invoice_id "
    "WHERE reminders_sent.invoice_id = :about AND reminders_sent.mail_id = :mail"
)

_CANCELLED = text("SELECT EXISTS (SELECT FROM credit_notes WHERE id = ANY(:ids) AND status = 'void')")


def why(session: Session, mail: Claimed) -> str | None:
    """Why a mail is not to be sent any more; None where it still is.

    A reminder of what is paid or void, a receipt of money that went back, and a credit note that was cancelled.
    """
    if mail.subject_id is None:
        return None
    status = session.scalar(_REMINDED, {"mail": mail.id, "about": mail.subject_id})
    if status is not None and status not in ("open", "partial"):
        return f"the invoice is {status} by now, so nobody is reminded of it"
    paid = [UUID(one["id"]) for one in mail.attachments if one["kind"] == "receipt_pdf"]
    if any(not papers.paid_together(session, payment_id, mail.subject_id) for payment_id in paid):
        return "the payment was taken back by now, so it has no receipt"
    credited = [UUID(one["id"]) for one in mail.attachments if one["kind"] == "credit_note_pdf"]
    if credited and session.scalar(_CANCELLED, {"ids": credited}):
        return "the credit note was cancelled by now"
    return None
