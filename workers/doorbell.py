"""The doorbell: tells workers and the relay that something waits. It carries no data.

A ring wakes a worker that lingers at the bell at once; where none does, a Celery message starts one. Rings
that are lost (Redis down, a process killed) cost latency only: beat rings every few seconds as well.
"""

from __future__ import annotations

from typing import Literal

import redis
import structlog
from redis.backoff import NoBackoff
from redis.retry import Retry

from config.settings import Settings

log = structlog.get_logger(__name__)

Bell = Literal[
    "normalize", "fetch", "pull", "mail", "relay", "market", "links", "letters", "bulk", "reconcile", "mirror",
]  # fmt: skip

# How long a worker's "I am here" holds without being renewed. A killed worker is replaced after this.
ON_DUTY_SECONDS = 3
SOCKET_TIMEOUT_SECONDS = 0.5


def connect(url: str, *, socket_timeout: float = SOCKET_TIMEOUT_SECONDS) -> redis.Redis:
    """A client that fails fast: who rings never waits for Redis."""
    return redis.Redis.from_url(
        url,
        socket_timeout=socket_timeout,
        socket_connect_timeout=SOCKET_TIMEOUT_SECONDS,
        retry=Retry(NoBackoff(), 0),
        health_check_interval=15,
    )


class Doorbell:
    """Rings, and waits for rings."""

    def __init__(self, settings: Settings) -> None:
        """Connects on first use."""
        url = settings.required_redis_url
        self._ringing = connect(url)
        # Waiting blocks for up to a second, so that client allows more.
        self._waiting = connect(url, socket_timeout=5.0)
        self._silent = False

    def ring(self, bell: Bell) -> bool:
        """Wake who lingers; False when nobody is on duty, or Redis does not answer.

        One waiting ring is enough however many events wait, so the list is kept at one entry.
        """
        try:
            pipe = self._ringing.pipeline(transaction=False)
            pipe.lpush(f"lw:bell:{bell}", 1)
            pipe.ltrim(f"lw:bell:{bell}", 0, 0)
            pipe.exists(f"lw:duty:{bell}")
            answered = bool(pipe.execute()[2])
            self._silent = False
            return answered
        except redis.RedisError as error:
            # Once in an outage: with webhooks coming in this would be dozens of lines a second.
            if not self._silent:
                log.warning("the doorbell cannot be rung", bell=bell, error=type(error).__name__)
            self._silent = True
            return False

    def summon(self, bell: Bell) -> bool:
        """Whether the caller is the one to send for a worker: true once in a second."""
        try:
            return bool(self._ringing.set(f"lw:summoned:{bell}", 1, nx=True, ex=1))
        except redis.RedisError:
            return False

    def attended(self, bell: Bell) -> bool:
        """Whether somebody is on duty; False when Redis does not answer."""
        try:
            return bool(self._ringing.exists(f"lw:duty:{bell}"))
        except redis.RedisError:
            return False

    def on_duty(self, bell: Bell) -> None:
        """Say that somebody listens, for the next few seconds."""
        try:
            self._ringing.set(f"lw:duty:{bell}", 1, ex=ON_DUTY_SECONDS)
        except redis.RedisError as error:
            log.debug("not on duty", bell=bell, error=type(error).__name__)

    def off_duty(self, bell: Bell) -> None:
        """Say that nobody listens any more."""
        try:
            self._ringing.delete(f"lw:duty:{bell}")
        except redis.RedisError as error:
            log.debug("still marked on duty", bell=bell, error=type(error).__name__)

    def wait(self, bell: Bell, seconds: float) -> bool:
        """Linger until the bell rings, at most `seconds`. Raises redis.RedisError when Redis is gone."""
        return self._waiting.blpop([f"lw:bell:{bell}"], timeout=seconds) is not None
