"""Reading credit notes, as far as the asker may see them."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.orm import Session

from core import paging
from core.errors import Invalid, NotFound
from core.identity import Actor, Role
from core.invoicing import lines

STATUSES = ("issued", "void")
_COLUMNS = """
    notes.id, notes.number, notes.status, notes.currency, notes.issue_date, notes.reason, notes.notes,
    notes.payment_id, notes.subtotal, notes.discount, notes.tax, notes.rounding, notes.total, notes.version,
    notes.created_at, notes.voided_at, notes.tax_regime, notes.supplier_gstin, notes.buyer_gstin,
    notes.supplier_state, notes.place_of_supply, notes.reverse_charge, notes.cgst, notes.sgst, notes.igst,
    notes.series, notes.invoice_id, invoices.number AS invoice_number, invoices.issue_date AS invoiced_on,
    invoices.buyer_id, invoices.supplier, invoices.customer,
    contacts.id AS contact_id, contacts.name AS contact_name, contacts.email AS contact_email,
    users.id AS seller_id, users.name AS seller_name, users.organisation AS seller_organisation,
    payments.net AS credit_net, payments.allocated AS credit_allocated
"""
_FROM = """
    credit_notes AS notes JOIN invoices ON invoices.id = notes.invoice_id
    JOIN contacts ON contacts.id = notes.contact_id JOIN users ON users.id = notes.seller_id
    LEFT JOIN payments ON payments.id = notes.payment_id
"""


def _visible(actor: Actor) -> str:
    match actor.role:
        case Role.SELLER:
            return "notes.seller_id = :actor"
        case Role.BUYER:
            return "invoices.buyer_id = :actor"
        case Role.OPERATOR:
            return "true"
        case Role.INVESTOR:
            return "false"


def _shape(row: Any) -> dict[str, Any]:
    return {
        "id": str(row.id),
        "number": row.number,
        "status": row.status,
        "currency": row.currency,
        "issue_date": row.issue_date,
        "reason": row.reason,
        "invoice": {"id": str(row.invoice_id), "number": row.invoice_number, "issue_date": row.invoiced_on},
        "contact": {"id": str(row.contact_id), "name": row.contact_name, "email": row.contact_email},
        "seller": {"id": str(row.seller_id), "name": row.seller_name, "organisation": row.seller_organisation},
        "subtotal": row.subtotal,
        "discount": row.discount,
        "tax": row.tax,
        "rounding": row.rounding,
        "total": row.total,
        # What of the credit pays invoices now, and what is left of it.
        "applied": row.credit_allocated or 0,
        "unapplied": (row.credit_net or 0) - (row.credit_allocated or 0),
        "payment_id": str(row.payment_id) if row.payment_id else None,
        "version": row.version,
        "created_at": row.created_at,
        "voided_at": row.voided_at,
    }


def list_credit_notes(
    session: Session,
    actor: Actor,
    *,
    limit: int = 25,
    cursor: str | None = None,
    status: str | None = None,
    invoice_id: UUID | None = None,
    contact_id: UUID | None = None,
    search: str | None = None,
) -> dict[str, Any]:
    """Credit notes of the actor, newest first; `search` looks in the numbers and the customer's name."""
    conditions = [_visible(actor)]
    values: dict[str, Any] = {"actor": actor.id, "limit": paging.check_limit(limit) + 1}
    if status:
        if status not in STATUSES:
            raise Invalid("status", f"must be one of {', '.join(STATUSES)}")
        conditions.append("notes.status = :status")
        values["status"] = status
    for name, wanted in (("invoice_id", invoice_id), ("contact_id", contact_id)):
        if wanted is not None:
            conditions.append(f"notes.{name} = :{name}")
            values[name] = wanted
    if search:
        conditions.append(
            "(notes.number ILIKE :search OR invoices.number ILIKE :search OR contacts.name ILIKE :search)"
        )
        values["search"] = paging.contains(search)
    if (after := paging.after_id(cursor)) is not None:
        conditions.append("notes.id < :after")
        values["after"] = after
    rows = session.execute(
        text(f"SELECT {_COLUMNS} FROM {_FROM} WHERE {' AND '.join(conditions)} ORDER BY notes.id DESC LIMIT :limit"),
        values,
    ).all()
    return paging.page(rows, limit, _shape)


def get_credit_note(session: Session, actor: Actor, note_id: UUID) -> dict[str, Any]:
    """A credit note with its lines and both sides as they stand on its invoice. Raises NotFound."""
    row = session.execute(
        text(f"SELECT {_COLUMNS} FROM {_FROM} WHERE notes.id = :id AND {_visible(actor)}"),
        {"id": note_id, "actor": actor.id},
    ).one_or_none()
    if row is None:
        raise NotFound("credit note", note_id)
    return {
        **_shape(row),
        "notes": row.notes,
        "series": row.series,
        "supplier": row.supplier,
        "customer": row.customer,
        **{
            name: getattr(row, name)
            for name in (
                "tax_regime", "supplier_gstin", "buyer_gstin", "supplier_state", "place_of_supply", "reverse_charge",
                "cgst", "sgst", "igst",
            )
        },
        **lines.read(session, "credit_note", note_id),
    }  # fmt: skip


def left_of(session: Session, invoice_id: UUID, total: int) -> int:
    """What of an invoice over `total` minor units was not credited yet."""
    credited = session.scalar(
        text("SELECT coalesce(sum(total), 0)::bigint FROM credit_notes WHERE invoice_id = :id AND status = 'issued'"),
        {"id": invoice_id},
    )
    return total - int(credited or 0)
