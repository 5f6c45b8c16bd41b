"""The clearing clock: how long money has rested where none should rest."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

import pytest

from core import ledger
from core.database import Database
from core.ids import new_id
from core.ledger import Leg, Purpose, Transfer
from core.ledger.clearing_clock import summary, uncleared
from tests.builders import NOW, worker


@pytest.fixture(scope="module")
def database(file_database_url: str) -> Iterator[Database]:
    with worker(file_database_url) as parts:
        yield parts.database


def move(database: Database, account: ledger.Account, amount: int, hours: int) -> None:
    with database.session() as session:
        legs = [Leg(ledger.outside(None, "INR"), -amount), Leg(account, amount)]
        work = Transfer(kind="test.moved", key=f"{new_id()}", legs=legs, description="", effective_at=NOW)
        ledger.post(session, [work], NOW + timedelta(hours=hours))


def test_an_account_ages_from_the_entry_that_took_it_away_from_zero(database: Database) -> None:
    payer, cleared = ledger.unapplied("payer:a", "INR"), ledger.unapplied("payer:b", "INR")
    for account, amount, hours in ((payer, 5, 0), (payer, -5, 1), (payer, 7, 2), (payer, 2, 3), (cleared, 3, 0)):
        move(database, account, amount, hours)
    move(database, cleared, -3, 4)
    with database.session() as session:
        [found] = uncleared(session)
        told = summary(session, NOW + timedelta(hours=5))
    assert (found.owner, found.purpose, found.balance) == ("payer:a", Purpose.UNAPPLIED, 9)
    assert found.since == NOW + timedelta(hours=2)
    assert told == {
        "escrow": {"accounts": 0, "oldest_age_seconds": 0.0},
        "unapplied": {"accounts": 1, "oldest_age_seconds": 10_800.0},
        "recoverable": {"accounts": 0, "oldest_age_seconds": 0.0},
    }
