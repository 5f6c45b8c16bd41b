"""Reading invoices, as far as the asker may see them."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.orm import Session

from core import paging
from core.bulk import array
from core.errors import Invalid, NotFound
from core.identity import Actor, Role
from core.marketplace import shapes
from core.marketplace.states import ON_OFFER, State

PAYMENT_STATUSES = ("draft", "open", "partial", "paid", "void")
# What is shown as `status`: see core.marketplace.shapes.STATUS.
STATUSES = (*PAYMENT_STATUSES, *(state.value for state in State))
_LATE = "invoices.status IN ('open', 'partial') AND invoices.due_date < (now() AT TIME ZONE 'UTC')::date"
# What people ask for that is not one state: what still has money coming, and what is late, financed or not.
_GROUPS = {"unpaid": "invoices.status IN ('open', 'partial')", "overdue": _LATE}
FILTERS = tuple(dict.fromkeys((*STATUSES, *_GROUPS)))
_ON_OFFER = ", ".join(f"'{state.value}'" for state in sorted(ON_OFFER))

_COLUMNS = f"""
    invoices.id, invoices.number, invoices.status AS payment_status, {shapes.STATUS} AS status, invoices.currency,
    invoices.buyer_id, invoices.issue_date, invoices.due_date, invoices.subtotal, invoices.tax, invoices.total,
    invoices.amount_paid, invoices.amount_due, invoices.notes, invoices.payment_terms, invoices.version,
    invoices.created_at, invoices.updated_at, {_LATE} AS overdue,
    contacts.id AS contact_id, contacts.name AS contact_name, contacts.email AS contact_email,
    users.id AS seller_id, users.name AS seller_name, users.organisation AS seller_organisation, {shapes.COLUMNS}
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
        "issue_date": row.issue_date,
        "due_date": row.due_date,
        "overdue": row.overdue,
        "subtotal": row.subtotal,
        "tax": row.tax,
        "total": row.total,
        "amount_paid": row.amount_paid,
        "amount_due": row.amount_due,
        "notes": "" if outsider else row.notes,
        "payment_terms": row.payment_terms,
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
    status: str | None = None,
    payment_status: str | None = None,
    search: str | None = None,
) -> dict[str, Any]:
    """Invoices, newest first.

    `status` is a state as it is shown, or unpaid or overdue; `payment_status` is what is paid, financed or not;
    `search` looks in number and contact.
    """
    conditions = [visible(actor)]
    values: dict[str, Any] = {"actor": actor.id, "limit": paging.check_limit(limit) + 1}
    if status:
        conditions.append(_with_status(status))
        values["status"] = status
    if payment_status:
        if payment_status not in PAYMENT_STATUSES:
            raise Invalid("payment_status", f"must be one of {', '.join(PAYMENT_STATUSES)}")
        conditions.append("invoices.status = :payment_status")
        values["payment_status"] = payment_status
    if search:
        # Nobody finds out an address that they are not shown by searching for it.
        hidden = "" if actor.role is Role.INVESTOR else " OR contacts.email ILIKE :search"
        conditions.append(f"(invoices.number ILIKE :search OR contacts.name ILIKE :search{hidden})")
        values["search"] = paging.contains(search)
    if (after := paging.after_id(cursor)) is not None:
        conditions.append("invoices.id < :after")
        values["after"] = after
    rows = session.execute(
        text(f"SELECT {_COLUMNS} FROM {_FROM} WHERE {' AND '.join(conditions)} ORDER BY invoices.id DESC LIMIT :limit"),
        values,
    ).all()
    return paging.page(rows, limit, lambda row: shape(row, actor))


