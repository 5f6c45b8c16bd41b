"""What must be so once everything has come to rest."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime

from sqlalchemy import text

from core.reconciliation import run
from tests.builders import Json, books, check_sums
from tests.faults.conftest import Seller, settle_in
from tests.faults.installation import Installation, wait_for
from tests.faults.listener import Listener
from tests.faults.provider import Provider, Said, Trade


def bill(seller: Seller, totals: Sequence[int]) -> list[str]:
    """Invoices over these amounts; returns their numbers."""
    return [str(seller.shop.invoice(total)["number"]) for total in totals]


def come_to_rest(installation: Installation, seller: Seller) -> None:
    """Wait until nothing of the seller's is in the queue, and everything was numbered and handed to Redis."""

    def missing() -> list[str]:
        return [
            f"{row['count']} {row['what']}"
            for row in seller.shop.rows(
                "SELECT 'events in the queue' AS what, count(*) FROM event_queue JOIN connections "
                "ON connections.id = connection_id WHERE user_id = :user AND state IN ('ready', 'fetch') "
                "UNION ALL SELECT 'in the outbox', count(*) FROM outbox "
                "UNION ALL SELECT 'not emitted', count(*) FROM feed, relay_state WHERE position > emitted_position"
            )
            if row["count"]
        ]

    try:
        installation.wait_well()
        wait_for("everything processed and told", missing)
    except AssertionError as error:
        raise AssertionError(f"{error}\n{installation.said()}") from None


def nothing_lost(provider: Provider, events: Iterable[Said]) -> None:
    """Every delivery that was acknowledged is there, and each event has exactly one result."""
    assert provider.wrong == []
    assert provider.given_up == []
    shop = next(iter(provider.shops.values()))
    with shop.database.connect() as connection:
        ids = [identity for identity, _ in provider.acknowledged]
        found = connection.scalars(
            text("SELECT id FROM deliveries WHERE id = ANY(CAST(:ids AS uuid[]))"), {"ids": ids}
        ).all()
        assert len(set(ids)) == len(ids)
        assert sorted(set(ids) - set(found)) == [], "acknowledged and gone"
    results = shop.rows(
        "SELECT events.connector, events.provider_event_id, count(event_results.event_id) AS results, "
        "min(outcome) AS outcome FROM events JOIN connections ON connections.id = events.connection_id "
        "LEFT JOIN event_results ON event_results.event_id = events.id WHERE user_id = :user GROUP BY 1, 2"
    )
    told = {(row["connector"], row["provider_event_id"]): (row["results"], row["outcome"]) for row in results}
    assert told == {(said.connector, said.known_as): (1, "processed") for said in events}
    twice = shop.rows(
        "SELECT room, name, event_id, data, count(*) FROM feed WHERE room = 'user:' || :user AND event_id IS NOT NULL "
        "GROUP BY 1, 2, 3, 4 HAVING count(*) > 1"
    )
    assert twice == [], "announced twice"


def books_of(seller: Seller) -> dict[str, list[Json]]:
    """The seller's books, once every bank line has been looked at. What people reject or propose is not tried here."""
    with seller.shop.database.session() as session:
        run.reconcile(session, seller.actor.id, datetime.now(UTC))
    return books(seller.shop)


def reference(installation: Installation, trade: Trade, account: str) -> dict[str, list[Json]]:
    """The books after the same events without any fault, in order and without repeats, in one process."""
    from tests.builders import worker

    with installation.another_database() as url, worker(url) as context:
        seller = settle_in(context, account)
        bill(seller, trade.totals)
        for start in range(0, len(trade.events), 100):
            for said in trade.events[start : start + 100]:
                shop = seller.shops[said.connector]
                shop.store(shop.delivery(said.body, event_id=said.event_id))
            seller.shop.work()
        check_sums(context.database)
        return books_of(seller)


def same_books(seller: Seller, expected: dict[str, list[Json]]) -> None:
    """The seller's books are these, to the last figure."""
    check_sums(seller.shop.database)
    found = books_of(seller)
    for name, rows in expected.items():
        different = [pair for pair in zip(found[name], rows, strict=False) if pair[0] != pair[1]]
        assert different[:3] == [], f"{name}: {len(different)} rows differ from those of a run without faults"
        assert len(found[name]) == len(rows), name


def heard_everything(listener: Listener, seller: Seller) -> None:
    """The client has the whole feed of the seller's room: 1 to n in order, and as the table has it."""

    def missing() -> str:
        (row,) = seller.shop.rows("SELECT coalesce(max(seq), 0) AS seq FROM rooms WHERE room = 'user:' || :user")
        return "" if listener.last == row["seq"] else f"heard {listener.last} of {row['seq']}, {dict(listener.seen)}"

    wait_for("the whole feed", missing)
    assert listener.problems == []
    table = seller.shop.rows("SELECT seq, name, data FROM feed WHERE room = 'user:' || :user ORDER BY seq")
    assert [row["seq"] for row in table] == list(range(1, len(table) + 1))
    heard = [{name: event[name] for name in ("seq", "name", "data")} for event in listener.heard]
    assert heard == table
