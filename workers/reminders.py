"""Letters that nobody asks for: reminders by the calendar, receipts for what was paid. Safe to run twice."""

from __future__ import annotations

import structlog
from sqlalchemy.exc import IntegrityError

from core.correspondence import receipts, reminders
from core.errors import PlatformError
from core.invoicing import links
from workers.context import Context

log = structlog.get_logger(__name__)

# What is left waits for the next minute, so that one installation's Monday morning holds nobody up.
_TURNS = 20


def work_off(context: Context) -> int:
    """Write the reminders and receipts that are due; return how many mails were written."""
    written = remind(context) + receipt(context)
    if written:
        context.doorbell.ring("relay")
        context.wake("mail")
    return written


def remind(context: Context) -> int:
    """Write the reminders that are due, each in a transaction of its own; return how many."""
    made = links.of(context.settings)
    written = 0
    for _ in range(_TURNS):
        with context.database.session() as session:
            due = reminders.due(session, context.now())
        done = 0
        for invoice_id, days, due_date in due:
            try:
                with context.database.session() as session:
                    found = reminders.write(session, invoice_id, days, due_date, made, context.now())
            except (PlatformError, IntegrityError) as error:
                # One customer's address must not keep the others from being reminded.
                log.warning("a reminder was put off", invoice=str(invoice_id), error=str(error)[:300])
                continue
            done += 1
            written += found is not None
        if len(due) < reminders.BATCH or not done:
            break
    return written


def receipt(context: Context) -> int:
    """Write the receipts that are missing; return how many."""
    made = links.of(context.settings)
    written = 0
    for _ in range(_TURNS):
        with context.database.session() as session:
            looked, mails = receipts.write_due(session, made, context.now())
        written += len(mails)
        if looked < receipts.BATCH:
            break
    return written
