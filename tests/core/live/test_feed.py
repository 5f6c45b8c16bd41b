"""Each room counts without a gap, whoever announces, gives up, or dies in between."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from core.database import Database
from core.events import DomainEvent
from core.live import feed
from tests.standing import empty


@pytest.fixture(scope="module")
def shared(file_database_url: str) -> Iterator[Database]:
    made = Database("postgresql+psycopg://" + file_database_url.split("://", 1)[1], pool_size=10)
    yield made
    made.dispose()


@pytest.fixture
def database(shared: Database) -> Database:
    empty(shared)
    return shared


def say(database: Database, room: str, *names: str) -> None:
    with database.connect() as connection:
        feed.announce(connection, [DomainEvent(room=room, name=name, data={"é": '"\\'}) for name in names])


def number(database: Database, limit: int = 500) -> list[feed.FeedEvent]:
    with database.connect() as connection:
        return feed.number(connection, limit)


def after(database: Database, room: str, seq: int, limit: int = 3) -> list[int] | None:
    with database.connect() as connection:
        found = feed.after(connection, room, seq, limit)
    return None if found is None else [event.seq for event in found]


class GivenUp(Exception):
    pass


def test_many_who_speak_at_once_and_some_who_give_up_leave_no_gap(database: Database) -> None:
    rooms = ["user:a", "user:b", "invoice:c"]
    over = threading.Event()
    numbered: list[feed.FeedEvent] = []

    def speak(place: int) -> None:
        for turn in range(12):
            try:
                with database.connect() as connection:
                    told = [DomainEvent(room=room, name=f"{place}.{turn}", data={}) for room in rooms[: turn % 3 + 1]]
                    feed.announce(connection, told)
                    if turn % 4 == 1:
                        raise GivenUp  # noqa: TRY301 - The transaction is rolled back.
            except GivenUp:
                pass

    def count() -> None:
        while True:
            # Looked at first: what was said before the end is found after it.
            ended = over.is_set()
            fresh = number(database, 7)
            numbered.extend(fresh)
            if ended and not fresh:
                return

    with ThreadPoolExecutor(7) as pool:
        counting = pool.submit(count)
        list(pool.map(speak, range(6)))
        over.set()
        counting.result(20)
    assert [event.position for event in numbered] == sorted(event.position for event in numbered)
    for room in rooms:
        heard = [event for event in numbered if event.room == room]
        assert [event.seq for event in heard] == list(range(1, len(heard) + 1))
        # What one speaker said keeps its order.
        for place in range(6):
            turns = [int(event.name.split(".")[1]) for event in heard if event.name.startswith(f"{place}.")]
            assert turns == sorted(turns)
    # 12 turns of 6 speakers, of which three were given up: 9 reach the first room.
    assert len([event for event in numbered if event.room == rooms[0]]) == 54


def test_what_was_rolled_back_takes_no_number(database: Database) -> None:
    say(database, "r", "first")
    with pytest.raises(GivenUp), database.connect() as connection:  # noqa: PT012 - It is given up inside.
        feed.announce(connection, [DomainEvent(room="r", name="never", data={})])
        raise GivenUp
    say(database, "r", "second")
    assert [(event.seq, event.name) for event in number(database)] == [(1, "first"), (2, "second")]
    assert number(database) == []


def test_a_numbering_that_was_rolled_back_is_done_again(database: Database) -> None:
    say(database, "r", "a", "b")
    with pytest.raises(GivenUp), database.connect() as connection:  # noqa: PT012 - It is given up inside.
        assert len(feed.number(connection)) == 2
        raise GivenUp
    assert [event.seq for event in number(database)] == [1, 2]


def test_the_data_of_an_event_arrives_as_it_was_said(database: Database) -> None:
    say(database, "r", "a")
    (event,) = number(database)
    assert (event.message()["data"], event.message()["seq"]) == ({"é": '"\\'}, 1)


@pytest.mark.parametrize(
    ("seq", "found"),
    [
        pytest.param(5, [], id="nothing missed"),
        pytest.param(4, [5], id="one missed"),
        pytest.param(3, [4, 5], id="below the limit"),
        pytest.param(2, [3, 4, 5], id="at the limit"),
        pytest.param(1, None, id="above the limit"),
        pytest.param(0, None, id="far above the limit"),
        pytest.param(6, None, id="a number never reached"),
        pytest.param(2**62, None, id="a number never to be reached"),
        pytest.param(-1, None, id="a negative number"),
    ],
)
def test_who_comes_back_hears_what_was_missed_or_reloads(database: Database, seq: int, found: list[int] | None) -> None:
    say(database, "r", *"abcde")
    say(database, "other", *"abcdefgh")
    number(database)
    assert after(database, "r", seq) == found


@pytest.mark.parametrize(("seq", "found"), [(0, []), (1, None), (-1, None)])
def test_a_room_where_nothing_was_said(database: Database, seq: int, found: list[int] | None) -> None:
    assert after(database, "silent", seq) == found


def test_who_missed_what_is_no_longer_kept_reloads(database: Database) -> None:
    say(database, "r", *"abc")
    number(database)
    with database.connect() as connection:
        connection.exec_driver_sql("DELETE FROM feed WHERE seq = 1")
    assert after(database, "r", 0) is None
    assert after(database, "r", 1) == [2, 3]


def test_what_was_numbered_and_not_emitted_is_found_again(database: Database) -> None:
    say(database, "r", *"abcd")
    numbered = number(database, 3)
    with database.connect() as connection:
        assert feed.unemitted(connection) == numbered
        feed.mark_emitted(connection, numbered[1].position)
        assert feed.unemitted(connection) == numbered[2:]
        # A late mark of a predecessor takes nothing back.
        feed.mark_emitted(connection, numbered[0].position)
        assert feed.unemitted(connection) == numbered[2:]
        feed.mark_emitted(connection, numbered[2].position)
        assert feed.unemitted(connection) == []
    (last,) = number(database)
    with database.connect() as connection:
        assert feed.unemitted(connection) == [last]
