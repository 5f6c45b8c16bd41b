"""An id that nobody signed must not use up the identity of another event."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from connectors import registry, samples
from connectors.base import Delivery, Verified
from connectors.payload import MAX_IDENTIFIER
from core.errors import MalformedPayload
from core.events import Trust

AT = datetime(2026, 11, 3, tzinfo=UTC)
GUESSED = "the-id-of-a-later-event"


class Anything(dict[str, tuple[str, ...]]):
    """Headers of a sender who writes the same text into whichever is read."""

    def get(self, name: str, default: Any = None) -> Any:
        del name, default
        return (GUESSED,)


def identity(slug: str, body: bytes, headers: Any, verified: Verified | None = None) -> str:
    delivery = Delivery(body=body, headers=headers, received_at=AT)
    return registry.get(slug).open(delivery, verified or Verified(message_id="proven"))[0].id


@pytest.mark.parametrize("slug", sorted(registry.all()))
def test_no_unsigned_header_is_the_identity_of_an_event(slug: str) -> None:
    for event, variant in samples.names(slug):
        body = samples.load(slug, event, variant)
        found = identity(slug, _decoded(slug, body), Anything())
        assert found != GUESSED, f"{event}: whoever re-sends this body under a guessed id silences that event"


@pytest.mark.parametrize("slug", ["razorpay", "cashfree", "apideck"])
def test_an_id_in_a_header_is_kept_with_its_body(slug: str) -> None:
    event, variant = samples.names(slug)[0]
    said = json.loads(samples.load(slug, event, variant))
    said.get("payload", {}).pop("event_id", None)
    one, other = json.dumps(said).encode(), json.dumps(said, indent=1).encode()
    assert identity(slug, one, Anything()).startswith(f"{GUESSED}:")
    assert identity(slug, one, Anything()) == identity(slug, one, Anything()) != identity(slug, other, Anything())


@pytest.mark.parametrize(
    "body",
    [
        {"event": "charge.completed", "data": {"id": 1, "status": "successful", "amount": 1}},
        {"type": "charge.completed", "webhook_id": "wbk_1", "data": {"id": "chg_1", "amount": 1}},
    ],
)
def test_who_only_knows_flutterwaves_text_uses_up_no_signed_id_and_none_of_another_body(body: dict[str, Any]) -> None:
    hint, signed = Verified(trust=Trust.HINT), Verified()
    forged = json.dumps({**body, "data": {**body["data"], "amount": 2}}).encode()
    genuine = json.dumps(body).encode()
    proven = identity("flutterwave", genuine, {}, signed)
    assert len({proven, identity("flutterwave", genuine, {}, hint), identity("flutterwave", forged, {}, hint)}) == 3
    assert identity("flutterwave", genuine, {}, hint) == identity("flutterwave", genuine, {}, hint)


def test_a_forged_notice_uses_up_no_id_of_a_genuine_one() -> None:
    # M-PESA signs nothing; PayPal signs a CRC-32, which another body can be made to fit.
    for slug, event, verified in (
        ("mpesa", "c2b.confirmation", Verified(trust=Trust.HINT)),
        ("paypal", "PAYMENT.CAPTURE.COMPLETED", Verified(message_id="transmission")),
    ):
        genuine = samples.load(slug, event)
        forged = genuine.replace(b"{", b"{ ", 1)
        found = [identity(slug, body, {}, verified) for body in (genuine, genuine, forged)]
        assert found[0] == found[1] != found[2]


def test_an_id_that_is_too_long_to_be_kept_with_its_tie_is_passed_over() -> None:
    body = samples.load("razorpay", "payment.captured")
    for length, kept in ((MAX_IDENTIFIER - 17, True), (MAX_IDENTIFIER - 16, False)):
        found = identity("razorpay", body, {"x-razorpay-event-id": ("x" * length,)})
        assert found.startswith("x") == kept
        assert len(found) <= MAX_IDENTIFIER


def _decoded(slug: str, body: bytes) -> bytes:
    """A body as it travels: one that its scheme wraps is wrapped."""
    scheme = registry.get(slug).signature
    try:
        registry.get(slug).items(body)
    except MalformedPayload:
        return scheme.sign(body, scheme.new_secret(), at=AT, message_id="m", url="https://a.example/hook").body
    return body
