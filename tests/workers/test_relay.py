"""The relay loses nothing and keeps the order, whatever Redis or PostgreSQL does."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager

import pytest
import redis
from sqlalchemy import text

from core.database import Database
from core.events import DomainEvent
from core.live import feed
from core.live.feed import FeedEvent
from tests.builders import SilentDoorbell, until
from workers.relay import Emitter, Relay


class FakeEmitter(Emitter):
    """Takes what it is given, after as many failures as it was told."""

    def __init__(self, *, failures: int = 0, at_failure: Callable[[], None] = lambda: None) -> None:
        self.heard: list[FeedEvent] = []
        self.failures = failures
        self.at_failure = at_failure

    def send(self, events: Iterable[FeedEvent]) -> None:
        if self.failures:
            self.failures -= 1
            self.at_failure()
            raise redis.ConnectionError("planted")
        self.heard.extend(events)

    def seqs(self) -> list[int]:
        return [event.seq for event in self.heard]


class SlowDoorbell(SilentDoorbell):
    """A bell that nobody rings."""

    def wait(self, bell: object, seconds: float) -> bool:
        threading.Event().wait(0.01)
        return False


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    made = Database("postgresql+psycopg://" + database_url.split("://", 1)[1])
    yield made
    made.dispose()


def _nap(_: float) -> None:
    threading.Event().wait(0.01)


def make(database: Database, emitter: FakeEmitter, name: str = "relay") -> tuple[Relay, Database]:
    own = Database(database.engine.url.render_as_string(hide_password=False), pool_size=1, application_name=name)
    return Relay(own, emitter, SlowDoorbell(), sleep=_nap), own


@contextmanager
def running(database: Database, emitter: FakeEmitter, name: str = "relay") -> Iterator[Relay]:
    relay, own = make(database, emitter, name)
    thread = threading.Thread(target=relay.run)
    thread.start()
    try:
        yield relay
    finally:
        relay.stop()
        thread.join(10)
        own.dispose()
    assert not thread.is_alive()


def say(database: Database, count: int) -> None:
    with database.connect() as connection:
        feed.announce(connection, [DomainEvent(room="r", name="said", data={}) for _ in range(count)])


def waiting(database: Database) -> list[FeedEvent]:
    with database.connect() as connection:
        return feed.unemitted(connection)


def test_events_wait_for_redis_and_come_in_order(database: Database) -> None:
    emitter = FakeEmitter(failures=4)
    with running(database, emitter):
        say(database, 3)
        until(lambda: emitter.failures < 4)
        say(database, 3)
        until(lambda: len(emitter.heard) == 6)
    assert emitter.seqs() == [1, 2, 3, 4, 5, 6]
    assert waiting(database) == []


def test_a_relay_told_to_stop_while_redis_is_away_leaves_its_batch_to_its_successor(database: Database) -> None:
    say(database, 3)
    emitter = FakeEmitter()
    relay, own = make(database, emitter)

    def stop() -> None:
        # More is said while the batch in hand waits, and Redis is back right after.
        say(database, 2)
        relay.stop()

    emitter.failures, emitter.at_failure = 1, stop
    relay.run()
    own.dispose()
    successor = FakeEmitter()
    with running(database, successor):
        until(lambda: {*emitter.seqs(), *successor.seqs()} == {1, 2, 3, 4, 5})
    assert successor.seqs() == [1, 2, 3, 4, 5]


def test_a_successor_emits_all_that_was_numbered_however_much(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    say(database, 9)
    with database.connect() as connection:
        feed.number(connection)
    found = feed.unemitted
    monkeypatch.setattr(feed, "unemitted", lambda connection: found(connection, 2))
    emitter = FakeEmitter()
    with running(database, emitter):
        say(database, 1)
        until(lambda: 10 in emitter.seqs())
    assert emitter.seqs() == list(range(1, 11))


def test_who_stands_by_takes_over_when_the_active_ones_connection_is_cut(database: Database) -> None:
    first, second = FakeEmitter(), FakeEmitter()
    with running(database, first, "relay-one"):
        say(database, 1)
        until(lambda: first.seqs() == [1])
        with running(database, second, "relay-two") as standby:
            # Only one at a time numbers.
            say(database, 1)
            until(lambda: first.seqs() == [1, 2])
            assert second.heard == []
            until(lambda: cut(database, "relay-one") > 0)
            say(database, 3)
            until(lambda: {*first.seqs(), *second.seqs()} >= {1, 2, 3, 4, 5})
            standby.stop()
    assert sorted({*first.seqs(), *second.seqs()}) == [1, 2, 3, 4, 5]
    assert first.seqs() == sorted(first.seqs())
    assert second.seqs() == sorted(second.seqs())


def cut(database: Database, name: str) -> int:
    with database.connect() as connection:
        return len(
            connection.execute(
                text("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = :name"),
                {"name": name},
            ).all()
        )
