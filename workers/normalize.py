"""Events become books: claim a batch, read it, apply it, in one transaction with its announcements.

The claim and the effects are committed without waiting for the disk (ADR 0004): what a crash of PostgreSQL
could take back is still in the queue, and the relay's own commit, which does wait, makes everything before
it durable before a client hears of it.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import timedelta

import structlog
from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from connectors import registry, talks
from connectors.base import Connector, Fetch
from connectors.payload import Payload
from core import intake
from core.errors import MalformedPayload, PlatformError
from core.events import Payout, PayoutStatus, Record, Trust
from core.inbox import claim
from core.inbox.claim import Claimed, Finished
from core.statements import Statement
from core.syncing import schedule
from core.syncing.pages import PULLED
from workers.context import Context

log = structlog.get_logger(__name__)

BATCH = 500
# A payout was paid: what is in it is asked for, where a pull tells it, so long after. Reports take a moment.
_NAMED_AFTER = timedelta(minutes=5)
# An event that was claimed more often than this is worked on alone.
_SUSPECT_ATTEMPTS = 3


@dataclass(slots=True)
class Read:
    """What reading a batch found."""

    records: dict[Claimed, Sequence[Record]] = field(default_factory=dict)
    micros: dict[Claimed, int] = field(default_factory=dict)
    notes: dict[Claimed, str] = field(default_factory=dict)
    pointers: list[Claimed] = field(default_factory=list)
    failures: list[tuple[Claimed, str, bool]] = field(default_factory=list)


def drain(context: Context, *, limit: int = BATCH) -> int:
    """Process one batch; return how many events it held. Zero means that nothing is due."""
    claimed, read = _take(context, limit)
    if claimed:
        process(context, claimed, read)
    return len(claimed)


def work_off(context: Context, *, limit: int = BATCH, batches: int = 8) -> int:
    """Process up to so many batches; return how many events they held.

    While one batch is being written the next is claimed and read: the one waits for the database, the other
    computes. After a batch that was not full there is nothing to read ahead.
    """
    claimed, read = _take(context, limit)
    done = 0
    if len(claimed) < limit:
        # The usual case: one event, or a few, and nothing behind them.
        if claimed:
            process(context, claimed, read)
        return len(claimed)
    with ThreadPoolExecutor(1, thread_name_prefix="read-ahead") as ahead:
        while claimed:
            batches -= 1
            following = ahead.submit(_take, context, limit) if len(claimed) == limit and batches > 0 else None
            try:
                process(context, claimed, read)
            except BaseException:
                if following is not None:
                    _release(context, following.result()[0])
                raise
            done += len(claimed)
            claimed, read = following.result() if following is not None else ([], None)
    return done


def _take(context: Context, limit: int) -> tuple[list[Claimed], Read | None]:
    with context.database.statements() as connection:
        claimed = claim.claim(
            connection,
            queue="ready",
            limit=limit,
            lease_seconds=context.settings.lease_seconds,
            now=context.now(),
        )
        claimed = claim.pause(connection, claimed)
    return claimed, read_all(claimed) if claimed else None


def _release(context: Context, claimed: Sequence[Claimed]) -> None:
    with context.database.connect() as connection:
        claim.release(connection, claimed, context.now())


def process(context: Context, claimed: Sequence[Claimed], read: Read | None = None) -> None:
    """Read and apply claimed events; one that spoils the batch is parked, the others take effect."""
    suspects = [event for event in claimed if event.attempts > _SUSPECT_ATTEMPTS]
    if suspects and len(claimed) > 1:
        # Claimed again and again and never finished: perhaps one of them kills whoever works on it. The innocent
        # go first and together, the suspects one by one.
        others = [event for event in claimed if event.attempts <= _SUSPECT_ATTEMPTS]
        if others:
            process(context, others)
        for event in suspects:
            process(context, [event])
        return
    if claimed[0].attempts > context.settings.max_attempts:
        _park(context, claimed[0], "given up: nobody who took it ever finished", permanent=True)
        return
    read = read or read_all(claimed)
    try:
        _apply(context, claimed, read)
    except (OperationalError, InterfaceError, PoolTimeout):
        # The database went away, or two batches blocked each other. The rows are ours until the lease ends:
        # give them back rather than make them wait for it.
        _release(context, claimed)
        raise
    except Exception as error:  # Whatever it is, the others must not wait for it.
        if len(claimed) == 1:
            if not isinstance(error, DBAPIError | PlatformError):
                log.exception("connector failed", connector=claimed[0].connector, event_name=claimed[0].name)
            _park(context, claimed[0], why_failed(error), permanent=False)
            return
        log.warning("a batch is applied one by one", count=len(claimed), error=type(error).__name__)
        for event in claimed:
            process(context, [event])


def read_all(claimed: Sequence[Claimed]) -> Read:
    """Read events with their connectors. Raises nothing: what fails is noted."""
    read = Read()
    items: dict[object, Sequence[Payload]] = {}
    for event in claimed:
        started = time.perf_counter_ns()
        try:
            _read_one(registry.get(event.connector).bound(event.definition), event, items, read)
        except MalformedPayload as error:
            # The same bytes will read the same tomorrow: a person has to look, or a better parser to come.
            read.failures.append((event, f"malformed payload: {error}", True))
        except PlatformError as error:
            read.failures.append((event, f"{error.code}: {error}", True))
        except Exception as error:  # A plugin's bug must not stop the events of others.
            log.exception("connector failed", connector=event.connector, event_name=event.name)
            read.failures.append((event, f"connector bug: {type(error).__name__}", False))
        read.micros[event] = (time.perf_counter_ns() - started) // 1000
    return read


def _read_one(connector: Connector, event: Claimed, items: dict[object, Sequence[Payload]], read: Read) -> None:
    if event.name == PULLED and event.trust == Trust.FETCHED:
        # Nobody is asked again: what was answered then is read by what the connector is now.
        read.records[event] = talks.reread(connector, event.body)
        return
    parts = items.get(event.delivery_id)
    if parts is None:
        # A delivery with many events is parsed once.
        parts = items[event.delivery_id] = connector.items(event.body)
    reading = connector.read(event.name, parts[event.item_index])
    if reading is None:
        read.notes[event] = connector.ignores(event.name) or "this version does not know the event"
    elif isinstance(reading, Fetch):
        read.pointers.append(event)
    else:
        read.records[event] = reading


def statements_of(event: Claimed, records: Sequence[Record], trust: Trust) -> list[Statement]:
    """The records of an event, with their origin."""
    return [
        Statement(
            event_id=event.event_id,
            connection_id=event.connection_id,
            user_id=event.user_id,
            connector=event.connector,
            trust=trust,
            record=record,
        )
        for record in records
    ]


def _is_settled(record: Record) -> bool:
    return isinstance(record, Payout) and record.status is PayoutStatus.PAID and not record.to_third_party


def _apply(context: Context, claimed: Sequence[Claimed], read: Read) -> None:
    with context.database.connect() as connection:
        ours = claim.hold(connection, claimed)
        if len(ours) < len(claimed):
            log.warning("lease lost", count=len(claimed) - len(ours))
        now = context.now()
        statements = [
            statement
            for event, records in read.records.items()
            if event.event_id in ours
            for statement in statements_of(event, records, Trust(event.trust))
        ]
        outcome = intake.apply(connection, statements, now=now, calendar=context.calendar)
        if paid := {one.connection_id for one in statements if _is_settled(one.record)}:
            schedule.advance(connection, paid, now + _NAMED_AFTER)
        finished = [
            Finished(
                claimed=event,
                outcome="processed" if event in read.records else "ignored",
                read_micros=read.micros[event],
                note=read.notes.get(event),
            )
            for event in (*read.records, *read.notes)
            if event.event_id in ours
        ]
        if finished:
            claim.finish(connection, finished)
        pointers = [event for event in read.pointers if event.event_id in ours]
        if pointers:
            claim.put_off_to_fetch(connection, pointers, now)
        for event, error, permanent in read.failures:
            _fail(connection, context, event, error, permanent=permanent)
    if pointers:
        context.wake("fetch")
    if any(effect.object_kind in ("transaction", "payout") for effect in outcome.effects):
        # What asks for it without being news of a bank is seen by the sweep.
        context.wake("reconcile")
    context.doorbell.ring("relay")


def _park(context: Context, event: Claimed, error: str, *, permanent: bool) -> None:
    with context.database.connect() as connection:
        _fail(connection, context, event, error, permanent=permanent)


def _fail(connection: Connection, context: Context, event: Claimed, error: str, *, permanent: bool) -> None:
    end = claim.fail(
        connection,
        event,
        error=error,
        now=context.now(),
        max_attempts=context.settings.max_attempts,
        permanent=permanent,
    )
    log.warning("event put aside", event_id=str(event.event_id), connector=event.connector, end=end, error=error)


def why_failed(error: Exception) -> str:
    """Why the books did not take an event, in a line."""
    if not isinstance(error, DBAPIError | PlatformError):
        return f"connector bug: {type(error).__name__}"
    cause = getattr(error, "orig", None) or error
    return f"{type(error).__name__}: {str(cause).strip()}".split("\n", 1)[0][:500]
