"""India's financial year, 1 April to 31 March."""

from __future__ import annotations

from datetime import date

_FIRST_MONTH = 4


def financial_year(day: date) -> str:
    """The year a day lies in, as invoices and the IRN spell it.

    >>> financial_year(date(2027, 3, 31)), financial_year(date(2027, 4, 1))
    ('2026-27', '2027-28')
    """
    first = day.year if day.month >= _FIRST_MONTH else day.year - 1
    return f"{first}-{(first + 1) % 100:02d}"
