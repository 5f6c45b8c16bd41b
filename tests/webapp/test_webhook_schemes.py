"""The webhook's way in, for providers that do not simply sign and post: handshakes, hints, one key for everybody."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from types import MappingProxyType

import pytest

from connectors import registry
from connectors.base import Answer, Connector, Delivery, Signed, Symmetric, Verified
from connectors.signatures import BODY, URL, Hmac, StaticSecret
from tests.webapp.gate import Address, Gate, expect


@dataclass(frozen=True, slots=True)
class OneKeyForAll(Symmetric):
    """A provider that signs the events of all its customers alike."""

    def verify(self, delivery: Delivery, secrets: Sequence[str]) -> Verified:
        del delivery, secrets
        return Verified(for_us=False)

    def sign(self, body: bytes, secret: str, *, at: datetime, message_id: str, url: str = "") -> Signed:
        del secret, at, message_id, url
        return Signed(headers={}, body=body)

    def new_secret(self) -> str:
        return "none"

    def check_secret(self, secret: str) -> None:
        del secret


def challenge(delivery: Delivery, secrets: Sequence[str]) -> Answer | None:
    asked = delivery.query.get("challenge")
    return Answer(body=f"{asked}:{len(secrets)}".encode()) if asked else None


def plant(monkeypatch: pytest.MonkeyPatch, **more: object) -> None:
    """One more connector, named planted."""
    given = {
        "slug": "planted",
        "title": "Planted",
        "docs_url": "https://planted.example",
        "checked": "2026-11-21",
        "event_id": lambda item, _: item.identifier("id"),
        "event_name": lambda item: item.identifier("type"),
        "external_id": lambda item: item.optional_identifier("account"),
        "events": {"thing.happened": lambda _: []},
        **more,
    }
    connectors = {**registry.all(), "planted": Connector(**given)}  # type: ignore[arg-type]
    monkeypatch.setattr(registry, "_installed", lambda: (MappingProxyType(connectors), MappingProxyType({})))


def said(number: int = 1, **more: object) -> bytes:
    return json.dumps({"id": f"evt_{number}", "type": "thing.happened", **more}).encode()


def trusts(gate: Gate) -> list[str]:
    return [row["trust"] for row in gate.rows("SELECT trust FROM events ORDER BY id")]


@pytest.fixture
def hinted(gate: Gate, monkeypatch: pytest.MonkeyPatch) -> Address:
    plant(monkeypatch, signature=StaticSecret(header="X-Known"))
    return gate.connect("planted")


def test_a_handshake_is_answered_in_the_providers_own_words(gate: Gate, monkeypatch: pytest.MonkeyPatch) -> None:
    plant(monkeypatch, signature=Hmac(header="X-Sign"), challenge=challenge)
    address = gate.connect("planted")
    for path in (address.path, address.opaque_path):
        reply = gate.app.test_client().get(f"{path}?challenge=abc")
        assert (reply.status_code, reply.data, reply.mimetype) == (200, b"abc:1", "text/plain")
        assert "Set-Cookie" not in reply.headers
    assert gate.kept() == (0, 0, 0)


@pytest.mark.parametrize("query", ["", "?challenge=", "?%ff=%fe", "?" + "a&" * 100, "?challenge"])
def test_a_get_that_is_no_handshake_is_not_allowed(gate: Gate, monkeypatch: pytest.MonkeyPatch, query: str) -> None:
    plant(monkeypatch, signature=Hmac(header="X-Sign"), challenge=challenge)
    address = gate.connect("planted")
    reply = gate.app.test_client().get(address.path + query)
    expect(reply, 405)
    assert reply.headers["Allow"] == "POST"


def test_without_a_handshake_every_get_is_not_allowed(gate: Gate) -> None:
    address = gate.connect("razorpay")
    for path in (address.path, address.opaque_path, "/api/connectors/razorpay/webhook"):
        expect(gate.app.test_client().get(f"{path}?challenge=abc"), 405)


def test_a_stored_delivery_is_acknowledged_as_the_provider_wants_to_read_it(
    gate: Gate, monkeypatch: pytest.MonkeyPatch
) -> None:
    plant(monkeypatch, signature=Hmac(header="X-Sign"), accepted=Answer(body=b"[accepted]"))
    address = gate.connect("planted")
    for _ in range(2):
        reply = gate.say(address, said())
        assert (reply.status_code, reply.data) == (200, b"[accepted]")
    # And only then: a refusal keeps its own words.
    expect(gate.say(address, said(), secret="0" * 64), 401)
    expect(gate.say(address, b"{"), 400)
    assert gate.kept() == (2, 1, 2)


def test_the_address_that_is_signed_is_ours_as_configured_and_not_as_the_request_says(
    gate: Gate, monkeypatch: pytest.MonkeyPatch
) -> None:
    plant(monkeypatch, signature=Hmac(header="X-Sign", signed=(URL, BODY)))
    address = gate.connect("planted")
    ours = gate.parts.settings.base_url + address.path
    scheme = registry.get("planted").signature
    for url, status in ((ours, 200), ("https://elsewhere.example" + address.path, 401), (address.path, 401)):
        sealed = scheme.sign(said(), address.secret, at=datetime.now(UTC), message_id="m", url=url)
        expect(gate.send(address.path, said(), {**sealed.headers, "Host": "elsewhere.example"}), status)


def test_what_is_only_hinted_is_kept_as_a_hint(gate: Gate, hinted: Address) -> None:
    expect(gate.say(hinted, said()), 200)
    assert trusts(gate) == ["hint"]


def test_a_hint_is_not_taken_at_the_platforms_address(
    open_gate: Callable[..., Gate], monkeypatch: pytest.MonkeyPatch
) -> None:
    plant(monkeypatch, signature=StaticSecret(header="X-Known"))
    gate = open_gate(PLANTED_WEBHOOK_SECRET="platform")
    gate.connect("planted", account="acc_1")
    reply = gate.send("/api/connectors/planted/webhook", said(account="acc_1"), {"X-Known": "platform"})
    expect(reply, 401)
    assert "own address" in reply.get_json()["detail"]
    assert gate.count("events") == 0


def test_hints_are_rationed_for_each_connection(gate: Gate, hinted: Address, monkeypatch: pytest.MonkeyPatch) -> None:
    other = gate.connect("planted")
    monkeypatch.setattr("webapp.admission._HINTS_BURST", 3)
    monkeypatch.setattr("webapp.admission._HINTS_PER_SECOND", 0.001)
    answers = [gate.say(hinted, said(number)).status_code for number in range(5)]
    assert answers == [200, 200, 200, 429, 429]
    expect(gate.say(hinted, said(9)), 429)
    expect(gate.say(other, said(9)), 200)
    assert gate.count("events") == 4


@pytest.fixture
def shared_key(gate: Gate, monkeypatch: pytest.MonkeyPatch) -> Gate:
    plant(monkeypatch, signature=OneKeyForAll())
    return gate


def test_where_one_key_serves_everybody_an_event_must_name_our_account(shared_key: Gate) -> None:
    ours, unnamed = shared_key.connect("planted", account="acc_1"), shared_key.connect("planted")
    expect(shared_key.say(ours, said(1, account="acc_1")), 200)
    expect(shared_key.say(ours, said(2, account="acc_stranger")), 200)
    # A connection that has not said which account it is takes no account's events.
    expect(shared_key.say(unnamed, said(3, account="acc_other")), 200)
    assert shared_key.queue() == [("ready", ours.id), ("unrouted", None), ("unrouted", None)]
    assert trusts(shared_key) == ["signed"] * 3


def test_where_one_key_serves_everybody_an_event_that_names_no_account_is_a_hint(shared_key: Gate) -> None:
    ours = shared_key.connect("planted", account="acc_1")
    expect(shared_key.say(ours, said()), 200)
    assert shared_key.queue() == [("ready", ours.id)]
    assert trusts(shared_key) == ["hint"]
