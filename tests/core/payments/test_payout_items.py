"""Payouts whose parts their provider names: exact, in any order of news, with the fees that only they tell."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import timedelta
from random import Random
from typing import Any
from uuid import UUID

import pytest
from hypothesis import HealthCheck, Phase, given
from hypothesis import settings as bounded
from hypothesis import strategies as st
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError, IntegrityError

from core import intake
from core.events import PayoutItem, PayoutStatus, Record, Trust
from core.money import Money
from core.payments import payout_queries, payouts, queries
from core.syncing import schedule
from tests.builders import NOW, Clockwork, Json, Shop, open_shop, said, worker
from tests.core.books.trade import books, problems
from tests.core.payments.test_payouts import at, back, found, hear, lines, paid, payout


@pytest.fixture(scope="module")
def context(file_database_url: str) -> Iterator[Clockwork]:
    with worker(file_database_url) as parts:
        yield parts


@pytest.fixture
def shop(context: Clockwork) -> Shop:
    return open_shop(context)


def item(of: str, payout_id: str, amount: int, kept: int = 0, **more: Any) -> PayoutItem:
    given: dict[str, Any] = {
        "version": 1,
        "kind": "payment",
        "subject_id": of,
        "money": Money(amount, "INR"),
        "fee": Money(kept, "INR"),
        "occurred_at": at(24),
    }
    return PayoutItem(object_id=f"item-{of}", payout_id=payout_id, **(given | more))


# Two payouts that the order of payments would fill otherwise, with fees that the payments do not tell.
STORY: Sequence[Record] = (
    paid("a", 1_000, None, 1),
    paid("b", 500, 10, 2),
    back("r", "a", 300, 3),
    paid("c", 700, None, 4),
    item("a", "first", 1_000, 20),
    item("c", "first", 700, 14),
    item("b", "second", 500, 10),
    item("r", "second", -300, 2, kind="refund"),
    item("plan", "second", -50, 9, kind="fee", subject_id=None),
    payout("first", 1_666, 24),
    payout("second", 129, 48),
)


def state(shop: Shop) -> Json:
    """What payouts hold, what payments cost, and the books."""
    payments = shop.rows("SELECT object_id, fee, fee_named FROM payments WHERE user_id = :user ORDER BY object_id")
    return {
        "payouts": {
            name: {
                **{key: one[key] for key in ("unexplained", "collected", "fees", "returned", "adjusted", "named")},
                "lines": [(line["object_id"], line["net"], line["named"], line["unseen"]) for line in one["lines"]],
            }
            for name, one in found(shop).items()
        },
        "payments": payments,
        "books": books(shop),
    }


def test_named_parts_explain_a_payout_and_tell_payments_their_fees(shop: Shop) -> None:
    hear(shop, *STORY)
    told = state(shop)
    first, second = told["payouts"]["first"], told["payouts"]["second"]
    assert (first["unexplained"], first["lines"]) == (0, [("a", 980, True, False), ("c", 686, True, False)])
    # 500 - 10 for b, 300 and 2 for what went back, 50 and 9 for the plan.
    assert second["unexplained"] == 0
    assert (second["collected"], second["fees"], second["returned"]) == (500, 71, 300)
    assert told["payments"] == [
        {"object_id": "a", "fee": 20, "fee_named": True},
        {"object_id": "b", "fee": 10, "fee_named": False},
        {"object_id": "c", "fee": 14, "fee_named": True},
    ]
    # All that was collected is in the bank or was kept: the account between them is empty.
    assert ("clearing", "INR") not in told["books"]
    assert told["books"]["bank", "INR"] == -(1_666 + 129)
    assert told["books"]["gateway_fees", "INR"] == -(20 + 10 + 14 + 2 + 59)
    with shop.database.session() as session:
        [row] = payout_queries.fees(session, shop.seller, at(0))
    # The same as in the books, with what belongs to no payment.
    assert row["fees"] == 20 + 10 + 14 + 2 + 59


@bounded(
    phases=(Phase.explicit, Phase.generate),
    max_examples=2,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
    derandomize=True,
)
@given(chance=st.randoms(use_true_random=False))
def test_any_order_and_any_repeat_of_the_news_ends_with_the_same_lines_fees_and_books(
    context: Clockwork, straight: Json, chance: Random
) -> None:
    any_order(context, straight, chance)


@pytest.mark.long
@bounded(
    max_examples=150,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(chance=st.randoms(use_true_random=False))
def test_many_orders_of_the_news_end_the_same(context: Clockwork, straight: Json, chance: Random) -> None:
    any_order(context, straight, chance)


# A payout that nothing is named of, beside those that are; and one item that went to another payout.
NEWS = (
    *STORY,
    item("c", "second", 700, 14, version=0),
    paid("d", 400, 8, 30),
    payout("third", 392, 60),
)


def ends(context: Clockwork, told: Sequence[Sequence[Record]]) -> Json:
    """How it stands once batches of news were heard, and somebody looked again."""
    shop = open_shop(context)
    for batch in told:
        hear(shop, *batch)
    with shop.database.connect() as connection:
        payouts.look_again(connection, [shop.connection_id])
    return state(shop)


@pytest.fixture(scope="module")
def straight(context: Clockwork) -> Json:
    """How it ends when all is told at once."""
    return ends(context, [NEWS])


def any_order(context: Clockwork, straight: Json, chance: Random) -> None:
    told = [*NEWS, *chance.sample(NEWS, 4)]
    chance.shuffle(told)
    batches = []
    while told:
        size = chance.randint(1, 5)
        batches.append(told[:size])
        told = told[size:]
    assert ends(context, batches) == straight
    assert straight["payouts"]["third"]["lines"] == [("d", 392, False, False)]
    assert problems(context.database) == []


def test_what_is_named_and_unknown_is_a_line_with_the_providers_id_until_its_news_comes(shop: Shop) -> None:
    hear(shop, paid("a", 1_000, 20, 1), payout("first", 1_666, 24))
    hear(shop, item("a", "first", 1_000, 20), item("c", "first", 700, 14))
    [one] = found(shop).values()
    assert one["unexplained"] == 0
    assert [(line["object_id"], line["payment_id"], line["unseen"]) for line in one["lines"]] == [
        ("c", None, True),
        ("a", one["lines"][1]["payment_id"], False),
    ]
    hear(shop, paid("c", 700, None, 4))
    [one] = found(shop).values()
    assert [(line["object_id"], line["unseen"]) for line in one["lines"]] == [("a", False), ("c", False)]
    assert all(line["payment_id"] for line in one["lines"])


def test_what_the_names_do_not_come_to_is_unexplained_and_nothing_is_guessed_for_it(shop: Shop) -> None:
    hear(shop, paid("a", 1_000, 0, 1), paid("b", 100, 0, 2), payout("first", 1_100, 24), item("a", "first", 1_000))
    [one] = found(shop).values()
    assert (lines(one), one["unexplained"]) == (["a"], 100)


def test_names_win_over_what_was_found_by_order(shop: Shop) -> None:
    hear(shop, paid("a", 1_000, 0, 1), paid("b", 1_000, 0, 2), payout("first", 1_000, 24), payout("second", 1_000, 48))
    assert {name: lines(one) for name, one in found(shop).items()} == {"first": ["a"], "second": ["b"]}
    hear(shop, item("a", "second", 1_000))
    held = found(shop)
    assert {name: (lines(one), one["named"]) for name, one in held.items()} == {
        "first": (["b"], False),
        "second": (["a"], True),
    }
    with shop.database.session() as session:
        payment = queries.get_payment(session, shop.seller, UUID(held["second"]["lines"][0]["payment_id"]))
    assert payment["payout"]["id"] == held["second"]["id"]


def test_an_item_that_is_restated_moves_and_an_older_word_changes_nothing(shop: Shop) -> None:
    hear(
        shop, paid("a", 1_000, None, 1), payout("failed", 990, 24, status=PayoutStatus.FAILED), payout("again", 990, 48)
    )
    hear(shop, item("a", "again", 1_000, 10, version=5))
    hear(shop, item("a", "failed", 1_000, 70, version=2))
    held = found(shop)
    assert {name: (lines(one), one["unexplained"]) for name, one in held.items()} == {
        "failed": ([], None),
        "again": (["a"], 0),
    }
    assert shop.one("SELECT fee FROM payments WHERE user_id = :user")["fee"] == 10


def test_a_payout_that_goes_back_brings_nothing_into_the_books(shop: Shop) -> None:
    hear(shop, paid("a", 1_000, None, 1), payout("first", 970, 24), item("a", "first", 1_000, 20))
    hear(shop, item("plan", "first", -10, kind="fee", subject_id=None))
    assert books(shop)["gateway_fees", "INR"] == -30
    hear(shop, payout("first", 970, 24, version=2, status=PayoutStatus.REVERSED))
    assert found(shop)["first"]["unexplained"] is None
    assert books(shop)["gateway_fees", "INR"] == -20
    assert books(shop)["clearing", "INR"] == -980


def test_a_fee_in_another_currency_is_no_fee_of_the_payment(shop: Shop) -> None:
    hear(shop, paid("a", 1_000, None, 1))
    hear(shop, item("a", "first", 0, money=Money(11, "USD"), fee=Money(1, "USD")))
    assert shop.one("SELECT fee, fee_named FROM payments WHERE user_id = :user") == {"fee": None, "fee_named": False}


def test_a_hint_names_nothing(shop: Shop) -> None:
    hear(shop, paid("a", 1_000, None, 1), payout("first", 980, 24))
    hints = [replace(one, trust=Trust.HINT) for one in shop.state(item("a", "first", 1_000, 20))]
    with shop.database.connect() as connection:
        intake.apply(connection, hints, now=NOW)
    assert not found(shop)["first"]["named"]
    assert shop.one("SELECT fee FROM payments WHERE user_id = :user")["fee"] is None


@pytest.mark.parametrize(
    ("event", "waits", "due"),
    [
        pytest.param("payout.paid", timedelta(hours=1), timedelta(minutes=5), id="a while later"),
        pytest.param("payout.paid", timedelta(minutes=1), timedelta(minutes=1), id="as planned, where that is sooner"),
        pytest.param("payout.pending", timedelta(hours=1), timedelta(hours=1), id="not before it is paid"),
    ],
)
def test_what_is_in_a_payout_is_asked_for_once_it_is_paid(
    context: Clockwork, shop: Shop, event: str, waits: timedelta, due: timedelta
) -> None:
    now = context.now()
    with context.database.session() as session:
        schedule.begin(session, shop.connection_id, now)
        schedule.put_off(session, shop.connection_id, now + waits, None)
    shop.hear(said(event, 1, id="po_1", amount_minor=500, currency="INR"))
    row = shop.one("SELECT due_at FROM sync_schedules WHERE connection_id = :id", id=shop.connection_id)
    assert row["due_at"] == now + due


FOUND_AS_WELL = (
    "INSERT INTO payout_lines (subject_id, payout_id, kind, amount, occurred_at) "
    "SELECT payments.id, payouts.id, 'payment', payments.amount, payments.occurred_at FROM payments, payouts "
    "WHERE payments.user_id = :user AND payouts.user_id = :user"
)
NAMED_AS_WELL = (
    "INSERT INTO payout_items (id, user_id, connection_id, object_id, version, payout_object_id, kind, "
    "subject_object_id, amount, currency, occurred_at) SELECT gen_random_uuid(), user_id, connection_id, {name}, 1, "
    "'other', 'payment', object_id, amount, currency, occurred_at FROM payments WHERE user_id = :user"
)


@pytest.mark.parametrize(
    ("before", "statement", "constraint"),
    [
        pytest.param([item("a", "first", 1_000)], FOUND_AS_WELL, "payout_lines_are_not_named", id="found"),
        pytest.param([], NAMED_AS_WELL.format(name="'x'"), "payout_lines_are_not_named", id="named"),
        pytest.param(
            [item("a", "first", 1_000)],
            NAMED_AS_WELL.format(name="'item-a'"),
            "payout_items_are_in_one_payout",
            id="twice",
        ),
    ],
)
def test_the_database_has_a_movement_in_one_payout(
    shop: Shop, before: list[Record], statement: str, constraint: str
) -> None:
    hear(shop, paid("a", 1_000, 0, 1), payout("first", 1_000, 24), *before)
    with pytest.raises(DBAPIError) as refused, shop.database.connect() as connection:
        connection.execute(text(statement), {"user": shop.seller.id})
    assert getattr(refused.value.orig, "diag").constraint_name == constraint  # noqa: B009 - The driver's own.


@pytest.mark.parametrize(
    "wrong", [{"kind": "fee"}, {"kind": "payment", "subject_id": None}, {"payout_id": ""}], ids=str
)
def test_an_item_that_names_too_much_or_nothing_is_refused(shop: Shop, wrong: dict[str, Any]) -> None:
    with pytest.raises(IntegrityError):
        hear(shop, replace(item("a", "first", 1_000), **wrong))
