"""Load the demo data into an empty installation.

Starts the embedded servers for as long as it takes where nothing runs.
"""

from __future__ import annotations

import click

from config import runtime


@click.command("seed")
def command() -> None:
    """Load the demo people, invoices and payments. An installation with people in it is left alone."""
    from core import migrations  # noqa: PLC0415 - help must not wait for SQLAlchemy.
    from workers import demo  # noqa: PLC0415

    with runtime.running() as settings:
        migrations.upgrade(settings.sqlalchemy_url)
        if demo.load(settings):
            click.echo("Demo data loaded. Sign in as seller@demo.com, password password123.")
        else:
            click.echo("There are people in this installation already; nothing was changed. See `ledgerwire clear`.")
