"""Reports of a seller: what is owed, what comes, what was earned, what it cost, what is to be filed.

    made = reports.make(session, seller_id, "ageing", period, today)

Each reads the seller's own rows, by index, and answers a `Report`: figures, a picture, tables. Sums are in the home
currency of the seller (business profile) by exchange rates of the day; money without a rate is listed apart.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from types import MappingProxyType
from uuid import UUID

from sqlalchemy.orm import Session

from core.errors import NotFound
from core.invoicing import rates
from core.reports import income, matching, receivables, tax
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

__all__ = ["NAMES", "PERIODS", "Period", "Report", "make", "period"]


def make(session: Session, seller_id: UUID, name: str, asked: Period, today: date) -> Report:
    """A report of a seller, over a period where it asks for one. Raises NotFound for one that there is not."""
    home = rates.home_currency(session, seller_id)
    match name:
        case "ageing":
            return receivables.ageing(session, seller_id, home, today)
        case "expected":
            return receivables.expected(session, seller_id, home, today)
        case "dso":
            return receivables.dso(session, seller_id, home, asked)
        case "income":
            return income.income(session, seller_id, home, asked, today)
        case "tax":
            return tax.tax(session, seller_id, home, asked)
        case "methods":
            return income.methods(session, seller_id, home, asked, today)
        case "fees":
            return income.fees(session, seller_id, home, asked, today)
        case "reconciliation":
            return matching.reconciliation(session, seller_id, home, asked, today)
        case _:
            raise NotFound("report", name)
