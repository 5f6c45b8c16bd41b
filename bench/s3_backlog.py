"""S3: a backlog drained by one worker process, against the same rows moved by bare bulk SQL.

The backlog is half gateway payments, each of which pays an invoice of its own, and half bank transactions.
The floor starts from the very rows that the worker wrote, kept aside: batches of 500 leave the queue and are
inserted server-side, with every index, constraint and trigger in place, and nothing parsed or decided. What was
posted to the sellers' books is among them; the few ledger transfers (one a batch) stay where they are.
"""

from __future__ import annotations

import time

from sqlalchemy import text

from bench.world import World, add_invoices, body_of, fill_backlog, stored, world
from core.money import Money
from workers import context, normalize
from workers.simulators.sending import Changes

EVENTS = 20_000
TOTAL = 1_180_00
BATCH = normalize.BATCH

# What the worker writes, table by table.
_WRITTEN = ("object_keys", "payments", "transactions", "allocations", "event_results", "event_effects", "outbox")


def backlog(parts: World, events: int) -> None:
    """Fill the queue."""
    deliveries = []
    for place in range(events // 2):
        number = f"INV-2026-{place + 1:05d}"
        headers, body = body_of(
            "razorpay",
            "payment.captured",
            parts.secrets["razorpay"],
            f"pay{place}",
            Changes(invoice_number=number, money=Money(TOTAL, "INR")),
        )
        deliveries.append(stored("razorpay", parts.connections["razorpay"], headers, body))
        headers, body = body_of(
            "standard_webhooks",
            "transaction.posted",
            parts.secrets["standard_webhooks"],
            f"txn{place}",
            Changes(money=Money(5_00 + place, "INR")),
        )
        deliveries.append(stored("standard_webhooks", parts.connections["standard_webhooks"], headers, body))
    fill_backlog(parts.database, deliveries)


def drain(parts: context.Context) -> float:
    """Seconds that one worker takes for everything that is due."""
    started = time.perf_counter()
    while normalize.work_off(parts):
        pass
    return time.perf_counter() - started


def keep(parts: World) -> None:
    """Put aside what the worker wrote, cut into its batches, and set the tables back to before."""
    with parts.database.connect() as connection:
        batches = EVENTS // BATCH
        for table in _WRITTEN:
            order = "event_id" if table in {"event_results", "event_effects"} else "id"
            connection.exec_driver_sql(
                f"CREATE TABLE kept_{table} AS SELECT *, ntile({batches}) OVER (ORDER BY {order}) AS batch FROM {table}"
            )
            connection.exec_driver_sql(f"CREATE INDEX ON kept_{table} (batch)")
        # Each invoice moves in the batch of its allocation, or its sums would not add up at commit.
        connection.exec_driver_sql(
            "CREATE TABLE kept_invoices AS SELECT invoices.id, amount_paid, status, batch "
            "FROM invoices JOIN kept_allocations ON kept_allocations.invoice_id = invoices.id"
        )
        connection.exec_driver_sql("CREATE INDEX ON kept_invoices (batch)")
        # A transfer of the ledger explains the positions of one batch, all of them at once.
        connection.exec_driver_sql(
            "CREATE TABLE kept_book_positions AS SELECT *, dense_rank() OVER (ORDER BY transfer_id) AS batch "
            "FROM book_positions"
        )
        connection.exec_driver_sql("CREATE INDEX ON kept_book_positions (batch)")
        # A payment's allocation stands in the payment's batch.
        connection.exec_driver_sql(
            "UPDATE kept_payments SET batch = kept_allocations.batch FROM kept_allocations "
            "WHERE kept_allocations.payment_id = kept_payments.id"
        )
        # These are not truncated while their triggers run.
        for table in ("allocations", "book_positions"):
            connection.exec_driver_sql(f"ALTER TABLE {table} DISABLE TRIGGER USER")
        connection.exec_driver_sql(f"TRUNCATE {', '.join(_WRITTEN)}, book_positions")
        for table in ("allocations", "book_positions"):
            connection.exec_driver_sql(f"ALTER TABLE {table} ENABLE TRIGGER USER")
        connection.exec_driver_sql("UPDATE invoices SET amount_paid = 0, status = 'open'")
        connection.exec_driver_sql(
            "INSERT INTO event_queue (event_id, delivery_id, connector, connection_id, state, due_at) "
            "SELECT id, delivery_id, connector, connection_id, 'ready', received_at FROM events ORDER BY id"
        )
    with parts.database.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.exec_driver_sql("VACUUM ANALYZE")


def floor(parts: World) -> float:
    """Seconds that bare SQL takes to move the same rows, in the same batches."""
    columns = {}
    tables = (*_WRITTEN, "book_positions")
    with parts.database.connect() as connection:
        for table in tables:
            columns[table] = ", ".join(
                connection.scalars(
                    text(
                        "SELECT column_name FROM information_schema.columns WHERE table_name = :table "
                        "AND is_generated = 'NEVER' AND is_identity = 'NO' ORDER BY ordinal_position"
                    ),
                    {"table": table},
                )
            )
    inserts = [
        text(f"INSERT INTO {table} ({columns[table]}) SELECT {columns[table]} FROM kept_{table} WHERE batch = :batch")
        for table in tables
    ]
    started = time.perf_counter()
    for batch in range(1, EVENTS // BATCH + 1):
        with parts.database.connect() as connection:
            connection.execute(text("SET LOCAL synchronous_commit = off"))
            ids = connection.scalars(
                text(
                    "UPDATE event_queue SET attempts = attempts + 1, due_at = now() + interval '60 s', "
                    "claimed_at = now() WHERE event_id IN (SELECT event_id FROM event_queue WHERE state = 'ready' "
                    "AND due_at <= now() ORDER BY due_at, event_id LIMIT :limit FOR UPDATE SKIP LOCKED) "
                    "RETURNING event_id"
                ),
                {"limit": BATCH},
            ).all()
        with parts.database.connect() as connection:
            connection.execute(text("SET LOCAL synchronous_commit = off"))
            connection.execute(
                text(
                    "UPDATE invoices SET amount_paid = kept.amount_paid, status = kept.status, version = version + 1 "
                    "FROM kept_invoices AS kept WHERE kept.batch = :batch AND kept.id = invoices.id"
                ),
                {"batch": batch},
            )
            for insert in inserts:
                connection.execute(insert, {"batch": batch})
            # What the triggers note for the books, and what is posted of it, goes as in the worker's transaction.
            connection.execute(text("DELETE FROM book_due WHERE changed_by = pg_current_xact_id()"))
            connection.execute(text("DELETE FROM event_queue WHERE event_id = ANY(:ids)"), {"ids": ids})
    return time.perf_counter() - started


def run() -> dict[str, float]:
    """Print and return the figures."""
    with world() as parts:
        add_invoices(parts.database, parts.seller.id, EVENTS // 2, TOTAL)
        worker = context.make(parts.settings)
        backlog(parts, EVENTS)
        # As the worker process does when it starts.
        context.calm_collector()
        seconds = drain(worker)
        with parts.database.connect() as connection:
            paid = connection.scalar(text("SELECT count(*) FROM invoices WHERE status = 'paid'"))
        if paid != EVENTS // 2:
            raise RuntimeError(f"{paid} of {EVENTS // 2} invoices were paid: the figures would mean nothing")
        keep(parts)
        least = floor(parts)
    ours, bare = EVENTS / seconds, EVENTS / least
    print(f"S3  backlog drained by one worker  {ours:9,.0f} events/s")
    print(f"    floor: the same rows by SQL    {bare:9,.0f} events/s")
    print(f"    ratio                          {ours / bare:9.2f}   (target at least 0.40)")
    return {"worker_per_second": ours, "floor_per_second": bare, "ratio": ours / bare}


if __name__ == "__main__":
    run()
