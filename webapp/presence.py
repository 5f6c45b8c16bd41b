"""How many people are connected, counted over every web process.

Each process writes who is on its sockets to Redis every few seconds; what a dead process wrote is not counted.
With Redis down a process counts its own, and says so.
"""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Callable
from typing import Any, Literal

import redis
import structlog
from redis.backoff import NoBackoff
from redis.retry import Retry

log = structlog.get_logger(__name__)

BEAT_SECONDS = 10.0
_STALE_SECONDS = 3 * BEAT_SECONDS
_KEY = "lw:presence"

Scope = Literal["installation", "process"]
State = Literal["ok", "down"]


class Presence:
    """The users on this process's sockets, and on all."""

    def __init__(self, url: str | None, local: Callable[[], set[str]]) -> None:
        """`local` tells who is connected here. Without `url` this process is all there is."""
        self._local = local
        self._id = uuid.uuid4().hex
        self._client: Any = None
        if url is not None:
            # Health must answer soon, also when Redis is frozen.
            self._client = redis.Redis.from_url(
                url, socket_timeout=0.5, socket_connect_timeout=0.5, retry=Retry(NoBackoff(), 0)
            )

    def beat(self) -> None:
        """Tell the other processes who is here. With Redis down nothing happens."""
        if self._client is None:
            return
        mine = json.dumps({"at": time.time(), "users": sorted(self._local())})
        try:
            pipe = self._client.pipeline(transaction=False)
            pipe.hset(_KEY, self._id, mine)
            pipe.expire(_KEY, int(_STALE_SECONDS))
            pipe.execute()
        except redis.RedisError as error:
            log.debug("presence not told", error=type(error).__name__)

    def leave(self) -> None:
        """Take this process out of the count."""
        if self._client is not None:
            try:
                self._client.hdel(_KEY, self._id)
            except redis.RedisError as error:
                log.debug("presence not told", error=type(error).__name__)

    def count(self) -> tuple[int, Scope, State | None]:
        """How many different users are connected, over what, and how Redis is (None: there is none to ask)."""
        here = set(self._local())
        if self._client is None:
            return len(here), "process", None
        try:
            told = self._client.hgetall(_KEY)
        except redis.RedisError:
            return len(here), "process", "down"
        for process, spelled in told.items():
            if process.decode("ascii", "replace") == self._id:
                continue
            try:
                entry = json.loads(spelled)
                if time.time() - float(entry["at"]) <= _STALE_SECONDS:
                    here.update(str(user) for user in entry["users"])
            except (ValueError, KeyError, TypeError):
                # Another version's entry, or a damaged one: not counted.
                continue
        return len(here), "installation", "ok"
