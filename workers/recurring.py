"""Recurring invoices that are due are made, and mailed where that is wanted. Safe to run twice, and late."""

from __future__ import annotations

from uuid import UUID

import structlog
from sqlalchemy import text

from core.correspondence import sending
from core.errors import PlatformError
from core.identity import Actor, Role
from core.invoicing import links, recurring_runs
from core.invoicing.recurring_runs import BATCH, CATCH_UP
from workers.context import Context

log = structlog.get_logger(__name__)

# What is left waits for the next minute.
_TURNS = 20
_TO_SEND = text(
    "SELECT runs.recurring_id, runs.occurs_on, runs.invoice_id, users.id AS seller_id, users.email, users.name "
    "FROM recurring_runs AS runs JOIN recurring_invoices AS recurring ON recurring.id = runs.recurring_id "
    "JOIN users ON users.id = recurring.seller_id WHERE runs.send_pending "
    "ORDER BY runs.made_at LIMIT :limit FOR UPDATE OF runs SKIP LOCKED"
)
_SENT = text("UPDATE recurring_runs SET send_pending = false WHERE recurring_id = :id AND occurs_on = :day")


def work_off(context: Context) -> int:
    """Make what is due and mail it; return how many invoices were made and mails written."""
    made, passed = 0, list[UUID]()
    for _ in range(_TURNS):
        ran = recurring_runs.run_due(context.database, context.now(), passed=passed)
        made += len(ran.made)
        for recurring_id, reason in ran.paused:
            log.warning("a recurring invoice was paused", recurring_id=str(recurring_id), reason=reason)
        # A plan that is far behind has more to make than one look does.
        if ran.looked < BATCH and len(ran.made) < CATCH_UP:
            break
        if ran.looked < BATCH:
            passed.clear()
    mailed = send(context)
    if made or mailed:
        context.doorbell.ring("relay")
    if mailed:
        context.wake("mail")
    return made + mailed


def send(context: Context) -> int:
    """Mail what was made and is still to be mailed, each in a transaction of its own; return how many mails."""
    made = links.of(context.settings)
    mailed = 0
    for _ in range(_TURNS * BATCH):
        with context.database.session() as session:
            row = session.execute(_TO_SEND, {"limit": 1}).one_or_none()
            if row is None:
                break
            session.execute(_SENT, {"id": row.recurring_id, "day": row.occurs_on})
            if row.invoice_id is None:
                continue
            seller = Actor(id=row.seller_id, role=Role.SELLER, email=row.email, name=row.name)
            try:
                with session.begin_nested():
                    sending.send(session, seller, row.invoice_id, made, context.now(), counted=False)
                mailed += 1
            except PlatformError as error:
                # It was cancelled meanwhile, or its mail cannot be written: a person may still send it by hand.
                log.warning("a recurring invoice was not mailed", invoice=str(row.invoice_id), error=str(error)[:300])
    return mailed
