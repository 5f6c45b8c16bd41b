"""What is not in the sellers' books yet is posted: rows from before there were books, and what nobody posted."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from core import books
from core.database import Database

# So that one turn of the clock does not last; the next one goes on.
_TURNS = 10


def post(
    database: Database, now: datetime, *, turns: int | None = _TURNS, tell: Callable[[int], None] | None = None
) -> int:
    """Post what waits, a batch a transaction, at most so many batches; return how many objects were looked at.

    `tell` hears after each batch how many there were so far. It may be stopped at any moment and goes on where it was.
    """
    done = 0
    while turns is None or turns > 0:
        with database.connect() as connection:
            looked = books.work_off(connection, now)
        done += looked
        if tell is not None:
            tell(done)
        if looked < books.BATCH:
            break
        turns = None if turns is None else turns - 1
    return done
