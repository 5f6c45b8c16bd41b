"""Post to the sellers' books what waits for it.

Workers do it by themselves; this does it now, after an upgrade of an installation with many invoices.
"""

from __future__ import annotations

from datetime import UTC, datetime

import click

from config import runtime
from config.settings import InvalidSettings


@click.group("books")
def command() -> None:
    """The sellers' books."""


@command.command()
def post() -> None:
    """Post every invoice, credit note, payment and payout that is not in the books as it is now.

    It goes on where it was stopped, and finds nothing to do when it is run again.
    """
    from core import books as core_books  # noqa: PLC0415 - help must not wait for SQLAlchemy.
    from core.database import Database  # noqa: PLC0415
    from workers import books  # noqa: PLC0415

    try:
        settings = runtime.connect()
    except (runtime.NotRunning, InvalidSettings) as error:
        raise click.ClickException(str(error)) from error
    database = Database(settings.sqlalchemy_url, pool_size=1, application_name="ledgerwire-books")
    try:
        done = books.post(
            database, datetime.now(UTC), turns=None, tell=lambda so_far: click.echo(f"  {so_far:,}", err=True)
        )
        with database.connect() as connection:
            left = core_books.waiting(connection)
    finally:
        database.dispose()
    click.echo(f"{done:,} posted." if not left else f"{done:,} posted, {left:,} wait: somebody else is at it.")
