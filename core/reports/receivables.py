"""What is owed: how old it is, when it will come, and how long it takes."""

from __future__ import annotations

from collections import Counter
from datetime import date, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.orm import Session

from core.reports.homing import summed
from core.reports.periods import Period, month_of
from core.reports.shape import Column, Figure, Picture, Point, Report, Row, Rows, Table, percent

BUCKETS = ("Not due", "1–30 days", "31–60 days", "61–90 days", "Over 90 days")  # noqa: RUF001 - a dash between numbers.
_NAMES = ("current", "late_30", "late_60", "late_90", "older")
_EDGES = ((None, 0), (1, 30), (31, 60), (61, 90), (91, None))
WEEKS = 13
SHOWN = 200
# Nobody pays half a year late as a rule, nor a month early.
_DELAYS = (-30, 180)
_LOOK_BACK = 365

_AGEING = text(
    "SELECT owed.contact_id, contacts.name, owed.currency, CAST(:today AS date) AS day, "
    "sum(amount_due) FILTER (WHERE late <= 0)::bigint AS current, "
    "sum(amount_due) FILTER (WHERE late BETWEEN 1 AND 30)::bigint AS late_30, "
    "sum(amount_due) FILTER (WHERE late BETWEEN 31 AND 60)::bigint AS late_60, "
    "sum(amount_due) FILTER (WHERE late BETWEEN 61 AND 90)::bigint AS late_90, "
    "sum(amount_due) FILTER (WHERE late > 90)::bigint AS older, "
    "sum(amount_due)::bigint AS due "
    "FROM (SELECT contact_id, currency, amount_due, CAST(:today AS date) - due_date AS late FROM invoices "
    "WHERE seller_id = :user AND status IN ('open', 'partial')) AS owed "
    "JOIN contacts ON contacts.id = owed.contact_id GROUP BY 1, 2, 3"
)
_OPEN = text(
    "SELECT owed.contact_id, contacts.name, owed.currency, CAST(:today AS date) AS day, owed.due_date, owed.due "
    "FROM (SELECT contact_id, currency, due_date, sum(amount_due)::bigint AS due FROM invoices "
    "WHERE seller_id = :user AND status IN ('open', 'partial') GROUP BY 1, 2, 3) AS owed "
    "JOIN contacts ON contacts.id = owed.contact_id"
)
# By what was paid, so that a small payment counts little.
_USUAL = text(
    "SELECT invoices.contact_id, round(sum((paid.day - invoices.due_date) * paid.amount) / sum(paid.amount))::integer "
    "AS delay FROM (SELECT payments.occurred_at::date AS day, coalesce(target.invoice_id, payments.invoice_id) AS "
    "invoice_id, coalesce(target.allocated, payments.allocated) AS amount FROM payments "
    "LEFT JOIN payment_targets AS target ON target.payment_id = payments.id "
    "WHERE payments.user_id = :user AND payments.occurred_at >= :since AND payments.allocated > 0 "
    "AND payments.source <> 'credit_note') AS paid JOIN invoices ON invoices.id = paid.invoice_id "
    "WHERE paid.amount > 0 GROUP BY 1"
)


