"""Reading contacts: the list, one of them with what it owes and how it pays, and its history."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.orm import Session

from core import paging
from core.bulk import array
from core.contacts.money import CREDIT, OF_CONTACT
from core.decimals import plain
from core.errors import Invalid, NotFound
from core.identity import Actor, Role

_COLUMNS = """
    contacts.id, contacts.user_id, contacts.name, contacts.legal_name, contacts.email, contacts.phone,
    contacts.address, contacts.gstin, contacts.state_code, contacts.currency, contacts.payment_days,
    contacts.tds_rate, contacts.reminders, contacts.notes, contacts.buyer_id, contacts.archived_at,
    contacts.version, contacts.created_at, contacts.updated_at,
    users.name AS seller_name, users.organisation AS seller_organisation
"""
_FROM = "contacts JOIN users ON users.id = contacts.user_id"
# Of how many paid invoices, the newest, the days to pay are the mean.
PAID_LATELY = 100


def visible(actor: Actor) -> str:
    """The condition under which a contact is the actor's to read. It uses the parameter :actor."""
    match actor.role:
        case Role.SELLER:
            return "contacts.user_id = :actor"
        case Role.OPERATOR:
            return "true"
        case Role.BUYER | Role.INVESTOR:
            return "false"


def _shape(row: Any, balances: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        "id": str(row.id),
        "seller_id": str(row.user_id),
        # Whose customer it is, which an operator who reads all of them must see.
        "seller": {"id": str(row.user_id), "name": row.seller_name, "organisation": row.seller_organisation},
        "name": row.name,
        "legal_name": row.legal_name,
        "email": row.email,
        "phone": row.phone,
        "address": row.address,
        "gstin": row.gstin,
        "state_code": row.state_code,
        "currency": row.currency,
        "payment_days": row.payment_days,
        "tds_rate": plain(row.tds_rate),
        "reminders": row.reminders,
        "notes": row.notes,
        "buyer_id": str(row.buyer_id) if row.buyer_id else None,
        "archived_at": row.archived_at,
        "version": row.version,
        "created_at": row.created_at,
        "updated_at": row.updated_at,
        "balances": balances,
    }


def list_contacts(
    session: Session,
    actor: Actor,
    *,
    limit: int = 25,
    cursor: str | None = None,
    search: str | None = None,
    archived: bool = False,
) -> dict[str, Any]:
    """Contacts by name (for operators the newest first), with what each owes.

    `archived` lists those that were put away instead. `search` looks in names, address of mail and GSTIN.
    """
    conditions = [visible(actor), f"contacts.archived_at IS {'NOT NULL' if archived else 'NULL'}"]
    values: dict[str, Any] = {"actor": actor.id, "limit": paging.check_limit(limit) + 1}
    if search:
        conditions.append(
            "(contacts.name ILIKE :search OR contacts.legal_name ILIKE :search OR contacts.email ILIKE :search "
            "OR contacts.gstin ILIKE :search)"
        )
        values["search"] = paging.contains(search)
    # An operator reads over all sellers, where only the order of arrival has an index.
    order = "newest" if actor.is_operator else "name"
    if cursor:
        known, values["name"], values["after"] = paging.after_key(cursor)
        if known != order:
            raise Invalid("cursor", "is not one that this list gave out")
        conditions.append(
            "(lower(contacts.name), contacts.id) > (:name, :after)" if order == "name" else "contacts.id < :after"
        )
    rows = session.execute(
        text(
            f"SELECT {_COLUMNS}, lower(contacts.name) AS key FROM {_FROM} WHERE {' AND '.join(conditions)} "
            f"ORDER BY {'lower(contacts.name), contacts.id' if order == 'name' else 'contacts.id DESC'} LIMIT :limit"
        ),
        values,
    ).all()
    owed = open_balances(session, [row.id for row in rows[:limit]])
    return paging.page_by_key(
        rows, limit, lambda row: _shape(row, owed.get(row.id, [])), lambda row: (order, row.key, row.id)
    )


def open_balances(session: Session, contact_ids: Collection[UUID]) -> dict[UUID, list[dict[str, Any]]]:
    """What each contact owes by its open invoices, an entry a currency: how many, due, and overdue of it."""
    found: dict[UUID, list[dict[str, Any]]] = {}
    rows = session.execute(
        text(
            "SELECT contact_id, currency, count(*) AS invoices, sum(amount_due)::bigint AS due, "
            "coalesce(sum(amount_due) FILTER (WHERE due_date < (now() AT TIME ZONE 'UTC')::date), 0)::bigint "
            "AS overdue FROM invoices WHERE contact_id = ANY(CAST(:ids AS uuid[])) AND status IN ('open', 'partial') "
            "GROUP BY contact_id, currency ORDER BY contact_id, currency"
        ),
        {"ids": array(contact_ids, "uuid")},
    )
    for row in rows:
        found.setdefault(row.contact_id, []).append(
            {"currency": row.currency, "invoices": row.invoices, "due": row.due, "overdue": row.overdue, "credit": 0}
        )
    return found


