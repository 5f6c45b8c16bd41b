"""Reading bank transactions, as far as the asker may see them."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.orm import Session

from core import paging
from core.errors import Invalid, NotFound
from core.identity import Actor, Role
from core.payments.queries import deliveries_of

MATCH_STATES = ("none", "proposed", "accepted")

_COLUMNS = """
    transactions.id, transactions.user_id, transactions.connection_id, transactions.status, transactions.amount,
    transactions.currency, transactions.narration, transactions.counterparty, transactions.bank_reference,
    transactions.category, transactions.balance, transactions.occurred_at, transactions.booked_on,
    transactions.trust, transactions.match_state, bank_accounts.name AS account_name, bank_accounts.number_masked,
    connections.name AS connection_name, connections.connector,
    match.id AS match_id, match.state AS match_row_state, match.score, match.features, match.payment_id,
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


def _shape(row: Any) -> dict[str, Any]:
    match_shown = None
    if row.match_id is not None:
        match_shown = {
            "id": str(row.match_id),
            "state": row.match_row_state,
            "score": float(row.score),
            "features": row.features,
            "invoice": {
                "id": str(row.invoice_id),
                "number": row.invoice_number,
                "amount_due": row.invoice_due,
                "currency": row.invoice_currency,
                "contact": {"name": row.contact_name, "email": row.contact_email},
            },
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
        "match": match_shown,
        "payment_id": str(row.payment_id) if row.payment_id else None,
    }


def list_transactions(
    session: Session,
    actor: Actor,
    *,
    limit: int = 25,
    cursor: str | None = None,
    match_state: str | None = None,
    search: str | None = None,
) -> dict[str, Any]:
    """Transactions that the bank has not taken back, newest first; without deliveries."""
    conditions = [_visible(actor), "transactions.status <> 'removed'"]
    values: dict[str, Any] = {"actor": actor.id, "limit": paging.check_limit(limit) + 1}
    if match_state:
        if match_state not in MATCH_STATES:
            raise Invalid("match_state", f"must be one of {', '.join(MATCH_STATES)}")
        conditions.append("transactions.match_state = :match_state")
        values["match_state"] = match_state
    if search:
        conditions.append(
            "(transactions.narration ILIKE :search OR transactions.counterparty ILIKE :search "
            "OR transactions.bank_reference ILIKE :search)"
        )
        values["search"] = paging.contains(search)
    # An operator reads over all users, where only the order of arrival has an index.
    by_moment = None if actor.is_operator else "occurred_at"
    if by_moment and (moment := paging.after_moment(cursor)) is not None:
        conditions.append("(transactions.occurred_at, transactions.id) < (:moment, :after)")
        values["moment"], values["after"] = moment
    if not by_moment and (after := paging.after_id(cursor)) is not None:
        conditions.append("transactions.id < :after")
        values["after"] = after
    order = "transactions.occurred_at DESC, transactions.id DESC" if by_moment else "transactions.id DESC"
    rows = session.execute(
        text(f"SELECT {_COLUMNS} FROM {_FROM} WHERE {' AND '.join(conditions)} ORDER BY {order} LIMIT :limit"), values
    ).all()
    return paging.page(rows, limit, _shape, by_moment=by_moment)


def get_transaction(session: Session, actor: Actor, transaction_id: UUID) -> dict[str, Any]:
    """A transaction with its match and the deliveries that told of it. Raises NotFound."""
    row = session.execute(
        text(f"SELECT {_COLUMNS} FROM {_FROM} WHERE transactions.id = :id AND {_visible(actor)}"),
        {"id": transaction_id, "actor": actor.id},
    ).one_or_none()
    if row is None:
        raise NotFound("transaction", transaction_id)
    return {**_shape(row), "deliveries": deliveries_of(session, transaction_id)}
