"""What gateways took: of payments, and of payouts what belongs to no payment."""

from __future__ import annotations

from datetime import date
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.orm import Session

from core.reports.income import BARS, PAID
from core.reports.periods import Period
from core.reports.shape import Column, Figure, Picture, Point, Report, Row, Rows, Table, percent
from core.reports.sources import Source, behind, sums

_GATHERED = PAID.format(which="source = 'gateway'")
# What gateways keep that belongs to no payment, and give back (negative): of the payouts that are in the books.
_CHARGED = (
    "SELECT kind, id, label, contact_id, day, currency, rate_day, amount, fee, unsaid, connection, many, extra "
    f"FROM (SELECT *, 0::bigint AS extra FROM ({_GATHERED}) AS paid) AS paid "
    "UNION ALL SELECT 'payout', id, coalesce(bank_reference, object_id), NULL, occurred_at::date, currency, "
    "CASE WHEN currency = :home THEN CAST(:today AS date) ELSE occurred_at::date END, 0, charges, 0, "
    "connection_id, 0, charges FROM payouts WHERE user_id = :user AND occurred_at >= CAST(:since AS date) "
    "AND occurred_at < CAST(:until AS date) + 1 AND status = 'paid' AND NOT to_third_party AND charges <> 0"
)
_CONNECTIONS = text("SELECT id, name FROM connections WHERE user_id = :user")


def charged(period: Period, today: date) -> Source:
    """Payments of a period through gateways with their fees, and payouts with what else they cost, by connection."""
    return Source(
        sql=_CHARGED,
        values={"since": period.since, "until": period.until, "today": today},
        parts=("connection",),
        measures=("fee", "amount", "extra"),
        counts=("many", "unsaid"),
    )


def _behind(measure: str, period: Period, **parts: object) -> Rows:
    return behind(measure, period.since, period.until, **parts)


def fees(session: Session, user_id: UUID, home: str, period: Period, today: date) -> Report:
    """What each gateway took of what it collected in a period."""
    found = sums(session, user_id, home, charged(period, today), ("connection",), main="amount")
    names = {row.id: row.name for row in session.execute(_CONNECTIONS, {"user": user_id})}
    volume, fee = found.total("amount"), found.total("fee")
    by_connection = {key: one for (key,), one in found.by_key.items()}
    ordered = sorted(by_connection.items(), key=lambda one: (-one[1]["fee"], names.get(one[0], "")))
    report = Report(
        name="fees",
        title="Gateway fees",
        how=(
            "Fees that gateways told of with their payments of the period, by the payment's day, and what their "
            "payouts were charged beside, by the payout's day; and the share of both in what was paid. A fee that is "
            "not told yet counts as none: how many are missing is in the table."
        ),
        home=home,
        since=period.since,
        until=period.until,
        apart=found.apart,
    )
    report.figures = [
        Figure(label="Fees", kind="money", value=fee, currency=home, rows=_behind("fee", period)),
        Figure(
            label="Not for a payment", kind="money", value=found.total("extra"), currency=home,
            note="charged with payouts, in the fees", rows=_behind("extra", period),
        ),
        Figure(label="Collected", kind="money", value=volume, currency=home, rows=_behind("amount", period)),
        Figure(
            label="Share",
            kind="percent",
            value=percent(fee, volume),
            note="of what was collected",
            rows=_behind("fee", period),
        ),
    ]  # fmt: skip
    if fee:
        points = [
            Point(names.get(key, "Gateway"), one["fee"], rows=_behind("fee", period, connection=key))
            for key, one in ordered[:BARS]
        ]
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
                Column("of that not for a payment", "money"),
                Column("Share", "percent"),
                Column("Fee not told", "number"),
            ),
            rows=[
                Row(
                    cells=(
                        names.get(key, "A connection that is gone"), one["many"], one["amount"], one["fee"],
                        one["extra"], percent(one["fee"], one["amount"]), one["unsaid"],
                    ),
                    currency=home,
                    rows=_behind("fee", period, connection=key),
                    column=3,
                )
                for key, one in ordered
            ],
        )
    ]  # fmt: skip
    return report
