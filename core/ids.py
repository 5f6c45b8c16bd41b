"""Ids: UUIDv7, so that they sort by creation and big tables can be partitioned by them."""

from __future__ import annotations

from datetime import UTC, datetime
from uuid import UUID

import uuid_utils.compat


def new_id() -> UUID:
    """A new UUIDv7."""
    return uuid_utils.compat.uuid7()


def parse_id(text: str) -> UUID | None:
    """The UUID that text spells in its usual form, or None: a stranger's id is never an error."""
    try:
        return UUID(text) if len(text) in (32, 36) else None
    except ValueError:
        return None


def lowest_id_at(moment: datetime) -> UUID:
    """The smallest UUIDv7-shaped value of a moment: the bound between two partitions."""
    milliseconds = int(moment.astimezone(UTC).timestamp() * 1000)
    return UUID(int=milliseconds << 80)


def moment_of(identity: UUID) -> datetime:
    """When a UUIDv7 was made, to the millisecond."""
    return datetime.fromtimestamp((identity.int >> 80) / 1000, UTC)
