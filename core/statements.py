"""What passes between the worker and the domain: statements in, effects and announcements out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Literal
from uuid import UUID

from core.events import DomainEvent, Record, Trust

EffectKind = Literal["created", "updated", "unchanged"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Statement:
    """A record with its origin: which event said it, over which connection, and how far it is trusted."""

    event_id: UUID
    connection_id: UUID
    user_id: UUID
    connector: str
    trust: Trust
    record: Record


@dataclass(frozen=True, slots=True, kw_only=True)
class Effect:
    """What an event did to one of our objects."""

    event_id: UUID
    object_kind: str
    object_id: UUID
    effect: EffectKind


@dataclass(slots=True)
class Outcome:
    """Everything a batch of statements changed, beside the rows themselves."""

    effects: list[Effect] = field(default_factory=list)
    announcements: list[tuple[DomainEvent, UUID | None]] = field(default_factory=list)
    # Invoices whose paid amount changed, with what is due of them now in minor units.
    due: dict[UUID, int] = field(default_factory=dict)
    # Invoices whose payments were written, with the event that did it last: whoever ends the transaction's work
    # hands them to `core.marketplace.repayments.collect`. And which event changed which payment.
    settled: dict[UUID, UUID | None] = field(default_factory=dict)
    origins: dict[UUID, UUID] = field(default_factory=dict)
    # Payouts whose parts their provider names anew, by connection and the provider's id.
    named: set[tuple[UUID, str]] = field(default_factory=set)

    def tell(self, rooms: Sequence[str], name: str, data: dict[str, object], event_id: UUID | None) -> None:
        """Announce the same thing to several rooms."""
        for room in rooms:
            self.announcements.append((DomainEvent(room=room, name=name, data=data), event_id))


def supersedes(new: Sequence[Any], old: Sequence[Any]) -> bool:
    """Whether a statement overrules what is known.

    Both are (confirmed, status rank, version, *content). A confirmed statement beats a hint, a higher status
    beats a lower one, then the newer version; between equals the content decides, so that any order of
    arrival ends the same.
    """
    if tuple(new[:3]) != tuple(old[:3]):
        return tuple(new[:3]) > tuple(old[:3])
    # None sorts before everything; other contents are compared as text, which is arbitrary and always the same.
    return [_sortable(value) for value in new[3:]] > [_sortable(value) for value in old[3:]]


def _sortable(value: object) -> tuple[bool, str]:
    if isinstance(value, datetime):
        # The database spells moments in its own time zone.
        value = value.astimezone(UTC).isoformat()
    return (value is not None, str(value))
