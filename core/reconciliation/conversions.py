"""Money that the engine booked from a line, and that a person or a gateway then told of as well (rule 1).

Whichever comes first, there is one payment in the end: the engine's own decision gives way to the booking with the same
bank reference. What a person decided stays.
"""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from sqlalchemy import Connection, text

from core.banking import matching
from core.bulk import array
from core.live.feed import announce_all
from core.marketplace import repayments
from core.marketplace.calendar import Calendar
from core.reconciliation import booking
from core.reconciliation.booking import Decision
from core.reconciliation.fingerprints import reference_key
from core.statements import Outcome

_TWICE = text(
    "SELECT matches.id, matches.transaction_id, matches.weights_version, transactions.bank_reference, "
    "payments.id AS booked_id, payments.bank_reference AS booked_reference FROM matches "
    "JOIN transactions ON transactions.id = matches.transaction_id "
    "JOIN payments ON payments.user_id = matches.user_id AND payments.amount = transactions.amount "
    "AND payments.currency = transactions.currency AND payments.status = 'succeeded' "
    "AND payments.source IN ('manual', 'gateway') AND payments.trust <> 'hint' "
    "AND payments.bank_reference IS NOT NULL "
    "AND payments.occurred_at BETWEEN transactions.occurred_at - interval '10 days' "
    "AND transactions.occurred_at + interval '10 days' "
    "WHERE matches.user_id = :user AND matches.state = 'accepted' AND matches.kind = 'invoices' "
    "AND matches.actor = 'engine' AND transactions.bank_reference IS NOT NULL "
    "AND NOT EXISTS (SELECT FROM transaction_payments WHERE payment_id = payments.id) "
    # One that pays something else is other money, or a customer's credit that a person may use.
    "AND (payments.invoice_id = matches.invoice_id OR EXISTS (SELECT FROM payment_targets "
    "WHERE payment_targets.payment_id = payments.id AND payment_targets.invoice_id = matches.invoice_id)) "
    "ORDER BY matches.transaction_id, payments.id"
)
_ACCEPTED = text(
    "SELECT id, transaction_id, kind, subject_id, payment_id FROM matches WHERE id = ANY(CAST(:ids AS uuid[])) "
    "AND state = 'accepted' AND actor = 'engine' ORDER BY id FOR UPDATE"
)


def convert(connection: Connection, user_id: UUID, now: datetime, calendar: Calendar | None) -> int:
    """Link lines that the engine booked to the payment with the same reference instead; return how many."""
    wanted: dict[UUID, tuple[UUID, UUID]] = {}
    taken: set[UUID] = set()
    for row in connection.execute(_TWICE, {"user": user_id}):
        key = reference_key(row.bank_reference)
        if key is None or key != reference_key(row.booked_reference):
            continue
        if row.transaction_id not in wanted and row.booked_id not in taken:
            wanted[row.transaction_id] = (row.id, row.booked_id)
            taken.add(row.booked_id)
    if not wanted:
        return 0
    lines = {
        row.id: row
        for row in connection.execute(booking.LOCK_LINES, {"user": user_id, "ids": array(sorted(wanted), "uuid")})
    }
    ids = array(sorted(match for match, _ in wanted.values()), "uuid")
    found = [row for row in connection.execute(_ACCEPTED, {"ids": ids}) if row.transaction_id in lines]
    outcome = Outcome()
    booking.release(connection, found, outcome)
    connection.execute(
        text("UPDATE matches SET state = 'undone', payment_id = NULL WHERE id = ANY(CAST(:ids AS uuid[]))"),
        {"ids": array((row.id for row in found), "uuid")},
    )
    decisions = [
        Decision(
            line=lines[row.transaction_id],
            kind="payment",
            subject_id=wanted[row.transaction_id][1],
            score=1.0,
            tier="sure",
            features={"rules": "already-booked", "subject": "booked_reference", "stops": []},
            version="already-booked",
        )
        for row in found
    ]
    booking.book(connection, decisions, outcome, now, None)
    matching.refresh(connection, outcome)
    repayments.collect(connection, outcome, now, calendar)
    announce_all(connection, outcome.announcements)
    return len(decisions)
