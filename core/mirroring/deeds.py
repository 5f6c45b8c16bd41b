"""What a seller does about mirrored invoices: link, take apart, and decide where both sides differ.

Locks: the invoice, then what its change takes, then the link (see `core.mirroring.judging`).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any, Literal
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.orm import Session

from core import audit
from core.errors import Conflict, Forbidden, Invalid, NotFound
from core.identity import Actor, Role
from core.invoicing import invoices
from core.invoicing.inputs import InvoiceChanges
from core.marketplace.calendar import Calendar
from core.mirroring import judging, pushes, sides
from core.payments import manual
from core.payments.hand import NewTarget

Keep = Literal["ours", "theirs"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Deed:
    """What every deed needs: who, when, which connectors can write, and which days banks work."""

    actor: Actor
    now: datetime
    able: Collection[str]
    titles: dict[str, str]
    calendar: Calendar | None = None


def theirs_of(session: Session, actor: Actor, mirrored_id: UUID) -> Any:
    """A mirrored sales invoice of the actor, with where it comes from. Raises Forbidden and NotFound."""
    if actor.role is not Role.SELLER:
        raise Forbidden("only sellers work on mirrored invoices")
    row = session.execute(
        text(
            f"SELECT shown.*, connections.connector, connections.name AS connection_name FROM ({judging.THEIRS}) "
            "AS shown JOIN connections ON connections.id = shown.connection_id "
            "WHERE shown.id = :id AND shown.user_id = :actor"
        ),
        {"id": mirrored_id, "actor": actor.id},
    ).one_or_none()
    if row is None:
        raise NotFound("mirrored invoice", mirrored_id)
    if (row.direction, row.kind) != ("sales", "invoice"):
        raise Conflict("only invoices to customers are linked, no bills and no credit notes")
    return row


def ours_of(session: Session, actor: Actor, invoice_id: UUID) -> Any:
    """One's own invoice. Raises NotFound."""
    row = session.execute(
        text(f"{judging.OURS} WHERE id = :id AND seller_id = :actor"), {"id": invoice_id, "actor": actor.id}
    ).one_or_none()
    if row is None:
        raise NotFound("invoice", invoice_id)
    return row


def link(session: Session, deed: Deed, mirrored_id: UUID, invoice_id: UUID) -> None:
    """Say that two invoices are the same one. Saying it again changes nothing.

    Raises NotFound, and Conflict where they cannot be, or one of them is linked to another.
    """
    theirs = theirs_of(session, deed.actor, mirrored_id)
    ours = ours_of(session, deed.actor, invoice_id)
    if ours.number is None:
        raise Conflict("a draft is not linked; issue it first")
    if ours.currency != theirs.currency:
        raise Conflict(f"one is in {ours.currency} and the other in {theirs.currency}")
    made = judging.join(session, ours, theirs, deed.now, by=deed.actor.id)
    if made is None:
        known: Any = session.execute(
            text("SELECT id, invoice_id FROM mirror_links WHERE mirrored_id = :id"), {"id": mirrored_id}
        ).one_or_none()
        if known is None or known.invoice_id != invoice_id:
            raise Conflict("one of the two is linked to another invoice; take those apart first")
        return
    session.execute(
        text("DELETE FROM mirror_apart WHERE invoice_id = :ours AND mirrored_id = :theirs"),
        {"ours": invoice_id, "theirs": mirrored_id},
    )
    note(session, deed, "mirror.linked", invoice_id, theirs)
    judging.judge(session, made, deed.able, deed.now)


