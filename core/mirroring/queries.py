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

# How a list is narrowed by what it says of links. Only sales can be linked, so only they are without one.
LINKS = {
    "linked": "links.id IS NOT NULL",
    "unlinked": "links.id IS NULL AND mirrored_invoices.direction = 'sales' AND mirrored_invoices.kind = 'invoice'",
    "differs": "links.state = 'differs'",
    "conflict": "links.state = 'conflict'",
}

_SELECT = """
    SELECT mirrored_invoices.id, mirrored_invoices.connection_id, shown.status,
           mirrored_invoices.direction, mirrored_invoices.kind, mirrored_invoices.number, mirrored_invoices.total,
           shown.due, mirrored_invoices.currency, mirrored_invoices.issued_on, mirrored_invoices.due_on,
           mirrored_invoices.contact_name, mirrored_invoices.contact_email, mirrored_invoices.url,
           mirrored_invoices.trust, mirrored_invoices.updated_at,
           connections.name AS connection_name, connections.connector,
           links.invoice_id, links.state AS link_state, links.made_by, ours.number AS our_number
    FROM mirrored_invoices
    LEFT JOIN connections ON connections.id = mirrored_invoices.connection_id
    LEFT JOIN mirror_links AS links ON links.mirrored_id = mirrored_invoices.id
    LEFT JOIN invoices AS ours ON ours.id = links.invoice_id
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
        "link": None
        if row.invoice_id is None
        else {
            "invoice_id": str(row.invoice_id),
            "number": row.our_number,
            "state": row.link_state,
            "by_hand": row.made_by is not None,
        },
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
    link: str | None = None,
) -> dict[str, Any]:
    """Invoices elsewhere, newest to us first; `link` is one of LINKS. Raises Invalid."""
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
    if link:
        if link not in LINKS:
            raise Invalid("link", f"must be one of {', '.join(LINKS)}")
        conditions.append(LINKS[link])
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
    found = {**_shape(row), "deliveries": deliveries_of(session, mirrored_invoice_id), "differences": []}
    if row.invoice_id is not None:
        found["differences"] = differences(session, mirrored_invoice_id)
    return found


def differences(session: Session, mirrored_invoice_id: UUID) -> list[dict[str, Any]]:
    """Where a linked invoice differs from ours, field by field; `moved` is who changed since both agreed."""
    rows = session.execute(
        text(
            "SELECT field, moved, ours, theirs, since FROM mirror_differences "
            "JOIN mirror_links ON mirror_links.id = link_id WHERE mirrored_id = :id ORDER BY field"
        ),
        {"id": mirrored_invoice_id},
    )
    return [row._asdict() for row in rows]


def of_invoice(session: Session, actor: Actor, invoice_id: UUID) -> list[dict[str, Any]]:
    """What other books say of one's own invoice: those that have it, and those that are written to and have not.

    Each with the last wish to write there: its state, attempts, and why it failed, in words.
    """
    rows = session.execute(
        text(
            "SELECT connections.id AS connection_id, connections.name AS connection_name, connections.connector, "
            "connections.write_since IS NOT NULL AND connections.deleted_at IS NULL AS writes, links.mirrored_id, "
            "links.state, push.kind AS push_kind, push.state AS push_state, push.attempts, push.error, push.due_at, "
            "push.updated_at AS push_at FROM connections "
            "LEFT JOIN mirror_links AS links ON links.connection_id = connections.id AND links.invoice_id = :invoice "
            "LEFT JOIN LATERAL (SELECT * FROM mirror_pushes WHERE invoice_id = :invoice "
            "AND mirror_pushes.connection_id = connections.id ORDER BY id DESC LIMIT 1) AS push ON true "
            "WHERE connections.user_id = (SELECT seller_id FROM invoices WHERE id = :invoice) "
            "AND (connections.user_id = :actor OR :operator) AND (links.id IS NOT NULL OR push.id IS NOT NULL "
            "OR (connections.write_since IS NOT NULL AND connections.deleted_at IS NULL)) ORDER BY connections.id"
        ),
        {"invoice": invoice_id, "actor": actor.id, "operator": actor.is_operator},
    ).all()
    return [
        {
            "connection": {"id": str(row.connection_id), "name": row.connection_name, "connector": row.connector},
            "writes": row.writes,
            "mirrored": None if row.mirrored_id is None else get_mirrored(session, actor, row.mirrored_id),
            "push": None
            if row.push_kind is None
            else {
                "kind": row.push_kind,
                "state": row.push_state,
                "attempts": row.attempts,
                "error": row.error,
                "due_at": row.due_at,
                "at": row.push_at,
            },
        }
        for row in rows
    ]