def ageing(session: Session, user_id: UUID, home: str, today: date) -> Report:
    """What customers owe today, by how late it is."""
    rows = session.execute(_AGEING, {"user": user_id, "today": today}).all()
    names = {row.contact_id: row.name for row in rows}
    sums = summed(session, user_id, home, rows, (*_NAMES, "due"), key=lambda row: row.contact_id, main="due")
    total = sums.total("due")
    late = total - sums.total("current")
    report = Report(
        name="ageing",
        title="Receivables by age",
        how="What is due of every open invoice, by the days since its due date. Other currencies by today's rate.",
        home=home,
        since=None,
        until=today,
        apart=dict(sums.apart),
    )
    report.figures = [
        Figure(label="Owed to you", kind="money", value=total, currency=home, rows=_open()),
        Figure(
            label="Late", kind="money", value=late, currency=home, note=_share(late, total),
            rows=Rows("invoices", {"status": "overdue"}),
        ),
        Figure(
            label="Over 90 days late", kind="money", value=sums.total("older"), currency=home,
            note=_share(sums.total("older"), total), rows=_aged(4, today),
        ),
    ]  # fmt: skip
    report.picture = Picture(
        label="What is owed, by how late it is",
        kind="money",
        points=[
            Point(label, sums.total(name), late=place > 0)
            for place, (label, name) in enumerate(zip(BUCKETS, _NAMES, strict=True))
        ],
    )
    ordered = sorted(sums.by_key.items(), key=lambda one: (-one[1]["due"], names[one[0]]))
    report.tables = [
        Table(
            name="ages",
            title="By age",
            columns=(Column("Age"), Column("Owed", "money"), Column("Share", "percent")),
            rows=[
                Row(
                    cells=(label, sums.total(name), percent(sums.total(name), total)),
                    currency=home,
                    rows=_aged(place, today),
                )
                for place, (label, name) in enumerate(zip(BUCKETS, _NAMES, strict=True))
                if sums.by_key
            ],
        ),
        Table(
            name="customers",
            title="By customer",
            columns=(Column("Customer"), *(Column(label, "money") for label in BUCKETS), Column("Owed", "money")),
            rows=[
                Row(
                    cells=(names[key], *(one[name] for name in _NAMES), one["due"]),
                    currency=home,
                    rows=Rows("invoices", {"status": "unpaid", "contact_id": str(key)}),
                )
                for key, one in ordered[:SHOWN]
            ],
            more=max(0, len(ordered) - SHOWN),
        ),
    ]
    return report


def _open() -> Rows:
    return Rows("invoices", {"status": "unpaid"})


def _aged(place: int, today: date) -> Rows:
    least, most = _EDGES[place]
    filters = {"status": "unpaid"}
    if most is not None:
        filters["due_from"] = (today - timedelta(days=most)).isoformat()
    if least is not None:
        filters["due_to"] = (today - timedelta(days=least)).isoformat()
    return Rows("invoices", filters)


def _share(part: int, whole: int) -> str:
    found = percent(part, whole)
    return "" if found is None else f"{found} % of all"


def expected(session: Session, user_id: UUID, home: str, today: date) -> Report:
    """What should come in by week, each customer paying as late as they usually do."""
    usual = {
        row.contact_id: min(max(row.delay, _DELAYS[0]), _DELAYS[1])
        for row in session.execute(_USUAL, {"user": user_id, "since": today - timedelta(days=_LOOK_BACK)})
    }
    rows = session.execute(_OPEN, {"user": user_id, "today": today}).all()
    monday = today - timedelta(days=today.weekday())

    def week(row: Any) -> int:
        day = max(today, row.due_date + timedelta(days=usual.get(row.contact_id, 0)))
        weeks: int = (day - monday).days // 7
        return min(weeks, WEEKS)

    sums = summed(session, user_id, home, rows, ("due",), key=lambda row: (week(row), row.contact_id), main="due")
    by_week: Counter[int] = Counter()
    by_contact: Counter[UUID] = Counter()
    for (place, contact), one in sums.by_key.items():
        by_week[place] += one["due"]
        by_contact[contact] += one["due"]
    names = {row.contact_id: row.name for row in rows}
    spans = [(monday + timedelta(weeks=place), f"{monday + timedelta(weeks=place):%-d %b}") for place in range(WEEKS)]
    report = Report(
        name="expected",
        title="Expected cash in",
        how=(
            "What is due of every open invoice, on its due date plus the customer's usual delay: the days between due "
            "date and payment over the last year, weighted by what was paid. A customer without payments is taken at "
            "their word. What should have come already is expected this week."
        ),
        home=home,
        since=today,
        until=monday + timedelta(weeks=WEEKS, days=-1),
        apart=dict(sums.apart),
    )
    month = sum(by_week[place] for place in range(4))
    report.figures = [
        Figure(label="Expected this week", kind="money", value=by_week[0], currency=home),
        Figure(label="In four weeks", kind="money", value=month, currency=home, note="this week included"),
        Figure(label=f"Later than {WEEKS} weeks", kind="money", value=by_week[WEEKS], currency=home),
    ]
    if rows:
        report.picture = Picture(
            label="Expected cash in, by the week that begins on",
            kind="money",
            points=[Point(label, by_week[place]) for place, (_, label) in enumerate(spans)],
        )
    shown = [Row(cells=(day, by_week[place]), currency=home) for place, (day, _) in enumerate(spans) if by_week[place]]
    report.tables = [
        Table(
            name="weeks",
            title="By week",
            columns=(Column("Week from", "date"), Column("Expected", "money")),
            rows=shown,
        ),
        Table(
            name="customers",
            title="By customer",
            columns=(Column("Customer"), Column("Usual delay", "days"), Column("Owed", "money")),
            rows=[
                Row(
                    cells=(names[contact], usual.get(contact), amount),
                    currency=home,
                    rows=Rows("invoices", {"status": "unpaid", "contact_id": str(contact)}),
                )
                for contact, amount in by_contact.most_common(SHOWN)
            ],
            more=max(0, len(by_contact) - SHOWN),
        ),
    ]
    return report


