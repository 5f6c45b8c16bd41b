"""Look after the master keys that seal secrets.

`rotate` makes a new key where Ledgerwire keeps them itself, and seals every secret with the newest one.
"""

from __future__ import annotations

import os

import click

from config import keys as key_files
from config import runtime


@click.group("keys")
def command() -> None:
    """Master keys."""


@command.command()
@click.option("--keep-key", is_flag=True, help="Make no new key, only seal again with the newest one.")
def rotate(keep_key: bool) -> None:  # noqa: FBT001 - Click passes flags this way.
    """Make a new master key and seal every stored secret and file with it.

    Old keys stay in the ring, so running processes go on; restart them to use the new key. With MASTER_KEYS
    in the environment the ring is yours: put the new key in front, then run this.
    """
    from core.connections import sealing  # noqa: PLC0415 - help must not wait for SQLAlchemy.
    from core.database import Database  # noqa: PLC0415
    from core.files import Cabinet  # noqa: PLC0415

    own = bool(os.environ.get("MASTER_KEYS"))
    with runtime.running() as settings:
        if settings.master_keys is None:
            raise click.ClickException("MASTER_KEYS: not set, and none were made under DATA_DIR")
        if not own and not keep_key:
            key_files.add_master_key(settings.data_dir)
            spelled = key_files.stored_keys(settings.data_dir)["MASTER_KEYS"]
        else:
            spelled = settings.master_keys.get_secret_value()
        ring = sealing.KeyRing.parse(spelled)
        database = Database(settings.sqlalchemy_url, pool_size=1, application_name="ledgerwire-keys")
        try:
            with database.session() as session:
                count = sealing.rotate(session, ring)
            papers = Cabinet(settings.data_dir / "files", ring).reseal()
        finally:
            database.dispose()
    click.echo(f"{count} secrets and {papers} files are sealed with key {ring.newest}.")
    click.echo("Restart Ledgerwire to use it for new ones.")
