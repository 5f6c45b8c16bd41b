"""Runs of many deliveries, and what a provider's demo customer and key are."""

from __future__ import annotations

import json
import stat
import threading
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from connectors import registry
from workers.simulators import runs
from workers.simulators.accounts import adopted, demo_account, is_asymmetric, signing_key
from workers.simulators.runs import Plan, percentile
from workers.simulators.sending import Built, build

NOW = datetime(2026, 11, 3, 9, 0, 0, tzinfo=UTC)
ASYMMETRIC = {"paypal", "plaid", "truelayer", "wise"}


class _Inbox(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = -1
    bodies: list[bytes]

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        known = body in self.bodies
        self.bodies.append(body)
        said = json.dumps({"status": "already_known" if known else "accepted", "delivery_id": "d"}).encode()
        self.send_response(503 if len(self.bodies) == 5 else 200)
        self.send_header("Content-Length", str(len(said)))
        self.end_headers()
        self.wfile.write(said)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def inbox() -> Iterator[tuple[str, list[bytes]]]:
    bodies: list[bytes] = []
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Inbox", (_Inbox,), {"bodies": bodies}))
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}/hook", bodies
    server.shutdown()
    server.server_close()
    thread.join(5)


def made(number: int) -> Built:
    return build(registry.get("razorpay"), "payment.captured", secret="s", at=NOW, message_id=f"msg_{number}")


def test_each_message_is_made_once_and_sent_as_often_as_planned(inbox: tuple[str, list[bytes]]) -> None:
    url, bodies = inbox
    built: list[int] = []

    def make(number: int) -> Built:
        built.append(number)
        return made(number)

    answers = runs.run(Plan(count=4, duplicates=2), url, make)
    assert built == [0, 1, 2, 3]
    assert bodies == [made(number).body for number in range(4) for _ in range(3)]
    assert Counter(one.status for one in answers.posted) == {200: 11, 503: 1}
    assert "Sent 12 in" in answers.summary()
    assert "200 x11, 503 x1; p50 " in answers.summary()


def test_a_rate_is_kept_and_an_order_shuffled(inbox: tuple[str, list[bytes]]) -> None:
    url, bodies = inbox
    plan = Plan(count=10, duplicates=1, rate_per_second=100, shuffle=True, seed="s")
    answers = runs.run(plan, url, made)
    # The last of 20 leaves 190 ms after the first.
    assert answers.seconds >= 0.19
    assert Counter(bodies) == dict.fromkeys((made(number).body for number in range(10)), 2)
    assert plan.order() == Plan(count=10, duplicates=1, shuffle=True, seed="s").order()
    assert plan.order() != sorted(plan.order())


def test_nobody_answering_is_counted_and_ends_nothing() -> None:
    answers = runs.run(Plan(count=2), "http://127.0.0.1:1/hook", made)
    assert answers.lost == {"ConnectionError": 2}
    assert "ConnectionError x2" in answers.summary()


def test_a_percentile_is_a_value_of_the_list() -> None:
    assert percentile([1.0, 2.0, 3.0, 4.0], 50) == 2.0
    assert percentile([1.0, 2.0, 3.0, 4.0], 99) == 4.0
    assert percentile([1.0], 1) == 1.0


@pytest.mark.parametrize("slug", list(registry.all()))
def test_a_demo_account_has_everything_that_a_connection_needs(slug: str) -> None:
    connector = registry.get(slug)
    account = demo_account(connector)
    held = {*account.secrets, *account.settings, "webhook_secret", *(["external_id"] if account.external_id else [])}
    missing = {each.name for each in connector.fields if each.required} - held - {"account_id", "user_id"}
    assert not missing


@pytest.mark.parametrize("slug", sorted(ASYMMETRIC & set(registry.all())))
def test_an_asymmetric_provider_keeps_one_key_that_only_its_owner_reads(slug: str, tmp_path: Path) -> None:
    connector = registry.get(slug)
    assert is_asymmetric(connector)
    with ThreadPoolExecutor(4) as pool:
        found = set(pool.map(lambda _: signing_key(connector, tmp_path), range(4)))
    assert found == {signing_key(connector, tmp_path)}
    folder = tmp_path / "simulator"
    assert [path.name for path in folder.iterdir()] == [slug]
    assert stat.S_IMODE((folder / slug).stat().st_mode) == 0o600
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700


def test_everybody_elses_secret_is_the_connections_own() -> None:
    assert {slug for slug, connector in registry.all().items() if is_asymmetric(connector)} <= ASYMMETRIC


def test_a_key_takes_the_name_by_which_a_connection_knows_it() -> None:
    paypal = registry.get("paypal")
    key = paypal.signature.new_secret()
    assert paypal.signature.receiving(adopted(paypal, key, "WH-MINE")) == "WH-MINE"
    plaid = registry.get("plaid")
    key = plaid.signature.new_secret()
    assert adopted(plaid, key, "client:secret") == key
