"""Many financings written at once: their figures, their states, and the record of each move.

What `core.marketplace.states.move` is for one, this is for a batch of payments: the same table of moves, the same
record and the same news, in a number of statements that does not grow with the batch.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import Connection, text

from core.bulk import Rows
from core.errors import Conflict
from core.ids import new_id
from core.marketplace.states import MOVES, Financing

_FINANCINGS = Rows(
    id="uuid",
    state="text",
    version="integer",
    collected="bigint",
    repaid_principal="bigint",
    repaid_interest="bigint",
    seller_reserve_paid="bigint",
    surplus="bigint",
    due_at="timestamptz",
    updated_at="timestamptz",
)
_MOVES = Rows(
    id="uuid",
    financing_id="uuid",
    version="integer",
    before="text",
    after="text",
    reason="text",
    transfer_id="uuid",
    event_id="uuid",
    data="jsonb",
    at="timestamptz",
)
_AUDIT = Rows(id="uuid", at="timestamptz", action="text", subject_kind="text", subject_id="uuid", data="jsonb")
_UPDATE = text(_FINANCINGS.update("financings"))
_RECORD = text(_MOVES.insert("financing_moves"))
_NOTE = text(_AUDIT.insert("audit_log"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """A locked financing as it was and as it becomes. Its version rises by one exactly when its state moves."""

    before: Financing
    after: Financing
    reason: str
    transfer_id: UUID | None = None
    event_id: UUID | None = None

    @property
    def moves(self) -> bool:
        """Whether the state changes."""
        return self.before.state is not self.after.state


def write(connection: Connection, steps: Sequence[Step], now: datetime) -> None:
    """Write what payments changed of locked financings, and record what moved. The platform itself is the actor.

    Raises Conflict for a move that the table does not have.
    """
    moved = [step for step in steps if step.moves]
    for step in moved:
        if step.after.state not in MOVES[step.before.state]:
            raise Conflict(f"an invoice whose financing is {step.before.state} does not become {step.after.state}")
    connection.execute(
        _UPDATE,
        _FINANCINGS.parameters(
            {name: getattr(step.after, name) for name in _FINANCINGS.columns} | {"updated_at": now} for step in steps
        ),
    )
    if not moved:
        return
    connection.execute(
        _RECORD,
        _MOVES.parameters(
            {
                "id": new_id(),
                "financing_id": step.after.id,
                "version": step.after.version,
                "before": step.before.state.value,
                "after": step.after.state.value,
                "reason": step.reason,
                "transfer_id": step.transfer_id,
                "event_id": step.event_id,
                "data": json.dumps(_figures(step.after)),
                "at": now,
            }
            for step in moved
        ),
    )
    connection.execute(
        _NOTE,
        _AUDIT.parameters(
            {
                "id": new_id(),
                "at": now,
                "action": f"financing.{step.after.state.value}",
                "subject_kind": "invoice",
                "subject_id": step.after.invoice_id,
                "data": json.dumps({"before": step.before.state.value, "reason": step.reason, **_figures(step.after)}),
            }
            for step in moved
        ),
    )


def _figures(financing: Financing) -> dict[str, int]:
    return {
        name: getattr(financing, name)
        for name in ("collected", "repaid_principal", "repaid_interest", "seller_reserve_paid", "surplus")
    }
