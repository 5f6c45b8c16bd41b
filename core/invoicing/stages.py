"""How far an invoice has come, in one word, beside what is paid of it and what became of its financing."""

from __future__ import annotations

from datetime import date, datetime
from typing import Final

STAGES: Final = ("draft", "open", "sent", "viewed", "partial", "paid", "overdue", "void")

# For a query that reads invoices under their own name. Days end in UTC.
SQL: Final = (
    "CASE WHEN invoices.status IN ('draft', 'paid', 'void') THEN invoices.status "
    "WHEN invoices.due_date < (now() AT TIME ZONE 'UTC')::date THEN 'overdue' "
    "WHEN invoices.status = 'partial' THEN 'partial' "
    "WHEN invoices.viewed_at IS NOT NULL THEN 'viewed' "
    "WHEN invoices.sent_at IS NOT NULL THEN 'sent' ELSE 'open' END"
)


def stage(
    status: str, due_date: date, today: date, *, sent_at: datetime | None = None, viewed_at: datetime | None = None
) -> str:
    """The stage of an invoice whose payment status is `status`: what SQL says, for values at hand."""
    if status in {"draft", "paid", "void"}:
        return status
    if due_date < today:
        return "overdue"
    if status == "partial":
        return "partial"
    if viewed_at is not None:
        return "viewed"
    return "open" if sent_at is None else "sent"
