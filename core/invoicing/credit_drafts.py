"""Credit notes that are not issued: what a seller filled in, to be changed, thrown away or issued.

A draft has no number and credits nothing, so that numbers have no gaps and nobody but its seller hears of it. It is
checked as it is written and again as it is issued: what is left of the invoice may be less by then.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from datetime import date, datetime
from decimal import Decimal
from typing import Any, Final
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.orm import Session

from core import audit
from core.edits import check_version
from core.errors import Conflict, Forbidden, NotFound
from core.events import DomainEvent
from core.identity import Actor, Role
from core.ids import new_id
from core.invoicing import activity, credit_notes
from core.invoicing.credit_notes import NewCreditNote
from core.invoicing.totals import NewItem
from core.live import announce
from core.marketplace.calendar import Calendar

# Drafts are work in hand, not an archive.
MOST_DRAFTS: Final = 100
_KIND: Final = "credit_note_draft"
_COLUMNS = """
    drafts.id, drafts.seller_id, drafts.invoice_id, drafts.given, drafts.total, drafts.version, drafts.created_at,
    drafts.updated_at, invoices.number AS invoice_number, invoices.currency, contacts.name AS customer
    FROM credit_note_drafts AS drafts JOIN invoices ON invoices.id = drafts.invoice_id
    JOIN contacts ON contacts.id = invoices.contact_id
