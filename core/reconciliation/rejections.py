"""What a person turned down is taken up again: the proposals of a line as they stood before."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, text
from sqlalchemy.orm import Session

from core.banking import matching
from core.bulk import array
from core.errors import Conflict, NotFound
from core.live.feed import announce_all
from core.reconciliation import booking, cases
from core.statements import Outcome

# Those that were turned down together, last. `cases` tells whether by a rejection or by setting the line aside.
_LAST = text(
    "SELECT id, decided_at FROM matches WHERE transaction_id = :line AND state = 'rejected' AND decided_at = "
    "(SELECT max(decided_at) FROM matches WHERE transaction_id = :line AND state = 'rejected') "
    "AND EXISTS (SELECT FROM reconciliation_cases AS kept WHERE kept.transaction_id = :line AND kept.kind = :kind "
    "AND kept.at = matches.decided_at)"
)
# It stands again while every invoice of it takes money. What was taken back before it was rejected stays known as that.
_AGAIN = text(
    "UPDATE matches SET state = CASE WHEN EXISTS (SELECT FROM match_targets JOIN invoices "
    "ON invoices.id = match_targets.invoice_id WHERE match_id = matches.id "
    "AND invoices.status NOT IN ('open', 'partial')) THEN 'undone' ELSE 'proposed' END, "
    "actor = CASE WHEN jsonb_exists(features, 'taken_back') THEN 'user' ELSE 'engine' END, "
    "decided_by = CASE WHEN jsonb_exists(features, 'taken_back') THEN decided_by END, "
    "decided_at = CASE WHEN jsonb_exists(features, 'taken_back') THEN decided_at END, "
    "features = features - 'taken_back' WHERE id = ANY(CAST(:ids AS uuid[])) RETURNING state"
)


def restore(session: Session, user_id: UUID, transaction_id: UUID, now: datetime) -> None:
    """Take the last rejection of a line back: what was proposed is proposed again, and may be booked by the engine.

    Raises NotFound, or Conflict when nothing was rejected or the line is decided.
    """
    connection = session.connection()
    line = connection.execute(
        booking.LOCK_LINES, {"user": user_id, "ids": array([transaction_id], "uuid")}
    ).one_or_none()
    if line is None:
        raise NotFound("transaction", transaction_id)
    if line.match_state not in ("none", "proposed"):
        raise Conflict("this transaction is decided; undo that first")
    state = again(connection, line, "rejected", user_id, now)
    if state is None:
        raise Conflict("nothing was rejected for this transaction")
    outcome = Outcome()
    if state != line.match_state == "none":
        booking.mark(connection, {line.id: line}, state, outcome)
    matching.ask(connection, [user_id])
    announce_all(connection, outcome.announcements)


def again(connection: Connection, line: Any, kind: str, by: UUID, now: datetime) -> str | None:
    """Take up what a locked line was last turned down by (`kind`: rejected, ignored); the state it is in then.

    "proposed", or "none" where it cannot be any more; None when nothing was turned down so.
    """
    rows = connection.execute(_LAST, {"line": line.id, "kind": kind}).all()
    if not rows:
        return None
    states = connection.scalars(_AGAIN, {"ids": array((row.id for row in rows), "uuid")}).all()
    cases.take_back(connection, line.id, kind, rows[0].decided_at, by, now)
    return "proposed" if "proposed" in states else "none"
