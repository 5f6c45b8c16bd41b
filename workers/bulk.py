"""Work on many invoices: row after row, each in a transaction of its own."""

from __future__ import annotations

from core.invoicing import links
from core.lists import bulk
from workers.context import Context

BATCH = 20
# What writes mails, and what may.
_MAILS = frozenset({"send", "remind"})


def drain(context: Context) -> int:
    """Work off some rows; return how many, 0 when none waits. Safe to run twice, and beside another."""
    made = links.of(context.settings)
    count, mailed = 0, False
    while count < BATCH:
        with context.database.session() as session:
            done = bulk.step(session, made, context.now())
        if done is None:
            break
        count += 1
        mailed = mailed or done in _MAILS
    if count:
        context.doorbell.ring("relay")
    if mailed:
        context.wake("mail")
    return count
