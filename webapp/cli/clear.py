"""Remove all data of a demo installation, and keep its tables.

Refused outside demo mode.
"""

from __future__ import annotations

from datetime import UTC, datetime

import click

from config import runtime


@click.command("clear")
@click.option("--yes", is_flag=True, help="Do not ask.")
def command(yes: bool) -> None:  # noqa: FBT001 - Click passes flags this way.
    """Remove every user, invoice, payment and delivery. `ledgerwire seed` loads the demo again."""
    from core.database import Database  # noqa: PLC0415 - help must not wait for SQLAlchemy.
    from workers import demo  # noqa: PLC0415

    with runtime.running() as settings:
        if not settings.demo_mode:
            raise click.ClickException("this is not a demo installation (DEMO_MODE=0): clear refuses to touch it")
        if not yes:
            click.confirm(f"Remove all data of {settings.database_name}?", abort=True)
        database = Database(settings.sqlalchemy_url, pool_size=1, application_name="ledgerwire-clear")
        try:
            demo.clear(database)
        finally:
            database.dispose()
        heads = settings.data_dir / "ledger" / "heads.jsonl"
        if heads.exists():
            # They anchor books that are gone; kept all the same, for whoever wants to know what was there.
            heads.rename(heads.with_name(f"heads-until-{datetime.now(UTC):%Y%m%dT%H%M%SZ}.jsonl"))
        click.echo("All data is removed. Load the demo again with `ledgerwire seed`.")