"""


def make(session: Session, actor: Actor, new: NewCreditNote, now: datetime) -> dict[str, Any]:
    """Keep what was filled in. Raises as `credit_notes.create` does, and Conflict above MOST_DRAFTS."""
    *_, total = credit_notes.priced(session, actor, new, now)
    # Two requests at once take turns, so that they do not both find room.
    session.execute(text("SELECT FROM users WHERE id = :id FOR NO KEY UPDATE"), {"id": actor.id})
    count = session.scalar(
        text("SELECT count(*) FROM credit_note_drafts WHERE seller_id = :seller"), {"seller": actor.id}
    )
    if count is not None and count >= MOST_DRAFTS:
        raise Conflict(f"{MOST_DRAFTS} drafts of credit notes are kept; issue or delete one of them first")
    identity = new_id()
    session.execute(
        text(
            "INSERT INTO credit_note_drafts (id, seller_id, invoice_id, given, total, created_at, updated_at) "
            "VALUES (:id, :seller, :invoice, CAST(:given AS jsonb), :total, :now, :now)"
        ),
        {
            "id": identity,
            "seller": actor.id,
            "invoice": new.invoice_id,
            "given": json.dumps(_given(new)),
            "total": total,
            "now": now,
        },
    )
    _tell(session, actor.id, identity, new.invoice_id, 1)
    return get(session, actor, identity)


def update(
    session: Session, actor: Actor, draft_id: UUID, new: NewCreditNote, now: datetime, *, expected_version: int | None
) -> dict[str, Any]:
    """Replace what was filled in; its invoice stays. Writing what is there changes nothing.

    With `expected_version` somebody else's change in between is a StaleEdit. Raises as `make` does.
    """
    row = _lock(session, actor, draft_id, expected_version)
    before, after = row.given, _given(new)
    different = {name: [activity.bounded(before[name]), activity.bounded(after[name])]
                 for name in after if before[name] != after[name]}  # fmt: skip
    if new.invoice_id != row.invoice_id:
        raise Conflict("a draft stays with its invoice; make another one for that invoice")
    if not different:
        return get(session, actor, draft_id)
    *_, total = credit_notes.priced(session, actor, new, now)
    session.execute(
        text(
            "UPDATE credit_note_drafts SET given = CAST(:given AS jsonb), total = :total, version = version + 1, "
            "updated_at = :now WHERE id = :id"
        ),
        {"given": json.dumps(after), "total": total, "now": now, "id": draft_id},
    )
    told: dict[str, object] = {"changes": different, "version": row.version + 1}
    audit.record(session, actor, "credit_note_draft.updated", _KIND, draft_id, told, now)
    _tell(session, actor.id, draft_id, row.invoice_id, row.version + 1)
    return get(session, actor, draft_id)


def delete(session: Session, actor: Actor, draft_id: UUID) -> None:
    """Throw a draft away. Raises NotFound or Forbidden."""
    row = _lock(session, actor, draft_id, None)
    session.execute(text("DELETE FROM credit_note_drafts WHERE id = :id"), {"id": draft_id})
    _tell(session, actor.id, draft_id, row.invoice_id, None)


def issue(
    session: Session,
    actor: Actor,
    draft_id: UUID,
    now: datetime,
    *,
    expected_version: int | None = None,
    calendar: Calendar | None = None,
) -> dict[str, Any]:
    """Make the credit note of a draft, which is gone with it. Raises as `credit_notes.create` does, and StaleEdit."""
    row = _lock(session, actor, draft_id, expected_version)
    made = credit_notes.create(session, actor, new_of(row.invoice_id, row.given), now, calendar=calendar)
    session.execute(text("DELETE FROM credit_note_drafts WHERE id = :id"), {"id": draft_id})
    _tell(session, actor.id, draft_id, row.invoice_id, None)
    return made


def get(session: Session, actor: Actor, draft_id: UUID) -> dict[str, Any]:
    """A draft with what was filled in. Raises NotFound."""
    row = session.execute(
        text(f"SELECT {_COLUMNS} WHERE drafts.id = :id AND (drafts.seller_id = :actor OR :all)"),
        {"id": draft_id, "actor": actor.id, "all": actor.is_operator},
    ).one_or_none()
    if row is None:
        raise NotFound("draft", draft_id)
    return _shape(row)


def drafts(session: Session, actor: Actor) -> list[dict[str, Any]]:
    """The drafts of a seller, newest first; for everybody else none."""
    rows = session.execute(
        text(f"SELECT {_COLUMNS} WHERE drafts.seller_id = :actor ORDER BY drafts.id DESC LIMIT :most"),
        {"actor": actor.id, "most": MOST_DRAFTS},
    )
    return [_shape(row) for row in rows]


def new_of(invoice_id: UUID, given: Mapping[str, Any]) -> NewCreditNote:
    """What was filled in, as `credit_notes.create` takes it."""
    items = given["items"]
    rates = ("quantity", "discount_rate", "tax_rate")
    return NewCreditNote(
        invoice_id=invoice_id,
        reason=given["reason"],
        issue_date=date.fromisoformat(given["issue_date"]),
        items=None
        if items is None
        else [NewItem(**{**one, **{name: Decimal(one[name]) for name in rates}}) for one in items],
        notes=given["notes"],
        series=given["series"],
    )


def _given(new: NewCreditNote) -> dict[str, Any]:
    items = None if new.items is None else [
        {name: str(value) if isinstance(value, Decimal) else value for name, value in asdict(item).items()}
        for item in new.items
    ]  # fmt: skip
    return {
        "reason": new.reason.strip(),
        "issue_date": new.issue_date.isoformat(),
        "items": items,
        "notes": new.notes.strip(),
        "series": new.series,
    }


def _lock(session: Session, actor: Actor, draft_id: UUID, expected_version: int | None) -> Any:
    row = session.execute(
        text("SELECT * FROM credit_note_drafts WHERE id = :id AND (seller_id = :actor OR :all) FOR UPDATE"),
        {"id": draft_id, "actor": actor.id, "all": actor.is_operator},
    ).one_or_none()
    if row is None:
        raise NotFound("draft", draft_id)
    if actor.role is not Role.SELLER:
        raise Forbidden("only its seller changes a draft")
    check_version(session, _KIND, draft_id, expected=expected_version, actual=row.version)
    return row


def _shape(row: Any) -> dict[str, Any]:
    return {
        "id": str(row.id),
        "invoice": {"id": str(row.invoice_id), "number": row.invoice_number},
        "customer": row.customer,
        "currency": row.currency,
        "total": row.total,
        "version": row.version,
        "created_at": row.created_at,
        "updated_at": row.updated_at,
        **row.given,
    }


def _tell(session: Session, seller_id: UUID, draft_id: UUID, invoice_id: UUID, version: int | None) -> None:
    """Tell the seller's other pages; without a version it is gone."""
    data: dict[str, object] = {"draft_id": str(draft_id), "invoice_id": str(invoice_id), "version": version}
    announce(session, [DomainEvent(room=f"user:{seller_id}", name="credit_note.drafted", data=data)])
