"""A seller's book for the engine, read with one query a table: what is open, who the customers are, what is booked."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, text

from core.bulk import array
from core.events import Trust
from core.marketplace import words
from core.reconciliation.features import Account, Book, Booked, Contact, Line, OpenInvoice
from core.reconciliation.fingerprints import day_of
from core.reconciliation.names import normal_name
from core.reconciliation.payers import identities
from core.taxids.irn import DocumentKind, irn

# Lines that were decided on are compared with open ones, and bookings with lines, so many days around.
_AROUND = timedelta(days=12)

_LINES = """
    SELECT transactions.id, transactions.user_id, transactions.version, transactions.amount, transactions.currency,
        narration, counterparty, bank_reference, occurred_at, booked_on, match_state,
        transactions.trust, transactions.connection_id, account_object_id, bank_accounts.number_masked
    FROM transactions LEFT JOIN bank_accounts ON bank_accounts.connection_id = transactions.connection_id
        AND bank_accounts.object_id = transactions.account_object_id
    WHERE transactions.user_id = :user AND transactions.status = 'posted' AND transactions.amount > 0
        AND transactions.trust <> 'hint'
"""
_OPEN = text(f"{_LINES} AND match_state IN ('none', 'proposed') ORDER BY transactions.id LIMIT :most")
_ONE = text(f"{_LINES} AND match_state IN ('none', 'proposed') AND transactions.id = :id")
_KNOWN = text(
    f"{_LINES} AND match_state IN ('accepted', 'ignored') AND transactions.amount = ANY(CAST(:amounts AS bigint[])) "
    "AND occurred_at BETWEEN :since AND :until ORDER BY transactions.id"
)
# What few invoices have is read once and joined, not asked for each of tens of thousands.
_INVOICES = text(
    "SELECT invoices.id, number, number_key, amount_due, total, subtotal, invoices.currency, issue_date, due_date, "
    "supplier_gstin, contact_id, confirmed_amount, irn, links.ids AS links, held.invoice_id IS NOT NULL AS stopped "
    "FROM invoices LEFT JOIN (SELECT DISTINCT ON (invoice_id) invoice_id, confirmed_amount, document ->> 'irn' AS irn "
    "FROM financings WHERE seller_id = :user AND state NOT IN ('rejected', 'expired', 'withdrawn') "
    "ORDER BY invoice_id, id DESC) AS confirmed ON confirmed.invoice_id = invoices.id "
    "LEFT JOIN (SELECT invoice_id, array_agg(provider_id) AS ids FROM payment_links JOIN connections "
    "ON connections.id = connection_id WHERE connections.user_id = :user AND provider_id IS NOT NULL "
    "GROUP BY invoice_id) AS links ON links.invoice_id = invoices.id "
    "LEFT JOIN (SELECT DISTINCT invoice_id FROM reviews WHERE state = 'open' AND stops) AS held "
    "ON held.invoice_id = invoices.id "
    "WHERE invoices.seller_id = :user AND status IN ('open', 'partial') AND invoices.currency = ANY(:currencies)"
)
_CONTACTS = text(
    "SELECT id, name, legal_name, tds_rate FROM contacts WHERE user_id = :user AND id = ANY(CAST(:contacts AS uuid[]))"
)
_IDENTITIES = text("SELECT kind, value, contact_id, seen FROM payer_identities WHERE user_id = :user")
_ACCOUNTS = text("SELECT key, kind, left(ifsc, 4) AS bank, contact_id FROM payer_accounts WHERE user_id = :user")
_OWN_NAMES = text(
    "SELECT users.name, organisation, legal_name FROM users LEFT JOIN business_profiles ON user_id = users.id "
    "WHERE users.id = :user"
)
_BOOKED = text(
    "SELECT payments.id, amount, currency, occurred_at, bank_reference, ARRAY(SELECT DISTINCT number_key FROM "
    "allocations JOIN invoices ON invoices.id = allocations.invoice_id WHERE allocations.payment_id = payments.id) "
    "AS keys FROM payments WHERE user_id = :user AND status = 'succeeded' AND trust <> 'hint' "
    "AND (source = 'manual' AND method NOT IN ('tds_withheld', 'cash') OR source = 'gateway') "
    "AND (source = 'manual' OR bank_reference IS NOT NULL) "
    "AND amount = ANY(CAST(:amounts AS bigint[])) AND occurred_at BETWEEN :since AND :until "
    "AND NOT EXISTS (SELECT FROM transaction_payments WHERE payment_id = payments.id) "
    f"AND NOT ({words.OF_FINANCED}) ORDER BY payments.id"
)
_PAYOUTS = text(
    "SELECT payouts.id, amount, currency, occurred_at, bank_reference, connector FROM payouts "
    "LEFT JOIN connections ON connections.id = connection_id WHERE payouts.user_id = :user "
    "AND status IN ('pending', 'paid') AND NOT to_third_party AND transaction_id IS NULL "
    "AND amount = ANY(CAST(:amounts AS bigint[])) AND occurred_at BETWEEN :since AND :until ORDER BY payouts.id"
)
_DECIDED = text(
    "SELECT transaction_id, target_key, state FROM matches WHERE transaction_id = ANY(CAST(:ids AS uuid[])) "
    "AND decided_by IS NOT NULL AND state IN ('rejected', 'proposed', 'undone')"
)
# So many open lines of a seller are judged together, the oldest first.
MOST_LINES = 20_000


@dataclass(frozen=True, slots=True)
class Loaded:
    """A book, with the rows of its lines and the request up to which it was read."""

    book: Book
    rows: Mapping[UUID, Any]
    dues: Mapping[UUID, int]
    request: int


def load(connection: Connection, user_id: UUID) -> Loaded:
    """Everything the engine looks at of one seller."""
    # Before anything else is read: what is asked for later is seen by whoever comes after.
    request = connection.scalar(
        text("SELECT coalesce(max(id), 0) FROM reconcile_requests WHERE user_id = :user"), {"user": user_id}
    )
    rows = connection.execute(_OPEN, {"user": user_id, "most": MOST_LINES}).all()
    if not rows:
        return Loaded(Book(lines=(), invoices=(), contacts={}), {}, {}, request or 0)
    values = {
        "user": user_id,
        "amounts": array({row.amount for row in rows}, "bigint"),
        "since": min(row.occurred_at for row in rows) - _AROUND,
        "until": max(row.occurred_at for row in rows) + _AROUND,
        "ids": array((row.id for row in rows), "uuid"),
        "currencies": sorted({row.currency for row in rows}),
    }
    found = connection.execute(_INVOICES, values).all()
    rooms = words.rooms(connection, [row.id for row in found]) if any(row.trust == Trust.MANUAL for row in rows) else {}
    invoices = [_invoice(row, rooms.get(row.id)) for row in found]
    values["contacts"] = array({one.contact_id for one in invoices}, "uuid")
    rejected, undone = _decided(connection, values)
    book = Book(
        lines=[_line(row) for row in rows],
        invoices=invoices,
        contacts={row.id: _contact(row) for row in connection.execute(_CONTACTS, values)},
        own_names=frozenset(
            normal_name(name) for row in connection.execute(_OWN_NAMES, values) for name in row if name
        ),
        known=[_line(row) for row in connection.execute(_KNOWN, values)],
        booked=_booked(connection, values),
        remembered=_remembered(connection, values),
        accounts={
            row.key: Account(contact_id=row.contact_id, given=row.kind not in ("bank_account", "vpa"), bank=row.bank)
            for row in connection.execute(_ACCOUNTS, values)
        },
        rejected=rejected,
        undone=undone,
    )
    return Loaded(book, {row.id: row for row in rows}, {one.id: one.due for one in invoices}, request or 0)


def around(connection: Connection, user_id: UUID, transaction_id: UUID) -> Book:
    """One open line of a seller, and the decided ones that may tell of the same money; nothing else."""
    row = connection.execute(_ONE, {"user": user_id, "id": transaction_id}).one_or_none()
    if row is None:
        return Book(lines=(), invoices=(), contacts={})
    values = {
        "user": user_id,
        "amounts": [row.amount],
        "since": row.occurred_at - _AROUND,
        "until": row.occurred_at + _AROUND,
    }
    decided = connection.execute(_KNOWN, values)
    return Book(lines=[_line(row)], invoices=(), contacts={}, known=[_line(one) for one in decided])


def _line(row: Any) -> Line:
    return Line(
        id=row.id,
        amount=row.amount,
        currency=row.currency,
        day=day_of(row.occurred_at, row.booked_on),
        narration=row.narration,
        counterparty=row.counterparty,
        reference=row.bank_reference,
        identities=tuple(identities(row.user_id, row.narration, row.counterparty)),
        source=f"{row.connection_id}:{row.account_object_id}",
        number_masked=row.number_masked,
        word=row.trust == Trust.MANUAL,
    )


def _invoice(row: Any, room: words.Room | None) -> OpenInvoice:
    return OpenInvoice(
        id=row.id,
        number=row.number,
        key=row.number_key,
        due=row.amount_due,
        total=row.total,
        taxable=row.subtotal,
        currency=row.currency,
        issue_date=row.issue_date,
        due_date=row.due_date,
        contact_id=row.contact_id,
        confirmed=row.confirmed_amount,
        irn=row.irn or _irn_of(row),
        links=tuple(row.links or ()),
        stopped=row.stopped,
        words=None if room is None else room.allowed,
    )


def _irn_of(row: Any) -> str | None:
    """The IRN that the portal gives this invoice, which can be computed (domain 2.10)."""
    if row.supplier_gstin is None:
        return None
    return irn(row.supplier_gstin, row.issue_date, DocumentKind.INVOICE, row.number)


def _contact(row: Any) -> Contact:
    names = tuple(dict.fromkeys(name for name in (row.name, row.legal_name) if name))
    return Contact(id=row.id, name=row.name, names=names, tds_rate=row.tds_rate)


def _booked(connection: Connection, values: Mapping[str, Any]) -> list[Booked]:
    found = [
        Booked(
            id=row.id,
            kind="payment",
            amount=row.amount,
            currency=row.currency,
            day=day_of(row.occurred_at, None),
            reference=row.bank_reference,
            keys=frozenset(row.keys),
        )
        for row in connection.execute(_BOOKED, values)
    ]
    return found + [
        Booked(
            id=row.id,
            kind="payout",
            amount=row.amount,
            currency=row.currency,
            day=day_of(row.occurred_at, None),
            reference=row.bank_reference,
            words=frozenset({(row.connector or "").upper().split("_")[0]} - {""}),
        )
        for row in connection.execute(_PAYOUTS, values)
    ]


def _remembered(connection: Connection, values: Mapping[str, Any]) -> dict[tuple[str, str], dict[UUID, int]]:
    found: dict[tuple[str, str], dict[UUID, int]] = defaultdict(dict)
    for row in connection.execute(_IDENTITIES, values):
        found[row.kind, row.value][row.contact_id] = row.seen
    return dict(found)


def _decided(
    connection: Connection, values: Mapping[str, Any]
) -> tuple[frozenset[tuple[UUID, UUID]], frozenset[tuple[UUID, UUID]]]:
    """What people turned down, and what they took back, as (line, target key)."""
    pairs: dict[bool, set[tuple[UUID, UUID]]] = {True: set(), False: set()}
    for row in connection.execute(_DECIDED, values):
        pairs[row.state == "rejected"].add((row.transaction_id, row.target_key))
    return frozenset(pairs[True]), frozenset(pairs[False])
