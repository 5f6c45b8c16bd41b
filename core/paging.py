"""Keyset pages: a cursor names the last row seen, so that page 1000 costs what page 1 does."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import datetime
from typing import Any
from uuid import UUID

from core.errors import Invalid
from core.ids import parse_id

MAX_LIMIT = 100
_MAX_CURSOR = 200


def check_limit(limit: int) -> int:
    """The limit itself when it is 1 to 100. Raises Invalid."""
    if type(limit) is not int or not 1 <= limit <= MAX_LIMIT:
        raise Invalid("limit", f"must be 1 to {MAX_LIMIT}")
    return limit


def _spell(parts: Sequence[str]) -> str:
    return base64.urlsafe_b64encode(json.dumps(list(parts)).encode("ascii")).decode("ascii").rstrip("=")


def _parts(cursor: str, count: int) -> list[str]:
    try:
        found = json.loads(
            base64.b64decode(cursor[:_MAX_CURSOR] + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True)
        )
    except (ValueError, binascii.Error, RecursionError) as error:
        raise Invalid("cursor", "is not one that this list gave out") from error
    if not isinstance(found, list) or len(found) != count or not all(isinstance(part, str) for part in found):
        raise Invalid("cursor", "is not one that this list gave out")
    return found


def after_id(cursor: str | None) -> UUID | None:
    """The id in a cursor of a list ordered by id. Raises Invalid."""
    if not cursor:
        return None
    identity = parse_id(_parts(cursor, 1)[0])
    if identity is None:
        raise Invalid("cursor", "is not one that this list gave out")
    return identity


def after_moment(cursor: str | None) -> tuple[datetime, UUID] | None:
    """The time and id in a cursor of a list ordered by time, then id. Raises Invalid."""
    if not cursor:
        return None
    spelled, identity_text = _parts(cursor, 2)
    identity = parse_id(identity_text)
    moment: datetime | None = None
    with suppress(ValueError):
        moment = datetime.fromisoformat(spelled)
    if identity is None or moment is None or moment.tzinfo is None:
        raise Invalid("cursor", "is not one that this list gave out")
    return moment, identity


def after_number(cursor: str | None) -> int | None:
    """The number in a cursor of a list ordered by one. Raises Invalid."""
    if not cursor:
        return None
    spelled = _parts(cursor, 1)[0]
    if not (spelled.isascii() and spelled.isdigit() and len(spelled) <= 18):
        raise Invalid("cursor", "is not one that this list gave out")
    return int(spelled)


def after_key(cursor: str) -> tuple[str, str, UUID]:
    """The name of the order, the last value and the last id in a cursor of `page_by_key`. Raises Invalid."""
    order, value, identity_text = _parts(cursor, 3)
    identity = parse_id(identity_text)
    if identity is None:
        raise Invalid("cursor", "is not one that this list gave out")
    return order, value, identity


def after_places(cursor: str | None, count: int) -> list[str]:
    """How far each of several lists was read, as `spell_places` wrote it; empty texts at the start. Raises Invalid."""
    return _parts(cursor, count) if cursor else [""] * count


def spell_places(places: Sequence[str]) -> str:
    """A cursor of several lists that are shown as one."""
    return _spell(places)


def page_by_key(
    rows: Sequence[Any],
    limit: int,
    shape: Callable[[Any], dict[str, Any]],
    key: Callable[[Any], tuple[str, str, UUID]],
) -> dict[str, Any]:
    """One page out of `limit` + 1 rows of a list that can be ordered by several things; `key` is a row's place."""
    shown = rows[:limit]
    cursor = None
    if len(rows) > limit:
        order, value, identity = key(shown[-1])
        cursor = _spell([order, value, str(identity)])
    return {"items": [shape(row) for row in shown], "next_cursor": cursor}


def page(
    rows: Sequence[Any], limit: int, shape: Callable[[Any], dict[str, Any]], *, by_moment: str | None = None
) -> dict[str, Any]:
    """One page out of `limit` + 1 rows that were asked for. `by_moment` names the column ordered by first."""
    shown = rows[:limit]
    cursor = None
    if len(rows) > limit:
        last = shown[-1]
        cursor = (
            _spell([str(last.id)])
            if by_moment is None
            else _spell([getattr(last, by_moment).isoformat(), str(last.id)])
        )
    return {"items": [shape(row) for row in shown], "next_cursor": cursor}


def contains(text: str) -> str:
    """A LIKE pattern for "has this text in it", with the text's own wildcards made plain."""
    escaped = text.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
    return f"%{escaped}%"
