"""A local Basiq: token, events, accounts and paginated transactions, as its documentation describes them.

    with Simulator(transactions=[SimulatedTransaction(narration="PAYMENT INV-7", amount="1180.00")]) as basiq:
        ...  # the connection's settings.api_base is basiq.base_url

Without `transactions` it serves the recorded samples. `fail_next` makes the next answers errors.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
import secrets
import threading
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self
from urllib.parse import parse_qs, quote, unquote, urlsplit
from uuid import uuid4

from connectors import samples

DEMO_API_KEY = "ZGVtby1hcHBsaWNhdGlvbjpkZW1vLWtleQ=="
DEMO_USER = "1e25009f-f208-47ea-8843-399cde5abbf2"
DEMO_CONNECTION = "ee01356a-6ecb-4929-9c2d-87b961bb46d2"
FILTER = re.compile(r"(connection\.id|account\.id|transaction\.status)\.eq\('([^']*)'\)")
FIELDS = {"connection.id": "connection", "account.id": "account", "transaction.status": "status"}

Json = dict[str, Any]
Answer = tuple[int, dict[str, str], object]


@dataclass(frozen=True, slots=True, kw_only=True)
class SimulatedTransaction:
    """One transaction to serve. `amount` is decimal text, negative when money leaves the account."""

    narration: str
    amount: str
    at: datetime | None = None
    status: str = "posted"
    currency: str | None = "AUD"
    id: str | None = None
    account: str | None = None

    def to_json(self, account: str) -> Json:
        """The transaction as the API lists it."""
        moment = (self.at or datetime.now(UTC)).astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        shown: Json = {
            "type": "transaction",
            "id": self.id or str(uuid4()),
            "status": self.status,
            "description": self.narration,
            "amount": self.amount,
            "account": self.account or account,
            "balance": "",
            "direction": "debit" if self.amount.startswith("-") else "credit",
            "class": "payment" if self.amount.startswith("-") else "direct-credit",
            "institution": "AU04301",
            "connection": DEMO_CONNECTION,
            "transactionDate": moment if self.status == "posted" else "",
            "postDate": moment if self.status == "posted" else None,
            "subClass": {},
            "enrich": None,
        }
        return shown if self.currency is None else {**shown, "currency": self.currency}


class Simulator:
    """The server. It may be started once, and answers until it is stopped."""

    def __init__(
        self,
        *,
        port: int = 0,
        api_key: str = DEMO_API_KEY,
        transactions: Sequence[SimulatedTransaction] | None = None,
        page_size: int = 2,
        host: str = "127.0.0.1",
    ) -> None:
        self.api_key, self.page_size = api_key, page_size
        self.accounts: list[Json] = json.loads(samples.api("basiq", "accounts"))["data"]
        self.transactions: list[Json] = []
        if transactions is None:
            for page in ("transactions_page_1", "transactions_page_2"):
                self.transactions += json.loads(samples.api("basiq", page))["data"]
        else:
            self.show(transactions)
        self.requests: list[tuple[str, str]] = []
        self.announced: dict[str, tuple[str, str]] = {}
        self._tokens: set[str] = set()
        self._faults: deque[tuple[int, dict[str, str]]] = deque()
        self._server = _Server((host, port), _handler(self))
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)

    @property
    def base_url(self) -> str:
        """Where it answers."""
        host, port = self._server.server_address[:2]
        return f"http://{host!s}:{port}"

    def start(self) -> Self:
        """Answer from now on."""
        self._thread.start()
        return self

    def stop(self) -> None:
        """Answer no more and give the port back."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(5)

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    def show(self, transactions: Sequence[SimulatedTransaction]) -> None:
        """Serve these from now on. Pending ones of before are gone, as after a refresh at Basiq."""
        kept = [one for one in self.transactions if one["status"] != "pending"]
        self.transactions = kept + [one.to_json(str(self.accounts[0]["id"])) for one in transactions]

    def fail_next(self, status: int, *, times: int = 1, **headers: str) -> None:
        """Answer the next requests with this status, whatever they ask."""
        named = {name.replace("_", "-").title(): value for name, value in headers.items()}
        self._faults.extend([(status, named)] * times)

    def revoke_tokens(self) -> None:
        """Take back every token handed out so far."""
        self._tokens.clear()

    def announce(self, body: bytes) -> None:
        """Know the event of a webhook body, so that its `links.event` can be fetched."""
        said = json.loads(body)
        user = urlsplit(said["links"]["eventEntity"]).path.split("/")[2]
        self.announced[said["links"]["event"].rsplit("/", 1)[-1]] = (user, said["eventTypeId"])

    def answer(self, method: str, target: str, headers: dict[str, str], body: bytes) -> Answer:
        """The status, extra headers and JSON of one request."""
        self.requests.append((method, target))
        if self._faults:
            status, extra = self._faults.popleft()
            return status, extra, _error("injected", "a failure that was asked for")
        url = urlsplit(target)
        steps = [unquote(step) for step in url.path.strip("/").split("/")]
        if (method, steps) == ("POST", ["token"]):
            return self._token(headers, parse_qs(body.decode("latin-1")))
        if headers.get("authorization", "").removeprefix("Bearer ") not in self._tokens:
            return 401, {}, _error("unauthorized-access", "the token is not valid")
        if method != "GET":
            return 405, {}, _error("method-not-allowed", method)
        match steps:
            case ["events", event]:
                return 200, {}, self._event(event)
            case ["users", _, "accounts"]:
                return 200, {}, {"type": "list", "data": self.accounts, "links": {"self": self.base_url + target}}
            case ["users", _, "accounts", account]:
                found = [one for one in self.accounts if one["id"] == account]
                return (200, {}, found[0]) if found else (404, {}, _error("resource-not-found", account))
            case ["users", user, "transactions"]:
                return 200, {}, self._transactions(user, parse_qs(url.query))
            case _:
                return 404, {}, _error("resource-not-found", url.path)

    def _token(self, headers: dict[str, str], form: dict[str, list[str]]) -> Answer:
        given = headers.get("authorization", "")
        if given != f"Basic {self.api_key}" or not _is_base64(self.api_key):
            return 401, {}, _error("unauthorized-access", "the API key is not valid")
        if headers.get("basiq-version") != "3.0" or form.get("scope") != ["SERVER_ACCESS"]:
            return 400, {}, _error("parameter-not-valid", "basiq-version or scope")
        token = secrets.token_urlsafe(24)
        self._tokens.add(token)
        return 200, {}, {"access_token": token, "token_type": "Bearer", "expires_in": 3600}

    def _event(self, event: str) -> Json:
        """Any id is an event here: of the kind it was announced as, or of new transactions."""
        user, name = self.announced.get(event, (DEMO_USER, "transactions.updated"))
        entity, _, kind = name.partition(".")
        return {
            "type": "event",
            "id": event,
            "createdDate": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
            "entity": entity,
            "eventType": kind,
            "userId": user,
            "data": {},
            "links": {"self": f"{self.base_url}/events/{event}"},
        }

    def _transactions(self, user: str, query: dict[str, list[str]]) -> Json:
        """One page. The cursor is opaque to callers; here it is the number of the first row."""
        narrowed = query.get("filter", [""])[0]
        rows = self.transactions
        for field, value in FILTER.findall(narrowed):
            rows = [row for row in rows if row[FIELDS[field]] == value]
        first = int(query.get("next", ["0"])[0])
        page = rows[first : first + self.page_size]
        here = f"{self.base_url}/users/{quote(user)}/transactions?" + (f"filter={narrowed}&" if narrowed else "")
        links = {"self": f"{here}next={first}"}
        if first + self.page_size < len(rows):
            links["next"] = f"{here}next={first + self.page_size}"
        return {"type": "list", "count": len(page), "size": len(rows), "data": page, "links": links}


class _Server(ThreadingHTTPServer):
    def handle_error(self, request: object, client_address: object) -> None:
        """A caller that hung up is no news."""


def _error(code: str, detail: str) -> Json:
    return {"type": "list", "data": [{"type": "error", "code": code, "detail": detail}]}


def _is_base64(text: str) -> bool:
    try:
        return bool(base64.b64decode(text, validate=True))
    except binascii.Error:
        return False


def _handler(simulator: Simulator) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        # A connection kept alive must not hold a thread for ever.
        timeout = 30

        def do_GET(self) -> None:
            self._respond()

        def do_POST(self) -> None:
            self._respond()

        def _respond(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            headers = {name.lower(): value for name, value in self.headers.items()}
            status, extra, value = simulator.answer(self.command, self.path, headers, body)
            content = json.dumps(value).encode()
            self.send_response(status)
            for name, text in {**extra, "Content-Type": "application/json"}.items():
                self.send_header(name, text)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002  # The base class's name.
            """Say nothing: the caller's terminal is not ours."""

    return Handler
