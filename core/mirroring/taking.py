"""Taking over: invoices of ours made out of mirrored ones, with their numbers."""

from __future__ import annotations

import hashlib
from datetime import timedelta
from decimal import Decimal
from typing import Any, Final
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.orm import Session

from core.errors import Conflict, Forbidden, Invalid, PlatformError
from core.identity import Role
from core.invoicing import invoices, profiles
from core.invoicing.inputs import NewInvoice
from core.invoicing.totals import NewItem
from core.mirroring import judging
from core.mirroring.deeds import Deed, note, ours_of, theirs_of

# So many are taken over at once; the next ones by asking again.
MOST_AT_ONCE: Final = 200


def take_over(session: Session, deed: Deed, mirrored_id: UUID) -> UUID:
    """Make an invoice of ours out of a mirrored one, with its number, and link the two; its id.

    Lines are not told by the other books: it has one, over the total. Taking over what is linked returns that.
    Raises Conflict where something is missing, in words that say what.
    """
    theirs = theirs_of(session, deed.actor, mirrored_id)
    # Two clicks at once make one invoice.
    key = int.from_bytes(hashlib.sha256(b"mirror:" + mirrored_id.bytes).digest()[:8], "big", signed=True)
    session.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": key})
    linked: UUID | None = session.scalar(
        text("SELECT invoice_id FROM mirror_links WHERE mirrored_id = :id"), {"id": mirrored_id}
    )
    if linked is not None:
        return linked
    new = _asours_of(session, deed, theirs)
    try:
        made = invoices.create(session, deed.actor, new, deed.now, number=theirs.number)
    except Invalid as error:
        raise Conflict(f"it cannot be taken over: {error.field} {error.message}") from error
    if made["total"] != theirs.total:
        raise Conflict("your business rounds totals, so that this invoice would come to another one; switch that off")
    invoice_id = UUID(made["id"])
    link_id = judging.join(session, ours_of(session, deed.actor, invoice_id), theirs, deed.now, by=deed.actor.id)
    note(session, deed, "mirror.taken_over", invoice_id, theirs)
    if link_id is not None:
        judging.judge(session, link_id, deed.able, deed.now)
    return invoice_id


def _asours_of(session: Session, deed: Deed, theirs: Any) -> NewInvoice:
    where = deed.titles.get(theirs.connector, theirs.connector)
    if theirs.status in ("draft", "void"):
        raise Conflict(f"it is {theirs.status} in {where}: nothing is owed by it")
    missing = [
        words
        for words, known in (
            ("a number", theirs.number),
            ("a customer", theirs.contact_name or theirs.contact_email),
            ("a date", theirs.issued_on),
            ("a total of more than nothing", theirs.total),
        )
        if not known
    ]
    if missing:
        raise Conflict(f"{where} does not say all that an invoice needs: it has not {', '.join(missing)}")
    profile = profiles.profile(session, deed.actor.id)
    due = theirs.due_on or theirs.issued_on + timedelta(days=profile.payment_days)
    item = NewItem(description=f"As in {where}", quantity=Decimal(1), unit_price=theirs.total)
    new = NewInvoice(
        currency=theirs.currency,
        issue_date=theirs.issued_on,
        due_date=max(due, theirs.issued_on),
        items=[item],
        reminders=False,
        contact_name=theirs.contact_name or theirs.contact_email,
        contact_email=theirs.contact_email or "",
    )
    if theirs.contact_email:
        return new
    named = session.scalars(
        text(
            "SELECT id FROM contacts WHERE user_id = :seller AND archived_at IS NULL "
            "AND lower(name) = lower(:name) LIMIT 2"
        ),
        {"seller": deed.actor.id, "name": theirs.contact_name},
    ).all()
    if not named:
        raise Conflict(f"{where} does not say the e-mail address of {theirs.contact_name}: add this contact first")
    if len(named) > 1:
        raise Conflict(f"several of your contacts are called {theirs.contact_name}, and {where} gives no address")
    return NewInvoice(
        currency=new.currency,
        issue_date=new.issue_date,
        due_date=new.due_date,
        items=new.items,
        reminders=False,
        contact_id=named[0],
    )


def take_over_all(session: Session, deed: Deed, connection_id: UUID | None = None) -> dict[str, Any]:
    """Take over what is open there and not linked, oldest first, up to MOST_AT_ONCE; what was refused, and why."""
    if deed.actor.role is not Role.SELLER:
        raise Forbidden("only sellers work on mirrored invoices")
    condition = "" if connection_id is None else "AND shown.connection_id = :connection"
    rows = session.execute(
        text(
            f"SELECT shown.id, shown.number FROM ({judging.THEIRS} WHERE theirs.user_id = :actor "
            "AND theirs.direction = 'sales' AND theirs.kind = 'invoice') AS shown "
            "WHERE shown.status IN ('open', 'partially_paid') "
            f"AND NOT EXISTS (SELECT FROM mirror_links WHERE mirrored_id = shown.id) {condition} "
            "ORDER BY shown.id LIMIT :most"
        ),
        {"actor": deed.actor.id, "connection": connection_id, "most": MOST_AT_ONCE},
    ).all()
    taken, refused = [], []
    for row in rows:
        try:
            with session.begin_nested():
                taken.append(str(take_over(session, deed, row.id)))
        except PlatformError as error:
            refused.append({"id": str(row.id), "number": row.number, "reason": str(error)})
    return {"taken": taken, "refused": refused}
