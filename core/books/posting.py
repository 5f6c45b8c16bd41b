"""Posting what changed: one transfer for all the changes of a seller's books, and a position for each object."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

from sqlalchemy import Connection, TextClause, text
from sqlalchemy.orm import Session

from core import database, ledger
from core.books import positions
from core.bulk import Rows
from core.ids import new_id
from core.ledger import Leg, Transfer
from core.ledger.accounts import BOOKS, book

BATCH = 2000
_NAME = "books"
_LOCK = "SELECT pg_try_advisory_xact_lock(hashtext('ledgerwire.books'))"
_CHANGED = text(
    "WITH gone AS (DELETE FROM book_due WHERE changed_by = pg_current_xact_id() RETURNING object_id, kind) "
    "SELECT kind, CAST(array_agg(object_id) AS text) AS ids FROM gone GROUP BY kind"
)
# By id: the oldest objects first.
_LEFT_OVER = text(
    "SELECT kind, CAST(array_agg(object_id) AS text) AS ids FROM "
    "(SELECT kind, object_id FROM book_due ORDER BY object_id LIMIT :limit) AS first_ones GROUP BY kind"
)
_DONE = text("DELETE FROM book_due WHERE object_id = ANY(CAST(:ids AS uuid[]))")
_WAITING = text("SELECT count(*) FROM book_due")
_LOCKS = {kind: text(sql) for kind, sql in positions.LOCKS.items()}
_MADE = Rows(user_id="uuid", connection_id="uuid", currency="text", transfer_id="uuid")


def touch(where: Session | Connection, now: datetime | None = None) -> None:
    """Have what this transaction changed posted at its end. Saying so again, or for nothing, does no harm.

    `now` is when the ledger says it was recorded.
    """
    connection = where.connection() if isinstance(where, Session) else where
    database.before_commit(connection, _NAME, lambda ending: post_due(ending, now))


def waiting(where: Session | Connection) -> int:
    """How many objects changed and are not posted yet."""
    return int(where.execute(_WAITING).scalar_one())


def post_due(connection: Connection, now: datetime | None = None) -> int:
    """Post what this transaction changed; return how many positions were written."""
    return _post(connection, {row.kind: row.ids for row in connection.execute(_CHANGED)}, now)


def work_off(connection: Connection, now: datetime, limit: int = BATCH) -> int:
    """Post what was left over; return how many objects were looked at. Zero too where somebody else is at it."""
    if not connection.execute(text(_LOCK)).scalar_one():
        return 0
    # Objects first, then these rows, as everybody who changes an object does.
    due = {row.kind: row.ids for row in connection.execute(_LEFT_OVER, {"limit": limit})}
    _post(connection, due, now)
    return sum(connection.execute(_DONE, {"ids": ids}).rowcount for ids in due.values())


@lru_cache(maxsize=32)
def _sums(kinds: tuple[str, ...]) -> TextClause:
    sums = ", ".join(f"sum(change_{name})::bigint AS {name}" for name in positions.COLUMNS)
    return text(
        f"{positions.changes(kinds)} SELECT user_id, connection_id, currency, count(*) AS many, min(kind) AS kind, "
        f"(min(ARRAY[CAST(object_id AS text), CAST(version AS text)])) AS first, {sums} "
        "FROM changes GROUP BY user_id, connection_id, currency ORDER BY user_id, connection_id, currency"
    )


@lru_cache(maxsize=32)
def _write(kinds: tuple[str, ...]) -> TextClause:
    columns = ", ".join(("object_id", "version", "kind", *positions.PLACE, *positions.COLUMNS))
    given = ", ".join(f"changes.{name}" for name in columns.split(", "))
    return text(
        f"{positions.changes(kinds)} INSERT INTO book_positions ({columns}, transfer_id, recorded_at) "
        f"SELECT {given}, made.transfer_id, :now FROM changes JOIN {_MADE.source('made')} "
        "ON made.user_id = changes.user_id AND made.connection_id IS NOT DISTINCT FROM changes.connection_id "
        "AND made.currency = changes.currency"
    )


def _post(connection: Connection, due: Mapping[str, str], now: datetime | None) -> int:
    """Bring the books in line with the objects `due` (ids as an array's text, by kind)."""
    if not due:
        return 0
    kinds = tuple(kind for kind in positions.KINDS if kind in due)
    for kind in kinds:
        connection.execute(_LOCKS[kind], {"ids": due[kind]})
    given = {f"{kind}_ids": due[kind] for kind in kinds}
    found = connection.execute(_sums(kinds), given).all()
    if not found:
        return 0
    moment = now or datetime.now(UTC)
    work = [_transfer(row) for row in found]
    ledger.post(connection, [one for one in work if one is not None], moment)
    made = _MADE.arrays(
        user_id=[row.user_id for row in found],
        connection_id=[row.connection_id for row in found],
        currency=[row.currency for row in found],
        transfer_id=[None if one is None else one.id for one in work],
    )
    return int(connection.execute(_write(kinds), {**given, **made, "now": moment}).rowcount)


def _transfer(row: Any) -> Transfer | None:
    """What changed in the books of one seller, in one currency, through one connection; None where it is nothing."""
    moved = [(purpose, getattr(row, purpose.value)) for purpose in BOOKS]
    legs = [
        Leg(book(purpose, row.user_id, row.connection_id, row.currency), amount) for purpose, amount in moved if amount
    ]
    if not legs:
        return None
    first, version = row.first
    word = row.kind.replace("_", " ")
    return Transfer(
        id=new_id(),
        kind="books.posted",
        # A position is written once: what is named by one is posted once.
        key=f"books:{first}:{version}",
        legs=legs,
        # It names no invoice: its parties may read what moved for it, and these books are the seller's alone.
        description=f"Books of a seller: {row.many} changes" if row.many > 1 else f"Books of a seller: {word}",
    )
