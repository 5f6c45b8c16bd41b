"""Reading the marketplace: what is on offer, and one offer with its slices and bids.

What an investor may know of a seller and a buyer is their organisation. Other investors are told apart by number,
never by name, and nobody reads another's bid.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, replace
from datetime import date, datetime
from decimal import Decimal, InvalidOperation
from typing import Any, Final
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.orm import Session

from core import paging
from core.errors import Forbidden, Invalid, NotFound
from core.identity import Actor, Role
from core.marketplace import results, shapes
from core.marketplace.states import ON_OFFER
from core.risk import assessments

_ON_OFFER: Final = ", ".join(f"'{state.value}'" for state in sorted(ON_OFFER))
BANDS: Final = ("low", "elevated", "high")

# The simple yield D / O * 365 / d in per cent, for sorting and filtering; zero days have none and come last.
_YIELD: Final = (
    "round(coalesce(100.0 * financing.discount * 365 / nullif(financing.outlay::numeric * financing.days, 0), 0), 6)"
)
_LEFT: Final = "financing.outlay - financing.placed_outlay"


@dataclass(frozen=True, slots=True)
class _Sort:
    """An order of listings: an expression, its type, and whether the largest comes first. Ties go by age."""

    expression: str
    kind: str
    descending: bool
    read: Callable[[str], Any]


def _moment(spelled: str) -> datetime:
    found = datetime.fromisoformat(spelled)
    if found.tzinfo is None:
        raise ValueError("a moment without a time zone")
    return found


SORTS: Final[dict[str, _Sort]] = {
    "newest": _Sort("financing.listed_at", "timestamptz", True, _moment),
    "yield": _Sort(_YIELD, "numeric", True, Decimal),
    "due": _Sort("financing.pay_date", "date", False, date.fromisoformat),
    "closing": _Sort("coalesce(financing.closes_at, '9999-12-31T00:00:00Z')", "timestamptz", False, _moment),
    "remaining": _Sort(_LEFT, "bigint", True, int),
}

# Ranges: the name of a filter, the expression it bounds, the operator. Rates and yields are in per cent a year.
_RANGES: Final = {
    "min_amount": (_LEFT, ">="),
    "max_amount": (_LEFT, "<="),
    "min_rate": ("financing.rate", ">="),
    "max_rate": ("financing.rate", "<="),
    "min_yield": (_YIELD, ">="),
    "max_yield": (_YIELD, "<="),
    "min_days": ("financing.days", ">="),
    "max_days": ("financing.days", "<="),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """Which listings are asked for. Amounts (of what is left) in minor units, rates and yields in per cent a year."""

    min_amount: int | None = None
    max_amount: int | None = None
    min_rate: Decimal | None = None
    max_rate: Decimal | None = None
    min_yield: Decimal | None = None
    max_yield: Decimal | None = None
    min_days: int | None = None
    max_days: int | None = None
    mode: str | None = None
    band: str | None = None
    search: str | None = None


# The band of the newest judgement of an invoice.
_BAND = (
    "(SELECT outputs #>> '{credit,band}' FROM risk_assessments WHERE risk_assessments.invoice_id = invoices.id "
    "ORDER BY risk_assessments.id DESC LIMIT 1)"
)
_SELLER = "coalesce(nullif(sellers.organisation, ''), sellers.name)"
_BUYER = "coalesce(nullif(buyers.organisation, ''), nullif(buyers.name, ''), contacts.name)"
_COLUMNS = f"""
    invoices.id, invoices.number, invoices.status AS payment_status, {shapes.STATUS} AS status, invoices.issue_date,
    invoices.due_date, invoices.seller_id, invoices.buyer_id, {_SELLER} AS seller, {_BUYER} AS buyer,
    {shapes.COLUMNS}
"""
_JOINED = """
    JOIN invoices ON invoices.id = financing.invoice_id JOIN users AS sellers ON sellers.id = invoices.seller_id
    JOIN contacts ON contacts.id = invoices.contact_id LEFT JOIN users AS buyers ON buyers.id = invoices.buyer_id
