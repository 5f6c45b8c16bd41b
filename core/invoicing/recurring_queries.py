"""Reading recurring invoices: their sellers' own, and for operators everybody's."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.orm import Session

from core import paging
from core.errors import Invalid, NotFound
from core.identity import Actor, Role
from core.invoicing.schedule import Schedule

AHEAD = 6
STATES = ("active", "paused", "ended")
_STATE = (
    "CASE WHEN recurring.next_on IS NULL THEN 'ended' WHEN recurring.paused_at IS NOT NULL THEN 'paused' "
    "ELSE 'active' END"
)
_READ = (
    f"SELECT recurring.*, {_STATE} AS state, contacts.name AS contact_name, contacts.email AS contact_email, "
    "contacts.payment_days AS contact_days FROM recurring_invoices AS recurring "
    "JOIN contacts ON contacts.id = recurring.contact_id"
)


def _visible(actor: Actor) -> str:
    match actor.role:
        case Role.SELLER:
            return "recurring.seller_id = :actor"
        case Role.OPERATOR:
            return "true"
        case Role.BUYER | Role.INVESTOR:
            return "false"


def _shape(row: Any) -> dict[str, Any]:
    return {
        "id": str(row.id),
        "name": row.name,
        "state": row.state,
        "contact": {"id": str(row.contact_id), "name": row.contact_name, "email": row.contact_email},
        "currency": row.currency,
        # What one came to when it was written; its taxes are computed anew each time.
        "total": row.template["total"],
        "frequency": row.frequency,
        "every": row.every,
        "starts_on": row.starts_on,
        "ends_on": row.ends_on,
        "most_runs": row.most_runs,
        "next_on": row.next_on,
        "runs": row.runs,
        "payment_days": row.payment_days,
        "auto_issue": row.auto_issue,
        "auto_send": row.auto_send,
        "paused_at": row.paused_at,
        "trouble": row.trouble,
        "ended_at": row.ended_at,
        "version": row.version,
        "created_at": row.created_at,
        "updated_at": row.updated_at,
    }


def list_recurring(
    session: Session, actor: Actor, *, limit: int = 25, cursor: str | None = None, state: str | None = None
) -> dict[str, Any]:
    """Recurring invoices, newest first."""
    conditions = [_visible(actor)]
    values: dict[str, Any] = {"actor": actor.id, "limit": paging.check_limit(limit) + 1}
    if state:
        if state not in STATES:
            raise Invalid("state", f"must be one of {', '.join(STATES)}")
        conditions.append(f"{_STATE} = :state")
        values["state"] = state
    if (after := paging.after_id(cursor)) is not None:
        conditions.append("recurring.id < :after")
        values["after"] = after
    rows = session.execute(
        text(f"{_READ} WHERE {' AND '.join(conditions)} ORDER BY recurring.id DESC LIMIT :limit"), values
    ).all()
    return paging.page(rows, limit, _shape)


def get_recurring(session: Session, actor: Actor, recurring_id: UUID) -> dict[str, Any]:
    """A recurring invoice with its lines, its next days and what it made lately. Raises NotFound."""
    row = session.execute(
        text(f"{_READ} WHERE recurring.id = :id AND {_visible(actor)}"), {"id": recurring_id, "actor": actor.id}
    ).one_or_none()
    if row is None:
        raise NotFound("recurring invoice", recurring_id)
    schedule = Schedule(
        frequency=row.frequency,
        every=row.every,
        starts_on=row.starts_on,
        ends_on=row.ends_on,
        most_runs=row.most_runs,
    )
    made = session.execute(
        text(
            "SELECT runs.occurs_on, runs.made_at, invoices.id, invoices.number, invoices.status, invoices.total, "
            "invoices.currency FROM recurring_runs AS runs LEFT JOIN invoices ON invoices.id = runs.invoice_id "
            "WHERE runs.recurring_id = :id ORDER BY runs.occurs_on DESC LIMIT 50"
        ),
        {"id": recurring_id},
    )
    words = {name: value for name, value in row.template.items() if name not in {"total", "items"}}
    return {
        **_shape(row),
        **words,
        "items": row.template["items"],
        "ahead": [] if row.next_on is None else list(schedule.ahead(row.occurrence, row.runs, AHEAD)),
        "made": [
            {
                "on": one.occurs_on,
                "made_at": one.made_at,
                # None: it was a draft that was deleted.
                "invoice": None
                if one.id is None
                else {
                    "id": str(one.id),
                    "number": one.number,
                    "status": one.status,
                    "total": one.total,
                    "currency": one.currency,
                },
            }
            for one in made
        ],
    }
