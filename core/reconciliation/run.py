"""The engine over a seller's books: read, judge, write, in bulk (marketplace rules 4.2).

Reading and judging hold no lock and may take a while; writing locks the lines it changes and the invoices it pays, and
passes over what is no longer as it was read: whoever changed it asked for another look. Runs of one seller write one
after the other (an advisory lock). A repeat changes nothing.

Locks: the seller's advisory lock, then transactions, invoices, payments, financings, ledger.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, text
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from core.banking import matching
from core.bulk import Rows, array
from core.database import Database
from core.live.feed import announce_all
from core.marketplace import repayments
from core.marketplace.calendar import Calendar
from core.payments.adopt import adopt_unsettled
from core.reconciliation import booking, conversions, engine, loading, proposing, succession
from core.reconciliation.booking import Decision, Target
from core.reconciliation.engine import Judgement
from core.reconciliation.loading import Loaded
from core.reconciliation.weights import CURRENT, Weights
from core.statements import Outcome

# Of what a run of many lines tells one room by one name, no more than this is told one by one.
_MOST_OF_A_KIND = 50
# So many lines are booked in one transaction.
BATCH = 1000


@dataclass(slots=True)
class Done:
    """What a run did, in lines."""

    judged: int = 0
    accepted: int = 0
    proposed: int = 0
    duplicates: int = 0
    suspense: int = 0


_JUDGEMENTS = Rows(
    transaction_id="uuid", user_id="uuid", tier="text", weights_version="text", alternatives="jsonb",
    judged_at="timestamptz",
)  # fmt: skip
_STORE_JUDGEMENTS = text(
    _JUDGEMENTS.insert(
        "judgements",
        "ON CONFLICT (transaction_id) DO UPDATE SET tier = excluded.tier, weights_version = excluded.weights_version, "
        "alternatives = excluded.alternatives, judged_at = excluded.judged_at",
    )
)


def reconcile(
    session: Session | Connection,
    user_id: UUID,
    now: datetime,
    *,
    calendar: Calendar | None = None,
    weights: Weights = CURRENT,
) -> Done:
    """Judge the open lines of a seller and write what was found, in the caller's transaction.

    Sure ones are accepted where the seller's profile says so, the others proposed. For a seller with thousands of open
    lines use `work`, which holds no transaction while it thinks.
    """
    connection = session.connection() if isinstance(session, Session) else session
    _alone(connection, user_id)
    adopt_unsettled(connection, user_id, now=now, calendar=calendar)
    conversions.convert(connection, user_id, now, calendar)
    loaded = loading.load(connection, user_id)
    done = Done()
    _write(connection, user_id, loaded, engine.judge(loaded.book, weights), now, calendar, done)
    _answered(connection, user_id, loaded)
    return done


def work(
    database: Database,
    user_id: UUID,
    now: datetime,
    *,
    calendar: Calendar | None = None,
    weights: Weights = CURRENT,
) -> Done:
    """The same in transactions of its own: one to read, and one for each `BATCH` of lines that are written."""
    with database.connect() as connection:
        _alone(connection, user_id)
        adopt_unsettled(connection, user_id, now=now, calendar=calendar)
    with database.connect() as connection:
        _alone(connection, user_id)
        conversions.convert(connection, user_id, now, calendar)
    with database.connect() as connection:
        loaded = loading.load(connection, user_id)
    judged = engine.judge(loaded.book, weights)
    done = Done()
    for start in range(0, len(judged), BATCH):
        with database.connect() as connection:
            _alone(connection, user_id)
            _write(connection, user_id, loaded, judged[start : start + BATCH], now, calendar, done)
    with database.connect() as connection:
        _answered(connection, user_id, loaded)
    return done


def due(connection: Connection, limit: int) -> list[UUID]:
    """Users whose lines are to be looked at, those who asked first before the others."""
    rows = connection.scalars(
        text("SELECT user_id FROM reconcile_requests GROUP BY user_id ORDER BY min(id) LIMIT :limit"), {"limit": limit}
    )
    return list(rows)


def _alone(connection: Connection, user_id: UUID) -> None:
    """Wait until no other run of this seller writes; held until the transaction ends."""
    connection.execute(
        text("SELECT pg_advisory_xact_lock(hashtextextended(:name, 0))"), {"name": f"reconcile {user_id}"}
    )


def _answered(connection: Connection, user_id: UUID, loaded: Loaded) -> None:
    connection.execute(
        text("DELETE FROM reconcile_requests WHERE user_id = :user AND id <= :request"),
        {"user": user_id, "request": loaded.request},
    )


def _write(
    connection: Connection,
    user_id: UUID,
    loaded: Loaded,
    judged: Sequence[Judgement],
    now: datetime,
    calendar: Calendar | None,
    done: Done,
) -> None:
    """Let judgements take effect for lines that are still as they were read."""
    if not judged:
        return
    heirs = {one.line_id: one.subject_id for one in judged if one.kind == "heir" and one.subject_id}
    ids = sorted({*(one.line_id for one in judged), *heirs.values()})
    rows = connection.execute(booking.LOCK_LINES, {"user": user_id, "ids": array(ids, "uuid")}).all()
    before = {row.id: row for row in rows if row.id in heirs.values()}
    lines = {row.id: row for row in rows if _is_as_read(row, loaded)}
    outcome = Outcome()
    inherited = succession.take_over(connection, heirs, lines | before, outcome, now) if heirs else set()
    ours = [one for one in judged if one.line_id in lines and (one.kind != "heir" or one.line_id in inherited)]
    sure = [one for one in ours if one.tier == "sure" and one.kind not in ("duplicate", "heir", "none")]
    accepted: set[UUID] = set()
    if sure and is_automatic(connection, user_id):
        accepted = _accept(connection, loaded, lines, sure, outcome, now)
    rest = [one for one in ours if one.line_id not in accepted | inherited]
    proposing.write(connection, lines, rest, outcome)
    _remember(connection, user_id, ours, now)
    matching.refresh(connection, outcome)
    repayments.collect(connection, outcome, now, calendar)
    announce_all(connection, _fewer(outcome))
    done.judged += len(ours)
    done.accepted += len(accepted | inherited)
    done.proposed += sum(one.kind in ("invoices", "payment", "payout") and one.tier != "suspense" for one in rest)
    done.duplicates += sum(one.kind == "duplicate" for one in rest)
    done.suspense += sum(one.tier == "suspense" for one in rest)


def _is_as_read(row: Any, loaded: Loaded) -> bool:
    read = loaded.rows.get(row.id)
    return (
        read is not None
        and row.status == "posted"
        and row.match_state in ("none", "proposed")
        and (row.version, row.amount, row.currency, row.narration)
        == (read.version, read.amount, read.currency, read.narration)
    )


def _fewer(outcome: Outcome) -> Any:
    from core.intake import fewer  # noqa: PLC0415 - intake knows the first look, which knows of this package.

    return fewer(outcome.announcements, _MOST_OF_A_KIND)


def is_automatic(connection: Connection, user_id: UUID) -> bool:
    """Whether a seller has what is sure accepted without being asked; so it is unless they said otherwise."""
    said = connection.scalar(
        text("SELECT match_automatically FROM business_profiles WHERE user_id = :user"), {"user": user_id}
    )
    return said is not False


def decision(line: Any, one: Judgement) -> Decision:
    """A judgement as a decision about the line's locked row."""
    return Decision(
        line=line,
        kind=one.kind if one.kind in ("payment", "payout") else "invoices",
        targets=tuple(Target(invoice, amount) for invoice, amount in one.targets),
        subject_id=one.subject_id,
        score=one.score,
        margin=one.margin,
        tier=one.tier,
        features=one.features,
        version=str(one.features.get("rules", "")),
        alternatives=one.alternatives,
    )


