"""Lines of banks are judged by the engine, seller by seller, as they ask for it.

It computes for a while where there is much to judge, so it does not run where events are read: a task of its own, with
no lock held while it thinks. Whatever it needs (scipy, rapidfuzz) is loaded when it is first needed.
"""

from __future__ import annotations

import structlog
from sqlalchemy.exc import DBAPIError

from core.reconciliation import run
from workers.context import Context

log = structlog.get_logger(__name__)

# Sellers looked at in one go; the next ring goes on.
BATCH = 50


def drain(context: Context) -> int:
    """Look at the lines of every seller who asked; return how many sellers."""
    with context.database.connect() as connection:
        users = run.due(connection, BATCH)
    done = 0
    for user_id in users:
        try:
            found = run.work(context.database, user_id, context.now(), calendar=context.calendar)
        except DBAPIError as error:
            # The request stands, and the sweep rings for it again: one seller's trouble is not that of the others.
            log.warning("lines were not judged", user_id=str(user_id), error=type(error).__name__)
            continue
        done += 1
        if found.accepted or found.proposed or found.duplicates:
            context.doorbell.ring("relay")
    return done
