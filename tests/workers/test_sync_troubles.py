"""A provider that is down, slow, strict or wrong: its pull waits or ends with a reason, and nobody else waits."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from connectors.base import Credentials, PullTalk, Request
from core.connections import store
from core.events import ConnectionHealth
from core.syncing import registrations, runs
from tests.builders import NOW, Json, Shop, payment, said
from tests.workers.acme import (
    ACCOUNT,
    Acme,
    Place,
    connect,
    installed,
    make_connector,
    make_place,
    runs_of,
    work_off,
)
from workers import pull, sweep

Plant = Callable[[Acme], None]


@pytest.fixture(scope="module")
def standing(file_database_url: str) -> Iterator[Place]:
    made = make_place(file_database_url)
    yield made
    made.database.dispose()


@pytest.fixture
def place(standing: Place) -> Iterator[Place]:
    standing.moment[0] = NOW
    with standing.database.connect() as connection:
        connection.exec_driver_sql(
            "DELETE FROM syncs; DELETE FROM sync_schedules; DELETE FROM registrations; DELETE FROM notifications"
        )
    with installed(make_connector(), make_connector("other")):
        yield standing


@pytest.fixture
def acme() -> Iterator[Acme]:
    made = Acme()
    made.items = [payment(at=60 * number, id=f"pmt_{number}") for number in range(1, 4)]
    yield made
    made.stop()


@pytest.fixture
def shop(place: Place, acme: Acme) -> Shop:
    return connect(place, acme)


def only(shop: Shop) -> Json:
    (run,) = runs_of(shop)
    return run


def answer(status: int, headers: dict[str, str] | None = None, body: Any = b"{}") -> Plant:
    def plant(acme: Acme) -> None:
        acme.always = lambda path, _query: (status, headers or {}, body) if path == "/events" else None

    return plant


def page(next_of: Callable[[str], str | None], **more: Any) -> Plant:
    """A list whose cursors are `next_of` the one that was asked with."""

    def plant(acme: Acme) -> None:
        acme.always = lambda _path, query: (
            200,
            {},
            {"account": ACCOUNT, "items": [], "next": next_of(query.get("after", "start")), "more": True, **more},
        )

    return plant


def refuse_token(acme: Acme) -> None:
    acme.refresh_token = "refresh-token-99"


def be_slow(acme: Acme) -> None:
    acme.pause_seconds = 0.6


@pytest.mark.parametrize(
    ("plant", "error", "wait_seconds"),
    [
        pytest.param(lambda acme: acme.stop(), "POST /token failed: ConnectionError", 5, id="down"),
        pytest.param(be_slow, "POST /token took too long", 5, id="slow"),
        pytest.param(answer(500), "GET /events answered 500", 5, id="errors"),
        pytest.param(answer(429, {"Retry-After": "120"}), "GET /events answered 429", 120, id="told to come later"),
        pytest.param(answer(503, {"Retry-After": "1"}), "GET /events answered 503", 5, id="told to come too soon"),
    ],
)
def test_a_provider_that_cannot_answer_now_is_asked_again_later(
    place: Place, acme: Acme, shop: Shop, plant: Plant, error: str, wait_seconds: float
) -> None:
    plant(acme)
    assert work_off(place) == 1
    run = only(shop)
    assert (run["state"], run["failures"], run["error"]) == ("waiting", 1, f"acme: {error}")
    assert run["due_at"] == NOW + timedelta(seconds=wait_seconds)
    place.wait(wait_seconds - 1)
    assert work_off(place) == 0
    assert shop.rows("SELECT 1 FROM notifications") == []


def test_a_provider_that_stays_away_ends_the_run_and_its_owner_hears_of_it_once(
    place: Place, acme: Acme, shop: Shop
) -> None:
    answer(500)(acme)
    waits = []
    while only_or_none(shop) is None or only(shop)["state"] != "failed":
        assert work_off(place) == 1
        run = only(shop)
        waits.append((run["state"], (run["due_at"] - place.now()).total_seconds()))
        place.wait(1300)
    assert [state for state, _ in waits] == ["waiting", "waiting", "failed"]
    assert [seconds for _, seconds in waits[:2]] == [5, 20]
    assert only(shop)["error"] == "acme: GET /events answered 500"
    (notice,) = shop.rows("SELECT kind, body FROM notifications WHERE user_id = :user")
    assert notice["kind"] == "connection.sync"
    assert notice["body"].startswith("Acme: GET /events answered 500. Webhooks are still received.")
    # The schedule tries anew; a second failure is no second notification, and a good run clears it.
    place.wait(3600)
    assert work_off(place) == 1
    acme.always = lambda _path, _query: None
    place.wait(3600)
    assert work_off(place) == 1
    assert [run["state"] for run in runs_of(shop)] == ["failed", "done"]
    assert shop.rows("SELECT cleared_at IS NOT NULL AS over FROM notifications") == [{"over": True}]


def only_or_none(shop: Shop) -> Json | None:
    found = runs_of(shop)
    return found[0] if found else None


@pytest.mark.parametrize(
    ("plant", "error"),
    [
        pytest.param(
            answer(200, body={"account": "acc_2", "items": [], "more": False}), "account: expected", id="wrong account"
        ),
        pytest.param(answer(404), "acme: GET /events answered 404", id="gone"),
        pytest.param(answer(302, {"Location": "http://127.0.0.1:1/"}), "never followed", id="a redirect"),
        pytest.param(answer(200, body=b"<html>maintenance</html>"), "JSON", id="a page of garbage"),
        pytest.param(
            answer(200, body={"account": ACCOUNT, "items": [payment(amount_minor="ten")], "more": False}),
            "items.0.data.amount_minor",
            id="a record of garbage",
        ),
        pytest.param(page(lambda _cursor: None), "that there is more and not where", id="more, and not where"),
        pytest.param(page(lambda _cursor: "2"), "leads in a circle", id="the same page for ever"),
        pytest.param(
            page(lambda cursor: {"start": "2", "2": "4", "4": "6", "6": "8"}.get(cursor, "4")),
            "leads in a circle",
            id="a circle that does not hold the beginning",
        ),
        pytest.param(page(lambda cursor: cursor + "x"), "does not end within 16 pages", id="an endless list"),
    ],
)
def test_what_a_provider_must_not_say_ends_the_run_with_a_reason(
    place: Place, acme: Acme, shop: Shop, plant: Plant, error: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runs, "MAX_PAGES", 16)
    plant(acme)
    assert work_off(place) == 1
    run = only(shop)
    assert run["state"] == "failed"
    assert error in run["error"]
    assert len(acme.asked) <= 20
    assert [row["kind"] for row in shop.rows("SELECT kind FROM notifications")] == ["connection.sync"]
    assert shop.rows("SELECT 1 FROM payments WHERE user_id = :user") == []


@pytest.mark.parametrize(
    "plant", [pytest.param(refuse_token, id="the token"), pytest.param(answer(401), id="the access")]
)
def test_credentials_that_are_refused_are_their_owners_business_at_once(
    place: Place, acme: Acme, shop: Shop, plant: Plant
) -> None:
    plant(acme)
    assert work_off(place) == 1
    assert only(shop)["state"] == "failed"
    (notice,) = shop.rows("SELECT kind, title FROM notifications WHERE user_id = :user")
    assert notice == {
        "kind": "connection.credentials",
        "title": "my acme: the provider does not accept our credentials",
    }


def test_a_cursor_that_the_provider_has_forgotten_is_given_up(place: Place, acme: Acme, shop: Shop) -> None:
    work_off(place)
    acme.always = lambda _path, query: (410, {}, {}) if "after" in query else None
    place.wait(3600)
    work_off(place)
    acme.page_size = 10
    place.wait(3600)
    work_off(place)
    assert [run["state"] for run in runs_of(shop)] == ["done", "failed", "done"]


def test_a_plugins_bug_waits_for_a_better_version(place: Place, acme: Acme) -> None:
    def stumble(_credentials: Credentials, _cursor: str | None, _since: object) -> PullTalk:
        yield Request(method="GET", url="/events")
        raise KeyError("x")

    sound = make_connector()
    assert sound.pull is not None
    broken = replace(sound, pull=replace(sound.pull, talk=stumble))
    with installed(broken):
        shop = connect(place, acme)
        work_off(place)
    assert (only(shop)["state"], only(shop)["error"]) == ("waiting", "connector bug: KeyError")
    place.wait(5)
    work_off(place)
    assert only(shop)["state"] == "done"


def test_money_in_another_currency_than_its_invoice_pays_nothing(place: Place, acme: Acme, shop: Shop) -> None:
    invoice = shop.invoice(10_000, "INR")
    acme.items = [payment(at=60, currency="USD", references=[invoice["number"]], invoice_number=invoice["number"])]
    work_off(place)
    assert only(shop)["state"] == "done"
    assert shop.one("SELECT status, amount_paid FROM invoices WHERE seller_id = :user") == {
        "status": "open",
        "amount_paid": 0,
    }


def test_others_are_pulled_and_heard_while_one_provider_is_in_trouble(place: Place, acme: Acme) -> None:
    slow = Acme()
    slow.pause_seconds = 0.6
    first, second = connect(place, slow), connect(place, acme, "other")
    try:
        second.hear(payment(at=60, id="pmt_pushed"))
        work_off(place)
    finally:
        slow.stop()
    assert only(first)["state"] == "waiting"
    assert only(second)["state"] == "done"
    paid = {row["object_id"] for row in second.rows("SELECT object_id FROM payments WHERE user_id = :user")}
    assert paid == {"pmt_pushed", "pmt_1", "pmt_2", "pmt_3"}


def test_one_provider_never_has_all_hands(place: Place, acme: Acme) -> None:
    mine = [connect(place, acme) for _ in range(4)]
    place.wait(1)
    other = connect(place, acme, "other")
    pull.plan(place)
    with place.database.statements() as connection:
        taken = [runs.claim(connection, lease_seconds=60, now=place.now()) for _ in range(5)]
    held = [run.connector for run in taken if run is not None]
    assert (held.count("acme"), held.count("other"), len(mine)) == (runs.AT_ONCE, 1, 4)
    assert only(other)["state"] == "running"


def test_the_webhook_checks_of_one_provider_never_take_all_hands(place: Place, acme: Acme) -> None:
    for _ in range(4):
        connect(place, acme)
    place.wait(1)
    connect(place, acme, "other")
    with place.database.statements() as connection:
        taken = [registrations.claim(connection, lease_seconds=60, now=place.now()) for _ in range(5)]
        held = [check.connector for check in taken if check is not None]
        place.wait(61)
        # Who had them is gone.
        assert registrations.claim(connection, lease_seconds=60, now=place.now()) is not None
    assert (held.count("acme"), held.count("other")) == (runs.AT_ONCE, 1)


def test_a_run_that_kills_whoever_takes_it_is_given_up(place: Place, acme: Acme, shop: Shop) -> None:
    pull.plan(place)
    for _ in range(4):
        with place.database.statements() as connection:
            assert runs.claim(connection, lease_seconds=60, now=place.now()) is not None
        place.wait(61)
    assert work_off(place) == 1
    assert (only(shop)["state"], only(shop)["error"]) == ("failed", "given up: nobody who took it ever finished")
    assert acme.asked == []


def test_trouble_with_the_link_itself_is_told_once_and_cleared_when_it_is_well(place: Place, shop: Shop) -> None:
    def health(state: ConnectionHealth, at: int) -> Json:
        return said(f"connection.{state}", at, reason="consent expired")

    shop.hear(health(ConnectionHealth.NEEDS_ATTENTION, 1), health(ConnectionHealth.NEEDS_ATTENTION, 2))
    (notice,) = shop.rows("SELECT kind, body, event_id FROM notifications WHERE user_id = :user")
    assert notice["kind"] == "connection.needs_attention"
    assert notice["body"].startswith("Consent expired. Confirm or renew the consent")
    assert notice["event_id"] is not None
    shop.hear(health(ConnectionHealth.REVOKED, 3))
    shop.hear(health(ConnectionHealth.ACTIVE, 2))
    rows = shop.rows("SELECT kind, cleared_at IS NULL AS lasts FROM notifications ORDER BY id")
    assert [(row["kind"], row["lasts"]) for row in rows] == [
        ("connection.needs_attention", False),
        ("connection.revoked", True),
    ]
    shop.hear(health(ConnectionHealth.ACTIVE, 4))
    assert not any(row["lasts"] for row in shop.rows("SELECT cleared_at IS NULL AS lasts FROM notifications"))
    told = shop.rows(
        "SELECT name FROM outbox WHERE room = :room AND name LIKE 'notification.%' ORDER BY id",
        room=f"user:{shop.seller.id}",
    )
    assert [row["name"] for row in told] == [
        "notification.created",
        "notification.cleared",
        "notification.created",
        "notification.cleared",
    ]


def test_what_concerned_a_connection_that_was_deleted_concerns_nobody_any_more(
    place: Place, acme: Acme, shop: Shop
) -> None:
    answer(401)(acme)
    work_off(place)
    answer(500)(acme)
    place.wait(3600)
    work_off(place)
    assert [run["state"] for run in runs_of(shop)] == ["failed", "waiting"]
    with place.database.session() as session:
        store.delete(session, shop.seller, shop.connection_id, place.now())
    sweep.keep_house(place)
    assert [run["state"] for run in runs_of(shop)] == ["failed", "failed"]
    assert shop.rows("SELECT 1 FROM notifications WHERE cleared_at IS NULL") == []
    assert shop.rows("SELECT 1 FROM sync_schedules UNION ALL SELECT 1 FROM registrations") == []


def test_a_pull_stops_when_its_connection_is_paused_and_goes_on_when_it_is_resumed(
    place: Place, acme: Acme, shop: Shop
) -> None:
    def pause(path: str, query: dict[str, str]) -> None:
        if query.get("after") == "2" and not paused:
            paused.append(True)
            with place.database.session() as session:
                store.pause(session, shop.seller, shop.connection_id, place.now())

    paused: list[bool] = []
    acme.always = pause
    work_off(place)
    assert only(shop)["pages"] == 1
    place.wait(120)
    assert work_off(place) == 0
    with place.database.session() as session:
        store.resume(session, shop.seller, shop.connection_id, place.now())
    work_off(place)
    assert (only(shop)["state"], only(shop)["pages"]) == ("done", 2)
