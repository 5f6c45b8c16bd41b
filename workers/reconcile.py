"""Lines of banks are judged by the engine, seller by seller, as they ask for it.

It computes for a while where there is much to judge, so it does not run where events are read: a task of its own, with
no lock held while it thinks. Whatever it needs (scipy, rapidfuzz) is loaded when it is first needed.
"""

from __future__ import annotations

import time
from uuid import UUID

import structlog
from sqlalchemy.exc import DBAPIError

from core.reconciliation import run
from workers.context import Context

log = structlog.get_logger(__name__)

# Sellers looked at in one go; the next ring goes on.
BATCH = 50


# Where a look takes long (tens of thousands of open invoices) the next one waits so many times as long: webhooks in a
# row are then judged together, and others have their turn. Seller → when it is their turn again, on our clock.
_REST = 4
_AT_ONCE_SECONDS = 0.5
_resting: dict[UUID, float] = {}


def drain(context: Context) -> int:
    """Look at the lines of every seller who asked and whose turn it is; return how many sellers."""
    with context.database.connect() as connection:
        users = run.due(connection, BATCH)
    done = 0
    for user_id in users:
        began = time.monotonic()
        if _resting.get(user_id, 0.0) > began:
            continue
        try:
            found = run.work(context.database, user_id, context.now(), calendar=context.calendar)
        except DBAPIError as error:
            # The request stands, and the sweep rings for it again: one seller's trouble is not that of the others.
            log.warning("lines were not judged", user_id=str(user_id), error=type(error).__name__)
            continue
        took = time.monotonic() - began
        _resting.pop(user_id, None)
        if took > _AT_ONCE_SECONDS:
            _resting[user_id] = began + took * (1 + _REST)
        done += 1
        if found.accepted or found.proposed or found.duplicates:
            context.doorbell.ring("relay")
    return done
