"""Two people editing the same thing: the second is told what the first changed, and nothing is lost silently.

What is edited has a `version` that every change raises by one, with one row in the audit log that says what it
changed: {"changes": {field: [before, after]}}.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.orm import Session

from core.errors import Conflict


@dataclass(frozen=True, slots=True, kw_only=True)
class Edit:
    """What somebody changed: by field, before and after. `actor` None is the platform itself."""

    at: datetime
    actor: str | None
    changes: Mapping[str, Any]


class StaleEdit(Conflict):
    """The thing was changed after the asker read it. `version` is what it is now; `edits` are newest first."""

    code = "stale_version"

    def __init__(self, what: str, version: int, edits: list[Edit]) -> None:
        people = list(dict.fromkeys(edit.actor or "Ledgerwire" for edit in edits))
        fields = sorted({field for edit in edits for field in edit.changes})
        said = f"{' and '.join(people) or 'somebody'} changed {', '.join(fields).replace('_', ' ') or 'it'} meanwhile"
        super().__init__(f"this {what} is at version {version}: {said}; look again")
        self.version, self.edits = version, edits


def check_version(session: Session, subject_kind: str, subject_id: UUID, *, expected: int | None, actual: int) -> None:
    """Raise StaleEdit unless the version is the one that the asker read; None did not say. Ask under the row's lock."""
    if expected is None or expected == actual:
        return
    rows = session.execute(
        text(
            "SELECT audit_log.at, users.name, audit_log.data -> 'changes' AS changes FROM audit_log "
            "LEFT JOIN users ON users.id = audit_log.actor_id WHERE audit_log.subject_id = :id "
            "AND audit_log.subject_kind = :kind AND audit_log.data ? 'changes' ORDER BY audit_log.id DESC LIMIT :most"
        ),
        {"id": subject_id, "kind": subject_kind, "most": max(1, min(actual - expected, 50))},
    ).all()
    edits = [Edit(at=row.at, actor=row.name, changes=row.changes) for row in rows] if actual > expected else []
    raise StaleEdit(subject_kind.replace("_", " "), actual, edits)
