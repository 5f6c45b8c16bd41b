"""A statement of account: what a customer owed at first, what happened, and what they owe at last.

The balance is what the customer owes: invoices raise it, payments and credit notes lower it, money that goes back
raises it again. Below zero it is credit that is held for them. It is one currency's; days are those of UTC.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any, Final
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.orm import Session

from core.contacts import queries
from core.contacts.money import OF_CONTACT
from core.errors import Invalid
from core.identity import Actor

# A period longer than this is asked for in parts.
MAX_LINES: Final = 5000
# What comes first on one day: what is owed before what is paid of it.
_ORDER = {"invoice": 0, "credit_note": 1, "payment": 2, "refund": 3}


@dataclass(frozen=True, slots=True, kw_only=True)
class Movement:
    """Something that moved the balance, in minor units: `debit` raises it and `credit` lowers it."""

    on: date
    kind: str
    id: UUID
    number: str
    words: str
    debit: int = 0
    credit: int = 0
    due_date: date | None = None


_INVOICES = text(
    "SELECT id, number, issue_date, due_date, total, reference FROM invoices WHERE contact_id = :contact "
    "AND currency = :currency AND status NOT IN ('draft', 'void') AND issue_date <= :until"
)
# The part of each payment that is the contact's: all of their own but what pays others, and what others pay for them.
_PAYMENTS = text(
    f"""
    SELECT payments.id, payments.source, payments.method, payments.bank_reference, theirs.own,
        (payments.occurred_at AT TIME ZONE 'UTC')::date AS day, payments.amount, payments.refunded + payments.deducted
        AS returned, (payments.updated_at AT TIME ZONE 'UTC')::date AS changed_on,
        credit_notes.number AS note_number, credit_notes.reason, credit_notes.issue_date AS noted_on,
        coalesce((SELECT sum(allocations.amount) FROM allocations JOIN invoices ON invoices.id = allocations.invoice_id
            WHERE allocations.payment_id = payments.id AND invoices.contact_id = :contact), 0)::bigint AS here,
        payments.allocated
    FROM ({OF_CONTACT}) AS theirs JOIN payments ON payments.id = theirs.id
    LEFT JOIN credit_notes ON credit_notes.payment_id = payments.id
    WHERE payments.currency = :currency AND payments.status = 'succeeded' AND payments.trust <> 'hint'
    """
)
# When what of a payment went back, by hand and as providers say; a refund by hand that was taken back is negative.
_RETURNS = text(
    "SELECT payment_id, (refunded_at AT TIME ZONE 'UTC')::date AS day, amount FROM manual_refunds "
    "WHERE payment_id = ANY(:ids) UNION ALL "
    "SELECT payments.id, (payment_adjustments.occurred_at AT TIME ZONE 'UTC')::date, payment_adjustments.taken "
    "FROM payments JOIN payment_adjustments ON payment_adjustments.connection_id = payments.connection_id "
    "AND payment_adjustments.payment_object_id = payments.object_id "
    "AND payment_adjustments.currency = payments.currency "
    "WHERE payments.id = ANY(:ids) AND payment_adjustments.taken > 0 ORDER BY 2, 3"
)


def statement(
    session: Session, actor: Actor, contact_id: UUID, *, since: date, until: date, currency: str | None = None
) -> dict[str, Any]:
    """The account of a contact over the days `since` to `until`, both included. Raises NotFound, Invalid.

    Without `currency` it is the one in which the contact owes most invoices, else the contact's own, else the
    seller's. Shape, amounts in minor units:

        seller {id, name, organisation, legal_name, address, gstin, email}, contact (as get_contact shows it),
        currency, currencies (all in which there is anything), since, until, opening, closing,
        totals {invoiced, credited, paid, refunded} of the period,
        lines [{on, kind, id, number, words, due_date, debit, credit, balance}], oldest first;
        kind is invoice, credit_note, payment or refund; id is of the thing itself, a refund's that of its payment.
    """
    if since > until:
        raise Invalid("since", "must not be after the last day")
    contact = queries.get_contact(session, actor, contact_id)
    currencies = _currencies(session, contact_id)
    seller = _seller(session, UUID(contact["seller_id"]))
    chosen = currency or (currencies[0] if currencies else contact["currency"] or seller.pop("home_currency"))
    seller.pop("home_currency", None)
    moved = _movements(session, contact_id, chosen, until)
    opening = sum(one.debit - one.credit for one in moved if one.on < since)
    lines, balance = [], opening
    for one in (one for one in moved if one.on >= since):
        balance += one.debit - one.credit
        lines.append(_line(one, balance))
    if len(lines) > MAX_LINES:
        raise Invalid("since", f"must be later: this period has more than {MAX_LINES} lines")
    return {
        "seller": seller,
        "contact": contact,
        "currency": chosen,
        "currencies": sorted({*currencies, chosen}),
        "since": since,
        "until": until,
        "opening": opening,
        "closing": balance,
        "totals": _totals(lines),
        "lines": lines,
    }


def _totals(lines: Sequence[dict[str, Any]]) -> dict[str, int]:
    def total(kind: str) -> int:
        return abs(sum(int(line["debit"] - line["credit"]) for line in lines if line["kind"] == kind))

    return {
        "invoiced": total("invoice"),
        "credited": total("credit_note"),
        "paid": total("payment"),
        "refunded": total("refund"),
    }


def _line(one: Movement, balance: int) -> dict[str, Any]:
    return {
        "on": one.on,
        "kind": one.kind,
        "id": str(one.id),
        "number": one.number,
        "words": one.words,
        "due_date": one.due_date,
        "debit": one.debit,
        "credit": one.credit,
        "balance": balance,
    }


def _currencies(session: Session, contact_id: UUID) -> list[str]:
    """The currencies of a contact's invoices, the most used first, then those of their money alone."""
    used = session.scalars(
        text(
            "SELECT currency FROM invoices WHERE contact_id = :contact AND status NOT IN ('draft', 'void') "
            "GROUP BY currency ORDER BY count(*) DESC, currency"
        ),
        {"contact": contact_id},
    ).all()
    paid = session.scalars(
        text(
            f"SELECT DISTINCT payments.currency FROM ({OF_CONTACT}) AS theirs JOIN payments ON payments.id = theirs.id "
            "WHERE payments.status = 'succeeded' AND payments.trust <> 'hint' ORDER BY 1"
        ),
        {"contact": contact_id},
    ).all()
    return list(dict.fromkeys([*used, *paid]))