def _with_status(status: str) -> str:
    """The condition of a status filter. Raises Invalid."""
    if status not in FILTERS:
        raise Invalid("status", f"must be one of {', '.join(FILTERS)}")
    if status in _GROUPS:
        return _GROUPS[status]
    if status in PAYMENT_STATUSES:
        return f"invoices.status = :status AND {shapes.STATUS} = :status"
    # The first half finds the few by an index; the second leaves out those whose newest financing says otherwise.
    return f"invoices.id IN (SELECT invoice_id FROM financings WHERE state = :status) AND {shapes.STATUS} = :status"


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
    """An invoice with its lines, the payments towards it and its history. Raises NotFound.

    An investor sees the invoice itself and what became of its financing, and not who paid, when, from where.
    """
    row = session.execute(
        text(f"SELECT {_COLUMNS} FROM {_FROM} WHERE invoices.id = :id AND {_readable(actor)}"),
        {"id": invoice_id, "actor": actor.id},
    ).one_or_none()
    if row is None:
        raise NotFound("invoice", invoice_id)
    found = shape(row, actor)
    items = session.execute(
        text(
            "SELECT description, quantity, unit_price, tax_rate, net, tax FROM invoice_items "
            "WHERE invoice_id = :id ORDER BY position"
        ),
        {"id": invoice_id},
    )
    found["items"] = [
        {**item._asdict(), "quantity": _plain(item.quantity), "tax_rate": _plain(item.tax_rate)} for item in items
    ]
    outsider = actor.role is Role.INVESTOR
    allocated = [] if outsider else _allocations(session, invoice_id)
    found["payments"] = _payments(allocated)
    history = _history(session, actor, invoice_id, found, allocated)
    found["history"] = _told_to_investors(history) if outsider else history
    return found


def _told_to_investors(history: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The steps of the financing, without who took them: the others' names are not an investor's business."""
    return [
        {**entry, "actor": None, "reason": None}
        for entry in history
        if entry["kind"].startswith("financing.") or entry["kind"] == "invoice.created"
    ]


def _plain(value: Any) -> str:
    """A decimal without trailing zeros and without an exponent."""
    spelled = format(value, "f")
    return spelled.rstrip("0").rstrip(".") if "." in spelled else spelled


def _allocations(session: Session, invoice_id: UUID) -> list[Any]:
    return list(
        session.execute(
            text(
                "SELECT allocations.id, allocations.payment_id, allocations.amount, allocations.currency, "
                "allocations.reason, allocations.created_at, payments.status, payments.source, payments.method, "
                "payments.amount AS payment_amount, payments.occurred_at, payments.bank_reference "
                "FROM allocations JOIN payments ON payments.id = allocations.payment_id "
                "WHERE allocations.invoice_id = :id ORDER BY allocations.id"
            ),
            {"id": invoice_id},
        )
    )


def _payments(allocated: list[Any]) -> list[dict[str, Any]]:
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
    return sorted(found.values(), key=lambda entry: (entry["occurred_at"], entry["id"]), reverse=True)


def _history(
    session: Session, actor: Actor, invoice_id: UUID, invoice: dict[str, Any], allocated: list[Any]
) -> list[dict[str, Any]]:
    """What happened, newest first: what people did, and every movement of money."""
    entries: list[dict[str, Any]] = [
        {
            "at": row.at,
            "kind": row.action,
            "actor": row.name,
            "amount": None,
            "currency": None,
            "payment_id": None,
            "reason": row.reason,
        }
        for row in session.execute(
            text(
                # A buyer owes the same whoever financed it, and does not read who did.
                "SELECT audit_log.at, audit_log.action, "
                "CASE WHEN users.role = 'investor' AND :buyer THEN NULL ELSE users.name END AS name, "
                # Why a buyer said no: "quality: ten bales were torn".
                "CASE WHEN audit_log.action IN ('financing.rejected', 'financing.disputed') "
                "THEN audit_log.data->>'reason' END AS reason FROM audit_log "
                "LEFT JOIN users ON users.id = audit_log.actor_id "
                "WHERE audit_log.subject_id = :id AND audit_log.subject_kind = 'invoice' "
                "ORDER BY audit_log.id DESC LIMIT 200"
            ),
            {"id": invoice_id, "buyer": actor.role is Role.BUYER},
        )
    ]
    if not any(entry["kind"] == "invoice.created" for entry in entries):
        entries.append(
            {
                "at": invoice["created_at"],
                "kind": "invoice.created",
                "actor": invoice["seller"]["name"],
                "amount": None,
                "currency": None,
                "payment_id": None,
                "reason": None,
            }
        )
    entries += [
        {
            "at": row.created_at,
            "kind": "payment.allocated" if row.amount > 0 else "payment.released",
            "actor": None,
            "amount": row.amount,
            "currency": row.currency,
            "payment_id": str(row.payment_id),
            "reason": row.reason,
        }
        for row in allocated
    ]
    return sorted(entries, key=lambda entry: entry["at"], reverse=True)
