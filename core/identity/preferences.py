"""What people prefer, as they like to name it, and the caps investors set themselves."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.orm import Session

from core.errors import Invalid

MOST = 100
_LONGEST_NAME = 64
_LONGEST_VALUE = 1000


def merge(session: Session, user_id: UUID, changes: Mapping[str, str | bool | int | None]) -> dict[str, Any]:
    """Set what is given, take away what is given as None, keep the rest; return all. Repeating it changes nothing.

    Raises Invalid for names over 64 characters, texts over 1,000, numbers over 53 bits and more than 100 of them.
    """
    for name, value in changes.items():
        if not 0 < len(name) <= _LONGEST_NAME:
            raise Invalid("preferences", f"names have 1 to {_LONGEST_NAME} characters")
        if isinstance(value, str) and len(value) > _LONGEST_VALUE:
            raise Invalid(f"preferences.{name}", f"must have at most {_LONGEST_VALUE} characters")
        if isinstance(value, int) and abs(value) >= 2**53:
            raise Invalid(f"preferences.{name}", "must be a number below 2 to the 53rd")
    known: dict[str, Any] = session.execute(
        text("SELECT preferences FROM users WHERE id = :id FOR UPDATE"), {"id": user_id}
    ).scalar_one()
    merged = {name: value for name, value in {**known, **changes}.items() if value is not None}
    if len(merged) > MOST:
        raise Invalid("preferences", f"there may be {MOST} of them")
    session.execute(
        text("UPDATE users SET preferences = CAST(:preferences AS jsonb) WHERE id = :id"),
        {"preferences": json.dumps(merged), "id": user_id},
    )
    return merged
