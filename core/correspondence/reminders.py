"""Reminders by the calendar: each rule of a seller once a due date, while something is open.

A reminder is written only for its own day and the two after it: when nobody looked at the clock for a week, nobody is
reminded of it five times in one minute. What was sent after a rule's day is not reminded of by that rule.
"""

from __future__ import annotations

from datetime import date, datetime
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.orm import Session

from core import audit, mail
from core.correspondence import letters, sending
from core.correspondence.store import DEFAULT_DAYS
from core.correspondence.templates import reminder_kind
from core.ids import new_id
from core.invoicing.links import CustomerLinks
from core.live import announce

LATE_DAYS = 2
BATCH = 50
_USUAL = ", ".join(f"({days})" for days in DEFAULT_DAYS)
# Of several rules that are due at once the newest speaks; the days are UTC's, as they are everywhere.
_DUE = text(
    "SELECT DISTINCT ON (invoices.id) invoices.id, rules.days, invoices.due_date FROM invoices "
    "JOIN contacts ON contacts.id = invoices.contact_id "
    "LEFT JOIN mail_settings ON mail_settings.seller_id = invoices.seller_id "
    "CROSS JOIN LATERAL ("
    "SELECT days FROM reminder_rules WHERE reminder_rules.seller_id = mail_settings.seller_id AND enabled "
    f"UNION ALL SELECT days FROM (VALUES {_USUAL}) AS usual (days) WHERE mail_settings.seller_id IS NULL"
    ") AS rules "
    "WHERE invoices.sent_at IS NOT NULL AND invoices.reminders AND invoices.status IN ('open', 'partial') "
    "AND contacts.reminders AND coalesce(mail_settings.reminders, true) "
    # Who says that something is wrong is owed an answer, not a reminder.
    "AND coalesce((SELECT answer FROM invoice_answers WHERE invoice_answers.invoice_id = invoices.id "
    "ORDER BY invoice_answers.id DESC LIMIT 1), '') <> 'disputed' "
    "AND invoices.due_date + rules.days <= :today AND invoices.due_date + rules.days >= :today - :late "
    "AND invoices.due_date + rules.days > (invoices.sent_at AT TIME ZONE 'UTC')::date "
    "AND NOT EXISTS (SELECT FROM reminders_sent AS sent WHERE sent.invoice_id = invoices.id "
    "AND sent.due_date = invoices.due_date AND sent.days >= rules.days) "
    "ORDER BY invoices.id, rules.days DESC LIMIT :limit"
)
# Said again under the lock: it may have been paid, or moved, since it was found.
_STILL = text(
    "SELECT invoices.id FROM invoices JOIN contacts ON contacts.id = invoices.contact_id "
    "WHERE invoices.id = :id AND invoices.due_date = :due AND invoices.status IN ('open', 'partial') "
    "AND invoices.reminders AND contacts.reminders FOR UPDATE OF invoices"
)


def due(session: Session, now: datetime, *, limit: int = BATCH) -> list[tuple[UUID, int, date]]:
    """(invoice, days of the rule, due date) of which nobody was reminded yet."""
    rows = session.execute(_DUE, {"today": now.date(), "late": LATE_DAYS, "limit": limit})
    return [(row.id, row.days, row.due_date) for row in rows]


def write(
    session: Session, invoice_id: UUID, days: int, due_date: date, links: CustomerLinks, now: datetime
) -> UUID | None:
    """Write one reminder; None where somebody else did, or nothing is open any more. The caller commits."""
    if session.execute(_STILL, {"id": invoice_id, "due": due_date}).one_or_none() is None:
        return None
    # Claimed first, so that of two workers one writes; the mail's id follows in the same transaction.
    claimed = session.execute(
        text(
            "INSERT INTO reminders_sent (id, invoice_id, due_date, days, mail_id, sent_at) "
            "VALUES (:id, :invoice, :due, :days, :mail, :now) "
            "ON CONFLICT (invoice_id, due_date, days) WHERE days IS NOT NULL DO NOTHING RETURNING id"
        ),
        {"id": new_id(), "invoice": invoice_id, "due": due_date, "days": days, "mail": invoice_id, "now": now},
    ).one_or_none()
    if claimed is None:
        return None
    found = letters.facts(session, invoice_id)
    made = letters.compose(
        session,
        reminder_kind(days),
        found,
        links,
        now.date(),
        attached=sending.invoice_pdf(found),
        key=f"reminder:{invoice_id}:{found.due_date}:{days}",
    )
    mail_id = mail.write(session, made, now)
    if mail_id is None:
        return None
    session.execute(
        text("UPDATE reminders_sent SET mail_id = :mail WHERE id = :id"), {"mail": mail_id, "id": claimed.id}
    )
    audit.record(session, None, "invoice.reminded", "invoice", invoice_id, {"days": days, "mail_id": str(mail_id)}, now)
    announce(session, [sending.written(found, mail_id)])
    return mail_id


def sent(session: Session, invoice_id: UUID) -> list[dict[str, object]]:
    """The reminders of an invoice, newest first."""
    rows = session.execute(
        text(
            "SELECT days, due_date, mail_id, sent_at FROM reminders_sent WHERE invoice_id = :id ORDER BY sent_at DESC"
        ),
        {"id": invoice_id},
    )
    return [{**row._asdict(), "mail_id": str(row.mail_id)} for row in rows]
