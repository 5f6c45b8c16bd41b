"""Payment pages, made and closed over HTTP at simulated gateways: once, for what is open, or with a clear word."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError

from connectors import registry
from core.errors import Conflict, MalformedPayload
from core.invoicing import payment_links as links
from tests.builders import Clockwork, Json, Shop, open_shop, payment, worker
from workers import payment_links, sweep
from workers.simulators.api import Answer
from workers.simulators.server import Server
from workers.simulators.till import Till
from workers.transport import Limits, Transport

SECRETS = {"razorpay": {"key_id": "rzp", "key_secret": "s"}, "stripe": {"api_key": "sk"}}


@dataclass(slots=True)
class Gateway:
    """A till over HTTP that can be told to fail."""

    till: Till
    faults: list[int] = field(default_factory=list)
    # What happens at the gateway before the answer is lost.
    lost: bool = False
    asked: list[tuple[str, str]] = field(default_factory=list)
    then: Callable[[], None] | None = None

    @property
    def slug(self) -> str:
        return self.till.slug

    def answer(self, method: str, target: str, headers: dict[str, str], body: bytes) -> Answer:
        self.asked.append((method, target.partition("?")[0]))
        if self.faults and not self.lost:
            return Answer.error(self.faults.pop(0), "a failure that was asked for")
        said = self.till.answer(method, target, headers, body)
        if self.then is not None:
            self.then()
        return Answer.error(self.faults.pop(0), "lost") if self.faults else said

    def links(self) -> list[tuple[str, int, str]]:
        return sorted((link["reference"], link["amount"], link["status"]) for link in self.till.all())


@dataclass(frozen=True, slots=True)
class Scene:
    """A shop with a gateway, an invoice of 100 rupees, and the worker that asks the gateway."""

    shop: Shop
    gateway: Gateway
    context: Clockwork
    invoice: Json

    @property
    def id(self) -> UUID:
        return UUID(str(self.invoice["id"]))

    def want(self) -> UUID:
        with self.shop.database.session() as session:
            return links.want(session, self.id, self.shop.connection_id, self.context.now())

    def rows(self) -> list[Json]:
        return self.shop.rows(
            "SELECT id, state, ordinal, amount, url, provider_id, error, attempts FROM payment_links "
            "WHERE invoice_id = :id ORDER BY ordinal",
            id=self.id,
        )

    def work(self) -> int:
        done = 0
        while payment_links.drain(self.context):
            done += 1
        return done

    def pay(self, minor: int, identity: str = "pmt_1") -> None:
        """Somebody pays by another way."""
        other = open_shop(self.context, seller=self.shop.seller)
        other.hear(payment(invoice_number=self.invoice["number"], amount_minor=minor, id=identity))


@pytest.fixture(scope="module")
def base(file_database_url: str) -> Iterator[Clockwork]:
    with worker(file_database_url) as made:
        yield made


@pytest.fixture(params=["razorpay", "stripe"])
def scene(base: Clockwork, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Scene]:
    slug: str = request.param
    with base.database.connect() as connection:
        connection.execute(
            text("UPDATE payment_links SET state = 'closed' WHERE state IN ('wanted', 'unwanted', 'open')")
        )
    # The till's own clock is the real one, and so is that of what it makes.
    base.moment[0] = datetime.now(UTC)
    shop = open_shop(base, slug, external_id=None, secrets=SECRETS[slug])
    till = Till(slug=slug, folder=tmp_path, page_url="http://127.0.0.1/pay", webhook_url="http://127.0.0.1/hook")
    gateway = Gateway(till)
    transport = Transport(allow_local=True, limits=Limits(attempts=1, failures=1000), sleep=lambda _: None)
    with Server(gateway) as server:
        with base.database.connect() as connection:
            connection.execute(
                text(
                    "UPDATE connections SET settings = jsonb_build_object('api_base', CAST(:base AS text)) "
                    "WHERE id = :id"
                ),
                {"base": server.address(slug), "id": shop.connection_id},
            )
        yield Scene(shop, gateway, replace(base, transport=transport), shop.invoice(10_000))
    transport.close()


def test_a_page_is_made_for_what_is_open(scene: Scene) -> None:
    link_id = scene.want()
    assert sweep.due(scene.context)["links"]
    assert scene.work() == 1
    (row,) = scene.rows()
    assert (row["id"], row["state"], row["amount"]) == (link_id, "open", 10_000)
    assert row["url"] == f"http://127.0.0.1/pay/{row['provider_id']}"
    assert scene.gateway.links() == [(scene.invoice["number"], 10_000, "open")]
    (made,) = scene.gateway.till.all()
    assert made["number"] == scene.invoice["number"]
    assert made["return_url"].startswith("http://127.0.0.1:5000/i/")
    assert not sweep.due(scene.context)["links"]


def test_asking_again_finds_the_same_page(scene: Scene) -> None:
    first = scene.want()
    assert scene.want() == first
    scene.work()
    assert scene.want() == first
    assert (scene.work(), len(scene.gateway.links())) == (0, 1)


def test_what_is_paid_at_the_page_names_the_invoice(scene: Scene) -> None:
    scene.want()
    scene.work()
    (made,) = scene.gateway.till.all()
    built = scene.gateway.till.paid(made["id"], secret=scene.shop.secret, external_id=None)
    scene.shop.hear(built.body)
    assert scene.shop.one("SELECT status, amount_due FROM invoices WHERE id = :id", id=scene.id) == {
        "status": "paid",
        "amount_due": 0,
    }
    # The page was paid, so there is nothing to close at the gateway.
    scene.work()
    assert scene.rows()[0]["state"] == "closed"
    assert scene.gateway.links()[0][2] == "paid"


def test_a_page_for_what_is_not_open_any_more_is_closed_and_another_made(scene: Scene) -> None:
    scene.want()
    scene.work()
    scene.pay(4_000)
    assert sweep.due(scene.context)["links"]
    scene.work()
    assert [row["state"] for row in scene.rows()] == ["closed"]
    scene.want()
    scene.work()
    number = scene.invoice["number"]
    assert scene.gateway.links() == [(number, 10_000, "closed"), (f"{number}/2", 6_000, "open")]
    scene.pay(6_000, "pmt_2")
    scene.work()
    assert scene.gateway.links()[1][2] == "closed"
    with pytest.raises(Conflict):
        scene.want()


def test_a_gateway_that_is_down_is_asked_again_and_then_the_seller_hears_of_it(scene: Scene) -> None:
    scene.gateway.faults = [503] * links.MAX_TRIES
    scene.want()
    for _ in range(links.MAX_TRIES):
        assert scene.work() == 1
        scene.context.wait(60)
    (row,) = scene.rows()
    assert (row["state"], "503" in row["error"]) == ("failed", True)
    notice = scene.shop.one("SELECT kind, subject_id FROM notifications WHERE user_id = :user AND cleared_at IS NULL")
    assert notice == {"kind": "payment_link.failed", "subject_id": scene.id}
    # The customer tries later, and it works: the trouble is over.
    scene.want()
    scene.work()
    assert [row["state"] for row in scene.rows()] == ["failed", "open"]
    assert scene.shop.rows("SELECT id FROM notifications WHERE user_id = :user AND cleared_at IS NULL") == []


def test_it_comes_back_while_the_customer_waits(scene: Scene) -> None:
    scene.gateway.faults = [503]
    scene.want()
    scene.work()
    assert scene.rows()[0]["state"] == "wanted"
    # The customer sees that it takes longer, and nobody asks before the pause is over.
    assert scene.work() == 0
    scene.context.wait(10)
    scene.work()
    assert scene.rows()[0]["state"] == "open"


def test_an_answer_that_was_lost_does_not_make_a_second_page(scene: Scene) -> None:
    scene.gateway.faults, scene.gateway.lost = [500], True
    scene.want()
    scene.work()
    assert scene.rows()[0]["state"] == "wanted"
    scene.context.wait(10)
    scene.work()
    assert [row["state"] for row in scene.rows()] == ["open"]
    assert len(scene.gateway.links()) == 1


def test_keys_that_are_not_taken_are_told_at_once(scene: Scene) -> None:
    scene.gateway.faults = [401, 401]
    scene.want()
    scene.work()
    (row,) = scene.rows()
    assert (row["state"], row["attempts"]) == ("failed", 1)


def test_a_page_that_is_not_wanted_by_the_time_it_is_made_is_closed(scene: Scene) -> None:
    first = scene.want()

    def change() -> None:
        scene.gateway.then = None
        scene.pay(4_000)
        assert scene.want() != first

    scene.gateway.then = change
    scene.work()
    number = scene.invoice["number"]
    assert scene.gateway.links() == [(number, 10_000, "closed"), (f"{number}/2", 6_000, "open")]
    assert [row["state"] for row in scene.rows()] == ["closed", "open"]


def test_two_workers_make_one_page(scene: Scene) -> None:
    scene.want()
    at_once = threading.Barrier(4)
    found: list[int] = []

    def run() -> None:
        at_once.wait(10)
        found.append(payment_links.drain(scene.context))

    threads = [threading.Thread(target=run) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert (sum(found), len(scene.gateway.links())) == (1, 1)


def test_the_database_refuses_two_ways_to_pay_the_same_at_one_gateway(scene: Scene) -> None:
    scene.want()
    with scene.shop.database.connect() as connection, pytest.raises(IntegrityError, match="payment_links_active"):
        connection.execute(
            text(
                "INSERT INTO payment_links (id, invoice_id, connection_id, ordinal, amount, currency, due_at, "
                "created_at, updated_at) SELECT gen_random_uuid(), invoice_id, connection_id, 9, amount, currency, "
                "due_at, created_at, updated_at FROM payment_links WHERE invoice_id = :id"
            ),
            {"id": scene.id},
        )


def test_only_connections_that_can_make_pages_are_offered(scene: Scene) -> None:
    able = {slug: registry.get(slug).payment_links.needs for slug in SECRETS}  # type: ignore[union-attr]

    def offered() -> list[str]:
        with scene.shop.database.session() as session:
            return [each.connector for each in links.gateways(session, scene.shop.seller.id, able)]

    assert offered() == [scene.shop.connector]
    with scene.shop.database.connect() as connection:
        connection.execute(
            text("UPDATE connections SET paused_at = now() WHERE id = :id"), {"id": scene.shop.connection_id}
        )
    assert offered() == []
    # Keys are what a page is made with: a connection that only takes webhooks makes none.
    other = open_shop(scene.context, scene.shop.connector, secrets={})
    with scene.shop.database.session() as session:
        assert links.gateways(session, other.seller.id, able) == []


@pytest.mark.parametrize(
    ("url", "local", "good"),
    [
        ("https://rzp.io/i/x", False, True),
        ("http://127.0.0.1:5000/pay", True, True),
        ("http://rzp.io/i/x", False, False),
        ("javascript:alert(1)", True, False),
        ("data:text/html,x", True, False),
        ("https://user@rzp.io/", False, False),
        ("https:///x", False, False),
        ("https://[", False, False),
        ("https://rzp.io/\nSet-Cookie: a", False, False),
        ("https://rzp.io/" + "x" * 2000, False, False),
    ],
)
def test_a_customer_is_sent_to_an_https_address_and_nowhere_else(url: str, local: bool, good: bool) -> None:
    def check() -> Any:
        payment_links.check_address(url, allow_local=local)

    if good:
        check()
    else:
        with pytest.raises(MalformedPayload):
            check()
