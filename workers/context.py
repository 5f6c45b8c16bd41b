"""What a worker process holds: made once, after the fork, on first use."""

from __future__ import annotations

import gc
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import lru_cache

import structlog
from celery import current_app
from kombu.exceptions import OperationalError

from config.settings import Settings, load
from core.connections.sealing import KeyRing
from core.database import Database
from core.marketplace.calendar import Calendar
from workers.doorbell import Bell, Doorbell
from workers.transport import Limits, Transport

log = structlog.get_logger(__name__)


def _nobody(task: str) -> None:
    """For commands and tests, which do the work themselves."""
    del task


@dataclass(frozen=True, slots=True, kw_only=True)
class Context:
    """The parts of one worker process."""

    settings: Settings
    database: Database
    doorbell: Doorbell
    transport: Transport
    ring: KeyRing = field(repr=False)
    # Sends a Celery task by name; a context that no worker runs in (a command, a test) sends none.
    send: Callable[[str], None] = _nobody

    def wake(self, bell: Bell) -> None:
        """Ring, and where nobody is on duty, send for a worker; once a second is enough."""
        if not self.doorbell.ring(bell) and self.doorbell.summon(bell):
            self.send(f"ledgerwire.{bell}")

    def now(self) -> datetime:
        """The worker's clock; everything below takes the moment as an argument."""
        return datetime.now(UTC)

    @property
    def calendar(self) -> Calendar:
        """Which days banks work."""
        return Calendar(self.settings.holidays)


def make(
    settings: Settings, application_name: str = "ledgerwire-worker", send: Callable[[str], None] = _nobody
) -> Context:
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
            # A talk must end while the event is still ours.
            limits=Limits(total_seconds=min(Limits().total_seconds, settings.lease_seconds * 0.75)),
        ),
        ring=KeyRing.parse(settings.master_keys.get_secret_value()),
        send=send,
    )


def calm_collector() -> None:
    """Look for garbage cycles rarely.

    A batch makes tens of thousands of objects and frees nearly all of them at its end: looking every few hundred
    objects costs a sixth of the time (bench/s3_backlog.py) and finds nothing.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(100_000, 20, 20)


@lru_cache(maxsize=1)
def context() -> Context:
    """The parts of this process."""
    return make(load(), send=_send)


def _send(task: str) -> None:
    try:
        current_app.send_task(task, expires=60, retry=False)
    except OperationalError as error:
        # The rows are there; beat rings for them again.
        log.warning("no worker sent for", task=task, error=type(error).__name__)
