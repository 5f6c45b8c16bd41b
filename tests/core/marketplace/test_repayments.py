"""The buyer pays: the waterfall in the transaction that records it, and back again."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from core.marketplace.states import State
from tests.builders import Clockwork, worker
from tests.core.marketplace import deals
from tests.core.marketplace.builders import LAKH, check_books
from tests.core.marketplace.deals import BEGUN, Deal, state_of


@pytest.fixture(scope="module")
def context(file_database_url: str) -> Iterator[Clockwork]:
    with worker(file_database_url) as parts:
        yield parts


@pytest.fixture
def deal(context: Clockwork) -> Deal:
    return deals.make(context)


def test_an_invoice_of_a_lakh_funded_with_ninety_thousand_ends_as_the_first_users_know_it(context: Clockwork) -> None:
    deal = deals.make(context, face=LAKH, ask=90_000_00, now=BEGUN)
    investor, seller = deal.offer.investors[0], deal.offer.seller
    assert deal.money(investor, seller) == [9_10_000_00, 10_90_000_00]
    deal.pay(LAKH)
    assert deal.money(investor, seller) == [10_10_000_00, 10_90_000_00]
    assert state_of(deal) is State.REPAID
    assert deal.shop.one("SELECT status FROM invoices WHERE id = :id", id=deal.invoice_id) == {"status": "paid"}
    [told] = deal.told("investment.repaid")
    assert told["room"] == f"user:{investor.id}"
    assert told["data"]["amount"] == LAKH
    assert told["data"]["profit"] == 10_000_00
    assert told["data"]["balance"] == 10_10_000_00
    check_books(context.database)


@pytest.mark.parametrize(
    ("amount", "late", "interest", "principal", "seller", "state"),
    [
        pytest.param(5_00_000_00, 0, 0, 4_00_000_00, 1_00_000_00, State.REPAID, id="on time"),
        pytest.param(5_00_000_00, -20, 0, 4_00_000_00, 1_00_000_00, State.REPAID, id="before it is due"),
        pytest.param(5_00_000_00, 15, 2_958_90, 4_00_000_00, 97_041_10, State.REPAID, id="15 days late, whole"),
        pytest.param(4_60_000_00, 15, 2_958_90, 4_00_000_00, 57_041_10, State.REPAID, id="15 days late, short"),
        pytest.param(3_50_000_00, 15, 2_958_90, 3_47_041_10, 0, State.PART_PAID, id="15 days late, far too short"),
    ],
)
def test_the_worked_rows_to_the_paisa(
    deal: Deal, amount: int, late: int, interest: int, principal: int, seller: int, state: State
) -> None:
    before = deal.money()
    deal.pay(amount, days_late=late)
    [row] = deal.standing
    assert (row["interest"], row["principal"], row["seller"], row["surplus"]) == (interest, principal, seller, 0)
    assert state_of(deal) is state
    gained = [after - was for after, was in zip(deal.money(), before, strict=True)]
    assert (sum(gained[:3]), gained[3]) == (interest + principal, seller)
    check_books(deal.shop.database)


def test_the_last_worked_row_is_shared_to_the_paisa(deal: Deal) -> None:
    before = deal.money()
    deal.pay(3_50_000_00, days_late=15)
    assert deal.shares == [(1_109_59, 1_30_140_41), (1_109_59, 1_30_140_41), (739_72, 86_760_28)]
    gained = [after - was for after, was in zip(deal.money(), before, strict=True)]
    assert gained == [1_31_250_00, 1_31_250_00, 87_500_00, 0]
