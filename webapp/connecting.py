"""Making and changing connections with the connector's own rules: for the API and the pages alike."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID

from flask import current_app
from sqlalchemy.orm import Session

from connectors import ranks, registry
from connectors.base import Connector
from core.connections import address, store
from core.errors import Forbidden, Invalid, NotFound
from core.identity import Actor
from core.syncing import runs, schedule
from webapp.services import services

# How a user may spell the provider's name of their account; it is kept as the connection's external id.
ACCOUNT_SETTINGS = ("external_id", "account_id", "user_id")
API_BASE = "api_base"
# How a connection's deliveries are signed and read, where its connector leaves that to it.
DEFINITION = "definition"
# A secret that was replaced verifies at least this long, whatever the provider says of its resends.
_MIN_OVERLAP = timedelta(hours=24)


@dataclass(frozen=True, slots=True, kw_only=True)
class Checked:
    """What a connector accepted."""

    secrets: dict[str, str] = field(repr=False)
    settings: dict[str, str]
    external_id: str | None


def webhook_url(connection: Mapping[str, Any]) -> str:
    """The address that the provider is to send to."""
    base = services().settings.base_url
    try:
        opaque = registry.get(connection["connector"]).opaque_address
    except NotFound:
        # The plugin was taken away; the opaque address works for every connector.
        opaque = True
    return address.webhook_url(base, connection["connector"], connection["id"], connection["hook_id"], opaque=opaque)


def present(connection: Mapping[str, Any]) -> dict[str, Any]:
    """A connection with its address."""
    shown = {name: value for name, value in connection.items() if name != "hook_id"}
    return {**shown, "webhook_url": webhook_url(connection)}


def gallery() -> list[dict[str, Any]]:
    """Every connector as people choose it, by title."""
    return sorted(map(describe, registry.all().values()), key=lambda entry: str(entry["title"]).lower())


def describe(connector: Connector) -> dict[str, Any]:
    """A connector as people choose it."""
    return {
        "slug": connector.slug,
        "title": connector.title,
        "level": ranks.published().get(connector.slug),
        "brings": list(connector.brings),
        "steps": list(connector.steps),
        "pulls": None if connector.pull is None else connector.pull.what,
        "registers": connector.register is not None,
        "docs_url": connector.docs_url,
        "checked": connector.checked,
        "makes_secret": connector.makes_secret,
        "fields": [
            {
                "name": each.name,
                "label": each.label,
                "help": each.help,
                "secret": each.secret,
                "required": each.required,
            }
            for each in connector.fields
        ],
        "events": sorted(connector.events),
    }


def _check_api_base(value: str) -> str:
    try:
        parts = urlsplit(value)
        host, _port = parts.hostname, parts.port
    except ValueError:
        host, parts = None, urlsplit("")
    if parts.scheme not in {"http", "https"} or not host or parts.username or parts.query or parts.fragment:
        raise Invalid(f"settings.{API_BASE}", "must be an http or https address")
    if not services().settings.local_providers_allowed:
        try:
            public = ipaddress.ip_address(host).is_global
        except ValueError:
            # Names are judged by the transport, at every request, when they are resolved.
            public = host != "localhost" and "." in host and not host.endswith((".local", ".internal", ".localhost"))
        if not public or parts.scheme != "https":
            raise Invalid(f"settings.{API_BASE}", "must be a public https address")
    return value.rstrip("/")


def bound(connector: Connector, settings: Mapping[str, str]) -> Connector:
    """The connector as it is with these settings. Raises Invalid, which names the place in a definition."""
    try:
        return connector.bound(settings.get(DEFINITION))
    except Invalid as error:
        raise Invalid(f"settings.{error.field}", error.message) from error


def _check(connector: Connector, secrets: Mapping[str, str], settings: Mapping[str, str]) -> Checked:
    secret_fields = {each.name for each in connector.fields if each.secret} | {store.WEBHOOK_SECRET}
    setting_fields = {each.name for each in connector.fields if not each.secret}
    allowed = setting_fields | set(ACCOUNT_SETTINGS) | ({API_BASE} if connector.api else set())
    for name in secrets:
        if name not in secret_fields:
            raise Invalid(f"secrets.{name}", f"{connector.title} has no such secret")
    for name in settings:
        if name not in allowed:
            raise Invalid(f"settings.{name}", f"{connector.title} has no such setting")
    if store.WEBHOOK_SECRET in secrets:
        try:
            connector.signature.check_secret(secrets[store.WEBHOOK_SECRET])
        except Invalid as error:
            raise Invalid(f"secrets.{store.WEBHOOK_SECRET}", error.message) from error
    given = {name: value.strip() for name, value in settings.items() if value.strip()}
    accounts = {given.pop(name) for name in ACCOUNT_SETTINGS if name in given}
    if len(accounts) > 1:
        raise Invalid("settings.external_id", "names two different accounts")
    if API_BASE in given:
        given[API_BASE] = _check_api_base(given[API_BASE])
    return Checked(secrets=dict(secrets), settings=given, external_id=next(iter(accounts), None))


def connect(
    session: Session,
    actor: Actor,
    *,
    connector: str,
    name: str,
    secrets: Mapping[str, str],
    settings: Mapping[str, str],
    now: datetime,
) -> dict[str, Any]:
    """Make a connection; `new_secrets` in the answer holds what we chose, to be shown this once.

    Raises Invalid, naming the field.
    """
    try:
        chosen = registry.get(connector)
    except NotFound as error:
        raise Invalid("connector", "there is no such connector") from error
    chosen = bound(chosen, settings)
    checked = _check(chosen, secrets, settings)
    made: dict[str, str] = {}
    keeps_secret = chosen.keeps_secret
    if store.WEBHOOK_SECRET not in checked.secrets and chosen.makes_secret and keeps_secret:
        made[store.WEBHOOK_SECRET] = chosen.signature.new_secret()
    held = {**checked.secrets, **made}
    for each in chosen.fields:
        found = held if each.secret else checked.settings
        known = each.name in found or (each.name in ACCOUNT_SETTINGS and checked.external_id)
        if each.required and not known:
            raise Invalid(f"{'secrets' if each.secret else 'settings'}.{each.name}", f"{each.label} is needed")
    optional = any(each.name == store.WEBHOOK_SECRET and not each.required for each in chosen.fields)
    if not chosen.makes_secret and keeps_secret and not optional and store.WEBHOOK_SECRET not in held:
        raise Invalid(f"secrets.{store.WEBHOOK_SECRET}", f"copy it from {chosen.title}")
    connection = store.create(
        session,
        actor,
        services().ring,
        connector=chosen.slug,
        name=name,
        secrets=held,
        settings=checked.settings,
        external_id=checked.external_id,
        now=now,
    )
    # What happened before, and whether the webhook is set up, is found out by the workers.
    schedule.begin(session, UUID(connection["id"]), now)
    return {**present(connection), "new_secrets": made}


def change(
    session: Session,
    actor: Actor,
    connection_id: UUID,
    *,
    name: str | None = None,
    secrets: Mapping[str, str] | None = None,
    settings: Mapping[str, str] | None = None,
    write_back: bool | None = None,
    now: datetime,
) -> dict[str, Any]:
    """Change a connection. Secrets that are replaced verify for as long as the provider may resend.

    Raises Invalid, naming the field, also where the provider's books cannot be written to yet.
    """
    present_one = store.get_connection(session, actor, connection_id)
    kept: Mapping[str, str] = present_one["settings"]
    chosen = bound(registry.get(present_one["connector"]), kept if settings is None else settings)
    checked = _check(chosen, secrets or {}, settings or {})
    if write_back:
        _check_writing(chosen, present_one["settings"] if settings is None else checked.settings)
    if secrets or settings is not None:
        # What stood in the way may be gone.
        schedule.hurry(session, connection_id, now)
    changed = store.update(
        session,
        actor,
        services().ring,
        connection_id,
        now=now,
        name=name,
        settings=None if settings is None else checked.settings,
        external_id=checked.external_id,
        secrets=checked.secrets,
        write_back=write_back,
        old_secrets_live=max(_MIN_OVERLAP, timedelta(days=chosen.resend_days)),
    )
    if any(changed[what] != present_one[what] for what in ("external_id", "settings")):
        # Where another account's list ended says nothing of this one's.
        runs.begin_anew(session.connection(), connection_id, now)
    return present(changed)


def _check_writing(connector: Connector, settings: Mapping[str, str]) -> None:
    if connector.mirror is None:
        raise Invalid("write_back", f"{connector.title} is only read from here")
    labels = {each.name: each.label for each in connector.fields}
    if missing := [labels.get(name, name) for name in connector.mirror.needs if not settings.get(name)]:
        raise Invalid("write_back", f"give {' and '.join(missing)} under Access first")


def writers() -> dict[str, str]:
    """Connectors that can write to their provider's books, with their titles."""
    return {slug: connector.title for slug, connector in registry.all().items() if connector.mirror is not None}


