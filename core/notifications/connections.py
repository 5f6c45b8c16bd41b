"""The troubles of a connection, in words, with what its owner can do about each."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from sqlalchemy import Connection, text
from sqlalchemy.orm import Session

from core.events import ConnectionHealth, DomainEvent
from core.notifications.store import Notice, clear, tell

NEEDS_ATTENTION = "connection.needs_attention"
REVOKED = "connection.revoked"
CREDENTIALS = "connection.credentials"
SYNC = "connection.sync"
WEBHOOK = "connection.webhook"

# What went wrong, and what to do about it.
_WORDS = {
    NEEDS_ATTENTION: (
        "{name} needs attention",
        "Confirm or renew the consent at the provider, or connect the account again there.",
    ),
    REVOKED: (
        "{name} was disconnected at the provider",
        "Nothing new arrives. Connect the account again at the provider, or delete the connection here.",
    ),
    CREDENTIALS: (
        "{name}: the provider does not accept our credentials",
        "Make a new key at the provider, or authorise the access again, and enter it in the connection's secrets.",
    ),
    SYNC: (
        "{name} could not be pulled",
        "Webhooks are still received. Start the sync again on the connection's page once the cause is gone.",
    ),
    WEBHOOK: (
        "{name}: the webhook is not set up at the provider",
        "Set it up by hand with the address on the connection's page; the check is repeated every day.",
    ),
}


def trouble(
    session: Session | Connection,
    connection_id: UUID,
    kind: str,
    reason: str | None,
    *,
    event_id: UUID | None = None,
    now: datetime | None = None,
) -> list[DomainEvent]:
    """Tell the owner of a connection what is wrong with it; return what to announce. Told once while it lasts."""
    row = session.execute(
        text("SELECT user_id, name FROM connections WHERE id = :id AND deleted_at IS NULL"), {"id": connection_id}
    ).one_or_none()
    if row is None:
        return []
    title, advice = _WORDS[kind]
    said = (reason or "").strip().rstrip(".")[:500]
    notice = Notice(
        user_id=row.user_id,
        kind=kind,
        subject_kind="connection",
        subject_id=connection_id,
        title=title.format(name=row.name),
        body=f"{said[:1].upper()}{said[1:]}. {advice}" if said else advice,
        event_id=event_id,
    )
    return tell(session, notice, now)


def well(
    session: Session | Connection, connection_id: UUID, *kinds: str, now: datetime | None = None
) -> list[DomainEvent]:
    """Clear these troubles of a connection; return what to announce."""
    return clear(session, connection_id, kinds, now)


def forget_ended(session: Session | Connection) -> list[DomainEvent]:
    """Clear the troubles of connections that are gone; return what to announce."""
    ended = session.scalars(
        text(
            "SELECT DISTINCT subject_id FROM notifications JOIN connections ON connections.id = subject_id "
            "WHERE cleared_at IS NULL AND subject_kind = 'connection' AND connections.deleted_at IS NOT NULL"
        )
    ).all()
    return [event for identity in ended for event in well(session, identity, *_WORDS)]


def health_changed(
    session: Session | Connection,
    connection_id: UUID,
    health: ConnectionHealth,
    reason: str | None,
    event_id: UUID | None,
) -> list[DomainEvent]:
    """Follow what the provider says of the connection itself."""
    match health:
        case ConnectionHealth.ACTIVE:
            return well(session, connection_id, NEEDS_ATTENTION, REVOKED)
        case ConnectionHealth.NEEDS_ATTENTION:
            ended = well(session, connection_id, REVOKED)
            return [*ended, *trouble(session, connection_id, NEEDS_ATTENTION, reason, event_id=event_id)]
        case ConnectionHealth.REVOKED:
            ended = well(session, connection_id, NEEDS_ATTENTION)
            return [*ended, *trouble(session, connection_id, REVOKED, reason, event_id=event_id)]
