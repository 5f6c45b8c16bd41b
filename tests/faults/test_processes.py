"""Single processes: two of a kind, one that dies in the middle, one that wakes up too late, one that must stop."""

from __future__ import annotations

import json
import os
import signal
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from random import Random

import psutil
import psycopg
import pytest
import requests

from config.embedded.server import is_running
from config.supervisor import GRACE_SECONDS
from tests.faults.checks import come_to_rest, heard_everything, nothing_lost, reference, same_books
from tests.faults.conftest import Seller
from tests.faults.installation import Installation, note, wait_for
from tests.faults.listener import Listener
from tests.faults.provider import Provider, Said
from tests.faults.test_outages import hears, trade_of
from workers.app import make_celery

pytestmark = pytest.mark.faults


def test_a_standby_relay_takes_over_without_gap_or_double(
    installation: Installation, seller: Seller, account: str, provider: Provider, seed: int
) -> None:
    trade = trade_of(seller, account, seed, 120)
    provider.pace = 30.0
    said = installation.folder / "standby.log"
    with (
        installation.beside("standby", "workers.relay") as standby,
        Listener(installation.url, seller.token(), seller.room) as listener,
    ):
        wait_for("a standby", lambda: "" if "standing by" in said.read_text() else said.read_text() or "no word")
        hears(listener)
        posting = provider.start(trade.deliveries(Random(seed)))
        wait_for("something to tell", lambda: "" if listener.last > 5 else listener.last)
        for _ in range(10):
            installation.kill("relay")
            installation.wait_well()
            if "relay is active" in said.read_text():
                break
        assert "relay is active" in said.read_text(), "the standby never took over"
        before = listener.last
        wait_for("the standby's own words", lambda: "" if listener.last > before else f"still at {before}")
        standby.kill()
        posting.shutdown()
        come_to_rest(installation, seller)
        nothing_lost(provider, trade.events)
        heard_everything(listener, seller)


def test_two_workers_at_once_do_each_event_once(
    installation: Installation, seller: Seller, account: str, provider: Provider, seed: int
) -> None:
    trade = trade_of(seller, account, seed, 200)
    done = threading.Event()

    def ring_far_too_often() -> None:
        celery = make_celery(installation.context.settings)
        while not done.wait(0.05):
            celery.send_task("ledgerwire.normalize", retry=False, expires=60)

    with installation.beside("second", "workers.serve"):
        ringing = threading.Thread(target=ring_far_too_often)
        ringing.start()
        try:
            provider.pace = 80.0
            provider.send(trade.deliveries(Random(seed)))
            come_to_rest(installation, seller)
        finally:
            done.set()
            ringing.join(10)
        nothing_lost(provider, trade.events)
    same_books(seller, reference(installation, trade, account))


_STALL = 4711


@contextmanager
def stalled(installation: Installation, table: str) -> Iterator[psycopg.Connection[tuple[object, ...]]]:
    """Whoever inserts into a table waits in the middle of its transaction until the connection given is closed."""
    with psycopg.connect(installation.database_url, autocommit=True) as owner:
        try:
            with psycopg.connect(installation.database_url, autocommit=True) as holder:
                holder.execute("SELECT pg_advisory_lock(%s)", [_STALL])
                owner.execute(
                    "CREATE FUNCTION stall() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "
                    f"PERFORM pg_advisory_xact_lock({_STALL}); RETURN NULL; END $$"
                )
                owner.execute(
                    f"CREATE TRIGGER stall BEFORE INSERT ON {table} FOR EACH STATEMENT EXECUTE FUNCTION stall()"
                )
                yield holder
        finally:
            owner.execute(f"DROP TRIGGER IF EXISTS stall ON {table}")
            owner.execute("DROP FUNCTION IF EXISTS stall")


def waiters(installation: Installation) -> int:
    """How many wait in the middle of their transaction."""
    with psycopg.connect(installation.database_url) as connection:
        row = connection.execute(
            "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND objid = %s AND NOT granted", [_STALL]
        ).fetchone()
    assert row is not None
    return int(row[0])


def test_a_worker_killed_in_the_middle_of_a_batch_leaves_no_half(
    installation: Installation, seller: Seller, account: str, provider: Provider, seed: int
) -> None:
    trade = trade_of(seller, account, seed, 30)
    # After payments and allocations were written, before the events are marked done.
    with stalled(installation, "event_results") as holder:
        provider.send(trade.events)
        wait_for("a worker in the middle", lambda: "" if waiters(installation) else "nobody waits")
        installation.kill("worker")
        assert seller.shop.rows("SELECT id FROM payments WHERE user_id = :user") == []
        holder.close()
        # Whoever was started since may have come to the same place.
    come_to_rest(installation, seller)
    nothing_lost(provider, trade.events)
    again = seller.shop.rows(
        "SELECT max(attempts) AS most FROM event_results JOIN events ON events.id = event_id "
        "JOIN connections ON connections.id = connection_id WHERE user_id = :user"
    )
    assert again[0]["most"] > 1
    same_books(seller, reference(installation, trade, account))


