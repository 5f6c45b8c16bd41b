"""How an invoice's number is recognised in other people's texts (marketplace.md 2.9).

A number is cut into groups of letters and of digits, in capitals, without leading zeros, joined by a middle
dot: "INV-0042" and "inv/42" are both INV·42, and 2026-27/42 stays apart from 2026-2/742.
"""

from __future__ import annotations

import re
from functools import lru_cache

_GROUPS = re.compile(r"[^\W\d_]+|\d+")
# The same for ASCII, which nearly every text is, in a fifth of the time.
_ASCII_GROUPS = re.compile(r"[A-Za-z]+|[0-9]+")
_HAS_DIGIT = re.compile(r"\d")
# A narration is a line of text; what is longer than this is not one.
_MAX_TEXT = 512
_MAX_GROUPS = 5


def _groups(text: str) -> list[str]:
    text = text[:_MAX_TEXT].upper()
    pattern = _ASCII_GROUPS if text.isascii() else _GROUPS
    return [(group.lstrip("0") or "0") if group[0].isdigit() else group for group in pattern.findall(text)]


def number_key(number: str) -> str:
    """The normal form of an invoice number; empty when it has neither letters nor digits."""
    return "·".join(_groups(number))


@lru_cache(maxsize=8192)
def candidate_keys(text: str) -> tuple[str, ...]:
    """Every normal form that could be a number standing somewhere in `text`, longest first.

    A number has a digit in it. A run of one group is no candidate unless it is the whole text: "42" in a
    narration names nothing.
    """
    if _HAS_DIGIT.search(text) is None:
        return ()
    groups = _groups(text)
    if len(groups) <= 1:
        return tuple(groups)
    digits = [place for place, group in enumerate(groups) if group[0].isdigit()]
    found: dict[str, None] = {}
    for size in range(min(len(groups), _MAX_GROUPS), 1, -1):
        for start in range(len(groups) - size + 1):
            if any(start <= place < start + size for place in digits):
                found["·".join(groups[start : start + size])] = None
    return tuple(found)
