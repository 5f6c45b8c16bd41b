"""How far a person is with reconciling: how much of what came in lately is decided, and how the rest waits."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.orm import Session

from core.identity import Actor

# What came in longer ago counts only while it waits.
LATELY = timedelta(days=90)


def headway(session: Session, actor: Actor, now: datetime, progress: dict[str, Any]) -> dict[str, Any]:
    """`progress` (of core.reconciliation.queries) with "done" and "whole": lines decided, and all of the last 90 days.

    Lines that wait for longer are part of the whole.
    """
    done = session.scalar(
        text(
            "SELECT count(*) FROM transactions WHERE occurred_at >= :since AND status = 'posted' AND amount > 0 "
            "AND match_state IN ('accepted', 'ignored', 'duplicate') AND (:all OR user_id = :actor)"
        ),
        {"since": now - LATELY, "actor": actor.id, "all": actor.is_operator},
    )
    return {**progress, "done": int(done or 0), "whole": int(done or 0) + progress["open"]}


def decided_at(session: Session, actor: Actor, moment: datetime, limit: int) -> list[UUID]:
    """The lines whose match this person accepted at a moment, together: what one step back takes back."""
    return list(
        session.scalars(
            text(
                "SELECT transaction_id FROM matches WHERE user_id = :actor AND decided_by = :actor "
                "AND state = 'accepted' AND decided_at = :moment ORDER BY transaction_id LIMIT :limit"
            ),
            {"actor": actor.id, "moment": moment, "limit": limit},
        )
    )


def decided_last(session: Session, actor: Actor) -> tuple[datetime, int] | None:
    """When this person last accepted lines that stand, and how many in that moment; None when they never did."""
    row = session.execute(
        text(
            "SELECT decided_at, count(*) AS lines FROM matches WHERE user_id = :actor AND decided_by = :actor "
            "AND state = 'accepted' AND decided_at = (SELECT max(decided_at) FROM matches WHERE user_id = :actor "
            "AND decided_by = :actor AND state = 'accepted') GROUP BY decided_at"
        ),
        {"actor": actor.id},
    ).one_or_none()
    return None if row is None else (row.decided_at, row.lines)
