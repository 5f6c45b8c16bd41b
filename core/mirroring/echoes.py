"""Payments that we wrote to other books come back as their news: they are known by our reference, and are no money."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

from sqlalchemy import Connection, text

from core.bulk import array
from core.events import Payment
from core.mirroring.writing import PREFIX
from core.statements import Statement

_KNOWN = text(
    "SELECT connection_id, reference FROM mirror_payments "
    "JOIN unnest(CAST(:connections AS uuid[]), CAST(:references AS text[])) AS said (connection_id, reference) "
    "USING (connection_id, reference) WHERE origin = 'ours'"
)


def without(connection: Connection, statements: Sequence[Statement]) -> list[Statement]:
    """Statements without those that say of a payment what we said there ourselves.

    The reference was written down before it was sent, so this does not depend on whether the answer or its echo
    comes first, nor on whether the answer comes at all.
    """
    said = [
        (statement.connection_id, statement.record.bank_reference or "")
        for statement in statements
        if isinstance(statement.record, Payment) and (statement.record.bank_reference or "").startswith(PREFIX)
    ]
    if not said:
        return list(statements)
    rows = connection.execute(
        _KNOWN,
        {
            "connections": array((one[0] for one in said), "uuid"),
            "references": array((one[1] for one in said), "text"),
        },
    ).all()
    known: set[tuple[UUID, str]] = {(row.connection_id, row.reference) for row in rows}
    return [
        statement
        for statement in statements
        if not isinstance(statement.record, Payment)
        or (statement.connection_id, statement.record.bank_reference or "") not in known
    ]
