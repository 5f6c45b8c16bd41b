"""A rejection taken back: what was proposed is proposed again, and nothing that somebody knew is forgotten."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from uuid import UUID

import pytest

from core.errors import Conflict
from core.reconciliation import cases, decisions, rejections
from tests.builders import NOW, Clockwork, worker
from tests.core.reconciliation.scene import Scene, open_scene, utr


@pytest.fixture(scope="module")
def context(file_database_url: str) -> Iterator[Clockwork]:
    with worker(file_database_url) as parts:
        yield parts


@pytest.fixture
def scene(context: Clockwork) -> Scene:
    return open_scene(context)


def test_a_proposal_tells_the_number_of_its_invoice_though_the_bank_s_text_does_not(scene: Scene) -> None:
    invoices = [scene.bill(11_800), scene.bill(11_800)]
    scene.line(11_800, "NEFT CR SALARY", payer="Rao Retail")
    scene.line(23_600, "NEFT CR MORE", payer="Rao Retail")
    scene.engine()
    told = scene.shop.rows(
        "SELECT data FROM outbox WHERE room = 'user:' || CAST(:user AS uuid) AND name = 'match.proposed' ORDER BY id"
    )
    assert told
    by_id = {one["id"]: one["number"] for one in invoices}
    assert all(each["data"]["invoice_number"] == by_id[each["data"]["invoice_id"]] for each in told)


@pytest.fixture
def rejected(scene: Scene) -> tuple[Scene, UUID, str]:
    """A line whose sure proposal a person turned down."""
    scene.by_hand()
    number = scene.bill(11_800)["number"]
    line = scene.line(11_800, f"NEFT {number}", utr=utr())
    scene.engine()
    scene.decide("reject", line)
    return scene, line, number


def _restore(scene: Scene, line: UUID) -> None:
    with scene.shop.database.session() as session:
        rejections.restore(session, scene.shop.seller.id, line, NOW + timedelta(minutes=1))


def test_a_rejection_is_taken_back_and_leaves_no_case(rejected: tuple[Scene, UUID, str]) -> None:
    scene, line, _ = rejected
    before = scene.shop.one("SELECT state FROM matches WHERE transaction_id = :id", id=line)
    _restore(scene, line)
    row = (
        "SELECT state, tier, actor, decided_by, decided_at, jsonb_exists(features, 'taken_back') AS marked FROM matches"
    )
    now = scene.shop.one(f"{row} WHERE transaction_id = :id", id=line)
    assert (before["state"], now) == (
        "rejected",
        {
            "state": "proposed",
            "tier": "sure",
            "actor": "engine",
            "decided_by": None,
            "decided_at": None,
            "marked": False,
        },
    )
    assert scene.state(line) == "proposed"
    kinds = scene.shop.rows("SELECT kind FROM reconciliation_cases WHERE user_id = :user ORDER BY id")
    assert [each["kind"] for each in kinds] == ["rejected", "restored"]
    with scene.shop.database.session() as session:
        ours = scene.shop.rows("SELECT id FROM reconciliation_cases WHERE user_id = :user")
        assert {str(each["id"]) for each in ours}.isdisjoint(one["id"] for one in cases.export(session))
    with pytest.raises(Conflict, match="nothing was rejected"):
        _restore(scene, line)
    scene.engine()
    assert scene.shop.one("SELECT tier FROM matches WHERE transaction_id = :id", id=line)["tier"] == "sure"


def test_a_rejection_of_what_was_taken_back_before_leaves_that_known(rejected: tuple[Scene, UUID, str]) -> None:
    scene, line, _ = rejected
    seller = scene.shop.seller.id
    _restore(scene, line)
    with scene.shop.database.session() as session:
        decisions.accept(session, seller, line, None, NOW)
        decisions.undo(session, seller, line, NOW)
        decisions.reject(session, seller, line, NOW + timedelta(minutes=2))
    _restore(scene, line)
    match = scene.shop.one("SELECT state, actor, decided_by FROM matches WHERE transaction_id = :id", id=line)
    assert match == {"state": "proposed", "actor": "user", "decided_by": seller}


def test_a_rejection_whose_invoice_was_paid_meanwhile_is_not_proposed_again(
    rejected: tuple[Scene, UUID, str],
) -> None:
    scene, line, number = rejected
    scene.gateway(11_800, utr="UTIBN52026112000001", number=number)
    _restore(scene, line)
    assert scene.state(line) == "none"
    assert scene.shop.one("SELECT state FROM matches WHERE transaction_id = :id", id=line)["state"] == "undone"


def test_a_line_that_is_decided_otherwise_keeps_its_rejection(rejected: tuple[Scene, UUID, str]) -> None:
    scene, line, _ = rejected
    with scene.shop.database.session() as session:
        decisions.ignore(session, scene.shop.seller.id, line, NOW)
    with pytest.raises(Conflict, match="is decided"):
        _restore(scene, line)
    with scene.shop.database.session() as session:
        decisions.reopen(session, scene.shop.seller.id, line, NOW)
    assert scene.shop.one("SELECT state FROM matches WHERE transaction_id = :id", id=line)["state"] == "rejected"


def test_what_was_proposed_for_a_line_that_was_set_aside_is_proposed_again_with_it(
    rejected: tuple[Scene, UUID, str],
) -> None:
    scene, line, _ = rejected
    _restore(scene, line)
    with scene.shop.database.session() as session:
        decisions.ignore(session, scene.shop.seller.id, line, NOW + timedelta(minutes=2))
        decisions.reopen(session, scene.shop.seller.id, line, NOW + timedelta(minutes=3))
    assert scene.state(line) == "proposed"
