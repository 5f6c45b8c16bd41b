"""Mirrored invoices take effect, in bulk.

One is known by (connection, provider's id). Its status is no ladder, because books are corrected: a paid
invoice may be open again. The highest version holds, and among equal versions the content decides, so that any
order of arrival ends with the same row.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, text

from core import objects
from core.bulk import Rows, array, pipelined
from core.events import MirroredInvoice, Trust
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


def apply(connection: Connection, statements: Sequence[Statement], outcome: Outcome) -> None:
    """Take in what events say about invoices elsewhere.

    The caller owns the transaction. Repeats and older statements have the effect "unchanged". Raises what the
    database raises for an invoice in two currencies, a negative one, or one that is owed more than its total.
    """
    said = [(statement, statement.record) for statement in statements if isinstance(statement.record, MirroredInvoice)]
    ids = objects.identify(
        connection, [(statement.connection_id, KIND, record.object_id) for statement, record in said]
    )
    rows = connection.execute(_LOAD, {"ids": array(ids.known(), "uuid")}).mappings().all() if ids.known() else []
    known = {row["id"]: dict(row) for row in rows}
    stored = set(known)
    changed: dict[UUID, dict[str, Any]] = {}
    # What is to be told of, and the event that last said so.
    loud: dict[UUID, UUID] = {}
    for statement, record in said:
        identity = ids[statement.connection_id, KIND, record.object_id]
        row = _values(statement, record, identity)
        before = known.get(identity)
        effect: EffectKind = "created" if before is None else "updated"
        if before is not None and not supersedes(_standing(row), _standing(before)):
            effect = "unchanged"
        else:
            if before is not None and _says_the_same(row, before):
                # Newer, and nothing else is different: a pull repeats what is known, and nobody needs to hear that.
                effect = "unchanged"
            else:
                loud[identity] = statement.event_id
            known[identity] = changed[identity] = row
        outcome.effects.append(Effect(event_id=statement.event_id, object_kind=KIND, object_id=identity, effect=effect))
    new = [row for identity, row in changed.items() if identity not in stored]
    old = [row for identity, row in changed.items() if identity in stored]
    with pipelined(connection):
        if new:
            connection.execute(_INSERT, _INVOICES.parameters(new))
        if old:
            connection.execute(_UPDATE, _INVOICES.parameters(old))
    for identity, event_id in loud.items():
        row = changed[identity]
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
