"""Reading invoices, as far as the asker may see them."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from typing import Any
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.orm import Session

from core import paging
from core.bulk import array
from core.errors import NotFound
from core.identity import Actor, Role
from core.invoicing import activity, customers, lines, profiles, stages
from core.invoicing import filters as filtering
from core.invoicing.filters import FILTERS, LATE, PAYMENT_STATUSES, STATUSES, Filters
from core.lists import search as searching
from core.marketplace import shapes
from core.marketplace.states import ENDED, ON_OFFER

__all__ = ["FILTERS", "PAYMENT_STATUSES", "STATUSES", "Filters", "get_invoice", "list_invoices", "visible"]

_ENDED = frozenset(state.value for state in ENDED)

_ON_OFFER = ", ".join(f"'{state.value}'" for state in sorted(ON_OFFER))

_COLUMNS = f"""
    invoices.id, invoices.number, invoices.status AS payment_status, {shapes.STATUS} AS status,
    {stages.SQL} AS stage, invoices.currency, invoices.buyer_id, invoices.issue_date, invoices.due_date,
    invoices.subtotal, invoices.discount, invoices.tax, invoices.rounding, invoices.total, invoices.amount_paid,
    invoices.amount_due, invoices.reference, invoices.notes, invoices.payment_terms, invoices.reminders,
    invoices.recurring_id, invoices.issued_at, invoices.sent_at, invoices.viewed_at, invoices.version,
    invoices.created_at, invoices.updated_at, {LATE} AS overdue,
    contacts.id AS contact_id, contacts.name AS contact_name, contacts.email AS contact_email,
    users.id AS seller_id, users.name AS seller_name, users.organisation AS seller_organisation, {shapes.COLUMNS}
"""
# What a page of one invoice shows beside.
_MORE = """
    invoices.series, invoices.tax_regime, invoices.place_of_supply, invoices.reverse_charge,
    invoices.delivery_address, invoices.cgst, invoices.sgst, invoices.igst, invoices.supplier, invoices.customer,
    invoices.seller_id AS owner_id,
    EXISTS (SELECT FROM credit_notes WHERE credit_notes.invoice_id = invoices.id AND credit_notes.status = 'issued')
        AS credited
"""
_FROM = f"""
    invoices JOIN contacts ON contacts.id = invoices.contact_id JOIN users ON users.id = invoices.seller_id
    {shapes.NEWEST}
