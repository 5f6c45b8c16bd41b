"""A financed invoice is a sale like any other; what its buyer pays went to those who financed it, and counts once."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.builders import Clockwork, worker
from tests.core.books.trade import books, problems
from tests.core.marketplace import deals
from tests.core.marketplace.deals import Deal


@pytest.fixture(scope="module")
def context(file_database_url: str) -> Iterator[Clockwork]:
    with worker(file_database_url) as parts:
        yield parts


@pytest.fixture
def deal(context: Clockwork) -> Deal:
    return deals.make(context)


def test_what_a_buyer_pays_goes_to_the_financing_and_comes_off_the_receivable(deal: Deal) -> None:
    face = deal.financing.face
    assert books(deal.shop) == {("receivable", "INR"): -face, ("sales", "INR"): face}
    deal.pay(face)
    assert books(deal.shop) == {("sales", "INR"): face, ("financing", "INR"): -face}
    went = deal.shop.one(
        "SELECT sum(amount)::bigint AS amount FROM repayments WHERE financing_id = :id AND reversed_by IS NULL",
        id=deal.offer.financing_id,
    )
    assert went["amount"] == face
    assert problems(deal.shop.database) == []


def test_what_is_taken_back_is_owed_again_by_the_buyer(deal: Deal) -> None:
    face = deal.financing.face
    deal.pay(face)
    deal.shop.hear(deal.returned(face))
    assert books(deal.shop) == {("receivable", "INR"): -face, ("sales", "INR"): face}
    assert problems(deal.shop.database) == []


def test_what_is_above_the_invoice_is_in_the_financing_too_and_is_the_customers_credit(deal: Deal) -> None:
    face = deal.financing.face
    deal.pay(face + 500)
    assert books(deal.shop) == {
        ("sales", "INR"): face,
        ("credit", "INR"): 500,
        ("financing", "INR"): -face - 500,
    }
    assert problems(deal.shop.database) == []
