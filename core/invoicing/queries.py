"""Reading invoices, as far as the asker may see them."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.orm import Session

from core import paging
from core.errors import Invalid, NotFound
from core.identity import Actor, Role

STATUSES = ("draft", "open", "partial", "paid", "void")
# What people ask for that is not one state: what still has money coming, and what is late.
_GROUPS = {
    "unpaid": "invoices.status IN ('open', 'partial')",
    "overdue": "invoices.status IN ('open', 'partial') AND invoices.due_date < (now() AT TIME ZONE 'UTC')::date",
}
FILTERS = (*STATUSES, *_GROUPS)

_COLUMNS = """
    invoices.id, invoices.number, invoices.status, invoices.currency, invoices.buyer_id, invoices.issue_date,
    invoices.due_date, invoices.subtotal, invoices.tax, invoices.total, invoices.amount_paid, invoices.amount_due,
    invoices.notes, invoices.payment_terms, invoices.version, invoices.created_at, invoices.updated_at,
    invoices.status IN ('open', 'partial') AND invoices.due_date < (now() AT TIME ZONE 'UTC')::date AS overdue,
    contacts.id AS contact_id, contacts.name AS contact_name, contacts.email AS contact_email,
    users.id AS seller_id, users.name AS seller_name, users.organisation AS seller_organisation
"""
_FROM = """
    invoices JOIN contacts ON contacts.id = invoices.contact_id JOIN users ON users.id = invoices.seller_id
"""


def visible(actor: Actor) -> str:
    """The condition under which an invoice is the actor's to see. It uses the parameter :actor."""
    match actor.role:
        case Role.SELLER:
            return "invoices.seller_id = :actor"
        case Role.BUYER:
            # A draft is not yet said to anybody.
            return "invoices.buyer_id = :actor AND invoices.status <> 'draft'"
        case Role.OPERATOR:
            return "true"
        case Role.INVESTOR:
            return "false"


def shape(row: Any) -> dict[str, Any]:
    """An invoice row as a list shows it."""
    return {
        "id": str(row.id),
        "number": row.number,
        "status": row.status,
        "currency": row.currency,
        "contact": {"id": str(row.contact_id), "name": row.contact_name, "email": row.contact_email},
        "seller": {
            "id": str(row.seller_id),
            "name": row.seller_name,
            "organisation": row.seller_organisation,
        },
        "buyer_id": str(row.buyer_id) if row.buyer_id else None,
        "issue_date": row.issue_date,
        "due_date": row.due_date,
        "overdue": row.overdue,
        "subtotal": row.subtotal,
        "tax": row.tax,
        "total": row.total,
        "amount_paid": row.amount_paid,
        "amount_due": row.amount_due,
        "notes": row.notes,
        "payment_terms": row.payment_terms,
        "version": row.version,
        "created_at": row.created_at,
        "updated_at": row.updated_at,
    }


def list_invoices(
    session: Session,
    actor: Actor,
    *,
    limit: int = 25,
    cursor: str | None = None,
    status: str | None = None,
    search: str | None = None,
) -> dict[str, Any]:
    """Invoices, newest first. `status` is a state, or unpaid or overdue; `search` looks in number and contact."""
    conditions = [visible(actor)]
    values: dict[str, Any] = {"actor": actor.id, "limit": paging.check_limit(limit) + 1}
    if status:
        if status not in FILTERS:
            raise Invalid("status", f"must be one of {', '.join(FILTERS)}")
        conditions.append(_GROUPS.get(status, "invoices.status = :status"))
        values["status"] = status
    if search:
        conditions.append(
            "(invoices.number ILIKE :search OR contacts.name ILIKE :search OR contacts.email ILIKE :search)"
        )
        values["search"] = paging.contains(search)
    if (after := paging.after_id(cursor)) is not None:
        conditions.append("invoices.id < :after")
        values["after"] = after
    rows = session.execute(
        text(f"SELECT {_COLUMNS} FROM {_FROM} WHERE {' AND '.join(conditions)} ORDER BY invoices.id DESC LIMIT :limit"),
        values,
    ).all()
    return paging.page(rows, limit, shape)


