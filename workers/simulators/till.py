"""The payment pages of simulated gateways: made by the API as the real ones are, paid by a click, told by a webhook.

A till is one account at one gateway. What it knows (links, what was paid, webhook endpoints) lies in files below
DATA_DIR/simulator, so that every process of the installation sees the same and a restart forgets nothing.
"""

from __future__ import annotations

import json
import os
import re
import secrets
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID

from connectors import registry
from core.money import Money
from workers.simulators import settlements
from workers.simulators.api import Answer
from workers.simulators.routes import Asked, taken_apart
from workers.simulators.sending import Built, Changes, build

SLUGS = ("razorpay", "stripe")
_EVENTS = {"razorpay": "payment_link.paid", "stripe": "checkout.session.completed"}
_LINK = re.compile(r"(?:plink_|cs_test_)[A-Za-z0-9]{14,40}")
_LIVES_SECONDS = 86_400
Json = dict[str, Any]


class NoSuchPage(Exception):
    """There is no payment page of this id here."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Till:
    """An account at a simulated gateway. `page_url` is where its payment pages are, without a slash at the end."""

    slug: str
    folder: Path
    page_url: str
    webhook_url: str
    now: datetime = field(default_factory=lambda: datetime.now(UTC))

    def answer(self, method: str, target: str, headers: Mapping[str, str], body: bytes) -> Answer:
        """What one request to the API is answered; `target` is below the API base."""
        if not headers.get("authorization", "").strip():
            return Answer.error(401, "no credentials")
        try:
            asked = taken_apart(method, target, headers, body)
            said = (_razorpay if self.slug == "razorpay" else _stripe)(self, asked, _given(body))
        except NoSuchPage:
            return Answer.error(404, "there is no such link")
        except (KeyError, ValueError, TypeError) as error:
            return Answer.error(400, f"the request cannot be read: {type(error).__name__} {error}")
        if said is None:
            return Answer.error(404, "there is no such thing")
        return Answer(content=json.dumps(said).encode())

    # The files -------------------------------------------------------------------------------------------------

    def _path(self, link_id: str) -> Path:
        if not _LINK.fullmatch(link_id):
            raise NoSuchPage(link_id)
        return self.folder / f"{link_id}.json"

    def read(self, link_id: str) -> Json:
        """A link as it stands. Raises NoSuchPage."""
        try:
            found: Json = json.loads(self._path(link_id).read_bytes())
        except FileNotFoundError:
            raise NoSuchPage(link_id) from None
        if found["status"] == "open" and found["expires_at"] <= self.seconds:
            found["status"] = "expired"
        return found

    def write(self, link: Json) -> Json:
        """Keep a link: the whole file or nothing of it."""
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=self.folder)
        with os.fdopen(handle, "wb") as made:
            made.write(json.dumps(link).encode())
        Path(name).replace(self._path(link["id"]))
        return link

    def all(self) -> list[Json]:
        """Every link, newest first."""
        found = [json.loads(path.read_bytes()) for path in self.folder.glob("*.json")] if self.folder.is_dir() else []
        return sorted(found, key=lambda link: (link["created"], link["id"]), reverse=True)

    @property
    def seconds(self) -> int:
        """Now, as Unix time."""
        return int(self.now.timestamp())

    def open_link(self, prefix: str, **said: Any) -> Json:
        """Make a link."""
        link = {
            "id": prefix + secrets.token_hex(12),
            "status": "open",
            "created": self.seconds,
            "expires_at": self.seconds + _LIVES_SECONDS,
            **said,
        }
        return self.write(link)

    # The page --------------------------------------------------------------------------------------------------

    def paid(self, link_id: str, *, secret: str, external_id: str | None) -> Built:
        """Take the money and make the webhook that tells of it. Paid once, it makes the same webhook again.

        Raises NoSuchPage for a link that cannot be paid.
        """
        link = self.read(link_id)
        if link["status"] not in ("open", "paid"):
            raise NoSuchPage(link_id)
        built = build(
            registry.get(self.slug),
            _EVENTS[self.slug],
            secret=secret,
            at=self.now,
            message_id=f"msg_{link_id}",
            changes=Changes(
                invoice_number=link["number"],
                money=Money(link["amount"], link["currency"]),
                external_id=external_id,
            ),
            url=self.webhook_url,
        )
        if link["status"] == "open":
            self.write({**link, "status": "paid", "told": json.loads(built.body)})
        return built

    def back(self, link: Json) -> str:
        """Where the customer is sent afterwards, with what the gateway adds to the address."""
        url: str = link["return_url"]
        if self.slug != "razorpay" or link["status"] != "paid":
            return url
        more = f"razorpay_payment_link_id={link['id']}&razorpay_payment_link_status=paid"
        return f"{url}{'&' if '?' in url else '?'}{more}"


def _given(body: bytes) -> Json:
    if body.lstrip()[:1] != b"{":
        return {}
    found = json.loads(body)
    return found if isinstance(found, dict) else {}


def folder_of(data_dir: Path, slug: str, connection_id: UUID) -> Path:
    """Where a connection's till keeps what it knows."""
    return data_dir / "simulator" / "till" / slug / str(connection_id)


# Razorpay -------------------------------------------------------------------------------------------------------

_STATUS = {"open": "created", "paid": "paid", "closed": "cancelled", "expired": "expired"}


