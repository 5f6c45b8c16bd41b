"""Money that a bank tells of is the bank's word, whichever line was uploaded, decided on or taken back before."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from itertools import permutations
from random import Random
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy.exc import IntegrityError

from core.errors import Conflict, PlatformError
from core.events import TransactionStatus, Trust
from core.marketplace.words import Financed, InvestorsRepaid
from core.reconciliation import decisions, known
from tests.builders import NOW, Clockwork, Json, Shop, worker
from tests.core.marketplace import deals
from tests.core.marketplace.builders import check_books
from tests.core.marketplace.deals import BEGUN, Deal
from tests.core.marketplace.test_planted_defects import spoil
from tests.core.payments.counter import Counter
from tests.core.reconciliation.scene import Scene, open_scene, other_source, utr

# What the buyer did not confirm is free for words.
FACE, CONFIRMED = 1_00_000_00, 98_000_00
FREE = FACE - CONFIRMED
DAY = NOW.date()


@pytest.fixture(scope="module")
def context(file_database_url: str) -> Iterator[Clockwork]:
    with worker(file_database_url) as parts:
        yield parts


@dataclass(slots=True)
class Stage:
    """A financed invoice, its seller's bank, and what the seller uploads."""

    deal: Deal
    scene: Scene
    file: Shop
    amount: int
    reference: str | None = utr()

    @property
    def invoice(self) -> Json:
        return {"id": str(self.deal.invoice_id)}

    def upload(self) -> UUID:
        return self.scene.line(
            self.amount, "BY TRANSFER RAO RETAIL", name="u", day=DAY - timedelta(days=1) if self.reference else DAY,
            utr=self.reference, shop=self.file, trust=Trust.MANUAL,
        )  # fmt: skip

    def bank(self, status: TransactionStatus = TransactionStatus.POSTED, version: int = 2) -> UUID:
        return self.scene.line(
            self.amount, "BY TRANSFER RAO RETAIL", name="b", day=DAY, utr=self.reference, status=status,
            version=version,
        )  # fmt: skip

    def pending(self) -> UUID:
        return self.bank(TransactionStatus.PENDING, 1)

    def remove(self) -> UUID:
        return self.bank(TransactionStatus.REMOVED, 3)

    def lines(self, *states: str) -> list[UUID]:
        """The posted lines in one of these states, the uploaded one first."""
        rows = self.scene.shop.rows(
            "SELECT id FROM transactions WHERE user_id = :user AND status = 'posted' AND match_state = ANY(:states) "
            "ORDER BY trust <> 'manual'",
            states=list(states),
        )
        return [UUID(str(row["id"])) for row in rows]

    def accept(self) -> None:
        """Accept what is open, whichever line that is."""
        for line in self.lines("none", "proposed")[:1]:
            self.scene.accept(line, self.invoice)

    def undo(self) -> None:
        for line in self.lines("accepted"):
            self.scene.decide("undo", line)

    def do(self, deed: str) -> None:
        """One of these; what is refused is refused."""
        deeds: dict[str, Callable[[], object]] = {
            "upload": self.upload,
            "pending": self.pending,
            "bank": self.bank,
            "remove": self.remove,
            "accept": self.accept,
            "undo": self.undo,
            "run": self.scene.engine,
        }
        try:
            deeds[deed]()
        except PlatformError:
            return

    @property
    def books(self) -> Json:
        """What must not depend on the order, and how each line ended."""
        due = self.scene.due(self.invoice)
        lines = self.scene.shop.rows(
            "SELECT object_id, status, match_state FROM transactions WHERE user_id = :user ORDER BY object_id"
        )
        paid = self.scene.shop.rows(
            "SELECT trust, net, allocated, occurred_at FROM payments WHERE user_id = :user AND status = 'succeeded'"
        )
        return {**self.deal.books, "due": due, "lines": lines, "paid": paid}


def stage(context: Clockwork, amount: int, reference: str | None = utr()) -> Stage:
    deal = deals.make(context, face=FACE, confirmed=CONFIRMED, haircut="20", now=BEGUN)
    scene = Scene(deal.shop)
    scene.by_hand()
    return Stage(deal, scene, other_source(scene), amount, reference)


@pytest.fixture
def small(context: Clockwork) -> Stage:
    """So little that the seller's word settles it."""
    return stage(context, FREE)


