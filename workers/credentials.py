"""What a connection gives a connector to ask with, and the custody of its secrets while they are traded."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Session

from connectors.base import Authorization, Credentials
from core.connections import store as connections
from core.connections.sealing import KeyRing
from core.errors import Transient
from workers.context import Context
from workers.transport import Custody, Trade

# Longer than a provider's token endpoint takes, shorter than the lease of whoever waits.
_WAIT = "20s"


def credentials_of(session: Session, ring: KeyRing, connection_id: UUID, now: datetime) -> Credentials:
    """The newest secrets of a connection, its settings and its account."""
    row = session.execute(
        text("SELECT external_id, settings FROM connections WHERE id = :id"), {"id": connection_id}
    ).one()
    return Credentials(
        secrets=connections.newest_secrets(session, ring, connection_id, now),
        settings={name: str(value) for name, value in row.settings.items()},
        external_id=row.external_id,
    )


def custody_of(context: Context, connection_id: UUID) -> Custody:
    """Lets one worker at a time trade a connection's secrets, with the newest ones, and keeps what is renewed.

    The rows of the secrets are locked while the provider is asked, on a database connection outside the pool: a
    provider that does not answer must not take one away from those who process webhooks.
    """

    def trade_alone(trade: Trade) -> Authorization:
        try:
            with context.database.alone() as session:
                session.execute(text(f"SET LOCAL lock_timeout = '{_WAIT}'"))
                secrets = connections.lock_secrets(session, context.ring, connection_id, context.now())
                made = trade(secrets)
                if made.renewed:
                    _keep(session, context, connection_id, secrets, made.renewed)
                return made
        except OperationalError as error:
            if getattr(error.orig, "sqlstate", None) == "55P03":
                raise Transient("another worker is renewing the connection's access", 5.0) from error
            raise

    return trade_alone


def _keep(
    session: Session, context: Context, connection_id: UUID, known: Mapping[str, str], renewed: Mapping[str, str]
) -> None:
    fresh = {name: secret for name, secret in renewed.items() if known.get(name) != secret}
    if fresh:
        # The provider has forgotten the old one: this must be on disk before it is used.
        session.execute(text("SET LOCAL synchronous_commit = on"))
        connections.renew_secrets(session, context.ring, connection_id, fresh, context.now())