def _razorpay(till: Till, asked: Asked, given: Json) -> Json | None:
    steps = asked.path.strip("/").split("/")
    match [asked.method, *steps]:
        case ["POST", "v1", "payment_links"]:
            reference = str(given["reference_id"])
            if any(link["reference"] == reference for link in till.all()):
                raise ValueError("payment link with given reference_id already exists")
            made = till.open_link(
                "plink_",
                reference=reference,
                number=str(given["notes"]["invoice_number"]),
                amount=int(given["amount"]),
                currency=str(given["currency"]),
                description=str(given.get("description", "")),
                return_url=str(given["callback_url"]),
                expires_at=int(given["expire_by"]),
            )
            return _plink(till, made)
        case ["GET", "v1", "payment_links"]:
            wanted = asked.params.get("reference_id")
            found = [link for link in till.all() if wanted in (None, link["reference"])]
            return {"payment_links": [_plink(till, till.read(link["id"])) for link in found]}
        case ["GET", "v1", "payment_links", link_id]:
            return _plink(till, till.read(link_id))
        case ["POST", "v1", "payment_links", link_id, "cancel"]:
            link = till.read(link_id)
            if link["status"] != "open":
                raise ValueError("it can be cancelled only when it is in created status")
            return _plink(till, till.write({**link, "status": "closed"}))
        case ["GET", "v1", *listed]:
            return _razorpay_lists(till, listed, asked.params)
        case _:
            return None


def _razorpay_lists(till: Till, listed: list[str], params: Mapping[str, str]) -> Json | None:
    match listed:
        case ["payments"]:
            first, last = int(params.get("from", 0)), int(params.get("to", till.seconds))
            skip, count = int(params.get("skip", 0)), int(params.get("count", 10))
            paid = [link["told"]["payload"]["payment"]["entity"] for link in till.all() if "told" in link]
            paid += settlements.collected(till.folder)
            items = [entity for entity in paid if first <= entity["created_at"] <= last][skip : skip + count]
            return {"entity": "collection", "count": len(items), "items": items}
        case ["settlements"]:
            return settlements.listed(till.folder, params)
        case ["settlements", "recon", "combined"]:
            return settlements.report(till.folder, params)
        case ["refunds" | "disputes"]:
            return {"entity": "collection", "count": 0, "items": []}
        case _:
            return None


def _plink(till: Till, link: Json) -> Json:
    return {
        "id": link["id"],
        "entity": "payment_link",
        "reference_id": link["reference"],
        "amount": link["amount"],
        "currency": link["currency"],
        "status": _STATUS[link["status"]],
        "short_url": f"{till.page_url}/{link['id']}",
        "expire_by": link["expires_at"],
        "created_at": link["created"],
        "notes": {"invoice_number": link["number"]},
    }


# Stripe ---------------------------------------------------------------------------------------------------------


def _stripe(till: Till, asked: Asked, _given: Json) -> Json | None:
    steps = asked.path.strip("/").split("/")
    form = asked.given
    match [asked.method, *steps]:
        case ["POST", "v1", "checkout", "sessions"]:
            key = asked.headers.get("idempotency-key", "")
            for link in till.all():
                if key and link["key"] == key:
                    return _session(till, till.read(link["id"]))
            line = "line_items[0][price_data]"
            made = till.open_link(
                "cs_test_",
                key=key,
                reference=form.get("client_reference_id", ""),
                number=form["metadata[invoice_number]"],
                amount=int(form[f"{line}[unit_amount]"]),
                currency=form[f"{line}[currency]"].upper(),
                description=form[f"{line}[product_data][name]"],
                return_url=form["success_url"],
            )
            return _session(till, made)
        case ["GET", "v1", "checkout", "sessions", link_id]:
            return _session(till, till.read(link_id))
        case ["POST", "v1", "checkout", "sessions", link_id, "expire"]:
            link = till.read(link_id)
            if link["status"] != "open":
                raise ValueError("only open sessions can be expired")
            return _session(till, till.write({**link, "status": "closed"}))
        case ["GET", "v1", "events"]:
            since = int(asked.params.get("created[gte]", 0))
            told = [link["told"] for link in till.all() if "told" in link and link["told"]["created"] >= since]
            return {"object": "list", "data": told, "has_more": False, "url": "/v1/events"}
        case ["GET", "v1", "webhook_endpoints"]:
            # The account was set up with this installation's address.
            endpoint = {"id": "we_simulated", "url": till.webhook_url, "status": "enabled", "enabled_events": ["*"]}
            return {"object": "list", "data": [endpoint], "has_more": False, "url": "/v1/webhook_endpoints"}
        case _:
            return None


def _session(till: Till, link: Json) -> Json:
    open_ = link["status"] == "open"
    return {
        "id": link["id"],
        "object": "checkout.session",
        "amount_total": link["amount"],
        "currency": link["currency"].lower(),
        "status": "open" if open_ else ("complete" if link["status"] == "paid" else "expired"),
        "payment_status": "paid" if link["status"] == "paid" else "unpaid",
        "url": f"{till.page_url}/{link['id']}" if open_ else None,
        "expires_at": link["expires_at"],
        "client_reference_id": link["reference"],
        "metadata": {"invoice_number": link["number"]},
    }
