"""The dashboard: the few figures and rows that a person looks at first."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import text
from sqlalchemy.orm import Session

from core import statistics, wallets
from core.banking.queries import list_transactions
from core.identity import Actor, Role
from core.ids import lowest_id_at
from core.invoicing.queries import list_invoices, visible
from core.payments.listing import list_payments

_ROWS = 5
_PAID_DAYS = 30


def _totals(session: Session, actor: Actor, now: datetime) -> list[dict[str, Any]]:
    if actor.role is Role.INVESTOR:
        # What others owe each other is not an investor's open money.
        return []
    # Two index-driven parts: what is open now, and what was paid of late.
    rows = session.execute(
        text(
            f"""
            WITH unpaid AS (
                SELECT currency, count(*) AS open_count, sum(amount_due)::bigint AS open_amount,
                       coalesce(sum(amount_due) FILTER (WHERE due_date < :today), 0)::bigint AS overdue_amount
                FROM invoices WHERE {visible(actor)} AND status IN ('open', 'partial') GROUP BY currency
            ), paid AS (
                SELECT allocations.currency, sum(allocations.amount)::bigint AS amount
                FROM allocations JOIN invoices ON invoices.id = allocations.invoice_id
                WHERE {visible(actor)} AND allocations.id >= CAST(:since_id AS uuid)
                  AND allocations.created_at >= :since GROUP BY allocations.currency
            )
            SELECT currency, coalesce(open_count, 0) AS open_count, coalesce(open_amount, 0) AS open_amount,
                   coalesce(overdue_amount, 0) AS overdue_amount, coalesce(paid.amount, 0) AS paid_30_days
            FROM unpaid FULL JOIN paid USING (currency) ORDER BY open_amount DESC, currency
            """
        ),
        {
            "actor": actor.id,
            "today": now.astimezone(UTC).date(),
            "since": now - timedelta(days=_PAID_DAYS),
            # Lets the planner leave out the partitions of earlier months.
            "since_id": lowest_id_at(now - timedelta(days=_PAID_DAYS, hours=1)),
        },
    )
    return [row._asdict() for row in rows]


def dashboard(session: Session, actor: Actor, now: datetime) -> dict[str, Any]:
    """What the dashboard shows to this person."""
    counts = session.execute(
        text(
            "SELECT "
            "(SELECT count(*) FROM matches WHERE state = 'proposed' AND (:all OR user_id = :actor)) AS proposed, "
            "(SELECT count(*) FROM connections WHERE deleted_at IS NULL AND connector <> 'statement' "
            "AND (:all OR user_id = :actor)) AS connections"
        ),
        {"actor": actor.id, "all": actor.role is Role.OPERATOR},
    ).one()
    return {
        "currency_totals": _totals(session, actor, now),
        "open_invoices": list_invoices(session, actor, limit=_ROWS, status="unpaid")["items"],
        "recent_payments": list_payments(session, actor, limit=_ROWS)["items"],
        "recent_transactions": list_transactions(session, actor, limit=_ROWS)["items"],
        "proposed_matches": counts.proposed,
        "connections": counts.connections,
        "wallet": wallets.balance(session, actor.id),
        "figures": statistics.figures(session, actor, now),
    }
