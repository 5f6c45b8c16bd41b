"""A connector without code: how a sender signs and what its events mean is typed by the owner of the connection.

The `definition` setting of the connection holds it as JSON; docs/connectors/custom.md describes every part. What is
bound to a definition is an ordinary connector. A connection without one has that of the example below.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache

from connectors.base import Connector, Delivery, Envelope, Event, Fetch, Field, Signature, Verified
from connectors.drafts import Draft
from connectors.expressions import Expression
from connectors.mapping import reader
from connectors.payload import Payload
from connectors.signatures import (
    BODY,
    TIMESTAMP,
    Hmac,
    StandardWebhooks,
    StaticSecret,
    TimestampedHmac,
    hex_key,
    text_key,
)
from connectors.signatures.parts import KeyDecoder, decode_base64
from core.errors import Invalid, MalformedPayload
from core.events import Record

MAX_EVENTS = 50
# When a body was tried plays no part in what it means.
ANY_TIME = datetime(2026, 1, 1, tzinfo=UTC)
HEADER = re.compile(r"[A-Za-z0-9!#$%&'*+.^_|~-]{1,100}")
# Never kept with a refused delivery, and often set on the way.
FOREIGN_HEADERS = frozenset({"authorization", "cookie", "proxy-authorization", "host", "content-type"})
KEYS: dict[str, KeyDecoder] = {"text": text_key, "hex": hex_key, "base64": decode_base64}
FIELDS = (
    Field(
        name="definition",
        label="Definition",
        help="How the sender signs, and which place of its events is which field, in JSON. Empty: the example.",
    ),
    Field(
        name="webhook_secret",
        label="Webhook secret",
        help="Where the sender makes it. Left empty, one is made here.",
        secret=True,
    ),
)
SCHEMES = ("hmac", "timestamped-hmac", "standard-webhooks", "static-secret")


# What a connection without a definition takes: an example of every part, and a start for one's own.
EXAMPLE = json.dumps(
    {
        "scheme": {
            "kind": "hmac",
            "header": "X-Signature",
            "prefix": "sha256=",
            "timestamp_header": "X-Timestamp",
            "signed": "{timestamp}.{body}",
        },
        "event_name": "type",
        "event_id": "id",
        "account": "account",
        "events": {
            "payment.updated": {
                "record": "payment",
                "fields": {
                    "id": "payment.id",
                    "invoice": "payment.order.invoice_number",
                    "reference": "payment.order.number",
                    "description": "payment.note",
                    "method": "payment.method",
                    "payer_name": "payment.payer.name",
                    "payer_email": "payment.payer.email",
                    "bank_reference": "payment.bank_reference",
                    "failure": "payment.error",
                },
                "amount": {"path": "payment.amount", "form": "minor"},
                "currency": {"path": "payment.currency"},
                "time": {"path": "created", "form": "epoch"},
                "version": {"path": "payment.sequence", "form": "count"},
                "status": {
                    "path": "payment.state",
                    "map": {"NEW": "pending", "PAID": "succeeded", "DECLINED": "failed"},
                },
            },
            "refund.updated": {
                "record": "refund",
                "fields": {"id": "refund.id", "payment_id": "refund.payment", "reason": "refund.reason"},
                "amount": {"path": "refund.amount", "form": "minor"},
                "currency": {"path": "refund.currency"},
                "time": {"path": "created", "form": "epoch"},
                "version": {"path": "refund.sequence", "form": "count"},
                "status": {"path": "refund.state", "map": {"NEW": "pending", "SENT": "succeeded", "STOPPED": "failed"}},
            },
            "payout.sent": {
                "record": "payout",
                "fields": {"id": "payout.id", "bank_reference": "payout.utr"},
                "amount": {"path": "payout.amount", "form": "decimal"},
                "currency": {"fixed": "INR"},
                "time": {"path": "created", "form": "epoch"},
                "status": {"fixed": "paid"},
            },
            "transaction.booked": {
                "record": "transaction",
                "fields": {
                    "id": "line.id",
                    "account_id": "line.account",
                    "narration": "line.text",
                    "counterparty": "line.parties[?role=='other'].name | [0]",
                    "bank_reference": "line.reference",
                    "category": "line.kind",
                },
                "amount": {"path": "line.amount", "form": "number"},
                "currency": {"path": "line.currency"},
                "direction": {"path": "line.direction", "in": ["credit"], "out": ["debit"]},
                "time": {"path": "line.booked", "form": "iso", "zone": "+05:30"},
                "status": {"fixed": "posted"},
            },
        },
        "ignored": {"customer.created": "tells of no movement of money"},
    },
    indent=2,
)


def scheme_of(part: Draft) -> Signature:
    """The scheme that a definition describes. Raises Invalid."""
    match part.choice("kind", SCHEMES):
        case "hmac":
            return _hmac(part)
        case "timestamped-hmac":
            part.only("kind", "header", "timestamp_key", "signature_key", "tolerance_seconds", "key")
            return TimestampedHmac(
                header=_header(part, "header"),
                timestamp_key=part.text("timestamp_key", "t"),
                signature_key=part.text("signature_key", "v1"),
                tolerance_seconds=_tolerance(part),
                decode_key=KEYS[part.choice("key", KEYS, "text")],
            )
        case "standard-webhooks":
            part.only("kind")
            return StandardWebhooks()
        case _:
            part.only("kind", "header")
            return StaticSecret(header=_header(part, "header"))


def _hmac(part: Draft) -> Hmac:
    part.only(
        "kind", "header", "algorithm", "encoding", "prefix", "key", "signed", "timestamp_header", "timestamp_unit",
        "tolerance_seconds", "several",
    )  # fmt: skip
    stamped = part.has("timestamp_header")
    signed = part.text("signed", "{timestamp}.{body}" if stamped else BODY)
    pieces = tuple(piece for piece in re.split(r"(\{body\}|\{timestamp\})", signed) if piece)
    if (
        pieces.count(BODY) != 1
        or pieces.count(TIMESTAMP) != int(stamped)
        or "{" in "".join(pieces).replace(BODY, "").replace(TIMESTAMP, "")
    ):
        raise Invalid(
            part.place("signed"),
            "must hold {body} once, and {timestamp} once exactly where there is a timestamp_header",
        )
    prefix = part.text("prefix", "", least=0)
    if not (prefix == "" or (prefix.isascii() and prefix.isprintable() and "," not in prefix)):
        raise Invalid(part.place("prefix"), "must be printable and hold no comma")
    algorithm = part.choice("algorithm", ("sha256", "sha512", "sha1"), "sha256")
    return Hmac(
        header=_header(part, "header"),
        algorithm="sha512" if algorithm == "sha512" else "sha1" if algorithm == "sha1" else "sha256",
        encoding="base64" if part.choice("encoding", ("hex", "base64"), "hex") == "base64" else "hex",
        prefix=prefix,
        signed=pieces,
        decode_key=KEYS[part.choice("key", KEYS, "text")],
        timestamp_header=_header(part, "timestamp_header") if stamped else None,
        timestamp_per_second=1000 if part.choice("timestamp_unit", ("s", "ms"), "s") == "ms" else 1,
        tolerance_seconds=_tolerance(part),
        several=part.choice("several", ("yes", "no"), "no") == "yes",
    )


def _header(part: Draft, name: str) -> str:
    header = part.text(name)
    if not HEADER.fullmatch(header) or header.lower() in FOREIGN_HEADERS:
        raise Invalid(part.place(name), "must be the name of a header that only the sender sets")
    return header


def _tolerance(part: Draft) -> int:
    return part.number("tolerance_seconds", 300, least=1, most=3600)


def _named(expression: Expression) -> Callable[[Payload], str]:
    """Reads an identifier. Raises MalformedPayload, which names the expression's place."""
    name = expression.place.rpartition(".")[2]

    def read(item: Payload) -> str:
        value = expression.find(item)
        return Payload({} if value is None else {name: value}).name(name)

    return read


