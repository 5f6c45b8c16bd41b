"""Financings and investments as JSON: the one shape in which everybody reads them.

Amounts are whole minor units of `currency`. Rates are text in per cent a year, without zeros that say nothing, so
that no reader turns them into floats: "12" is 12 %.
"""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction
from typing import Any, Final

from core import decimals
from core.marketplace import yields
from core.marketplace.states import ENDED

# An ended financing gives the invoice back to its payment state as soon as that says more than "open".
_ENDED_SQL: Final = ", ".join(f"'{state.value}'" for state in sorted(ENDED))

# The state of an invoice that people are shown: the more telling of its payment state and its financing's. The
# financing wins. One that was rejected, expired or withdrawn speaks only while the invoice is open and was not
# submitted anew (of several financings the newest counts): afterwards paid, partial, void or draft says more.
# It expects the newest financing of the invoice, or nulls, under the name `financing`.
STATUS: Final = (
    "CASE WHEN financing.state IS NULL THEN invoices.status "
    f"WHEN financing.state IN ({_ENDED_SQL}) AND invoices.status <> 'open' THEN invoices.status "
    "ELSE financing.state END"
)

_NAMES: Final = (
    "id", "state", "mode", "pricing", "currency", "face", "deductions", "confirmed_amount", "principal", "discount",
    "outlay", "haircut", "rate", "days", "value_date", "pay_date", "min_slice", "fee_plan", "fee", "fee_tax",
    "placed_outlay", "investors", "submitted_at", "confirm_by", "confirmed_at", "reason_code", "closes_at",
    "listed_at", "settle_on", "funded_at", "recourse", "late_rate", "collected", "repaid_principal",
    "repaid_interest",
)  # fmt: skip

# For the select list of a query that joins NEWEST; each column is prefixed, as invoices have some of the names too.
COLUMNS: Final = ", ".join(f"financing.{name} AS financing_{name}" for name in _NAMES)

# The newest financing of an invoice; one index look-up a row.
NEWEST: Final = (
    "LEFT JOIN LATERAL (SELECT * FROM financings WHERE financings.invoice_id = invoices.id "
    "ORDER BY financings.id DESC LIMIT 1) AS financing ON true"
)


plain = decimals.plain


def percent(fraction: Decimal | None) -> str | None:
    """A fraction per year as per cent: 0.122415 is "12.2415"."""
    return None if fraction is None else plain(fraction * 100)


def share(part: int, whole: int) -> str | None:
    """A part in per cent of the whole, to two places, half up; None of nothing."""
    if whole == 0:
        return None
    hundredths = (2 * part * 10_000 + whole) // (2 * whole)
    return plain(Decimal(hundredths).scaleb(-2))


def status(payment_status: str, state: str | None) -> str:
    """STATUS for values at hand."""
    if state is None or (state in {ended.value for ended in ENDED} and payment_status != "open"):
        return payment_status
    return state


def financing(row: Any, prefix: str = "financing_") -> dict[str, Any] | None:
    """The financing in a row that has COLUMNS (or with another prefix), or None where the invoice has none."""

    def of(name: str) -> Any:
        return getattr(row, prefix + name)

    if of("id") is None:
        return None
    outlay, placed = of("outlay"), of("placed_outlay")
    return {
        "id": str(of("id")),
        "state": str(of("state")),
        **{name: of(name) for name in ("mode", "pricing", "face", "deductions", "confirmed_amount", "principal")},
        "discount": of("discount"),
        "outlay": outlay,
        "haircut": plain(of("haircut")),
        "rate": plain(of("rate")),
        **{name: of(name) for name in ("days", "value_date", "pay_date", "min_slice", "fee_plan", "fee", "fee_tax")},
        "placed": placed,
        "remaining": None if outlay is None else outlay - placed,
        "investors": of("investors"),
        **{name: of(name) for name in ("submitted_at", "confirm_by", "confirmed_at", "reason_code")},
        **{name: of(name) for name in ("closes_at", "listed_at", "settle_on", "funded_at", "recourse")},
        "late_rate": plain(of("late_rate")),
        **{name: of(name) for name in ("collected", "repaid_principal", "repaid_interest", "currency")},
    }


def numbers(found: dict[str, Any]) -> dict[str, str | None]:
    """The four numbers of a financing with terms (marketplace rules 2.3), computed from its own amounts.

    In an auction they are those of the reserve rate: the bids can only better them.
    """
    principal, discount, days = found["principal"], found["discount"], found["days"]
    if principal is None or discount is None or days is None:
        return {"discount_rate": None, "simple_yield": None, "effective_yield": None, "seller_cost": None}
    outlay = principal - discount
    cost = discount + (found["fee"] or 0) + (found["fee_tax"] or 0)
    return {
        "discount_rate": found["rate"],
        "simple_yield": percent(yields.simple(discount, outlay, days)),
        "effective_yield": percent(yields.effective(outlay, principal, days)),
        "seller_cost": percent(yields.simple(cost, principal - cost, days)),
    }


def day_count(found: dict[str, Any]) -> str | None:
    """How the days of a financing are counted, in words; None before it has any."""
    days = found["days"]
    if days is None:
        return None
    unit = "day" if days == 1 else "days"
    return f"{days} {unit}, actual/{yields.YEAR}: value date not counted, due date counted"


def investment(row: Any) -> dict[str, Any]:
    """An investment in a row that has INVESTMENT."""
    return {
        "id": str(row.id),
        "invoice_id": str(row.invoice_id),
        "invoice_number": row.invoice_number,
        "amount": row.outlay,
        "expected_return": row.principal,
        "profit": row.principal - row.outlay,
        "status": row.status,
        "repaid": row.repaid_principal,
        "interest": row.repaid_interest,
        "currency": row.currency,
        "due_date": row.pay_date,
        "created_at": row.created_at,
        "settled_at": row.settled_at,
    }


# What `investment` reads, of investments joined with their financing and invoice.
INVESTMENT: Final = (
    "investments.id, investments.outlay, investments.principal, investments.status, investments.repaid_principal, "
    "investments.repaid_interest, investments.created_at, investments.settled_at, financings.invoice_id, "
    "financings.currency, financings.pay_date, invoices.number AS invoice_number"
)
INVESTED_IN: Final = (
    "investments JOIN financings ON financings.id = investments.financing_id "
    "JOIN invoices ON invoices.id = financings.invoice_id"
)


def concentration(parts: list[int]) -> str | None:
    """The sum of squared shares (risk rule C1), to four places, half up: 60/20/10/10 is 0.42, equal quarters 0.25."""
    whole = sum(parts)
    if whole == 0:
        return None
    exact = Fraction(sum(part * part for part in parts), whole * whole) * 10_000
    return plain(Decimal((2 * exact.numerator + exact.denominator) // (2 * exact.denominator)).scaleb(-4))
