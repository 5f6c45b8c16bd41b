"""Points that come from numbers and amounts: sequences, round figures, limits, first digits, outliers.

Each is weak alone and says so by its few points. First digits (Benford) have none at all: the law needs hundreds of
amounts over orders of magnitude, and breaks under approval limits.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from datetime import date
from decimal import Decimal
from itertools import pairwise
from statistics import median

from core.risk.facts import History, Part
from core.risk.findings import Finding, Kind, percent, plural, spell
from core.risk.statistics import benford_deviation, logarithms, robust_z, tenth
from core.risk.weights import Weights

# Amounts of a pair that are all equal: then a tenth more is still usual.
_LOG_FLOOR = math.log(1.1)


def reversals(series: Sequence[tuple[int, date]], days: int) -> list[tuple[int, int]]:
    """Neighbours in number order whose date falls by at least `days`: (number, next number)."""
    ordered = sorted(series)
    return [(first, second) for (first, before), (second, after) in pairwise(ordered) if (before - after).days >= days]


def gaps(series: Sequence[tuple[int, date]]) -> float:
    """The share of numbers between the lowest and the highest that are missing."""
    numbers = {number for number, _ in series}
    span = max(numbers) - min(numbers) + 1 if numbers else 0
    return 1 - len(numbers) / span if span else 0.0


def sequence(history: History, weights: Weights) -> Finding | None:
    """S1: the number rises while the date falls, or many numbers are missing."""
    found = reversals(history.series, weights.reversal_days)
    missing = gaps(history.series) if len(history.series) >= weights.consecutive_least else 0.0
    points, said = 0, []
    if found:
        points += weights.reversal_points
        said.append(f"Number {found[0][1]} is dated before number {found[0][0]}")
    if missing > weights.gap_share:
        points += weights.gap_points
        said.append(f"{percent(missing)} of the numbers between the first and the last are missing")
    if not points:
        return None
    return Finding(
        code="S1",
        kind=Kind.POINTS,
        sentence=f"{'; '.join(said)}.",
        values={"reversals": [list(pair) for pair in found[:10]], "missing_share": round(missing, 4)},
        points=Decimal(points),
    )


def in_order(history: History, _weights: Weights) -> tuple[str, History]:
    """The remedy of S1."""
    days = sorted(day for _, day in history.series)
    return "numbers and dates rose together without gaps", replace(history, series=tuple(enumerate(days, start=1)))


def adjacent_share(numbers: Sequence[int]) -> float:
    """The share of numbers that stand beside another one."""
    known = set(numbers)
    return sum(1 for number in known if {number - 1, number + 1} & known) / len(known) if known else 0.0


def consecutive(history: History, weights: Weights) -> Finding | None:
    """S2: more than 80 % of at least five invoices to this buyer have consecutive numbers."""
    share = adjacent_share(history.pair_numbers)
    if len(history.pair_numbers) < weights.consecutive_least or share <= weights.consecutive_share:
        return None
    return Finding(
        code="S2",
        kind=Kind.POINTS,
        sentence=f"{percent(share)} of {plural(len(history.pair_numbers), 'invoice')} to this buyer have consecutive "
        "numbers, as if there were no other.",
        values={"share": round(share, 4), "invoices": len(history.pair_numbers)},
        points=Decimal(weights.consecutive_points),
    )


def spaced(history: History, _weights: Weights) -> tuple[str, History]:
    """The remedy of S2."""
    numbers = tuple(2 * number for number in history.pair_numbers)
    return "invoices to others stood between them", replace(history, pair_numbers=numbers)


def round_amounts(history: History, weights: Weights) -> Finding | None:
    """A1: the third round amount or more, and this pair's recent share of them over three times the seller's own."""
    recent, base = history.round_recent, history.round_base
    if (
        history.amount % weights.round_unit
        or recent.whole < weights.round_least
        or base.whole < weights.round_base_least
    ):
        return None
    usual = max(base.share, weights.round_base_floor)
    if recent.hits < weights.round_hits or recent.share <= weights.round_times * usual:
        return None
    return Finding(
        code="A1",
        kind=Kind.POINTS,
        sentence=f"{percent(recent.share)} of the recent invoices to this buyer are round, where {percent(base.share)} "
        "of the seller's others are.",
        values={"recent": [recent.hits, recent.whole], "base": [base.hits, base.whole]},
        points=Decimal(weights.round_points),
    )


def not_round(history: History, _weights: Weights) -> tuple[str, History]:
    """The remedy of A1."""
    usual = int(history.round_recent.whole * history.round_base.share)
    return "amounts were as seldom round as the seller's others", replace(
        history, round_recent=Part(hits=usual, whole=history.round_recent.whole)
    )


def limit_above(amount: int, weights: Weights) -> int | None:
    """The approval limit that an amount stays just under (95 to below 100 % of it), if any."""
    near = (limit for limit in weights.approval_limits if weights.near_limit_share * limit <= amount < limit)
    return next(near, None)


def near_limit(history: History, weights: Weights) -> Finding | None:
    """A2: more than three times as many amounts just under a limit as the stretch below it lets expect."""
    found, limit = history.near_limit, limit_above(history.amount, weights)
    if limit is None or found.hits < weights.near_limit_least:
        return None
    # The stretch from 80 to 95 % is three times as wide as the one from 95 to 100 %.
    expected = max(history.below_limit.share / 3, 1 - weights.near_limit_share)
    if found.share <= weights.near_limit_times * expected:
        return None
    return Finding(
        code="A2",
        kind=Kind.POINTS,
        sentence=f"{plural(found.hits, 'invoice')} of {found.whole} stay just under a round limit; this one under "
        f"{spell(limit, history.currency)}.",
        values={
            "hits": found.hits,
            "whole": found.whole,
            "expected_share": round(expected, 4),
            "limit": limit,
            "amount": history.amount,
        },
        points=Decimal(weights.near_limit_points),
    )


def away_from_limit(history: History, weights: Weights) -> tuple[str, History]:
    """The remedy of A2."""
    usual = Part(hits=int(history.near_limit.whole * (1 - weights.near_limit_share)), whole=history.near_limit.whole)
    return "amounts were spread as others are", replace(history, near_limit=usual)


def benford(history: History, weights: Weights) -> Finding | None:
    """A3, for information only: first digits far from Benford's law, with at least 300 amounts."""
    whole = sum(history.first_digits)
    if whole < weights.benford_least:
        return None
    deviation = benford_deviation(history.first_digits)
    if deviation <= weights.benford_deviation:
        return None
    return Finding(
        code="A3",
        kind=Kind.INFO,
        sentence=f"First digits of {whole} amounts lie {100 * deviation:.1f} percentage points from Benford's law "
        "on average. Alone this means little.",
        values={"deviation": round(deviation, 4), "counts": list(history.first_digits)},
    )


def amount_outlier(history: History, weights: Weights) -> Finding | None:
    """A4: the logarithm of the amount, robust z above the pair's, more than 3.5."""
    if len(history.pair_amounts) < weights.amount_least:
        return None
    z = robust_z(math.log(history.amount), logarithms(history.pair_amounts), _LOG_FLOOR)
    if z <= weights.amount_z:
        return None
    usual = int(median(history.pair_amounts))
    return Finding(
        code="A4",
        kind=Kind.POINTS,
        sentence=f"{spell(history.amount, history.currency)} is far above the usual {spell(usual, history.currency)} "
        f"between these two (z {z:.1f}).",
        values={"amount": history.amount, "usual": usual, "z": round(z, 2), "invoices": len(history.pair_amounts)},
        points=tenth(min(weights.amount_most, weights.amount_per_z * z)),
    )


def usual_amount(history: History, _weights: Weights) -> tuple[str, History]:
    """The remedy of A4."""
    usual = int(median(history.pair_amounts))
    return f"it were the usual {spell(usual, history.currency)}", replace(history, amount=usual)
