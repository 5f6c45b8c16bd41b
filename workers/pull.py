"""Pulling: one page after the other, each stored with the place where the next one begins.

A page's records, its counts and the cursor are one transaction, so whoever is killed loses a page at most, and
its successor asks for the same page again.
"""

from __future__ import annotations

import time
from dataclasses import replace
from datetime import datetime, timedelta
from urllib.parse import urlsplit
from uuid import UUID

import structlog
from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from connectors import registry, talks
from connectors.base import Connector, Credentials, Page
from core import intake
from core.errors import CredentialsRefused, MalformedPayload, NotFound, Permanent, PlatformError, Transient
from core.events import DomainEvent, Trust
from core.ids import new_id
from core.live import announce
from core.notifications import connections as troubles
from core.statements import Statement
from core.syncing import counting, pages, runs, schedule
from core.syncing.runs import Run
from workers import lateness
from workers.context import Context
from workers.credentials import credentials_of, custody_of
from workers.normalize import why_failed

log = structlog.get_logger(__name__)

# Then the run goes behind those of others that are due.
TURN_SECONDS = 15.0
# Progress is told no more often than this.
TELL_SECONDS = 1.0
# So many new payments in one page are told one by one; of more, one is told, and pages look again.
MOST_OF_A_KIND = 10
# Failed tries in a row after which the owner hears of it: half an hour, by the delays of core.inbox.claim.
_TELL_AFTER = 5
_PLANNED_AT_ONCE = 20
_PAUSED_LOOK = timedelta(minutes=5)


def plan(context: Context) -> int:
    """Queue a run for every connection whose time has come; return how many were looked at."""
    now = context.now()
    with context.database.session() as session:
        due = schedule.due(session.connection(), _PLANNED_AT_ONCE, now)
        for each in due:
            if each.paused:
                schedule.put_off(session, each.connection_id, now + _PAUSED_LOOK, "the connection is paused")
                continue
            try:
                connector = registry.get(each.connector)
                # Without a pull nobody needs to open its secrets.
                credentials = credentials_of(session, context.ring, each.connection_id, now) if connector.pull else None
                stops = "" if credentials is None else talks.pull_obstacle(connector, credentials)
            except (PlatformError, ValueError) as error:
                connector, stops = None, str(error)
            if connector is None or connector.pull is None or stops:
                schedule.put_off(session, each.connection_id, now + schedule.LOOK_AGAIN, stops or None)
                continue
            pull = connector.pull
            schedule.open_run(
                session, each, reason="schedule", days=pull.days, every_seconds=pull.every_seconds, now=now
            )
    return len(due)


def drain(context: Context) -> int:
    """Give one run a turn; return 1, or 0 when none is due."""
    plan(context)
    with context.database.statements() as connection:
        run = runs.claim(connection, lease_seconds=context.settings.lease_seconds, now=context.now())
    if run is None:
        return 0
    if run.failures >= context.settings.max_attempts:
        _put_aside(context, run, Permanent("given up: nobody who took it ever finished"), permanent=True)
        return 1
    _turn(context, run)
    return 1


def _turn(context: Context, run: Run) -> None:
    """Pull pages until the list ends, the turn is over, or something fails."""
    ends = time.monotonic() + TURN_SECONDS
    told = 0.0
    try:
        while True:
            tell = time.monotonic() - told >= TELL_SECONDS
            if tell:
                told = time.monotonic()
            following = _page(context, run, tell=tell)
            if following is None:
                return
            run = following
            if time.monotonic() >= ends:
                with context.database.connect() as connection:
                    runs.yield_turn(connection, run, context.now())
                context.wake("pull")
                return
    except (OperationalError, InterfaceError, PoolTimeout):
        # The database went away, or blocked: no fault of the provider's.
        with context.database.connect() as connection:
            runs.yield_turn(connection, run, context.now())
        raise
    except Transient as error:
        _put_aside(context, run, error, retry_after_seconds=error.retry_after_seconds)
    except (Permanent, MalformedPayload, NotFound) as error:
        _put_aside(context, run, error, permanent=True)
    except (PlatformError, DBAPIError) as error:
        _put_aside(context, run, error)
    except Exception as error:  # A plugin's bug must not stop the others.
        log.exception("connector failed", connector=run.connector, sync=str(run.id))
        _put_aside(context, run, error)


