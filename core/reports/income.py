"""What was earned from whom, how it was paid, and what gateways took of it."""

from __future__ import annotations

from datetime import date
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.orm import Session

from core.reports.homing import day_of, summed
from core.reports.periods import Period
from core.reports.shape import Column, Figure, Picture, Point, Report, Row, Rows, Table, percent

SHOWN = 200
_BARS = 8

_INCOME = text(
    f"SELECT contact_id, currency, {day_of('issue_date')} AS day, sum(net)::bigint AS net, sum(tax)::bigint AS tax, "
    "sum(credited)::bigint AS credited, count(*) FILTER (WHERE credited = 0) AS many FROM ("
    "SELECT contact_id, currency, issue_date, subtotal + rounding AS net, tax, 0::bigint AS credited FROM invoices "
    "WHERE seller_id = :user AND status NOT IN ('draft', 'void') AND issue_date BETWEEN :since AND :until "
    "UNION ALL SELECT contact_id, currency, issue_date, -subtotal - rounding, -tax, subtotal + rounding "
    "FROM credit_notes WHERE seller_id = :user AND status = 'issued' AND issue_date BETWEEN :since AND :until"
    ") AS sold GROUP BY 1, 2, 3"
)
_NAMES = text("SELECT id, name FROM contacts WHERE user_id = :user AND id = ANY(:ids)")
_PAID = (
    "FROM payments WHERE user_id = :user AND occurred_at >= CAST(:since AS date) "
    "AND occurred_at < CAST(:until AS date) + 1 AND status = 'succeeded' AND trust <> 'hint'"
)
_METHODS = text(
    f"SELECT source, coalesce(method, '') AS method, currency, {day_of('occurred_at::date')} AS day, count(*) AS many, "
    f"sum(amount)::bigint AS amount, sum(refunded + deducted)::bigint AS returned, sum(net)::bigint AS net {_PAID} "
    "AND source <> 'credit_note' GROUP BY 1, 2, 3, 4"
)
_FEES = text(
    f"SELECT connection_id, currency, {day_of('occurred_at::date')} AS day, count(*) AS many, "
    f"sum(amount)::bigint AS amount, sum(coalesce(fee, 0))::bigint AS fee, "
    "count(*) FILTER (WHERE fee IS NULL) AS unsaid "
    f"{_PAID} AND source = 'gateway' GROUP BY 1, 2, 3"
)
_CONNECTIONS = text("SELECT id, name FROM connections WHERE user_id = :user")


def _values(user_id: UUID, home: str, period: Period, today: date) -> dict[str, object]:
    return {"user": user_id, "home": home, "since": period.since, "until": period.until, "today": today}


def income(session: Session, user_id: UUID, home: str, period: Period, today: date) -> Report:
    """What was invoiced to each customer in a period, before tax, less credit notes."""
    found = session.execute(_INCOME, _values(user_id, home, period, today))
    sums = summed(
        session,
        user_id,
        home,
        found,
        ("net", "tax", "credited"),
        key=lambda row: row.contact_id,
        main="net",
        counts=("many",),
    )
    known = session.execute(_NAMES, {"user": user_id, "ids": list(sums.by_key)})
    names = {row.id: row.name for row in known}
    total = sums.total("net")
    ordered = sorted(sums.by_key.items(), key=lambda one: (-one[1]["net"], names.get(one[0], "")))
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
        apart=dict(sums.apart),
    )
    report.figures = [
        Figure(label="Income", kind="money", value=total, currency=home, note="before tax", rows=_issued(period)),
        Figure(label="Tax invoiced", kind="money", value=sums.total("tax"), currency=home),
        Figure(label="Credit notes", kind="money", value=sums.total("credited"), currency=home, note="taken off"),
    ]
    if ordered:
        rest = sum(one["net"] for _, one in ordered[_BARS:])
        points = [Point(names.get(key, "")[:18], max(0, one["net"])) for key, one in ordered[:_BARS]]
        report.picture = Picture(
            label="Income by customer", kind="money", points=[*points, Point("Others", rest)] if rest > 0 else points
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
                    rows=_issued(period, key),
                )
                for key, one in ordered[:SHOWN]
            ],
            more=max(0, len(ordered) - SHOWN),
        )
    ]
    return report


def _issued(period: Period, contact: UUID | None = None) -> Rows:
    filters = {"issued_from": period.since.isoformat(), "issued_to": period.until.isoformat()}
    return Rows("invoices", filters if contact is None else {**filters, "contact_id": str(contact)})


