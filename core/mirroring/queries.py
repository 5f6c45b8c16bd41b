"""Reading mirrored invoices, as far as the asker may see them."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.orm import Session

from core import paging
from core.errors import Invalid, NotFound
from core.events import MirroredStatus
from core.identity import Actor, Role
from core.payments.queries import deliveries_of

STATUSES = tuple(status.value for status in MirroredStatus)

_SELECT = """
    SELECT mirrored_invoices.id, mirrored_invoices.connection_id, shown.status,
           mirrored_invoices.direction, mirrored_invoices.kind, mirrored_invoices.number, mirrored_invoices.total,
           shown.due, mirrored_invoices.currency, mirrored_invoices.issued_on, mirrored_invoices.due_on,
           mirrored_invoices.contact_name, mirrored_invoices.contact_email, mirrored_invoices.url,
           mirrored_invoices.trust, mirrored_invoices.updated_at,
           connections.name AS connection_name, connections.connector
    FROM mirrored_invoices
    LEFT JOIN connections ON connections.id = mirrored_invoices.connection_id
    LEFT JOIN mirrored_invoices_gone AS gone
        ON gone.id = mirrored_invoices.id AND gone.version >= mirrored_invoices.version
    CROSS JOIN LATERAL (
        SELECT CASE WHEN gone.id IS NULL THEN mirrored_invoices.status ELSE 'void' END AS status,
               CASE WHEN gone.id IS NULL THEN mirrored_invoices.due ELSE 0 END AS due
    ) AS shown
"""


def _visible(actor: Actor) -> str:
    match actor.role:
        case Role.SELLER | Role.BUYER | Role.INVESTOR:
            return "mirrored_invoices.user_id = :actor"
        case Role.OPERATOR:
            return "true"


def _shape(row: Any) -> dict[str, Any]:
    return {
        "id": str(row.id),
        "status": row.status,
        "direction": row.direction,
        "kind": row.kind,
        "number": row.number,
        "total": row.total,
        "due": row.due,
        "currency": row.currency,
        "issued_on": row.issued_on,
        "due_on": row.due_on,
        "contact": {"name": row.contact_name, "email": row.contact_email},
        "url": row.url,
        "connection": {"id": str(row.connection_id), "name": row.connection_name, "connector": row.connector},
        "trust": row.trust,
        "updated_at": row.updated_at,
    }


def list_mirrored(
    session: Session,
    actor: Actor,
    *,
    limit: int = 25,
    cursor: str | None = None,
    connection_id: UUID | None = None,
    status: str | None = None,
) -> dict[str, Any]:
    """Invoices elsewhere, newest to us first. Raises Invalid."""
    conditions = [_visible(actor)]
    values: dict[str, Any] = {"actor": actor.id, "limit": paging.check_limit(limit) + 1}
    if connection_id is not None:
        conditions.append("mirrored_invoices.connection_id = :connection")
        values["connection"] = connection_id
    if status:
        if status not in STATUSES:
            raise Invalid("status", f"must be one of {', '.join(STATUSES)}")
        conditions.append("shown.status = :status")
        values["status"] = status
    if (after := paging.after_id(cursor)) is not None:
        conditions.append("mirrored_invoices.id < :after")
        values["after"] = after
    where = " AND ".join(conditions)
    rows = session.execute(
        text(f"{_SELECT} WHERE {where} ORDER BY mirrored_invoices.id DESC LIMIT :limit"), values
    ).all()
    return paging.page(rows, limit, _shape)


def get_mirrored(session: Session, actor: Actor, mirrored_invoice_id: UUID) -> dict[str, Any]:
    """One of them, with the deliveries that told of it. Raises NotFound."""
    row = session.execute(
        text(f"{_SELECT} WHERE mirrored_invoices.id = :id AND {_visible(actor)}"),
        {"id": mirrored_invoice_id, "actor": actor.id},
    ).one_or_none()
    if row is None:
        raise NotFound("mirrored invoice", mirrored_invoice_id)
    return {**_shape(row), "deliveries": deliveries_of(session, mirrored_invoice_id)}
