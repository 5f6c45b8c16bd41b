"""The conformance endpoints: fifteen checks over real HTTP against a web process, and checks of the checks."""

from __future__ import annotations

import http.client
import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from flask import Flask
from sqlalchemy import text
from sqlalchemy.pool import QueuePool

from config.settings import from_environment
from core import ledger, wallets
from core.errors import Forbidden
from core.ledger import chain
from tests.budget import left_to_long
from tests.conftest import Servers
from tests.standing import create, drop, other_path
from tests.webapp import conformance_kit as kits
from tests.webapp.configured import MASTER_KEY, SECRET_KEY, settings_for
from tests.webapp.conformance_kit import CHECKS, Broken, Kit
from webapp import conformance
from webapp.app import create_app
from webapp.services import EXTENSION

SEEDS = (42, 20_261_121)
BALANCE = "/_lck/balance?account=a&currency=USD"


@pytest.fixture(scope="module")
def scratch_url(servers: Servers, template_database: str) -> Iterator[str]:
    name = f"test_scratch_{uuid4().hex[:8]}"
    create(servers.database_url, name, template_database)
    yield other_path(servers.database_url, name)
    drop(servers.database_url, name)


@pytest.fixture(scope="module")
def address(scratch_url: str, servers: Servers, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, int]]:
    """A web process as `make run` starts it, with the endpoints on."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port = int(found.getsockname()[1])
    environment = {
        **os.environ,
        "DATABASE_URL": scratch_url,
        "REDIS_URL": servers.redis_url,
        "DATA_DIR": str(tmp_path_factory.mktemp("data")),
        "SECRET_KEY": SECRET_KEY,
        "MASTER_KEYS": MASTER_KEY,
        "LEDGER_CONFORMANCE": "1",
        "LOG_LEVEL": "ERROR",
        "PORT": str(port),
    }
    process = subprocess.Popen([sys.executable, "-m", "webapp.serve"], env=environment)
    ends = time.monotonic() + 30
    while True:
        try:
            if _sender("127.0.0.1", port)("GET", "/api/health/ready", None)[0] == 200:
                break
        except OSError:
            time.sleep(0.1)
        assert time.monotonic() < ends, "the web process did not get ready"
        assert process.poll() is None
    yield "127.0.0.1", port
    process.kill()
    process.wait()


def _sender(host: str, port: int) -> kits.Send:
    """Sends over HTTP/1.1, each request on a connection of its own."""

    def send(method: str, path: str, body: Any) -> tuple[int, Any]:
        with closing(http.client.HTTPConnection(host, port, timeout=60)) as connection:
            headers = {"Content-Type": "application/json"}
            connection.request(method, path, None if body is None else json.dumps(body), headers)
            answer = connection.getresponse()
            return answer.status, json.loads(answer.read())

    return send


def _app(url: str, folder: Path, **more: str) -> Flask:
    nowhere = "unix:///nowhere/redis.sock"
    return create_app(settings_for(url, folder, **{"LEDGER_CONFORMANCE": "1", "REDIS_URL": nowhere, **more}))


def _inside(app: Flask) -> kits.Send:
    """Sends to an app of this process, over no network."""

    def send(method: str, path: str, body: Any) -> tuple[int, Any]:
        answer = app.test_client().open(path, method=method, json=body)
        return answer.status_code, answer.get_json(silent=True)

    return send


@pytest.fixture(scope="module")
def app(scratch_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Flask]:
    made = _app(scratch_url, tmp_path_factory.mktemp("app"))
    yield made
    made.extensions["ledgerwire.gateway"].stop()
    made.extensions[EXTENSION].database.dispose()


def _names(check: Callable[[Kit], None]) -> str:
    return check.__name__


@pytest.mark.parametrize("seed", left_to_long(SEEDS, 1))
@pytest.mark.parametrize("check", CHECKS, ids=_names)
def test_it_holds(check: Callable[[Kit], None], seed: int, address: tuple[str, int]) -> None:
    kit = Kit(_sender(*address), seed, crowd=64 if seed == SEEDS[0] else 24, many=50)
    kit.reset()
    check(kit)


@pytest.mark.long
@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("check", CHECKS, ids=_names)
def test_it_holds_with_five_hundred_at_once(check: Callable[[Kit], None], seed: int, address: tuple[str, int]) -> None:
    kit = Kit(_sender(*address), seed, crowd=500, many=1000)
    kit.reset()
    check(kit)


# What the endpoints answer -------------------------------------------------------------------------------------


@pytest.fixture
def kit(app: Flask) -> Kit:
    made = Kit(_inside(app), crowd=20, many=20)
    made.reset()
    return made


def test_a_reset_leaves_nothing(kit: Kit) -> None:
    kit.fund("a", 500)
    assert kit.journal()
    kit.reset()
    assert kit.journal() == []
    assert kit.balance("a") == 0


def test_amounts_may_come_as_digits(kit: Kit) -> None:
    body = {
        "idempotencyKey": "digits",
        "transactionId": "t",
        "allowOverdraft": True,
        "legs": [
            {"accountId": "a", "type": "DEBIT", "amountSubunits": "2500", "currency": "USD"},
            {"accountId": "b", "type": "CREDIT", "amountSubunits": 2500, "currency": "USD"},
        ],
    }
    assert kit.ask("POST", "/_lck/post", body) == {"status": "APPLIED", "transactionId": "t", "reason": None}
    assert (kit.balance("a"), kit.balance("b")) == (-2500, 2500)


def test_a_key_with_other_legs_is_rejected_and_changes_nothing(kit: Kit) -> None:
    kit.fund("a", 500)
    assert kit.move("k", "a", "b", 100)["status"] == "APPLIED"
    other = kit.move("k", "a", "b", 101)
    assert other["status"] == "REJECTED"
    assert other["reason"].startswith("ledger_key_reused")
    assert kit.balance("b") == 100


def test_a_repeat_under_another_name_answers_with_the_first(kit: Kit) -> None:
    kit.fund("a", 500)
    first = kit.move("k", "a", "b", 100, identity="one")
    assert kit.move("k", "a", "b", 100, identity="two") == {**first, "status": "DUPLICATE"}
    assert first["transactionId"] == "one"


GOOD = {"accountId": "a", "type": "DEBIT", "amountSubunits": 100, "currency": "USD"}


UNREADABLE: list[dict[str, Any]] = [
    {"amountSubunits": 0},
    {"amountSubunits": -100},
    {"amountSubunits": 1.5},
    {"amountSubunits": "1e3"},
    {"amountSubunits": True},
    {"amountSubunits": None},
    {"amountSubunits": 10**30},
    {"type": "CREDIT"},
    {"type": "debit"},
    {"accountId": ""},
    {"accountId": 7},
    {"accountId": "a\x00b"},
    {"accountId": "\ud800"},
    {"accountId": "a" * 500},
    {"currency": "usd"},
    {"currency": "\ud800\ud800\ud800"},
    {"currency": None},
]


def test_what_cannot_be_a_transfer_is_rejected_again_and_again(kit: Kit) -> None:
    for change in UNREADABLE:
        body = {
            "idempotencyKey": str(change),
            "transactionId": "t",
            "allowOverdraft": True,
            "legs": [{**GOOD, **change}, {**GOOD, "accountId": "b", "type": "CREDIT"}],
        }
        for _ in range(2):
            answer = kit.ask("POST", "/_lck/post", body)
            assert (answer["status"], answer["transactionId"]) == ("REJECTED", "t"), change
            assert answer["reason"]
        good = {**body, "legs": [GOOD, {**GOOD, "accountId": "b", "type": "CREDIT"}]}
        assert kit.ask("POST", "/_lck/post", good)["status"] == "REJECTED", change
    assert kit.journal() == []


def test_no_value_makes_it_fail(kit: Kit) -> None:
    legs = [GOOD, {**GOOD, "accountId": "b", "type": "CREDIT"}]
    for field in ("idempotencyKey", "transactionId", "legs", "allowOverdraft"):
        values: tuple[Any, ...] = (None, 7, "\ud800", "\x00", [], {}, [7], "x" * 1000)
        for value in values:
            body = {"idempotencyKey": "k", "transactionId": "t", "allowOverdraft": False, "legs": legs, field: value}
            assert kit.ask("POST", "/_lck/post", body)["status"] == "REJECTED", (field, value)


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"null", b"\xff", b"[" * 100_000, b'{"a":' + b"1" * 5000 + b"}"])
def test_a_body_that_cannot_be_read_is_400(app: Flask, body: bytes) -> None:
    assert app.test_client().post("/_lck/post", data=body).status_code == 400


@pytest.mark.parametrize("query", ["", "account=a", "currency=USD", "account=&currency=USD"])
def test_a_balance_of_nothing_is_400(app: Flask, query: str) -> None:
    assert app.test_client().get(f"/_lck/balance?{query}").status_code == 400


def test_money_of_the_demo_is_not_in_the_journal_of_the_suite(kit: Kit, app: Flask) -> None:
    def welcome() -> None:
        with app.extensions[EXTENSION].database.session() as session:
            wallets.welcome(session, uuid4(), datetime.now(UTC))

    welcome()
    kit.fund("a", 500)
    welcome()
    kit.fund("b", 500)
    welcome()
    assert [entry["accountId"] for entry in kit.journal()] == ["external:funding", "a", "external:funding", "b"]
    assert [entry["sequence"] for entry in kit.journal()] == [3, 4, 7, 8]
    kits.inv_14_sequences_rise_by_one(kit)


# Where they are --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "asked"), [("ledgerwire", "1"), ("ledgerwire", "0"), ("ledgerwire_scratch", "0")], ids=str
)
def test_they_are_not_there_unless_asked_for_on_a_scratch_database(tmp_path: Path, name: str, asked: str) -> None:
    made = _app(f"postgresql://nobody@/{name}?host=/scratch", tmp_path, LEDGER_CONFORMANCE=asked)
    client = made.test_client()
    assert not [rule.rule for rule in made.url_map.iter_rules() if rule.rule.startswith("/_lck")]
    assert client.get(BALANCE).status_code == 404
    assert client.post("/_lck/reset").status_code in (403, 404)


def test_an_ingress_has_none(scratch_url: str, tmp_path: Path) -> None:
    settings = settings_for(scratch_url, tmp_path, LEDGER_CONFORMANCE="1", REDIS_URL="unix:///nowhere/redis.sock")
    made = create_app(settings, role="ingress")
    assert made.test_client().get(BALANCE).status_code == 404


def test_the_server_is_asked_for_its_name_before_it_is_emptied(app: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(conformance, "_NAME", text("SELECT 'ledgerwire'"))
    with app.test_request_context("/_lck/reset", method="POST"), pytest.raises(Forbidden):
        conformance.reset()


def test_more_connections_may_be_open_than_requests_come_at_once(scratch_url: str, tmp_path: Path) -> None:
    made = _app(scratch_url, tmp_path)
    pool = made.extensions[EXTENSION].database.engine.pool
    assert isinstance(pool, QueuePool)
    assert pool.size() > 500
    assert from_environment({"DATABASE_URL": scratch_url}).conformance is False


# The checks have teeth -------------------------------------------------------------------------------------------


def _forgets_keys(patch: pytest.MonkeyPatch) -> None:
    real = ledger.try_post

    def post(where: Any, work: Any, now: Any) -> Any:
        return real(where, [replace(piece, key=f"{piece.key}{uuid4()}") for piece in work], now)

    patch.setattr(ledger, "try_post", post)


def _knows_two_states(patch: pytest.MonkeyPatch) -> None:
    """A key that was seen is "done", whatever became of it."""
    real, seen = ledger.try_post, set[str]()

    def post(where: Any, work: Any, now: Any) -> Any:
        outcome = real(where, work, now)
        again = work[0].key in seen
        seen.add(work[0].key)
        return replace(outcome, status="duplicate") if again and outcome.status == "refused" else outcome

    patch.setattr(ledger, "try_post", post)


def _says_applied_and_is_not(patch: pytest.MonkeyPatch) -> None:
    real, count = ledger.try_post, iter(range(10**9))

    def post(where: Any, work: Any, now: Any) -> Any:
        if next(count) % 10 == 9:
            return ledger.Outcome(status="applied")
        return real(where, work, now)

    patch.setattr(ledger, "try_post", post)


def _guards_nobody(patch: pytest.MonkeyPatch) -> None:
    real = ledger.try_post

    def post(where: Any, work: Any, now: Any) -> Any:
        return real(where, [replace(piece, overdraft=True) for piece in work], now)

    patch.setattr(ledger, "try_post", post)


def _reads_a_wrong_account(patch: pytest.MonkeyPatch) -> None:
    real, count = conformance._leg, iter(range(10**9))

    def read(given: Any) -> Any:
        found = real(given)
        astray = found.amount > 0 and next(count) % 20 == 19
        return replace(found, account=replace(found.account, owner="lck:elsewhere")) if astray else found

    patch.setattr(conformance, "_leg", read)


def _takes_every_currency_for_dollars(patch: pytest.MonkeyPatch) -> None:
    real = conformance._leg
    patch.setattr(conformance, "_leg", lambda given: real({**given, "currency": "USD"}))


def _remembers_balances(patch: pytest.MonkeyPatch) -> None:
    real, kept = ledger.balance, dict[Any, Any]()
    patch.setattr(ledger, "balance", lambda where, account: kept.setdefault(account, real(where, account)))

    def fund_is_seen(where: Any, work: Any, now: Any) -> Any:
        outcome = post(where, work, now)
        for one in work[0].accounts():
            kept.setdefault(one, real(where, one))
        return outcome

    post = ledger.try_post
    patch.setattr(ledger, "try_post", fund_is_seen)


def _lists_newest_first(patch: pytest.MonkeyPatch) -> None:
    real = conformance._entries
    patch.setattr(conformance, "_entries", lambda where: real(where)[::-1])


def _loses_a_leg(patch: pytest.MonkeyPatch) -> None:
    real = conformance._entries
    patch.setattr(conformance, "_entries", lambda where: real(where)[:-1])


def _counts_nothing(patch: pytest.MonkeyPatch) -> None:
    real = conformance._entries
    patch.setattr(conformance, "_entries", lambda where: [{**entry, "accountSequence": 1} for entry in real(where)])


def _hides_what_was_undone(patch: pytest.MonkeyPatch) -> None:
    real = conformance._entries

    def entries(where: Any) -> Any:
        found = real(where)
        return found[:-4] if len(found) == 6 else found

    patch.setattr(conformance, "_entries", entries)


def _computes_in_floats(patch: pytest.MonkeyPatch) -> None:
    real, owed = conformance._amount, [0.0]

    def amount(value: Any) -> int:
        # Every leg loses what a binary fraction cannot say; now and then that is a whole unit.
        owed[0] += 0.05
        return int(real(value) * 1.04 - owed[0] % 1) or 1

    patch.setattr(conformance, "_amount", amount)


@pytest.mark.parametrize(
    ("check", "defect"),
    [
        (kits.inv_01_transactions_balance, _loses_a_leg),
        (kits.inv_02_the_journal_only_grows, _lists_newest_first),
        (kits.inv_04_a_duplicate_does_nothing, _forgets_keys),
        (kits.inv_05_concurrent_duplicates_are_one, _forgets_keys),
        (kits.inv_06_a_hot_account_loses_nothing, _says_applied_and_is_not),
        (kits.inv_07_value_is_conserved, _reads_a_wrong_account),
        (kits.inv_08_balances_are_what_the_journal_says, _remembers_balances),
        (kits.inv_09_nobody_overdraws_in_a_drain, _guards_nobody),
        (kits.inv_11_currencies_do_not_mix, _takes_every_currency_for_dollars),
        (kits.inv_12_a_reversal_compensates, _hides_what_was_undone),
        (kits.inv_13_state_rebuilds_from_the_journal, _remembers_balances),
        (kits.inv_14_sequences_rise_by_one, _counts_nothing),
        (kits.inv_15_a_duplicate_of_a_refused_one_is_not_applied, _knows_two_states),
    ],
    ids=lambda given: given.__name__,
)
def test_a_planted_defect_fails_its_check(
    kit: Kit,
    check: Callable[[Kit], None],
    defect: Callable[[pytest.MonkeyPatch], None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    defect(monkeypatch)
    with pytest.raises(Broken) as caught:
        check(kit)
    # It is the promise that failed, not the request.
    assert "answered" not in str(caught.value)


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE ledger_entries SET effective_at = effective_at + interval '1 second' WHERE sequence = 3",
        "UPDATE ledger_transfers SET kind = 'other' WHERE position = (SELECT max(position) FROM ledger_transfers)",
        "UPDATE ledger_chain SET hash = sha256(hash) WHERE position = 12",
    ],
)
def test_a_changed_row_fails_the_check_of_the_chain(
    kit: Kit, app: Flask, change: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = chain.seal_all

    def seal_and_change(connection: Any) -> int:
        sealed = real(connection)
        table = change.split()[1]
        connection.execute(text(f"ALTER TABLE {table} DISABLE TRIGGER USER"))
        changed: Any = connection.execute(text(change))
        assert changed.rowcount
        connection.execute(text(f"ALTER TABLE {table} ENABLE TRIGGER USER"))
        return sealed

    monkeypatch.setattr(chain, "seal_all", seal_and_change)
    with pytest.raises(Broken, match=r"the hash of entry|does not name the one before"):
        kits.inv_03_the_hash_chain_is_intact(kit)
