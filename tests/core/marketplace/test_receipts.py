"""All receipts of a financing divided: what must hold of every set of them."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, datetime, timedelta
from decimal import Decimal
from random import Random
from uuid import UUID

from hypothesis import given, settings
from hypothesis import strategies as st

from core.marketplace.receipts import Claim, Divided, Receipt, Terms, divide
from core.marketplace.rounding import split
from core.marketplace.rules import INDIA
from core.marketplace.waterfall import Recourse
from tests.budget import examples

DUE = date(2027, 1, 1)
BEGUN = datetime(2026, 12, 1, 12, 0, tzinfo=INDIA)


@st.composite
def deals(draw: st.DrawFn) -> tuple[Terms, list[Claim]]:
    total = draw(st.integers(1, 10_000_00))
    confirmed = draw(st.integers(max(1, total * 9 // 10), total))
    principal = draw(st.integers(max(1, confirmed * 7 // 10), confirmed))
    weights = draw(st.lists(st.integers(1, 9), min_size=1, max_size=4))
    parts = [part for part in split(principal, weights) if part]
    terms = Terms(
        total=total,
        confirmed=confirmed,
        principal=principal,
        due=DUE,
        late_rate=draw(st.sampled_from([Decimal(0), Decimal("0.18"), Decimal("0.36")])),
        recourse=draw(st.sampled_from(list(Recourse))),
    )
    return terms, [Claim(id=UUID(int=n), investor_id=UUID(int=100 + n), principal=one) for n, one in enumerate(parts)]


RECEIPTS = st.lists(
    st.builds(
        lambda day, amount, name: Receipt(
            payment_id=UUID(int=1000 + name), amount=amount, paid_at=BEGUN + timedelta(days=day), name=str(name)
        ),
        st.integers(0, 200),
        st.integers(1, 6_000_00),
        st.integers(0, 10**6),
    ),
    max_size=6,
    unique_by=lambda one: one.payment_id,
)


def total(rows: list[Divided], name: str) -> int:
    return sum(getattr(row, name) for row in rows)


@given(deals(), RECEIPTS)
@settings(max_examples=examples(100), deadline=None, derandomize=True)
def test_every_unit_goes_somewhere_and_nobody_gets_more_than_is_theirs(
    deal: tuple[Terms, list[Claim]], receipts: list[Receipt]
) -> None:
    terms, claims = deal
    rows = divide(terms, claims, receipts)
    for row in rows:
        assert row.amount == row.interest + row.principal + row.seller + row.surplus
        assert min(row.interest, row.principal, row.seller, row.surplus) >= 0
        assert sum(share.interest for share in row.shares) == row.interest
        assert sum(share.principal for share in row.shares) == row.principal
    received = sum(one.amount for one in receipts)
    assert total(rows, "amount") == received
    for claim in claims:
        back = sum(share.principal for row in rows for share in row.shares if share.investment_id == claim.id)
        assert back <= claim.principal
    # The seller and the payer get something only once the principal is whole.
    if total(rows, "principal") < terms.principal:
        assert total(rows, "seller") == total(rows, "surplus") == 0
    assert total(rows, "principal") + total(rows, "seller") <= terms.total
    if total(rows, "surplus"):
        assert received > terms.total
    # Whoever paid the whole face in time owes nothing.
    if all(one.paid_at.date() <= DUE for one in receipts):
        assert total(rows, "interest") == 0
    # The face alone always repays the principal, however late it is.
    if received >= terms.confirmed and not (terms.recourse is Recourse.NONE and received > terms.total):
        assert total(rows, "principal") == terms.principal


@given(deals(), RECEIPTS, st.randoms(use_true_random=False))
@settings(max_examples=examples(50), deadline=None, derandomize=True)
def test_the_order_in_which_they_are_told_is_nothing_to_it(
    deal: tuple[Terms, list[Claim]], receipts: list[Receipt], chance: Random
) -> None:
    told = list(receipts)
    chance.shuffle(told)
    assert divide(*deal, told) == divide(*deal, receipts)


@given(deals(), RECEIPTS)
@settings(max_examples=examples(50), deadline=None, derandomize=True)
def test_a_repurchase_makes_the_investors_whole_and_what_comes_then_is_the_sellers(
    deal: tuple[Terms, list[Claim]], receipts: list[Receipt]
) -> None:
    terms, claims = deal
    bought = Receipt(payment_id=UUID(int=1), amount=0, paid_at=BEGUN + timedelta(days=120), repurchase=True)
    rows = divide(terms, claims, [*receipts, bought])
    assert total(rows, "principal") == terms.principal
    later = [row for row in rows if row.receipt.paid_at > bought.paid_at]
    assert total(later, "interest") == total(later, "principal") == 0
    by_buyer = [row for row in rows if not row.receipt.repurchase]
    assert total(by_buyer, "amount") == sum(one.amount for one in receipts)
    assert total(by_buyer, "principal") + total(by_buyer, "seller") <= terms.total


def test_late_interest_stops_on_what_is_paid() -> None:
    terms = Terms(
        total=100_00, confirmed=100_00, principal=50_00, due=DUE, late_rate=Decimal("0.365"), recourse=Recourse.RESERVE
    )
    claim = Claim(id=UUID(int=1), investor_id=UUID(int=2), principal=50_00)
    first = Receipt(payment_id=UUID(int=3), amount=25_50, paid_at=datetime(2027, 1, 11, tzinfo=INDIA))
    second = replace(first, payment_id=UUID(int=4), amount=30_00, paid_at=datetime(2027, 1, 21, tzinfo=INDIA))
    # A tenth of a per cent a day: ten days on 50.00, then ten days on 25.00.
    assert [(row.interest, row.principal, row.seller) for row in divide(terms, [claim], [first, second])] == [
        (50, 25_00, 0),
        (25, 25_00, 4_75),
    ]
