"""The HTTP transport, against a real server on this machine."""

from __future__ import annotations

import ipaddress
import logging
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from connectors import registry
from connectors.base import Api, Authorization, AuthorizationTalk, Connector, Credentials, Request, Talk
from core.errors import MalformedPayload, Permanent, PlatformError, Transient
from core.events import ConnectionHealth, ConnectionState, Record
from workers.pinning import may_connect
from workers.transport import Limits, Transport

SECRET = "planted-secret-5f2c"
NOW = datetime(2026, 11, 3, 9, 0, tzinfo=UTC)
Answer = tuple[int, dict[str, str], bytes]


class Provider:
    """A server that answers as a test says, and keeps what it was asked."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, dict[str, str]]] = []
        self.script: list[Answer] = []
        self.otherwise: Answer = (200, {}, b'{"ok": true}')
        self.dribble: tuple[int, float] | None = None
        provider = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                self.rfile.read(int(self.headers.get("Content-Length") or 0))
                provider.asked.append((f"{self.command} {self.path}", {k.lower(): v for k, v in self.headers.items()}))
                status, headers, body = provider.script.pop(0) if provider.script else provider.otherwise
                if status == 0:
                    self.close_connection = True
                    return
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                if provider.dribble:
                    size, pause = provider.dribble
                    self.send_header("Content-Length", str(size))
                    self.end_headers()
                    for _ in range(size):
                        try:
                            self.wfile.write(b" ")
                        except OSError:
                            return
                        time.sleep(pause)
                    return
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            do_POST = do_GET  # noqa: N815

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002
                pass

        class Server(ThreadingHTTPServer):
            def handle_error(self, request: object, client_address: object) -> None:
                """A caller that hangs up is what some tests are about."""

        self.server = Server(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True)
        self.thread.start()
        self.base = f"http://127.0.0.1:{self.server.server_address[1]}"

    def stop(self) -> None:
        self.server.shutdown()
        self.server.server_close()
        self.thread.join(5)


@pytest.fixture
def provider() -> Iterator[Provider]:
    provider = Provider()
    yield provider
    provider.stop()


def authorize(credentials: Credentials) -> AuthorizationTalk:
    answer = yield Request(method="POST", url="/token", form={"key": credentials.secret("api_key")}, authorized=False)
    token = answer.payload().optional_text("token") or "token-1"
    return Authorization(headers={"Authorization": f"Bearer {token}"}, expires_in_seconds=3600)


CONNECTOR = replace(
    registry.get("basiq"), api=Api(base="https://api.provider.example/v1", authorize=authorize, rate_per_second=1000)
)


def asking(*urls: str, method: str = "GET", authorized: bool = False) -> Callable[[Credentials], Talk]:
    """A talk that asks for these and returns what it was told."""

    def talk(credentials: Credentials) -> Talk:
        found: list[Record] = []
        for url in urls:
            request = Request(method=method, url=url, authorized=authorized)  # type: ignore[arg-type]
            body = (yield request).payload().to_bytes().decode()
            version = int(credentials.moment().timestamp())
            found.append(ConnectionState(object_id=url, version=version, health=ConnectionHealth.ACTIVE, reason=body))
        return found

    return talk


class World:
    """A transport with time that the test moves."""

    def __init__(self, provider: Provider, *, limits: Limits | None = None, connector: Connector = CONNECTOR) -> None:
        self.time, self.slept = 0.0, list[float]()
        self.connector = connector
        self.credentials = Credentials(
            secrets={"api_key": SECRET}, settings={"api_base": provider.base}, external_id=None
        )
        self.transport = Transport(
            allow_local=True, limits=limits, now=lambda: NOW, clock=lambda: self.time, sleep=self.sleep
        )

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.time += seconds

    def run(self, talk: Callable[[Credentials], Talk]) -> list[Record]:
        return self.transport.run(self.connector, self.credentials, talk)


@pytest.fixture
def world(provider: Provider) -> Iterator[World]:
    world = World(provider)
    yield world
    world.transport.close()


def test_a_talk_is_carried_to_its_end(world: World, provider: Provider) -> None:
    first, second = world.run(asking("/a", f"{provider.base}/b?x=%27y%27"))
    assert first == ConnectionState(
        object_id="/a", version=int(NOW.timestamp()), health=ConnectionHealth.ACTIVE, reason='{"ok":true}'
    )
    assert second.object_id.endswith("/b?x=%27y%27")
    assert [line for line, _ in provider.asked] == ["GET /a", "GET /b?x=%27y%27"]
    assert provider.asked[0][1]["user-agent"].startswith("Ledgerwire")


def test_a_link_to_the_documented_base_is_carried_to_the_configured_one(world: World, provider: Provider) -> None:
    world.run(asking("https://api.provider.example/v1/things?filter=a.eq%28%27b%27%29"))
    assert provider.asked[0][0] == "GET /things?filter=a.eq%28%27b%27%29"


@pytest.mark.parametrize(
    "url",
    [
        pytest.param("https://elsewhere.example/v1/a", id="another host"),
        pytest.param("https://api.provider.example.evil.example/v1/a", id="a longer host"),
        pytest.param("http://api.provider.example/v1/a", id="another scheme"),
        pytest.param("https://api.provider.example:8443/v1/a", id="another port"),
        pytest.param("https://api.provider.example/v2/a", id="outside the base path"),
        pytest.param("https://api.provider.example/v1/../admin", id="climbing out"),
        pytest.param("https://api.provider.example@evil.example/v1/a", id="user information"),
        pytest.param("https://key@api.provider.example/v1/a", id="user information of the right host"),
        pytest.param("//elsewhere.example/a", id="no scheme"),
        pytest.param("https://[broken/v1", id="unreadable"),
        pytest.param("file:///etc/passwd", id="a file"),
        pytest.param("", id="nothing"),
    ],
)
def test_a_link_that_leads_elsewhere_is_not_followed(world: World, provider: Provider, url: str) -> None:
    with pytest.raises(Permanent):
        world.run(asking(url))
    assert provider.asked == []


TOKENS = "https://identity.provider.example/oauth"


def test_a_further_documented_base_is_carried_to_the_configured_one(provider: Provider) -> None:
    assert CONNECTOR.api is not None
    world = World(provider, connector=replace(CONNECTOR, api=replace(CONNECTOR.api, also=(TOKENS,))))
    world.run(asking(f"{TOKENS}/token?a=b"))
    assert provider.asked[0][0] == "GET /oauth/token?a=b"
    for url in ("https://identity.provider.example/oauth2/token", f"{TOKENS}/../admin", f"{TOKENS}@evil.example/x"):
        with pytest.raises(Permanent):
            world.run(asking(url))
    assert len(provider.asked) == 1
    world.transport.close()


def test_a_further_documented_base_is_asked_itself_where_no_base_is_configured(provider: Provider) -> None:
    tokens = Provider()
    api = Api(base=provider.base, also=(tokens.base,), authorize=authorize, rate_per_second=1000)
    world = World(provider, connector=replace(CONNECTOR, api=api))
    world.run(asking(f"{tokens.base}/token", "/a"))
    assert [line for line, _ in tokens.asked] == ["GET /token"]
    assert [line for line, _ in provider.asked] == ["GET /a"]
    world.transport.close()
    tokens.stop()


@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_a_redirect_is_never_followed(world: World, provider: Provider, status: int) -> None:
    provider.script = [(status, {"Location": f"{provider.base}/other"}, b"")]
    with pytest.raises(Permanent, match="redirect"):
        world.run(asking("/a"))
    assert len(provider.asked) == 1


@pytest.mark.parametrize("status", [0, 429, 500, 503])
def test_trouble_is_tried_again(world: World, provider: Provider, status: int) -> None:
    provider.script = [(status, {}, b"")] * 2
    assert len(world.run(asking("/a"))) == 1
    assert len(provider.asked) == 3
    assert len([pause for pause in world.slept if pause > 0.01]) == 2


def test_trouble_that_stays_is_transient(world: World, provider: Provider) -> None:
    provider.otherwise = (502, {}, b"")
    with pytest.raises(Transient, match="basiq: GET /a answered 502"):
        world.run(asking("/a"))
    assert len(provider.asked) == 4


@pytest.mark.parametrize("status", [400, 403, 404, 410, 422])
def test_a_refusal_is_permanent_and_asked_once(world: World, provider: Provider, status: int) -> None:
    provider.otherwise = (status, {}, b"")
    with pytest.raises(Permanent, match=f"answered {status}"):
        world.run(asking("/a"))
    assert len(provider.asked) == 1


def test_retry_after_is_honoured(world: World, provider: Provider) -> None:
    provider.script = [(429, {"Retry-After": "3"}, b""), (503, {"Retry-After": "Tue, 03 Nov 2026 09:00:04 GMT"}, b"")]
    world.run(asking("/a"))
    assert [pause for pause in world.slept if pause > 0.01] == [3.0, 4.0]


def test_a_long_retry_after_goes_to_the_queue(world: World, provider: Provider) -> None:
    provider.script = [(429, {"Retry-After": "120"}, b"")]
    with pytest.raises(Transient) as caught:
        world.run(asking("/a"))
    assert caught.value.retry_after_seconds == 120
    assert len(provider.asked) == 1


def test_a_post_that_does_something_is_sent_once(world: World, provider: Provider) -> None:
    provider.script = [(200, {}, b"{}"), (503, {}, b"")]
    with pytest.raises(Transient):
        world.run(asking("/pay", method="POST", authorized=True))
    assert [line for line, _ in provider.asked] == ["POST /token", "POST /pay"]


def test_the_token_is_asked_for_once_and_again_before_it_ends(world: World, provider: Provider) -> None:
    for _ in range(3):
        world.run(asking("/a", "/b", authorized=True))
    assert sum(line == "POST /token" for line, _ in provider.asked) == 1
    assert provider.asked[1][1]["authorization"] == "Bearer token-1"
    world.time = 3541
    world.run(asking("/a", authorized=True))
    assert sum(line == "POST /token" for line, _ in provider.asked) == 2


def test_a_token_that_is_refused_is_renewed_once(world: World, provider: Provider) -> None:
    provider.script = [(200, {}, b'{"token": "old"}'), (401, {}, b""), (200, {}, b'{"token": "new"}')]
    world.run(asking("/a", authorized=True))
    assert [line for line, _ in provider.asked] == ["POST /token", "GET /a", "POST /token", "GET /a"]
    assert provider.asked[-1][1]["authorization"] == "Bearer new"
    provider.otherwise = (401, {}, b"")
    provider.script = [(401, {}, b""), (200, {}, b"{}")]
    with pytest.raises(Permanent, match="does not accept the connection's credentials"):
        world.run(asking("/a", authorized=True))


def test_tokens_are_not_shared_between_accounts(world: World, provider: Provider) -> None:
    world.run(asking("/a", authorized=True))
    world.credentials = replace(world.credentials, secrets={"api_key": "another"})
    world.run(asking("/a", authorized=True))
    assert sum(line == "POST /token" for line, _ in provider.asked) == 2


def test_a_key_that_is_refused_is_permanent(world: World, provider: Provider) -> None:
    provider.otherwise = (401, {}, b"")
    with pytest.raises(Permanent, match="POST /token answered 401"):
        world.run(asking("/a", authorized=True))


def test_requests_keep_the_providers_rate(provider: Provider) -> None:
    api = Api(base="https://api.provider.example", authorize=authorize, rate_per_second=4)
    world = World(provider, connector=replace(CONNECTOR, api=api))
    world.run(asking("/a", "/b", "/c"))
    assert world.slept == [0.25, 0.25]
    world.transport.close()


def test_the_circuit_opens_and_lets_one_try_through(provider: Provider) -> None:
    world = World(provider, limits=Limits(attempts=1, failures=3, open_seconds=30))
    provider.otherwise = (500, {}, b"")
    for _ in range(3):
        with pytest.raises(Transient, match="answered 500"):
            world.run(asking("/a"))
    with pytest.raises(Transient, match="left alone") as caught:
        world.run(asking("/a"))
    assert caught.value.retry_after_seconds == pytest.approx(30, abs=1)
    assert len(provider.asked) == 3
    world.time += 31
    with pytest.raises(Transient, match="answered 500"):
        world.run(asking("/a"))
    with pytest.raises(Transient, match="left alone"):
        world.run(asking("/a"))
    world.time += 31
    provider.otherwise = (200, {}, b"{}")
    world.run(asking("/a", "/b"))
    assert len(provider.asked) == 6
    world.transport.close()


def test_too_long_an_answer_is_cut_off(provider: Provider) -> None:
    world = World(provider, limits=Limits(response_bytes=1000))
    provider.otherwise = (200, {}, b'{"a": "' + b"x" * 2000 + b'"}')
    with pytest.raises(Permanent, match="more than 1000 bytes"):
        world.run(asking("/a"))
    world.transport.close()


def test_too_slow_an_answer_is_cut_off(provider: Provider) -> None:
    provider.dribble = (200, 0.02)
    transport = Transport(allow_local=True, limits=Limits(total_seconds=0.3))
    credentials = Credentials(secrets={}, settings={"api_base": provider.base}, external_id=None)
    started = time.monotonic()
    with pytest.raises(Transient, match="took too long"):
        transport.run(CONNECTOR, credentials, asking("/a"))
    assert time.monotonic() - started < 2
    transport.close()


def test_nothing_listens(world: World, provider: Provider) -> None:
    world.credentials = replace(world.credentials, settings={"api_base": "http://127.0.0.1:1"})
    with pytest.raises(Transient, match="basiq: GET /a failed: ConnectionError"):
        world.run(asking("/a"))


def test_a_bad_answer_is_the_connectors_to_refuse(world: World, provider: Provider) -> None:
    provider.otherwise = (200, {}, b"<html>")
    with pytest.raises(MalformedPayload, match="is not JSON"):
        world.run(asking("/a"))


def test_a_compressed_bomb_is_cut_off(provider: Provider) -> None:
    import gzip

    world = World(provider, limits=Limits(response_bytes=100_000))
    provider.otherwise = (200, {"Content-Encoding": "gzip"}, gzip.compress(b" " * 10_000_000))
    with pytest.raises(Permanent, match="more than 100000 bytes"):
        world.run(asking("/a"))
    world.transport.close()


@pytest.mark.parametrize(
    "base",
    [
        "http://127.0.0.1:1", "https://127.0.0.1:1", "https://localhost:1", "https://[::1]:1", "https://0.0.0.0:1",
        "https://169.254.169.254", "https://10.0.0.1", "https://[fd00::1]", "https://2130706433", "https://0x7f.1",
        "ftp://api.provider.example", "https://user@api.provider.example", "nonsense", "https://",
    ],
)  # fmt: skip
def test_local_addresses_are_refused_unless_allowed(base: str) -> None:
    transport = Transport(limits=Limits(attempts=1))
    credentials = Credentials(secrets={}, settings={"api_base": base}, external_id=None)
    with pytest.raises(Permanent):
        transport.run(CONNECTOR, credentials, asking("/a"))
    transport.close()


@pytest.mark.parametrize(
    ("address", "public", "local"),
    [
        ("93.184.215.14", True, True), ("2606:4700::1111", True, True), ("127.0.0.1", False, True),
        ("::1", False, True), ("10.1.2.3", False, True), ("192.168.0.1", False, True), ("fd00::1", False, True),
        ("::ffff:127.0.0.1", False, True), ("::ffff:93.184.215.14", True, True), ("169.254.169.254", False, False),
        ("::ffff:169.254.169.254", False, False), ("fe80::1", False, False), ("fec0::1", False, False),
        ("::7f00:1", False, False), ("::5db8:d70e", False, False), ("64:ff9b::7f00:1", False, False),
        ("64:ff9b:1::1", False, False), ("2002:7f00:1::", False, False), ("2001:0:1::1", False, False),
        ("0.0.0.0", False, False), ("::", False, False), ("224.0.0.1", False, False), ("ff02::1", False, False),
        ("100.64.0.1", False, False), ("240.0.0.1", False, False), ("255.255.255.255", False, False),
        ("192.0.0.9", False, False), ("192.88.99.1", False, False), ("3fff::1", False, False),
    ],
)  # fmt: skip
def test_where_requests_may_go(address: str, public: bool, local: bool) -> None:
    parsed = ipaddress.ip_address(address)
    assert (may_connect(parsed, allow_local=False), may_connect(parsed, allow_local=True)) == (public, local)


def test_the_environments_proxies_are_not_used(
    world: World, provider: Provider, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    monkeypatch.setenv("ALL_PROXY", "http://127.0.0.1:1")
    monkeypatch.delenv("NO_PROXY", raising=False)
    assert len(world.run(asking("/a"))) == 1


def test_no_secret_is_in_errors_or_logs(world: World, provider: Provider, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    outcomes: list[Answer] = [(500, {}, SECRET.encode()), (401, {}, SECRET.encode()), (0, {}, b""), (302, {}, b"")]
    for outcome in outcomes:
        provider.otherwise = outcome
        with pytest.raises(PlatformError) as caught:
            world.run(asking("/a", authorized=True))
        links: BaseException | None = caught.value
        while links is not None:
            assert SECRET not in repr(links)
            links = links.__cause__ or links.__context__
    assert SECRET not in caplog.text
    assert SECRET not in repr(world.credentials)


def test_a_header_that_cannot_be_sent_is_permanent(world: World) -> None:
    def talk(_: Credentials) -> Talk:
        yield Request(method="GET", url="/a", headers={"X-Bad": "a\r\nInjected: yes"}, authorized=False)
        return []

    with pytest.raises(Permanent, match="cannot be sent"):
        world.run(talk)


def test_the_talk_is_closed_when_it_fails(world: World, provider: Provider) -> None:
    closed = []

    def talk(_: Credentials) -> Talk:
        try:
            yield Request(method="GET", url="/a", authorized=False)
        finally:
            closed.append(True)
        return []

    provider.otherwise = (404, {}, b"")
    with pytest.raises(Permanent):
        world.run(talk)
    assert closed == [True]
