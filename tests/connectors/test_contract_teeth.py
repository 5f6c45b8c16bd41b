"""The contract has teeth: each planted fault is caught by the case that is there for it."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

import pytest

from connectors import contract, registry
from connectors.base import Connector, Delivery, Event, Reading, Verified
from connectors.payload import Payload
from connectors.signatures import Hmac, StandardWebhooks
from core.errors import SignatureRejected
from core.events import Payment

RAZORPAY, STANDARD = registry.get("razorpay"), registry.get("standard_webhooks")


@dataclass(frozen=True, slots=True, kw_only=True)
class FirstSecretOnly(Hmac):
    def verify(self, delivery: Delivery, secrets: Sequence[str]) -> Verified:
        return Hmac.verify(self, delivery, secrets[:1])


@dataclass(frozen=True, slots=True, kw_only=True)
class Trusting(Hmac):
    def verify(self, delivery: Delivery, secrets: Sequence[str]) -> Verified:
        return Verified(secret_index=0)


@dataclass(frozen=True, slots=True, kw_only=True)
class ComparesText(Hmac):
    def verify(self, delivery: Delivery, secrets: Sequence[str]) -> Verified:
        given = delivery.header(self.header)
        for index, secret in enumerate(secrets):
            if secret and given == self.sign(delivery.body, secret, at=contract.AT, message_id="").headers[self.header]:
                return Verified(secret_index=index)
        if given and not given.isascii():
            raise TypeError("comparing strings with non-ASCII characters is not supported")
        raise SignatureRejected("no")


@dataclass(frozen=True, slots=True, kw_only=True)
class SignsWhatItParsed(Hmac):
    def verify(self, delivery: Delivery, secrets: Sequence[str]) -> Verified:
        try:
            again = json.dumps(json.loads(delivery.body), indent=2, ensure_ascii=False).encode() + b"\n"
        except ValueError:
            again = delivery.body
        return Hmac.verify(self, replace(delivery, body=again), secrets)


@dataclass(frozen=True, slots=True, kw_only=True)
class Ageless(StandardWebhooks):
    def verify(self, delivery: Delivery, secrets: Sequence[str]) -> Verified:
        sent = delivery.header("webhook-timestamp") or ""
        if sent.isascii() and sent.isdigit() and len(sent) < 12:
            delivery = replace(delivery, received_at=datetime.fromtimestamp(int(sent), UTC))
        return StandardWebhooks.verify(self, delivery, secrets)


def reading_with(read: Callable[[Payload], Reading]) -> Connector:
    return replace(RAZORPAY, events={**RAZORPAY.events, "payment.captured": read})


def captured(item: Payload) -> Payment:
    reading = RAZORPAY.read("payment.captured", item)
    assert isinstance(reading, list)
    payment = reading[0]
    assert isinstance(payment, Payment)
    return payment


def careless(item: Payload) -> Reading:
    whole: Any = item.value
    return [replace(captured(item), description=whole["payload"]["payment"]["entity"]["acquirer_data"]["rrn"])]


def clocked(item: Payload) -> Reading:
    return [replace(captured(item), version=int(time.time()))]


def counted(item: Payload, calls: list[int] = []) -> Reading:  # noqa: B006
    calls.append(1)
    return [replace(captured(item), version=len(calls))]


def unguarded(item: Payload) -> Reading:
    given = item.at("payload", "payment", "entity").text("id")
    whole: Any = json.loads(item.to_bytes())
    whole["payload"]["payment"]["entity"]["id"] = "pay_1"
    return [replace(captured(Payload(whole)), object_id=given)]


class Dropping(Connector):
    def open(self, delivery: Delivery, verified: Verified) -> list[Event]:
        events = Connector.open(self, delivery, verified)
        return [replace(event, name="payment.captured") for event in events]


FIELDS = ("slug", "title", "signature", "event_id", "event_name", "events", "docs_url", "checked", "external_id")
GUESSING = Dropping(**{name: getattr(RAZORPAY, name) for name in FIELDS})


@pytest.mark.parametrize(
    ("connector", "case"),
    [
        (replace(RAZORPAY, signature=Trusting(header="X-S")), "refuses_a_body_with_any_changed_byte"),
        (replace(RAZORPAY, signature=Trusting(header="X-S")), "refuses_another_secret"),
        (replace(RAZORPAY, signature=Trusting(header="X-S")), "refuses_everything_without_a_secret"),
        (replace(RAZORPAY, signature=FirstSecretOnly(header="X-S")), "accepts_old_and_new_secret_while_rotating"),
        (
            replace(RAZORPAY, signature=ComparesText(header="X-S")),
            "refuses_each_proof_header_missing_empty_doubled_or_garbled",
        ),
        (replace(RAZORPAY, signature=SignsWhatItParsed(header="X-S")), "refuses_a_longer_shorter_or_empty_body"),
        (replace(STANDARD, signature=Ageless()), "judges_age_at_arrival_on_both_sides"),
        (replace(STANDARD, signature=StandardWebhooks(), event_id=lambda _, envelope: str(envelope.delivery.headers)),
         "keeps_the_event_id_on_a_resend"),
        (replace(RAZORPAY, events={**RAZORPAY.events, "brand.new": careless}), "has_a_sample_for_every_mapped_event"),
        (replace(RAZORPAY, ignored={"some.event": "why not"}), "gives_a_reason_for_each_ignored_event"),
        (replace(RAZORPAY, event_name=lambda _: "payment.captured"), "names_each_sample_as_its_file_does"),
        (GUESSING, "leaves_an_unknown_event_unread_and_unignored"),
        (reading_with(careless), "survives_every_field_missing_or_of_another_kind"),
        (reading_with(unguarded), "survives_every_field_missing_or_of_another_kind"),
        (reading_with(clocked), "touches_nothing_while_verifying_and_reading"),
        (reading_with(counted), "gives_the_same_answer_twice"),
    ],
    ids=[
        "trusts any body", "trusts any secret", "trusts without a secret", "forgets the old secret",
        "chokes on a non-ASCII header", "verifies what it parsed", "ignores age", "takes a fresh event id each time",
        "has no sample", "gives no reason", "takes every event for a capture", "guesses unknown events",
        "reads unchecked", "takes ids of any length", "looks at the clock", "remembers",
    ],
)  # fmt: skip
def test_a_planted_fault_is_caught(connector: Connector, case: str) -> None:
    with pytest.raises((AssertionError, SignatureRejected, TypeError, KeyError, AttributeError)):
        contract.cases(connector)[f"test_{connector.slug}_{case}"]()
