"""People who were here before there was demo money get theirs, once."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from core import kyc, wallets
from core.identity import Role
from tests.builders import Clockwork, add_seller, make_context, worker
from workers import sweep


@pytest.fixture(scope="module")
def context(file_database_url: str) -> Iterator[Clockwork]:
    with worker(file_database_url) as parts:
        yield parts


def test_whoever_has_no_wallet_is_welcomed_and_whoever_has_one_is_not_again(context: Clockwork) -> None:
    people = [add_seller(context, role) for role in Role]
    with context.database.session() as session:
        wallets.welcome(session, people[0].id, context.now())
    assert sweep.welcome(context) == 3
    assert sweep.welcome(context) == 0
    with context.database.session() as session:
        assert {wallets.balance(session, one.id)["balance"] for one in people} == {wallets.WELCOME}
        states = {one.role: kyc.state_of(session, one.id) for one in people}
    assert states.pop(Role.OPERATOR) is kyc.State.NOT_STARTED
    assert set(states.values()) == {kyc.State.VERIFIED}


def test_outside_demo_mode_nobody_is_given_anything(file_database_url: str) -> None:
    earnest = make_context(file_database_url, demo_mode="0")
    late = add_seller(earnest)
    sweep.keep_house(earnest)
    with earnest.database.session() as session:
        assert wallets.balance(session, late.id)["balance"] == 0
        assert kyc.state_of(session, late.id) is kyc.State.NOT_STARTED
    earnest.database.dispose()


def test_housekeeping_welcomes_in_a_demo(context: Clockwork) -> None:
    late = add_seller(context)
    sweep.keep_house(context)
    with context.database.session() as session:
        assert wallets.balance(session, late.id)["balance"] == wallets.WELCOME
