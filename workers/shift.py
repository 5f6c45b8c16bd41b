"""A worker's shift: work until nothing is due, linger at the bell, and go."""

from __future__ import annotations

import time
from collections.abc import Callable

import redis
import structlog

from workers.doorbell import Bell, Doorbell

log = structlog.get_logger(__name__)

# A shift is short, so that a worker that is told to stop stops soon.
LONGEST_SECONDS = 4.0
LINGER_SECONDS = 1.0


def shift(
    doorbell: Doorbell,
    bell: Bell,
    work: Callable[[], int],
    *,
    full: int,
    send_for_another: Callable[[], object],
    longest_seconds: float = LONGEST_SECONDS,
    linger_seconds: float = LINGER_SECONDS,
) -> int:
    """Call `work` until it returns 0 and nobody has rung for `linger_seconds`; return how much was done.

    Lingering saves the way through Celery while events keep coming. A full batch sends for company, and a
    shift that ends with work left sends for its successor. Where somebody is on duty already this one helps
    with what is there and goes: messages that piled up while no worker ran must not linger one after another
    while a fetch or a sweep waits behind them.
    """
    ends = time.monotonic() + longest_seconds
    done = 0
    announced = 0.0
    if doorbell.attended(bell):
        while time.monotonic() < ends:
            count = work()
            done += count
            if count < full:
                return done
    while time.monotonic() < ends:
        if time.monotonic() - announced > 1.0:
            doorbell.on_duty(bell)
            announced = time.monotonic()
        count = work()
        done += count
        if count >= full and doorbell.summon(bell):
            send_for_another()
        if count == 0 and not _rung(doorbell, bell, linger_seconds):
            break
    doorbell.off_duty(bell)
    # Who rang while we were leaving believed that we would come.
    count = work()
    if count:
        send_for_another()
    return done + count


def _rung(doorbell: Doorbell, bell: Bell, seconds: float) -> bool:
    try:
        return doorbell.wait(bell, seconds)
    except redis.RedisError as error:
        log.warning("nobody can ring", bell=bell, error=type(error).__name__)
        return False
