"""Udyam: the number of a registered micro, small or medium enterprise (marketplace rules 2.11)."""

from __future__ import annotations

import re

from core.errors import Invalid

_SHAPE = re.compile(r"UDYAM-[A-Z]{2}-[0-9]{2}-[0-9]{7}")


def parse(text: str, field: str = "udyam") -> str:
    """A Udyam number as typed, in capitals. Raises Invalid."""
    cleaned = "".join(text.split()).upper()
    if not _SHAPE.fullmatch(cleaned):
        raise Invalid(field, "is not a Udyam number such as UDYAM-MH-12-0012345")
    return cleaned
