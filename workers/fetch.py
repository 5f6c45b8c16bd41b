"""Pointers become records: ask the provider's API what an event points at, then apply the answer."""

from __future__ import annotations

import time

import structlog
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from connectors import registry
from connectors.base import Fetch
from core import intake
from core.errors import CredentialsRefused, MalformedPayload, Permanent, PlatformError, Transient
from core.events import Record, Trust
from core.inbox import claim
from core.inbox.claim import Claimed, Finished
from core.live import announce
from core.notifications import connections as troubles
from workers.context import Context
from workers.credentials import credentials_of, custody_of
from workers.normalize import statements_of, why_failed

log = structlog.get_logger(__name__)

# One at a time: a fetch lasts seconds, and the others must not wait for it under our lease.
BATCH = 1


def drain(context: Context) -> int:
    """Fetch for one event; return how many there were. Zero means that nothing is due."""
    with context.database.statements() as connection:
        claimed = claim.claim(
            connection,
            queue="fetch",
            limit=BATCH,
            lease_seconds=context.settings.lease_seconds,
            now=context.now(),
        )
        found = len(claimed)
        claimed = claim.pause(connection, claimed)
    for event in claimed:
        if event.attempts > context.settings.max_attempts:
            _put_aside(context, event, Permanent("given up: nobody who took it ever finished"), permanent=True)
        else:
            _fetch(context, event)
    return found


def _fetch(context: Context, event: Claimed) -> None:
    started = time.perf_counter_ns()
    try:
        records, trust = _ask(context, event)
        _apply(context, event, records, trust, (time.perf_counter_ns() - started) // 1000)
    except (OperationalError, InterfaceError, PoolTimeout):
        # The database went away, or blocked: not the event's fault, and no reason to wait for the lease's end.
        with context.database.connect() as connection:
            claim.release(connection, [event], context.now())
        raise
    except Transient as error:
        _put_aside(context, event, error, retry_after_seconds=error.retry_after_seconds)
    except (Permanent, MalformedPayload) as error:
        _put_aside(context, event, error, permanent=True)
    except (PlatformError, DBAPIError) as error:
        _put_aside(context, event, error)
    except Exception as error:  # A plugin's bug must not stop the events of others.
        log.exception("connector failed", connector=event.connector, event_name=event.name)
        _put_aside(context, event, error)


def _apply(context: Context, event: Claimed, records: list[Record], trust: Trust, micros: int) -> None:
    with context.database.connect() as connection:
        if event.event_id in claim.hold(connection, [event]):
            intake.apply(connection, statements_of(event, records, trust), now=context.now(), calendar=context.calendar)
            claim.finish(connection, [Finished(claimed=event, outcome="processed", read_micros=micros)])
            announce(connection, troubles.well(connection, event.connection_id, troubles.CREDENTIALS))
    context.doorbell.ring("relay")


def _ask(context: Context, event: Claimed) -> tuple[list[Record], Trust]:
    """The records of an event, and how they are known: only what a provider was asked for is fetched."""
    connector = registry.get(event.connector).bound(event.definition)
    reading = connector.read(event.name, connector.items(event.body)[event.item_index])
    match reading:
        case Fetch():
            with context.database.session() as session:
                credentials = credentials_of(session, context.ring, event.connection_id, context.now())
            found = context.transport.run(
                connector, credentials, reading.talk, custody=custody_of(context, event.connection_id)
            )
            return found, Trust.FETCHED
        case None:
            return [], Trust(event.trust)
        case _:
            # A newer version of the connector reads the event without asking: a hint stays one.
            return list(reading), Trust(event.trust)


def _put_aside(
    context: Context,
    event: Claimed,
    error: Exception,
    *,
    permanent: bool = False,
    retry_after_seconds: float | None = None,
) -> None:
    words = str(error) if isinstance(error, PlatformError) else why_failed(error)
    with context.database.connect() as connection:
        end = claim.fail(
            connection,
            event,
            error=words,
            now=context.now(),
            max_attempts=context.settings.max_attempts,
            permanent=permanent,
            retry_after_seconds=retry_after_seconds,
        )
        if end == "dead" and isinstance(error, CredentialsRefused):
            announce(connection, troubles.trouble(connection, event.connection_id, troubles.CREDENTIALS, words))
            context.doorbell.ring("relay")
    log.warning("fetch put aside", event_id=str(event.event_id), connector=event.connector, end=end, error=words)
