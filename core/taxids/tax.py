"""GST on an invoice: which taxes, how much of each, and whether what stands there adds up (marketplace rules 2.10).

Amounts are in minor units (paise); rates are percent.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Decimal

# The portal takes a rounding line of -99 to 99 rupees.
MAX_ROUNDING = 99_00
_CRORE = 1_00_00_000_00
_HSN = re.compile(r"[0-9]{4}|[0-9]{6}|[0-9]{8}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Split:
    """The taxes of a line: either halves for the centre and the state, or one for both."""

    cgst: int = 0
    sgst: int = 0
    igst: int = 0

    @property
    def total(self) -> int:
        """All of it."""
        return self.cgst + self.sgst + self.igst


@dataclass(frozen=True, slots=True, kw_only=True)
class TaxedLine:
    """A line as it stands on the invoice."""

    taxable: int
    rate: Decimal
    split: Split


def _rounded(value: Decimal) -> int:
    return int(value.quantize(Decimal(1), rounding=ROUND_HALF_UP))


def split(taxable: int, rate: Decimal, *, same_state: bool) -> Split:
    """The taxes of an amount, each half rounded half up, once.

    >>> split(1_00_000_00, Decimal(18), same_state=True).cgst
    900000
    """
    if not same_state:
        return Split(igst=_rounded(taxable * rate / 100))
    half = _rounded(taxable * rate / 200)
    return Split(cgst=half, sgst=half)


def check(
    lines: Sequence[TaxedLine], *, supplier_state: str, place_of_supply: str, rounding: int, total: int
) -> list[str]:
    """What is wrong with an invoice's taxes, in sentences; nothing when every line is right to the paisa.

    States are GST state codes. `rounding` is the rounding line, `total` what the invoice comes to.
    """
    found = []
    same_state = supplier_state == place_of_supply
    for place, line in enumerate(lines, start=1):
        right = split(line.taxable, line.rate, same_state=same_state)
        if line.split == right:
            continue
        if bool(line.split.igst) == same_state and line.split.total:
            wanted = "CGST and SGST" if same_state else "IGST"
            found.append(f"Line {place} charges the wrong tax: this supply bears {wanted}.")
        else:
            found.append(f"Line {place} charges {line.split.total} minor units of tax; {right.total} is right.")
    if not -MAX_ROUNDING <= rounding <= MAX_ROUNDING:
        found.append(f"The rounding line of {rounding} minor units is more than {MAX_ROUNDING} either way.")
    added = sum(line.taxable + line.split.total for line in lines) + rounding
    if added != total:
        found.append(f"The lines add up to {added} minor units, the invoice says {total}.")
    return found


def hsn_digits(turnover: int) -> int:
    """How many digits of an HSN code a supplier of a yearly turnover (minor units of INR) must give at least."""
    return 6 if turnover >= 5 * _CRORE else 4


def hsn_fits(code: str, turnover: int) -> bool:
    """Whether an HSN or SAC code is written out far enough."""
    return _HSN.fullmatch(code) is not None and len(code) >= hsn_digits(turnover)
