"""Group commit: concurrent webhooks share one transaction, and each answers after it is on disk.

What arrives while one commit runs is the next batch; there is no timer. One committer serves a process, on
one connection of its own.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from uuid import UUID

import structlog
from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError

from core.database import Database
from core.events import DomainEvent
from core.inbox.store import NewDelivery, store
from core.live.feed import announce

log = structlog.get_logger(__name__)

# More rows than this in one statement gain nothing more.
BATCH_LIMIT = 250
# A waiter gives up after this; the provider is told to send again and the repeat is recognised.
WAIT_SECONDS = 15.0


class Overloaded(Exception):
    """The database does not take deliveries now (queue full, down, or slow): nothing is promised."""


class _Batch:
    """Deliveries that will share a commit, and what came of it."""

    __slots__ = ("deliveries", "done", "error", "failed", "fresh")

    def __init__(self) -> None:
        self.deliveries: list[NewDelivery] = []
        self.done = threading.Event()
        self.error: Exception | None = None
        self.failed: set[UUID] = set()
        self.fresh: set[UUID] = set()


class Committer:
    """Stores deliveries in groups. `on_commit` is called after each group that brought something new."""

    def __init__(self, database: Database, *, queue_limit: int, on_commit: Callable[[], None]) -> None:
        """The thread starts with the first delivery, so that it is born after any fork."""
        self._database = database
        self._queue_limit = queue_limit
        self._on_commit = on_commit
        self._lock = threading.Lock()
        self._waiting: deque[_Batch] = deque()
        self._queued = 0
        self._wake = threading.Event()
        self._closing = False
        self._thread: threading.Thread | None = None

    def submit(self, delivery: NewDelivery) -> int:
        """Store a delivery; return how many of its events were new, once the commit has returned.

        Raises Overloaded when it is not known to be on disk.
        """
        batch = self._join(delivery)
        if not batch.done.wait(WAIT_SECONDS):
            raise Overloaded("the database did not answer in time")
        if batch.error is not None:
            raise Overloaded("the database is not reachable") from batch.error
        if delivery.id in batch.failed:
            raise Overloaded("the database refused this delivery")
        return sum(event.id in batch.fresh for event in delivery.events)

    def _join(self, delivery: NewDelivery) -> _Batch:
        with self._lock:
            if self._closing:
                raise Overloaded("shutting down")
            if self._queued >= self._queue_limit:
                raise Overloaded("too many deliveries wait for the database")
            if not self._waiting or len(self._waiting[-1].deliveries) >= BATCH_LIMIT:
                self._waiting.append(_Batch())
            batch = self._waiting[-1]
            batch.deliveries.append(delivery)
            self._queued += 1
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="committer", daemon=True)
                self._thread.start()
        self._wake.set()
        return batch

    def close(self, timeout_seconds: float = 5.0) -> None:
        """Take nothing more, and finish what was taken."""
        with self._lock:
            self._closing = True
            thread = self._thread
        self._wake.set()
        if thread is not None:
            thread.join(timeout_seconds)

    def _run(self) -> None:
        connection: Connection | None = None
        while True:
            self._wake.wait()
            self._wake.clear()
            while (batch := self._next()) is not None:
                connection = self._commit(batch, connection)
                batch.done.set()
                if batch.fresh:
                    self._on_commit()
            # One more may have joined between the last look and the closing of the door.
            if self._closing and not self._waiting:
                if connection is not None:
                    connection.close()
                return

    def _next(self) -> _Batch | None:
        with self._lock:
            if not self._waiting:
                return None
            batch = self._waiting.popleft()
            self._queued -= len(batch.deliveries)
            return batch

    def _commit(self, batch: _Batch, connection: Connection | None) -> Connection | None:
        """Write a batch; returns the connection to go on with, None when it is lost."""
        try:
            connection = connection or self._connect()
            batch.fresh = _write(connection, batch.deliveries)
        except (OperationalError, InterfaceError) as error:
            # Whether it was committed is not known, and storing again could promise twice: the waiters are
            # told to come again, and the identity of the events makes the repeat harmless.
            log.warning("deliveries not stored", count=len(batch.deliveries), error=type(error.orig).__name__)
            batch.error = error
            _discard(connection)
            return None
        except DBAPIError:
            return self._commit_singly(batch, connection)
        except Exception as error:  # The waiters must hear of it, and the thread must live.
            log.exception("deliveries not stored")
            batch.error = error
            _discard(connection)
            return None
        return connection

    def _commit_singly(self, batch: _Batch, connection: Connection | None) -> Connection | None:
        """One delivery spoiled the batch: the others must not suffer for it."""
        for delivery in batch.deliveries:
            try:
                connection = connection or self._connect()
                connection.rollback()
                batch.fresh |= _write(connection, [delivery])
            except DBAPIError as error:
                log.warning(
                    "delivery refused by the database", delivery=str(delivery.id), error=type(error.orig).__name__
                )
                batch.failed.add(delivery.id)
                _discard(connection)
                connection = None
        return connection

    def _connect(self) -> Connection:
        return self._database.engine.connect()


def _write(connection: Connection, deliveries: list[NewDelivery]) -> set[UUID]:
    with connection.begin():
        fresh = store(connection, deliveries)
        parked = [
            event
            for delivery in deliveries
            for event in delivery.events
            if event.id in fresh and (not event.known_name or event.connection_id is None)
        ]
        if parked:
            # Operators hear at once of what waits for them.
            announce(
                connection,
                [
                    DomainEvent(
                        room="operators",
                        name="event.parked",
                        data={"event_id": str(event.id), "name": event.name[:100]},
                    )
                    for event in parked
                ],
            )
    return fresh


def _discard(connection: Connection | None) -> None:
    if connection is not None:
        connection.invalidate()
        connection.close()
