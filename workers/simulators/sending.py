"""Really signed deliveries made from the samples: what `ledgerwire simulate` posts.

The body is a sample with fresh ids and times, and with what the caller wants changed. Ids are derived from the
message id, so that the same message id gives the same delivery again: a duplicate, as a provider sends it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from typing import Any
from uuid import NAMESPACE_URL, uuid5

from connectors import samples
from connectors.base import Connector
from core.money import Money

Json = dict[str, Any]
# Entities that, beside the one an event is about, hold the same amount.
WHOLE = ("payment", "order", "invoice", "payment_link")
RAZORPAY_ID = re.compile(r"(pay|order|rfnd|disp|setl|txn|pout|inv|plink|va|qr|bt|sub)_\w{10,}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Changes:
    """What a simulated event should say, where its kind says such a thing."""

    invoice_number: str | None = None
    money: Money | None = None
    # The account at the provider that the event is about.
    external_id: str | None = None
    # An earlier object this one belongs to or restates, such as the payment of a refund.
    payment_id: str | None = None


def build_delivery(
    connector: Connector,
    event: str,
    *,
    secret: str,
    at: datetime,
    message_id: str,
    changes: Changes | None = None,
    variant: str | None = None,
    tamper: bool = False,
) -> tuple[dict[str, str], bytes]:
    """The headers and body of one delivery. Raises FileNotFoundError where there is no such sample.

    With `tamper` one byte of the body is changed after signing.
    """
    said = json.loads(samples.load(connector.slug, event, variant))
    if adapt := ADAPT.get(connector.slug):
        said = adapt(said, changes or Changes(), at, message_id)
    body = json.dumps(said, ensure_ascii=False, separators=(",", ":")).encode()
    sealed = connector.signature.sign(body, secret, at=at, message_id=message_id)
    body = sealed.body
    if tamper:
        body = body[:-2] + bytes([body[-2] ^ 1]) + body[-1:]
    return {"Content-Type": "application/json", **sealed.headers}, body


def _fresh(message_id: str, old: str) -> str:
    return sha256(f"{message_id} {old}".encode()).hexdigest()[:14]


def _razorpay(said: Json, changes: Changes, at: datetime, message_id: str) -> Json:
    text = RAZORPAY_ID.sub(lambda old: f"{old[1]}_{_fresh(message_id, old[0])}", json.dumps(said))
    said = json.loads(text)
    if changes.external_id:
        said["account_id"] = changes.external_id
    said["created_at"] = int(at.timestamp())
    # Of an earlier payment the sample knows nothing, so it must not restate it.
    if changes.payment_id and said["contains"][0] != "payment" and len(said["contains"]) == 2:
        said["contains"].remove("payment")
        del said["payload"]["payment"]
    entities: dict[str, Json] = {name: held["entity"] for name, held in said["payload"].items()}
    main = entities[said["contains"][0]]
    for name, entity in entities.items():
        if "created_at" in entity:
            entity["created_at"] = said["created_at"]
        if changes.money and (entity is main or name in WHOLE):
            _razorpay_amount(entity, changes.money)
    if changes.payment_id:
        main["payment_id" if "payment_id" in main else "id"] = changes.payment_id
    if changes.invoice_number:
        _razorpay_invoice(entities, changes.invoice_number)
    return said


def _razorpay_amount(entity: Json, money: Money) -> None:
    """Set every field of an entity that holds its amount."""
    entity["amount"] = money.minor
    for key in ("base_amount", "amount_paid"):
        if key in entity:
            entity[key] = money.minor
    for side in ("credit", "debit"):
        if entity.get(side):
            entity[side] = money.minor
    if "currency" in entity:
        entity["currency"] = money.currency


def _razorpay_invoice(entities: dict[str, Json], number: str) -> None:
    """Name the invoice where Razorpay does, and nowhere another one."""
    if "payment" in entities:
        entities["payment"]["notes"] = {"invoice_number": number}
    for name, key in (("order", "receipt"), ("payment_link", "reference_id"), ("invoice", "receipt")):
        if entities.get(name, {}).get(key):
            entities[name][key] = number
    if "invoice" in entities:
        entities["invoice"]["invoice_number"] = number


def _basiq(said: Json, changes: Changes, at: datetime, message_id: str) -> Json:
    """Only ids: what a pointer points at is given to the simulator of the API."""
    del at
    event = str(uuid5(NAMESPACE_URL, message_id))
    said["eventId"] = event
    said["links"]["event"] = said["links"]["event"].rpartition("/")[0] + "/" + event
    if changes.external_id:
        head, _, tail = said["links"]["eventEntity"].partition("/users/")
        _, slash, rest = tail.partition("/")
        said["links"]["eventEntity"] = f"{head}/users/{changes.external_id}{slash}{rest}"
    return said


def _standard_webhooks(said: Json, changes: Changes, at: datetime, message_id: str) -> Json:
    data = said["data"]
    said["timestamp"] = at.isoformat()
    for key in ("id", "payment_id"):
        # An account or a link is the same one each time.
        if data.get(key) and not said["type"].startswith(("account.", "connection.")):
            data[key] = f"{data[key].rsplit('_', 1)[0]}_{_fresh(message_id, data[key])}"
    for stale in ("occurred_at", "booked_on", "version"):
        data.pop(stale, None)
    if changes.external_id:
        said["account_id"] = changes.external_id
    if changes.payment_id:
        data["id" if said["type"].startswith("payment.") else "payment_id"] = changes.payment_id
    if changes.money and ("amount" in data or "amount_minor" in data):
        for other in ("amount", "fee", "fee_minor", "balance", "balance_minor", "deducted", "deducted_minor"):
            data.pop(other, None)
        data |= {"amount_minor": changes.money.minor, "currency": changes.money.currency}
    if changes.invoice_number:
        data["narration" if "narration" in data else "invoice_number"] = changes.invoice_number
    return said


ADAPT: dict[str, Callable[[Json, Changes, datetime, str], Json]] = {
    "razorpay": _razorpay,
    "basiq": _basiq,
    "standard_webhooks": _standard_webhooks,
}