def get_invoice(session: Session, actor: Actor, invoice_id: UUID) -> dict[str, Any]:
    """An invoice with its lines, the payments towards it and its history. Raises NotFound."""
    row = session.execute(
        text(f"SELECT {_COLUMNS} FROM {_FROM} WHERE invoices.id = :id AND {visible(actor)}"),
        {"id": invoice_id, "actor": actor.id},
    ).one_or_none()
    if row is None:
        raise NotFound("invoice", invoice_id)
    found = shape(row)
    items = session.execute(
        text(
            "SELECT description, quantity, unit_price, tax_rate, net, tax FROM invoice_items "
            "WHERE invoice_id = :id ORDER BY position"
        ),
        {"id": invoice_id},
    )
    found["items"] = [
        {**item._asdict(), "quantity": _plain(item.quantity), "tax_rate": _plain(item.tax_rate)} for item in items
    ]
    allocated = _allocations(session, invoice_id)
    found["payments"] = _payments(allocated)
    found["history"] = _history(session, invoice_id, found, allocated)
    return found


def _plain(value: Any) -> str:
    """A decimal without trailing zeros and without an exponent."""
    spelled = format(value, "f")
    return spelled.rstrip("0").rstrip(".") if "." in spelled else spelled


def _allocations(session: Session, invoice_id: UUID) -> list[Any]:
    return list(
        session.execute(
            text(
                "SELECT allocations.id, allocations.payment_id, allocations.amount, allocations.currency, "
                "allocations.reason, allocations.created_at, payments.status, payments.source, payments.method, "
                "payments.amount AS payment_amount, payments.occurred_at, payments.bank_reference "
                "FROM allocations JOIN payments ON payments.id = allocations.payment_id "
                "WHERE allocations.invoice_id = :id ORDER BY allocations.id"
            ),
            {"id": invoice_id},
        )
    )


def _payments(allocated: list[Any]) -> list[dict[str, Any]]:
    """One entry a payment: what of it pays this invoice now."""
    found: dict[UUID, dict[str, Any]] = {}
    for row in allocated:
        entry = found.setdefault(
            row.payment_id,
            {
                "id": str(row.payment_id),
                "status": row.status,
                "source": row.source,
                "method": row.method,
                "amount": row.payment_amount,
                "allocated": 0,
                "currency": row.currency,
                "bank_reference": row.bank_reference,
                "occurred_at": row.occurred_at,
            },
        )
        entry["allocated"] += row.amount
    return sorted(found.values(), key=lambda entry: (entry["occurred_at"], entry["id"]), reverse=True)


def _history(session: Session, invoice_id: UUID, invoice: dict[str, Any], allocated: list[Any]) -> list[dict[str, Any]]:
    """What happened, newest first: what people did, and every movement of money."""
    entries: list[dict[str, Any]] = [
        {
            "at": row.at,
            "kind": row.action,
            "actor": row.name,
            "amount": None,
            "currency": None,
            "payment_id": None,
            "reason": None,
        }
        for row in session.execute(
            text(
                "SELECT audit_log.at, audit_log.action, users.name FROM audit_log "
                "LEFT JOIN users ON users.id = audit_log.actor_id "
                "WHERE audit_log.subject_id = :id AND audit_log.subject_kind = 'invoice' "
                "ORDER BY audit_log.id DESC LIMIT 200"
            ),
            {"id": invoice_id},
        )
    ]
    if not any(entry["kind"] == "invoice.created" for entry in entries):
        entries.append(
            {
                "at": invoice["created_at"],
                "kind": "invoice.created",
                "actor": invoice["seller"]["name"],
                "amount": None,
                "currency": None,
                "payment_id": None,
                "reason": None,
            }
        )
    entries += [
        {
            "at": row.created_at,
            "kind": "payment.allocated" if row.amount > 0 else "payment.released",
            "actor": None,
            "amount": row.amount,
            "currency": row.currency,
            "payment_id": str(row.payment_id),
            "reason": row.reason,
        }
        for row in allocated
    ]
    return sorted(entries, key=lambda entry: entry["at"], reverse=True)
