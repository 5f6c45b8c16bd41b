"""Money that the engine booked from a line, and that a person or a gateway then told of as well (rule 1).

Whichever comes first, there is one payment in the end: the engine's own decision gives way to the booking with the same
bank reference. What a person decided stays.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import Connection, text

from core.banking import matching
from core.bulk import array
from core.live.feed import announce_all
from core.marketplace import repayments, words
from core.marketplace.calendar import Calendar
from core.reconciliation import booking
from core.reconciliation.booking import Decision
from core.reconciliation.fingerprints import reference_key
from core.statements import Outcome

# The few payments that are told and found on no line come first: there are many lines that the engine booked.
_TWICE = text(
    "WITH told AS MATERIALIZED (SELECT id, invoice_id, amount, currency, bank_reference, occurred_at FROM payments "
    "WHERE user_id = :user AND status = 'succeeded' AND source IN ('manual', 'gateway') AND trust <> 'hint' "
    "AND bank_reference IS NOT NULL AND occurred_at >= :since "
    "AND NOT EXISTS (SELECT FROM transaction_payments WHERE payment_id = payments.id) "
    f"AND NOT ({words.OF_FINANCED})) "
    "SELECT matches.id, matches.transaction_id, transactions.bank_reference, told.id AS booked_id, "
    "told.bank_reference AS booked_reference FROM told JOIN transactions ON transactions.user_id = :user "
    "AND transactions.amount = told.amount AND transactions.currency = told.currency "
    "AND transactions.match_state = 'accepted' AND transactions.bank_reference IS NOT NULL "
    "AND transactions.occurred_at BETWEEN told.occurred_at - interval '10 days' "
    "AND told.occurred_at + interval '10 days' "
    "JOIN matches ON matches.transaction_id = transactions.id AND matches.state = 'accepted' "
    "AND matches.kind = 'invoices' AND matches.actor = 'engine' "
    # One that pays something else is other money, or a customer's credit that a person may use.
    "WHERE told.invoice_id = matches.invoice_id OR EXISTS (SELECT FROM payment_targets "
    "WHERE payment_targets.payment_id = told.id AND payment_targets.invoice_id = matches.invoice_id) "
    "ORDER BY matches.transaction_id, told.id"
)
# News of money that is older than this is no news.
_LOOK_BACK = timedelta(days=120)
_ACCEPTED = text(
    "SELECT id, transaction_id, kind, subject_id, payment_id FROM matches WHERE id = ANY(CAST(:ids AS uuid[])) "
    "AND state = 'accepted' AND actor = 'engine' ORDER BY id FOR UPDATE"
)


def convert(connection: Connection, user_id: UUID, now: datetime, calendar: Calendar | None) -> int:
    """Link lines that the engine booked to the payment with the same reference instead; return how many."""
    wanted: dict[UUID, tuple[UUID, UUID]] = {}
    taken: set[UUID] = set()
    for row in connection.execute(_TWICE, {"user": user_id, "since": now - _LOOK_BACK}):
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
