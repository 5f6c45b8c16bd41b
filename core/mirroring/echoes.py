"""News of payments in other books that we know already: those that we wrote there, and those noted here by hand.

Neither is booked as money a second time. What we wrote bears our reference, which was stored before it was sent: so
this depends neither on whether the answer or its echo comes first, nor on whether the answer comes at all.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import Connection, text

from core.bulk import array
from core.events import Payment, Trust
from core.invoicing.references import candidate_keys
from core.mirroring.writing import PREFIX, confirm
from core.statements import Statement

_OURS = text(
    "SELECT connection_id, reference FROM mirror_payments "
    "JOIN unnest(CAST(:connections AS uuid[]), CAST(:references AS text[])) AS said (connection_id, reference) "
    "USING (connection_id, reference) WHERE origin = 'ours'"
)
_THEIRS = text(
    "SELECT mirror_payments.connection_id, mirror_payments.reference, mirror_payments.provider_id, "
    "mirror_payments.amount, invoices.currency, invoices.number_key FROM mirror_payments "
    "JOIN invoices ON invoices.id = mirror_payments.invoice_id WHERE origin = 'theirs' "
    "AND mirror_payments.connection_id = ANY(CAST(:connections AS uuid[])) "
    "ORDER BY mirror_payments.created_at, mirror_payments.reference FOR UPDATE OF mirror_payments"
)


@dataclass(frozen=True, slots=True)
class Heard:
    """Statements that are news, and by connection and our reference the ids there of payments that we wrote."""

    news: list[Statement]
    ours: dict[tuple[UUID, str], str]


def split(connection: Connection, statements: Sequence[Statement]) -> Heard:
    """Part what is known of payments from what is news."""
    told = [(statement, statement.record) for statement in statements if isinstance(statement.record, Payment)]
    if not told:
        return Heard(list(statements), {})
    ours = _written(connection, told)
    known = _noted(connection, told) | {
        id(statement) for statement, record in told if (statement.connection_id, record.bank_reference) in ours
    }
    found = {
        (statement.connection_id, record.bank_reference or ""): record.object_id
        for statement, record in told
        if (statement.connection_id, record.bank_reference) in ours
    }
    return Heard([statement for statement in statements if id(statement) not in known], found)


def remember(connection: Connection, heard: Heard) -> None:
    """That payments which we wrote are there. After everything else of a batch: it takes links, which come last."""
    for (connection_id, reference), provider_id in heard.ours.items():
        confirm(connection, connection_id, {reference: provider_id})


def _written(connection: Connection, told: Sequence[tuple[Statement, Payment]]) -> set[tuple[UUID, str | None]]:
    """Connections and references of what bears ours."""
    said = {
        (statement.connection_id, record.bank_reference)
        for statement, record in told
        if record.bank_reference is not None and record.bank_reference.startswith(PREFIX)
    }
    if not said:
        return set()
    rows = connection.execute(
        _OURS,
        {
            "connections": array((one for one, _ in said), "uuid"),
            "references": array((reference for _, reference in said), "text"),
        },
    )
    return {(row.connection_id, row.reference) for row in rows}


def _noted(connection: Connection, told: Sequence[tuple[Statement, Payment]]) -> set[int]:
    """What its seller noted here when the mirrored invoice said that it was paid: same invoice, same amount, once."""
    # Accounting systems are asked; what a gateway signs is its own money.
    asked = [(statement, record) for statement, record in told if statement.trust is Trust.FETCHED]
    if not asked:
        return set()
    rows = connection.execute(
        _THEIRS, {"connections": array({statement.connection_id for statement, _ in asked}, "uuid")}
    ).all()
    bound: dict[tuple[UUID, str], str | None] = {(row.connection_id, row.reference): row.provider_id for row in rows}
    found = set()
    for statement, record in asked:
        keys = {key for reference in record.references for key in candidate_keys(reference.text)}
        for row in rows:
            place = (row.connection_id, row.reference)
            same = row.connection_id == statement.connection_id and bound[place] in (None, record.object_id)
            fits = (row.amount, row.currency) == (record.money.minor, record.money.currency) and row.number_key in keys
            if same and (fits or bound[place] == record.object_id):
                found.add(id(statement))
                if bound[place] is None:
                    bound[place] = record.object_id
                    connection.execute(
                        text(
                            "UPDATE mirror_payments SET provider_id = :id WHERE connection_id = :connection "
                            "AND reference = :reference"
                        ),
                        {"id": record.object_id[:200], "connection": row.connection_id, "reference": row.reference},
                    )
                break
    return found
