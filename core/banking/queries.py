"""Reading bank transactions, as far as the asker may see them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime
from typing import Any
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.orm import Session

from core import paging
from core.errors import Invalid, NotFound
from core.identity import Actor, Role
from core.money import MAX_MINOR
from core.payments.queries import deliveries_of

MATCH_STATES = ("none", "proposed", "accepted", "duplicate", "ignored")

_COLUMNS = """
    transactions.id, transactions.user_id, transactions.connection_id, transactions.status, transactions.amount,
    transactions.currency, transactions.narration, transactions.counterparty, transactions.bank_reference,
    transactions.category, transactions.balance, transactions.occurred_at, transactions.booked_on,
    transactions.trust, transactions.match_state, bank_accounts.name AS account_name, bank_accounts.number_masked,
    connections.name AS connection_name, connections.connector,
    transactions.duplicate_of, match.id AS match_id, match.state AS match_row_state, match.score, match.features,
    match.payment_id, match.kind, match.subject_id, match.tier, match.actor,
    (SELECT count(*) FROM match_targets WHERE match_id = match.id) AS invoice_count,
    invoices.id AS invoice_id, invoices.number AS invoice_number, invoices.amount_due AS invoice_due,
    invoices.currency AS invoice_currency, contacts.name AS contact_name, contacts.email AS contact_email
"""
_FROM = """
    transactions
    LEFT JOIN connections ON connections.id = transactions.connection_id
    LEFT JOIN bank_accounts ON bank_accounts.connection_id = transactions.connection_id
        AND bank_accounts.object_id = transactions.account_object_id
    LEFT JOIN LATERAL (
        SELECT * FROM matches
        WHERE matches.transaction_id = transactions.id AND matches.state IN ('proposed', 'accepted')
        ORDER BY matches.state = 'accepted' DESC, matches.score DESC, matches.id LIMIT 1
    ) AS match ON true
    LEFT JOIN invoices ON invoices.id = match.invoice_id
    LEFT JOIN contacts ON contacts.id = invoices.contact_id
