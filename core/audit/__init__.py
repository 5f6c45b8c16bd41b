"""What people did, for those who must find out later. Rows are added, never changed."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.orm import Session

from core.identity import Actor
from core.ids import new_id


def record(
    session: Session,
    actor: Actor | None,
    action: str,
    subject_kind: str,
    subject_id: UUID,
    data: Mapping[str, object],
    now: datetime,
) -> None:
    """Note in the caller's transaction that `actor` (None: the platform itself) did something to a subject.

    `data` must be small and hold no secret.
    """
    session.execute(
        text(
            "INSERT INTO audit_log (id, at, actor_id, action, subject_kind, subject_id, data) "
            "VALUES (:id, :at, :actor_id, :action, :subject_kind, :subject_id, CAST(:data AS jsonb))"
        ),
        {
            "id": new_id(),
            "at": now,
            "actor_id": actor.id if actor else None,
            "action": action,
            "subject_kind": subject_kind,
            "subject_id": subject_id,
            "data": json.dumps(data),
        },
    )
