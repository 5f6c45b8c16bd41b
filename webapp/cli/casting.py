"""Who plays in a simulation: the invoice that is named, the connection of its seller, and its provider's API."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import click
from sqlalchemy import text

from config.settings import Settings
from connectors.base import Connector
from core.connections.sealing import KeyRing
from core.database import Database
from workers.simulators import playing
from workers.simulators.accounts import is_asymmetric
from workers.simulators.api import Provider
from workers.simulators.basiq import Bank
from workers.simulators.playing import Player
from workers.simulators.server import Server


@dataclass(frozen=True, slots=True, kw_only=True)
class Cast:
    """The connection, the invoice if one is named, and the simulated API where the provider has one."""

    player: Player
    provider: Provider | None
    invoice: Any


@contextlib.contextmanager
def cast(
    database: Database, settings: Settings, connector: Connector, number: str | None, secret: str | None
) -> Iterator[Cast]:
    """Find everybody, and keep the simulated API up meanwhile. Raises ClickException where somebody is missing."""
    if settings.master_keys is None:
        raise click.ClickException("MASTER_KEYS: not set, so the connection's secret cannot be opened")
    ring = KeyRing.parse(settings.master_keys.get_secret_value())
    allowed = settings.local_providers_allowed
    if not allowed and is_asymmetric(connector):
        raise click.ClickException(
            f"{connector.title} signs with a key of its own, and this installation believes no other: "
            "it allows no local providers (ALLOW_LOCAL_PROVIDERS)"
        )
    with contextlib.ExitStack() as stack:
        provider, base = None, None
        if connector.api is not None and not allowed:
            click.echo(f"No local providers are allowed here: pointers are followed to {connector.title} itself.")
        if connector.api is not None and allowed:
            provider = Bank() if connector.slug == "basiq" else Provider(connector.slug, at=datetime.now(UTC))
            base = stack.enter_context(Server(provider)).address(connector.slug)
        with database.session() as session:
            invoice = None if number is None else _invoice(session, number)
            seller = None if invoice is None else invoice.seller_id
            player = playing.find(session, ring, connector, data_dir=settings.data_dir, seller=seller, secret=secret)
        made = player is None
        if player is None:
            player = _made(database, settings, ring, connector, seller, base)
        if provider is not None and base is not None:
            provider.belongs_to(player.external_id)
            stack.enter_context(playing.asked_here(database, player.connection_id, base, stays=made))
            click.echo(f"{connector.title}'s API is simulated at {base}")
        yield Cast(player=player, provider=provider, invoice=invoice)


def _invoice(session: Any, number: str) -> Any:
    found = session.execute(
        text(
            "SELECT seller_id, number, amount_due, currency, status FROM invoices WHERE number = :number "
            "ORDER BY seller_id = (SELECT id FROM users WHERE email = :demo) DESC LIMIT 1"
        ),
        {"number": number, "demo": playing.DEMO_SELLER},
    ).one_or_none()
    if found is None:
        raise click.ClickException(f"there is no invoice {number}")
    return found


def _made(
    database: Database, settings: Settings, ring: KeyRing, connector: Connector, seller: Any, base: str | None
) -> Player:
    """A connection for the demo's seller, where there is a demo and nobody else is meant."""
    nobody = click.ClickException(
        f"nobody is connected to {connector.slug}: make a connection on the page Connections, or `ledgerwire seed`"
    )
    if not settings.demo_mode:
        raise nobody
    with database.session() as session:
        made = playing.make(session, ring, connector, data_dir=settings.data_dir, api_base=base)
        player = playing.find(session, ring, connector, data_dir=settings.data_dir, seller=seller)
        if not made or player is None:
            session.rollback()
            raise nobody
    click.echo(f"Nobody was connected to {connector.title}: {playing.DEMO_SELLER} now is, with demo credentials.")
    return player
