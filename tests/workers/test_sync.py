"""Pulling what a provider lists: page by page, once, resumably, and in agreement with what it pushes."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from datetime import timedelta
from random import Random
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import text

from connectors import registry, talks
from connectors.base import Connector
from core.errors import MalformedPayload
from core.inbox import queries, replay
from core.syncing import pages, runs, schedule
from tests.builders import NOW, Json, Shop, books, payment, refund, said, transaction
from tests.workers.acme import (
    ACCOUNT,
    DAYS,
    Acme,
    Place,
    connect,
    installed,
    make_connector,
    make_place,
    runs_of,
    work_off,
)
from workers import normalize, pull, register
from workers.credentials import credentials_of, custody_of

ACME = make_connector()


@pytest.fixture(scope="module")
def standing(file_database_url: str) -> Iterator[Place]:
    made = make_place(file_database_url)
    yield made
    made.database.dispose()


@pytest.fixture
def place(standing: Place) -> Iterator[Place]:
    with standing.database.connect() as connection:
        connection.execute(text("DELETE FROM syncs"))
        connection.execute(text("DELETE FROM sync_schedules"))
        connection.execute(text("DELETE FROM registrations"))
        connection.execute(text("DELETE FROM event_queue"))
    standing.moment[0] = NOW
    standing.bell.rings.clear()
    with installed(ACME):
        yield standing


@pytest.fixture
def acme() -> Iterator[Acme]:
    made = Acme()
    yield made
    made.stop()


def happened(count: int, start: int = 0) -> list[Json]:
    """As many payments, a minute apart, the first a minute after NOW."""
    return [payment(at=60 * (number + 1), id=f"pmt_{number}") for number in range(start, start + count)]


def paid(shop: Shop) -> list[str]:
    return [row["object_id"] for row in books(shop)["payments"]]


def announced(shop: Shop, *names: str) -> list[Json]:
    return shop.rows(
        "SELECT name, data FROM outbox WHERE room = :room AND name = ANY(:names) ORDER BY id",
        room=f"user:{shop.seller.id}",
        names=list(names),
    )


def test_a_new_connection_is_pulled_to_the_end_of_the_list_with_progress(place: Place, acme: Acme) -> None:
    acme.items = happened(5)
    shop = connect(place, acme)
    assert work_off(place) == 1
    (run,) = runs_of(shop)
    assert (run["reason"], run["state"], run["pages"], run["error"]) == ("first", "done", 3, None)
    assert run["since"] == NOW - timedelta(days=DAYS)
    assert paid(shop) == [f"pmt_{number}" for number in range(5)]
    assert acme.asked == ["POST /token", "GET /events", "GET /events 2", "GET /events 4"]
    told = announced(shop, "sync.progressed", "sync.finished")
    # However fast pages come, progress is told once a second.
    assert [one["name"] for one in told] == ["sync.progressed", "sync.finished"]
    assert told[-1]["data"] == {
        "sync_id": str(run["id"]),
        "connection_id": str(shop.connection_id),
        "state": "done",
        "pages": 3,
        "listed": 5,
        "gap": 5,
        "error": None,
    }
    assert {row["trust"] for row in books(shop)["payments"]} == {"fetched"}


def test_the_next_pull_comes_by_the_schedule_and_goes_on_at_the_cursor(place: Place, acme: Acme) -> None:
    acme.items = happened(3)
    shop = connect(place, acme)
    work_off(place)
    place.wait(3599)
    assert work_off(place) == 0
    acme.items += happened(1, start=3)
    acme.asked.clear()
    place.wait(1)
    assert work_off(place) == 1
    assert acme.asked == ["GET /events 3"]
    assert [(run["reason"], run["state"]) for run in runs_of(shop)] == [("first", "done"), ("schedule", "done")]
    assert len(paid(shop)) == 4


def test_a_list_without_a_cursor_is_read_again_from_a_week_before_the_last_good_pull(place: Place, acme: Acme) -> None:
    asked: list[str] = []

    def everything(path: str, query: dict[str, str]) -> Any:
        asked.append(query["since"])
        return (200, {}, {"account": ACCOUNT, "items": happened(2), "next": None, "more": False})

    shop = connect(place, acme)
    acme.items = []
    work_off(place)
    acme.always = everything
    with place.database.connect() as connection:
        connection.execute(text("UPDATE sync_schedules SET cursor = NULL"))
    place.wait(3600)
    work_off(place)
    assert asked == [(NOW - schedule.OVERLAP).isoformat()]
    assert paid(shop) == ["pmt_0", "pmt_1"]


def test_who_dies_between_two_pages_is_followed_by_one_who_goes_on_there(place: Place, acme: Acme) -> None:
    acme.items = happened(6)
    shop = connect(place, acme)

    class Killed(BaseException):
        """What a kill is to a process: nothing of its own runs any more."""

    def killed(*_: object, **__: object) -> None:
        raise Killed

    with pytest.MonkeyPatch.context() as patch:
        # The second page is applied and its transaction is about to commit.
        original = runs.advance

        def advance(connection: Any, run: Any, **more: Any) -> None:
            original(connection, run, **more)
            if run.pages == 1:
                killed()

        patch.setattr(runs, "advance", advance)
        with pytest.raises(Killed):
            pull.drain(place)
    (run,) = runs_of(shop)
    # The page and its place came to nothing together.
    assert (run["state"], run["pages"], run["cursor"], paid(shop)) == ("running", 1, "2", ["pmt_0", "pmt_1"])
    successor = place.beside()
    assert pull.drain(successor) == 0, "the dead one's lease still holds"
    place.wait(61)
    acme.asked.clear()
    assert work_off(successor) == 1
    successor.database.dispose()
    (run,) = runs_of(shop)
    assert (run["state"], run["pages"], len(paid(shop))) == ("done", 3, 6)
    assert [one for one in acme.asked if one.startswith("GET")] == ["GET /events 2", "GET /events 4"]


def test_who_took_longer_than_the_lease_writes_nothing(place: Place, acme: Acme) -> None:
    acme.items = happened(2)
    shop = connect(place, acme)

    def meanwhile(path: str, query: dict[str, str]) -> None:
        if not taken:
            with place.database.connect() as connection:
                taken.append(runs.claim(connection, lease_seconds=60, now=NOW + timedelta(seconds=61)))

    taken: list[Any] = []
    acme.always = meanwhile
    assert pull.drain(place) == 1
    (run,) = runs_of(shop)
    assert (paid(shop), run["state"], run["attempts"], run["pages"]) == ([], "running", 2, 0)


def test_whoever_asks_how_often_there_is_one_open_run(place: Place, acme: Acme) -> None:
    shop = connect(place, acme)
    pull.plan(place)
    with place.database.connect() as connection:
        planned = schedule.find(connection, shop.connection_id)
        assert planned is not None
        asked = [
            schedule.open_run(connection, planned, reason="person", days=1, every_seconds=60, now=NOW) for _ in range(3)
        ]
    assert len(set(asked)) == 1
    assert len(runs_of(shop)) == 1


def test_a_connection_whose_secrets_are_missing_is_not_asked_for_and_says_why(place: Place, acme: Acme) -> None:
    shop = connect(place, acme)
    with place.database.connect() as connection:
        connection.execute(text("DELETE FROM connection_secrets WHERE name = 'refresh_token'"))
    assert work_off(place) == 0
    planned = shop.one("SELECT obstacle, due_at FROM sync_schedules WHERE connection_id = :id", id=shop.connection_id)
    assert planned == {"obstacle": "the connection has no refresh_token", "due_at": NOW + schedule.LOOK_AGAIN}
    assert (acme.asked, runs_of(shop)) == ([], [])


def test_a_paused_connection_is_left_alone(place: Place, acme: Acme) -> None:
    shop = connect(place, acme)
    with place.database.connect() as connection:
        connection.execute(text("UPDATE connections SET paused_at = now() WHERE id = :id"), {"id": shop.connection_id})
    assert work_off(place) == 0
    assert acme.asked == []


LIFE = [
    payment("pending", 60, id="pmt_a"),
    payment("succeeded", 120, id="pmt_a"),
    refund("pending", 180, payment_id="pmt_a"),
    refund("succeeded", 240, payment_id="pmt_a"),
    transaction("pending", 60),
    transaction("posted", 300),
]


@pytest.mark.parametrize("seed", range(6))
def test_what_is_pushed_and_pulled_in_any_order_ends_in_the_same_books(place: Place, acme: Acme, seed: int) -> None:
    chance = Random(seed)
    pushed = [item for item in LIFE for _ in range(chance.choice([0, 1, 1, 2]))]
    chance.shuffle(pushed)
    cut = chance.randrange(len(pushed) + 1)
    acme.items = LIFE
    found = []
    for moments in ([*pushed[:cut], None, *pushed[cut:]], [None, *pushed], [*reversed(pushed), None]):
        shop = connect(place, acme)
        for moment in moments:
            if moment is None:
                work_off(place)
            else:
                shop.hear(moment)
        found.append({name: rows for name, rows in books(shop).items() if name != "connections"})
    assert found[0] == found[1] == found[2]


def test_what_is_only_listed_again_is_told_to_nobody_and_kept_nowhere(place: Place, acme: Acme) -> None:
    acme.items = happened(2)
    shop = connect(place, acme)
    shop.hear(*acme.items)
    with place.database.connect() as connection:
        connection.execute(text("DELETE FROM outbox"))
    before = len(shop.rows("SELECT id FROM deliveries WHERE connection_id = :id", id=shop.connection_id))
    work_off(place)
    assert [one["name"] for one in announced(shop, "payment.received", "payment.updated")] == []
    assert len(shop.rows("SELECT id FROM deliveries WHERE connection_id = :id", id=shop.connection_id)) == before
    assert {row["trust"] for row in books(shop)["payments"]} == {"signed"}


def test_from_what_a_pull_brought_one_walks_back_to_the_page_and_reads_it_again(place: Place, acme: Acme) -> None:
    acme.items = happened(2)
    shop = connect(place, acme)
    work_off(place)
    (row,) = shop.rows(
        "SELECT DISTINCT events.delivery_id FROM payments "
        "JOIN event_effects AS effects ON effects.object_id = payments.id "
        "JOIN events ON events.id = effects.event_id WHERE payments.user_id = :user"
    )
    with place.database.session() as session:
        found = queries.provenance(session, shop.seller, row["delivery_id"])
        listed = queries.list_deliveries(session, shop.seller)
    delivery, (event,) = found["delivery"], found["events"]
    assert (delivery["verdict"], delivery["sync_id"]) == ("fetched", str(runs_of(shop)[0]["id"]))
    assert (delivery["remote_addr"], event["name"], event["trust"]) == ("127.0.0.1", pages.PULLED, "fetched")
    assert [step["name"] for step in event["steps"]] == ["asked", "received", "stored", "processed"]
    assert {effect["kind"] for effect in event["effects"]} == {"payment"}
    assert [one["sync_id"] for one in listed["items"]] == [delivery["sync_id"]]
    (exchange,) = talks.transcript(delivery["body_text"].encode())
    assert exchange["request"] == "GET /events"
    assert "pmt_1" in exchange["body"]
    asked = len(acme.asked)
    with place.database.session() as session:
        assert replay.requeue(session, [UUID(event["id"])], NOW) == 1
        session.execute(text("UPDATE payments SET version = 0, amount = 1 WHERE object_id = 'pmt_1'"))
    shop.work()
    assert [row["amount"] for row in books(shop)["payments"]] == [10_000, 10_000]
    assert len(acme.asked) == asked, "nobody is asked again"
    assert normalize.drain(place) == 0


def test_no_secret_is_kept_with_a_page(place: Place, acme: Acme) -> None:
    shop = connect(place, acme)
    item = payment(at=60, id="pmt_0", description=f"echo of {acme.refresh_token}")
    acme.items = [item]
    # The connection's own token, which the provider echoes, is spent by the time the page is kept.
    echoed = acme.refresh_token
    work_off(place)
    (row,) = shop.rows("SELECT body FROM deliveries WHERE connection_id = :id", id=shop.connection_id)
    assert b"pmt_0" in bytes(row["body"])
    assert echoed.encode() not in bytes(row["body"])
    assert not any(access.encode() in bytes(row["body"]) for access in acme.accesses)


def test_a_page_whose_answers_do_not_fit_the_connector_any_more_says_so(place: Place) -> None:
    body = json.dumps(
        {
            "cursor": None,
            "since": NOW.isoformat(),
            "asked_at": NOW.isoformat(),
            "external_id": None,
            "settings": {},
            "whole": True,
            "exchanges": [{"request": "GET /older", "params": {}, "status": 200, "headers": {}, "body": "{}"}],
        }
    ).encode()
    with pytest.raises(MalformedPayload, match="asks the provider something else"):
        talks.reread(ACME, body)


# The tokens of a connection ------------------------------------------------------------------------------------


def secrets(shop: Shop, name: str = "refresh_token") -> list[Json]:
    return shop.rows(
        "SELECT expires_at FROM connection_secrets WHERE connection_id = :id AND name = :name ORDER BY id",
        id=shop.connection_id,
        name=name,
    )


def test_a_renewed_token_is_kept_at_once_and_the_old_one_ends(place: Place, acme: Acme) -> None:
    shop = connect(place, acme)
    work_off(place)
    assert acme.refresh_token == "refresh-token-1"
    assert [row["expires_at"] is None for row in secrets(shop)] == [False, True]
    # The next pull uses the access it has; a fresh process trades the new token, not the spent one.
    place.wait(3600)
    other = place.beside()
    work_off(other)
    other.database.dispose()
    assert (acme.burnt, acme.refresh_token) == ([], "refresh-token-2")
    assert [run["state"] for run in runs_of(shop)] == ["done", "done"]


def test_workers_that_ask_at_once_burn_no_token(place: Place, acme: Acme) -> None:
    acme.pause_seconds = 0.05
    shop = connect(place, acme)
    workers = [place.beside() for _ in range(4)]
    connector: Connector = registry.get("acme")

    def ask(worker: Place) -> None:
        with worker.database.session() as session:
            known = credentials_of(session, worker.ring, shop.connection_id, worker.now())
        assert connector.pull is not None
        talk = connector.pull.talk
        worker.transport.run(
            connector, known, lambda held: talk(held, None, NOW), custody=custody_of(worker, shop.connection_id)
        )

    failures: list[BaseException] = []

    def run(worker: Place) -> None:
        try:
            ask(worker)
        except BaseException as error:  # noqa: BLE001
            failures.append(error)

    threads = [threading.Thread(target=run, args=(worker,)) for worker in workers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    for worker in workers:
        worker.database.dispose()
    assert acme.burnt == []
    assert len(secrets(shop)) == int(acme.refresh_token.rsplit("-", 1)[1]) + 1
    assert failures == []


def test_an_access_that_ended_early_is_asked_for_again(place: Place, acme: Acme) -> None:
    acme.items = happened(3)
    shop = connect(place, acme)
    work_off(place)
    acme.accesses.clear()
    place.wait(3600)
    work_off(place)
    assert [run["state"] for run in runs_of(shop)] == ["done", "done"]
    assert acme.refresh_token == "refresh-token-2"


# The webhook at the provider -----------------------------------------------------------------------------------


def registration(shop: Shop) -> Json:
    return shop.one("SELECT * FROM registrations WHERE connection_id = :id", id=shop.connection_id)


def test_the_webhook_is_made_kept_and_repaired_at_the_provider(place: Place, acme: Acme) -> None:
    shop = connect(place, acme)
    assert register.drain(place) == 1
    made = registration(shop)
    assert (made["state"], made["checked_at"], made["mended_at"], made["error"]) == ("created", NOW, NOW, None)
    assert acme.hooks[0]["url"].endswith(f"/api/connectors/acme/webhook/{shop.connection_id}")
    # The provider made a new secret; what was signed with the old one still verifies for as long as it may come.
    old, new = secrets(shop, "webhook_secret")
    assert (old["expires_at"], new["expires_at"]) == (NOW + timedelta(days=ACME.resend_days), None)
    assert register.drain(place) == 0
    place.wait(86_400)
    assert register.drain(place) == 1
    assert (registration(shop)["state"], registration(shop)["mended_at"]) == ("kept", NOW)
    acme.hooks[0]["enabled"] = False
    place.wait(86_400)
    assert register.drain(place) == 1
    assert registration(shop)["state"] == "repaired"
    assert [one["data"]["state"] for one in announced(shop, "webhook.checked")] == ["created", "kept", "repaired"]
    audited = shop.rows("SELECT action FROM audit_log WHERE subject_id = :id ORDER BY id", id=shop.connection_id)
    assert [row["action"] for row in audited if row["action"].startswith("webhook.")] == [
        "webhook.created",
        "webhook.repaired",
    ]


def test_a_webhook_that_cannot_be_set_up_is_told_once_and_cleared_when_it_can(place: Place, acme: Acme) -> None:
    shop = connect(place, acme)
    acme.always = lambda path, _query: (403, {}, {}) if path == "/hooks" else None
    for _ in range(2):
        assert register.drain(place) == 1
        place.wait(86_400)
    assert (registration(shop)["state"], registration(shop)["error"]) == ("failed", "acme: GET /hooks answered 403")
    (notice,) = shop.rows("SELECT * FROM notifications WHERE user_id = :user")
    assert (notice["kind"], notice["cleared_at"]) == ("connection.webhook", None)
    assert "set it up by hand" in notice["body"].lower()
    acme.always = lambda _path, _query: None
    assert register.drain(place) == 1
    assert shop.one("SELECT cleared_at IS NOT NULL AS over FROM notifications WHERE user_id = :user") == {"over": True}


def test_an_address_that_no_provider_can_reach_is_registered_nowhere(place: Place, acme: Acme) -> None:
    shop = connect(place, acme)
    with place.database.connect() as connection:
        connection.execute(text("UPDATE connections SET settings = '{}' WHERE id = :id"), {"id": shop.connection_id})
    far = make_connector(base="https://api.acme.example")
    with installed(far):
        assert register.drain(place) == 1
    assert registration(shop)["state"] is None
    assert "no public address" in registration(shop)["error"]
    assert acme.asked == []


def test_accounts_and_payouts_that_are_only_listed_again_change_nothing(place: Place, acme: Acme) -> None:
    account = said("account.updated", 60, id="ba_1", name="Till", currency="INR", number="1234567890", balance="10.00")
    payout = said("payout.paid", 60, id="po_1", amount_minor=500, currency="INR")
    acme.items = [account, payout]
    shop = connect(place, acme)
    work_off(place)
    assert len(shop.rows("SELECT id FROM deliveries WHERE connection_id = :id", id=shop.connection_id)) == 1
    later = (NOW + timedelta(hours=1)).isoformat()
    acme.items += [{**account, "timestamp": later}, {**payout, "timestamp": (NOW + timedelta(seconds=60)).isoformat()}]
    place.wait(3600)
    work_off(place)
    assert [run["state"] for run in runs_of(shop)] == ["done", "done"]
    assert len(shop.rows("SELECT id FROM deliveries WHERE connection_id = :id", id=shop.connection_id)) == 1
    # The version rose all the same: what is older than the repetition does not come back.
    acme.items += [said("account.updated", 600, id="ba_1", name="Old name", currency="INR", number="1234567890")]
    place.wait(3600)
    work_off(place)
    assert shop.one("SELECT name FROM bank_accounts WHERE user_id = :user") == {"name": "Till"}


def test_months_of_payments_that_are_pulled_at_once_are_not_told_one_by_one(place: Place, acme: Acme) -> None:
    acme.page_size = 50
    acme.items = happened(pull.MOST_OF_A_KIND)
    few = connect(place, acme)
    work_off(place)
    assert len(announced(few, "payment.received")) == pull.MOST_OF_A_KIND
    acme.items = happened(pull.MOST_OF_A_KIND + 1)
    many = connect(place, acme)
    work_off(place)
    assert len(announced(many, "payment.received")) == 1
    # The other was told when the connection was made.
    assert len(announced(many, "dashboard.updated")) == 2
    assert len(paid(many)) == pull.MOST_OF_A_KIND + 1
