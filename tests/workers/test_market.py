"""The job of the marketplace's clock: what is due is done, what was posted is sealed and anchored."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import event, text

from core import ledger, wallets
from core.ids import new_id
from core.ledger import Hold, anchors, chain
from core.marketplace.states import State
from tests.builders import NOW, Clockwork, worker
from tests.core.marketplace import deals
from tests.core.marketplace.builders import LAKH
from tests.core.marketplace.deals import state_of
from workers import market, sweep


@pytest.fixture
def context(file_database_url: str, tmp_path: Path) -> Iterator[Clockwork]:
    with worker(file_database_url, data_dir=str(tmp_path)) as parts:
        market.work_off(parts)
        yield parts


def test_the_sweep_rings_for_what_the_clock_wants_and_the_job_does_it(context: Clockwork) -> None:
    deal = deals.offered(context, face=LAKH)
    market.seal(context)
    assert sweep.due(context)["market"] is False
    context.wait(timedelta(days=7).total_seconds())
    assert sweep.due(context)["market"] is True
    context.bell.rings.clear()
    assert market.work_off(context) >= 1
    assert state_of(deal) is State.EXPIRED
    assert "relay" in context.bell.rings
    assert sweep.due(context)["market"] is False
    assert market.work_off(context) == 0


def test_what_was_posted_is_sealed_soon_and_only_once_it_is_on_the_disk(context: Clockwork) -> None:
    said: list[str] = []

    def note(_c: object, _u: object, statement: str, *_rest: object) -> None:
        said.append(statement)

    with context.database.session() as session:
        wallets.welcome(session, new_id(), NOW)
    assert sweep.due(context)["market"] is True
    event.listen(context.database.engine, "before_cursor_execute", note)
    try:
        assert market.seal(context) == 2
    finally:
        event.remove(context.database.engine, "before_cursor_execute", note)
    assert said[0] == "SET LOCAL synchronous_commit = on"
    assert sweep.due(context)["market"] is False
    with context.database.connect() as connection:
        assert chain.waiting(connection) == 0


def test_the_head_is_anchored_outside_the_database_once_a_day(context: Clockwork, tmp_path: Path) -> None:
    path = tmp_path / "ledger" / "heads.jsonl"
    with context.database.connect() as connection:
        head = connection.execute(text("SELECT position, hash FROM ledger_chain_head")).one()
    assert [market.anchor(context), market.anchor(context)] == [True, False]
    context.wait(86_400)
    assert market.anchor(context) is True
    kept = anchors.read(path)
    assert [one.day for one in kept] == [NOW.date(), (NOW + timedelta(days=1)).date()]
    assert (kept[0].position, kept[0].hash) == (head.position, bytes(head.hash))


def test_a_hold_whose_time_is_over_is_given_back(context: Clockwork) -> None:
    holder, other = new_id(), new_id()
    with context.database.session() as session:
        wallets.welcome(session, holder, NOW)
        ledger.post(
            session,
            [
                Hold(
                    key=f"held:{holder}",
                    account=ledger.wallet(holder),
                    to=ledger.wallet(other),
                    amount=100,
                    description="for an hour",
                    expires_at=NOW + timedelta(hours=1),
                )
            ],
            NOW,
        )
    assert market.free(context) == 0
    context.wait(3600)
    assert market.free(context) == 1
    with context.database.connect() as connection:
        assert ledger.balance(connection, ledger.wallet(holder)).held == 0
