"""How good the engine is on statements whose truth is known: precision and coverage a tier, confusion, time, growth."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from uuid import UUID

from core.reconciliation import engine, generator
from core.reconciliation.engine import Judgement
from core.reconciliation.features import Book
from core.reconciliation.generator import MATCHABLE, Truth
from core.reconciliation.weights import CURRENT, Weights

LEAST_PRECISION = 0.999
LEAST_COVERAGE = 0.80


@dataclass(slots=True)
class Tally:
    """One kind of line: how many there were, and what became of them. `wrong` are of the sure tier."""

    lines: int = 0
    sure: int = 0
    wrong: int = 0
    suggested: int = 0
    suggested_right: int = 0
    suspense: int = 0


@dataclass(slots=True)
class Report:
    """What was found. `double` counts money that would be posted twice; `seconds` is the judging alone."""

    seed: int
    lines: int
    invoices: int
    version: str
    kinds: dict[str, Tally] = field(default_factory=dict)
    double: int = 0
    seconds: float = 0.0
    wrong: list[tuple[str, UUID]] = field(default_factory=list)

    def _sum(self, name: str) -> int:
        return sum(getattr(tally, name) for tally in self.kinds.values())

    @property
    def precision(self) -> float:
        """The share of sure decisions that are right."""
        sure = self._sum("sure")
        return 1 - self._sum("wrong") / sure if sure else 1.0

    @property
    def coverage(self) -> float:
        """The share of the lines that pay open invoices that is decided rightly without anybody."""
        ours = [tally for kind, tally in self.kinds.items() if kind in MATCHABLE]
        lines = sum(tally.lines for tally in ours)
        return sum(tally.sure - tally.wrong for tally in ours) / lines if lines else 0.0

    @property
    def suggested_precision(self) -> float:
        """The share of first suggestions that are right."""
        suggested = self._sum("suggested")
        return self._sum("suggested_right") / suggested if suggested else 1.0

    @property
    def holds(self) -> bool:
        """Whether what is promised of the sure tier holds."""
        return self.precision >= LEAST_PRECISION and self.coverage >= LEAST_COVERAGE and self.double == 0


def measure(seed: int, lines: int, invoices: int, weights: Weights = CURRENT) -> Report:
    """Judge a made-up statement. The same seed finds the same; the time is this machine's."""
    book, truth = generator.make(seed, lines, invoices)
    began = time.perf_counter()
    judged = engine.judge(book, weights)
    seconds = time.perf_counter() - began
    report = Report(seed=seed, lines=len(book.lines), invoices=len(book.invoices), version=weights.version)
    report.seconds = seconds
    for one in judged:
        _count(report, one, truth)
    report.double = _posted_twice(book, judged, truth)
    return report


def is_right(one: Judgement, truth: Truth) -> bool:
    """Whether a judgement is the truth about its line. A line paid twice may be either of the two."""
    if one.kind == "invoices":
        return frozenset(one.targets) == truth.targets
    return one.kind != "none" and truth.subject_id == one.subject_id


def _count(report: Report, one: Judgement, truth: Mapping[UUID, Truth]) -> None:
    known = truth[one.line_id]
    tally = report.kinds.setdefault(known.kind, Tally())
    tally.lines += 1
    right = is_right(one, known)
    if one.tier == "sure":
        tally.sure += 1
        tally.wrong += not right
        if not right:
            report.wrong.append((known.kind, one.line_id))
    elif one.tier == "suggested":
        tally.suggested += 1
        tally.suggested_right += right
    else:
        tally.suspense += 1


def _posted_twice(book: Book, judged: list[Judgement], truth: Mapping[UUID, Truth]) -> int:
    """How often money would be posted that is posted already: lines told twice, booked before, above what is due."""
    sure = [one for one in judged if one.tier == "sure" and one.kind == "invoices"]
    paid: Counter[UUID] = Counter()
    for one in sure:
        for invoice, amount in one.targets:
            paid[invoice] += amount
    due = {invoice.id: invoice.due for invoice in book.invoices}
    linked = Counter(one.subject_id for one in judged if one.tier == "sure" and one.kind in ("payment", "payout"))
    return (
        sum(amount > due[invoice] for invoice, amount in paid.items())
        + sum(truth[one.line_id].subject_id is not None for one in sure)
        + sum(count - 1 for count in linked.values())
    )


def table(report: Report) -> str:
    """The kinds of lines and what became of them, as a Markdown table."""
    rows = [
        "| Kind of line | Lines | Sure | of these wrong | Suggested | of these right | Suspense |",
        "|---|---:|---:|---:|---:|---:|---:|",
    ]
    for kind in generator.KINDS:
        tally = report.kinds.get(kind, Tally())
        rows.append(
            f"| {kind} | {tally.lines} | {tally.sure} | {tally.wrong} | {tally.suggested} | {tally.suggested_right} "
            f"| {tally.suspense} |"
        )
    return "\n".join(rows)


def summary_lines(report: Report) -> list[str]:
    """What the kinds come to together, in sentences."""
    return [
        f"{report.lines} lines against {report.invoices} open invoices; seed {report.seed}, weights {report.version}.",
        f"Sure: {report.precision:.3%} right, covering {report.coverage:.1%} of the lines that pay open invoices.",
        f"Suggested: {report.suggested_precision:.1%} right at the first suggestion.",
        f"Posted twice: {report.double}.",
    ]
