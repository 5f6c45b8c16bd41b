"""Invoices become overdue by the clock: people are told, once for each due date.

An invoice is overdue from the day after its due date on, as `stages` says; days end in UTC here as there. Whoever
issues or edits one that is overdue at once has told so, and marks it (`said`), so that nobody hears of it twice. A due
date that is moved is another one: what was said of the old does not hold for it.
"""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from sqlalchemy import Connection, text
from sqlalchemy.orm import Session

from core import audit
from core.events import DomainEvent
from core.invoicing import stages
from core.live import announce

BATCH: Final = 100
# Marked as it is found: the mark and the news are one transaction, so that a worker that dies repeats nothing.
_TURN = text(
    "UPDATE invoices SET overdue_told = due_date WHERE id IN ("
    "SELECT id FROM invoices WHERE status IN ('open', 'partial') AND overdue_told IS DISTINCT FROM due_date "
    "AND due_date < :today ORDER BY due_date, id LIMIT :limit FOR UPDATE SKIP LOCKED) "
    "RETURNING id, seller_id, buyer_id, number, status, due_date, sent_at, viewed_at, amount_paid, amount_due, total, "
    "currency"
)


def turn(session: Session, now: datetime, *, limit: int = BATCH) -> int:
    """Tell of up to `limit` invoices that became overdue; return how many. The caller commits.

    Doing it again tells nothing again. An invoice that somebody holds is left for the next time.
    """
    rows = session.execute(_TURN, {"today": now.date(), "limit": limit}).all()
    people: set[UUID] = set()
    events: list[DomainEvent] = []
    for row in sorted(rows, key=lambda row: (row.due_date, row.id)):
        heard = [person for person in (row.seller_id, row.buyer_id) if person is not None]
        people.update(heard)
        before = stages.stage(row.status, row.due_date, row.due_date, sent_at=row.sent_at, viewed_at=row.viewed_at)
        moved: dict[str, object] = {
            "invoice_id": str(row.id),
            "number": row.number,
            "before": before,
            "after": "overdue",
        }
        shown: dict[str, object] = {
            "invoice_id": str(row.id),
            "stage": "overdue",
            **{name: getattr(row, name) for name in ("number", "status", "amount_paid", "amount_due", "total")},
            "currency": row.currency,
        }
        rooms = [*(f"user:{person}" for person in heard), f"invoice:{row.id}"]
        events += [DomainEvent(room=room, name="invoice.updated", data=shown) for room in rooms]
        events += [DomainEvent(room=room, name="invoice.status_changed", data=moved) for room in rooms]
        told: dict[str, object] = {"changes": {"stage": [before, "overdue"]}, "due_date": row.due_date.isoformat()}
        audit.record(session, None, "invoice.overdue", "invoice", row.id, told, now)
    nothing: dict[str, object] = {}
    events += [DomainEvent(room=f"user:{person}", name="dashboard.updated", data=nothing) for person in sorted(people)]
    announce(session, events)
    return len(rows)


def said(session: Session | Connection, invoice_ids: Collection[Any]) -> None:
    """Note that people were told already that these are overdue, in the transaction that tells them."""
    session.execute(
        text("UPDATE invoices SET overdue_told = due_date WHERE id = ANY(CAST(:ids AS uuid[]))"),
        {"ids": [str(each) for each in invoice_ids]},
    )
