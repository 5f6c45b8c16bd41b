"""Pictures of figures, drawn by the server: points and bars in the units of an SVG view box."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

WIDTH = 600
HEIGHT = 160


@dataclass(frozen=True, slots=True)
class Line:
    """A line and the area under it, as SVG path data; `top` is the largest value shown."""

    line: str
    area: str
    top: int


@dataclass(frozen=True, slots=True)
class Bar:
    """One bar: its place in the view box, and what it stands for."""

    x: float
    y: float
    width: float
    height: float
    label: str
    amount: int
    late: bool
    url: str = ""


def line(values: Sequence[int]) -> Line | None:
    """The line through values at even distances; None when there are fewer than two."""
    if len(values) < 2:
        return None
    top = max(*values, 1)
    step = WIDTH / (len(values) - 1)
    points = [f"{place * step:.1f} {HEIGHT - HEIGHT * value / top:.1f}" for place, value in enumerate(values)]
    drawn = "M" + " L".join(points)
    return Line(line=drawn, area=f"{drawn} L{WIDTH} {HEIGHT} L0 {HEIGHT} Z", top=top)


def ticks(top: int) -> list[int]:
    """The marks of an axis, from 0 to the first at or above `top`: at most five, 1, 2 or 5 by a power of ten apart."""
    steps = (step * 10**power for power in range(40) for step in (1, 2, 5))
    step = next(step for step in steps if step * 4 >= top)
    return list(range(0, top + step if top % step else top + 1, step)) if top > 0 else [0]


def bars(columns: Sequence[tuple[str, int, bool]], urls: Sequence[str] = (), *, top: int = 0) -> list[Bar]:
    """Bars for (label, amount, late), scaled to `top` or the largest, and where each leads.

    What is below nothing has none.
    """
    if not columns:
        return []
    top = max(*(amount for _, amount, _ in columns), top, 1)
    step = WIDTH / len(columns)
    width = min(step * 0.7, 64.0)
    return [
        Bar(
            x=place * step + (step - width) / 2,
            y=HEIGHT - HEIGHT * max(0, amount) / top,
            width=width,
            height=HEIGHT * max(0, amount) / top,
            label=label,
            amount=amount,
            late=late,
            url=urls[place] if urls else "",
        )
        for place, (label, amount, late) in enumerate(columns)
    ]
