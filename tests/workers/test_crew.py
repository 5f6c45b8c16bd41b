"""Threads that wait in place of the worker."""

from __future__ import annotations

import threading

from tests.builders import until
from workers.crew import Crew


def test_whoever_calls_waits_for_nobody_and_calls_no_more_than_there_is_room_for() -> None:
    go_on = threading.Event()
    begun = threading.Semaphore(0)

    def wait() -> None:
        begun.release()
        go_on.wait(10)

    crew = Crew(2, wait)
    assert [crew.call() for _ in range(3)] == [True, True, False]
    assert all(begun.acquire(timeout=10) for _ in range(2))
    go_on.set()
    until(crew.call)


def test_one_that_fails_makes_room_again() -> None:
    def fail() -> None:
        raise ValueError("planted")

    crew = Crew(1, fail)
    assert crew.call()
    until(crew.call)
