"""What a worker process holds: made once, after the fork, on first use."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import lru_cache

from config.settings import Settings, load
from core.connections.sealing import KeyRing
from core.database import Database
from workers.doorbell import Doorbell
from workers.transport import Transport


@dataclass(frozen=True, slots=True, kw_only=True)
class Context:
    """The parts of one worker process."""

    settings: Settings
    database: Database
    doorbell: Doorbell
    transport: Transport
    ring: KeyRing = field(repr=False)

    def now(self) -> datetime:
        """The worker's clock; everything below takes the moment as an argument."""
        return datetime.now(UTC)


def make(settings: Settings, application_name: str = "ledgerwire-worker") -> Context:
    """Build the parts from settings. Raises InvalidSettings when a key or an address is missing."""
    if settings.master_keys is None:
        raise ValueError("MASTER_KEYS must be set; `ledgerwire up` makes them under DATA_DIR")
    return Context(
        settings=settings,
        database=Database(settings.sqlalchemy_url, pool_size=4, application_name=application_name, wait_for_disk=False),
        doorbell=Doorbell(settings),
        transport=Transport(
            allow_local=settings.local_providers_allowed,
            api_bases=settings.provider_api_bases,
        ),
        ring=KeyRing.parse(settings.master_keys.get_secret_value()),
    )


@lru_cache(maxsize=1)
def context() -> Context:
    """The parts of this process."""
    return make(load())
