"""S2: from the POST of a webhook to its event on a live client, at 100 a second.

The floor is what cannot be avoided, measured alone and at the same rate: one commit, one publish to Redis,
one Socket.IO emit to the same client. Both are read by the same clock in the same process.
"""

from __future__ import annotations

import statistics
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime

import psycopg
import requests
import socketio
from sqlalchemy import text

from bench.processes import free_port, process, wait_until_ready
from bench.world import EMAIL, PASSWORD, World, add_invoices, body_of, world
from core.live.feed import FeedEvent
from core.money import Money
from workers.relay import Emitter
from workers.simulators.sending import Changes

PER_SECOND = 100
SECONDS = 15
WARM_UP = 200
TOTAL = 1_180_00
NOW = datetime.now(UTC)


class Listener:
    """A live client that notes when each key arrived."""

    def __init__(self, port: int, token: str) -> None:
        self.arrived: dict[str, float] = {}
        self.client = socketio.Client(reconnection=False)
        self.client.on("event", self._hear)
        self.client.connect(f"http://127.0.0.1:{port}", auth={"token": token}, transports=["websocket"])

    def _hear(self, message: dict[str, object]) -> None:
        now = time.perf_counter()
        data = message["data"]
        if isinstance(data, dict) and message["name"] in {"payment.received", "bench.emitted"}:
            self.arrived.setdefault(str(data.get("invoice_number") or data.get("key")), now)


def pace(count: int, send: Callable[[int], None]) -> None:
    """Call `send` at the measured rate; a late call does not delay the next."""
    started = time.perf_counter()
    for place in range(count):
        wait = started + place / PER_SECOND - time.perf_counter()
        if wait > 0:
            time.sleep(wait)
        send(place)


def percentiles(milliseconds: list[float]) -> tuple[float, float]:
    """p50 and p99."""
    cuts = statistics.quantiles(milliseconds, n=100)
    return cuts[49], cuts[98]


def measure_road(parts: World, port: int, listener: Listener, count: int) -> list[float]:
    """Milliseconds from POST to event of each webhook."""
    url = f"http://127.0.0.1:{port}/api/connectors/razorpay/webhook/{parts.connections['razorpay']}"
    messages = []
    for place in range(count):
        number = f"INV-2026-{place + 1:05d}"
        changes = Changes(invoice_number=number, money=Money(TOTAL, "INR"))
        headers, body = body_of("razorpay", "payment.captured", parts.secrets["razorpay"], f"s2-{place}", changes)
        messages.append((number, headers, body))
    sent: dict[str, float] = {}
    local = threading.local()

    def post(number: str, headers: dict[str, str], body: bytes) -> None:
        session = getattr(local, "session", None)
        if session is None:
            session = local.session = requests.Session()
        sent[number] = time.perf_counter()
        if session.post(url, data=body, headers=headers, timeout=10).status_code != 200:
            raise RuntimeError("a webhook was not accepted")

    # The POSTs do not wait for each other, as a provider's do not.
    with ThreadPoolExecutor(4) as pool:
        pace(count, lambda place: pool.submit(post, *messages[place]))
    wait_for(listener, set(sent))
    return [(listener.arrived[number] - sent[number]) * 1000 for number, _, _ in messages[WARM_UP:]]


def measure_floor(parts: World, listener: Listener, count: int) -> list[float]:
    """Milliseconds of one commit, one publish and one emit."""
    emitter = Emitter(parts.settings.required_redis_url)
    room = f"user:{parts.seller.id}"
    sent: dict[str, float] = {}
    with psycopg.connect(parts.settings.libpq_url, autocommit=True) as connection:
        connection.execute("CREATE TABLE bench_floor (id bigint)")

        def go(place: int) -> None:
            key = f"floor-{place}"
            sent[key] = time.perf_counter()
            connection.execute("INSERT INTO bench_floor VALUES (%s)", [place])
            emitter.send([FeedEvent(position=0, room=room, seq=0, name="bench.emitted", at=NOW, data={"key": key})])

        pace(count, go)
    wait_for(listener, set(sent))
    return [(listener.arrived[key] - sent[key]) * 1000 for key in list(sent)[WARM_UP:]]


def wait_for(listener: Listener, keys: set[str], patience_seconds: float = 30) -> None:
    """Until every key has arrived. Raises RuntimeError when some never do."""
    ends = time.monotonic() + patience_seconds
    while missing := keys - listener.arrived.keys():
        if time.monotonic() > ends:
            raise RuntimeError(f"{len(missing)} events never arrived")
        time.sleep(0.05)


STEPS = text(
    "SELECT percentile_cont(ARRAY[0.5, 0.99]) WITHIN GROUP (ORDER BY extract(epoch FROM {step}) * 1000) "
    "FROM events JOIN deliveries ON deliveries.id = events.delivery_id "
    "JOIN event_results AS results ON results.event_id = events.id "
    "JOIN feed ON feed.event_id = events.id AND feed.name = 'payment.received' AND feed.room LIKE 'user:%'".replace(
        ":%", r"\:%"
    )
)


def steps(parts: World) -> list[tuple[str, float, float]]:
    """What each step of the road took: name, p50 and p99 in milliseconds."""
    wanted = (
        ("received to stored", "deliveries.stored_at - deliveries.received_at"),
        ("stored to claimed", "results.claimed_at - deliveries.stored_at"),
        ("claimed to processed", "results.finished_at - results.claimed_at"),
        ("processed to numbered", "feed.numbered_at - results.finished_at"),
    )
    found = []
    with parts.database.connect() as connection:
        for name, step in wanted:
            p50, p99 = connection.scalar(text(STEPS.text.replace("{step}", step))) or (0.0, 0.0)
            found.append((name, p50, p99))
    return found


def run() -> dict[str, float]:
    """Print and return the figures."""
    count = PER_SECOND * SECONDS
    port = free_port()
    with (
        world() as parts,
        process(parts, ["-m", "webapp.serve"], PORT=str(port)) as web,
        process(parts, ["-m", "workers.serve"]),
        process(parts, ["-m", "workers.relay"]),
    ):
        add_invoices(parts.database, parts.seller.id, count, TOTAL)
        wait_until_ready(web, port)
        answer = requests.post(
            f"http://127.0.0.1:{port}/api/auth/login", json={"email": EMAIL, "password": PASSWORD}, timeout=10
        )
        listener = Listener(port, answer.json()["access_token"])
        floor = percentiles(measure_floor(parts, listener, count))
        ours = percentiles(measure_road(parts, port, listener, count))
        taken = steps(parts)
        listener.client.disconnect()
    ratios = (ours[0] / floor[0], ours[1] / floor[1])
    print(f"S2  POST to browser event at {PER_SECOND}/s  p50 {ours[0]:7.1f} ms   p99 {ours[1]:7.1f} ms")
    print(f"    floor: commit+publish+emit     p50 {floor[0]:7.1f} ms   p99 {floor[1]:7.1f} ms")
    print(f"    ratio                          p50 {ratios[0]:7.2f}      p99 {ratios[1]:7.2f}      (targets at most 3)")
    for name, p50, p99 in taken:
        print(f"      {name:28} p50 {p50:7.1f} ms   p99 {p99:7.1f} ms")
    return {"p50_ms": ours[0], "p99_ms": ours[1], "p50_ratio": ratios[0], "p99_ratio": ratios[1]}


if __name__ == "__main__":
    run()
