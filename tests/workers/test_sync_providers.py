"""Every provider's list, pulled over HTTP from its simulator into the books: to its end, twice, and told apart.

What each record means is the connectors' own tests' business; here it is that the whole road holds for all of them.
"""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
from sqlalchemy import text

from connectors import registry
from core.syncing import pages, schedule
from tests.builders import NOW, Clockwork, Json, Shop, books, open_shop
from tests.workers.acme import Place, make_place, runs_of, work_off
from workers import pull, register
from workers.simulators.accounts import demo_account
from workers.simulators.api import Provider
from workers.simulators.basiq import Bank
from workers.simulators.server import Server
from workers.transport import Limits

PULLED = [slug for slug, connector in registry.all().items() if connector.pull is not None]
REGISTERED = [slug for slug, connector in registry.all().items() if connector.register is not None]
KEPT = ("payments", "transactions", "adjustments", "payouts", "accounts")


@pytest.fixture(scope="module")
def place(file_database_url: str) -> Iterator[Place]:
    # The simulators are not tired by as many requests a second as it takes.
    made = make_place(file_database_url, limits=Limits(total_seconds=20), hurried=True)
    yield made
    made.database.dispose()


@pytest.fixture(scope="module")
def simulated() -> Iterator[Server]:
    providers = [
        Provider(slug, account=demo_account(registry.get(slug)).external_id)
        for slug in sorted({*PULLED, *REGISTERED} - {"basiq"})
    ]
    with Server(*providers) as running:
        running.providers["basiq"] = Bank()
        yield running


def connect(place: Clockwork, simulated: Server, slug: str) -> Shop:
    mine = demo_account(registry.get(slug))
    with place.database.connect() as connection:
        connection.execute(text("UPDATE connections SET deleted_at = now() WHERE connector = :slug"), {"slug": slug})
    shop = open_shop(place, slug, external_id=mine.external_id, secrets=mine.secrets)
    settings = {**mine.settings, "api_base": simulated.address(slug)}
    with place.database.connect() as connection:
        # What another provider left open is its own test's business.
        connection.exec_driver_sql("DELETE FROM syncs; DELETE FROM sync_schedules; DELETE FROM registrations")
        connection.execute(
            text("UPDATE connections SET settings = CAST(:settings AS jsonb) WHERE id = :id"),
            {"settings": json.dumps(settings), "id": shop.connection_id},
        )
        schedule.begin(connection, shop.connection_id, place.now())
    return shop


def told(shop: Shop) -> dict[str, list[Json]]:
    found = {name: rows for name, rows in books(shop).items() if name in KEPT}
    mirrored = "SELECT object_id, status, total, due FROM mirrored_invoices WHERE user_id = :user ORDER BY object_id"
    return {**found, "mirrored": shop.rows(mirrored)}


def far_back(place: Place) -> None:
    """Plan what is due, as if lists went back to the days of the samples."""
    pull.plan(place)
    with place.database.connect() as connection:
        connection.exec_driver_sql("UPDATE syncs SET since = '2015-01-01' WHERE state = 'queued'")


@pytest.mark.parametrize("slug", PULLED)
def test_what_a_provider_lists_is_pulled_to_its_end_and_again(place: Place, simulated: Server, slug: str) -> None:
    place.moment[0] = NOW
    shop = connect(place, simulated, slug)
    far_back(place)
    work_off(place)
    (run,) = runs_of(shop)
    assert (run["state"], run["error"]) == ("done", None)
    brought = told(shop)
    assert any(brought.values()), "nothing of what it lists is in the books"
    listed = sum(kind["listed"] for kind in run["counts"].values())
    assert listed == sum(kind["gap"] for kind in run["counts"].values()) > 0
    kept = shop.rows("SELECT name FROM events WHERE connection_id = :id", id=shop.connection_id)
    assert {row["name"] for row in kept} == {pages.PULLED}
    with place.database.connect() as connection:
        # As if the list had no cursor: everything is said once more.
        connection.execute(text("UPDATE sync_schedules SET cursor = NULL, due_at = :now"), {"now": place.now()})
    far_back(place)
    work_off(place)
    assert [(one["state"], one["error"]) for one in runs_of(shop)] == [("done", None), ("done", None)]
    again = runs_of(shop)[-1]
    assert sum(kind["gap"] for kind in again["counts"].values()) == 0
    assert told(shop).keys() == brought.keys()


@pytest.mark.parametrize("slug", REGISTERED)
def test_a_providers_webhook_is_set_up_over_its_api(place: Place, simulated: Server, slug: str) -> None:
    place.moment[0] = NOW
    shop = connect(place, simulated, slug)
    while register.drain(place):
        pass
    found = shop.one("SELECT state, error FROM registrations WHERE connection_id = :id", id=shop.connection_id)
    assert (found["state"] in {"kept", "created", "repaired"}, found["error"]) == (True, None)
