"""Connections: a user's links to accounts at providers, with their secrets.

What a connector asks for (which secrets and settings there are, what a good secret looks like) is checked by
the caller: this package knows no connectors.
"""

from __future__ import annotations

import json
import secrets as randomness
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from core import audit, paging
from core.connections.sealing import KeyRing, secret_identity
from core.errors import Conflict, Forbidden, Invalid, NotFound
from core.events import DomainEvent
from core.identity import Actor, Role
from core.ids import new_id
from core.inbox.claim import adopt_unrouted
from core.live import announce

WEBHOOK_SECRET = "webhook_secret"  # noqa: S105
# The connector of bank accounts whose statements their owner brings as files: no plugin, a name alone.
STATEMENT = "statement"
_MAX_NAME = 100
_MAX_EXTERNAL = 200
_MAX_SECRET = 4096

_COLUMNS = """
    connections.id, connections.user_id, connections.connector, connections.name, connections.hook_id,
    connections.external_id, connections.settings, connections.health, connections.health_reason,
    connections.write_since,
    connections.paused_at, connections.created_at, connections.updated_at
"""


def shape(row: Any) -> dict[str, Any]:
    """A connection as the API shows it: never its secrets, only which there are."""
    return {
        "id": str(row.id),
        "connector": row.connector,
        "name": row.name,
        "external_id": row.external_id,
        "settings": row.settings,
        "write_back": row.write_since is not None,
        "health": row.health,
        "health_reason": row.health_reason,
        "paused_at": row.paused_at,
        "secrets": row.secrets or [],
        "hook_id": row.hook_id,
        "created_at": row.created_at,
        "updated_at": row.updated_at,
    }


# Which secrets there are, how old each is, and until when an older one still verifies.
_SECRETS = """
    LEFT JOIN LATERAL (
        SELECT jsonb_agg(jsonb_build_object('name', name, 'created_at', created_at, 'expires_at', expires_at)
                         ORDER BY name, created_at DESC) AS secrets
        FROM connection_secrets
        WHERE connection_id = connections.id AND (expires_at IS NULL OR expires_at > now())
    ) AS held ON true
"""


def _visible(actor: Actor) -> str:
    # An account whose statements are brought has no provider: nothing to pull, to pause or to sign with.
    return f"connections.connector <> '{STATEMENT}'" + (
        "" if actor.is_operator else " AND connections.user_id = :actor"
    )


def list_connections(
    session: Session, actor: Actor, *, limit: int = 25, cursor: str | None = None, connector: str | None = None
) -> dict[str, Any]:
    """Connections, newest first."""
    conditions = [_visible(actor), "connections.deleted_at IS NULL"]
    values: dict[str, Any] = {"actor": actor.id, "limit": paging.check_limit(limit) + 1}
    if connector:
        conditions.append("connections.connector = :connector")
        values["connector"] = connector
    if (after := paging.after_id(cursor)) is not None:
        conditions.append("connections.id < :after")
        values["after"] = after
    rows = session.execute(
        text(
            f"SELECT {_COLUMNS}, held.secrets FROM connections {_SECRETS} WHERE {' AND '.join(conditions)} "
            "ORDER BY connections.id DESC LIMIT :limit"
        ),
        values,
    ).all()
    return paging.page(rows, limit, shape)


def get_connection(session: Session, actor: Actor, connection_id: UUID) -> dict[str, Any]:
    """A connection. Raises NotFound."""
    row = session.execute(
        text(
            f"SELECT {_COLUMNS}, held.secrets FROM connections {_SECRETS} "
            f"WHERE connections.id = :id AND connections.deleted_at IS NULL AND {_visible(actor)}"
        ),
        {"id": connection_id, "actor": actor.id},
    ).one_or_none()
    if row is None:
        raise NotFound("connection", connection_id)
    return shape(row)


def _clean_name(name: str) -> str:
    cleaned = name.strip()
    if not 0 < len(cleaned) <= _MAX_NAME:
        raise Invalid("name", f"must have 1 to {_MAX_NAME} characters")
    return cleaned