"""


def _visible(actor: Actor) -> str:
    match actor.role:
        case Role.SELLER | Role.BUYER | Role.INVESTOR:
            return "transactions.user_id = :actor"
        case Role.OPERATOR:
            return "true"


def _invoice(row: Any) -> dict[str, Any]:
    return {
        "id": str(row.invoice_id),
        "number": row.invoice_number,
        "amount_due": row.invoice_due,
        "currency": row.invoice_currency,
        "contact": {"name": row.contact_name, "email": row.contact_email},
    }


def _shape(row: Any) -> dict[str, Any]:
    match_shown = None
    if row.match_id is not None:
        match_shown = {
            "id": str(row.match_id),
            "state": row.match_row_state,
            "kind": row.kind,
            "tier": row.tier,
            "actor": row.actor,
            "score": float(row.score),
            "features": row.features,
            "subject_id": str(row.subject_id) if row.subject_id else None,
            # The first of `invoice_count`; none where the line is a payout or a payment that was booked before.
            "invoice_count": row.invoice_count,
            "invoice": _invoice(row) if row.invoice_id else None,
        }
    return {
        "id": str(row.id),
        "status": row.status,
        "amount": row.amount,
        "currency": row.currency,
        "narration": row.narration,
        "counterparty": row.counterparty,
        "bank_reference": row.bank_reference,
        "category": row.category,
        "account": {"name": row.account_name, "number_masked": row.number_masked} if row.account_name else None,
        "connection": {"id": str(row.connection_id), "name": row.connection_name, "connector": row.connector},
        "balance": row.balance,
        "occurred_at": row.occurred_at,
        "booked_on": row.booked_on,
        "trust": row.trust,
        "match_state": row.match_state,
        "duplicate_of": str(row.duplicate_of) if row.duplicate_of else None,
        "match": match_shown,
        "payment_id": str(row.payment_id) if row.payment_id else None,
    }


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """Which transactions of a list. Amounts in minor units, both bounds included; days are those of the booking."""

    match_state: str | None = None
    tier: str | None = None
    connection_id: UUID | None = None
    account: str | None = None
    currency: str | None = None
    date_from: date | None = None
    date_to: date | None = None
    amount_min: int | None = None
    amount_max: int | None = None
    search: str | None = None
    sort: str = "newest"


# What each order goes by. An operator reads over all users, where only the order of arrival has an index.
_ORDERS = {
    "newest": ("occurred_at", "DESC", "timestamptz"),
    "oldest": ("occurred_at", "ASC", "timestamptz"),
    "largest": ("amount", "DESC", "bigint"),
    "smallest": ("amount", "ASC", "bigint"),
}
_DAY = "coalesce(transactions.booked_on, (transactions.occurred_at AT TIME ZONE 'Asia/Kolkata')::date)"
_CONDITIONS = {
    "match_state": "transactions.match_state = :match_state",
    "tier": "coalesce(match.tier, 'suspense') = :tier AND transactions.match_state IN ('none', 'proposed')",
    "connection_id": "transactions.connection_id = :connection_id",
    "account": "transactions.account_object_id = :account",
    "currency": "transactions.currency = :currency",
    "date_from": f"{_DAY} >= :date_from",
    "date_to": f"{_DAY} <= :date_to",
    "amount_min": "transactions.amount >= :amount_min",
    "amount_max": "transactions.amount <= :amount_max",
    "search": (
        "(transactions.narration ILIKE :search OR transactions.counterparty ILIKE :search "
        "OR transactions.bank_reference ILIKE :search)"
    ),
}


def list_transactions(
    session: Session,
    actor: Actor,
    *,
    limit: int = 25,
    cursor: str | None = None,
    match_state: str | None = None,
    search: str | None = None,
    asked: Asked | None = None,
) -> dict[str, Any]:
    """Transactions that the bank has not taken back, newest first unless asked otherwise; without deliveries.

    Raises Invalid.
    """
    asked = asked or Asked(match_state=match_state or None, search=search or None)
    if asked.match_state and asked.match_state not in MATCH_STATES:
        raise Invalid("match_state", f"must be one of {', '.join(MATCH_STATES)}")
    if asked.sort not in _ORDERS:
        raise Invalid("sort", f"must be one of {', '.join(_ORDERS)}")
    conditions = [_visible(actor), "transactions.status <> 'removed'"]
    values: dict[str, Any] = {"actor": actor.id, "limit": paging.check_limit(limit) + 1}
    for name, condition in _CONDITIONS.items():
        if (value := getattr(asked, name)) is not None:
            conditions.append(condition)
            values[name] = paging.contains(value) if name == "search" else value
    order = _order(actor, asked.sort, cursor, conditions, values)
    rows = session.execute(
        text(f"SELECT {_COLUMNS} FROM {_FROM} WHERE {' AND '.join(conditions)} ORDER BY {order} LIMIT :limit"), values
    ).all()
    column = _ORDERS[asked.sort][0]
    if actor.is_operator and asked.sort == "newest":
        return paging.page(rows, limit, _shape)
    return paging.page_by_key(rows, limit, _shape, lambda row: (asked.sort, _key(getattr(row, column)), row.id))


def place_of(line: dict[str, Any]) -> str:
    """The cursor after a line of the list, newest first."""
    return paging.spell_places(["newest", _key(line["occurred_at"]), line["id"]])


def _key(value: datetime | int) -> str:
    return value.isoformat() if isinstance(value, datetime) else str(value)


def _order(actor: Actor, sort: str, cursor: str | None, conditions: list[str], values: dict[str, Any]) -> str:
    """The ORDER BY of a list; the place of the cursor becomes a condition. Raises Invalid."""
    if actor.is_operator and sort == "newest":
        if (after := paging.after_id(cursor)) is not None:
            conditions.append("transactions.id < :after")
            values["after"] = after
        return "transactions.id DESC"
    column, way, kind = _ORDERS[sort]
    if cursor:
        said, value, after = paging.after_key(cursor)
        if said != sort:
            raise Invalid("cursor", "is not one that this list gave out")
        sign = "<" if way == "DESC" else ">"
        conditions.append(f"(transactions.{column}, transactions.id) {sign} (CAST(:place AS {kind}), :after)")
        values["place"], values["after"] = _place(kind, value), after
    return f"transactions.{column} {way}, transactions.id {way}"


def _place(kind: str, value: str) -> datetime | int:
    try:
        place: datetime | int = int(value) if kind == "bigint" else datetime.fromisoformat(value)
    except ValueError:
        raise Invalid("cursor", "is not one that this list gave out") from None
    if (isinstance(place, datetime) and place.tzinfo is None) or (isinstance(place, int) and abs(place) > MAX_MINOR):
        raise Invalid("cursor", "is not one that this list gave out")
    return place


def get_transaction(session: Session, actor: Actor, transaction_id: UUID) -> dict[str, Any]:
    """A transaction with its match and the deliveries that told of it. Raises NotFound."""
    row = session.execute(
        text(f"SELECT {_COLUMNS} FROM {_FROM} WHERE transactions.id = :id AND {_visible(actor)}"),
        {"id": transaction_id, "actor": actor.id},
    ).one_or_none()
    if row is None:
        raise NotFound("transaction", transaction_id)
    return {**_shape(row), "deliveries": deliveries_of(session, transaction_id)}
