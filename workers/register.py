"""Drift: is the webhook still set up at the provider? Asked on making a connection and once a day."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from ipaddress import ip_address
from urllib.parse import urlsplit

import structlog
from sqlalchemy import Connection, text
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from connectors import registry, talks
from connectors.base import Connector, Registration
from core.connections import store as connections
from core.connections.address import webhook_url
from core.errors import CredentialsRefused, MalformedPayload, NotFound, Permanent, PlatformError, Transient
from core.live import announce
from core.notifications import connections as troubles
from core.syncing import registrations
from core.syncing.registrations import Check
from workers.context import Context
from workers.credentials import credentials_of, custody_of
from workers.normalize import why_failed

log = structlog.get_logger(__name__)

_DAILY = timedelta(days=1)
_MIN_OVERLAP = timedelta(hours=24)


@dataclass(frozen=True, slots=True)
class _Refused(Exception):
    """There is nothing to ask the provider: no such API, no secrets, no address that it could reach."""

    reason: str | None


def drain(context: Context) -> int:
    """Check one connection's webhook; return 1, or 0 when none is due."""
    with context.database.statements() as connection:
        check = registrations.claim(connection, lease_seconds=context.settings.lease_seconds, now=context.now())
    if check is None:
        return 0
    try:
        found = _ask(context, check)
    except _Refused as refused:
        with context.database.connect() as connection:
            registrations.put_off(connection, check, context.now() + _DAILY, refused.reason)
    except (OperationalError, InterfaceError, PoolTimeout):
        # Due again when the lease ends.
        raise
    except Transient as error:
        _fail(context, check, error, retry_after_seconds=error.retry_after_seconds)
    except (Permanent, MalformedPayload, NotFound) as error:
        _fail(context, check, error, permanent=True)
    except (PlatformError, DBAPIError) as error:
        _fail(context, check, error)
    except Exception as error:  # A plugin's bug must not stop the others.
        log.exception("connector failed", connector=check.connector)
        _fail(context, check, error)
    else:
        _store(context, check, found)
    return 1


def _ask(context: Context, check: Check) -> Registration:
    connector = registry.get(check.connector)
    register = connector.register
    if register is None:
        raise _Refused(None)
    with context.database.session() as session:
        credentials = credentials_of(session, context.ring, check.connection_id, context.now())
    url = webhook_url(
        context.settings.base_url,
        check.connector,
        check.connection_id,
        check.hook_id,
        opaque=connector.opaque_address,
    )
    if stops := talks.obstacle(connector, credentials, lambda known: register(known, url)):
        raise _Refused(stops)
    if _local(context.settings.base_url) and not _local(context.transport.base_of(connector, credentials)):
        raise _Refused("this installation has no public address (PUBLIC_URL) that the provider could send to")
    return context.transport.run(
        connector,
        credentials,
        lambda known: register(known, url),
        custody=custody_of(context, check.connection_id),
    )


def _local(url: str) -> bool:
    host = urlsplit(url).hostname or ""
    try:
        return not ip_address(host).is_global
    except ValueError:
        return "." not in host or host.endswith((".local", ".internal", ".localhost"))


def _store(context: Context, check: Check, found: Registration) -> None:
    """Keep the result, and with a new secret the old one for as long as the provider may resend."""
    now = context.now()
    connector: Connector = registry.get(check.connector)
    with context.database.session() as session:
        connection = session.connection()
        if not registrations.hold(connection, check):
            return
        if found.secret is not None:
            # The provider signs with it from now on: it must be on disk.
            session.execute(text("SET LOCAL synchronous_commit = on"))
            connections.renew_secrets(
                session,
                context.ring,
                check.connection_id,
                {connections.WEBHOOK_SECRET: found.secret},
                now,
                old_secrets_live=max(_MIN_OVERLAP, timedelta(days=connector.resend_days)),
            )
        registrations.record(session, check, found.state, now, now + _DAILY)
        announce(session, troubles.well(session, check.connection_id, troubles.WEBHOOK, now=now))
        _tell(connection, check, found.state, None)
    context.doorbell.ring("relay")


def _fail(
    context: Context,
    check: Check,
    error: Exception,
    *,
    permanent: bool = False,
    retry_after_seconds: float | None = None,
) -> None:
    words = str(error) if isinstance(error, PlatformError) else why_failed(error)
    now = context.now()
    with context.database.connect() as connection:
        if not registrations.hold(connection, check):
            return
        given_up = registrations.fail(
            connection, check, words, now, _DAILY, permanent=permanent, retry_after_seconds=retry_after_seconds
        )
        if given_up:
            kind = troubles.CREDENTIALS if isinstance(error, CredentialsRefused) else troubles.WEBHOOK
            announce(connection, troubles.trouble(connection, check.connection_id, kind, words, now=now))
            _tell(connection, check, "failed", words)
    context.doorbell.ring("relay")
    log.warning("webhook not checked", connector=check.connector, connection=str(check.connection_id), error=words)


def _tell(connection: Connection, check: Check, state: str, error: str | None) -> None:
    announce(connection, [registrations.news(check, state, error)])