def _clean_external(external_id: str | None) -> str | None:
    cleaned = (external_id or "").strip() or None
    if cleaned is not None and len(cleaned) > _MAX_EXTERNAL:
        raise Invalid("settings.external_id", f"must have at most {_MAX_EXTERNAL} characters")
    return cleaned


def _add_secrets(session: Session, ring: KeyRing, connection_id: UUID, given: Mapping[str, str], now: datetime) -> None:
    for name, secret in given.items():
        if not 0 < len(secret) <= _MAX_SECRET:
            raise Invalid(f"secrets.{name}", f"must have 1 to {_MAX_SECRET} characters")
        row_id = new_id()
        session.execute(
            text(
                "INSERT INTO connection_secrets (id, connection_id, name, sealed, created_at) "
                "VALUES (:id, :connection, :name, :sealed, :now)"
            ),
            {
                "id": row_id,
                "connection": connection_id,
                "name": name,
                "sealed": ring.seal(secret, secret_identity(connection_id, name, row_id)),
                "now": now,
            },
        )


def create(
    session: Session,
    actor: Actor,
    ring: KeyRing,
    *,
    connector: str,
    name: str,
    secrets: Mapping[str, str],
    settings: Mapping[str, str],
    external_id: str | None,
    now: datetime,
) -> dict[str, Any]:
    """Make a connection. Raises Conflict when another one has the same account at the provider.

    Events that waited for this account become its own.
    """
    if actor.role is not Role.SELLER:
        raise Forbidden("only sellers connect providers")
    identity, external = new_id(), _clean_external(external_id)
    try:
        with session.begin_nested():
            session.execute(
                text(
                    "INSERT INTO connections (id, user_id, connector, name, hook_id, external_id, settings, "
                    "created_at, updated_at) VALUES (:id, :user, :connector, :name, :hook, :external, "
                    "CAST(:settings AS jsonb), :now, :now)"
                ),
                {
                    "id": identity,
                    "user": actor.id,
                    "connector": connector,
                    "name": _clean_name(name),
                    "hook": randomness.token_urlsafe(16),
                    "external": external,
                    "settings": json.dumps(dict(settings)),
                    "now": now,
                },
            )
    except IntegrityError as error:
        raise _taken(error) from error
    _add_secrets(session, ring, identity, secrets, now)
    adopted = adopt_unrouted(session, connector, external, identity, now) if external else 0
    audit.record(
        session,
        actor,
        "connection.created",
        "connection",
        identity,
        {"connector": connector, "secrets": sorted(secrets), "adopted": adopted},
        now,
    )
    made = get_connection(session, actor, identity)
    _tell(session, "connection.created", made, actor.id)
    return made


def _taken(error: IntegrityError) -> Exception:
    constraint = getattr(getattr(error.orig, "diag", None), "constraint_name", None)
    if constraint == "connections_external":
        return Conflict("this account is connected already")
    return error


def _tell(session: Session, name: str, connection: dict[str, Any], user_id: UUID) -> None:
    room = f"user:{user_id}"
    data: dict[str, object] = {
        "connection_id": connection["id"],
        "connector": connection["connector"],
        "name": connection["name"],
        "health": connection["health"],
        "reason": connection["health_reason"],
    }
    announce(
        session,
        [
            DomainEvent(room=room, name=name, data=data),
            DomainEvent(room=room, name="dashboard.updated", data={}),
        ],
    )


def _own(session: Session, actor: Actor, connection_id: UUID) -> Any:
    row = session.execute(
        text(
            "SELECT id, connector, external_id FROM connections "
            f"WHERE id = :id AND user_id = :actor AND connector <> '{STATEMENT}' AND deleted_at IS NULL FOR UPDATE"
        ),
        {"id": connection_id, "actor": actor.id},
    ).one_or_none()
    if row is None:
        # An operator may look at it, and no more.
        get_connection(session, actor, connection_id)
        raise Forbidden("only its owner changes a connection")
    return row


