"""Sending many deliveries: in which order, how fast, and what was answered."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from random import Random

import requests

from workers.simulators.sending import Built

TIMEOUT_SECONDS = 10
# Posts under way at once where a rate is asked for; without one, each waits for the answer to the one before.
_THREADS = 32
_TELL_SECONDS = 2.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """How often and how fast. Each of `count` messages is sent once and then `duplicates` times again."""

    count: int = 1
    duplicates: int = 0
    rate_per_second: float | None = None
    shuffle: bool = False
    seed: str = ""

    def order(self) -> list[int]:
        """The numbers of the messages in the order in which they are posted."""
        order = [number for number in range(self.count) for _ in range(1 + self.duplicates)]
        if self.shuffle:
            Random(self.seed).shuffle(order)  # noqa: S311 - an order, not a secret
        return order


@dataclass(frozen=True, slots=True, kw_only=True)
class Posted:
    """One answer. `said` is its JSON object, or nothing."""

    status: int
    milliseconds: float
    said: dict[str, object] = field(default_factory=dict)

    @property
    def word(self) -> str:
        """What the answer says in a word or a sentence."""
        return str(self.said.get("status", "accepted") if self.status < 400 else self.said.get("detail", "refused"))

    @property
    def delivery_id(self) -> str | None:
        """The id under which the delivery was stored, where the answer tells it."""
        return str(self.said["delivery_id"]) if self.status < 400 and "delivery_id" in self.said else None


def post(session: requests.Session, url: str, built: Built) -> Posted:
    """Post one delivery. Raises requests.RequestException where there is no answer."""
    began = time.perf_counter()
    answer = session.post(
        url, data=built.body, headers=dict(built.headers), timeout=TIMEOUT_SECONDS, allow_redirects=False
    )
    milliseconds = (time.perf_counter() - began) * 1000
    try:
        said = answer.json()
    except ValueError:
        said = {}
    return Posted(status=answer.status_code, milliseconds=milliseconds, said=said if isinstance(said, dict) else {})


@dataclass(slots=True)
class Answers:
    """What came back of a run. `lost` counts posts that nobody answered, by the kind of trouble."""

    posted: list[Posted] = field(default_factory=list)
    lost: Counter[str] = field(default_factory=Counter)
    seconds: float = 0.0

    def summary(self) -> str:
        """One line: how many, how fast, answered how."""
        statuses = Counter(one.status for one in self.posted)
        parts = [f"{status} x{count}" for status, count in sorted(statuses.items())]
        parts += [f"{kind} x{count}" for kind, count in sorted(self.lost.items())]
        sent = len(self.posted) + sum(self.lost.values())
        speed = f"{sent} in {self.seconds:.1f} s" + (f", {sent / self.seconds:.0f} a second" if self.seconds else "")
        times = sorted(one.milliseconds for one in self.posted)
        answered = f"; p50 {percentile(times, 50):.0f} ms, p99 {percentile(times, 99):.0f} ms" if times else ""
        return f"Sent {speed}. Answered: {', '.join(parts)}{answered}."


def percentile(ordered: list[float], percent: int) -> float:
    """The value that so many percent of an ordered list do not exceed."""
    return ordered[max(0, -(-len(ordered) * percent // 100) - 1)]


def run(
    plan: Plan, url: str, build: Callable[[int], Built], *, tell: Callable[[str], None] = lambda _words: None
) -> Answers:
    """Post a plan's deliveries. `build(number)` makes each when it is first sent; `tell` hears how far it is."""
    answers, made, lock = Answers(), dict[int, Built](), threading.Lock()
    order = plan.order()

    def deliver(session: requests.Session, number: int) -> None:
        with lock:
            built = made.get(number) or made.setdefault(number, build(number))
        try:
            found = post(session, url, built)
        except requests.RequestException as error:
            with lock:
                answers.lost[type(error).__name__] += 1
        else:
            with lock:
                answers.posted.append(found)

    began = told = time.monotonic()

    def keep_telling() -> None:
        nonlocal told
        if time.monotonic() - told >= _TELL_SECONDS:
            told = time.monotonic()
            tell(f"{len(answers.posted)} of {len(order)} answered")

    with requests.Session() as session, ThreadPoolExecutor(_THREADS if plan.rate_per_second else 1) as pool:
        waiting = []
        for place, number in enumerate(order):
            if plan.rate_per_second:
                while (pause := began + place / plan.rate_per_second - time.monotonic()) > 0:
                    time.sleep(min(pause, _TELL_SECONDS))
                    keep_telling()
            waiting.append(pool.submit(deliver, session, number))
        for future in waiting:
            future.result()
            keep_telling()
    answers.seconds = time.monotonic() - began
    return answers