def test_an_accepted_line_that_was_uploaded_gives_way_to_the_banks_and_investors_are_repaid(small: Stage) -> None:
    uploaded = small.upload()
    paid = small.scene.accept(uploaded, small.invoice)
    assert small.deal.standing == []
    told = small.bank()
    assert small.scene.engine().accepted == 1
    assert (small.scene.state(uploaded), small.scene.state(told)) == ("duplicate", "accepted")
    assert [row["principal"] for row in small.deal.standing] == [FREE]
    # It is the same payment, and what it says is what the bank says.
    row = small.scene.shop.one(
        "SELECT id, trust, transaction_id, connection_id, net FROM payments WHERE id = :id", id=paid
    )
    assert (row["trust"], row["transaction_id"], row["net"]) == ("signed", told, FREE)
    assert row["connection_id"] == small.scene.shop.connection_id
    (last,) = small.scene.shop.rows(
        "SELECT data FROM outbox WHERE room = 'user:' || :user AND name = 'transaction.matched' "
        "AND data ->> 'instead_of' IS NOT NULL"
    )
    assert (last["data"]["transaction_id"], last["data"]["instead_of"]) == (str(told), str(uploaded))
    with pytest.raises(InvestorsRepaid):
        small.scene.decide("undo", told)
    small.scene.engine()
    small.scene.check()
    check_books(small.scene.shop.database)


def test_when_the_bank_takes_its_line_back_the_word_stands_again_and_investors_have_nothing(small: Stage) -> None:
    uploaded = small.upload()
    paid = small.scene.accept(uploaded, small.invoice)
    before = small.books
    small.pending()
    small.bank()
    small.scene.engine()
    told = small.remove()
    assert (small.scene.state(uploaded), small.scene.state(told)) == ("accepted", "none")
    assert small.deal.standing == []
    assert (small.books["paid"], small.books["due"]) == (before["paid"], before["due"])
    assert small.scene.match(uploaded)["payment_id"] == paid
    small.scene.check()
    check_books(small.scene.shop.database)


def test_more_than_words_settle_waits_again_when_the_bank_takes_its_line_back(context: Clockwork) -> None:
    much = stage(context, CONFIRMED)
    uploaded = much.upload()
    with pytest.raises(Financed):
        much.scene.accept(uploaded, much.invoice)
    told = much.bank()
    much.scene.engine()
    # Nothing is decided yet, and still it is the bank's line that counts.
    assert (much.scene.state(uploaded), much.lines("none", "proposed")) == ("duplicate", [told])
    much.scene.accept(told, much.invoice)
    assert sum(row["amount"] for row in much.deal.standing) == CONFIRMED
    much.remove()
    assert (much.scene.state(uploaded), much.deal.standing, much.scene.due(much.invoice)) == ("none", [], [FACE])
    check_books(much.scene.shop.database)


@pytest.mark.parametrize("reference", [utr(), None])
def test_whoever_accepts_the_banks_line_before_the_engine_looks_accepts_nothing_twice(
    context: Clockwork, reference: str | None
) -> None:
    quick = stage(context, FREE, reference)
    uploaded = quick.upload()
    paid = quick.scene.accept(uploaded, quick.invoice)
    told = quick.bank()
    assert quick.scene.accept(told, quick.invoice) == paid
    assert (quick.scene.state(uploaded), quick.scene.money()) == ("duplicate", FREE)
    assert [row["principal"] for row in quick.deal.standing] == [FREE]
    late = stage(context, FREE, reference)
    late.scene.accept(late.bank(), late.invoice)
    with pytest.raises(Conflict, match="matched already"):
        late.scene.accept(late.upload(), late.invoice)
    assert late.scene.money() == FREE
    quick.scene.check()


def test_a_line_that_was_set_aside_is_set_aside_as_the_banks_as_well(small: Stage) -> None:
    uploaded = small.upload()
    small.scene.decide("ignore", uploaded)
    told = small.bank()
    small.scene.engine()
    assert (small.scene.state(uploaded), small.scene.state(told)) == ("duplicate", "ignored")


def test_what_was_given_back_and_aimed_by_hand_goes_over_with_the_payment(small: Stage) -> None:
    paid = small.scene.accept(small.upload(), small.invoice)
    assert paid is not None
    counter = Counter(small.deal.shop)
    counter.give_back(paid, 500_00)
    small.bank()
    small.scene.engine()
    assert [row["principal"] for row in small.deal.standing] == [FREE - 500_00]
    assert small.scene.money() == FREE - 500_00
    small.scene.check()


@pytest.mark.parametrize("kind", ["payment", "payout"])
def test_a_link_to_what_was_booked_before_is_the_banks_lines_as_well(context: Clockwork, kind: str) -> None:
    scene = open_scene(context)
    scene.by_hand()
    if kind == "payment":
        scene.gateway(FREE, utr=utr(), number=scene.bill(FREE)["number"])
    else:
        scene.payout(FREE, utr=utr())
    told: dict[str, Any] = {"name": "b", "utr": utr()}
    uploaded = scene.line(FREE, "SETTLEMENT", utr=utr(), shop=other_source(scene), trust=Trust.MANUAL)
    scene.engine()
    scene.accept(uploaded)
    line = scene.line(FREE, "SETTLEMENT", **told)
    for status, stands, states in (
        (TransactionStatus.POSTED, line, ("duplicate", "accepted")),
        (TransactionStatus.REMOVED, uploaded, ("accepted", "none")),
    ):
        scene.line(FREE, "SETTLEMENT", **told, status=status, version=3)
        scene.engine()
        assert (scene.state(uploaded), scene.state(line)) == states
        assert scene.match(stands)["kind"] == kind
        if kind == "payout":
            found = scene.shop.one("SELECT transaction_id FROM payouts WHERE user_id = :user")["transaction_id"]
        else:
            found = scene.shop.one("SELECT transaction_id FROM transaction_payments WHERE user_id = :user")[
                "transaction_id"
            ]
        assert (found, scene.money()) == (stands, FREE if kind == "payment" else 0)
        scene.check()


