"""Forward-only schema migrations (Alembic), run under an advisory lock."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, create_engine, pool, text

from core.migrations import partitions


def configuration(connection: Connection | None = None) -> Config:
    """Alembic's configuration, which lives in code so that no ini file can disagree with it."""
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent))
    config.attributes["connection"] = connection
    return config


def upgrade(sqlalchemy_url: str, revision: str = "head") -> None:
    """Bring a database to `revision` and create the partitions of the coming months.

    Safe to run from several processes at once: the second waits for the first.
    """
    engine = create_engine(sqlalchemy_url, poolclass=pool.NullPool)
    with engine.connect() as connection:
        connection.execute(text("SELECT pg_advisory_lock(hashtext('ledgerwire.migrations'))"))
        connection.commit()
        command.upgrade(configuration(connection), revision)
        connection.commit()
        partitions.ensure(connection, datetime.now(UTC))
        connection.commit()
        connection.execute(text("SELECT pg_advisory_unlock(hashtext('ledgerwire.migrations'))"))
        connection.commit()
    engine.dispose()


def at_head(connection: Connection) -> bool:
    """Whether the database has every migration of this version."""
    current = MigrationContext.configure(connection).get_current_revision()
    return current == ScriptDirectory.from_config(configuration()).get_current_head()
