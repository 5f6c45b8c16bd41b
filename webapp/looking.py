"""Who is looking at an invoice now, over every web process.

Each socket says so again every few seconds; one that has gone, or whose process died, is not counted for long. With
Redis down a process knows of its own sockets only. It is a courtesy and no record: nothing here is kept.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import redis
import structlog
from redis.backoff import NoBackoff
from redis.retry import Retry

log = structlog.get_logger(__name__)

STALE_SECONDS = 45.0
# More than these are not named.
MOST = 20


@dataclass(frozen=True, slots=True)
class Watcher:
    """Somebody at a socket."""

    user_id: str
    name: str
    role: str


class Looking:
    """The watchers of rooms, by socket."""

    def __init__(self, url: str | None, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self._here: dict[str, dict[str, tuple[Watcher, float]]] = {}
        self._client: Any = None
        if url is not None:
            # Somebody waits for the answer, also when Redis is frozen.
            self._client = redis.Redis.from_url(
                url, socket_timeout=0.3, socket_connect_timeout=0.3, retry=Retry(NoBackoff(), 0)
            )

    def see(self, room: str, sid: str, watcher: Watcher) -> list[dict[str, object]]:
        """Note that a socket looks at a room, and return everybody who does."""
        at = self._clock()
        self._here.setdefault(room, {})[sid] = (watcher, at)
        if self._client is not None:
            said = json.dumps({"at": at, "user": watcher.user_id, "name": watcher.name, "role": watcher.role})
            try:
                pipe = self._client.pipeline(transaction=False)
                pipe.hset(_key(room), sid, said)
                pipe.expire(_key(room), int(2 * STALE_SECONDS))
                pipe.execute()
            except redis.RedisError as error:
                log.debug("presence not told", error=type(error).__name__)
        return self.who(room)

    def gone(self, room: str, sid: str) -> bool:
        """A socket looks no more; whether it did."""
        held = self._here.get(room, {})
        if held.pop(sid, None) is None:
            return False
        if not held:
            del self._here[room]
        if self._client is not None:
            try:
                self._client.hdel(_key(room), sid)
            except redis.RedisError as error:
                log.debug("presence not told", error=type(error).__name__)
        return True

    def who(self, room: str) -> list[dict[str, object]]:
        """The people at a room, by name: {id, name, role, windows}."""
        since = self._clock() - STALE_SECONDS
        sockets = {sid: watcher for sid, (watcher, at) in self._here.get(room, {}).items() if at >= since}
        for sid, watcher in self._elsewhere(room, since):
            sockets.setdefault(sid, watcher)
        people: dict[str, dict[str, object]] = {}
        windows: dict[str, int] = {}
        for watcher in sockets.values():
            windows[watcher.user_id] = windows.get(watcher.user_id, 0) + 1
            people[watcher.user_id] = {"id": watcher.user_id, "name": watcher.name, "role": watcher.role}
        named = sorted(people.values(), key=lambda person: (str(person["name"]), str(person["id"])))
        return [{**person, "windows": windows[str(person["id"])]} for person in named[:MOST]]

    def _elsewhere(self, room: str, since: float) -> list[tuple[str, Watcher]]:
        if self._client is None:
            return []
        try:
            told = self._client.hgetall(_key(room))
        except redis.RedisError:
            return []
        found = []
        for sid, spelled in told.items():
            try:
                entry = json.loads(spelled)
                if float(entry["at"]) >= since:
                    watcher = Watcher(str(entry["user"]), str(entry["name"]), str(entry["role"]))
                    found.append((sid.decode("ascii", "replace"), watcher))
            except (ValueError, KeyError, TypeError):
                # Another version's entry, or a damaged one: not counted.
                continue
        return found


def _key(room: str) -> str:
    return f"lw:looking:{room}"
