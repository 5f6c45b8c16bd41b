"""How good the judgement is on a trade whose truth is known: precision and recall a code, false alarms, time.

A code's precision counts its own planted cases and clean invoices alone: a fault of another kind may rightly raise it
as well. B1 has points for every late bill, so only from five points on is it taken for an alarm.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from statistics import median

from core.risk.findings import TITLES
from core.risk.planting import World, history_of
from core.risk.plants import PLANTS
from core.risk.scoring import Assessment, judge

DEFAULT_SEED = 20_261_121
DEFAULT_INVOICES = 4_000
_PLANTED_SHARE = 0.25
_B1_POINTS = Decimal(5)


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One code: planted cases, those found, and clean invoices on which it spoke."""

    code: str
    planted: int
    found: int
    false: int
    clean: int

    @property
    def recall(self) -> float:
        """The share of planted cases that were found."""
        return self.found / self.planted if self.planted else 0.0

    @property
    def precision(self) -> float:
        """The share of alarms that were planted cases."""
        return self.found / (self.found + self.false) if self.found + self.false else 0.0

    @property
    def false_per_thousand(self) -> float:
        """False alarms in 1,000 clean invoices."""
        return 1000 * self.false / self.clean if self.clean else 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """All of it. `stops` and `reviews` are false ones of any code, of 1,000 clean invoices; times are milliseconds."""

    seed: int
    invoices: int
    clean: int
    version: str
    rows: tuple[Row, ...]
    stops: float
    reviews: float
    elevated: float
    median_ms: float
    p99_ms: float


def raised(found: Assessment) -> set[str]:
    """The codes that a judgement alarms with."""
    return {finding.code for finding in found.findings if finding.code != "B1" or finding.points >= _B1_POINTS}


def measure(
    seed: int = DEFAULT_SEED, invoices: int = DEFAULT_INVOICES, progress: Callable[[int], None] | None = None
) -> Report:
    """Judge so many invoices of the world of a seed. The same seed finds the same, times apart."""
    world, chance = World(seed), random.Random(seed + 1)  # noqa: S311 - Reproducible on purpose.
    codes = list(PLANTS)
    planted, found = dict.fromkeys(codes, 0), dict.fromkeys(codes, 0)
    false = dict.fromkeys(codes, 0)
    clean = stops = reviews = elevated = turn = 0
    took: list[float] = []
    version = ""
    for number, draft in enumerate(world.drafts(invoices), start=1):
        label = codes[turn % len(codes)] if chance.random() < _PLANTED_SHARE else None
        if label is not None:
            turn += 1
            PLANTS[label](draft, chance)
        began = time.perf_counter()
        judged = judge(history_of(draft, world))
        took.append((time.perf_counter() - began) * 1000)
        alarms, version = raised(judged), judged.version
        if label is not None:
            planted[label] += 1
            found[label] += label in alarms
        else:
            clean += 1
            stops += bool(judged.stops)
            reviews += bool(judged.reviews)
            elevated += judged.band != "low"
            for code in alarms:
                false[code] += 1
        if progress is not None:
            progress(number)
    thousand = 1000 / clean if clean else 0.0
    took.sort()
    return Report(
        seed=seed,
        invoices=invoices,
        clean=clean,
        version=version,
        rows=tuple(
            Row(code=code, planted=planted[code], found=found[code], false=false[code], clean=clean) for code in TITLES
        ),
        stops=stops * thousand,
        reviews=reviews * thousand,
        elevated=elevated * thousand,
        median_ms=median(took) if took else 0.0,
        p99_ms=took[int(0.99 * (len(took) - 1))] if took else 0.0,
    )


def table(report: Report) -> str:
    """The report as a Markdown table, without the times, which are of one machine."""
    lines = [
        "| Code | Finding | Planted | Recall | Precision | False alarms in 1,000 clean |",
        "|---|---|---:|---:|---:|---:|",
    ]
    lines += [
        f"| {row.code} | {TITLES[row.code]} | {row.planted} | {row.recall:.1%} | {row.precision:.1%} "
        f"| {row.false_per_thousand:.1f} |"
        for row in report.rows
    ]
    return "\n".join(lines)


def summary_lines(report: Report) -> list[str]:
    """What the codes come to together, in sentences."""
    together = (
        f"Of 1,000 clean invoices {report.stops:.1f} had a false stop, {report.reviews:.1f} a false review, and "
        f"{report.elevated:.1f} were rated above low."
    )
    return [
        f"{report.invoices} invoices, {report.clean} of them clean; seed {report.seed}, weights {report.version}.",
        together,
    ]
