"""S1: durable, acknowledged webhooks a second, against the same server's route that does nothing.

Each webhook is a really signed Razorpay payment of its own, posted to a connection's address by 64
connections; its 200 comes after the commit. The floor is `GET /noop` on the same process, asked by the same
client.
"""

from __future__ import annotations

import itertools
import statistics
from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import text

from bench import load
from bench.processes import free_port, process, wait_until_ready
from bench.world import World, body_of, world
from core.money import Money
from workers.simulators.sending import Changes

CONNECTIONS = 64
SECONDS = 5.0
ROUNDS = 3


def webhooks(parts: World, count: int) -> list[bytes]:
    """Signed requests, each with a payment of its own."""
    path = f"/api/connectors/razorpay/webhook/{parts.connections['razorpay']}"
    made = []
    for place in range(count):
        headers, body = body_of(
            "razorpay", "payment.captured", parts.secrets["razorpay"], f"s1-{place}", Changes(money=Money(100, "INR"))
        )
        made.append(load.request("POST", path, headers, body))
    return made


@contextmanager
def server(parts: World, kind: str) -> Iterator[int]:
    """Run web or ingress with the no-op route; yields its port."""
    port = free_port()
    with process(parts, ["-m", "bench.noop_web", kind], PORT=str(port), INGRESS_PORT=str(port)) as started:
        wait_until_ready(started, port)
        yield port


def measure(parts: World, kind: str, messages: Iterator[bytes]) -> tuple[float, float]:
    """Webhooks and no-ops a second: medians of alternating rounds."""
    noop = load.request("GET", "/noop", {})
    ours, floor = [], []
    with server(parts, kind) as port:
        load.run("127.0.0.1", port, itertools.repeat(noop), connections=CONNECTIONS, seconds=1)
        load.run("127.0.0.1", port, messages, connections=CONNECTIONS, seconds=1)
        for _ in range(ROUNDS):
            bare = load.run("127.0.0.1", port, itertools.repeat(noop), connections=CONNECTIONS, seconds=SECONDS)
            floor.append(bare.per_second)
            result = load.run("127.0.0.1", port, messages, connections=CONNECTIONS, seconds=SECONDS)
            if set(result.statuses) != {200}:
                raise RuntimeError(f"not every webhook was accepted: {dict(result.statuses)}")
            ours.append(result.per_second)
    return statistics.median(ours), statistics.median(floor)


def run() -> dict[str, float]:
    """Print and return the figures."""
    figures: dict[str, float] = {}
    with world(WEBHOOK_QUEUE_LIMIT="100000") as parts:
        made = webhooks(parts, 150_000)
        messages = iter(made)
        for kind in ("web", "ingress"):
            ours, floor = measure(parts, kind, messages)
            print(f"S1  durable webhooks, {kind:8}         {ours:9,.0f} /s")
            print(f"    floor: no-op route of it       {floor:9,.0f} /s")
            print(f"    ratio                          {ours / floor:9.2f}   (target at least 0.60)")
            figures |= {f"{kind}_per_second": ours, f"{kind}_floor": floor, f"{kind}_ratio": ours / floor}
        with parts.database.connect() as connection:
            stored = connection.scalar(text("SELECT count(*) FROM deliveries"))
            print(f"    {stored:,} deliveries are on disk")
    return figures


if __name__ == "__main__":
    run()
