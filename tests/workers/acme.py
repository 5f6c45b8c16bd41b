"""A provider for tests of pulling: a connector like a plugin's, and a real HTTP server that behaves or misbehaves.

It lists what it would also have said by webhook, in the same words, so that pushed and pulled can be compared.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest
from sqlalchemy import text

from connectors import registry, standard_webhooks
from connectors.base import (
    Api,
    Authorization,
    AuthorizationTalk,
    Connector,
    Credentials,
    Page,
    Pull,
    PullTalk,
    RegisterTalk,
    Registration,
    Request,
)
from connectors.payload import Payload
from core.connections.sealing import KeyRing
from core.database import Database
from core.events import Record
from core.syncing import schedule
from tests.builders import MASTER_KEYS, Clockwork, Json, Shop, SilentDoorbell, make_settings, open_shop
from workers import pull
from workers.transport import Limits, Transport

ACCOUNT = "acc_1"
DAYS = 30


def authorize(credentials: Credentials) -> AuthorizationTalk:
    """A refresh token that is replaced each time it is used."""
    answer = yield Request(
        method="POST", url="/token", form={"refresh_token": credentials.secret("refresh_token")}, authorized=False
    )
    token = answer.payload()
    return Authorization(
        headers={"Authorization": f"Bearer {token.text('access_token')}"},
        expires_in_seconds=token.integer("expires_in"),
        renewed={"refresh_token": token.text("refresh_token")},
    )


def read(item: Payload) -> Sequence[Record]:
    reading = standard_webhooks.connector.read(item.text("type"), item)
    assert isinstance(reading, list)
    return reading


def listing(credentials: Credentials, cursor: str | None, since: datetime) -> PullTalk:
    """A page of everything that happened, oldest first."""
    params = {"since": since.isoformat()} if cursor is None else {"after": cursor}
    page = (yield Request(method="GET", url="/events", params=params)).payload()
    if page.text("account") != (credentials.external_id or ACCOUNT):
        raise page.wrong("account", "the account of the connection")
    records = [record for item in page.items("items") for record in read(item)]
    return Page(records=records, cursor=page.optional_text("next"), more=page.boolean("more"))


def register(_credentials: Credentials, url: str) -> RegisterTalk:
    """Make sure that the provider sends to our address."""
    hooks = (yield Request(method="GET", url="/hooks")).payload()
    ours = [hook for hook in hooks.items("hooks") if hook.text("url") == url]
    if not ours:
        made = (yield Request(method="PUT", url="/hooks", json={"url": url})).payload()
        return Registration(state="created", secret=made.text("secret"))
    if ours[0].boolean("enabled"):
        return Registration(state="kept")
    yield Request(method="PUT", url="/hooks", json={"url": url, "enabled": True})
    return Registration(state="repaired")


def make_connector(slug: str = "acme", base: str = "http://127.0.0.1:9") -> Connector:
    return replace(
        standard_webhooks.connector,
        slug=slug,
        title=slug.capitalize(),
        api=Api(base=base, authorize=authorize, rate_per_second=10_000),
        pull=Pull(talk=listing, what="payments", every_seconds=3600, days=DAYS),
        register=register,
    )


@contextmanager
def installed(*connectors: Connector) -> Iterator[None]:
    """As if plugins had brought these connectors."""
    known = {**registry.all(), **{connector.slug: connector for connector in connectors}}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(registry, "all", lambda: known)
        yield


Answer = tuple[int, dict[str, str], Any]


class Acme:
    """The provider's server. `script` is answered first, in order; then it behaves."""

    def __init__(self, page_size: int = 2) -> None:
        self.items: list[Json] = []
        self.page_size = page_size
        self.script: list[Answer] = []
        self.always: Callable[[str, dict[str, str]], Answer | None] = lambda _path, _query: None
        self.pause_seconds = 0.0
        self.asked: list[str] = []
        self.refresh_token = "refresh-token-0"
        self.burnt: list[str] = []
        self.accesses: set[str] = set()
        self.hooks: list[Json] = []
        self._lock = threading.Lock()
        provider = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def handle_any(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                parts = urlsplit(self.path)
                query = dict(parse_qsl(parts.query))
                provider.asked.append(f"{self.command} {parts.path} {query.get('after', '')}".strip())
                time.sleep(provider.pause_seconds)
                bearer = self.headers.get("Authorization", "")
                status, headers, said = provider.answer(self.command, parts.path, query, body, bearer)
                sent = said if isinstance(said, bytes) else json.dumps(said).encode()
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(sent)))
                self.end_headers()
                self.wfile.write(sent)

            do_GET = do_POST = do_PUT = handle_any  # noqa: N815

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002
                pass

        class Server(ThreadingHTTPServer):
            daemon_threads = True

            def handle_error(self, request: object, client_address: object) -> None:
                """A caller that hangs up is what some tests are about."""

        self._server = Server(("127.0.0.1", 0), Handler)
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()
        self.base = f"http://127.0.0.1:{self._server.server_address[1]}"

    def answer(self, method: str, path: str, query: dict[str, str], body: bytes, bearer: str) -> Answer:
        if path == "/token":
            return self._token(dict(parse_qsl(body.decode())).get("refresh_token", ""))
        with self._lock:
            if self.script:
                return self.script.pop(0)
        if (planted := self.always(path, query)) is not None:
            return planted
        if bearer.removeprefix("Bearer ") not in self.accesses:
            return 401, {}, {}
        if path == "/hooks":
            return self._hook(method, body)
        start = int(query.get("after", "0"))
        end = min(start + self.page_size, len(self.items))
        page = {"account": ACCOUNT, "items": self.items[start:end], "next": str(end), "more": end < len(self.items)}
        return 200, {}, page

    def _token(self, given: str) -> Answer:
        with self._lock:
            if given != self.refresh_token:
                self.burnt.append(given)
                return 400, {}, {"error": "invalid_grant"}
            number = int(self.refresh_token.rsplit("-", 1)[1]) + 1
            self.refresh_token = f"refresh-token-{number}"
            self.accesses.add(f"access-{number}")
            told = {"access_token": f"access-{number}", "refresh_token": self.refresh_token, "expires_in": 3600}
            return 200, {}, told

    def _hook(self, method: str, body: bytes) -> Answer:
        if method == "GET":
            return 200, {}, {"hooks": self.hooks}
        given = json.loads(body)
        self.hooks = [{"url": given["url"], "enabled": True}]
        return 200, {}, {"secret": standard_webhooks.connector.signature.new_secret()}

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()


