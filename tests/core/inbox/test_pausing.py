"""A paused connection loses nothing: what it is told waits, and takes effect when it is resumed."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from core.connections import store as connections
from core.errors import Forbidden, NotFound
from core.identity import Role
from tests.builders import NOW, Clockwork, Shop, add_seller, open_shop, payment, worker
from tests.standing import empty


@pytest.fixture(scope="module")
def installation(file_database_url: str) -> Iterator[Clockwork]:
    with worker(file_database_url) as parts:
        yield parts


@pytest.fixture
def shop(installation: Clockwork) -> Shop:
    empty(installation.database)
    installation.moment[0] = NOW
    return open_shop(installation)


def pause(shop: Shop) -> None:
    with shop.database.session() as session:
        paused = connections.pause(session, shop.seller, shop.connection_id, NOW)
        assert paused["paused_at"] == NOW


def resume(shop: Shop) -> None:
    with shop.database.session() as session:
        assert connections.resume(session, shop.seller, shop.connection_id, NOW)["paused_at"] is None


def states(shop: Shop) -> list[str]:
    return [row["state"] for row in shop.rows("SELECT state FROM event_queue ORDER BY event_id")]


def paid(shop: Shop) -> int:
    return len(shop.rows("SELECT 1 FROM payments"))


def test_what_waits_and_what_comes_is_kept_until_the_connection_is_resumed(shop: Shop) -> None:
    shop.store(shop.delivery(payment(id="before")))
    pause(shop)
    shop.store(shop.delivery(payment(id="after")))
    shop.work()
    assert (states(shop), paid(shop)) == (["paused", "paused"], 0)
    resume(shop)
    shop.work()
    assert (states(shop), paid(shop)) == ([], 2)


def test_other_connections_go_on(shop: Shop, installation: Clockwork) -> None:
    other = open_shop(installation)
    pause(shop)
    shop.store(shop.delivery(payment(id="mine")))
    other.store(other.delivery(payment(id="theirs")))
    shop.work()
    assert (states(shop), paid(shop)) == (["paused"], 1)


def test_a_repeat_that_comes_while_it_is_paused_counts_once(shop: Shop) -> None:
    pause(shop)
    for _ in range(3):
        shop.store(shop.delivery(payment(id="p1"), event_id="evt_1"))
    resume(shop)
    shop.work()
    assert paid(shop) == 1


def test_pausing_and_resuming_twice_changes_nothing_more(shop: Shop) -> None:
    pause(shop)
    with shop.database.session() as session:
        again = connections.pause(session, shop.seller, shop.connection_id, NOW.replace(year=NOW.year + 1))
        assert again["paused_at"] == NOW
    resume(shop)
    resume(shop)
    told = shop.rows("SELECT action FROM audit_log WHERE subject_id = :id ORDER BY id", id=shop.connection_id)
    assert [row["action"] for row in told][-2:] == ["connection.paused", "connection.resumed"]
    assert len(told) == 3


def test_nobody_else_pauses_it(shop: Shop) -> None:
    for role, error in ((Role.OPERATOR, Forbidden), (Role.SELLER, NotFound), (Role.INVESTOR, NotFound)):
        stranger = add_seller(shop.context, role)
        for act in (connections.pause, connections.resume):
            with shop.database.session() as session, pytest.raises(error):
                act(session, stranger, shop.connection_id, NOW)
