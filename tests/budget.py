"""What `make test` leaves to `make test-long`: the short run has ten minutes on two processors."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeVar

import pytest

_One = TypeVar("_One")
_LONG = pytest.mark.long
# Set before the tests are imported (tests/conftest.py): whether the long ones run, too.
_whole = False


def configure(*, whole: bool) -> None:
    """Say whether this run has the time for everything."""
    global _whole  # noqa: PLW0603 - decorators ask while test files are imported, and know no configuration.
    _whole = whole


def whole() -> bool:
    """Whether the long tests run, too."""
    return _whole


def examples(many: int) -> int:
    """How many examples hypothesis draws: `many` when the long ones run, too, or else a third of them."""
    return many if _whole else max(3, many // 3)


def some(items: Sequence[_One], few: int) -> Sequence[_One]:
    """All of them when the long ones run, too, or else about `few`, spread evenly."""
    return items if _whole or len(items) <= few else items[:: len(items) // few]


def left_to_long(cases: Sequence[Any], few: int) -> list[Any]:
    """Cases of a parametrized test, of which all but about `few`, spread evenly, are marked as long."""
    kept = {id(case) for case in (cases if len(cases) <= few else cases[:: len(cases) // few])}
    made = [case if hasattr(case, "marks") else pytest.param(case) for case in cases]
    return [
        one if id(case) in kept else pytest.param(*one.values, id=one.id, marks=(*one.marks, _LONG))
        for case, one in zip(cases, made, strict=True)
    ]