def _page(context: Context, run: Run, *, tell: bool) -> Run | None:
    """Ask for one page and take it in; return the run as it goes on, or None when it ended or is not ours any more."""
    connector = registry.get(run.connector)
    with context.database.session() as session:
        credentials = credentials_of(session, context.ring, run.connection_id, context.now())
    recorder = talks.Recorder(credentials=credentials, cursor=run.cursor, since=run.since)
    asked_at = context.now()
    page = _ask(context, run, connector, credentials, recorder)
    answered_at = context.now()
    started = time.perf_counter_ns()
    mark = runs.next_mark(run, page.cursor) if page.more else page.cursor
    late = None if page.more else lateness.measure(context, run.connection_id, connector, answered_at)
    with context.database.connect() as connection:
        if not runs.hold(connection, run):
            log.warning("lease lost", sync=str(run.id))
            return None
        seen = counting.look(connection, run, page.records)
        event_id = new_id()
        outcome = intake.apply(
            connection,
            _statements(run, page, event_id),
            most_of_a_kind=MOST_OF_A_KIND,
            now=answered_at,
            calendar=context.calendar,
        )
        counts = counting.count(connection, run, seen, asked_at)
        if any(effect.effect != "unchanged" for effect in outcome.effects):
            pages.keep(
                connection,
                run,
                event_id=event_id,
                body=recorder.body(asked_at),
                host=urlsplit(context.transport.base_of(connector, credentials)).hostname or "",
                asked_at=asked_at,
                answered_at=answered_at,
                micros=(time.perf_counter_ns() - started) // 1000,
            )
        else:
            pages.forget(connection, event_id)
        lease = answered_at + timedelta(seconds=context.settings.lease_seconds)
        runs.advance(connection, run, cursor=page.cursor, mark=mark, counts=counts, due_at=lease)
        following = replace(run, cursor=page.cursor, mark=mark, pages=run.pages + 1, counts=counts, failures=0)
        if not page.more:
            _finish(connection, following, late, context.now())
        elif tell:
            announce(connection, [_news(following, "running")])
    context.doorbell.ring("relay")
    return following if page.more else None


def _ask(context: Context, run: Run, connector: Connector, credentials: Credentials, recorder: talks.Recorder) -> Page:
    if connector.pull is None:
        raise Permanent(f"{connector.title} does not pull any more")
    pull = connector.pull
    return context.transport.run(
        connector,
        credentials,
        lambda known: pull.talk(known, run.cursor, run.since),
        custody=custody_of(context, run.connection_id),
        listener=recorder,
    )


def _statements(run: Run, page: Page, event_id: UUID) -> list[Statement]:
    return [
        Statement(
            event_id=event_id,
            connection_id=run.connection_id,
            user_id=run.user_id,
            connector=run.connector,
            trust=Trust.FETCHED,
            record=record,
        )
        for record in page.records
    ]


def _news(run: Run, state: str, error: str | None = None) -> DomainEvent:
    ended = state in ("done", "failed")
    data: dict[str, object] = {
        "sync_id": str(run.id),
        "connection_id": str(run.connection_id),
        "state": state,
        "pages": run.pages,
        "listed": runs.listed(run.counts, "listed"),
        "gap": runs.listed(run.counts, "gap"),
        "error": error,
    }
    return DomainEvent(room=f"user:{run.user_id}", name="sync.finished" if ended else "sync.progressed", data=data)


def _finish(connection: Connection, run: Run, late: dict[str, object] | None, now: datetime) -> None:
    runs.finish(connection, run, late, now)
    ended = troubles.well(connection, run.connection_id, troubles.SYNC, troubles.CREDENTIALS, now=now)
    announce(connection, [_news(run, "done"), *ended])


def _put_aside(
    context: Context,
    run: Run,
    error: Exception,
    *,
    permanent: bool = False,
    retry_after_seconds: float | None = None,
) -> None:
    """Try again later, or end the run with a reason in words; its owner hears of what only they can mend."""
    words = str(error) if isinstance(error, PlatformError) else why_failed(error)
    now = context.now()
    with context.database.connect() as connection:
        if not runs.hold(connection, run):
            return
        state = runs.fail(
            connection,
            run,
            error=words,
            now=now,
            max_failures=context.settings.max_attempts,
            permanent=permanent,
            retry_after_seconds=retry_after_seconds,
        )
        news: list[DomainEvent] = []
        if state == "failed" or run.failures + 1 >= _TELL_AFTER:
            kind = troubles.CREDENTIALS if isinstance(error, CredentialsRefused) else troubles.SYNC
            news += troubles.trouble(connection, run.connection_id, kind, words, now=now)
        announce(connection, [_news(run, state, words), *news])
    context.doorbell.ring("relay")
    log.warning("sync put aside", sync=str(run.id), connector=run.connector, state=state, error=words)