QUICK = Limits(
    connect_seconds=1, read_seconds=0.5, total_seconds=2, attempts=1, wait_seconds=0.05, failures=50, open_seconds=0.1
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Place(Clockwork):
    """A worker whose transport reaches real servers on this machine."""

    def beside(self) -> Place:
        """Another worker process on the same database."""
        return make_place(self.settings.database_url or "", moment=self.moment)


def make_place(
    database_url: str,
    *,
    moment: list[datetime] | None = None,
    limits: Limits = QUICK,
    hurried: bool = False,
) -> Place:
    """A worker; a `hurried` one waits for no turn, but counts the time as if it had."""
    skipped = [0.0]

    def skip(seconds: float) -> None:
        skipped[0] += seconds

    def clock() -> float:
        return time.monotonic() + skipped[0]

    settings = make_settings(database_url, "redis://127.0.0.1:1", max_attempts="3")
    more: dict[str, Any] = {} if moment is None else {"moment": moment}
    return Place(
        settings=settings,
        database=Database(settings.sqlalchemy_url, pool_size=6),
        doorbell=SilentDoorbell(),
        transport=Transport(allow_local=True, limits=limits, clock=clock, sleep=skip if hurried else time.sleep),
        ring=KeyRing.parse(MASTER_KEYS),
        **more,
    )


def connect(place: Clockwork, acme: Acme, slug: str = "acme", **more: Any) -> Shop:
    """A connection to the provider, as the API makes it."""
    shop = open_shop(place, slug, secrets={"refresh_token": acme.refresh_token}, **more)
    with place.database.connect() as connection:
        connection.execute(
            text(
                "UPDATE connections SET settings = jsonb_build_object('api_base', CAST(:base AS text)) WHERE id = :id"
            ),
            {"base": acme.base, "id": shop.connection_id},
        )
        schedule.begin(connection, shop.connection_id, place.now())
    return shop


def work_off(place: Clockwork, turns: int = 200) -> int:
    """Pull until nothing is due; return the turns taken."""
    for turn in range(turns):
        if not pull.drain(place):
            return turn
    raise AssertionError("it does not end")


def runs_of(shop: Shop) -> list[Json]:
    """The runs of a connection, oldest first."""
    return shop.rows("SELECT * FROM syncs WHERE connection_id = :id ORDER BY id", id=shop.connection_id)
