"""The database refuses by itself: hand-written SQL of the tables' own owner, the code's checks aside.

Each attack is made twice: it is refused, and every row stays as it was (L16); and once its own guard is taken away it
succeeds, so that it is this guard that refused it and no accident.
"""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy.exc import IntegrityError

from tests.core.ledger.attacks import ATTACKS, Attack
from tests.core.ledger.by_hand import Hand, furnish
from tests.core.ledger.desk import Desk

every_attack = pytest.mark.parametrize("attack", ATTACKS, ids=lambda attack: attack.name)


@pytest.fixture(scope="module")
def furnished(guarded: Desk) -> dict[str, Any]:
    return furnish(guarded)


def test_a_careful_hand_is_believed(guarded: Desk, furnished: dict[str, Any]) -> None:
    with guarded.database.engine.connect() as connection, connection.begin() as transaction:
        hand = Hand(connection, **furnished)
        hand.pay((hand.a, -10), (hand.b, 4), (hand.b, 6))
        connection.exec_driver_sql("SET CONSTRAINTS ALL IMMEDIATE")
        transaction.rollback()


@every_attack
def test_the_database_refuses(guarded: Desk, furnished: dict[str, Any], attack: Attack) -> None:
    before = guarded.everything()
    with pytest.raises(IntegrityError, match=attack.why), guarded.database.connect() as connection:
        attack.act(Hand(connection, **furnished))
    assert guarded.everything() == before


@every_attack
def test_without_its_guard_the_attack_succeeds(guarded: Desk, furnished: dict[str, Any], attack: Attack) -> None:
    with guarded.database.engine.connect() as connection, connection.begin() as transaction:
        connection.exec_driver_sql(attack.guard.replace("%", "%%"))
        attack.act(Hand(connection, **furnished))
        connection.exec_driver_sql("SET CONSTRAINTS ALL IMMEDIATE")
        transaction.rollback()
