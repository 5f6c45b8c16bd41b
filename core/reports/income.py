"""What was earned from whom, and how it was paid."""

from __future__ import annotations

from datetime import date
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.orm import Session

from core.reports.periods import Period
from core.reports.shape import Column, Figure, Picture, Point, Report, Row, Rows, Table, percent
from core.reports.sources import Source, behind, sums

SHOWN = 200
BARS = 8

_SOLD = (
    "SELECT kind, id, label, customer, customer AS contact_id, day, currency, "
    "CASE WHEN currency = :home THEN CAST(:today AS date) ELSE day END AS rate_day, net, tax, credited, many FROM ("
    "SELECT 'invoice' AS kind, id, number AS label, contact_id AS customer, issue_date AS day, currency, "
    "subtotal + rounding AS net, tax, 0::bigint AS credited, 1 AS many FROM invoices "
    "WHERE seller_id = :user AND status NOT IN ('draft', 'void') AND issue_date BETWEEN :since AND :until "
    "UNION ALL SELECT 'credit_note', id, number, contact_id, issue_date, currency, -subtotal - rounding, -tax, "
    "subtotal + rounding, 0 FROM credit_notes "
    "WHERE seller_id = :user AND status = 'issued' AND issue_date BETWEEN :since AND :until) AS sold"
)
PAID = (
    "SELECT 'payment' AS kind, id, coalesce(payer_name, bank_reference, '') AS label, contact_id, "
    "occurred_at::date AS day, currency, "
    "CASE WHEN currency = :home THEN CAST(:today AS date) ELSE occurred_at::date END AS rate_day, "
    "amount, refunded + deducted AS returned, net, source, coalesce(method, '') AS method, "
    "CASE WHEN coalesce(method, '') = 'tds_withheld' THEN 0 ELSE net END AS received, "
    "coalesce(fee, 0) AS fee, CASE WHEN fee IS NULL THEN 1 ELSE 0 END AS unsaid, connection_id AS connection, "
    "1 AS many FROM payments WHERE user_id = :user AND occurred_at >= CAST(:since AS date) "
    "AND occurred_at < CAST(:until AS date) + 1 AND status = 'succeeded' AND trust <> 'hint' AND {which}"
)
_NAMES = text("SELECT id, name FROM contacts WHERE user_id = :user AND id = ANY(:ids)")
_TOLD = {"gateway": "Gateway", "bank": "Bank line", "manual": "By hand"}


def _values(period: Period, today: date) -> dict[str, object]:
    return {"since": period.since, "until": period.until, "today": today}


def sold(period: Period, today: date) -> Source:
    """Invoices and credit notes of a period, before tax, by customer."""
    return Source(
        sql=_SOLD, values=_values(period, today), parts=("customer", "kind"), measures=("net", "tax", "credited")
    )


def paid(period: Period, today: date) -> Source:
    """Payments of a period that succeeded, by who told of them and how they were made."""
    return Source(
        sql=PAID.format(which="source <> 'credit_note'"),
        values=_values(period, today),
        parts=("source", "method"),
        measures=("received", "net", "amount", "returned"),
    )


