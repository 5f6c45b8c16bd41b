"""What people decided otherwise than the engine, kept with what was known: labelled cases for a better one."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, text
from sqlalchemy.orm import Session

from core.ids import new_id
from core.reconciliation.booking import Decision

_KEEP = text(
    "INSERT INTO reconciliation_cases (id, user_id, kind, transaction_id, line, proposed, decided, weights_version, "
    "decided_by, at) VALUES (:id, :user, :kind, :transaction, CAST(:line AS jsonb), CAST(:proposed AS jsonb), "
    "CAST(:decided AS jsonb), :version, :by, :now)"
)


def keep(
    connection: Connection, kind: str, line: Any, proposed: Any, chosen: Decision | None, by: UUID, now: datetime
) -> None:
    """Keep a decision against the engine: the line, what was proposed with its features, and what was right."""
    said = {
        "amount": line.amount,
        "currency": line.currency,
        "narration": line.narration,
        "counterparty": line.counterparty,
        "bank_reference": line.bank_reference,
        "occurred_at": line.occurred_at.isoformat(),
        "booked_on": None if line.booked_on is None else line.booked_on.isoformat(),
    }
    was = {
        "kind": proposed.kind,
        "invoices": [str(one) for one in proposed.invoices],
        "subject": None if proposed.subject_id is None else str(proposed.subject_id),
        "score": float(proposed.score),
        "features": proposed.features,
    }
    right = (
        {}
        if chosen is None
        else {
            "kind": chosen.kind,
            "targets": [{"invoice": str(one.invoice_id), "amount": one.amount} for one in chosen.targets],
            "subject": None if chosen.subject_id is None else str(chosen.subject_id),
        }
    )
    connection.execute(
        _KEEP,
        {
            "id": new_id(),
            "user": line.user_id,
            "kind": kind,
            "transaction": line.id,
            "line": json.dumps(said),
            "proposed": json.dumps(was),
            "decided": json.dumps(right),
            "version": proposed.weights_version,
            "by": by,
            "now": now,
        },
    )


def take_back(connection: Connection, transaction_id: UUID, kind: str, at: datetime, by: UUID, now: datetime) -> None:
    """Keep that what was turned down at a moment was taken up again: it says nothing of the engine any more."""
    connection.execute(
        text(
            "INSERT INTO reconciliation_cases (id, user_id, kind, transaction_id, line, proposed, decided, "
            "weights_version, decided_by, at) SELECT :id, user_id, 'restored', transaction_id, line, proposed, "
            "decided, weights_version, :by, :now FROM reconciliation_cases "
            "WHERE transaction_id = :transaction AND kind = :kind AND at = :at ORDER BY id DESC LIMIT 1"
        ),
        {"id": new_id(), "transaction": transaction_id, "kind": kind, "at": at, "by": by, "now": now},
    )


def export(session: Session) -> Iterator[dict[str, Any]]:
    """Every case, oldest first, without whose it is; not what was turned down and taken up again."""
    rows = session.execute(
        text(
            "SELECT id, kind, line, proposed, decided, weights_version, at FROM reconciliation_cases AS kept "
            "WHERE kind <> 'restored' AND NOT (kind IN ('rejected', 'ignored') AND EXISTS (SELECT "
            "FROM reconciliation_cases AS later WHERE later.kind = 'restored' AND later.user_id = kept.user_id "
            "AND later.transaction_id = kept.transaction_id AND later.proposed = kept.proposed "
            "AND later.id > kept.id)) ORDER BY id"
        ).execution_options(yield_per=500)
    )
    for row in rows:
        yield {
            "id": str(row.id),
            "kind": row.kind,
            "line": row.line,
            "proposed": row.proposed,
            "decided": row.decided,
            "weights_version": row.weights_version,
            "at": row.at.isoformat(),
        }
