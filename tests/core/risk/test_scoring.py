"""Three outputs that stay apart, points that add up and only ever rise with the facts, and computed counterfactuals."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.risk.facts import Bill, Check, History, Hit, Level, Part, Shared, Velocity
from core.risk.findings import Kind
from core.risk.scoring import band, expected_loss, judge, priced, score
from core.risk.weights import CURRENT
from tests.budget import examples
from tests.core.risk.worked import TODAY, day, quiet, worked


def test_nothing_odd_is_no_point_no_stop_and_full_quality() -> None:
    found = judge(quiet())
    assert (found.score, found.band, found.data_quality) == (Decimal(0), "low", 100)
    assert found.findings == ()
    assert found.haircut is None


def test_the_worked_example_is_59_and_elevated() -> None:
    found = judge(worked())
    assert {finding.code: finding.points for finding in found.reasons} == {
        "B1": Decimal("10.0"),
        "T1": Decimal("10.0"),
        "C2": Decimal(15),
        "C1": Decimal("10.5"),
        "V1": Decimal("13.5"),
    }
    assert (found.score, found.band) == (Decimal(59), "elevated")


def test_with_three_repaid_invoices_it_would_be_39() -> None:
    (pair,) = (finding for finding in judge(worked()).reasons if finding.code == "C2")
    assert pair.counterfactual == "39 if this pair had three repaid invoices"


def test_every_counterfactual_of_points_is_what_judging_the_change_gives() -> None:
    told = {finding.code: finding.counterfactual for finding in judge(worked()).reasons}
    assert told == {
        "B1": "49 if the buyer had paid every bill on its day",
        "T1": "49 if it were due after the usual 30 days",
        "C2": "39 if this pair had three repaid invoices",
        "C1": "48.5 if four buyers shared the seller's sales",
        "V1": "45.5 if this week were as the seller's others",
    }
    # The same change by hand.
    assert score(replace(worked(), sales_by_buyer=(1, 1, 1, 1))) == Decimal("48.5")


def test_expected_loss_stands_beside_the_discount() -> None:
    loss = judge(worked()).loss
    assert loss is not None
    # 4,00,000 x 2 % x 60 % against 7,890.41.
    assert (loss.expected, loss.discount, loss.is_paid_for) == (4_800_00, 7_890_41, True)
    assert not expected_loss(1_00_000_00, 1_000_00, Decimal("0.08"), Decimal("0.6")).is_paid_for
    # Half a paisa is rounded up, once.
    assert expected_loss(1, 0, Decimal(1), Decimal("0.5")).expected == 1


def test_a_judgement_made_before_the_price_is_shown_beside_it() -> None:
    early = judge(replace(worked(), price=None)).shape()
    assert early["loss"] is None
    later = priced(early, 4_00_000_00, 7_890_41)
    assert later == judge(worked()).shape()
    assert priced(early, None, None) == early
    assert priced(None, 1, 1) is None


@pytest.mark.parametrize(
    ("points", "expected"),
    [("0", "low"), ("34.9", "low"), ("35", "elevated"), ("69.9", "elevated"), ("70", "high"), ("100", "high")],
)
def test_bands(points: str, expected: str) -> None:
    assert band(Decimal(points)) == expected


def test_the_three_outputs_do_not_touch_each_other() -> None:
    hit = Hit(level=Level.N1, sentence="Alike.", invoice_id="o", number="O-1", amount=1, issued=TODAY)
    fraud = judge(replace(worked(), hits=(hit,), shared=(Shared(kind="pan", first="the seller", second="the buyer"),)))
    ignorant = judge(replace(worked(), known={}))
    assert fraud.score == ignorant.score == judge(worked()).score
    assert (fraud.data_quality, ignorant.data_quality) == (100, 0)
    assert [finding.code for finding in fraud.stops] == ["C3"]
    assert [finding.code for finding in fraud.reviews] == ["D2"]
    assert all(finding.points == 0 for finding in (*fraud.stops, *fraud.reviews))
    diluted = judge(replace(worked(), diluted=10, sold=100))
    assert (diluted.score, diluted.haircut) == (fraud.score, Decimal("0.25"))


def test_a_stop_says_what_would_be_left_without_it() -> None:
    both = replace(
        quiet(),
        shared=(Shared(kind="pan", first="the seller", second="the buyer"),),
        checks=(Check(name="irn", passed=False, detail="Not its IRN."),),
    )
    told = {finding.code: finding.counterfactual for finding in judge(both).stops}
    assert told == {
        "C3": "Stop for G1 alone if the parties had nothing in common",
        "G1": "Stop for C3 alone if the document were sound",
    }
    assert judge(replace(both, checks=())).stops[0].counterfactual == "No stop if the parties had nothing in common"


def test_each_missing_fact_costs_its_points_and_says_so() -> None:
    found = judge(replace(quiet(), known={**quiet().known, "seller_gstin": False, "irn": False}))
    assert found.data_quality == 75
    assert [(gap.name, gap.points, gap.counterfactual) for gap in found.gaps] == [
        ("seller_gstin", 15, "90 if the seller's GSTIN were known"),
        ("irn", 10, "85 if the invoice had its IRN"),
    ]
    assert sum(CURRENT.quality.values()) == 100


def test_points_are_capped_at_100() -> None:
    worst = replace(
        worked(),
        bills=(Bill(due=day(200), paid_on=day(100)),),
        sales_by_buyer=(1,),
        seller_days=1,
        issued=day(100),
        due=day(-300),
        amount=99_00_000_00,
        utilisation=1.0,
    )
    assert sum(finding.points for finding in judge(worst).reasons) > 100
    assert judge(worst).score == 100


def _with_bills(history: History, late: list[int]) -> History:
    bills = tuple(
        Bill(due=day(100 + 30 * place), paid_on=day(100 + 30 * place - days)) for place, days in enumerate(late)
    )
    return replace(history, bills=bills)


HISTORIES = st.builds(
    lambda late, repaid, sales, count, tenor, age, amount, used: replace(
        _with_bills(quiet(), late),
        pair_repaid=repaid,
        sales_by_buyer=tuple(sales),
        velocity=Velocity(count=count, value=0, counts=(4, 5, 3) * 4 + (4,), values=(0,) * 13),
        issued=day(age),
        due=day(age) + timedelta(days=tenor),
        amount=amount,
        utilisation=used,
    ),
    late=st.lists(st.integers(0, 60), max_size=8),
    repaid=st.integers(0, 5),
    sales=st.lists(st.integers(1, 1000), min_size=1, max_size=6),
    count=st.integers(0, 60),
    tenor=st.integers(1, 200),
    age=st.integers(0, 120),
    amount=st.integers(1_00, 10**10),
    used=st.floats(0, 1),
)
# Each makes one fact worse for the investor and leaves the others.
WORSE: dict[str, Callable[[History, int], History]] = {
    "a bill is paid later": lambda history, by: replace(
        history,
        bills=tuple(
            replace(bill, paid_on=bill.paid_on + timedelta(days=by)) if bill.paid_on else bill for bill in history.bills
        ),
    ),
    "fewer invoices were repaid": lambda history, by: replace(history, pair_repaid=max(0, history.pair_repaid - by)),
    "the largest buyer takes more": lambda history, by: replace(
        history,
        sales_by_buyer=(max(history.sales_by_buyer) + by, *sorted(history.sales_by_buyer, reverse=True)[1:]),
    ),
    "more invoices this week": lambda history, by: replace(
        history, velocity=history.velocity and replace(history.velocity, count=history.velocity.count + by)
    ),
    "it is due later": lambda history, by: replace(history, due=history.due + timedelta(days=by)),
    "it is older": lambda history, by: replace(
        history, issued=history.issued - timedelta(days=by), due=history.due - timedelta(days=by)
    ),
    "it is over more": lambda history, by: replace(history, amount=history.amount + by * history.amount // 10 + 1),
    "more of the limit is used": lambda history, by: replace(
        history, utilisation=min(1.0, (history.utilisation or 0) + by / 100)
    ),
    "the account is younger": lambda history, by: replace(history, buyer_days=max(0, 45 - by)),
}


@pytest.mark.parametrize("change", WORSE)
@given(history=HISTORIES, by=st.integers(1, 40))
@settings(max_examples=examples(25), deadline=None)
def test_a_worse_fact_never_lowers_the_points(change: str, history: History, by: int) -> None:
    assert score(WORSE[change](history, by)) >= score(history)


@given(history=HISTORIES)
@settings(max_examples=examples(40), deadline=None)
def test_the_points_are_the_sum_of_their_reasons(history: History) -> None:
    found = judge(history)
    assert found.score == min(Decimal(100), sum((finding.points for finding in found.reasons), Decimal(0)))
    assert all(finding.kind is Kind.POINTS and finding.points > 0 for finding in found.reasons)
    for finding in found.findings:
        assert finding.sentence.endswith(".")
        assert finding.counterfactual or finding.kind is Kind.INFO
        assert "None" not in finding.sentence


def test_a_remedy_never_leaves_more_points_than_there_were() -> None:
    odd = replace(
        worked(),
        round_recent=Part(hits=6, whole=6),
        round_base=Part(hits=1, whole=40),
        amount=1_00_000_00,
        series=((1, day(3)), (2, day(30))),
        pair_numbers=(1, 2, 3, 4, 5),
    )
    found = judge(odd)
    assert {"A1", "S1", "S2"} <= found.codes
    for finding in found.reasons:
        assert finding.counterfactual is not None
        assert Decimal(finding.counterfactual.split()[0]) <= found.score - finding.points + Decimal("0.1"), finding.code
