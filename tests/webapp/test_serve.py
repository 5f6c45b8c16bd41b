"""The real web process in each runtime: it serves, hears the relay, waits for nobody, and stops at once."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import pytest
import redis
import requests
import socketio

from core.database import Database
from core.identity import Role, tokens, users
from tests.webapp.configured import MASTER_KEY, SECRET_KEY
from webapp.runtime import MODES

# gevent, which nobody gets without asking for it, is tried in the long run.
pytestmark = pytest.mark.parametrize(
    "mode", [pytest.param(mode, marks=pytest.mark.long) if mode == "gevent" else mode for mode in MODES]
)


@dataclass(frozen=True, slots=True)
class Web:
    """A running web process."""

    url: str
    process: subprocess.Popen[bytes]
    database: Database
    redis_url: str

    def token(self) -> tuple[str, str]:
        """A new person's id and access token."""
        now = datetime.now(UTC)
        with self.database.session() as session:
            actor = users.register(
                session, email=f"{now.timestamp()}@example.com", name="x", password_hash="x", role=Role.SELLER, now=now
            )
            pair = tokens.sign_in(session, tokens.Signing(key=SECRET_KEY), actor, now)
        return str(actor.id), pair.access_token

    def health(self) -> dict[str, Any]:
        return requests.get(self.url + "/api/health", timeout=5).json()  # type: ignore[no-any-return]


def _free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


@contextmanager
def _running(mode: str, database_url: str, redis_url: str) -> Iterator[Web]:
    port = _free_port()
    environment = {
        **os.environ,
        "ASYNC_MODE": mode,
        "DATABASE_URL": database_url,
        "REDIS_URL": redis_url,
        "SECRET_KEY": SECRET_KEY,
        "MASTER_KEYS": MASTER_KEY,
        "PORT": str(port),
    }
    process = subprocess.Popen([sys.executable, "-m", "webapp.serve"], env=environment, stderr=subprocess.DEVNULL)
    database = Database("postgresql+psycopg://" + database_url.split("://", 1)[1], pool_size=2)
    try:
        web = Web(f"http://127.0.0.1:{port}", process, database, redis_url)
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline:
            try:
                if requests.get(web.url + "/api/health/ready", timeout=2).status_code == 200:
                    break
            except requests.ConnectionError:
                time.sleep(0.1)
        else:
            pytest.fail("the web process did not get ready")
        yield web
    finally:
        process.kill()
        process.wait()
        database.dispose()


@pytest.fixture
def web(mode: str, database_url: str, redis_url: str) -> Iterator[Web]:
    with _running(mode, database_url, redis_url) as running:
        yield running


class Ear:
    """A Socket.IO client that keeps what it hears."""

    def __init__(self, web: Web, token: str | None, transports: tuple[str, ...] = ("websocket",)) -> None:
        self.heard: list[tuple[str, Any]] = []
        self.news = threading.Condition()
        self.io = socketio.Client(reconnection=False)
        self.refusals: list[Any] = []
        self.io.on("*", self._hear)
        self.io.on("connect_error", self.refusals.append)
        try:
            self.io.connect(web.url, auth={"token": token} if token else None, transports=list(transports))
        except socketio.exceptions.ConnectionError:
            self.io.disconnect()

    def _hear(self, name: str, data: Any = None) -> None:
        with self.news:
            self.heard.append((name, data))
            self.news.notify_all()

    def wait_for(self, name: str, seconds: float = 5.0) -> Any:
        def found() -> Any:
            return next((data for heard, data in self.heard if heard == name), None)

        with self.news:
            assert self.news.wait_for(lambda: found() is not None, seconds), f"{name} was not heard: {self.heard}"
            return found()

    def close(self) -> None:
        self.io.disconnect()


def test_it_tells_what_the_relay_says_and_stops_in_time_with_sockets_open(mode: str, web: Web) -> None:
    user, token = web.token()
    ears = [Ear(web, token), Ear(web, token, ("polling",))]
    try:
        for ear in ears:
            assert ear.wait_for("connected")["rooms"] == {f"user:{user}": 0, "marketplace": 0}
        assert web.health()["connected_users"] == 1
        manager = socketio.RedisManager(web.redis_url, write_only=True)
        manager.emit("event", {"room": f"user:{user}", "seq": 1}, room=f"user:{user}")
        for ear in ears:
            assert ear.wait_for("event")["seq"] == 1
        manager.redis.close()

        began = time.monotonic()
        web.process.send_signal(signal.SIGTERM)
        assert web.process.wait(5) == 0
        assert time.monotonic() - began < 3
    finally:
        for ear in ears:
            ear.close()


def test_a_refused_connection_says_why(mode: str, web: Web) -> None:
    stranger = Ear(web, "not a token")
    assert stranger.refusals[0]["data"]["code"] == "authentication_failed"
    elsewhere = requests.get(
        web.url + "/socket.io/?EIO=4&transport=polling", headers={"Origin": "https://evil.example"}, timeout=5
    )
    assert elsewhere.status_code == 400
    stranger.close()


def test_a_slow_query_holds_up_nobody_else(mode: str, web: Web) -> None:
    # A lock that health's own query must wait for, held from outside: everything else goes on meanwhile.
    _, token = web.token()
    bearer = {"Authorization": f"Bearer {token}"}
    with web.database.session() as session:
        session.connection().exec_driver_sql("LOCK TABLE event_queue IN ACCESS EXCLUSIVE MODE")
        with ThreadPoolExecutor(3) as pool:
            waiting = [pool.submit(web.health) for _ in range(3)]
            time.sleep(0.3)
            began = time.monotonic()
            assert requests.get(web.url + "/api/invoices", headers=bearer, timeout=5).status_code == 200
            assert time.monotonic() - began < 1
            assert not any(each.done() for each in waiting)
            session.rollback()
            assert all(each.result(5)["status"] == "ok" for each in waiting)


def test_with_redis_gone_it_serves_on_and_says_so(mode: str, database_url: str) -> None:
    with _running(mode, database_url, "unix:///nowhere/redis.sock") as web:
        health = web.health()
        assert health["status"] == "degraded"
        assert health["checks"] == {"database": "ok", "redis": "down"}
        user, token = web.token()
        ear = Ear(web, token)
        ear.wait_for("connected")
        assert web.health()["connected_users"] == 1
        answer = ear.io.call("resume", {"rooms": {f"user:{user}": 0}}, timeout=5)
        assert answer["ok"]
        ear.close()


def test_after_redis_was_away_clients_are_told_to_resume(mode: str, web: Web) -> None:
    _, token = web.token()
    ear = Ear(web, token)
    try:
        ear.wait_for("connected")
        with ear.news:
            ear.heard.clear()
        with redis.Redis.from_url(web.redis_url) as client:
            client.client_kill_filter(_type="pubsub")
        ear.wait_for("resync", 10)
    finally:
        ear.close()
