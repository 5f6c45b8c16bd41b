"""Payments that arrived before the invoice they name."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from sqlalchemy import Connection, text
from sqlalchemy.orm import Session

from core import objects
from core.live.feed import announce_all
from core.marketplace import repayments
from core.marketplace.calendar import Calendar
from core.payments import receivers
from core.payments.rows import load
from core.payments.settle import settle
from core.statements import Outcome

_WAITING = text(
    "SELECT payments.id, payments.connection_id, payments.object_id FROM invoices "
    "JOIN payments ON payments.user_id = invoices.seller_id AND payments.invoice_id IS NULL "
    "AND payments.status = 'succeeded' AND payments.connection_id IS NOT NULL AND NOT payments.decided "
    "AND payments.reference_keys && ARRAY[invoices.number_key] "
    "WHERE invoices.id = ANY(CAST(:ids AS uuid[])) AND invoices.status NOT IN ('draft', 'void')"
)


def adopt_waiting(
    session: Session | Connection, *invoice_ids: UUID, now: datetime | None = None, calendar: Calendar | None = None
) -> int:
    """Apply payments that arrived before the invoice they name, and announce it; return how many there were.

    One of which a person decided what it pays waits for nothing.
    """
    connection = session.connection() if isinstance(session, Session) else session
    rows = connection.execute(_WAITING, {"ids": list(invoice_ids)}).all()
    return _settle(connection, [(row.id, row.connection_id, row.object_id) for row in rows], now, calendar)


def adopt_received(
    connection: Connection, user_id: UUID, key: str, *, now: datetime | None = None, calendar: Calendar | None = None
) -> int:
    """Give payments that came through an account to the customer whose it is now; return how many there were."""
    return _settle(connection, receivers.received(connection, user_id, key), now, calendar)


def adopt_unsettled(
    connection: Connection, user_id: UUID, *, now: datetime | None = None, calendar: Calendar | None = None
) -> int:
    """The same for what an account missed that was written down in the instant in which its payment came."""
    return _settle(connection, receivers.unsettled(connection, user_id), now, calendar)


def _settle(
    connection: Connection, rows: Sequence[tuple[UUID, UUID, str]], now: datetime | None, calendar: Calendar | None
) -> int:
    """Settle payments anew, each (id, connection, object), under their keys."""
    if not rows:
        return 0
    objects.identify(connection, [(connection_id, "payment", object_id) for _, connection_id, object_id in rows])
    outcome = Outcome()
    settle(connection, load(connection, [identity for identity, _, _ in rows]), {}, outcome)
    repayments.collect(connection, outcome, now, calendar)
    announce_all(connection, outcome.announcements)
    return len(rows)
