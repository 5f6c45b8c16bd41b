"""The marketplace's clock and the ledger's evidence: what is due is done, what was posted is sealed."""

from __future__ import annotations

import structlog
from sqlalchemy import Connection, text

from core import ledger
from core.ledger import Release, anchors, chain
from core.marketplace import rules, watch
from workers import books
from workers.context import Context

log = structlog.get_logger(__name__)

# A chain that is long behind, or thousands of due dates on one morning, are worked off in several turns.
_TURNS = 20
_SEALED_AT_ONCE = 1000


def work_off(context: Context) -> int:
    """Look at every financing that is due, free old holds, post what waits, seal; return how much was done."""
    found = rules.of(context.settings)
    done = 0
    for _ in range(_TURNS):
        looked = watch.tick(context.database, context.now(), found)
        done += len(looked.invoices)
        for invoice_id, error in looked.failures:
            log.warning("a financing was put off", invoice_id=str(invoice_id), error=error)
        if len(looked.invoices) + len(looked.failures) < watch.BATCH:
            break
    if done:
        context.doorbell.ring("relay")
    return done + free(context) + books.post(context.database, context.now()) + seal(context)


def free(context: Context) -> int:
    """Give back what was promised for longer than it was meant to be; return how many holds."""
    now = context.now()
    with context.database.connect() as connection:
        expired = ledger.expired_holds(connection, now)
        if expired:
            ledger.post(connection, [Release(hold, "expired") for hold in expired], now)
    return len(expired)


def seal(context: Context) -> int:
    """Seal what was posted; return how many entries."""
    total = 0
    for _ in range(_TURNS):
        with context.database.connect() as connection:
            _on_disk(connection)
            done = chain.seal(connection, _SEALED_AT_ONCE)
        total += done
        if done < _SEALED_AT_ONCE:
            break
    return total


def anchor(context: Context) -> bool:
    """Write the head of the chain to a file outside the database, once a day; return whether this call did."""
    path = context.settings.data_dir / "ledger" / "heads.jsonl"
    with context.database.connect() as connection:
        _on_disk(connection)
        made = anchors.anchor(connection, path, context.now())
    if made is not None:
        log.info("the ledger's head is anchored", day=made.day.isoformat(), position=made.position)
    return made is not None


def _on_disk(connection: Connection) -> None:
    """Have the commit wait for the disk, though workers' commits do not (ADR 0004).

    An anchor outside would otherwise name a head that a crash of PostgreSQL takes back.
    """
    connection.execute(text("SET LOCAL synchronous_commit = on"))
