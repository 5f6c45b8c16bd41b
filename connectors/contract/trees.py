"""JSON values as trees: every place in one, and changing one place for a moment."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from copy import deepcopy
from typing import Any, TypeAlias

from connectors.payload import Payload

Path: TypeAlias = tuple[str | int, ...]

REMOVED = object()
"""Stands for a value that is not there."""

_WRITTEN: tuple[object, ...] = (
    None, True, 0, -1, 10**15 + 1, 10**30, 1.5, [], {}, [[]],
    "", "x", "\0", "\ud800", "NaN", "1e5", "-0.001", "é" * 300,
)  # fmt: skip
# As a body would bring them: Payload cleans text and keeps the digits of numbers.
SPOILERS: tuple[object, ...] = tuple(
    next(iter(Payload.from_bytes(json.dumps([value]).encode()).value))  # type: ignore[call-overload]
    for value in _WRITTEN
)
PROBES: tuple[object, ...] = (REMOVED, [], "x")
"""What tells whether a place is looked at, at little cost."""


def paths(value: object, above: Path = ()) -> Iterator[Path]:
    """Every place in a JSON value but its root, parents first."""
    inside = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, child in inside:
        yield (*above, key)
        yield from paths(child, (*above, key))


def leaves(value: object) -> Iterator[tuple[Path, object]]:
    """Every place that holds no object and no list, with what stands there."""
    for path in paths(value):
        if not isinstance(found := at(value, path), dict | list):
            yield path, found


def at(whole: Any, path: Path) -> Any:
    """What stands at a place."""
    for key in path:
        whole = whole[key]
    return whole


@contextmanager
def changed(whole: object, path: Path, new: object) -> Iterator[None]:
    """The same value with something else at a place, or nothing (REMOVED), until the block ends."""
    holder, key = at(whole, path[:-1]), path[-1]
    old = holder[key]
    if new is REMOVED:
        del holder[key]
    else:
        holder[key] = new
    try:
        yield
    finally:
        if new is REMOVED and isinstance(holder, list):
            holder.insert(int(key), old)
        else:
            holder[key] = old


@contextmanager
def all_changed(whole: object, new: dict[Path, object]) -> Iterator[None]:
    """The same for several places that do not lie within each other."""
    old = {path: at(whole, path) for path in new}
    for path, value in new.items():
        at(whole, path[:-1])[path[-1]] = value
    try:
        yield
    finally:
        for path, value in old.items():
            at(whole, path[:-1])[path[-1]] = value


def doubled(whole: object, path: Path) -> object:
    """A copy whose list at a place holds its first element twice."""
    copy: Any = deepcopy(whole)
    found = at(copy, path)
    found.append(deepcopy(found[0]))
    return copy


def lists(whole: object) -> Iterator[Path]:
    """Every list that is not empty, the root included, the shallowest first."""
    found = [path for path in [(), *paths(whole)] if isinstance(at(whole, path), list) and at(whole, path)]
    yield from sorted(found, key=len)
