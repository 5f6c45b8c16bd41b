"""Open invoices that a bank line may be money for, found by number, customer or amount, the likeliest first."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.orm import Session

from core import paging
from core.errors import Invalid
from core.identity import Actor
from core.invoicing.references import number_key
from core.statement_files.amounts import parse_amount

MOST = 30


def find(
    session: Session, actor: Actor, *, currency: str, amount: int, words: str = "", chosen: list[UUID] | None = None
) -> list[dict[str, Any]]:
    """Up to `MOST` of the actor's open invoices in a currency that fit the words, and before them those chosen.

    Words are a part of a number or of a customer's name, or an amount. Without words those whose due amount is nearest
    to `amount` come first. An item: {"id", "number", "contact", "due_date", "amount_due", "currency", "chosen"}.
    """
    values: dict[str, Any] = {
        "seller": actor.id,
        "currency": currency,
        "amount": amount,
        "words": paging.contains(words),
        "key": number_key(words),
        "sought": _amount(words, currency),
        "empty": not words,
        "chosen": chosen or [],
        "limit": MOST,
    }
    rows = session.execute(
        text(
            "SELECT invoices.id, number, contacts.name AS contact, due_date, amount_due, invoices.currency, "
            "invoices.id = ANY(CAST(:chosen AS uuid[])) AS chosen "
            "FROM invoices JOIN contacts ON contacts.id = invoices.contact_id "
            "WHERE seller_id = :seller AND invoices.currency = :currency AND invoices.status IN ('open', 'partial') "
            "AND (:empty OR invoices.id = ANY(CAST(:chosen AS uuid[])) OR number ILIKE :words "
            "OR contacts.name ILIKE :words OR number_key = :key "
            "OR amount_due = CAST(:sought AS bigint) OR total = CAST(:sought AS bigint)) "
            "ORDER BY chosen DESC, number_key = :key DESC, coalesce(amount_due = CAST(:sought AS bigint), false) DESC, "
            "abs(amount_due - :amount), due_date, invoices.id LIMIT :limit"
        ),
        values,
    )
    return [{**row._asdict(), "id": str(row.id)} for row in rows]


def _amount(words: str, currency: str) -> int | None:
    try:
        return parse_amount(words, currency)
    except Invalid:
        return None
