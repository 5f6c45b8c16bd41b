"""Making invoices, issuing them, and taking them back. Changing them is `core.invoicing.editing`."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.orm import Session

from core import audit
from core.errors import Conflict, Forbidden, Invalid, NotFound
from core.identity import Actor, Role
from core.ids import new_id
from core.invoicing import activity, customers, inputs, news, numbering, profiles, queries, rows
from core.invoicing.editing import update
from core.invoicing.inputs import MAX_ITEMS, InvoiceChanges, NewInvoice
from core.invoicing.totals import NewItem, Totals
from core.marketplace import states
from core.payments import apply as payments

__all__ = [
    "MAX_ITEMS",
    "InvoiceChanges",
    "NewInvoice",
    "NewItem",
    "create",
    "delete_draft",
    "duplicate",
    "issue",
    "mark_sent",
    "mark_viewed",
    "may_see",
    "preview",
    "update",
    "void",
]


def preview(session: Session, actor: Actor, new: NewInvoice) -> Totals:
    """What an invoice would come to. Nothing is written; the customer need not be named. Raises Invalid."""
    _sellers_only(actor)
    terms = rows.Terms.of(profiles.profile(session, actor.id))
    rows.refuse_gst_fields(new, terms)
    customer = customers.wanted(session, actor.id, new)
    return rows.prepare(session, actor.id, new, customer, terms, final=False).totals


def create(
    session: Session, actor: Actor, new: NewInvoice, now: datetime, *, draft: bool = False, number: str | None = None
) -> dict[str, Any]:
    """Make an invoice of a seller and return it as `get_invoice` shows it.

    It is open at once, or a draft, which has no number and can still be deleted. `number` is one that it brings
    along, for what an earlier system issued. Money that came before and names it is applied. Making it again makes
    another one: the edge has Idempotency-Key for that. Raises Invalid, naming the field.
    """
    _sellers_only(actor)
    inputs.check(new)
    if draft and number is not None:
        raise Invalid("number", "a draft has none; it gets one when it is issued")
    terms = rows.Terms.of(profiles.profile(session, actor.id))
    rows.refuse_gst_fields(new, terms)
    ready = rows.prepare(session, actor.id, new, customers.wanted(session, actor.id, new), terms, final=not draft)
    if not draft:
        # Before the contact: whoever makes many in one transaction has numbered when they come to the next contact.
        numbering.lock(session, actor.id)
    ready = replace(ready, customer=customers.put(session, actor, new, now))
    identity = new_id()
    rows.insert(session, identity, actor.id, ready, now)
    if not draft:
        _give_number(session, identity, ready, now, number)
    audit.record(session, actor, "invoice.created", "invoice", identity, _named(session, identity), now)
    made = queries.get_invoice(session, actor, identity)
    news.tell(session, "invoice.created", made, now)
    if not draft and payments.adopt_waiting(session, identity, now=now):
        return queries.get_invoice(session, actor, identity)
    return made


def _sellers_only(actor: Actor) -> None:
    if actor.role is not Role.SELLER:
        raise Forbidden("only sellers make invoices")


def _named(session: Session, identity: UUID) -> dict[str, object]:
    number = session.scalar(text("SELECT number FROM invoices WHERE id = :id"), {"id": identity})
    return {"number": number} if number else {"draft": True}


def _give_number(
    session: Session, identity: UUID, ready: rows.Prepared, now: datetime, number: str | None = None
) -> None:
    """Open a draft: it gets its number, and both sides stay as they stand on it now."""
    seller_id = _freeze(session, identity, ready)
    day = ready.new.issue_date
    given = (
        numbering.take(session, seller_id, ready.series, day)
        if number is None
        else numbering.own(session, seller_id, number, ready.series, day)
    )
    session.execute(
        text(
            "UPDATE invoices SET status = 'open', number = :number, number_key = :key, series = :series, year = :year, "
            "sequence = :sequence, issued_at = :now, updated_at = :now WHERE id = :id"
        ),
        {
            "number": given.text,
            "key": given.key,
            "series": given.series,
            "year": given.year,
            "sequence": given.sequence,
            "now": now,
            "id": identity,
        },
    )


def _freeze(session: Session, identity: UUID, ready: rows.Prepared) -> UUID:
    """Write down both sides as they are now; return whose invoice it is."""
    seller_id: UUID = session.scalars(text("SELECT seller_id FROM invoices WHERE id = :id"), {"id": identity}).one()
    supplier = profiles.supplier(session, seller_id, profiles.profile(session, seller_id))
    rows.freeze(session, identity, supplier, ready.customer)
    return seller_id


def issue(
    session: Session,
    actor: Actor,
    invoice_id: UUID,
    now: datetime,
    *,
    expected_version: int | None = None,
    number: str | None = None,
) -> dict[str, Any]:
    """Open a draft for payment: it gets the next number of its series, and what it says is said to its buyer.

    It is computed anew by the business as it is set up now. A repeat changes nothing. Raises Conflict for what is
    void, StaleEdit, and Invalid for what a draft may lack and an issued invoice may not.
    """
    row = rows.own(session, actor, invoice_id)
    if row.status == "void":
        raise Conflict("a void invoice stays void; duplicate it")
    if row.status != "draft":
        return queries.get_invoice(session, actor, invoice_id)
    activity.check_version(session, row, expected_version)
    new = rows.stored(session, row)
    inputs.check(new)
    terms = rows.terms_of(session, row)
    ready = rows.prepare(session, actor.id, new, customers.wanted(session, actor.id, new), terms, final=True)
    rows.rewrite(session, invoice_id, ready)
    if row.number is None:
        _give_number(session, invoice_id, ready, now, number)
    else:
        _open_numbered(session, invoice_id, ready, now)
    session.execute(text("UPDATE invoices SET version = version + 1 WHERE id = :id"), {"id": invoice_id})
    changes: dict[str, activity.Change] = {"stage": ("draft", "open")}
    if row.total != ready.totals.total:
        changes["total"] = (row.total, ready.totals.total)
    data = {**_named(session, invoice_id), "version": row.version + 1, "changes": activity.recorded(changes)}
    audit.record(session, actor, "invoice.issued", "invoice", invoice_id, data, now)
    invoice = queries.get_invoice(session, actor, invoice_id)
    news.tell(session, "invoice.updated", invoice, now, stage_before="draft")
    if payments.adopt_waiting(session, invoice_id, now=now):
        return queries.get_invoice(session, actor, invoice_id)
    return invoice


def _open_numbered(session: Session, invoice_id: UUID, ready: rows.Prepared, now: datetime) -> None:
    """Open a draft of the time when drafts had numbers: it keeps its own."""
    _freeze(session, invoice_id, ready)
    session.execute(
        text("UPDATE invoices SET status = 'open', issued_at = :now, updated_at = :now WHERE id = :id"),
        {"now": now, "id": invoice_id},
    )


def duplicate(session: Session, actor: Actor, invoice_id: UUID, now: datetime, *, today: date) -> dict[str, Any]:
    """A new draft that says the same as an invoice, dated today, due after as many days. The other stays as it is."""
    row = session.execute(
        text(f"SELECT {rows.READ} FROM invoices WHERE id = :id AND seller_id = :seller"),
        {"id": invoice_id, "seller": actor.id},
    ).one_or_none()
    if row is None:
        queries.get_invoice(session, actor, invoice_id)
        raise Forbidden("only the seller duplicates an invoice")
    new = replace(
        rows.stored(session, row),
        issue_date=today,
        due_date=today + timedelta(days=(row.due_date - row.issue_date).days),
        reference="",
        recurring_id=None,
    )
    if profiles.profile(session, actor.id).tax_regime == "plain":
        new = replace(new, place_of_supply=None, reverse_charge=False)
    return create(session, actor, new, now, draft=True)


def void(
    session: Session, actor: Actor, invoice_id: UUID, now: datetime, *, expected_version: int | None = None
) -> dict[str, Any]:
    """Take an issued invoice back: nothing is owed by it. Its number stays taken, so the series has no gap.

    Only while nothing was paid. Voiding it again changes nothing. A draft is deleted instead.
    """
    row = rows.own(session, actor, invoice_id)
    if row.status == "void":
        return queries.get_invoice(session, actor, invoice_id)
    if row.status in {"partial", "paid"}:
        raise Conflict("money was paid towards this invoice; refund it first")
    if row.status == "draft" and row.number is None:
        raise Conflict("a draft is deleted; nothing was issued that could be void")
    activity.check_version(session, row, expected_version)
    if (state := states.holds_invoice(session, invoice_id)) is not None:
        raise Conflict(f"this invoice is on the marketplace ({state.value}); withdraw it first")
    if rows.credited(session, invoice_id):
        raise Conflict("credit notes stand against this invoice; void them first")
    before = queries.get_invoice(session, actor, invoice_id)
    session.execute(
        text("UPDATE invoices SET status = 'void', version = version + 1, updated_at = :now WHERE id = :id"),
        {"id": invoice_id, "now": now},
    )
    changes = activity.recorded({"stage": (before["stage"], "void")})
    data = {"number": row.number, "version": row.version + 1, "changes": changes}
    audit.record(session, actor, "invoice.deleted", "invoice", invoice_id, data, now)
    invoice = queries.get_invoice(session, actor, invoice_id)
    # A buyer who was never told of the draft is not told of its end.
    told = {**invoice, "buyer_id": None} if row.status == "draft" else invoice
    news.tell(session, "invoice.deleted", told, now, stage_before=before["stage"])
    return invoice


def delete_draft(
    session: Session, actor: Actor, invoice_id: UUID, now: datetime, *, expected_version: int | None = None
) -> dict[str, Any]:
    """Delete a draft for good and return what it was. It has no number, so nothing is missing.

    Raises Conflict for what was issued (that is voided), and where somebody wrote a comment, which stays.
    """
    row = rows.own(session, actor, invoice_id)
    if row.status != "draft" or row.number is not None:
        raise Conflict("this invoice was issued; void it")
    activity.check_version(session, row, expected_version)
    if session.scalar(
        text(
            "SELECT EXISTS (SELECT FROM comments WHERE invoice_id = :id) "
            "OR EXISTS (SELECT FROM financings WHERE invoice_id = :id)"
        ),
        {"id": invoice_id},
    ):
        raise Conflict("people wrote about this draft, which stays; issue it and void it")
    was = queries.get_invoice(session, actor, invoice_id)
    for table in ("invoice_files", "invoices"):
        column = "id" if table == "invoices" else "invoice_id"
        session.execute(text(f"DELETE FROM {table} WHERE {column} = :id"), {"id": invoice_id})
    audit.record(session, actor, "invoice.deleted", "invoice", invoice_id, {"draft": True}, now)
    news.tell(session, "invoice.deleted", was, now)
    return was


def _mark(session: Session, invoice_id: UUID, column: str, now: datetime) -> bool:
    """Note the first time; whether this was it."""
    row = session.execute(
        text(f"SELECT seller_id, number, {column} AS known, status FROM invoices WHERE id = :id FOR UPDATE"),
        {"id": invoice_id},
    ).one_or_none()
    if row is None:
        raise NotFound("invoice", invoice_id)
    if row.known is not None or row.status in {"draft", "void"}:
        return False
    seller = Actor(id=row.seller_id, role=Role.SELLER, email="", name="")
    before = queries.get_invoice(session, seller, invoice_id)["stage"]
    # No version: a form that somebody has open over the same words is not stale by it.
    session.execute(text(f"UPDATE invoices SET {column} = :now WHERE id = :id"), {"now": now, "id": invoice_id})
    invoice = queries.get_invoice(session, seller, invoice_id)
    news.tell(session, "invoice.updated", invoice, now, stage_before=before)
    return True


def mark_sent(session: Session, invoice_id: UUID, now: datetime) -> bool:
    """Note that an invoice went out to its customer; whether this was the first time. Who sends it writes it down."""
    return _mark(session, invoice_id, "sent_at", now)


def mark_viewed(session: Session, invoice_id: UUID, now: datetime) -> bool:
    """Note that the customer looked at an invoice; whether this was the first time."""
    if not _mark(session, invoice_id, "viewed_at", now):
        return False
    audit.record(session, None, "invoice.viewed", "invoice", invoice_id, {}, now)
    return True


def may_see(session: Session, actor: Actor, invoice_id: UUID) -> bool:
    """Whether an invoice is the actor's to look at, and to hear of: for investors what is on offer or theirs."""
    return queries.may_read(session, actor, invoice_id)
