"""S4: one marketplace event to 2,000 sockets of one web process, from the commit until the last has it.

The floor is a bare Socket.IO emit of the same message to the same room, from outside as the relay does it. Ours has on
top of it: an outbox row that is committed, the relay that numbers it, and the feed that it is kept in.
"""

from __future__ import annotations

import selectors
import statistics
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime

import requests
import websocket

from bench.memory import connect
from bench.processes import free_port, process, wait_until_ready
from bench.world import EMAIL, PASSWORD, World, world
from core import live
from core.events import DomainEvent
from core.live.feed import FeedEvent
from workers.doorbell import Doorbell
from workers.relay import Emitter

SOCKETS = 2_000
WARM_UP = 3
ROUNDS = 20
ROOM = "marketplace"
NAME = "invoice.listed"
PATIENCE_SECONDS = 30.0


class Crowd:
    """Open sockets, and how long it takes until all of them heard something."""

    def __init__(self, port: int, token: str, count: int) -> None:
        self.sockets: list[websocket.WebSocket] = []
        self._selector = selectors.DefaultSelector()
        for _ in range(count):
            client = connect(port, token)
            self.sockets.append(client)
            number = client.fileno()  # type: ignore[no-untyped-call]  # The library has no types.
            self._selector.register(number, selectors.EVENT_READ, client)
            # Opening all of them takes longer than a server waits for the answer to its ping.
            self._listen("", 0)

    def milliseconds(self, key: str, send: Callable[[str], None]) -> float:
        """Send, and return the time until the last socket has the message with this key."""
        missing = len(self.sockets)
        began = time.perf_counter()
        send(key)
        while missing:
            if time.perf_counter() - began > PATIENCE_SECONDS:
                raise RuntimeError(f"{missing} sockets did not hear {key}")
            missing -= self._listen(key, 1)
        return (time.perf_counter() - began) * 1000

    def _listen(self, key: str, seconds: float) -> int:
        """Read what has come; return how many heard the key."""
        return sum(self._hears(chosen.data, key) for chosen, _ in self._selector.select(seconds))

    def _hears(self, client: websocket.WebSocket, key: str) -> bool:
        said = client.recv()
        if said == "2":
            client.send("3")
        return key in said

    def close(self) -> None:
        """Hang up."""
        for client in self.sockets:
            client.close()


def _data(key: str) -> dict[str, object]:
    # As long as a listing.
    return {"key": key, "invoice_id": key, "number": "INV-2026-00001", "amount": 1_180_00, "words": "x" * 400}


def measure(parts: World, crowd: Crowd) -> tuple[list[float], list[float]]:
    """Milliseconds of each round: ours, and the bare emit. They take turns, so that both meet the same machine."""
    emitter, doorbell = Emitter(parts.settings.required_redis_url), Doorbell(parts.settings)

    def ours(key: str) -> None:
        with parts.database.connect() as connection:
            live.announce(connection, [DomainEvent(room=ROOM, name=NAME, data=_data(key))])
        doorbell.ring("relay")

    def bare(key: str) -> None:
        emitter.send([FeedEvent(position=0, room=ROOM, seq=0, name=NAME, at=datetime.now(UTC), data=_data(key))])

    took: tuple[list[float], list[float]] = ([], [])
    for place in range(WARM_UP + ROUNDS):
        for kind, send in enumerate((ours, bare)):
            found = crowd.milliseconds(f"key-{kind}-{place:04d}", send)
            if place >= WARM_UP:
                took[kind].append(found)
    return took


def _told(name: str, took: Sequence[float]) -> str:
    return f"{name:34} p50 {statistics.median(took):7.1f} ms   worst {max(took):7.1f} ms"


def run() -> dict[str, float]:
    """Print and return the figures."""
    port = free_port()
    with (
        world() as parts,
        process(parts, ["-m", "webapp.serve"], PORT=str(port)) as web,
        process(parts, ["-m", "workers.relay"]),
    ):
        wait_until_ready(web, port)
        answer = requests.post(
            f"http://127.0.0.1:{port}/api/auth/login", json={"email": EMAIL, "password": PASSWORD}, timeout=10
        )
        crowd = Crowd(port, answer.json()["access_token"], SOCKETS)
        ours, bare = measure(parts, crowd)
        crowd.close()
    ratio = statistics.median(ours) / statistics.median(bare)
    print(_told(f"S4  event to {SOCKETS} sockets, the last", ours))
    print(_told("    bare Socket.IO emit to them", bare))
    print(f"    ratio                              {ratio:7.2f}      (target at most 1.3)")
    return {"ours_ms": statistics.median(ours), "bare_ms": statistics.median(bare), "ratio": ratio}


if __name__ == "__main__":
    run()
