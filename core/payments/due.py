"""The invoices of a customer that money can go to, for whoever writes a payment down."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.orm import Session

from core.bulk import array
from core.identity import Actor
from core.marketplace import words

MOST = 100
_COLUMNS = "id, number, currency, due_date, total, amount_due, contact_id, status"


def due_invoices(
    session: Session,
    actor: Actor,
    contact_id: UUID,
    currency: str | None = None,
    also: list[UUID] | None = None,
    *,
    word: bool = True,
) -> list[dict[str, Any]]:
    """A seller's open invoices of a customer, the earliest due first, at most 100; and those named in `also`.

    `may` is how much of it may be settled, by a word or else by money that a bank or a gateway told of; where
    investors leave less than is due to a word `by_hand` says why, else it is None.
    """
    rows = session.execute(
        text(
            f"SELECT {_COLUMNS} FROM invoices WHERE seller_id = :actor AND contact_id = :contact "
            "AND (status IN ('open', 'partial') OR id = ANY(CAST(:also AS uuid[]))) "
            "AND currency = coalesce(CAST(:currency AS text), currency) ORDER BY due_date, id LIMIT :most"
        ),
        {
            "actor": actor.id,
            "contact": contact_id,
            "currency": currency,
            "also": array(also or [], "uuid"),
            "most": MOST,
        },
    ).mappings()
    found = [dict(row) for row in rows]
    rooms = words.rooms(session, [one["id"] for one in found]) if word else {}
    for one in found:
        room = rooms.get(one["id"])
        less = room is not None and room.allowed < one["amount_due"]
        one["may"] = room.allowed if room is not None and less else one["amount_due"]
        one["by_hand"] = room.why if room is not None and less else None
    return found


def customer_of(session: Session, actor: Actor, invoice_id: UUID) -> dict[str, Any] | None:
    """Whose invoice it is, and in which currency; None when it is not this seller's."""
    row = (
        session.execute(
            text(f"SELECT {_COLUMNS} FROM invoices WHERE id = :id AND seller_id = :actor"),
            {"id": invoice_id, "actor": actor.id},
        )
        .mappings()
        .one_or_none()
    )
    return None if row is None else dict(row)
