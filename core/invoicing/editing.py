"""Changing invoices.

All of it may be changed while it is a draft, or open with nothing paid, credited or financed; after that the words,
and until it is paid the due date. The number stays, and so does the customer once they know of it.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.orm import Session

from core import audit
from core.errors import Conflict, Invalid
from core.identity import Actor
from core.identity.users import clean_email
from core.invoicing import activity, customers, inputs, news, numbering, profiles, queries, rows
from core.invoicing.activity import Change
from core.invoicing.customers import Customer
from core.invoicing.inputs import CONTACT_FIELDS, InvoiceChanges, NewInvoice
from core.marketplace import states

WORDS: Final = frozenset({"notes", "payment_terms", "reference", "reminders"})
# Of the customer, by the names of NewInvoice.
_CUSTOMER: Final = {"contact_name": "name", "contact_email": "email", **CONTACT_FIELDS}
_OWN: Final = (
    "currency", "issue_date", "due_date", "notes", "payment_terms", "reference", "delivery_address",
    "place_of_supply", "reverse_charge", "series", "reminders",
)  # fmt: skip
# What stays as it is on an invoice that has its number.
_KEPT: Final = ("series", "year", "recurring_id", "supplier_gstin", "supplier_state", "tax_regime")


def update(
    session: Session,
    actor: Actor,
    invoice_id: UUID,
    changes: InvoiceChanges,
    now: datetime,
    *,
    expected_version: int | None = None,
) -> dict[str, Any]:
    """Change an invoice and return it as `get_invoice` shows it. What is given and is so already changes nothing.

    Raises NotFound, Forbidden, Invalid naming the field, StaleEdit when it is not at `expected_version` any more,
    and Conflict for what may not change any more.
    """
    _lock_contacts(session, actor, invoice_id, changes)
    row = rows.own(session, actor, invoice_id)
    activity.check_version(session, row, expected_version)
    before = rows.stored(session, row)
    facing = _facing(session, row)
    merged = _merged(before, facing, changes)
    wanted = _customer(session, row, facing, merged, changes)
    follows = row.tax_regime == "gst" and row.place_of_supply == (facing.state_code or row.supplier_state)
    if follows and changes.place_of_supply is None:
        # It was told from where the customer is, and follows them.
        merged = replace(merged, place_of_supply=wanted.state_code or row.place_of_supply)
    different = _different(row, before, merged, facing, wanted)
    if not different:
        return queries.get_invoice(session, actor, invoice_id)
    _refuse(session, row, set(different))
    shown = queries.get_invoice(session, actor, invoice_id)
    if set(different) <= WORDS | {"due_date"}:
        inputs.check_texts(merged)
        inputs.check_days(merged)
        _write_words(session, row, merged)
    else:
        if any(name in different for name in _CUSTOMER) or merged.contact_id != row.contact_id:
            wanted = customers.put(session, actor, merged, now)
        _write_all(session, actor, row, merged, wanted, different)
    session.execute(
        text("UPDATE invoices SET version = version + 1, updated_at = :now WHERE id = :id"),
        {"now": now, "id": invoice_id},
    )
    data = {"number": row.number, "version": row.version + 1, "changes": activity.recorded(different)}
    if row.status == "draft":
        data["draft"] = True
    audit.record(session, actor, "invoice.updated", "invoice", invoice_id, data, now)
    invoice = queries.get_invoice(session, actor, invoice_id)
    news.tell(session, "invoice.updated", invoice, now, stage_before=shown["stage"])
    return invoice


def _lock_contacts(session: Session, actor: Actor, invoice_id: UUID, changes: InvoiceChanges) -> None:
    """Take the contacts that may be written before the invoice: whoever changes a contact goes on to its invoices."""
    given = changes.given()
    if not any(name in given for name in ("contact_id", *_CUSTOMER)):
        return
    session.execute(
        text(
            "SELECT id FROM contacts WHERE user_id = :seller AND (id = CAST(:named AS uuid) OR email = :email "
            "OR id = (SELECT contact_id FROM invoices WHERE id = :invoice AND seller_id = :seller)) "
            "ORDER BY id FOR UPDATE"
        ),
        {
            "seller": actor.id,
            "named": changes.contact_id,
            "email": (changes.contact_email or "").strip().lower(),
            "invoice": invoice_id,
        },
    )


def _facing(session: Session, row: Any) -> Customer:
    """The customer as they stand on the invoice now."""
    known = customers.find(session, row.seller_id, contact_id=row.contact_id) or Customer()
    return replace(known, **row.customer) if row.customer else known


def _merged(before: NewInvoice, facing: Customer, changes: InvoiceChanges) -> NewInvoice:
    """The invoice as it is to be. A contact by name and address stands where one is named, or the address changes."""
    given = changes.given()
    if given.get("place_of_supply") == "":
        given["place_of_supply"] = None
    merged = replace(before, **given)
    if "contact_id" in given:
        return merged
    if "contact_name" not in given and "contact_email" not in given:
        return merged
    return replace(
        merged,
        contact_id=None,
        contact_name=given.get("contact_name", facing.name),
        contact_email=given.get("contact_email", facing.email),
    )


def _customer(session: Session, row: Any, facing: Customer, merged: NewInvoice, changes: InvoiceChanges) -> Customer:
    """The customer as they are to be: as they stand there, but for what is said of them now."""
    given = changes.given()
    if not any(name in given for name in ("contact_id", *_CUSTOMER)):
        return facing
    if merged.contact_id is None:
        inputs.check(merged)
        if clean_email(merged.contact_email, "contact.email") == facing.email:
            merged = replace(merged, contact_id=row.contact_id)
    wanted = customers.wanted(session, row.seller_id, merged)
    if wanted.id != row.contact_id:
        return wanted
    said = {theirs: getattr(wanted, theirs) for ours, theirs in CONTACT_FIELDS.items() if ours in given}
    if "contact_gstin" in given:
        said["state_code"] = wanted.state_code
    name = given.get("contact_name", facing.name).strip()
    return replace(facing, **said, name=name)


def _different(
    row: Any, before: NewInvoice, after: NewInvoice, facing: Customer, wanted: Customer
) -> dict[str, Change]:
    """What is to change, by field, before and after."""
    found: dict[str, Change] = {}
    for name in _OWN:
        was, becomes = getattr(before, name), getattr(after, name)
        if isinstance(becomes, str):
            becomes = becomes.strip()
        if was != becomes:
            found[name] = (was, becomes)
    for ours, theirs in _CUSTOMER.items():
        if (was := getattr(facing, theirs)) != (becomes := getattr(wanted, theirs)):
            found[ours] = (was, becomes)
    if [_plain(one) for one in before.items] != [_plain(one) for one in after.items]:
        found["items"] = (activity.lines(before.items), activity.lines(after.items))
    if row.tax_regime == "plain" and not after.place_of_supply:
        found.pop("place_of_supply", None)
    return found


def _plain(item: Any) -> tuple[Any, ...]:
    return (
        item.description.strip(), item.unit.strip(), item.hsn, item.quantity, item.unit_price, item.discount_rate,
        item.tax_rate,
    )  # fmt: skip


def _refuse(session: Session, row: Any, different: set[str]) -> None:
    """Raise Conflict for what may not change any more."""
    if different <= WORDS or row.status == "draft":
        return
    held = states.holds_invoice(session, row.id)
    if "due_date" in different and row.status in {"paid", "void"}:
        raise Conflict(f"the due date of a {row.status} invoice stays as it is")
    if "due_date" in different and held is not None:
        # The buyer accepts, and investors pay for, a debt that is due on this day.
        raise Conflict(f"the due date of an invoice whose financing is {held.value} stays as it is")
    if not (rest := different - WORDS - {"due_date"}):
        return
    said = ", ".join(sorted(rest)).replace("_", " ")
    if row.status != "open" or row.amount_paid:
        raise Conflict(f"this invoice is {row.status}: {said} cannot be changed any more")
    if held is not None:
        raise Conflict(f"this invoice is on the marketplace ({held.value}): {said} cannot be changed")
    if rows.credited(session, row.id):
        raise Conflict(f"credit notes stand against this invoice: {said} cannot be changed")
    _refuse_of_open(session, row, different)


def _refuse_of_open(session: Session, row: Any, different: set[str]) -> None:
    """What is said already of an open invoice that may change otherwise."""
    if "series" in different:
        raise Conflict("this invoice has its number, which stays")
    if "contact_email" in different and (row.buyer_id is not None or row.sent_at or row.viewed_at):
        raise Conflict("its customer knows of this invoice; void it and make another one for somebody else")
    if "currency" in different and _is_named(session, row.id):
        raise Conflict("a payment names this invoice, so its currency stays; void it and make another one")


def _is_named(session: Session, invoice_id: UUID) -> bool:
    """Whether a payment is for this invoice, though it pays nothing of it now."""
    return bool(
        session.scalar(
            text(
                "SELECT EXISTS (SELECT FROM payments WHERE invoice_id = :id) "
                "OR EXISTS (SELECT FROM payment_targets WHERE invoice_id = :id)"
            ),
            {"id": invoice_id},
        )
    )


def _write_words(session: Session, row: Any, merged: NewInvoice) -> None:
    session.execute(
        text(
            "UPDATE invoices SET due_date = :due, notes = :notes, payment_terms = :terms, reference = :reference, "
            "reminders = :reminders WHERE id = :id"
        ),
        {
            "due": merged.due_date,
            "notes": merged.notes.strip(),
            "terms": merged.payment_terms.strip(),
            "reference": merged.reference.strip(),
            "reminders": merged.reminders,
            "id": row.id,
        },
    )


def _write_all(
    session: Session,
    actor: Actor,
    row: Any,
    merged: NewInvoice,
    customer: Customer,
    different: dict[str, Change],
) -> None:
    """Compute and write the invoice anew; add what it comes to to what is different."""
    inputs.check(merged)
    terms = rows.terms_of(session, row)
    if "place_of_supply" in different or "reverse_charge" in different:
        rows.refuse_gst_fields(merged, terms)
    issued = row.status != "draft"
    ready = rows.prepare(session, actor.id, merged, customer, terms, final=issued)
    if issued:
        series = next(one for one in numbering.list_series(session, actor.id) if one.prefix == row.series)
        if row.sequence is not None and series.year(merged.issue_date) != row.year:
            raise Invalid("issue_date", f"must stay in the year of its number, {row.number}")
    rows.rewrite(session, row.id, ready, keep=_KEPT if issued else ("recurring_id",))
    if issued and any(name in different for name in _CUSTOMER):
        rows.freeze(session, row.id, row.supplier or _supplier(session, row), customer)
    if (place := ready.basis.place_of_supply) != row.place_of_supply:
        different["place_of_supply"] = (row.place_of_supply, place)
    else:
        different.pop("place_of_supply", None)
    for name in ("subtotal", "tax", "total"):
        if getattr(row, name) != (becomes := getattr(ready.totals, name)):
            different[name] = (getattr(row, name), becomes)


def _supplier(session: Session, row: Any) -> dict[str, Any]:
    return profiles.supplier(session, row.seller_id, profiles.profile(session, row.seller_id))
