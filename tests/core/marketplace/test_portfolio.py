"""What a portfolio comes to: the worked numbers of the rules, and the books of any instant."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import date, timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core import statistics, wallets
from core.identity import Actor, Role
from core.ids import new_id
from core.marketplace import funding, holdings, performance, portfolio
from core.marketplace.performance import Position, Receipt
from core.marketplace.rules import today
from tests.builders import NOW, Clockwork, worker
from tests.core.marketplace import deals
from tests.core.marketplace.builders import LAKH, NEXT_DAY, RULES, Listing, funded, listed, person
from tests.core.marketplace.counting import counted
from tests.core.marketplace.deals import BEGUN

DAY = date(2026, 11, 3)
SOME = st.integers(1, 10**9)


def position(**more: Any) -> Position:
    """The worked example: 3,92,109.59 for a claim of 4,00,000 over 60 days."""
    given: dict[str, Any] = {
        "id": new_id(),
        "outlay": 3_92_109_59,
        "principal": 4_00_000_00,
        "day": DAY,
        "pay_date": DAY + timedelta(days=60),
        "state": "funded",
        "debtor": "buyer:b@x.test",
        "debtor_kind": "buyer",
        "debtor_id": None,
        "debtor_name": "Rao",
        "receipts": (),
    }
    return Position(**{**given, **more})


def after(days: int, principal: int, interest: int = 0) -> Receipt:
    return Receipt(DAY + timedelta(days=days), principal, interest)


@pytest.mark.parametrize(
    ("receipt", "state", "percent"),
    [
        pytest.param(after(60, 4_00_000_00), "repaid", "12.885", id="on time"),
        pytest.param(after(75, 4_00_000_00), "repaid", "10.18", id="15 days late without interest"),
        pytest.param(after(75, 4_00_000_00, 2_958_90), "repaid", "14.21", id="15 days late with it"),
        pytest.param(after(75, 3_47_041_10, 2_958_90), "written_off", "-42.5", id="short, the rest given up"),
    ],
)
def test_realised_yields_are_those_of_the_rules(receipt: Receipt, state: str, percent: str) -> None:
    found = performance.totals([position(receipts=(receipt,), state=state)])["realised_yield"]
    places = Decimal(percent).as_tuple().exponent
    assert isinstance(found, str)
    assert isinstance(places, int)
    assert round(Decimal(found), -places) == Decimal(percent)


def test_a_yield_over_many_investments_weighs_money_and_time() -> None:
    # Twice the money at half the gain, a year each: 100 brings 10, 200 bring 10, so 300 bring 20.
    year = DAY + timedelta(days=365)
    flows = [(DAY, -300), (year, 320)]
    assert performance.money_weighted(flows) == Decimal("0.066667")
    assert performance.money_weighted([(DAY, -100), (DAY, -200), (year, 110), (year, 210)]) == Decimal("0.066667")


def test_a_yield_needs_money_and_time_and_a_total_loss_is_all_of_it() -> None:
    assert performance.money_weighted([]) is None
    assert performance.money_weighted([(DAY, -5), (DAY, 6)]) is None
    assert performance.money_weighted([(DAY, -5)]) == -1
    assert performance.totals([position(state="written_off")])["realised_yield"] == "-100"


@given(st.lists(st.tuples(st.integers(1, 800), SOME, SOME), min_size=1, max_size=6))
def test_discounted_at_the_yield_what_came_back_is_worth_what_was_paid(deals_: list[tuple[int, int, int]]) -> None:
    flows = [flow for days, paid, back in deals_ for flow in ((DAY, -paid), (DAY + timedelta(days=days), back))]
    rate = performance.money_weighted(sorted(flows))
    if rate is None or not Decimal("-0.9") < rate < 100:
        return
    worth = sum(amount / (1 + float(rate)) ** ((day - DAY).days / 365) for day, amount in flows)
    assert abs(worth) <= 1e-4 * sum(abs(amount) for _, amount in flows)


def test_the_sums_say_what_is_out_what_came_back_and_what_was_lost() -> None:
    open_, held = position(), position(day=None, outlay=90, principal=100)
    done = position(outlay=90_000_00, principal=LAKH, receipts=(after(30, LAKH),), state="repaid")
    late = position(outlay=90, principal=100, receipts=(after(70, 40, 3),), state="overdue")
    lost = position(outlay=90, principal=100, receipts=(after(70, 40),), state="written_off")
    assert performance.totals([open_, held, done, late, lost]) == {
        "invested": 3_92_109_59 + 90 + 90_000_00 + 90 + 90,
        "held": 90,
        "active": 3_92_109_59 + 90 + 90,
        "outstanding": 4_00_000_00 + 60,
        "expected": 4_00_000_00 + 100 + 60,
        "expected_profit": 7_890_41 + 10 + 10,
        "received": LAKH + 43 + 40,
        "interest": 3,
        "realised_profit": 10_000_00 - 50,
        "realised_return": "11.11",
        "realised_yield": performance.totals([done, lost])["realised_yield"],
        "overdue": 60,
        "lost": 60,
        "active_count": 3,
        "closed_count": 2,
    }


@pytest.mark.parametrize(
    ("parts", "concentration"), [((60, 20, 10, 10), "0.42"), ((25, 25, 25, 25), "0.25"), ((7,), "1")]
)
def test_concentration_is_the_sum_of_squared_shares(parts: tuple[int, ...], concentration: str) -> None:
    held = [position(outlay=part, principal=part, debtor=f"buyer:{place}") for place, part in enumerate(parts)]
    found: Any = performance.exposure(held, 1000)
    assert found["concentration"] == concentration
    assert [each["amount"] for each in found["debtors"]] == sorted(parts, reverse=True)
    assert sum(Decimal(each["share"]) for each in found["debtors"]) == 100
    assert found["debtors"][0]["of_money"] == str(Decimal(max(parts)) / 10)


def test_cash_is_expected_in_the_week_or_month_in_which_it_is_due() -> None:
    held = [
        position(pay_date=date(2026, 11, 2), principal=5, outlay=5),
        position(pay_date=date(2026, 11, 9), principal=10, outlay=10),
        position(pay_date=date(2026, 11, 15), principal=20, outlay=20),
        position(pay_date=date(2026, 12, 31), principal=40, outlay=40, receipts=(Receipt(DAY, 15, 0),)),
        position(receipts=(after(1, 4_00_000_00),)),
    ]
    monthly = performance.cash_flow(held, DAY, "month")
    assert [(one["from"], one["to"], one["late"], one["expected"], one["investments"]) for one in monthly] == [
        (None, None, True, 5, 1),
        (date(2026, 11, 1), date(2026, 11, 30), False, 30, 2),
        (date(2026, 12, 1), date(2026, 12, 31), False, 25, 1),
    ]
    weekly = performance.cash_flow(held, DAY, "week")
    assert [(one["from"], one["to"], one["expected"]) for one in weekly[1:]] == [
        (date(2026, 11, 9), date(2026, 11, 15), 30),
        (date(2026, 12, 28), date(2027, 1, 3), 25),
    ]


def test_value_earns_the_discount_evenly_until_it_is_due_and_then_stands_still() -> None:
    held = [position(outlay=90, principal=100, pay_date=DAY + timedelta(days=10))]
    points = performance.value(held, DAY + timedelta(days=12))
    assert [point["value"] for point in points] == [90, 91, 92, 93, 94, 95, 96, 97, 98, 99, 100, 100, 100]
    assert {point["outstanding"] for point in points} == {100}
    paid = [replace(held[0], receipts=(after(11, 100, 2),))]
    last = performance.value(paid, DAY + timedelta(days=12))[-1]
    assert last == {"day": DAY + timedelta(days=12), "cost": 0, "outstanding": 0, "value": 0, "received": 102}


@given(st.integers(0, 4000))
def test_a_value_over_any_time_has_at_most_61_points_and_ends_today(days: int) -> None:
    end = DAY + timedelta(days=days)
    points = performance.value([position()], end)
    shown = [point["day"] for point in points]
    assert shown[0] == DAY
    assert shown[-1] == end
    assert len(shown) <= performance.MAX_POINTS
    assert shown == sorted(set(shown))  # type: ignore[type-var]


# Against the database ---------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def context(file_database_url: str) -> Iterator[Clockwork]:
    with worker(file_database_url) as parts:
        yield parts


def look(context: Clockwork, who: Actor, **more: Any) -> Any:
    with context.database.session() as session:
        return portfolio.portfolio(session, who, context.now(), **more)


def test_the_first_users_numbers(context: Clockwork) -> None:
    deal = deals.make(context, face=LAKH, ask=90_000_00, now=BEGUN)
    investor = deal.offer.investors[0]
    before = look(context, investor)
    assert before["wallet"] == {"balance": 9_10_000_00, "available": 9_10_000_00, "held": 0, "currency": "INR"}
    assert {name: before["totals"][name] for name in ("invested", "expected", "expected_profit", "received")} == {
        "invested": 90_000_00,
        "expected": LAKH,
        "expected_profit": 10_000_00,
        "received": 0,
    }
    [held] = before["investments"]
    assert (held["amount"], held["expected_return"], held["profit"], held["status"]) == (
        90_000_00,
        LAKH,
        10_000_00,
        "settled",
    )
    deal.pay(LAKH)
    done = look(context, investor)
    assert done["totals"]["realised_profit"] == 10_000_00
    assert done["totals"]["realised_return"] == "11.11"
    assert (done["totals"]["expected"], done["exposure"]["debtors"], done["cash_flow"]) == (0, [], [])
    assert done["investments"][0]["status"] == "repaid"


def test_what_is_added_up_is_what_the_financing_and_the_ledger_say(context: Clockwork) -> None:
    deal = deals.make(context)
    deal.pay(3_50_000_00, days_late=15)
    with context.database.session() as session:
        for investor, (interest, principal) in zip(deal.offer.investors, deal.shares, strict=True):
            [held] = portfolio.positions(session, investor.id)
            assert (held.interest, held.repaid) == (interest, principal)
            assert (
                wallets.balance(session, investor.id)["balance"] == wallets.WELCOME - held.outlay + interest + principal
            )


def test_a_past_instant_has_the_books_that_were_recorded_then(context: Clockwork) -> None:
    deal = deals.make(context)
    investor = deal.offer.investors[0]
    asked = BEGUN + timedelta(hours=1)
    before = look(context, investor, at=asked)
    context.wait(3600)
    deal.pay(3_50_000_00, days_late=15)
    between = context.now()
    context.wait(3600)
    deal.shop.hear(deal.returned(3_50_000_00))
    now = look(context, investor)
    assert now["totals"]["received"] == 0
    then = look(context, investor, at=between)
    assert then["totals"]["received"] == 1_31_250_00
    assert then["wallet"]["balance"] == now["wallet"]["balance"] + 1_31_250_00
    assert then["investments"][0]["invoice_status"] == "part_paid"
    assert then["investments"][0]["repaid"] == 1_30_140_41
    # What was said before the payment is said still.
    assert look(context, investor, at=asked) == before
    nobody_yet = look(context, investor, at=BEGUN - timedelta(days=1))
    assert (nobody_yet["totals"]["invested"], nobody_yet["investments"], nobody_yet["value"]) == (0, [], [])
    assert nobody_yet["wallet"]["balance"] == 0


def test_investors_do_not_hear_who_paid_and_how(context: Clockwork) -> None:
    deal = deals.make(context, face=LAKH, ask=90_000_00, now=BEGUN)
    deal.pay(LAKH, payer={"name": "Bina Buyer"})
    heard = {row["room"]: row["data"]["payer"] for row in deal.told("payment.received")}
    assert heard == {f"user:{deal.offer.seller.id}": "Bina Buyer", f"invoice:{deal.invoice_id}": None}
    assert {row["data"]["method"] for row in deal.told("payment.received") if row["room"].startswith("invoice:")} == {
        None
    }


def test_money_that_is_only_held_is_reserved_and_earns_nothing(context: Clockwork) -> None:
    with context.database.session() as session:
        offer = listed(session, face=LAKH, ask=90_000_00)
        investor = person(session)
        funding.fund(session, investor, offer.invoice_id, 40_000_00, NOW, rules=RULES)
    found = look(context, investor)
    assert (found["totals"]["held"], found["totals"]["active"], found["totals"]["outstanding"]) == (
        40_000_00,
        40_000_00,
        0,
    )
    assert found["value"] == []
    assert found["wallet"]["held"] == 40_000_00
    with context.database.session() as session:
        funding.release(session, funding_lock(session, offer), NOW, reason="for a test", actor=None)
    assert look(context, investor)["investments"] == []
    assert [one["status"] for one in look(context, investor, status="voided")["investments"]] == ["voided"]


def funding_lock(session: Any, offer: Listing) -> Any:
    from core.marketplace import states

    return states.lock(session, offer.invoice_id)


def test_exposure_is_to_the_buyer_or_to_the_seller_who_must_buy_back(context: Clockwork) -> None:
    with context.database.session() as session:
        investor, buyer = person(session), person(session, Role.BUYER)
        offers = [
            listed(session, face=LAKH // 10, ask=9_000_00, buyer=buyer),
            listed(session, face=LAKH // 10, ask=9_000_00, buyer=buyer, rules=NEXT_DAY),
            listed(session, face=LAKH // 5, ask=18_000_00, buyer=buyer, recourse="full"),
        ]
        for offer, rules in zip(offers, (RULES, NEXT_DAY, RULES), strict=True):
            amount = 18_000_00 if offer is offers[2] else 9_000_00
            funding.fund(session, investor, offer.invoice_id, amount, NOW, rules=rules)
    found = look(context, investor)["exposure"]
    assert {(one["kind"], one["name"], one["amount"], one["share"]) for one in found["debtors"]} == {
        ("buyer", buyer.name, LAKH // 5, "50"),
        ("seller", offers[2].seller.name, LAKH // 5, "50"),
    }
    assert found["concentration"] == "0.5"


def invest(context: Clockwork, investor: Actor, count: int) -> None:
    with context.database.session() as session:
        seller, buyer = person(session, Role.SELLER), person(session, Role.BUYER)
        for _ in range(count):
            offer = listed(session, face=1_000_00, ask=900_00, seller=seller, buyer=buyer)
            funding.fund(session, investor, offer.invoice_id, 900_00, NOW, rules=RULES)


def test_a_portfolio_costs_the_same_statements_however_large_it_is(context: Clockwork) -> None:
    with context.database.session() as session:
        investor = person(session)
    invest(context, investor, 1)
    costs = []
    for more in (0, 11):
        invest(context, investor, more)
        with counted(context.database) as sent:
            assert len(look(context, investor)["investments"]) == 1 + more
        costs.append(len(sent))
    assert costs[0] == costs[1] <= 8


def test_investments_are_listed_page_by_page_each_once_and_chosen_by_state_and_words(context: Clockwork) -> None:
    with context.database.session() as session:
        investor = person(session)
    invest(context, investor, 7)
    with context.database.session() as session:
        found, cursor = [], None
        while True:
            page = holdings.investments(session, investor, limit=3, cursor=cursor)
            found += [one["id"] for one in page["items"]]
            cursor = page["next_cursor"]
            if cursor is None:
                break
        assert len(found) == len(set(found)) == 7
        assert found == sorted(found, reverse=True)
        assert len(holdings.investments(session, investor, status="open")["items"]) == 7
        assert holdings.investments(session, investor, status="repaid")["items"] == []
        number = holdings.investments(session, investor)["items"][0]["invoice_number"]
        assert len(holdings.investments(session, investor, search=number)["items"]) == 1
        stranger = person(session)
        assert holdings.investments(session, stranger)["items"] == []


def test_the_figures_of_each_role_count_what_waits(context: Clockwork) -> None:
    with context.database.session() as session:
        offer = funded(session, face=LAKH, ask=90_000_00)
        more = listed(session, face=LAKH, ask=95_000_00, seller=offer.seller, buyer=offer.buyer)
        assert statistics.figures(session, offer.seller, NOW) == {
            "to_confirm": {"count": 0, "amount": 0},
            "to_list": {"count": 0, "amount": 0},
            "listed": {"count": 1, "amount": 95_000_00},
            "funded": {"count": 1, "amount": 90_000_00},
            "due": {"count": 0, "amount": 0},
        }
        soon = NOW + timedelta(days=60)
        assert statistics.figures(session, offer.seller, soon)["due"] == {"count": 1, "amount": LAKH}
        assert statistics.figures(session, more.buyer, NOW)["to_pay"] == {"count": 2, "amount": 2 * LAKH}
        assert statistics.figures(session, offer.investors[0], NOW) == {
            "invested": {"count": 1, "amount": 90_000_00},
            "expected": {"count": 1, "amount": LAKH},
            "overdue": {"count": 0, "amount": 0},
        }


def test_statistics_are_a_year_of_ones_own(context: Clockwork) -> None:
    deal = deals.make(context, face=LAKH, ask=90_000_00, now=BEGUN)
    deal.pay(LAKH)
    with context.database.session() as session:
        mine = statistics.statistics(session, deal.offer.seller, context.now())
        assert mine["counts"] == {
            "submitted": 1,
            "confirmed": mine["counts"]["confirmed"],
            "rejected": 0,
            "listed": 1,
            "funded": 1,
            "repaid": 1,
            "overdue": 0,
        }
        assert (mine["amounts"]["financed"], mine["amounts"]["discount"]) == (LAKH, 10_000_00)
        assert mine["rates"]["on_time"] == "100"
        assert mine["months"] == [
            {"month": today(BEGUN).strftime("%Y-%m"), "count": 1, "amount": LAKH, "profit": 10_000_00}
        ]
        theirs = statistics.statistics(session, deal.offer.buyer, context.now())
        assert "discount" not in theirs["amounts"]
        investor = statistics.statistics(session, deal.offer.investors[0], context.now())
        assert investor["counts"] == {"investments": 1, "active": 0, "closed": 1}
        assert investor["amounts"]["realised_profit"] == 10_000_00
