"""How far the bank's lines are reconciled, and how old those are that nobody could explain."""

from __future__ import annotations

from datetime import date
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.orm import Session

from core.reports.homing import day_of, summed
from core.reports.periods import Period
from core.reports.shape import Column, Figure, Picture, Point, Report, Row, Rows, Table, percent

_LINES = text(
    f"SELECT stands, currency, {day_of('occurred_at::date')} AS day, count(*) AS many, sum(amount)::bigint AS amount "
    "FROM (SELECT transactions.currency, transactions.occurred_at, transactions.amount, CASE "
    "WHEN transactions.match_state = 'none' THEN 'open' "
    "WHEN transactions.match_state = 'proposed' THEN 'proposed' "
    "WHEN EXISTS (SELECT FROM matches WHERE matches.transaction_id = transactions.id AND matches.state = 'accepted' "
    "AND matches.actor = 'engine') THEN 'automatic' ELSE 'person' END AS stands FROM transactions "
    "WHERE transactions.user_id = :user AND transactions.occurred_at >= CAST(:since AS date) "
    "AND transactions.occurred_at < CAST(:until AS date) + 1 AND transactions.status = 'posted' "
    "AND transactions.amount > 0 AND transactions.duplicate_of IS NULL) AS lines GROUP BY 1, 2, 3"
)
_AGES = text(
    f"SELECT age, currency, {day_of('occurred_at::date')} AS day, count(*) AS many, sum(amount)::bigint AS amount "
    "FROM (SELECT currency, occurred_at, amount, CASE WHEN days <= 7 THEN 0 WHEN days <= 30 THEN 1 "
    "WHEN days <= 90 THEN 2 ELSE 3 END AS age FROM (SELECT currency, occurred_at, amount, "
    "CAST(:today AS date) - occurred_at::date AS days FROM transactions WHERE user_id = :user AND status = 'posted' "
    "AND amount > 0 AND match_state <> 'accepted' AND duplicate_of IS NULL) AS waiting) AS aged GROUP BY 1, 2, 3"
)
STANDS = {
    "automatic": ("Matched by itself", "accepted"),
    "person": ("Matched by a person", "accepted"),
    "proposed": ("To be looked at", "proposed"),
    "open": ("Nothing found", "none"),
}
AGES = ("Up to a week", "Up to a month", "Up to three months", "Older")


def reconciliation(session: Session, user_id: UUID, home: str, period: Period, today: date) -> Report:
    """What became of the credits that bank lines of a period brought, and how old the open ones are."""
    values = {"user": user_id, "home": home, "since": period.since, "until": period.until, "today": today}
    lines = session.execute(_LINES, values)
    sums = summed(
        session, user_id, home, lines, ("amount",), counts=("many",), key=lambda row: row.stands, main="amount"
    )
    waiting = session.execute(_AGES, {"user": user_id, "home": home, "today": today})
    ages = summed(
        session, user_id, home, waiting, ("amount",), counts=("many",), key=lambda row: row.age, main="amount"
    )
    many = sums.total("many")
    automatic = sums.of("automatic").get("many", 0)
    matched = automatic + sums.of("person").get("many", 0)
    report = Report(
        name="reconciliation",
        title="Reconciliation",
        how=(
            "Credits of the period on bank lines, by what became of them: matched by the engine, by a person, "
            "proposed and not decided, or in suspense because nothing was found. The ages are of all that is open "
            "today. Lines in a currency without a rate are neither counted nor added, but listed apart."
        ),
        home=home,
        since=period.since,
        until=period.until,
        apart=dict(sums.apart),
    )
    report.figures = [
        Figure(label="Reconciled", kind="percent", value=percent(matched, many), note=f"{matched} of {many} lines"),
        Figure(label="By itself", kind="percent", value=percent(automatic, many), note="nobody had to look"),
        Figure(
            label="Open today", kind="money", value=ages.total("amount"), currency=home,
            note=f"{ages.total('many')} lines", rows=Rows("transactions", {"match_state": "none"}),
        ),
    ]  # fmt: skip
    if ages.by_key:
        points = [Point(word, ages.of(place).get("amount", 0), late=place > 1) for place, word in enumerate(AGES)]
        report.picture = Picture(label="What is open, by age", kind="money", points=points)
    report.tables = [
        Table(
            name="tiers",
            title="What became of them",
            columns=(Column("State"), Column("Lines", "number"), Column("Amount", "money"), Column("Share", "percent")),
            rows=[
                Row(
                    cells=(word, one["many"], one["amount"], percent(one["many"], many)),
                    currency=home,
                    rows=Rows("transactions", {"match_state": state}),
                )
                for stands, (word, state) in STANDS.items()
                if (one := sums.by_key.get(stands)) is not None
            ],
        ),
        Table(
            name="ages",
            title="Open today, by age",
            columns=(Column("Age"), Column("Lines", "number"), Column("Amount", "money")),
            rows=[
                Row(cells=(word, one["many"], one["amount"]), currency=home)
                for place, word in enumerate(AGES)
                if (one := ages.by_key.get(place)) is not None
            ],
        ),
    ]
    return report
