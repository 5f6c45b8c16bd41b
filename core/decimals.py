"""Decimals as text, so that no reader turns them into floats."""

from __future__ import annotations

from decimal import Decimal


def spelled(value: Decimal) -> str:
    """A decimal without zeros that say nothing and without an exponent: 2.500 is "2.5"."""
    text = format(value, "f")
    return text.rstrip("0").rstrip(".") if "." in text else text


def plain(value: Decimal | None) -> str | None:
    """The same; None stays None."""
    return None if value is None else spelled(value)