def unlink(session: Session, deed: Deed, mirrored_id: UUID) -> None:
    """Say that two invoices are not the same: they stay apart until a person links them. Repeats change nothing."""
    theirs = theirs_of(session, deed.actor, mirrored_id)
    row: Any = session.execute(
        text("DELETE FROM mirror_links WHERE mirrored_id = :id RETURNING invoice_id"), {"id": mirrored_id}
    ).one_or_none()
    if row is None:
        return
    session.execute(
        text("INSERT INTO mirror_apart (invoice_id, mirrored_id) VALUES (:ours, :theirs) ON CONFLICT DO NOTHING"),
        {"ours": row.invoice_id, "theirs": mirrored_id},
    )
    session.execute(
        text(
            "UPDATE mirror_pushes SET state = 'stopped', updated_at = :now WHERE invoice_id = :ours "
            "AND connection_id = :connection AND state = 'wanted' AND claimed_at IS NULL"
        ),
        {"ours": row.invoice_id, "connection": theirs.connection_id, "now": deed.now},
    )
    judging.end_notice(session, row.invoice_id, deed.now)
    note(session, deed, "mirror.unlinked", row.invoice_id, theirs)
    ours = ours_of(session, deed.actor, row.invoice_id)
    judging.tell(session, deed.actor.id, ours, theirs, "apart", [])


def note(
    session: Session, deed: Deed, action: str, invoice_id: UUID, mirrored: Any, data: Mapping[str, object] | None = None
) -> None:
    """Write down what was done about a mirrored invoice, on ours."""
    told = {"mirrored_invoice_id": str(mirrored.id), "connection": mirrored.connection_name, **(data or {})}
    audit.record(session, deed.actor, action, "invoice", invoice_id, told, deed.now)


# Deciding -------------------------------------------------------------------------------------------------------


def resolve(session: Session, deed: Deed, mirrored_id: UUID, field: str, keep: Keep) -> None:
    """Decide which side of a field holds: ours is written there, theirs is done here.

    Doing it again after it was done is refused, since nothing differs any more. Raises Conflict in words where
    that side cannot be kept.
    """
    theirs = theirs_of(session, deed.actor, mirrored_id)
    if field not in sides.FIELDS:
        raise Invalid("field", f"must be one of {', '.join(sides.FIELDS)}")
    linked: Any = session.execute(
        text("SELECT id, invoice_id FROM mirror_links WHERE mirrored_id = :id"), {"id": mirrored_id}
    ).one_or_none()
    if linked is None:
        raise Conflict("this invoice is linked to none of yours")
    # The invoice first: whoever clicks twice waits here, and then finds that nothing differs.
    session.execute(text("SELECT 1 FROM invoices WHERE id = :id FOR UPDATE"), {"id": linked.invoice_id})
    ours = ours_of(session, deed.actor, linked.invoice_id)
    here, there = sides.ours(ours), sides.theirs(theirs)
    agreed = session.scalar(text("SELECT agreed FROM mirror_links WHERE id = :id"), {"id": linked.id})
    if agreed is None or field not in sides.compare(agreed, here, there).moved:
        raise Conflict("both sides say the same by now")
    if keep == "theirs":
        _do_theirs(session, deed, ours, theirs, field, here, there)
        judging.judge(session, linked.id, deed.able, deed.now)
    else:
        _keep_ours(session, deed, linked.id, theirs, field, here, there)
    data = {"field": field, "kept": keep, "ours": here[field], "theirs": there[field]}
    note(session, deed, "mirror.resolved", linked.invoice_id, theirs, data)


def _do_theirs(
    session: Session, deed: Deed, ours: Any, theirs: Any, field: str, here: sides.Side, there: sides.Side
) -> None:
    where = deed.titles.get(theirs.connector, theirs.connector)
    match field:
        case "total":
            raise Conflict(f"{where} does not say its lines: edit the invoice here")
        case "issue_date":
            changes = InvoiceChanges(issue_date=date.fromisoformat(there["issue_date"]))
            invoices.update(session, deed.actor, ours.id, changes, deed.now)
        case "due_date":
            changes = InvoiceChanges(due_date=date.fromisoformat(there["due_date"]))
            invoices.update(session, deed.actor, ours.id, changes, deed.now)
        case "void":
            if not there["void"]:
                raise Conflict("a void invoice stays void: duplicate it here")
            invoices.void(session, deed.actor, ours.id, deed.now)
        case _:
            _record_payment(session, deed, ours, theirs, there["paid"] - here["paid"], where)