def _event_id(expression: Expression | None) -> Callable[[Payload, Envelope], str]:
    """The sender's id of an event; without a place for it, the signed id of the message, or a digest of the body."""
    named = None if expression is None else _named(expression)

    def read(item: Payload, envelope: Envelope) -> str:
        if named is not None:
            return named(item)
        if envelope.verified.message_id:
            return envelope.verified.message_id
        return f"body:{hashlib.sha256(envelope.delivery.body).hexdigest()}"

    return read


def _account(expression: Expression | None) -> Callable[[Payload], str | None]:
    if expression is None:
        return lambda _item: None
    found = expression

    def read(item: Payload) -> str | None:
        value = found.find(item)
        return Payload({} if value is None else {"account": value}).optional_name("account")

    return read


@lru_cache(maxsize=1024)
def bind(definition: str) -> Connector:
    """The connector that a definition describes. Raises Invalid, which names the place that is wrong."""
    draft = Draft.parse(definition or EXAMPLE)
    draft.only("scheme", "event_name", "event_id", "account", "events", "ignored")
    scheme_part = draft.part("scheme")
    scheme = scheme_of(scheme_part)
    events = {name: reader(part) for name, part in draft.parts("events", most=MAX_EVENTS).items()}
    ignored = draft.texts("ignored", most=MAX_EVENTS)
    if both := sorted(set(events) & set(ignored)):
        raise Invalid(draft.place(f"ignored.{both[0]}"), "is mapped as well")
    if events and isinstance(scheme, StaticSecret):
        raise Invalid(
            scheme_part.place("kind"),
            "a secret that is only sent along proves nothing of the body, and nothing can confirm it here: no record "
            "may come of it",
        )
    return Connector(
        slug="custom",
        title="Custom webhook",
        docs_url="https://jmespath.org/specification.html",
        checked="2022-03-15",
        signature=scheme,
        event_name=_named(draft.expression("event_name")),
        event_id=_event_id(draft.optional_expression("event_id")),
        external_id=_account(draft.optional_expression("account")),
        events=events,
        ignored=ignored,
        bind=bind,
        brings=("payments", "refunds", "payouts", "bank transactions"),
        fields=FIELDS,
        steps=(
            "Describe here how the sender signs and what its events mean, and try it on a body of theirs.",
            "Give the sender the address {url} and the secret, or paste the secret that it made.",
        ),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Tried:
    """What a definition makes of a body. Where `error` is set, the rest is as far as it got.

    `place` says what is wrong: a part of the definition, such as definition.events.paid.amount.form, or a field that
    could not be read, such as amount. An `event` without `records` is ignored for a reason, or unknown.
    """

    event: Event | None = None
    records: tuple[Record, ...] = ()
    ignored: str | None = None
    error: str | None = None
    place: str | None = None


def try_out(definition: str, body: bytes) -> Tried:
    """Read a body by a definition, as it would be read once its signature holds. Raises nothing, keeps nothing."""
    event: Event | None = None
    try:
        bound = bind(definition)
        delivery = Delivery(body=body, headers={}, received_at=ANY_TIME)
        (event,) = bound.open(delivery, Verified(message_id="message-id"))
        reading = bound.read(event.name, event.item)
    except Invalid as error:
        return Tried(error=error.message, place=error.field)
    except MalformedPayload as error:
        return Tried(event=event, error=error.message, place=error.path)
    if isinstance(reading, Fetch) or reading is None:
        return Tried(event=event, ignored=bound.ignores(event.name))
    return Tried(event=event, records=tuple(reading))


connector = bind(EXAMPLE)
