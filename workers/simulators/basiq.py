"""A local Basiq whose bank shows what it is given, with filters and any number of pages.

    with Simulator(transactions=[SimulatedTransaction(narration="PAYMENT INV-7", amount="1180.00")]) as basiq:
        ...  # the connection's settings.api_base is basiq.base_url

Everything else (tokens, trouble, the server) is the one simulator of all providers; recorded samples cannot hold
lists that a test or the demo makes up. Without `transactions` it serves the recorded ones.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Self
from urllib.parse import quote, unquote, urlsplit
from uuid import uuid4

from connectors import samples
from workers.simulators.api import Answer, Provider
from workers.simulators.routes import Asked
from workers.simulators.sending import Built
from workers.simulators.server import Server

DOCUMENTED = "https://au-api.basiq.io"
DEMO_API_KEY = "ZGVtby1hcHBsaWNhdGlvbjpkZW1vLWtleQ=="
DEMO_USER = "1e25009f-f208-47ea-8843-399cde5abbf2"
DEMO_CONNECTION = "ee01356a-6ecb-4929-9c2d-87b961bb46d2"
FILTER = re.compile(r"(connection\.id|account\.id|transaction\.status)\.eq\('([^']*)'\)")
FIELDS = {"connection.id": "connection", "account.id": "account", "transaction.status": "status"}

Json = dict[str, Any]


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


class Bank(Provider):
    """Basiq's API, without the server. Its links name the documented address, as Basiq's own do."""

    def __init__(
        self,
        *,
        api_key: str | None = None,
        transactions: Sequence[SimulatedTransaction] | None = None,
        page_size: int = 2,
    ) -> None:
        super().__init__("basiq")
        # Without a key of its own it takes any that is well-formed.
        self.api_key, self.page_size = api_key, page_size
        self.accounts: list[Json] = json.loads(samples.api("basiq", "accounts"))["data"]
        self.transactions: list[Json] = []
        if transactions is None:
            for page in ("transactions_page_1", "transactions_page_2"):
                self.transactions += json.loads(samples.api("basiq", page))["data"]
        else:
            self.show(transactions)
        self.announced: dict[str, tuple[str, str]] = {}

    def show(self, transactions: Sequence[SimulatedTransaction]) -> None:
        """Serve these from now on. Pending ones of before are gone, as after a refresh at Basiq."""
        kept = [one for one in self.transactions if one["status"] != "pending"]
        self.transactions = kept + [one.to_json(str(self.accounts[0]["id"])) for one in transactions]

    def announce(self, body: bytes) -> None:
        """Know the event of a webhook body, so that its `links.event` can be fetched."""
        said = json.loads(body)
        user = urlsplit(said["links"]["eventEntity"]).path.split("/")[2]
        self.announced[said["links"]["event"].rsplit("/", 1)[-1]] = (user, said["eventTypeId"])

    def tell(self, built: Built) -> None:
        """Know a delivery; one that brings transactions shows the one it is about, and a fee."""
        super().tell(built)
        self.announce(built.body)
        changes = built.story.changes
        if built.event != "transactions.updated" or not (changes.money or changes.narration or changes.invoice_number):
            return
        money, number = changes.money, changes.invoice_number
        words = changes.narration or (f"TRANSFER FOR {number}" if number else "TRANSFER FROM A CUSTOMER")
        self.show(
            [
                SimulatedTransaction(
                    narration=words,
                    amount=str(money.to_decimal()) if money else "120.00",
                    currency=money.currency if money else "AUD",
                    at=built.story.at,
                    id=built.story.fresh(words),
                ),
                SimulatedTransaction(
                    narration="MONTHLY ACCOUNT FEE", amount="-10.00", at=built.story.at, id=built.story.fresh("fee")
                ),
            ]
        )

    def respond(self, asked: Asked) -> Answer:
        """What a request is answered."""
        steps = [unquote(step) for step in asked.path.strip("/").split("/")]
        if (asked.method, steps) == ("POST", ["token"]):
            return self._token(asked)
        if not self.is_shown(asked.headers):
            return Answer.error(401, "the token is not valid")
        if asked.method != "GET":
            return super().respond(asked)
        match steps:
            case ["events", event]:
                return _shown(self._event(event))
            case ["users", _, "accounts"]:
                return _shown({"type": "list", "data": self.accounts, "links": {"self": DOCUMENTED + asked.path}})
            case ["users", _, "accounts", account]:
                found = [one for one in self.accounts if one["id"] == account]
                return _shown(found[0]) if found else Answer.error(404, account)
            case ["users", user, "transactions"]:
                return _shown(self._transactions(user, asked))
            case _:
                return super().respond(asked)

    def _token(self, asked: Asked) -> Answer:
        given = asked.headers.get("authorization", "")
        key = self.api_key or given.removeprefix("Basic ")
        if given != f"Basic {key}" or not _is_base64(key):
            return Answer.error(401, "the API key is not valid")
        if asked.headers.get("basiq-version") != "3.0" or asked.given.get("scope") != "SERVER_ACCESS":
            return Answer.error(400, "basiq-version or scope")
        return _shown({"access_token": self.new_token(), "token_type": "Bearer", "expires_in": 3600})

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
            "userId": self.lies.get("account", user),
            "data": {},
            "links": {"self": f"{DOCUMENTED}/events/{event}"},
        }

    def _lied(self, row: Json) -> Json:
        """What a liar says of a transaction's currency, where one is named at all."""
        return {"currency": self.lies["currency"]} if "currency" in self.lies and "currency" in row else {}

    def _transactions(self, user: str, asked: Asked) -> Json:
        """One page. The cursor is opaque to callers; here it is the number of the first row."""
        narrowed = asked.params.get("filter", "")
        rows = self.transactions
        for name, value in FILTER.findall(narrowed):
            rows = [row for row in rows if row[FIELDS[name]] == value]
        first = 0 if self.in_a_circle else int(asked.params.get("next", "0"))
        page = [{**row, **self._lied(row)} for row in rows[first : first + self.page_size]]
        here = f"{DOCUMENTED}/users/{quote(user)}/transactions?" + (f"filter={narrowed}&" if narrowed else "")
        links = {"self": f"{here}next={first}"}
        if first + self.page_size < len(rows) or self.in_a_circle:
            links["next"] = f"{here}next={first + self.page_size}"
        return {"type": "list", "count": len(page), "size": len(rows), "data": page, "links": links}


class Simulator(Bank):
    """The same with a server of its own, which may be started once and answers until it is stopped."""

    def __init__(
        self, *, api_key: str = DEMO_API_KEY, transactions: Sequence[SimulatedTransaction] | None = None
    ) -> None:
        super().__init__(api_key=api_key, transactions=transactions)
        self.base_url = ""
        self._server: Server | None = None

    def start(self) -> Self:
        """Answer from now on."""
        self._server = Server(alone=self).start()
        self.base_url = self._server.address(self.slug)
        return self

    def stop(self) -> None:
        """Answer no more and give the port back."""
        if self._server is not None:
            self._server.stop()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()


def _shown(value: Json) -> Answer:
    return Answer(content=json.dumps(value).encode())


def _is_base64(text: str) -> bool:
    try:
        return bool(text) and bool(base64.b64decode(text, validate=True))
    except binascii.Error:
        return False
