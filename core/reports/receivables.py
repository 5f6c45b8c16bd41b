"""What is owed: how old it is, when it will come, and how long it takes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from datetime import date, timedelta
from types import MappingProxyType
from typing import Any
from urllib.parse import unquote
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.orm import Session

from core.bulk import Rows as Columns
from core.ids import parse_id
from core.invoicing import rates
from core.invoicing.filters import Filters
from core.reports.outstanding import dso, owed_until
from core.reports.shape import Column, Figure, Picture, Point, Report, Row, Table, percent
from core.reports.sources import Source, behind, sums

BUCKETS = ("Not due", "1–30 days", "31–60 days", "61–90 days", "Over 90 days")  # noqa: RUF001 - a dash between numbers.
WEEKS = 13
SHOWN = 200
# Nobody pays half a year late as a rule, nor a month early.
_DELAYS = (-30, 180)
_LOOK_BACK = 365
# How a customer usually pays is known from so many payments of all customers, the newest.
_PAYMENTS = 50_000

_OPEN = (
    "SELECT 'invoice' AS kind, invoices.id, invoices.number AS label, invoices.contact_id, invoices.due_date AS day, "
    "invoices.currency, CAST(:today AS date) AS rate_day, invoices.amount_due AS due, 1 AS many, {parts} "
    "FROM invoices {joins}WHERE invoices.seller_id = :user AND invoices.status IN ('open', 'partial')"
)
_LATE = "(CAST(:today AS date) - invoices.due_date)"
_AGED = _OPEN.format(
    parts=f"CASE WHEN {_LATE} <= 0 THEN 0 WHEN {_LATE} <= 30 THEN 1 WHEN {_LATE} <= 60 THEN 2 "
    f"WHEN {_LATE} <= 90 THEN 3 ELSE 4 END AS age, {_LATE} > 0 AS late, invoices.contact_id AS customer",
    joins="",
)
_DELAYED = Columns(contact="uuid", delay="integer")
_WEEK = "((greatest(CAST(:today AS date), invoices.due_date + coalesce(usual.delay, 0)) - CAST(:monday AS date)) / 7)"
_COMING = _OPEN.format(
    # What should have come already is expected this week; what comes later than the last week is one heap.
    parts=f"least({_WEEK}, {WEEKS}) AS week, {_WEEK} < 4 AS soon, invoices.contact_id AS customer",
    joins=f"LEFT JOIN {_DELAYED.source('usual')} ON usual.contact = invoices.contact_id ",
)
_OTHERS = text(
    "SELECT DISTINCT currency FROM invoices WHERE seller_id = :user AND status IN ('open', 'partial') "
    "AND currency <> :home"
)
# Of each age, how many days late the youngest is, and the oldest.
_LATE_DAYS: Mapping[str, tuple[int | None, int | None]] = MappingProxyType(
    {"0": (None, 0), "1": (1, 30), "2": (31, 60), "3": (61, 90), "4": (91, None)}
)
_NAMES = text("SELECT id, name FROM contacts WHERE user_id = :user AND id = ANY(:ids)")
# By what was paid, so that a small payment counts little.
_USUAL = text(
    "SELECT invoices.contact_id, round(sum((paid.day - invoices.due_date) * paid.amount) / sum(paid.amount))::integer "
    "AS delay FROM (SELECT payments.occurred_at::date AS day, coalesce(target.invoice_id, payments.invoice_id) AS "
    "invoice_id, coalesce(target.allocated, payments.allocated) AS amount FROM (SELECT * FROM payments "
    "WHERE user_id = :user AND occurred_at >= :since AND allocated > 0 AND source <> 'credit_note' "
    f"ORDER BY occurred_at DESC, id DESC LIMIT {_PAYMENTS}) AS payments "
    "LEFT JOIN payment_targets AS target ON target.payment_id = payments.id) AS paid "
    "JOIN invoices ON invoices.id = paid.invoice_id "
    "WHERE paid.amount > 0 AND invoices.seller_id = :user GROUP BY 1"
)

__all__ = ["ageing", "coming", "dso", "expected", "listed", "owed", "owed_until", "usual"]


def owed(today: date) -> Source:
    """Every open invoice, by its age (a place in BUCKETS) and customer."""
    return Source(sql=_AGED, values={"today": today}, parts=("age", "late", "customer"), measures=("due",))


def listed(session: Session, user_id: UUID, part: str, today: date) -> Filters | None:
    """The list of invoices that holds the rows of a part of `owed` or `coming`, and no others; None: there is none."""
    home = rates.home_currency(session, user_id)
    others = {(currency, today) for currency in session.scalars(_OTHERS, {"user": user_id, "home": home})}
    known = rates.rates_on(session, user_id, home, others) if others else {}
    if known and len(known) < len(others):
        # Some other money is among the rows and some is not: no filter says so.
        return None
    since: date | None = None
    until: date | None = None
    contact: UUID | None = None
    for one in part.split(";") if part else ():
        name, _, value = one.partition("=")
        match name:
            case "customer":
                contact = parse_id(unquote(value))
                if contact is None:
                    return None
            case "late" if value == "true":
                until = today - timedelta(days=1)
            case "age" if value in _LATE_DAYS:
                least, most = _LATE_DAYS[value]
                since = None if most is None else today - timedelta(days=most)
                until = None if least is None else today - timedelta(days=least)
            case _:
                # Weeks depend on how each customer pays.
                return None
    currency = home if len(known) < len(others) else None
    return Filters(status="unpaid", contact_id=contact, currency=currency, due_from=since, due_to=until, sort="due")


def names(session: Session, user_id: UUID, ids: list[UUID]) -> dict[UUID, str]:
    """What contacts of a seller are called."""
    return {row.id: row.name for row in session.execute(_NAMES, {"user": user_id, "ids": ids})}


def ageing(session: Session, user_id: UUID, home: str, today: date) -> Report:
    """What customers owe today, by how late it is."""
    found = sums(session, user_id, home, owed(today), ("customer", "age"), main="due")
    by_age, by_contact = Counter[int](), dict[UUID, Counter[int]]()
    for (contact, age), one in found.by_key.items():
        by_age[age] += one["due"]
        by_contact.setdefault(contact, Counter())[age] += one["due"]
    total, ages = by_age.total(), range(len(BUCKETS))
    late = total - by_age[0]
    report = Report(
        name="ageing",
        title="Receivables by age",
        how="What is due of every open invoice, by the days since its due date. Other currencies by today's rate.",
        home=home,
        since=None,
        until=today,
        apart=found.apart,
    )
    report.figures = [
        Figure(label="Owed to you", kind="money", value=total, currency=home, rows=behind("due")),
        Figure(
            label="Late", kind="money", value=late, currency=home, note=_share(late, total),
            rows=behind("due", late="true"),
        ),
        Figure(
            label="Over 90 days late", kind="money", value=by_age[4], currency=home,
            note=_share(by_age[4], total), rows=behind("due", age=4),
        ),
    ]  # fmt: skip
    report.picture = Picture(
        label="What is owed, by how late it is",
        kind="money",
        points=[Point(BUCKETS[age], by_age[age], late=age > 0, rows=behind("due", age=age)) for age in ages],
    )
    known = names(session, user_id, list(by_contact))
    ordered = sorted(by_contact.items(), key=lambda one: (-one[1].total(), known[one[0]]))
    report.tables = [
        Table(
            name="ages",
            title="By age",
            columns=(Column("Age"), Column("Owed", "money"), Column("Share", "percent")),
            rows=[
                Row(
                    cells=(BUCKETS[age], by_age[age], percent(by_age[age], total)),
                    currency=home,
                    rows=behind("due", age=age),
                    column=1,
                )
                for age in ages
                if by_contact
            ],
        ),
        Table(
            name="customers",
            title="By customer",
            columns=(Column("Customer"), *(Column(label, "money") for label in BUCKETS), Column("Owed", "money")),
            rows=[
                Row(
                    cells=(known[key], *(one[age] for age in ages), one.total()),
                    currency=home,
                    rows=behind("due", customer=key),
                    column=6,
                )
                for key, one in ordered[:SHOWN]
            ],
            more=max(0, len(ordered) - SHOWN),
        ),
    ]
    return report


def _share(part: int, whole: int) -> str:
    found = percent(part, whole)
    return "" if found is None else f"{found} % of all"


def usual(session: Session, user_id: UUID, today: date) -> dict[UUID, int]:
    """How many days late each customer usually pays."""
    found = session.execute(_USUAL, {"user": user_id, "since": today - timedelta(days=_LOOK_BACK)})
    return {row.contact_id: min(max(row.delay, _DELAYS[0]), _DELAYS[1]) for row in found}


def coming(today: date, delays: dict[UUID, int]) -> Source:
    """Every open invoice, by the week in which it is expected and by customer."""
    known = _DELAYED.parameters([{"contact": contact, "delay": delay} for contact, delay in delays.items()])
    monday = today - timedelta(days=today.weekday())
    return Source(
        sql=_COMING,
        values={"today": today, "monday": monday, **known},
        parts=("week", "soon", "customer"),
        measures=("due",),
    )


def expected(session: Session, user_id: UUID, home: str, today: date) -> Report:
    """What should come in by week, each customer paying as late as they usually do."""
    delays = usual(session, user_id, today)
    found = sums(session, user_id, home, coming(today, delays), ("week", "customer"), main="due")
    by_week, by_contact = Counter[int](), Counter[Any]()
    for (place, contact), one in found.by_key.items():
        by_week[place] += one["due"]
        by_contact[contact] += one["due"]
    monday = today - timedelta(days=today.weekday())
    spans = [(monday + timedelta(weeks=place), f"{monday + timedelta(weeks=place):%-d %b}") for place in range(WEEKS)]
    report = Report(
        name="expected",
        title="Expected cash in",
        how=(
            "What is due of every open invoice, on its due date plus the customer's usual delay: the days between due "
            "date and payment over the last year, weighted by what was paid. A customer without payments is taken at "
            "their word. What should have come already is expected this week. Other currencies by today's rate."
        ),
        home=home,
        since=today,
        until=monday + timedelta(weeks=WEEKS, days=-1),
        apart=found.apart,
    )
    month = sum(by_week[place] for place in range(4))
    report.figures = [
        Figure(
            label="Expected this week", kind="money", value=by_week[0], currency=home, rows=behind("due", week=0),
        ),
        Figure(
            label="In four weeks", kind="money", value=month, currency=home, note="this week included",
            rows=behind("due", soon="true"),
        ),
        Figure(
            label=f"Later than {WEEKS} weeks", kind="money", value=by_week[WEEKS], currency=home,
            rows=behind("due", week=WEEKS),
        ),
    ]  # fmt: skip
    if by_contact:
        report.picture = Picture(
            label="Expected cash in, by the week that begins on",
            kind="money",
            points=[
                Point(label, by_week[place], rows=behind("due", week=place)) for place, (_, label) in enumerate(spans)
            ],
        )
    known = names(session, user_id, list(by_contact))
    report.tables = [
        Table(
            name="weeks",
            title="By week",
            columns=(Column("Week from", "date"), Column("Expected", "money")),
            rows=[
                Row(cells=(day, by_week[place]), currency=home, rows=behind("due", week=place), column=1)
                for place, (day, _) in enumerate(spans)
                if by_week[place]
            ],
        ),
        Table(
            name="customers",
            title="By customer",
            columns=(Column("Customer"), Column("Usual delay", "days"), Column("Owed", "money")),
            rows=[
                Row(
                    cells=(known[contact], delays.get(contact), amount),
                    currency=home,
                    rows=behind("due", customer=contact),
                    column=2,
                )
                for contact, amount in by_contact.most_common(SHOWN)
            ],
            more=max(0, len(by_contact) - SHOWN),
        ),
    ]
    return report