def titles() -> dict[str, str]:
    """Every connector's title by its slug."""
    return {slug: connector.title for slug, connector in registry.all().items()}


def resume(actor: Actor, connection_id: UUID, now: datetime) -> dict[str, Any]:
    """Resume a connection, and have what waited processed at once."""
    with services().database.session() as session:
        resumed = store.resume(session, actor, connection_id, now)
        schedule.hurry(session, connection_id, now)
    current_app.extensions["ledgerwire.inlet"].ringer.ring()
    return present(resumed)


def secrets_of(session: Session, actor: Actor, connection_id: UUID, now: datetime) -> tuple[str, ...]:
    """The live webhook secrets of one's own connection, for a rehearsal. They are never shown."""
    store.get_connection(session, actor, connection_id)
    if actor.is_operator:
        raise Forbidden("only its owner rehearses with a connection's secret")
    return store.secrets_for(session, services().ring, connection_id, store.WEBHOOK_SECRET, now)


def rotate_webhook_secret(session: Session, actor: Actor, connection_id: UUID, now: datetime) -> dict[str, Any]:
    """Choose a new webhook secret where it is ours to choose; `new_secrets` shows it this once."""
    connection = store.get_connection(session, actor, connection_id)
    chosen = bound(registry.get(connection["connector"]), connection["settings"])
    if not chosen.makes_secret:
        raise Invalid(f"secrets.{store.WEBHOOK_SECRET}", f"{chosen.title} chooses it; copy the new one from there")
    made = {store.WEBHOOK_SECRET: chosen.signature.new_secret()}
    return {**change(session, actor, connection_id, secrets=made, now=now), "new_secrets": made}
