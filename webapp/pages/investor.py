"""What an investor holds and has: the portfolio, and everybody's wallet with its statement."""

from __future__ import annotations

from datetime import date, datetime, time, timedelta
from typing import Any, Literal, cast

from flask import Response, request

from core import wallets
from core.identity import Role
from core.marketplace import portfolio as portfolios
from core.marketplace.rules import INDIA
from webapp.auth import page_login_required
from webapp.pages import blueprint, charts
from webapp.pages.format import day as spelled_day
from webapp.pages.shell import choice, cursor, limit, looking, only, search

STATUSES = {"open": "Still to come back", "overdue": "Overdue", "repaid": "Repaid", "held": "Waiting to be filled"}
SIDES = {"credit": "Money in", "debit": "Money out"}
_MOST_BARS = 12


def _past() -> datetime | None:
    """The end of the day that ?on= names, for the books as they were; None for today and for anything unreadable."""
    try:
        asked = date.fromisoformat(request.args.get("on", ""))
    except ValueError:
        return None
    return datetime.combine(asked + timedelta(days=1), time(), INDIA) - timedelta(microseconds=1)


def _flow(found: list[dict[str, Any]]) -> list[charts.Bar]:
    return charts.bars(
        [
            ("Late" if one["late"] else f"{one['from']:%b %y}", one["expected"], bool(one["late"]))
            for one in found[:_MOST_BARS]
        ]
    )


@blueprint.get("/portfolio")
@page_login_required
def portfolio() -> Response:
    """What is invested, what comes back and when, and with whom it is."""
    status, past = choice("status", STATUSES), _past()
    with looking() as look:
        only(look, Role.INVESTOR)
        at = past if past is not None and past < look.now else None
        found = portfolios.portfolio(
            look.db, look.actor, look.now, at=at, status=status, search=search(), limit=limit(), cursor=cursor()
        )
        value = found["value"]
        return look.show(
            "pages/portfolio.html",
            **found,
            items=found["investments"],
            status=status,
            statuses=STATUSES,
            search=search(),
            on=None if at is None else request.args.get("on"),
            picture=charts.line([point["value"] for point in value]),
            picture_from=spelled_day(value[0]["day"]) if value else "",
            picture_to=spelled_day(value[-1]["day"]) if value else "",
            bars=_flow(found["cash_flow"]),
        )


@blueprint.get("/wallet")
@page_login_required
def wallet() -> Response:
    """What there is to spend, and every movement of it."""
    side = cast("Literal['credit', 'debit'] | None", choice("type", SIDES))
    with looking() as look:
        return look.show(
            "pages/wallet.html",
            **wallets.transactions(look.db, look.actor.id, side=side, limit=limit(), cursor=cursor()),
            wallet=wallets.balance(look.db, look.actor.id),
            side=side,
            sides=SIDES,
        )
