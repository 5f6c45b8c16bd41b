"""Credit notes: a part of an invoice, or all of it, is taken back. What they are worth is the customer's at once.

The credit is a payment of the source 'credit_note': it pays the invoice as far as something is due there, and what is
over stays the customer's credit. A note is issued as it is made, never changes, and can be voided, which takes its
credit back. Together the notes of an invoice are never more than the invoice; the database holds that as well.

Locks: a note (voiding it), its payment, its invoice, the seller's numbers.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.orm import Session

from core import audit
from core.errors import Conflict, Forbidden, Invalid, NotFound
from core.events import DomainEvent
from core.identity import Actor, Role
from core.ids import new_id
from core.invoicing import credit_note_queries as queries
from core.invoicing import inputs, lines, numbering
from core.invoicing.totals import Basis, NewItem, Totals
from core.live import announce
from core.marketplace import states
from core.marketplace.calendar import Calendar
from core.marketplace.words import Financed
from core.payments import hand, manual
from core.payments.hand import NewTarget
from core.payments.manual import NewPayment

MAX_REASON = 500
MAX_NOTES = 5000
_SUMS = ("subtotal", "discount", "tax", "cgst", "sgst", "igst", "rounding", "total")
# What a note has from its invoice.
_FROM_INVOICE = (
    "contact_id", "currency", "tax_regime", "supplier_gstin", "buyer_gstin", "supplier_state", "place_of_supply",
    "reverse_charge",
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class NewCreditNote:
    """What a seller fills in. Without `items` it is the whole invoice, line by line, to the paisa.

    Lines are taxed as the invoice is. `series` is a prefix of the seller's for credit notes (None: their default).
    """

    invoice_id: UUID
    reason: str
    issue_date: date
    items: Sequence[NewItem] | None = None
    notes: str = ""
    series: str | None = None


def _invoice(session: Session, actor: Actor, invoice_id: UUID) -> Any:
    """The invoice of this seller, locked. Raises Forbidden, NotFound."""
    if actor.role is not Role.SELLER:
        raise Forbidden("only sellers make credit notes")
    row = session.execute(
        text(
            f"SELECT id, seller_id, buyer_id, number, status, issue_date, amount_due, {', '.join(_FROM_INVOICE)}, "
            f"{', '.join(_SUMS)} FROM invoices WHERE id = :id AND seller_id = :seller FOR UPDATE"
        ),
        {"id": invoice_id, "seller": actor.id},
    ).one_or_none()
    if row is None:
        raise NotFound("invoice", invoice_id)
    if row.status in {"draft", "void"}:
        raise Conflict(f"a {row.status} invoice asks for nothing that could be credited")
    return row


def _refuse_listed(session: Session, invoice_id: UUID) -> None:
    """Raise Financed while the invoice is on the marketplace: what is bid there counts on it as it is.

    Once it was financed a note settles what any word of its seller may (`core.marketplace.words`).
    """
    state = states.holds_invoice(session, invoice_id)
    if state is not None and state not in states.SETTLED:
        raise Financed(f"this invoice is on the marketplace ({state.value}); withdraw it first")


def _check(new: NewCreditNote, invoice: Any, now: datetime) -> None:
    if not 0 < len(new.reason.strip()) <= MAX_REASON:
        raise Invalid("reason", f"must have 1 to {MAX_REASON} characters")
    if len(new.notes) > MAX_NOTES:
        raise Invalid("notes", f"must have at most {MAX_NOTES} characters")
    if new.issue_date < invoice.issue_date:
        raise Invalid("issue_date", "must not be before the invoice's own")
    try:
        hand.moment_of(new.issue_date, now)
    except Invalid as error:
        raise Invalid("issue_date", error.message) from error


def basis_of(invoice: Any) -> Basis:
    """How the lines of a note are taxed: as those of its invoice. Nothing is rounded, or parts would not add up."""
    return Basis(
        currency=invoice.currency,
        regime=invoice.tax_regime,
        supplier_state=invoice.supplier_state,
        place_of_supply=invoice.place_of_supply,
        reverse_charge=invoice.reverse_charge,
    )


def priced(session: Session, actor: Actor, new: NewCreditNote, now: datetime) -> tuple[Any, Totals | None, int]:
    """The invoice, locked, what the lines come to (None: the whole of it), and the total in minor units.

    Raises Forbidden, NotFound, Invalid naming the field, and Conflict, as `create` does.
    """
    invoice = _invoice(session, actor, new.invoice_id)
    _check(new, invoice, now)
    left = queries.left_of(session, invoice.id, invoice.total)
    if left <= 0:
        raise Conflict("this invoice is credited in full already")
    totals = None if new.items is None else inputs.check_items(new.items, basis_of(invoice))
    total = invoice.total if totals is None else totals.total
    if total > left:
        raise Invalid("items", f"come to {total} minor units, and {left} minor units are left of the invoice to credit")
    return invoice, totals, total


def create(
    session: Session, actor: Actor, new: NewCreditNote, now: datetime, *, calendar: Calendar | None = None
) -> dict[str, Any]:
    """Issue a credit note against an invoice and return it as `get_credit_note` shows it.

    Its credit is the customer's in the same transaction. Of an invoice whose investors wait for their money it may
    settle what is not theirs. Doing it again makes another one, as far as something is
    left of the invoice: the edge has Idempotency-Key for that. Raises Forbidden, NotFound, Invalid naming the field,
    and Conflict (Financed among them).
    """
    invoice, totals, total = priced(session, actor, new, now)
    _refuse_listed(session, invoice.id)
    series = numbering.find(session, actor.id, new.series, kind="credit_note")
    number = numbering.take(session, actor.id, series, new.issue_date)
    identity = new_id()
    _insert(session, identity, new, invoice, number, totals, now)
    _write_items(session, identity, new, totals)
    _give(session, actor, identity, number.text, invoice, total, new, now, calendar)
    told: dict[str, object] = {"number": number.text, "total": total, "invoice": invoice.number}
    audit.record(session, actor, "credit_note.issued", "credit_note", identity, told, now)
    data: dict[str, object] = {"number": number.text, "credit_note_id": str(identity), "total": total}
    audit.record(session, actor, "invoice.credited", "invoice", invoice.id, data, now)
    _tell(session, "credit_note.created", identity, number.text, invoice, total)
    return queries.get_credit_note(session, actor, identity)


def _insert(
    session: Session,
    identity: UUID,
    new: NewCreditNote,
    invoice: Any,
    number: numbering.Number,
    totals: Totals | None,
    now: datetime,
) -> None:
    source = invoice if totals is None else totals
    values = {
        "id": identity,
        "seller_id": invoice.seller_id,
        "invoice_id": invoice.id,
        "number": number.text,
        "series": number.series,
        "year": number.year,
        "sequence": number.sequence,
        "status": "issued",
        "issue_date": new.issue_date,
        "reason": new.reason.strip(),
        "notes": new.notes.strip(),
        **{name: getattr(invoice, name) for name in _FROM_INVOICE},
        **{name: getattr(source, name) for name in _SUMS},
        "created_at": now,
        "updated_at": now,
    }
    session.execute(
        text(f"INSERT INTO credit_notes ({', '.join(values)}) VALUES ({', '.join(f':{name}' for name in values)})"),
        values,
    )


def _write_items(session: Session, identity: UUID, new: NewCreditNote, totals: Totals | None) -> None:
    if new.items is None or totals is None:
        columns = ", ".join(lines.COLUMNS)
        session.execute(
            text(
                f"INSERT INTO credit_note_items (credit_note_id, {columns}) SELECT :id, {columns} FROM invoice_items "
                "WHERE invoice_id = :invoice"
            ),
            {"id": identity, "invoice": new.invoice_id},
        )
        return
    lines.write(session, "credit_note", identity, new.items, totals.lines)


def _give(
    session: Session,
    actor: Actor,
    identity: UUID,
    number: str,
    invoice: Any,
    total: int,
    new: NewCreditNote,
    now: datetime,
    calendar: Calendar | None,
) -> None:
    """Make the credit: it goes to the invoice as far as something is due there."""
    payment = manual.record(
        session,
        actor,
        NewPayment(
            amount=total,
            currency=invoice.currency,
            method="credit_note",
            date=new.issue_date,
            targets=[NewTarget(invoice.id, total)] if invoice.amount_due > 0 else [],
            contact_id=invoice.contact_id,
            reference=number,
        ),
        now,
        source="credit_note",
        calendar=calendar,
    )
    session.execute(
        text("UPDATE credit_notes SET payment_id = :payment WHERE id = :id"), {"payment": payment["id"], "id": identity}
    )


def void(
    session: Session,
    actor: Actor,
    note_id: UUID,
    now: datetime,
    *,
    reason: str = "",
    calendar: Calendar | None = None,
) -> dict[str, Any]:
    """Take a note back with its credit: what the credit paid is due again. Its number stays taken.

    Voiding it again changes nothing. Raises Forbidden, NotFound, Invalid, and Conflict when a part of the credit was
    given back to the customer as money.
    """
    if len(reason.strip()) > MAX_REASON:
        raise Invalid("reason", f"must have at most {MAX_REASON} characters")
    row = session.execute(
        text("SELECT * FROM credit_notes WHERE id = :id AND seller_id = :seller FOR UPDATE"),
        {"id": note_id, "seller": actor.id},
    ).one_or_none()
    if row is None:
        # Its buyer and operators may see it, and change nothing.
        queries.get_credit_note(session, actor, note_id)
        raise Forbidden("only the seller voids a credit note")
    if row.status == "void":
        return queries.get_credit_note(session, actor, note_id)
    state = hand.hold_one(session.connection(), actor.id, row.payment_id)
    if state.given_back or state.refunded:
        raise Conflict("a part of this credit was given back as money; take that refund back first")
    state.status, state.deleted_at, state.version = "cancelled", now, state.version + 1
    hand.finish(session, [state], now, calendar)
    session.execute(
        text(
            "UPDATE credit_notes SET status = 'void', voided_at = :now, version = version + 1, updated_at = :now "
            "WHERE id = :id"
        ),
        {"id": note_id, "now": now},
    )
    told: dict[str, object] = {"changes": {"status": ["issued", "void"]}, "reason": reason.strip()}
    audit.record(session, actor, "credit_note.voided", "credit_note", note_id, told, now)
    invoice = session.execute(
        text("SELECT id, seller_id, buyer_id, number, currency FROM invoices WHERE id = :id"),
        {"id": row.invoice_id},
    ).one()
    data: dict[str, object] = {"number": row.number, "credit_note_id": str(note_id), "total": row.total}
    audit.record(session, actor, "invoice.credit_voided", "invoice", invoice.id, data, now)
    _tell(session, "credit_note.voided", note_id, row.number, invoice, row.total)
    return queries.get_credit_note(session, actor, note_id)


def _tell(session: Session, name: str, note_id: UUID, number: str, invoice: Any, total: int) -> None:
    """Tell both parties, and whoever looks at the invoice."""
    data: dict[str, object] = {
        "credit_note_id": str(note_id),
        "number": number,
        "invoice_id": str(invoice.id),
        "invoice_number": invoice.number,
        "total": total,
        "currency": invoice.currency,
    }
    people = [person for person in (invoice.seller_id, invoice.buyer_id) if person is not None]
    rooms = [*(f"user:{person}" for person in people), f"invoice:{invoice.id}"]
    announce(session, [DomainEvent(room=room, name=name, data=data) for room in rooms])
