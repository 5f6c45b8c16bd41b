"""Pull what a connection's provider lists, and wait for the end.

Asking while a sync is open waits for that one. It takes a running worker.
"""

from __future__ import annotations

import time
from datetime import UTC, datetime
from uuid import UUID

import click

from config import runtime
from config.settings import InvalidSettings

_LOOK_SECONDS = 0.5


@click.command("sync")
@click.argument("connection", type=click.UUID)
@click.option("--wait", "wait_seconds", default=600, show_default=True, help="Seconds to wait for its end.")
def command(connection: UUID, wait_seconds: int) -> None:
    """Pull what the provider of CONNECTION lists, and say what that brought."""
    from core.connections.sealing import KeyRing  # noqa: PLC0415 - help must not wait for SQLAlchemy.
    from core.database import Database  # noqa: PLC0415
    from core.errors import PlatformError  # noqa: PLC0415
    from core.syncing import runs  # noqa: PLC0415
    from workers.asking import ask  # noqa: PLC0415
    from workers.doorbell import Doorbell  # noqa: PLC0415

    try:
        settings = runtime.connect()
    except (runtime.NotRunning, InvalidSettings) as error:
        raise click.ClickException(str(error)) from error
    if settings.master_keys is None:
        raise click.ClickException("MASTER_KEYS: not set, and none were made under DATA_DIR")
    ring = KeyRing.parse(settings.master_keys.get_secret_value())
    database = Database(settings.sqlalchemy_url, pool_size=1, application_name="ledgerwire-sync")
    try:
        with database.session() as session:
            run = ask(session, ring, connection, datetime.now(UTC))
        Doorbell(settings).ring("pull")
        ends = time.monotonic() + wait_seconds
        while True:
            with database.session() as session:
                (row,) = runs.find(session, [run])
                found = runs.shape(row)
            if found["finished_at"] is not None or time.monotonic() >= ends:
                break
            time.sleep(_LOOK_SECONDS)
    except PlatformError as error:
        raise click.ClickException(str(error)) from error
    finally:
        database.dispose()
    click.echo(f"{found['state']}: {found['listed']} listed on {found['pages']} pages, {found['gap']} were new")
    for kind in found["counts"]:
        click.echo(
            f"  {kind['kind']}: {kind['listed']} listed, {kind['webhook']} by webhook, {kind['missed']} missed, "
            f"{kind['fresh']} fresh, {kind['before']} before the connection, {kind['gap']} new"
        )
    if found["state"] != "done":
        raise click.ClickException(found["error"] or "it is not done yet; it goes on without you")