def _seller(session: Session, user_id: UUID) -> dict[str, Any]:
    row = session.execute(
        text(
            "SELECT users.id, users.name, users.organisation, users.email, coalesce(business.legal_name, '') AS "
            "legal_name, coalesce(business.address, '') AS address, business.gstin, "
            "coalesce(business.home_currency, 'INR') AS home_currency FROM users "
            "LEFT JOIN business_profiles AS business ON business.user_id = users.id WHERE users.id = :id"
        ),
        {"id": user_id},
    ).one()
    return {**row._asdict(), "id": str(row.id)}


def _movements(session: Session, contact_id: UUID, currency: str, until: date) -> list[Movement]:
    """Everything that moved the balance up to a day, in the order of the days."""
    values = {"contact": contact_id, "currency": currency}
    found = [
        Movement(
            on=row.issue_date,
            kind="invoice",
            id=row.id,
            number=row.number,
            words=row.reference,
            debit=row.total,
            due_date=row.due_date,
        )
        for row in session.execute(_INVOICES, {**values, "until": until})
    ]
    paid = session.execute(_PAYMENTS, values).all()
    returned = _returns(session, [row.id for row in paid if row.own and row.returned])
    for row in paid:
        found += _of_payment(row, returned.get(row.id, []))
    return sorted(
        (one for one in found if one.on <= until), key=lambda one: (one.on, _ORDER[one.kind], one.number, one.id)
    )


def _returns(session: Session, ids: Sequence[UUID]) -> dict[UUID, list[tuple[date, int]]]:
    """When what of each payment went back: day and amount, in the order of the days."""
    found: dict[UUID, list[tuple[date, int]]] = {}
    if ids:
        for row in session.execute(_RETURNS, {"ids": list(ids)}):
            found.setdefault(row.payment_id, []).append((row.day, row.amount))
    return found


def _of_payment(row: Any, returned: Sequence[tuple[date, int]]) -> list[Movement]:
    """A payment as far as it is the contact's, and what of it went back."""
    brought = row.amount - (row.allocated - row.here) if row.own else row.here
    if brought <= 0:
        return []
    if row.note_number is not None:
        return [
            Movement(
                on=row.noted_on, kind="credit_note", id=row.id, number=row.note_number, words=row.reason, credit=brought
            )
        ]
    words = (row.method or row.source).replace("_", " ")
    found = [
        Movement(on=row.day, kind="payment", id=row.id, number=row.bank_reference or "", words=words, credit=brought)
    ]
    left = row.returned if row.own else 0
    dated = _within(returned, left)
    # What nobody dates went back when the payment was last written.
    for day, amount in (*dated, (row.changed_on, left - sum(amount for _, amount in dated))):
        if amount:
            found.append(
                Movement(
                    on=day,
                    kind="refund",
                    id=row.id,
                    number=row.bank_reference or "",
                    words=words,
                    debit=max(amount, 0),
                    credit=max(-amount, 0),
                )
            )
    return found


def _within(returned: Sequence[tuple[date, int]], most: int) -> list[tuple[date, int]]:
    """The amounts that went back, cut where they are together more than `most`: a payment gives back what it had."""
    found, sum_so_far = [], 0
    for day, amount in returned:
        found.append((day, min(amount, most - sum_so_far)))
        sum_so_far += found[-1][1]
    return found