"""


def _allowed(actor: Actor) -> None:
    if actor.role is Role.BUYER:
        raise Forbidden("the marketplace is for investors and sellers")


def _conditions(wanted: Wanted, values: dict[str, Any]) -> list[str]:
    conditions = [f"financing.state IN ({_ON_OFFER})"]
    for field in fields(wanted):
        value = getattr(wanted, field.name)
        if value is not None and field.name in _RANGES:
            expression, operator = _RANGES[field.name]
            conditions.append(f"{expression} {operator} :{field.name}")
            values[field.name] = value
    if wanted.mode:
        conditions.append("financing.mode = :mode")
        values["mode"] = wanted.mode
    if wanted.band:
        if wanted.band not in BANDS:
            raise Invalid("band", f"must be one of {', '.join(BANDS)}")
        conditions.append(f"{_BAND} = :band")
        values["band"] = wanted.band
    if wanted.search:
        conditions.append(f"(invoices.number ILIKE :search OR {_SELLER} ILIKE :search OR {_BUYER} ILIKE :search)")
        values["search"] = paging.contains(wanted.search)
    return conditions


def _after(sort: str, cursor: str | None, values: dict[str, Any]) -> list[str]:
    """The condition that goes on after a cursor. Raises Invalid for one of another order."""
    if not cursor:
        return []
    named, spelled, identity = paging.after_key(cursor)
    order = SORTS[sort]
    if named != sort:
        raise Invalid("cursor", "is not one that this list gave out")
    try:
        values["last"] = order.read(spelled)
    except (ValueError, InvalidOperation) as error:
        raise Invalid("cursor", "is not one that this list gave out") from error
    values["last_id"] = identity
    last = f"CAST(:last AS {order.kind})"
    if order.descending:
        # Both columns fall, so that an index on the two goes on from here.
        return [f"({order.expression}, financing.id) < ({last}, :last_id)"]
    return [f"({order.expression} > {last} OR ({order.expression} = {last} AND financing.id < :last_id))"]


def listings(
    session: Session,
    actor: Actor,
    wanted: Wanted | None = None,
    *,
    sort: str = "newest",
    limit: int = 25,
    cursor: str | None = None,
) -> dict[str, Any]:
    """A page of what investors may put money in. Raises Forbidden for buyers, Invalid for a filter or cursor."""
    _allowed(actor)
    if sort not in SORTS:
        raise Invalid("sort", f"must be one of {', '.join(SORTS)}")
    values: dict[str, Any] = {"limit": paging.check_limit(limit) + 1, "actor": actor.id}
    conditions = [*_conditions(wanted or Wanted(), values), *_after(sort, cursor, values)]
    order = SORTS[sort]
    direction = "DESC" if order.descending else "ASC"
    rows = session.execute(
        text(
            f"SELECT {_COLUMNS}, {order.expression} AS sorted_by FROM financings AS financing {_JOINED} "
            f"WHERE {' AND '.join(conditions)} ORDER BY {order.expression} {direction}, financing.id DESC LIMIT :limit"
        ),
        values,
    ).all()
    judged = assessments.latest(session, [row.id for row in rows])
    return paging.page_by_key(
        rows,
        limit,
        lambda row: _listing(row, actor, judged),
        lambda row: (sort, _spelled(row.sorted_by), row.financing_id),
    )


def _spelled(value: date | datetime | Decimal | int) -> str:
    return value.isoformat() if isinstance(value, date) else str(value)


def _listing(row: Any, actor: Actor, judged: Mapping[UUID, dict[str, Any]]) -> dict[str, Any]:
    offer = shapes.financing(row)
    assert offer is not None  # noqa: S101 - The row is one of a financing.
    return {
        "id": str(row.id),
        "invoice_id": str(row.id),
        "number": row.number,
        "status": row.status,
        "currency": row.financing_currency,
        "seller": {"id": str(row.seller_id), "organisation": row.seller},
        "buyer": {"id": str(row.buyer_id) if row.buyer_id else None, "organisation": row.buyer},
        "issue_date": row.issue_date,
        "due_date": row.due_date,
        "financing": offer,
        "progress": shapes.share(offer["placed"], offer["outlay"]) if offer["outlay"] else None,
        "numbers": shapes.numbers(offer),
        "day_count": shapes.day_count(offer),
        "risk": _risk(judged.get(row.id), actor, mine=row.seller_id == actor.id),
        "mine": row.seller_id == actor.id,
    }


def _risk(outputs: dict[str, Any] | None, actor: Actor, *, mine: bool) -> dict[str, Any] | None:
    """A judgement as somebody may read it; another seller reads no more of it than an investor."""
    if outputs is None:
        return None
    reader = actor if mine or actor.role is not Role.SELLER else replace(actor, role=Role.INVESTOR)
    return assessments.shown(outputs, reader)


def listing(session: Session, actor: Actor, invoice_id: UUID) -> dict[str, Any]:
    """An offer, or what became of it, with its confirmation, slices and bids. Raises Forbidden and NotFound.

    What is not on offer any more is for its seller, for those who put money in it or bid, and for operators. How an
    auction ended (`result`) is for its seller and operators: bids stay sealed from those who bid.
    """
    _allowed(actor)
    row = session.execute(
        text(
            f"SELECT {_COLUMNS}, "
            "EXISTS (SELECT FROM confirmations WHERE confirmations.financing_id = financing.id) AS recorded, "
            "(SELECT count(*) FROM bids WHERE bids.financing_id = financing.id AND bids.state = 'open') AS bids "
            f"FROM (SELECT * FROM financings WHERE invoice_id = :invoice ORDER BY id DESC LIMIT 1) AS financing "
            f"{_JOINED} WHERE financing.listed_at IS NOT NULL AND (financing.state IN ({_ON_OFFER}) OR :all "
            "OR financing.seller_id = :actor OR EXISTS (SELECT FROM investments WHERE "
            "investments.financing_id = financing.id AND investor_id = :actor) OR EXISTS (SELECT FROM bids WHERE "
            "bids.financing_id = financing.id AND investor_id = :actor))"
        ),
        {"invoice": invoice_id, "actor": actor.id, "all": actor.is_operator},
    ).one_or_none()
    if row is None:
        raise NotFound("listing", invoice_id)
    found = _listing(row, actor, assessments.latest(session, [row.id]))
    found["confirmation"] = {
        "present": row.recorded or row.financing_confirmed_at is not None,
        "recorded": row.recorded,
        "amount": row.financing_confirmed_amount,
        "confirmed_at": row.financing_confirmed_at,
    }
    # What each winner paid for what would tell its bid.
    sealed = found["financing"]["pricing"] == "pay_as_bid" and not (found["mine"] or actor.is_operator)
    found["slices"] = _slices(session, actor, row.financing_id, sealed=sealed)
    found["bid_count"] = row.bids if found["mine"] or actor.is_operator else None
    found["bids"] = bids_of(session, actor, row.financing_id)
    closed = found["financing"]["mode"] == "auction" and (found["mine"] or actor.is_operator)
    found["result"] = results.result(session, row.financing_id) if closed else None
    return found


def _slices(session: Session, actor: Actor, financing_id: UUID, *, sealed: bool) -> list[dict[str, Any]]:
    """The slices in the order in which they came. One's own say so; of the others only the size is told.

    Of `sealed` ones not what comes back for it, either.
    """
    rows = session.execute(
        text(
            "SELECT investments.id, investments.sequence, investments.investor_id, investments.outlay, "
            "investments.principal, investments.status, investments.created_at, "
            "coalesce(nullif(users.organisation, ''), users.name) AS name "
            "FROM investments JOIN users ON users.id = investments.investor_id "
            "WHERE financing_id = :financing AND status <> 'voided' ORDER BY sequence LIMIT 500"
        ),
        {"financing": financing_id},
    )
    found = []
    for row in rows:
        named = row.investor_id == actor.id or actor.is_operator
        found.append(
            {
                "id": str(row.id) if named else None,
                "sequence": row.sequence,
                "investor": row.name if named else f"Investor {row.sequence}",
                "mine": row.investor_id == actor.id,
                "amount": row.outlay,
                "expected_return": row.principal if named or not sealed else None,
                "status": row.status,
                "created_at": row.created_at,
            }
        )
    return found


def bids_of(session: Session, actor: Actor, financing_id: UUID) -> list[dict[str, Any]]:
    """One's own bids in an auction, newest first. Bids are sealed: nobody reads another's."""
    rows = session.execute(
        text(
            "SELECT id, sequence, rate, amount, outlay, state, created_at, decided_at FROM bids "
            "WHERE financing_id = :financing AND investor_id = :actor ORDER BY sequence DESC LIMIT 100"
        ),
        {"financing": financing_id, "actor": actor.id},
    )
    return [{**row._asdict(), "id": str(row.id), "rate": shapes.plain(row.rate)} for row in rows]
