"""Reports of a seller: what is owed, what comes, what was earned, what it cost, what is to be filed.

    made = reports.make(session, seller_id, "ageing", period, today)

Each reads the seller's own rows, by index, and answers a `Report`: figures, a picture, tables. Sums are in the home
currency of the seller (business profile) by exchange rates of the day; money without a rate is listed apart.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from types import MappingProxyType
from typing import Any
from uuid import UUID

from sqlalchemy.orm import Session

from core.errors import NotFound
from core.invoicing import rates
from core.reports import fees, income, listing, matching, outstanding, receivables, sources, tax
from core.reports.periods import NAMES as PERIODS
from core.reports.periods import Period, period
from core.reports.shape import Report

# What there is, in the order of the page, and whether it asks for a period.
NAMES: Mapping[str, tuple[str, bool]] = MappingProxyType(
    {
        "ageing": ("Receivables by age", False),
        "expected": ("Expected cash in", False),
        "dso": ("Days sales outstanding", True),
        "income": ("Income by customer", True),
        "tax": ("Tax summary", True),
        "methods": ("Payment methods", True),
        "fees": ("Gateway fees", True),
        "reconciliation": ("Reconciliation", True),
    }
)

__all__ = ["NAMES", "PERIODS", "Period", "Report", "make", "period", "rows", "usual_period"]


def usual_period(name: str) -> str:
    """The period that a report is of where nobody says: a return is of a month."""
    return "last_month" if name == "tax" else "last_12_months"


def make(session: Session, seller_id: UUID, name: str, asked: Period, today: date) -> Report:
    """A report of a seller, over a period where it asks for one. Raises NotFound for one that there is not."""
    home = rates.home_currency(session, seller_id)
    match name:
        case "ageing":
            return receivables.ageing(session, seller_id, home, today)
        case "expected":
            return receivables.expected(session, seller_id, home, today)
        case "dso":
            return outstanding.dso(session, seller_id, home, asked)
        case "income":
            return income.income(session, seller_id, home, asked, today)
        case "tax":
            return tax.tax(session, seller_id, home, asked)
        case "methods":
            return income.methods(session, seller_id, home, asked, today)
        case "fees":
            return fees.fees(session, seller_id, home, asked, today)
        case "reconciliation":
            return matching.reconciliation(session, seller_id, home, asked, today)
        case _:
            raise NotFound("report", name)


def _source(session: Session, seller_id: UUID, name: str, asked: Period, today: date, part: str) -> sources.Source:
    match name:
        case "ageing":
            return receivables.owed(today)
        case "expected":
            return receivables.coming(today, receivables.usual(session, seller_id, today))
        case "dso":
            return outstanding.owed_until(asked.until)
        case "income":
            return income.sold(asked, today)
        case "tax":
            return tax.source(asked)
        case "methods":
            return income.paid(asked, today)
        case "fees":
            return fees.charged(asked, today)
        case "reconciliation":
            open_today = "state=open" in part.split(";")
            return matching.waiting(today) if open_today else matching.lines(asked, today)
        case _:
            raise NotFound("report", name)


def rows(
    session: Session,
    seller_id: UUID,
    name: str,
    asked: Period,
    today: date,
    *,
    measure: str | None = None,
    part: str = "",
    limit: int = 50,
    cursor: str | None = None,
) -> dict[str, Any]:
    """The rows behind a figure of a report, as its `rows` name them: see `listing.rows`. Raises NotFound, Invalid."""
    home = rates.home_currency(session, seller_id)
    source = _source(session, seller_id, name, asked, today, part)
    return listing.rows(session, seller_id, home, source, measure=measure, part=part, limit=limit, cursor=cursor)
