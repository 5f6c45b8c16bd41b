"""Tax that a customer kept back of what a line brought: the rest of the invoice, offered as a payment without cash.

A match whose amount TDS explains leaves exactly that much due. The engine never writes it off: a person says that it
was tax, and it becomes a payment of the method `tds_withheld` on the day of the line.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.orm import Session

from core.errors import Conflict, NotFound
from core.identity import Actor
from core.marketplace import words
from core.marketplace.calendar import Calendar
from core.payments import manual
from core.payments.hand import NewTarget
from core.payments.manual import NewPayment
from core.reconciliation.fingerprints import day_of

_OFFER = text(
    "SELECT invoices.id, invoices.number, invoices.amount_due, invoices.total, invoices.currency, "
    "match_targets.amount, matches.features ->> 'tds_rate' AS rate, transactions.occurred_at, transactions.booked_on, "
    "transactions.bank_reference FROM matches JOIN match_targets ON match_id = matches.id "
    "JOIN invoices ON invoices.id = match_targets.invoice_id "
    "JOIN transactions ON transactions.id = matches.transaction_id "
    "WHERE matches.transaction_id = :id AND matches.user_id = :user AND matches.state = 'accepted' "
    # A rate explains it, whoever matched it said so, or the seller did when the buyer was asked to confirm.
    "AND (matches.features ->> 'tds_rate' IS NOT NULL OR matches.short_reason = 'tds' OR EXISTS ("
    f"SELECT FROM financings WHERE financings.invoice_id = invoices.id AND state IN ({words.SETTLED_SQL}) "
    "AND document ->> 'tax_withheld' = invoices.amount_due::text)) "
    # Exactly what was kept back is still due: nothing else was paid, and it was not booked before.
    "AND invoices.status = 'partial' AND invoices.amount_due = invoices.total - match_targets.amount "
    "ORDER BY match_targets.position"
)


def offer(session: Session, user_id: UUID, transaction_id: UUID) -> list[dict[str, Any]]:
    """What may be booked as withheld tax: [{invoice_id, number, amount, currency, rate}], minor units and per cent.

    `rate` is None where it was said to be tax and no rate explains it. `refused` says why it may not be booked where
    investors wait for it, and is None otherwise.
    """
    rows = session.execute(_OFFER, {"id": transaction_id, "user": user_id}).all()
    rooms = words.rooms(session, [row.id for row in rows])
    return [
        {
            "refused": rooms[row.id].why if row.id in rooms and row.amount_due > rooms[row.id].allowed else None,
            "invoice_id": str(row.id),
            "number": row.number,
            "amount": row.amount_due,
            "currency": row.currency,
            "rate": row.rate,
        }
        for row in rows
    ]


def book(
    session: Session, actor: Actor, transaction_id: UUID, now: datetime, *, calendar: Calendar | None = None
) -> list[dict[str, Any]]:
    """Book it; return the payments.

    Raises NotFound, Conflict where no tax explains what is due (any more), and Financed where investors wait for it.
    """
    line = session.execute(
        text("SELECT id FROM transactions WHERE id = :id AND user_id = :user FOR UPDATE"),
        {"id": transaction_id, "user": actor.id},
    ).one_or_none()
    if line is None:
        raise NotFound("transaction", transaction_id)
    rows = session.execute(_OFFER, {"id": transaction_id, "user": actor.id}).all()
    if not rows:
        raise Conflict("nothing of this transaction is left to be booked as withheld tax")
    return [
        manual.record(
            session,
            actor,
            NewPayment(
                amount=row.amount_due,
                currency=row.currency,
                method="tds_withheld",
                date=day_of(row.occurred_at, row.booked_on),
                targets=[NewTarget(row.id, row.amount_due)],
                reference=row.bank_reference or "",
                notes=f"TDS at {row.rate} % of {row.number}" if row.rate else f"TDS of {row.number}",
            ),
            now,
            calendar=calendar,
        )
        for row in rows
    ]