def update(
    session: Session,
    actor: Actor,
    ring: KeyRing,
    connection_id: UUID,
    *,
    now: datetime,
    name: str | None = None,
    settings: Mapping[str, str] | None = None,
    external_id: str | None = None,
    secrets: Mapping[str, str] | None = None,
    write_back: bool | None = None,
    old_secrets_live: timedelta = timedelta(hours=24),
) -> dict[str, Any]:
    """Rename, replace the settings, give new secrets, or say whether its books are written to.

    A secret that is replaced lives on for `old_secrets_live`, because what the provider signed with it may
    still be on its way, or be sent again.
    """
    row = _own(session, actor, connection_id)
    external = _clean_external(external_id) or row.external_id
    try:
        with session.begin_nested():
            session.execute(
                text(
                    "UPDATE connections SET name = coalesce(:name, name), external_id = :external, "
                    "settings = coalesce(CAST(:settings AS jsonb), settings), write_since = CASE "
                    "WHEN :write THEN coalesce(write_since, :now) WHEN NOT :write THEN NULL ELSE write_since END, "
                    "updated_at = :now WHERE id = :id"
                ),
                {
                    "id": connection_id,
                    "write": write_back,
                    "name": None if name is None else _clean_name(name),
                    "external": external,
                    "settings": None if settings is None else json.dumps(dict(settings)),
                    "now": now,
                },
            )
    except IntegrityError as error:
        raise _taken(error) from error
    if secrets:
        session.execute(
            text(
                "UPDATE connection_secrets SET expires_at = :until WHERE connection_id = :id "
                "AND name = ANY(CAST(:names AS text[])) AND expires_at IS NULL"
            ),
            {"until": now + old_secrets_live, "id": connection_id, "names": list(secrets)},
        )
        _add_secrets(session, ring, connection_id, secrets, now)
    if external and external != row.external_id:
        adopt_unrouted(session, row.connector, external, connection_id, now)
    audit.record(
        session,
        actor,
        "connection.updated",
        "connection",
        connection_id,
        {
            "secrets": sorted(secrets or ()),
            "settings": sorted(settings or ()),
            "renamed": name is not None,
            **({} if write_back is None else {"write_back": write_back}),
        },
        now,
    )
    return _tell_updated(session, actor, connection_id)


def pause(session: Session, actor: Actor, connection_id: UUID, now: datetime) -> dict[str, Any]:
    """Keep what the provider says without processing it, until `resume`. Pausing twice changes nothing."""
    _own(session, actor, connection_id)
    changed = session.execute(
        text(
            "UPDATE connections SET paused_at = :now, updated_at = :now "
            "WHERE id = :id AND paused_at IS NULL RETURNING id"
        ),
        {"now": now, "id": connection_id},
    ).all()
    if changed:
        audit.record(session, actor, "connection.paused", "connection", connection_id, {}, now)
    session.execute(
        # What somebody is working on right now is set aside when it comes back, or takes effect.
        text(
            "UPDATE event_queue SET state = 'paused', attempts = 0 "
            "WHERE connection_id = :id AND state IN ('ready', 'fetch') AND claimed_at IS NULL"
        ),
        {"id": connection_id},
    )
    return _tell_updated(session, actor, connection_id)


def resume(session: Session, actor: Actor, connection_id: UUID, now: datetime) -> dict[str, Any]:
    """Process what waited, in the order in which it came, and what comes from now on."""
    _own(session, actor, connection_id)
    changed = session.execute(
        text(
            "UPDATE connections SET paused_at = NULL, updated_at = :now "
            "WHERE id = :id AND paused_at IS NOT NULL RETURNING id"
        ),
        {"now": now, "id": connection_id},
    ).all()
    waited = session.execute(
        text(
            "UPDATE event_queue SET state = 'ready', due_at = :now, attempts = 0 "
            "WHERE connection_id = :id AND state = 'paused' RETURNING event_id"
        ),
        {"now": now, "id": connection_id},
    ).all()
    if changed:
        audit.record(session, actor, "connection.resumed", "connection", connection_id, {"events": len(waited)}, now)
    return _tell_updated(session, actor, connection_id)