def _received(period: Period, **more: str) -> Rows:
    days = {"from": period.since.isoformat(), "to": period.until.isoformat()}
    return Rows("payments", {**days, "status": "succeeded", **more})


def _words(source: str, method: str) -> str:
    if method == "tds_withheld":
        return "Tax withheld"
    named = (method or {"gateway": "Gateway", "bank": "Bank line", "manual": "By hand"}.get(source, source)).replace(
        "_", " "
    )
    return named.upper() if named == "upi" else named[:1].upper() + named[1:]


def methods(session: Session, user_id: UUID, home: str, period: Period, today: date) -> Report:
    """How customers paid in a period."""
    found = session.execute(_METHODS, _values(user_id, home, period, today))
    sums = summed(
        session, user_id, home, found, ("amount", "returned", "net"),
        key=lambda row: (row.source, row.method), main="amount", counts=("many",),
    )  # fmt: skip
    kept = sum(one["net"] for (_, method), one in sums.by_key.items() if method == "tds_withheld")
    total = sums.total("net") - kept
    ordered = sorted(sums.by_key.items(), key=lambda one: (-one[1]["net"], one[0]))
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
        apart=dict(sums.apart),
    )
    report.figures = [
        Figure(
            label="Received",
            kind="money",
            value=total,
            currency=home,
            note="less what went back",
            rows=_received(period),
        ),
        Figure(
            label="Went back", kind="money", value=sums.total("returned"), currency=home, note="refunds and disputes"
        ),
        Figure(
            label="Tax withheld", kind="money", value=kept, currency=home, rows=_received(period, method="tds_withheld")
        ),
    ]
    if ordered:
        points = [Point(_words(*key), max(0, one["net"])) for key, one in ordered[:_BARS]]
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
                        _words(*key), key[0], one["many"], one["amount"], one["returned"], one["net"],
                        None if key[1] == "tds_withheld" else percent(one["net"], total),
                    ),
                    currency=home,
                    rows=_received(period, source=key[0], **({"method": key[1]} if key[1] else {})),
                )
                for key, one in ordered
            ],
        )
    ]  # fmt: skip
    return report


def fees(session: Session, user_id: UUID, home: str, period: Period, today: date) -> Report:
    """What each gateway took of what it collected in a period."""
    found = session.execute(_FEES, _values(user_id, home, period, today))
    sums = summed(
        session, user_id, home, found, ("amount", "fee"), key=lambda row: row.connection_id, counts=("many", "unsaid"),
        main="amount",
    )  # fmt: skip
    names = {row.id: row.name for row in session.execute(_CONNECTIONS, {"user": user_id})}
    volume, fee = sums.total("amount"), sums.total("fee")
    ordered = sorted(sums.by_key.items(), key=lambda one: (-one[1]["fee"], names.get(one[0], "")))
    report = Report(
        name="fees",
        title="Gateway fees",
        how=(
            "Fees that gateways told of with their payments of the period, and their share of what was paid. A fee "
            "that is not told yet counts as none: how many are missing is in the table."
        ),
        home=home,
        since=period.since,
        until=period.until,
        apart=dict(sums.apart),
    )
    collected = _received(period, source="gateway")
    report.figures = [
        Figure(label="Fees", kind="money", value=fee, currency=home, rows=collected),
        Figure(label="Collected", kind="money", value=volume, currency=home, rows=collected),
        Figure(label="Share", kind="percent", value=percent(fee, volume), note="of what was collected"),
    ]
    if fee:
        points = [Point(names.get(key, "Gateway")[:18], one["fee"]) for key, one in ordered[:_BARS]]
        report.picture = Picture(label="Fees by gateway", kind="money", points=points)
    report.tables = [
        Table(
            name="gateways",
            title="By gateway",
            columns=(
                Column("Gateway"),
                Column("Payments", "number"),
                Column("Collected", "money"),
                Column("Fees", "money"),
                Column("Share", "percent"),
                Column("Fee not told", "number"),
            ),
            rows=[
                Row(
                    cells=(
                        names.get(key, "A connection that is gone"), one["many"], one["amount"], one["fee"],
                        percent(one["fee"], one["amount"]), one["unsaid"],
                    ),
                    currency=home,
                    rows=collected,
                )
                for key, one in ordered
            ],
        )
    ]  # fmt: skip
    return report
