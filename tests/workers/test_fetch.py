"""Following a pointer to the provider's API: what comes of each answer, and of no answer."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Generator, Iterator, Sequence
from datetime import timedelta
from typing import Any, TypeVar

import pytest
from sqlalchemy import text
from sqlalchemy.exc import OperationalError

from connectors import samples
from connectors.base import Connector, Credentials, Request, Response
from core.database import Database
from core.errors import CredentialsRefused, MalformedPayload, Permanent, Transient
from core.events import BankTransaction, Record, TransactionStatus, Trust
from core.inbox import claim
from core.money import Money
from tests.builders import NOW, Clockwork, Json, ScriptedTransport, Shop, books, open_shop, worker
from tests.standing import empty
from workers import fetch, normalize
from workers.transport import Custody, Listener

T = TypeVar("T")
Answer = Sequence[Record] | Exception


@pytest.fixture(scope="module")
def installation(file_database_url: str) -> Iterator[Clockwork]:
    with worker(file_database_url, max_attempts="3") as parts:
        yield parts


@pytest.fixture
def shop(installation: Clockwork) -> Shop:
    empty(installation.database)
    installation.moment[0] = NOW
    return open_shop(installation, "basiq", secrets={"api_key": "a2V5"})


def line(object_id: str = "tx-1", **changes: Any) -> Record:
    told: dict[str, Any] = {
        "object_id": object_id,
        "version": 1,
        "account_id": "ba_1",
        "status": TransactionStatus.POSTED,
        "money": Money(1_000, "AUD"),
        "narration": "hello",
        "occurred_at": NOW,
    }
    return BankTransaction(**(told | changes))


def point(shop: Shop, *answers: Answer) -> None:
    """Deliver a pointer for each answer, and bring them to the queue of fetches."""
    said: Json = json.loads(samples.load("basiq", "transactions.updated"))
    for number, answer in enumerate(answers):
        event_id = f"event-{number}"
        shop.context.provider.answers[event_id] = answer
        shop.store(shop.delivery(said | {"eventId": event_id}, event_id=event_id))
    while normalize.drain(shop.context):
        pass


def queue(shop: Shop) -> list[tuple[str, int, float, str | None]]:
    """What waits: its state, attempts, the seconds until it is due, and why."""
    return [
        (row["state"], row["attempts"], (row["due_at"] - shop.context.now()).total_seconds(), row["error"])
        for row in shop.rows("SELECT state, attempts, due_at, error FROM event_queue ORDER BY event_id")
    ]


def seen(shop: Shop) -> list[str]:
    return [row["object_id"] for row in books(shop)["transactions"]]


def test_a_pointer_waits_among_the_fetches_and_then_brings_what_it_points_at(shop: Shop) -> None:
    point(shop, [line()])
    assert queue(shop) == [("fetch", 0, 0.0, None)]
    assert fetch.drain(shop.context) == 1
    assert (seen(shop), queue(shop)) == (["tx-1"], [])
    assert shop.one("SELECT trust FROM transactions") == {"trust": Trust.FETCHED}
    assert shop.one("SELECT outcome FROM event_results") == {"outcome": "processed"}
    assert fetch.drain(shop.context) == 0


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        pytest.param(Transient("the provider is busy"), ("fetch", 1, 5.0, "the provider is busy"), id="busy"),
        pytest.param(Transient("wait", 120.0), ("fetch", 1, 120.0, "wait"), id="told when to come again"),
        pytest.param(Transient("wait", 1.0), ("fetch", 1, 5.0, "wait"), id="told to come sooner than we would"),
        pytest.param(Transient("wait", 9e9), ("fetch", 1, 21_600.0, "wait"), id="told to come in centuries"),
        pytest.param(Permanent("no such user"), ("dead", 1, 5.0, "no such user"), id="permanent"),
        pytest.param(MalformedPayload("a.b", "is missing"), ("dead", 1, 5.0, "a.b: is missing"), id="malformed"),
        pytest.param(KeyError("x"), ("fetch", 1, 5.0, "connector bug: KeyError"), id="a plugin's bug"),
    ],
)
def test_a_fetch_that_fails_is_put_aside_and_the_next_one_is_done(
    shop: Shop, error: Exception, expected: tuple[str, int, float, str]
) -> None:
    point(shop, error, [line("tx-2")])
    while fetch.drain(shop.context):
        pass
    assert (queue(shop), seen(shop)) == ([expected], ["tx-2"])


def test_credentials_that_are_refused_are_told_once_and_cleared_by_the_next_fetch(shop: Shop) -> None:
    refused = CredentialsRefused("basiq does not accept the connection's credentials")
    point(shop, refused, refused)
    while fetch.drain(shop.context):
        pass
    assert [state for state, _, _, _ in queue(shop)] == ["dead", "dead"]
    (notice,) = shop.rows("SELECT kind, cleared_at FROM notifications WHERE user_id = :user")
    assert notice == {"kind": "connection.credentials", "cleared_at": None}
    shop.context.provider.answers["event-2"] = [line("tx-2")]
    shop.store(shop.delivery(json.loads(samples.load("basiq", "transactions.updated")) | {"eventId": "event-2"}))
    shop.work()
    assert shop.one("SELECT cleared_at IS NOT NULL AS over FROM notifications WHERE user_id = :user") == {"over": True}


def test_a_provider_that_stays_busy_is_given_up_after_the_last_attempt(shop: Shop) -> None:
    point(shop, Transient("busy"))
    waits = []
    while fetch.drain(shop.context):
        waits.append(queue(shop)[0])
        shop.context.wait(3600)
    assert [state for state, _, _, _ in waits] == ["fetch", "fetch", "dead"]
    assert [seconds for _, _, seconds, _ in waits[:2]] == [5.0, 20.0]


def test_a_connection_without_its_key_is_a_persons_business(shop: Shop) -> None:
    with shop.database.connect() as connection:
        connection.execute(text("UPDATE connection_secrets SET sealed = 'spoiled' WHERE name = 'api_key'"))
    point(shop, [line()])
    assert fetch.drain(shop.context) == 1
    ((state, attempts, _, error),) = queue(shop)
    assert (state, attempts) == ("fetch", 1)
    assert error is not None
    assert "spoiled" not in error


@pytest.mark.parametrize(
    "poison",
    [
        pytest.param(line(version=2**63), id="a version that no column holds"),
        pytest.param(line(narration="nul \x00"), id="text that no column holds"),
        pytest.param(object(), id="a plugin that yields no record"),
    ],
)
def test_what_the_books_cannot_hold_is_put_aside_and_the_next_one_is_done(shop: Shop, poison: Any) -> None:
    point(shop, [line(), poison], [line("tx-2")])
    while fetch.drain(shop.context):
        pass
    ((state, attempts, seconds, error),) = queue(shop)
    assert (state, attempts, seconds) == ("fetch", 1, 5.0)
    assert error
    # None of its records took effect: an event is done as a whole or not at all.
    assert seen(shop) == ["tx-2"]


def test_an_event_is_given_back_when_the_books_are_locked(shop: Shop) -> None:
    point(shop, [line()])
    hasty = beside(shop, shop.context.provider)
    name = shop.database.engine.url.database
    with shop.database.connect() as connection:
        # Holds for connections that are opened from now on: those of the hasty one.
        connection.exec_driver_sql(f"ALTER DATABASE {name} SET lock_timeout = '50ms'")
    with shop.database.engine.connect() as other, other.begin():
        other.execute(text("LOCK TABLE transactions IN ACCESS EXCLUSIVE MODE"))
        with pytest.raises(OperationalError):
            fetch.drain(hasty)
        other.exec_driver_sql(f"ALTER DATABASE {name} RESET lock_timeout")
    hasty.database.dispose()
    assert queue(shop) == [("fetch", 1, 0.0, None)]
    assert fetch.drain(shop.context) == 1
    assert (queue(shop), seen(shop)) == ([], ["tx-1"])


def beside(shop: Shop, transport: ScriptedTransport) -> Clockwork:
    """Another worker, with connections and a provider of its own."""
    return Clockwork(
        settings=shop.context.settings,
        database=Database(shop.context.settings.sqlalchemy_url),
        doorbell=shop.context.doorbell,
        transport=transport,
        ring=shop.context.ring,
    )


class SlowTransport(ScriptedTransport):
    """A provider that answers only after something else has happened."""

    def __init__(self, meanwhile: Callable[[], None]) -> None:
        super().__init__()
        self.meanwhile = meanwhile

    def run(
        self,
        connector: Connector,
        credentials: Credentials,
        talk: Callable[[Credentials], Generator[Request, Response, T]],
        *,
        custody: Custody | None = None,
        listener: Listener | None = None,
    ) -> T:
        answer = super().run(connector, credentials, talk)
        self.meanwhile()
        return answer


def test_who_waited_for_the_provider_longer_than_the_lease_writes_nothing(shop: Shop) -> None:
    def somebody_else_takes_over() -> None:
        with shop.database.connect() as connection:
            later = NOW + timedelta(seconds=61)
            (taken,) = claim.claim(connection, queue="fetch", limit=1, lease_seconds=60, now=later)
            assert taken.attempts == 2

    point(shop, [line()])
    slow = SlowTransport(somebody_else_takes_over)
    slow.answers = shop.context.provider.answers
    late = beside(shop, slow)
    assert fetch.drain(late) == 1
    late.database.dispose()
    assert seen(shop) == []
    assert shop.rows("SELECT 1 FROM event_results") == []
    # The successor still holds it, whatever the late one found.
    assert [(state, attempts) for state, attempts, _, _ in queue(shop)] == [("fetch", 2)]


def test_several_fetchers_share_the_queue_and_follow_each_pointer_once(shop: Shop) -> None:
    point(shop, *([line(f"tx-{number}")] for number in range(20)))
    shop.context.provider.asked.clear()

    def work() -> None:
        while fetch.drain(shop.context):
            pass

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert sorted(shop.context.provider.asked) == sorted(f"event-{number}" for number in range(20))
    assert (len(seen(shop)), queue(shop)) == (20, [])