def get_contact(session: Session, actor: Actor, contact_id: UUID) -> dict[str, Any]:
    """A contact with its balances (credit that is held included) and how it pays. Raises NotFound."""
    row = session.execute(
        text(f"SELECT {_COLUMNS} FROM {_FROM} WHERE contacts.id = :id AND {visible(actor)}"),
        {"id": contact_id, "actor": actor.id},
    ).one_or_none()
    if row is None:
        raise NotFound("contact", contact_id)
    balances = {entry["currency"]: entry for entry in open_balances(session, [contact_id]).get(contact_id, [])}
    for held in session.execute(CREDIT, {"contact": contact_id}):
        blank = {"currency": held.currency, "invoices": 0, "due": 0, "overdue": 0, "credit": 0}
        balances.setdefault(held.currency, blank)["credit"] = held.credit
    return {
        **_shape(row, [balances[currency] for currency in sorted(balances)]),
        "paying": _paying(session, contact_id),
    }


def _paying(session: Session, contact_id: UUID) -> dict[str, Any]:
    """How the contact pays: over the newest paid invoices, the mean days from issue, and beyond the due date."""
    row = session.execute(
        text(
            "SELECT count(*) AS invoices, round(avg(paid_on - issue_date), 1) AS days, "
            "round(avg(paid_on - due_date), 1) AS late FROM ("
            "SELECT invoices.issue_date, invoices.due_date, (SELECT max(payments.occurred_at AT TIME ZONE 'UTC')::date "
            "FROM allocations JOIN payments ON payments.id = allocations.payment_id "
            "WHERE allocations.invoice_id = invoices.id AND payments.allocated > 0) AS paid_on "
            "FROM invoices WHERE contact_id = :id AND status = 'paid' ORDER BY id DESC LIMIT :most) AS lately"
        ),
        {"id": contact_id, "most": PAID_LATELY},
    ).one()
    return {"invoices": row.invoices, "average_days": plain(row.days), "average_days_late": plain(row.late)}


_HISTORY = f"""
    SELECT invoices.created_at AS at, invoices.id, 'invoice' AS kind, invoices.number, invoices.status,
        invoices.total AS amount, invoices.currency, '' AS words
    FROM invoices WHERE invoices.contact_id = :contact
    UNION ALL
    SELECT payments.occurred_at, payments.id, 'payment', coalesce(payments.bank_reference, ''), payments.status,
        payments.amount, payments.currency, coalesce(payments.method, payments.source)
    FROM payments WHERE payments.source <> 'credit_note'
        AND payments.id IN (SELECT theirs.id FROM ({OF_CONTACT}) AS theirs)
    UNION ALL
    SELECT credit_notes.created_at, credit_notes.id, 'credit_note', credit_notes.number, credit_notes.status,
        credit_notes.total, credit_notes.currency, credit_notes.reason
    FROM credit_notes WHERE credit_notes.contact_id = :contact
    UNION ALL
    SELECT mails.created_at, mails.id, 'mail', '', mails.state, NULL, NULL, mails.subject
    FROM invoices JOIN mails ON mails.subject_id = invoices.id AND mails.subject_kind = 'invoice'
        AND mails.to_address = (SELECT email FROM contacts WHERE contacts.id = :contact)
    WHERE invoices.contact_id = :contact
"""


def history(
    session: Session, actor: Actor, contact_id: UUID, *, limit: int = 25, cursor: str | None = None
) -> dict[str, Any]:
    """What happened with a contact, newest first: invoices, payments, credit notes and mails. Raises NotFound.

    `words` are the method of a payment, the reason of a credit note, the subject of a mail.
    """
    get_contact(session, actor, contact_id)
    values: dict[str, Any] = {"contact": contact_id, "limit": paging.check_limit(limit) + 1}
    condition = "true"
    if (after := paging.after_moment(cursor)) is not None:
        condition = "(at, id) < (:moment, :after)"
        values["moment"], values["after"] = after
    rows = session.execute(
        text(f"SELECT * FROM ({_HISTORY}) AS past WHERE {condition} ORDER BY at DESC, id DESC LIMIT :limit"), values
    ).all()
    return paging.page(
        rows,
        limit,
        lambda row: {
            "id": str(row.id),
            "kind": row.kind,
            "at": row.at,
            "number": row.number,
            "status": row.status,
            "amount": row.amount,
            "currency": row.currency,
            "words": row.words,
        },
        by_moment="at",
    )


def choices(session: Session, actor: Actor, limit: int = 500) -> list[dict[str, Any]]:
    """The seller's own contacts for a field that offers them, by name: what an invoice takes over, without sums."""
    rows = session.execute(
        text(
            "SELECT id, name, email, legal_name, address, gstin, state_code, currency, payment_days FROM contacts "
            "WHERE user_id = :actor AND archived_at IS NULL ORDER BY lower(name), id LIMIT :limit"
        ),
        {"actor": actor.id, "limit": limit},
    )
    return [dict(row) for row in rows.mappings()]
