"""The queue of record: each event takes effect once, whoever works, dies, or fails."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from uuid import UUID

import pytest
from sqlalchemy import text

from connectors import registry
from core.ids import new_id
from core.inbox import claim, replay, store
from core.inbox.claim import Claimed, Finished
from tests.builders import NOW, Clockwork, Shop, books, check_sums, delivery_of, open_shop, payment, refund, worker
from tests.standing import empty
from workers import normalize
from workers.replay import preview

LEASE_SECONDS = 60.0


@pytest.fixture(scope="module")
def installation(file_database_url: str) -> Iterator[Clockwork]:
    with worker(file_database_url) as parts:
        yield parts


@pytest.fixture
def context(installation: Clockwork) -> Clockwork:
    empty(installation.database)
    installation.moment[0] = NOW
    return installation


@pytest.fixture
def shop(context: Clockwork) -> Shop:
    return open_shop(context)


def take(shop: Shop, limit: int = 10, after: float = 0.0) -> list[Claimed]:
    with shop.database.connect() as connection:
        return claim.claim(
            connection,
            queue="ready",
            limit=limit,
            lease_seconds=LEASE_SECONDS,
            now=NOW + timedelta(seconds=after),
        )


def queued(shop: Shop, count: int = 1) -> list[UUID]:
    """So many payments in the queue; their events' ids in order."""
    return sorted(
        shop.store(*(shop.delivery(payment(id=f"p{n}", amount_minor=n + 1), event_id=f"e{n}") for n in range(count)))
    )


@pytest.mark.parametrize(
    ("after", "count"),
    [
        pytest.param(LEASE_SECONDS - 0.001, 0, id="just below the lease"),
        pytest.param(LEASE_SECONDS, 1, id="at its end"),
        pytest.param(LEASE_SECONDS + 1, 1, id="after it"),
    ],
)
def test_a_claimed_event_is_somebody_elses_when_its_lease_ends(shop: Shop, after: float, count: int) -> None:
    queued(shop)
    (first,) = take(shop)
    again = take(shop, after=after)
    assert [one.attempts for one in again] == [2] * count
    with shop.database.connect() as connection:
        assert claim.hold(connection, [first]) == (set() if count else {first.event_id})


def test_who_lost_the_lease_writes_nothing_and_the_successor_writes_once(shop: Shop) -> None:
    queued(shop, 2)
    late = take(shop)
    shop.context.wait(LEASE_SECONDS * 10)
    assert normalize.drain(shop.context) == 2
    done = books(shop)
    normalize.process(shop.context, late)
    assert books(shop) == done
    assert shop.one("SELECT count(*) AS n, min(attempts) AS least FROM event_results") == {"n": 2, "least": 2}


def test_who_lost_the_lease_writes_nothing_while_the_successor_is_still_at_work(shop: Shop) -> None:
    queued(shop, 2)
    late = take(shop)
    current = take(shop, after=LEASE_SECONDS)
    normalize.process(shop.context, late)
    assert shop.rows("SELECT id FROM payments") == []
    normalize.process(shop.context, current)
    assert len(shop.rows("SELECT id FROM payments")) == 2


def test_who_lost_the_lease_neither_fails_nor_releases_the_event(shop: Shop) -> None:
    queued(shop)
    (late,) = take(shop)
    take(shop, after=LEASE_SECONDS)
    before = shop.one("SELECT * FROM event_queue")
    with shop.database.connect() as connection:
        assert claim.fail(connection, late, error="late", now=NOW, max_attempts=1) == "lost"
        claim.release(connection, [late], NOW)
    assert shop.one("SELECT * FROM event_queue") == before


@pytest.mark.parametrize("way", ["a replay", "a pointer"])
def test_a_count_that_begins_anew_does_not_let_the_late_one_back_in(shop: Shop, way: str) -> None:
    queued(shop)
    (late,) = take(shop)
    (current,) = take(shop, after=LEASE_SECONDS)
    now = NOW + timedelta(seconds=2 * LEASE_SECONDS)
    with shop.database.connect() as connection:
        if way == "a pointer":
            claim.put_off_to_fetch(connection, [current], now)
        else:
            claim.fail(connection, current, error="no", now=now, max_attempts=1, permanent=True)
            assert replay.requeue(connection, [current.event_id], now) == 1
    with shop.database.connect() as connection:
        (newest,) = claim.claim(
            connection,
            queue="fetch" if way == "a pointer" else "ready",
            limit=1,
            lease_seconds=LEASE_SECONDS,
            now=now,
        )
    with shop.database.connect() as connection:
        assert claim.hold(connection, [late]) == set()
        assert claim.fail(connection, late, error="late", now=now, max_attempts=1) == "lost"
        assert claim.hold(connection, [newest]) == {newest.event_id}


