"""Group commit: an answer means that the delivery is on disk, whatever befalls its batch."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import pytest
from sqlalchemy import Connection, event, text

from core.database import Database
from core.ids import new_id
from core.inbox.store import NewDelivery
from tests.builders import delivery_of, until
from tests.standing import empty
from webapp.committer import BATCH_LIMIT, Committer, Overloaded


def new_delivery(*, event_id: str | None = None, name: str = "payment.succeeded") -> NewDelivery:
    """A delivery of one event that no connection is known for."""
    body = b'{"type":"' + name.encode() + b'","data":{}}'
    return delivery_of("standard_webhooks", body, event_id=event_id or str(new_id()), external_id="acc_1")


def spoiled() -> NewDelivery:
    """A delivery that PostgreSQL refuses to hold."""
    return replace(new_delivery(), headers_json="not json")


@dataclass(slots=True)
class Watched:
    """A committer, what it sent to the database, and how often it rang."""

    committer: Committer
    database: Database
    statements: list[str]
    commits: list[int]
    rings: list[int]

    def stored(self) -> set[str]:
        with self.database.connect() as connection:
            return {str(found) for found in connection.scalars(text("SELECT id FROM deliveries"))}

    def stores(self) -> int:
        return sum("INSERT INTO deliveries" in statement for statement in self.statements)

    @contextmanager
    def held(self) -> Iterator[Connection]:
        """Keep a table locked: what is being written waits in the middle of its statement."""
        with self.database.engine.connect() as connection, connection.begin():
            connection.execute(text("LOCK TABLE event_keys IN ACCESS EXCLUSIVE MODE"))
            yield connection

    def backend(self, connection: Connection) -> int | None:
        """The process that waits for the lock."""
        found: int | None = connection.scalar(
            text("SELECT pid FROM pg_locks WHERE relation = 'event_keys'::regclass AND NOT granted")
        )
        return found

    def until_stuck(self, connection: Connection) -> None:
        until(lambda: self.backend(connection) is not None)

    def queued(self) -> int:
        return self.committer._queued


@pytest.fixture
def open_committer(file_database_url: str) -> Iterator[Callable[..., Watched]]:
    made: list[Watched] = []

    def opened(queue_limit: int = 1000, url: str = file_database_url) -> Watched:
        database = Database("postgresql+psycopg://" + url.split("://", 1)[1], pool_size=4)
        rings: list[int] = []
        watched = Watched(
            Committer(database, queue_limit=queue_limit, on_commit=lambda: rings.append(1)), database, [], [], rings
        )

        def sent(_connection: Any, _cursor: Any, statement: str, *_rest: Any) -> None:
            if threading.current_thread().name == "committer":
                watched.statements.append(statement)

        def committed(_connection: Any) -> None:
            if threading.current_thread().name == "committer":
                watched.commits.append(1)

        event.listen(database.engine, "before_cursor_execute", sent)
        event.listen(database.engine, "commit", committed)
        made.append(watched)
        return watched

    yield opened
    for watched in made:
        watched.committer.close()
        if watched.statements:
            empty(watched.database)
        watched.database.dispose()


@pytest.fixture
def watched(open_committer: Callable[..., Watched]) -> Watched:
    return open_committer()


@contextmanager
def crowd(watched: Watched, size: int) -> Iterator[Callable[[Sequence[NewDelivery]], list[Future[int]]]]:
    """Threads that each hand in a delivery."""
    with ThreadPoolExecutor(size) as threads:
        yield lambda deliveries: [threads.submit(watched.committer.submit, each) for each in deliveries]


def test_what_arrives_during_a_commit_shares_the_next_one(watched: Watched) -> None:
    first, others = new_delivery(), [new_delivery() for _ in range(40)]
    with crowd(watched, 41) as hand_in:
        with watched.held() as lock:
            answers = hand_in([first])
            watched.until_stuck(lock)
            answers += hand_in(others)
            until(lambda: watched.queued() == len(others))
            # Nobody was answered before their delivery is on disk.
            assert not any(answer.done() for answer in answers)
        assert [answer.result() for answer in answers] == [1] * 41
    assert (watched.stores(), len(watched.commits)) == (2, 2)
    assert watched.stored() == {str(each.id) for each in [first, *others]}
    until(lambda: len(watched.rings) == 2)


def test_more_than_a_batch_holds_becomes_several(watched: Watched) -> None:
    others = [new_delivery() for _ in range(BATCH_LIMIT + 1)]
    with crowd(watched, len(others) + 1) as hand_in:
        with watched.held() as lock:
            answers = hand_in([new_delivery()])
            watched.until_stuck(lock)
            answers += hand_in(others)
            until(lambda: watched.queued() == len(others))
        assert sum(answer.result() for answer in answers) == len(others) + 1
    assert watched.stores() == 3


def test_the_same_event_twice_in_one_batch_is_new_once(watched: Watched) -> None:
    with crowd(watched, 4) as hand_in:
        with watched.held() as lock:
            answers = hand_in([new_delivery()])
            watched.until_stuck(lock)
            answers = hand_in([new_delivery(event_id="evt_1") for _ in range(3)])
            until(lambda: watched.queued() == 3)
        assert sorted(answer.result() for answer in answers) == [0, 0, 1]
    assert len(watched.stored()) == 4


def test_what_brings_nothing_new_rings_no_bell(watched: Watched) -> None:
    assert watched.committer.submit(new_delivery(event_id="evt_1")) == 1
    assert watched.committer.submit(new_delivery(event_id="evt_1")) == 0
    watched.committer.close()
    assert len(watched.rings) == 1


def test_a_connection_killed_in_mid_statement_promises_nothing_and_the_next_delivery_works(watched: Watched) -> None:
    with crowd(watched, 3) as hand_in:
        with watched.held() as lock:
            doomed = hand_in([new_delivery()])
            watched.until_stuck(lock)
            lock.execute(text("SELECT pg_terminate_backend(:pid)"), {"pid": watched.backend(lock)})
            with pytest.raises(Overloaded, match="not reachable"):
                doomed[0].result()
        assert watched.stored() == set()
        assert watched.rings == []
        fresh = new_delivery()
        assert watched.committer.submit(fresh) == 1
    assert watched.stored() == {str(fresh.id)}


def test_those_who_wait_behind_a_killed_connection_are_stored_over_a_new_one(watched: Watched) -> None:
    waiting = [new_delivery() for _ in range(5)]
    with crowd(watched, 6) as hand_in:
        with watched.held() as lock:
            doomed = hand_in([new_delivery()])
            watched.until_stuck(lock)
            answers = hand_in(waiting)
            until(lambda: watched.queued() == 5)
            lock.execute(text("SELECT pg_terminate_backend(:pid)"), {"pid": watched.backend(lock)})
            with pytest.raises(Overloaded):
                doomed[0].result()
        assert [answer.result() for answer in answers] == [1] * 5
    assert watched.stored() == {str(each.id) for each in waiting}


def test_a_connection_killed_between_two_batches_costs_at_most_an_answer_and_never_a_delivery(
    watched: Watched,
) -> None:
    watched.committer.submit(new_delivery())
    with watched.database.connect() as connection:
        connection.execute(
            text(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                "WHERE datname = current_database() AND pid <> pg_backend_pid()"
            )
        )
    resent = new_delivery(event_id="evt_1")
    with pytest.raises(Overloaded):
        watched.committer.submit(resent)
    assert watched.committer.submit(replace(resent, id=new_id())) == 1


def test_the_queue_takes_up_to_its_limit_and_refuses_the_next(open_committer: Callable[..., Watched]) -> None:
    watched = open_committer(queue_limit=3)
    with crowd(watched, 4) as hand_in:
        with watched.held() as lock:
            answers = hand_in([new_delivery()])
            # What is being written no longer waits.
            watched.until_stuck(lock)
            answers += hand_in([new_delivery() for _ in range(3)])
            until(lambda: watched.queued() == 3)
            with pytest.raises(Overloaded, match="too many"):
                watched.committer.submit(new_delivery())
        assert [answer.result() for answer in answers] == [1] * 4
    # There is room again.
    assert watched.committer.submit(new_delivery()) == 1
    assert len(watched.stored()) == 5


@pytest.mark.parametrize("place", [0, 2, 4], ids=["first", "in the middle", "last"])
def test_a_spoiled_delivery_does_not_hurt_the_others_of_its_batch(watched: Watched, place: int) -> None:
    good = [new_delivery() for _ in range(4)]
    batch = [*good[:place], spoiled(), *good[place:]]
    with crowd(watched, 6) as hand_in:
        with watched.held() as lock:
            hand_in([new_delivery()])
            watched.until_stuck(lock)
            answers = []
            for count, each in enumerate(batch, start=1):
                answers += hand_in([each])
                until(lambda wanted=count: watched.queued() == wanted)  # type: ignore[misc]
        with pytest.raises(Overloaded, match="refused this delivery"):
            answers[place].result()
        assert [answer.result() for answer in answers if answer is not answers[place]] == [1] * 4
    assert watched.stored() >= {str(each.id) for each in good}
    assert str(batch[place].id) not in watched.stored()
    assert watched.committer.submit(new_delivery()) == 1


def test_a_bug_of_ours_reaches_the_waiters_and_the_thread_lives(watched: Watched) -> None:
    with pytest.raises(Overloaded):
        watched.committer.submit(replace(new_delivery(), remote_addr=7))  # type: ignore[arg-type]
    assert watched.committer.submit(new_delivery()) == 1


def test_closing_finishes_what_was_taken_and_refuses_the_rest(watched: Watched) -> None:
    taken = [new_delivery() for _ in range(6)]
    with crowd(watched, 7) as hand_in:
        with watched.held() as lock:
            answers = hand_in(taken[:1])
            watched.until_stuck(lock)
            answers += hand_in(taken[1:])
            until(lambda: watched.queued() == 5)
            # It cannot finish while the lock is held, and it must not lose anything for that.
            watched.committer.close(0.0)
            with pytest.raises(Overloaded, match="shutting down"):
                watched.committer.submit(new_delivery())
        assert [answer.result() for answer in answers] == [1] * 6
    watched.committer.close()
    assert watched.stored() == {str(each.id) for each in taken}
    assert watched.committer._thread is not None
    assert not watched.committer._thread.is_alive()


def test_closing_before_the_first_delivery_starts_nothing(watched: Watched) -> None:
    watched.committer.close()
    assert watched.committer._thread is None
    with pytest.raises(Overloaded):
        watched.committer.submit(new_delivery())


def test_closing_among_a_crowd_answers_everybody_truly(watched: Watched) -> None:
    deliveries = [new_delivery() for _ in range(60)]
    watched.committer.submit(new_delivery())
    with crowd(watched, 30) as hand_in:
        answers = hand_in(deliveries)
        watched.committer.close()
        told = {str(each.id) for each, answer in zip(deliveries, answers, strict=True) if not answer.exception()}
    stored = watched.stored()
    assert told <= stored
    assert stored & {str(each.id) for each in deliveries} == told


def test_an_unreachable_database_is_overload_and_each_try_is_a_new_one(open_committer: Callable[..., Watched]) -> None:
    watched = open_committer(url="postgresql://ledgerwire@127.0.0.1:1/none")
    for _ in range(3):
        with pytest.raises(Overloaded, match="not reachable"):
            watched.committer.submit(new_delivery())
    assert watched.rings == []


def test_operators_hear_of_what_is_parked_in_the_same_commit_and_once(watched: Watched) -> None:
    watched.committer.submit(new_delivery(event_id="evt_1", name="payment.teleported"))
    watched.committer.submit(new_delivery(event_id="evt_1", name="payment.teleported"))
    with watched.database.connect() as connection:
        found = connection.execute(text("SELECT room, name, data->>'name' AS what FROM outbox")).all()
    assert [tuple(row) for row in found] == [("operators", "event.parked", "payment.teleported")]


def test_a_delivery_of_no_events_is_kept(watched: Watched) -> None:
    empty = replace(new_delivery(), events=[])
    assert watched.committer.submit(empty) == 0
    assert watched.stored() == {str(empty.id)}
