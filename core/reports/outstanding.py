"""Days sales outstanding: how many days of sales are still owed at the end of each month."""

from __future__ import annotations

from datetime import date, timedelta
from uuid import UUID

from sqlalchemy.orm import Session

from core.reports.periods import Period, month_of
from core.reports.shape import Column, Figure, Picture, Point, Report, Row, Rows, Table
from core.reports.sources import Source, behind, sums

# Invoices from their date on, less what paid them from the day it was paid. `sales` are those of the last three months.
_INVOICED = (
    "FROM invoices WHERE seller_id = :user AND status NOT IN ('draft', 'void') AND issue_date <= CAST(:until AS date)"
)
_PAID = "FROM payments WHERE user_id = :user AND allocated > 0 AND occurred_at < CAST(:until AS date) + 1"
_OWED = (
    "SELECT *, least((month + interval '1 month - 1 day')::date, CAST(:until AS date)) AS rate_day, "
    "CASE WHEN kind = 'invoice' AND day >= CAST(:window AS date) THEN owed ELSE 0 END AS sales "
    "FROM (SELECT *, date_trunc('month', day::timestamp)::date AS month FROM ({moved}) AS moved) AS moved"
)
_MOVED = (
    "SELECT 'invoice' AS kind, id, number AS label, contact_id, issue_date AS day, currency, total AS owed, 1 AS many "
    f"{_INVOICED} AND issue_date >= :oldest UNION ALL SELECT 'payment', id, payer_name, contact_id, occurred_at::date, "
    f"currency, -allocated, 1 {_PAID} AND occurred_at >= CAST(:oldest AS date)"
)
# The months of a million rows are found by their days.
_OWED_BY_DAY = _OWED.format(
    moved="SELECT 'invoice' AS kind, issue_date AS day, currency, sum(total) AS owed, "
    "count(*) FILTER (WHERE total <> 0) AS many "
    f"{_INVOICED} GROUP BY issue_date, currency UNION ALL SELECT 'payment', occurred_at::date, currency, "
    f"-sum(allocated), count(*) {_PAID} GROUP BY occurred_at::date, currency"
)


def owed_until(until: date) -> Source:
    """What was owed at the end of a day, and what was sold in its month and the two before."""
    values = {"until": until, "window": month_of(until, -2), "oldest": date.min}
    return Source(
        sql=_OWED.format(moved=_MOVED), added=_OWED_BY_DAY, values=values, parts=("month",), measures=("owed", "sales")
    )


def _behind(measure: str, period: Period, end: date) -> Rows:
    return behind(measure, min(period.since, end), end)


def dso(session: Session, user_id: UUID, home: str, period: Period) -> Report:
    """How many days of sales are still owed, at the end of each month of a period."""
    found = sums(session, user_id, home, owed_until(period.until), ("month", "kind"), main="owed")
    months, first = [], month_of(period.since)
    while first <= period.until:
        months.append(first)
        first = month_of(first, 1)
    rows = []
    for month in months:
        end = min(month_of(month, 1) - timedelta(days=1), period.until)
        owed = sum(one["owed"] for (key, _), one in found.by_key.items() if key <= month)
        window = [month_of(month, -back) for back in range(3)]
        sales = sum(found.of(one, "invoice")["owed"] for one in window)
        days = (end - window[-1]).days + 1
        rows.append(
            (month, end, owed, sales, (owed * days * 2 + sales) // (2 * sales) if sales > 0 and owed >= 0 else None)
        )
    newest = rows[-1]
    report = Report(
        name="dso",
        title="Days sales outstanding",
        how=(
            "What is owed at the end of a month, divided by what was invoiced in that month and the two before it, "
            "times the days of these months. An invoice counts from its date, a payment from the day it was made; "
            "other currencies by the rate at the month's end."
        ),
        home=home,
        since=period.since,
        until=period.until,
        apart=found.apart,
    )
    _, end, owed, sales, days_owed = newest
    report.figures = [
        Figure(
            label="Sales outstanding", kind="days", value=days_owed, note=f"on {end:%-d %b %Y}",
            rows=_behind("owed", period, end),
        ),
        Figure(label="Owed", kind="money", value=owed, currency=home, rows=_behind("owed", period, end)),
        Figure(
            label="Invoiced in three months", kind="money", value=sales, currency=home,
            rows=_behind("sales", period, end),
        ),
    ]  # fmt: skip
    if any(row[4] is not None for row in rows):
        report.picture = Picture(
            label="Days sales outstanding, by month",
            kind="days",
            points=[Point(f"{row[0]:%b %y}", row[4] or 0, rows=_behind("owed", period, row[1])) for row in rows],
        )
    report.tables = [
        Table(
            name="months",
            title="By month",
            columns=(
                Column("Month's end", "date"),
                Column("Owed", "money"),
                Column("Invoiced in three months", "money"),
                Column("Days", "days"),
            ),
            rows=[
                Row(cells=(end, owed, sales, days), currency=home, rows=_behind("owed", period, end), column=1)
                for _, end, owed, sales, days in rows
                if owed or sales
            ],
        )
    ]
    return report
