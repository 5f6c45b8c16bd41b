"""Completeness is a number: what the provider lists against what its webhooks brought."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest

from core.syncing import completeness
from tests.builders import NOW, Json, Shop, payment, refund
from tests.workers.acme import Acme, Place, connect, installed, make_connector, make_place, work_off
from workers import lateness


@pytest.fixture(scope="module")
def standing(file_database_url: str) -> Iterator[Place]:
    made = make_place(file_database_url)
    yield made
    made.database.dispose()


@pytest.fixture
def place(standing: Place) -> Iterator[Place]:
    standing.moment[0] = NOW
    with standing.database.connect() as connection:
        connection.exec_driver_sql("DELETE FROM syncs; DELETE FROM sync_schedules; DELETE FROM registrations")
    with installed(make_connector()):
        yield standing


@pytest.fixture
def acme() -> Iterator[Acme]:
    made = Acme(page_size=3)
    yield made
    made.stop()


def seen(shop: Shop) -> Json:
    with shop.database.session() as session:
        return completeness.completeness(session, shop.seller, shop.connection_id)


def figures(found: Json) -> tuple[Any, ...]:
    return tuple(found[name] for name in ("listed", "webhook", "before", "fresh", "missed", "gap", "webhook_share"))


def paid(number: int, minutes: int) -> Json:
    """A payment that many minutes after the connection was made; negative is before."""
    return payment(at=60 * minutes, id=f"pmt_{number}")


def test_a_provider_that_loses_some_webhooks_is_found_out_and_the_gap_is_filled(place: Place, acme: Acme) -> None:
    shop = connect(place, acme)
    old = [paid(number, -100 - number) for number in range(2)]
    lived = [paid(number, 10 + number) for number in range(10, 20)]
    just_now = [paid(30, 118)]
    acme.items = [*old, *lived, *just_now]
    # Of the ten that happened since, three webhooks got lost.
    shop.hear(*(item for number, item in enumerate(lived) if number not in {2, 5, 8}))
    place.wait(2 * 3600)
    work_off(place)
    found = seen(shop)
    assert figures(found) == (13, 7, 2, 1, 3, 6, 0.7)
    assert len(shop.rows("SELECT id FROM payments WHERE user_id = :user")) == 13
    assert [(one["kind"], one["listed"]) for one in found["by_kind"]] == [("payment", 13)]
    assert (found["last_good"]["state"], found["next_due_at"]) == ("done", NOW + timedelta(hours=3))
    assert (found["latest"], found["obstacle"]) == (None, None)


def test_what_a_pull_brought_stays_missed_until_its_webhook_comes(place: Place, acme: Acme) -> None:
    shop = connect(place, acme)
    acme.items = [paid(1, 1), paid(2, 2)]
    place.wait(3600)
    work_off(place)
    assert figures(seen(shop)) == (2, 0, 0, 0, 2, 2, 0.0)
    shop.hear(paid(1, 1))
    again(shop, place)
    # Nothing is new any more; one of the two was brought by a webhook after all.
    assert figures(seen(shop)) == (2, 1, 0, 0, 1, 0, 0.5)


def again(shop: Shop, place: Place) -> None:
    """Pull the whole list anew."""
    with place.database.connect() as connection:
        connection.exec_driver_sql("UPDATE sync_schedules SET cursor = NULL")
    place.wait(3600)
    work_off(place)


def test_an_object_on_two_pages_is_counted_once_and_kinds_apart(place: Place, acme: Acme) -> None:
    shop = connect(place, acme)
    first = paid(1, 1)
    acme.items = [first, refund("pending", 120, payment_id="pmt_1"), paid(2, 2), first, refund(at=180), paid(3, 3)]
    shop.hear(first)
    place.wait(3600)
    work_off(place)
    found = seen(shop)
    kinds = {one["kind"]: (one["listed"], one["webhook"], one["missed"], one["gap"]) for one in found["by_kind"]}
    assert kinds == {"payment": (3, 1, 2, 2), "refund": (1, 0, 1, 1)}
    assert shop.rows("SELECT 1 FROM sync_listed") == []


def test_a_connection_that_was_never_pulled_says_nothing_it_does_not_know(place: Place, acme: Acme) -> None:
    found = seen(connect(place, acme))
    assert figures(found) == (0, 0, 0, 0, 0, 0, None)
    assert (found["lateness"], found["last_good"], found["latest"]) == (None, None, None)
    assert found["webhook_at_provider"]["state"] is None


def test_webhooks_are_as_late_as_they_arrive_after_the_providers_own_time(place: Place, acme: Acme) -> None:
    shop = connect(place, acme)
    # They all reach us at NOW, and say that they happened so many seconds before.
    told = [1, 2, 3, 4, 5, 6, 7, 8, 9, 100]
    shop.hear(*(payment(at=-seconds, id=f"pmt_{seconds}") for seconds in told))
    # News of last year is no late webhook, and the provider's clock may run ahead of ours a little.
    shop.hear(payment(at=-400 * 86_400, id="pmt_old"), payment(at=2, id="pmt_ahead"))
    place.wait(60)
    work_off(place)
    assert seen(shop)["lateness"] == {"median_seconds": 5.0, "p95_seconds": 100.0, "webhooks": 11, "days": 7}


@pytest.mark.parametrize(
    ("late", "expected"),
    [
        pytest.param([3.0], (3.0, 3.0), id="one"),
        pytest.param([float(number) for number in range(1, 101)], (50.5, 95.0), id="a hundred"),
        pytest.param([float(number) for number in range(1, 21)], (10.5, 19.0), id="nearest rank"),
    ],
)
def test_the_95th_percentile_is_the_nearest_rank(late: list[float], expected: tuple[float, float]) -> None:
    found = lateness.summary(late)
    assert found is not None
    assert (found["median_seconds"], found["p95_seconds"]) == expected
    assert lateness.summary([]) is None
