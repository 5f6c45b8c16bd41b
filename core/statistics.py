"""Figures of a person's business, by role: what the dashboard counts, and a year of statistics.

Amounts are whole minor units of one currency. Everything is counted by the database over a person's own rows; the
operator's are over the financings of the last year.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from decimal import ROUND_HALF_UP, Decimal
from typing import Any, Final

from sqlalchemy import text
from sqlalchemy.orm import Session

from core.identity import Actor, Role
from core.ids import lowest_id_at
from core.marketplace import performance, portfolio, shapes
from core.marketplace.rules import CURRENCY, today

_YEAR = timedelta(days=365)
_TENTH = Decimal("0.1")


def _in(*states: str) -> str:
    return "state IN (" + ", ".join(f"'{state}'" for state in states) + ")"


_PENDING: Final = _in("pending_buyer_confirmation", "disputed")
_LISTED: Final = _in("listed", "partially_funded", "settlement_pending")
_OWING: Final = _in("funded", "part_paid", "overdue", "defaulted")
_SETTLED: Final = _in("funded", "part_paid", "overdue", "defaulted", "repaid", "written_off")
_OWED: Final = "greatest(confirmed_amount - collected, 0)"

# What each figure of a dashboard counts, and which amount it adds up.
_FIGURES: Final[dict[Role, dict[str, tuple[str, str]]]] = {
    Role.SELLER: {
        "to_confirm": (_PENDING, "face - deductions"),
        "to_list": (_in("confirmed"), "confirmed_amount"),
        "listed": (_LISTED, "outlay"),
        "funded": (_OWING, "outlay"),
        "due": (f"{_OWING} AND pay_date <= :soon", _OWED),
    },
    Role.BUYER: {
        "to_confirm": (_PENDING, "face - deductions"),
        "to_pay": (f"({_in('confirmed')} OR {_LISTED} OR {_OWING})", _OWED),
        "overdue": (_in("overdue", "defaulted"), _OWED),
    },
    Role.OPERATOR: {
        "to_confirm": (_PENDING, "face - deductions"),
        "listed": (_LISTED, "outlay"),
        "funded": (_OWING, "outlay"),
        "overdue": (_in("overdue", "defaulted"), "principal - repaid_principal"),
    },
}
_OWNED: Final = {Role.SELLER: "seller_id = :actor", Role.BUYER: "buyer_id = :actor", Role.OPERATOR: "true"}
_SOON: Final = timedelta(days=7)


def figures(session: Session, actor: Actor, now: datetime, currency: str = CURRENCY) -> dict[str, dict[str, int]]:
    """What waits for a person, each as {count, amount}.

    Seller: to_confirm (by the buyer), to_list, listed, funded, due (within a week, or late). Buyer: to_confirm,
    to_pay, overdue. Investor: invested, expected, overdue. Operator: to_confirm, listed, funded, overdue, of all.
    """
    if actor.role is Role.INVESTOR:
        held = portfolio.positions(session, actor.id, currency=currency)
        sums = performance.totals(held)
        late = [one for one in held if not one.closed and one.state in {"overdue", "defaulted"}]
        active = sums["active_count"]
        return {
            "invested": {"count": int(active or 0), "amount": int(sums["active"] or 0)},
            "expected": {"count": int(active or 0), "amount": int(sums["expected"] or 0)},
            "overdue": {"count": len(late), "amount": int(sums["overdue"] or 0)},
        }
    asked = _FIGURES[actor.role]
    columns = ", ".join(
        f"count(*) FILTER (WHERE {which}) AS {name}_count, "
        f"coalesce(sum({amount}) FILTER (WHERE {which}), 0)::bigint AS {name}_amount"
        for name, (which, amount) in asked.items()
    )
    row = session.execute(
        text(f"SELECT {columns} FROM financings WHERE {_OWNED[actor.role]} AND currency = :currency AND {_in(*_OPEN)}"),
        {"actor": actor.id, "currency": currency, "soon": today(now) + _SOON},
    ).one()
    return {name: {"count": getattr(row, f"{name}_count"), "amount": getattr(row, f"{name}_amount")} for name in asked}


# What is still going on. With the index by state, years of repaid ones are not read for a dashboard.
_OPEN: Final = (
    "pending_buyer_confirmation", "disputed", "confirmed", "listed", "partially_funded", "settlement_pending",
    "funded", "part_paid", "overdue", "defaulted",
)  # fmt: skip


def _rounded(value: Any) -> str | None:
    return None if value is None else shapes.plain(Decimal(value).quantize(_TENTH, ROUND_HALF_UP))


_SUMMARY: Final = f"""
    SELECT count(*) AS submitted,
        count(*) FILTER (WHERE confirmed_at IS NOT NULL) AS confirmed,
        count(*) FILTER (WHERE state = 'rejected') AS rejected,
        count(*) FILTER (WHERE listed_at IS NOT NULL) AS listed,
        count(*) FILTER (WHERE {_SETTLED}) AS funded,
        count(*) FILTER (WHERE state = 'repaid') AS repaid,
        count(*) FILTER (WHERE {_in("overdue", "defaulted")}) AS overdue,
        coalesce(sum(face), 0)::bigint AS invoiced,
        coalesce(sum(principal) FILTER (WHERE {_SETTLED}), 0)::bigint AS financed,
        coalesce(sum(outlay) FILTER (WHERE {_SETTLED}), 0)::bigint AS paid_out,
        coalesce(sum(discount) FILTER (WHERE {_SETTLED}), 0)::bigint AS discount,
        coalesce(sum(fee) FILTER (WHERE {_SETTLED}), 0)::bigint AS fees,
        coalesce(sum(fee_tax) FILTER (WHERE {_SETTLED}), 0)::bigint AS fee_tax,
        coalesce(sum(collected), 0)::bigint AS collected,
        coalesce(sum(repaid_principal), 0)::bigint AS repaid_principal,
        coalesce(sum(repaid_interest), 0)::bigint AS interest,
        coalesce(sum(principal - repaid_principal) FILTER (WHERE {_OWING}), 0)::bigint AS outstanding,
        sum(rate * principal) FILTER (WHERE {_SETTLED}) / nullif(sum(principal) FILTER (WHERE {_SETTLED}), 0) AS rate,
        avg(days) FILTER (WHERE {_SETTLED}) AS days,
        avg(extract(epoch FROM funded_at - listed_at) / 3600) AS hours_to_fund,
        avg(extract(epoch FROM confirmed_at - submitted_at) / 3600) AS hours_to_confirm
    FROM financings WHERE %s AND currency = :currency AND id >= CAST(:since AS uuid)
