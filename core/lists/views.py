"""Views of the list that somebody keeps under a name: filters and an order."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.orm import Session

from core.errors import Conflict, Invalid, NotFound
from core.identity import Actor
from core.ids import new_id

MAX_VIEWS: Final = 50
MAX_NAME: Final = 60
_COLUMNS = "id, name, filters, is_default, created_at, updated_at"


class TooManyViews(Conflict):
    """One has to go first."""

    code = "too_many_views"


def _shape(row: Any) -> dict[str, Any]:
    return {**row._asdict(), "id": str(row.id)}


def list_views(session: Session, actor: Actor) -> list[dict[str, Any]]:
    """The actor's views, by name."""
    rows = session.execute(
        text(f"SELECT {_COLUMNS} FROM saved_views WHERE user_id = :user ORDER BY lower(name)"), {"user": actor.id}
    )
    return [_shape(row) for row in rows]


def default(session: Session, actor: Actor) -> dict[str, Any] | None:
    """The view with which the actor's list begins, or None."""
    row = session.execute(
        text(f"SELECT {_COLUMNS} FROM saved_views WHERE user_id = :user AND is_default"), {"user": actor.id}
    ).one_or_none()
    return None if row is None else _shape(row)


def save(
    session: Session, actor: Actor, name: str, filters: Mapping[str, Any], now: datetime, *, is_default: bool = False
) -> dict[str, Any]:
    """Keep a view; one of the same name becomes this one. Raises Invalid, TooManyViews."""
    name = " ".join(name.split())
    if not 0 < len(name) <= MAX_NAME:
        raise Invalid("name", f"must have 1 to {MAX_NAME} characters")
    # Two at once take turns: counting, and which is the default, is about all of somebody's views.
    session.execute(text("SELECT FROM users WHERE id = :id FOR NO KEY UPDATE"), {"id": actor.id})
    values = {"user": actor.id, "name": name}
    others = session.scalar(
        text("SELECT count(*) FROM saved_views WHERE user_id = :user AND lower(name) <> lower(:name)"), values
    )
    if others is not None and others >= MAX_VIEWS:
        raise TooManyViews(f"{MAX_VIEWS} views are kept; delete one first")
    if is_default:
        session.execute(
            text("UPDATE saved_views SET is_default = false WHERE user_id = :user AND is_default"), {"user": actor.id}
        )
    row = session.execute(
        text(
            "INSERT INTO saved_views (id, user_id, name, filters, is_default, created_at, updated_at) "
            "VALUES (:id, :user, :name, CAST(:filters AS jsonb), :default, :now, :now) "
            "ON CONFLICT (user_id, lower(name)) DO UPDATE SET name = excluded.name, filters = excluded.filters, "
            f"is_default = excluded.is_default, updated_at = excluded.updated_at RETURNING {_COLUMNS}"
        ),
        {**values, "id": new_id(), "filters": json.dumps(dict(filters)), "default": is_default, "now": now},
    ).one()
    return _shape(row)


def delete(session: Session, actor: Actor, view_id: UUID) -> dict[str, Any]:
    """Take a view away and return what it was. Raises NotFound."""
    row = session.execute(
        text(f"DELETE FROM saved_views WHERE id = :id AND user_id = :user RETURNING {_COLUMNS}"),
        {"id": view_id, "user": actor.id},
    ).one_or_none()
    if row is None:
        raise NotFound("view", view_id)
    return _shape(row)
