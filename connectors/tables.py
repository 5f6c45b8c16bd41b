"""Tables that several connectors write: what a provider's words mean, and what is done with events of many names."""

from __future__ import annotations

from enum import Enum
from typing import TypeVar

T = TypeVar("T")
E = TypeVar("E", bound=Enum)


def each(names: str, meaning: T, prefix: str = "") -> dict[str, T]:
    """The same meaning for several names, which are parted by spaces."""
    return {prefix + name: meaning for name in names.split()}


def words(kind: type[E], **said: str) -> dict[str, E]:
    """What each word of a provider means, from the words of each meaning: `words(PaymentStatus, PENDING="open new")`.

    Raises ValueError where a word would mean two things, and KeyError for a meaning that there is not.
    """
    found: dict[str, E] = {}
    for meaning, names in said.items():
        if twice := found.keys() & names.split():
            raise ValueError(f"{sorted(twice)} would mean two things")
        found |= each(names, kind[meaning])
    return found
