"""The few measures that the features are made of. None of them is used on a way that money takes."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from decimal import ROUND_HALF_UP, Decimal
from statistics import fmean, median

# 0.6745 is the third quartile of the normal distribution: with it the median deviation estimates sigma.
_QUARTILE = 0.6745
BENFORD = (30.1, 17.6, 12.5, 9.7, 7.9, 6.7, 5.8, 5.1, 4.6)


def median_deviation(values: Sequence[float]) -> float:
    """The median distance from the median (MAD)."""
    middle = median(values)
    return float(median([abs(value - middle) for value in values]))


def robust_z(value: float, known: Sequence[float], floor: float) -> float:
    """0.6745 (x - median) / MAD. `floor` is the least MAD: without one equal values make any other infinitely odd."""
    return _QUARTILE * (value - float(median(known))) / max(median_deviation(known), floor)


def concentration(amounts: Sequence[int]) -> float:
    """The sum of squared shares: 1 for one buyer alone, 0.25 for four equal ones, 0 for none."""
    whole = sum(amounts)
    return sum((amount / whole) ** 2 for amount in amounts) if whole else 0.0


def first_digit(amount: int) -> int:
    """The first digit of a positive amount."""
    return int(str(amount)[0])


def benford_deviation(counts: Sequence[int]) -> float:
    """The mean distance of the shares of first digits 1 to 9 from Benford's law, as a fraction."""
    whole = sum(counts)
    return fmean(abs(count / whole - share / 100) for count, share in zip(counts, BENFORD, strict=True))


def logarithms(amounts: Sequence[int]) -> list[float]:
    """Natural logarithms of positive amounts."""
    return [math.log(amount) for amount in amounts]


def weighted_mean(pairs: Sequence[tuple[float, float]]) -> float:
    """The mean of (value, weight) pairs; 0 without any."""
    weight = sum(each for _, each in pairs)
    return sum(value * each for value, each in pairs) / weight if weight else 0.0


def tenth(points: float) -> Decimal:
    """Points as they are shown and added: rounded half up to one decimal place."""
    return Decimal(repr(round(points, 6))).quantize(Decimal("0.1"), rounding=ROUND_HALF_UP)


def shortest_way(edges: Mapping[str, Sequence[str]], start: str, end: str, longest: int) -> list[str]:
    """The nodes of a shortest way from `start` to `end` of at most `longest` steps; empty without one."""
    ways, seen = [[start]], {start}
    for _ in range(longest):
        further = []
        for way in ways:
            for node in edges.get(way[-1], ()):
                if node == end:
                    return [*way, node]
                if node not in seen:
                    seen.add(node)
                    further.append([*way, node])
        ways = further
    return []
