"""How far the bank's lines are reconciled, and how old those are that nobody could explain."""

from __future__ import annotations

from datetime import date
from uuid import UUID

from sqlalchemy.orm import Session

from core.reports.periods import Period
from core.reports.shape import Column, Figure, Picture, Point, Report, Row, Table, percent
from core.reports.sources import Source, behind, sums

_CREDITS = (
    "SELECT 'transaction' AS kind, transactions.id, transactions.narration AS label, NULL::uuid AS contact_id, "
    "occurred_at::date AS day, currency, "
    "CASE WHEN currency = :home THEN CAST(:today AS date) ELSE occurred_at::date END AS rate_day, "
    "amount, 1 AS many, {parts} FROM transactions WHERE user_id = :user AND status = 'posted' "
    "AND amount > 0 AND duplicate_of IS NULL AND {which}"
)
_STANDS = (
    "CASE WHEN match_state = 'none' THEN 'open' WHEN match_state = 'proposed' THEN 'proposed' "
    "WHEN EXISTS (SELECT FROM matches WHERE matches.transaction_id = transactions.id AND matches.state = 'accepted' "
    "AND matches.actor = 'engine') THEN 'automatic' ELSE 'person' END"
)
_DAYS = "(CAST(:today AS date) - occurred_at::date)"
STANDS = {
    "automatic": "Matched by itself",
    "person": "Matched by a person",
    "proposed": "To be looked at",
    "open": "Nothing found",
}
AGES = ("Up to a week", "Up to a month", "Up to three months", "Older")


def lines(period: Period, today: date) -> Source:
    """Credits on the bank lines of a period, by what became of them."""
    return Source(
        sql=_CREDITS.format(
            parts=f"{_STANDS} AS stands, match_state NOT IN ('none', 'proposed') AS done",
            which="occurred_at >= CAST(:since AS date) AND occurred_at < CAST(:until AS date) + 1",
        ),
        values={"since": period.since, "until": period.until, "today": today},
        parts=("stands", "done"),
        measures=("amount",),
    )


def waiting(today: date) -> Source:
    """Credits on bank lines that are open today, by their age (a place in AGES)."""
    return Source(
        sql=_CREDITS.format(
            parts=f"CASE WHEN {_DAYS} <= 7 THEN 0 WHEN {_DAYS} <= 30 THEN 1 WHEN {_DAYS} <= 90 THEN 2 "
            "ELSE 3 END AS age, 'open' AS state",
            which="match_state IN ('none', 'proposed')",
        ),
        values={"today": today},
        parts=("state", "age"),
        measures=("amount",),
    )


def reconciliation(session: Session, user_id: UUID, home: str, period: Period, today: date) -> Report:
    """What became of the credits that bank lines of a period brought, and how old the open ones are."""
    found = sums(session, user_id, home, lines(period, today), ("stands",), main="amount")
    ages = sums(session, user_id, home, waiting(today), ("age",), main="amount")
    many = found.total("many")
    automatic = found.of("automatic")["many"]
    matched = automatic + found.of("person")["many"]
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
        apart=found.apart,
    )
    since, until = period.since, period.until
    report.figures = [
        Figure(
            label="Reconciled", kind="percent", value=percent(matched, many), note=f"{matched} of {many} lines",
            rows=behind("many", since, until, done="true"),
        ),
        Figure(
            label="By itself", kind="percent", value=percent(automatic, many), note="nobody had to look",
            rows=behind("many", since, until, stands="automatic"),
        ),
        Figure(
            label="Open today", kind="money", value=ages.total("amount"), currency=home,
            note=f"{ages.total('many')} lines", rows=behind("amount", state="open"),
        ),
    ]  # fmt: skip
    if ages.by_key:
        points = [
            Point(word, ages.of(place)["amount"], late=place > 1, rows=behind("amount", state="open", age=place))
            for place, word in enumerate(AGES)
        ]
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
                    rows=behind("amount", since, until, stands=stands),
                    column=2,
                )
                for stands, word in STANDS.items()
                if (one := found.of(stands))
            ],
        ),
        Table(
            name="ages",
            title="Open today, by age",
            columns=(Column("Age"), Column("Lines", "number"), Column("Amount", "money")),
            rows=[
                Row(
                    cells=(word, one["many"], one["amount"]),
                    currency=home,
                    rows=behind("amount", state="open", age=place),
                    column=2,
                )
                for place, word in enumerate(AGES)
                if (one := ages.of(place))
            ],
        ),
    ]
    return report
