"""Months of business, and nothing is ever wrong; with a line of the platform spoiled, it is noticed."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import date
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy.orm import Session

from core.database import Database
from core.ledger import chain
from core.marketplace import bidding, promises, settlement
from core.marketplace import waterfall as rule_book
from core.payments import merge
from tests.conftest import Servers
from tests.core.marketplace.test_planted_defects import spoil
from tests.simulation.dues import DAY, Almanac, Price, Receipt, opening, price, waterfall
from tests.simulation.running import Report, simulate
from tests.simulation.world import Violation
from tests.standing import standing_database

Patch = pytest.MonkeyPatch


@pytest.fixture
def empty(database_url: str) -> Iterator[Database]:
    made = Database("postgresql+psycopg://" + database_url.split("://", 1)[1], pool_size=3)
    yield made
    made.dispose()


@pytest.fixture(autouse=True)
def quiet_about_kills() -> Iterator[None]:
    """The driver has a word to say of each connection that is killed."""
    logger = logging.getLogger("psycopg")
    level = logger.level
    logger.setLevel(logging.CRITICAL)
    yield
    logger.setLevel(level)


def test_in_weeks_of_business_nothing_is_wrong(empty: Database, tmp_path: Path) -> None:
    found = simulate(empty, seed=11, steps=200, folder=tmp_path, every=100)
    assert sum(found.balances.values()) == 0
    # It was about something.
    assert found.answers["done"] > 100
    assert found.killed > 5
    assert {"repaid", "expired"} <= found.states.keys()


def test_the_auditor_knows_the_worked_examples_of_the_rules() -> None:
    found = price(5_00_000_00, haircut=Fraction(1, 5), rate=Fraction(12, 100), days=60, fees=True)
    assert found == Price(principal=4_00_000_00, discount=7_890_41, fee=2_000_00, tax=360_00, days=60)
    almanac = Almanac(frozenset())
    assert almanac.following(date(2025, 11, 14)) == date(2025, 11, 17)
    due = date(2026, 1, 13)
    late = opening(due + 15 * DAY)
    bought = [1_50_000_00, 1_50_000_00, 1_00_000_00]
    for paid, principal, seller in (
        (5_00_000_00, 4_00_000_00, 97_041_10),
        (4_60_000_00, 4_00_000_00, 57_041_10),
        (3_50_000_00, 3_47_041_10, 0),
    ):
        receipt = Receipt(name="pay", amount=paid, at=late)
        [row] = waterfall(
            [receipt], face=5_00_000_00, confirmed=5_00_000_00, bought=bought, due=due, recourse="reserve"
        )
        assert (row.interest, row.principal, row.seller, row.surplus) == (2_958_90, principal, seller, 0)
        if paid == 3_50_000_00:
            assert row.shares == ((0, 1_109_59, 1_30_140_41), (1, 1_109_59, 1_30_140_41), (2, 739_72, 86_760_28))


def test_a_seed_goes_the_same_way_twice(servers: Servers, template_database: str, tmp_path: Path) -> None:
    found = []
    for name in ("once", "again"):
        with standing_database(servers, template_database) as address:
            database = Database("postgresql+psycopg://" + address.split("://", 1)[1], pool_size=3)
            found.append(simulate(database, 12, 30, tmp_path / name, every=30))
            database.dispose()
    once, again = (replace(one, seconds=1.0) for one in found)
    assert once == again


@pytest.mark.long
@pytest.mark.parametrize("seed", range(1, 11))
def test_in_a_hundred_thousand_steps_nothing_is_wrong(
    servers: Servers, template_database: str, tmp_path: Path, seed: int
) -> None:
    def told(line: str) -> None:
        sys.stderr.write(f"{line}\n")

    with standing_database(servers, template_database) as address:
        database = Database("postgresql+psycopg://" + address.split("://", 1)[1], pool_size=3)
        found: Report = simulate(database, seed, 10_000, tmp_path, every=1000, progress=told)
        database.dispose()
    told(str(found))
    assert sum(found.balances.values()) == 0
    assert {"repaid", "defaulted", "expired", "withdrawn", "rejected"} <= found.states.keys()
    assert {"insufficient_funds", "duplicate_financing", "fraud_stop"} <= found.answers.keys()


@dataclass(frozen=True, slots=True)
class Defect:
    """A line, spoiled, and words of the violation that must name it."""

    name: str
    plant: Callable[[Patch], None]
    seen: str
    seed: int = 1
    steps: int = 300


def _committed_before_its_reason(patch: Patch) -> None:
    """The money of a slice is committed before the slice is written."""
    add = promises.add

    def early(session: Session, *given: Any, **more: Any) -> None:
        session.connection().connection.commit()
        add(session, *given, **more)

    patch.setattr(promises, "add", early)


def _any_word_counts(patch: Patch) -> None:
    """What was said last counts, in the order in which it came."""
    patch.setattr(merge, "supersedes", lambda new, old: tuple(new) != tuple(old))


# Those that take long to show.
LATENESS, TAX = "lateness costs nothing", "the tax on the fee is kept as a fee"
DEFECTS = [
    Defect(
        "a bid that is taken back keeps its hold",
        spoil(bidding.withdraw_bid, "ledger.post(session, [Release(row.hold_id)], now)", "pass"),
        "has (balance, held)",
        seed=6,
    ),
    Defect(
        TAX,
        spoil(
            settlement.transfer,
            "(ledger.platform(Purpose.GST, financing.currency), price.fee_tax)",
            "(ledger.platform(Purpose.FEES, financing.currency), price.fee_tax)",
        ),
        "platform fees INR has",
    ),
    Defect("money is committed before its reason", _committed_before_its_reason, "or somebody who was killed"),
    Defect("the last word of a provider counts, not the highest", _any_word_counts, "is right", seed=5),
    Defect(
        "the chain's links do not hang together",
        spoil(chain.digest, "before + canonical(row)", "canonical(row)"),
        "L10: the chain is broken",
    ),
    Defect(LATENESS, spoil(rule_book.late_interest, "* days", "* 0 * days"), "is right", steps=700),
]


@pytest.mark.parametrize(
    "defect",
    [
        pytest.param(one, id=one.name, marks=[pytest.mark.long] if one.name in {LATENESS, TAX} else [])
        for one in DEFECTS
    ],
)
def test_the_simulation_notices(defect: Defect, empty: Database, tmp_path: Path, monkeypatch: Patch) -> None:
    defect.plant(monkeypatch)
    with pytest.raises(Violation) as caught:
        simulate(empty, defect.seed, defect.steps, tmp_path, every=60, kills=0.3)
    said = str(caught.value)
    assert defect.seen in said.split("\n", 1)[0]
    # Whoever reads it can go there again.
    assert said.startswith(f"seed {defect.seed}, step ")
    assert "what happened last:" in said
    assert "platform issuance INR" in said