def test_eight_workers_drain_the_queue_and_each_event_is_done_once(shop: Shop) -> None:
    ids = queued(shop, 300)
    taken: list[UUID] = []
    lock = threading.Lock()

    def drain(_: int) -> None:
        while batch := take(shop, limit=7):
            normalize.process(shop.context, batch)
            with lock:
                taken.extend(one.event_id for one in batch)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(drain, range(8)))
    assert sorted(taken) == ids
    assert shop.one("SELECT count(*) AS n, max(attempts) AS most FROM event_results") == {"n": 300, "most": 1}
    assert shop.one("SELECT count(*) AS n, sum(amount)::int AS total FROM payments") == {"n": 300, "total": 45_150}
    assert shop.rows("SELECT * FROM event_queue") == []


def test_a_claim_takes_no_more_than_its_limit_whatever_the_planner_thinks(shop: Shop) -> None:
    queued(shop, 9)
    with shop.database.connect() as connection:
        for method in ("hashjoin", "mergejoin", "material", "indexscan", "bitmapscan"):
            connection.execute(text(f"SET LOCAL enable_{method} = off"))
        assert len(claim.claim(connection, queue="ready", limit=2, lease_seconds=1, now=NOW)) == 2
    assert len(shop.rows("SELECT 1 FROM event_queue WHERE attempts > 0")) == 2


@pytest.mark.parametrize(
    ("attempts", "asked", "seconds"),
    [
        pytest.param(1, None, 5, id="the first"),
        pytest.param(2, None, 20, id="the second"),
        pytest.param(6, None, 5_120, id="the last below the longest"),
        pytest.param(7, None, 20_480, id="near the longest"),
        pytest.param(8, None, 21_600, id="the longest"),
        pytest.param(10_000, None, 21_600, id="no overflow"),
        pytest.param(1, 90, 90, id="the provider asks for more"),
        pytest.param(3, 1, 80, id="the provider asks for less"),
        pytest.param(1, 10**9, 21_600, id="the provider asks for too much"),
    ],
)
def test_the_wait_after_a_failure(attempts: int, asked: float | None, seconds: float) -> None:
    assert claim.delay_seconds(attempts, asked) == seconds


def test_an_event_that_fails_waits_longer_each_time_and_dies_after_the_last_attempt(shop: Shop) -> None:
    queued(shop)
    now, ends, waits = NOW, [], []
    for _ in range(3):
        with shop.database.connect() as connection:
            (event,) = claim.claim(connection, queue="ready", limit=1, lease_seconds=LEASE_SECONDS, now=now)
            ends.append(claim.fail(connection, event, error="bad\x00luck", now=now, max_attempts=3))
        due = shop.one("SELECT due_at FROM event_queue")["due_at"]
        waits.append((due - now).total_seconds())
        now = due
    assert (ends, waits) == (["retry", "retry", "dead"], [5, 20, 80])
    assert shop.one("SELECT state, attempts, error FROM event_queue") == {
        "state": "dead",
        "attempts": 3,
        "error": "badluck",
    }
    assert take(shop, after=10**6) == []


def test_what_no_retry_can_mend_is_dead_at_once_and_lives_again_by_a_replay(shop: Shop) -> None:
    (event_id,) = shop.store(shop.delivery(payment(amount_minor="ten"), event_id="e"))
    shop.work()
    dead = shop.one("SELECT state, attempts, error FROM event_queue")
    assert (dead["state"], dead["attempts"]) == ("dead", 1)
    assert "amount_minor" in dead["error"]
    with shop.database.connect() as connection:
        connection.execute(
            text(
                "UPDATE deliveries SET body = convert_to(replace(convert_from(body, 'UTF8'), '\"ten\"', '10'), 'UTF8')"
            )
        )
        assert replay.requeue(connection, [event_id], NOW) == 1
    shop.work()
    assert shop.one("SELECT amount FROM payments")["amount"] == 10


