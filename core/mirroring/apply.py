"""Mirrored invoices take effect, in bulk.

One is known by (connection, provider's id). Its status is no ladder, because books are corrected: a paid
invoice may be open again. The highest version holds, and among equal versions the content decides, so that any
order of arrival ends with the same row. That one was deleted is kept beside it and judged when it is read: it is void
while no statement is newer.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, text

from core import objects
from core.bulk import Rows, array, pipelined
from core.events import MirroredInvoice, MirroredInvoiceGone, MirroredStatus, Trust
from core.statements import Effect, EffectKind, Outcome, Statement, supersedes

KIND = "mirrored_invoice"

_INVOICES = Rows(
    id="uuid",
    user_id="uuid",
    connection_id="uuid",
    object_id="text",
    version="bigint",
    status="text",
    direction="text",
    kind="text",
    number="text",
    total="bigint",
    currency="text",
    due="bigint",
    due_currency="text",
    issued_on="date",
    due_on="date",
    contact_name="text",
    contact_email="text",
    url="text",
    trust="text",
)
_CONTENT = tuple(
    name
    for name in _INVOICES.columns
    if name not in {"id", "user_id", "connection_id", "object_id", "version", "trust"}
)
_LOAD = text(f"SELECT {_INVOICES.names} FROM mirrored_invoices WHERE id = ANY(CAST(:ids AS uuid[]))")
_INSERT = text(_INVOICES.insert("mirrored_invoices"))
_UPDATE = text(_INVOICES.update("mirrored_invoices", suffix=", updated_at = now()"))

_GONE = Rows(id="uuid", version="bigint")
_LOAD_GONE = text("SELECT id, version FROM mirrored_invoices_gone WHERE id = ANY(CAST(:ids AS uuid[]))")
_STORE_GONE = text(
    "INSERT INTO mirrored_invoices_gone AS known (id, version) "
    f"SELECT * FROM {_GONE.source('given')} "
    "ON CONFLICT (id) DO UPDATE SET version = greatest(known.version, excluded.version)"
)


def _short(value: str | None, limit: int) -> str | None:
    """At most `limit` characters, and None for nothing."""
    return (value or "").strip()[:limit] or None


def _link(value: str | None) -> str | None:
    """An address that a page may link to. A cut one would lead elsewhere, so a long one is left out."""
    return value if value and value.startswith("https://") and len(value) <= 2000 else None


def _values(statement: Statement, record: MirroredInvoice, identity: UUID) -> dict[str, Any]:
    return {
        "id": identity,
        "user_id": statement.user_id,
        "connection_id": statement.connection_id,
        "object_id": record.object_id,
        "version": record.version,
        "status": record.status.value,
        "direction": record.direction,
        "kind": record.kind,
        "number": _short(record.number, 100),
        "total": record.total.minor,
        "currency": record.total.currency,
        "due": record.due.minor,
        "due_currency": record.due.currency,
        "issued_on": record.issued_on,
        "due_on": record.due_on,
        "contact_name": _short(record.contact_name, 200),
        "contact_email": _short(record.contact_email, 254),
        "url": _link(record.url),
        "trust": statement.trust.value,
    }


def _standing(row: dict[str, Any]) -> tuple[Any, ...]:
    # Every status has the same rank: only the version and the content decide.
    return (row["trust"] != Trust.HINT, 0, row["version"], *(row[name] for name in _CONTENT), row["trust"])


def _says_the_same(row: dict[str, Any], before: dict[str, Any]) -> bool:
    """Whether two statements differ in their age and origin at most."""
    new, old = _standing(row), _standing(before)
    return new[0] == old[0] and new[3:-1] == old[3:-1]


def _effective(row: dict[str, Any], gone: int | None) -> dict[str, Any]:
    """The invoice as it is shown."""
    return row | {"status": MirroredStatus.VOID.value, "due": 0} if gone is not None and gone >= row["version"] else row


def apply(connection: Connection, statements: Sequence[Statement], outcome: Outcome) -> None:
    """Take in what events say about invoices elsewhere.

    The caller owns the transaction. Repeats and older statements have the effect "unchanged". Raises what the
    database raises for an invoice in two currencies, a negative one, or one that is owed more than its total.
    """
    said = [
        (statement, statement.record)
        for statement in statements
        if isinstance(statement.record, MirroredInvoice | MirroredInvoiceGone)
    ]
    ids = objects.identify(
        connection, [(statement.connection_id, KIND, record.object_id) for statement, record in said]
    )
    asked = {"ids": array(ids.known(), "uuid")}
    before = {row["id"]: dict(row) for row in connection.execute(_LOAD, asked).mappings()} if ids.known() else {}
    gone_before: dict[UUID, int] = (
        {row.id: row.version for row in connection.execute(_LOAD_GONE, asked)} if ids.known() else {}
    )
    known, gone, loud = dict(before), dict(gone_before), dict[UUID, UUID]()
    for statement, record in said:
        identity = ids[statement.connection_id, KIND, record.object_id]
        shown = _effective(known[identity], gone.get(identity)) if identity in known else None
        if isinstance(record, MirroredInvoiceGone):
            gone[identity] = max(record.version, gone.get(identity, record.version))
        else:
            row = _values(statement, record, identity)
            if identity not in known or supersedes(_standing(row), _standing(known[identity])):
                known[identity] = row
        now = _effective(known[identity], gone.get(identity)) if identity in known else None
        effect: EffectKind = "unchanged"
        # What is only newer and nothing else is heard by nobody: a pull repeats what is known.
        if now is not None and (shown is None or not _says_the_same(now, shown)):
            effect = "created" if shown is None else "updated"
            loud[identity] = statement.event_id
        outcome.effects.append(Effect(event_id=statement.event_id, object_kind=KIND, object_id=identity, effect=effect))
    new = [row for identity, row in known.items() if identity not in before]
    old = [row for identity, row in known.items() if identity in before and row is not before[identity]]
    ended = [{"id": identity, "version": version} for identity, version in gone.items()]
    with pipelined(connection):
        if new:
            connection.execute(_INSERT, _INVOICES.parameters(new))
        if old:
            connection.execute(_UPDATE, _INVOICES.parameters(old))
        if gone != gone_before:
            connection.execute(_STORE_GONE, _GONE.parameters(ended))
    for identity, event_id in loud.items():
        row = _effective(known[identity], gone.get(identity))
        outcome.tell(
            [f"user:{row['user_id']}"],
            "mirrored_invoice.updated",
            {
                "mirrored_invoice_id": str(identity),
                "number": row["number"],
                "status": row["status"],
                "direction": row["direction"],
                "kind": row["kind"],
                "total": row["total"],
                "due": row["due"],
                "currency": row["currency"],
            },
            event_id,
        )
