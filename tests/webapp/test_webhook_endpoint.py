"""The webhook's way in, from outside: each bad request has its documented answer, and nothing is lost."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from werkzeug.test import TestResponse

from connectors import registry
from core.connections import store as connections
from core.ids import new_id
from tests.budget import examples
from tests.webapp.configured import settings_for
from tests.webapp.gate import GENERIC, LIMIT, OLDER_PLATFORM_SECRET, PLATFORM_SECRET, Address, Gate, expect, said, sized
from webapp.app import create_app
from webapp.services import EXTENSION

RAZORPAY = registry.get("razorpay").signature


NOTHING = (0, 0, 0)
STORED = (1, 1, 0)
REFUSED = (0, 0, 1)


@pytest.mark.parametrize(
    ("body", "status", "kept"),
    [
        pytest.param(sized(LIMIT - 1), 200, STORED, id="below the limit"),
        pytest.param(sized(LIMIT), 200, STORED, id="at the limit"),
        pytest.param(sized(LIMIT + 1), 413, NOTHING, id="above the limit"),
        pytest.param(b"x" * LIMIT * 40, 413, NOTHING, id="far above the limit"),
        pytest.param(b"", 400, REFUSED, id="empty"),
        pytest.param(b"{", 400, REFUSED, id="cut off"),
        pytest.param(b"payment=100", 400, REFUSED, id="a form"),
        pytest.param(b"\xff\xfe{}", 400, REFUSED, id="not UTF-8"),
        pytest.param(b"\xef\xbb\xbf{}", 400, REFUSED, id="byte order mark"),
        pytest.param(b"null", 400, REFUSED, id="null"),
        pytest.param(b"7", 400, REFUSED, id="a number"),
        pytest.param(b"[]", 400, REFUSED, id="a list where an object belongs"),
        pytest.param(b"{}", 400, REFUSED, id="no type"),
        pytest.param(b'{"type": 7}', 400, REFUSED, id="type is a number"),
        pytest.param(b'{"type": ["payment.succeeded"]}', 400, REFUSED, id="type is a list"),
        pytest.param(b'{"type": ""}', 400, REFUSED, id="type is empty"),
        pytest.param(said("n" * 300), 400, REFUSED, id="type does not fit an index"),
        pytest.param(said(account_id=5), 400, REFUSED, id="account is a number"),
        pytest.param(said(account_id="a" * 300), 400, REFUSED, id="account does not fit an index"),
        pytest.param(b"[" * 1000 + b"]" * 1000, 400, REFUSED, id="nests deep"),
        pytest.param(b'{"a":' * 400, 400, REFUSED, id="nests deep and is cut off"),
        pytest.param(b'{"type": "payment.succeeded", "n": ' + b"9" * 1500 + b"}", 200, STORED, id="huge whole number"),
        pytest.param(b'{"type": "payment.succeeded", "n": 1e400}', 400, REFUSED, id="huge exponent"),
        pytest.param(b'{"type": "payment.succeeded", "n": NaN}', 400, REFUSED, id="NaN"),
        pytest.param(b'{"type": "payment.succeeded", "n": -Infinity}', 400, REFUSED, id="Infinity"),
        pytest.param(said().replace(b"INR", b"I\x00R"), 400, REFUSED, id="raw NUL byte"),
        pytest.param(said(note="a\x00b"), 200, STORED, id="escaped NUL in a value"),
        pytest.param(said("pay\x00ment"), 200, STORED, id="escaped NUL in the type"),
        pytest.param(said(account_id="acc\x00"), 200, STORED, id="escaped NUL in the account"),
        pytest.param(said("pay\ud800ment"), 200, STORED, id="lone surrogate in the type"),
        pytest.param(said(data=[]), 200, STORED, id="wrong type inside is for the worker to say"),
    ],
)
def test_every_body_has_its_documented_answer_and_is_kept_or_refused_as_a_whole(
    gate: Gate, body: bytes, status: int, kept: tuple[int, int, int]
) -> None:
    address = gate.connect()
    expect(gate.say(address, body), status)
    assert gate.kept() == kept
    if kept == REFUSED:
        (row,) = gate.rows("SELECT body, body_bytes, reason, connection_id::text AS connection FROM quarantine")
        assert row["reason"].startswith("unreadable: ")
        assert (bytes(row["body"]), row["body_bytes"], row["connection"]) == (body, len(body), address.id)
    if kept == STORED:
        assert bytes(gate.rows("SELECT body FROM deliveries")[0]["body"]) == body


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data", "", "\xff"])
def test_the_bytes_decide_and_not_the_content_type(gate: Gate, kind: str) -> None:
    expect(gate.say(gate.connect(), said(), content_type=kind), 200)
    assert gate.kept() == STORED


@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "PATCH", "DELETE", "PROPFIND"])
@pytest.mark.parametrize("kind", ["platform", "own", "opaque"])
def test_other_methods_are_not_allowed(gate: Gate, method: str, kind: str) -> None:
    address = gate.connect()
    path = {"platform": "/api/connectors/standard_webhooks/webhook", "own": address.path, "opaque": address.opaque_path}
    reply = gate.app.test_client().open(path[kind], method=method)
    assert reply.status_code == 405
    assert "POST" in reply.headers["Allow"]
    if method != "HEAD":
        expect(reply, 405)
    assert gate.kept() == NOTHING


@pytest.mark.parametrize(
    "spoiled",
    [
        pytest.param({"HTTP_WEBHOOK_SIGNATURE": None}, id="signature missing"),
        pytest.param({"HTTP_WEBHOOK_SIGNATURE": ""}, id="signature empty"),
        pytest.param({"HTTP_WEBHOOK_SIGNATURE": "v1,"}, id="signature without its digest"),
        pytest.param({"HTTP_WEBHOOK_SIGNATURE": "v1"}, id="signature is only a version"),
        pytest.param({"HTTP_WEBHOOK_SIGNATURE": "v1,\xff\xfe\xfc"}, id="signature not ASCII"),
        pytest.param({"HTTP_WEBHOOK_SIGNATURE": "v1,abc, v1,def"}, id="signature twice"),
        pytest.param({"HTTP_WEBHOOK_SIGNATURE": "v1a," + "A" * 86 + "=="}, id="signature of the other scheme"),
        pytest.param({"HTTP_WEBHOOK_SIGNATURE": "v1," * 4000}, id="signature very long"),
        pytest.param({"HTTP_WEBHOOK_SIGNATURE": "v1,\x00"}, id="signature holds NUL"),
        pytest.param({"HTTP_WEBHOOK_ID": None}, id="id missing"),
        pytest.param({"HTTP_WEBHOOK_ID": ""}, id="id empty"),
        pytest.param({"HTTP_WEBHOOK_ID": "msg.1"}, id="id moves the full stop"),
        pytest.param({"HTTP_WEBHOOK_ID": "\xe9"}, id="id not ASCII"),
        pytest.param({"HTTP_WEBHOOK_TIMESTAMP": None}, id="time missing"),
        pytest.param({"HTTP_WEBHOOK_TIMESTAMP": "0"}, id="time long ago"),
        pytest.param({"HTTP_WEBHOOK_TIMESTAMP": "-1"}, id="time negative"),
        pytest.param({"HTTP_WEBHOOK_TIMESTAMP": "1e9"}, id="time with an exponent"),
        pytest.param({"HTTP_WEBHOOK_TIMESTAMP": "9" * 12}, id="time far ahead"),
        pytest.param({"HTTP_WEBHOOK_TIMESTAMP": "9" * 400}, id="time huge"),
        pytest.param({"HTTP_WEBHOOK_TIMESTAMP": "\xb2\xb3"}, id="time in digits that are not ASCII"),
    ],
)
def test_a_garbled_signature_is_refused_and_kept_for_an_operator(gate: Gate, spoiled: dict[str, str | None]) -> None:
    address = gate.connect()
    sign = GENERIC.sign(said(), address.secret, at=datetime.now(UTC), message_id="msg_1").headers
    environ: dict[str, str | None] = {"HTTP_" + name.upper().replace("-", "_"): value for name, value in sign.items()}
    environ |= spoiled
    present = {name: value for name, value in environ.items() if value is not None}
    reply = gate.send(address.path, said(), {}, environ_overrides=present)
    expect(reply, 401)
    # Whoever guesses is not told what was wrong.
    assert json.loads(reply.data)["detail"] == "The signature does not prove this body."
    assert gate.kept() == REFUSED


def test_what_a_refused_delivery_leaves_behind_holds_no_credentials_of_ours(gate: Gate) -> None:
    address = gate.connect()
    headers = {"Authorization": "Bearer hidden", "Cookie": "session=hidden", "Webhook-Signature": "v1,shown"}
    expect(gate.send(address.path, said(), headers), 401)
    (row,) = gate.rows("SELECT headers::text AS headers FROM quarantine")
    assert "hidden" not in row["headers"]
    assert "v1,shown" in row["headers"]


@pytest.mark.parametrize(
    "path",
    [
        pytest.param("/api/connectors/nobody/webhook", id="unknown connector"),
        pytest.param("/api/connectors/nobody/webhook/{id}", id="unknown connector with a connection"),
        pytest.param("/api/connectors/STANDARD_WEBHOOKS/webhook/{id}", id="connector in capitals"),
        pytest.param("/api/connectors/%2e%2e/webhook", id="connector that climbs"),
        pytest.param("/api/connectors/razorpay/webhook/{id}", id="another connector's connection"),
        pytest.param("/api/connectors/standard_webhooks/webhook/0", id="connection too short"),
        pytest.param("/api/connectors/standard_webhooks/webhook/" + "z" * 36, id="connection no hex"),
        pytest.param("/api/connectors/standard_webhooks/webhook/" + "\u0663" * 32, id="connection of foreign digits"),
        pytest.param("/api/connectors/standard_webhooks/webhook/{id}0", id="connection too long"),
        pytest.param("/api/connectors/standard_webhooks/webhook/" + "a" * 32, id="connection that is not there"),
        pytest.param("/api/connectors/standard_webhooks/webhook/" + "9" * 5000, id="connection endless"),
        pytest.param("/api/connectors/standard_webhooks/webhook/%ff%fe", id="connection not UTF-8"),
        pytest.param("/api/connectors/standard_webhooks/webhook/{id}/", id="address with a slash behind"),
        pytest.param("/api/hooks/nobody", id="unknown opaque address"),
        pytest.param("/api/hooks/{id}", id="opaque address that is an id"),
        pytest.param("/api/hooks/" + "h" * 5000, id="opaque address endless"),
        pytest.param("/api/hooks/%ed%a0%80", id="opaque address with a lone surrogate"),
        pytest.param("/api/hooks/", id="no opaque address"),
    ],
)
def test_an_address_that_is_not_there_is_not_found(gate: Gate, path: str) -> None:
    address = gate.connect()
    expect(gate.say(address, said(), path=path.replace("{id}", address.id)), 404)
    assert gate.kept() == NOTHING


@pytest.mark.parametrize("path", ["/api/hooks/a%00b", "/api/connectors/a%00/webhook", "/api/hooks/x?a=%00"])
def test_an_address_with_nul_is_a_bad_request(gate: Gate, path: str) -> None:
    expect(gate.say(gate.connect(), said(), path=path), 400)


def test_a_deleted_connection_is_not_found(gate: Gate) -> None:
    address = gate.connect()
    with gate.parts.database.session() as session:
        connections.delete(session, address.owner, UUID(address.id), datetime.now(UTC))
    expect(gate.say(address, said()), 404)
    expect(gate.say(address, said(), path=address.opaque_path), 404)
    assert gate.kept() == NOTHING


def test_the_opaque_address_takes_the_same_deliveries(gate: Gate) -> None:
    address = gate.connect("razorpay")
    expect(gate.say(address, b'{"event": "payment.captured"}', path=address.opaque_path), 200)
    assert gate.queue() == [("ready", address.id)]
    expect(gate.say(address, b'{"event": "payment.captured"}', secret="wrong", path=address.opaque_path), 401)
    assert gate.kept() == (1, 1, 1)


def test_an_unknown_event_is_stored_and_operators_hear_of_it(gate: Gate) -> None:
    address = gate.connect()
    expect(gate.say(address, said("payment.teleported")), 200)
    assert gate.queue() == [("unknown", address.id)]
    assert gate.parked() == ["payment.teleported"]


def platform(gate: Gate, body: bytes, message_id: str | None = None, secret: str = PLATFORM_SECRET) -> TestResponse:
    headers = GENERIC.sign(body, secret, at=datetime.now(UTC), message_id=message_id or f"msg_{new_id()}").headers
    return gate.send("/api/connectors/standard_webhooks/webhook", body, headers)


@pytest.mark.parametrize("account", [pytest.param("acc_x", id="nobody's account"), pytest.param(None, id="no account")])
def test_an_event_of_nobody_on_the_platforms_address_waits_and_operators_hear_of_it(
    gate: Gate, account: str | None
) -> None:
    gate.connect(account="acc_1")
    expect(platform(gate, said(account_id=account)), 200)
    assert gate.queue() == [("unrouted", None)]
    assert gate.parked() == ["payment.succeeded"]


def test_the_platforms_address_finds_the_connection_of_an_account(gate: Gate) -> None:
    address = gate.connect(account="acc_1")
    expect(platform(gate, said(account_id="acc_1")), 200)
    expect(platform(gate, said(account_id="acc_1"), secret=OLDER_PLATFORM_SECRET), 200)
    assert gate.queue() == [("ready", address.id)] * 2
    found = gate.rows("SELECT secret_index FROM deliveries ORDER BY id")
    assert [row["secret_index"] for row in found] == [0, 1]


def test_a_connections_secret_opens_nothing_on_the_platforms_address_and_the_other_way_round(gate: Gate) -> None:
    address = gate.connect(account="acc_1")
    expect(platform(gate, said(account_id="acc_1"), secret=address.secret), 401)
    expect(gate.say(address, said(), secret=PLATFORM_SECRET), 401)
    assert gate.kept() == (0, 0, 2)


def test_without_a_platform_secret_the_platforms_address_takes_nothing(open_gate: Callable[..., Gate]) -> None:
    gate = open_gate(STANDARD_WEBHOOKS_WEBHOOK_SECRET="")
    expect(platform(gate, said()), 401)
    assert gate.kept() == REFUSED


def test_an_event_that_names_another_users_account_is_credited_to_nobody(gate: Gate) -> None:
    victim, thief = gate.connect(account="acc_victim"), gate.connect(account="acc_thief")
    expect(gate.say(thief, said(account_id="acc_victim"), message_id="evt_1"), 200)
    assert gate.queue() == [("unrouted", None)]
    assert gate.parked() == ["payment.succeeded"]
    # And it has not used up the victim's event id.
    reply = gate.say(victim, said(account_id="acc_victim"), message_id="evt_1")
    assert reply.get_json()["status"] == "accepted"
    assert gate.queue() == [("unrouted", None), ("ready", victim.id)]


def test_an_event_that_names_another_account_of_the_same_user_goes_there(gate: Gate) -> None:
    one = gate.connect(account="acc_1")
    two = gate.connect(account="acc_2", owner=one.owner)
    expect(gate.say(one, said(account_id="acc_2")), 200)
    assert gate.queue() == [("ready", two.id)]


def test_an_account_is_looked_for_among_connections_of_its_own_provider(gate: Gate) -> None:
    gate.connect("razorpay", account="acc_1")
    expect(platform(gate, said(account_id="acc_1")), 200)
    assert gate.queue() == [("unrouted", None)]


def test_the_answer_tells_a_new_event_from_a_known_one(gate: Gate) -> None:
    address = gate.connect()
    first = gate.say(address, said(), message_id="evt_1").get_json()
    again = gate.say(address, said(), message_id="evt_1").get_json()
    assert (first["status"], first["new_events"]) == ("accepted", 1)
    assert (again["status"], again["new_events"]) == ("already_known", 0)
    found = [str(row["id"]) for row in gate.rows("SELECT id FROM deliveries ORDER BY id")]
    assert found == [first["delivery_id"], again["delivery_id"]]
    assert gate.kept() == (2, 1, 0)


def test_an_event_that_comes_by_both_addresses_counts_once(gate: Gate) -> None:
    address = gate.connect(account="acc_1")
    replies = [
        gate.say(address, said(account_id="acc_1"), message_id="evt_1"),
        platform(gate, said(account_id="acc_1"), message_id="evt_1"),
        gate.say(address, said(account_id="acc_1"), message_id="evt_1", path=address.opaque_path),
    ]
    assert [reply.get_json()["status"] for reply in replies] == ["accepted", "already_known", "already_known"]
    assert gate.queue() == [("ready", address.id)]


def test_one_sender_cannot_use_up_another_connections_event_ids(gate: Gate) -> None:
    one, two = gate.connect(), gate.connect()
    replies = [gate.say(address, said(), message_id="evt_1") for address in (one, two)]
    assert [reply.get_json()["status"] for reply in replies] == ["accepted", "accepted"]
    assert gate.queue() == [("ready", one.id), ("ready", two.id)]


def test_while_a_secret_is_replaced_the_old_and_the_new_one_are_good(gate: Gate) -> None:
    address = gate.connect()
    fresh = GENERIC.new_secret()
    gate.replace_secret(address, fresh)
    expect(gate.say(address, said(), secret=fresh), 200)
    expect(gate.say(address, said()), 200)
    expect(gate.say(address, said(), secret=GENERIC.new_secret()), 401)
    found = gate.rows("SELECT secret_index FROM deliveries ORDER BY id")
    assert [row["secret_index"] for row in found] == [0, 1]


@pytest.mark.parametrize("kind", ["own", "opaque"])
def test_a_secret_replaced_a_moment_ago_works_at_once(gate: Gate, kind: str) -> None:
    address = gate.connect()
    path = address.path if kind == "own" else address.opaque_path
    # Now the old secret is remembered.
    expect(gate.say(address, said(), path=path), 200)
    fresh = GENERIC.new_secret()
    gate.replace_secret(address, fresh)
    expect(gate.say(address, said(), secret=fresh, path=path), 200)
    assert gate.kept() == (2, 2, 0)


def test_a_secret_whose_time_is_up_is_refused(gate: Gate) -> None:
    address = gate.connect()
    gate.replace_secret(address, GENERIC.new_secret(), timedelta(seconds=-1))
    expect(gate.say(address, said()), 401)


def test_too_many_at_once_are_told_to_come_again(open_gate: Callable[..., Gate]) -> None:
    gate = open_gate(WEBHOOK_RATE_PER_SECOND="1")
    address = gate.connect()
    first = gate.say(address, said(), message_id="evt_1")
    expect(first, 200)
    # The bucket is emptied rather than raced.
    while gate.inlet.bucket.take():
        pass
    expect(gate.say(address, said(), message_id="evt_2"), 429)
    assert gate.kept() == STORED


def test_what_cannot_be_stored_is_not_promised(open_gate: Callable[..., Gate]) -> None:
    gate = open_gate()
    address = gate.connect()
    gate.inlet.committer.close()
    expect(gate.say(address, said()), 503)
    assert gate.kept() == NOTHING


def test_a_database_that_is_away_is_answered_with_503(gate: Gate, tmp_path: Path) -> None:
    away = settings_for("postgresql://ledgerwire@127.0.0.1:1/none", tmp_path, REDIS_URL="redis://127.0.0.1:1")
    app = create_app(away, role="ingress")
    address = gate.connect()
    elsewhere = Gate(app=app, parts=app.extensions[EXTENSION])
    expect(elsewhere.say(address, said()), 503)
    expect(elsewhere.say(address, said(), path=address.opaque_path), 503)
    elsewhere.parts.database.dispose()


def test_the_quarantine_keeps_the_newest_and_cuts_long_bodies(open_gate: Callable[..., Gate]) -> None:
    gate = open_gate(QUARANTINE_MAX_ROWS="3", QUARANTINE_MAX_BODY="10")
    address = gate.connect()
    for place in range(5):
        expect(gate.say(address, b"%d" % place * 20), 400)
    found = gate.rows("SELECT body, body_bytes FROM quarantine ORDER BY id")
    assert [(bytes(row["body"]), row["body_bytes"]) for row in found] == [(b"%d" % n * 10, 20) for n in (2, 3, 4)]


def test_a_flood_of_bad_signatures_does_not_flood_the_quarantine_and_good_ones_pass(gate: Gate) -> None:
    address = gate.connect()
    while gate.inlet.quarantine_bucket.take():
        pass
    while gate.inlet.second_looks.take():
        pass
    expect(gate.say(address, said(), secret=GENERIC.new_secret()), 401)
    expect(gate.say(address, said()), 200)
    assert gate.count("deliveries") == 1


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)
BODIES = (
    st.binary(max_size=200)
    | JSON.map(lambda value: json.dumps(value).encode())
    | st.fixed_dictionaries(
        {"type": st.text(max_size=300) | JSON, "event": st.text(max_size=300) | JSON},
        optional={"account_id": st.text(max_size=300) | JSON, "data": JSON, "payload": JSON},
    ).map(lambda value: json.dumps(value).encode())
)
LATIN = st.text(st.characters(max_codepoint=255, exclude_characters="\r\n"), max_size=40)
HEADERS = st.dictionaries(
    st.sampled_from(
        ["WEBHOOK_ID", "WEBHOOK_TIMESTAMP", "WEBHOOK_SIGNATURE", "SVIX_ID", "X_RAZORPAY_SIGNATURE", "COOKIE", "HOST"]
    ).map("HTTP_{}".format)
    | st.sampled_from(["CONTENT_TYPE", "REMOTE_ADDR", "QUERY_STRING"]),
    LATIN,
    max_size=4,
)


@settings(max_examples=examples(80), deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(body=BODIES, spoiled=HEADERS, signed=st.booleans(), message_id=st.text("abc.\xe9_", min_size=1, max_size=260))
def test_nothing_a_stranger_sends_is_our_fault(
    gate: Gate, body: bytes, spoiled: dict[str, str], signed: bool, message_id: str
) -> None:
    for connector in ("standard_webhooks", "razorpay"):
        known = gate.app.extensions.setdefault("tests.addresses", {})
        address: Address = known.get(connector) or known.setdefault(connector, gate.connect(connector))
        before = gate.count("deliveries")
        secret = None if signed else registry.get(connector).signature.new_secret()
        headers = (
            registry.get(connector)
            .signature.sign(body, secret or address.secret, at=datetime.now(UTC), message_id=message_id)
            .headers
        )
        environ = {"HTTP_" + name.upper().replace("-", "_"): value for name, value in headers.items()}
        reply = gate.send(address.path, body, {}, environ_overrides=environ | spoiled)
        assert reply.status_code in {200, 400, 401}
        expect(reply, reply.status_code)
        assert gate.count("deliveries") - before == (reply.status_code == 200)
