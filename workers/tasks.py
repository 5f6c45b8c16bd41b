"""The Celery tasks: each opens nothing, takes nothing, and calls one job. All are safe to run twice."""

from __future__ import annotations

from functools import lru_cache

import structlog
from celery import shared_task
from celery.signals import worker_process_init
from sqlalchemy.exc import DBAPIError

from connectors import registry
from workers import fetch, normalize, sweep
from workers.context import context
from workers.crew import Crew
from workers.shift import shift

log = structlog.get_logger(__name__)


@worker_process_init.connect
def warm_up(**_: object) -> None:
    """Load and connect everything before the first event, which would otherwise wait for it."""
    registry.all()
    try:
        normalize.drain(context())
    except DBAPIError as error:
        log.warning("the database is not there yet", error=type(error.orig).__name__)


@shared_task(name="ledgerwire.normalize")
def normalize_events() -> int:
    """Work off the queue of events."""
    parts = context()
    return shift(
        parts.doorbell,
        "normalize",
        lambda: normalize.work_off(parts),
        full=normalize.BATCH,
        send_for_another=lambda: parts.send("ledgerwire.normalize"),
    )


# A provider that does not answer holds whoever asks for the best part of a minute. In threads of their own they
# hold nobody else: neither the events that need no fetch, nor (until all are taken) those of other providers.
_FETCHERS = 8


@lru_cache(maxsize=1)
def _fetchers() -> Crew:
    parts = context()

    def work_off() -> None:
        shift(
            parts.doorbell,
            "fetch",
            lambda: fetch.drain(parts),
            full=fetch.BATCH,
            send_for_another=crew.call,
            linger_seconds=0.1,
        )

    crew = Crew(_FETCHERS, work_off)
    return crew


@shared_task(name="ledgerwire.fetch")
def fetch_events() -> None:
    """Have somebody work off the queue of fetches; returns at once."""
    _fetchers().call()


@shared_task(name="ledgerwire.sweep")
def look_what_is_due() -> None:
    """Ring for whatever waits: the way back for every ring that was lost."""
    parts = context()
    sweep.adopt(parts)
    due = sweep.due(parts)
    if due["relay"]:
        parts.doorbell.ring("relay")
    if due["normalize"]:
        parts.wake("normalize")
    if due["fetch"]:
        parts.wake("fetch")


@shared_task(name="ledgerwire.housekeeping")
def keep_house() -> None:
    """Partitions, expired rows, late matches."""
    sweep.match(context())
    sweep.keep_house(context())
