"""A history without anything to say, and the worked example of the rules."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

from core.risk.facts import Bill, History, Price, Velocity
from core.risk.weights import CURRENT

NOW = datetime(2026, 11, 3, 9, 0, tzinfo=UTC)
TODAY = NOW.date()


def day(back: int) -> date:
    """So many days before today."""
    return TODAY - timedelta(days=back)


def quiet() -> History:
    """An invoice of two old acquaintances, about which nothing is odd and everything is known."""
    return History(
        now=NOW,
        currency="INR",
        invoice_id="subject",
        number="INV-2026-0042",
        seller="asha@shop.test",
        buyer="rao@retail.test",
        issued=day(3),
        due=day(-27),
        amount=1_03_250_00,
        velocity=Velocity(count=4, value=400, counts=(4, 5, 3) * 4 + (4,), values=(400, 500, 300) * 4 + (400,)),
        pair_amounts=(1_00_000_00, 98_000_00, 1_10_000_00, 1_05_000_00, 92_000_00, 1_01_000_00),
        sales_by_buyer=(25, 25, 25, 25),
        pair_repaid=5,
        seller_days=400,
        buyer_days=400,
        tenors=(30, 30, 30, 30, 30, 30),
        bills=tuple(Bill(due=day(40 + 10 * place), paid_on=day(40 + 10 * place)) for place in range(5)),
        known=dict.fromkeys(CURRENT.quality, True),
    )


def worked() -> History:
    """Late ratio 10, tenor 10, new pair 15, concentration 10.5, velocity 13.5 (marketplace rules, section 5)."""
    late = Bill(due=day(100), paid_on=day(70))
    on_time = Bill(due=day(100), paid_on=day(100))
    return replace(
        quiet(),
        price=Price(principal=4_00_000_00, discount=7_890_41),
        bills=(late, on_time, on_time),
        due=day(-57),
        pair_repaid=0,
        sales_by_buyer=(90, 10),
        # The median is 6 and the median deviation 3: 0.6745 x 40 / 3 is 8.99.
        velocity=Velocity(count=46, value=0, counts=(3, 9) * 6 + (6,), values=(0,) * 13),
    )