def test_a_worker_that_wakes_up_after_its_lease_changes_nothing(
    installation: Installation, seller: Seller, account: str, provider: Provider, seed: int
) -> None:
    trade = trade_of(seller, account, seed, 60)
    events = trade.events
    # The moment is short, and missed when two processes share the claim, or on a machine that is too quick.
    for part in range(0, len(events), 10):
        before = len(installation.said(10**6))
        family = stopped_with_a_claim(
            installation, seller, provider, [slow_to_read(said) for said in events[part : part + 10]]
        )
        if family:
            break
        come_to_rest(installation, seller)
    else:
        pytest.fail("the worker could never be stopped between a claim and its effects")
    told, untold = [slow_to_read(said) for said in events[: part + 10]], events[part + 10 :]
    try:
        with installation.beside("second", "workers.serve"):
            come_to_rest_but_for_health(installation, seller)
    finally:
        for pid in family:
            os.kill(pid, signal.SIGCONT)
    # It goes on where it was stopped, with a lease that is over.
    wait_for("word of the late worker", lambda: "" if "lease lost" in installation.said(10**6)[before:] else "none")
    come_to_rest(installation, seller)
    nothing_lost(provider, told)
    provider.send(untold)
    come_to_rest(installation, seller)
    nothing_lost(provider, [*told, *untold])
    same_books(seller, reference(installation, trade, account))


def slow_to_read(said: Said) -> Said:
    """The same in a big body, so that there is a while between the claim and its effects."""
    padded = json.loads(said.body) | {"ignored by everybody": list(range(120_000))}
    return replace(said, body=json.dumps(padded).encode())


def stopped_with_a_claim(
    installation: Installation, seller: Seller, provider: Provider, events: Sequence[Said]
) -> list[int]:
    """Stop the worker when it has claimed these events and has not come to their effects; its processes, or none.

    None means that the moment was missed, and the worker goes on.
    """
    main = psutil.Process(installation.pid("worker"))
    family = [main.pid, *(child.pid for child in main.children(recursive=True))]
    mine = ", ".join(f"'{shop.connection_id}'" for shop in seller.shops.values())
    state = f"SELECT count(*), sum(attempts) FROM event_queue WHERE connection_id IN ({mine})"
    free = f"SELECT event_id FROM event_queue WHERE connection_id IN ({mine}) FOR UPDATE SKIP LOCKED"
    with psycopg.connect(installation.database_url, autocommit=True) as watching:
        # All at once: nobody claims while they are being stored.
        with installation.frozen(*family):
            provider.send(events)
        ends = time.monotonic() + 30
        row = watching.execute(state).fetchone()
        while row is not None and row[0] and not row[1]:
            assert time.monotonic() < ends, "nothing was ever claimed"
            row = watching.execute(state).fetchone()
        for pid in family:
            os.kill(pid, signal.SIGSTOP)
        # A transaction that is open here holds its rows. What is free is claimed, and no more than that.
        row = watching.execute(state).fetchone()
        found = (row, len(watching.execute(free).fetchall()))
        note(f"stopped with {found[0]} events in the queue and claimed, {found[1]} of them free")
        if found == ((len(events), len(events)), len(events)):
            return family
    for pid in family:
        os.kill(pid, signal.SIGCONT)
    return []


def come_to_rest_but_for_health(installation: Installation, seller: Seller) -> None:
    wait_for(
        "the other worker",
        lambda: seller.shop.rows(
            "SELECT count(*) FROM event_queue JOIN connections ON connections.id = connection_id "
            "WHERE user_id = :user HAVING count(*) > 0"
        ),
    )


@pytest.mark.parametrize(
    "name",
    [
        "worker",
        pytest.param("web", marks=pytest.mark.long),
        pytest.param("relay", marks=pytest.mark.long),
        pytest.param("beat", marks=pytest.mark.long),
    ],
)
def test_whoever_is_told_to_stop_stops_within_its_grace_and_loses_nothing(
    installation: Installation, seller: Seller, account: str, provider: Provider, seed: int, name: str
) -> None:
    trade = trade_of(seller, account, seed, 60)
    provider.pace = 40.0
    with Listener(installation.url, seller.token(), seller.room) as listener:
        hears(listener)
        posting = provider.start(trade.deliveries(Random(seed)))
        wait_for("a part of the stream", lambda: "" if len(provider.acknowledged) > 15 else len(provider.acknowledged))
        pid = installation.pid(name)
        before = len(installation.said(10**6))
        os.kill(pid, signal.SIGTERM)
        wait_for(f"{name} to end by itself", lambda: is_running(pid) and "it runs", GRACE_SECONDS)
        posting.shutdown()
        come_to_rest(installation, seller)
        assert f"{name} ended with exit code 0" in installation.said(10**6)[before:]
        nothing_lost(provider, trade.events)
        heard_everything(listener, seller)


def test_requests_in_flight_are_answered_when_web_is_told_to_stop(
    installation: Installation, seller: Seller, account: str, provider: Provider, seed: int
) -> None:
    trade = trade_of(seller, account, seed, 12)
    answers: list[requests.Response | None] = []

    def post(said: Said) -> None:
        with requests.Session() as session:
            answers.append(provider.post(session, said))

    with stalled(installation, "deliveries") as holder:
        threads = [threading.Thread(target=post, args=(said,)) for said in trade.events]
        for thread in threads:
            thread.start()
        wait_for("a commit on its way", lambda: "" if waiters(installation) else "nobody waits")
        # The others are behind it by now, or come to a closed door: both are honest.
        time.sleep(0.3)
        os.kill(installation.pid("web"), signal.SIGTERM)
        holder.close()
        for thread in threads:
            thread.join(60)
    taken = [answer for answer in answers if answer is not None and answer.ok]
    note(f"answers: {dict(provider.answers)}")
    assert len(taken) == len(trade.events), dict(provider.answers)
    stored = {
        str(row["id"])
        for row in seller.shop.rows("SELECT id FROM deliveries WHERE received_at > now() - interval '5 minutes'")
    }
    assert {answer.json()["delivery_id"] for answer in taken} <= stored
    come_to_rest(installation, seller)
    nothing_lost(provider, trade.events)
