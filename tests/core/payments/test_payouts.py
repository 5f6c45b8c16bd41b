"""What payouts hold: found from the oldest money on, exact where it can be, and a number where it cannot."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from random import Random
from typing import Any
from uuid import UUID

import pytest

from core import intake
from core.errors import NotFound
from core.events import Payment, PaymentStatus, Payout, PayoutStatus, Record, Refund, RefundStatus
from core.identity import Role
from core.ids import new_id
from core.money import Money
from core.payments import payout_queries, payouts
from core.payments.payouts import Movement
from tests.builders import NOW, Clockwork, Json, Shop, add_seller, open_shop, worker


@pytest.fixture(scope="module")
def context(file_database_url: str) -> Iterator[Clockwork]:
    with worker(file_database_url) as parts:
        yield parts


@pytest.fixture
def shop(context: Clockwork) -> Shop:
    return open_shop(context)


def at(hours: int) -> datetime:
    return NOW + timedelta(hours=hours)


def paid(name: str, amount: int, fee: int | None, hours: int) -> Payment:
    return Payment(
        object_id=name,
        version=1,
        status=PaymentStatus.SUCCEEDED,
        money=Money(amount, "INR"),
        fee=None if fee is None else Money(fee, "INR"),
        occurred_at=at(hours),
    )


def back(name: str, of: str, amount: int, hours: int) -> Refund:
    money = Money(amount, "INR")
    return Refund(
        object_id=name, version=1, payment_id=of, status=RefundStatus.SUCCEEDED, money=money, occurred_at=at(hours)
    )


def payout(name: str, amount: int, hours: int, **more: Any) -> Payout:
    given: dict[str, Any] = {
        "version": 1,
        "status": PayoutStatus.PAID,
        "money": Money(amount, "INR"),
        "occurred_at": at(hours),
    }
    return Payout(object_id=name, **(given | more))


def hear(shop: Shop, *records: Record) -> None:
    with shop.database.connect() as connection:
        intake.apply(connection, shop.state(*records))


def found(shop: Shop) -> dict[str, Json]:
    with shop.database.session() as session:
        rows = payout_queries.list_payouts(session, shop.seller)["items"]
        return {row["object_id"]: payout_queries.get_payout(session, shop.seller, UUID(row["id"])) for row in rows}


def lines(one: Json) -> list[str]:
    return [line["object_id"] for line in one["lines"]]


STORY: Sequence[Record] = (
    paid("a", 1_000, 20, 1),
    paid("b", 500, 10, 2),
    back("r", "a", 300, 3),
    paid("c", 700, 14, 4),
    paid("late", 900, 18, 30),
    payout("first", 1_170, 24),
    payout("second", 1_568, 48),
)


def test_each_payout_holds_payments_less_fees_and_refunds_from_the_oldest_on(shop: Shop) -> None:
    hear(shop, *STORY)
    held = found(shop)
    # 980 + 490 - 300 = 1170, and 686 + 882 = 1568.
    assert {name: (lines(one), one["unexplained"]) for name, one in held.items()} == {
        "first": (["a", "b", "r"], 0),
        "second": (["c", "late"], 0),
    }
    first = held["first"]
    assert (first["payment_count"], first["collected"], first["fees"], first["returned"]) == (2, 1_500, 30, 300)


@pytest.mark.parametrize("seed", range(6))
def test_the_news_may_come_in_any_order(shop: Shop, seed: int) -> None:
    told = list(STORY)
    Random(seed).shuffle(told)
    for record in told:
        hear(shop, record)
    with shop.database.connect() as connection:
        # What came after its payout is found when somebody looks again, as the hourly work does.
        payouts.look_again(connection, payouts.with_gaps(connection, at(72)))
    assert {name: (lines(one), one["unexplained"]) for name, one in found(shop).items()} == {
        "first": (["a", "b", "r"], 0),
        "second": (["c", "late"], 0),
    }


def test_what_does_not_add_up_is_a_number_and_no_payment_is_in_two_payouts(shop: Shop) -> None:
    hear(shop, paid("a", 1_000, 20, 1), paid("b", 500, 10, 2), payout("first", 975, 24), payout("second", 495, 48))
    held = found(shop)
    assert {name: (lines(one), one["unexplained"]) for name, one in held.items()} == {
        "first": (["a"], -5),
        "second": (["b"], 5),
    }
    before = held
    with shop.database.connect() as connection:
        assert payouts.look_again(connection, [shop.connection_id]) == 2
    assert found(shop) == before


def test_fees_may_stand_on_the_payout_alone(shop: Shop) -> None:
    hear(shop, paid("a", 1_000, None, 1), paid("b", 500, None, 2), payout("p", 1_470, 24, fee=Money(30, "INR")))
    assert [(lines(one), one["unexplained"]) for one in found(shop).values()] == [(["a", "b"], 0)]


def test_money_to_somebody_else_failed_payouts_and_other_currencies_hold_nothing(shop: Shop) -> None:
    hear(
        shop,
        paid("a", 1_000, 0, 1),
        payout("supplier", 1_000, 24, to_third_party=True),
        payout("failed", 1_000, 25, status=PayoutStatus.FAILED),
        payout("dollars", 0, 26, money=Money(1_000, "USD")),
    )
    held = found(shop)
    assert {name: (lines(one), one["unexplained"]) for name, one in held.items()} == {
        "supplier": ([], None),
        "failed": ([], None),
        "dollars": ([], 1_000),
    }


def test_a_payout_that_goes_back_frees_what_it_held(shop: Shop) -> None:
    hear(shop, paid("a", 1_000, 0, 1), payout("first", 1_000, 24))
    hear(shop, payout("first", 1_000, 24, version=2, status=PayoutStatus.REVERSED), payout("again", 1_000, 30))
    assert {name: lines(one) for name, one in found(shop).items()} == {"first": [], "again": ["a"]}


def test_only_the_seller_and_operators_see_payouts(context: Clockwork, shop: Shop) -> None:
    hear(shop, paid("a", 1_000, 0, 1), payout("first", 1_000, 24))
    identity = UUID(next(iter(found(shop).values()))["id"])
    with shop.database.session() as session:
        for role in (Role.SELLER, Role.BUYER, Role.INVESTOR):
            other = add_seller(context, role)
            assert payout_queries.list_payouts(session, other)["items"] == []
            with pytest.raises(NotFound):
                payout_queries.get_payout(session, other, identity)
        assert payout_queries.get_payout(session, add_seller(context, Role.OPERATOR), identity)["payment_count"] == 1


def test_fees_are_summed_over_a_connection(shop: Shop) -> None:
    hear(shop, paid("a", 1_000, 20, 1), paid("b", 500, None, 2))
    with shop.database.session() as session:
        [row] = payout_queries.fees(session, shop.seller, at(0))
    assert (row["payment_count"], row["collected"], row["fees"]) == (2, 1_500, 20)


def moved(*nets: int) -> list[Movement]:
    return [
        Movement(id=new_id(), kind="payment" if net > 0 else "refund", amount=net, fee=0, occurred_at=at(place))
        for place, net in enumerate(nets)
    ]


@pytest.mark.parametrize(
    ("amount", "waiting", "many", "unexplained"),
    [
        pytest.param(10, [], 0, 10, id="nothing came"),
        pytest.param(10, [10], 1, 0, id="all of it"),
        pytest.param(10, [10, -3, 3], 3, 0, id="the longest that is exact"),
        pytest.param(10, [4, 7], 2, -1, id="nearest from above"),
        pytest.param(10, [9, 7], 1, 1, id="nearest from below"),
        pytest.param(10, [8, 4], 2, -2, id="more where two are as near"),
        pytest.param(10, [100], 0, 10, id="none where all are far"),
    ],
)
def test_the_prefix_that_explains_most(amount: int, waiting: list[int], many: int, unexplained: int) -> None:
    batch = payouts.explain(amount, None, moved(*waiting))
    assert (len(batch.lines), batch.unexplained) == (many, unexplained)