def test_an_event_that_the_books_cannot_hold_is_put_aside_and_the_others_take_effect(shop: Shop) -> None:
    with shop.database.connect() as connection:
        connection.exec_driver_sql("ALTER TABLE payments ADD CONSTRAINT planted CHECK (amount <> 4)")
    queued(shop, 9)
    shop.work()
    assert [row["amount"] for row in shop.rows("SELECT amount FROM payments ORDER BY amount")] == [
        1, 2, 3, 5, 6, 7, 8, 9,
    ]  # fmt: skip
    parked = shop.one("SELECT state, attempts, due_at, error FROM event_queue")
    assert (parked["state"], parked["attempts"], parked["due_at"]) == ("ready", 1, NOW + timedelta(seconds=5))
    assert "planted" in parked["error"]
    with shop.database.connect() as connection:
        connection.exec_driver_sql("ALTER TABLE payments DROP CONSTRAINT planted")
    shop.context.wait(5)
    shop.work()
    assert len(shop.rows("SELECT 1 FROM payments")) == 9
    assert shop.rows("SELECT 1 FROM event_queue") == []


def test_a_plugin_that_yields_no_record_spoils_its_own_event_and_no_other(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    readers = registry.get(shop.connector).events
    assert isinstance(readers, dict)
    monkeypatch.setitem(readers, "payment.pending", lambda _item: [object()])
    good = [shop.delivery(payment(id=f"p{n}")) for n in range(3)]
    shop.store(good[0], shop.delivery(payment("pending", id="odd")), *good[1:])
    shop.work()
    assert len(shop.rows("SELECT 1 FROM payments")) == 3
    parked = shop.one("SELECT state, attempts, due_at, error FROM event_queue")
    assert (parked["state"], parked["attempts"], parked["due_at"]) == ("ready", 1, NOW + timedelta(seconds=5))
    assert parked["error"] == "connector bug: AssertionError"


def test_a_released_event_is_due_at_once(shop: Shop) -> None:
    queued(shop)
    held = take(shop)
    assert take(shop, after=1) == []
    with shop.database.connect() as connection:
        claim.release(connection, held, NOW)
    assert [one.attempts for one in take(shop)] == [2]


def test_events_that_came_before_their_connection_are_worked_when_it_comes(context: Clockwork) -> None:
    shop = open_shop(context)
    stray = delivery_of("standard_webhooks", shop.delivery(payment()).body, event_id="stray", external_id="acct_1")
    other = delivery_of("standard_webhooks", stray.body, event_id="other", external_id="acct_2")
    shop.store(stray, other)
    shop.work()
    assert shop.rows("SELECT 1 FROM payments") == []
    with context.database.session() as session:
        assert claim.adopt_unrouted(session, "standard_webhooks", "acct_1", shop.connection_id, NOW) == 1
        assert claim.adopt_unrouted(session, "standard_webhooks", "acct_1", shop.connection_id, NOW) == 0
    shop.work()
    assert len(shop.rows("SELECT 1 FROM payments")) == 1
    assert shop.one("SELECT state, external_id FROM event_queue") == {"state": "unrouted", "external_id": "acct_2"}


def test_an_event_that_came_by_both_addresses_is_worked_once(context: Clockwork) -> None:
    shop = open_shop(context)
    body = shop.delivery(payment()).body
    shop.store(delivery_of("standard_webhooks", body, event_id="same", external_id="acct_1"))
    shop.store(shop.delivery(body, event_id="same"))
    with context.database.session() as session:
        assert claim.adopt_unrouted(session, "standard_webhooks", "acct_1", shop.connection_id, NOW) == 0
    shop.work()
    # And a repeat on either address is known by now.
    assert shop.store(shop.delivery(body, event_id="same")) == set()
    assert shop.one("SELECT count(*) AS n FROM event_results")["n"] == 1
    assert shop.rows("SELECT 1 FROM event_queue") == []


@pytest.mark.parametrize("length", [199, 200, 201, 255])
def test_an_event_id_of_any_length_is_known_again(shop: Shop, length: int) -> None:
    name = "é" * (length - 1)
    assert len(shop.store(shop.delivery(payment(), event_id=name + "a"))) == 1
    assert shop.store(shop.delivery(payment(), event_id=name + "a")) == set()
    assert len(shop.store(shop.delivery(payment(), event_id=name + "b"))) == 1


def test_an_event_repeated_within_one_batch_is_stored_once(shop: Shop) -> None:
    told = [shop.delivery(payment(), event_id="same") for _ in range(3)]
    assert len(shop.store(*told)) == 1
    assert shop.one("SELECT count(*) AS n FROM deliveries")["n"] == 3


def test_the_same_event_id_of_two_connections_is_two_events(context: Clockwork) -> None:
    one, two = open_shop(context), open_shop(context)
    assert len(one.store(one.delivery(payment(), event_id="same"), two.delivery(payment(), event_id="same"))) == 2


@pytest.mark.parametrize(
    ("rows", "kept"),
    [
        pytest.param(2, ["r0", "r1"], id="below"),
        pytest.param(3, ["r0", "r1", "r2"], id="at"),
        pytest.param(5, ["r2", "r3", "r4"], id="above"),
    ],
)
def test_the_quarantine_keeps_the_newest(shop: Shop, rows: int, kept: list[str]) -> None:
    for place in range(rows):
        refuse(shop, b"body", reason=f"r{place}", max_rows=3)
    assert [row["reason"] for row in shop.rows("SELECT reason FROM quarantine ORDER BY id")] == kept


@pytest.mark.parametrize(("size", "kept"), [(0, 0), (9, 9), (10, 10), (11, 10)])
def test_the_quarantine_cuts_what_is_long_and_keeps_its_length(shop: Shop, size: int, kept: int) -> None:
    refuse(shop, b"\x00" * size)
    assert shop.one("SELECT length(body) AS body, body_bytes FROM quarantine") == {"body": kept, "body_bytes": size}


def test_a_quarantine_of_no_rows_keeps_nothing(shop: Shop) -> None:
    refuse(shop, b"body", max_rows=0)
    assert shop.rows("SELECT 1 FROM quarantine") == []


def refuse(shop: Shop, body: bytes, *, reason: str = "no", max_rows: int = 3) -> None:
    with shop.database.connect() as connection:
        store.quarantine(
            connection,
            identity=new_id(),
            connector=shop.connector,
            connection_id=None,
            received_at=NOW,
            path="/",
            remote_addr="192.0.2.1",
            headers=[("X", "é")],
            body=body,
            reason=reason,
            max_rows=max_rows,
            max_body=10,
        )


def history(shop: Shop) -> list[UUID]:
    """Some life: an invoice paid in part, refunded in part. Returns every event's id."""
    number = shop.invoice()["number"]
    shop.hear(
        payment(id="p1", invoice_number=number, amount_minor=6_000, method="card"),
        payment("pending", 1, id="p2", invoice_number=number),
        refund(payment_id="p1", amount_minor=1_000),
    )
    return [row["id"] for row in shop.rows("SELECT id FROM events ORDER BY id")]


COUNTS = """
    SELECT (SELECT count(*) FROM outbox) AS outbox, (SELECT count(*) FROM event_effects) AS effects,
           (SELECT count(*) FROM object_keys) AS keys, (SELECT count(*) FROM allocations) AS allocations,
           (SELECT count(*) FROM event_queue) AS queue, (SELECT count(*) FROM event_results) AS results
"""


def test_replaying_the_whole_history_changes_nothing(shop: Shop) -> None:
    ids = history(shop)
    before = books(shop)
    counts = shop.one(COUNTS)
    found = preview(shop.database, ids, NOW)
    assert (found.changes, found.failures, found.fetches) == ([], [], 0)
    assert (books(shop), shop.one(COUNTS)) == (before, counts)
    with shop.database.connect() as connection:
        assert replay.requeue(connection, ids, NOW) == len(ids)
        assert replay.requeue(connection, ids, NOW) == 0
    shop.work()
    assert books(shop) == before
    assert shop.one(COUNTS)["results"] == counts["results"]
    check_sums(shop.database)


def test_a_preview_shows_exactly_the_field_that_is_wrong_and_mends_nothing(shop: Shop) -> None:
    ids = history(shop)
    with shop.database.connect() as connection:
        connection.execute(text("UPDATE payments SET method = NULL WHERE object_id = 'p1'"))
    wrong, counts = books(shop), shop.one(COUNTS)
    (change,) = preview(shop.database, ids, NOW).changes
    assert (change.kind, change.fields) == ("payment", {"method": (None, "card")})
    assert (books(shop), shop.one(COUNTS)) == (wrong, counts)


def test_a_replay_leaves_alone_what_is_being_worked_on(shop: Shop) -> None:
    (event_id,) = queued(shop)
    (held,) = take(shop)
    with shop.database.connect() as connection:
        assert replay.requeue(connection, [event_id], NOW) == 0
        claim.finish(connection, [Finished(claimed=held, outcome="processed", read_micros=1)])
    assert shop.rows("SELECT 1 FROM event_queue") == []
