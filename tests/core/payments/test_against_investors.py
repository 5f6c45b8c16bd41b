"""What investors have of a financed invoice is not taken away, nor made up, by its seller's hand."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import text
from sqlalchemy.orm import Session

from core.identity import Actor
from core.marketplace import funding
from core.marketplace.states import State
from core.marketplace.words import Financed, InvestorsRepaid
from core.payments import manual
from core.payments.manual import NewPayment, NewRefund
from core.reconciliation import decisions
from tests.builders import NOW, Clockwork, Json, add_invoice, transaction, until, worker
from tests.core.marketplace import builders, deals
from tests.core.marketplace.builders import LAKH
from tests.core.marketplace.deals import Deal, state_of
from tests.core.payments.counter import DAY, Counter, aims


@pytest.fixture(scope="module")
def context(file_database_url: str) -> Iterator[Clockwork]:
    with worker(file_database_url) as parts:
        yield parts


@pytest.fixture
def deal(context: Clockwork) -> Deal:
    return deals.make(context)


def test_money_of_a_gateway_is_not_aimed_away_from_a_financed_invoice(deal: Deal) -> None:
    counter = Counter(deal.shop)
    (plain,) = counter.bill(deal.financing.face)
    deal.pay(deal.financing.face)
    before = (deal.money(), deal.standing)
    paid = counter.gateway("pmt_1")
    for targets in ([(plain, deal.financing.face)], [(plain, 2_00_000_00), (deal.invoice_id, 3_00_000_00)], []):
        with pytest.raises(InvestorsRepaid, match="investors"):
            counter.edit(paid, targets=aims(targets))
    assert (deal.money(), deal.standing) == before
    # What is said beside the money is free, and so is what no investor had.
    assert counter.edit(paid, notes="came by night")["notes"] == "came by night"


def test_what_came_above_a_financed_invoice_is_applied_elsewhere(deal: Deal) -> None:
    counter = Counter(deal.shop)
    (plain,) = counter.bill(500)
    deal.pay(deal.financing.face + 500)
    before = deal.shares
    counter.allocate(counter.gateway("pmt_1"), (plain, 500))
    assert (deal.shares, counter.standing(plain)) == (before, [("paid", 500)])


def test_a_refund_by_hand_of_a_bank_line_takes_nothing_from_investors(deal: Deal) -> None:
    deal.shop.hear(transaction(amount="500000.00", narration=f"NEFT {deal.offer.number}"))
    line = deal.shop.one("SELECT id FROM transactions WHERE user_id = :user")["id"]
    with deal.shop.database.session() as session:
        paid = decisions.accept(session, deal.offer.seller.id, line, None, NOW)
    assert paid is not None
    before = (deal.money(), deal.standing)
    with pytest.raises(InvestorsRepaid, match="investors"):
        Counter(deal.shop).give_back(paid, 2_00_000_00)
    assert (deal.money(), deal.standing) == before
    # What of it was the seller's own reserve is theirs to give.
    shares = deal.shares
    Counter(deal.shop).give_back(paid, 100)
    assert deal.shares == shares


def test_a_refund_that_is_taken_back_pays_no_invoice_that_was_financed_meanwhile(
    context: Clockwork, monkeypatch: pytest.MonkeyPatch
) -> None:
    paid = []

    def bill(session: Session, seller: Actor, total: int, *more: Any, **others: Any) -> Json:
        """An invoice that was paid in cash, which was given back before it was financed."""
        made = add_invoice(session, seller, total, *more, **others)
        new = NewPayment(
            amount=1_000, currency="INR", method="cash", date=DAY, targets=aims([(UUID(made["id"]), 1_000)])
        )
        paid.append(UUID(manual.record(session, seller, new, NOW)["id"]))
        manual.refund(session, seller, paid[0], NewRefund(amount=1_000, method="cash", date=DAY), NOW)
        return made

    monkeypatch.setattr(builders, "add_invoice", bill)
    deal = deals.make(context)
    counter = Counter(deal.shop)
    refund = deal.shop.one("SELECT id FROM manual_refunds WHERE payment_id = :id", id=paid[0])["id"]
    with pytest.raises(Financed, match="investors"):
        counter.do(manual.take_refund_back, paid[0], refund)
    assert counter.standing(deal.invoice_id) == [("open", 0)]
    assert counter.edit(paid[0], notes="given back")["notes"] == "given back"


def test_cash_that_is_written_down_while_an_invoice_is_funded_pays_nothing_of_it(context: Clockwork) -> None:
    deal = deals.offered(context, face=LAKH, ask=90_000_00)
    counter = Counter(deal.shop)
    with context.database.session() as session:
        investor = builders.person(session)
    new = NewPayment(amount=100, currency="INR", method="cash", date=DAY, targets=aims([(deal.invoice_id, 100)]))
    with ThreadPoolExecutor(1) as pool:
        with context.database.session() as session:
            funding.fund(session, investor, deal.invoice_id, 90_000_00, NOW, rules=builders.RULES)
            racing = pool.submit(counter.do, manual.record, new)
            until(lambda: waits(context) or racing.done())
        with pytest.raises(Financed, match="investors"):
            racing.result(10)
    assert state_of(deal) is State.FUNDED
    assert counter.standing(deal.invoice_id) == [("open", 0)]


def waits(context: Clockwork) -> bool:
    """Whether a transaction waits for a lock."""
    with context.database.connect() as connection:
        return bool(connection.scalar(text("SELECT EXISTS (SELECT FROM pg_locks WHERE NOT granted)")))
