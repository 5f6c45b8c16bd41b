"""Who holds the secret of one connection can neither write into somebody else's books nor keep anything out of them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from uuid import UUID

import pytest

from core.inbox.store import NewDelivery
from tests.builders import Clockwork, Json, Shop, books, delivery_of, open_shop, payment, worker
from tests.standing import empty
from workers import sweep

SLUG = "standard_webhooks"


@pytest.fixture(scope="module")
def installation(file_database_url: str) -> Iterator[Clockwork]:
    with worker(file_database_url) as parts:
        yield parts


@pytest.fixture
def context(installation: Clockwork) -> Clockwork:
    empty(installation.database)
    return installation


def told(shop: Shop, account: str, *, event_id: str = "evt_1", amount: int = 10_000) -> set[UUID]:
    """An event that came to the shop's own address and names an account that is not the shop's."""
    return shop.store(_delivery(account, event_id=event_id, amount=amount, address=shop.connection_id))


def told_platform(shop: Shop, account: str, *, event_id: str = "evt_1") -> set[UUID]:
    """An event of nobody yet, on the platform's address: its secret is the provider's alone."""
    return shop.store(_delivery(account, event_id=event_id))


def _delivery(account: str, *, event_id: str, amount: int = 10_000, address: UUID | None = None) -> NewDelivery:
    body = json.dumps(payment(amount_minor=amount)).encode()
    return delivery_of(SLUG, body, event_id=event_id, address=address, external_id=account)


def waiting(shop: Shop) -> list[Json]:
    return shop.rows("SELECT state, connection_id FROM event_queue ORDER BY event_id")


def test_an_event_from_a_strangers_address_is_never_routed_to_the_account_it_names(context: Clockwork) -> None:
    victim, thief = open_shop(context, external_id="acct_victim"), open_shop(context)
    told(thief, "acct_victim")
    assert sweep.adopt(context) == 0
    victim.work()
    assert waiting(thief) == [{"state": "unrouted", "connection_id": None}]
    assert books(victim)["payments"] == books(thief)["payments"] == []


def test_an_event_planted_by_a_stranger_is_not_found_by_whoever_connects_the_account_later(context: Clockwork) -> None:
    thief = open_shop(context)
    told(thief, "acct_later", amount=1)
    victim = open_shop(context, external_id="acct_later")
    assert sweep.adopt(context) == 0
    victim.work()
    assert books(victim)["payments"] == []
    assert len(waiting(thief)) == 1


def test_a_stranger_cannot_use_up_an_event_id_of_an_account_that_nobody_has_connected_yet(context: Clockwork) -> None:
    thief = open_shop(context)
    assert len(told(thief, "acct_next", amount=1)) == 1
    assert len(told_platform(thief, "acct_next")) == 1
    assert told_platform(thief, "acct_next") == set()
    victim = open_shop(context, external_id="acct_next")
    victim.work()
    assert [row["amount"] for row in books(victim)["payments"]] == [10_000]


def test_an_event_that_names_another_account_of_the_same_person_finds_it_when_it_is_connected(
    context: Clockwork,
) -> None:
    first = open_shop(context)
    assert len(told(first, "acct_second")) == 1
    assert told(first, "acct_second") == set()
    second = open_shop(context, seller=first.seller, external_id="acct_second")
    second.work()
    assert [row["amount"] for row in books(second)["payments"]] == [10_000]
    assert waiting(second) == []
    assert second.rows("SELECT connection_id FROM events") == [{"connection_id": second.connection_id}]


def test_the_same_event_by_an_own_address_and_by_the_platforms_counts_once_when_the_account_appears(
    context: Clockwork,
) -> None:
    first = open_shop(context)
    told(first, "acct_third")
    told_platform(first, "acct_third")
    second = open_shop(context, seller=first.seller, external_id="acct_third")
    second.work()
    assert len(books(second)["payments"]) == 1
    assert second.one("SELECT count(*) AS n FROM event_results") == {"n": 1}
    assert waiting(second) == []


def test_many_planted_events_do_not_keep_honest_ones_waiting(context: Clockwork) -> None:
    thief = open_shop(context)
    victims = [open_shop(context, external_id=f"acct_many_{number}") for number in range(101)]
    thief.store(
        *(
            _delivery(victim.external_id or "", event_id=f"e{number}", address=thief.connection_id)
            for number, victim in enumerate(victims)
        )
    )
    told_platform(thief, "acct_many_100", event_id="honest")
    assert sweep.adopt(context) == 1
    victims[100].work()
    assert len(books(victims[100])["payments"]) == 1