"""
_LATENESS: Final = """
    SELECT count(*) AS repaid, count(*) FILTER (WHERE paid_on <= pay_date) AS on_time,
        avg(greatest(paid_on - pay_date, 0)) AS days_late
    FROM (SELECT pay_date, (SELECT max(at AT TIME ZONE 'Asia/Kolkata')::date FROM financing_moves
              WHERE financing_moves.financing_id = financings.id AND after = 'repaid') AS paid_on
          FROM financings WHERE %s AND state = 'repaid' AND currency = :currency AND id >= CAST(:since AS uuid)) AS done
"""
_MONTHS: Final = f"""
    SELECT to_char(funded_at AT TIME ZONE 'Asia/Kolkata', 'YYYY-MM') AS month, count(*) AS count,
        sum(principal)::bigint AS financed, sum(discount)::bigint AS discount
    FROM financings WHERE %s AND currency = :currency AND funded_at IS NOT NULL AND {_SETTLED}
      AND id >= CAST(:since AS uuid)
    GROUP BY 1 ORDER BY 1
"""
_COUNTS: Final = ("submitted", "confirmed", "rejected", "listed", "funded", "repaid", "overdue")
_AMOUNTS: Final = (
    "invoiced", "financed", "paid_out", "discount", "fees", "fee_tax", "collected", "repaid_principal", "interest",
    "outstanding",
)  # fmt: skip
# What a buyer pays does not depend on what the seller pays for having the money early.
_SELLERS_OWN: Final = ("discount", "fees", "fee_tax", "paid_out")


def statistics(session: Session, actor: Actor, now: datetime, currency: str = CURRENCY) -> dict[str, Any]:
    """A year of a person's business: counts, amounts, rates (text) and months. Three queries at most."""
    found: dict[str, Any] = {"role": actor.role.value, "currency": currency, "since": now - _YEAR}
    if actor.role is Role.INVESTOR:
        return found | _of_investor(session, actor, currency)
    values = {"actor": actor.id, "currency": currency, "since": lowest_id_at(now - _YEAR)}
    owned = _OWNED[actor.role]
    row = session.execute(text(_SUMMARY % owned), values).one()
    late = session.execute(text(_LATENESS % owned), values).one()
    months: Sequence[Any] = session.execute(text(_MONTHS % owned), values).all()
    hidden = _SELLERS_OWN if actor.role is Role.BUYER else ()
    return found | {
        "counts": {name: getattr(row, name) for name in _COUNTS},
        "amounts": {name: int(getattr(row, name)) for name in _AMOUNTS if name not in hidden},
        "rates": {
            "on_time": shapes.share(late.on_time, late.repaid),
            "days_late": _rounded(late.days_late),
            "hours_to_confirm": _rounded(row.hours_to_confirm),
            "days": _rounded(row.days),
            **({} if hidden else {"rate": _rounded(row.rate), "hours_to_fund": _rounded(row.hours_to_fund)}),
        },
        "months": [
            {
                "month": each.month,
                "count": each.count,
                "amount": each.financed,
                "profit": None if hidden else each.discount,
            }
            for each in months
        ],
    }


def _of_investor(session: Session, actor: Actor, currency: str) -> dict[str, Any]:
    """All of an investor's time: the totals of the portfolio, and what was put in by month."""
    held = portfolio.positions(session, actor.id, currency=currency)
    sums = performance.totals(held)
    closed = [one for one in held if one.closed]
    on_time = [one for one in closed if not one.lost and max(back.day for back in one.receipts) <= one.pay_date]
    months: dict[str, list[performance.Position]] = {}
    for one in held:
        if one.day is not None:
            months.setdefault(one.day.strftime("%Y-%m"), []).append(one)
    texts = ("realised_return", "realised_yield")
    return {
        "since": None,
        "counts": {"investments": len(held), "active": sums["active_count"], "closed": sums["closed_count"]},
        "amounts": {name: value for name, value in sums.items() if name not in texts and not name.endswith("_count")},
        "rates": {**{name: sums[name] for name in texts}, "on_time": shapes.share(len(on_time), len(closed))},
        "months": [
            {
                "month": month,
                "count": len(made),
                "amount": sum(one.outlay for one in made),
                "profit": sum(one.principal - one.outlay for one in made),
            }
            for month, made in sorted(months.items())
        ],
    }
