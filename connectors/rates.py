"""Which of a provider's tax types stands for a rate, as a connection's settings say: `18=OUTPUT18 0=NONE`."""

from __future__ import annotations

from decimal import Decimal, InvalidOperation

from core.errors import Permanent


def types_of(setting: str) -> dict[Decimal, str]:
    """Types by rate in per cent. Raises Permanent for what cannot be read."""
    found: dict[Decimal, str] = {}
    for part in setting.replace(",", " ").split():
        rate, equals, name = part.partition("=")
        try:
            found[Decimal(rate.rstrip("%"))] = name
        except InvalidOperation:
            equals = ""
        if not equals or not name:
            raise Permanent(f"the tax types of the connection cannot be read at {part[:40]!r}")
    return found


def type_of(rate: Decimal, known: dict[Decimal, str], title: str) -> str:
    """The provider's type for a rate. Raises Permanent where the connection names none."""
    if (name := known.get(rate)) is None:
        raise Permanent(f"the connection names no tax type of {title} for {rate.normalize():f} %")
    return name
