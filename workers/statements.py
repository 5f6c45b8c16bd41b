"""Long statements are taken in a page at a time; each page is a transaction, so that any death loses nothing."""

from __future__ import annotations

from core.banking import statement_taking
from workers.context import Context


def drain(context: Context) -> int:
    """Take in the next page of a statement that waits; returns how many pages that were."""
    with context.database.session() as session:
        taken = statement_taking.take(session, None, context.now(), context.calendar)
    if taken:
        context.doorbell.ring("relay")
        context.wake("reconcile")
    return int(taken)
