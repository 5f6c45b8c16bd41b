"""Any order and repetition of lines, bookings, runs and decisions ends without a paisa posted twice."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import permutations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from core.errors import PlatformError
from core.events import TransactionStatus
from tests.budget import examples
from tests.builders import Clockwork, worker
from tests.core.reconciliation.scene import Scene, open_scene, other_source, utr


@pytest.fixture(scope="module")
def context(file_database_url: str) -> Iterator[Clockwork]:
    with worker(file_database_url) as parts:
        yield parts


TOLD = ("line", "line again", "line elsewhere", "gateway", "run", "payout", "payout line")


def tell(scene: Scene, number: str, second: object) -> dict[str, Callable[[], object]]:
    """The money of one invoice, as three sources tell of it, and a payout that is none of it."""
    return {
        "line": lambda: scene.line(118_000, number, name="a", utr=utr(1)),
        "line again": lambda: scene.line(118_000, number, name="a", utr=utr(1), version=2),
        "line elsewhere": lambda: scene.line(118_000, f"BY {number}", name="b", utr=utr(1), shop=second),  # type: ignore[arg-type]
        "gateway": lambda: scene.gateway(118_000, utr=utr(1), number=number),
        "run": scene.engine,
        "payout": lambda: scene.payout(97_640, utr=utr(2)),
        "payout line": lambda: scene.line(97_640, "SETTLEMENT", name="p", utr=utr(2)),
    }


def test_one_payment_comes_of_a_line_that_is_told_by_three_in_any_order(context: Clockwork) -> None:
    for order in permutations(("line", "line elsewhere", "gateway")):
        for runs in range(3):
            scene = open_scene(context)
            deeds = tell(scene, scene.bill(118_000)["number"], other_source(scene))
            for place, name in enumerate(order):
                deeds[name]()
                if place == runs:
                    deeds["run"]()
            deeds["run"]()
            assert (scene.money(), order, runs) == (118_000, order, runs)
            scene.check()


@settings(max_examples=examples(10), deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.sampled_from(TOLD), max_size=8))
def test_whatever_is_told_and_run_in_whatever_order_is_posted_once(context: Clockwork, deeds: list[str]) -> None:
    scene = open_scene(context)
    invoice = scene.bill(118_000)
    known = tell(scene, invoice["number"], other_source(scene))
    for name in deeds:
        known[name]()
    scene.engine()
    scene.engine()
    told = bool({"line", "line again", "line elsewhere", "gateway"}.intersection(deeds))
    assert scene.money() == (118_000 if told else 0)
    assert scene.due(invoice) == [0 if told else 118_000]
    scene.check()


DEEDS = ("run", "accept", "undo", "reject", "restore", "ignore", "reopen", "remove", "restate", "elsewhere", "typed")


@settings(max_examples=examples(10), deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.sampled_from(DEEDS), max_size=8))
def test_no_sequence_of_decisions_and_runs_posts_more_than_came(context: Clockwork, deeds: list[str]) -> None:
    scene, typed = open_scene(context), 0
    invoice = scene.bill(118_000)
    second = other_source(scene)
    line = scene.line(118_000, invoice["number"], name="a", utr=utr(1))
    for place, name in enumerate(deeds):
        try:
            match name:
                case "run":
                    scene.engine()
                case "accept":
                    scene.accept(line, invoice)
                case "remove":
                    scene.line(
                        118_000, invoice["number"], name="a", utr=utr(1), version=place + 2,
                        status=TransactionStatus.REMOVED,
                    )  # fmt: skip
                case "restate":
                    scene.line(118_000, f"{invoice['number']} {place}", name="a", utr=utr(1), version=place + 2)
                case "elsewhere":
                    scene.line(118_000, invoice["number"], name="b", utr=utr(1), shop=second)
                case "typed":
                    scene.typed(invoice, 118_000, reference=utr(1))
                    typed += 1
                case _:
                    scene.decide(name, line)
        except PlatformError:
            continue
    scene.engine()
    assert scene.money() <= 118_000 * (1 + min(typed, 1))
    assert scene.due(invoice)[0] >= 0
    paid = scene.shop.one(
        "SELECT count(*) AS many FROM payments WHERE user_id = :user AND source = 'bank' AND status = 'succeeded'"
    )
    assert paid["many"] <= 1
    scene.check()