def _record_payment(session: Session, deed: Deed, ours: Any, theirs: Any, amount: int, where: str) -> None:
    """Note what the other books say was paid. It is the seller's word, and known to be there already."""
    if amount <= 0:
        raise Conflict("more is paid here than there: refund or delete the payment that is wrong")
    new = manual.NewPayment(
        amount=amount,
        currency=ours.currency,
        method="other",
        date=deed.now.date(),
        targets=(NewTarget(ours.id, amount),),
        reference=f"{where} {theirs.number or ''}".strip()[:100],
        notes=f"As {where} has it, noted on the invoice's page.",
    )
    made = manual.record(session, deed.actor, new, deed.now, calendar=deed.calendar)
    payment_id = UUID(made["id"])
    session.execute(
        text(
            "INSERT INTO mirror_payments (connection_id, reference, payment_id, invoice_id, amount, origin, "
            "created_at) VALUES (:connection, :reference, :payment, :invoice, :amount, 'theirs', :now)"
        ),
        {
            "connection": theirs.connection_id,
            # Nothing there bears it.
            "reference": hashlib.sha256(payment_id.bytes).hexdigest()[:20],
            "payment": payment_id,
            "invoice": ours.id,
            "amount": amount,
            "now": deed.now,
        },
    )


def _keep_ours(
    session: Session, deed: Deed, link_id: UUID, theirs: Any, field: str, here: sides.Side, there: sides.Side
) -> None:
    where = deed.titles.get(theirs.connector, theirs.connector)
    if theirs.connector not in deed.able:
        raise Conflict(f"{where} is only read from here: change it there")
    if not session.scalar(
        text("SELECT write_since IS NOT NULL FROM connections WHERE id = :id"), {"id": theirs.connection_id}
    ):
        raise Conflict("writing to this connection is switched off: switch it on, or change it there")
    if field == "paid" and here["paid"] < there["paid"]:
        raise Conflict(f"a payment that {where} has is not taken back from here: take it back there")
    if field == "void" and not here["void"]:
        raise Conflict(f"what is void in {where} stays void: make it again there")
    session.execute(
        text(
            "UPDATE mirror_links SET agreed = agreed || CAST(:known AS jsonb), written = NULL, updated_at = :now "
            "WHERE id = :id"
        ),
        {"id": link_id, "known": json.dumps({field: there[field]}), "now": deed.now},
    )
    judging.judge(session, link_id, deed.able, deed.now, by=deed.actor.id)


def write_now(session: Session, deed: Deed, invoice_id: UUID, connection_id: UUID) -> None:
    """Write an invoice to the books of a connection that is written to: for the first time, or once more.

    Raises NotFound and Conflict.
    """
    if deed.actor.role is not Role.SELLER:
        raise Forbidden("only sellers work on mirrored invoices")
    ours = ours_of(session, deed.actor, invoice_id)
    row: Any = session.execute(
        text(
            "SELECT connector, write_since FROM connections WHERE id = :id AND user_id = :actor AND deleted_at IS NULL"
        ),
        {"id": connection_id, "actor": deed.actor.id},
    ).one_or_none()
    if row is None:
        raise NotFound("connection", connection_id)
    if row.connector not in deed.able:
        raise Conflict(f"{deed.titles.get(row.connector, row.connector)} is only read from here")
    if row.write_since is None:
        raise Conflict("writing to this connection is switched off")
    linked: UUID | None = session.scalar(
        text("SELECT id FROM mirror_links WHERE invoice_id = :invoice AND connection_id = :connection"),
        {"invoice": invoice_id, "connection": connection_id},
    )
    if linked is not None:
        session.execute(text("UPDATE mirror_links SET written = NULL WHERE id = :id"), {"id": linked})
        judging.judge(session, linked, deed.able, deed.now, by=deed.actor.id)
    elif ours.status in ("open", "partial", "paid"):
        pushes.want_create(session, invoice_id, connection_id, deed.actor.id, deed.now)
    else:
        raise Conflict(f"this invoice is {ours.status}: there is nothing to write")
