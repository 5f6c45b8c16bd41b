"""A live client as docs/live-feed.md asks for one: it comes back, resumes, and keeps what it heard in order."""

from __future__ import annotations

import contextlib
import threading
import time
from collections import Counter
from typing import Any, Self

import socketio

from tests.builders import Json

_ANSWER_SECONDS = 10
_HEARTBEAT_SECONDS = 2.0


class Listener:
    """Listens to a room from its first event on, through a real Socket.IO connection, until it is closed."""

    def __init__(self, url: str, token: str, room: str) -> None:
        self.room = room
        self.heard: list[Json] = []
        # connections, doubles (known by their number), gaps, resyncs, and live: what came without asking.
        self.seen: Counter[str] = Counter()
        self.problems: list[str] = []
        self._url = url
        self._token = token
        self._lock = threading.Lock()
        self._early: dict[int, Json] = {}
        self._stopping = threading.Event()
        self._nudged = threading.Event()
        self._thread = threading.Thread(target=self._run, name="listener", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopping.set()
        self._nudged.set()
        self._thread.join(30)

    @property
    def last(self) -> int:
        """The number up to which everything was heard."""
        return len(self.heard)

    def _run(self) -> None:
        while not self._stopping.is_set():
            client = socketio.Client(reconnection=False, request_timeout=_ANSWER_SECONDS, handle_sigint=False)
            client.on("event", lambda event: self._accept(event, live=True))
            client.on("resync", lambda *_: self._nudge("resyncs"))
            try:
                client.connect(self._url, auth={"token": self._token}, transports=["websocket"], wait_timeout=10)
                self.seen["connections"] += 1
                self._stay(client)
            except (socketio.exceptions.SocketIOError, OSError) as error:
                self.seen[type(error).__name__] += 1
            finally:
                with contextlib.suppress(Exception):
                    client.disconnect()
                with contextlib.suppress(Exception):
                    client.shutdown()
            time.sleep(0.2)

    def _stay(self, client: Any) -> None:
        while client.connected and not self._stopping.is_set():
            self._nudged.clear()
            answer = client.call("resume", {"rooms": {self.room: self.last}}, timeout=_ANSWER_SECONDS)
            if not answer.get("ok", True):
                self.seen[f"refused: {answer.get('error', {}).get('code')}"] += 1
                time.sleep(0.3)
                continue
            if answer.get("reset"):
                self.problems.append(f"reset at {self.last}: {answer}")
            for event in answer.get("events", []):
                self._accept(event, live=False)
            self._nudged.wait(_HEARTBEAT_SECONDS)

    def _nudge(self, why: str) -> None:
        self.seen[why] += 1
        self._nudged.set()

    def _accept(self, event: Json, *, live: bool) -> None:
        if event["room"] != self.room:
            return
        with self._lock:
            seq = event["seq"]
            if seq <= self.last:
                self.seen["doubles"] += 1
                if event != self.heard[seq - 1]:
                    self.problems.append(f"number {seq} was given twice: {event} and {self.heard[seq - 1]}")
                return
            self.seen["live" if live else "resumed"] += 1
            if seq > self.last + 1:
                self._early[seq] = event
                self._nudge("gaps")
                return
            self.heard.append(event)
            while (following := self._early.pop(self.last + 1, None)) is not None:
                self.heard.append(following)
