"""Somebody is always at the bell, and what nobody rang for is found by the clock."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import redis
from sqlalchemy import text
from sqlalchemy.exc import OperationalError

from core.syncing import schedule
from tests.builders import Clockwork, Shop, delivery_of, make_settings, open_shop, payment, transaction, until, worker
from workers import normalize, sweep, watch
from workers.doorbell import Doorbell
from workers.watch import Watch


@pytest.fixture
def context(database_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Clockwork]:
    monkeypatch.setattr(watch, "_WAIT_SECONDS", 0.05)
    with worker(database_url) as parts:
        yield parts


@contextmanager
def watching(context: Clockwork) -> Iterator[Watch]:
    made = Watch(context)
    made.start()
    try:
        yield made
    finally:
        made.stop()
    assert not made._thread.is_alive()


def payments(shop: Shop) -> int:
    return len(shop.rows("SELECT 1 FROM payments WHERE user_id = :user"))


def test_events_are_worked_off_though_nobody_rings(context: Clockwork) -> None:
    shop = open_shop(context)
    shop.store(shop.delivery(payment(id="before"), event_id="1"))
    with watching(context):
        until(lambda: payments(shop) == 1)
        shop.store(shop.delivery(payment(id="after"), event_id="2"))
        until(lambda: payments(shop) == 2)
    assert "on" in context.bell.signs


def test_a_ring_ends_the_waiting(context: Clockwork, redis_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    # Longer than `until` has patience: only a ring brings the second event in.
    monkeypatch.setattr(watch, "_WAIT_SECONDS", 30.0)
    shop = open_shop(context)
    bell = Doorbell(make_settings("postgresql://unused/unused", redis_url))
    bell._waiting = redis.Redis.from_url(redis_url)
    object.__setattr__(context, "doorbell", bell)
    shop.store(shop.delivery(payment(id="p1"), event_id="1"))
    with watching(context) as made:
        until(lambda: payments(shop) == 1)
        shop.store(shop.delivery(payment(id="p2"), event_id="2"))
        assert bell.ring("normalize")
        until(lambda: payments(shop) == 2)
        made._ending.set()
        bell.ring("normalize")
    for client in (bell._ringing, bell._waiting):
        client.close()


@pytest.mark.parametrize(
    "error", [OperationalError("planted", None, Exception("gone")), RuntimeError("planted")], ids=["database", "bug"]
)
def test_the_watch_goes_on_after_an_error(
    context: Clockwork, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    shop = open_shop(context)
    work_off = normalize.work_off
    failures = [error, error]

    def fail_first(given: Clockwork, *, batches: int) -> int:
        if failures:
            raise failures.pop()
        return work_off(given, batches=batches)

    monkeypatch.setattr(normalize, "work_off", fail_first)
    shop.store(shop.delivery(payment(), event_id="1"))
    with watching(context):
        until(lambda: payments(shop) == 1)


def test_the_watch_goes_on_when_its_connections_are_cut(context: Clockwork) -> None:
    shop = open_shop(context)
    with watching(context):
        with context.database.connect() as connection:
            connection.execute(
                text(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                    "WHERE datname = current_database() AND pid <> pg_backend_pid()"
                )
            )
        shop.store(shop.delivery(payment(), event_id="1"))
        until(lambda: payments(shop) == 1)


def test_who_is_told_to_stop_finishes_the_batch_in_hand(context: Clockwork, monkeypatch: pytest.MonkeyPatch) -> None:
    shop = open_shop(context)
    apply, begun, go_on = normalize._apply, threading.Event(), threading.Event()

    def slow(*given: object) -> None:
        begun.set()
        assert go_on.wait(10)
        apply(*given)  # type: ignore[arg-type]

    monkeypatch.setattr(normalize, "_apply", slow)
    shop.store(shop.delivery(payment(), event_id="1"))
    with watching(context) as made:
        assert begun.wait(10)
        made._ending.set()
        go_on.set()
    assert payments(shop) == 1
    assert shop.rows("SELECT 1 FROM event_queue") == []


@contextmanager
def frozen_redis(folder: Path) -> Iterator[str]:
    """A server that accepts and never answers."""
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(folder / "frozen"))
        server.listen(16)
        yield f"unix://{folder / 'frozen'}"


@pytest.mark.parametrize("state", ["down", "frozen"])
def test_who_rings_never_waits_for_redis_and_never_fails(tmp_path: Path, state: str) -> None:
    with frozen_redis(tmp_path) as frozen:
        address = frozen if state == "frozen" else f"unix://{tmp_path / 'nobody'}"
        bell = Doorbell(make_settings("postgresql://unused/unused", address))
        assert bell.ring("normalize") is False
        assert bell.summon("normalize") is False
        assert bell.attended("normalize") is False
        bell.on_duty("normalize")
        bell.off_duty("normalize")
        for client in (bell._ringing, bell._waiting):
            client.close()


def test_who_waits_is_told_that_redis_is_gone(tmp_path: Path) -> None:
    bell = Doorbell(make_settings("postgresql://unused/unused", f"unix://{tmp_path / 'nobody'}"))
    with pytest.raises(redis.RedisError):
        bell.wait("normalize", 1)


def test_many_rings_are_one(redis_url: str) -> None:
    bell = Doorbell(make_settings("postgresql://unused/unused", redis_url))
    assert bell.ring("fetch") is False
    bell.on_duty("fetch")
    assert bell.ring("fetch") is True
    assert bell.wait("fetch", 1) is True
    assert bell._ringing.llen("lw:bell:fetch") == 0
    assert [bell.summon("fetch"), bell.summon("fetch")] == [True, False]
    for client in (bell._ringing, bell._waiting):
        client.close()


def test_the_sweep_finds_what_is_due_and_nobody_rang_for(context: Clockwork) -> None:
    shop = open_shop(context)
    with context.database.connect() as connection:
        connection.execute(text("DELETE FROM outbox"))
    bells = ["normalize", "fetch", "pull", "mail", "market", "relay", "reconcile", "links", "letters", "bulk"]
    bells.append("mirror")
    nothing = dict.fromkeys(bells, False)
    assert sweep.due(context) == nothing
    shop.store(shop.delivery(payment(), event_id="1"))
    assert sweep.due(context) == nothing | {"normalize": True}
    shop.work()
    # What the payment put into the ledger is to be sealed.
    assert sweep.due(context) == nothing | {"relay": True, "market": True}
    with context.database.connect() as connection:
        schedule.begin(connection, shop.connection_id, context.now())
    assert sweep.due(context) == nothing | {"relay": True, "market": True, "pull": True}


def test_the_sweep_routes_events_whose_connection_came_while_they_were_stored(context: Clockwork) -> None:
    shop = open_shop(context, "razorpay", external_id="acc_1")
    shop.store(delivery_of("standard_webhooks", json.dumps(payment()).encode(), event_id="1", external_id="acc_1"))
    assert sweep.adopt(context) == 0
    with context.database.connect() as connection:
        connection.execute(text("UPDATE connections SET connector = 'standard_webhooks'"))
    assert (sweep.adopt(context), sweep.adopt(context)) == (1, 0)
    shop.work()
    assert payments(shop) == 1


def test_the_sweep_brings_payments_and_bank_lines_to_the_invoice_that_came_unseen(context: Clockwork) -> None:
    shop = open_shop(context)
    paid, banked = shop.invoice(), shop.invoice()
    shop.hear(payment(invoice_number="INV-777"), transaction(narration="UPI INV-888"))
    # Named only now, as if both had been written at one instant.
    shop.name_invoice(paid, "INV-777")
    shop.name_invoice(banked, "INV-888")
    assert (sweep.match(context), sweep.match(context)) == (2, 0)
    assert shop.one("SELECT status FROM invoices WHERE id = :id", id=paid["id"])["status"] == "paid"
    assert shop.one("SELECT state FROM matches")["state"] == "proposed"
