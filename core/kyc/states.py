"""The states of KYC, and the one function that changes a profile."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.orm import Session

from core import audit
from core.errors import Conflict
from core.events import DomainEvent
from core.identity import Actor
from core.ids import new_id
from core.live import announce


class State(StrEnum):
    """How far a person's KYC is. Money moves for `verified` alone."""

    NOT_STARTED = "not_started"
    SUBMITTED = "submitted"
    VERIFIED = "verified"
    REJECTED = "rejected"
    EXPIRED = "expired"


# The database holds the same table (migration 0009); a test compares them. To itself: papers were handed in.
MOVES: Mapping[State, frozenset[State]] = {
    State.NOT_STARTED: frozenset({State.NOT_STARTED, State.SUBMITTED, State.VERIFIED}),
    State.SUBMITTED: frozenset({State.SUBMITTED, State.VERIFIED, State.REJECTED}),
    State.VERIFIED: frozenset({State.VERIFIED, State.SUBMITTED, State.REJECTED, State.EXPIRED}),
    State.REJECTED: frozenset({State.REJECTED, State.SUBMITTED}),
    State.EXPIRED: frozenset({State.EXPIRED, State.SUBMITTED}),
}
_COLUMNS = frozenset(
    {
        "legal_name", "constitution", "pan", "gstin", "udyam", "account_name", "evidence", "submitted_at",
        "decided_at", "decided_by", "decision_reason",
    }
)  # fmt: skip


def lock(session: Session, user_id: UUID, now: datetime) -> Any:
    """The row of a person, made if there is none, locked until the transaction ends."""
    session.execute(
        text("INSERT INTO kyc_profiles (user_id, updated_at) VALUES (:user, :now) ON CONFLICT (user_id) DO NOTHING"),
        {"user": user_id, "now": now},
    )
    return session.execute(text("SELECT * FROM kyc_profiles WHERE user_id = :user FOR UPDATE"), {"user": user_id}).one()


def change(
    session: Session,
    row: Any,
    to: State,
    now: datetime,
    *,
    actor: Actor | None,
    reason: str,
    data: Mapping[str, object] | None = None,
    **columns: object,
) -> None:
    """Change a locked row, write its history, audit it and tell the person and the operators.

    `actor` None is the platform itself. Raises Conflict for a move that is not among MOVES.
    """
    before = State(row.state)
    if to not in MOVES[before]:
        raise Conflict(f"KYC that is {_words(before)} cannot become {_words(to)}")
    unknown = set(columns) - _COLUMNS
    if unknown:
        raise TypeError(f"no columns of a profile: {', '.join(sorted(unknown))}")
    changes = "".join(f", {name} = :{name}" for name in columns)
    session.execute(
        text(
            f"UPDATE kyc_profiles SET state = :state, version = version + 1, updated_at = :now{changes} "
            "WHERE user_id = :user"
        ),
        {"state": to.value, "now": now, "user": row.user_id, **columns},
    )
    session.execute(
        text(
            "INSERT INTO kyc_history (id, user_id, version, before, after, actor_id, reason, data, at) "
            "VALUES (:id, :user, :version, :before, :after, :actor, :reason, CAST(:data AS jsonb), :now)"
        ),
        {
            "id": new_id(),
            "user": row.user_id,
            "version": row.version + 1,
            "before": before.value,
            "after": to.value,
            "actor": actor.id if actor else None,
            "reason": reason,
            "data": json.dumps(dict(data or {})),
            "now": now,
        },
    )
    audit.record(session, actor, "kyc.changed", "user", row.user_id, {"before": before.value, "after": to.value}, now)
    told: dict[str, object] = {"user_id": str(row.user_id), "state": to.value, "version": row.version + 1}
    announce(
        session,
        [DomainEvent(room=room, name="kyc.updated", data=told) for room in (f"user:{row.user_id}", "operators")],
    )


def _words(state: State) -> str:
    return state.value.replace("_", " ")
