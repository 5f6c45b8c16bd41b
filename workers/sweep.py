"""What is looked after by the clock: due events, payments and transactions that wait, old rows.

Every job claims what is due in the database, so a second beat, or a late one, is harmless.
"""

from __future__ import annotations

from datetime import timedelta

from sqlalchemy import text

from core import kyc, wallets
from core.banking import matching
from core.correspondence import allowance
from core.inbox import claim
from core.invoicing import payment_links
from core.live import announce
from core.mail import queue as mails
from core.migrations import partitions
from core.notifications import connections as troubles
from core.payments import apply as payments
from core.payments import payouts
from core.syncing import runs, schedule
from workers.context import Context

_LOOK_BACK = timedelta(days=2)
_IDEMPOTENCY_KEPT = timedelta(days=2)


def due(context: Context) -> dict[str, bool]:
    """Which queues have something due now."""
    with context.database.connect() as connection:
        rows = connection.execute(
            text(
                "SELECT EXISTS (SELECT FROM event_queue WHERE state = 'ready' AND due_at <= :now) AS normalize, "
                "EXISTS (SELECT FROM event_queue WHERE state = 'fetch' AND due_at <= :now) AS fetch, "
                "(EXISTS (SELECT FROM syncs WHERE state IN ('queued', 'running', 'waiting') AND due_at <= :now) "
                "OR EXISTS (SELECT FROM sync_schedules WHERE due_at <= :now) "
                "OR EXISTS (SELECT FROM registrations WHERE due_at <= :now) "
                "OR EXISTS (SELECT FROM rate_feeds WHERE due_at <= :now) "
                "OR EXISTS (SELECT FROM statement_imports WHERE state = 'taking')) AS pull, "
                "EXISTS (SELECT FROM mails WHERE state = 'queued' AND due_at <= :now) AS mail, "
                "(EXISTS (SELECT FROM financings WHERE due_at <= :now) OR EXISTS (SELECT FROM ledger_unsealed) "
                "OR EXISTS (SELECT FROM book_due)) "
                "AS market, "
                "(EXISTS (SELECT FROM payment_links WHERE state IN ('wanted', 'unwanted') AND due_at <= :now) "
                f"OR EXISTS (SELECT {payment_links.STALE}) OR EXISTS (SELECT FROM payment_links "
                "WHERE state = 'open' AND expires_at <= :now)) AS links, "
                "EXISTS (SELECT FROM invoices WHERE sent_at IS NOT NULL AND amount_paid <> receipted) AS letters, "
                "EXISTS (SELECT FROM bulk_jobs WHERE status IN ('waiting', 'working')) AS bulk, "
                "EXISTS (SELECT FROM reconcile_requests) AS reconcile, "
                "(EXISTS (SELECT FROM mirror_due) "
                "OR EXISTS (SELECT FROM mirror_pushes WHERE state = 'wanted' AND due_at <= :now)) AS mirror, "
                "EXISTS (SELECT FROM outbox) AS relay"
            ),
            {"now": context.now()},
        )
        return dict(rows.mappings().one())


def adopt(context: Context) -> int:
    """Route events whose connection came while they were being stored; return how many."""
    adopted = 0
    with context.database.session() as session:
        waiting = session.execute(
            text(
                "SELECT DISTINCT queue.connector, queue.external_id, connections.id FROM event_queue AS queue "
                "JOIN connections ON connections.connector = queue.connector "
                "AND connections.external_id = queue.external_id AND connections.deleted_at IS NULL "
                "JOIN deliveries ON deliveries.id = queue.delivery_id "
                f"WHERE queue.state = 'unrouted' AND {claim.MAY_ADOPT} LIMIT 100"
            )
        ).all()
        for row in waiting:
            adopted += claim.adopt_unrouted(session, row.connector, row.external_id, row.id, context.now())
    return adopted


def match(context: Context) -> int:
    """Bring together what arrived in an unlucky order; return how many payments and transactions moved.

    A payment and the invoice it names can be written at the same instant by two transactions that do not
    see each other; here they meet.
    """
    since = context.now() - _LOOK_BACK
    with context.database.session() as session:
        invoices = session.scalars(
            text(
                "SELECT DISTINCT invoices.id FROM payments "
                "JOIN invoices ON invoices.seller_id = payments.user_id "
                "AND payments.reference_keys && ARRAY[invoices.number_key] AND invoices.status IN ('open', 'partial') "
                "WHERE payments.invoice_id IS NULL AND payments.status = 'succeeded' AND NOT payments.decided "
                "AND payments.created_at >= :since LIMIT 100"
            ),
            {"since": since},
        ).all()
        moved = (
            payments.adopt_waiting(session, *invoices, now=context.now(), calendar=context.calendar) if invoices else 0
        )
    with context.database.session() as session:
        return moved + matching.propose_waiting(session, since)


def keep_house(context: Context) -> None:
    """Make the coming months' partitions, and forget what has expired."""
    now = context.now()
    with context.database.connect() as connection:
        partitions.ensure(connection, now)
    with context.database.connect() as connection:
        runs.drop(connection, now)
        schedule.drop(connection)
        mails.forget(connection, now)
        allowance.forget(connection, now)
        announce(connection, troubles.forget_ended(connection))
        payouts.look_again(connection, payouts.with_gaps(connection, now))
        for statement in (
            "DELETE FROM sessions WHERE expires_at < :now",
            "DELETE FROM refresh_tokens WHERE expires_at < :now",
            "DELETE FROM connection_secrets WHERE expires_at < :now",
        ):
            connection.execute(text(statement), {"now": now})
        connection.execute(
            text("DELETE FROM idempotency_keys WHERE created_at < :limit"), {"limit": now - _IDEMPOTENCY_KEPT}
        )
    if context.settings.demo_mode:
        welcome(context)


def welcome(context: Context) -> int:
    """Demo money and a demo KYC for people who were here before there were any; return how many got something."""
    now = context.now()
    with context.database.session() as session:
        verified = kyc.welcome_all(session, now)
    with context.database.session() as session:
        return max(verified, wallets.welcome_all(session, now))