def _accept(
    connection: Connection,
    loaded: Loaded,
    lines: Mapping[UUID, Any],
    sure: Sequence[Judgement],
    outcome: Outcome,
    now: datetime,
) -> set[UUID]:
    """Book what is sure and still possible; return the lines. What the database refuses is left to a person."""
    wanted = [decision(lines[one.line_id], one) for one in sure]
    wanted = booking.possible(connection, wanted, loaded.dues)
    try:
        with connection.begin_nested():
            return set(booking.book(connection, wanted, outcome, now, None))
    except IntegrityError:
        # The same money is booked on another line since it was read: one by one, so that the others are not held up.
        outcome.announcements.clear()
        outcome.due.clear()
        outcome.settled.clear()
    found: set[UUID] = set()
    for one in wanted:
        alone = Outcome()
        try:
            with connection.begin_nested():
                found.update(booking.book(connection, [one], alone, now, None))
        except IntegrityError:
            continue
        outcome.announcements += alone.announcements
        outcome.due |= alone.due
        outcome.settled |= alone.settled
        outcome.origins |= alone.origins
    return found


def _remember(connection: Connection, user_id: UUID, judged: Sequence[Judgement], now: datetime) -> None:
    connection.execute(
        _STORE_JUDGEMENTS,
        _JUDGEMENTS.parameters(
            {
                "transaction_id": one.line_id,
                "user_id": user_id,
                "tier": one.tier,
                "weights_version": CURRENT.version,
                "alternatives": json.dumps(list(one.alternatives)),
                "judged_at": now,
            }
            for one in judged
        ),
    )