"""

_INVESTED = (
    "invoices.id IN (SELECT financings.invoice_id FROM investments "
    "JOIN financings ON financings.id = investments.financing_id "
    "WHERE investments.investor_id = :actor AND investments.status <> 'voided')"
)


# Beside "or" a list of ids would be read in full: here it is one look-up by the invoice.
_INVESTOR_READS = (
    f"(financing.state IN ({_ON_OFFER}) OR EXISTS (SELECT FROM financings AS placed "
    "JOIN investments ON investments.financing_id = placed.id WHERE placed.invoice_id = invoices.id "
    "AND investments.investor_id = :actor AND investments.status <> 'voided'))"
)


def visible(actor: Actor) -> str:
    """The condition under which an invoice is the actor's own, to be listed. It uses the parameter :actor.

    An investor's are those they have money in. What is on offer is listed by core.marketplace.queries.
    """
    match actor.role:
        case Role.SELLER:
            return "invoices.seller_id = :actor"
        case Role.BUYER:
            # A draft is not yet said to anybody.
            return "invoices.buyer_id = :actor AND invoices.status <> 'draft'"
        case Role.OPERATOR:
            return "true"
        case Role.INVESTOR:
            return _INVESTED


def _readable(actor: Actor) -> str:
    """The condition under which the actor may look at an invoice: their own, and for investors what is on offer."""
    if actor.role is Role.INVESTOR:
        return _INVESTOR_READS
    return visible(actor)


def shape(row: Any, actor: Actor) -> dict[str, Any]:
    """An invoice row as a list shows it. An investor is not told the buyer's address, nor the seller's notes."""
    outsider = actor.role is Role.INVESTOR
    return {
        "id": str(row.id),
        "number": row.number,
        "status": row.status,
        "payment_status": row.payment_status,
        "stage": row.stage,
        "currency": row.currency,
        "contact": {
            "id": str(row.contact_id),
            "name": row.contact_name,
            "email": None if outsider else row.contact_email,
        },
        "seller": {
            "id": str(row.seller_id),
            "name": row.seller_name,
            "organisation": row.seller_organisation,
        },
        "buyer_id": str(row.buyer_id) if row.buyer_id else None,
        "reference": "" if outsider else row.reference,
        "issue_date": row.issue_date,
        "due_date": row.due_date,
        "overdue": row.overdue,
        **{
            name: getattr(row, name)
            for name in ("subtotal", "discount", "tax", "rounding", "total", "amount_paid", "amount_due")
        },
        "notes": "" if outsider else row.notes,
        "payment_terms": row.payment_terms,
        "reminders": row.reminders,
        "recurring_id": None if outsider or row.recurring_id is None else str(row.recurring_id),
        "issued_at": row.issued_at,
        "sent_at": row.sent_at,
        "viewed_at": row.viewed_at,
        "version": row.version,
        "created_at": row.created_at,
        "updated_at": row.updated_at,
        "financing": shapes.financing(row),
    }


def list_invoices(
    session: Session,
    actor: Actor,
    *,
    limit: int = 25,
    cursor: str | None = None,
    filters: Filters | None = None,
    status: str | None = None,
    payment_status: str | None = None,
    search: str | None = None,
) -> dict[str, Any]:
    """Invoices of the actor, newest first or as `filters` says; without them three names of Filters may be given.

    The one whose number a seller searches for stands before those that came later, on the first page.
    """
    asked = filters or Filters(status=status, payment_status=payment_status, search=search)
    limit, order = paging.check_limit(limit), filtering.order(asked, actor, cursor)
    # One row alone has no place for a second that stands before it.
    named = searching.named(asked.search, actor) if order.name == "newest" and limit > 1 else None
    first = [] if named is None or cursor else _listed(session, actor, replace(asked, search=None), order, 1, key=named)
    room = limit - len(first)
    rows = _listed(session, actor, asked, order, room + 1, but=named)
    if order.name in {"newest", "oldest"}:
        found = paging.page(rows, room, lambda row: shape(row, actor))
    else:
        found = paging.page_by_key(rows, room, lambda row: shape(row, actor), order.key)
    found["items"] = [*(shape(row, actor) for row in first), *found["items"]]
    return found


def _listed(
    session: Session,
    actor: Actor,
    asked: Filters,
    order: filtering.Order,
    limit: int,
    *,
    key: str | None = None,
    but: str | None = None,
) -> list[Any]:
    """Rows of a list; only the one whose number has the normal form `key`, or all but that with `but`."""
    sought = searching.find(session, asked.search, actor) if asked.search else None
    conditions, values = filtering.conditions(asked, actor, sought)
    conditions = [visible(actor), *conditions, *(each for each in (order.where, order.after) if each)]
    conditions += ["invoices.number_key = :key"] if key is not None else []
    conditions += ["invoices.number_key IS DISTINCT FROM :but"] if but is not None else []
    rows = session.execute(
        text(f"SELECT {_COLUMNS} FROM {_FROM} WHERE {' AND '.join(conditions)} ORDER BY {order.sql} LIMIT :limit"),
        {**values, **order.values, "actor": actor.id, "key": key, "but": but, "limit": limit},
    )
    return list(rows)


def matching(session: Session, actor: Actor, asked: Filters, limit: int) -> list[tuple[UUID, str | None]]:
    """The ids and numbers of all that a list with these filters holds, oldest first, up to `limit`."""
    sought = searching.find(session, asked.search, actor) if asked.search else None
    conditions, values = filtering.conditions(asked, actor, sought)
    rows = session.execute(
        text(
            f"SELECT invoices.id, invoices.number FROM {_FROM} WHERE {' AND '.join([visible(actor), *conditions])} "
            "ORDER BY invoices.id LIMIT :limit"
        ),
        {**values, "actor": actor.id, "limit": limit},
    )
    return [(row.id, row.number) for row in rows]


def may_read(session: Session, actor: Actor, invoice_id: UUID) -> bool:
    """Whether `get_invoice` would find it."""
    found = session.scalar(
        text(f"SELECT EXISTS (SELECT FROM {_FROM} WHERE invoices.id = :id AND {_readable(actor)})"),
        {"id": invoice_id, "actor": actor.id},
    )
    return bool(found)


def investors_read(session: Session, asked: Collection[tuple[UUID, UUID]]) -> set[tuple[UUID, UUID]]:
    """Of (investor, invoice) those in which the investor may look at the invoice now; one query."""
    readable = _INVESTOR_READS.replace(":actor", "asked.investor")
    pairs = sorted(asked)
    rows = session.execute(
        text(
            "SELECT investor, invoice FROM unnest(CAST(:investors AS uuid[]), CAST(:invoices AS uuid[])) "
            f"AS asked (investor, invoice) WHERE EXISTS (SELECT FROM {_FROM} WHERE invoices.id = asked.invoice "
            f"AND {readable})"
        ),
        {
            "investors": array((investor for investor, _ in pairs), "uuid"),
            "invoices": array((invoice for _, invoice in pairs), "uuid"),
        },
    )
    return {(row.investor, row.invoice) for row in rows}


def get_invoice(session: Session, actor: Actor, invoice_id: UUID) -> dict[str, Any]:
    """An invoice with both sides, its lines, the payments towards it and its history. Raises NotFound.

    An investor sees the invoice itself and what became of its financing, and not who paid, when, from where.
    """
    row = session.execute(
        text(f"SELECT {_COLUMNS}, {_MORE} FROM {_FROM} WHERE invoices.id = :id AND {_readable(actor)}"),
        {"id": invoice_id, "actor": actor.id},
    ).one_or_none()
    if row is None:
        raise NotFound("invoice", invoice_id)
    outsider = actor.role is Role.INVESTOR
    found = shape(row, actor)
    found |= _document(session, row, outsider=outsider)
    found |= lines.read(session, "invoice", invoice_id)
    found["editable"] = editable(row, actor)
    allocated = [] if outsider else _allocations(session, invoice_id)
    found["payments"] = _payments(allocated, actor)
    found["history"] = activity.history(session, actor, invoice_id, found, allocated)
    return found


def editable(row: Any, actor: Actor) -> str:
    """How much of an invoice the actor may change: all, the words, or none. `core.invoicing.editing` decides."""
    if row.seller_id != actor.id:
        return "none"
    held = row.financing_state is not None and row.financing_state not in _ENDED
    free = row.payment_status == "draft" or (row.payment_status == "open" and not row.credited)
    return "all" if free and not held else "words"


def _document(session: Session, row: Any, *, outsider: bool) -> dict[str, Any]:
    """What stands on the document: both sides, as they were when it was issued, or as they are now of a draft."""
    supplier, customer = row.supplier, row.customer
    if not supplier or not customer:
        supplier = profiles.supplier(session, row.owner_id, profiles.profile(session, row.owner_id))
        known = customers.find(session, row.owner_id, contact_id=row.contact_id)
        customer = (known or customers.Customer(name=row.contact_name)).side()
    if outsider:
        # Whom to write to, and their numbers, are between the two parties.
        supplier = {**dict.fromkeys(supplier), "name": supplier["name"]}
        customer = {**dict.fromkeys(customer), "name": customer["name"]}
    return {
        "supplier": supplier,
        "customer": customer,
        "series": row.series,
        "tax_regime": row.tax_regime,
        "place_of_supply": row.place_of_supply,
        "reverse_charge": row.reverse_charge,
        "delivery_address": "" if outsider else row.delivery_address,
        **{name: getattr(row, name) for name in ("cgst", "sgst", "igst")},
    }


def _allocations(session: Session, invoice_id: UUID) -> list[Any]:
    return list(
        session.execute(
            text(
                "SELECT allocations.id, allocations.payment_id, allocations.amount, allocations.currency, "
                "allocations.reason, allocations.created_at, payments.status, payments.source, payments.method, "
                "payments.amount AS payment_amount, payments.occurred_at, payments.bank_reference, "
                # What it paid of another buyer's invoices is between that buyer and the seller.
                "EXISTS (SELECT FROM payment_targets AS part JOIN invoices AS other ON other.id = part.invoice_id "
                "WHERE part.payment_id = payments.id AND other.buyer_id IS DISTINCT FROM paid.buyer_id) AS shared "
                "FROM allocations JOIN payments ON payments.id = allocations.payment_id "
                "JOIN invoices AS paid ON paid.id = allocations.invoice_id "
                "WHERE allocations.invoice_id = :id ORDER BY allocations.id"
            ),
            {"id": invoice_id},
        )
    )


def _payments(allocated: list[Any], actor: Actor) -> list[dict[str, Any]]:
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
        if row.shared and actor.role is Role.BUYER:
            entry["amount"] = entry["allocated"]
    return sorted(found.values(), key=lambda entry: (entry["occurred_at"], entry["id"]), reverse=True)