def _tell_updated(session: Session, actor: Actor, connection_id: UUID) -> dict[str, Any]:
    changed = get_connection(session, actor, connection_id)
    _tell(session, "connection.updated", changed, actor.id)
    return changed


def delete(session: Session, actor: Actor, connection_id: UUID, now: datetime) -> None:
    """End a connection: its address answers 404 and its secrets are gone. What it brought stays."""
    row = _own(session, actor, connection_id)
    ended = get_connection(session, actor, connection_id)
    session.execute(
        text("UPDATE connections SET deleted_at = :now, updated_at = :now WHERE id = :id"),
        {"id": connection_id, "now": now},
    )
    session.execute(text("DELETE FROM connection_secrets WHERE connection_id = :id"), {"id": connection_id})
    audit.record(session, actor, "connection.deleted", "connection", connection_id, {"connector": row.connector}, now)
    _tell(session, "connection.deleted", ended, actor.id)


def secrets_for(session: Session, ring: KeyRing, connection_id: UUID, name: str, now: datetime) -> tuple[str, ...]:
    """The live secrets of a name, newest first; several while one is being replaced."""
    rows = session.execute(
        text(
            "SELECT id, sealed FROM connection_secrets WHERE connection_id = :id AND name = :name "
            "AND (expires_at IS NULL OR expires_at > :now) ORDER BY created_at DESC, id DESC"
        ),
        {"id": connection_id, "name": name, "now": now},
    )
    return tuple(ring.open(row.sealed, secret_identity(connection_id, name, row.id)) for row in rows)


def definition_of(session: Session, connection_id: UUID) -> str | None:
    """What a connection says of how its deliveries are signed and read, where that is its own."""
    found: str | None = session.scalar(
        text("SELECT settings->>'definition' FROM connections WHERE id = :id"), {"id": connection_id}
    )
    return found


def newest_secrets(session: Session, ring: KeyRing, connection_id: UUID, now: datetime) -> dict[str, str]:
    """The newest live secret of every name: what a request to the provider is made with."""
    rows = session.execute(
        text(
            "SELECT DISTINCT ON (name) id, name, sealed FROM connection_secrets WHERE connection_id = :id "
            "AND (expires_at IS NULL OR expires_at > :now) ORDER BY name, created_at DESC, id DESC"
        ),
        {"id": connection_id, "now": now},
    )
    return {row.name: ring.open(row.sealed, secret_identity(connection_id, row.name, row.id)) for row in rows}


def lock_secrets(session: Session, ring: KeyRing, connection_id: UUID, now: datetime) -> dict[str, str]:
    """The newest live secret of every name, which nobody else changes until the transaction ends."""
    session.execute(
        text("SELECT id FROM connection_secrets WHERE connection_id = :id ORDER BY id FOR UPDATE"),
        {"id": connection_id},
    )
    return newest_secrets(session, ring, connection_id, now)


def renew_secrets(
    session: Session,
    ring: KeyRing,
    connection_id: UUID,
    secrets: Mapping[str, str],
    now: datetime,
    *,
    old_secrets_live: timedelta = timedelta(hours=1),
) -> None:
    """Keep secrets that the provider made anew; the old ones of the same names live on for `old_secrets_live`.

    A connection that has ended keeps none.
    """
    if session.scalar(text("SELECT deleted_at IS NULL FROM connections WHERE id = :id"), {"id": connection_id}):
        session.execute(
            text(
                "UPDATE connection_secrets SET expires_at = :until WHERE connection_id = :id "
                "AND name = ANY(CAST(:names AS text[])) AND expires_at IS NULL"
            ),
            {"until": now + old_secrets_live, "id": connection_id, "names": list(secrets)},
        )
        _add_secrets(session, ring, connection_id, secrets, now)
