"""Points of buyer credit that come from people and time: growth, concentration, acquaintance, tenor, lateness."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from statistics import median

from core.risk.facts import Bill, History
from core.risk.findings import Finding, Kind, percent, plural
from core.risk.statistics import concentration, robust_z, tenth, weighted_mean
from core.risk.weights import Weights

# What is usual anyway: one invoice more or less, a tenth more or less money, a weekend of tenor.
_COUNT_FLOOR = 1.0
_VALUE_FLOOR_SHARE = 0.1
_TENOR_FLOOR_DAYS = 3.0
_BUSY_WEEKS = 5


def _velocities(history: History) -> tuple[float, float]:
    """Robust z of this week's count and value."""
    week = history.velocity
    if week is None:
        return 0.0, 0.0
    count = robust_z(week.count, week.counts, _COUNT_FLOOR)
    busy = sum(1 for value in week.values if value)
    floor = _VALUE_FLOOR_SHARE * median([value for value in week.values if value] or [1])
    value = robust_z(week.value, week.values, floor) if busy >= _BUSY_WEEKS else 0.0
    return count, value


def velocity(history: History, weights: Weights) -> Finding | None:
    """V1: robust z of this week's count or value against 13 weeks, more than 3.5."""
    week, (count, value) = history.velocity, _velocities(history)
    if week is None or len(week.counts) < weights.velocity_weeks or max(count, value) <= weights.velocity_z:
        return None
    usual = median(week.counts)
    by_count = count >= value
    sentence = (
        f"The seller made {plural(week.count, 'invoice')} in seven days, where {usual:g} are usual"
        if by_count
        else "The seller invoiced far more money in seven days than is usual"
    )
    return Finding(
        code="V1",
        kind=Kind.POINTS,
        sentence=f"{sentence} (z {max(count, value):.1f}).",
        values={
            "z_count": round(count, 2),
            "z_value": round(value, 2),
            "count": week.count,
            "value": week.value,
            "counts": list(week.counts),
            "values": list(week.values),
        },
        points=tenth(min(weights.velocity_most, weights.velocity_per_z * max(count, value))),
    )


def usual_week(history: History, _weights: Weights) -> tuple[str, History] | None:
    """The remedy of V1."""
    week = history.velocity
    if week is None:
        return None
    usual = replace(week, count=int(median(week.counts)), value=int(median(week.values)))
    return "this week were as the seller's others", replace(history, velocity=usual)


def utilisation(history: History, weights: Weights) -> Finding | None:
    """V2: the mean of financed over limit in 30 days, more than 95 %."""
    if history.utilisation is None or history.utilisation <= weights.utilisation_share:
        return None
    return Finding(
        code="V2",
        kind=Kind.POINTS,
        sentence=f"Over {weights.utilisation_days} days the seller used {percent(history.utilisation)} of the limit.",
        values={"mean_share": round(history.utilisation, 4), "days": weights.utilisation_days},
        points=Decimal(weights.utilisation_points),
    )


def within_limit(history: History, weights: Weights) -> tuple[str, History]:
    """The remedy of V2."""
    share = weights.utilisation_share
    return f"{percent(share)} of the limit were in use", replace(history, utilisation=share)


def few_buyers(history: History, weights: Weights) -> Finding | None:
    """C1: the sum of squared shares of the seller's recent sales, more than 0.40."""
    found = concentration(history.sales_by_buyer)
    beyond = max(0.0, found - weights.concentration) / (1 - weights.concentration)
    points = tenth(weights.concentration_most * beyond)
    if not points:
        return None
    largest = max(history.sales_by_buyer) / sum(history.sales_by_buyer)
    return Finding(
        code="C1",
        kind=Kind.POINTS,
        sentence=f"{percent(largest)} of what the seller sold in {weights.concentration_days} days went to one buyer "
        f"(concentration {found:.2f}).",
        values={"concentration": round(found, 4), "sales": list(history.sales_by_buyer)},
        points=points,
    )


def equal_buyers(history: History, _weights: Weights) -> tuple[str, History]:
    """The remedy of C1."""
    return "four buyers shared the seller's sales", replace(history, sales_by_buyer=(1, 1, 1, 1))


def new_counterparty(history: History, weights: Weights) -> Finding | None:
    """C2: fewer than three repaid invoices of the pair, or an account younger than 30 days."""
    missing = max(0, weights.pair_repaid - history.pair_repaid)
    ages = {"seller": history.seller_days, "buyer": history.buyer_days}
    young = {who: days for who, days in ages.items() if days is not None and days < weights.young_days}
    points = weights.pair_points * missing + (weights.young_points if young else 0)
    if not points:
        return None
    said = []
    if missing:
        repaid = plural(history.pair_repaid, "invoice") if history.pair_repaid else "no invoice"
        said.append(f"This buyer has repaid {repaid} of this seller")
    said.extend(f"the {who}'s account is {plural(days, 'day')} old" for who, days in young.items())
    sentence = ", and ".join(said)
    return Finding(
        code="C2",
        kind=Kind.POINTS,
        sentence=f"{sentence[:1].upper()}{sentence[1:]}.",
        values={"repaid": history.pair_repaid, "seller_days": ages["seller"], "buyer_days": ages["buyer"]},
        points=Decimal(points),
    )


