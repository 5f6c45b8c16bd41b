"""The life of a financing (marketplace rules 2.1), and the one function that moves its state.

A financing is the marketplace life of an invoice. The invoice keeps its own status, which says what is paid of
it; here stands who confirmed it, what it was offered for, who financed it, and how that ended.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from datetime import date, datetime
from decimal import Decimal
from enum import StrEnum
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, text
from sqlalchemy.orm import Session

from core.bulk import array
from core.errors import Conflict, NotFound
from core.events import DomainEvent
from core.identity import Actor
from core.ids import new_id
from core.live.feed import announce
from core.marketplace.calendar import Calendar
from core.marketplace.clock import next_look


class State(StrEnum):
    """Where a financing stands."""

    PENDING = "pending_buyer_confirmation"
    REJECTED = "rejected"
    DISPUTED = "disputed"
    CONFIRMED = "confirmed"
    LISTED = "listed"
    PARTIALLY_FUNDED = "partially_funded"
    SETTLEMENT_PENDING = "settlement_pending"
    FUNDED = "funded"
    PART_PAID = "part_paid"
    OVERDUE = "overdue"
    DEFAULTED = "defaulted"
    REPAID = "repaid"
    WRITTEN_OFF = "written_off"
    EXPIRED = "expired"
    WITHDRAWN = "withdrawn"


# Investors may put money in.
ON_OFFER = frozenset({State.LISTED, State.PARTIALLY_FUNDED})
# The seller has the money, and the buyer owes it to the investors.
OWING = frozenset({State.FUNDED, State.PART_PAID, State.OVERDUE, State.DEFAULTED})
# Nothing comes of it any more, and the invoice may be submitted anew.
ENDED = frozenset({State.REJECTED, State.EXPIRED, State.WITHDRAWN})
# The buyer's payments go through the waterfall, now or when one of them is taken back.
SETTLED = OWING | {State.REPAID, State.WRITTEN_OFF}

# The database holds the same table (migration 0007); a test compares them.
MOVES: Mapping[State, frozenset[State]] = {
    State.PENDING: frozenset({State.CONFIRMED, State.REJECTED, State.DISPUTED, State.EXPIRED, State.WITHDRAWN}),
    State.REJECTED: frozenset(),
    State.DISPUTED: frozenset({State.CONFIRMED, State.REJECTED, State.EXPIRED, State.WITHDRAWN}),
    State.CONFIRMED: frozenset({State.LISTED, State.EXPIRED, State.WITHDRAWN}),
    State.LISTED: frozenset({State.PARTIALLY_FUNDED, State.SETTLEMENT_PENDING, State.EXPIRED, State.WITHDRAWN}),
    State.PARTIALLY_FUNDED: frozenset({State.SETTLEMENT_PENDING, State.EXPIRED, State.WITHDRAWN}),
    State.SETTLEMENT_PENDING: frozenset({State.FUNDED, State.LISTED, State.WITHDRAWN}),
    State.FUNDED: frozenset({State.PART_PAID, State.OVERDUE, State.REPAID}),
    State.PART_PAID: frozenset({State.FUNDED, State.OVERDUE, State.REPAID}),
    State.OVERDUE: frozenset({State.FUNDED, State.PART_PAID, State.DEFAULTED, State.REPAID}),
    State.DEFAULTED: frozenset({State.FUNDED, State.PART_PAID, State.OVERDUE, State.REPAID, State.WRITTEN_OFF}),
    # A payment that is taken back reopens what it had closed.
    State.REPAID: OWING,
    State.WRITTEN_OFF: frozenset({State.REPAID}),
    State.EXPIRED: frozenset(),
    State.WITHDRAWN: frozenset(),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Financing:
    """A row of `financings`, locked by whoever means to change it. Amounts in minor units, rates in per cent a year."""

    id: UUID
    invoice_id: UUID
    seller_id: UUID
    buyer_id: UUID | None
    buyer_email: str
    state: State
    version: int
    currency: str
    face: int
    confirmed_amount: int | None
    deductions: int
    due_date: date
    issue_date: date
    document: Mapping[str, Any]
    fp_e1: bytes | None
    fp_e2: bytes | None
    fp_n1: bytes | None
    fp_pair: bytes | None
    number_groups: str | None
    file_hashes: list[str]
    document_references: list[str]
    submitted_at: datetime
    confirm_by: datetime
    confirmed_at: datetime | None
    reason_code: str | None
    mode: str | None
    pricing: str | None
    haircut: Decimal | None
    rate: Decimal | None
    days: int | None
    value_date: date | None
    pay_date: date | None
    principal: int | None
    discount: int | None
    outlay: int | None
    min_slice: int | None
    fee_plan: str | None
    fee: int | None
    fee_tax: int | None
    recourse: str | None
    late_rate: Decimal | None
    listed_at: datetime | None
    closes_at: datetime | None
    placed_principal: int
    placed_outlay: int
    investors: int
    settle_on: date | None
    funded_at: datetime | None
    collected: int
    repaid_principal: int
    repaid_interest: int
    seller_reserve_paid: int
    surplus: int
    due_at: datetime | None
    created_at: datetime
    updated_at: datetime


_NAMES = tuple(field.name for field in fields(Financing))
COLUMNS = ", ".join(f"financings.{name}" for name in _NAMES)
_GENERATED = frozenset({"outlay"})
_FIXED = frozenset({"id", "invoice_id", "seller_id", "state", "version", "created_at"}) | _GENERATED
_JSON = frozenset({"document"})


def of_row(row: Any) -> Financing:
    """The financing in a row that has every column of COLUMNS."""
    values = {name: getattr(row, name) for name in _NAMES}
    return Financing(**{**values, "state": State(values["state"])})


def find(session: Session | Connection, invoice_id: UUID) -> Financing | None:
    """The newest financing of an invoice, not locked, or None."""
    row = session.execute(
        text(f"SELECT {COLUMNS} FROM financings WHERE invoice_id = :id ORDER BY id DESC LIMIT 1"), {"id": invoice_id}
    ).one_or_none()
    return None if row is None else of_row(row)


def lock(session: Session | Connection, invoice_id: UUID) -> Financing:
    """The newest financing of an invoice, locked with its invoice until the transaction ends. Raises NotFound.

    The invoice is locked first, as payments lock it: so a payment and a funding never wait for each other.
    """
    found = lock_many(session, [invoice_id]).get(invoice_id)
    if found is None:
        raise NotFound("financing of invoice", invoice_id)
    return found


def lock_many(session: Session | Connection, invoice_ids: list[UUID]) -> dict[UUID, Financing]:
    """The newest financing of each invoice that has one, by invoice, locked in the order of the invoices."""
    if not invoice_ids:
        return {}
    ids = {"ids": array(invoice_ids, "uuid")}
    session.execute(text("SELECT FROM invoices WHERE id = ANY(CAST(:ids AS uuid[])) ORDER BY id FOR UPDATE"), ids)
    rows = session.execute(
        text(
            f"SELECT {COLUMNS} FROM financings WHERE id IN (SELECT DISTINCT ON (invoice_id) id FROM financings "
            "WHERE invoice_id = ANY(CAST(:ids AS uuid[])) ORDER BY invoice_id, id DESC) ORDER BY invoice_id FOR UPDATE"
        ),
        ids,
    ).all()
    return {row.invoice_id: of_row(row) for row in rows}


def _parameter(name: str, value: object) -> object:
    return json.dumps(value) if name in _JSON else value


def change(session: Session | Connection, financing: Financing, now: datetime, **changes: Any) -> Financing:
    """Write columns of a locked financing without moving its state; return it as it is now."""
    wrong = _FIXED & changes.keys()
    if wrong:
        raise ValueError(f"{', '.join(sorted(wrong))} is not changed this way")
    sets = "".join(f", {name} = :{name}" for name in changes)
    row = session.execute(
        text(f"UPDATE financings SET updated_at = :now{sets} WHERE id = :id RETURNING {COLUMNS}"),
        {"now": now, "id": financing.id, **{name: _parameter(name, value) for name, value in changes.items()}},
    ).one()
    return of_row(row)


def move(
    session: Session | Connection,
    financing: Financing,
    to: State,
    now: datetime,
    *,
    actor: Actor | None,
    reason: str,
    transfer_id: UUID | None = None,
    event_id: UUID | None = None,
    data: Mapping[str, Any] | None = None,
    **changes: Any,
) -> Financing:
    """Move a locked financing to a state, with its other changes, its record and the news of it.

    `actor` None is the platform itself. Raises Conflict for a move that the table does not have, or when the
    financing was changed since it was read. Unless `due_at` is given the clock looks when the new state wants it,
    by a calendar without holidays: that is never too late, and the clock itself knows them.
    """
    if to not in MOVES[financing.state]:
        raise Conflict(f"an invoice whose financing is {financing.state} does not become {to}")
    if "due_at" not in changes:
        changes["due_at"] = next_look(replace(financing, state=to, updated_at=now, **changes), Calendar())
    sets = "".join(f", {name} = :{name}" for name in changes)
    row = session.execute(
        text(
            f"UPDATE financings SET state = :state, version = version + 1, updated_at = :now{sets} "
            f"WHERE id = :id AND version = :version RETURNING {COLUMNS}"
        ),
        {
            "state": to.value,
            "now": now,
            "id": financing.id,
            "version": financing.version,
            **{name: _parameter(name, value) for name, value in changes.items()},
        },
    ).one_or_none()
    if row is None:
        raise Conflict("the financing has changed meanwhile; look again")
    moved = of_row(row)
    record(
        session,
        moved,
        financing.state,
        now,
        actor=actor,
        reason=reason,
        transfer_id=transfer_id,
        event_id=event_id,
        data=data,
    )
    tell(session, moved, event_id)
    return moved


def record(
    session: Session | Connection,
    financing: Financing,
    before: State | None,
    now: datetime,
    *,
    actor: Actor | None,
    reason: str,
    transfer_id: UUID | None = None,
    event_id: UUID | None = None,
    data: Mapping[str, Any] | None = None,
) -> None:
    """Write down a move (before None: the financing is new), in its own table and in the audit log."""
    values = {
        "financing": financing.id,
        "invoice": financing.invoice_id,
        "version": financing.version,
        "before": before,
        "after": financing.state.value,
        "actor": actor.id if actor else None,
        "reason": reason,
        "transfer": transfer_id,
        "event": event_id,
        "data": json.dumps(dict(data or {}), default=str),
        "now": now,
    }
    session.execute(
        text(
            "INSERT INTO financing_moves (id, financing_id, version, before, after, actor_id, reason, transfer_id, "
            "event_id, data, at) VALUES (:id, :financing, :version, :before, :after, :actor, :reason, :transfer, "
            ":event, CAST(:data AS jsonb), :now)"
        ),
        {"id": new_id(), **values},
    )
    session.execute(
        text(
            "INSERT INTO audit_log (id, at, actor_id, action, subject_kind, subject_id, data) "
            "VALUES (:id, :now, :actor, :action, 'invoice', :invoice, CAST(:data AS jsonb))"
        ),
        {
            **values,
            "id": new_id(),
            "action": f"financing.{financing.state.value}",
            "data": json.dumps({"before": before, "reason": reason, **(data or {})}, default=str),
        },
    )


def summary(financing: Financing) -> dict[str, object]:
    """What everybody who may know of the financing may hear of it."""
    return {
        "invoice_id": str(financing.invoice_id),
        "financing_id": str(financing.id),
        "status": financing.state.value,
        "currency": financing.currency,
        "principal": financing.principal,
        "outlay": financing.outlay,
        "placed": financing.placed_outlay,
        "remaining": None if financing.outlay is None else financing.outlay - financing.placed_outlay,
        "investors": financing.investors,
    }


def parties(financing: Financing) -> list[str]:
    """The rooms of the seller and the buyer."""
    return [f"user:{person}" for person in (financing.seller_id, financing.buyer_id) if person is not None]


def tell(session: Session | Connection, financing: Financing, event_id: UUID | None = None) -> None:
    """Tell the parties, and whoever looks at the invoice, where the financing stands now."""
    number = session.execute(text("SELECT number FROM invoices WHERE id = :id"), {"id": financing.invoice_id}).scalar()
    data = {**summary(financing), "number": number}
    rooms = [*parties(financing), f"invoice:{financing.invoice_id}"]
    announce(session, [DomainEvent(room=room, name="invoice.updated", data=data) for room in rooms], event_id)


def holds_invoice(session: Session | Connection, invoice_id: UUID) -> State | None:
    """The state of the financing that keeps an invoice from being changed or taken back, or None."""
    financing = find(session, invoice_id)
    return None if financing is None or financing.state in ENDED else financing.state


def spelled(document: Mapping[str, Any]) -> str:
    """A document as the JSON its column holds."""
    return json.dumps(document, default=str)
