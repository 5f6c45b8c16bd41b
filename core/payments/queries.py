"""Reading payments, as far as the asker may see them."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.orm import Session

from core import paging
from core.errors import Invalid, NotFound
from core.identity import Actor, Role
from core.payments.merge import PaymentState

STATUSES = ("pending", "failed", "succeeded", "cancelled")

_COLUMNS = """
    payments.id, payments.user_id, payments.source, payments.connector, payments.connection_id, payments.object_id,
    payments.status, payments.amount, payments.currency, payments.refunded, payments.deducted, payments.net,
    payments.allocated, payments.invoice_references, payments.method, payments.payer_name, payments.payer_email,
    payments.bank_reference, payments.description, payments.fee, payments.failure, payments.occurred_at,
    payments.created_at, payments.trust, payments.transaction_id,
    connections.name AS connection_name, invoices.id AS invoice_id, invoices.number AS invoice_number
"""
_FROM = """
    payments LEFT JOIN connections ON connections.id = payments.connection_id
    LEFT JOIN invoices ON invoices.id = payments.invoice_id
"""


def _visible(actor: Actor) -> str:
    match actor.role:
        case Role.SELLER:
            return "payments.user_id = :actor"
        case Role.BUYER:
            return (
                "payments.invoice_id IN (SELECT id FROM invoices AS theirs WHERE theirs.buyer_id = :actor "
                "AND theirs.status <> 'draft')"
            )
        case Role.OPERATOR:
            return "true"
        case Role.INVESTOR:
            return "false"


# What concerns the seller and the gateway, and not the buyer whose invoice was paid.
_SELLERS_ONLY = ("connection", "fee", "payer_name", "payer_email", "description", "transaction_id")


def _shape(row: Any, actor: Actor) -> dict[str, Any]:
    found: dict[str, Any] = {
        "id": str(row.id),
        "source": row.source,
        "connector": row.connector,
        "connection": {"id": str(row.connection_id), "name": row.connection_name} if row.connection_id else None,
        "object_id": row.object_id,
        "status": row.status,
        "amount": row.amount,
        "currency": row.currency,
        "refunded": row.refunded,
        "deducted": row.deducted,
        "net": row.net,
        "allocated": row.allocated,
        "unapplied": row.net - row.allocated,
        "invoice": {"id": str(row.invoice_id), "number": row.invoice_number} if row.invoice_id else None,
        "method": row.method,
        "payer_name": row.payer_name,
        "payer_email": row.payer_email,
        "bank_reference": row.bank_reference,
        "description": row.description,
        "fee": row.fee,
        "failure": row.failure,
        "transaction_id": str(row.transaction_id) if row.transaction_id else None,
        "occurred_at": row.occurred_at,
        "created_at": row.created_at,
        "trust": row.trust,
        "references": [str(entry[1]) for entry in row.invoice_references],
    }
    if actor.role is Role.BUYER:
        found.update(dict.fromkeys(_SELLERS_ONLY), references=[])
    return found


def list_payments(
    session: Session,
    actor: Actor,
    *,
    limit: int = 25,
    cursor: str | None = None,
    invoice_id: UUID | None = None,
    status: str | None = None,
) -> dict[str, Any]:
    """Payments, newest first; without allocations and deliveries, which `get_payment` shows."""
    conditions = [_visible(actor)]
    values: dict[str, Any] = {"actor": actor.id, "limit": paging.check_limit(limit) + 1}
    if status:
        if status not in STATUSES:
            raise Invalid("status", f"must be one of {', '.join(STATUSES)}")
        conditions.append("payments.status = :status")
        values["status"] = status
    if invoice_id is not None:
        conditions.append("payments.invoice_id = :invoice")
        values["invoice"] = invoice_id
    # An operator reads over all users, where only the order of arrival has an index.
    by_moment = None if actor.is_operator and invoice_id is None else "occurred_at"
    if by_moment and (moment := paging.after_moment(cursor)) is not None:
        conditions.append("(payments.occurred_at, payments.id) < (:moment, :after)")
        values["moment"], values["after"] = moment
    if not by_moment and (after := paging.after_id(cursor)) is not None:
        conditions.append("payments.id < :after")
        values["after"] = after
    order = "payments.occurred_at DESC, payments.id DESC" if by_moment else "payments.id DESC"
    rows = session.execute(
        text(f"SELECT {_COLUMNS} FROM {_FROM} WHERE {' AND '.join(conditions)} ORDER BY {order} LIMIT :limit"), values
    ).all()
    return paging.page(rows, limit, lambda row: _shape(row, actor), by_moment=by_moment)


def get_payment(session: Session, actor: Actor, payment_id: UUID) -> dict[str, Any]:
    """A payment with what it pays and the deliveries that told of it. Raises NotFound."""
    row = session.execute(
        text(f"SELECT {_COLUMNS} FROM {_FROM} WHERE payments.id = :id AND {_visible(actor)}"),
        {"id": payment_id, "actor": actor.id},
    ).one_or_none()
    if row is None:
        raise NotFound("payment", payment_id)
    found = _shape(row, actor)
    found["allocations"] = [
        {
            "invoice": {"id": str(entry.invoice_id), "number": entry.number},
            "amount": entry.amount,
            "reason": entry.reason,
            "created_at": entry.created_at,
        }
        for entry in session.execute(
            text(
                "SELECT allocations.amount, allocations.reason, allocations.created_at, allocations.invoice_id, "
                "invoices.number FROM allocations JOIN invoices ON invoices.id = allocations.invoice_id "
                "WHERE allocations.payment_id = :id AND (:all OR invoices.buyer_id = :actor) ORDER BY allocations.id"
            ),
            {"id": payment_id, "actor": actor.id, "all": actor.role is not Role.BUYER},
        )
    ]
    found["deliveries"] = [] if actor.role is Role.BUYER else deliveries_of(session, payment_id)
    return found


def deliveries_of(session: Session, object_id: UUID) -> list[dict[str, Any]]:
    """The deliveries that said something about one of our objects, newest first, at most 50."""
    rows = session.execute(
        text(
            "SELECT events.delivery_id, events.id, events.name, events.received_at FROM event_effects "
            "JOIN events ON events.id = event_effects.event_id "
            "WHERE event_effects.object_id = :id ORDER BY event_effects.event_id DESC LIMIT 50"
        ),
        {"id": object_id},
    )
    return [
        {
            "delivery_id": str(row.delivery_id),
            "event_id": str(row.id),
            "name": row.name,
            "received_at": row.received_at,
        }
        for row in rows
    ]


def looks_like(session: Session, state: PaymentState) -> str | None:
    """The id of another payment of the same customer, amount, day and reference; the newest, or None."""
    found = session.scalar(
        text(
            "SELECT id FROM payments WHERE contact_id = :contact AND user_id = :user AND id <> :id "
            "AND amount = :amount AND currency = :currency AND status <> 'cancelled' "
            "AND lower(coalesce(bank_reference, '')) = lower(:reference) "
            "AND (occurred_at AT TIME ZONE 'UTC')::date = :day ORDER BY id DESC LIMIT 1"
        ),
        {
            "contact": state.contact_id,
            "user": state.user_id,
            "id": state.id,
            "amount": state.amount,
            "currency": state.currency,
            "reference": state.bank_reference or "",
            "day": state.occurred_at.date(),
        },
    )
    return None if found is None else str(found)
