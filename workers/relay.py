"""The relay: numbers what was committed, gap-free in each room, and hands it to Socket.IO through Redis.

One is active, held by an advisory lock on the very connection that numbers; any number stand by. It may die
at any instant: what was numbered and not emitted is emitted by its successor, and clients know repeats by
their numbers.
"""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Iterable
from typing import Any

import redis
import socketio
import structlog
from sqlalchemy import Connection, text
from sqlalchemy.exc import DBAPIError

from config import log as logging_setup
from config.settings import Settings, load
from core.database import Database
from core.live import feed
from core.live.feed import FeedEvent
from workers.doorbell import Doorbell, connect

log = structlog.get_logger(__name__)

BATCH = 500
_POLL_SECONDS = 0.5
_STANDBY_SECONDS = 1.0
_MARK_SECONDS = 1.0
_LONGEST_PAUSE_SECONDS = 2.0


class Emitter(socketio.RedisManager):  # type: ignore[misc]  # The library has no types.
    """Socket.IO's own messages, sent in one round trip a batch, with errors that are raised.

    The library's manager logs a failed publish and drops it; here the relay must know, to send it again.
    """

    def __init__(self, url: str) -> None:
        super().__init__(url, write_only=True)
        self._client = connect(url)
        self._messages: list[str] = []

    def _publish(self, data: dict[str, Any]) -> None:
        self._messages.append(self.json.dumps(data))

    def send(self, events: Iterable[FeedEvent]) -> None:
        """Hand events to every web process. Raises redis.RedisError when that is not certain."""
        self._messages.clear()
        for event in events:
            self.emit("event", event.message(), room=event.room)
        pipe = self._client.pipeline(transaction=False)
        for message in self._messages:
            pipe.publish(self.channel, message)
        pipe.execute()


class Relay:
    """The active or standing-by relay of an installation."""

    def __init__(
        self, database: Database, emitter: Emitter, doorbell: Doorbell, *, sleep: Callable[[float], None] = time.sleep
    ) -> None:
        self._database = database
        self._emitter = emitter
        self._doorbell = doorbell
        self._sleep = sleep
        self._stopping = False

    def stop(self) -> None:
        """Finish the batch in hand and end."""
        self._stopping = True

    def run(self) -> None:
        """Stand by for the lock, then number and emit until told to stop."""
        waiting = False
        while not self._stopping:
            try:
                # Every statement commits by itself: numbering is one, and its commit waits for the disk.
                with self._database.statements() as connection:
                    if not self._take_lock(connection):
                        if not waiting:
                            log.info("another relay is active, standing by")
                        waiting = True
                        self._sleep(_STANDBY_SECONDS)
                        continue
                    waiting = False
                    log.info("relay is active")
                    self._serve(connection)
            except DBAPIError as error:
                # The lock died with the connection. What was not numbered is still in the outbox.
                log.warning("relay lost the database", error=type(error.orig).__name__)
                self._sleep(_STANDBY_SECONDS)

    @staticmethod
    def _take_lock(connection: Connection) -> bool:
        return bool(connection.scalar(text("SELECT pg_try_advisory_lock(hashtext('ledgerwire.relay'))")))

    def _serve(self, connection: Connection) -> None:
        # What a predecessor numbered and perhaps did not emit comes first, all of it.
        while not self._stopping and (pending := feed.unemitted(connection)):
            if not self._emit(pending):
                return
            feed.mark_emitted(connection, pending[-1].position)
        emitted, marked_at = 0, 0.0
        while not self._stopping:
            pending = feed.number(connection, BATCH)
            if not pending:
                self._wait()
            elif position := self._emit(pending):
                emitted = position
            else:
                # Nothing later may be sent or noted before it: the successor begins with this batch.
                break
            # Noting what was emitted once a second is enough: a successor repeats a second's worth at most, and
            # clients know repeats by their numbers.
            if emitted and time.monotonic() - marked_at > _MARK_SECONDS:
                feed.mark_emitted(connection, emitted)
                emitted, marked_at = 0, time.monotonic()
        if emitted:
            feed.mark_emitted(connection, emitted)

    def _emit(self, events: list[FeedEvent]) -> int:
        """Send until Redis has taken it; returns the last position. Clients are told late rather than never."""
        pause = 0.1
        while True:
            try:
                self._emitter.send(events)
            except redis.RedisError as error:
                log.warning("events wait for Redis", count=len(events), error=type(error).__name__)
                if self._stopping:
                    return 0
                self._sleep(pause)
                pause = min(pause * 2, _LONGEST_PAUSE_SECONDS)
            else:
                return events[-1].position

    def _wait(self) -> None:
        try:
            self._doorbell.wait("relay", _POLL_SECONDS)
        except redis.RedisError:
            self._sleep(_POLL_SECONDS)


def build(settings: Settings) -> Relay:
    """A relay of this installation."""
    database = Database(settings.sqlalchemy_url, pool_size=1, application_name="ledgerwire-relay")
    return Relay(database, Emitter(settings.required_redis_url), Doorbell(settings))


def main() -> None:
    """Run until SIGTERM."""
    settings = load()
    logging_setup.configure(settings, "relay")
    relay = build(settings)

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: relay.stop())
    relay.run()


if __name__ == "__main__":
    main()
