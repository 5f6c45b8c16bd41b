"""Who has to do with an invoice is told that it became overdue. Safe to run twice, late, and beside another."""

from __future__ import annotations

from core.invoicing import overdue
from workers.context import Context

# What is left waits for the next minute: a first of the month at a large installation holds nobody up.
_TURNS = 50


def work_off(context: Context) -> int:
    """Tell of what became overdue, a batch a transaction; return how many invoices."""
    told = 0
    for _ in range(_TURNS):
        with context.database.session() as session:
            count = overdue.turn(session, context.now())
        told += count
        if count < overdue.BATCH:
            break
    if told:
        context.doorbell.ring("relay")
    return told
