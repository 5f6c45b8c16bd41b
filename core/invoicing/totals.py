"""What an invoice comes to: pure, in whole minor units. webapp/static/js/totals.js computes the same while typing.

Each named amount is rounded half up, once: gross is quantity times price; the discount is a share of it; tax is a
share of what is left, for GST inside one state in two halves (marketplace rules 2.10). Everything else is sums.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from decimal import ROUND_HALF_UP, Decimal
from typing import Any, Literal

from core.decimals import spelled
from core.money import exponent
from core.taxids import tax

Regime = Literal["plain", "gst"]


@dataclass(frozen=True, slots=True, kw_only=True)
class NewItem:
    """A line: so many of something at a price each, in minor units; discount and tax in percent."""

    description: str
    quantity: Decimal
    unit_price: int
    tax_rate: Decimal = Decimal(0)
    unit: str = ""
    hsn: str = ""
    discount_rate: Decimal = Decimal(0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Basis:
    """How lines are taxed and summed. States are GST state codes; they count for the regime gst alone."""

    currency: str
    regime: Regime = "plain"
    supplier_state: str | None = None
    place_of_supply: str | None = None
    reverse_charge: bool = False
    round_total: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """The amounts of a line. `tax` is what is shown beside it, also where the buyer pays it to the state."""

    gross: int
    discount: int
    net: int
    tax: int
    cgst: int = 0
    sgst: int = 0
    igst: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class TaxSum:
    """The lines of one rate, or of one HSN code and rate, together."""

    rate: str
    hsn: str
    taxable: int
    cgst: int
    sgst: int
    igst: int
    tax: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Totals:
    """What an invoice comes to.

    `subtotal` is what is left of the lines after discounts, `tax` what of the tax is charged (nothing under reverse
    charge), `tax_shown` the tax that stands on the document. total = subtotal + tax + rounding.
    """

    lines: tuple[Line, ...]
    gross: int
    discount: int
    subtotal: int
    cgst: int
    sgst: int
    igst: int
    tax_shown: int
    tax: int
    rounding: int
    total: int
    by_rate: tuple[TaxSum, ...]
    by_hsn: tuple[TaxSum, ...]

    def plain(self) -> dict[str, Any]:
        """The same as JSON: amounts are minor units, rates text in percent."""
        return asdict(self) | {name: [asdict(each) for each in getattr(self, name)] for name in _LISTS}


_LISTS = ("lines", "by_rate", "by_hsn")


def _whole(value: Decimal) -> int:
    return int(value.quantize(Decimal(1), rounding=ROUND_HALF_UP))


def line(item: NewItem, basis: Basis) -> Line:
    """The amounts of one line."""
    gross = _whole(item.quantity * item.unit_price)
    discount = _whole(gross * item.discount_rate / 100)
    net = gross - discount
    if basis.regime == "plain":
        return Line(gross=gross, discount=discount, net=net, tax=_whole(net * item.tax_rate / 100))
    split = tax.split(net, item.tax_rate, same_state=basis.supplier_state == basis.place_of_supply)
    return Line(
        gross=gross,
        discount=discount,
        net=net,
        tax=split.total,
        cgst=split.cgst,
        sgst=split.sgst,
        igst=split.igst,
    )


def summary(pairs: Iterable[tuple[NewItem, Line]], *, by_hsn: bool) -> tuple[TaxSum, ...]:
    """The lines of each rate together, lowest rate first; `by_hsn` keeps codes apart, in order, those without last."""
    found: dict[tuple[bool, str, Decimal], list[Line]] = {}
    for item, amounts in pairs:
        code = item.hsn if by_hsn else ""
        found.setdefault((not code, code, item.tax_rate.normalize()), []).append(amounts)
    return tuple(
        TaxSum(
            rate=spelled(rate),
            hsn=code,
            taxable=sum(each.net for each in lines),
            cgst=sum(each.cgst for each in lines),
            sgst=sum(each.sgst for each in lines),
            igst=sum(each.igst for each in lines),
            tax=sum(each.tax for each in lines),
        )
        for (_, code, rate), lines in sorted(found.items())
    )


def _rounding(amount: int, basis: Basis) -> int:
    """What makes an amount whole units of its currency, half up; never more than the portal takes."""
    if not basis.round_total:
        return 0
    unit = 10 ** exponent(basis.currency)
    rounding = (2 * amount + unit) // (2 * unit) * unit - amount
    return rounding if abs(rounding) <= tax.MAX_ROUNDING else 0


def compute(items: Sequence[NewItem], basis: Basis) -> Totals:
    """What these lines come to. The items are checked before (core.invoicing.inputs)."""
    lines = tuple(line(item, basis) for item in items)
    subtotal, shown = sum(each.net for each in lines), sum(each.tax for each in lines)
    charged = 0 if basis.reverse_charge else shown
    rounding = _rounding(subtotal + charged, basis)
    pairs = list(zip(items, lines, strict=True))
    return Totals(
        lines=lines,
        gross=sum(each.gross for each in lines),
        discount=sum(each.discount for each in lines),
        subtotal=subtotal,
        cgst=sum(each.cgst for each in lines),
        sgst=sum(each.sgst for each in lines),
        igst=sum(each.igst for each in lines),
        tax_shown=shown,
        tax=charged,
        rounding=rounding,
        total=subtotal + charged + rounding,
        by_rate=summary(pairs, by_hsn=False),
        by_hsn=summary(pairs, by_hsn=True),
    )
