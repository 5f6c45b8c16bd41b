"""Each feature at its trigger, just below it, and with the rule's own numbers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal

import pytest

from core.risk import credit, fraud, patterns, statistics
from core.risk.facts import Bill, Check, Confirmation, History, Hit, Level, Part, Redated, Shared, Velocity
from core.risk.findings import Finding, Kind
from core.risk.weights import CURRENT, Weights
from tests.core.risk.worked import NOW, TODAY, day, quiet

Judge = Callable[[History, Weights], Finding | None]


def test_robust_z_of_the_rule_is_9_4() -> None:
    known = (3, 5, 4, 3, 5, 4, 3, 5, 4, 3, 5, 4, 4)
    assert statistics.median_deviation((3, 5) * 6 + (4,)) == 1
    assert round(statistics.robust_z(18, (3, 5) * 6 + (4,), 1.0), 1) == 9.4
    # Without a floor a single invoice more than always the same would be infinitely odd.
    assert statistics.robust_z(5, (4,) * 13, 1.0) == pytest.approx(0.6745)
    assert len(known) == 13


def test_concentration_of_the_rule() -> None:
    assert statistics.concentration((60, 20, 10, 10)) == pytest.approx(0.42)
    assert statistics.concentration((25, 25, 25, 25)) == 0.25
    assert statistics.concentration(()) == 0


def test_benford_deviation() -> None:
    lawful = (301, 176, 125, 97, 79, 67, 58, 51, 46)
    assert statistics.benford_deviation(lawful) == pytest.approx(0, abs=1e-9)
    assert statistics.benford_deviation((100,) * 9) == pytest.approx(0.0597, abs=1e-3)


def test_points_are_rounded_half_up_to_tenths() -> None:
    assert [statistics.tenth(points) for points in (13.45, 13.44, 0.05)] == [
        Decimal("13.5"),
        Decimal("13.4"),
        Decimal("0.1"),
    ]


def week(count: int) -> Velocity:
    return Velocity(count=count, value=0, counts=(3, 5) * 6 + (4,), values=(0,) * 13)


def hit(level: Level) -> Hit:
    return Hit(level=level, sentence="It is like another.", invoice_id="other", number="O-9", amount=5, issued=TODAY)


SHARED = Shared(kind="bank_account", first="the seller", second="the buyer")
EARLIER = Redated(invoice_id="old", number="O-1", issued=day(40))
FAR = timedelta(days=90)

# A judge, a history on which it must speak, and one just short of it on which it must not.
CASES: list[tuple[str, Judge, dict[str, object], dict[str, object]]] = [
    ("D1 by E1", fraud.exact_duplicate, {"hits": (hit(Level.E1),)}, {"hits": (hit(Level.N1),)}),
    ("D1 by E2", fraud.exact_duplicate, {"hits": (hit(Level.E2),)}, {}),
    ("D2 by N4", fraud.near_duplicate, {"hits": (hit(Level.N4),)}, {"hits": (hit(Level.E1),)}),
    ("V1 count", credit.velocity, {"velocity": week(10)}, {"velocity": week(9)}),
    (
        "V1 value",
        credit.velocity,
        {"velocity": Velocity(count=4, value=900, counts=(4,) * 13, values=(100, 200, 150) * 4 + (150,))},
        {"velocity": Velocity(count=4, value=300, counts=(4,) * 13, values=(100, 200, 150) * 4 + (150,))},
    ),
    ("V1 without 13 weeks", credit.velocity, {"velocity": week(18)}, {"velocity": None}),
    ("V2", credit.utilisation, {"utilisation": 0.951}, {"utilisation": 0.95}),
    ("S1 reversal", patterns.sequence, {"series": ((7, day(1)), (8, day(4)))}, {"series": ((7, day(1)), (8, day(3)))}),
    (
        "S1 gaps",
        patterns.sequence,
        {"series": ((1, day(9)), (2, day(8)), (3, day(7)), (9, day(6)), (11, day(5)))},
        {"series": ((1, day(9)), (2, day(8)), (3, day(7)), (9, day(6)), (10, day(5)))},
    ),
    ("S2", patterns.consecutive, {"pair_numbers": (1, 2, 3, 4, 5)}, {"pair_numbers": (1, 2, 3, 4, 9)}),
    ("S2 with few", patterns.consecutive, {"pair_numbers": (1, 2, 3, 4, 5)}, {"pair_numbers": (1, 2, 3, 4)}),
    (
        "A1",
        patterns.round_amounts,
        {"amount": 5_000_00, "round_recent": Part(hits=4, whole=10), "round_base": Part(hits=10, whole=100)},
        {"amount": 5_000_00, "round_recent": Part(hits=3, whole=10), "round_base": Part(hits=10, whole=100)},
    ),
    (
        "A1 not round itself",
        patterns.round_amounts,
        {"amount": 5_000_00, "round_recent": Part(hits=9, whole=10), "round_base": Part(hits=0, whole=20)},
        {"amount": 5_000_01, "round_recent": Part(hits=9, whole=10), "round_base": Part(hits=0, whole=20)},
    ),
    (
        "A2",
        patterns.near_limit,
        {"amount": 95_000_00, "near_limit": Part(hits=4, whole=20), "below_limit": Part(hits=2, whole=20)},
        {"amount": 94_999_99, "near_limit": Part(hits=4, whole=20), "below_limit": Part(hits=2, whole=20)},
    ),
    (
        "A2 as many below it",
        patterns.near_limit,
        {"amount": 99_000_00, "near_limit": Part(hits=4, whole=20), "below_limit": Part(hits=3, whole=20)},
        {"amount": 99_000_00, "near_limit": Part(hits=4, whole=20), "below_limit": Part(hits=4, whole=20)},
    ),
    ("A3", patterns.benford, {"first_digits": (40,) * 9}, {"first_digits": (33,) * 9}),
    ("A4", patterns.amount_outlier, {"amount": 1_80_000_00}, {"amount": 1_20_000_00}),
    (
        "A4 with few",
        patterns.amount_outlier,
        {"amount": 99_00_000_00},
        {"amount": 99_00_000_00, "pair_amounts": (1_00_000_00,) * 4},
    ),
    ("C1", credit.few_buyers, {"sales_by_buyer": (59, 20, 11, 10)}, {"sales_by_buyer": (57, 20, 12, 11)}),
    ("C2 pair", credit.new_counterparty, {"pair_repaid": 2}, {"pair_repaid": 3}),
    ("C2 age", credit.new_counterparty, {"buyer_days": 29}, {"buyer_days": 30}),
    ("C3", fraud.shared_identity, {"shared": (SHARED,)}, {}),
    (
        "C4",
        fraud.circular_trade,
        {"trades": (("rao@retail.test", "x"), ("x", "asha@shop.test"))},
        {"trades": (("rao@retail.test", "x"), ("x", "y"))},
    ),
    ("T1", credit.tenor, {"due": day(3) + timedelta(days=46)}, {"due": day(3) + timedelta(days=45)}),
    (
        "T1 small seller",
        credit.long_for_small,
        {"small_seller": True, "due": day(3) + timedelta(days=46)},
        {"small_seller": True, "due": day(3) + timedelta(days=45)},
    ),
    ("T2 old", credit.stale, {"issued": day(61)}, {"issued": day(60)}),
    ("T2 future", fraud.future_invoice, {"issued": day(-2), "due": day(-60)}, {"issued": day(0)}),
    ("T3", fraud.redated, {"redated": (EARLIER,)}, {"redated": (replace(EARLIER, issued=day(9)),)}),
    (
        "B1",
        credit.pays_late,
        {"bills": (Bill(due=day(50), paid_on=day(49)),)},
        {"bills": (Bill(due=day(50), paid_on=day(50)),)},
    ),
    ("B1 unpaid", credit.pays_late, {"bills": (Bill(due=day(1)),)}, {"bills": (Bill(due=day(0)),)}),
    ("B2", credit.dilution, {"diluted": 51, "sold": 1000}, {"diluted": 50, "sold": 1000}),
    (
        "G1",
        fraud.tax_document,
        {"checks": (Check(name="irn", passed=False, detail="Not its IRN."),)},
        {"checks": (Check(name="irn", passed=None), Check(name="gstin", passed=True))},
    ),
    (
        "K1",
        fraud.hasty_confirmation,
        {"confirmation": Confirmation(seconds=59.9, same_address=True)},
        {"confirmation": Confirmation(seconds=60, same_address=True)},
    ),
    (
        "K1 from elsewhere",
        fraud.hasty_confirmation,
        {"confirmation": Confirmation(seconds=5, same_address=True)},
        {"confirmation": Confirmation(seconds=5, same_address=False)},
    ),
]


@pytest.mark.parametrize(("judge", "beyond", "short"), [pytest.param(*case[1:], id=case[0]) for case in CASES])
def test_it_speaks_at_its_trigger_and_not_before(
    judge: Judge, beyond: dict[str, object], short: dict[str, object]
) -> None:
    found = judge(replace(quiet(), **beyond), CURRENT)  # type: ignore[arg-type]
    assert found is not None
    assert found.sentence
    assert (found.kind is Kind.POINTS) == (found.points > 0)
    assert judge(replace(quiet(), **short), CURRENT) is None  # type: ignore[arg-type]


@pytest.mark.parametrize(("dilution", "share"), [("0.03", "0.11"), ("0.06", "0.17"), ("0.9", "1")])
def test_the_haircut_of_the_rule(dilution: str, share: str) -> None:
    sold = 10_000
    history = replace(quiet(), sold=sold, diluted=int(Decimal(dilution) * sold))
    # 3 % dilution leaves 89 % to be advanced, 6 % leaves 83 %.
    assert credit.haircut(history, CURRENT) == Decimal(share)


def test_what_is_recent_counts_more_for_lateness() -> None:
    recently, long_ago = Bill(due=day(10), paid_on=day(1)), Bill(due=day(800), paid_on=day(791))
    punctual = Bill(due=day(400), paid_on=day(400))
    newer = credit.pays_late(replace(quiet(), bills=(recently, punctual)), CURRENT)
    older = credit.pays_late(replace(quiet(), bills=(long_ago, punctual)), CURRENT)
    assert newer is not None
    assert older is not None
    assert newer.points > older.points


def test_an_invoice_dated_today_is_no_future_one_anywhere_on_earth() -> None:
    # At this moment it is the next day east of Greenwich.
    evening = replace(
        quiet(), now=NOW.replace(hour=20), issued=TODAY + timedelta(days=1), due=TODAY + timedelta(days=40)
    )
    assert fraud.future_invoice(evening, CURRENT) is None
    morning = replace(evening, now=NOW.replace(hour=3))
    assert fraud.future_invoice(morning, CURRENT) is not None


def test_a_duplicate_names_the_other_side_once_with_every_level() -> None:
    found = fraud.near_duplicate(replace(quiet(), hits=(hit(Level.N1), hit(Level.N3))), CURRENT)
    assert found is not None
    (other,) = found.others
    assert (other.number, found.values["levels"]) == ("O-9", ["N1", "N3"])
    assert other.says.startswith("N1: ")
    assert "N3: " in other.says