def acquainted(history: History, weights: Weights) -> tuple[str, History]:
    """The remedy of C2: invoices of this pair that were paid on their day, in the last year."""
    missing = weights.pair_repaid - history.pair_repaid
    if missing <= 0:
        known = replace(history, seller_days=weights.young_days, buyer_days=weights.young_days)
        return f"both accounts were {weights.young_days} days old", known
    day = history.today - timedelta(days=weights.concentration_days + 10)
    usual = int(median(history.tenors)) if history.tenors else history.tenor
    pair = int(median(history.pair_amounts)) if history.pair_amounts else history.amount
    words = {1: "one", 2: "two", 3: "three"}.get(weights.pair_repaid, str(weights.pair_repaid))
    return f"this pair had {words} repaid invoices", replace(
        history,
        pair_repaid=weights.pair_repaid,
        bills=(*history.bills, *(Bill(due=day, paid_on=day) for _ in range(missing))),
        tenors=(*history.tenors, *(usual for _ in range(missing))),
        pair_amounts=(*history.pair_amounts, *(pair for _ in range(missing))),
    )


def _tenor_z(history: History) -> float:
    return robust_z(history.tenor, history.tenors, _TENOR_FLOOR_DAYS)


def tenor(history: History, weights: Weights) -> Finding | None:
    """T1, with points: robust z of the tenor against the pair's (else the seller's) invoices, more than 3.5."""
    if len(history.tenors) < weights.tenor_least or (z := _tenor_z(history)) <= weights.tenor_z:
        return None
    return Finding(
        code="T1",
        kind=Kind.POINTS,
        sentence=f"It is due after {plural(history.tenor, 'day')}, where {median(history.tenors):g} are usual "
        f"(z {z:.1f}).",
        values={"tenor": history.tenor, "usual": float(median(history.tenors)), "z": round(z, 2)},
        points=tenth(min(weights.tenor_most, weights.tenor_per_z * z)),
    )


def usual_tenor(history: History, _weights: Weights) -> tuple[str, History]:
    """The remedy of T1."""
    usual = int(median(history.tenors))
    return f"it were due after the usual {plural(usual, 'day')}", replace(
        history, due=history.issued + timedelta(days=usual)
    )


def long_for_small(history: History, weights: Weights) -> Finding | None:
    """T1, for information: more than 45 days for a micro or small seller (MSMED Act)."""
    if not history.small_seller or history.tenor <= weights.small_tenor_days:
        return None
    return Finding(
        code="T1",
        kind=Kind.INFO,
        sentence=f"A micro or small seller must be paid within {weights.small_tenor_days} days; "
        f"this is due after {history.tenor}.",
        values={"tenor": history.tenor, "most": weights.small_tenor_days},
    )


def stale(history: History, weights: Weights) -> Finding | None:
    """T2, with points: listed more than 60 days after its date."""
    age = (history.today - history.issued).days
    if age <= weights.stale_days:
        return None
    points = weights.very_stale_points if age > weights.very_stale_days else weights.stale_points
    return Finding(
        code="T2",
        kind=Kind.POINTS,
        sentence=f"It is {plural(age, 'day')} old.",
        values={"days": age, "issued": history.issued.isoformat()},
        points=Decimal(points),
    )


def fresh(history: History, weights: Weights) -> tuple[str, History]:
    """The remedy of T2's points: the same tenor, begun later."""
    moved = history.today - timedelta(days=weights.stale_days)
    return f"it were at most {weights.stale_days} days old", replace(
        history, issued=moved, due=moved + timedelta(days=history.tenor)
    )


def _lateness(history: History) -> tuple[float, float, int]:
    """Recency-weighted share late and mean days late, and of how many bills that speaks."""
    late, days = [], []
    for bill in history.bills:
        if bill.paid_on is None and bill.due >= history.today:
            continue
        age = (history.today - bill.due).days
        weight = 1.0 if age <= 365 else 0.5 if age <= 730 else 0.25
        over = max(0, ((bill.paid_on or history.today) - bill.due).days)
        late.append((float(over > 0), weight))
        days.append((float(over), weight))
    return weighted_mean(late), weighted_mean(days), len(late)


def pays_late(history: History, weights: Weights) -> Finding | None:
    """B1: 20 points for everything late, 10 for 30 days late on average, in proportion."""
    share, days, bills = _lateness(history)
    points = tenth(weights.late_share_most * share + weights.late_days_most * min(1.0, days / weights.late_days))
    if not points:
        return None
    return Finding(
        code="B1",
        kind=Kind.POINTS,
        sentence=f"The buyer paid {percent(share)} of {plural(bills, 'bill')} late, on average {days:.0f} days "
        "over all of them; what is recent counts more.",
        values={"share_late": round(share, 4), "days_late": round(days, 2), "bills": bills},
        points=points,
    )


def punctual(history: History, _weights: Weights) -> tuple[str, History]:
    """The remedy of B1."""
    bills = tuple(
        replace(bill, paid_on=min(bill.paid_on, bill.due) if bill.paid_on else bill.due) for bill in history.bills
    )
    return "the buyer had paid every bill on its day", replace(history, bills=bills)


def dilution(history: History, weights: Weights) -> Finding | None:
    """B2: credit notes and short pay over sales, more than 5 %: advance no more than 100 % - (2 x dilution + 5 %)."""
    if history.dilution <= Decimal(str(weights.dilution)):
        return None
    return Finding(
        code="B2",
        kind=Kind.HAIRCUT,
        sentence=f"{percent(history.dilution)} of what was invoiced to this buyer was credited or left unpaid: "
        f"hold back {percent(haircut(history, weights))}.",
        values={"diluted": history.diluted, "sold": history.sold, "dilution": float(round(history.dilution, 4))},
    )


def haircut(history: History, weights: Weights) -> Decimal:
    """The part of the amount to hold back by B2's rule, as a fraction of at most 1."""
    return min(Decimal(1), weights.haircut_times * history.dilution + weights.haircut_base)


def undiluted(history: History, _weights: Weights) -> tuple[str, History]:
    """The remedy of B2."""
    return "nothing had been credited or left unpaid", replace(history, diluted=0)
