"""Reports of a seller: figures worked out by hand, money without a rate apart, and nobody else's rows."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import date, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import text

from core import reports
from core.errors import Invalid, NotFound
from core.events import PayoutStatus
from core.invoicing import credit_notes, invoices, queries
from core.invoicing.credit_notes import NewCreditNote
from core.payments import manual
from core.payments.hand import NewTarget
from core.reports import receivables
from core.reports.periods import month_of
from core.reports.shape import Report, percent
from tests.builders import NOW, Clockwork, Json, Shop, open_shop, transaction, worker
from tests.core.books.trade import books, paid, tell
from tests.core.payments.test_payout_items import STORY
from tests.core.payments.test_payouts import at, hear, payout

TODAY = NOW.date()
DAY = timedelta(days=1)


@pytest.fixture(scope="module")
def context(file_database_url: str) -> Iterator[Clockwork]:
    with worker(file_database_url) as parts:
        yield parts


@pytest.fixture
def shop(context: Clockwork) -> Shop:
    return open_shop(context)


def sell(
    shop: Shop, total: int, *, due: int = 0, issued: int = -1, to: str = "rao", currency: str = "INR", **more: Any
) -> Json:
    """An invoice due so many days from today, issued so many days from today but not after it is due."""
    day = TODAY + issued * DAY
    new = invoices.NewInvoice(
        contact_name=to.title(),
        contact_email=f"{to}@buyer.test",
        currency=currency,
        issue_date=min(day, TODAY + due * DAY),
        due_date=TODAY + due * DAY,
        items=[invoices.NewItem(description="Cloth", quantity=Decimal(1), unit_price=total, **more)],
    )
    with shop.database.session() as session:
        return invoices.create(session, shop.seller, new, NOW)


def take(shop: Shop, invoice: Json, amount: int, day: date, method: str = "cash") -> None:
    with shop.database.session() as session:
        manual.record(
            session,
            shop.seller,
            manual.NewPayment(
                amount=amount, currency=invoice["currency"], method=method, date=day,
                targets=[NewTarget(UUID(invoice["id"]), amount)],
            ),
            NOW,
        )  # fmt: skip


def rate(shop: Shop, currency: str, value: str, day: date = TODAY) -> None:
    with shop.database.connect() as connection:
        connection.execute(
            text(
                "INSERT INTO exchange_rates (user_id, currency, home, day, rate, source, updated_at) "
                "VALUES (:user, :currency, 'INR', :day, :rate, 'hand', :now)"
            ),
            {"user": shop.seller.id, "currency": currency, "day": day, "rate": Decimal(value), "now": NOW},
        )


def make(shop: Shop, name: str, period: reports.Period | None = None) -> Report:
    with shop.database.session() as session:
        asked = period or reports.period(None, None, None, TODAY)
        return reports.make(session, shop.seller.id, name, asked, TODAY)


def cells(report: Report, table: str) -> list[tuple[Any, ...]]:
    (found,) = [one for one in report.tables if one.name == table]
    return [row.cells for row in found.rows]


def figures(report: Report) -> list[int | str | None]:
    return [one.value for one in report.figures]


@pytest.mark.parametrize("name", reports.NAMES)
def test_an_empty_shop_has_empty_reports(shop: Shop, name: str) -> None:
    made = make(shop, name)
    assert made.empty
    assert made.picture is None or not any(point.amount for point in made.picture.points)


def test_what_is_owed_falls_into_the_ages_at_their_edges(shop: Shop) -> None:
    for late, amount in (
        (-5, 1),
        (0, 10),
        (1, 100),
        (30, 1_000),
        (31, 2_000),
        (60, 3_000),
        (61, 4_000),
        (90, 5_000),
        (91, 6_000),
    ):
        sell(shop, amount, due=-late, issued=-100)
    made = make(shop, "ageing")
    assert [row[1] for row in cells(made, "ages")] == [11, 1_100, 5_000, 9_000, 6_000]
    assert figures(made) == [21_111, 21_100, 6_000]
    assert cells(made, "customers") == [("Rao", 11, 1_100, 5_000, 9_000, 6_000, 21_111)]


def test_paid_parts_drafts_and_strangers_are_not_owed(shop: Shop, context: Clockwork) -> None:
    sell(open_shop(context), 777)
    take(shop, sell(shop, 1_000), 400, TODAY)
    shop.invoice(5_000, draft=True)
    assert figures(make(shop, "ageing"))[0] == 600


def test_other_money_is_converted_and_what_has_no_rate_stands_apart(shop: Shop) -> None:
    sell(shop, 1_000)
    sell(shop, 200, currency="USD")
    sell(shop, 300, currency="EUR")
    rate(shop, "USD", "80")
    made = make(shop, "ageing")
    assert figures(made)[0] == 1_000 + 200 * 80
    assert made.apart == {"EUR": 300}


def test_cash_is_expected_when_each_customer_usually_pays(shop: Shop) -> None:
    past = sell(shop, 10_000, due=-40, issued=-60)
    take(shop, past, 9_000, TODAY - 26 * DAY)
    take(shop, past, 1_000, TODAY - 16 * DAY)
    # 14 days late for nine tenths, 24 for one: 15.
    sell(shop, 500, due=7)
    sell(shop, 70, due=7, to="punctual")
    sell(shop, 9, due=-1, to="punctual")
    made = make(shop, "expected")
    delays = {row[0]: row[1] for row in cells(made, "customers")}
    assert delays == {"Rao": 15, "Punctual": None}
    monday = TODAY - timedelta(days=TODAY.weekday())

    def week(days: int) -> date:
        day = TODAY + days * DAY
        return day - timedelta(days=day.weekday())

    assert cells(made, "weeks") == [(monday, 9), (week(7), 70), (week(22), 500)]
    assert figures(made) == [9, 579, 0]


def test_days_sales_outstanding_are_what_is_owed_over_three_months_of_sales(shop: Shop) -> None:
    sell(shop, 90_000, due=30, issued=0)
    take(shop, sell(shop, 60_000, due=0, issued=-20), 60_000, TODAY)
    made = make(shop, "dso")
    (row,) = [one for one in cells(made, "months") if one[0] == TODAY]
    days = (TODAY - month_of(TODAY, -2)).days + 1
    assert row == (TODAY, 90_000, 150_000, round(90_000 / 150_000 * days))
    # A month earlier the sixty thousand were owed, and were all that had been sold.
    before = month_of(TODAY) - DAY
    (row,) = [one for one in cells(made, "months") if one[0] == before]
    assert row == (before, 60_000, 60_000, (before - month_of(before, -2)).days + 1)


def test_income_is_before_tax_less_credit_notes_at_the_rate_of_its_day(shop: Shop) -> None:
    sell(shop, 10_000, tax_rate=Decimal(18))
    sold = sell(shop, 4_000, to="mehta")
    sell(shop, 100, to="mehta", currency="USD", issued=-3)
    rate(shop, "USD", "70", TODAY - 4 * DAY)
    rate(shop, "USD", "99", TODAY)
    note = NewCreditNote(
        invoice_id=UUID(sold["id"]), reason="less", issue_date=TODAY,
        items=[invoices.NewItem(description="Cloth", quantity=Decimal(1), unit_price=1_500)],
    )  # fmt: skip
    with shop.database.session() as session:
        credit_notes.create(session, shop.seller, note, NOW)
    made = make(shop, "income")
    assert cells(made, "customers") == [
        ("Rao", 1, 10_000, 1_800, percent(10_000, 19_500)),
        ("Mehta", 2, 4_000 - 1_500 + 7_000, 0, percent(9_500, 19_500)),
    ]
    assert figures(made) == [19_500, 1_800, 1_500]


def test_a_period_has_its_first_and_its_last_day_and_no_other(shop: Shop) -> None:
    for days, amount in ((-11, 1), (-10, 10), (-5, 100), (-4, 1_000)):
        sell(shop, amount, issued=days)
    period = reports.period(None, TODAY - 10 * DAY, TODAY - 5 * DAY, TODAY)
    assert figures(make(shop, "income", period))[0] == 110


def test_methods_tell_received_from_given_back_and_tax_from_money(shop: Shop) -> None:
    made = sell(shop, 10_000)
    take(shop, made, 1_000, TODAY, "tds_withheld")
    take(shop, made, 2_500, TODAY, "upi")
    tell(shop, replace(paid("p", 4_000, number=made["number"], fee=100), method="card"))
    with shop.database.session() as session:
        note = NewCreditNote(invoice_id=UUID(made["id"]), reason="whole", issue_date=TODAY)
        credit_notes.create(session, shop.seller, note, NOW)
    found = make(shop, "methods")
    assert [(row[0], row[2], row[5]) for row in cells(found, "methods")] == [
        ("Card", 1, 4_000),
        ("UPI", 1, 2_500),
        ("Tax withheld", 1, 1_000),
    ]
    assert figures(found) == [6_500, 0, 1_000]


def test_fees_are_by_gateway_with_their_share_and_what_is_not_told(shop: Shop) -> None:
    tell(shop, paid("p", 10_000, fee=236), paid("q", 5_000))
    made = make(shop, "fees")
    assert cells(made, "gateways") == [("my standard_webhooks", 2, 15_000, 236, 0, "1.57", 1)]
    assert figures(made) == [236, 0, 15_000, "1.57"]


def test_fees_that_belong_to_no_payment_are_of_the_day_of_their_payout(shop: Shop) -> None:
    hear(shop, *STORY)
    day = at(48).date()
    made = make(shop, "fees", reports.Period(TODAY - 30 * DAY, day))
    # 20, 10 and 14 for payments, 2 for what went back, 59 for the plan: the same as in the books.
    assert figures(made)[:2] == [105, 61]
    assert books(shop)["gateway_fees", "INR"] == -105
    with shop.database.session() as session:
        rows = reports.rows(session, shop.seller.id, "fees", reports.Period(day, day), TODAY, measure="extra")
    assert [(one["kind"], one["home_amount"]) for one in rows["items"]] == [("payout", 61)]
    # What goes back to the gateway is in no books.
    hear(shop, payout("second", 129, 48, version=2, status=PayoutStatus.REVERSED))
    assert figures(make(shop, "fees", reports.Period(TODAY - 30 * DAY, day)))[:2] == [44, 0]


@pytest.mark.parametrize(
    "part",
    [
        "", "late=true", "age=0", "age=1", "age=2", "age=3", "age=4", "customer=rao", "age=0;customer=rao",
        "age=4;customer=late", "customer=nobody",
    ],
)  # fmt: skip
def test_the_list_of_what_is_owed_holds_exactly_the_rows_behind_the_figure(owing: Shop, part: str) -> None:
    for name in ("rao", "late", "nobody"):
        (known,) = owing.rows(
            f"SELECT coalesce(min(id::text), '{NOBODY}') AS id FROM contacts WHERE user_id = :user AND name = :name",
            name=name.title(),
        )
        part = part.replace(f"={name}", f"={known['id']}")
    with owing.database.session() as session:
        asked = receivables.listed(session, owing.seller.id, part, TODAY)
        assert asked is not None
        listed = {str(each) for each, _ in queries.matching(session, owing.seller, asked, 100)}
        rows = reports.rows(session, owing.seller.id, "ageing", ALL, TODAY, part=part)
    assert listed == {one["id"] for one in rows["items"]}
    assert bool(listed) != (NOBODY in part)


ALL = reports.period(None, None, None, TODAY)
NOBODY = "00000000-0000-7000-8000-000000000000"


@pytest.fixture(scope="module")
def owing(context: Clockwork) -> Shop:
    """Somebody who is owed at the edge of every age, in money with a rate and in money without one."""
    made = open_shop(context)
    for late in (-5, 0, 1, 30, 31, 60, 61, 90, 91):
        for who in ("rao", "late"):
            sell(made, 1_000, due=-late, issued=-100, to=who)
    take(made, sell(made, 500, issued=-100, to="rao"), 100, TODAY)
    take(made, sell(made, 500, issued=-100, to="rao"), 500, TODAY)
    sell(made, 700, currency="EUR", to="rao")
    made.invoice(5_000, draft=True)
    return made


def test_where_some_other_money_has_a_rate_and_some_has_none_no_list_is_exact(shop: Shop) -> None:
    sell(shop, 700, currency="USD")
    rate(shop, "USD", "80")
    with shop.database.session() as session:
        assert receivables.listed(session, shop.seller.id, "age=0", TODAY) is not None
        assert receivables.listed(session, shop.seller.id, "week=1", TODAY) is None
        assert receivables.listed(session, shop.seller.id, "customer=x", TODAY) is None
    sell(shop, 700, currency="EUR")
    with shop.database.session() as session:
        assert receivables.listed(session, shop.seller.id, "age=0", TODAY) is None


def test_tax_of_those_who_are_not_registered_is_by_rate(shop: Shop) -> None:
    sell(shop, 1_000, tax_rate=Decimal("7.5"))
    assert cells(make(shop, "tax"), "plain") == [("7.5", 1_000, 75)]


def test_bank_lines_are_counted_by_what_became_of_them(shop: Shop) -> None:
    made = shop.invoice()
    shop.hear(
        transaction(id="a", amount="100.00", narration=f"for {made['number']}"),
        transaction(id="b", amount="30.00", narration="hello"),
        transaction(id="c", amount="-30.00", narration="rent"),
    )
    found = make(shop, "reconciliation")
    counted = {row[0]: (row[1], row[2]) for row in cells(found, "tiers")}
    assert sum(many for many, _ in counted.values()) == 2
    assert counted["Nothing found"] == (1, 3_000)
    assert sum(amount for _, amount in counted.values()) == 13_000


def test_periods_end_where_they_are_said_to() -> None:
    today = date(2026, 2, 15)
    spans = {name: reports.period(name, None, None, today) for name in reports.PERIODS}
    assert {name: (one.since, one.until) for name, one in spans.items()} == {
        "last_12_months": (date(2025, 3, 1), today),
        "this_month": (date(2026, 2, 1), today),
        "last_month": (date(2026, 1, 1), date(2026, 1, 31)),
        "this_quarter": (date(2026, 1, 1), today),
        "last_quarter": (date(2025, 10, 1), date(2025, 12, 31)),
        "this_year": (date(2026, 1, 1), today),
        "financial_year": (date(2025, 4, 1), today),
        "last_financial_year": (date(2024, 4, 1), date(2025, 3, 31)),
    }
    for since, until, field in (
        (today, today - DAY, "until"),
        (date(1989, 12, 31), today, "since"),
        (today - 3_660 * DAY, today, "since"),
    ):
        with pytest.raises(Invalid) as refused:
            reports.period(None, since, until, today)
        assert refused.value.field == field
    assert reports.period(None, today - 3_659 * DAY, today, today).days == 3_660
    with pytest.raises(Invalid):
        reports.period("yesterday", None, None, today)


def test_there_is_no_other_report(shop: Shop) -> None:
    with pytest.raises(NotFound):
        make(shop, "horoscope")


@pytest.mark.parametrize(
    ("part", "whole", "said"),
    [(1, 3, "33.33"), (2, 3, "66.67"), (0, 5, "0.00"), (5, 5, "100.00"), (-1, 3, "-33.33"), (1, 0, None)],
)
def test_shares_are_rounded_half_up(part: int, whole: int, said: str | None) -> None:
    assert percent(part, whole) == said


@pytest.mark.parametrize(
    ("measure", "part", "many"), [("owed", "", 12), ("sales", "", 6), ("owed", "month=2026-04-01", 1)]
)
def test_pages_of_what_was_owed_hold_every_row_once(shop: Shop, measure: str, part: str, many: int) -> None:
    sold = [sell(shop, 1_000 + days, due=5, issued=-days) for days in (0, 0, 0, 1, 40, 40, 200)]
    for invoice in sold[:4]:
        take(shop, invoice, 300, TODAY)
    take(shop, sold[4], 300, TODAY - 3 * DAY)
    seen: list[Json] = []
    cursor = None
    with shop.database.session() as session:
        while True:
            found = reports.rows(
                session, shop.seller.id, "dso", ALL, TODAY, measure=measure, part=part, limit=2, cursor=cursor
            )
            seen += found["items"]
            cursor = found["next_cursor"]
            if cursor is None:
                break
    assert seen == sorted(seen, key=lambda one: (one["day"], one["id"]), reverse=True)
    assert len({one["id"] for one in seen}) == len(seen) == found["count"] == many
    assert sum(one["home_amount"] for one in seen) == found["total"]
