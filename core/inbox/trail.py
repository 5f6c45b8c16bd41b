"""From a provider's event to the ledger and back: what it posted, and which delivery a posting came from."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.orm import Session

from core.bulk import array
from core.errors import NotFound
from core.identity import Actor

_COLUMNS = """
    transfers.id, transfers.kind, transfers.description, transfers.event_id, transfers.effective_at,
    transfers.recorded_at, invoices.id AS invoice_id, invoices.number, reversals.original AS reverses
"""
_JOINED = """
    ledger_transfers AS transfers LEFT JOIN invoices ON invoices.id = transfers.invoice_id
    LEFT JOIN ledger_reversals AS reversals ON reversals.transfer_id = transfers.id
"""
_OF_EVENTS = text(
    f"SELECT {_COLUMNS} FROM {_JOINED} WHERE transfers.event_id = ANY(CAST(:ids AS uuid[])) ORDER BY transfers.position"
)
_ONE = text(f"SELECT {_COLUMNS} FROM {_JOINED} WHERE transfers.id = :id")
_LEGS = text(
    "SELECT entries.transfer_id, accounts.owner, accounts.purpose, entries.amount, entries.currency, users.role, "
    "users.name FROM ledger_entries AS entries JOIN ledger_accounts AS accounts ON accounts.id = entries.account_id "
    "LEFT JOIN users ON accounts.owner = 'user:' || users.id "
    "WHERE entries.transfer_id = ANY(CAST(:ids AS uuid[])) ORDER BY entries.id"
)
_SOURCE = text(
    "SELECT events.name, events.provider_event_id, events.received_at, events.connector, events.delivery_id, "
    "connections.user_id FROM events LEFT JOIN connections ON connections.id = events.connection_id "
    "WHERE events.id = :id"
)
_PLACES = {
    "escrow": "Escrow of the invoice",
    "outside": "From outside",
    "unapplied": "Unapplied money of the payer",
    "fees": "Fees of the platform",
    "gst": "GST on the fees",
    "issuance": "Demo money",
}


def _whose(row: Any, actor: Actor) -> str:
    """An account in words. Who somebody else is, operators see."""
    if row.purpose not in {"wallet", "recoverable"}:
        return _PLACES.get(str(row.purpose), str(row.purpose).capitalize())
    mine = row.owner == f"user:{actor.id}"
    person = "you" if mine else row.name if actor.is_operator and row.name else f"the {row.role or 'owner'}"
    if row.purpose == "recoverable":
        return f"Owed to the platform by {person}"
    return "Your wallet" if mine else f"Wallet of {person}"


def _shape(row: Any, legs: Sequence[Any], actor: Actor) -> dict[str, Any]:
    return {
        "id": str(row.id),
        "kind": row.kind,
        "description": row.description,
        "invoice": None if row.invoice_id is None else {"id": str(row.invoice_id), "number": row.number},
        "effective_at": row.effective_at,
        "recorded_at": row.recorded_at,
        "reverses": None if row.reverses is None else str(row.reverses),
        "legs": [
            {
                "account": _whose(leg, actor),
                "amount": leg.amount,
                "currency": leg.currency,
                "mine": leg.owner == f"user:{actor.id}",
            }
            for leg in legs
        ],
    }


def _legs(session: Session, transfer_ids: Sequence[UUID]) -> dict[UUID, list[Any]]:
    found: dict[UUID, list[Any]] = {}
    for row in session.execute(_LEGS, {"ids": array(transfer_ids, "uuid")}):
        found.setdefault(row.transfer_id, []).append(row)
    return found


def posted(session: Session, actor: Actor, event_ids: Sequence[UUID]) -> dict[UUID, list[dict[str, Any]]]:
    """What the ledger posted because of these events, by event, in its order. The caller has seen to who may look."""
    if not event_ids:
        return {}
    rows = session.execute(_OF_EVENTS, {"ids": array(event_ids, "uuid")}).all()
    legs = _legs(session, [row.id for row in rows]) if rows else {}
    found: dict[UUID, list[dict[str, Any]]] = {}
    for row in rows:
        found.setdefault(row.event_id, []).append(_shape(row, legs[row.id], actor))
    return found


def transfer(session: Session, actor: Actor, transfer_id: UUID) -> dict[str, Any]:
    """A transfer with the provider's event it came from (`source`, None for one nobody outside caused).

    For operators, and for whoever has an entry in it: of the others' entries they see none. `delivery_id` is told to
    those who may see the delivery. Raises NotFound.
    """
    row = session.execute(_ONE, {"id": transfer_id}).one_or_none()
    legs = [] if row is None else _legs(session, [transfer_id])[transfer_id]
    if not actor.is_operator:
        legs = [leg for leg in legs if leg.owner == f"user:{actor.id}"]
    if row is None or not legs:
        raise NotFound("transfer", transfer_id)
    said = None if row.event_id is None else session.execute(_SOURCE, {"id": row.event_id}).one_or_none()
    source = said and {
        "connector": said.connector,
        "event": said.name,
        "provider_event_id": said.provider_event_id if actor.is_operator or said.user_id == actor.id else None,
        "received_at": said.received_at,
        "delivery_id": str(said.delivery_id) if actor.is_operator or said.user_id == actor.id else None,
    }
    return {**_shape(row, legs, actor), "source": source}