def test_without_the_rule_in_code_the_database_refuses_a_banks_line_as_the_duplicate_of_a_word(
    small: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    small.scene.accept(small.upload(), small.invoice)
    small.bank()
    spoil(known.told_twice, "(line.word, line.id not in decided, line.id)", "(line.id not in decided, line.id)")(
        monkeypatch
    )
    with pytest.raises(IntegrityError, match="no duplicate of"):
        small.scene.engine()


def test_uploaded_lines_of_what_investors_wait_for_are_proposed_and_refused_with_the_reason(context: Clockwork) -> None:
    much = stage(context, CONFIRMED)
    much.scene.set("UPDATE business_profiles SET match_automatically = true WHERE user_id = :user")
    number = much.deal.offer.number
    line = much.scene.line(CONFIRMED, number, day=deals.DUE.date(), utr=utr(), shop=much.file, trust=Trust.MANUAL)
    much.scene.engine()
    assert (much.scene.state(line), much.scene.due(much.invoice)) == ("proposed", [FACE])
    assert much.scene.match(line)["features"]["stops"] == ["word"]
    # One that was judged before the invoice was financed.
    much.scene.set("UPDATE matches SET tier = 'sure' WHERE user_id = :user")
    with much.scene.shop.database.session() as session:
        batch = decisions.accept_sure(session, much.scene.shop.seller.id, NOW)
    assert (batch.done, list(batch.refused)) == ([], [line])
    assert number in batch.refused[line]
    assert "may be settled by hand" in batch.refused[line]
    assert much.scene.money() == 0


def test_of_matches_that_are_taken_back_together_one_that_repaid_investors_stays(small: Stage) -> None:
    other = small.scene.bill(77_00)
    mine = small.scene.line(77_00, other["number"], utr=utr(7))
    told = small.bank()
    small.scene.accept(told, small.invoice)
    small.scene.accept(mine, other)
    with small.scene.shop.database.session() as session:
        batch = decisions.undo_many(session, small.scene.shop.seller.id, [told, mine], NOW, most=2)
    assert (batch.done, list(batch.refused)) == ([mine], [told])
    assert "investors were repaid" in batch.refused[told]
    assert (small.scene.state(told), small.scene.state(mine)) == ("accepted", "proposed")
    assert (small.scene.due(other), small.scene.due(small.invoice)) == ([77_00], [FACE - FREE])
    small.scene.check()


DEEDS = ("upload", "bank", "accept", "undo", "remove")
ORDERS = [order for size in (3, 4, 5) for order in permutations(DEEDS, size) if {"upload", "bank"} <= set(order)]


def ended(context: Clockwork, amount: int, reference: str | None, deeds: tuple[str, ...], *, runs: bool) -> Json:
    one = stage(context, amount, reference)
    for deed in deeds:
        one.do(deed)
        if runs:
            one.do("run")
    for deed in ("run", "accept", "run"):
        one.do(deed)
    one.scene.check()
    return one.books


def tried(context: Clockwork, orders: list[tuple[str, ...]], amount: int, reference: str | None) -> None:
    straight = {
        taken: ended(
            context, amount, reference, ("upload", "bank", "remove") if taken else ("upload", "bank"), runs=False
        )
        for taken in (True, False)
    }
    assert sum(row["amount"] for row in straight[False]["repayments"]) == amount
    assert straight[True]["repayments"] == []
    for place, order in enumerate(orders):
        found = ended(context, amount, reference, order, runs=place % 2 == 0)
        assert (order, found) == (order, straight["remove" in order])


@pytest.mark.parametrize(("amount", "reference"), [(FREE, utr()), (CONFIRMED, None)])
def test_any_order_of_upload_bank_decisions_and_removal_ends_in_the_same_books(
    context: Clockwork, amount: int, reference: str | None
) -> None:
    tried(context, Random(amount).sample(ORDERS, 3), amount, reference)


@pytest.mark.long
@pytest.mark.parametrize(("amount", "reference"), [(FREE, utr()), (FREE, None), (CONFIRMED, utr())])
def test_every_order_of_upload_bank_decisions_and_removal_ends_in_the_same_books(
    context: Clockwork, amount: int, reference: str | None
) -> None:
    tried(context, ORDERS, amount, reference)
