"""How an invoice's number is recognised in other people's texts (marketplace.md 2.9).

A number is cut into groups of letters and of digits, in capitals, without leading zeros, joined by a middle
dot: "INV-0042" and "inv/42" are both INV·42, and 2026-27/42 stays apart from 2026-2/742.
"""

from __future__ import annotations

import re

_GROUPS = re.compile(r"[^\W\d_]+|\d+")
# A narration is a line of text; what is longer than this is not one.
_MAX_TEXT = 512
_MAX_GROUPS = 5


def _groups(text: str) -> list[str]:
    return [
        (group.lstrip("0") or "0") if group[0].isdigit() else group.upper()
        for group in _GROUPS.findall(text[:_MAX_TEXT])
    ]


def number_key(number: str) -> str:
    """The normal form of an invoice number; empty when it has neither letters nor digits."""
    return "·".join(_groups(number))


def candidate_keys(text: str) -> list[str]:
    """Every normal form that could be a number standing somewhere in `text`, longest first.

    A run of one group is no candidate unless it is the whole text: "42" in a narration names nothing.
    """
    groups = _groups(text)
    if len(groups) <= 1:
        return groups
    longest = min(len(groups), _MAX_GROUPS)
    found = dict.fromkeys(
        "·".join(groups[start : start + size])
        for size in range(longest, 1, -1)
        for start in range(len(groups) - size + 1)
    )
    return list(found)
