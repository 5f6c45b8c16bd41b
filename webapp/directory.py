"""Which connection a webhook is for and what it is signed with, remembered for a few seconds.

Looking it up for every webhook would cost a query each. A secret that was just rotated is found all the
same: a refused signature is judged once more against what the database says now.
"""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TypeVar
from uuid import UUID

from sqlalchemy import text

from core.connections import store as connections
from core.connections.sealing import KeyRing
from core.database import Database

KEPT_SECONDS = 5.0
_MAX_ENTRIES = 20_000

_Value = TypeVar("_Value")


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """A connection's address: whose it is, and the live secrets, newest first."""

    connection_id: UUID
    connector: str
    user_id: UUID
    external_id: str | None
    paused: bool
    # Where the connection's provider is asked, when that is not its usual place.
    api_base: str | None = None
    # How its deliveries are signed and read, where its connector leaves that to the connection.
    definition: str | None = None
    secrets: tuple[str, ...] = field(repr=False)


class Directory:
    """The connections of an installation, as far as webhooks need them."""

    def __init__(self, database: Database, ring: KeyRing, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._database = database
        self._ring = ring
        self._clock = clock
        self._lock = threading.Lock()
        self._entries: OrderedDict[Hashable, tuple[float, object]] = OrderedDict()

    def by_id(self, connection_id: UUID, *, fresh: bool = False) -> Endpoint | None:
        """The endpoint of a connection, or None. `fresh` asks the database."""
        return self._remember(("id", connection_id), lambda: self._load("id", connection_id), fresh=fresh)

    def by_hook(self, hook_id: str, *, fresh: bool = False) -> Endpoint | None:
        """The endpoint of an opaque address, or None."""
        return self._remember(("hook", hook_id), lambda: self._load("hook_id", hook_id), fresh=fresh)

    def by_external(self, connector: str, external_id: str) -> tuple[UUID, UUID] | None:
        """The connection of a provider's account and its user, or None while nobody has connected it."""
        return self._remember(
            ("external", connector, external_id), lambda: self._load_external(connector, external_id), fresh=False
        )

    def _remember(self, key: Hashable, load: Callable[[], _Value], *, fresh: bool) -> _Value:
        now = self._clock()
        with self._lock:
            known = self._entries.get(key)
            if known is not None and not fresh and known[0] > now:
                return known[1]  # type: ignore[return-value]  # Stored under this very key by the line below.
        value = load()
        with self._lock:
            self._entries[key] = (now + KEPT_SECONDS, value)
            self._entries.move_to_end(key)
            while len(self._entries) > _MAX_ENTRIES:
                self._entries.popitem(last=False)
        return value

    def _load(self, column: str, value: UUID | str) -> Endpoint | None:
        with self._database.session() as session:
            row = session.execute(
                text(
                    "SELECT id, connector, user_id, external_id, paused_at, settings->>'api_base' AS api_base, "
                    "settings->>'definition' AS definition FROM connections "
                    f"WHERE {column} = :value AND deleted_at IS NULL"
                ),
                {"value": value},
            ).one_or_none()
            if row is None:
                return None
            return Endpoint(
                connection_id=row.id,
                connector=row.connector,
                user_id=row.user_id,
                external_id=row.external_id,
                paused=row.paused_at is not None,
                api_base=row.api_base,
                definition=row.definition,
                secrets=connections.secrets_for(session, self._ring, row.id, "webhook_secret", datetime.now(UTC)),
            )

    def _load_external(self, connector: str, external_id: str) -> tuple[UUID, UUID] | None:
        with self._database.session() as session:
            row = session.execute(
                text(
                    "SELECT id, user_id FROM connections "
                    "WHERE connector = :connector AND external_id = :external AND deleted_at IS NULL"
                ),
                {"connector": connector, "external": external_id},
            ).one_or_none()
            return None if row is None else (row.id, row.user_id)