_SALES = text(
    "SELECT currency, least((date_trunc('month', issue_date) + interval '1 month - 1 day')::date, :until) AS day, "
    "date_trunc('month', issue_date)::date AS month, sum(total)::bigint AS amount FROM invoices "
    "WHERE seller_id = :user AND status NOT IN ('draft', 'void') AND issue_date <= :until GROUP BY 1, 2, 3"
)
_RECEIVED = text(
    "SELECT currency, least((date_trunc('month', occurred_at) + interval '1 month - 1 day')::date, :until) AS day, "
    "date_trunc('month', occurred_at)::date AS month, sum(allocated)::bigint AS amount FROM payments "
    "WHERE user_id = :user AND allocated > 0 AND occurred_at < CAST(:until AS date) + 1 GROUP BY 1, 2, 3"
)


def dso(session: Session, user_id: UUID, home: str, period: Period) -> Report:
    """How many days of sales are still owed, at the end of each month of a period."""
    values = {"user": user_id, "until": period.until}
    sold = summed(
        session, user_id, home, session.execute(_SALES, values), ("amount",), key=lambda row: row.month, main="amount"
    )
    paid = summed(
        session, user_id, home, session.execute(_RECEIVED, values), ("amount",), key=lambda row: row.month,
        main="amount",
    )  # fmt: skip
    months, first = [], month_of(period.since)
    while first <= period.until:
        months.append(first)
        first = month_of(first, 1)
    rows = []
    for month in months:
        end = min(month_of(month, 1) - timedelta(days=1), period.until)
        owed = sum(one["amount"] for key, one in sold.by_key.items() if key <= month)
        owed -= sum(one["amount"] for key, one in paid.by_key.items() if key <= month)
        window = [month_of(month, -back) for back in range(3)]
        sales = sum(sold.of(one).get("amount", 0) for one in window)
        days = (end - window[-1]).days + 1
        rows.append(
            (month, end, owed, sales, (owed * days * 2 + sales) // (2 * sales) if sales > 0 and owed >= 0 else None)
        )
    newest = rows[-1] if rows else None
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
        apart=dict(Counter(sold.apart) - Counter(paid.apart)),
    )
    if newest is not None:
        report.figures = [
            Figure(label="Sales outstanding", kind="days", value=newest[4], note=f"on {newest[1].isoformat()}"),
            Figure(label="Owed", kind="money", value=newest[2], currency=home, rows=_open()),
            Figure(label="Invoiced in three months", kind="money", value=newest[3], currency=home),
        ]
    if any(row[4] is not None for row in rows):
        report.picture = Picture(
            label="Days sales outstanding, by month",
            kind="days",
            points=[Point(f"{row[0]:%b %y}", row[4] or 0) for row in rows],
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
                Row(cells=(end, owed, sales, days), currency=home, rows=_issued(month_of(month, -2), end))
                for month, end, owed, sales, days in rows
                if owed or sales
            ],
        )
    ]  # fmt: skip
    return report


def _issued(since: date, until: date) -> Rows:
    return Rows("invoices", {"issued_from": since.isoformat(), "issued_to": until.isoformat()})
