"""The keys that schemes ask for, against a provider on this machine."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Any

import pytest

from connectors import registry
from connectors.base import Api, Authorization, AuthorizationTalk, Connector, Credentials, Delivery, Request
from connectors.contract import deliver
from connectors.signatures import (
    TRUST_ROOTS,
    TRUST_ROOTS_PATH,
    DetachedJws,
    Hmac,
    JwtOverBodyHash,
    RsaWithCertificate,
)
from core.errors import SignatureRejected
from tests.webapp.gate import Gate, expect
from tests.workers.test_transport import Provider
from webapp import keys
from webapp.keys import KeyStore, KeyUnavailable
from workers.transport import Transport

AT = datetime(2026, 11, 3, 20, 26, 10, tzinfo=UTC)
URL = "https://ledgerwire.example/hook"
TOKEN = JwtOverBodyHash(header="Token", key_path="/key", unknown_key="INVALID_KEY_ID")
SETS = DetachedJws(
    header="Seal", timestamp_header="Stamp", addresses={"production": "https://keys.planted.example/.well-known/jwks"}
)
CERTIFIED = RsaWithCertificate(prefix="Paypal", domain=".planted.example")
SECRETS = {id(one): one.new_secret() for one in (TOKEN, SETS, CERTIFIED)}
ROTATED = SETS.new_secret()


def authorize(credentials: Credentials) -> AuthorizationTalk:
    yield Request(method="GET", url=f"/nobody-asks-for-this/{credentials.external_id}")
    return Authorization(headers={}, expires_in_seconds=1)


def connector(signature: Any) -> Connector:
    return Connector(
        slug="planted",
        title="Planted",
        docs_url="https://planted.example",
        checked="2026-11-21",
        signature=signature,
        event_id=lambda item, _: item.identifier("id"),
        event_name=lambda item: item.identifier("type"),
        external_id=lambda item: item.optional_identifier("account"),
        events={"thing.happened": lambda _: []},
        api=Api(base="https://api.planted.example", authorize=authorize),
    )


@dataclass
class Clock:
    now: float = 1000.0

    def __call__(self) -> float:
        return self.now


@dataclass
class Bench:
    """A store before a provider that answers as the test says."""

    provider: Provider
    store: KeyStore
    clock: Clock

    def get(self, scheme: Any, *, secret: str | None = None, kid: str | None = None) -> dict[str, bytes]:
        delivery = self.sent(scheme, secret=secret, kid=kid)
        return dict(self.store.documents(connector(scheme), delivery, [scheme.receiving(SECRETS[id(scheme)])]))

    def sent(self, scheme: Any, *, secret: str | None = None, kid: str | None = None) -> Delivery:
        secret = secret or SECRETS[id(scheme)]
        if kid:
            secret = json.dumps({**json.loads(secret), "kid": kid})
        signed = scheme.sign(b"{}", secret, at=AT, message_id="m", url=URL)
        return replace(deliver(signed.headers, signed.body, received_at=AT), documents={}, url=URL)

    def shows(self, scheme: Any, *, secret: str | None = None) -> bytes:
        """What the provider shows from now on: the key of this secret."""
        signed = scheme.sign(b"{}", secret or SECRETS[id(scheme)], at=AT, message_id="m", url=URL)
        document: bytes = next(value for name, value in signed.documents.items() if name != TRUST_ROOTS)
        self.provider.otherwise = (200, {}, document)
        return document

    @property
    def asked(self) -> list[str]:
        return [line for line, _ in self.provider.asked]


@pytest.fixture
def provider() -> Iterator[Provider]:
    provider = Provider()
    yield provider
    provider.stop()


@pytest.fixture
def bench(provider: Provider) -> Iterator[Bench]:
    clock, bases = Clock(), {"planted": provider.base}
    transport = Transport(allow_local=True, api_bases=bases, clock=clock)
    yield Bench(provider, KeyStore(lambda: transport, api_bases=bases, clock=clock), clock)
    transport.close()


def test_a_key_is_fetched_once_and_again_when_it_is_no_longer_fresh(bench: Bench) -> None:
    document = bench.shows(TOKEN)
    assert list(bench.get(TOKEN).values()) == [document] == list(bench.get(TOKEN).values())
    assert bench.asked == ["POST /key"]
    bench.clock.now += TOKEN.fresh_seconds
    bench.get(TOKEN)
    assert bench.asked == ["POST /key"] * 2


def test_a_scheme_that_needs_nothing_costs_nothing(bench: Bench) -> None:
    plain = connector(Hmac(header="Sig"))
    assert bench.store.documents(plain, deliver({"Sig": "x"}, b"{}"), ["s"]) == {}
    assert bench.asked == []


def test_a_key_set_is_fetched_again_for_an_unknown_key_and_then_holds_it(bench: Bench) -> None:
    bench.shows(SETS)
    bench.get(SETS)
    fresh = bench.shows(SETS, secret=ROTATED)
    bench.clock.now += keys.AGAIN_SECONDS
    assert list(bench.get(SETS, secret=ROTATED).values()) == [fresh]
    assert bench.asked == ["GET /.well-known/jwks"] * 2


def test_a_key_set_that_lacks_a_key_is_not_fetched_again_soon(bench: Bench) -> None:
    document = bench.shows(SETS)
    for number in range(50):
        # It is the scheme that then refuses: the set does not hold the key.
        assert list(bench.get(SETS, kid=f"made-up-{number}").values()) == [document]
    assert len(bench.asked) == 1
    bench.clock.now += keys.AGAIN_SECONDS
    bench.get(SETS, kid="made-up")
    assert len(bench.asked) == 2


def test_a_key_that_the_provider_does_not_know_is_refused_and_remembered_as_that(bench: Bench) -> None:
    bench.provider.otherwise = (404, {}, b"")
    for _ in range(5):
        with pytest.raises(SignatureRejected, match="knows no such key"):
            bench.get(TOKEN, kid="made-up")
    assert len(bench.asked) == 1
    bench.clock.now += keys.ABSENT_SECONDS
    bench.shows(TOKEN)
    assert bench.get(TOKEN, kid="made-up")


def test_a_refusal_that_names_the_key_as_unknown_is_remembered_as_that(bench: Bench) -> None:
    bench.provider.otherwise = (400, {}, b'{"error_type": "INVALID_INPUT", "error_code": "INVALID_KEY_ID"}')
    for _ in range(5):
        with pytest.raises(SignatureRejected, match="knows no such key"):
            bench.get(TOKEN, kid="made-up")
    assert len(bench.asked) == 1


@pytest.mark.parametrize(
    ("status", "body"),
    [
        # Our own credentials are wrong: that says nothing about the delivery.
        (400, b'{"error_type": "INVALID_INPUT", "error_code": "INVALID_API_KEYS"}'),
        (400, b'{"error_code": ["INVALID_KEY_ID"]}'),
        (400, b'"INVALID_KEY_ID"'),
        (400, b"<html>INVALID_KEY_ID</html>"),
        (400, b'{"error_code": "INVALID_KEY_ID", "more": "' + b"x" * 100_000 + b'"}'),
        (401, b'{"error_code": "INVALID_KEY_ID"}'),
        (500, b'{"error_code": "INVALID_KEY_ID"}'),
    ],
)
def test_any_other_refusal_is_no_proof_of_forgery(bench: Bench, status: int, body: bytes) -> None:
    bench.provider.otherwise = (status, {}, body)
    with pytest.raises(KeyUnavailable):
        bench.get(TOKEN, kid="made-up")


def test_strangers_cannot_make_us_call_out_again_and_again(bench: Bench) -> None:
    bench.shows(TOKEN)
    bench.get(TOKEN)
    bench.provider.otherwise = (404, {}, b"")
    outcomes = []
    for number in range(200):
        try:
            bench.get(TOKEN, kid=f"made-up-{number}")
        except SignatureRejected:
            outcomes.append("refused")
        except KeyUnavailable:
            outcomes.append("later")
    assert len(bench.asked) == keys.NEW_BURST
    assert outcomes.count("later") == 200 - (keys.NEW_BURST - 1)
    # A key that is known is none of their business, also when it is due for another look.
    assert bench.get(TOKEN)
    bench.clock.now += TOKEN.fresh_seconds
    bench.shows(TOKEN)
    assert bench.get(TOKEN)
    bench.clock.now += 1 / keys.NEW_PER_SECOND
    assert bench.get(TOKEN, kid="after-a-while")


def test_what_a_stranger_used_up_at_one_address_is_not_missing_at_another(bench: Bench) -> None:
    bench.provider.otherwise = (404, {}, b"")
    for number in range(2 * keys.NEW_BURST):
        with pytest.raises((SignatureRejected, KeyUnavailable)):
            bench.get(TOKEN, kid=f"made-up-{number}")
    bench.shows(TOKEN)
    with pytest.raises(KeyUnavailable, match="rationed"):
        bench.get(TOKEN)
    secrets = [TOKEN.receiving(SECRETS[id(TOKEN)])]
    assert bench.store.documents(connector(TOKEN), bench.sent(TOKEN), secrets, owner="a connection")


@pytest.mark.parametrize("had_before", [False, True])
def test_a_key_set_that_is_not_there_is_an_outage_and_no_proof_of_forgery(bench: Bench, had_before: bool) -> None:
    if had_before:
        bench.shows(SETS)
        bench.get(SETS)
        bench.clock.now += keys.STALE_SECONDS
    bench.provider.otherwise = (404, {}, b"")
    with pytest.raises(KeyUnavailable):
        bench.get(SETS)


def test_what_is_remembered_is_bounded_and_strangers_do_not_push_out_what_is_known(bench: Bench) -> None:
    bench.shows(TOKEN)
    bench.get(TOKEN)
    bench.provider.otherwise = (404, {}, b"")
    for number in range(2 * keys.MAX_ENTRIES):
        with pytest.raises((SignatureRejected, KeyUnavailable)):
            bench.get(TOKEN, kid=f"made-up-{number}")
    assert len(bench.store._entries) == keys.MAX_ENTRIES
    before = len(bench.asked)
    assert bench.get(TOKEN)
    assert len(bench.asked) == before


@pytest.mark.parametrize("status", [0, 301, 400, 401, 403, 429, 500, 503])
def test_a_key_that_cannot_be_had_now_is_no_proof_of_forgery(bench: Bench, status: int) -> None:
    bench.provider.otherwise = (status, {}, b"")
    with pytest.raises(KeyUnavailable):
        bench.get(TOKEN)
    asked = len(bench.asked)
    with pytest.raises(KeyUnavailable):
        bench.get(TOKEN)
    assert len(bench.asked) == asked
    bench.clock.now += keys.FAILED_SECONDS
    bench.shows(TOKEN)
    assert bench.get(TOKEN)


def test_a_known_key_serves_on_for_a_day_while_the_provider_is_down(bench: Bench) -> None:
    document = bench.shows(SETS)
    bench.get(SETS)
    bench.provider.otherwise = (503, {}, b"")
    bench.clock.now += SETS.fresh_seconds
    assert list(bench.get(SETS).values()) == [document]
    with pytest.raises(KeyUnavailable):
        bench.get(SETS, secret=ROTATED)
    bench.clock.now += keys.STALE_SECONDS
    with pytest.raises(KeyUnavailable):
        bench.get(SETS)


def test_a_key_that_is_too_large_is_not_taken(bench: Bench) -> None:
    bench.provider.otherwise = (200, {}, b"x" * 100_001)
    with pytest.raises(KeyUnavailable):
        bench.get(TOKEN)


def test_a_crowd_at_once_causes_one_request(bench: Bench) -> None:
    document, started, crowd = bench.shows(TOKEN), threading.Event(), keys.SEATS
    original = bench.store._transport().document

    def slow(*arguments: Any, **named: Any) -> bytes | None:
        started.set()
        # The others get as far as they can meanwhile: they are seen waiting for the first one's lock.
        while bench.store._seats._value > 0:
            threading.Event().wait(0.002)
        return original(*arguments, **named)

    bench.store._transport().document = slow  # type: ignore[method-assign]
    with ThreadPoolExecutor(crowd + 1) as pool:
        waiting = [pool.submit(bench.get, TOKEN) for _ in range(crowd)]
        assert started.wait(5)
        found = [list(one.result(timeout=10).values()) for one in waiting]
    assert found == [[document]] * crowd
    assert bench.asked == ["POST /key"]


def test_more_than_the_seats_are_asked_to_come_back_at_once(bench: Bench) -> None:
    for _ in range(keys.SEATS):
        assert bench.store._seats.acquire(blocking=False)
    with pytest.raises(KeyUnavailable, match="crowded"):
        bench.get(TOKEN)
    bench.store._seats.release()
    bench.shows(TOKEN)
    assert bench.get(TOKEN)
    # What is known needs no seat.
    assert bench.store._seats.acquire(blocking=False)
    assert bench.get(TOKEN)


def test_what_one_address_says_is_not_believed_for_another(bench: Bench) -> None:
    bench.shows(TOKEN)
    bench.get(TOKEN)
    other = Provider()
    try:
        other.otherwise = (404, {}, b"")
        delivery = bench.sent(TOKEN)
        with pytest.raises(SignatureRejected):
            bench.store.documents(connector(TOKEN), delivery, [TOKEN.receiving("")], other.base)
        assert [line for line, _ in other.asked] == ["POST /key"]
        assert bench.get(TOKEN)
    finally:
        other.stop()


def test_a_simulated_provider_shows_its_own_authority_where_such_are_allowed(bench: Bench, provider: Provider) -> None:
    delivery, held = bench.sent(CERTIFIED), json.loads(SECRETS[id(CERTIFIED)])
    provider.script = [(200, {}, held["certificate"].encode()), (200, {}, held["root"].encode())]
    secrets = [held["webhook_id"]]
    found = bench.store.documents(connector(CERTIFIED), delivery, secrets)
    assert [line.partition(" ")[2] for line in bench.asked] == [
        f"/v1/notifications/certs/CERT-{held['webhook_id']}",
        TRUST_ROOTS_PATH,
    ]
    assert CERTIFIED.verify(replace(delivery, documents=found), secrets).message_id == "m"
    assert found[TRUST_ROOTS].count(b"BEGIN CERTIFICATE") > 50


def test_elsewhere_only_the_authorities_of_this_machine_are_known(provider: Provider) -> None:
    bases = {"planted": provider.base}
    transport = Transport(allow_local=False, api_bases=bases)
    store = KeyStore(lambda: transport, api_bases=bases)
    held = json.loads(SECRETS[id(CERTIFIED)])
    assert store._roots(connector(CERTIFIED), provider.base) == transport.authorities()
    # A local address is not asked for anything; nor is another host when the provider's own cannot be resolved.
    delivery = Bench(provider, store, Clock()).sent(CERTIFIED)
    with pytest.raises(KeyUnavailable):
        store.documents(connector(CERTIFIED), delivery, [held["webhook_id"]])
    with pytest.raises(KeyUnavailable):
        store.documents(connector(TOKEN), Bench(provider, store, Clock()).sent(TOKEN), ["a:b"])
    assert provider.asked == []
    transport.close()


def test_a_real_sandbox_is_no_stand_in_also_where_stand_ins_are_allowed() -> None:
    transport = Transport(allow_local=True)
    store = KeyStore(lambda: transport, api_bases={})
    assert transport.is_simulated("http://127.0.0.1:4000/planted")
    assert not transport.is_simulated("https://api.sandbox.planted.example")
    assert not transport.is_simulated(None)
    assert store._roots(connector(CERTIFIED), "https://api.sandbox.planted.example") == transport.authorities()
    transport.close()


# At the webhook's way in.


def test_a_delivery_waits_at_the_provider_until_its_key_can_be_had(
    open_gate: Callable[..., Gate], provider: Provider, monkeypatch: pytest.MonkeyPatch
) -> None:
    planted = {**registry.all(), "planted": connector(TOKEN)}
    monkeypatch.setattr(registry, "_installed", lambda: (MappingProxyType(planted), MappingProxyType({})))
    monkeypatch.setattr(keys, "FAILED_SECONDS", 0.0)
    secret = SECRETS[id(TOKEN)]
    gate = open_gate(
        PLANTED_WEBHOOK_SECRET=TOKEN.receiving(secret),
        PLANTED_API_BASE=provider.base,
        ALLOW_LOCAL_PROVIDERS="true",
    )
    address = gate.connect("planted", account="acc-1")
    gate.replace_secret(address, TOKEN.receiving(secret))
    body = json.dumps({"id": "1", "type": "thing.happened", "account": "acc-1"}).encode()
    signed = TOKEN.sign(body, secret, at=datetime.now(UTC), message_id="m")

    provider.otherwise = (500, {}, b"")
    for path in ("/api/connectors/planted/webhook", address.path):
        expect(gate.send(path, body, signed.headers), 503)
    assert gate.kept() == (0, 0, 0)

    provider.otherwise = (200, {}, next(iter(signed.documents.values())))
    expect(gate.send(address.path, body, signed.headers), 200)
    assert gate.queue() == [("ready", address.id)]
    forged = {"Token": signed.headers["Token"][:-8] + "AAAAAAAA"}
    expect(gate.send(address.path, body, forged), 401)
    assert gate.kept() == (1, 1, 1)

    # Properly signed, and about somebody else's account or about none.
    for number, account in enumerate(({"account": "acc-2"}, {})):
        other = json.dumps({"id": f"2{number}", "type": "thing.happened", **account}).encode()
        headers = TOKEN.sign(other, secret, at=datetime.now(UTC), message_id="m").headers
        expect(gate.send(address.path, other, headers), 200)
    trusts = gate.rows("SELECT trust FROM events ORDER BY id")
    assert [row["trust"] for row in trusts] == ["signed", "signed", "hint"]
    assert gate.queue()[1] == ("unrouted", None)
