"""The connection that a simulated provider sends to: found, or made for the demo's seller."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.orm import Session

from connectors.base import Connector
from core.connections import store
from core.connections.sealing import KeyRing
from core.database import Database
from core.identity import users
from workers.simulators.accounts import adopted, demo_account, is_asymmetric, signing_key

DEMO_SELLER = "seller@demo.com"


@dataclass(frozen=True, slots=True, kw_only=True)
class Player:
    """A connection as its provider sees it: where to send, for which account, and signed with what."""

    connection_id: UUID
    path: str
    external_id: str | None
    # What the provider signs with, and what the connection keeps.
    secret: str = field(repr=False)
    receiving: str = field(repr=False)


def find(
    session: Session,
    ring: KeyRing,
    connector: Connector,
    *,
    data_dir: Path,
    seller: UUID | None = None,
    secret: str | None = None,
) -> Player | None:
    """The oldest connection to a provider, of this seller or of anyone. `secret` signs in place of its own."""
    row = session.execute(
        text(
            "SELECT id, external_id, hook_id FROM connections WHERE connector = :connector AND deleted_at IS NULL "
            "AND (CAST(:seller AS uuid) IS NULL OR user_id = :seller) ORDER BY created_at, id LIMIT 1"
        ),
        {"connector": connector.slug, "seller": seller},
    ).one_or_none()
    return None if row is None else _player(session, ring, connector, row, data_dir, secret)


def known(
    session: Session, ring: KeyRing, connector: Connector, connection_id: UUID, *, data_dir: Path
) -> Player | None:
    """This connection to a provider, or None where there is none."""
    row = session.execute(
        text(
            "SELECT id, external_id, hook_id FROM connections "
            "WHERE id = :id AND connector = :connector AND deleted_at IS NULL"
        ),
        {"id": connection_id, "connector": connector.slug},
    ).one_or_none()
    return None if row is None else _player(session, ring, connector, row, data_dir, None)


def _player(
    session: Session, ring: KeyRing, connector: Connector, row: Any, data_dir: Path, secret: str | None
) -> Player:
    kept = store.newest_secrets(session, ring, row.id, datetime.now(UTC)).get(store.WEBHOOK_SECRET, "")
    if secret is None and is_asymmetric(connector):
        secret = adopted(connector, signing_key(connector, data_dir), kept)
    address = f"hooks/{row.hook_id}" if connector.opaque_address else f"connectors/{connector.slug}/webhook/{row.id}"
    return Player(
        connection_id=row.id,
        path=f"/api/{address}",
        external_id=row.external_id,
        secret=kept if secret is None else secret,
        receiving=kept,
    )


def make(session: Session, ring: KeyRing, connector: Connector, *, data_dir: Path, api_base: str | None) -> bool:
    """Connect the demo's seller to a provider with demo credentials; False when there is no such seller.

    Raises Conflict where somebody else has the demo account.
    """
    seller = users.find_account(session, DEMO_SELLER)
    if seller is None:
        return False
    account = demo_account(connector)
    asymmetric = is_asymmetric(connector)
    key = signing_key(connector, data_dir) if asymmetric else connector.signature.new_secret()
    kept = connector.signature.receiving(key)
    store.create(
        session,
        seller.actor,
        ring,
        connector=connector.slug,
        name=f"{connector.title} (simulated)",
        secrets={**account.secrets, **({store.WEBHOOK_SECRET: kept} if kept else {})},
        settings={**account.settings, **({"api_base": api_base} if api_base else {})},
        external_id=account.external_id,
        now=datetime.now(UTC),
    )
    return True


@contextmanager
def asked_here(database: Database, connection_id: UUID, base: str, *, stays: bool) -> Iterator[None]:
    """Have a connection ask a simulator; afterwards what it asked before, unless the simulator `stays` its provider."""
    with database.session() as session:
        before = session.scalar(
            text("SELECT settings->>'api_base' FROM connections WHERE id = :id"), {"id": connection_id}
        )
        set_api_base(session, connection_id, base)
    try:
        yield
    finally:
        if not stays:
            with database.session() as session:
                set_api_base(session, connection_id, before)


def set_api_base(session: Session, connection_id: UUID, base_url: str | None) -> None:
    """Point a connection at a simulator of its provider, or with None at the provider itself."""
    change = "settings - 'api_base'"
    if base_url is not None:
        change = "settings || jsonb_build_object('api_base', CAST(:url AS text))"
    session.execute(
        text(f"UPDATE connections SET settings = {change} WHERE id = :id"), {"url": base_url, "id": connection_id}
    )