def income(session: Session, user_id: UUID, home: str, period: Period, today: date) -> Report:
    """What was invoiced to each customer in a period, before tax, less credit notes."""
    found = sums(session, user_id, home, sold(period, today), ("customer",), main="net")
    by_contact = {key: one for (key,), one in found.by_key.items()}
    known = session.execute(_NAMES, {"user": user_id, "ids": list(by_contact)})
    names = {row.id: row.name for row in known}
    total = found.total("net")
    ordered = sorted(by_contact.items(), key=lambda one: (-one[1]["net"], names.get(one[0], "")))
    report = Report(
        name="income",
        title="Income by customer",
        how=(
            "What was invoiced in the period, before tax, less credit notes of the period. Other currencies by the "
            "rate of the invoice's day."
        ),
        home=home,
        since=period.since,
        until=period.until,
        apart=found.apart,
    )
    report.figures = [
        Figure(
            label="Income", kind="money", value=total, currency=home, note="before tax", rows=_behind("net", period),
        ),
        Figure(
            label="Tax invoiced", kind="money", value=found.total("tax"), currency=home,
            note="less that of credit notes", rows=_behind("tax", period),
        ),
        Figure(
            label="Credit notes", kind="money", value=found.total("credited"), currency=home, note="taken off",
            rows=_behind("credited", period),
        ),
    ]  # fmt: skip
    if ordered:
        rest = sum(one["net"] for _, one in ordered[BARS:])
        points = [
            Point(names.get(key, ""), one["net"], rows=_behind("net", period, customer=key))
            for key, one in ordered[:BARS]
        ]
        report.picture = Picture(
            label="Income by customer", kind="money", points=[*points, Point("Others", rest)] if rest else points
        )
    report.tables = [
        Table(
            name="customers",
            title="By customer",
            columns=(
                Column("Customer"),
                Column("Invoices", "number"),
                Column("Income", "money"),
                Column("Tax", "money"),
                Column("Share", "percent"),
            ),
            rows=[
                Row(
                    cells=(names.get(key, ""), one["many"], one["net"], one["tax"], percent(one["net"], total)),
                    currency=home,
                    rows=_behind("net", period, customer=key),
                    column=2,
                )
                for key, one in ordered[:SHOWN]
            ],
            more=max(0, len(ordered) - SHOWN),
        )
    ]
    return report


def _behind(measure: str, period: Period, **parts: object) -> Rows:
    return behind(measure, period.since, period.until, **parts)


def _words(source: str, method: str) -> str:
    if method == "tds_withheld":
        return "Tax withheld"
    named = (method or _TOLD.get(source, source)).replace("_", " ")
    return named.upper() if named == "upi" else named[:1].upper() + named[1:]


def methods(session: Session, user_id: UUID, home: str, period: Period, today: date) -> Report:
    """How customers paid in a period."""
    found = sums(session, user_id, home, paid(period, today), ("source", "method"), main="net")
    total = found.total("received")
    kept = found.total("net") - total
    ordered = sorted(found.by_key.items(), key=lambda one: (-one[1]["net"], one[0]))
    report = Report(
        name="methods",
        title="Payment methods",
        how=(
            "Payments of the period that succeeded, by where they were told of and how they were made. Tax that "
            "customers withheld is shown, and is no money received. Other currencies by the rate of the payment's day."
        ),
        home=home,
        since=period.since,
        until=period.until,
        apart=found.apart,
    )
    report.figures = [
        Figure(
            label="Received",
            kind="money",
            value=total,
            currency=home,
            note="less what went back",
            rows=_behind("received", period),
        ),
        Figure(
            label="Went back", kind="money", value=found.total("returned"), currency=home, note="refunds and disputes",
            rows=_behind("returned", period),
        ),
        Figure(
            label="Tax withheld", kind="money", value=kept, currency=home,
            rows=_behind("net", period, method="tds_withheld"),
        ),
    ]  # fmt: skip
    if ordered:
        points = [
            Point(_words(*key), one["net"], rows=_behind("net", period, source=key[0], method=key[1]))
            for key, one in ordered[:BARS]
        ]
        report.picture = Picture(label="Received, by method", kind="money", points=points)
    report.tables = [
        Table(
            name="methods",
            title="By method",
            columns=(
                Column("Method"),
                Column("Told by"),
                Column("Payments", "number"),
                Column("Paid", "money"),
                Column("Went back", "money"),
                Column("Kept", "money"),
                Column("Share", "percent"),
            ),
            rows=[
                Row(
                    cells=(
                        _words(*key), _TOLD.get(key[0], key[0]), one["many"], one["amount"], one["returned"],
                        one["net"],
                        None if key[1] == "tds_withheld" else percent(one["net"], total),
                    ),
                    currency=home,
                    rows=_behind("net", period, source=key[0], method=key[1]),
                    column=5,
                )
                for key, one in ordered
            ],
        )
    ]  # fmt: skip
    return report
