"""What providers say of the parts of their payouts: kept as it is said, and payments told the fees that it names.

The payout and the payment of an item are named by the provider's ids, and may be unknown here until their own news
comes. Any order of news, and any repeat, ends with the same rows.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, text

from core import objects
from core.bulk import Rows, array
from core.events import PayoutItem, Trust
from core.payments.merge import PaymentState
from core.statements import Effect, EffectKind, Outcome, Statement, supersedes

KIND = "payout_item"
_ITEMS = Rows(
    id="uuid",
    user_id="uuid",
    connection_id="uuid",
    object_id="text",
    version="bigint",
    payout_object_id="text",
    kind="text",
    subject_object_id="text",
    amount="bigint",
    fee="bigint",
    currency="text",
    occurred_at="timestamptz",
)
_SAID = ("payout_object_id", "kind", "subject_object_id", "amount", "fee", "currency", "occurred_at")
_LOAD = text(f"SELECT {_ITEMS.names} FROM payout_items WHERE id = ANY(CAST(:ids AS uuid[]))")
_INSERT = text(_ITEMS.insert("payout_items"))
_UPDATE = text(_ITEMS.update("payout_items", suffix=", updated_at = now()"))
_FEES = text(
    "SELECT connection_id, subject_object_id, currency, sum(fee)::bigint AS fee FROM payout_items "
    "JOIN unnest(CAST(:connections AS uuid[]), CAST(:objects AS text[])) AS asked (connection_id, subject_object_id) "
    "USING (connection_id, subject_object_id) WHERE kind = 'payment' GROUP BY 1, 2, 3"
)


def apply(
    connection: Connection, statements: Sequence[Statement], ids: objects.Identified, outcome: Outcome
) -> dict[objects.Key, UUID]:
    """Take in items; return the keys of payments of which something new is said, with the event that said it last.

    `ids` has the key of each item and of each payment. Payouts whose parts changed are in `outcome.named` afterwards.
    """
    said = [(statement, statement.record) for statement in statements if isinstance(statement.record, PayoutItem)]
    if not said:
        return {}
    wanted = {ids[statement.connection_id, KIND, record.object_id] for statement, record in said}
    rows = connection.execute(_LOAD, {"ids": array(wanted - ids.fresh, "uuid")}).mappings()
    known: dict[UUID, dict[str, Any]] = {row["id"]: dict(row) for row in rows}
    stored = set(known)
    changed: dict[UUID, dict[str, Any]] = {}
    payments: dict[objects.Key, UUID] = {}
    for statement, record in said:
        identity = ids[statement.connection_id, KIND, record.object_id]
        row, before = _row(statement, record, identity), known.get(identity)
        effect: EffectKind = "created" if before is None else "updated"
        # A hint explains nothing: it is fetched before it counts.
        if statement.trust is Trust.HINT or (before and not supersedes(_standing(row), _standing(before))):
            effect = "unchanged"
        else:
            known[identity] = changed[identity] = row
            if before is not None and _standing(row)[3:] == _standing(before)[3:]:
                # Only said again, newer.
                effect = "unchanged"
        if effect != "unchanged":
            # It may have gone from one payout to another.
            outcome.named |= {(one["connection_id"], one["payout_object_id"]) for one in (before, row) if one}
            if record.kind == "payment" and record.subject_id is not None:
                payments[statement.connection_id, "payment", record.subject_id] = statement.event_id
        if effect != "unchanged" or before is not None:
            outcome.effects.append(
                Effect(event_id=statement.event_id, object_kind=KIND, object_id=identity, effect=effect)
            )
    _write(connection, changed, stored)
    return payments


def _write(connection: Connection, changed: Mapping[UUID, dict[str, Any]], stored: set[UUID]) -> None:
    if new := [row for identity, row in changed.items() if identity not in stored]:
        connection.execute(_INSERT, _ITEMS.parameters(new))
    if old := [row for identity, row in changed.items() if identity in stored]:
        connection.execute(_UPDATE, _ITEMS.parameters(old))


def _row(statement: Statement, record: PayoutItem, identity: UUID) -> dict[str, Any]:
    return {
        "id": identity,
        "user_id": statement.user_id,
        "connection_id": statement.connection_id,
        "object_id": record.object_id,
        "version": record.version,
        "payout_object_id": record.payout_id,
        "kind": record.kind,
        "subject_object_id": record.subject_id,
        "amount": record.money.minor,
        "fee": record.fee.minor,
        "currency": record.money.currency,
        "occurred_at": record.occurred_at,
    }


def _standing(row: Mapping[str, Any]) -> tuple[Any, ...]:
    return (True, 0, row["version"], *(row[name] for name in _SAID))


def fees(connection: Connection, payments: Mapping[objects.Key, PaymentState]) -> list[objects.Key]:
    """Tell payments what items say that was kept of them; return the keys of those whose fee is another one now."""
    if not payments:
        return []
    rows = connection.execute(
        _FEES,
        {
            "connections": array((key[0] for key in payments), "uuid"),
            "objects": array((key[2] for key in payments), "text"),
        },
    ).all()
    said = {(row.connection_id, "payment", row.subject_object_id, row.currency): int(row.fee) for row in rows}
    different = []
    for key, state in payments.items():
        before = state.kept
        # In another currency it is no fee of this payment's: that of an international one is.
        state.named_fee = said.get((*key, state.currency))
        if state.kept != before:
            different.append(key)
    return different
